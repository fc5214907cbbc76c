"""Data sets as laws: streaming, shards, the own-point form, published values."""

from unittest import mock

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some

from jaxwin._streaming import Online, coordinate_sum, merge
from jaxwin.targets import Empirical, GaussianMixture, _empirical

jit = eqx.filter_jit
many = jit(lambda law, xs, a, s: law.many(xs, a, s))
own_many = jit(lambda law, i, z, a, s: law.own_many(i, z, a, s))


def in_blocks(size: int, points, labels=None, bandwidth=0.0) -> Empirical:
    with mock.patch.object(_empirical, "BLOCK", size):
        return Empirical(points, labels, bandwidth)


def by_hand(points, x, alpha, sigma, bandwidth=0.0, labels=None):
    """Plain numpy sums: log p(x), E[x0 | x], log p(label | x), purity, weights."""
    v = alpha**2 * bandwidth**2 + sigma**2
    logit = -0.5 * np.sum((x - alpha * points) ** 2, axis=1) / v
    weights = np.exp(logit - np.logaddexp.reduce(logit))
    n, d = points.shape
    log_density = np.logaddexp.reduce(logit) - np.log(n) - d / 2 * np.log(2 * np.pi * v)
    mean = weights @ (points + alpha * bandwidth**2 / v * (x - alpha * points))
    labels = np.zeros(n, int) if labels is None else labels
    masses = np.bincount(labels, weights)
    return log_density, mean, np.log(masses), np.sum(weights**2), weights


RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(37, 3))
LABELS = RNG.permutation(np.arange(37) % 3)
XS = RNG.normal(size=(6, 3))
look = jit(
    lambda law, xs, a, s: (
        law.many(xs, a, s),
        jax.vmap(lambda x: law.nearest(x, a, s))(xs),
    )
)


