"""Traps: onset and basins against printed points, scipy, the model and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slopes import assert_printed, assert_slopes, root_of

from jaxwin.analysis import collapse
from jaxwin.analysis.collapse import RandomEnergy

onset_time = jax.jit(collapse.onset_time)
basin_radius = jax.jit(collapse.basin_radius)
gaussian_onset_time = jax.jit(collapse.gaussian_onset_time)
free_energy = jax.jit(RandomEnergy.free_energy)


def test_onset_at_reference_points():
    for rate, collapsed, onset in (
        (0.01, "1.961003", "2.303839"),
        (0.1, "0.853886", "1.164162"),
        (0.25, "0.466376", "0.726749"),
        (0.5, "0.229338", "0.418674"),
        (1.0, "0.072707", "0.163187"),
    ):
        assert_printed(collapse.leading_time(rate, 1.0), collapsed)
        assert_printed(onset_time(rate, 1.0).time, onset)
    rate = np.log(20_000) / 32
    assert_printed(collapse.leading_time(rate, 1.0), "0.386637")
    assert_printed(onset_time(rate, 1.0).time, "0.628735")


@pytest.mark.parametrize("rate", [1e-9, 1e-3, 0.3, 4.0, 30.0])
@pytest.mark.parametrize("variance", [1e-4, 1.0, 7.0])
def test_onset_against_scipy(rate, variance):
    gap = lambda x: 0.5 * (np.log1p(np.exp(x)) + 1 / (1 + np.exp(-x))) - rate
    spread = np.exp(root_of(gap, -60, 100))
    expected = 0.5 * np.log1p(variance / spread)
    np.testing.assert_allclose(
        onset_time(rate, variance).time, expected, rtol=1e-9, atol=1e-300
    )


def test_onset_of_a_spectrum():
    eigenvalues = np.array([4.0, 1.0, 1.0, 0.2, 0.0])

    def gap(t):
        spread = eigenvalues / np.expm1(2 * t)
        return 0.5 * np.sum(np.log1p(spread) + spread / (1 + spread)) - np.log(50)

    found = gaussian_onset_time(jnp.asarray(eigenvalues), 50)
    np.testing.assert_allclose(found.time, root_of(gap, 1e-4, 9), rtol=1e-9)
    assert float(found.time) > float(
        collapse.gaussian_time(jnp.asarray(eigenvalues), 50).time
    )
    same = gaussian_onset_time(jnp.full(40, 1.7), 3000)
    expected = onset_time(np.log(3000) / 40, 1.7).time
    np.testing.assert_allclose(same.time, expected, rtol=1e-10)
    assert not bool(gaussian_onset_time(jnp.zeros(3), 50).found)


# Basins


def reference_radius(time: float, rate: float, variance: float) -> float:
    """Where a ball around the centre weighs as much as the rest, in the model."""
    spread = variance / np.expm1(2 * time)

    def gap(square):
        model = RandomEnergy(jnp.asarray(spread), jnp.asarray(spread + square))
        return -0.5 * square - float(free_energy(model, rate))

    return np.sqrt(root_of(gap, 1e-12, 1e4)) if gap(1e-12) > 0 else 0.0


@pytest.mark.parametrize(("rate", "variance"), [(0.1, 1.0), (0.5, 1.0), (0.8, 4.0)])
def test_basins_are_those_of_the_model(rate, variance):
    # Before collapse, between collapse and onset, after: both phases of the others.
    begin = float(collapse.leading_time(rate, np.sqrt(variance)))
    end = float(onset_time(rate, variance).time)
    for time in (0.2 * begin, 0.8 * begin, 0.5 * (begin + end), 1.2 * end):
        expected = reference_radius(time, rate, variance)
        found = basin_radius(time, rate, variance)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    between = 0.5 * (begin + end)
    spread = variance / np.expm1(2 * between)
    margin = 0.5 * np.log1p(spread) - rate
    square = 1 + 2 * (1 + spread) / spread * margin
    np.testing.assert_allclose(
        basin_radius(between, rate, variance) ** 2, square, rtol=1e-12
    )
    np.testing.assert_allclose(basin_radius(begin, rate, variance), 1, rtol=1e-9)
    assert float(basin_radius(end * (1 + 1e-9), rate, variance)) == 0
    assert 0 < float(basin_radius(end * (1 - 1e-6), rate, variance)) < 0.01


def weights(n: int, d: int, time: float, square: float, count: int) -> np.ndarray:
    """Own weights at rho^2 = `square` from images of fresh standard Gaussian points."""
    rng = np.random.default_rng(0)
    snr, found = 1 / np.expm1(2 * time), []
    for _ in range(count):
        points = rng.normal(size=(n, d))
        noise = rng.normal(size=(8, d))
        noise *= np.sqrt(square * d) / np.linalg.norm(noise, axis=1, keepdims=True)
        # In units of the noise, the first eight points in turn.
        x = np.sqrt(snr) * points[:8] + noise
        rest = 0.5 * np.sum(x**2, axis=1)[:, None] - np.sqrt(snr) * x @ points.T
        rest = rest + 0.5 * snr * np.sum(points**2, axis=1)[None]
        own = rest[np.arange(8), np.arange(8)]
        found.append(1 / np.sum(np.exp(own[:, None] - rest), axis=1))
    return np.concatenate(found)


def test_own_weight_at_the_centre_of_a_few_points():
    # Averaged over the others alone, log(weight of the rest) is linear in |a|^2.
    n, d = 3000, 24
    rate = np.log(n) / d
    onset = float(onset_time(rate, 1.0).time)
    square = np.random.default_rng(1).chisquare(d, 200_000)
    for share in (0.8, 1.0, 1.3):
        spread = 1 / np.expm1(2 * share * onset)
        log_rest = np.log(n - 1) - 0.5 * d * np.log1p(spread)
        log_rest = log_rest - 0.5 * square * spread / (1 + spread)
        expected = np.mean(1 / (1 + np.exp(log_rest)))
        drawn = weights(n, d, share * onset, 0.0, 40)
        error = drawn.std() / np.sqrt(drawn.size)
        assert abs(drawn.mean() - expected) < 4 * error + 0.01
    # Below t_C the form for above it would end within the basin.
    early = 0.5 * float(collapse.leading_time(rate, 1.0))
    radius, spread = float(basin_radius(early, rate, 1.0)), 1 / np.expm1(2 * early)
    annealed = 1 + 2 * (0.5 * np.log1p(spread) - rate) * (1 + 1 / spread)
    assert np.sqrt(annealed) < 0.97 * radius
    assert weights(n, d, early, (0.97 * radius) ** 2, 20).mean() > 0.5
    assert weights(n, d, early, (1.25 * radius) ** 2, 20).mean() < 0.5


@pytest.mark.slow
def test_own_weight_at_full_size():
    n, d = 20_000, 32
    rate = np.log(n) / d
    begin = float(collapse.leading_time(rate, 1.0))
    end = float(onset_time(rate, 1.0).time)
    for time, expected in ((begin, 0.9977), (end, 0.4838), (1.2 * end, 0.1067)):
        drawn = weights(n, d, time, 0.0, 100)
        assert abs(drawn.mean() - expected) < 4 * drawn.std() / np.sqrt(800) + 0.02
    drawn = weights(n, d, begin, 1.0, 100)
    assert abs(drawn.mean() - 0.5806) < 4 * drawn.std() / np.sqrt(800) + 0.02


# Numerics


@pytest.mark.slow
def test_gradients():
    assert_slopes(
        lambda rate, variance: collapse.onset_time(rate, variance).time,
        (1e-5, 2.0),
        (0.4, 0.7),
        (9.0, 1.0),
    )
    points = (0.2, 0.3, 1.1), (0.55, 0.3, 1.1)
    assert float(basin_radius(*points[0])) > 1 > float(basin_radius(*points[1])) > 0
    assert_slopes(collapse.basin_radius, *points)
    slope = jax.grad(collapse.basin_radius, (0, 1, 2))(5.0, 0.3, 1.0)
    assert all(float(s) == 0 for s in slope)
    eigenvalues = jnp.array([2.0, 1.0, 0.0])
    slope = jax.grad(lambda e: collapse.gaussian_onset_time(e, 20.0).time)(eigenvalues)
    assert np.all(np.isfinite(slope))
    assert np.all(np.asarray(slope) > 0)


@pytest.mark.parametrize("rate", [1e-6, 0.02, 0.5, 10.0])
def test_float32(rate):
    low, high = jnp.float32(rate), float(np.float32(rate))
    onset = float(onset_time(high, 1.0).time)
    np.testing.assert_allclose(onset_time(low, 1.0).time, onset, rtol=1e-5)
    assert onset_time(low, 1.0).time.dtype == jnp.float32
    for share in (1e-3, 0.4, 0.9):
        time = jnp.float32(share * onset)
        found = basin_radius(time, low, 1.0)
        expected = basin_radius(float(time), high, 1.0)
        np.testing.assert_allclose(found, expected, rtol=3e-5)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: collapse.onset_time(0.0, 1.0), "rate"),
        (lambda: collapse.onset_time(0.1, -1.0), "variance"),
        (lambda: collapse.basin_radius(0.0, 0.1, 1.0), "time"),
        (lambda: collapse.basin_radius(0.3, float("inf"), 1.0), "rate"),
        (lambda: collapse.gaussian_onset_time(jnp.array([1.0, -0.1]), 9), "eigenvalu"),
        (lambda: collapse.gaussian_onset_time(jnp.ones(3), 1), "num_points"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=f"`{name}"):
        call()
