"""Entries about random hierarchies: reference numbers, slopes, thresholds, figures."""

import json
import re

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from rich.console import Console

from jaxwin.analysis import hierarchy
from jaxwin.analysis._crossing import exact
from jaxwin.io import save
from jaxwin.plots import to_png
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce import _deep_thresholds, _depths, _levels, _time_scale
from jaxwin.report.reproduce._deep_thresholds_measured import (
    clocks,
    diagram,
    naive_threshold,
)
from jaxwin.report.reproduce._depths_measured import Depths, line, mean_width
from jaxwin.report.reproduce._rhm import tree
from jaxwin.report.reproduce._time_scale_measured import control

ENTRIES = [m.ENTRY for m in (_levels, _deep_thresholds, _depths, _time_scale)]


@pytest.fixture(scope="module")
def studies():
    """Quick studies by name, each made once, where it is first asked for."""
    made = {}

    def of(module):
        name = module.ENTRY.name
        if name not in made:
            made[name] = module.ENTRY.make(Measuring(quick=True))
        return made[name]

    return of


def as_text(table) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_entries_say_what_they_are():
    assert [entry.name for entry in ENTRIES] == [
        "hierarchy-levels",
        "hierarchy-thresholds",
        "hierarchy-scaling",
        "hierarchy-time-scale",
    ]
    for entry in ENTRIES:
        assert entry.source.startswith("arXiv:2402.16991")
        assert entry.published == "none available"


def test_phase_diagram_is_that_of_the_closed_form():
    """Printed values of eps* at s = 2, and p* = (m - 1) / (v - m) for m between."""
    found = diagram()
    printed = {
        8: {2: 0.952380952, 3: 0.685714286},
        16: {4: 0.8},
        32: {4: 0.921658986, 8: 0.731182796, 12: 0.464516129, 16: 0.064516129},
    }
    for v, rules, noise in zip(found.symbols, found.rules, found.noise, strict=True):
        p = (rules - 1) / (v - rules)
        np.testing.assert_allclose(noise, (1 - p) / (1 - 1 / v), rtol=1e-9, atol=1e-12)
        for m, value in printed[int(v)].items():
            assert np.interp(m, rules, noise) == pytest.approx(value, abs=2e-4)
            told = _deep_thresholds._line(int(v), found)["noise"][str(m)]
            assert told == pytest.approx(value, abs=1e-9)
    # At the limits all noise or none keeps the class.
    np.testing.assert_allclose(found.noise[:, 0], 1, atol=1e-5)
    np.testing.assert_allclose(found.noise[:, -1], 0, atol=1e-5)
    np.testing.assert_allclose(found.last, [4.5, 8.5, 16.5])
    assert list(_deep_thresholds._line(32, found)["noise"]) == [
        str(m) for m in range(2, 17)
    ]


@pytest.mark.slow
def test_naive_thresholds_match_the_mean_belief():
    """Against the printed SNRs, and against beliefs drawn leaf by leaf."""
    printed = {(32, 8): 3.564, (16, 4): 2.045, (8, 2): 0.354, (8, 3): 2.141}
    for (v, m), value in printed.items():
        found = naive_threshold("gaussian", tree(v, m, 2, 4))
        assert found == pytest.approx(value, abs=6e-4)
    sizes = tree(16, 4, 2, 4)
    leaves = {
        "eps_belief": hierarchy.EpsBeliefLeaves(16),
        "gaussian": hierarchy.GaussianLeaves(16),
        "masking": hierarchy.MaskedLeaves(16),
        "uniform": hierarchy.CorruptedLeaves(16),
    }
    for name, leaf in leaves.items():
        noise = jnp.asarray(naive_threshold(name, sizes))
        belief = leaf(jr.key(3), noise, 40_000)[:, 0]
        error = float(belief.std()) / 200
        # p* = (m - 1) / (v - m) = 1 / 4.
        assert abs(float(belief.mean()) - 0.25) < 4.5 * error + 1e-12


def test_clocks_are_those_of_the_theory():
    """SNR 6.75 and the naive 3.564 of v = 32, m = 8, s = 2."""
    told = clocks(exact(jnp.asarray(6.75), True, 0.05), 3.564)
    printed = {
        "snr": (6.75, 3.564, 1.8939),
        "alpha_bar": (0.8710, 0.7809, 1.1154),
        "ou_time": (0.0691, 0.1237, 1.790),
    }
    for name, (deep, naive, factor) in printed.items():
        assert told[name]["value"] == pytest.approx(deep, abs=6e-5)
        assert told[name]["naive"] == pytest.approx(naive, abs=6e-5)
        assert told[name]["factor"] == pytest.approx(factor, abs=1e-3)
    assert round(told["ddpm_linear"]["value"]) == 112
    assert round(told["ddpm_linear"]["naive"]) == 152
    assert told["ou_time"]["stderr"] == pytest.approx(0.05 / (2 * 6.75 * 7.75))


