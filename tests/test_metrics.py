"""Metrics: closed forms, scipy, brute force; standard errors against replicates."""

import functools
import sys
import warnings

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from batteries import some
from jaxtyping import DTypeLike
from scipy.spatial.distance import cdist
from test_precision import check

from jaxwin import metrics
from jaxwin.metrics import Metric
from jaxwin.metrics._frechet import fidelity
from jaxwin.metrics._line import staircase, transport
from jaxwin.metrics._pairs import DIRECT, TILE

RNG = np.random.default_rng(0)
KEY = jr.key(5)
MODES = 4


def labels_of(x):
    """Any rule that gives each sample a mode."""
    return (jnp.abs(x[:, 0] * 97) % MODES).astype(jnp.int32)


def weight_error(x, y):
    del y
    return metrics.mode_weight_error(labels_of(x), jnp.full(MODES, 0.25, x.dtype))


def moments_error(x, y):
    d = x.shape[1]
    means = jnp.stack([y[i] for i in range(MODES)])
    covariances = jnp.broadcast_to(jnp.eye(d, dtype=x.dtype), (MODES, d, d))
    return metrics.mode_moments_error(x, jnp.arange(len(x)) % MODES, means, covariances)


# Everything that compares two samples, as functions of both.
PAIRS = {
    "wasserstein_1d": lambda x, y: metrics.wasserstein_1d(x[:, 0], y[:, 0]),
    "wasserstein_1d, order 2": lambda x, y: metrics.wasserstein_1d(
        x[:, :1], y[:, 0], order=2
    ),
    "sliced": lambda x, y: metrics.sliced_wasserstein(x, y, KEY, num_projections=16),
    "mmd": metrics.mmd,
    "energy": metrics.energy_distance,
    "energy, line": lambda x, y: metrics.energy_distance(x[:, 0], y[:, 0]),
    "frechet": metrics.frechet,
    "frechet, law": lambda x, y: metrics.frechet(
        x, mean=y[0], covariance=jnp.eye(x.shape[1], dtype=x.dtype)
    ),
}
OTHERS = {
    "likelihood": lambda x, y: metrics.negative_log_likelihood(x[:, 0] - y[0, 0]),
    "weights": lambda x, y: weight_error(x, y).kl,
    "moments, mean": lambda x, y: moments_error(x, y).mean,
    "moments, covariance": lambda x, y: moments_error(x, y).covariance,
}
EVERY = PAIRS | OTHERS
# One compilation of each for every test at one shape.
JIT = {name: jax.jit(metric) for name, metric in EVERY.items()}
SLOPE = {
    name: jax.jit(jax.grad(lambda x, y, f=metric: f(x, y).value))
    for name, metric in PAIRS.items()
}
TWO_SAMPLES = [name for name in PAIRS if name != "frechet, law"]


def samples(n=40, m=40, d=3, dtype: DTypeLike = float):
    rng = np.random.default_rng(n + 7 * m + 31 * d)
    x = rng.normal(size=(n, d)) * [1, 2, 0.5, *[1] * 60][:d] + 0.3
    return x.astype(dtype), rng.normal(size=(m, d)).astype(dtype)


# Values

jit_w1 = jax.jit(metrics.wasserstein_1d)
jit_mmd = jax.jit(metrics.mmd)
jit_energy = jax.jit(metrics.energy_distance)
jit_frechet = jax.jit(metrics.frechet)
jit_weights = jax.jit(metrics.mode_weight_error)
jit_transport = jax.jit(transport, static_argnums=2)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(2, 2), (40, 55), (300, 12)])
def test_the_line_against_scipy(n, m):
    x, y = RNG.normal(size=n), 2 * RNG.normal(size=m) + 1
    found = jit_w1(x, y)
    exact = scipy.stats.wasserstein_distance(x, y)
    np.testing.assert_allclose(found.value, exact, rtol=1e-12)
    # scipy has the root of the biased form: add what pairs of one point leave out.
    own = lambda v: np.abs(v[:, None] - v[None]).mean()
    biased = scipy.stats.energy_distance(x, y) ** 2
    exact = biased - own(x) / (n - 1) - own(y) / (m - 1)
    found = jit_energy(x, y)
    np.testing.assert_allclose(found.value, exact, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("order", "n", "m"), [(1, 4, 6), (1, 6, 6), (1.5, 6, 6), (2, 4, 6), (3.0, 9, 5)]
)
def test_any_order_against_linear_programming(n, m, order):
    """The dual potentials are feasible, and their means are the primal optimum."""
    x, y = np.sort(RNG.normal(size=n)), np.sort(RNG.normal(size=m) + 0.4)
    cost = np.abs(x[:, None] - y[None]) ** order
    rows = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    plan = scipy.optimize.linprog(
        cost.ravel(),
        A_eq=np.vstack(rows),
        b_eq=np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)]),
    )
    total, phi, psi = map(np.asarray, jit_transport(x, y, order))
    np.testing.assert_allclose(total, plan.fun, rtol=1e-9)
    assert np.all(phi[:, None] + psi[None] <= cost + 1e-12)
    np.testing.assert_allclose(phi.mean() + psi.mean(), total, rtol=1e-12)


