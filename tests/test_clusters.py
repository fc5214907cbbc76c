"""Certified pruning: bounds hold, far blocks are left out, nothing else changes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import DTypeLike
from test_precision import equations

from jaxwin.targets import Empirical
from jaxwin.targets._clusters import felt_blocks

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(12, 20))
POINTS = CENTRES[RNG.integers(12, size=1500)] + 0.1 * RNG.normal(size=(1500, 20))
LABELS = RNG.integers(3, size=1500)
ALPHA = 0.8

both = eqx.filter_jit(
    lambda law, xs, alpha, sigma: (
        law.many(xs, alpha, sigma),
        law.score_many(xs, alpha, sigma),
    )
)

bounded = eqx.filter_jit(
    lambda balls, seen, log_mass, xs: jax.vmap(
        lambda x: balls.bounds(seen, log_mass, x)
    )(xs)
)


def noised(points, sigma, size, dtype: DTypeLike = float):
    rng = np.random.default_rng(1)
    clean = points[rng.integers(len(points), size=size)]
    return jnp.asarray(ALPHA * clean + sigma * rng.normal(size=clean.shape), dtype)


def sums(posterior, score):
    """What must agree: label probabilities, for their logs may be -inf."""
    labels = jnp.exp(posterior.label_log_posterior)
    return posterior.log_evidence, posterior.mean, labels, posterior.purity, score


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("sigma", [1e-4, 0.05, 0.5, 20.0])
@pytest.mark.parametrize("kind", ["kernels far off", "restricted"])
def test_same_as_the_plain_law(kind, sigma):
    points, labels = POINTS + 50 * (kind == "kernels far off"), LABELS
    bandwidth = 0.02 if kind == "kernels far off" else 0.0
    laws = [Empirical(points, labels, bandwidth, clusters=c) for c in (None, 12)]
    if kind == "restricted":
        laws = [law.restrict(jnp.array([True, False, True])) for law in laws]
    # Tiles of 256, 256 and a short one.
    xs = noised(points, sigma, 600)
    plain, pruned = (
        sums(*both(law, xs, jnp.asarray(ALPHA), jnp.asarray(sigma))) for law in laws
    )
    for ours, theirs in zip(pruned, plain, strict=True):
        size = 1e-10 * (1 + np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=size)


@pytest.mark.f32
@pytest.mark.parametrize("sigma", [1e-3, 0.05, 0.5])
def test_same_as_the_plain_law_in_float32(sigma):
    """In two passes at small noise, in one at large noise."""
    laws = [Empirical(POINTS, LABELS, clusters=c) for c in (None, 12)]
    xs = noised(POINTS, sigma, 300, np.float32)
    level = jnp.float32(ALPHA), jnp.float32(sigma)
    plain, pruned = (sums(*both(law, xs, *level)) for law in laws)
    for ours, theirs in zip(pruned, plain, strict=True):
        # Each is right to 1e-5; tiles sum in another order.
        slack = 1e-5 * float(np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=slack)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [1e-4, 0.05, 1.0, 100.0])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_bounds_hold(dtype, sigma, offset):
    """Each log-weight, summed in float64, is below its block's bound and its error."""
    law = Empirical((POINTS + offset).astype(dtype), clusters=12)
    seen = law._seen(dtype(ALPHA), dtype(sigma))
    xs = noised(POINTS + offset, sigma, 40, dtype)
    xs = jnp.concatenate([xs, 10 * xs[:5]])
    log_mass = jax.nn.logsumexp(seen.blocks.log_weights, axis=1)
    bounds, error = bounded(law.balls, seen, log_mass, xs)
    wide = lambda a: np.asarray(a, np.float64)
    alpha, sigma = float(dtype(ALPHA)), float(dtype(sigma))
    centre, y = wide(seen.centre), wide(xs) - alpha * wide(seen.centre)
    near = wide(law.points) - centre
    apart = ((y[:, None] - alpha * near) ** 2).sum(axis=2)
    gain = ((y**2).sum(axis=1)[:, None] - apart) / (2 * sigma**2)
    size = law.blocks.points.shape[1]
    best = np.stack(
        [part.max(axis=1) for part in np.split(gain, range(size, 1500, size), axis=1)],
        axis=1,
    )
    # A block has the weight of all its points, at most at the best one's distance.
    best += wide(log_mass)
    assert np.all(best <= wide(bounds) + wide(error)[:, None])
    # Close to the points the bounds are not idle either.
    if sigma == 1.0 and offset == 0:
        assert np.median(wide(bounds) - best) < 10


