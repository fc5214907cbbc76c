"""Closed formulas of critical windows, the theorem's constants and worked examples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats

from jaxwin._checks import BadInput
from jaxwin.analysis import windows
from jaxwin.targets import GaussianMixture


def value(crossing) -> float:
    assert bool(crossing.found), str(crossing)
    return float(crossing.time)


# The theorem's constants


def test_theorem_bound():
    assert abs(float(windows.theorem_bound(0.1, 0.5)) - 0.1707106781) < 6e-11
    # Above W = 1 the rest weighs in.
    assert np.isclose(windows.theorem_bound(0.2, 3.0), 0.2 * (1 + 3 / np.sqrt(2)))
    assert np.isclose(windows.theorem_bound(0.2, 0.0), 0.2 * (1 + 1 / np.sqrt(2)))


@pytest.mark.parametrize(
    ("epsilon", "printed", "digits"),
    [(0.2, 8.106, 3), (0.1, 20.4981831567, 10), (0.05, 48.214, 3), (0.01, 310.42, 2)],
)
def test_separation_ratio(epsilon, printed, digits):
    found = float(windows.separation_ratio(epsilon))
    assert abs(found - printed) < 0.6 * 10.0**-digits
    exact = scipy.special.erfinv(1 - epsilon**2) / scipy.special.erfinv(epsilon)
    assert np.isclose(found, exact, rtol=1e-12)


def test_separation_ratio_keeps_its_digits_for_small_tolerance():
    # erfcinv is right where 1 - eps^2 is rounded to one.
    exact = scipy.special.erfcinv(1e-20) / scipy.special.erfinv(1e-10)
    assert np.isclose(windows.separation_ratio(1e-10), exact, rtol=1e-12)


def test_depth_bound():
    # Scales 1, rho, rho^2 are three levels and add two.
    ratio = float(windows.separation_ratio(0.1))
    assert np.isclose(windows.depth_bound(ratio**2, 0.1), 2, rtol=1e-12)
    with pytest.raises(BadInput, match="below 0.618"):
        windows.depth_bound(10.0, 0.7)
    with pytest.raises(ValueError, match="scale_range"):
        windows.depth_bound(0.5, 0.1)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_a_tolerance_outside_its_range_is_refused(epsilon):
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 1.0)
    for call in [
        lambda: windows.theorem_bound(epsilon, 1.0),
        lambda: windows.separation_ratio(epsilon),
        lambda: windows.two_components(10.0, epsilon),
        lambda: windows.one_of_many(4.0, 5.0, 3, epsilon),
        lambda: windows.sufficient_times(law, 0, [0, 1], epsilon),
        lambda: windows.coins_window(0.05, epsilon),
        lambda: windows.masking_window(10, epsilon),
        lambda: windows.concept_window(10.0, 0.1, epsilon),
        lambda: windows.in_context_count(0.1, epsilon),
    ]:
        with pytest.raises(BadInput, match="`epsilon` is .* strictly between 0 and 1"):
            call()


# Example 1: two components, and note (i)

E1 = {
    0.2: (2.948084642, 3.675579874, 4.605170186, 1.582918233, 1.376055500, 1.839320296),
    0.1: (3.675579874, 4.376749807, 5.298317367, 1.356413551, 0.938530460, 1.620557777),
    0.01: (5.988712008, 6.681937745, 7.60090246, 0.944023791, 0.160498244, 1.231541669),
}
APART = {0.2: 1.371495, 0.1: 1.192422, 0.01: 0.845848}


@pytest.mark.parametrize("epsilon", list(E1))
def test_two_components_at_printed_points(epsilon):
    found = windows.two_components(10.0, epsilon)
    names = "end", "end_pair", "before_printed", "start", "after_printed", "after_leak"
    for name, printed in zip(names, E1[epsilon], strict=True):
        assert abs(value(getattr(found, name)) - printed) < 0.6e-9, name
    assert abs(value(found.after_apart) - APART[epsilon]) < 0.6e-6


def pair_tv(norm, t):
    return scipy.special.erf(norm * np.exp(-t) / np.sqrt(2))


@pytest.mark.parametrize("epsilon", [0.03, 0.15, 0.27, 0.4])
@pytest.mark.parametrize("norm", [3.0, 40.0])
def test_two_components_between_printed_points(norm, epsilon):
    found = windows.two_components(norm, epsilon)
    root = lambda f: float(np.asarray(scipy.optimize.brentq(f, -5, 20, xtol=1e-13)))
    end = root(lambda t: 0.5 * pair_tv(norm, t) - epsilon)
    assert abs(value(found.end) - max(end, 0)) < 1e-9
    end = root(lambda t: pair_tv(norm, t) - epsilon)
    assert abs(value(found.end_pair) - max(end, 0)) < 1e-9
    start = root(lambda t: pair_tv(norm, t) - (1 - epsilon**2))
    if start >= 0:
        assert abs(value(found.start) - start) < 1e-9
    # The leak form solves BC = sqrt(2) eps, BC = exp(-m^2 / 2).
    leak = root(
        lambda t: np.exp(-0.5 * (norm * np.exp(-t)) ** 2) - np.sqrt(2) * epsilon
    )
    assert abs(value(found.after_leak) - leak) < 1e-9


def test_note_one_which_form_of_t_after_is_before_t_start():
    norm = 1e3
    tv = lambda crossing: pair_tv(norm, value(crossing))
    for epsilon in np.linspace(0.01, 0.7, 139):
        found = windows.two_components(norm, float(epsilon))
        # The form with one half lies after T_start, always.
        assert value(found.after_leak) > value(found.start)
        # The printed one before it for eps < 0.3056 only.
        printed = value(found.after_printed)
        if abs(epsilon - 0.3056) > 1e-4:
            assert (tv(found.after_printed) >= 1 - epsilon**2) == (epsilon < 0.3056)
        # and is the earlier of the two below eps = 0.4289.
        if abs(epsilon - 0.4289) > 1e-4:
            assert (printed < value(found.after_leak)) == (epsilon < 0.4289)
        # The third form keeps its promise for every eps.
        assert tv(found.after_apart) >= 1 - epsilon**2
        assert value(found.after_apart) <= value(found.start)


def test_leak_of_the_form_with_one_half():
    # Leak of one of two equal components is the U-turn flip, at most eps / sqrt(2).
    flip = lambda m: scipy.integrate.quad(
        lambda z: scipy.stats.norm.pdf(z) * scipy.special.expit(-2 * m * (m + z)),
        -12,
        12,
        epsabs=1e-13,
    )[0]
    for epsilon in (0.05, 0.2, 0.4):
        m = 10 * np.exp(-value(windows.two_components(10.0, epsilon).after_leak))
        assert flip(m) <= epsilon / np.sqrt(2)


def test_two_components_where_nothing_is_to_be_told():
    near = windows.two_components(0.01, 0.1)
    assert value(near.end) == 0
    assert value(near.end_pair) == 0
    assert not near.start.found
    assert str(near.start) == "not reached in [0, inf]"
    # TV(p+, p) <= 1/2 without any noise; ln(1 / 2 eps^2) has no logarithm.
    far = windows.two_components(1e3, 0.8)
    assert value(far.end) == 0
    assert value(far.end_pair) > 0
    assert not far.after_printed.found
    assert not far.after_leak.found
    assert far.start.found


def test_separation_time_with_any_variance():
    for variance in (0.0, 0.3, 1.0, 5.0):
        t = value(windows.separation_time(12.0, 2.5, variance))
        width = np.sqrt(np.exp(-2 * t) * variance + 1 - np.exp(-2 * t))
        assert np.isclose(12.0 * np.exp(-t) / width, 2.5, rtol=1e-12)
    assert not windows.separation_time(1.0, 2.5, 1.0).found
    gradient = jax.grad(lambda v: windows.separation_time(1.0, 2.5, v).time)
    assert np.isfinite(gradient(0.01))


# Example 2: one of many, and note (ii)


def random_means():
    means = np.random.default_rng(0).standard_normal((10, 1000))
    return np.sort(np.linalg.norm(means[1:] - means[0], axis=1))


def test_one_of_many_random_means():
    distances = random_means()
    assert abs(distances[0] - 43.093358) < 0.6e-6
    assert abs(distances[-1] - 45.366699) < 0.6e-6
    found = windows.one_of_many(distances[0], distances[-1], 10, 0.1)
    assert abs(value(found.after) - 1.960058) < 0.6e-6
    assert abs(value(found.before) - 6.117363) < 0.6e-6
    assert abs(float(found.width) - 4.157305) < 0.6e-6
    for count, printed in [(10, 4.105896), (100, 4.308628)]:
        assert abs(float(windows.random_means_width(count, 0.1)) - printed) < 0.6e-6


def test_note_two_example_two_is_of_the_leak_type():
    # At T_after the nearest pair has BC = eps / K, not TV = 1 - eps^2.
    for count, epsilon, nearest in [(10, 0.1, 43.0), (7, 0.03, 12.0)]:
        t = value(windows.one_of_many(nearest, nearest, count, epsilon).after)
        distance = nearest * np.exp(-t)
        assert np.isclose(np.exp(-(distance**2) / 8), epsilon / count, rtol=1e-12)
        threshold = np.sqrt(8) * scipy.special.erfinv(1 - epsilon**2)
        assert abs(t - value(windows.separation_time(nearest, threshold))) > 1e-3


# Any covariances


def random_covariances(rng, count, dimension):
    factors = rng.normal(size=(count, dimension, dimension)) / np.sqrt(dimension)
    return np.einsum("kij,klj->kil", factors, factors) + 0.3 * np.eye(dimension)


def noised(means, covariances, t):
    alpha2 = np.exp(-2 * t)
    eye = np.eye(means.shape[1])
    return np.exp(-t) * means, alpha2 * covariances + (1 - alpha2) * eye


def dense_bc(gap, a, b):
    middle = (a + b) / 2
    log = 0.25 * (np.linalg.slogdet(a)[1] + np.linalg.slogdet(b)[1])
    log -= 0.5 * np.linalg.slogdet(middle)[1]
    return np.exp(log - gap @ np.linalg.solve(middle, gap) / 8)


@pytest.mark.slow
def test_sufficient_times_suffice():
    # TV of sub-mixtures and the leak by 4e4 draws; 4 standard errors of slack.
    rng = np.random.default_rng(7)
    for count, dimension in [(3, 1), (5, 4)] * 6:
        means = rng.normal(size=(count, dimension)) * rng.choice([0.3, 3.0, 30.0])
        covariances = random_covariances(rng, count, dimension)
        weights = rng.dirichlet(np.full(count, 2.0))
        law = GaussianMixture.full(means, covariances, weights)
        epsilon = float(rng.choice([0.05, 0.15, 0.3]))
        initial, target = [0], [0, 1]
        found = windows.sufficient_times(law, initial, target, epsilon)
        lower = value(found.lower)
        # Pairs, without sampling: TV <= sqrt(1 - BC^2) where it helps.
        log_r = posterior(means, covariances, weights, lower, rng, 40_000)
        r = np.exp(log_r)
        u, v = r[:, 0] / weights[0], r[:, :2].sum(1) / weights[:2].sum()
        gap = 0.5 * np.abs(u - v)
        assert gap.mean() <= epsilon + 4 * gap.std() / 200
        if not found.upper.found or not np.isfinite(found.upper.time):
            continue
        upper = float(found.upper.time)
        r = np.exp(posterior(means, covariances, weights, upper, rng, 40_000))
        leak = r[:, :2].sum(1) / weights[:2].sum() * r[:, 2:].sum(1)
        assert leak.mean() <= epsilon + 4 * leak.std() / 200
        # By its own route: kappa and the largest BC across the border.
        m, c = noised(means, covariances, upper)
        bound = sum(
            np.sqrt(weights[i] * weights[j]) * dense_bc(m[i] - m[j], c[i], c[j])
            for i, j in itertools.product(range(2), range(2, count))
        ) / (2 * weights[:2].sum())
        assert bound <= epsilon * (1 + 1e-12)


def posterior(means, covariances, weights, t, rng, draws):
    m, c = noised(means, covariances, t)
    label = rng.choice(len(weights), size=draws, p=weights)
    root = np.linalg.cholesky(c)
    z = rng.normal(size=(draws, means.shape[1]))
    x = m[label] + np.einsum("nij,nj->ni", root[label], z)
    log = np.stack(
        [scipy.stats.multivariate_normal(m[k], c[k]).logpdf(x) for k in range(len(m))],
        axis=1,
    ).reshape(draws, -1)
    log += np.log(weights)
    return log - np.logaddexp.reduce(log, axis=1, keepdims=True)


@pytest.mark.slow
def test_sufficient_times_against_their_formulas():
    means = np.array([[0.0, 0.0], [3.0, 4.0], [30.0, 40.0]])
    covariances = np.array([np.diag([0.5, 2.0]), np.diag([1.5, 3.0]), np.eye(2)])
    weights = np.array([0.5, 0.3, 0.2])
    expected_means = np.log(5 / (0.1 * np.sqrt(2 * 0.5)))
    expected_spread = 0.5 * np.log(np.sqrt(2.0) / (2 * 0.5 * 0.1))
    kappa = (np.sqrt(0.5 * 0.2) + np.sqrt(0.3 * 0.2)) / 1.6
    upper = np.log(45.0) - 0.5 * np.log(8 * 3.0 * np.log(kappa / 0.1))
    diagonal = np.stack([np.diag(c) for c in covariances])
    for law in (
        GaussianMixture.full(means, covariances, weights),
        GaussianMixture.diagonal(means, diagonal, weights),
    ):
        found = windows.sufficient_times(law, 0, [0, 1], 0.1)
        assert np.isclose(value(found.means), expected_means, rtol=1e-12)
        assert np.isclose(value(found.covariances), expected_spread, rtol=1e-9)
        assert np.isclose(value(found.lower), max(expected_means, expected_spread))
        assert np.isclose(value(found.upper), upper, rtol=1e-12)


def test_sufficient_times_without_an_answer():
    law = GaussianMixture.isotropic([[0.0], [1.0], [1.0]], 1.0)
    # A mean on both sides of the border; no rest; singular covariances.
    assert not windows.sufficient_times(law, 1, [0, 1], 0.1).upper.found
    assert np.isinf(windows.sufficient_times(law, 1, [0, 1, 2], 0.1).upper.time)
    points = GaussianMixture.isotropic([[0.0], [1.0]], 0.0)
    assert not windows.sufficient_times(points, 0, [0, 1], 0.1).lower.found


def test_covariance_gaps_of_every_kind():
    rng = np.random.default_rng(3)
    means = rng.normal(size=(3, 4))
    factors, variances = rng.normal(size=(3, 4, 2)), np.array([0.2, 1.0, 2.0])
    low = np.einsum("kij,klj->kil", factors, factors) + variances[
        :, None, None
    ] * np.eye(4)
    laws = [
        (GaussianMixture.low_rank(means, factors, variances), low),
        (GaussianMixture.full(means, low), low),
        (
            GaussianMixture.isotropic(means, variances),
            variances[:, None, None] * np.eye(4),
        ),
    ]
    for law, dense in laws:
        expected = np.sum((dense[:, None] - dense[None]) ** 2, axis=(2, 3))
        np.testing.assert_allclose(windows.covariance_gaps(law), expected, atol=1e-11)


# Covariances give up half the exponent of means


def test_exponents_of_means_and_covariances():
    times = []
    for d in (64, 4096):
        means = np.zeros((2, d))
        means[1] = 1.0
        law = GaussianMixture.isotropic(means, np.array([1.0, 2.0]))
        times.append(windows.sufficient_times(law, 0, [0, 1], 0.1))
    shift = lambda name: value(getattr(times[1], name)) - value(getattr(times[0], name))
    assert np.isclose(shift("means"), 0.5 * np.log(64), rtol=1e-12)
    assert np.isclose(shift("covariances"), 0.25 * np.log(64), rtol=1e-12)


# Biased coins, and note (iii)


@pytest.mark.parametrize(
    ("flips", "tv", "flip"),
    [
        (10, 0.242841890898, 0.453962752833),
        (100, 0.682695602126, 0.223818090840),
        (400, 0.954905892863, 0.033866935350),
    ],
)
def test_coins_at_printed_points(flips, tv, flip):
    assert abs(windows.coins_total_variation(flips, 0.05) - tv) < 1e-11
    assert abs(windows.coins_flip(flips, 0.05) - flip) < 1e-11


@pytest.mark.parametrize("flips", [0, 1, 2, 7, 33])
def test_coins_by_enumeration(flips):
    p = scipy.stats.binom.pmf(np.arange(flips + 1), flips, 0.63)
    q = scipy.stats.binom.pmf(np.arange(flips + 1), flips, 0.37)
    assert np.isclose(
        windows.coins_total_variation(flips, 0.13), 0.5 * np.abs(p - q).sum()
    )
    assert np.isclose(windows.coins_flip(flips, 0.13), np.sum(p * q / (p + q)))


def test_coins_window():
    found = windows.coins_window(0.05, 0.1)
    assert abs(found.after - 1059.66) < 0.006
    assert found.told == 661
    assert found.alike == 6
    assert windows.coins_total_variation(660, 0.05) < 0.99
    assert not found.holds
    assert windows.coins_window(0.05, 0.01).holds
    assert not windows.coins_window(0.05, 0.01, barrier=100.0).holds
    assert abs(windows.coins_total_variation(398, 0.005) - 0.158033780) < 0.6e-9


def test_note_three_the_pair_at_t_before():
    for epsilon in (0.05, 0.1, 0.3):
        for bias in (1e-4, 0.003, 0.01):
            flips = int(epsilon**2 / bias**2) - 2
            if flips < 1:
                continue
            tv = windows.coins_total_variation(flips, bias)
            assert tv <= 1.6 * epsilon
            assert tv / 2 <= 0.8 * epsilon
        limit = windows.coins_total_variation(int(epsilon**2 / 1e-10), 1e-5)
        assert abs(limit - scipy.special.erf(np.sqrt(2) * epsilon)) < 1e-3 * epsilon


def test_coins_of_bad_bias():
    with pytest.raises(ValueError, match="`bias` is 0.5"):
        windows.coins_window(0.5, 0.1)
    with pytest.raises(BadInput, match="not told apart"):
        windows.coins_window(1e-8, 0.1)
    assert windows.coins_window(0.3, 0.1).alike == 0


# In-context count, all or nothing, and note (iv)


def test_in_context_count():
    # 0.95^89.78 = 0.01: the smallest whole count is 90.
    count = windows.in_context_count(0.1, 0.01)
    assert np.isclose(count, np.log(100) / -np.log(0.95), rtol=1e-12)
    assert 0.95 ** np.ceil(count) <= 0.01 < 0.95 ** np.floor(count)
    # One example tells disjoint tasks apart.
    assert windows.in_context_count(2.0, 0.01) == 0
    with pytest.raises(ValueError, match="hellinger_squared"):
        windows.in_context_count(0.0, 0.1)


def test_all_or_nothing():
    found = windows.all_or_nothing_count(10, 10**4, 0.1)
    assert abs(found - 29.935319148) < 0.6e-9
    with pytest.raises(ValueError, match="more than the sparsity"):
        windows.all_or_nothing_count(10, 10, 0.1)


# The concept process


@pytest.mark.parametrize(("signal", "cosine"), [(0.7, 0.3), (5.0, -0.6), (60.0, 0.0)])
def test_concept_overlap_is_that_of_the_words(signal, cosine):
    u, v = np.array([1.0, 0]), np.array([cosine, np.sqrt(1 - cosine**2)])
    a, b = (2 * np.eye(2) + signal * np.outer(w, w) for w in (u, v))
    overlap = dense_bc(np.zeros(2), a, b)
    assert np.isclose(windows.concept_overlap(signal, cosine), overlap, rtol=1e-12)


def test_concept_window_and_note_two():
    found = windows.concept_window(300.0, 0.3, 0.2)
    signal = 300 * np.exp(-2 * value(found.after))
    # phi = eps^2: of the leak type, BC = sqrt(2) eps.
    overlap = windows.concept_overlap(signal, 0.3)
    assert np.isclose(overlap, np.sqrt(2) * 0.2, rtol=1e-12)
    before = 0.5 * np.log(300 * np.sqrt(1 + 300**2) * np.sqrt(1 - 0.09) / 0.2)
    assert np.isclose(value(found.before), before, rtol=1e-12)
    # phi <= 1/2, and a weak concept is never told.
    assert not windows.concept_window(300.0, 0.3, 0.8).after.found
    assert not windows.concept_window(3.0, 0.3, 0.1).after.found
    assert windows.concept_overlap(0.0, 0.3) == 1


# Masking of two words


@pytest.mark.parametrize(
    ("distance", "epsilon", "pair", "after", "before"),
    [
        (100, 0.1, 0.9989469497, 0.9549925860, 0.9977710523),
        (1000, 0.01, 0.9999899497, 0.9908319449, 0.9999797975),
    ],
)
def test_masking_at_printed_points(distance, epsilon, pair, after, before):
    found = windows.masking_window(distance, epsilon)
    assert abs(value(found.before_pair) - pair) < 0.6e-10
    assert abs(value(found.after) - after) < 0.6e-10
    assert abs(value(found.before) - before) < 0.6e-10


def test_masking_between_printed_points():
    for distance, epsilon in [(7, 0.3), (33, 0.02)]:
        found = windows.masking_window(distance, epsilon)
        pair, both, after = (
            windows.masking_total_variation(distance, value(crossing))
            for crossing in (found.before_pair, found.before, found.after)
        )
        assert np.isclose(pair, epsilon)
        assert np.isclose(both / 2, epsilon)
        assert np.isclose(after, 1 - epsilon**2)
        assert np.isclose(value(found.half) ** distance / 2, 0.25)
    assert abs(value(windows.masking_window(100, 0.1).half) - 0.9930924954) < 0.6e-10
    for epsilon, limit in [(0.1, 4.499810), (0.01, 9.200290)]:
        found = windows.masking_window(10**8, epsilon)
        width = 1e8 * (value(found.before_pair) - value(found.after))
        assert abs(width - limit) < 2e-6
    assert not windows.masking_window(10, 0.6).before.found
    assert windows.masking_total_variation(10, 0.0) == 1


def test_formulas_are_differentiable_and_batched():
    end = lambda norm, epsilon: windows.two_components(norm, epsilon).end.time
    grid = jnp.array([[10.0, 0.2], [3.0, 0.1]])
    found = jax.vmap(jax.grad(end, argnums=(0, 1)))(grid[:, 0], grid[:, 1])
    step = 1e-6
    for i, (norm, epsilon) in enumerate(np.asarray(grid)):
        by_norm = end(norm + step, epsilon) - end(norm - step, epsilon)
        by_epsilon = end(norm, epsilon + step) - end(norm, epsilon - step)
        assert np.isclose(found[0][i], by_norm / (2 * step), rtol=1e-6)
        assert np.isclose(found[1][i], by_epsilon / (2 * step), rtol=1e-6)
