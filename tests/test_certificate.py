"""The certificate of a U-turn: numbers, order, tiers, best time, slopes, descent."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
import scipy.stats
from test_thresholds import brute_tv

from jaxwin._checks import BadInput
from jaxwin.analysis import windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import LinearInterpolant, OrnsteinUhlenbeck
from jaxwin.targets import Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()
MEANS = np.array([19.0, 21.0, -20.0])
THREE = GaussianMixture.isotropic(MEANS[:, None], 1.0)
# T, TV(p^{init,T}, p^{targ}), TV(p_T^{init}, p_T^{targ}), leak, U.
E2 = [
    (0.5, 0.163975391, 0.227918785, 0.0, 0.227918785),
    (1.372994781, 0.035275702, 0.100000000, 3.13e-7, 0.1000003),
    (1.9, 0.013355005, 0.059447516, 1.585417e-3, 0.0610329),
    (2.045448340, 0.012136034, 0.051448646, 5.372726e-3, 0.0568214),
    (3.0, 0.165022513, 0.019853964, 1.561963e-1, 0.1760503),
    (4.0, 0.299414889, 0.007306474, 2.968800e-1, 0.3041865),
]
# Printed digits of leak and U.
DIGITS = [(None, 9), (9, 7), (9, 7), (9, 7), (7, 7), (7, 7)]


def brute_turn(t, initial=(0,), target=(0, 1)) -> tuple[float, float, float]:
    """TV(p^{init,t}, p^{targ}) and leaks by the density form, grids of plain numpy."""
    a, s = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    y = np.linspace(-20 * a - 9, 21 * a + 9, 2001)
    at_y = scipy.stats.norm.pdf(y, a * MEANS[:, None], 1) / 3
    share = lambda which: at_y[list(which)].sum(axis=0) / (len(which) / 3)
    step = y[1] - y[0]
    r_out = 1 - at_y[list(target)].sum(axis=0) / at_y.sum(axis=0)
    spill, leak = (float(np.sum(share(s) * r_out) * step) for s in (initial, target))
    # Clean places near the means only.
    x = np.concatenate([m + np.linspace(-8, 8, 1601) for m in (-20.0, 20.0)])
    weight = np.full(x.size, 16 / 1600)
    ratio = share(initial) / at_y.sum(axis=0)
    kernel = scipy.stats.norm.pdf(y[None], a * x[:, None], s)
    density = scipy.stats.norm.pdf(x, MEANS[:, None], 1) / 3
    turned = density.sum(axis=0) * (kernel @ ratio) * step
    aim = density[list(target)].sum(axis=0) / (len(target) / 3)
    return 0.5 * float(np.sum(np.abs(turned - aim) * weight)), spill, leak


@pytest.fixture(scope="module")
def printed() -> windows.Certificate:
    return windows.certificate(THREE, 0, [0, 1], np.array([row[0] for row in E2]))


@pytest.mark.slow
def test_certificate_at_printed_points(printed):
    assert printed.method == "quadrature"
    for i, (_, _, intra, leak, upper) in enumerate(E2):
        assert abs(float(printed.intra[i]) - intra) < 0.6e-9 + 1e-10
        digits = DIGITS[i][0]
        if digits:
            assert abs(float(printed.leak[i]) - leak) < 0.6 * 10.0**-digits
        digits = DIGITS[i][1]
        assert abs(float(printed.upper[i]) - upper) < 0.6 * 10.0**-digits + 1e-10
    assert abs(float(printed.leak[1]) - 3.13e-7) < 0.6e-9
    assert float(printed.leak[0]) < 1e-31
    # Tight at T = 3, of 0.1650225.
    assert abs(float(printed.lower[4]) - 0.1650225) < 0.6e-7
    assert to_dataset(printed)["upper"].dims == ("noise",)
    assert to_json(printed)["method"] == "quadrature"


@pytest.mark.slow
def test_certificate_brackets_the_u_turn(printed):
    # At printed times and between them; the grids are good to 1e-6.
    noises = np.array([0.3, 0.9, 1.65, 2.4, 2.8, 3.6])
    between = windows.certificate(THREE, 0, [0, 1], noises)
    for found in (printed, between):
        for i, t in enumerate(np.asarray(found.noise)):
            tv, spill, leak = brute_turn(t)
            assert float(found.lower[i]) - 2e-6 <= tv <= float(found.upper[i]) + 2e-6
            assert abs(float(found.leak[i]) - leak) < 1e-9
            assert abs(float(found.lower[i]) - spill) < 1e-9
            intra = brute_tv(MEANS, np.ones(3), np.ones(3), ([0], [0, 1]), t)
            assert abs(float(found.intra[i]) - intra) < 1e-8
            if found is printed:
                assert abs(tv - E2[i][1]) < 2e-6


@pytest.mark.slow
def test_theorem_holds_within_its_interval():
    found = windows.thresholds(THREE, 0, [0, 1], 0.1)
    noises = np.linspace(float(found.end.time), float(found.start.time), 6)
    upper = windows.certificate(THREE, 0, [0, 1], noises).upper
    assert np.all(np.asarray(upper) <= float(found.bound))


def test_closed_form():
    noises = np.array([row[0] for row in E2])
    closed = windows.certificate(THREE, 0, [0, 1], noises, closed=True)
    assert closed.method == "closed form"
    assert abs(float(closed.upper[2]) - 0.065274) < 0.6e-6
    assert np.all(np.asarray(closed.lower) == 0)
    # By its formula: BC = exp(-D^2 e^{-2t} / 8), two pairs across, one within.
    a2 = np.exp(-2 * noises)
    bc = sum(np.exp(-(d**2) * a2 / 8) for d in (39.0, 41.0))
    np.testing.assert_allclose(closed.leak, bc / 3 / (2 * 2 / 3), rtol=1e-12)
    np.testing.assert_allclose(
        closed.intra, 0.5 * scipy.special.erf(2 * np.sqrt(a2 / 8)), rtol=1e-12
    )


@pytest.mark.slow
def test_closed_form_is_above_the_exact_one():
    rng = np.random.default_rng(4)
    noises = np.linspace(0.0, 5, 6)
    for _ in range(6):
        law = GaussianMixture.isotropic(
            rng.normal(size=(4, 1)) * rng.choice([2.0, 20.0]),
            rng.uniform(0.2, 2.0, 4),
            rng.dirichlet(np.full(4, 2.0)),
        )
        exact = windows.certificate(law, 0, [0, 1], noises)
        closed = windows.certificate(law, 0, [0, 1], noises, closed=True)
        assert np.all(closed.intra >= exact.intra - 1e-10)
        assert np.all(closed.leak >= exact.leak - 1e-12)
        assert np.all(exact.lower <= exact.upper + 1e-10)


def test_point_masses_have_a_lower_bound():
    points = GaussianMixture.isotropic(np.array([[0.0], [1.0], [9.0]]), 0.0)
    found = windows.certificate(
        points, 0, [0, 1], np.array([0.05, 0.1, 0.5, 0.8, 1.2, 1.5])
    )
    assert np.all(np.isfinite(np.asarray(found.lower)))
    assert np.all(found.lower <= found.upper)
    assert float(found.lower[-1]) > 0.05


def test_certificate_on_another_clock():
    # Flow matching: e^{2t} - 1 = (u / (1 - u))^2.
    process, u = LinearInterpolant(), np.array([0.3, 0.6, 0.9])
    t = 0.5 * np.log1p((u / (1 - u)) ** 2)
    there = windows.certificate(THREE, 0, [0, 1], u, process=process, closed=True)
    here = windows.certificate(THREE, 0, [0, 1], t, closed=True)
    np.testing.assert_allclose(there.upper, here.upper, rtol=1e-12)
    np.testing.assert_allclose(there.noise, u)


# The best time


@pytest.mark.slow
def test_best_time():
    best = windows.best_time(THREE, 0, [0, 1])
    assert abs(float(best.time.time) - 2.0873587) < 1e-4
    assert abs(float(best.upper) - 0.0565710) < 1e-6
    # Nothing nearby is lower.
    near = float(best.time.time) + np.array([-0.3, -0.1, -0.02, 0.02, 0.1, 0.3])
    found = windows.certificate(THREE, 0, [0, 1], near)
    assert np.all(np.asarray(found.upper) > float(best.upper))


def test_best_time_of_the_closed_form():
    best = windows.best_time(THREE, 0, [0, 1], closed=True)
    noises = float(best.time.time) + np.linspace(-0.1, 0.1, 2001)
    found = windows.certificate(THREE, 0, [0, 1], noises, closed=True)
    assert abs(float(noises[np.argmin(found.upper)]) - float(best.time.time)) < 1e-4
    assert abs(float(np.min(found.upper)) - float(best.upper)) < 1e-9


def test_best_times_at_the_ends():
    # Nothing is to be lost inside: the less noise, the better.
    alone = windows.best_time(THREE, 0, 0, closed=True)
    assert float(alone.time.time) == 0
    # Nothing can leave: the more noise, the better.
    everything = windows.best_time(THREE, 0, [0, 1, 2], closed=True)
    assert not everything.time.found
    assert str(everything.time) == "not reached in [0, inf]"
    assert float(everything.upper) < 2e-3


# Sampled, any dimension


@pytest.mark.slow
def test_sampled_certificate_agrees_with_quadrature():
    # 16,384 draws, z of 4 at every noise.
    noises = np.linspace(0.4, 4.0, 7)
    observed = Observed(THREE, Gaussian())
    options = {"num_replicas": 16384, "key": jr.key(5)}
    found = windows.sampled_certificate(observed, 0, [0, 1], noises, **options)
    exact = windows.certificate(THREE, 0, [0, 1], noises)
    assert found.method == "sampled"
    z = (np.asarray(found.upper) - exact.upper) / np.asarray(found.error)
    assert np.all(np.abs(z) < 4), z
    assert np.all(np.asarray(found.error) < 0.01)
    apart = np.abs(np.asarray(found.lower) - exact.lower)
    assert np.all(apart < 8 * np.asarray(found.error) + 1e-6)


@pytest.mark.slow
def test_sampled_certificate_is_below_the_closed_form_in_many_dimensions():
    rng = np.random.default_rng(11)
    factors = rng.normal(size=(5, 20, 20)) / np.sqrt(20)
    covariances = np.einsum("kij,klj->kil", factors, factors) + 0.2 * np.eye(20)
    law = GaussianMixture.full(
        2 * rng.normal(size=(5, 20)), covariances, rng.dirichlet(np.full(5, 3.0))
    )
    noises = np.linspace(0.2, 4.0, 9)
    closed = windows.certificate(law, 0, [0, 1], noises, closed=True)
    found = windows.sampled_certificate(
        Observed(law, Gaussian()), 0, [0, 1], noises, num_replicas=8192, key=jr.key(6)
    )
    slack = 4 * np.asarray(found.error) + 1e-9
    assert np.all(np.asarray(found.upper) <= np.asarray(closed.upper) + slack)
    assert np.all(np.asarray(found.lower) <= np.asarray(found.upper) + slack)


@pytest.mark.slow
def test_certificate_on_a_plane():
    # Against 3e5 draws of plain numpy, z of 4, and a stated error.
    means = np.array([[4.0, 0.0], [3.0, 2.0], [-6.0, -1.0]])
    law = GaussianMixture.isotropic(means, 1.0)
    t = 1.2
    found = windows.certificate(law, 0, [0, 1], np.array([t]))
    assert 1e-10 <= float(found.error[0]) < 1e-4
    rng = np.random.default_rng(8)
    own = rng.integers(3, size=300_000)
    x = np.exp(-t) * means[own] + rng.normal(size=(300_000, 2))
    log = -0.5 * np.sum((x[:, None] - np.exp(-t) * means) ** 2, axis=2)
    r = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
    u, v = 3 * r[:, 0], 1.5 * (r[:, 0] + r[:, 1])
    for part, value in [
        (0.5 * np.abs(u - v), found.intra[0]),
        (v * r[:, 2], found.leak[0]),
    ]:
        assert abs(part.mean() - float(value)) < 4 * part.std() / np.sqrt(part.size)


# Slopes


def parameters():
    means = jnp.array([[19.0], [21.0], [-20.0]])
    return means, jnp.array([0.7, 1.0, 1.6]), jnp.array([0.2, 0.45, 0.35])


def check_gradient(function, atol):
    given = parameters()
    found = jax.jacrev(function, argnums=(0, 1, 2))(*given)
    step = 1e-5
    for which, leaf in enumerate(given):
        for index in np.ndindex(leaf.shape):
            move = lambda s, w=which, i=index: function(
                *(x.at[i].add(s) if k == w else x for k, x in enumerate(given))
            )
            slope = (move(step) - move(-step)) / (2 * step)
            np.testing.assert_allclose(
                found[which][(slice(None), *index)], slope, atol=atol, rtol=1e-6
            )
        assert np.abs(np.asarray(found[which])).max() > 1e-5


@pytest.mark.slow
def test_gradients_of_the_certificate():
    @jax.jit
    def upper(means, variances, weights):
        law = GaussianMixture.isotropic(means, variances, weights)
        levels = OU.levels(jnp.array([0.6, 1.9, 3.0]))
        at = lambda a, s: windows.certificate_at(law, 0, [0, 1], a, s)
        return jax.lax.map(lambda level: at(*level), levels)

    check_gradient(upper, 1e-8)


@pytest.mark.slow
@pytest.mark.long
def test_gradients_through_the_best_time():
    @jax.jit
    def best(means, variances, weights):
        law = GaussianMixture.isotropic(means, variances, weights)
        found = windows.best_time(law, 0, [0, 1], closed=True)
        return jnp.stack([found.time.time, found.upper])

    check_gradient(best, 2e-7)


@pytest.mark.slow
@pytest.mark.long
def test_gradient_of_the_exact_best_value():
    @jax.jit
    def best(means, variances, weights):
        law = GaussianMixture.isotropic(means, variances, weights)
        return windows.best_time(law, 0, [0, 1]).upper[None]

    check_gradient(best, 1e-7)


@pytest.mark.slow
def test_means_moved_until_the_certificate_is_small():
    # Gradient descent on the best U over the means of a mixture in 5 dimensions.
    start = jnp.eye(4, 5) * 6 + jnp.array([[0.0], [0.0], [2.0], [3.0]])

    def best(means):
        law = GaussianMixture.isotropic(means, 1.0)
        return windows.best_time(law, 0, [0, 1], closed=True).upper

    step = eqx.filter_jit(jax.value_and_grad(best))
    means, values = start, []
    for _ in range(30):
        value, slope = step(means)
        values.append(float(value))
        means = means - 2.0 * slope / jnp.sqrt(jnp.sum(slope**2) + 1e-4)
    assert values[-1] < 0.35 * values[0]
    # The first pair drew together, and away from the rest.
    gap = lambda m, i, j: float(jnp.linalg.norm(m[i] - m[j]))
    assert gap(means, 0, 1) < gap(start, 0, 1)
    assert gap(means, 0, 2) > gap(start, 0, 2)
    # Descent by finite differences from the start goes the same way.
    value, slope = step(start)
    moved = best(start - 1e-4 * slope)
    expected = value - 1e-4 * jnp.sum(slope**2)
    assert abs(float(moved - expected)) < 1e-3 * float(value - expected)


def test_bad_input_is_refused():
    noises = np.array([0.5])
    with pytest.raises(BadInput, match="holds label 0, which is not in"):
        windows.certificate(THREE, 0, [1, 2], noises)
    with pytest.raises(BadInput, match="is empty"):
        windows.best_time(THREE, [], [1, 2])
    with pytest.raises(BadInput, match="is empty"):
        windows.certificate_at(THREE, 0, [], 0.5, 0.5)
    data = Empirical(np.array([[0.0], [1.0]]), [0, 1])
    with pytest.raises(BadInput, match="closed forms are those of a GaussianMixture"):
        windows.certificate(data, 0, [0, 1], noises, closed=True)
    wide = GaussianMixture.isotropic(3 * np.eye(5), 1.0)
    with pytest.raises(ValueError, match="differ in 4 dimensions"):
        windows.certificate(wide, 0, [0, 1], noises)
    observed = Observed(THREE, Gaussian())
    with pytest.raises(BadInput, match="strictly increasing"):
        windows.sampled_certificate(observed, 0, [0, 1], [1.0, 0.5])


# Bad input of what is concrete, and errors of shorter numbers


def test_no_noise_where_points_have_no_density():
    points = GaussianMixture.isotropic([[0.0], [2.0], [5.0]], 0.0)
    for noises in ([0.0, 0.1], 0.0):
        with pytest.raises(BadInput, match="singular covariance"):
            windows.certificate(points, [0], [0, 1], noises)
    with pytest.raises(BadInput, match="singular covariance"):
        windows.certificate_at(points, [0], [0, 1], 1.0, 0.0, closed=False)
    for noise in (-1.0, np.nan):
        with pytest.raises(ValueError, match="noises"):
            windows.certificate(points, [0], [0, 1], [noise])


@pytest.mark.f32
def test_errors_are_stated_in_single_precision():
    law = GaussianMixture.isotropic([[0.0], [3.0], [20.0]], 1.0, [0.5, 0.3, 0.2])
    # In float64, by this code.
    known = windows.certificate(law, [0], [0, 1], [1.6, 3.0])
    exact = np.array([0.111948226587, 0.194935408527])
    assert np.all(np.abs(known.upper - exact) < known.error)
    assert np.all(known.error < 1e-4)