def felt(law, xs, sigma):
    seen = law._seen(jnp.asarray(ALPHA), jnp.asarray(sigma))
    log_mass = jax.nn.logsumexp(seen.blocks.log_weights, axis=1)
    bounds, error = bounded(law.balls, seen, log_mass, xs)
    home = jnp.zeros(log_mass.size, bool).at[jnp.argmax(bounds, axis=1)].set(True)
    return np.asarray(felt_blocks(seen, xs, bounds, error, home))


@pytest.mark.slow
def test_far_blocks_are_left_out():
    """Points about one cluster feel its blocks; at large noise they feel all."""
    law = Empirical(CENTRES.repeat(512, axis=0), clusters=12)
    xs = jnp.asarray(np.repeat(ALPHA * CENTRES[:1], 8, axis=0))
    assert felt(law, xs, 0.01).sum() == 2
    assert felt(law, xs, 20.0).all()


def test_what_is_left_out_has_no_weight():
    """Every block left out at a tile holds nothing but zeros of exp in float64."""
    law, sigma = Empirical(POINTS, clusters=12), 0.04
    xs = noised(POINTS, sigma, 400)[jnp.argsort(noised(POINTS, sigma, 400)[:, 0])][:6]
    away = np.asarray(xs)[:, None] - ALPHA * np.asarray(law.points)
    log_weight = -(away**2).sum(axis=2) / (2 * sigma**2)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    size = law.blocks.points.shape[1]
    out = np.repeat(~felt(law, xs, sigma), size)[:1500]
    assert 0 < out.sum() < 1500
    assert not weight[:, out].any()


def test_one_branch_for_a_tile():
    """Conditions stay scalars: a batched one would evaluate every block."""
    law = Empirical(POINTS, clusters=12)
    program = jax.make_jaxpr(lambda xs: law.score_many(xs, ALPHA, 0.05))
    conds = [
        equation
        for equation in equations(program(noised(POINTS, 0.05, 600)).jaxpr)
        if equation.primitive.name == "cond" and len(equation.params["branches"]) == 2
    ]
    assert conds
    assert all(equation.invars[0].aval.shape == () for equation in conds)


@pytest.mark.slow
def test_noise_levels_may_be_batched():
    law, sigmas = Empirical(POINTS, clusters=12), jnp.array([0.03, 0.3])
    xs = noised(POINTS, 0.03, 20)
    score = lambda sigma: law.score_many(xs, ALPHA, sigma)
    batched, alone = jax.jit(jax.vmap(score))(sigmas), jax.jit(score)
    for got, sigma in zip(batched, sigmas, strict=True):
        np.testing.assert_allclose(got, alone(sigma), rtol=1e-9, atol=1e-9)


def test_points_and_labels_move_together():
    law = Empirical(POINTS, LABELS, clusters=12)
    order = lambda points: np.lexsort(np.asarray(points).T)
    ours, theirs = order(law.points), order(POINTS)
    np.testing.assert_array_equal(law.points[ours], POINTS[theirs])
    np.testing.assert_array_equal(law.labels[ours], LABELS[theirs])


def test_clusters_that_cannot_be():
    for clusters in (0, 1501, True):
        with pytest.raises(ValueError, match="between 1 and the number of points"):
            Empirical(POINTS, clusters=clusters)
    with pytest.raises(ValueError, match="concrete points"):
        jax.jit(lambda points: Empirical(points, clusters=3).centre)(POINTS)


def test_an_empty_batch():
    law = Empirical(POINTS, clusters=12)
    assert law.score_many(jnp.ones((0, 20)), ALPHA, 0.05).shape == (0, 20)
