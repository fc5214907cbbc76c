"""Leading eigenvalues of the score's Jacobian, against the dense matrix."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jacobian_laws import OnlyDenoiser, hidden_manifold, levels, two_blobs

from jaxwin.analysis.jacobian import leading
from jaxwin.targets import Empirical


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "hidden"), [(20, False), (300, True)])
def test_leading_are_those_of_the_dense_matrix(dimension, hidden):
    law = two_blobs(dimension)
    alpha, sigma = levels(0.3)
    x = alpha * law.sample(jr.key(0)) + sigma * jr.normal(jr.key(1), (dimension,))
    denoiser = OnlyDenoiser(law) if hidden else law
    found = leading(denoiser, x, alpha, sigma, 5)
    values, vectors = np.linalg.eigh(law.score_jacobian(x, alpha, sigma))
    np.testing.assert_allclose(found.eigenvalues, values[::-1][:5], atol=1e-9)
    overlap = np.abs(np.sum(np.asarray(found.directions) * vectors[:, :-6:-1], axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-7)
    covariance = np.linalg.eigvalsh(law.posterior_covariance(x, alpha, sigma))
    np.testing.assert_allclose(found.variance, covariance[:-6:-1], rtol=1e-8)
    assert bool(found.converged)
    assert np.all(found.residual < 1e-9)
    np.testing.assert_array_equal(found.cluster, np.arange(5))
    assert not bool(found.more)


DATA = jr.normal(jr.key(0), (600, 300)) / jnp.sqrt(1 + jnp.arange(300.0))[None]


@pytest.mark.slow
def test_leading_of_data_against_singular_values():
    alpha, sigma = levels(4.0)
    x = alpha * DATA[7] + sigma * jr.normal(jr.key(1), (300,))
    found = leading(Empirical(DATA), x, alpha, sigma, 8)
    weights = jax.nn.softmax(
        -jnp.sum((x[None] - alpha * DATA) ** 2, axis=1) / (2 * sigma**2)
    )
    centred = (DATA - (weights @ DATA)[None]) * jnp.sqrt(weights)[:, None]
    singular = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(found.variance, singular[:8] ** 2, rtol=1e-8)
    assert bool(found.converged)


@pytest.mark.slow
def test_where_one_data_point_is_left_nothing_leads():
    found = leading(Empirical(DATA), DATA[3] * 0.99, 0.99, 0.01, 8)
    np.testing.assert_allclose(found.normalised, 1, atol=1e-12)
    np.testing.assert_allclose(found.variance, 0, atol=1e-12)
    gram = np.asarray(found.directions.T @ found.directions)
    np.testing.assert_allclose(gram, np.eye(8), atol=1e-12)
    assert bool(found.converged)
    assert bool(found.more)


@pytest.mark.slow
def test_multiple_eigenvalues_are_found_as_often_as_they_occur():
    dimension = 300
    law = hidden_manifold(dimension, (20, 3, 17), (1.0, 0.5, 0.1))
    alpha, sigma = levels(0.04)
    found = leading(law, jr.normal(jr.key(1), (dimension,)), alpha, sigma, 25)
    expected = np.repeat([0.04 / 1.04, 0.04 / 0.29, 0.8], [20, 3, 2])
    np.testing.assert_allclose(found.normalised, expected, atol=1e-12)
    np.testing.assert_array_equal(found.cluster, np.repeat([0, 1, 2], [20, 3, 2]))
    assert bool(found.more)
    gram = np.asarray(found.directions.T @ found.directions)
    np.testing.assert_allclose(gram, np.eye(25), atol=1e-12)


@pytest.mark.slow
def test_a_jacobian_that_is_not_symmetric_is_flagged():
    class Turning(OnlyDenoiser):
        def jacobian_product(self, x, v, alpha, sigma):
            return self.law.jacobian_product(x, v, alpha, sigma) + jnp.roll(v, 1)

    found = leading(Turning(two_blobs(300)), jnp.ones(300), 0.8, 0.6, 3)
    assert not bool(found.converged)
    assert np.all(found.residual > 1e-3)


@pytest.mark.slow
def test_gradient_is_the_finite_difference():
    law, (alpha, sigma) = two_blobs(300), levels(0.5)
    x, along = jr.normal(jr.key(3), (2, 300))
    total = lambda x: leading(law, x, alpha, sigma, 5).eigenvalues.sum()
    both = jax.jit(jax.value_and_grad(total))
    ahead, behind = both(x + 1e-5 * along)[0], both(x - 1e-5 * along)[0]
    slope = both(x)[1] @ along
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-5)


@pytest.mark.slow
def test_leading_in_float32():
    law = two_blobs(300)
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.float64 else leaf,
        law,
    )
    x = jr.normal(jr.key(1), (300,))
    values = np.linalg.eigvalsh(law.score_jacobian(x, 0.8, 0.6))
    found = leading(single, x.astype(jnp.float32), 0.8, 0.6, 5)
    assert found.normalised.dtype == jnp.float32
    np.testing.assert_allclose(found.normalised, -(0.6**2) * values[:-6:-1], atol=2e-5)
    assert bool(found.converged)