def test_lines_are_least_squares():
    """A line without scatter, and the textbook error of a slope."""
    depth = np.array([3, 4, 5, 6])
    found = line(depth, 1.0 - 0.3 * depth, np.full(4, 0.1))
    assert found.value == pytest.approx(-0.3)
    assert found.stderr == pytest.approx(0.1 / np.sqrt(5))
    assert found.misfit == pytest.approx(0, abs=1e-20)
    bent = line(depth, np.array([0.0, 0.1, -0.1, 0.0]), np.full(4, 0.1))
    assert bent.misfit == pytest.approx(0.9)


def test_widths_are_those_of_single_tables():
    """Ends that shift together from table to table leave the width as it is."""
    early, late = np.array([0.6, 0.65]), np.array([0.71, 0.74])
    np.testing.assert_allclose(mean_width(early, late), (0.1, 0.01))


def test_slopes_are_those_of_logarithms():
    """Of a width and a chi that are powers of the size of the tree."""
    depth, flat = np.arange(3, 7), np.full(4, 1e-3)
    width, chi = np.exp(-0.3 * depth), 2.0 ** (0.25 * depth)
    none = np.zeros((4, 1))
    numbers = {
        **{"width": width, "width_stderr": flat, "width_mean_field": 2 * width},
        **{"chi": chi, "chi_stderr": flat, "chi_mean_field": chi**2},
    }
    curves = {"noise": none, "excess": none, "excess_stderr": none}
    found = Depths(depth=depth, scaled=np.zeros(1), **curves, **numbers)
    told = _depths._slopes(found, "width", 1.0)
    assert told["measured"]["value"] == pytest.approx(-0.3)
    assert told["mean_field"] == pytest.approx(-0.3)
    told = _depths._slopes(found, "chi", np.log(2))
    assert told["measured"]["value"] == pytest.approx(0.25)
    assert told["mean_field"] == pytest.approx(0.5)


def test_field_is_a_power_of_the_scale():
    """A mode is half back at SNR 1 / lambda_k, the longest one at most noise."""
    found = control()
    assert found.exponent == pytest.approx(-1, abs=0.03)
    spectrum = np.asarray(hierarchy.ring_spectrum(4096))
    assert found.snr[0] == pytest.approx(1 / spectrum[1])
    assert found.snr[1] == pytest.approx(1 / spectrum[2])
    assert np.all(np.diff(found.snr) > 0)
    # A thousand times the length, a thousand times the noise.
    assert found.snr[10] / found.snr[0] > 500


@pytest.mark.slow
@pytest.mark.long
def test_levels(studies):
    """The class of v = 16, m = 4, s = 2, L = 6 against another program."""
    summary = studies(_levels).summary
    points = {point["noise"]: point for point in summary["eps_belief"]["points"]}
    # Of an independent implementation: value, its error, mean field.
    printed = {
        0.4: (0.9890, 0.0005, 0.9886),
        0.6: (0.9514, 0.0013, 0.9477),
        0.7: (0.8338, 0.0026, 0.8235),
        0.8: (0.2685, 0.0027, 0.2500),
        0.9: (0.0682, 0.0001, 0.0679),
    }
    for noise, (value, error, mean) in printed.items():
        found = points[noise]["class"]
        assert abs(found["value"] - value) < 4 * np.hypot(error, found["stderr"])
        assert found["mean_field"] == pytest.approx(mean, abs=6e-5)
        assert found["sampling_stderr"] < 0.012
        # The mean field is low, and most near eps*.
        off = found["off_percent"]
        assert off == pytest.approx(100 * (mean / found["value"] - 1), abs=0.1)
    assert -20 < points[0.8]["class"]["off_percent"] < -3
    assert -5 < points[0.8]["leaves"]["off_percent"] < 5
    snrs = {round(p["snr"], 6): p["class"] for p in summary["gaussian"]["points"]}
    printed = {1: 0.0655, 2: 0.0918, 3: 0.241, 4: 0.541, 6: 0.910}
    for snr, value in printed.items():
        found = snrs[snr]
        assert abs(found["value"] - value) < 4 * np.hypot(0.01, found["stderr"])
    assert summary["transition"]["noise"] == pytest.approx(0.8)
    assert summary["gaussian"]["naive_snr"] == pytest.approx(2.045, abs=6e-4)
    assert 1.5 < summary["gaussian"]["factor"] < 2.1
    halves = [one["half"]["value"] for one in summary["gaussian"]["levels"]]
    assert halves == sorted(halves, reverse=True)
    for one in summary["eps_belief"]["levels"]:
        half, mean = one["half"], one["half_mean_field"]
        assert abs(half["value"] - mean["value"]) < 0.012


