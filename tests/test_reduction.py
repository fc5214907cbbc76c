"""The exact reduction: a mixture in d dimensions as one in the few that matter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from batteries import some

from jaxwin.targets import GaussianMixture, reduce

RNG = np.random.default_rng(0)
D = 12
MEANS = RNG.normal(size=(3, D)) + 5.0
FACTORS = RNG.normal(size=(3, D, 2))
WEIGHTS = np.array([0.5, 0.3, 0.2])
LAWS = {
    "point masses": (GaussianMixture.isotropic(MEANS, 0.0, WEIGHTS), 2),
    "isotropic": (GaussianMixture.isotropic(MEANS, 0.7, WEIGHTS), 2),
    "grouped": (GaussianMixture.isotropic(MEANS, 0.7, WEIGHTS, labels=[0, 1, 0]), 2),
    "restricted": (
        GaussianMixture.isotropic(MEANS, 0.7, WEIGHTS).restrict(
            jnp.array([True, False, True])
        ),
        2,
    ),
    "one mean": (GaussianMixture.isotropic(MEANS[:1], 0.7), 1),
    "collinear": (GaussianMixture.isotropic([MEANS[0], 2 * MEANS[0]] * 2, 0.7), 1),
    "shared factors": (GaussianMixture.low_rank(MEANS, FACTORS[0], 0.7, WEIGHTS), 4),
    "low rank": (GaussianMixture.low_rank(MEANS, FACTORS, 0.7, WEIGHTS), 8),
    "low rank on planes": (GaussianMixture.low_rank(MEANS, FACTORS, 0.0, WEIGHTS), 8),
}
every_law = pytest.mark.parametrize("name", LAWS)
labels = eqx.filter_jit(
    lambda law, xs, a, s: jax.vmap(lambda x: law.label_log_posterior(x, a, s))(xs)
)
densities = eqx.filter_jit(
    lambda law, xs, a, s: jax.vmap(lambda x: law.log_density(x, a, s))(xs)
)
project = eqx.filter_jit(lambda red, xs, a: jax.vmap(lambda x: red.project(x, a))(xs))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", some(LAWS, ["shared factors", "grouped"]))
@pytest.mark.parametrize("sigma", [0.05, 0.8, 30.0])
def test_labels_and_density_survive(name, sigma):
    """Labels are those of y; the density is that of y times an isotropic Gaussian."""
    law, rank = LAWS[name]
    reduction = reduce(law)
    assert reduction is not None
    assert reduction.basis.shape == (D, rank)
    np.testing.assert_allclose(
        reduction.basis.T @ reduction.basis, np.eye(rank), atol=1e-12
    )
    alpha, rng = 0.8, np.random.default_rng(1)
    xs = alpha * MEANS[rng.integers(3, size=20)] + sigma * rng.normal(size=(20, D))
    xs = jnp.asarray(xs)
    ys = project(reduction, xs, alpha)
    sigma = jnp.array(sigma)
    full = labels(law, xs, alpha, sigma)
    small = labels(reduction.target, ys, alpha, sigma)
    np.testing.assert_allclose(np.exp(small), np.exp(full), rtol=1e-8, atol=1e-10)
    lifted = np.asarray(ys) @ np.asarray(reduction.basis).T
    rest = np.asarray(xs) - alpha * np.asarray(reduction.centre) - lifted
    variance = alpha**2 * float(reduction.variance) + float(sigma) ** 2
    outside = -np.sum(rest**2, 1) / (2 * variance)
    outside = outside - (D - rank) / 2 * np.log(2 * np.pi * variance)
    whole = densities(law, xs, alpha, sigma)
    inside = densities(reduction.target, ys, alpha, sigma)
    np.testing.assert_allclose(inside + outside, whole, rtol=1e-10, atol=1e-9)


@every_law
def test_lift_undoes_the_projection(name):
    law, _ = LAWS[name]
    reduction = reduce(law)
    assert reduction is not None
    basis = np.asarray(reduction.basis)
    y, z = RNG.normal(size=basis.shape[1]), RNG.normal(size=D)
    x = reduction.lift(jnp.asarray(y), jnp.asarray(z), 0.8, 0.5)
    np.testing.assert_allclose(reduction.project(x, 0.8), y, rtol=1e-10, atol=1e-10)
    # What is orthogonal is z there, at the noised variance alpha^2 v + sigma^2.
    rest = np.asarray(x) - 0.8 * np.asarray(reduction.centre) - basis @ y
    spread = np.sqrt(0.8**2 * float(reduction.variance) + 0.5**2)
    np.testing.assert_allclose(rest, spread * (z - basis @ (basis.T @ z)), atol=1e-10)


@pytest.mark.slow
@every_law
def test_reduced_moments(name):
    law, _ = LAWS[name]
    reduction = reduce(law)
    assert reduction is not None
    inner, outer = reduction.target.moments(), law.moments()
    basis, rank = np.asarray(reduction.basis), reduction.basis.shape[1]
    mean = reduction.centre + basis @ np.asarray(inner.mean)
    np.testing.assert_allclose(mean, outer.mean, rtol=1e-10)
    rest = float(reduction.variance) * (np.eye(D) - basis @ basis.T)
    lifted = basis @ np.asarray(inner.covariance()) @ basis.T + rest
    np.testing.assert_allclose(lifted, outer.covariance(), rtol=1e-9, atol=1e-9)
    assert rank < D


@pytest.mark.slow
def test_lift_is_exact_in_law():
    """10,000 draws, seed 2: a direction of x has the mixture's distribution (KS)."""
    law, _ = LAWS["low rank"]
    reduction = reduce(law)
    assert reduction is not None
    alpha, sigma, count = 0.8, 0.5, 10_000
    keys = jr.split(jr.key(2), (3, count))

    def one(clean, noise, rest):
        y = alpha * reduction.target.sample(clean)
        y = y + sigma * jr.normal(noise, y.shape)
        return reduction.lift(y, jr.normal(rest, (D,)), alpha, sigma)

    xs = np.asarray(jax.jit(jax.vmap(one))(*keys))
    for way in np.random.default_rng(3).normal(size=(3, D)):
        way = way / np.linalg.norm(way)
        spread = np.einsum("kdr,d->kr", FACTORS, way)
        sd = np.sqrt(alpha**2 * (np.sum(spread**2, 1) + 0.7) + sigma**2)
        cdf = lambda t, way=way, sd=sd: (
            scipy.stats.norm.cdf((t[:, None] - alpha * MEANS @ way) / sd) @ WEIGHTS
        )
        assert scipy.stats.kstest(xs @ way, cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    "law",
    [
        GaussianMixture.isotropic(MEANS, [0.7, 0.7, 0.6]),
        GaussianMixture.low_rank(MEANS, FACTORS, [0.7, 0.7, 0.6]),
        GaussianMixture.diagonal(MEANS, 0.7 * np.ones(D)),
        GaussianMixture.full(MEANS, np.eye(D)),
        GaussianMixture.isotropic(RNG.normal(size=(D + 1, D)), 0.7),
        GaussianMixture.isotropic([[0.0], [1.0]], 0.7),
    ],
    ids=["variances", "floors", "diagonal", "full", "too many means", "1-D"],
)
def test_nothing_to_reduce(law):
    assert reduce(law) is None


def test_traced_mixtures_are_refused():
    law, _ = LAWS["isotropic"]
    with pytest.raises(ValueError, match="`target` must be concrete"):
        eqx.filter_jit(reduce)(law)


def test_a_closed_over_mixture_reduces_inside_jit():
    law, _ = LAWS["low rank"]
    y = np.linspace(-1, 1, D)

    @jax.jit
    def inside(x):
        reduction = reduce(law)
        assert reduction is not None
        return reduction.project(x, 0.8)

    outside = reduce(law)
    assert outside is not None
    np.testing.assert_allclose(inside(y), outside.project(jnp.asarray(y), 0.8))
