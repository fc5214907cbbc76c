"""The uniform law on a sphere, and the Bessel functions below it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from batteries import some

from jaxwin.targets import GaussianMixture, Hypersphere
from jaxwin.targets._bessel import (
    log_average,
    log_bessel,
    log_scaled_average,
    ratios,
)

DRAWS, Z = 20_000, 4.5
# d, kappa, rho, gap, slope, log_scaled_average: mpmath 1.3.0 at 80 digits, by the power
# series of I_nu or, far out, its asymptotic series.
TABLE = np.array(
    [
        (1, 3, 0.3316849178955768, 0.10780608790212487,
         0.00986603716544019, -0.6906714954222148),
        (2, 0.7, 0.4716818421895301, 0.2266346360956586,
         0.4193011152873286, -0.581059396089398),
        (2, 30, 0.032772985178844534, 0.0010919451548082049,
         0.0005653130416681776, -2.615298566828064),
        (2, 1e4, 9.99949998749875e-05, 9.999499949993123e-09,
         5.0002500375078146e-09, -5.524096218567699),
        (3, 1, 0.3130352854993313, 0.11850723603400619,
         0.27593833903368953, -0.8385606384288044),
        (4, 1e-3, 0.249999989583334, 0.08333332638888942,
         0.24999996875000324, -0.0009998750000026041),
        (5, 10, 0.08111111060218429, 0.00782343859574645,
         0.017654331279285524, -4.305065591018566),
        (8, 300, 0.0032946070203323753, 1.0981056147780099e-05,
         3.856319956974826e-05, -17.025583784567566),
        (20, 1e12, 9.999999999905e-13, 9.999999999905001e-25,
         9.49999999991925e-24, -244.37348702944527),
        (50, 100, 0.007836607183585961, 7.598289078570527e-05,
         0.0018821265059771068, -45.20464658631903),
        (51, 1e6, 9.999750003000003e-07, 9.999749999750078e-13,
         2.499939999910018e-11, -272.9357289150229),
        (1000, 300, 0.0009233925911754195, 1.5816090224078565e-06,
         0.0007919524463669344, -256.81329190929114),
        (1000, 1e9, 9.999995005001245e-10, 9.999995004999995e-19,
         4.994997509992496e-16, -7401.1940551271655),
        (100000, 30, 9.999999100018162e-06, 1.9999594608361442e-10,
         9.999997300054809e-06, -29.995500000202497),
        (100000, 1e4, 9.901953244794425e-06, 1.9418961816739432e-10,
         9.709667592822623e-06, -9502.46722993842),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "rounding"),
    [
        (np.float64, (2e-15, 5e-15, 4e-13, 2e-13)),
        (np.float32, (1e-6, 2e-6, 3e-5, 3e-5)),
    ],
)
@pytest.mark.parametrize("d", [1, 2, 5, 20, 50, 1000, 100_000])
def test_against_many_digits(d, dtype, rounding):
    for _, kappa, *true, log_scaled in TABLE[TABLE[:, 0] == d]:
        square = jnp.asarray(kappa**2, dtype)
        for found, value, rtol in zip(
            ratios(d / 2 - 1, square), true, rounding[:3], strict=True
        ):
            assert found.dtype == dtype
            assert abs(float(found) / value - 1) <= rtol
        bound = rounding[3] * (1 + abs(log_scaled))
        found = log_scaled_average(d / 2 - 1, square)
        assert found.dtype == dtype
        assert abs(float(found) - log_scaled) <= bound
        smooth = float(log_average(d / 2 - 1, square))
        assert abs(smooth - kappa - log_scaled) <= bound + 4 * rounding[0] * kappa


@pytest.mark.parametrize("d", some([2, 3, 7, 64], [2, 64]))
def test_against_scipy(d):
    nu, kappas = d / 2 - 1, np.geomspace(0.01, 600, 40)
    ive = scipy.special.ive
    value, slope = map(
        np.asarray,
        jax.jit(jax.vmap(jax.value_and_grad(lambda k: log_bessel(nu, k))))(kappas),
    )
    true = np.log(ive(nu, kappas)) + kappas - nu * np.log(kappas)
    np.testing.assert_allclose(value, true, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, ive(nu + 1, kappas) / ive(nu, kappas), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, 100])
def test_bessel_functions_are_even_and_smooth_at_zero(d):
    nu = d / 2 - 1
    log_f = lambda kappa: log_bessel(nu, kappa)
    at_zero = -nu * np.log(2) - scipy.special.gammaln(nu + 1)
    assert abs(float(log_f(0.0)) - at_zero) <= 1e-13 * (1 + abs(at_zero))
    np.testing.assert_array_equal(log_f(-1.3), log_f(1.3))
    first = jax.jit(jax.grad(log_f))
    assert float(first(0.0)) == 0
    np.testing.assert_allclose(jax.jacfwd(first)(0.0), 1 / d, rtol=1e-14)
    at = ratios(nu, 0.0)
    np.testing.assert_allclose(at.rho, 1 / d, rtol=1e-14)
    np.testing.assert_allclose(at.slope, 1 / d, rtol=1e-14)
    np.testing.assert_allclose(at.gap, 1 / d - 1 / (d + 2), rtol=1e-13)


def test_an_order_below_one_half_is_refused():
    for function in (ratios, log_average, log_scaled_average, log_bessel):
        for nu in (-0.6, np.nan):
            with pytest.raises(ValueError, match="`nu`"):
                function(nu, 1.0)


def directions(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of the unit sphere and weights, by angles: exact to rounding here."""
    turn = 2 * np.pi * np.arange(400) / 400
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if d == 2:
        return circle, np.full(400, 1 / 400)
    y, w = np.polynomial.legendre.leggauss(100)
    ring = np.sqrt(1 - y**2)[:, None, None] * circle[None]
    height = np.broadcast_to(y[:, None, None], (*ring.shape[:2], 1))
    points = np.concatenate([ring, height], axis=2).reshape(-1, 3)
    return points, np.repeat(w / 2, 400) / 400


