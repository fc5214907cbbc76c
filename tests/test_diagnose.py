"""The whole diagnosis: invariances, features, subspaces, and what it refuses."""

import functools

import numpy as np
import pytest

from jaxwin._checks import BadInput
from jaxwin.datasets import from_arrays
from jaxwin.report import diagnose, summary
from jaxwin.report._answer import verdict
from jaxwin.report._facts import facts
from jaxwin.targets import _empirical

GENERATOR = np.random.default_rng(3)
N, D = 240, 5
LABELS = np.arange(N) % 3
MEANS = 2.0 * GENERATOR.normal(size=(3, D))
POINTS = MEANS[LABELS] + GENERATOR.normal(size=(N, D)) * np.linspace(1.5, 0.5, D)
# All of them share their compiled programs.
OPTIONS = {"num_replicas": 640, "normalize": "none", "seed": 1}


@functools.cache
def plain():
    return summary(diagnose(POINTS, LABELS, **OPTIONS))


def times_of(numbers: dict) -> dict[str, float]:
    """Every measured and predicted time, by name."""
    merges = {
        f"merge {i}": merge["time"]["value"]
        for i, merge in enumerate(numbers["merge_tree"])
    }
    one = {key: numbers[key]["value"] for key in ("t_half", "t_rest", "t_log2")}
    pairs = {f"phi {k}": v["value"] for k, v in numbers["t_phi"].items()}
    gauss = {f"gaussian {k}": v["value"] for k, v in numbers["t_phi_gaussian"].items()}
    fresh = {f"fresh {k}": v["high"] for k, v in numbers["t_phi_fresh"].items()}
    general = {
        f"general {k} {i}": side["value"]
        for k, sides in numbers["t_general"].items()
        for i, side in enumerate(sides)
    }
    predicted = {
        "t_gauss": numbers["t_gauss"]["value"],
        "t_S": numbers["t_S"]["spectrum_plus_one"]["value"],
        "late": numbers["advice"]["late_start"]["value"],
        "guide": numbers["advice"]["guidance"]["low"]["value"],
    }
    found = one | pairs | gauss | fresh | general | merges | predicted
    return {key: value for key, value in found.items() if value is not None}


def same(found: dict, expected: dict) -> None:
    found, expected = times_of(found), times_of(expected)
    assert found.keys() == expected.keys()
    assert len(expected) > 20
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-8, abs=1e-10), key


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("what", ["order", "translation", "rotation", "block size"])
def test_times_do_not_depend_on_the_frame(what, monkeypatch):
    """To rounding: draws and noise live in the principal axes of the data."""
    points, labels = POINTS, LABELS
    if what == "order":
        order = GENERATOR.permutation(N)
        points, labels = points[order], labels[order]
    elif what == "translation":
        points = points + 10.0 * GENERATOR.normal(size=D)
    elif what == "rotation":
        points = points @ np.linalg.qr(GENERATOR.normal(size=(D, D)))[0]
    else:
        monkeypatch.setattr(_empirical, "BLOCK", 7)
        monkeypatch.setattr("jaxwin.targets._point_groups.BLOCK", 7)
    same(summary(diagnose(points, labels, **OPTIONS)), plain())


@pytest.mark.slow
def test_relabelling_renames_the_times():
    names = np.array(["c", "a", "b"])
    found = summary(diagnose(POINTS, names[LABELS], **OPTIONS))
    rename = lambda key: " | ".join(sorted(names[int(c)] for c in key.split(" | ")))
    for kind in ("t_phi", "t_phi_fresh"):
        for key, time in plain()[kind].items():
            other = found[kind][rename(key)]
            assert other["value"] == pytest.approx(time["value"], rel=1e-8)
    for key in ("t_half", "t_log2"):
        assert found[key]["value"] == pytest.approx(plain()[key]["value"], rel=1e-8)
    members = lambda merge: {*merge["first"], *merge["second"]}
    ours = [{names[int(c)] for c in members(m)} for m in plain()["merge_tree"]]
    assert [members(m) for m in found["merge_tree"]] == ours


