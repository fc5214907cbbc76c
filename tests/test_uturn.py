"""U-turn laws: density, samples, distances, clones, and the probability flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
from scipy.special import erfinv
from scipy.stats import norm

from jaxwin.analysis import speciation
from jaxwin.analysis.windows import (
    certificate,
    confusion,
    flow_confusion,
    flow_map,
    flow_matrix,
    uturn_density,
    uturn_distance,
    uturn_sample,
)
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import LinearInterpolant, OrnsteinUhlenbeck, convert
from jaxwin.samplers import ExactTransition, clones, solve_flow
from jaxwin.scores import ExactScore
from jaxwin.targets import Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()
E2 = GaussianMixture.isotropic([[19.0], [21.0], [-20.0]], 1.0)
# T, then TV of p^{init,T} to p^{targ}, p^{init} and p (shared theory, windows, E2).
T_END = -np.log(np.sqrt(2) * erfinv(0.2))
TABLE = np.array(
    [
        [0.5, 0.163975391, 0.177369355, 0.374816599],
        [T_END, 0.035275702, 0.306069628, 0.333332756],
        [1.9, 0.013355005, 0.330280760, 0.331062797],
        [2.045448340, 0.012136034, 0.336740684, 0.326161717],
        [3.0, 0.165022513, 0.431257849, 0.168310820],
        [4.0, 0.299414889, 0.503386338, 0.033918445],
    ]
)
# Five components in three labels, no two of one weight or width.
MEANS = np.array([-4.0, -1.0, 0.5, 2.0, 6.0])
WIDTHS = np.array([0.5, 1.2, 0.3, 2.0, 0.7])
WEIGHTS = np.array([0.1, 0.3, 0.15, 0.25, 0.2])
LABELS = np.array([0, 1, 0, 2, 1])
MIXED = GaussianMixture.isotropic(
    MEANS[:, None], WIDTHS**2, WEIGHTS, labels=LABELS.tolist()
)


def levels(t):
    return np.exp(-t), np.sqrt(-np.expm1(-2 * t))


@eqx.filter_jit
def densities(law, initial, level, xs):
    one = lambda x: uturn_density(law, initial, level[0], level[1], x)
    return jax.vmap(one)(xs)


def tv(law, initial, other, times):
    """Distances at up to six times, in one program for all numbers of them."""
    times = np.asarray(times)
    whole = np.append(times, np.full(6 - times.size, times[-1]))
    found = uturn_distance(law, initial, other, whole)
    assert found.method == "quadrature"
    return found.value[: times.size]


def gaussian(x, mean, width):
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (np.sqrt(2 * np.pi) * width)


def by_hand(x, inside, t):
    """p^{S,T} of MIXED through the posterior Gaussians, by a plain sum over y."""
    alpha, sigma = levels(t)
    noised = np.sqrt((alpha * WIDTHS) ** 2 + sigma**2)
    y = np.linspace(-14, 16, 2401)
    centres = alpha * MEANS[:, None]
    joint = WEIGHTS[:, None] * gaussian(y[None], centres, noised[:, None])
    start = joint[inside].sum(axis=0) / WEIGHTS[inside].sum()
    posterior = joint / joint.sum(axis=0)
    gain = alpha * WIDTHS**2 / noised**2
    spread = WIDTHS * sigma / noised
    total = np.zeros_like(x)
    for k in range(5):
        centre = MEANS[k] + gain[k] * (y - alpha * MEANS[k])
        kernel = gaussian(x[:, None], centre[None], spread[k])
        total += kernel @ (start * posterior[k])
    return total * (y[1] - y[0])


@pytest.mark.parametrize("t", [0.1, 0.6, 1.7])
def test_density_against_posterior_gaussians(t):
    x = np.linspace(-7, 9, 41)
    inside = np.isin(LABELS, [0, 2])
    found = densities(MIXED, (0, 2), jnp.array(levels(t)), x[:, None])
    np.testing.assert_allclose(found, by_hand(x, inside, t), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("law", [MIXED, E2])
@pytest.mark.parametrize("t", [0.0, 1e-3, 0.4, 2.0, 9.0])
def test_a_partition_mixes_to_the_law(law, t):
    x = jnp.linspace(-25, 25, 101)[:, None]
    level = jnp.array(levels(t))
    prior = np.exp(law.log_label_prior())
    first = densities(law, (0,), level, x)
    rest = densities(law, (1, 2), level, x)
    whole = np.exp(jax.vmap(lambda x: law.log_density(x, 1.0, 0.0))(x))
    total = prior[0] * first + (1 - prior[0]) * rest
    np.testing.assert_allclose(total, whole, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
def test_limits_of_no_noise_and_of_noise_alone():
    x = jnp.linspace(-8, 9, 60)[:, None]
    density = lambda law: np.exp(jax.vmap(lambda x: law.log_density(x, 1.0, 0.0))(x))
    alone = density(MIXED.restrict(jnp.array([True, False, True])))
    clean, noise = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    np.testing.assert_allclose(densities(MIXED, (0, 2), clean, x), alone, rtol=1e-12)
    whole = density(MIXED)
    np.testing.assert_allclose(densities(MIXED, (0, 2), noise, x), whole, rtol=1e-12)


@pytest.mark.slow
def test_a_law_that_reduces_has_the_density_of_its_line():
    # Means on a line in 4-D: the rest is a Gaussian factor.
    direction = np.array([1.0, -2.0, 0.5, 2.0]) / np.sqrt(9.25)
    law = GaussianMixture.isotropic(MEANS[:, None] * direction + 3.0, 0.49, WEIGHTS)
    line = GaussianMixture.isotropic(MEANS[:, None], 0.49, WEIGHTS)
    x = 3.0 + np.random.default_rng(0).normal(size=(5, 4))
    level = jnp.array(levels(0.5))
    along = (x - 3.0) @ direction
    square = np.sum((x - 3.0 - along[:, None] * direction) ** 2, axis=1)
    rest = np.exp(-square / 2 / 0.49) / (2 * np.pi * 0.49) ** 1.5
    expected = densities(line, (0, 3), level, along[:, None]) * rest
    one = lambda x: uturn_density(law, (0, 3), level[0], level[1], x)
    found = jax.vmap(one)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize(("column", "other"), [(1, [0, 1]), (2, [0]), (3, [0, 1, 2])])
def test_table_of_the_theorem(column, other):
    found = uturn_distance(E2, [0], other, TABLE[:, 0])
    assert found.method == "quadrature"
    np.testing.assert_allclose(found.value, TABLE[:, column], rtol=0, atol=6e-10)
    assert np.all((found.lower <= found.value) & (found.value <= found.upper))


@pytest.mark.slow
def test_certificate_holds_on_a_grid():
    times = np.linspace(0.05, 6.0, 30)
    value = uturn_distance(E2, [0], [0, 1], times).value
    bounds = certificate(E2, [0], [0, 1], times)
    assert np.all(np.asarray(bounds.lower) <= value + 1e-9)
    assert np.all(value <= np.asarray(bounds.upper) + 1e-9)
    # Tight on the far side, where what leaks out is all there is.
    np.testing.assert_allclose(np.asarray(bounds.lower)[-6:], value[-6:], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("t", [0.1, 0.8, 1.4])
def test_distance_against_a_sum_over_the_line(t):
    x = np.linspace(-12, 14, 1301)
    other = np.isin(LABELS, [1])
    aim = WEIGHTS[other] @ gaussian(x, MEANS[other, None], WIDTHS[other, None])
    start = by_hand(x, np.isin(LABELS, [0, 1]), t)
    expected = 0.5 * np.sum(np.abs(start - aim / 0.5)) * (x[1] - x[0])
    found = tv(MIXED, [0, 1], [1], [t])[0]
    # The sum errs at each kink, by up to step^2 / 6 times the slope there.
    np.testing.assert_allclose(found, expected, atol=3e-5)


def test_point_masses_are_summed():
    # The chain of U-turns on three points: TV is half a sum over them.
    points, weights = np.array([-2.0, 0.5, 3.0]), np.array([0.5, 0.2, 0.3])
    law = GaussianMixture.isotropic(points[:, None], 0.0, weights)
    times = np.array([0.1, 0.7, 2.0])
    found = tv(law, [0], [0, 2], times)
    for t, value in zip(times, found, strict=True):
        row = confusion_by_hand(points, weights, t)[0]
        aim = np.array([0.5, 0.0, 0.3]) / 0.8
        np.testing.assert_allclose(value, 0.5 * np.abs(row - aim).sum(), atol=1e-9)


def confusion_by_hand(points, weights, t):
    alpha, sigma = levels(t)
    y = np.linspace(-12, 12, 8001)
    joint = weights[:, None] * gaussian(y, alpha * points[:, None], sigma)
    posterior = joint / joint.sum(axis=0)
    return (joint / weights[:, None]) @ posterior.T * (y[1] - y[0])


@pytest.mark.slow
def test_mixed_with_point_masses():
    # A point mass beside a wide component: nothing of either is lost.
    law = GaussianMixture.isotropic([[0.0], [1.5]], [0.0, 1.0], [0.3, 0.7])
    t = 0.5
    # p^S is all at the point, p^{S,T} but for the flips.
    found = tv(law, [0], [0], [t])[0]
    exact, _ = scipy.integrate.quad(lambda y: flip(y, t), -8, 8, epsabs=1e-13)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def flip(y, t):
    alpha, sigma = levels(t)
    wide = 0.7 * norm.pdf(y, 1.5 * alpha, np.hypot(alpha, sigma))
    point = norm.pdf(y, 0.0, sigma)
    return point * wide / (0.3 * point + wide)


@pytest.mark.slow
def test_samples_have_the_density():
    # 20,000 draws into 8 cells, seed 0; 4 standard errors.
    t, cells = 0.6, np.array([-4.0, -2.0, -0.5, 0.3, 0.8, 2.0, 5.0])
    draw = jax.vmap(lambda key: uturn_sample(MIXED, [0], key, t))
    x = np.asarray(jax.jit(draw)(jr.split(jr.key(0), 20_000)))[:, 0]
    grid = np.linspace(-20, 22, 6001)
    level = jnp.array(levels(t))
    density = np.asarray(densities(MIXED, (0,), level, grid[:, None]))
    cumulative = np.append(0, np.cumsum((density[1:] + density[:-1]) / 2)) * 0.007
    ends = np.concatenate([[0], np.interp(cells, grid, cumulative), [1]])
    share = np.histogram(x, np.concatenate([[-np.inf], cells, [np.inf]]))[0] / x.size
    exact = np.diff(ends)
    assert np.all(np.abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / x.size))


@pytest.mark.slow
def test_samples_have_the_confusion():
    # 20,000 draws in 12 dimensions on another clock, seed 1; 4 standard errors.
    rng = np.random.default_rng(2)
    law = GaussianMixture.isotropic(
        1.5 * rng.normal(size=(3, 12)), 1.0, [0.5, 0.3, 0.2]
    )
    t, clock = 1.1, LinearInterpolant()
    u = float(convert(t, OU, clock)[0])
    draw = lambda key: uturn_sample(law, [1], key, u, process=clock)
    soft = lambda key: jnp.exp(law.label_log_posterior(draw(key), 1.0, 0.0))
    labels = np.asarray(jax.jit(jax.vmap(soft))(jr.split(jr.key(1), 20_000)))
    mean, error = labels.mean(axis=0), labels.std(axis=0) / np.sqrt(len(labels))
    row = confusion(law, np.array([t])).matrix[0, 1]
    assert np.all(np.abs(mean - row) < 4 * error)
    assert np.all(np.abs(row - np.exp(law.log_label_prior())) > 20 * error)


@pytest.mark.slow
@pytest.mark.parametrize("t", [0.002, 0.15, 0.9, 2.5])
def test_plane_against_line(t):
    # Labels differ along one axis only; the other is a wider Gaussian factor.
    means = np.stack([MEANS, np.full(5, 1.0)], axis=1)
    variances = np.stack([WIDTHS**2, np.full(5, 2.25)], axis=1)
    law = GaussianMixture.diagonal(means, variances, WEIGHTS, labels=LABELS.tolist())
    found = uturn_distance(law, [0], [0, 2], [t])
    exact = uturn_distance(MIXED, [0], [0, 2], [t]).value
    assert found.method == "quadrature"
    assert np.all(np.abs(found.value - exact) <= found.error + 1e-9)
    assert np.all(found.error < 1e-3)


@pytest.mark.slow
@pytest.mark.long
def test_turned_plane_and_sandwich():
    # Full covariances, turned: nothing depends on the axes. Monte Carlo: 8,192 points,
    # seed 0, 4 standard errors.
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(4, 2, 2))
    covariances = factors @ np.swapaxes(factors, 1, 2) + 0.1 * np.eye(2)
    means, weights = 2 * rng.normal(size=(4, 2)), rng.dirichlet(np.ones(4))
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    laws = [
        GaussianMixture.full(means @ r.T, r @ covariances @ r.T, weights)
        for r in (np.eye(2), turn)
    ]
    times = np.array([0.01, 0.2, 1.0, 3.0])
    first, second = (uturn_distance(law, [0, 1], [0, 1, 2], times) for law in laws)
    assert np.all(np.abs(first.value - second.value) <= first.error + second.error)
    assert np.all(first.error < 1e-3)
    found = uturn_distance(laws[0], [0, 1], [0, 1, 2], times, method="sampled")
    assert np.all(found.lower - 4 * found.error <= first.value)
    assert np.all(first.value <= found.upper + 4 * found.error)
    assert np.all(found.lower <= found.upper)
    assert to_json(found)["method"] == "sampled"
    assert to_dataset(found)["value"].dims == ("noise",)


@pytest.mark.slow
def test_sandwich_closes_on_the_distance():
    # 4,096 points, seed 4: the bounds hold to 4 standard errors, and the gap between
    # them falls like one over the inner draws.
    times = np.array([0.5, 1.9, 3.0])
    gaps = []
    for inner in (4, 32):
        found = uturn_distance(
            E2,
            [0],
            [0, 1],
            times,
            method="sampled",
            num_replicas=4096,
            inner=inner,
            key=jr.key(4),
        )
        assert np.all(found.lower - 4 * found.error <= TABLE[[0, 2, 4], 1])
        assert np.all(TABLE[[0, 2, 4], 1] <= found.upper + 4 * found.error)
        gaps.append(found.upper - found.lower)
    assert np.all(gaps[1] <= gaps[0])
    assert gaps[1][1] < 0.4 * gaps[0][1]


@pytest.mark.slow
@pytest.mark.long
def test_sandwich_of_a_kernel_density():
    # The same law as points with a kernel in 3-D and as a mixture; seeds 5 and 6.
    points = np.random.default_rng(5).normal(size=(30, 3)) * 1.5
    labels = (points[:, 0] > 0).astype(int)
    kernel = Empirical(points, labels, bandwidth=0.6)
    mixture = GaussianMixture.isotropic(points, 0.36, labels=labels.tolist())
    found = [
        uturn_distance(law, [0], [0, 1], [0.2, 0.8], key=jr.key(5 + i))
        for i, law in enumerate((kernel, mixture))
    ]
    assert all(one.method == "sampled" for one in found)
    error = np.hypot(found[0].error, found[1].error)
    assert np.all(np.abs(found[0].upper - found[1].upper) < 4 * error)
    assert np.all(np.abs(found[0].lower - found[1].lower) < 4 * error)


@pytest.mark.slow
@pytest.mark.parametrize("m", [0.25, 0.5, 0.8, 1.0, 2.0, 3.0])
def test_flow_flips_by_quantiles(m):
    # Two components, disjoint when clean, on a line in 5-D: Phi(-m) at every m.
    mean = 40 * np.array([[0.6, 0.0, 0.8, 0.0, 0.0]])
    law = GaussianMixture.isotropic(np.concatenate([mean, -mean]), 1.0)
    t = np.log(40 / m)
    flips = np.asarray(flow_matrix(law, *map(jnp.asarray, levels(t))))
    np.testing.assert_allclose(flips[[0, 1], [1, 0]], norm.cdf(-m), rtol=1e-11)
    exact = float(speciation.disagreement(m))
    assert abs(exact - norm.cdf(-m)) > 5e-4


@pytest.mark.slow
def test_flow_keeps_a_minority_longer():
    # Means +-10 noised to |mean| = 1 (shared theory, windows, 2.4).
    law = GaussianMixture.isotropic([[10.0], [-10.0]], 1.0, [0.9, 0.1])
    t = np.log(10.0)
    flow = flow_confusion(law, [t])
    np.testing.assert_allclose(
        np.diagonal(flow.matrix[0]), [0.9568828783, 0.6119459050], atol=6e-11
    )
    exact = confusion(law, np.array([t])).matrix[0]
    np.testing.assert_allclose(np.diagonal(exact), [0.9411293, 0.4701640], atol=6e-8)
    # A model of other weights: the flow of 1/2, 1/2 from the same noised points.
    even = flow_confusion(law, [t], weights=[0.5, 0.5]).matrix[0]
    np.testing.assert_allclose(np.diagonal(even), norm.cdf(1), rtol=1e-11)


@pytest.mark.slow
def test_flow_map_is_the_flow():
    process, t = OU, 1.3
    score = ExactScore(MIXED, process)
    alpha, sigma = map(jnp.asarray, levels(t))
    moved = jax.jit(lambda y: flow_map(MIXED, y, alpha, sigma))
    for y in (-2.0, -0.4, 0.3, 1.1, 2.6):
        solution = solve_flow(
            score, jnp.array([y]), jnp.array(t), jnp.array(1e-6), rtol=1e-9, atol=1e-9
        )
        np.testing.assert_allclose(moved(y), solution.x[0], atol=1e-4)


@pytest.mark.slow
def test_flow_matrix_counts_where_the_map_leads():
    # Labels overlap at no noise, and one is made of two parts: 4,000 quantiles.
    t = 0.9
    alpha, sigma = map(jnp.asarray, levels(t))
    share = (np.arange(4000) + 0.5) / 4000
    widths = np.sqrt((alpha * WIDTHS) ** 2 + sigma**2)
    ends = []
    one = lambda y: jnp.argmax(
        MIXED.label_log_posterior(flow_map(MIXED, y, alpha, sigma)[None], 1.0, 0.0)
    )
    label = jax.jit(jax.vmap(one))
    for c in range(3):
        row = np.zeros(3)
        for k in np.flatnonzero(LABELS == c):
            y = alpha * MEANS[k] + widths[k] * norm.ppf(share)
            row += WEIGHTS[k] * np.bincount(label(y), minlength=3) / 4000
        ends.append(row / row.sum())
    found = flow_matrix(MIXED, alpha, sigma)
    np.testing.assert_allclose(found, ends, atol=2e-3)


def test_clones_agree_as_u_turns_do():
    # C = E sum r^2 = sum_i w_i A_ii: two sides in closed form, three by quadrature.
    times = np.array([0.3, 0.9, 1.8])
    pair = GaussianMixture.isotropic([[2.0], [-2.0]], 1.0, [0.7, 0.3])
    kept = np.einsum("tii,i->t", confusion(pair, times).matrix, [0.7, 0.3])
    closed = speciation.agreement
    phi = [float(closed(2 * np.exp(-t), 0.7)) for t in times]
    np.testing.assert_allclose(kept, phi, atol=1e-12)
    prior = np.exp(MIXED.log_label_prior())
    kept = np.einsum("tii,i->t", confusion(MIXED, times).matrix, prior)
    for t, value in zip(times, kept, strict=True):
        alpha, sigma = levels(t)
        widths = np.sqrt((alpha * WIDTHS) ** 2 + sigma**2)

        def purity(y, widths=widths, alpha=alpha):
            joint = WEIGHTS * norm.pdf(y, alpha * MEANS, widths)
            label = np.bincount(LABELS, joint, 3)
            return np.sum(label**2) / joint.sum()

        exact = scipy.integrate.quad(
            purity, -16, 20, epsabs=1e-13, limit=400, points=[-4, -1, 0, 1, 2, 6]
        )[0]
        np.testing.assert_allclose(value, exact, atol=1e-12)


@pytest.mark.slow
def test_simulated_clones_agree_as_u_turns_do():
    # 20,000 pairs, seed 7: noised to t = 1.8, parted at 0.9; 4 standard errors.
    times = jnp.array([1.8, 0.9, 0.4, 0.0])
    score, step = ExactScore(MIXED, OU), ExactTransition(MIXED)

    def agree(replica):
        first, second = jr.split(jr.fold_in(jr.key(8), replica))
        x0 = MIXED.sample(first)
        z = jr.normal(second, x0.shape)
        alpha, sigma = OU.levels(times[0])
        x = alpha * x0 + sigma * z
        ends = clones(step, score, x, times, jr.key(7), replica, branch=1)
        labels = jax.vmap(lambda x: jnp.exp(MIXED.label_log_posterior(x, 1.0, 0.0)))
        ones, others = labels(ends)
        return jnp.sum(ones * others)

    found = np.asarray(jax.jit(jax.vmap(agree))(jnp.arange(20_000, dtype=jnp.int32)))
    prior = np.exp(MIXED.log_label_prior())
    exact = np.einsum("ii,i->", confusion(MIXED, np.array([0.9])).matrix[0], prior)
    assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(found.size)


def test_the_law_itself_is_kept_by_a_turn():
    # p is stationary: all labels at the start, TV to p is zero at every noise.
    found = tv(MIXED, [0, 1, 2], [0, 1, 2], [0.0, 0.5, 3.0])
    np.testing.assert_allclose(found, 0, atol=1e-13)
    observed = Observed(MIXED, Gaussian())
    row = confusion(observed, np.array([0.5])).matrix[0]
    prior = np.exp(MIXED.log_label_prior())
    np.testing.assert_allclose(prior @ row, prior, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uturn_distance(E2, [], [0], [1.0]), "`initial` is empty"),
        (lambda: uturn_distance(E2, [0], [3], [1.0]), "`other` names label 3"),
        (lambda: uturn_distance(E2, [0], [1], [-1.0]), "`noises` is -1"),
        (lambda: uturn_distance(E2, [0], [1], []), "`noises` has shape"),
        (lambda: flow_matrix(E2, 0.5, 0.8, weights=[1.0, 1.0]), "`weights` has shape"),
        (lambda: flow_matrix(E2, 0.5, 0.8, weights=[1.0, -1, 1]), "`weights` is"),
        (lambda: flow_matrix(E2, 0.5, 0.8, weights=[0.0, 0, 0]), "`weights` is"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_laws_of_many_dimensions_are_refused_where_there_is_no_line():
    law = GaussianMixture.isotropic(np.eye(4), 1.0)
    with pytest.raises(ValueError, match="does not reduce to one"):
        uturn_density(law, [0], 0.5, 0.8, jnp.zeros(4))
    with pytest.raises(ValueError, match="quadrature"):
        uturn_distance(law, [0], [1], [1.0], method="quadrature")
    with pytest.raises(ValueError, match="4 dimensions"):
        flow_map(law, 0.0, 0.5, 0.8)
