"""What changes together, what is kept and what is told: entries about hierarchies.

Independent numbers: section 3, 4.3, 6.7, 6.14 and 6.23 of the theory of hierarchies.
"""

import json
import types

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from rich.console import Group
from rich.table import Table

from jaxwin.analysis import hierarchy
from jaxwin.plots import kept_tree, to_png
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce import (
    _changes,
    _changes_measured,
    _no_hierarchy,
    _no_hierarchy_measured,
    _one_turn,
    _recomposed,
    _rhm,
    _tiny,
    _told,
    _told_measured,
)

# Standard errors that what was sampled may be off, unless another number is given.
APART = 4.0


def made(module):
    """A quick study, with what every study must have."""
    study = module.ENTRY.make(Measuring(quick=True))
    assert module.ENTRY.published == "none available"
    assert isinstance(study.table, Table | Group)
    assert study.figures
    json.dumps(study.summary, allow_nan=False)
    return study


@pytest.fixture(scope="module")
def changed():
    return made(_changes)


@pytest.fixture(scope="module")
def controls():
    return made(_no_hierarchy)


@pytest.fixture(scope="module")
def recomposed():
    return made(_recomposed)


@pytest.fixture(scope="module")
def told():
    return made(_told)


def near(value, stderr, expected, error=0.0, apart=APART):
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    assert np.all(np.abs(value - expected) < apart * np.hypot(stderr, error))


# C(r) and its reach.