@pytest.mark.slow
def test_times_move_with_the_scale_as_they_must():
    """e^{2t'} - 1 = c^2 (e^{2t} - 1) for all SNR-defined times; `spectrum` by log c."""
    c = 7.0
    numbers = summary(diagnose(c * POINTS, LABELS, **OPTIONS))
    found, before = times_of(numbers), times_of(plain())
    assert found.keys() == before.keys()
    for key, time in before.items():
        moved = 0.5 * np.log1p(c**2 * np.expm1(2 * time))
        assert found[key] == pytest.approx(moved, rel=1e-8), key
    shift = numbers["t_S"]["spectrum"]["value"] - plain()["t_S"]["spectrum"]["value"]
    assert shift == pytest.approx(np.log(c), abs=1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_two_label_columns_are_two_features():
    """Each as if it were alone: the pass is the same, the classes are groups of it."""
    other = (LABELS > 0).astype(int)
    data = from_arrays(POINTS, {"kind": LABELS, "late": other})
    both = summary(diagnose(data, **OPTIONS))
    assert list(both["features"]) == ["kind", "late"]
    assert both["t_phi"] == both["features"]["kind"]["t_phi"]
    alone = summary(diagnose(POINTS, other, **OPTIONS))
    for key in ("t_phi", "t_phi_fresh", "t_general"):
        found, expected = both["features"]["late"][key], alone[key]
        assert found.keys() == expected.keys() == {"0 | 1"}
    found, expected = (
        numbers["t_phi"]["0 | 1"]["value"]
        for numbers in (both["features"]["late"], alone)
    )
    assert found == pytest.approx(expected, rel=1e-8)
    assert both["t_half"]["value"] == pytest.approx(plain()["t_half"]["value"])


@pytest.mark.slow
def test_more_dimensions_than_points_by_the_gram_matrix():
    """The same points in 400 dimensions: the same times, in 5 coordinates."""
    lift = np.linalg.qr(GENERATOR.normal(size=(400, D)))[0].T
    found = diagnose(POINTS @ lift, LABELS, **OPTIONS)
    assert (found.space, found.rank, found.d) == ("span", D, 400)
    same(summary(found), plain())
    along = np.abs(np.asarray(found.spectrum.directions)[:, 0])
    assert np.linalg.norm(along) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.long
def test_a_subspace_is_the_diagnosis_of_the_projected_points():
    centred = POINTS - POINTS.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    projected = centred @ axes[:2].T @ axes[:2]
    found = diagnose(POINTS, LABELS, pca=2, **OPTIONS)
    assert (found.space, found.rank) == ("pca", 2)
    share = np.sum((centred @ axes[:2].T) ** 2) / np.sum(centred**2)
    assert found.kept == pytest.approx(share)
    expected = diagnose(projected, LABELS, **OPTIONS)
    assert expected.rank == 2
    same(summary(found), summary(expected))


def test_what_is_no_data_is_refused():
    with pytest.raises(BadInput, match="`pca` is 6; it must lie between 1 and 5"):
        diagnose(POINTS, LABELS, pca=6, **OPTIONS)
    with pytest.raises(BadInput, match="`shape` is 2,2; it must be height,width"):
        diagnose(POINTS, LABELS, shape=(2, 2), **OPTIONS)
    twice = np.repeat(POINTS, 2, axis=0)
    rows = np.arange(2 * N)
    with pytest.raises(BadInput, match="480 combinations of classes"):
        diagnose(twice, {"a": rows % 240, "b": rows // 240}, **OPTIONS)


@pytest.mark.slow
@pytest.mark.long
def test_agreement_among_copies_is_no_separation():
    """Equal means, variances 0.5 and 1.5, d = 50: the population separates at 0.46.

    phi with the own point in crosses 0.775 near 0.81, before collapse (0.72) on the way
    from noise, because clones are copies there. No order may be read off it.
    """
    rng = np.random.default_rng(0)
    widths = np.sqrt(np.repeat([0.5, 1.5], 400))[:, None]
    found = diagnose(
        widths * rng.normal(size=(800, 50)), np.repeat([0, 1], 400), num_replicas=2048
    )
    known = facts(found)
    (pair,) = known.pairs
    assert pair.time["low"] > known.numbers["t_half"]["high"]
    assert known.order() == "mixed"
    assert known.believe(pair).startswith("Gaussian per class")
    assert pair.gaussian is not None
    assert float(pair.gaussian.time) == pytest.approx(0.47, abs=0.06)


@pytest.mark.slow
def test_chance_along_a_wide_direction_does_not_date_the_classes():
    """Class means differ along the widest direction by their sampling error alone."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(N, D))
    points[:, 0] *= 1e4
    points[:, 1] += 3 * LABELS
    known = facts(diagnose(points, LABELS, **OPTIONS))
    assert all(pair.overlap > 0.99 for pair in known.pairs)
    assert known.not_dated == known.pairs


@pytest.mark.slow
def test_latents_keep_their_units():
    latents = np.random.default_rng(2).normal(size=(120, 4, 4, 4))
    found = diagnose(latents, num_replicas=640)
    assert found.normalization == "none"
    assert "Times belong to this space" in found.caveats[0]
    pictures = diagnose(latents.reshape(120, 8, 8), num_replicas=640)
    assert (pictures.normalization, pictures.caveats) == ("pm1", ())


@pytest.mark.slow
@pytest.mark.long
def test_pairs_of_rare_classes_are_missed_on_the_first_line():
    labels = np.repeat([0, 1, 2], [120, 117, 3])
    points = np.random.default_rng(3).normal(size=(N, D)) + 6 * labels[:, None]
    known = facts(diagnose(points, labels, **OPTIONS))
    assert known.left_out == 2
    assert "2 pairs of rare classes could not be measured" in verdict(known)
