"""Reversion of early fluctuations: theory's row, a run by hand, general labels."""

import jax.random as jr
import numpy as np
import pytest
from scipy.special import logit

from jaxwin.analysis import speciation
from jaxwin.analysis.symmetry import reversion
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import EDM, VariancePreserving
from jaxwin.targets import GaussianMixture

VP = VariancePreserving(0.1, 20.0)
TWO = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
SC = 0.2926416543281432
# Row C33, 40,000 pairs each: start, probability, its error.
ROW = np.array(
    [
        [0.2, 0.521, 0.003],
        [SC, 0.612, 0.002],
        [0.5, 0.840, 0.002],
        [0.6, 0.909, 0.001],
        [0.8, 0.977, 0.001],
        [1.0, 0.9961, 0.0003],
    ]
)


def clones(t):
    """phi(gamma) of two points."""
    r = np.exp(float(VP.log_snr(t)) / 2)
    return float(speciation.agreement(r))


def check_two_points(found, row, limit):
    start, expected, error = row.T
    error = np.hypot(error, found.same_noise_stderr)
    assert np.abs((found.same_noise - expected) / error).max() < limit
    assert np.abs((found.flow - 0.5) / found.flow_stderr).max() < limit
    exact = [clones(t) for t in start]
    # Where nothing is decided the soft labels hardly scatter.
    assert np.all(np.abs(found.clones - exact) < limit * found.clones_stderr + 1e-6)


@pytest.mark.slow
def test_two_points():
    row = ROW[[0, 1, 2, 5]]
    found = reversion(TWO, VP, row[:, 0], end=0.02, steps=250, num_replicas=4096)
    check_two_points(found, row, 4)
    assert found.chance == pytest.approx(0.5)
    assert found.count == 4096
    assert np.all(np.diff(found.same_noise) > 0)
    assert np.all(np.diff(found.clones) < 0)
    assert to_dataset(found)["same_noise"].dims == ("start",)
    assert to_json(found)["steps"] == 250


@pytest.mark.slow
@pytest.mark.long
def test_two_points_as_in_the_table():
    found = reversion(
        TWO, VP, ROW[:, 0], end=0.02, steps=1000, num_replicas=40_000, block_size=320
    )
    assert found.same_noise_stderr.max() < 0.0026
    check_two_points(found, ROW, 4)


def by_hand(p, half, variance, start, end, steps, pairs, seed):
    """Pairs of clusters on the line on the same noise, in numpy; and their flow."""
    generator = np.random.default_rng(seed)
    # Log-SNR in equal steps, read on the clock by its own formula.
    levels = lambda s: np.exp(-0.05 * s - 4.975 * s**2)
    snr = lambda s: 2 * np.log(levels(s)) - np.log1p(-(levels(s) ** 2))
    fine = np.linspace(end, start, 200_001)
    grid = np.linspace(snr(start), snr(end), steps + 1)
    times = np.interp(-grid, -snr(fine), fine)
    right = generator.random((2, pairs)) < p
    clean = np.where(right, half, -half)
    clean = clean + np.sqrt(variance) * generator.normal(size=clean.shape)
    alpha, sigma = levels(start), np.sqrt(1 - levels(start) ** 2)
    x = alpha * clean + sigma * generator.normal(size=clean.shape)

    def slope(x, s):
        a = levels(s)
        v = 1 - a**2 + a**2 * variance
        return (a * half * np.tanh(a * half * x / v + logit(p) / 2) - x) / v

    for t, s in zip(times[:-1], times[1:], strict=True):
        beta, h = 0.1 + 19.9 * t, t - s
        noise = np.sqrt(beta * h) * generator.normal(size=pairs)
        x = x + h * beta * (x / 2 + slope(x, t)) + noise[None]
    a = levels(end)
    side = a * half * x / (1 - a**2 + a**2 * variance) + logit(p) / 2 > 0
    return np.mean(side[0] == side[1])


@pytest.mark.slow
def test_unequal_clusters_against_a_run_by_hand():
    p, half, variance = 0.7, 1.2, 0.05
    law = GaussianMixture.isotropic([[half], [-half]], variance, [p, 1 - p])
    starts, end, steps, pairs = [0.25, 0.45, 0.7], 0.05, 200, 20_000
    found = reversion(law, VP, starts, end=end, steps=steps, num_replicas=4096)
    for i, start in enumerate(starts):
        expected = by_hand(p, half, variance, start, end, steps, pairs, i)
        error = np.hypot(
            found.same_noise_stderr[i], np.sqrt(expected * (1 - expected) / pairs)
        )
        assert abs(found.same_noise[i] - expected) < 4 * error
    assert found.chance == pytest.approx(p**2 + (1 - p) ** 2)
    assert np.abs((found.flow - found.chance) / found.flow_stderr).max() < 4


@pytest.mark.slow
def test_labels_of_several_components_on_an_exploding_clock():
    """Three classes of five clusters in the plane: chance late, reverted early."""
    means = np.array([[6.0, 0.0], [6.5, 1.0], [-5.0, 4.0], [-5.5, 3.0], [-2.0, -6.0]])
    law = GaussianMixture.isotropic(
        means, 0.1, [0.2, 0.2, 0.25, 0.05, 0.3], labels=[0, 0, 1, 1, 2]
    )
    found = reversion(
        law, EDM(), [0.5, 60.0], end=0.1, steps=300, num_replicas=2048, key=jr.key(2)
    )
    assert found.chance == pytest.approx(0.16 + 0.09 + 0.09)
    late, early = zip(found.same_noise, found.flow, found.clones, strict=True)
    error = found.same_noise_stderr[0]
    # So near to the data each run stays with its class.
    assert abs(late[0] - found.chance) < 4 * error
    assert late[2] > 0.9999
    assert early[0] > 0.9
    assert abs(early[1] - found.chance) < 4 * found.flow_stderr[1]


@pytest.mark.slow
def test_a_denoiser_drives_the_runs():
    """One that knows a single cluster undoes all differences; labels stay the law's."""
    one = GaussianMixture.isotropic([[1.0]], 0.0)
    found = reversion(
        TWO, VP, [0.5], end=0.05, steps=100, denoiser=one, num_replicas=256
    )
    assert found.same_noise[0] == 1
    assert found.flow[0] == 1
    exact = clones(0.5)
    assert abs(found.clones[0] - exact) < 4 * found.clones_stderr[0] + 1e-6


def test_bad_starts():
    for starts in ([0.5, 0.4], [0.01, 0.4], []):
        with pytest.raises(ValueError, match="above `end`"):
            reversion(TWO, VP, starts, end=0.02)
    with pytest.raises(ValueError, match="clock"):
        reversion(TWO, VP, [0.5, 1.2], end=0.02)
    with pytest.raises(ValueError, match="steps"):
        reversion(TWO, VP, [0.5], end=0.02, steps=0)