def test_covariance_along_the_line_counts_pairs():
    """Eight leaves, every pair by hand: its height is the bit where numbers differ."""
    by_height = np.array([1.0, 0.4, 0.1, 0.03])
    table = np.array(
        [[by_height[(i ^ j).bit_length()] for j in range(8)] for i in range(8)]
    )
    places = np.array([1.0, 2.0, 5.0, 7.0])
    expected = [np.diagonal(table, int(r)).mean() for r in places]
    found = _changes_measured.along_the_line(2 * by_height, places, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # Half of all pairs, from nearest to furthest.
    sums = np.array([2 * np.diagonal(table, r).sum() for r in range(1, 8)])
    length = float(_changes_measured.half_length(by_height, 2))
    below = int(np.floor(length))
    reached = sums[:below].sum() + (length - below) * sums[below]
    np.testing.assert_allclose(reached, sums.sum() / 2, rtol=1e-12)


def test_places_on_the_line():
    assert _changes_measured.distances(16).tolist() == [1, 2, 3, 4, 6, 8, 12]


def test_mean_field_chi_at_printed_noises():
    """4.3, L = 10, 32/8/2, summed over C(r) along the line; its reach has one peak."""
    at = {0.5: 1.73, 0.65: 2.45, 0.7: 3.51, 0.73: 8.96, 0.76: 4.23, 0.9: 1.46}
    full = _changes.FULL
    shape = full.symbols, float(full.rules), full.branching, full.depth
    curves = hierarchy.mean_field_curves(jnp.array(list(at)), *shape)
    covariance = np.asarray(curves.covariance)
    r = np.arange(1.0, full.leaves)
    pairs = (
        2
        * (1 - r / full.leaves)
        * _changes_measured.along_the_line(covariance, r, full.branching)
    )
    np.testing.assert_allclose(1 + pairs.sum(axis=1), list(at.values()), atol=0.006)
    # The reach grows to the transition from both sides.
    reach = _changes_measured.half_length(covariance, full.branching)
    assert np.argmax(reach) == 3
    assert np.all(np.diff(reach[:4]) > 0)
    assert np.all(np.diff(reach[3:]) < 0)


@pytest.mark.slow
@pytest.mark.long
def test_class_is_lost_as_printed(changed):
    """4.6, of the quick tree."""
    eps = changed.results["eps_belief"]
    class_at = dict(zip(eps.noise.tolist(), eps.average.same[:, 0], strict=True))
    error = dict(zip(eps.noise.tolist(), eps.average.same_error[:, 0], strict=True))
    for noise, value in ((0.4, 0.9890), (0.7, 0.8338), (0.8, 0.2685)):
        # Four tables: Student's with three degrees of freedom, and sampling.
        near(class_at[noise], max(error[noise], 0.01), value, apart=6)


@pytest.mark.slow
def test_changes_are_most_correlated_at_the_transition(changed):
    summary = changed.summary
    assert abs(summary["eps_star"] - 0.8) < 1e-9
    assert abs(summary["nu"] - 2.254249) < 1e-6
    for name, low, high in (("eps_belief", 0.7, 0.85), ("masking", 0.35, 0.6)):
        found = changed.results[name]
        told = summary["channels"][name]
        for key in ("chi", "chi_within"):
            chi = np.array(told[key]["value"])
            assert low <= found.noise[np.argmax(chi)] <= high
        chi, error = (np.array(told["chi"][part]) for part in ("value", "stderr"))
        top = int(np.argmax(chi))
        for end in (0, -1):
            assert chi[top] - chi[end] > 4 * np.hypot(error[top], error[end])
            assert found.length[top] > 1.5 * found.length[end]
        # C_h falls with height, and chi is its sum over the pairs.
        ratio = np.array(told["covariance"])
        assert np.all(np.diff(ratio[:5]) < 0)
        weights = np.array([1.0] + [2.0 ** (h - 1) for h in range(1, 7)])
        i = told["noise"].index(told["at"])
        average_of_ratios = chi[i]
        np.testing.assert_allclose(weights @ ratio, average_of_ratios, rtol=0.02)
    # The mean field: 2 to 9 % low near the transition, else within errors.
    eps = summary["channels"]["eps_belief"]
    value, error = (np.array(eps["chi"][key]) for key in ("value", "stderr"))
    sampling = np.array(eps["chi"]["sampling_stderr"])
    expected = np.array(eps["mean_field"]["chi"])
    error = np.hypot(np.maximum(error, sampling), 0.08 * expected)
    near(value, error, expected)


# Controls.


def test_field_has_no_peak():
    """6.14, strictly increasing with noise."""
    abar = np.array([0.99, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1, 0])
    printed = [1.02462, 1.25615, 1.54292, 2.27827, 3.46142, 6.01334, 9.20032, 20.7433]
    found = _no_hierarchy.field_chi(1 - abar)
    np.testing.assert_allclose(found, printed, atol=6e-6)
    fine = _no_hierarchy.field_chi(np.linspace(0, 1, 60))
    assert np.all(np.diff(fine) > 0)


def test_top_of_paired_curves():
    """Tables differ by far more than noises of one: the peak is sure all the same."""
    shape = np.array([1.0, 2.0, 3.0, 2.9, 1.0])
    offset = np.array([0.0, 5.0, 10.0, 20.0])
    wiggle = 0.01 * np.array([1, -1, 1, -1])
    each = shape + offset[:, None] + np.outer(wiggle, [0, 1, 0, 40, 0])
    noises = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = _no_hierarchy_measured.top(noises, each)
    assert (found.noise, found.low, found.high) == (0.3, 0.3, 0.4)
    assert found.value == pytest.approx(3 + offset.mean())
    assert found.rise == pytest.approx(2)
    assert found.rise_stderr < 1e-9
    assert found.stderr > 4


@pytest.mark.slow
@pytest.mark.long
def test_flat_mixture_of_section_3(controls):
    """512 symbols, 32 classes: pooled, within a start, class kept."""
    laws = {(law["family"], law["sites"]): law for law in controls.summary["laws"]}
    flat = laws[_no_hierarchy.FLAT, 512]
    noise = np.array(flat["noise"])
    printed = {
        0.6: (3.1, 0.2, 1.00, 0.01, 1.000),
        0.8: (4.9, 0.5, 1.00, 0.02, 0.995),
        0.9: (6.7, 0.6, 1.12, 0.03, 0.954),
        0.95: (8.7, 0.7, 2.12, 0.06, 0.798),
        0.98: (11.9, 0.8, 6.5, 0.2, 0.421),
        0.99: (12.8, 0.8, 9.5, 0.4, 0.215),
        0.995: (12.2, 0.7, 10.6, 0.4, 0.110),
        1.0: (9.3, 0.6, 9.0, 0.5, 0.031),
    }
    for place, (pooled, error, within, within_error, kept) in printed.items():
        i = int(np.argmin(np.abs(noise - place)))
        assert abs(noise[i] - place) < 1e-9
        near(flat["chi"][i], flat["chi_stderr"][i], pooled, error)
        near(flat["chi_within"][i], flat["chi_within_stderr"][i], within, within_error)
        near(flat["class_kept"][i], flat["class_kept_stderr"][i], kept, 0.005)
    # Two classes: most at full noise, in both.
    pair = laws[_no_hierarchy.PAIR, 512]
    assert np.argmax(pair["chi"]) == np.argmax(pair["chi_within"]) == len(noise) - 1


@pytest.mark.slow
def test_which_peak_is_evidence(controls):
    """Pooled peaks without a hierarchy; where a peak within starts is, and its rise."""
    laws = controls.summary["laws"]
    of = lambda family: sorted(
        (law for law in laws if law["family"] == family), key=lambda law: law["sites"]
    )
    small, flat = of(_no_hierarchy.FLAT)
    top = flat["pooled_top"]
    assert top["high"] < 1
    assert top["rise"] > 2.5 * top["rise_stderr"]
    noise = np.array(flat["noise"])
    within = np.array(flat["chi_within"])
    assert within[np.argmin(np.abs(noise - 0.98))] < within[-1]
    # So many symbols tell the class of 32, whatever d: the peak slides to full noise.
    for law in (small, flat):
        seen = law["sites"] * (1 - law["within_top"]["noise"])
        assert 1 < seen < 7
    assert flat["within_top"]["low"] > small["within_top"]["high"]
    # Growth is no evidence: that of the flat mixture grows, and most of it stands on
    # what is there at full noise.
    tops = [law["within_top"] for law in (small, flat)]
    apart = np.hypot(tops[0]["stderr"], tops[1]["stderr"])
    assert tops[1]["value"] - tops[0]["value"] > 2.5 * apart
    for law in (small, flat):
        assert law["within_top"]["rise"] < 0.5 * law["chi_within"][-1]
    # The hierarchy's stays inside, far above full noise.
    short, tall = of(_no_hierarchy.TREE)
    for law in (short, tall):
        top = law["within_top"]
        assert 0.2 < top["low"] <= top["high"] < 0.7
        least = top["rise"] - 2 * top["rise_stderr"]
        assert least > 0.5 * law["chi_within"][-1]
    # The chain's stays too, but hardly above full noise; there two independent chains:
    # sum_r 0.8^(2 |r|) to first order in 1 / d.
    near_chain, far_chain = of(_no_hierarchy.CHAIN)
    for law in (near_chain, far_chain):
        ratio, d = 0.64, law["sites"]
        r = np.arange(1, d)
        expected = 1 + 2 * np.sum((1 - r / d) * ratio**r)
        near(law["chi"][-1], law["chi_stderr"][-1], expected)
        assert law["within_top"]["rise"] < 0.5 * law["chi_within"][-1]
    tops = [law["pooled_top"] for law in (near_chain, far_chain)]
    near(tops[1]["value"], tops[1]["stderr"], tops[0]["value"], tops[0]["stderr"])


# Means over rule tables.


def test_information_and_recomposition_show_the_larger_error():
    """Three tables by hand: the second value scatters by chance less than sampling."""
    values, errors = ((1.0, 5.0), (2.0, 5.0), (6.0, 5.0)), (0.3, 0.6)
    tables = [
        types.SimpleNamespace(kept=np.array(one), kept_stderr=np.array(errors))
        for one in values
    ]
    found = _rhm.averaged(tables, ["kept"])
    np.testing.assert_allclose(found["kept"], [3, 5])
    sampling = np.array(errors) / np.sqrt(3)
    np.testing.assert_allclose(found["kept_sampling_stderr"], sampling)
    np.testing.assert_allclose(found["kept_stderr"], [np.sqrt(7 / 3), sampling[1]])
    # A law alone has no other error.
    alone = _rhm.averaged(tables[:1], ["kept"])
    np.testing.assert_allclose(alone["kept_stderr"], errors)


@pytest.mark.slow
def test_information_is_of_the_tables_of_windows(monkeypatch):
    sizes, seen = _rhm.tree(4, 2, 2, 2, tables=3), []
    measure = hierarchy.level_curves

    def watched(law, *args, **options):
        seen.append(law)
        return measure(law, *args, **options)

    monkeypatch.setattr(_rhm.hierarchy, "level_curves", watched)
    rules, key = jr.split(jr.key(3))
    noises = np.array([0.2, 0.4, 0.6, 0.8])
    _rhm.tables_of(sizes, "masking", noises, Measuring(), rules, 16)
    stages = _rhm.stages_of(sizes, "tree", rules, key)
    assert [name for name, *_ in stages] == [f"tree, table {i}" for i in (1, 2, 3)]
    for law, (_, other, _) in zip(seen, stages, strict=True):
        assert eqx.tree_equal(law, other)
    assert not eqx.tree_equal(stages[0][1], stages[1][1])
    assert len({tuple(jr.key_data(one).tolist()) for *_, one in stages}) == 3


def over_tables(told, name):
    """Errors shown are those over tables, unless sampling's are larger."""
    shown, sampling = (
        np.array(told[f"{name}{end}"]) for end in ("_stderr", "_sampling_stderr")
    )
    assert shown.shape == np.shape(told[name])
    assert np.all(shown >= sampling)
    assert np.any(shown > sampling)


# New class, old parts.

PRINTED = {
    "masking": {0.25: (0.430295, 0.681584), 0.5: (0.374315, 0.599694)},
    "uniform": {0.25: (0.382827, 0.596021), 0.5: (0.328932, 0.486391)},
}


@pytest.mark.parametrize("channel", ["masking", "uniform"])
def test_recomposition_by_enumeration(channel):
    """6.23, and independent data where nothing is seen."""
    for noise, kept in PRINTED[channel].items():
        found = _tiny.listed_recomposition(_recomposed.SITES[channel](noise))[1]
        np.testing.assert_allclose(found, kept, atol=6e-7)
    last = _tiny.listed_recomposition(_recomposed.SITES[channel](1.0))
    np.testing.assert_allclose(last[1], (0.291667, 0.348958), atol=6e-7)
    assert last[0] == pytest.approx(2 / 3)


@pytest.mark.slow
@pytest.mark.long
def test_recomposition_by_belief_propagation(recomposed):
    for channel, printed in PRINTED.items():
        found = recomposed.results[f"tiny_{channel}"]
        for noise, kept in printed.items():
            i = int(np.argmin(np.abs(found.noise - noise)))
            near(found.measured[:, i], found.stderr[:, i], kept)
        assert found.largest_z < 4.5
        # Nothing seen: independent data; and more is kept of lower levels before.
        tree = recomposed.results[channel]
        near(tree.kept[-1], tree.kept_sampling_stderr[-1], tree.independent)
        assert np.all(np.diff(tree.kept[1]) > 0)
        assert np.all(tree.kept[1] > 3 * tree.independent)
        assert np.all(np.diff(tree.class_changed) > 0)
        assert tree.class_changed[-1] == pytest.approx(15 / 16)


@pytest.mark.slow
def test_recomposition_is_over_tables(recomposed):
    told = recomposed.summary
    assert told["tables"] == 3
    assert told["turns"] == recomposed.results["masking"].count == 3 * 512
    for one in told["channels"].values():
        over_tables(one, "kept")
        over_tables(one, "class_changed")
        assert np.all(np.array(one["independent_stderr"]) > 0)
    # Both channels look at the same tables.
    masking, uniform = (one["independent"] for one in told["channels"].values())
    assert masking == uniform


@pytest.mark.slow
def test_shown_tree_lost_its_class(recomposed):
    number, before, after = _one_turn.one_turn(0)
    shown = recomposed.summary["shown"]
    assert shown["draw"] == number <= _one_turn.DRAWS
    assert before[0][0] != after[0][0]
    assert shown["nodes"] == [2**level for level in range(6)]
    expected = [int((a != b).sum()) for a, b in zip(before, after, strict=True)]
    assert shown["changed"] == expected
    # Parts are kept: not all of it is another word.
    assert expected[-1] < 24


# What is told.


@pytest.mark.slow
@pytest.mark.long
def test_information_of_the_tiny_law(told):
    """6.7: I, MMSE, class kept, information of the class."""
    printed = {
        0.25: (0.3035, 2.3023, 0.3443, 0.0167),
        0.5: (0.5766, 2.0738, 0.3606, 0.0417),
        1.0: (1.0434, 1.6839, 0.4052, 0.1118),
        2.0: (1.7327, 1.1119, 0.5163, 0.2889),
        8.0: (3.0014, 0.1125, 0.9121, 0.9433),
    }
    found, lost = told.results["tiny"], told.results["tiny_windows"]
    assert found.entropy == pytest.approx(np.log(24))
    same = lost.curves.same[::-1, 0]
    error = lost.curves.same_error[::-1, 0]
    for snr, (word, squared, kept, of_class) in printed.items():
        i = int(np.argmin(np.abs(found.snr - snr)))
        assert found.snr[i] == pytest.approx(snr)
        near(found.word[i], found.word_stderr[i], word, 5e-4)
        near(found.integral[i], found.integral_stderr[i], word, 5e-4)
        near(found.squared_error[i], found.squared_error_stderr[i], squared, 5e-4)
        near(found.nodes[i, 0], found.nodes_stderr[i, 0], of_class, 5e-4)
        near(same[i], error[i], kept, 5e-4)


@pytest.mark.slow
def test_information_is_over_tables(told):
    assert told.summary["tables"] == told.results["windows"].curves.tables == 3
    assert told.summary["draws"] == 3 * 512
    for name in ("word", "squared_error", "integral", "nodes", "share"):
        over_tables(told.summary["tree"], name)
        # One law.
        tiny = told.summary["tiny"]
        assert tiny[f"{name}_stderr"] == tiny[f"{name}_sampling_stderr"]


def test_half_integral_of_a_gaussian():
    """One coordinate of variance c: MMSE = c / (1 + c g), I = ln(1 + c g) / 2."""
    snr = _told.COARSE
    for variance in (0.3, 1.0, 2.0):
        error = variance / (1 + variance * snr)
        found = _told_measured.half_integral(snr, error, variance)
        expected = 0.5 * np.log1p(variance * snr)
        np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.slow
def test_two_forms_of_information(told):
    """I-MMSE; the whole entropy in the end; levels are told leaves first."""
    for name, trees in (("tree", 16 * 4.0**63), ("tiny", 24.0)):
        found = told.results[name]
        assert found.largest_z < 3
        assert found.entropy == pytest.approx(np.log(trees))
        near(found.word[-1], found.word_stderr[-1] + 1e-6, found.entropy)
        np.testing.assert_allclose(found.share[-1], 1, atol=2e-3)
        np.testing.assert_allclose(found.integral, found.word, rtol=0.05, atol=0.05)
    tree = told.results["tree"]
    i = int(np.argmin(np.abs(tree.snr - 2)))
    assert np.all(np.diff(tree.share[i]) > 0)


@pytest.mark.slow
def test_windows_of_levels(told):
    """Upper levels are lost at less noise and in narrower windows; 4.6 of the class."""
    levels = told.summary["windows"]
    assert [row["name"] for row in levels][::6] == ["class", "leaves"]
    half = [row["half"]["value"] for row in levels]
    assert np.all(np.diff(half) < 0)
    width = []
    for row in levels:
        assert row["early"]["value"] > row["half"]["value"] > row["late"]["value"]
        width.append(np.log(row["early"]["value"] / row["late"]["value"]))
        assert 0 < row["before"] < row["before"] + row["gained"] < 1
    assert np.all(np.diff(width) > 0)
    lost = told.results["windows"]
    printed = {1.0: 0.0655, 2.0: 0.0918, 3.0: 0.241, 4.0: 0.541, 6.0: 0.910}
    snr = told.results["tree"].snr[::-1]
    for place, value in printed.items():
        i = int(np.argmin(np.abs(snr - place)))
        # A few tables against others: they differ by a few per cent.
        near(lost.curves.same[i, 0], lost.curves.same_error[i, 0], value, 0.015)


# The tree as a figure.


def trees(s=2, depth=4, seed=0):
    generator = np.random.default_rng(seed)
    before = [generator.integers(0, 12, s**level) for level in range(depth + 1)]
    after = [
        np.where(generator.random(one.shape) < 0.4, one + 1, one) for one in before
    ]
    return before, after


@pytest.mark.parametrize(("s", "depth"), [(2, 1), (2, 4), (3, 3), (2, 7)])
def test_marked_nodes_are_those_that_differ(s, depth):
    before, after = trees(s, depth)
    differ = sum(int((a != b).sum()) for a, b in zip(before, after, strict=True))
    total = sum(one.size for one in before)
    figure = kept_tree(before, after, "masking at 0.4")
    axes = figure.axes[0]
    drawn = {"kept": 0, "changed": 0}
    for part in axes.collections:
        name = part.get_gid() or ""
        if name in drawn:
            drawn[name] += len(np.asarray(part.get_offsets()))
    # Both trees: before and after.
    assert drawn == {"kept": 2 * (total - differ), "changed": 2 * differ}
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [
        f"kept: {total - differ} of {total} nodes",
        f"changed: {differ} of {total} nodes",
    ]
    assert axes.get_xlabel() == "masking at 0.4"
    assert to_png(figure, dpi=30)[:4] == b"\x89PNG"


def test_symbols_stand_in_their_nodes():
    before, after = trees()
    axes = kept_tree(before, after).axes[0]
    shown = [text.get_text() for text in axes.texts if text.get_text().isdigit()]
    symbols = np.concatenate([*before, *after])
    assert sorted(shown) == sorted(map(str, symbols))
    # A thousand leaves have no room; the levels above them have.
    crowded = kept_tree(*trees(depth=10)).axes[0]
    shown = [text.get_text() for text in crowded.texts if text.get_text().isdigit()]
    assert 2 * 15 <= len(shown) < 2 * 511


def test_trees_that_do_not_fit_are_refused():
    before, after = trees()
    with pytest.raises(ValueError, match="one shape"):
        kept_tree(before, after[:-1])
    with pytest.raises(ValueError, match="root first"):
        kept_tree(before[::-1], after[::-1])