# One point a block, blocks with padding, all in one.
@pytest.mark.parametrize(
    ("size", "bandwidth"), [(1, 0.0), (8, 0.0), (1024, 0.0), (8, 0.4)]
)
def test_streaming_equals_direct_sums(size, bandwidth):
    law = in_blocks(size, POINTS, LABELS, bandwidth)
    np.testing.assert_array_equal(law.points, POINTS)
    np.testing.assert_array_equal(law.labels, LABELS)
    assert (law.num_points, law.num_labels, law.dimension) == (37, 3, 3)
    for sigma in (0.05, 0.7, 20.0):
        got, nearest = look(law, jnp.asarray(XS), jnp.array(0.6), jnp.array(sigma))
        for j, x in enumerate(XS):
            density, mean, log_labels, purity, weights = by_hand(
                POINTS, x, 0.6, sigma, bandwidth, LABELS
            )
            np.testing.assert_allclose(got.log_evidence[j], density, rtol=1e-12)
            np.testing.assert_allclose(got.mean[j], mean, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(got.purity[j], purity, rtol=1e-10)
            np.testing.assert_allclose(
                got.label_log_posterior[j], log_labels, rtol=1e-10, atol=1e-10
            )
            np.testing.assert_array_equal(nearest[j], POINTS[weights.argmax()])


near_field = jit(
    lambda law, x, a, s: (
        law.many(x[None], a, s),
        law.score(x, a, s),
        law.score_jacobian(x, a, s),
    )
)


def test_three_points_in_the_plane():
    """Theory of speciation and collapse, 5.3: against direct sums, down to t = 1e-6."""
    points = np.array([[0.0, 0], [1, 0], [0.3, 0.8]])
    law = Empirical(points)
    x = np.array([0.4, 0.35])
    for t in (1e-6, 0.01, 0.3, 2.0):
        alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
        density, mean, _, purity, weights = by_hand(points, x, alpha, sigma)
        args = jnp.asarray(x), jnp.array(alpha), jnp.array(sigma)
        got, score, jacobian = near_field(law, *args)
        np.testing.assert_allclose(got.log_evidence[0], density, rtol=1e-11)
        np.testing.assert_allclose(got.mean[0], mean, rtol=1e-8)
        np.testing.assert_allclose(got.purity[0], purity, rtol=1e-8)
        expected = (alpha * mean - x) / sigma**2
        np.testing.assert_allclose(score, expected, rtol=1e-8)
        apart = points - mean
        between = (weights * apart.T) @ apart
        expected = (alpha**2 * between / sigma**2 - np.eye(2)) / sigma**2
        values = np.linalg.eigvalsh(np.asarray(jacobian))
        np.testing.assert_allclose(values, np.linalg.eigvalsh(expected), rtol=1e-7)
        assert np.all(np.isfinite(values))


def quadrature(mean: float, sd: float) -> tuple[np.ndarray, np.ndarray]:
    y = mean + sd * np.linspace(-9, 9, 4001)
    weights = np.exp(-((y - mean) ** 2) / (2 * sd**2))
    return y[:, None], weights / weights.sum()


moments = jit(
    lambda law, xs, a, s: (
        jax.vmap(lambda x: law.denoise(x, a, s))(xs),
        jax.vmap(lambda x: law.posterior_covariance(x, a, s))(xs),
        jnp.exp(jax.vmap(lambda x: law.label_log_posterior(x, a, s))(xs)),
    )
)
TRAINING = np.array([[-2.0], [0.5], [3.0]])
RETURNS = {  # bandwidth, time: squared displacement of 0.5 and of 1.0 in a U-turn
    (0.0, 0.05): (0.0011230998, 0.2957729306),
    (0.0, 0.1): (0.0754984777, 0.4981779460),
    (0.0, 0.2): (0.6983261070, 1.0014587233),
    (0.0, 0.5): (2.8540552001, 2.7844281106),
    (0.5, 0.1): (0.2617202948, 0.4015181516),
    (1.0, 0.1): (0.4231635905, 0.4359283928),
}


@pytest.mark.slow
@pytest.mark.parametrize("level", some(RETURNS, [(0.0, 0.2), (0.5, 0.1)]))
def test_published_u_turn_displacement(level):
    bandwidth, t = level
    """Windows 2.5: E|X' - x|^2 over the noise, all digits printed."""
    law = Empirical(TRAINING, np.arange(3), bandwidth)
    alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    for x, published in zip((0.5, 1.0), RETURNS[bandwidth, t], strict=True):
        y, weights = quadrature(alpha * x, sigma)
        mean, covariance, _ = map(
            np.asarray, moments(law, jnp.asarray(y), jnp.array(alpha), jnp.array(sigma))
        )
        got = weights @ ((mean[:, 0] - x) ** 2 + covariance[:, 0, 0])
        assert abs(got - published) < 1e-9


@pytest.mark.parametrize(
    ("t", "published"),
    [(0.05, 0.99982030), (0.1, 0.98792024), (0.2, 0.88826782), (0.5, 0.54335117)],
)
def test_published_return_probability(t, published):
    law = Empirical(TRAINING, np.arange(3))
    alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    y, weights = quadrature(alpha * 0.5, sigma)
    p = moments(law, jnp.asarray(y), jnp.array(alpha), jnp.array(sigma))[2]
    assert abs(weights @ np.asarray(p)[:, 1] - published) < 6e-9


@pytest.mark.slow
@pytest.mark.parametrize("bandwidth", some([0.0, 0.3], [0.3]))
def test_same_as_a_mixture(bandwidth):
    mixture = GaussianMixture.isotropic(POINTS, bandwidth**2, labels=LABELS)
    law = in_blocks(8, POINTS, LABELS, bandwidth)
    for sigma in (0.1, 1.0):
        for ours, theirs in zip(
            moments(law, jnp.asarray(XS), 0.5, jnp.array(sigma)),
            moments(mixture, jnp.asarray(XS), 0.5, jnp.array(sigma)),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("d", [1, 7, 8, 9, 20])
def test_coordinate_sum(d):
    """Any number of coordinates, whole chunks or not; several sums in one pass."""
    points, own, z = RNG.normal(size=(5, d)), RNG.normal(size=d), RNG.normal(size=d)
    term = lambda column, own, z: ((column - own) * z, (column - own) ** 2)
    along, square = coordinate_sum(term, *map(jnp.asarray, (points, own, z)))
    np.testing.assert_allclose(along, (points - own) @ z, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(square, np.sum((points - own) ** 2, 1), rtol=1e-13)


def shards(law: Empirical, count: int) -> list[Empirical]:
    """Disjoint runs of blocks; together they are the law."""
    cuts = np.array_split(np.arange(law.blocks.labels.shape[0]), count)
    take = lambda cut: jax.tree.map(lambda leaf: leaf[cut], law.blocks)
    return [eqx.tree_at(lambda g: g.blocks, law, take(jnp.asarray(c))) for c in cuts]


partial = jit(lambda law, x, a, s, reference: law.partial(x, a, s, reference))
finish = jit(lambda law, online, *args: law.finish(online, *args))


@pytest.mark.parametrize("count", [2, 5])
def test_shards_merge_into_the_whole(count):
    law = in_blocks(8, POINTS, LABELS, 0.1)
    x, alpha = jnp.asarray(XS[0]), jnp.array(0.7)
    for sigma in map(jnp.array, (1e-4, 0.3, 100.0)):
        whole, nearest = look(law, x[None], alpha, sigma)
        args = x, alpha, sigma, nearest[0]
        parts = [partial(part, *args) for part in shards(law, count)]
        forward, backward = parts[0], parts[-1]
        for part in parts[1:]:
            forward = merge(forward, part)
        for part in parts[-2::-1]:
            backward = merge(part, backward)
        empty = Online.empty(3, 3, x.dtype)
        assert float(empty.log_mass()) == -np.inf
        for online in (forward, backward, merge(empty, forward), merge(forward, empty)):
            got = jax.tree.leaves(finish(law, online, *args))
            for ours, theirs in zip(got, jax.tree.leaves(whole), strict=True):
                np.testing.assert_allclose(ours, theirs[0], rtol=1e-12)


def test_reference_may_be_any_point():
    """What is common to all weights cancels: even where exp of it would overflow."""
    law = in_blocks(8, POINTS, LABELS)
    x = jnp.asarray(XS[1])
    direct = many(law, x[None], jnp.array(0.7), jnp.array(0.05))
    for reference in (POINTS[0], np.array([9.0, 9, 9])):
        args = x, jnp.array(0.7), jnp.array(0.05), jnp.asarray(reference)
        got = finish(law, partial(law, *args), *args)
        for ours, theirs in zip(
            jax.tree.leaves(got), jax.tree.leaves(direct), strict=True
        ):
            np.testing.assert_allclose(ours, theirs[0], rtol=1e-9, atol=1e-9)


LEVELS = np.array([[1.0, 1e-4], [0.99, 0.05], [0.7, 0.7], [0.1, 30.0], [1.0, 1e3]])


@pytest.mark.parametrize("bandwidth", some([0.0, 0.4], [0.4]))
def test_own_point_form(bandwidth):
    """At x = alpha a + sqrt(v) z it says what `many` says, the own point in."""
    law = in_blocks(8, POINTS, LABELS, bandwidth)
    indices, z = jnp.array([0, 7, 8, 36]), jnp.asarray(RNG.normal(size=(4, 3)))
    alphas, sigmas = jnp.asarray(LEVELS).T
    got = own_many(law, indices, z, alphas, sigmas)
    assert got.log_evidence.shape == (4, 5)
    ratio = jit(lambda law, i, z, a, s: law.own_log_ratio(i, z, a, s))
    for j, (alpha, sigma) in enumerate(LEVELS):
        sd = np.sqrt(alpha**2 * bandwidth**2 + sigma**2)
        xs = alpha * POINTS[indices] + sd * np.asarray(z)
        direct = many(law, jnp.asarray(xs), jnp.array(alpha), jnp.array(sigma))
        for ours, theirs in zip(
            jax.tree.leaves(got), jax.tree.leaves(direct), strict=True
        ):
            np.testing.assert_allclose(ours[:, j], theirs, rtol=1e-9, atol=1e-8)
        for row, i in enumerate(indices):
            weights = by_hand(POINTS, xs[row], alpha, sigma, bandwidth)[4]
            if weights[i] < 1 - 1e-6:
                rest = np.log((weights.sum() - weights[i]) / weights[i])
                got_ratio = ratio(law, i, z[row], jnp.array(alpha), jnp.array(sigma))
                np.testing.assert_allclose(got_ratio, rest, rtol=1e-8, atol=1e-8)


def test_own_point_is_not_among_the_others():
    """Others carry n - 1 points, the own label only through others."""
    law = in_blocks(8, POINTS, LABELS)
    for index in (0, 8, 36):
        z = jnp.zeros(3)
        others = law.own_partial(jnp.array(index), z, 1e-9, 1.0)
        mass = float(others.mass * jnp.exp(others.top))
        assert abs(mass - 36) < 1e-6
        expected = np.bincount(np.delete(LABELS, index), minlength=3)
        got = others.label_mass * jnp.exp(others.top)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        centre = others.sum_x / others.mass
        np.testing.assert_allclose(centre, np.delete(POINTS, index, 0).mean(0), 1e-6)
    alone = Empirical(np.array([[1.0, 2.0]]))
    ratio = alone.own_log_ratio(jnp.array(0), jnp.ones(2), 0.5, 0.5)
    assert float(ratio) == -np.inf


@pytest.mark.slow
@pytest.mark.parametrize("bandwidth", some([0.0, 0.3], [0.3]))
def test_own_point_outside_the_restriction(bandwidth):
    """A point of weight zero: the others alone, at every sigma, and a ratio of inf."""
    law = in_blocks(8, POINTS, LABELS, bandwidth)
    law = law.restrict(jnp.array([True, False, True]))
    index = int(np.flatnonzero(LABELS == 1)[0])
    z, (alphas, sigmas) = jnp.asarray(XS[:1]), jnp.asarray(LEVELS).T
    got = own_many(law, jnp.array([index]), z, alphas, sigmas)
    for j, (alpha, sigma) in enumerate(LEVELS):
        x = alpha * POINTS[index] + np.hypot(alpha * bandwidth, sigma) * XS[:1]
        direct = many(law, jnp.asarray(x), jnp.array(alpha), jnp.array(sigma))
        for ours, theirs in zip(
            jax.tree.leaves(got), jax.tree.leaves(direct), strict=True
        ):
            np.testing.assert_allclose(ours[:, j], theirs, rtol=1e-9, atol=1e-8)
        ratio = law.own_log_ratio(jnp.array(index), z[0], alpha, sigma)
        assert float(ratio) == np.inf


def test_soft_labels_take_the_own_point():
    """The same draw, noised by hand, has the same label posterior."""
    law = in_blocks(8, POINTS, LABELS, 0.2)
    alphas, sigmas = jnp.asarray(LEVELS[1:4]).T
    label, log_p = law.soft_labels(jr.key(5), alphas, sigmas)
    choice_key, normal_key = jr.split(jr.key(5))
    index = int(law.draw_index(choice_key))
    z = jr.normal(normal_key, (3,))
    assert int(label) == LABELS[index]
    for j, (alpha, sigma) in enumerate(LEVELS[1:4]):
        x = alpha * POINTS[index] + np.sqrt(alpha**2 * 0.04 + sigma**2) * np.asarray(z)
        expected = by_hand(POINTS, x, alpha, sigma, 0.2, LABELS)[2]
        np.testing.assert_allclose(log_p[j], expected, rtol=1e-9, atol=1e-9)


draws = jit(
    lambda law, keys, x, a, s: jax.vmap(
        lambda k: law.posterior_draw(k, jnp.zeros((law.posterior_draws, 3)), x, a, s)
    )(keys)
)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 8, 1024])
def test_posterior_draws_by_cumulative_weights(size):
    """One uniform through cumulative weights in order: the index is known exactly."""
    law = in_blocks(size, POINTS)
    keys = jr.split(jr.key(6), 500)
    uniforms = np.array(jax.vmap(jr.uniform)(keys))
    for x, sigma in ((XS[0], 1.0), (XS[1], 0.1), (XS[2], 1e-3)):
        got = np.asarray(draws(law, keys, jnp.asarray(x), 0.9, jnp.array(sigma)))
        weights = by_hand(POINTS, x, 0.9, sigma)[4]
        index = np.searchsorted(np.cumsum(weights), uniforms * weights.sum(), "right")
        np.testing.assert_array_equal(got, POINTS[index])


def test_draws_skip_what_is_restricted_out():
    law = in_blocks(8, POINTS, LABELS).restrict(jnp.array([False, True, False]))
    keys = jr.split(jr.key(7), 500)
    for sigma in (1e-3, 1.0, 1e3):
        got = np.asarray(draws(law, keys, jnp.asarray(XS[0]), 0.9, jnp.array(sigma)))
        index = np.abs(got[:, None] - POINTS).max(2).argmin(1)
        assert set(LABELS[index]) == {1}
    clean = jax.jit(jax.vmap(law.draw_index))(keys)
    assert set(LABELS[np.asarray(clean)]) == {1}
    assert set(np.asarray(clean)) == set(np.flatnonzero(LABELS == 1))


def test_kernel_draws_take_one_gaussian():
    sharp, smooth = Empirical(POINTS), Empirical(POINTS, bandwidth=0.3)
    assert (sharp.posterior_draws, smooth.posterior_draws) == (0, 1)
    x, z = jnp.asarray(XS[0]), jnp.ones((1, 3))
    lower = smooth.posterior_draw(jr.key(0), jnp.zeros((1, 3)), x, 0.8, 0.5)
    upper = smooth.posterior_draw(jr.key(0), z, x, 0.8, 0.5)
    spread = 0.3 * 0.5 / np.sqrt(0.64 * 0.09 + 0.25)
    np.testing.assert_allclose(upper - lower, spread, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("restrict_first", [True, False])
def test_restriction_and_padding(restrict_first):
    """Padding and points restricted out have weight zero, in every average."""
    keep = LABELS != 1
    alone = Empirical(POINTS[keep], LABELS[keep] // 2, 0.1)
    law = in_blocks(8, POINTS, LABELS, 0.1)
    law = law.restrict(jnp.array([True, False, True]))
    if restrict_first:
        law = law.restrict(jnp.array([True, True, True]))
    for ours, theirs in zip(
        moments(law, jnp.asarray(XS), 0.5, 0.3),
        moments(alone, jnp.asarray(XS), 0.5, 0.3),
        strict=True,
    ):
        ours = ours[:, [0, 2]] if theirs.shape == (6, 2) else ours
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)
    exact, got = alone.moments(), law.moments()
    np.testing.assert_allclose(got.mean, exact.mean, rtol=1e-12)
    np.testing.assert_allclose(got.covariance(), exact.covariance(), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("bandwidth", some([0.0, 0.5], [0.0]))
def test_one_point(bandwidth):
    law = Empirical(np.array([[1.0, -2.0]]), bandwidth=bandwidth)
    x = jnp.array([0.3, 0.7])
    for sigma in (1e-4, 1.0, 1e3):
        v = 0.64 * bandwidth**2 + sigma**2
        score = law.score(x, 0.8, sigma)
        np.testing.assert_allclose(score, (0.8 * np.array([1, -2]) - x) / v, 1e-12)
        posterior = law.many(x[None], 0.8, sigma)
        assert float(posterior.purity[0]) == 1
        np.testing.assert_array_equal(posterior.label_log_posterior, [[0.0]])
    np.testing.assert_array_equal(law.moments().factor, np.zeros((2, 1)))


@pytest.mark.slow
def test_duplicates_count_twice():
    repeated = np.concatenate([POINTS, POINTS[:5]])
    weights = np.ones(37)
    weights[:5] = 2
    once = GaussianMixture.isotropic(POINTS, 0.0, weights / 42)
    twice = in_blocks(8, repeated)
    for sigma in (1e-3, 0.5):
        for ours, theirs in zip(
            moments(twice, jnp.asarray(XS), 0.9, jnp.array(sigma))[:2],
            moments(once, jnp.asarray(XS), 0.9, jnp.array(sigma))[:2],
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    same = Empirical(np.ones((9, 3)))
    posterior = same.many(jnp.asarray(XS), 1.0, 1e-4)
    np.testing.assert_allclose(posterior.purity, 1 / 9, rtol=1e-12)
    np.testing.assert_allclose(posterior.mean, 1, rtol=1e-14)


def test_offset_data():
    """Data far from the origin: the same law, moved."""
    offset = 1e5
    moved = in_blocks(8, POINTS + offset, LABELS, 0.1)
    law = in_blocks(8, (POINTS + offset) - offset, LABELS, 0.1)
    for sigma in (0.05, 1.0):
        near = moments(law, jnp.asarray(XS), 1.0, jnp.array(sigma))
        far = moments(moved, jnp.asarray(XS + offset), 1.0, jnp.array(sigma))
        for ours, theirs, shift in zip(far, near, (offset, 0, 0), strict=True):
            np.testing.assert_allclose(ours - shift, theirs, rtol=1e-6, atol=1e-7)


def test_memory_does_not_grow_with_the_data():
    """XLA's own count of temporary bytes, at 4 and at 32 blocks of the default size."""

    def temporary(n: int) -> int:
        law = Empirical(np.zeros((n, 4)))
        program = jax.jit(lambda law, xs: law.many(xs, 0.5, 0.5).mean)
        compiled = program.lower(law, jnp.zeros((8, 4))).compile()
        memory = compiled.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert temporary(32 * 1024) < 1.5 * temporary(4 * 1024)


def test_no_new_program_for_new_data():
    trace = eqx.debug.assert_max_traces(
        lambda law, xs, a, s: law.many(xs, a, s).mean, max_traces=1
    )
    jitted = jit(trace)
    for i in range(3):
        law = in_blocks(8, POINTS + i, LABELS, 0.1 + i)
        jitted(law, jnp.asarray(XS), jnp.array(0.5), jnp.array(0.1 * (i + 1)))


WRONG = {
    "one axis": (lambda: Empirical(np.zeros(3)), "points"),
    "no points": (lambda: Empirical(np.zeros((0, 3))), "points"),
    "no coordinates": (lambda: Empirical(np.zeros((3, 0))), "points"),
    "three axes": (lambda: Empirical(np.zeros((3, 2, 2))), "points"),
    "NaN": (lambda: Empirical(np.full((3, 2), np.nan)), "points"),
    "infinity": (lambda: Empirical(np.full((3, 2), np.inf)), "points"),
    "labels of length 2": (lambda: Empirical(np.zeros((3, 2)), [0, 1]), "labels"),
    "float labels": (lambda: Empirical(np.zeros((2, 2)), [0.0, 1.0]), "labels"),
    "a gap in labels": (lambda: Empirical(np.zeros((2, 2)), [0, 2]), "labels"),
    "negative labels": (lambda: Empirical(np.zeros((2, 2)), [0, -1]), "labels"),
    "negative bandwidth": (lambda: Empirical(POINTS, None, -0.1), "bandwidth"),
    "NaN bandwidth": (lambda: Empirical(POINTS, None, np.nan), "bandwidth"),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_name_the_argument(what):
    build, argument = WRONG[what]
    with pytest.raises(ValueError, match=f"`{argument}`"):
        build()


def test_list_and_integer_input():
    law = Empirical([[0, 1], [2, 3]], [0, 1])
    assert law.centre.dtype == jnp.result_type(float)
    np.testing.assert_array_equal(law.moments().mean, [1, 2])


@jit
def stream(law, x, alpha, sigma, key):
    posterior = law.many(x[None], alpha, sigma)
    return (
        posterior,
        law.score(x, alpha, sigma),
        law.posterior_sample(key, x, alpha, sigma),
    )


LAWS = {size: in_blocks(size, POINTS, LABELS) for size in (1, 8, 37)}


@pytest.mark.slow
@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    seed=st.integers(0, 2**31 - 1),
    log_sigma=st.floats(-9.2, 6.9),
    log_norm=st.floats(-9.2, 9.2),
    size=st.sampled_from([1, 8]),
    coincide=st.booleans(),
    noised=st.booleans(),
)
def test_hard_corners(seed, log_sigma, log_norm, size, coincide, noised):
    """Blocks do not matter; averages and draws stay among the data."""
    rng = np.random.default_rng(seed)
    points = np.round(POINTS) if coincide else POINTS
    alpha, sigma = rng.uniform(0.01, 1), np.exp(log_sigma)
    x = rng.normal(size=3)
    x *= np.exp(log_norm) / np.linalg.norm(x)
    x = alpha * points[seed % 37] + sigma * rng.normal(size=3) if noised else x
    args = jnp.asarray(x), jnp.array(alpha), jnp.array(sigma), jr.key(seed)
    whole, blocked = in_blocks(37, points, LABELS), in_blocks(size, points, LABELS)
    one, score, _ = jax.tree.map(np.asarray, stream(whole, *args))
    two, _, draw = jax.tree.map(np.asarray, stream(blocked, *args))
    slack = 1e-10 + 1e-14 * (1 + x @ x) / sigma**2
    np.testing.assert_allclose(two.mean, one.mean, rtol=0, atol=slack)
    np.testing.assert_allclose(
        np.exp(two.label_log_posterior), np.exp(one.label_log_posterior), atol=slack
    )
    assert np.all(np.isfinite([*score, *two.log_evidence]))
    assert np.all(points.min(0) - 1e-12 <= two.mean)
    assert np.all(two.mean <= points.max(0) + 1e-12)
    assert 1 / 37 - 1e-9 <= two.purity[0] <= 1 + 1e-12
    assert abs(np.logaddexp.reduce(two.label_log_posterior[0])) < 1e-12
    assert np.abs(points - draw).max(1).min() == 0
