"""The universal curve, windows, measured curves on it, sequences of times."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical, GaussianMixture, reduce

OU = OrnsteinUhlenbeck()
agreement = jax.jit(speciation.agreement)
disagreement = jax.jit(speciation.disagreement)


# The universal curve


@pytest.mark.slow
def test_universal_curve():
    # 5.6, d -> infinity.
    shifts = np.array([-1, -0.5, -0.25, 0, 0.25, 0.5, 1, 2])
    printed = (
        "0.994974479869 0.926214878534 0.855085157475 0.775200245397 0.700579724855 "
        "0.639104282321 0.560070356141 0.508994978943"
    )
    expected = np.array(printed.split(), float)
    found = np.asarray(speciation.universal(shifts))
    np.testing.assert_allclose(found, expected, atol=0.6e-12)
    # Classes of covariances: the signal comes in e^{-2t}.
    twice = speciation.universal(shifts / 2, speciation.COVARIANCES)
    np.testing.assert_allclose(twice, expected, atol=0.6e-12)
    ends = np.asarray(speciation.universal(np.array([-1e4, 1e4])))
    np.testing.assert_allclose(ends, [1, 0.5], atol=1e-15)


def test_universal_curve_of_covariance_classes():
    # 5.16: at N = 1e6 the exact curve is the universal one, from both sides of t_rs.
    n = 1e6
    centre = float(speciation.weak_signal_time(0.0, np.sqrt(n)).time)
    shifts = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])

    @jax.jit
    @jax.vmap
    def exact(t):
        k = speciation.contrast(0.5, 1.5, OU.alpha(t), OU.sigma(t))
        return speciation.covariance_agreement(k, n)

    universal = speciation.universal(shifts, speciation.COVARIANCES)
    np.testing.assert_allclose(exact(centre + shifts), universal, atol=1e-6)


@pytest.mark.parametrize("variance", [1.0, 0.3, 4.0])
def test_window_has_the_levels_and_a_width_that_does_not_grow(variance):
    widths, shares = [], []
    for d in (256, 4096, 10**8):
        found = speciation.window(1.5**2 * d, variance, (0.9, 0.6))
        for crossing, level in ((found.early, 0.9), (found.late, 0.6)):
            t = float(crossing.time)
            distance = 3.0 * np.sqrt(d)
            alpha, sigma = OU.alpha(t), OU.sigma(t)
            r = speciation.separation(distance, variance, alpha, sigma)
            assert abs(float(agreement(r)) - level) < 1e-11
        widths.append(float(found.width))
        shares.append(float(found.share) * 0.5 * np.log(2.25 * d))
        np.testing.assert_allclose(shares[-1], widths[-1], rtol=1e-13)
    constant = np.log(1.492610509106 / float(speciation.separation_at(0.6)))
    np.testing.assert_allclose(widths[-1], constant, atol=1e-7)
    assert (abs(widths[0] - constant) < 1e-12) == (variance == 1.0)
    assert abs(widths[0] - constant) < 0.02


def test_window_that_does_not_exist_is_an_answer():
    found = speciation.window(0.5, 1.0)
    assert not bool(found.early.found)
    assert bool(found.late.found)
    assert np.isnan(float(found.width))
    assert np.isnan(float(found.share))
    assert str(found.early) == "not reached in [0, inf]"
    assert to_dataset(found)["width"].shape == ()
    slope = jax.grad(lambda s: speciation.window(s).late.time)(1e-3)
    assert np.isfinite(float(slope))


def test_gradient_of_a_window():
    time = lambda s, v: speciation.window(s, v).late.time
    slope = jax.jit(jax.grad(time, (0, 1)))(40.0, 0.6)
    h = 1e-4
    for i, step in enumerate(([h, 0], [0, h])):
        up = time(40.0 + step[0], 0.6 + step[1])
        down = time(40.0 - step[0], 0.6 - step[1])
        np.testing.assert_allclose(slope[i], (up - down) / (2 * h), rtol=1e-6)


def test_rescaled_time_makes_a_step():
    # In t / t_S phi is one before 1 and 1 / 2 after it, the sharper the larger d.
    for d, off in ((10**8, 3e-3), (10**200, 1e-80)):
        t_s = 0.5 * np.log(float(d))
        t = t_s * np.array([0.6, 1.4])
        np.testing.assert_allclose(speciation.rescaled(t, t_s), [0.6, 1.4], rtol=1e-14)
        phi = np.asarray(speciation.universal(t - t_s))
        assert abs(phi[0] - 1) < off
        assert abs(phi[1] - 0.5) < off


@pytest.mark.slow
def test_measured_curves_collapse_and_a_wrong_time_does_not():
    # Unit clusters at two d, reduced; keys 0 and 1, 2,048 replicas: errors along a
    # curve are correlated, so noises are few.
    times, phis, errors, centres = [], [], [], []
    for i, d in enumerate((64, 16384)):
        means = np.stack([np.ones(d), -np.ones(d)])
        law = reduce(GaussianMixture.isotropic(means, 1.0))
        assert law is not None
        centre = 0.5 * np.log(d)
        noises = centre + np.array([-0.6, 0.0, 0.6, 1.2])
        curve = speciation.clone_agreement(
            Observed(law.target, Gaussian()),
            noises,
            num_replicas=2048,
            key=jr.key(i),
        )
        times.append(noises)
        phis.append(curve.phi)
        errors.append(curve.stderr)
        centres.append(centre)
    found = speciation.scaling_collapse(times, phis, errors, np.array(centres))
    assert found.count == 8
    np.testing.assert_array_equal(found.curve, np.repeat([0, 1], 4))
    np.testing.assert_allclose(found.shift[:4], found.shift[4:])
    z = (found.phi - np.asarray(speciation.universal(found.shift))) / found.stderr
    np.testing.assert_allclose(found.z, z, rtol=1e-12)
    np.testing.assert_allclose(found.chi_squared, np.sum(z**2), rtol=1e-12)
    assert np.all(np.abs(found.z) < 4)
    assert found.chi_squared < 3 * found.count
    moved = np.array(centres) + np.array([0.0, 0.2])
    wrong = speciation.scaling_collapse(times, phis, errors, moved)
    assert wrong.chi_squared > 10 * wrong.count
    assert to_dataset(found)["z"].dims == ("point",)


def test_points_without_scatter_are_left_out():
    found = speciation.scaling_collapse(
        [[1.0, 2.0], [3.0]], [[1.0, 0.8], [0.7]], [[0.0, 0.01], [0.02]], [2.0, 2.5]
    )
    np.testing.assert_array_equal(found.curve, [0, 1])
    np.testing.assert_allclose(found.shift, [0.0, 0.5])
    with pytest.raises(ValueError, match="zero everywhere"):
        speciation.scaling_collapse([[1.0]], [[1.0]], [[0.0]], [2.0])
    with pytest.raises(ValueError, match="of 1, 2, 1 and 1 curves"):
        speciation.scaling_collapse([[1.0]], [[1.0], [1.0]], [[0.0]], [2.0])


# Sequences of times


def test_sequence_of_eigenvalues():
    values = jnp.array([0.5, 60.52, 1.0, 7.66, 0.0])
    found = speciation.sequence(values)
    np.testing.assert_array_equal(found.eigenvalues, [60.52, 7.66, 1.0, 0.5, 0.0])
    np.testing.assert_array_equal(found.spectrum.found, [1, 1, 0, 0, 0])
    times = np.asarray(found.spectrum.time)
    np.testing.assert_allclose(times[:2], [2.051487, 1.018006], atol=0.6e-6)
    np.testing.assert_allclose(
        found.spectrum_plus_one.time, np.log1p(found.eigenvalues) / 2, rtol=1e-14
    )
    assert bool(found.spectrum_plus_one.found.all())
    assert to_dataset(found)["spectrum.time"].dims == ("component",)
    assert speciation.sequence(values, 2).eigenvalues.shape == (2,)
    with pytest.raises(ValueError, match="`law` is -0.1"):
        speciation.times(jnp.diag(jnp.array([1.0, -0.1])))
    with pytest.raises(ValueError, match="`law` is -0.1"):
        speciation.sequence(jnp.array([1.0, -0.1]))
    slope = jax.grad(lambda v: speciation.sequence(v).spectrum_plus_one.time.sum())
    np.testing.assert_allclose(slope(values), 0.5 / (1 + values), rtol=1e-13)


def test_sequence_of_a_hierarchy_and_of_data():
    # Classes at +-m_1, subclasses at +-m_2: two times, then the width of a cluster.
    d, signs = 64, np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    second = np.where(np.arange(d) % 2, 0.5, -0.5)
    means = signs @ np.stack([np.ones(d), second])
    law = GaussianMixture.isotropic(means, 0.25)
    found = speciation.sequence(law, 3)
    np.testing.assert_allclose(found.eigenvalues, [64.25, 16.25, 0.25], rtol=1e-12)
    np.testing.assert_array_equal(found.spectrum.found, [1, 1, 0])
    assert np.all(np.asarray(found.spectrum_plus_one.stderr) == 0)
    points = np.random.default_rng(1).normal(size=(200, 4)) * [6, 3, 2, 0.5]
    data = speciation.sequence(Empirical(points), 4)
    values, vectors = np.linalg.eigh(np.cov(points, rowvar=False))
    np.testing.assert_allclose(data.eigenvalues, values[::-1], rtol=1e-12)
    along = (points - points.mean(0)) @ vectors[:, ::-1]
    error = np.std(along**2, axis=0) / np.sqrt(200) / (2 * (1 + values[::-1]))
    # The error of the eigenvalue over n, not n - 1.
    np.testing.assert_allclose(data.spectrum_plus_one.stderr, error, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speciation.window(0.0), "`separation_sq` is 0"),
        (lambda: speciation.window(2.0, -1.0), "`variance` is -1"),
        (lambda: speciation.window(2.0, 1.0, (0.6, 0.9)), "must fall"),
        (lambda: speciation.rescaled(1.0, 0.0), "`speciation_time` is 0"),
        (lambda: speciation.universal(1.0, 0), "`order` is 0"),
        (lambda: speciation.separation_at(0.5), "`phi` is 0.5"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