everything = eqx.filter_jit(
    lambda law, x, alpha, sigma: (
        law.log_density(x, alpha, sigma),
        law.denoise(x, alpha, sigma),
        law.posterior_covariance(x, alpha, sigma),
        law.score(x, alpha, sigma),
        law.score_jacobian(x, alpha, sigma),
        law.jacobian_product(x, 2 * x + 1, alpha, sigma),
        *law.local(x, alpha, sigma),
    )
)


@pytest.mark.parametrize("d", [2, 3])
def test_against_quadrature_over_angles(d):
    radius, (u, weight) = 1.7, directions(d)
    law, rng = Hypersphere(d, radius), np.random.default_rng(1)
    for alpha, sigma in ((0.9, 0.4), (0.6, 0.8), (0.05, 1.0), (1.0, 5.0)):
        x = rng.normal(size=d) * (1 + sigma)
        away = x - alpha * radius * u
        log_p = np.log(weight) - 0.5 * np.sum(away**2, axis=1) / sigma**2
        total = np.logaddexp.reduce(log_p)
        p = np.exp(log_p - total)
        mean = radius * p @ u
        spread = radius**2 * np.einsum("n,ni,nj->ij", p, u, u) - np.outer(mean, mean)
        score = (alpha * mean - x) / sigma**2
        jacobian = (alpha**2 * spread / sigma**2 - np.eye(d)) / sigma**2
        true = [
            total - d / 2 * np.log(2 * np.pi * sigma**2),
            mean,
            spread,
            score,
            jacobian,
            jacobian @ (2 * x + 1),
            mean,
            score,
            np.trace(jacobian),
            np.trace(spread) / sigma**2,
        ]
        found = everything(law, jnp.asarray(x), jnp.array(alpha), jnp.array(sigma))
        for value, expected in zip(found, true, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)


def test_one_dimension_is_two_points():
    law = Hypersphere(1, 1.3)
    pair = GaussianMixture.isotropic([[1.3], [-1.3]], 0.0)
    for x in (0.0, 1e-3, 0.4, -1.2, 3.0):
        for alpha, sigma in ((0.9, 0.05), (0.9, 0.4), (0.3, 1.0), (1.0, 30.0)):
            args = jnp.array([x]), jnp.array(alpha), jnp.array(sigma)
            for found, true in zip(
                everything(law, *args), everything(pair, *args), strict=True
            ):
                np.testing.assert_allclose(found, true, rtol=1e-10, atol=1e-13)


# Theory, row C9: d, r, theta, rho* and the radial Hessian, where it is printed.
BROKEN = [
    (2, 2**0.5, 0.7, 0.8228995586, 0.5987803669),
    (2, 2**0.5, 0.8, 1.1731821320, 1.8199227324),
    (2, 2**0.5, 0.9, 1.3246083836, 4.458474255),
    (3, 3**0.5, 0.7, 0.9322858637, None),
    (3, 3**0.5, 0.8, 1.3692679387, None),
    (3, 3**0.5, 0.9, 1.5904806448, None),
    (2, 1.0, 0.7, 0.0, None),
    (2, 1.0, 0.8, 0.3741147268, None),
    (2, 1.0, 0.9, 0.8618274720, None),
]


