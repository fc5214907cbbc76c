import dataclasses
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis import collapse, speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.plots import (
    agreement,
    collapse as draw_collapse,
    pair_times,
    spectrum,
    to_png,
    to_svg,
)
from jaxwin.targets import Empirical

CLASSES = ("<b>&", "$x_{", "日本")
TIMES = np.geomspace(0.01, 3, 24)


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


def unreached(crossing):
    """The same crossing as one that was not found."""
    nan = jnp.full_like(crossing.time, jnp.nan)
    return dataclasses.replace(
        crossing, time=nan, stderr=nan, found=jnp.zeros_like(crossing.found)
    )


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


def test_agreement_marks_its_crossing_only_where_found(agreed):
    dots = lambda figure: len(figure.axes[0].containers)
    assert dots(agreement(agreed)) == 1
    lost = dataclasses.replace(agreed, crossing=unreached(agreed.crossing), pairs=None)
    assert dots(agreement(lost)) == 0
    assert len(curves(agreement(lost).axes[0])) == 1


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
    drawn = np.asarray(axes.collections[0].get_array().filled(np.nan))
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
    lost = dataclasses.replace(
        crossing,
        time=crossing.time.at[1].set(jnp.nan),
        found=crossing.found.at[1].set(False),
    )
    figure = pair_times(dataclasses.replace(agreed.pairs, crossing=lost), CLASSES)
    assert [text.get_text() for text in figure.axes[0].texts][1] == "–"
    none = dataclasses.replace(agreed.pairs, crossing=unreached(crossing))
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


def test_collapse_says_what_is_not_reached(collapsed):
    lost = dataclasses.replace(collapsed, t_half=unreached(collapsed.t_half))
    strip = draw_collapse(lost).axes[0]
    assert [text.get_text() for text in strip.texts][0] == "not reached"
    assert len(strip.containers) == 3


def test_files_repeat_and_stand_on_the_right_ground(law):
    figure = spectrum(speciation.spectrum(law, 4))
    assert to_svg(figure) == to_svg(spectrum(speciation.spectrum(law, 4)))
    assert "<dc:date>" not in to_svg(figure)
    # The figure itself stays transparent after a PNG on white.
    to_png(figure)
    assert figure.patch.get_alpha() == 0


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
