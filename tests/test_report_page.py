import ast
import copy
import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from pages import Page, lost, with_classes
from rich.console import Console

from jaxwin import _files
from jaxwin._checks import BadInput
from jaxwin.report import (
    Diagnosis,
    crossings,
    diagnose,
    figures,
    named_clocks,
    on_clock,
    page,
    summary,
    terminal_table,
    write,
)
from jaxwin.report._diagnose import pair_key
from jaxwin.report._facts import Facts, compare, facts
from jaxwin.report._words import interval, reading, with_error

NAMES = np.array(["<b>&", '"quoted" | a', "[red]$x"])

# Whole diagnoses; `test_page_sections` looks at the page in the fast tests.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def three() -> Diagnosis:
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    means = np.array([[0, 0, 0, 0], [6, 0, 0, 0], [0, 0, 1.5, 0]])
    points = means[labels] + rng.normal(size=(90, 4))
    return diagnose(points, NAMES[labels], num_replicas=64)


@pytest.fixture(scope="module")
def unlabelled() -> Diagnosis:
    points = np.random.default_rng(2).normal(size=(60, 3)) * np.array([3, 1, 1])
    return diagnose(points, num_replicas=64)


@pytest.fixture(scope="module")
def nothing() -> Diagnosis:
    """Four points; and their pair is made one that is not reached."""
    points = np.array([[0.0, 0], [1e-3, 0], [0, 1e-3], [1e-3, 1e-3]])
    found = diagnose(points, np.array(["a", "a", "b", "b"]), num_replicas=64)
    feature, tree = found.features[0], with_classes(found, 2).features[0].tree
    assert feature.agreement is not None
    assert feature.agreement.pairs is not None
    assert tree is not None
    pairs = feature.agreement.pairs
    pairs = dataclasses.replace(pairs, crossing=lost(pairs.crossing), fresh=None)
    agreement = dataclasses.replace(
        feature.agreement, crossing=lost(feature.agreement.crossing), pairs=pairs
    )
    tree = dataclasses.replace(tree, time=lost(tree.time))
    feature = dataclasses.replace(feature, agreement=agreement, tree=tree)
    return dataclasses.replace(found, features=(feature,))


@pytest.fixture(scope="module")
def two(three) -> Diagnosis:
    return with_classes(three, 2)


# Of forty classes `test_page_sections` looks at the page.
MADE = "three", "unlabelled", "nothing", "two"


@pytest.fixture(scope="module")
def pages(request) -> Mapping[str, str]:
    class Pages(dict[str, str]):
        """Made when they are asked for."""

        def __missing__(self, name: str) -> str:
            made = request.getfixturevalue(name)
            self[name] = page(made, figures(made))
            return self[name]

    return Pages()


CASES = pytest.mark.parametrize("case", MADE)
PICTURES = {"three": 8, "unlabelled": 3, "nothing": 6, "two": 7}


@pytest.mark.long
@CASES
def test_page_parses_and_identifiers_are_unique(pages, case):
    parsed = Page(pages[case])
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', pages[case])
    assert set(targets) <= set(parsed.ids)


@CASES
def test_page_opens_offline_without_scripts(pages, case):
    for tag, attributes in Page(pages[case]).tags:
        assert tag not in ("script", "link", "iframe", "object", "img")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                # The bar of colours is a picture inside the page.
                assert (value or "").startswith(("#", "data:image/png;base64,"))
    assert "http" not in pages[case]
    assert "@import" not in pages[case]


@CASES
def test_every_picture_has_a_text_alternative(pages, case):
    drawn = [attributes for tag, attributes in Page(pages[case]).tags if tag == "svg"]
    # One pair needs no matrix of pairs; without a time found there are no regimes.
    assert len(drawn) == PICTURES[case]
    for attributes in drawn:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 40


@pytest.mark.long
@pytest.mark.parametrize("case", ["three", "unlabelled", "nothing", "two"])
def test_every_time_is_on_the_page_on_every_clock(pages, case, request):
    diagnosis = request.getfixturevalue(case)
    text = Page(pages[case]).text
    for name, crossing in crossings(diagnosis).items():
        needs_classes = name in ("t_S mean", "t_S curvature", "t_S potential")
        if case == "unlabelled" and needs_classes:
            assert "needs classes" in text
            continue
        for clock, process in named_clocks().items():
            assert reading(on_clock([crossing], process)[0], clock) in text


def test_times_not_reached_say_so(pages):
    text = Page(pages["nothing"]).text
    assert "not reached in [0,\N{NO-BREAK SPACE}∞)" in text
    assert "No pair of classes separates" in text
    assert "no order of separation and collapse can be stated" in text
    assert "nan" not in text.lower().replace("covariance", "")


