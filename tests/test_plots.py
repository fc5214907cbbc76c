import dataclasses
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from pages import TIMES, chain, lost, times_at

from jaxwin.analysis import collapse, speciation, windows
from jaxwin.analysis.information import ClassInformation
from jaxwin.channels import Gaussian, Observed
from jaxwin.plots import (
    BranchCurve,
    BranchPanel,
    Series,
    agreement,
    beside,
    branches,
    collapse as draw_collapse,
    confusion,
    information,
    is_image,
    merge_tree,
    movement,
    noised_images,
    pair_times,
    regimes,
    spectrum,
    to_png,
    to_svg,
)
from jaxwin.targets import Empirical

CLASSES = ("<b>&", "$x_{", "日本")


@pytest.fixture(scope="module")
def law():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    means = np.array([[0, 0, 0, 0], [4, 0, 0, 0], [0, 3, 0, 0]])
    return Empirical(means[labels] + rng.normal(size=(90, 4)), labels)


@pytest.fixture(scope="module")
def agreed(law):
    observed = Observed(law, Gaussian())
    return speciation.clone_agreement(observed, TIMES, pairs="all", num_replicas=64)


@pytest.fixture(scope="module")
def collapsed(law):
    return collapse.curve(law, TIMES, num_replicas=64)


def curves(axes) -> list[Any]:
    """Lines that hold a curve, not a level or a legend's sample."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def texts(figure):
    root = ElementTree.fromstring(to_svg(figure))
    return [
        "".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")
    ]


def test_spectrum_draws_the_eigenvalues(law):
    result = speciation.spectrum(law, 4)
    axes = spectrum(result).axes[0]
    (line,) = curves(axes)
    np.testing.assert_array_equal(line.get_ydata(), result.eigenvalues)
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    assert "direction" in axes.get_xlabel()
    assert "data units²" in axes.get_ylabel()


def test_spectrum_axis_on_the_right_reads_ou_time(law):
    result = speciation.spectrum(law, 4)
    right = spectrum(result).axes[0].child_axes[0]
    assert "OU time" in right.get_ylabel()
    for place, label in zip(right.get_yticks(), right.get_yticklabels(), strict=True):
        assert float(label.get_text()) == pytest.approx(0.5 * np.log1p(place), rel=1e-3)


def test_spectrum_of_rank_one_and_of_an_exact_law():
    values, directions = jnp.array([5e-7, 0.0]), jnp.eye(2)
    figure = spectrum(speciation.Spectrum(values, directions, jnp.asarray(0.0)))
    assert to_png(figure).startswith(b"\x89PNG")


@pytest.mark.slow
def test_agreement_draws_all_classes_and_every_pair(agreed):
    axes: Any = agreement(agreed, CLASSES).axes[0]
    lines = curves(axes)
    assert len(lines) == 1 + len(agreed.pairs.pair)
    np.testing.assert_array_equal(
        np.stack([line.get_ydata() for line in lines[:-1]]), agreed.pairs.phi
    )
    np.testing.assert_array_equal(lines[-1].get_ydata(), agreed.phi)
    np.testing.assert_array_equal(lines[-1].get_xdata(), agreed.noise)
    assert "OU time" in axes.get_xlabel()
    assert "φ" in axes.get_ylabel()
    heights = [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
    assert set(heights) >= {agreed.level, agreed.chance}
    left, right = axes.get_xlim()
    assert left < float(agreed.crossing.time) < right


@pytest.mark.slow
def test_agreement_marks_its_crossing_only_where_found(agreed):
    dots = lambda figure: len(figure.axes[0].containers)
    assert dots(agreement(agreed)) == 1
    missed = dataclasses.replace(agreed, crossing=lost(agreed.crossing), pairs=None)
    assert dots(agreement(missed)) == 0
    assert len(curves(agreement(missed).axes[0])) == 1


def test_agreement_of_many_pairs_is_a_band(agreed):
    many = 301
    repeat = lambda leaf: np.repeat(np.asarray(leaf)[:1], many, axis=0)
    pairs = agreed.pairs
    pairs = speciation.PairAgreement(
        repeat(pairs.pair),
        pairs.noise,
        repeat(pairs.phi),
        repeat(pairs.stderr),
        jax.tree.map(lambda leaf: jnp.asarray(repeat(leaf)), pairs.crossing),
    )
    axes = agreement(dataclasses.replace(agreed, pairs=pairs)).axes[0]
    assert len(curves(axes)) == 1


def test_pair_times_writes_every_number(agreed):
    figure = pair_times(agreed.pairs, CLASSES)
    axes: Any = figure.axes[0]
    drawn = np.asarray(axes.images[0].get_array().filled(np.nan))
    for p, (a, b) in enumerate(agreed.pairs.pair):
        # The first class heads no row.
        assert drawn.reshape(2, 2)[b - 1, a] == agreed.pairs.crossing.time[p]
    assert np.isnan(drawn.reshape(2, 2)[0, 1])
    assert len(axes.texts) == 3
    assert "class" in axes.get_xlabel()
    assert "OU time" in figure.axes[1].get_ylabel()
    shown = texts(figure)
    assert {"<b>&", "$x_{", "日本"} <= set(shown)


def test_pair_times_shows_a_dash_where_not_reached(agreed):
    crossing = agreed.pairs.crossing
    missed = dataclasses.replace(
        crossing,
        time=crossing.time.at[1].set(jnp.nan),
        found=crossing.found.at[1].set(False),
    )
    figure = pair_times(dataclasses.replace(agreed.pairs, crossing=missed), CLASSES)
    assert [text.get_text() for text in figure.axes[0].texts][1] == "–"
    none = dataclasses.replace(agreed.pairs, crossing=lost(crossing))
    figure = pair_times(none, CLASSES)
    assert [text.get_text() for text in figure.axes[0].texts] == ["–"] * 3
    assert to_png(figure).startswith(b"\x89PNG")


def test_pair_times_of_many_classes_has_no_numbers(agreed):
    count = 40
    pair = np.stack(np.triu_indices(count, 1), axis=1).astype(np.int32)
    fill = lambda value: jnp.full(len(pair), value)
    crossing = dataclasses.replace(
        agreed.pairs.crossing,
        time=jnp.linspace(0.1, 1, len(pair)),
        stderr=fill(0.1),
        low=fill(0.0),
        high=fill(2.0),
        found=fill(True),
    )
    noise = agreed.pairs.noise
    flat = np.ones((len(pair), noise.size))
    result = speciation.PairAgreement(pair, noise, flat, flat, crossing)
    axes = pair_times(result, [f"class {i}" for i in range(count)]).axes[0]
    assert not axes.texts
    assert len(axes.get_xticks()) <= 30


@pytest.mark.slow
def test_collapse_draws_own_weight_and_excess(collapsed):
    drawn: Any = draw_collapse(collapsed).axes
    strip, axes = drawn
    own, excess = curves(axes)
    np.testing.assert_array_equal(own.get_ydata(), collapsed.own_weight)
    np.testing.assert_allclose(excess.get_ydata(), collapsed.excess / np.log(90))
    np.testing.assert_array_equal(own.get_xdata(), collapsed.noise)
    assert "OU time" in axes.get_xlabel()
    names = [label.get_text() for label in strip.get_yticklabels()]
    assert names == ["t_half", "t_rest", "t_log2", "t_gauss"]
    marked = [container.lines[0].get_xdata()[0] for container in strip.containers]
    times = [float(getattr(collapsed, name).time) for name in names]
    np.testing.assert_array_equal(marked, times)


@pytest.mark.slow
def test_collapse_says_what_is_not_reached(collapsed):
    missed = dataclasses.replace(collapsed, t_half=lost(collapsed.t_half))
    strip = draw_collapse(missed).axes[0]
    assert [text.get_text() for text in strip.texts][0] == "not reached"
    assert len(strip.containers) == 3


def spans(axes) -> list[tuple[float, float]]:
    """Vertical stripes from left to right."""
    return sorted((p.get_x(), p.get_x() + p.get_width()) for p in axes.patches)


def test_merge_tree_joins_groups_at_their_times():
    time = times_at([0.4, 0.6, 0.5, 1.0])
    # An inversion: merge 2 joins what merge 1 made, at less noise.
    tree = speciation.MergeTree(np.array([3, 0, 6, 5]), np.array([1, 2, 4, 7]), time)
    axes: Any = merge_tree(tree, "abcde").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == list("abcde")
    height = {name: place for place, name in enumerate(names)}
    # Height of a group, from its members alone: the mean of its two parts.
    groups = ["d", "b"], ["a", "c"], [["a", "c"], "e"], [["d", "b"], [["a", "c"], "e"]]

    def middle(part: Any) -> float:
        if isinstance(part, str):
            return height[part]
        return sum(middle(each) for each in part) / 2

    arms = [line for line in axes.lines if line.get_marker() == "None"]
    bars = [line for line in arms if len(line.get_xdata()) == 4]
    assert len(bars) == 4
    for bar, group, when in zip(bars, groups, time.time, strict=True):
        np.testing.assert_array_equal(bar.get_xdata()[1:3], [when, when])
        assert list(bar.get_ydata()[1:3]) == [middle(part) for part in group]
    # No lines cross: the members of a group stand together.
    for members in ("bd", "ac", "ace"):
        places = sorted(height[name] for name in members)
        assert places[-1] - places[0] == len(members) - 1
    (dots,) = axes.containers
    np.testing.assert_array_equal(dots.lines[0].get_xdata(), time.time)


def test_merge_tree_of_many_classes_keeps_its_names_apart():
    figure = merge_tree(chain(40), [f"class {i}" for i in range(40)])
    axes: Any = figure.axes[0]
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == 40
    bottoms = sorted(box.y0 for box in boxes)
    # Type of 6.5 points has lines of about 8; 72 points make an inch.
    apart = np.diff(bottoms).min() * 72 / figure.dpi
    assert apart > 6.5


def test_merge_tree_without_a_merge_found_and_with_a_class_not_drawn():
    tree = speciation.MergeTree(
        np.array([0, 4]), np.array([3, 2]), times_at([0.5, 1.0], found=[False, True])
    )
    # Class 1 is in no merge.
    axes: Any = merge_tree(tree, CLASSES + ("d",)).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(["<b>&", "日本", "d"])
    first, second = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert set(first.get_xdata()) == {0.0}
    assert first.get_linestyle() == ":"
    assert second.get_linestyle() == "-"
    none = speciation.MergeTree(np.zeros(0, int), np.zeros(0, int), times_at([]))
    assert to_png(merge_tree(none, ["alone"])).startswith(b"\x89PNG")


def test_confusion_shows_the_matrices_of_the_named_times():
    matrix = np.random.default_rng(0).dirichlet(np.ones(3), (TIMES.size, 3))
    matrix[:, 1] = np.nan
    result = windows.Confusion(TIMES, matrix, 0 * matrix)
    figure = confusion(result, CLASSES, {"t_half": 1.01 * TIMES[5], "t_φ": TIMES[9]})
    panels: list[Any] = [axes for axes in figure.axes if axes.images]
    for axes, i in zip(panels, (5, 9), strict=True):
        np.testing.assert_array_equal(
            axes.images[0].get_array().filled(np.nan), matrix[i]
        )
        shown = [text.get_text() for text in axes.texts]
        # Row by row; of the class that was not drawn there is none.
        assert shown == [f"{value:.2f}" for value in matrix[i][[0, 2]].ravel()]
        assert "ends in" in axes.get_xlabel()
    assert "t_half" in panels[0].get_title()
    assert f"{TIMES[5]:.3g}" in panels[0].get_title()
    assert {"<b>&", "$x_{", "日本", "noised from"} <= set(texts(figure))


def test_confusion_of_many_classes_names_some():
    matrix = np.broadcast_to(np.eye(40), (TIMES.size, 40, 40))
    result = windows.Confusion(TIMES, matrix, matrix)
    axes = confusion(result, [f"class {i}" for i in range(40)], {"t": 0.1}).axes[0]
    assert not axes.texts
    assert 5 <= len(axes.get_xticks()) <= 12


@pytest.mark.parametrize(
    ("shape", "known"),
    [
        ((8, 8), True),
        ((8, 8, 3), True),
        ((8, 8, 1), True),
        ((8, 8, 2), False),
        ((64,), False),
        ((1, 64), False),
    ],
)
def test_which_points_are_images(shape, known):
    assert is_image(shape) == known


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_noised_images_follow_the_channel(shape):
    points = np.random.default_rng(1).normal(size=(2, np.prod(shape)))
    figure = noised_images(points, shape, {"t_half": 0.7, "never": 30.0}, "ab", seed=3)
    drawn: list[Any] = [axes.images[0].get_array() for axes in figure.axes]
    assert len(drawn) == 6
    # At t = 30 nothing but the row's one draw is left, and that is drawn at 0.7 too.
    noise = np.random.default_rng(3).normal(size=points.shape)
    alpha = np.exp(-0.7)
    for row in range(2):
        seen = [points[row], alpha * points[row] + np.sqrt(1 - alpha**2) * noise[row]]
        for values, picture in zip([*seen, noise[row]], drawn[3 * row :], strict=False):
            own = 255 * (values - values.min()) / np.ptp(values)
            np.testing.assert_allclose(np.ravel(picture), own, atol=0.51)
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "clean",
        "t_half\nt = 0.700",
    ]
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["a", "b"]


def test_noised_images_refuse_what_is_none_and_draw_a_flat_one_grey():
    with pytest.raises(ValueError, match=r"`shape` is \(6,\)"):
        noised_images(np.zeros((1, 6)), (6,), {}, "a")
    axes: Any = noised_images(np.zeros((1, 6)), (2, 3), {}, "a").axes[0]
    assert set(np.ravel(axes.images[0].get_array())) == {128}


def test_large_images_are_drawn_at_the_size_of_the_picture():
    points = np.random.default_rng(0).normal(size=(1, 256 * 256))
    assert len(to_svg(noised_images(points, (256, 256), {}, "a"))) < 60_000


MOVED = collapse.CollapseMovement(
    np.array([50, 100, 200]),
    times_at([0.6, 0.5, 0.4], 0.02, [True, True, False]),
    times_at([0.7, 0.6, 0.5], 0.0),
)


def test_movement_draws_times_against_n():
    axes: Any = movement(
        MOVED, times_at([0.9, 0.5, 0.2], found=[True, True, False]), 800.0
    ).axes[0]
    assert axes.get_xscale() == "log"
    measured, computed, change = axes.lines[0], axes.lines[-2], axes.lines[-1]
    np.testing.assert_array_equal(measured.get_xdata(), [50, 100])
    np.testing.assert_allclose(measured.get_ydata(), [0.6, 0.5])
    np.testing.assert_allclose(computed.get_ydata(), [0.7, 0.6, 0.5])
    assert list(change.get_xdata()) == [800.0, 800.0]
    low, high = axes.get_xlim()
    assert low < 50 < 800 < high
    (band,) = axes.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.5, 0.9))
    assert any("800" in text.get_text() for text in axes.texts)


def test_movement_leaves_a_far_change_of_order_out_of_view():
    axes: Any = movement(MOVED, lost(MOVED.t_half), 1e9).axes[0]
    assert axes.get_xlim()[1] < 1000
    assert not axes.patches


@pytest.mark.slow
def test_regimes_are_shaded_and_named(collapsed, agreed):
    half = float(collapsed.t_half.time)
    separation = times_at([half + 0.3, half + 0.1, 9.0], found=[True, True, False])
    axes: Any = regimes(collapsed, separation, agreed).axes[0]
    end = axes.get_xlim()[1]
    expected = [(0, half), (half, half + 0.3), (half + 0.3, end)]
    np.testing.assert_allclose(spans(axes), expected)
    assert [text.get_text().split()[0] for text in axes.texts] == ["III", "II", "I"]
    own, phi = curves(axes)
    np.testing.assert_array_equal(own.get_ydata(), collapsed.own_weight)
    np.testing.assert_array_equal(phi.get_ydata(), agreed.phi)


@pytest.mark.slow
def test_regime_two_is_absent_where_collapse_comes_first(collapsed):
    half = float(collapsed.t_half.time)
    axes: Any = regimes(collapsed, times_at(half / 2)).axes[0]
    assert [text.get_text().split()[0] for text in axes.texts] == ["III", "I"]
    np.testing.assert_allclose(spans(axes)[0], (0, half))
    nothing = dataclasses.replace(collapsed, t_half=lost(collapsed.t_half))
    axes = regimes(nothing, lost(times_at([0.5]))).axes[0]
    assert [text.get_text().split()[0] for text in axes.texts] == ["I"]


def test_information_shades_where_the_class_is_decided():
    nats = np.log(2) * np.exp(-TIMES)
    result = ClassInformation(
        low=times_at(0.05),
        high=times_at(2.0),
        entropy=np.asarray(np.log(2)),
        noise=TIMES,
        information=nats,
        stderr=0 * nats,
    )
    axes: Any = information(result).axes[0]
    np.testing.assert_allclose(spans(axes), [(0.05, 2.0)])
    np.testing.assert_array_equal(curves(axes)[0].get_ydata(), nats)
    levels = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"}
    assert levels == {0.95 * np.log(2), 0.05 * np.log(2)}
    half = dataclasses.replace(result, high=lost(result.high))
    axes = information(half).axes[0]
    assert not axes.patches
    assert len(axes.containers) == 1


def test_png_stands_on_white(law):
    picture = matplotlib.image.imread(
        BytesIO(to_png(spectrum(speciation.spectrum(law))))
    )
    np.testing.assert_array_equal(picture[0, 0], [1, 1, 1, 1])


def test_files_repeat_and_stand_on_the_right_ground(law):
    figure = spectrum(speciation.spectrum(law, 4))
    assert to_svg(figure) == to_svg(spectrum(speciation.spectrum(law, 4)))
    assert "<dc:date>" not in to_svg(figure)
    # The figure itself stays transparent after a PNG on white.
    to_png(figure)
    assert figure.patch.get_alpha() == 0


def test_a_curve_keeps_its_style_where_others_are_missing():
    place = np.array([1.0, 2.0])
    points = place, place, 0.1 * place
    names = "a", "b"
    both = [Series(name, points, style=i) for i, name in enumerate(names)]
    colors = lambda series: {
        bars.get_label(): bars[0].get_color()
        for bars in beside(series, "", "").axes[0].containers
    }
    assert colors(both) == colors([Series(name, points) for name in names])
    assert colors(both[1:])["b"] == colors(both)["b"] != colors(both)["a"]


@pytest.mark.parametrize("broken", [False, True])
def test_legend_of_branches_names_what_is_there(broken):
    time, held = np.arange(3.0), np.ones(3, bool)
    curves = [BranchCurve(time, 0 * time, held, True)]
    names = ["parent", "a minimum"]
    if broken:
        curves.append(BranchCurve(time, time, ~held, False))
        names = ["parent", "new minima", "a minimum", "unstable"]
    figure = branches([BranchPanel("", curves, [])], "", "")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [word.get_text() for word in legend.get_texts()] == names


def test_no_global_state(agreed):
    import matplotlib

    before = dict(matplotlib.rcParams)
    to_svg(agreement(agreed))
    assert dict(matplotlib.rcParams) == before


def test_importing_plots_does_not_load_matplotlib():
    code = "import jaxwin.plots, jaxwin.report, sys; print('matplotlib' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "False"
