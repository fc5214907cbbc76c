"""Gaussian mixtures: published values, closed forms, construction, hard corners."""

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from batteries import some

from jaxwin._numerics import choose, segment_logsumexp
from jaxwin._streaming import ROUNDING
from jaxwin.targets import GaussianMixture

EYE = np.eye(2)


def ou(t: float) -> tuple[float, float]:
    """Clock alpha, sigma of dx = -x dt + sqrt(2) dW."""
    return float(np.exp(-t)), float(np.sqrt(-np.expm1(-2 * t)))


jit = eqx.filter_jit
labels = jit(lambda law, x, a, s: law.label_log_posterior(x, a, s))
densities = jit(lambda law, xs, a, s: jax.vmap(lambda x: law.log_density(x, a, s))(xs))
scores = jit(lambda law, xs, a, s: law.score_many(xs, a, s))
soft = jit(
    lambda law, xs, a, s: jnp.exp(
        jax.vmap(lambda x: law.label_log_posterior(x, a, s))(xs)
    )
)


def test_published_score_and_density():
    """Theory of speciation and collapse, 5.2: both digits as printed."""
    m, x = np.array([1.0, 2, 2]), jnp.array([0.3, -0.2, 0.1])
    law = GaussianMixture.isotropic([m, -m], 0.25)
    alpha, sigma = ou(0.5)
    assert abs(float(law.log_density(x, alpha, sigma)) + 4.651983910992767) < 1e-12
    expected = [-0.34431164, 0.41621111, 0.00189821]
    np.testing.assert_allclose(law.score(x, alpha, sigma), expected, atol=6e-9)


