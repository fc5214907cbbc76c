"""Time grids from curves: exact inverses, Gaussian data, two point masses."""

import jax
import numpy as np
import pytest

from jaxwin.analysis import clocks, speciation

information = jax.jit(jax.vmap(speciation.class_information))


def two_deltas(coordinate):
    """H[x0 | x_t] of y = +-1: everything depends on gamma = e^-u, r = sqrt(gamma)."""
    return np.log(2) - np.asarray(information(np.exp(-coordinate / 2)))


# Equal increments


def test_equal_inverts_a_known_curve():
    u = np.linspace(-12, 12, 200)
    curve = np.arctan(np.exp(u / 2))
    found = clocks.equal(u, curve, 9)
    levels = curve[0] + np.arange(9) / 8 * (curve[-1] - curve[0])
    np.testing.assert_allclose(found, 2 * np.log(np.tan(levels)), atol=1e-4)
    assert (found[0], found[-1]) == (u[0], u[-1])


def test_equal_does_not_mind_units_of_the_curve():
    u = np.linspace(0, 1, 30)
    found = clocks.equal(u, u**2, 5)
    np.testing.assert_allclose(clocks.equal(u, 1e-200 * u**2 - 7e-200, 5), found)


def test_equal_rises_strictly_on_a_measured_curve():
    u = np.linspace(-8, 8, 64)
    noise = 0.02 * np.random.default_rng(0).normal(size=64)
    curve = 1 / (1 + np.exp(-u)) + noise
    found = clocks.equal(u, curve, 33)
    assert np.all(np.diff(found) > 0)
    # Off by the noise and by no more, in units of the curve.
    rise = np.maximum.accumulate(curve)
    levels = rise[0] + np.arange(33) / 32 * (rise[-1] - rise[0])
    assert np.abs(1 / (1 + np.exp(-found)) - levels)[1:-1].max() < 0.08


def test_equal_passes_over_flat_pieces():
    u = np.linspace(0, 4, 41)
    curve = np.clip(u, 1, 2) + np.clip(u, 3, 4)
    np.testing.assert_allclose(
        clocks.equal(u, curve, 5)[1:4], [1.5, 2.5, 3.5], atol=0.6
    )
    quarter = clocks.equal(u, curve, 5)
    assert 1 < quarter[1] < 2
    assert 3 < quarter[3] < 4


@pytest.mark.parametrize(
    ("curve", "count", "message"),
    [(np.arange(5.0), 1, "at least its 2 ends"), (np.ones(5), 3, "must rise")],
)
def test_equal_refuses(curve, count, message):
    with pytest.raises(ValueError, match=message):
        clocks.equal(np.arange(5.0), curve, count)


def test_entropic_grid_of_two_deltas():
    # theory/symmetry_and_clocks.md, section 2: VE sigma at fractions of ln 2.
    u = np.linspace(-6, 25, 500)
    places = np.exp(clocks.equal(u, two_deltas(u), 21) / 2)
    expected = [0.51579424, 0.67707351, 0.97869412, 1.54959409, 2.59276953]
    np.testing.assert_allclose(places[[2, 5, 10, 15, 18]], expected, rtol=1e-4)


# Rescaled entropy


@pytest.mark.parametrize("width", [0.3, 1.0, 5.0])
def test_rescaled_entropy_of_a_gaussian(width):
    u = np.linspace(-14, 14, 150)
    sigma = np.exp(u / 2)
    entropy = -0.5 * np.log1p(width**2 / sigma**2)  # up to a constant
    found = clocks.rescaled_entropy(u, entropy)
    expected = width * (np.arctan(sigma / width) - np.arctan(sigma[0] / width))
    np.testing.assert_allclose(found, expected, atol=2e-4 * width)


def test_rescaled_entropy_of_two_deltas():
    u = np.linspace(-6, 30, 600)
    found = clocks.rescaled_entropy(u, two_deltas(u))
    # What lies beyond e^15 is 1 / sigma.
    np.testing.assert_allclose(found[-1], 1.0176016569, atol=2e-5)
    sigmas = [0.5, 1, 2, 5, 10, 80]
    fractions = np.interp(2 * np.log(sigmas), u, found) / found[-1]
    expected = [0.0253603, 0.2398125, 0.5447170, 0.8060199, 0.9020553, 0.9877169]
    np.testing.assert_allclose(fractions, expected, atol=2e-4)
    places = np.exp(clocks.equal(u, found, 21) / 2)
    expected = [0.69744189, 1.02322032, 1.79003095, 3.84554786, 9.79308350]
    np.testing.assert_allclose(places[[2, 5, 10, 15, 18]], expected, rtol=3e-4)