def test_text_of_curves_that_do_not_cross(pages):
    (figure,) = (
        found["aria-label"]
        for tag, found in Page(pages["nothing"]).tags
        if tag == "svg" and "Clone agreement" in (found.get("aria-label") or "")
    )
    assert "0.775 is not reached in" in str(figure)
    assert "crosses" not in str(figure)


def test_bars_in_names_keep_keys_apart():
    keys = {pair_key(a, b) for a, b in [("a", "b | c"), ("a | b", "c"), ("a\\", "b")]}
    assert keys == {"a | b \\| c", "a \\| b | c", "a\\\\ | b"}


def test_repeated_points_are_said(nothing):
    assert nothing.repeated == 0
    text = page(dataclasses.replace(nothing, repeated=1200), {})
    assert "1,200 of the points repeat another one" in text


def test_too_many_classes_are_refused():
    points = np.random.default_rng(0).normal(size=(600, 2))
    with pytest.raises(BadInput, match="`labels` has 300 classes"):
        diagnose(points, np.arange(600) // 2)


def test_class_names_stay_text(pages, three):
    assert "<b>" not in pages["three"]
    text = Page(pages["three"]).text
    for name, count in zip(three.classes, three.class_counts, strict=True):
        assert f"{name}\N{NO-BREAK SPACE}({count})" in text


def test_names_and_commands_are_escaped(three):
    named = dataclasses.replace(three, name="</title><script>")
    text = page(named, {}, command="jaxwin report '<x>' && true")
    assert "<script>" not in text
    assert "jaxwin report '<x>' && true" in Page(text).text


def test_first_lines_answer(pages, three):
    text = Page(pages["three"]).text
    for part in ("t_S", "t_half"):
        assert part.replace("_", "") in text[:1500]
    for crossing in (three.t_S.spectrum_plus_one, three.t_S.spectrum):
        assert reading(crossing.to_json()) in text[:1500]
    for key in ("t_half", "t_rest", "t_log2", "t_gauss"):
        assert reading(getattr(three.collapse, key).to_json()) in text[:1500]


def test_page_warns_where_the_spectrum_does_not_date_the_split(pages, three):
    few = [pair for pair in facts(three).pairs if pair.overlap < 0.5]
    assert len(few) == 1
    assert f"does not date the separation of {few[0]}" in Page(pages["three"]).text
    assert "does not date the separation" not in Page(pages["unlabelled"]).text


def test_equal_class_means_have_no_direction_to_warn_of(three):
    times = dataclasses.replace(
        three.t_S, between_class_eigenvalue=jnp.zeros_like(three.t_S.top_eigenvalue)
    )
    assert facts(three).not_dated
    assert not facts(dataclasses.replace(three, t_S=times)).not_dated


def test_page_tells_the_call_that_repeats_it(pages, three):
    line = three.call
    assert line in Page(pages["three"]).text
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    given = {
        str(word.arg): ast.literal_eval(word.value)
        for word in call.keywords
        if word.arg is not None
    }
    inspect.signature(diagnose).bind("points", "labels", **given)
    assert given["num_replicas"] == 64
    assert given["seed"] == three.seed


def test_unlabelled_page_speaks_of_no_class_times(pages):
    text = Page(pages["unlabelled"]).text
    assert "no classes to tell apart" in text
    assert "tφ, all classes" not in text


def test_rare_classes_are_said_to_be_left_out():
    labels = np.repeat([0, 1, 2], [45, 43, 2])
    points = np.random.default_rng(3).normal(size=(90, 4)) + 5 * labels[:, None]
    diagnosis = diagnose(points, labels, num_replicas=64)
    text = page(diagnosis, {})
    assert "Pairs not measured, for want of draws of the rarer class: 2." in text
    assert diagnosis.agreement is not None
    alone = dataclasses.replace(diagnosis.agreement, pairs=None)
    feature = dataclasses.replace(diagnosis.features[0], agreement=alone)
    text = page(dataclasses.replace(diagnosis, features=(feature,)), {})
    assert "No pair of classes was measured" in text
    assert reading(diagnosis.agreement.crossing.to_json()) in text
    assert Page(text).text


def test_identifiers_of_many_pairs_are_unique(three):
    parsed = Page(page(with_classes(three, 40), {}))
    assert "All 780 pairs" in parsed.text
    assert len(parsed.ids) == len(set(parsed.ids))


@pytest.mark.long
def test_images_of_bytes_show_the_published_convention():
    pixels = np.random.default_rng(4).integers(0, 255, (30, 3, 3)).astype(np.uint8)
    diagnosis = diagnose(pixels, num_replicas=64)
    text = Page(page(diagnosis, {})).text
    assert diagnosis.t_S_unit01 is not None
    assert "with pixels in [0, 1]" in text
    assert reading(diagnosis.t_S_unit01.spectrum_plus_one.to_json()) in text


@pytest.mark.parametrize(
    ("value", "stderr", "decimals", "expected"),
    [
        (1.07352, 0.0340, None, "1.074 ± 0.034"),
        (0.22851, 0.00421, None, "0.2285 ± 0.0042"),
        (12.345, 1.2, None, "12.3 ± 1.2"),
        (0.291154, 0.0, None, "0.2912"),
        (0.291154, 1e-15, None, "0.2912"),
        (2.079441, None, None, "2.079"),
        (360.0641, 2.766, 1, "360.1 ± 2.8"),
        (360.0641, 0.001, 1, "360.1"),
        (-0.512, 0.2, 1, "−0.5 ± 0.2"),
        (1.26e-7, 7e-9, None, "1.26×10⁻⁷ ± 7×10⁻⁹"),
    ],
)
def test_digits_follow_the_error(value, stderr, decimals, expected):
    written = with_error(value, stderr, decimals)
    assert written.replace("\N{NO-BREAK SPACE}", " ") == expected


def test_readings_outside_a_clock_and_intervals():
    time = {"value": None, "stderr": None, "low": 1.0, "high": 2.0, "found": True}
    assert reading(time | {"inside": False}, "flow_u") == "outside this clock's range"
    known = time | {"value": 1.5, "stderr": 0.25}
    assert interval(known).split() == ["1.00", "to", "2.00"]
    assert interval(time | {"found": False}) == ""


def order_of(numbers: dict[str, Any], diagnosis: Diagnosis, shift: float) -> str:
    moved = copy.deepcopy(numbers)
    for key in ("t_half", "t_rest", "t_log2", "t_gauss"):
        for end in ("value", "low", "high"):
            moved[key][end] += shift
    return Facts(diagnosis, moved).order()


def test_order_of_separation_and_collapse(three, nothing):
    numbers = summary(three)
    assert order_of(numbers, three, -5.0) == "speciation"
    assert order_of(numbers, three, 5.0) == "collapse"
    assert order_of(numbers, three, 0.5) == "mixed"
    assert facts(nothing).order() == "unknown"
    assert compare({"low": 2, "high": 3}, {"low": 0, "high": 1}) == "speciation"


def test_folder_holds_page_figures_results_and_summary(three, tmp_path):
    place = tmp_path / "made" / "report"
    write(three, place, command="jaxwin report file.npy")
    names = {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}
    drawn = {
        f"figures/{name}.{form}" for name in figures(three) for form in ("png", "svg")
    }
    assert len(drawn) == 2 * PICTURES["three"]
    others = {"index.html", "results.nc", "jaxwin.json"}
    others |= {"summary.json", "schedule.json"}
    assert names == drawn | others
    text = (place / "index.html").read_text("utf-8")
    assert "jaxwin report file.npy" in Page(text).text
    assert json.loads((place / "jaxwin.json").read_text())["command"] == "report"

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    saved = json.loads((place / "summary.json").read_text(), parse_constant=refuse)
    assert saved == json.loads(json.dumps(summary(three)))
    with xarray.open_dataset(place / "results.nc", engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(
            dataset["collapse.own_weight"], three.collapse.own_weight
        )


def test_a_second_write_replaces_the_folder(three, unlabelled, tmp_path):
    place = tmp_path / "report"
    write(three, place)
    assert (place / "figures" / "agreement.png").exists()
    write(unlabelled, place)
    assert not (place / "figures" / "agreement.png").exists()
    assert json.loads((place / "summary.json").read_text())["n"] == 60
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_foreign_folder_is_refused_and_kept(unlabelled, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "note.txt").write_text("keep")
    with pytest.raises(BadInput, match="`folder`"):
        write(unlabelled, place)
    assert (place / "note.txt").read_text() == "keep"


def test_a_failed_write_leaves_the_older_folder(unlabelled, tmp_path, monkeypatch):
    place = tmp_path / "report"
    write(unlabelled, place)
    before = (place / "index.html").read_bytes()
    whole = _files._write

    def full(path: Path, data: bytes) -> None:
        if "summary" in path.name:
            raise OSError(28, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(_files, "_write", full)
    with pytest.raises(OSError, match="No space"):
        write(dataclasses.replace(unlabelled, name="other"), place)
    assert (place / "index.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.long
@CASES
def test_terminal_table_shows_key_times_as_text(case, request):
    diagnosis = request.getfixturevalue(case)
    stream = StringIO()
    Console(file=stream, width=100).print(terminal_table(diagnosis))
    shown = stream.getvalue()
    for key in ("t_half", "t_rest", "t_log2", "t_gauss"):
        assert key in shown
    assert reading(diagnosis.t_S.spectrum_plus_one.to_json()) in shown
    if case == "three":
        assert "[red]$x" in shown
        assert reading(diagnosis.agreement.crossing.to_json()) in shown
    if case == "unlabelled":
        assert "½ log\N{NO-BREAK SPACE}B" not in shown
    if case == "nothing":
        assert "not reached in" in shown