def test_staircase_is_whole():
    for n, m in ((2, 2), (3, 7), (8, 12), (1000, 999)):
        path = staircase(n, m)
        for index, first, size in (
            (path.i, path.first_i, n),
            (path.j, path.first_j, m),
        ):
            np.testing.assert_array_equal(index[first], np.arange(size))
            mass = np.bincount(index, path.width)
            np.testing.assert_allclose(mass, 1 / size, rtol=1e-12)


@pytest.mark.slow
def test_a_law_by_its_quantiles():
    """W_1 and W_2 of normals; 4 standard errors and the O(1/n) of the midpoints."""
    normal = jax.scipy.stats.norm.ppf
    to_law = lambda x, law, order: metrics.wasserstein_1d(x, quantile=law, order=order)
    fast = jax.jit(to_law, static_argnums=(1, 2))
    found = fast(1.5 * RNG.normal(size=20_000) + 0.7, normal, 2)
    exact = np.hypot(0.7, 0.5)
    assert abs(found.value - exact) < 4 * found.stderr + 1e-3
    # Means alone differ: every sample is carried the same way.
    found = fast(RNG.normal(size=4000), lambda u: 5 + normal(u), 1)
    assert abs(found.value - 5) < 4 * found.stderr
    np.testing.assert_allclose(found.stderr, 1 / np.sqrt(4000), rtol=0.05)


def brute(kernel, x, y):
    """U-statistic of a kernel by whole matrices."""
    off = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
    own = off(kernel(cdist(x, x))) + off(kernel(cdist(y, y)))
    return own - 2 * kernel(cdist(x, y)).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m", "d"),
    [
        (2, 2, 2),
        (30, 41, 40),
        (TILE + 1, 2 * TILE + 7, DIRECT),
    ],
)
def test_pairs_against_whole_matrices(n, m, d):
    x, y = samples(n, m, d)
    exact = brute(lambda r: np.exp(-(r**2) / (2 * 1.7**2)), x, y)
    np.testing.assert_allclose(jit_mmd(x, y, 1.7).value, exact, atol=1e-13)
    exact = brute(lambda r: -r, x, y)
    found = jit_energy(x, y)
    np.testing.assert_allclose(found.value, exact, rtol=1e-9, atol=1e-11)
    assert np.isfinite(found.stderr)


def test_bandwidth_left_out_is_the_mean_distance():
    x, y = samples()
    spread = lambda v: cdist(v, v, "sqeuclidean").sum() / (len(v) * (len(v) - 1))
    h = np.sqrt((spread(x) + spread(y)) / 4)
    found, given = JIT["mmd"](x, y), jit_mmd(x, y, h)
    np.testing.assert_allclose(found.value, given.value, rtol=1e-10)


def test_the_line_is_the_plane_with_nothing_across():
    """Sorting and tiles give one value and one standard error."""
    x, y = RNG.normal(size=(70, 1)), RNG.normal(size=(45, 1)) + 0.2
    line = jit_energy(x, y)
    flat = lambda v: np.pad(v, ((0, 0), (0, 1)))
    plane = jit_energy(flat(x), flat(y))
    np.testing.assert_allclose(line.value, plane.value, rtol=1e-10)
    np.testing.assert_allclose(line.stderr, plane.stderr, rtol=1e-10)


@pytest.mark.slow
def test_laws_of_gaussians():
    """8,000 samples each; within 4 standard errors of closed forms and quadrature."""
    n, d, shift, std, h = 8000, 3, 0.6, 1.4, 1.2
    x = RNG.normal(size=(n, d))
    y = std * RNG.normal(size=(n, d)) + shift * np.eye(d)[:1]
    # E k(a, b) for a - b ~ N(mu, s I) is (h^2 / (h^2 + s))^(d/2) e^{-mu^2 / 2(h^2 + s)}
    mean = lambda s, mu: (1 + s / h**2) ** (-d / 2) * np.exp(-(mu**2) / (h**2 + s) / 2)
    exact = mean(2, 0) + mean(2 * std**2, 0) - 2 * mean(1 + std**2, shift)
    few = slice(2000)
    found = jit_mmd(x[few], y[few], h)
    assert abs(found.value - exact) < 4 * found.stderr
    assert found.stderr < 0.1 * exact

    cdf = scipy.stats.norm.cdf
    t = np.linspace(-15, 15, 3001)
    exact = 2 * np.sum((cdf(t) - cdf((t - shift) / std)) ** 2) * (t[1] - t[0])
    found = jit_energy(x[:, 0], y[:, 0])
    assert abs(found.value - exact) < 4 * found.stderr
    assert found.stderr < 0.1 * exact

    # Every projection is a normal of known mean and scale: E (u_1)^2 = 1 / d.
    exact = np.sqrt(shift**2 / d + (std - 1) ** 2)
    found = jax.jit(metrics.sliced_wasserstein)(x, y, jr.key(1))
    assert abs(found.value - exact) < 4 * found.stderr
    assert found.stderr < 0.05 * exact

    exact = shift**2 + d * (std - 1) ** 2
    found = jit_frechet(x, y)
    assert abs(found.value - exact) < 4 * found.stderr
    assert found.stderr < 0.05 * exact
    law = {"mean": np.zeros(d), "covariance": np.eye(d)}
    found = jit_frechet(y, **law)
    assert abs(found.value - exact) < 4 * found.stderr