def test_rescaled_entropy_never_falls():
    u = np.linspace(-5, 5, 40)
    noise = np.random.default_rng(1).normal(size=40)
    assert np.all(np.diff(clocks.rescaled_entropy(u, np.tanh(u) + 0.1 * noise)) >= 0)


@pytest.mark.parametrize("width", [0.2, 3.0])
def test_gaussian_rescaled_entropy_is_the_integral(width):
    u = np.linspace(-16, 16, 300)
    eigenvalues = np.array([width**2, 1.0, 0.0])
    entropy = -0.5 * np.log1p(eigenvalues[:, None] * np.exp(-u)).sum(axis=0)
    found = clocks.gaussian_rescaled_entropy(u, eigenvalues)
    expected = clocks.rescaled_entropy(u, entropy)
    np.testing.assert_allclose(found - found[0], expected, atol=2e-4)


def test_gaussian_rescaled_entropy_of_a_spectrum():
    # theory/symmetry_and_clocks.md, section 2.
    found = clocks.gaussian_rescaled_entropy(
        np.zeros(1), np.array([4, 1, 0.25, -1e-17])
    )
    np.testing.assert_allclose(found, 2.2662677, atol=6e-8)


# The advised grid


def residual(eigenvalues, log_snr):
    """Root of the posterior's share of the variance of Gaussian data."""
    noise = np.exp(-log_snr)
    left = np.sum(eigenvalues * noise / (eigenvalues + noise))
    return np.sqrt(left / np.sum(eigenvalues))


def test_grid_divides_the_mean_of_both_curves():
    eigenvalues = np.array([9.0, 1.0, 0.01])
    u = np.linspace(-6, 9, 60)
    told = 1 / (1 + np.exp(2 * (u - 1.5)))
    grid = clocks.advised_grid(u, eigenvalues, told, 12)
    v = -grid.log_snr
    assert np.all(np.diff(grid.log_snr) > 0)
    np.testing.assert_allclose(residual(eigenvalues, grid.log_snr[-1]), 0.03, rtol=1e-4)
    np.testing.assert_allclose(grid.log_snr[0], -9)
    entropy = lambda v: sum(
        np.sqrt(c) * np.arctan(np.exp(v / 2) / np.sqrt(c)) for c in eigenvalues
    )
    share = lambda f: (f(v) - f(v[-1])) / (f(v[0]) - f(v[-1]))
    mean = (share(entropy) + share(lambda v: -1 / (1 + np.exp(2 * (v - 1.5))))) / 2
    np.testing.assert_allclose(mean, np.arange(12)[::-1] / 11, atol=2e-3)
    np.testing.assert_allclose(grid.noise, np.log1p(np.exp(-grid.log_snr)) / 2)


def test_grid_without_classes_goes_by_entropy_alone():
    u = np.linspace(-6, 9, 60)
    grid = clocks.advised_grid(u, np.full(5, 4.0), count=9)
    angle = np.arctan(np.exp(-grid.log_snr / 2) / 2)
    np.testing.assert_allclose(np.diff(angle, n=2), 0, atol=1e-4)


def test_grid_moves_with_the_units_of_the_data():
    eigenvalues, u = np.array([4.0, 0.5]), np.linspace(-5, 8, 50)
    told = 1 / (1 + np.exp(u))
    grid = clocks.advised_grid(u, eigenvalues, told, 8)
    # Data ten times as large: everything happens at ten times the noise.
    shift = 2 * np.log(10)
    moved = clocks.advised_grid(u + shift, 100 * eigenvalues, told, 8)
    np.testing.assert_allclose(moved.log_snr, grid.log_snr - shift, atol=1e-6)


def test_classes_draw_steps_to_where_they_are_decided():
    eigenvalues, u = np.full(10, 1.0), np.linspace(-8, 8, 80)
    told = 1 / (1 + np.exp(6 * (u - 4)))
    near = lambda grid: np.sum(np.abs(grid.log_snr + 4) < 0.5)
    with_classes = clocks.advised_grid(u, eigenvalues, told, 20)
    assert near(with_classes) >= 8
    assert near(clocks.advised_grid(u, eigenvalues, count=20)) <= 3


@pytest.mark.parametrize(
    ("noisy", "information", "count", "message"),
    [
        (8.0, None, 1, "at least its 2 ends"),
        (-9.0, None, 5, "add noisier levels"),
        (8.0, np.zeros(20), 5, "does not fall"),
    ],
)
def test_grid_refuses(noisy, information, count, message):
    u = np.linspace(-10, noisy, 20)
    with pytest.raises(ValueError, match=message):
        clocks.advised_grid(u, np.ones(3), information, count)
