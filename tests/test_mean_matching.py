"""The eps of the same mean belief as a Gaussian SNR: quadrature, inverse, clocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special

from jaxwin.analysis import hierarchy
from jaxwin.processes import OrnsteinUhlenbeck

# v, SNR, p_0: theory 2.4.
BELIEFS = [
    (8, 1, 0.251138),
    (8, 2, 0.382447),
    (8, 4, 0.599918),
    (8, 8, 0.845141),
    (8, 15, 0.973289),
    (32, 1, 0.076211),
    (32, 2, 0.148786),
    (32, 4, 0.333337),
    (32, 8, 0.661070),
    (32, 15, 0.921809),
    (3, 1, 0.518874),
    (3, 4, 0.805876),
]
# v, m, SNR at which mean matching has the class lost: theory 4.5.
NAIVE = [(32, 8, 3.564), (16, 4, 2.045), (8, 2, 0.354), (8, 3, 2.141)]

# The quadrature and the bisection are compiled programs of their own.
belief, noise_of = hierarchy.matched_belief, hierarchy.matched_noise
snr_of = hierarchy.matched_snr
slope_of = jax.jit(jax.grad(noise_of))


@pytest.mark.parametrize(("v", "snr", "known"), BELIEFS)
def test_beliefs_of_the_reference(v, snr, known):
    found = belief(float(snr), float(v))
    assert abs(found - known) < 6e-7
    noise = (1 - found) / (1 - 1 / v)
    np.testing.assert_allclose(noise_of(float(snr), float(v)), noise, rtol=1e-13)


@pytest.mark.parametrize("snr", [1e-3, 0.1, 0.999, 1.001, 4.0, 30.0, 300.0, 1000.0])
def test_two_symbols_by_one_integral(snr):
    # 1 - p_0 = E[1 / (1 + e^{g + sqrt(2 g) z})], tilted to where it has its mass.
    root = np.sqrt(2 * snr)
    density = lambda z: np.exp(-0.5 * z**2 + scipy.special.log_expit(-snr - root * z))
    middle = -np.sqrt(snr / 2)
    parts = [
        scipy.integrate.quad(density, *ends, epsabs=0, epsrel=1e-13, limit=500)[0]
        for ends in [(middle - 30, middle), (middle, middle + 3), (middle + 3, 40)]
    ]
    known = 2 * sum(parts) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(noise_of(snr, 2.0), known, rtol=1e-11)


def reference_noise(snr, v):
    """The formula of theory 2.4, all in Gaussians, by a fine trapezoid rule.

    1 - p_0 = int_0^inf E[X e^{-uX}] (1 - E[e^{-u e^{sqrt(g) n}}]^(v-1)) du, u = e^{-x}.
    """
    root = np.sqrt(snr)
    reach = 10 + root / 2
    n = np.linspace(-reach, reach, int(10 * reach * max(1, root)))
    weight = np.exp(-0.5 * n**2) / np.sqrt(2 * np.pi) * (n[1] - n[0])
    x = np.linspace(snr / 2 - 9 * root - 6, snr + 9 * root + 42, 1000)
    y = x[:, None] - root * n[None, :]
    with np.errstate(over="ignore"):
        above = -np.expm1(-np.exp(-y)) @ weight
        z = y - snr
        density = np.exp(-z - np.exp(-z)) @ weight
        lost = -np.expm1((v - 1) * np.log1p(-np.minimum(above, 1 - 1e-16)))
    return (x[1] - x[0]) * np.sum(density * lost) * v / (v - 1)


@pytest.mark.parametrize("v", [2, 3, 32, 1000])
def test_many_symbols_by_a_fine_rule(v):
    for snr in (1e-3, 0.3, 0.99, 1.01, 5.0, 40.0, 150.0):
        known = reference_noise(snr, v)
        np.testing.assert_allclose(noise_of(snr, float(v)), known, rtol=1e-11)


@pytest.mark.parametrize("snr", [1000.0, 2500.0])
def test_where_one_wrong_symbol_is_rare(snr):
    # Two of them at a time never are: 1 - p_0 is v - 1 times that of two symbols.
    two = noise_of(snr, 2.0) / 2
    for v in (3, 32, 1000):
        np.testing.assert_allclose(noise_of(snr, float(v)), v * two, rtol=1e-11)


def test_by_draws():
    # 4e5 softmaxes of 8 symbols, seed 0; z of 4.
    rng, snr, v = np.random.default_rng(0), 2.5, 8
    logit = np.sqrt(snr) * rng.normal(size=(400_000, v))
    logit[:, 0] += snr
    mean = scipy.special.softmax(logit, axis=1)[:, 0]
    stderr = mean.std() / np.sqrt(mean.size)
    assert abs(belief(snr, float(v)) - mean.mean()) < 4 * stderr


@pytest.mark.slow
@pytest.mark.parametrize("v", [2, 1000])
def test_inverse(v):
    noises = [1e-30, 1e-6, 0.1, 0.731182796, 0.99, 1 - 1e-6]
    snr = [snr_of(noise, v) for noise in noises]
    assert np.all(np.diff(snr) < 0)
    back = [noise_of(g, v) for g in snr]
    np.testing.assert_allclose(back, noises, rtol=1e-11)


def test_ends():
    assert belief(0.0, 8.0) == pytest.approx(1 / 8, abs=1e-15)
    assert noise_of(0.0, 8.0) == pytest.approx(1, abs=1e-14)
    assert noise_of(1e5, 8.0) == 0
    assert snr_of(1.0, 8.0) == 0
    assert snr_of(0.0, 8.0) == np.inf


@pytest.mark.parametrize(("v", "m", "known"), NAIVE)
def test_thresholds_that_it_would_give(v, m, known):
    found = snr_of(hierarchy.transition(v, m, 2).noise, float(v))
    assert abs(found - known) < 6e-4


@pytest.mark.slow
def test_slopes_by_finite_differences():
    for snr in (0.01, 0.7, 3.0, 100.0, 1500.0):
        step = 1e-4 * min(snr, 1)
        ahead, behind = noise_of(snr + step, 32.0), noise_of(snr - step, 32.0)
        known = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(slope_of(snr, 32.0), known, rtol=1e-7)
    back = jax.grad(snr_of)(noise_of(3.0, 32.0), 32.0)
    np.testing.assert_allclose(back * slope_of(3.0, 32.0), 1, rtol=1e-8)


def test_clocks():
    # Theory 4.5: one SNR on three clocks.
    for snr, alpha_bar, time in [(6.75, 0.8710, 0.0691), (3.564, 0.7809, 0.1237)]:
        assert abs(hierarchy.snr_to_alpha_bar(snr) - alpha_bar) < 6e-5
        assert abs(hierarchy.snr_to_ou_time(snr) - time) < 6e-5
    snr = jnp.logspace(-6, 6, 13)
    alpha_bar, time = hierarchy.snr_to_alpha_bar(snr), hierarchy.snr_to_ou_time(snr)
    np.testing.assert_allclose(alpha_bar, np.exp(-2 * time), rtol=1e-12)
    known = OrnsteinUhlenbeck().time(jnp.log(snr))
    np.testing.assert_allclose(time, known, rtol=1e-12)
    back = hierarchy.alpha_bar_to_snr(alpha_bar[:7])
    np.testing.assert_allclose(back, snr[:7], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: hierarchy.matched_noise(-1.0, 8), "`snr` is -1; it must be finite"),
        (lambda: hierarchy.matched_belief(np.nan, 8), "`snr` is nan; it must be"),
        (lambda: hierarchy.matched_noise(1.0, 1), "`v` is 1; it must be a number"),
        (lambda: hierarchy.matched_snr(1.2, 8), "`noise` is 1.2; it must be in"),
        (lambda: hierarchy.matched_snr(0.2, 1), "`v` is 1; it must be a number"),
        (lambda: hierarchy.alpha_bar_to_snr(1.0), "`alpha_bar` is 1; it must be in"),
        (lambda: hierarchy.snr_to_alpha_bar(-1), "`snr` is -1; it must be finite"),
        (lambda: hierarchy.snr_to_ou_time(0), "`snr` is 0; it must be finite and > 0"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.f32
def test_single_precision():
    for v, snr, known in BELIEFS:
        found = hierarchy.matched_belief(jnp.float32(snr), v)
        assert found.dtype == jnp.float32
        assert abs(found - known) < 2e-6
    snr = hierarchy.matched_snr(jnp.float32(0.731182796), 32)
    assert abs(snr - 3.564) < 6e-4
    # Far below the smallest number: none, not NaN.
    assert hierarchy.matched_noise(jnp.float32(1000), 32) == 0