def sqrtm_distance(m1, c1, m2, c2):
    root = np.real(scipy.linalg.sqrtm(c1))
    cross = np.trace(np.real(scipy.linalg.sqrtm(root @ c2 @ root)))
    return np.sum((m1 - m2) ** 2) + np.trace(c1) + np.trace(c2) - 2 * cross


@pytest.mark.parametrize("d", [1, 3, 12])
def test_frechet_against_sqrtm(d):
    x, y = samples(60, 80, d)
    moments = lambda v: (v.mean(0), np.cov(v, rowvar=False).reshape(d, d))
    exact = sqrtm_distance(*moments(x), *moments(y))
    np.testing.assert_allclose(jit_frechet(x, y).value, exact, rtol=1e-9)
    m, c = moments(y)
    found = jit_frechet(x, mean=m, covariance=c)
    np.testing.assert_allclose(found.value, exact, rtol=1e-9)


def test_frechet_of_few_samples_in_many_dimensions():
    """Singular covariances, against the nuclear norm of the cross products."""
    x, y = samples(8, 11, 40)
    centred = [v - v.mean(0) for v in (x, y)]
    cross = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    spread = sum(np.sum(v**2) / (len(v) - 1) for v in centred)
    exact = spread - 2 * cross / np.sqrt(7 * 10)
    exact += np.sum((x.mean(0) - y.mean(0)) ** 2)
    np.testing.assert_allclose(jit_frechet(x, y).value, exact, rtol=1e-9)


def test_mode_weights_by_hand():
    found = jit_weights(np.array([0, 0, 2, 1, 0]), np.array([2.0, 1.0, 1.0, 4.0]))
    p, w = np.array([0.6, 0.2, 0.2]), np.array([0.25, 0.125, 0.125])
    np.testing.assert_allclose(found.frequencies, [*p, 0])
    np.testing.assert_allclose(found.kl.value, scipy.special.rel_entr(p, w).sum())
    np.testing.assert_allclose(found.total_variation.value, 0.5)
    never = jit_weights(np.array([0, 0, 1]), np.array([1.0, 0.0]))
    assert np.isinf(never.kl.value)
    assert np.isinf(never.kl.stderr)
    assert np.isfinite(never.total_variation.stderr)
    right = jit_weights(np.array([0, 1, 0, 1]), np.array([1, 1]))
    assert float(right.kl.value) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(right.kl.stderr, np.sqrt(1 / 2) / 4)


def unbiased_square(z, n):
    """tr Sigma^2: mean of the products of disjoint pairs' half-differences."""
    g = z @ z.T
    np.fill_diagonal(g, 0)
    two = np.sum(g**2)
    # Sums over distinct i, j, k(, l) of g_ij g_jk and g_ij g_kl.
    three = np.sum(g.sum(1) ** 2) - two
    four = np.sum(g) ** 2 - 4 * three - 2 * two
    two, three = two / (n * (n - 1)), three / (n * (n - 1) * (n - 2))
    return two - 2 * three + four / (n * (n - 1) * (n - 2) * (n - 3))


def test_mode_moments_by_hand():
    x, _ = samples(41, 2, 2)
    labels = np.arange(41) % 3
    labels[labels == 2] = 1
    labels[0] = 2
    means, covariances = RNG.normal(size=(3, 2)), np.stack([np.eye(2)] * 3)
    found = metrics.mode_moments_error(x, labels, means, covariances)
    np.testing.assert_array_equal(found.count, [13, 27, 1])
    for k in (0, 1):
        of_mode = x[labels == k]
        n, z = len(of_mode), of_mode - of_mode.mean(0)
        c = np.cov(of_mode, rowvar=False)
        value = np.sum((of_mode.mean(0) - means[k]) ** 2) - np.trace(c) / n
        np.testing.assert_allclose(found.mean.value[k], value)
        value = np.sum((c - np.eye(2)) ** 2)
        # The square of C over fourfold different samples, by the pairs that it needs.
        value += unbiased_square(z, n) - np.sum(c**2)
        np.testing.assert_allclose(found.covariance.value[k], value)
    for metric in (found.mean, found.covariance):
        assert np.isinf(metric.value[2])
        assert np.isinf(metric.stderr[2])


