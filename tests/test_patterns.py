"""Orthogonal patterns, the simplex, and their denoising as Hopfield recall."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis.symmetry import attention, hopfield_energy
from jaxwin.targets import GaussianMixture, orthogonal_patterns, simplex


def curvature(law, x, theta) -> np.ndarray:
    """Eigenvalues of the Hessian of -|x|^2 / 4 - log p."""
    jacobian = law.score_jacobian(jnp.asarray(x), theta, (1 - theta**2) ** 0.5)
    return np.linalg.eigvalsh(-np.asarray(jacobian) - np.eye(law.dimension) / 2)


def test_patterns_are_where_they_should_be():
    law = orthogonal_patterns(3, 5, 2.0, 0.25)
    np.testing.assert_array_equal(law.means, 2 * np.eye(3, 5))
    assert law.num_labels == 3
    np.testing.assert_allclose(np.exp(law.log_weights), 1 / 3)
    values = np.linalg.eigvalsh(law.moments().covariance())
    np.testing.assert_allclose(values, np.repeat([0.25, 4 / 3 + 0.25], [3, 2]))
    assert orthogonal_patterns(4).dimension == 4


@pytest.mark.parametrize("dimension", [3, None, 6])
def test_the_simplex_is_regular_and_centred(dimension):
    law = simplex(4, dimension, 1.5)
    means = np.asarray(law.means)
    assert law.dimension == (4 if dimension is None else dimension)
    np.testing.assert_allclose(means.sum(axis=0), 0, atol=1e-15)
    gram = 1.5**2 * (np.eye(4) - 1 / 4)
    np.testing.assert_allclose(means @ means.T, gram, atol=1e-14)
    values = np.linalg.eigvalsh(law.moments().covariance())
    expected = np.repeat([0.0, 1.5**2 / 4], [law.dimension - 3, 3])
    np.testing.assert_allclose(values, expected, atol=1e-14)


# Theory, row C10: N, d, theta, eigenvalues at the symmetric point and how many.
CENTRES = [
    (5, 8, 0.8, 1.2901234568, 4),
    (5, 8, 0.95, -9.2310979619, 4),
    (3, 3, 0.8, 0.6316872428, 2),
    (3, 3, 0.95, -21.8894367741, 2),
]


@pytest.mark.parametrize(("count", "d", "theta", "value", "times"), CENTRES)
def test_curvature_at_the_symmetric_point(count, d, theta, value, times):
    law, q = orthogonal_patterns(count, d), theta**2
    centre = 2 * theta / (count * (1 + q)) * np.eye(count, d).sum(axis=0)
    values = curvature(law, centre, theta)
    np.testing.assert_allclose(values[:times], value, rtol=0, atol=0.6e-10)
    other = 1 / (1 - q) - 0.5
    np.testing.assert_allclose(values[times:], other, rtol=1e-12)
    # The centred simplex has the same ones at zero.
    centred = curvature(simplex(count, count - 1), np.zeros(count - 1), theta)
    np.testing.assert_allclose(centred, values[:times], rtol=1e-10)


def test_transition_of_three_patterns_is_of_first_order():
    """Theory, row C11: K_t = 4 log 2, w = 2/3 beside the centre, potentials equal."""
    strength = 4 * np.log(2)
    # 2 q / (1 - q^2) = K.
    q = float((np.sqrt(1 + strength**2) - 1) / strength)
    theta, sigma = q**0.5, (1 - q) ** 0.5
    assert abs(theta - 0.8380818) <= 0.6e-7
    law = orthogonal_patterns(3)
    weights = np.array([2 / 3, 1 / 6, 1 / 6])
    places = 2 * theta / (1 + q) * np.stack([weights, np.full(3, 1 / 3)])
    for x, w in zip(places, [weights, np.full(3, 1 / 3)], strict=True):
        np.testing.assert_allclose(
            attention(np.eye(3), jnp.asarray(x), theta, sigma), w, rtol=1e-13
        )
    potential = lambda x: (
        -(x @ x) / 4 - float(law.log_density(jnp.asarray(x), theta, sigma))
    )
    assert abs(potential(places[0]) - potential(places[1])) <= 1e-14
    printed = [0.21679885, 1.53840006, 2.86000127]
    np.testing.assert_allclose(curvature(law, places[0], theta), printed, atol=0.6e-8)


def test_denoising_is_recall():
    """-v log p = E + alpha^2 R^2 / 2 + v log N + (d / 2) v log(2 pi v)."""
    rng = np.random.default_rng(4)
    patterns = rng.choice([-1.0, 1.0], size=(6, 9))
    law = GaussianMixture.isotropic(patterns, 0.0)
    for alpha, sigma in ((0.9, 0.3), (0.6, 0.8), (0.1, 1.0)):
        v, constant = sigma**2, 0.5 * alpha**2 * 9
        constant += v * np.log(6) + 4.5 * v * np.log(2 * np.pi * v)
        for x in jnp.asarray(rng.normal(size=(3, 9))):
            energy, slope = jax.value_and_grad(hopfield_energy, argnums=1)(
                patterns, x, alpha, sigma
            )
            true = -v * law.log_density(x, alpha, sigma)
            np.testing.assert_allclose(energy + constant, true, rtol=1e-12)
            recalled = attention(patterns, x, alpha, sigma)
            mean = law.denoise(x, alpha, sigma)
            np.testing.assert_allclose(recalled, mean, rtol=0, atol=1e-12)
            np.testing.assert_allclose(slope, x - alpha * recalled, atol=1e-12)


def test_recall_without_noise_is_the_nearest_pattern():
    patterns, x = np.eye(3), jnp.array([0.2, 0.5, -1.0])
    np.testing.assert_array_equal(attention(patterns, x, 0.5, 0.0), [0, 1, 0])
    energy = hopfield_energy(patterns, x, 0.5, 0.0)
    np.testing.assert_allclose(energy, 1.29 / 2 - 0.25, rtol=1e-14)


def test_patterns_of_other_lengths_are_refused():
    x, rows = jnp.ones(2), np.array([[1.0, 0.0], [0.0, 1.1]])
    for ask in (attention, hopfield_energy):
        with pytest.raises(ValueError, match="of one length"):
            ask(rows, x, 0.5, 0.5)
        with pytest.raises(ValueError, match="of one length"):
            ask([[1.0, np.nan], [1.0, 0.0]], x, 0.5, 0.5)
        with pytest.raises(ValueError, match="takes one point"):
            ask(np.eye(3), x, 0.5, 0.5)
        with pytest.raises(ValueError, match="must be \\(N, d\\)"):
            ask(np.ones(2), x, 0.5, 0.5)
        # Traced ones are not looked at; nor is rounding of float32 a difference.
        assert np.all(np.isfinite(jax.jit(ask)(rows, x, 0.5, 0.5)))
        single = np.array([[0.6, 0.8], [0.5**0.5, -(0.5**0.5)]], np.float32)
        ask(single, jnp.ones(2, jnp.float32), 0.5, 0.5)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: orthogonal_patterns(0), "count"),
        (lambda: orthogonal_patterns(3, 2), "dimension"),
        (lambda: orthogonal_patterns(3, radius=0.0), "radius"),
        (lambda: orthogonal_patterns(3, radius=np.ones(3)), "radius"),
        (lambda: orthogonal_patterns(3, variance=-1.0), "variances"),
        (lambda: simplex(1), "count"),
        (lambda: simplex(4, 2), "dimension"),
        (lambda: simplex(4, radius=np.nan), "radius"),
    ],
)
def test_bad_patterns_are_refused(make, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make()