@pytest.mark.slow
@pytest.mark.long
def test_thresholds_of_deep_trees(studies):
    """Of 16/4/2, against other populations."""
    summary = studies(_deep_thresholds).summary
    printed = {"eps_belief": 0.8, "gaussian": 3.60, "masking": 0.521, "uniform": 0.301}
    for name, value in printed.items():
        told = summary["thresholds"][name]
        # Printed from one population each, but for the closed form.
        error = np.hypot(told["deep"]["stderr"], 0.015 * value)
        assert abs(told["deep"]["value"] - value) < 3 * error
        naive = {"eps_belief": 1.0, "gaussian": 1.75, "masking": 1.54, "uniform": 1.84}
        assert told["factor"] == pytest.approx(naive[name], rel=0.08)
    # Of 32/8/2, as test_density_evolution.py finds them: further from the naive ones.
    other = tree(32, 8, 2, 10)
    assert 1.5 < 6.75 / naive_threshold("gaussian", other) < 2
    for name, value in {"masking": 0.272, "uniform": 0.156}.items():
        assert naive_threshold(name, other) / value > 2.5
    # Finite trees lose their class at less noise, and come nearer.
    deep = summary["thresholds"]["gaussian"]["deep"]["value"]
    half = [one["value"] for one in summary["half_lost"]["gaussian"]]
    assert half[0] > half[-1] > deep
    assert half[-1] - deep < 0.75 * (half[0] - deep)


@pytest.mark.slow
@pytest.mark.long
def test_scaling_with_depth(studies):
    """Widths and chi grow with depth as the mean field says, without a parameter."""
    summary = studies(_depths).summary
    slope, chi = summary["width_slope"], summary["chi_exponent"]
    # F'(p*) = 1.36 and nu = 2.254249 of v = 16, m = 4, s = 2.
    assert slope["predicted"] == pytest.approx(-np.log(1.36), abs=1e-6)
    assert chi["predicted"] == pytest.approx(2 / 2.254249 - 1, abs=1e-6)
    assert not chi["diverges"]
    for one in (slope, chi):
        apart = one["measured"]["value"] - one["mean_field"]
        assert abs(apart) < 4 * one["measured"]["stderr"]
        assert one["measured"]["misfit"] < 5
    # The width of all these depths, which is not yet that of deep trees.
    assert slope["mean_field"] == pytest.approx(-0.349, abs=0.004)
    printed = {3: 0.2117600, 4: 0.1493003, 5: 0.1051205, 6: 0.0743809}
    for one in summary["depths"]:
        width, growth = one["width"], one["chi"]
        assert width["mean_field"] == pytest.approx(printed[one["depth"]], abs=1e-6)
        assert width["value"] == pytest.approx(width["mean_field"], rel=0.09)
        assert growth["value"] == pytest.approx(growth["mean_field"], rel=0.15)
    assert summary["depths"][1]["chi"]["mean_field"] == pytest.approx(2.64, abs=6e-3)
    assert summary["collapse"]["deepest"] < 0.05
    assert summary["collapse"]["all"] < 0.12


@pytest.mark.slow
@pytest.mark.long
def test_scales_of_a_hierarchy_and_of_a_field(studies):
    """The tree's noise hardly depends on scale, the field's is its inverse."""
    summary = studies(_time_scale).summary
    assert summary["control"]["exponent"] == pytest.approx(-1, abs=0.03)
    for name, told in summary["channels"].items():
        assert abs(told["exponent"]) < 0.2
        scales = [one["scale"] for one in told["levels"]]
        assert scales == [2.0**height for height in range(6, -1, -1)]
        halves = np.array([one["half"]["value"] for one in told["levels"]])
        # Larger scales are lost first, on SNR and on fractions of noise.
        assert np.all(np.diff(halves) < 0) == (name == "gaussian")
        assert np.all(np.diff(halves) > 0) == (name != "gaussian")
        # The noise of deep trees lies among those of the levels.
        assert halves.min() < told["deep"]["value"] < halves.max()


@pytest.mark.slow
def test_entries_are_complete(studies, tmp_path):
    for module in (_levels, _deep_thresholds, _depths, _time_scale):
        study = studies(module)
        json.dumps(study.summary, allow_nan=False)
        save(study.results, tmp_path / f"{study.title}.nc")
        assert study.title == module.ENTRY.name
        assert re.search(r"\(\d+\)", as_text(study.table))
        for figure in study.figures.values():
            assert to_png(figure).startswith(b"\x89PNG")
        assert study.largest_error > 0
        assert study.count > 0