def test_likelihood_of_a_normal():
    x = RNG.normal(size=10_000)
    found = metrics.negative_log_likelihood(scipy.stats.norm.logpdf(x))
    assert abs(found.value - 0.5 * np.log(2 * np.pi * np.e)) < 4 * found.stderr
    np.testing.assert_allclose(found.stderr, np.sqrt(0.5) / 100, rtol=0.05)


# Standard errors


REPLICAS = 500


def gaussians(key, shift, std, n=60, m=48, d=3):
    first, second = jr.split(key)
    return jr.normal(first, (n, d)), std * jr.normal(second, (m, d)) + shift


def sliced_afresh(x, y, key, num_projections=12):
    return metrics.sliced_wasserstein(x, y, key, num_projections=num_projections)


ERRORS = {
    "W1": lambda x, y, key: metrics.wasserstein_1d(x[:, 0], y[:, 0]),
    "W2": lambda x, y, key: metrics.wasserstein_1d(x[:, 0], y[:, 0], order=2),
    # Where directions lead the error, and where samples do.
    "sliced": sliced_afresh,
    "sliced, many directions": functools.partial(sliced_afresh, num_projections=100),
    "mmd": lambda x, y, key: metrics.mmd(x, y, 1.5),
    "energy": lambda x, y, key: metrics.energy_distance(x, y),
    "energy, line": lambda x, y, key: metrics.energy_distance(x[:, 0], y[:, 0]),
    "frechet": lambda x, y, key: metrics.frechet(x, y),
    "frechet, law": lambda x, y, key: metrics.frechet(
        y, mean=jnp.zeros(3), covariance=jnp.eye(3)
    ),
    "likelihood": lambda x, y, key: metrics.negative_log_likelihood(
        jnp.concatenate([x[:, 0], y[:, 1]]) ** 2
    ),
}


@functools.cache
def replicates(metric):
    """A program for many replicates of a metric, at any shift and scale."""

    def one(key, shift, std):
        data_key, own_key = jr.split(key)
        return metric(*gaussians(data_key, shift, std), own_key)

    return jax.jit(jax.vmap(one, (0, None, None)))


def ratio(metric, shift, std, count=REPLICAS):
    """Root mean squared error reported, over the spread of values found."""
    found = replicates(metric)(jr.split(jr.key(11), count), shift, std)
    spread = np.std(found.value, axis=0)
    return np.sqrt(np.mean(found.stderr**2, axis=0)) / spread, found


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", ERRORS)
def test_errors_against_replicates(name):
    """500 replicates of different laws: the spread is known to 3 %; within 15 %.

    Once the error of y leads, once that of x.
    """
    for std in (1.5, 0.4):
        found, _ = ratio(ERRORS[name], 1.0, std)
        assert 0.85 < found < 1.15, (std, found)


@pytest.mark.slow
def test_second_order_is_counted_once():
    """Equal laws, a kernel of many directions: the jackknife alone has 1.41."""
    metric = lambda x, y, key: metrics.mmd(x, y, 0.7)
    found, _ = ratio(metric, 0.0, 1.0)
    assert 0.9 < found < 1.2, found


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", some(["mmd", "energy", "energy, line"], ["mmd", "energy, line"])
)
def test_errors_and_bias_where_laws_agree(name):
    """Values are unbiased (4 errors of 500 replicates), errors at most sqrt(2) off."""
    found, metric = ratio(ERRORS[name], 0.0, 1.0)
    assert 0.85 < found < 1.5, found
    mean = np.mean(metric.value)
    assert abs(mean) < 4 * np.std(metric.value) / np.sqrt(REPLICAS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", some(["W1", "W2", "sliced", "frechet"], ["W1", "frechet"])
)
def test_errors_where_laws_agree_are_of_the_right_size(name):
    found, _ = ratio(ERRORS[name], 0.0, 1.0)
    assert 0.7 < found < 2, found


@pytest.mark.slow
@pytest.mark.parametrize("law", [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
def test_errors_of_mode_weights(law):
    """Both where the frequencies are right and where they are not."""
    logits = jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1]))

    def one(key):
        modes = jr.categorical(key, logits, shape=(300,))
        return metrics.mode_weight_error(modes, jnp.array(law))

    found = jax.jit(jax.vmap(one))(jr.split(jr.key(3), 2000))
    rms = lambda m: np.sqrt(np.mean(m.stderr**2)) / np.std(m.value)
    right = law[0] == 0.4
    assert 0.85 < rms(found.kl) < (1.42 if right else 1.15)
    assert 0.85 < rms(found.total_variation) < (2 if right else 1.15)
    if right:
        bias = np.mean(found.kl.value) - 3 / 600
        assert abs(bias) < 4 * np.std(found.kl.value) / np.sqrt(2000) + 5e-5