@pytest.mark.parametrize("t", [1e-6, 0.01, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
def test_two_clusters_in_closed_form(t, variance):
    """Section 1.2 of the same, written with tanh and log cosh."""
    rng = np.random.default_rng(0)
    m = rng.normal(size=16)
    law = GaussianMixture.isotropic([m, -m], variance)
    alpha, sigma = ou(t)
    gamma = sigma**2 + variance * alpha**2
    x = alpha * m + np.sqrt(gamma) * rng.normal(size=16)
    along = x @ m * alpha / gamma
    square = x @ x + alpha**2 * m @ m
    log_cosh = np.logaddexp(along, -along) - np.log(2)
    density = -8 * np.log(2 * np.pi * gamma) - square / (2 * gamma) + log_cosh
    score = -x / gamma + m * alpha / gamma * np.tanh(along)
    got = jnp.asarray(x)
    np.testing.assert_allclose(law.log_density(got, alpha, sigma), density, rtol=1e-11)
    np.testing.assert_allclose(
        law.score(got, alpha, sigma), score, rtol=1e-10, atol=1e-10
    )
    log_p = -np.logaddexp(0, [-2 * along, 2 * along])
    np.testing.assert_allclose(labels(law, got, alpha, sigma), log_p, atol=1e-10)


FLIPS = {
    0.25: 0.470527012230,
    0.5: 0.397972867183,
    1.0: 0.224799754603,
    2.0: 0.034298704395,
    3.0: 0.002075539870,
}


@pytest.mark.slow
@pytest.mark.parametrize("m", [*FLIPS, 0.922412292640423])
def test_published_flip_probability(m):
    """Windows E1 and capability 9: E[p(- | x)] for x ~ N(m, 1), by quadrature."""
    z = np.linspace(-9, 9, 721)
    weights = np.exp(-(z**2) / 2)
    weights = weights / weights.sum()
    # Means of +-3 seen in three dimensions at the time that makes their size m.
    alpha, sigma = ou(np.log(3 / m))
    mean = np.array([2.0, 2, 1])
    law = GaussianMixture.isotropic([mean, -mean], 1.0)
    xs = alpha * mean + z[:, None] * mean / 3
    flip = weights @ np.asarray(soft(law, jnp.asarray(xs), alpha, sigma))[:, 1]
    assert abs(flip - FLIPS.get(m, 0.25)) < 1e-9


def test_far_apart_means_stay_finite():
    """Windows, capability 2: finite at m = 100."""
    law = GaussianMixture.isotropic([[100.0], [-100.0]], 1.0)
    xs = jnp.linspace(-300, 300, 31)[:, None]
    for t in (1e-6, 1e-3, 1.0, 10.0):
        alpha, sigma = map(jnp.array, ou(t))
        assert np.all(np.isfinite(scores(law, xs, alpha, sigma)))
        assert np.all(np.isfinite(densities(law, xs, alpha, sigma)))
        np.testing.assert_allclose(soft(law, xs, alpha, sigma).sum(1), 1, rtol=1e-14)


@pytest.mark.slow
def test_score_identity_of_sub_mixtures():
    """Windows 1.2: grad log p - grad log p^S = r (grad log p^S' - grad log p^S)."""
    rng = np.random.default_rng(1)
    law = GaussianMixture.isotropic(
        2 * rng.normal(size=(5, 3)), rng.uniform(0, 1, 5), labels=[0, 0, 1, 1, 1]
    )
    inside = law.restrict(jnp.array([True, False]))
    outside = law.restrict(jnp.array([False, True]))
    xs = jnp.asarray(2 * rng.normal(size=(20, 3)))
    for t in (0.05, 0.5, 2.0):
        alpha, sigma = map(jnp.array, ou(t))
        whole, in_s, out_s = (
            scores(g, xs, alpha, sigma) for g in (law, inside, outside)
        )
        r = soft(law, xs, alpha, sigma)[:, 1:]
        scale = 1 + np.abs(whole).max()
        assert np.abs(whole - in_s - r * (out_s - in_s)).max() < 1e-12 * scale


@pytest.mark.parametrize(
    ("t", "overlap", "divergence"),
    [(0.0, 0.144426367511, 11.589591326753), (1.0, 0.743077247814, 1.158148743005)],
)
def test_published_pair_of_full_covariances(t, overlap, divergence):
    """Windows E9: overlap and KL of two correlated Gaussians in the plane."""
    covariances = [[[2, 0.5], [0.5, 1]], [[0.5, 0], [0, 3]]]
    law = GaussianMixture.full([[1.0, -1], [-2, 2]], covariances)
    axis = np.linspace(-16, 16, 401)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    one, two = (
        np.asarray(densities(law.restrict(jnp.array(mask)), grid, *ou(t)))
        for mask in ([True, False], [False, True])
    )
    cell = (axis[1] - axis[0]) ** 2
    assert abs(np.exp((one + two) / 2).sum() * cell - overlap) < 1e-9
    assert abs((np.exp(one) * (one - two)).sum() * cell - divergence) < 1e-9


def test_published_fisher_information_of_two_points():
    """Symmetry and clocks C2: E|score|^2 on the VP clock at s = 0.25."""
    b = 0.1 * 0.25 + 19.9 * 0.25**2 / 2
    theta, sigma = np.exp(-b / 2), np.sqrt(-np.expm1(-b))
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    xs = np.linspace(-12, 12, 4001)[:, None]
    density = np.exp(densities(law, jnp.asarray(xs), theta, sigma))
    score = np.asarray(scores(law, jnp.asarray(xs), theta, sigma))[:, 0]
    information = np.sum(density * score**2) * (xs[1, 0] - xs[0, 0])
    assert abs(information - 1.1313589646792) < 1e-9


uturn = jit(
    lambda law, keys, x0, alpha, sigma: jax.vmap(
        lambda key, x: law.posterior_sample(
            jr.fold_in(key, 0),
            alpha * x + sigma * jr.normal(jr.fold_in(key, 1), x.shape),
            alpha,
            sigma,
        )
    )(keys, x0)
)


@pytest.mark.slow
def test_u_turns_by_posterior_draws():
    """Windows, capability 11: 40,000 U-turns, seeds 0 and 1, within 4 errors.

    Labels flip as often as the exact matrix says, and the law is stationary.
    """
    law = GaussianMixture.isotropic([[3.0], [-3.0]], 1.0)
    alpha, sigma = map(jnp.array, ou(np.log(3.0)))
    keys = jr.split(jr.key(0), 40_000)
    x0 = 3.0 + jr.normal(jr.key(1), (40_000, 1))
    back = uturn(law, keys, x0, alpha, sigma)
    flip = np.asarray(soft(law, back, 1.0, 0.0))[:, 1]
    assert abs(flip.mean() - FLIPS[1.0]) < 4 * flip.std() / 200
    start = jax.jit(jax.vmap(law.sample))(jr.split(jr.key(2), 40_000))
    back = np.asarray(uturn(law, keys, start, alpha, sigma))[:, 0]
    norm = scipy.stats.norm
    cdf = lambda x: (norm.cdf(x - 3) + norm.cdf(x + 3)) / 2
    assert scipy.stats.kstest(back, cdf).pvalue > 1e-4


@pytest.mark.parametrize("sigma", [1e-9, 1e-6, 1e-3, 1.0])
def test_point_mass_beside_a_broad_component(sigma):
    """The broad component is wider by 1 / sigma: its log-determinant must survive."""
    law = GaussianMixture.isotropic(np.zeros((2, 2)), [0.0, 1.0])
    narrow, broad = sigma**2, 1 + sigma**2
    # Where both are equally likely: |x|^2 (1/narrow - 1/broad) = 2 log(broad/narrow).
    square = 2 * np.log(broad / narrow) / (1 / narrow - 1 / broad)
    for factor in (0.9, 1.0, 1.1):
        x = np.sqrt(factor * square / 2) * np.ones(2)
        log = -x @ x / 2 / np.array([narrow, broad]) - np.log([narrow, broad])
        got = labels(law, jnp.asarray(x), 1.0, jnp.array(sigma))
        np.testing.assert_allclose(
            got, log - np.logaddexp.reduce(log), rtol=1e-11, atol=1e-12
        )


def test_zero_noise_tells_point_masses_from_the_rest():
    law = GaussianMixture.isotropic([[0.0, 0], [1, 0], [1, 1]], [0.0, 0.0, 1.0])
    p = lambda *x: np.exp(labels(law, jnp.array(x), 1.0, jnp.array(0.0)))
    np.testing.assert_allclose(p(0.0, 0.0), [1, 0, 0], atol=1e-99)
    np.testing.assert_allclose(p(1.0, 0.0), [0, 1, 0], atol=1e-99)
    np.testing.assert_allclose(p(0.5, 0.2), [0, 0, 1], atol=1e-99)
    plane = GaussianMixture.diagonal([[0.0, 0], [0, 1]], [1.0, 0.0])
    p = lambda *x: np.exp(labels(plane, jnp.array(x), 1.0, jnp.array(0.0)))
    np.testing.assert_allclose(p(0.3, 0.4), [1, 0], atol=1e-99)
    np.testing.assert_allclose(p(-5.0, 1.0), [0, 1], atol=1e-99)
    np.testing.assert_allclose(p(2.0, 0.5), [0.5, 0.5], atol=1e-99)


@pytest.mark.slow
def test_all_kinds_write_the_same_law():
    rng = np.random.default_rng(2)
    means, shared = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    full = GaussianMixture.full(means, shared @ shared.T + 0.5 * np.eye(4))
    low_rank = GaussianMixture.low_rank(means, shared, 0.5)
    each = np.broadcast_to(shared, (3, 4, 2))
    spread = GaussianMixture.low_rank(means, each, [0.5, 0.5, 0.5], np.ones(3) / 3)
    round_ = [
        GaussianMixture.isotropic(means, 0.5),
        GaussianMixture.diagonal(means, [0.5] * 4),
        GaussianMixture.full(means, 0.5 * np.eye(4)),
        GaussianMixture.low_rank(means, np.zeros((4, 1)), 0.5),
        GaussianMixture.low_rank(means, np.eye(4), 0.0 * np.ones(3)),
    ]
    xs = jnp.asarray(rng.normal(size=(6, 4)))
    for same in (low_rank, spread):
        np.testing.assert_allclose(
            scores(same, xs, 0.7, 0.4), scores(full, xs, 0.7, 0.4), rtol=1e-10
        )
    for same in round_[:4]:
        np.testing.assert_allclose(
            densities(same, xs, 0.7, 0.4), densities(round_[0], xs, 0.7, 0.4), 1e-12
        )
    unit = GaussianMixture.isotropic(means, 1.0)
    np.testing.assert_allclose(
        soft(round_[4], xs, 0.7, 0.4), soft(unit, xs, 0.7, 0.4), rtol=1e-11
    )


def test_grouping_adds_components():
    rng = np.random.default_rng(3)
    means = rng.normal(size=(4, 2))
    alone = GaussianMixture.isotropic(means, 0.3, [0.1, 0.2, 0.3, 0.4])
    grouped = GaussianMixture.isotropic(
        means, 0.3, [0.1, 0.2, 0.3, 0.4], labels=[1, 0, 1, 1]
    )
    assert (alone.num_labels, grouped.num_labels) == (4, 2)
    np.testing.assert_allclose(np.exp(grouped.log_label_prior()), [0.2, 0.8])
    x = jnp.asarray(rng.normal(size=(5, 2)))
    p = np.asarray(soft(alone, x, 0.5, 0.5))
    expected = np.stack([p[:, 1], p[:, 0] + p[:, 2] + p[:, 3]], axis=1)
    np.testing.assert_allclose(soft(grouped, x, 0.5, 0.5), expected, rtol=1e-12)


def test_integer_and_list_input():
    law = GaussianMixture.isotropic([[1, 0], [0, 1]], [1, 2], [0.5, 0.5])
    assert law.means.dtype == jnp.result_type(float)
    assert np.isfinite(law.log_density(jnp.zeros(2), 1, 1))


MEANS = np.array([[0.0, 0], [1, 1]])
WRONG = {
    "means of one axis": (lambda: GaussianMixture.isotropic([0.0, 1], 1.0), "means"),
    "no means": (lambda: GaussianMixture.isotropic(np.zeros((0, 2)), 1.0), "means"),
    "NaN means": (lambda: GaussianMixture.isotropic(MEANS * np.nan, 1.0), "means"),
    "negative variance": (
        lambda: GaussianMixture.isotropic(MEANS, [1.0, -1]),
        "variances",
    ),
    "NaN variance": (lambda: GaussianMixture.isotropic(MEANS, np.nan), "variances"),
    "infinite variance": (lambda: GaussianMixture.diagonal(MEANS, np.inf), "variances"),
    "variances of length 3": (
        lambda: GaussianMixture.isotropic(MEANS, [1.0, 1, 1]),
        "variances",
    ),
    "diagonal of length 3": (
        lambda: GaussianMixture.diagonal(MEANS, [1.0, 1, 1]),
        "variances",
    ),
    "negative weight": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, [1.5, -0.5]),
        "weights",
    ),
    "weights of sum 2": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, [1.0, 1.0]),
        "weights",
    ),
    "NaN weight": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, [np.nan, 0.5]),
        "weights",
    ),
    "weights of length 3": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, np.ones(3) / 3),
        "weights",
    ),
    "labels of length 3": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, labels=[0, 1, 1]),
        "labels",
    ),
    "a gap in labels": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, labels=[0, 2]),
        "labels",
    ),
    "negative labels": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, labels=[0, -1]),
        "labels",
    ),
    "float labels": (
        lambda: GaussianMixture.isotropic(MEANS, 1.0, labels=[0.0, 1.0]),
        "labels",
    ),
    "factors of rank 3": (
        lambda: GaussianMixture.low_rank(MEANS, np.ones((2, 3)), 1.0),
        "factors",
    ),
    "factors in 3 dimensions": (
        lambda: GaussianMixture.low_rank(MEANS, np.ones((3, 1)), 1.0),
        "factors",
    ),
    "factors without columns": (
        lambda: GaussianMixture.low_rank(MEANS, np.ones((2, 0)), 1.0),
        "factors",
    ),
    "one factor axis": (
        lambda: GaussianMixture.low_rank(MEANS, np.ones(2), 1.0),
        "factors",
    ),
    "NaN factors": (
        lambda: GaussianMixture.low_rank(MEANS, np.full((2, 1), np.nan), 1.0),
        "factors",
    ),
    "low-rank variance": (
        lambda: GaussianMixture.low_rank(MEANS, np.ones((2, 1)), -1.0),
        "variances",
    ),
    "asymmetric": (
        lambda: GaussianMixture.full(MEANS, np.array([[1.0, 1], [0, 1]])),
        "covariances",
    ),
    "indefinite": (
        lambda: GaussianMixture.full(MEANS, np.array([[1.0, 2], [2, 1]])),
        "covariances",
    ),
    # Small beside the other component's, not beside its own.
    "indefinite beside a wide one": (
        lambda: GaussianMixture.full(
            MEANS, np.stack([1e8 * np.eye(2), np.diag([1, -1e-6])])
        ),
        "covariances",
    ),
    "NaN covariance": (
        lambda: GaussianMixture.full(MEANS, np.nan * EYE),
        "covariances",
    ),
    "covariance of 3 dimensions": (
        lambda: GaussianMixture.full(MEANS, np.eye(3)),
        "covariances",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_name_the_argument(what):
    build, argument = WRONG[what]
    with pytest.raises(ValueError, match=f"`{argument}`"):
        build()


def test_traced_mistakes_are_run_time_errors():
    build = jit(
        lambda v: GaussianMixture.isotropic(MEANS, v).score(jnp.ones(2), 1.0, 1.0)
    )
    assert np.all(np.isfinite(build(jnp.array([1.0, 2.0]))))
    for bad in (-1.0, np.nan):
        with pytest.raises(eqx.EquinoxRuntimeError, match="`variances`"):
            build(jnp.array([1.0, bad]))
    with pytest.raises(ValueError, match="`labels` must be concrete"):
        jax.jit(lambda c: GaussianMixture.isotropic(MEANS, 1.0, labels=c).means)(
            jnp.array([0, 1])
        )


def test_constants_inside_a_jit():
    """A law and a noise level that jit closes over stay concrete."""
    law = GaussianMixture.isotropic(MEANS, 0.0)
    x = jnp.ones(2)
    got = jax.jit(lambda x: law.score(x, 0.5, 0.5))(x)
    np.testing.assert_allclose(got, law.score(x, 0.5, 0.5), rtol=1e-12)
    got = jax.jit(lambda x: law.log_density(x, 0.5, 0.5))(x)
    np.testing.assert_allclose(got, law.log_density(x, 0.5, 0.5), rtol=1e-12)
    for refused in (law.score, law.log_density):
        with pytest.raises(ValueError, match="`sigma` is 0"):
            jax.jit(lambda x, f=refused: f(x, 0.5, 0.0))(x)


X = jnp.array([0.4, 0.3])
CONSTRUCTORS = {
    "isotropic": (GaussianMixture.isotropic, [np.array([0.2, 0.4])]),
    "diagonal": (GaussianMixture.diagonal, [np.array([[0.2, 0.4], [0.3, 0.1]])]),
    "low rank": (
        GaussianMixture.low_rank,
        [np.array([[[1.0], [0.5]], [[0.2], [0.7]]]), np.array([0.2, 0.1])],
    ),
    "full": (
        GaussianMixture.full,
        [np.array([[[2.0, 0.5], [0.5, 1]], [[1, -0.2], [-0.2, 0.5]]])],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", some(CONSTRUCTORS, ["isotropic", "full"]))
def test_gradients_reach_what_the_constructor_took(kind):
    build, spread = CONSTRUCTORS[kind]
    parameters = [MEANS, *spread, np.array([0.3, 0.7])]

    @jax.jit
    @jax.value_and_grad
    def observe(parameters):
        law = build(*parameters)
        label = law.label_log_posterior(X, 0.8, 0.5)[0]
        return law.log_density(X, 0.8, 0.5) + label

    rng, step = np.random.default_rng(4), 1e-5
    ways = [rng.normal(size=p.shape) for p in parameters]
    # Within the constructor's domain: weights sum to one, covariances symmetric.
    ways[-1] = ways[-1] - ways[-1].mean()
    if kind == "full":
        ways[1] = ways[1] + np.swapaxes(ways[1], 1, 2)
    move = lambda h: [
        jnp.asarray(p + h * w) for p, w in zip(parameters, ways, strict=True)
    ]
    _, gradient = observe(move(0.0))
    slope = float(observe(move(step))[0] - observe(move(-step))[0]) / (2 * step)
    assert all(np.all(np.isfinite(g)) for g in gradient)
    analytic = sum(float(np.sum(g * w)) for g, w in zip(gradient, ways, strict=True))
    assert abs(slope - analytic) < 1e-7 * (1 + abs(slope))


ANCHORS = np.random.default_rng(5).normal(size=(4, 3))


@jit
def hard(means, variances, log_weights, x, alpha, sigma):
    law = GaussianMixture.isotropic(means, variances, jnp.exp(log_weights))
    shift = law.score(x, alpha, sigma) * sigma**2
    log_p = law.label_log_posterior(x, alpha, sigma)
    return law.denoise(x, alpha, sigma), shift, log_p, law.log_density(x, alpha, sigma)


@pytest.mark.slow
@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    seed=st.integers(0, 2**31 - 1),
    log_sigma=st.floats(-9.2, 6.9),
    log_norm=st.floats(-9.2, 9.2),
    tiny=st.floats(-700.0, 0.0),
    coincide=st.booleans(),
    on_a_mean=st.booleans(),
    variance=st.sampled_from([0.0, 1e-12, 1.0]),
)
@hypothesis.example(0, -6.0, 5.0, 0.0, True, False, 0.0)
def test_hard_corners(seed, log_sigma, log_norm, tiny, coincide, on_a_mean, variance):
    """Far points, tiny weights, coinciding means, noise from 1e-4 to 1e3."""
    rng = np.random.default_rng(seed)
    alpha, sigma = rng.uniform(0.01, 1), np.exp(log_sigma)
    means = np.array([ANCHORS[0]] * 3 + [ANCHORS[1]]) if coincide else ANCHORS
    x = rng.normal(size=3)
    x *= np.exp(log_norm) / np.linalg.norm(x)
    x = alpha * means[0] if on_a_mean else x
    log_weights = np.array([tiny, 0, -1, -2])
    log_weights = log_weights - np.logaddexp.reduce(log_weights)
    spread = np.array([variance, 0.0, variance, 0.0])
    args = map(jnp.asarray, (means, spread, log_weights, x, alpha, sigma))
    mean, shift, log_p, density = map(np.asarray, hard(*args))
    assert np.all(np.isfinite([*mean, density]))
    assert abs(np.logaddexp.reduce(log_p)) < 1e-12
    np.testing.assert_allclose(
        shift, alpha * mean - x, rtol=0, atol=1e-11 * (1 + np.abs(x).max())
    )
    if variance == 0:
        inside = (means.min(0) - 1e-12 <= mean) & (mean <= means.max(0) + 1e-12)
        assert np.all(inside)
    if coincide and variance == 0:
        # Components at one place differ by their weights alone.
        together = log_p[:3] - np.logaddexp.reduce(log_p[:3])
        weights = log_weights[:3] - np.logaddexp.reduce(log_weights[:3])
        if np.isfinite(together).all():
            # What the form of the log-weights promises, and the last digit of logs that
            # are as far below the others as -3e7.
            limit = 10 * ROUNDING["float64"] + np.spacing(np.abs(log_p[:3]).max())
            np.testing.assert_allclose(together, weights, atol=limit, rtol=0)


def test_segment_logsumexp_of_an_empty_label():
    values, owner = jnp.array([0.0, -jnp.inf, 1.0]), jnp.array([0, 1, 0])
    got = segment_logsumexp(values, owner, 3)
    np.testing.assert_allclose(got, [np.logaddexp(0, 1), -np.inf, -np.inf])
    gradient = jax.grad(lambda v: segment_logsumexp(v, owner, 3)[0])(values)
    np.testing.assert_allclose(gradient, np.exp([0, -np.inf, 1]) / (1 + np.e))


def test_choice_by_one_uniform():
    log_weights = jnp.log(jnp.array([0.0, 0.25, 0.0, 0.75, 0.0])) + 800.0
    pick = jax.jit(jax.vmap(lambda u: choose(log_weights, u)))
    got = pick(jnp.array([0.0, 0.1, 0.2499, 0.2501, 0.9, 1.0]))
    np.testing.assert_array_equal(got, [1, 1, 1, 3, 3, 3])
