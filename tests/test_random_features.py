"""Random features: Gaussian averages of an activation, and the spectrum they make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from jaxwin.analysis.random_features import bulks, constants, sample_spectrum

# OU time, b, v^2, s^2: theory 5.23 for tanh.
REFERENCE = [
    (0.01, 0.08523318, 0.0255417764, 0.00187354959),
    (0.1, 0.25788352, 0.0138414537, 0.0135738723),
    (0.5, 0.48157228, 0.00112428947, 0.0262910366),
]
# psi_n, psi_p and edges of the bulks in one draw at d = 150, t = 0.01.
DRAWS = [
    (4.0, 16.0, (0.00242, 0.199), (1.44, 15.1), 81.6),
    (8.0, 32.0, (0.00260, 0.218), (4.93, 22.9), 134.0),
]


def gaussian_average(function, *count):
    """Average over `len(count)` independent standard Gaussians, by Gauss-Hermite."""
    nodes = [hermegauss(n) for n in count]
    grid = np.meshgrid(*(x for x, _ in nodes), indexing="ij")
    weight = np.ones(1)
    for _, w in nodes:
        weight = np.multiply.outer(weight, w / np.sqrt(2 * np.pi))
    return np.sum(weight[0] * function(*grid))


@pytest.mark.slow
@pytest.mark.parametrize(("time", "noise", "data_sq", "rest_sq"), REFERENCE)
def test_constants_of_the_reference(time, noise, data_sq, rest_sq):
    found = constants(time)
    np.testing.assert_allclose(found.second_moment, 0.39429449, atol=6e-9)
    np.testing.assert_allclose(found.slope, 0.60570551, atol=6e-9)
    np.testing.assert_allclose(found.noise, noise, atol=6e-9)
    np.testing.assert_allclose(found.data_sq, data_sq, rtol=6e-9)
    np.testing.assert_allclose(found.rest_sq, rest_sq, rtol=6e-9)
    np.testing.assert_allclose(found.mean, 0, atol=1e-15)


@pytest.mark.parametrize(("time", "std"), [(0.2, 1.0), (0.05, 0.4), (1.1, 1.5)])
def test_constants_by_double_quadrature(time, std):
    """An activation that is not odd, straight from the definitions."""
    alpha, sigma = np.exp(-time), np.sqrt(-np.expm1(-2 * time))
    total = np.sqrt(alpha**2 * std**2 + sigma**2)
    f = lambda x: np.tanh(0.5 * x + 0.4)
    second = gaussian_average(lambda y: f(total * y) ** 2, 120)
    mean = gaussian_average(lambda y: f(total * y), 120)
    slope = gaussian_average(lambda y: y * f(total * y), 120) / total
    # (E_z f)^2 averaged over the data: two copies of the noise at one data point.
    copies = gaussian_average(
        lambda a, y, z: f(alpha * std * a + sigma * y) * f(alpha * std * a + sigma * z),
        *[60] * 3,
    )
    data_sq = copies - mean**2 - (alpha * std * slope) ** 2
    rest_sq = second - mean**2 - (total * slope) ** 2 - data_sq
    found = constants(time, lambda x: jnp.tanh(0.5 * x + 0.4), std)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(found.slope, slope, rtol=1e-10)
    np.testing.assert_allclose(found.noise, sigma * slope, rtol=1e-10)
    np.testing.assert_allclose(found.second_moment, second, rtol=1e-10)
    np.testing.assert_allclose(found.data_sq, data_sq, rtol=1e-8)
    np.testing.assert_allclose(found.rest_sq, rest_sq, rtol=1e-8)
    assert found.unresolved < 1e-14


@pytest.mark.parametrize("time", [1e-9, 1e-3, 0.7, 5.0, 20.0])
def test_constants_of_a_sine_in_closed_form(time):
    """E_z sin = exp(-sigma^2 / 2) sin(alpha a): no digit is lost at any time."""
    found = constants(time, jnp.sin)
    snr, noise = np.exp(-2 * time), -np.expm1(-2 * time)
    # v^2 = e^-1 (sinh(rho) - rho), s^2 = e^-1 (sinh(1) - 1) - v^2 by increments.
    small = snr**3 / 6 * (1 + snr**2 / 20 * (1 + snr**2 / 42 * (1 + snr**2 / 72)))
    data_sq = np.exp(-1) * (small if snr < 0.5 else np.sinh(snr) - snr)
    middle, half = (1 + snr) / 2, noise / 2
    increment = 2 * np.cosh(middle) * np.sinh(half) - noise
    tiny = noise * (np.cosh(middle) - 1)
    rest_sq = np.exp(-1) * (tiny if noise < 1e-6 else increment)
    np.testing.assert_allclose(found.slope, np.exp(-0.5), rtol=1e-12)
    np.testing.assert_allclose(found.data_sq, data_sq, rtol=1e-9)
    np.testing.assert_allclose(found.rest_sq, rest_sq, rtol=1e-9)


def test_a_kink_is_resolved_as_far_as_it_says():
    found = constants(0.3, jax.nn.relu)
    np.testing.assert_allclose(found.mean, 1 / np.sqrt(2 * np.pi), atol=1e-4)
    np.testing.assert_allclose(found.slope, 0.5, atol=1e-4)
    # E f f' of ReLU at correlation rho (Cho & Saul 2009).
    rho = np.exp(-0.6)
    angle = np.arccos(rho)
    copies = (np.sin(angle) + (np.pi - angle) * rho) / (2 * np.pi)
    data_sq = copies - 1 / (2 * np.pi) - rho / 4
    np.testing.assert_allclose(found.data_sq, data_sq, atol=1e-4)
    assert 0 < found.unresolved < 1e-5


def test_gradients_are_finite_differences():
    @jax.jit
    def observed(t, std):
        found = constants(t, jnp.tanh, std)
        return jnp.stack([found.noise, found.data_sq, found.rest_sq])

    slopes = jax.jit(jax.jacrev(observed, (0, 1)))(0.3, 1.2)
    for at, slope in enumerate(slopes):
        step = 1e-5 * np.eye(2)[at]
        moved = observed(0.3 + step[0], 1.2 + step[1]) - observed(
            0.3 - step[0], 1.2 - step[1]
        )
        np.testing.assert_allclose(slope, moved / 2e-5, rtol=1e-7)


def test_constants_in_float32():
    for time in (0.01, 3.0):
        single, double = constants(jnp.float32(time)), constants(time)
        assert single.data_sq.dtype == jnp.float32
        np.testing.assert_allclose(single.data_sq, double.data_sq, rtol=1e-5)
        np.testing.assert_allclose(single.rest_sq, double.rest_sq, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("psi_n", "psi_p"), [(2.0, 5.0), (2.0, 3.0), (1.5, 2.0)])
def test_spectrum_is_that_of_the_matrix(psi_n, psi_p):
    """The atom and all others, against the dense matrix of the same numbers."""
    found, d = constants(0.1), 20
    key = jax.random.key(3)
    spectrum = sample_spectrum(found, d, psi_n, psi_p, key)
    n, p = round(psi_n * d), round(psi_p * d)
    w_key, x_key, rest_key = jax.random.split(key, 3)
    w, x = jax.random.normal(w_key, (p, d)), jax.random.normal(x_key, (d, n))
    rest = jax.random.normal(rest_key, (p, n))
    g = np.exp(-0.1) * found.slope * w @ x / np.sqrt(d) + np.sqrt(found.data_sq) * rest
    u = g @ g.T / n + found.noise**2 * w @ w.T / d + found.rest_sq * np.eye(p)
    dense = np.linalg.eigvalsh(u)[::-1]
    assert spectrum.atom_count == max(p - n - d, 0)
    assert spectrum.eigenvalues.size + spectrum.atom_count == p
    np.testing.assert_allclose(
        spectrum.eigenvalues, dense[: spectrum.eigenvalues.size], rtol=1e-9
    )
    at_atom = np.abs(dense - found.rest_sq) < 1e-12
    assert at_atom.sum() == spectrum.atom_count


@pytest.mark.slow
@pytest.mark.parametrize(("psi_n", "psi_p", "slow", "fast", "ratio"), DRAWS)
def test_bulks_of_the_reference(psi_n, psi_p, slow, fast, ratio):
    spectrum = sample_spectrum(constants(0.01), 150, psi_n, psi_p, jax.random.key(1))
    assert spectrum.atom_count == round(150 * (psi_p - psi_n - 1))
    found = bulks(spectrum)
    edges = lambda bulk: (float(bulk.low), float(bulk.high))
    # One draw against another: edges fluctuate by some n^(-2/3), the outer ones more.
    np.testing.assert_allclose(edges(found.memorisation), slow, rtol=0.02)
    np.testing.assert_allclose(edges(found.generalisation), fast, rtol=0.08)
    np.testing.assert_allclose(found.ratio, ratio, rtol=0.02)


@pytest.mark.slow
def test_bulks_are_those_of_real_features():
    """tanh(W x / sqrt(d)) itself, its noise averaged over many copies."""
    d, n, p, time = 40, 160, 480, 0.1
    rng = np.random.default_rng(0)
    alpha, sigma = np.exp(-time), np.sqrt(-np.expm1(-2 * time))
    # Rows of unit width: finite d adds nothing but fluctuations of 1 / sqrt(d).
    w = rng.normal(size=(p, d))
    w *= np.sqrt(d) / np.linalg.norm(w, axis=1, keepdims=True)
    clean = w @ rng.normal(size=(d, n)) / np.sqrt(d)
    u, copies = np.zeros((p, p)), 100
    for _ in range(copies):
        noisy = alpha * clean + sigma * w @ rng.normal(size=(d, n)) / np.sqrt(d)
        features = np.tanh(noisy)
        u += features @ features.T / (n * copies)
    values = np.linalg.eigvalsh(u)[::-1]
    found = bulks(sample_spectrum(constants(time), d, n / d, p / d, jax.random.key(0)))
    fast, slow, rest = values[:d], values[d : d + n], values[d + n :]
    np.testing.assert_allclose(fast.mean(), found.generalisation.mean, rtol=0.05)
    np.testing.assert_allclose(slow.mean(), found.memorisation.mean, rtol=0.1)
    # At d = 40 the cubic parts of different rows overlap a little.
    np.testing.assert_allclose(rest.mean(), constants(time).rest_sq, rtol=0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constants(0.0), "`time`"),
        (lambda: constants(np.nan), "`time`"),
        (lambda: constants(0.1, data_std=-1.0), "`data_std`"),
        (lambda: constants(0.1, lambda x: x.sum()), "`activation`"),
        (lambda: constants(0.1, lambda x: 1 / x), "`activation`"),
        (
            lambda: sample_spectrum(constants(0.1), 0, 2.0, 4.0, jax.random.key(0)),
            "`dimension`",
        ),
        (
            lambda: sample_spectrum(constants(0.1), 9, 2.0, -4.0, jax.random.key(0)),
            "`features_ratio`",
        ),
        (
            lambda: sample_spectrum(constants(0.1), 9, 0.01, 4.0, jax.random.key(0)),
            "make n = 0",
        ),
        (
            lambda: bulks(
                sample_spectrum(constants(0.1), 9, 0.5, 4.0, jax.random.key(0))
            ),
            "p > n > d",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
