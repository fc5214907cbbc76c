"""Two classes of one mean: agreement by quadrature, times at the theory's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from jaxwin.analysis import speciation
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()


@jax.jit
def agreement_at(t, first, second, n, weight=0.5):
    k = speciation.contrast(first, second, OU.alpha(t), OU.sigma(t))
    return speciation.covariance_agreement(k, n, weight)


disagreement = jax.jit(speciation.covariance_disagreement)


def covariance_classes(n: int, *variances: float) -> GaussianMixture:
    return GaussianMixture.isotropic(np.zeros((len(variances), n)), np.array(variances))


# 5.16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "asymptotic", "there", "back", "phi"),
    [
        (10**3, 1.207078, 1.214693, 1.199797, 0.775325),
        (10**4, 1.782725, 1.785098, 1.780385, 0.775213),
        (10**5, 2.358371, 2.359118, 2.357627, 0.775201),
    ],
)
def test_covariance_classes_at_reference_points(n, asymptotic, there, back, phi):
    time = speciation.weak_signal_time(covariance_gap=np.sqrt(n)).time
    assert abs(float(time) - asymptotic) < 0.6e-6
    found = speciation.gaussian_general_times(covariance_classes(n, 0.5, 1.5))
    np.testing.assert_array_equal(found.pair, [[0, 1]])
    np.testing.assert_allclose(found.crossing.time, [[there, back]], atol=0.6e-6)
    assert bool(found.crossing.found.all())
    assert abs(float(agreement_at(time, 0.5, 1.5, n)) - phi) < 0.6e-6
    if n == 1000:
        assert abs(float(agreement_at(time - 0.25, 0.5, 1.5, n)) - 0.926568) < 0.6e-6
        assert abs(float(agreement_at(time + 0.25, 0.5, 1.5, n)) - 0.639114) < 0.6e-6


def test_covariance_classes_of_other_widths():
    n = 10**4
    time = speciation.weak_signal_time(covariance_gap=np.sqrt(n)).time
    found = speciation.gaussian_general_times(covariance_classes(n, 1.0, 2.0))
    np.testing.assert_allclose(
        np.sort(np.ravel(found.crossing.time)), [1.773229, 1.778011], atol=0.6e-6
    )
    assert abs(float(agreement_at(time, 1.0, 2.0, n)) - 0.770776) < 0.6e-6
    # The class of label 0 is the first of the pair.
    assert float(found.crossing.time[0, 0]) > float(found.crossing.time[0, 1])


def chi_square_rest(k: float, n: int, w: float) -> float:
    """1 - phi by scipy: 2 w E[1 - p] over |x|^2 of the first class, G_2 = 1."""
    gamma = (1 + k) / (1 - k)

    def f(u: float) -> float:
        ratio = n / 2 * np.log(1 / gamma) + u / 2 * (gamma - 1)
        odds = ratio + np.log(w / (1 - w))
        return 2 * w * np.exp(stats.chi2.logpdf(u, n) - np.logaddexp(0, odds))

    ends = max(n - 14 * np.sqrt(2 * n), 0), n + 14 * np.sqrt(2 * n) + 80
    edge = -(n / 2 * np.log(1 / gamma) + np.log(w / (1 - w))) / ((gamma - 1) / 2)
    inside = [p for p in (edge, float(n)) if ends[0] < p < ends[1]]
    return quad(f, *ends, points=inside, epsabs=0, epsrel=1e-12, limit=500)[0]


@pytest.mark.parametrize("w", [0.5, 0.9, 1e-3])
@pytest.mark.parametrize("n", [2, 7, 300])
def test_agreement_of_covariances_against_scipy(n, w):
    for k in (0.02, 0.2, -0.4, 0.9):
        reference = chi_square_rest(k, n, w)
        if reference > 1e-40:
            np.testing.assert_allclose(disagreement(k, n, w), reference, rtol=1e-9)


@pytest.mark.slow
def test_agreement_of_covariances_at_the_ends():
    # One dimension, far widths: x of the wide class is taken for the narrow one.
    k, narrow = 1 - 1e-8, 0.5e-8
    # Where p = 1 / 2 the narrow density ends: a share of about its width is mistaken.
    assert 0 < float(disagreement(k, 1)) < 30 * np.sqrt(narrow)
    assert abs(float(disagreement(0.0, 10**6)) - 0.5) < 1e-14
    assert abs(float(disagreement(0.0, 3, 0.8)) - 0.32) < 1e-14
    assert float(disagreement(0.9, 10**6)) == 0
    # Weak signal at N = 1e6: 1 - phi of two Gaussians with r = k sqrt(N / 2) ...
    for r in (0.3, 1.0, 2.0):
        k = r * np.sqrt(2 / 1e6)
        expected = float(speciation.disagreement(r))
        np.testing.assert_allclose(disagreement(k, 10**6), expected, rtol=1e-4)
    # and sides are alike.
    np.testing.assert_allclose(
        disagreement(0.3, 12, 0.2), disagreement(-0.3, 12, 0.8), rtol=1e-13
    )
    slope = jax.jit(jax.grad(speciation.covariance_disagreement, (0, 2)))(0.1, 50, 0.3)
    h = 1e-6
    there = [disagreement(0.1 + e, 50, 0.3) for e in (h, -h)]
    np.testing.assert_allclose(slope[0], (there[0] - there[1]) / (2 * h), rtol=1e-7)
    there = [disagreement(0.1, 50, 0.3 + e) for e in (h, -h)]
    np.testing.assert_allclose(slope[1], (there[0] - there[1]) / (2 * h), rtol=1e-7)
    single = disagreement(jnp.float32(0.002), 10**5)
    np.testing.assert_allclose(single, disagreement(0.002, 10**5), rtol=1e-4)
    assert single.dtype == jnp.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speciation.covariance_agreement(1.0, 3), "`k` is 1"),
        (lambda: speciation.covariance_agreement(0.1, 0), "`dimension` is 0"),
        (lambda: speciation.covariance_agreement(0.1, 3, 1.0), "`weight` is 1"),
        (lambda: speciation.contrast(-1.0, 1.0, 1.0, 1.0), "`first` is -1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
