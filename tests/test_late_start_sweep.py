"""Few steps from late starts: the C20 problem, costs, and gains with errors."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import late_start
from jaxwin.execution._block import _round
from jaxwin.io import to_dataset
from jaxwin.processes import DiscreteDDPM, VariancePreserving
from jaxwin.samplers import DDIM, PNDM, DPMSolverPP
from jaxwin.targets import GaussianMixture

TABLE = DiscreteDDPM()
CLOCK = VariancePreserving(0.1, 20.0)
STARTS = [200, 300, 400, 500, 600, 800]
# theory/symmetry_and_clocks.md, the C20 test problem, T = 800 ... 200.
PRINTED = {
    ("DDIM", 3, "vanilla"): "0.831 0.370 0.358 0.626 1.127 1.691",
    ("DDIM", 3, "gaussian"): "0.863 0.435 0.274 0.178 0.117 0.069",
    ("DDIM", 5, "vanilla"): "0.191 0.159 0.292 0.612 1.115 1.702",
    ("DDIM", 5, "gaussian"): "0.211 0.130 0.096 0.066 0.044 0.027",
    ("DDPM", 3, "vanilla"): "0.957 0.525 0.303 0.502 1.089 1.720",
    ("DDPM", 3, "gaussian"): "0.960 0.630 0.389 0.221 0.140 0.088",
    ("DDPM", 10, "vanilla"): "0.090 0.051 0.104 0.393 0.980 1.659",
    ("DDPM", 10, "gaussian"): "0.095 0.062 0.046 0.031 0.023 0.019",
}
SAMPLERS = {"DDIM": DDIM(), "DDPM": DDIM(1.0)}


def problem():
    """Four modes in eight dimensions."""
    centre = np.zeros(8)
    centre[:2] = 0.5, -0.3
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    means = centre + np.pad(signs * [2.0, 0.5], ((0, 0), (0, 6)))
    return GaussianMixture.isotropic(means, 0.04, [0.4, 0.3, 0.2, 0.1])


def small(law, starts, **options):
    """Three steps of DDIM, no more samples than a program needs."""
    fixed: Any = {"num_samples": 32, "replicates": 2, "batch": 32}
    fixed |= {"metrics": ("weights",)} | options
    return late_start.sweep(law, TABLE, DDIM(), 3, starts, **fixed)


def agrees(found, printed, num_samples):
    """5 % and 3 combined standard errors and half the last digit, at every entry."""
    expected = np.array(printed.split(), float)[::-1]
    # The printed ones come from 200,000 samples, ours from all replicates.
    one = found.measured("frechet").replicate.std(axis=0, ddof=1) * np.sqrt(
        num_samples / 200_000
    )
    error = np.hypot(found.measured("frechet").stderr, one)
    return (
        np.abs(found.measured("frechet").value - expected)
        <= 0.05 * expected + 3 * error + 5e-4
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("name", "steps", "kind"), PRINTED)
def test_printed_table(name, steps, kind):
    found = late_start.sweep(
        problem(),
        TABLE,
        SAMPLERS[name],
        steps,
        STARTS,
        kind=kind,
        num_samples=20_000,
        replicates=4,
        metrics=("frechet",),
        batch=1000,
    )
    assert found.num_samples == 20_000
    assert np.all(agrees(found, PRINTED[name, steps, kind], 20_000))


@pytest.mark.slow
@pytest.mark.long
def test_short_table_costs_and_gain():
    law, both = problem(), []
    for kind in ("vanilla", "gaussian"):
        found = late_start.sweep(
            law, TABLE, DDIM(), 5, STARTS, kind=kind, num_samples=4000, replicates=8,
            batch=1000, metrics=("frechet", "weights"),
        )  # fmt: skip
        assert np.all(agrees(found, PRINTED["DDIM", 5, kind], 4000))
        assert found.evaluations == 5
        both.append(found)
    # Best over starts: 0.159 / 0.027 is printed.
    gain = late_start.gain(*both)
    assert abs(gain.value - 5.9) < 3 * gain.stderr + 0.05 * 5.9
    assert (gain.vanilla.start, gain.gaussian.start) == (600, 200)
    assert gain.gaussian.at_end
    assert gain.resolved
    assert 0 < gain.stderr < 0.3
    # The weights have an optimum inside, the Frechet distance has none.
    weights = late_start.best(both[1], "weight_divergence")
    assert weights.start in (300, 400)
    assert not weights.at_end
    assert to_dataset(both[0])["frechet.value"].dims == ("start",)


@pytest.mark.slow
def test_gaussian_law_is_exact_in_closed_form():
    # One Gaussian: DDIM is linear, x_0 = prod of gains: no Monte Carlo but the start's.
    variance, n, start = 0.3, 4, 0.7
    law = GaussianMixture.isotropic([[1.0, -0.5]], variance)
    found = late_start.sweep(
        law, CLOCK, DDIM(), n, [start], num_samples=20_000, replicates=4,
        metrics=("frechet",), batch=1000,
    )  # fmt: skip
    times = [*np.linspace(start, 1e-3, n), 0.0]
    alphas, sigmas = (np.asarray(v) for v in CLOCK.levels(jnp.asarray(times)))
    spread = 1.0
    for i in range(n):
        v = alphas[i] ** 2 * variance + sigmas[i] ** 2
        if i == 0:
            spread = np.sqrt(v)
        gain = alphas[i] * variance / v  # of the posterior mean
        kept = sigmas[i + 1] / sigmas[i]
        spread *= kept + (alphas[i + 1] - kept * alphas[i]) * gain
    expected = 2 * (spread - np.sqrt(variance)) ** 2
    error = found.measured("frechet").stderr[0]
    assert (
        abs(found.measured("frechet").value[0] - expected)
        < 4 * error + 2 * variance / 20_000
    )
    assert error < 0.05 * expected


@pytest.mark.slow
@pytest.mark.long
def test_cost_of_pndm_with_its_warm_up():
    found = late_start.sweep(
        problem(), TABLE, PNDM(), 3, [400], last="step", num_samples=64,
        replicates=2, batch=32, metrics=("weights",),
    )  # fmt: skip
    assert found.evaluations == 12
    assert found.measured("weight_error").value[0] < 0.2


def test_costs_without_running():
    grids = late_start.start_grids(TABLE, [200, 500], 5)
    np.testing.assert_array_equal(
        grids, [[200, 150, 100, 50, 0], [500, 375, 250, 125, 0]]
    )
    ten = late_start.start_grids(TABLE, [500], 10)[0]
    np.testing.assert_array_equal(ten[::-1], np.linspace(0, 500, 10).astype(int))
    end = late_start.start_grids(TABLE, [500], 3, last="step")[0]
    np.testing.assert_allclose(end, [500, 250, 0, -0.999])
    for n, count in ((3, 12), (5, 14), (10, 19)):
        assert PNDM().evaluations(n) == count
        assert DPMSolverPP(2).evaluations(n - 1) + 1 == n


@pytest.mark.slow
def test_new_values_do_not_recompile():
    law, inner = problem(), _round
    cached: Any = getattr(inner, "_cached")._cache_size  # noqa: B009
    first = small(law, [300, 500])
    compiled = cached()
    moved = dataclasses.replace(law, means=law.means + 0.1)
    second = small(moved, [310, 480], key=jr.key(1))
    assert cached() == compiled
    values = [one.measured("weight_error").value for one in (first, second)]
    assert not np.array_equal(values[0], values[1])
    # Runs of another cost are no gain.
    dearer = dataclasses.replace(first, evaluations=4)
    with pytest.raises(ValueError, match="evaluations"):
        late_start.gain(dearer, first, metric="weight_error")


@pytest.mark.slow
@pytest.mark.long
def test_energy_sees_misplaced_weight_and_width():
    law, starts = problem(), [450]
    options: Any = {"num_samples": 512, "replicates": 4, "metrics": ("energy",)}
    good = late_start.sweep(law, TABLE, DDIM(), 10, starts, **options)
    bad = late_start.sweep(law, TABLE, DDIM(), 10, starts, kind="vanilla", **options)
    assert bad.measured("energy").value[0] > 5 * abs(good.measured("energy").value[0])
    with pytest.raises(ValueError, match="`metric` is 'frechet'"):
        late_start.best(good)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_steps": 0}, "`num_steps` is 0"),
        ({"starts": [1200]}, "holds 1200"),
        ({"starts": [500, 400]}, "increasing"),
        ({"starts": [3], "num_steps": 10}, "no room for 10"),
        ({"kind": "warm"}, "`start` is 'warm'"),
        ({"metrics": ("fid",)}, "fid"),
        ({"replicates": 1}, "`replicates` is 1"),
        ({"batch": 33}, "`batch` is 33"),
        ({"last": "never"}, "`last` is 'never'"),
        ({"first": -1.0}, "`first` is -1"),
    ],
)
def test_what_is_refused(change, match):
    options: dict[str, Any] = {"num_steps": 3, "starts": [400]} | change
    steps, starts = options.pop("num_steps"), options.pop("starts")
    with pytest.raises(ValueError, match=match):
        late_start.sweep(problem(), TABLE, DDIM(), steps, starts, **options)


@pytest.mark.slow
@pytest.mark.long
def test_automatic_start_beside_a_sweep():
    means = np.stack([np.ones(4), -np.ones(4)]) / 2
    law = GaussianMixture.isotropic(means, 0.02, [0.8, 0.2])
    found = late_start.agreement(
        law, TABLE, DDIM(), 10, [99, 149, 224, 299, 399], num_samples=2048,
        choice={"times": np.arange(49.0, 999, 25)},
    )  # fmt: skip
    # The bound holds at the next whole index, and the elbow is far from it.
    assert found.automatic.time == pytest.approx(187.6, abs=0.5)
    assert 188 in found.sweep.start
    assert found.resolved
    assert float(found.ratio) < 1.1
    assert found.automatic.variation_bound[-1] < 1e-6
