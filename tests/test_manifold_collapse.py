"""Collapse on manifolds: printed points, quadrature, random matrices, minimisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from slopes import assert_printed, assert_slopes, minimum_of, root_of

from jaxwin.analysis import collapse
from jaxwin.analysis.collapse import RandomEnergy

frame_times = jax.jit(collapse.frame_times)
factor_time = jax.jit(collapse.factor_time)
factor_onset_time = jax.jit(collapse.factor_onset_time)
free_energy = jax.jit(RandomEnergy.free_energy)


# 5.20


@pytest.mark.parametrize(
    ("ratio", "row"),
    [
        (1.0, "1.956143 1.154389 0.816245 0.405028 0.168764"),
        (0.5, "1.951267 1.132365 0.777626 0.341805 0.109082"),
        (0.25, "1.941466 1.087388 0.698150 0.221587 0.031615"),
        (0.1, "1.911684 0.946251 0.457588 0.031224 0.000216"),
    ],
)
def test_gaussian_factors_at_reference_points(ratio, row):
    for rate, printed in zip((0.01, 0.05, 0.1, 0.25, 0.5), row.split(), strict=True):
        assert_printed(factor_time(rate, ratio).time, printed)


@pytest.mark.parametrize(
    ("within", "ratio", "row"),
    [
        (0.5, 0.5, "0.229338 0.385968 0.643301"),
        (0.5, 0.25, "0.229338 0.601172 0.915565"),
        (0.5, 0.1, "0.229338 0.959913 1.323170"),
        (1.0, 0.5, "0.072707 0.136171 0.286017"),
        (1.0, 0.25, "0.072707 0.243083 0.466816"),
        (1.0, 0.1, "0.072707 0.471014 0.790451"),
    ],
)
def test_frames_at_reference_points(within, ratio, row):
    found = frame_times(within * ratio, ratio)
    times = found.t_generalisation, found.t_collapse, found.t_onset
    for crossing, printed in zip(times, row.split(), strict=True):
        assert bool(crossing.found)
        assert_printed(crossing.time, printed)


# Against the definitions


def integral(function, ratio: float) -> float:
    """int rho(x) f(x) dx over theta, x = 1 + a - 2 sqrt(a) cos(theta)."""

    def term(theta):
        x = 1 + ratio - 2 * np.sqrt(ratio) * np.cos(theta)
        return 2 / np.pi * np.sin(theta) ** 2 / x * function(x)

    return quad(term, 0, np.pi, epsabs=1e-13, epsrel=1e-12, limit=800)[0]


@pytest.mark.parametrize("ratio", [0.03, 0.5, 0.97, 1.0, 1.2, 6.0])
def test_gaussian_factors_against_quadrature(ratio):
    for rate in (1e-3, 0.1, 1.3):

        def collapsed(t, rate=rate):
            gamma = 1 / np.expm1(2 * t) / ratio
            return 0.5 * ratio * integral(lambda x: np.log1p(gamma * x), ratio) - rate

        def opened(t):
            gamma = 1 / np.expm1(2 * t) / ratio
            more = lambda x: gamma * x / (1 + gamma * x)
            return collapsed(t) + 0.5 * ratio * integral(more, ratio)

        found = float(factor_time(rate, ratio).time)
        if found < 1e-6:
            continue
        assert root_of(collapsed, found / 2, 2 * found) == pytest.approx(
            found, rel=1e-8
        )
        found = float(factor_onset_time(rate, ratio).time)
        assert root_of(opened, found / 2, 2 * found) == pytest.approx(found, rel=1e-8)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0])
def test_density(ratio):
    # Mass 1, or the share that is not zero; mean 1; second moment 1 + a.
    density = lambda x: float(collapse.marchenko_pastur(jnp.asarray(x), ratio))
    root = np.sqrt(ratio)

    def moment(power):
        def term(theta):
            x = 1 + ratio - 2 * root * np.cos(theta)
            return density(x) * x**power * 2 * root * np.sin(theta)

        nodes, weights = np.polynomial.legendre.leggauss(40)
        theta = np.pi * (1 + nodes) / 2
        return np.pi / 2 * sum(w * term(t) for w, t in zip(weights, theta, strict=True))

    np.testing.assert_allclose(moment(0), min(1, 1 / ratio), rtol=1e-9)
    np.testing.assert_allclose(moment(1), 1, rtol=1e-9)
    np.testing.assert_allclose(moment(2), 1 + ratio, rtol=1e-9)
    low, high = (1 - root) ** 2, (1 + root) ** 2
    outside = collapse.marchenko_pastur(jnp.array([low - 0.1, high + 0.1]), ratio)
    np.testing.assert_array_equal(outside, 0)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.0])
def test_gaussian_factors_against_a_random_matrix(ratio):
    ambient, rate = 300, 0.1
    latent = int(ratio * ambient)
    f = np.random.default_rng(0).normal(size=(ambient, latent)) / np.sqrt(latent)
    eigenvalues = jnp.asarray(np.linalg.eigvalsh(f @ f.T).clip(0))
    count = np.exp(rate * ambient)
    for ours, theirs in (
        (factor_time, collapse.gaussian_time),
        (factor_onset_time, collapse.gaussian_onset_time),
    ):
        expected = float(theirs(eigenvalues, count).time)
        assert abs(float(ours(rate, ratio).time) / expected - 1) < 0.01


@pytest.mark.parametrize(("within", "ratio"), [(0.5, 0.5), (1.0, 0.25), (0.2, 0.9)])
def test_best_generalisation_minimises_the_cross_entropy(within, ratio):
    # -E log P_t at clean points in D of N dimensions, per latent dimension.
    def cross_entropy(time):
        noise = -np.expm1(-2 * time)
        spread = np.exp(-2 * time) / ratio / noise
        model = RandomEnergy(jnp.asarray(spread), jnp.asarray(1 / ratio / noise))
        psi = float(free_energy(model, within))
        return 0.5 / ratio * np.log(2 * np.pi * noise) + within - psi

    expected = float(frame_times(within * ratio, ratio).t_generalisation.time)
    place, _ = minimum_of(cross_entropy, expected / 3, 3 * expected)
    assert place == pytest.approx(expected, rel=1e-3)
    assert -np.expm1(-2 * expected) == pytest.approx(np.exp(-2 * within), rel=1e-12)


# Order, ends, numerics


def test_order_and_limits():
    for within, ratio in ((0.01, 0.9), (0.5, 0.3), (2.0, 0.05)):
        found = frame_times(within * ratio, ratio)
        assert found.t_onset.time > found.t_collapse.time > found.t_generalisation.time
        opened = factor_onset_time(within * ratio, ratio).time
        assert opened > factor_time(within * ratio, ratio).time
    # Many latent dimensions: an isotropic Gaussian in the ambient ones.
    isotropic = collapse.leading_time(0.3, 1.0)
    np.testing.assert_allclose(factor_time(0.3, 1e7).time, isotropic, rtol=1e-6)
    # Few: an orthonormal frame.
    frame = frame_times(0.5e-6, 1e-6).t_collapse.time
    np.testing.assert_allclose(factor_time(0.5e-6, 1e-6).time, frame, rtol=1e-3)
    assert not bool(factor_time(500.0, 0.1).found)


@pytest.mark.slow
def test_gradients():
    ours = lambda rate, ratio: collapse.factor_time(rate, ratio).time
    assert_slopes(ours, (0.1, 0.5), (0.3, 1.0), (0.02, 2.5), (1e-4, 0.99))
    opened = lambda rate, ratio: collapse.factor_onset_time(rate, ratio).time
    assert_slopes(opened, (0.1, 0.5), (0.3, 1.0))

    def together(rate, ratio):
        found = collapse.frame_times(rate, ratio)
        both = found.t_onset.time + 2 * found.t_collapse.time
        return both + 3 * found.t_generalisation.time

    assert_slopes(together, (0.1, 0.5), (0.3, 0.2))


@pytest.mark.parametrize("ratio", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("rate", [1e-6, 0.05, 1.0])
def test_float32(rate, ratio):
    low, high = jnp.float32(rate), float(np.float32(rate))
    single, double = jnp.float32(ratio), float(np.float32(ratio))
    for function in (factor_time, factor_onset_time):
        found = function(low, single).time
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, function(high, double).time, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: collapse.factor_time(0.0, 0.5), "rate"),
        (lambda: collapse.factor_time(0.1, 0.0), "ratio"),
        (lambda: collapse.factor_onset_time(0.1, -0.5), "ratio"),
        (lambda: collapse.frame_times(0.1, 1.5), "ratio"),
        (lambda: collapse.marchenko_pastur(jnp.ones(2), 0.0), "ratio"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=f"`{name}` is"):
        call()
