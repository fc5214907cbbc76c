"""What single sections of the page say, on results made by hand."""

import ast
import dataclasses
import json
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from pages import Page, chain, lost, times_at, with_classes

from jaxwin.report import Diagnosis, diagnose, figures, page, write
from jaxwin.report._facts import Facts, facts, key_times
from jaxwin.report._pairs import Pair, pairs_in, pairs_of
from jaxwin.report._schedules import DDIM_LOOP, schedule
from jaxwin.report._tree import tree_words
from jaxwin.report._words import listed, reading, subscripts


@pytest.fixture(scope="module")
def images() -> Diagnosis:
    """Small images of bytes in two classes, a dark and a bright one."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 99, (60, 4, 4)) + 120 * (np.arange(60) % 2)[:, None, None]
    labels = np.array(["dark", "bright"])[np.arange(60) % 2]
    return diagnose(pixels.astype(np.uint8), labels, num_replicas=64)


@pytest.fixture(scope="module")
def two(images) -> Diagnosis:
    return with_classes(images, 2)


def shown(diagnosis: Diagnosis) -> Page:
    return Page(page(diagnosis, {}))


def pair_at(time: float, overlap: float, **others: Any) -> Pair:
    return Pair("a", "b", times_at(time), overlap, **others)


def with_copies_at(diagnosis: Diagnosis, time: float, spectrum: float) -> Facts:
    """Facts in which collapse and the spectrum speak of these times."""
    numbers = dict(facts(diagnosis).numbers)
    numbers["t_half"] = times_at(time).to_json()
    spectral = times_at(spectrum).to_json()
    numbers["t_S"] = numbers["t_S"] | {"spectrum_plus_one": spectral}
    return Facts(diagnosis, numbers)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("pair", "spectrum", "said"),
    [
        (pair_at(0.8, 0.9), 0.82, "tφ; tS agrees"),
        (pair_at(0.8, 0.9), 1.60, "tφ; tS is along this split but differs"),
        (pair_at(0.8, 0.1), 0.82, "tφ, not tS"),
        (pair_at(0.2, 0.9), 0.20, "tφ, for these very points: it is set by collapse"),
        (
            pair_at(0.2, 0.9, gaussian=times_at(0.5)),
            0.20,
            "Gaussian per class: tφ is set by collapse",
        ),
        # Intervals overlap: collapse may have set it.
        (pair_at(0.41, 0.9), 0.4, "tφ, for these very points: it is set by collapse"),
        (Pair("a", "b", lost(times_at(0.8)), 0.9), 0.8, "none: tφ is not reached"),
    ],
)
def test_which_criterion_to_believe(two, pair, spectrum, said):
    known = with_copies_at(two, 0.4, spectrum)
    assert re.sub("<.*?>", "", known.believe(pair)) == said


@pytest.mark.slow
def test_without_a_difference_of_means_the_spectrum_is_not_judged(two):
    none = jnp.zeros_like(two.t_S.top_eigenvalue)
    times = dataclasses.replace(two.t_S, between_class_eigenvalue=none)
    known = with_copies_at(dataclasses.replace(two, t_S=times), 0.1, 0.8)
    assert known.believe(pair_at(0.8, 0.1)) == "t<sub>φ</sub>"


@pytest.mark.slow
def test_every_criterion_of_every_pair_is_beside_the_others(two):
    three = with_classes(two, 3)
    text = shown(three).text
    pairs = pairs_in(three.features[0])
    assert len(pairs) == 3
    values = [float(pair.crossing.time) for pair in pairs]
    assert values == sorted(values, reverse=True)
    for pair in pairs:
        assert pair.fresh is not None
        assert pair.gaussian is not None
        assert pair.general is not None
        for crossing in (pair.crossing, pair.fresh, pair.gaussian, *pair.general):
            assert reading(crossing.to_json()) in text
        # Made by hand: the Gaussian at nine tenths, general times on both sides.
        time = float(pair.crossing.time)
        assert float(pair.gaussian.time) == pytest.approx(0.9 * time)
        sides = [float(side.time) for side in pair.general]
        assert sides == pytest.approx([0.8 * time, 1.2 * time])


@pytest.mark.slow
def test_criteria_that_were_not_measured_have_no_column(two):
    feature = two.features[0]
    assert feature.agreement is not None
    assert feature.agreement.pairs is not None
    pairs = dataclasses.replace(feature.agreement.pairs, fresh=None)
    agreement = dataclasses.replace(feature.agreement, pairs=pairs)
    bare = dataclasses.replace(
        feature, agreement=agreement, gaussian=None, general=None
    )
    text = shown(dataclasses.replace(two, features=(bare,))).text
    for head in ("over fresh data", "Gaussian per class", "General-class time"):
        assert head in shown(two).text
        assert f"{head}" not in text.replace("over fresh data of", "")


@pytest.mark.slow
@pytest.mark.long
def test_many_pairs_stay_small_and_too_many_are_told_in_the_summary(two):
    forty = page(with_classes(two, 40), {})
    assert "All 780 pairs" in forty
    assert len(forty) < 1_200_000
    fifty = page(with_classes(two, 50), {})
    assert "All pairs, on every clock: <code>summary.json</code>" in fifty
    assert len(fifty) < len(forty)


@pytest.mark.slow
def test_key_times_are_three_and_in_order(two):
    half, spectrum = two.collapse.t_half, two.t_S.spectrum_plus_one
    pair = pairs_in(two.features[0])[0].crossing
    expected = {"t_half": half, "t_φ": pair, "t_S": spectrum}
    times = key_times(two, pairs_of(two))
    assert times == {name: float(time.time) for name, time in expected.items()}
    assert list(times.values()) == sorted(times.values())
    three = with_classes(two, 3)
    times = key_times(three, pairs_of(three))
    assert set(times) == {"t_half", "first t_φ", "last t_φ"}


@pytest.mark.slow
def test_more_features_have_a_short_section_each(two):
    other = dataclasses.replace(with_classes(two, 3).features[0], name="<sex>")
    both = dataclasses.replace(two, features=(*two.features, other))
    drawn = figures(both)
    assert {"agreement", "agreement_2"} <= set(drawn)
    parsed = Page(page(both, drawn))
    assert "<sex>: when its classes separate" in parsed.text
    assert "feature-2" in parsed.ids
    assert len(parsed.ids) == len(set(parsed.ids))
    section = parsed.text.split("<sex>: when its classes separate")[1]
    for pair in pairs_in(other):
        assert reading(pair.time) in section
    nothing = dict.fromkeys(("agreement", "gaussian", "general", "confusion", "tree"))
    alone = dataclasses.replace(
        other, classes=("one",), class_counts=(60,), information=None, **nothing
    )
    both = dataclasses.replace(two, features=(*two.features, alone))
    assert "It has no pair of classes to tell apart" in shown(both).text


@pytest.mark.slow
def test_advice_is_on_the_page_as_in_the_schedule(images):
    numbers, parsed = schedule(images.advice), shown(images)
    lists = next(block for block in parsed.code if "timesteps_linear" in block)
    written = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(lists).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for name, found in numbers["grid"]["ddpm_timesteps"].items():
        assert written[f"timesteps_{name}"] == found["timesteps"]
    for name, key in (("edm_sigmas", "edm_sigma"), ("flow_u", "flow_u")):
        np.testing.assert_allclose(written[name], numbers["grid"][key], rtol=1e-4)
    loop = next(block for block in parsed.code if "def ddim" in block)
    assert DDIM_LOOP.strip() in loop
    ast.parse(loop)
    for rule in ("late_start_rule", "guidance_rule", "grid_rule"):
        assert getattr(images.advice, rule) in parsed.text


@pytest.mark.slow
def test_advice_of_noises_found_and_not_found(images):
    known = dataclasses.replace(
        images.advice,
        late_start=times_at(1.25),
        guidance_low=times_at(0.5),
        guidance_high=times_at(0.9),
    )
    moments = schedule(known)
    text = shown(dataclasses.replace(images, advice=known)).text
    start = text[:2500]
    for crossing in (known.late_start, known.guidance_low, known.guidance_high):
        assert crossing is not None
        assert reading(crossing.to_json()) in start
    steps = moments["late_start"]["ddpm_timestep"]
    row = text.split("Late start")[1].split("Guidance from")[0]
    for table in ("linear", "scaled_linear", "cosine"):
        assert str(steps[table]["timestep"]) in row
    assert known.late_start is not None
    never = dataclasses.replace(known, late_start=lost(known.late_start))
    text = shown(dataclasses.replace(images, advice=never)).text
    assert "start at t" not in text[:2500]
    assert "not reached in" in text.split("Late start")[1].split("Guidance from")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (20.4, "With fewer than about 20 points collapse would come first."),
        (31_234.0, "From about 31,000 points on collapse would come last."),
    ],
)
def test_where_the_order_changes(images, number, said):
    assert said in shown(dataclasses.replace(images, order_n=number)).text
    none = shown(dataclasses.replace(images, order_n=None)).text
    assert "points collapse would" not in none
    assert "points on collapse would" not in none


@pytest.mark.slow
def test_regimes_say_where_two_is_absent(two):
    drawn = figures(two)
    feature = two.features[0]
    assert feature.agreement is not None
    assert feature.agreement.pairs is not None
    late = times_at([float(two.collapse.t_half.time) / 2])
    pairs = dataclasses.replace(feature.agreement.pairs, crossing=late)
    agreement = dataclasses.replace(feature.agreement, pairs=pairs)
    feature = dataclasses.replace(feature, agreement=agreement)
    first = dataclasses.replace(two, features=(feature,))
    assert "regime II is absent" in page(first, figures(first))
    early = dataclasses.replace(two.collapse, t_half=times_at(1e-3))
    apart = dataclasses.replace(two, collapse=early)
    assert "regime II is absent" not in page(apart, drawn)


@pytest.mark.slow
def test_images_are_shown_noised_and_tables_are_not(images):
    drawn = figures(images)
    assert "noised_images" in drawn
    parsed = Page(page(images, drawn))
    assert "What the times look like" in parsed.text
    assert sum(tag == "image" for tag, _ in parsed.tags) >= 8
    table = dataclasses.replace(images, shape=(16,))
    assert "noised_images" not in figures(table)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("pca", "leading 7 principal directions, which hold 91.00% of the variance"),
        ("span", "The points vary in 7 of the 16 dimensions"),
    ],
)
def test_the_space_is_said(images, space, said):
    text = shown(dataclasses.replace(images, space=space, rank=7, kept=0.91)).text
    assert said in text
    assert said not in shown(dataclasses.replace(images, space="data")).text


@pytest.mark.slow
def test_caveats_are_told_at_the_top_as_text(images):
    named = dataclasses.replace(images, caveats=("Times <belong> to a space.",))
    assert "Times <belong> to a space." in shown(named).text[:3000]


def test_merge_tree_in_words():
    words = tree_words(chain(3), "abc")
    assert words == (
        "From data to noise: a and b merge at 0.300 ± 0.010; "
        "a+b and c merge at 1.200 ± 0.010."
    ).replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
    long = tree_words(chain(12), "abcdefghijkl")
    assert "3 more merge" in long
    assert "a group of 11 (a and others) and l merge at" in long
    tree = dataclasses.replace(chain(2), time=lost(chain(2).time))
    assert "a and b merge at every noise" in tree_words(tree, "ab")
    assert tree_words(chain(1), "a") == "Nothing merges."


@pytest.mark.slow
def test_classes_that_were_not_drawn_have_no_confusion(two):
    feature = two.features[0]
    assert feature.confusion is not None
    matrix = feature.confusion.matrix.copy()
    matrix[:, 1] = np.nan
    confusion = dataclasses.replace(feature.confusion, matrix=matrix)
    gone = dataclasses.replace(
        two, features=(dataclasses.replace(feature, confusion=confusion),)
    )
    text = Page(page(gone, figures(gone))).text
    assert "ends in class j" in text
    assert "nan" not in text.lower().replace("covariance", "")


@pytest.mark.slow
def test_schedule_is_written_beside_the_page(images, tmp_path):
    write(images, tmp_path / "report")
    saved = json.loads((tmp_path / "report" / "schedule.json").read_text())
    assert saved == json.loads(json.dumps(schedule(images.advice)))


def test_words():
    assert subscripts("at t_half and t_φ") == "at t<sub>half</sub> and t<sub>φ</sub>"
    assert [listed(list("abc"[:k])) for k in (0, 1, 2, 3)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