def test_broken_phase_with_its_zero_modes():
    """(1 + q) rho = 2 theta r A(theta r rho / v): curvature along, none across."""
    for d, radius, theta, printed, radial in BROKEN:
        law, q = Hypersphere(d, radius), theta**2
        v = 1 - q
        axis = np.eye(d)[0]

        def gap(rho, law=law, theta=theta, q=q, v=v, axis=axis):
            x = jnp.asarray(rho * axis)
            return (1 + q) * rho - 2 * theta * float(law.denoise(x, theta, v**0.5)[0])

        if printed == 0:
            assert gap(1e-3) > 0  # the centre is stable
            continue
        rho = scipy.optimize.brentq(gap, 1e-3, 2 * radius, xtol=1e-14)
        assert abs(rho - printed) <= 0.6e-10
        jacobian = law.score_jacobian(jnp.asarray(rho * axis), theta, v**0.5)
        values = np.linalg.eigvalsh(-np.asarray(jacobian) - np.eye(d) / 2)
        assert np.all(np.abs(values[:-1]) <= 1e-11)
        if radial is not None:
            assert abs(values[-1] - radial) <= 0.6e-9


@pytest.mark.slow
def test_critical_signal_of_the_centre():
    """Theory 1.4: theta_c = sqrt((sqrt(d^2 + r^4) - r^2) / d), here at r = 1."""
    printed = {
        2: 0.7861514,
        3: 0.8489754,
        10: 0.9513083,
        100: 0.9950126,
        784: 0.9993624,
    }
    for d, value in printed.items():
        law = Hypersphere(d, 1.0)
        theta = float(np.sqrt((np.sqrt(d**2 + 1) - 1) / d))
        assert abs(theta - value) <= 0.6e-7
        v, along = 1 - theta**2, jnp.ones(d)
        product = law.jacobian_product(jnp.zeros(d), along, theta, v**0.5)
        np.testing.assert_allclose(-product - 0.5, np.zeros(d), atol=1e-9 / v)


@pytest.mark.slow
@pytest.mark.parametrize("d", some([1, 40], [40]))
def test_derivatives_at_the_centre_hold(d):
    law, alpha, sigma = Hypersphere(d, 1.5), 0.8, 0.6
    x, v = jnp.zeros(d), sigma**2
    log_p = lambda x: law.log_density(x, alpha, sigma)
    score = lambda x: law.score(x, alpha, sigma)
    flat = (alpha**2 * 1.5**2 / (d * v) - 1) / v * np.eye(d)
    np.testing.assert_array_equal(jax.jit(jax.grad(log_p))(x), np.zeros(d))
    np.testing.assert_allclose(law.score_jacobian(x, alpha, sigma), flat, rtol=1e-13)
    np.testing.assert_allclose(jax.jit(jax.hessian(log_p))(x), flat, 1e-12, 1e-13)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(score))(x), flat, 1e-12, 1e-13)