@pytest.mark.slow
@pytest.mark.parametrize("std", [1.0, 1.3])
def test_errors_and_bias_of_mode_moments(std):
    """Squared errors are unbiased, also where a mode is right."""
    shift = std - 1

    def one(key):
        x = std * jr.normal(key, (150, 3)) + shift
        labels = jnp.arange(150) % 2
        exact = jnp.zeros((2, 3)), jnp.stack([jnp.eye(3)] * 2)
        return metrics.mode_moments_error(x, labels, *exact)

    found = jax.jit(jax.vmap(one))(jr.split(jr.key(3), 2000))
    truth = 3 * shift**2, 3 * (std**2 - 1) ** 2
    for metric, exact in zip((found.mean, found.covariance), truth, strict=True):
        spread = np.std(metric.value, axis=0)
        rms = np.sqrt(np.mean(metric.stderr**2, axis=0)) / spread
        assert np.all((rms > 0.85) & (rms < (1.42 if std == 1 else 1.15))), rms
        off = np.mean(metric.value, axis=0) - exact
        assert np.all(np.abs(off) < 4 * spread / np.sqrt(2000))


# What must not change the answer


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO_SAMPLES)
def test_invariances(name):
    metric = JIT[name]
    x, y = samples()
    base = metric(x, y)
    assert base.value.shape == base.stderr.shape == ()
    assert base.stderr > 0

    def same(other, rtol=1e-9):
        np.testing.assert_allclose(other.value, base.value, rtol=rtol)
        np.testing.assert_allclose(other.stderr, base.stderr, rtol=rtol)

    same(metric(RNG.permutation(x), RNG.permutation(y)))
    same(metric(x + 7, y + 7), 1e-7)
    turn = np.diag([-1.0, 1.0, 1.0])
    if name not in ("sliced", *[n for n in PAIRS if "1d" in n or "line" in n]):
        turn = scipy.stats.special_ortho_group.rvs(3, random_state=1)
    if name != "sliced":
        same(metric(x @ turn, y @ turn))
    same(metric(y, x))


def test_sliced_turns_with_its_directions():
    """Other directions, one law of them: within 4 errors of many."""
    x, y = samples(200, 200)
    turn = scipy.stats.special_ortho_group.rvs(3, random_state=2)
    many = jax.jit(metrics.sliced_wasserstein)
    one, two = many(x, y, jr.key(0)), many(x @ turn, y @ turn, jr.key(1))
    assert abs(one.value - two.value) < 4 * np.hypot(one.stderr, two.stderr)


def test_scales():
    """Distances scale as lengths to the power that they are."""
    x, y = samples()
    powers = {"wasserstein_1d": 1, "sliced": 1, "mmd": 0, "energy": 1, "frechet": 2}
    for name, power in powers.items():
        base, wide = JIT[name](x, y), JIT[name](8 * x, 8 * y)
        for field in ("value", "stderr"):
            ratio = getattr(wide, field) / getattr(base, field)
            np.testing.assert_allclose(ratio, 8.0**power, rtol=1e-7)


@pytest.mark.parametrize("name", ["wasserstein_1d", "sliced", "energy", "frechet"])
def test_equal_samples(name):
    x, _ = samples()
    found = JIT[name](x, x)
    assert np.isfinite(found.value)
    assert np.isfinite(found.stderr)
    if name != "energy":
        np.testing.assert_allclose(found.value, 0, atol=1e-12)


# Transformations


@pytest.mark.slow
@pytest.mark.parametrize("name", some(PAIRS, ["sliced", "mmd", "frechet"]))
def test_gradients_against_differences(name):
    x, y = samples()
    value = lambda x: JIT[name](x, y).value
    slope = SLOPE[name](x, y)
    step = RNG.normal(size=x.shape)
    h = 1e-6
    if name == "mmd":
        # The chosen bandwidth is held fixed.
        spread = np.var(x, 0, ddof=1).sum() + np.var(y, 0, ddof=1).sum()
        value = lambda x: jit_mmd(x, y, np.sqrt(spread / 2)).value
    difference = (value(x + h * step) - value(x - h * step)) / (2 * h)
    np.testing.assert_allclose(np.sum(slope * step), difference, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_are_finite_where_points_meet(name):
    """Equal samples, repeated points, equal and zero eigenvalues."""
    square = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0]])
    same, y = np.tile(square, (8, 1)), np.repeat(square, 8, axis=0)
    for x in (same, same[:, ::-1], 2 * same):
        assert np.all(np.isfinite(SLOPE[name](x, y)))


