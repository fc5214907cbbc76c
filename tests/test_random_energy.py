"""The random energy model: printed points, scipy, brute force; the paper's errata."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammainc, gammaln, hyp1f1
from slopes import assert_printed, assert_slopes, minimum_of

from jaxwin.analysis.collapse import RandomEnergy, leading_rate, leading_time
from jaxwin.targets import Empirical

same = jax.jit(RandomEnergy.same_cluster)
other = jax.jit(RandomEnergy.other_cluster)
free_energy = jax.jit(RandomEnergy.free_energy)


def log_sum(logs: np.ndarray) -> float:
    return float(logs.max() + np.log(np.sum(np.exp(logs - logs.max()))))


def sizes(time: float, std: float) -> tuple[float, float]:
    """s and Delta, to write formulas as the paper does."""
    return std**2 * np.exp(-2 * time), -np.expm1(-2 * time)


# 5.12


def test_free_energy_at_reference_points():
    collapse = float(leading_time(0.5, 1.0))
    shares = (0.25, 0.5, 0.75, 0.9, 1, 1.5, 2)
    row = "-1.747454 -0.908936 -0.633895 -0.544129 -0.500000 -0.349154 -0.255060"
    for share, printed in zip(shares, row.split(), strict=True):
        assert_printed(free_energy(same(share * collapse, 1.0), 0.5), printed)
    assert_printed(same(collapse / 2, 1.0).annealed(0.5), "-0.792519")
    model = same(float(leading_time(0.1, 1.0)) / 2, 1.0)
    assert_printed(free_energy(model, 0.1), "-0.751003")
    assert_printed(model.annealed(0.1), "-0.677352")


def test_rate_function_at_reference_points():
    model = same(0.3, 1.0)
    for energy, printed in (
        (0.3, "0.6653398861"),
        (0.5, "0.3979351842"),
        (0.8, "0.1821221252"),
        (1.2, "0.0471527959"),
        (1.7163692152, "0.0000000000"),
    ):
        assert_printed(model.rate_function(energy), printed)


# Against the definitions


def reference_cumulant(beta: float, time: float, std: float, place: float) -> float:
    """log E[e^{-lambda (x - a e^{-t})^2 / (2 Delta)}] by quadrature over a, x^2 = R."""
    s, delta = sizes(time, std)
    x = np.sqrt(place)
    f = lambda y: np.exp(-0.5 * y**2 - beta * (x - np.sqrt(s) * y) ** 2 / (2 * delta))
    return np.log(quad(f, -20, 20, epsabs=0, epsrel=1e-12, limit=400)[0]) - 0.5 * (
        np.log(2 * np.pi)
    )


@pytest.mark.parametrize(("time", "std", "mean_sq"), [(0.3, 1.0, 0.0), (0.7, 2.0, 0.5)])
def test_definitions(time, std, mean_sq):
    model = other(time, std, mean_sq)
    s, delta = sizes(time, std)
    place = delta + s + 4 * mean_sq * np.exp(-2 * time)
    g = lambda beta: reference_cumulant(beta, time, std, place)
    for beta in (0.2, 1.0, 3.0):
        np.testing.assert_allclose(model.cumulant(beta), g(beta), rtol=1e-10)
        energy = float(model.energy(beta))
        slope = -float(jax.grad(model.cumulant)(beta))
        np.testing.assert_allclose(energy, slope, rtol=1e-12)
        # Legendre transform: lambda* minimises lambda epsilon + g, f is minus that.
        best, least = minimum_of(
            lambda b, energy=energy: b * energy + g(b), 0.5 * beta, 2 * beta
        )
        found = float(model.inverse_temperature(energy))
        assert found == pytest.approx(best, rel=1e-5)
        assert float(model.rate_function(energy)) == pytest.approx(-least, rel=1e-9)
        assert float(model.entropy_lost(beta)) == pytest.approx(-least, rel=1e-9)


@pytest.mark.parametrize("time", [1e-6, 0.05, 0.4, 6.0])
def test_inverse_temperature_undoes_the_energy(time):
    model = same(time, 1.3)
    spread = float(model.spread)
    for beta in (-0.5 / spread, -1e-6 / spread, 1e-6 / spread, 0.3 / spread, 1.0, 40.0):
        back = model.inverse_temperature(model.energy(beta))
        # Near zero the energy itself holds no more of lambda.
        slack = 1e-15 * (1 + spread) / spread
        np.testing.assert_allclose(back, beta, rtol=1e-9, atol=8 * slack)
        np.testing.assert_allclose(
            model.rate_function(model.energy(beta)),
            model.entropy_lost(beta),
            rtol=1e-8,
            atol=1e-22,
        )


def log_probability(energy: float, d: int, spread: float, distance: float):
    """log P(E < d energy): 2 E / spread is a noncentral chi square, summed in logs."""
    x, centre = d * energy / spread, d * distance / spread / 2
    j = np.arange(int(4 * centre + 40 * np.sqrt(centre)) + 200)
    a = d / 2 + j
    log_poisson = j * np.log(centre) - centre - gammaln(j + 1)
    # log of the incomplete gamma function, whose small values underflow.
    series = hyp1f1(1, np.maximum(a, x) + 1, x)
    tail = a * np.log(x) - x - gammaln(a + 1) + np.log(series)
    log_gamma = np.where(a < x, np.log(gammainc(np.minimum(a, x), x)), tail)
    return np.logaddexp.reduce(log_poisson + log_gamma)


@pytest.mark.parametrize(("time", "share"), [(0.1, 0.2), (0.3, 0.5), (1.0, 0.7)])
def test_rate_function_is_that_of_large_dimensions(time, share):
    model = same(time, 1.0)
    spread, distance = float(model.spread), float(model.distance)
    energy = share * (spread + distance) / 2
    small, large = (log_probability(energy, d, spread, distance) for d in (1000, 2000))
    # P ~ e^{-d f} / sqrt(d): the square root goes with the difference.
    exponent = -(large - small + 0.5 * np.log(2)) / 1000
    assert float(model.rate_function(energy)) == pytest.approx(exponent, abs=2e-6)


def brute_force(model: RandomEnergy, rate: float, d: int, count: int) -> np.ndarray:
    """log(Z) / d of draws of n = e^{rate d} energies."""
    spread, distance = float(model.spread), float(model.distance)
    rng, n = np.random.default_rng(0), int(np.exp(rate * d))
    centre = d * distance / spread
    draws = [-spread / 2 * rng.noncentral_chisquare(d, centre, n) for _ in range(count)]
    return np.array([log_sum(draw) / d for draw in draws])


def test_free_energy_by_brute_force():
    rate, d = 0.3, 36  # n = 49,020
    # Not condensed: E[Z] = n e^{d g(1)} at every d, and Z is near its mean.
    model = same(2 * float(leading_time(rate, 1.0)), 1.0)
    drawn = brute_force(model, rate, d, 20)
    np.testing.assert_allclose(drawn.mean(), free_energy(model, rate), atol=1e-3)
    # Condensed: n P(E < E_min) ~ 1 with P = e^{-d f} / (lambda sqrt(2 pi d g'')).
    model = same(0.3 * float(leading_time(rate, 1.0)), 1.0)
    assert bool(model.condensed(rate))
    beta = float(model.critical_temperature(rate))
    curvature = float(jax.grad(jax.grad(model.cumulant))(beta))
    prefactor = np.log(beta * np.sqrt(2 * np.pi * d * curvature)) / d
    # The lowest energies are then Poisson points, Z a stable variable of index lambda.
    stable = (gammaln(1 - beta) + np.euler_gamma * (1 - beta)) / beta / d
    expected = float(free_energy(model, rate - prefactor)) + stable
    drawn = brute_force(model, rate, d, 40).mean()
    assert abs(drawn - expected) < 0.02
    assert drawn < float(free_energy(model, rate))
    assert drawn < float(model.annealed(rate)) - 0.3


def test_other_cluster_weighs_less():
    for time in (0.05, 0.2, 0.5, 1.5):
        for mean_sq in (0.01, 1.0):
            own = float(free_energy(same(time, 1.0), 0.5))
            assert float(free_energy(other(time, 1.0, mean_sq), 0.5)) < own
    # Collapse is a matter of the own cluster: t_C does not know mu.
    model = other(2.0, 0.8, 0.6)
    s, delta = sizes(2.0, 0.8)
    far = delta + s + 4 * 0.6 * np.exp(-4.0)
    expected = 0.5 + 0.5 * np.log(delta / (delta + s)) - far / (delta + s) / 2
    np.testing.assert_allclose(free_energy(model, 0.5), expected, rtol=1e-12)


@pytest.mark.parametrize("rate", [1e-8, 0.01, 0.5, 3.0])
def test_phases_meet_at_the_collapse_time(rate):
    collapse = float(leading_time(rate, 0.7))
    np.testing.assert_allclose(leading_rate(collapse, 0.7), rate, rtol=1e-9)
    before, after = same(collapse * (1 - 1e-6), 0.7), same(collapse * (1 + 1e-6), 0.7)
    assert bool(before.condensed(rate))
    assert not bool(after.condensed(rate))
    assert float(before.critical_temperature(rate)) < 1
    assert float(after.critical_temperature(rate)) == 1
    for model in (before, after):
        np.testing.assert_allclose(free_energy(model, rate), -0.5, rtol=1e-5)
    # Strictly below -1/2 and below the annealed value where condensed.
    early = same(0.6 * collapse, 0.7)
    assert float(free_energy(early, rate)) < -0.5
    assert float(free_energy(early, rate)) < float(early.annealed(rate))
    assert float(early.log_density_limit(rate)) == -0.5
    assert float(after.log_density_limit(rate)) > -0.5


@pytest.mark.slow
def test_limit_of_the_density():
    # 20,000 points in 24 dimensions, at a time after and one before collapse.
    rng, d, n = np.random.default_rng(3), 24, 20_000
    points, rate = rng.normal(size=(n, d)), np.log(n) / d
    law = Empirical(points)
    log_density = jax.jit(jax.vmap(law.log_density, (0, None, None)))
    collapse = float(leading_time(rate, 1.0))
    for share, tolerance in ((2.5, 0.02), (0.3, 0.02)):
        time = share * collapse
        alpha, delta = np.exp(-time), -np.expm1(-2 * time)
        xs = alpha * points[:256] + np.sqrt(delta) * rng.normal(size=(256, d))
        found = np.asarray(log_density(jnp.asarray(xs), alpha, np.sqrt(delta))).mean()
        measured = (found + np.log(n)) / d + 0.5 * np.log(2 * np.pi * delta)
        limit = float(same(time, 1.0).log_density_limit(rate))
        assert abs(measured - limit) < tolerance


# Errata: what the source prints is not so


def test_energy_takes_the_fourth_power():
    # Printed: lambda sigma_t^2 in the numerator where s^2 = sigma_t^4 is right.
    s, delta = sizes(0.4, 2.0)
    place, beta = delta + s, 0.8
    energy = float(same(0.4, 2.0).energy(beta))
    form = lambda power: (
        (place * delta + delta * s + beta * power) / (2 * (delta + beta * s) ** 2)
    )
    assert energy == pytest.approx(form(s**2), rel=1e-12)
    assert abs(energy - form(s)) > 0.05
    slope = reference_cumulant(beta - 1e-4, 0.4, 2.0, place) - reference_cumulant(
        beta + 1e-4, 0.4, 2.0, place
    )
    assert energy == pytest.approx(slope / 2e-4, rel=1e-6)


def test_rate_function_vanishes_at_the_typical_energy():
    # Printed form: 0.3052 at 1/2 (time 0.3), and not zero at the mean energy.
    model = same(0.3, 1.0)
    s, delta = sizes(0.3, 1.0)
    half = float(model.rate_function(0.5))
    assert half == pytest.approx(0.5 * np.log((delta + s) / delta), rel=1e-12)
    assert abs(half - 0.3052) > 0.09
    mean = (s + delta + s) / (2 * delta)
    assert abs(float(model.rate_function(mean))) < 1e-15
    assert float(jax.grad(model.rate_function)(0.99 * mean)) < 0


def test_cases_of_the_free_energy():
    # Printed: annealed below the condensation time and -1/2 above it.
    collapse = float(leading_time(0.5, 1.0))
    early, late = same(collapse / 2, 1.0), same(2 * collapse, 1.0)
    assert abs(float(free_energy(early, 0.5) - early.annealed(0.5))) > 0.1
    assert abs(float(free_energy(late, 0.5)) + 0.5) > 0.2
    assert float(free_energy(late, 0.5)) == float(late.annealed(0.5))


def test_partition_function_grows_with_plus_the_free_energy():
    # Printed: Z ~ e^{-d psi}; and energies with (1/2) (.)^2 / (2 Delta).
    rate, d = 0.4, 24
    time = 2 * float(leading_time(rate, 1.0))
    s, delta = sizes(time, 1.0)
    rng, n = np.random.default_rng(1), int(np.exp(rate * d))
    x = rng.normal(size=d)
    x *= np.sqrt(d * (delta + s)) / np.linalg.norm(x)
    square = np.sum((x - np.sqrt(s) * rng.normal(size=(n, d))) ** 2, axis=1)
    psi = float(free_energy(same(time, 1.0), rate))
    log_z = log_sum(-square / (2 * delta)) / d
    assert abs(log_z - psi) < 0.01
    assert abs(log_z + psi) > 0.3
    assert abs(log_sum(-square / (4 * delta)) / d - psi) > 0.1


# Numerics


def test_gradients():
    value = lambda rate, time, std, mean_sq: RandomEnergy.other_cluster(
        time, std, mean_sq
    ).free_energy(rate)
    # Condensed, and not.
    assert_slopes(value, (0.5, 0.1, 1.1, 0.3), (0.5, 0.6, 1.1, 0.3))
    # d psi / d rate = 1 / lambda where condensed: the Legendre transform undone.
    model = same(0.1, 1.0)
    slope = jax.grad(model.free_energy)(0.5)
    np.testing.assert_allclose(slope, 1 / model.critical_temperature(0.5), rtol=1e-9)
    assert_slopes(lambda e: same(0.3, 1.0).rate_function(e), (0.4,), (1.5,))


@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.5, 8.0])
@pytest.mark.parametrize("share", [1e-3, 0.5, 0.999, 1.5, 20.0])
def test_float32(rate, share):
    time = np.float32(share * float(leading_time(rate, 1.0)))
    low = free_energy(same(jnp.asarray(time), 1.0), jnp.float32(rate))
    high = free_energy(same(float(time), 1.0), float(np.float32(rate)))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, high, rtol=3e-5, atol=3e-7)


def test_small_energies_keep_their_digits():
    # log(1 + u) - u / (1 + u) = u^2 / 2 - 2 u^3 / 3 at the tiny u of late times.
    model = same(9.0, 1.0)
    u = 1e-3 * float(model.spread)
    exact = 0.5 * (u**2 / 2 + float(model.distance) * 1e-3 * u)
    np.testing.assert_allclose(model.entropy_lost(1e-3), exact, rtol=1e-9)
    # Seen from the centre of the cluster nothing else is left.
    for u in (-1e-3, 1e-9, 1e-3, 0.3):
        centre = RandomEnergy(jnp.asarray(u), jnp.asarray(0.0))
        terms = [(-1) ** k * (k - 1) / k * u**k for k in range(2, 60)]
        expected = sum(terms) / 2
        np.testing.assert_allclose(centre.entropy_lost(1.0), expected, rtol=1e-14)


def test_batches():
    rates = jnp.array([0.1, 0.5, 2.0])
    model = same(0.2, 1.0)
    many = jax.jit(jax.vmap(model.free_energy))(rates)
    for rate, value in zip(rates, many, strict=True):
        np.testing.assert_allclose(value, free_energy(model, rate), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: RandomEnergy.same_cluster(0.0, 1.0), "time"),
        (lambda: RandomEnergy.same_cluster(-1.0, 1.0), "time"),
        (lambda: RandomEnergy.same_cluster(0.3, 0.0), "std"),
        (lambda: RandomEnergy.same_cluster(float("nan"), 1.0), "time"),
        (lambda: RandomEnergy.other_cluster(0.3, 1.0, -1.0), "mean_sq"),
        (lambda: RandomEnergy.same_cluster(0.3, 1.0).free_energy(0.0), "rate"),
        (lambda: RandomEnergy.same_cluster(0.3, 1.0).rate_function(-0.1), "energy"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=f"`{name}` is"):
        call()