@pytest.mark.parametrize("d", [1, 2, 30])
def test_slopes_of_the_density_in_every_parameter(d):
    x = jnp.asarray(np.random.default_rng(2).normal(size=d))
    log_p = jax.jit(
        lambda alpha, sigma, radius: Hypersphere(d, radius).log_density(x, alpha, sigma)
    )
    at, step = np.array([0.8, 0.5, 1.4]), 1e-5
    slopes = jax.jit(jax.grad(log_p, argnums=(0, 1, 2)))(*at)
    for i, slope in enumerate(slopes):
        move = step * np.eye(3)[i]
        ahead, behind = float(log_p(*(at + move))), float(log_p(*(at - move)))
        assert abs((ahead - behind) / (2 * step) - slope) <= 1e-6 * (1 + abs(slope))


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32_at_every_noise(d, dtype):
    """From sigma = 1e-6 to 1e3: finite, single, and close to float64."""
    radius = np.sqrt(d).astype(np.float32)
    law, exact = Hypersphere(d, radius.astype(dtype)), Hypersphere(d, float(radius))
    rng, alpha = np.random.default_rng(3), np.float32(0.7)
    u = rng.normal(size=d)
    eps = float(np.finfo(dtype).eps)
    for sigma in np.array([1e-6, 1e-3, 0.1, 1.0, 30.0, 1e3], np.float32):
        near = alpha * radius * u / np.linalg.norm(u) + sigma * rng.normal(size=d)
        for x in np.array([near, 0 * u, 1e4 * u], np.float32):
            found = single(law, *(jnp.asarray(a, dtype) for a in (x, alpha, sigma)))
            true = single(exact, *(jnp.asarray(a, float) for a in (x, alpha, sigma)))
            size = float(np.linalg.norm(x) + radius)
            # What rounding of x and of alpha r moves: it cannot be known better.
            slack = 32 * eps * (1 + size / float(sigma)) ** 2
            density, mean, score, product, trace = found
            assert all(value.dtype == dtype for value in found)
            assert all(np.all(np.isfinite(value)) for value in found)
            assert abs(float(density) - float(true[0])) <= slack * (1 + d)
            error = np.abs(np.asarray(mean, float) - np.asarray(true[1]))
            assert error.max() <= 32 * eps * (1 + float(radius))
            assert np.abs(np.asarray(score, float) - true[2]).max() <= (
                slack / size + 32 * eps * size / float(sigma) ** 2
            )
            bound = 256 * eps * (1 + alpha**2) / float(sigma) ** 2
            bound = bound * (1 + size**2 / float(sigma) ** 2 / d)
            assert np.abs(np.asarray(product, float) - true[3]).max() <= bound
            np.testing.assert_allclose(trace, true[4], rtol=400 * eps, atol=1e-30)


@eqx.filter_jit
def single(law, x, alpha, sigma):
    v = jnp.ones_like(x)
    return (
        law.log_density(x, alpha, sigma),
        law.denoise(x, alpha, sigma),
        law.score(x, alpha, sigma),
        law.jacobian_product(x, v, alpha, sigma),
        law.local(x, alpha, sigma).relative_variance,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_noise_the_mean_is_the_nearest_point(dtype):
    law = Hypersphere(3, dtype(2.0))
    x = jnp.asarray([3e3, -4e3, 0.0], dtype)
    denoise = eqx.filter_jit(lambda x, sigma: law.denoise(x, dtype(0.5), sigma))
    rtol = 16 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(denoise(x, dtype(0.0)), [1.2, -1.6, 0.0], rtol=rtol)
    np.testing.assert_array_equal(denoise(0 * x, dtype(0.0)), np.zeros(3))
    # Derivatives too, to where kappa is held: x turns, and no length is left.
    jacobian = jax.jacfwd(denoise)(x, dtype(0.0))
    across = np.eye(3) - np.outer([0.6, -0.8, 0], [0.6, -0.8, 0])
    np.testing.assert_allclose(jacobian, across * 2 / 5e3, rtol=0, atol=rtol * 4e-4)
    with pytest.raises(ValueError, match="`sigma` is 0"):
        law.log_density(x, dtype(0.5), 0.0)


@eqx.filter_jit
def draws_of(law, x, alpha, sigma):
    sample = lambda key: law.posterior_sample(key, x, alpha, sigma)
    return jax.vmap(sample)(jr.split(jr.key(21), DRAWS))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("d", "kappa", "dtype"),
    [
        (1, 0.3, np.float64),
        (2, 1.5, np.float32),
        (3, 1e7, np.float32),
        pytest.param(2, 0.0, np.float64, marks=pytest.mark.slow),
        pytest.param(3, 2.0, np.float64, marks=pytest.mark.slow),
        pytest.param(7, 1e10, np.float32, marks=pytest.mark.slow),
        pytest.param(20, 30.0, np.float32, marks=pytest.mark.slow),
        pytest.param(300, 200.0, np.float64, marks=pytest.mark.slow),
    ],
)
def test_draws_are_of_von_mises_and_fisher(d, kappa, dtype):
    """20,000 draws, seed 21: E cos = A, E sin^2 = (d - 1) rho, z < 4.5.

    Written with 1 - cos = |x0 / r - u|^2 / 2, that of float32 too.
    """
    law, alpha, sigma = Hypersphere(d, dtype(2.0)), dtype(0.5), dtype(0.1)
    axis = np.eye(d)[-1]
    x = jnp.asarray(kappa * 0.01 * axis, dtype)
    draws = np.asarray(draws_of(law, x, alpha, sigma), float) / 2
    assert draws.dtype == float
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(np.linalg.norm(draws, axis=1), 1, rtol=8 * eps)
    across = draws[:, :-1]
    sine = np.sum(across**2, axis=1)
    cosine = draws[:, -1]
    rho, _, slope = map(float, ratios(d / 2 - 1, jnp.array(kappa**2)))
    lost = (slope + (d - 1) * rho) / (1 + kappa * rho)  # 1 - A
    below = np.where(cosine > 0, sine / (1 + np.abs(cosine)), 1 - cosine)
    check_mean(below, lost)
    check_mean(sine, (d - 1) * rho)
    if d > 1:
        check_mean(across, np.zeros(d - 1))
        check_mean(across**2, np.full(d - 1, rho))
    if kappa > 1e6:
        # Far out the angle is that of a Gaussian.
        gamma = scipy.stats.gamma((d - 1) / 2)
        assert scipy.stats.kstest(kappa * below, gamma.cdf).pvalue > 1e-4