def test_fidelity_of_equal_eigenvalues():
    """d tr (a b)^1/2 = tr(da + db) / 2 at a = b = I, both ways of differentiating."""
    eye, step = jnp.eye(4), jnp.asarray(RNG.normal(size=(4, 4)))
    step = step + step.T
    slopes = jax.grad(fidelity, (0, 1))(eye, eye)
    for slope in slopes:
        np.testing.assert_allclose(slope, eye / 2, atol=1e-14)
    along = jax.jvp(fidelity, (eye, eye), (step, 2 * step))[1]
    np.testing.assert_allclose(along, 1.5 * jnp.trace(step))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    some([n for n in EVERY if "order" not in n], ["sliced", "energy", "frechet"]),
)
def test_jit_and_vmap(name):
    x, y = samples()
    xs, ys = np.stack([x, y, x + 1]), np.stack([y, x, y])
    many = jax.jit(jax.vmap(EVERY[name]))(xs, ys)
    assert isinstance(many, Metric)
    for i in range(3):
        one = JIT[name](xs[i], ys[i])
        np.testing.assert_allclose(many.value[i], one.value, rtol=1e-8, atol=1e-13)
        np.testing.assert_allclose(many.stderr[i], one.stderr, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("name", [n for n in EVERY if n != "weights"])
def test_nan_is_not_lost(name):
    """Under a trace nothing can be refused: both numbers say it."""
    x, y = samples()
    x[3, 0] = np.nan
    found = JIT[name](x, y)
    assert np.all(np.isnan(found.value))
    assert np.all(np.isnan(found.stderr))


def test_labels_out_of_range_are_not_lost():
    for bad in (-1, 2):
        labels = jnp.array([0, 1, 1, bad])
        found = jax.jit(metrics.mode_weight_error)(labels, jnp.ones(2))
        assert np.isnan(found.kl.value)
        assert np.isnan(found.total_variation.value)
        assert np.isnan(found.kl.stderr)
        exact = jnp.zeros((2, 1)), jnp.ones((2, 1, 1))
        found = jax.jit(metrics.mode_moments_error)(jnp.ones((4, 1)), labels, *exact)
        assert np.all(np.isnan(found.mean.value))
        assert np.all(np.isnan(found.covariance.stderr))


@pytest.mark.slow
def test_memory_does_not_grow_with_pairs():
    """Temporaries of a value and of a gradient at 30,000 points; pairs are 7 GB."""
    x = jax.ShapeDtypeStruct((30_000, 10), np.float64)
    for metric in (metrics.energy_distance, lambda x, y: metrics.mmd(x, y, 1.0)):
        value = lambda x, y, metric=metric: metric(x, y).value
        for function in (value, jax.grad(value)):
            program = jax.jit(function).lower(x, x).compile()
            used = program.memory_analysis()
            assert used is not None
            assert used.temp_size_in_bytes < 2**26


@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("likelihood",)])
def test_products_carry_the_highest_precision(name):
    x, y = (jnp.asarray(v) for v in samples(20, 20, DIRECT + 2))
    counted = check(EVERY[name], x, y)
    check(jax.grad(lambda x: EVERY[name](x, y).value.sum()), x)
    expected = ("sliced", "mmd", "energy", "frechet", "frechet, law")
    assert (counted > 0) == (name in expected or "moments" in name)


# Bad input


@pytest.mark.parametrize("name", TWO_SAMPLES)
def test_bad_samples(name):
    x, y = samples()
    bad = x.copy()
    bad[1, 0] = np.nan
    with pytest.raises(ValueError, match="`x` must be finite"):
        EVERY[name](bad, y)
    bad[1, 0] = np.inf
    with pytest.raises(ValueError, match="`y` must be finite"):
        EVERY[name](x, bad)
    with pytest.raises(ValueError, match="at least 2 samples"):
        EVERY[name](x[:1], y)


