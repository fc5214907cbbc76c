"""The rate at which noise takes the class: closed forms, and slopes of I itself."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate

from jaxwin.analysis import information, speciation, windows
from jaxwin.analysis.information._label_slopes import class_gap_on_line, line_of
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import EDM, OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture, ProductMixture, factors

OU = OrnsteinUhlenbeck()
PEAK, HEIGHT = 1.22814112739, 0.479515970635


def two(size, d=2, weights=(0.5, 0.5), variance=1.0):
    way = np.linspace(1, 2, d)
    mean = size * way / np.linalg.norm(way)
    return GaussianMixture.isotropic([mean, -mean], variance, weights)


def rate_of_two(m):
    """E over y ~ N(m, 1) of m^2 (1 - tanh(m y))^2, in OU time."""
    inside = lambda z: (1 - math.tanh(m * (m + z))) ** 2 * math.exp(-z * z / 2)
    found = scipy.integrate.quad(inside, -12, 12, epsabs=1e-13, limit=400)[0]
    return m**2 * found / math.sqrt(2 * math.pi)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3.0, 200.0])
def test_two_components(size):
    """Peak of E1, whatever the dimension; the curve against scipy off the table."""
    # From m = 6, or no noise, to m = 0.03.
    times = np.log(size) - np.log(np.geomspace(min(6.0, size), 0.03, 25))
    d = {3.0: 1, 200.0: 7}[size]
    found = information.class_rate(two(size, d), times)
    assert found.method == "quadrature"
    np.testing.assert_allclose(size * np.exp(-found.peak.time.time), PEAK, rtol=1e-11)
    np.testing.assert_allclose(found.peak.rate, HEIGHT, rtol=0, atol=6e-13)
    for i in (0, 7, 15):
        exact = rate_of_two(size * np.exp(-found.noise[i]))
        assert abs(found.rate[i] - exact) < 1e-11
    for crossing in (found.peak.low, found.peak.high):
        half = rate_of_two(size * np.exp(-float(crossing.time)))
        np.testing.assert_allclose(half, HEIGHT / 2, rtol=1e-10)
    np.testing.assert_allclose(found.peak.width, 1.31087707215, rtol=1e-10)


@pytest.mark.slow
def test_rate_integrates_to_the_information():
    """Unequal weights and a variance, against the closed form of I(c; x_t)."""
    weight, variance = 0.85, 0.25
    law = two(1.5, 2, (weight, 1 - weight), variance)
    y, w = np.polynomial.legendre.leggauss(25)
    edges = np.array([0.05, 0.4, 1.0, 2.5])
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        times = (low + high) / 2 + (high - low) / 2 * y
        lost = (high - low) / 2 * w @ information.class_rate(law, times).rate
        levels = OU.levels(jnp.array([low, high]))
        r = jax.vmap(lambda a, s: speciation.separation(3.0, variance, a, s))(*levels)
        kept = jax.vmap(speciation.class_information, in_axes=(0, None))(r, weight)
        np.testing.assert_allclose(lost, kept[0] - kept[1], rtol=0, atol=1e-11)


def mutual_information(law, time):
    places = windows.expectation(law, *OU.levels(jnp.array(time)))
    log_p, prior = places.log_posterior, law.log_label_prior()
    return float(
        places.weight @ jnp.sum(jnp.exp(log_p) * (log_p - prior[None]), axis=1)
    )


def slope_of_information(law, time, h=1e-3):
    """Central differences of the fourth order."""
    at = lambda k: mutual_information(law, time + k * h)
    return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * h)


TILTED = np.array([[1.0, 0.3, 0.0], [0.3, 0.5, -0.2], [0.0, -0.2, 2.0]])
LAWS = {
    "one full covariance": lambda: GaussianMixture.full(
        [[1.0, 2.0, 0.0], [-1.0, 0.5, 1.0]], TILTED, [0.3, 0.7]
    ),
    "three widths on a line": lambda: GaussianMixture.isotropic(
        [[2.0], [-1.0], [0.5]], [0.3, 1.0, 2.0], [0.2, 0.5, 0.3], labels=[0, 1, 0]
    ),
    "not Gaussian": lambda: ProductMixture(
        [
            factors.laplace(1.0, 0.5),
            factors.truncated_gaussian(-2.0, 0.5, -0.5, 1.0),
            factors.logistic(-1.0, 0.4),
        ],
        [0.3, 0.3, 0.4],
    ),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", LAWS)
def test_rate_is_the_slope_of_the_information(name):
    law = LAWS[name]()
    times = np.array([0.3, 0.5, 0.9, 1.4])
    found = information.class_rate(law, times)
    assert found.method == "quadrature"
    assert abs(found.rate[1] + slope_of_information(law, times[1])) < 1e-9


@pytest.mark.slow
def test_sampled_rate_of_labels_on_a_plane():
    """4,096 draws, seed 0: z < 4 at each noise; three classes of two dimensions."""
    law = GaussianMixture.isotropic([[2.0, 0, 0], [-1, 1.5, 0], [-1, -1.5, 0]], 0.5)
    times = np.array([0.2, 0.5, 0.8, 1.2, 1.8])
    found = information.class_rate(law, times, num_replicas=4096)
    assert found.method == "sampled"
    with pytest.raises(ValueError, match="more than one direction"):
        information.class_rate(law, times, method="quadrature")
    for i in (1, 3):
        exact = -slope_of_information(law, times[i])
        assert abs(found.rate[i] - exact) < 4 * found.stderr[i]
        assert found.stderr[i] < 0.05 * exact


@pytest.mark.slow
def test_sampled_peak():
    """8,192 draws, seed 4, of a curve whose peak is known: inside its interval."""
    law, times = two(10.0), np.linspace(0.6, 4.0, 25)
    source = Observed(law, Gaussian())
    found = information.class_rate(source, times, method="sampled", key=jr.key(4))
    exact = information.class_rate(source, times)
    # Far below the peak a few rare draws make the mean, and its error is not seen.
    high = exact.rate > 0.01
    assert np.all(np.abs(found.rate - exact.rate)[high] < 4 * found.stderr[high])
    for name in ("time", "low", "high"):
        crossing = getattr(found.peak, name)
        known = float(getattr(exact.peak, name).time)
        assert float(crossing.low) < known < float(crossing.high), name
        assert 0 < float(crossing.stderr) < 0.05
    assert abs(found.peak.rate - HEIGHT) < 4 * found.peak.stderr + 0.01
    assert abs(found.peak.width - exact.peak.width) < 0.1


@pytest.mark.slow
def test_scales_apart_have_a_peak_each():
    means = [[a + b] for a in (-100.0, 100.0) for b in (-3.0, 3.0)]
    law = GaussianMixture.isotropic(means, 1.0)
    times = np.linspace(0.05, 6, 120)
    found = information.class_rate(law, times)
    near = np.log(np.array([3.0, 100.0])) - np.log(PEAK)
    np.testing.assert_allclose(found.maxima, near, atol=0.06)
    # The spread within the outer two adds 9 e^{-2t} = 1e-3 to the variance there.
    assert np.abs(near - float(found.peak.time.time)).min() < 3e-3


@pytest.mark.slow
def test_no_peak_is_an_answer():
    """Classes that overlap from the start lose information fastest at once."""
    times = np.linspace(0.0, 3, 25)
    found = information.class_rate(two(0.7), times)
    assert not found.peak.time.found
    assert (found.peak.time.low, found.peak.time.high) == (0.0, 3.0)
    assert not found.peak.low.found
    assert found.peak.high.found
    assert np.isnan(found.peak.width)
    np.testing.assert_allclose(found.peak.rate, found.rate[0])
    one = information.class_rate(GaussianMixture.isotropic([[1.0]], 1.0), times)
    np.testing.assert_array_equal(one.rate, 0)
    assert not one.peak.time.found
    empty = information.class_rate(two(0.7, weights=(1.0, 0.0)), times)
    np.testing.assert_allclose(empty.rate, 0, atol=1e-15)


def test_rate_is_differentiable_in_the_law():
    law = two(3.0)
    _, within = line_of(law)

    def rate(scale):
        moved = GaussianMixture.isotropic(law.means * scale, 1.0)
        return class_gap_on_line(moved, within, jnp.array(0.6))

    # The rate depends on m = |mu| e^-t alone.
    slope = jax.grad(rate)(jnp.array(1.0))
    m = 3 * np.exp(-0.6)
    exact = (rate_of_two(m * (1 + 1e-4)) - rate_of_two(m * (1 - 1e-4))) / 2e-4
    np.testing.assert_allclose(slope, exact, rtol=1e-6)


@pytest.mark.slow
def test_result_is_written():
    found = information.class_rate(two(3.0), np.linspace(0.1, 3, 25))
    assert to_dataset(found)["rate"].dims == ("noise",)
    assert to_json(found)["peak"]["time"]["found"] is True


def test_bad_input():
    law = two(3.0)
    with pytest.raises(ValueError, match="`noises`"):
        information.class_rate(law, [1.0, 0.5, 0.2, 0.1])
    with pytest.raises(ValueError, match="`method`"):
        information.class_rate(law, [0.1, 0.2, 0.3, 0.4], method="guessed")
    with pytest.raises(ValueError, match="OU time"):
        information.class_rate(Observed(law, Gaussian(EDM())), [0.1, 0.2, 0.3, 0.4])