def check_mean(values: np.ndarray, mean) -> None:
    spread = values.std(axis=0) / np.sqrt(len(values))
    assert np.all(
        np.abs(values.mean(axis=0) - mean) <= Z * spread + 1e-12 * np.abs(mean)
    )


def test_a_draw_in_three_dimensions_has_its_law():
    """20,000 draws, seed 21, Kolmogorov and Smirnov at p = 1e-4; d = 3 is explicit."""
    kappa = 2.5
    law = Hypersphere(3, 1.0)
    draws = draws_of(law, jnp.array([0.0, 0.0, kappa]), jnp.array(1.0), jnp.array(1.0))
    cdf = lambda c: (np.exp(kappa * c) - np.exp(-kappa)) / (2 * np.sinh(kappa))
    assert scipy.stats.kstest(np.asarray(draws)[:, 2], cdf).pvalue > 1e-4


@pytest.mark.slow
def test_a_draw_is_that_of_its_key_alone():
    """In a batch, where others still try, and alone."""
    law, x = Hypersphere(4, 1.0), jnp.array([0.3, -1.0, 0.2, 2.0])
    keys = jr.split(jr.key(3), 16)
    draw = jax.jit(lambda key: law.posterior_sample(key, x, 0.9, 0.5))
    together = jax.vmap(draw)(keys)
    for key, row in zip(keys[:4], together[:4], strict=True):
        np.testing.assert_allclose(draw(key), row, rtol=1e-13)


def test_z_is_the_direction_across_and_nothing_ends_a_loop_late():
    law, key = Hypersphere(3, 1.0), jr.key(5)
    x = jnp.array([0.0, 0.0, 2.0])
    draw = jax.jit(lambda z, x: law.posterior_draw(key, z[None], x, 0.8, 0.5))
    one, other = draw(jnp.array([1.0, 0, 7]), x), draw(jnp.array([0, -3.0, 0]), x)
    assert float(one[2]) == pytest.approx(float(other[2]), rel=1e-14)
    assert float(one[0]) > 0
    assert float(other[1]) < 0
    np.testing.assert_allclose([one[1], other[0]], 0, atol=1e-15)
    # A point that is none gives NaN, not a loop without end.
    assert np.all(np.isnan(draw(jnp.ones(3), jnp.full(3, jnp.nan))))


@pytest.mark.slow
def test_clean_draws_and_moments():
    """20,000 draws, seed 22, z < 4.5."""
    for d in (1, 2, 5):
        law = Hypersphere(d, 1.5)
        points = np.asarray(jax.vmap(law.sample)(jr.split(jr.key(22), DRAWS)))
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.5, rtol=1e-13)
        check_mean(points, np.zeros(d))
        moments = law.moments()
        assert moments.factor.shape == (d, 0)
        dense = np.asarray(moments.covariance())
        np.testing.assert_allclose(dense, 2.25 / d * np.eye(d), rtol=1e-15)
        np.testing.assert_allclose(moments.leading(d)[0], np.full(d, 2.25 / d))
        if d > 1:
            check_mean(points[:, 0] * points[:, 1], 0.0)
            check_mean(points[:, 0] ** 2, 2.25 / d)


@pytest.mark.parametrize("dimension", [0, -1, True])
def test_dimensions_that_are_none(dimension):
    with pytest.raises(ValueError, match="`dimension` is"):
        Hypersphere(dimension, 1.0)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_radii_that_are_none(radius):
    with pytest.raises(ValueError, match="`radius` is"):
        Hypersphere(3, radius)