FIVE = np.arange(5.0)
PLANE = np.ones((5, 2))
BAD = {
    "both be rows": (lambda: metrics.mmd(PLANE, np.ones((5, 3))), "one dimension"),
    "energy": (lambda: metrics.energy_distance(PLANE, FIVE), "one dimension"),
    "no rows": (lambda: metrics.mmd(np.ones((3, 2, 2)), PLANE), "has shape"),
    "complex": (lambda: metrics.energy_distance(1j * FIVE, FIVE), "complex"),
    "plane": (lambda: metrics.wasserstein_1d(PLANE, FIVE), "on the line"),
    "order": (lambda: metrics.wasserstein_1d(FIVE, FIVE, order=0.5), "at least 1"),
    "neither": (lambda: metrics.wasserstein_1d(FIVE), "One of `y` and"),
    "quantile": (
        lambda: metrics.wasserstein_1d(FIVE, quantile=lambda u: u[:2]),
        "must be one number for each",
    ),
    "directions": (
        lambda: metrics.sliced_wasserstein(PLANE, PLANE, KEY, num_projections=1),
        "must be at least 2",
    ),
    "bandwidth": (lambda: metrics.mmd(FIVE, FIVE, 0.0), "finite and positive"),
    "bandwidths": (lambda: metrics.mmd(FIVE, FIVE, jnp.ones(2)), "must be one number"),
    "one point": (lambda: metrics.mmd(np.ones(5), np.ones(4)), "are one point"),
    "no law": (lambda: metrics.frechet(PLANE), "either `y` or both"),
    "half a law": (lambda: metrics.frechet(PLANE, mean=FIVE[:2]), "either `y` or"),
    "two laws": (
        lambda: metrics.frechet(PLANE, PLANE, mean=FIVE[:2], covariance=np.eye(2)),
        "either `y` or",
    ),
    "law": (
        lambda: metrics.frechet(PLANE, mean=FIVE, covariance=np.eye(5)),
        "2 dimensions need",
    ),
    "skew": (
        lambda: metrics.frechet(PLANE, mean=FIVE[:2], covariance=[[1.0, 1], [0, 1]]),
        "not symmetric",
    ),
    "negative": (
        lambda: metrics.frechet(PLANE, mean=FIVE[:2], covariance=-np.eye(2)),
        "negative eigenvalue",
    ),
    "likelihood": (lambda: metrics.negative_log_likelihood(PLANE), "one number for"),
    "no density": (
        lambda: metrics.negative_log_likelihood([-np.inf, 1.0]),
        "must be finite",
    ),
    "labels": (lambda: metrics.mode_weight_error([0, 3], [1.0, 1]), "in 0 to 1"),
    "soft labels": (lambda: metrics.mode_weight_error(FIVE, [1.0, 1]), "whole number"),
    "weights": (lambda: metrics.mode_weight_error([0, 1], [1.0, -1]), "must be >= 0"),
    "no weights": (lambda: metrics.mode_weight_error([0, 1], np.ones((2, 1))), "shape"),
    "moments": (
        lambda: metrics.mode_moments_error(PLANE, [0] * 5, [[0.0]], np.ones((1, 2, 2))),
        "2 dimensions need",
    ),
    "labels of others": (
        lambda: metrics.mode_moments_error(
            PLANE, [0] * 4, [[0.0, 0]], np.ones((1, 2, 2))
        ),
        "one for each",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_line(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_metric_prints():
    assert str(Metric(jnp.asarray(0.12345), jnp.asarray(0.0123))) == "0.1235 +- 0.01"


def test_types_meet_in_the_wider():
    x, y = samples()
    narrow = x.astype(np.float32), y.astype(np.float32)
    assert jax.eval_shape(metrics.mmd, narrow[0], y).value.dtype == np.float64
    for metric in EVERY.values():
        found = jax.eval_shape(metric, *narrow)
        assert found.value.dtype == found.stderr.dtype == np.float32
    whole = np.arange(3), np.arange(4)
    found = jax.eval_shape(metrics.wasserstein_1d, *whole)
    assert found.value.dtype == np.float64


# Float32, in a process of its own


@pytest.mark.f32
@pytest.mark.parametrize("n", [400, 3000])
def test_float32_far_from_the_origin(n):
    """At offset 100 against float64 at the same inputs, in standard errors."""
    x, y = (v + np.float32(100) for v in samples(n, n + 50, 12, np.float32))
    wide = [v.astype(np.float64) for v in (x, y)]
    assert np.all(x == wide[0])
    line = [v[:, 1] for v in wide]
    off = n / (n - 1), (n + 50) / (n + 49)
    own = lambda v: np.abs(v[:, None] - v[None]).mean()
    across = np.abs(line[0][:, None] - line[1][None]).mean()
    moments = [f(v) for v in wide for f in (lambda v: v.mean(0), lambda v: np.cov(v.T))]
    cases = {
        "W1": (
            metrics.wasserstein_1d(x[:, 1], y[:, 1]),
            scipy.stats.wasserstein_distance(*line),
        ),
        "energy, line": (
            metrics.energy_distance(x[:, 1], y[:, 1]),
            2 * across - off[0] * own(line[0]) - off[1] * own(line[1]),
        ),
        "energy": (metrics.energy_distance(x, y), brute(lambda r: -r, *wide)),
        "mmd": (metrics.mmd(x, y, 3.0), brute(lambda r: np.exp(-(r**2) / 18), *wide)),
        "frechet": (metrics.frechet(x, y), sqrtm_distance(*moments)),
        "frechet, law": (
            metrics.frechet(x, mean=moments[2], covariance=moments[3]),
            sqrtm_distance(*moments),
        ),
    }
    for name, (found, exact) in cases.items():
        assert found.value.dtype == np.float32
        # Products of points that are not centred would err by 5e-5 to 5e-4.
        slack = 3e-5 if name in ("energy", "mmd") else 1e-3
        assert abs(found.value - exact) < slack * found.stderr, (name, found, exact)


@pytest.mark.f32
@pytest.mark.parametrize("name", EVERY)
def test_counts_of_many_points_fit_in_32_bits(name):
    """100,000 points have more pairs than a 32-bit integer holds: traced, not run."""
    shape = jax.ShapeDtypeStruct((100_000, 3), np.float32)
    assert jax.eval_shape(EVERY[name], shape, shape).value.dtype == np.float32


@pytest.mark.f32
def test_float32_sliced_and_modes():
    """Against the same line by line in scipy, and shifted to the origin."""
    x, y = (v + np.float32(100) for v in samples(500, 700, 5, np.float32))
    found = metrics.sliced_wasserstein(x, y, KEY, num_projections=20, order=1)
    normals = np.asarray(jr.normal(KEY, (20, 5), np.float32), np.float64)
    lines = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    wide = [v.astype(np.float64) for v in (x, y)]
    each = [scipy.stats.wasserstein_distance(*(v @ u for v in wide)) for u in lines]
    assert abs(found.value - np.mean(each)) < 0.01 * found.stderr
    labels, covariance = jnp.zeros(500, jnp.int32), jnp.cov(x.T)[None]
    means = np.full((1, 5), 100, np.float32)
    found = metrics.mode_moments_error(x, labels, means, covariance)
    gap, spread = wide[0].mean(0) - 100, np.cov(wide[0].T)
    exact = np.sum(gap**2) - np.trace(spread) / 500
    assert abs(found.mean.value[0] - exact) < 0.01 * found.mean.stderr[0]


# The optional peer


def test_wrong_numbers_give_no_plausible_value():
    error = jax.jit(lambda w: metrics.mode_weight_error(np.array([1, 1, 1]), w))
    for weights in ([-0.5, 1.5], [0.5, np.nan]):
        found = error(jnp.array(weights))
        assert np.isnan(found.kl.value)
        assert np.isnan(found.total_variation.value)
    x, y = samples(dtype=np.float32)
    y[0, 0] = 1e20
    with pytest.raises(ValueError, match="squares of them overflow"):
        metrics.mmd(x, y)
    assert np.isnan(jax.jit(metrics.mmd)(x, y).value)


def test_sinkhorn_without_its_package(monkeypatch):
    for name in list(sys.modules):
        if name == "ott" or name.startswith("ott."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ott", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxwin\[ot\]'"):
        metrics.sinkhorn(PLANE, PLANE)


@pytest.fixture
def ott():
    """The package under the settings it was written for; they are put back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ott
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield ott


def entropic_cost(x, y, epsilon):
    """Log-domain Sinkhorn on whole matrices: the dual optimum."""
    cost = cdist(x, y, "sqeuclidean")
    f, g = np.zeros(len(x)), np.zeros(len(y))
    soft = lambda v, axis: (
        -epsilon
        * (scipy.special.logsumexp(v / epsilon, axis=axis) - np.log(v.shape[axis]))
    )
    for _ in range(500):
        f = soft(g[None] - cost, 1)
        g = soft(f[:, None] - cost, 0)
    return f.mean() + g.mean()


@pytest.mark.slow
def test_sinkhorn_against_numpy(ott):
    x, y = samples(30, 40)
    options = {"epsilon": 0.5, "threshold": 1e-6, "max_iterations": 50_000}
    tight = functools.partial(metrics.sinkhorn, **options)
    found = tight(x, y)
    costs = [entropic_cost(*pair, 0.5) for pair in ((x, y), (x, x), (y, y))]
    exact = costs[0] - (costs[1] + costs[2]) / 2
    np.testing.assert_allclose(found.value, exact, rtol=1e-5)
    same = tight(x, RNG.permutation(x))
    np.testing.assert_allclose(same.value, 0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.long
def test_sinkhorn_errors_against_replicates(ott):
    metric = lambda x, y, key: metrics.sinkhorn(x, y, epsilon=1.0)
    found, _ = ratio(metric, 1.0, 1.5)
    assert 0.85 < found < 1.15, found


@pytest.mark.slow
def test_sinkhorn_says_when_it_has_not_converged(ott):
    x, y = samples()
    with pytest.raises(ValueError, match="did not converge"):
        metrics.sinkhorn(x, y, epsilon=1e-3, max_iterations=10)
    found = jax.jit(
        functools.partial(metrics.sinkhorn, epsilon=1e-3, max_iterations=10)
    )(x, y)
    assert np.isnan(found.value)
    with pytest.raises(ValueError, match="positive and finite"):
        metrics.sinkhorn(x, y, epsilon=-1.0)
