"""The potential of two clusters, its minima, and the Langevin equation along them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.optimize import minimize_scalar, root_scalar

from jaxwin.analysis import speciation
from jaxwin.analysis.speciation import CollectiveLangevin
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
potential = jax.jit(speciation.potential)
minimum = jax.jit(speciation.minimum)
points = jax.jit(speciation.stationary_points)
slopes = jax.jit(jax.vmap(jax.grad(speciation.potential), (0, None, None)))
slope_of_minimum = jax.jit(jax.grad(speciation.minimum, (0, 1)))


@pytest.mark.parametrize(
    ("r", "y"), [(1.1, 0.736921512), (1.5, 1.463243739), (2.0, 1.998651346)]
)
def test_minimum_at_reference_points(r, y):
    assert abs(float(minimum(r)) - y) < 0.6e-9


def test_minimum_solves_its_equation_everywhere():
    for r in (1.02, 1.3, 2.7, 9.0):
        gap = lambda y, r=r: y - r * np.tanh(r * y)
        ends = 0.3 * np.sqrt(r - 1), 2 * r
        root = root_scalar(gap, bracket=ends, xtol=1e-15, rtol=1e-14).root
        np.testing.assert_allclose(minimum(r), root, rtol=1e-13)
    for r in (0.0, 0.3, 1.0):
        assert float(minimum(r)) == 0
    for r in (30.0, 1e6, 1e12):
        assert float(minimum(r)) == r


@pytest.mark.parametrize("above", [2.0**-50, 1e-10, 1e-6, 1e-4])
def test_minimum_just_beyond_one_keeps_its_digits(above):
    # u coth u = r^2 for u = r y: u^2 = 3 p (1 + p / 5 + 4 p^2 / 175 + ...).
    r = 1 + above
    beyond = (r - 1) * (r + 1)
    u = np.sqrt(3 * beyond * (1 + beyond / 5 + 4 * beyond**2 / 175))
    np.testing.assert_allclose(minimum(r), u / r, rtol=1e-12)
    np.testing.assert_allclose(minimum(r), np.sqrt(6 * (r - 1)), rtol=3 * above + 1e-14)


@pytest.mark.parametrize(("r", "w"), [(1.001, 0.5), (1.4, 0.5), (0.6, 0.8), (1.7, 0.3)])
def test_gradient_of_minimum(r, w):
    h = 1e-7
    along_r, along_w = slope_of_minimum(r, w)
    differences = (
        (float(minimum(r + h, w)) - float(minimum(r - h, w))) / (2 * h),
        (float(minimum(r, w + h)) - float(minimum(r, w - h))) / (2 * h),
    )
    np.testing.assert_allclose(along_r, differences[0], rtol=2e-5)
    if w != 0.5:  # the deeper valley is another one on the other side
        np.testing.assert_allclose(along_w, differences[1], rtol=1e-5)


def test_gradient_of_minimum_without_a_second_valley():
    for r in (0.0, 0.4, 1.0):
        assert float(slope_of_minimum(r, 0.5)[0]) == 0
    # y = r b / (1 - r^2) to first order in b, with db / dw = 2.
    np.testing.assert_allclose(slope_of_minimum(0.7, 0.5)[1], 2 * 0.7 / 0.51)


@pytest.mark.parametrize("w", [0.5, 1e-6])
def test_potential_is_minus_the_log_density(w):
    r, y = 1.3, jnp.linspace(-3, 3, 13)
    weights = np.array([w, 1 - w])
    law = GaussianMixture.isotropic(np.array([[r], [-r]]), 0.0, weights)
    log_density = jax.vmap(lambda y: law.log_density(y[None], 1.0, 1.0))(y)
    gap = np.asarray(potential(y, r, w) + log_density)
    np.testing.assert_allclose(gap, gap[0], atol=1e-13)


def test_potential_at_small_and_huge_arguments():
    # log cosh u = u^2 / 2 - u^4 / 12 + ...: U = (1 - r^2) y^2 / 2 + r^4 y^4 / 12.
    for y in (1e-12, 1e-6, 1e-3):
        for r in (0.5, 2.0):
            series = (1 - r**2) * y**2 / 2 + r**4 * y**4 / 12
            np.testing.assert_allclose(potential(y, r), series, rtol=1e-9 + y**4 * 99)
    np.testing.assert_allclose(potential(1e9, 3.0), 0.5e18 - 3e9, rtol=1e-15)
    np.testing.assert_allclose(potential(-50.0, 30.0), 1250 - 1500 + np.log(2))
    np.testing.assert_allclose(potential(-50.0, 30.0, 0.9), -250 - np.log(0.1))
    ends = np.array([0.0, 1e-300, 1e8, -1e8])
    assert np.all(np.isfinite(slopes(ends, 2.0, 0.5)))
    second = jax.grad(jax.grad(speciation.potential))
    quartic = jax.jit(jax.grad(jax.grad(second)))
    np.testing.assert_allclose(quartic(0.0, 1.7), 24 * 1.7**4 / 12, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(second)(0.0, 1.7), 1 - 1.7**2, rtol=1e-14)


@pytest.mark.parametrize("w", [0.5, 0.45, 0.999])
@pytest.mark.parametrize("r", [0.6, 1.3, 2.5])
def test_stationary_points_are_all_there_are(r, w):
    found = points(r, w)
    y = np.linspace(-2 * r - 1, 2 * r + 1, 20002)
    slope = np.asarray(slopes(y, r, w))
    changes = np.flatnonzero(np.sign(slope[1:]) != np.sign(slope[:-1]))
    position = np.asarray(found.position)
    np.testing.assert_array_equal(np.asarray(found.found), np.isfinite(position))
    assert int(found.found.sum()) == changes.size
    np.testing.assert_allclose(
        np.sort(position[np.isfinite(position)]), y[changes], atol=y[1] - y[0]
    )
    np.testing.assert_allclose(found.value, potential(position, r, w), rtol=1e-13)
    for place in position[np.isfinite(position)]:
        assert abs(float(slopes(np.array([place]), r, w)[0])) < 1e-13
    # The first is the deepest, the barrier lies between and above.
    np.testing.assert_allclose(position[0], minimum(r, w), rtol=1e-14)
    if changes.size == 3:
        deep, barrier, other = np.asarray(found.value)
        assert barrier >= other >= deep - 1e-15
        assert (position[0] - position[1]) * (position[1] - position[2]) > 0


def test_the_second_valley_ends_where_barrier_and_valley_meet():
    r = 1.6
    most = r * np.sqrt(r**2 - 1) - np.arccosh(r)
    # db from the weight: logit(w) = 2 b.
    for b, expected in ((most - 1e-6, 3), (most + 1e-6, 1)):
        assert int(points(r, 1 / (1 + np.exp(-2 * b))).found.sum()) == expected
    gradient = jax.grad(lambda r: jnp.nansum(points(r, 0.55).position))
    step = float(jnp.sum(points(1.6 + 1e-6, 0.55).position))
    step -= float(jnp.sum(points(1.6 - 1e-6, 0.55).position))
    np.testing.assert_allclose(gradient(1.6), step / 2e-6, rtol=1e-6)
    assert np.isfinite(float(gradient(0.9)))


# The Langevin equation of q = m . x / sqrt(d)


def setting(d: int, size: float, std: float, weight: float = 0.5):
    means = size * np.stack([np.ones(d), -np.ones(d)])
    weights = np.array([weight, 1 - weight])
    law = GaussianMixture.isotropic(means, std**2, weights)
    return law, CollectiveLangevin(d, size, std, weight), jnp.asarray(means[0])


@pytest.mark.slow
@pytest.mark.parametrize("std", [1.0, 0.4])
def test_collective_drift_is_that_of_the_exact_reverse_sde(std):
    law, langevin, mean = setting(6, 1.7, std, 0.3)
    for t in (0.1, 1.0, 3.0):
        x = 2 * jr.normal(jr.key(1), (6,))
        q = mean @ x / jnp.sqrt(6.0)
        drift = x + 2 * law.score(x, OU.alpha(t), OU.sigma(t))
        along = mean @ drift / jnp.sqrt(6.0)
        np.testing.assert_allclose(langevin.drift(q, t), along, rtol=1e-12)
        slope = jax.grad(langevin.potential)(q, t)
        np.testing.assert_allclose(langevin.drift(q, t), -slope, rtol=1e-12)


@pytest.mark.slow
def test_collective_potential_of_unit_width():
    d, size, t = 50, 1.3, 0.8
    langevin = CollectiveLangevin(d, size)
    potential = jax.jit(lambda d, q, t: CollectiveLangevin(d, size).potential(q, t))
    for q in (0.0, 0.2, -4.0, 300.0):
        u = q * np.exp(-t) * np.sqrt(d)
        log_cosh = np.logaddexp(u, -u) - np.log(2)
        expected = q**2 / 2 - 2 * size**2 * log_cosh
        np.testing.assert_allclose(potential(d, q, t), expected, rtol=1e-13)
    curvature = 1 - 2 * size**2 * d * np.exp(-2 * t)
    np.testing.assert_allclose(langevin.curvature(t), curvature, rtol=1e-13)
    bent = jax.grad(jax.grad(langevin.potential))(0.0, t)
    np.testing.assert_allclose(bent, curvature, rtol=1e-12)
    # V''(0) = 0 is the convention `potential` of the predicted times.
    law, _, _ = setting(d, size, 1.0)
    time = speciation.times(law).potential.time
    assert abs(float(langevin.curvature(time))) < 1e-12
    # Dimension and time enter by sqrt(d) e^{-t} alone, not by e^{-sqrt t} d.
    here = potential(d, 0.7, t)
    moved = potential(4 * d, 0.7, t + np.log(2))
    np.testing.assert_allclose(moved, here, rtol=1e-13)
    other = potential(4 * d, 0.7, (t**0.5 + np.log(4)) ** 2)
    assert abs(float(other) - float(here)) > 0.1


def test_collective_paths_are_those_of_the_full_equation():
    d, h, t = 5, 0.01, 1.2
    law, langevin, mean = setting(d, 2.0, 0.6)
    x = jr.normal(jr.key(2), (d,))
    z = jr.normal(jr.key(3), (d,))
    drift = x + 2 * law.score(x, OU.alpha(t), OU.sigma(t))
    moved = mean @ (x + h * drift + jnp.sqrt(2 * h) * z) / jnp.sqrt(1.0 * d)
    q, along = mean @ x / jnp.sqrt(1.0 * d), mean @ z / jnp.linalg.norm(mean)
    step = h * langevin.drift(q, t) + langevin.noise * jnp.sqrt(h) * along
    np.testing.assert_allclose(q + step, moved, rtol=1e-12)


def simulate(langevin, drift: Callable, noise, start: jax.Array, times: np.ndarray):
    """Euler-Maruyama of dq = drift dtau + noise dW along decreasing times, seed 5."""

    def body(q, interval):
        t, h, key = interval
        z = jr.normal(key, q.shape)
        return q + h * drift(q, t) + noise * jnp.sqrt(h) * z, None

    keys = jr.split(jr.key(5), times.size - 1)
    steps = jnp.asarray(times[:-1]), jnp.asarray(-np.diff(times)), keys
    return jax.jit(lambda q: jax.lax.scan(body, q, steps)[0])(start)


@pytest.mark.slow
@pytest.mark.parametrize("std", [1.0, 0.5])
def test_langevin_reproduces_the_law_and_the_printed_noise_does_not(std):
    # 20,000 paths from t = 4 to 0.7, steps of 0.004: t_S = log(64) / 2 lies between.
    d, size, end = 16, 2.0, 0.7
    langevin = CollectiveLangevin(d, size, std)
    sign = np.where(np.arange(20_000) % 2, 1.0, -1.0)
    gamma = lambda t: 1 + (std**2 - 1) * np.exp(-2 * t)
    centre = lambda t: size**2 * np.sqrt(d) * np.exp(-t)
    start = sign * centre(4) + size * np.sqrt(gamma(4)) * np.asarray(
        jr.normal(jr.key(4), sign.shape)
    )
    times = np.linspace(4, end, 826)

    def moments(noise):
        q = np.asarray(
            simulate(langevin, langevin.drift, noise, jnp.asarray(start), times)
        )
        within = q - np.sign(q) * centre(end)
        return np.mean(q > 0), within.mean(), within.var() / (size**2 * gamma(end))

    share, offset, ratio = moments(langevin.noise)
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(20_000)
    assert abs(offset) < 4 * size / np.sqrt(20_000)
    # Standard error of the ratio 0.01, and the bias of the step.
    assert abs(ratio - 1) < 0.05
    assert abs(moments(np.sqrt(2))[2] - 1) > 0.5


def mean_and_variance(drift: Callable, noise, mean, variance, times):
    """Of the linear equation dq = drift dtau + noise dW, by fine Euler steps."""
    linear = lambda t: (drift(0.0, t), jax.grad(drift)(0.0, t))

    def body(carry, interval):
        mean, variance = carry
        t, h = interval
        shift, rate = linear(t)
        mean = mean + h * (shift + rate * mean)
        variance = variance + h * (2 * rate * variance + noise**2)
        return (mean, variance), None

    steps = jnp.asarray(times[:-1]), jnp.asarray(-np.diff(times))
    run = jax.jit(lambda *start: jax.lax.scan(body, start, steps)[0])
    return [float(part) for part in run(jnp.asarray(mean), jnp.asarray(variance))]


@pytest.mark.parametrize("std", [0.5, 1.0])
def test_a_decided_class_stays_one_gaussian_and_the_printed_equation_does_not(std):
    d, size, end = 16, 1.5, 0.5
    langevin = CollectiveLangevin(d, size, std)
    gamma = lambda t: 1 + (std**2 - 1) * np.exp(-2 * t)
    centre = lambda t: size**2 * np.sqrt(d) * np.exp(-t)
    times = np.linspace(2.0, end, 20_001)
    start = centre(2.0), size**2 * gamma(2.0)
    truth = np.array([centre(end), size**2 * gamma(end)])
    right = mean_and_variance(langevin.class_drift, langevin.noise, *start, times)
    np.testing.assert_allclose(right, truth, rtol=1e-3)
    # x + 2 F+ along m is the drift of a mixture far inside one class.
    q = 1.3 * centre(end)
    np.testing.assert_allclose(
        langevin.class_drift(q, end), langevin.drift(q, end), rtol=1e-9
    )

    def printed(q, t):  # F+ alone
        return -(q - size**2 * jnp.sqrt(1.0 * d) * jnp.exp(-t)) / gamma_of(t)

    gamma_of = lambda t: 1 + (std**2 - 1) * jnp.exp(-2 * t)
    wrong = mean_and_variance(printed, langevin.noise, *start, times)
    off = np.abs(np.array(wrong) / truth - 1)
    assert off[0] > 0.2
    # At unit width the printed variance happens to be right.
    assert (off[1] > 0.05) == (std != 1.0)


def test_the_unstable_eigenvalue_of_the_expansion_is_the_smallest():
    # -log P_t is quadratic with matrix M = I - e^{-2t} C0 at small e^{-t}.
    d, size, std, t = 9, 1.2, 0.7, 1.9
    law, _, mean = setting(d, size, std)
    matrix = np.eye(d) - np.exp(-2 * t) * np.asarray(law.moments().covariance())
    values, vectors = np.linalg.eigh(matrix)
    printed = 1 - std**2 * np.exp(-2 * t) - d * size**2 * np.exp(-2 * t)
    np.testing.assert_allclose(values[0], printed, rtol=1e-12)
    np.testing.assert_allclose(values[1:], 1 - std**2 * np.exp(-2 * t), rtol=1e-12)
    assert abs(vectors[:, 0] @ np.asarray(mean)) > 0.999 * size * np.sqrt(d)
    # It vanishes at the predicted time of the spectrum.
    time = float(speciation.times(law).spectrum.time)
    top = float(speciation.spectrum(law, 1).eigenvalues[0])
    assert abs(1 - top * np.exp(-2 * time)) < 1e-12
    assert values[0] * (1.9 - time) > 0


def test_deepest_valley_is_the_global_minimum():
    for r, w in ((0.8, 0.7), (1.9, 0.2)):
        side = 1 if w > 0.5 else -1
        ends = sorted((0.0, side * 3 * r))
        best: Any = minimize_scalar(
            lambda y, r=r, w=w: float(potential(y, r, w)),
            bounds=tuple(ends),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert abs(float(minimum(r, w)) - best.x) < 1e-6


def test_float32_keeps_to_its_precision():
    for r in (1.00001, 1.3, 40.0):
        single = minimum(jnp.float32(r))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, minimum(float(np.float32(r))), rtol=1e-6)
    # Coordinates come in the type of what they are read off.
    assert potential(jnp.float32(0.3), jnp.float32(2.0)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speciation.minimum(-0.1), "`r` is -0.1"),
        (lambda: speciation.minimum(np.nan), "`r` is nan"),
        (lambda: speciation.potential(1.0, 1.0, 1.0), "`weight` is 1"),
        (lambda: speciation.stationary_points(1.0, 0.0), "`weight` is 0"),
        (lambda: CollectiveLangevin(0), "`dimension` is 0"),
        (lambda: CollectiveLangevin(4, size=0.0), "`size` is 0"),
        (lambda: CollectiveLangevin(4, std=-1.0), "`std` is -1"),
        (lambda: CollectiveLangevin(4, std=0.0).drift(0.1, 0.0), "`Gamma` is 0"),
        (lambda: CollectiveLangevin(4).drift(0.1, -1.0), "`t` is -1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
