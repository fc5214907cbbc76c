"""Gradients of predicted times where most of the spectrum is degenerate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis import speciation
from jaxwin.targets import Empirical, GaussianMixture


def differences(f, x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of a function of an array."""
    found = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        found[i] = (float(f(jnp.asarray(x + e))) - float(f(jnp.asarray(x - e)))) / (
            2 * h
        )
    return found


def clusters(means):
    return GaussianMixture.isotropic(means, 0.8)


NAMES = ("mean", "spectrum", "spectrum_plus_one", "curvature", "potential")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_gradients_of_predicted_times_of_isotropic_clusters(count):
    # d = 16: all directions but count - 1 are one degenerate eigenvalue; on a line the
    # covariance of three means has another.
    rng = np.random.default_rng(6)
    means = np.outer(np.linspace(-1, 1.3, count), 2 * rng.normal(size=16))

    @jax.jit
    def total(means):
        found = speciation.times(clusters(means))
        return sum(getattr(found, name).time for name in NAMES)

    slope = jax.jit(jax.grad(total))(jnp.asarray(means))
    assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(slope, differences(total, means), atol=1e-8)
    widths = lambda v: sum(
        getattr(speciation.times(GaussianMixture.isotropic(means, v)), name).time
        for name in NAMES
    )
    widths = jax.jit(widths)
    each = np.linspace(0.5, 0.9, count)
    slope = jax.jit(jax.grad(widths))(jnp.asarray(each))
    np.testing.assert_allclose(slope, differences(widths, each), atol=1e-8)


@pytest.mark.slow
def test_gradients_of_predicted_times_turn_with_the_class_direction():
    # W is not isotropic: u W u changes as u turns.
    rng = np.random.default_rng(7)
    means = 3 * rng.normal(size=(3, 4))
    covariances = np.stack([np.diag([0.1, 0.1, 0.1, 2.0])] * 3)

    @jax.jit
    def curvature(means):
        law = GaussianMixture.full(means, covariances)
        return speciation.times(law).curvature.time

    slope = jax.jit(jax.grad(curvature))(jnp.asarray(means))
    np.testing.assert_allclose(slope, differences(curvature, means), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(12, 5), (5, 8)])
def test_gradients_of_the_predicted_time_of_data(n, d):
    points = np.random.default_rng(8).normal(size=(n, d)) * np.linspace(1, 3, d)
    labels = np.arange(n) % 2

    @jax.jit
    def total(points):
        found = speciation.times(Empirical(points, labels))
        return found.spectrum.time + found.curvature.time + found.mean.time

    slope = jax.jit(jax.grad(total))(jnp.asarray(points))
    assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(slope, differences(total, points), atol=1e-8)

    @jax.jit
    def of_covariance(points):
        centred = points - points.mean(axis=0, keepdims=True)
        return speciation.times(centred.T @ centred / (n - 1)).spectrum.time

    slope = jax.jit(jax.grad(of_covariance))(jnp.asarray(points))
    assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(slope, differences(of_covariance, points), atol=1e-8)


@pytest.mark.slow
def test_gradients_where_eigenvalues_coincide_exactly():
    # Zero twice between three classes on an axis of 16, so that nothing is rounded.
    means = np.zeros((3, 16))
    means[0, 0], means[1, 0] = 3.0, -3.0

    @jax.jit
    def curvature(means):
        return speciation.times(clusters(means)).curvature.time

    slope = jax.jit(jax.grad(curvature))(jnp.asarray(means))
    np.testing.assert_allclose(slope, differences(curvature, means), atol=1e-8)
    # Data on axes: the width along the top direction depends on how it turns.
    rows = np.diag([3.0, 1.0, 1.0, 1.0])
    points = np.concatenate([rows, -rows, [[4.0, 0.5, 0.0, 0.0], [-4.0, -0.5, 0, 0]]])

    @jax.jit
    def width(points):
        found = speciation.spectrum(Empirical(points), 1)
        return jnp.log(found.eigenvalues[0]) + found.stderr

    for data in (np.concatenate([rows, -rows, 2 * rows[:1], -2 * rows[:1]]), points):
        slope = jax.jit(jax.grad(width))(jnp.asarray(data))
        np.testing.assert_allclose(slope, differences(width, data), atol=1e-7)
