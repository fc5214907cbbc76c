"""Kernel density bandwidths: printed points, scipy, the model, simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slopes import assert_printed, assert_slopes, minimum_of, root_of

from jaxwin.analysis import collapse
from jaxwin.analysis.collapse import RandomEnergy

bandwidths = jax.jit(collapse.bandwidths)
divergence = jax.jit(collapse.kernel_divergence)
free_energy = jax.jit(RandomEnergy.free_energy)


def test_reference_points():
    for rate, *row in (
        (0.05, "1.733061", "2.450918", "1.145882", "0.186175"),
        (0.1, "1.370785", "1.938582", "1.038572", "0.137847"),
        (0.5, "0.652145", "0.922273", "0.622436", "0.025886"),
        (1.0, "0.372106", "0.526238", "0.369344", "0.003973"),
    ):
        found = bandwidths(rate)
        values = (
            found.condensation,
            found.central_limit,
            found.optimal,
            found.divergence,
        )
        for value, printed in zip(values, row, strict=True):
            assert_printed(value, printed)


@pytest.mark.parametrize("rate", [1e-5, 0.02, 0.7, 5.0])
def test_thresholds_against_scipy(rate):
    first = lambda h: 0.5 * np.log1p(1 / h**2) - 0.5 * h**2 / (1 + h**2) ** 2 - rate
    second = lambda h: 0.5 * np.log1p(2 / h**2) - h**2 / (h**2 + 2) ** 2 - rate
    found = bandwidths(rate)
    root = lambda f: root_of(f, 1e-4, 1e4)
    np.testing.assert_allclose(found.condensation, root(first), rtol=1e-6)
    np.testing.assert_allclose(found.central_limit, root(second), rtol=1e-6)
    np.testing.assert_allclose(
        found.divergence, rate + np.log(float(found.optimal)), rtol=1e-8, atol=1e-14
    )


@pytest.mark.parametrize("rate", [0.03, 0.5, 1.5])
def test_divergence_is_that_of_the_model(rate):
    # -log p_h / d = rate + log(2 pi h^2) / 2 - psi, less the entropy of the data.
    def expected(h):
        model = RandomEnergy(jnp.asarray(1 / h**2), jnp.asarray(1 / h**2))
        return rate + np.log(h) - 0.5 - float(free_energy(model, rate))

    found = bandwidths(rate)
    edge = float(found.condensation)
    for h in (0.2 * edge, 0.9 * edge, 1.1 * edge, 3 * edge):
        np.testing.assert_allclose(divergence(rate, h), expected(h), rtol=1e-8)
    place, least = minimum_of(expected, 0.2 * edge, 2 * edge)
    assert float(found.optimal) == pytest.approx(place, rel=1e-5)
    assert float(found.divergence) == pytest.approx(least, rel=1e-8)
    assert found.optimal < edge
    # The weights of the sum at lambda = 2 condense at h_CLT.
    h = float(found.central_limit)
    model = RandomEnergy(jnp.asarray(1 / h**2), jnp.asarray(1 / h**2))
    np.testing.assert_allclose(model.entropy_lost(2.0), rate, rtol=1e-9)


def simulated(d: int, n: int):
    """Squared distances of 200 fresh points to n, and the fresh log-densities."""
    rng = np.random.default_rng(0)
    points, fresh = rng.normal(size=(n, d)), rng.normal(size=(200, d))
    square = np.sum(fresh**2, 1)[:, None] + np.sum(points**2, 1) - 2 * fresh @ points.T
    return square, -0.5 * d * np.log(2 * np.pi) - 0.5 * np.sum(fresh**2, axis=1)


def test_against_simulated_estimates():
    rate, off = 0.5, []
    found = bandwidths(rate)
    for d, n in ((8, 55), (20, 22_026)):  # n = e^{rate d}
        square, truth = simulated(d, n)

        def measured(h, d=d, n=n, square=square, truth=truth):
            log_p = np.logaddexp.reduce(-square / (2 * h**2), axis=1)
            normal = np.log(n) + 0.5 * d * np.log(2 * np.pi * h**2)
            return np.mean(truth - log_p + normal) / d

        off.append(minimum_of(measured, 0.3, 2.0)[0] / float(found.optimal) - 1)
        # Well below h_G the nearest point's distance counts alone.
        nearest = np.mean(square.min(axis=1)) / d
        alone = rate + np.log(0.1) - 0.5 + nearest / (2 * 0.1**2)
        assert abs(measured(0.1) / alone - 1) < 0.02
    # In 20 dimensions: above h_CLT the estimate is the smoothed law already; the best
    # bandwidth comes down to its limit.
    for h in (1.0, 1.5):
        assert abs(measured(h) - float(divergence(rate, h))) < 0.006
    assert 0 < off[1] < 0.7 * off[0] < 0.3


def test_nearest_distance_in_large_dimensions():
    # P(|x - y|^2 < d q) ~ e^{-d rate} at q = h_opt^2, for y uniform about a typical x.
    # |x - y|^2 = (sqrt(d) - y_1)^2 + |y_rest|^2: integrate over y_1 by its saddle.
    rate = 0.8
    q = float(bandwidths(rate).optimal) ** 2

    def exponent(y):
        # Density of y_1 = y sqrt(d), and of the rest within what is left.
        left = q - (1 - y) ** 2
        if left <= 0:
            return np.inf
        return 0.5 * y**2 + 0.5 * (left - 1 - np.log(left))

    assert minimum_of(exponent, 1 - np.sqrt(q), 1)[1] == pytest.approx(rate, rel=1e-6)


# Numerics


def test_ends():
    # Few points: u = sqrt(4 rate / 3); many: the nearest point at e^{-rate}.
    few, many = bandwidths(1e-12), bandwidths(200.0)
    u = np.sqrt(4e-12 / 3)
    np.testing.assert_allclose(few.condensation, u**-0.5, rtol=1e-5)
    np.testing.assert_allclose(few.optimal, np.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(few.divergence, 0.5 * np.log(2), rtol=1e-5)
    np.testing.assert_allclose(many.condensation, np.exp(-200.0), rtol=1e-11)
    # p = e^{-2 rate}: p^2 / 4 is left.
    np.testing.assert_allclose(many.divergence, np.exp(-800.0) / 4, atol=1e-300)
    middle = bandwidths(20.0)
    np.testing.assert_allclose(middle.divergence, np.exp(-80.0) / 4, rtol=1e-9)
    assert float(divergence(0.5, 1e9)) > 15


def test_gradients():
    def together(rate):
        found = collapse.bandwidths(rate)
        thresholds = found.condensation + 2 * found.central_limit
        return thresholds + 3 * found.optimal + 5 * found.divergence

    assert_slopes(together, (1e-3,), (0.4,), (3.0,))
    assert_slopes(collapse.kernel_divergence, (0.4, 0.2), (0.4, 1.4))


@pytest.mark.parametrize("rate", [1e-7, 1e-3, 0.5, 15.0])
def test_float32(rate):
    low, high = bandwidths(jnp.float32(rate)), bandwidths(float(np.float32(rate)))
    for ours, exact in zip(jax.tree.leaves(low), jax.tree.leaves(high), strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, exact, rtol=3e-5)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: collapse.bandwidths(0.0), "rate"),
        (lambda: collapse.bandwidths(float("nan")), "rate"),
        (lambda: collapse.kernel_divergence(0.1, 0.0), "bandwidth"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=f"`{name}` is"):
        call()
