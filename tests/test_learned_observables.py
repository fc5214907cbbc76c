"""The exact score through the seam of learned ones gives the exact observables.

theory/speciation_and_collapse.md 5.25, 5.26, symmetry_and_clocks.md C32.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
from exact_network import exact_denoiser

from jaxwin.analysis import comparison, information, jacobian, speciation, symmetry
from jaxwin.analysis.windows import confusion, survival
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck, VariancePreserving
from jaxwin.samplers import DPMSolverPP, LogSNRGrid, SampledObserved
from jaxwin.scores import ExactScore
from jaxwin.targets import Empirical, FunctionDenoiser, GaussianMixture

CLOCK = OrnsteinUhlenbeck()
PAIR = GaussianMixture.isotropic([np.ones(16), -np.ones(16)], 1.0)
SMALL = GaussianMixture.isotropic([[1.0, 0.4], [-1.0, 0.1], [0.2, -0.8]], 0.1)
DELTAS = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
LEVELS = np.linspace(-6.0, 6.0, 17)
SDE = DPMSolverPP(2, stochastic=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [PAIR, Empirical(np.random.default_rng(0).normal(size=(40, 3)))],
    ids=["population", "data set"],
)
def test_information_by_mmse(law):
    """f and the time of collapse, of a law and of points."""
    options = {"draw": law.sample, "num_replicas": 256, "block_size": 8}
    eigenvalues = np.asarray(law.moments().leading(law.dimension)[0])
    exact, learned = (
        information.from_mmse(one, LEVELS, 20, eigenvalues=eigenvalues, **options)
        for one in (law.denoise, exact_denoiser(law))
    )
    np.testing.assert_allclose(learned.information, exact.information, rtol=1e-6)
    np.testing.assert_allclose(learned.loss, exact.loss, rtol=1e-6, atol=1e-12)
    assert bool(exact.collapse.found)
    np.testing.assert_allclose(learned.collapse.time, exact.collapse.time, rtol=1e-6)


@pytest.mark.slow
def test_collapse_time_of_the_mixture():
    """5.26: t_C of n = 20,000 points of N(+-m, I), d = 256, from losses: 1.333731."""
    law = GaussianMixture.isotropic([np.ones(256), -np.ones(256)], 1.0)
    found = information.from_mmse(
        exact_denoiser(law),
        np.linspace(-9.0, 3.0, 33),
        20_000,
        draw=law.sample,
        eigenvalues=np.asarray(law.moments().leading(256)[0]),
        num_replicas=4096,
    )
    error = float(found.collapse.stderr)
    assert error < 3e-3
    assert abs(float(found.collapse.time) - 1.333731) < 4 * error


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("of_points", [False, True], ids=["phi", "phi_C"])
def test_clone_agreement(of_points):
    """The same noise on the same path: phi of classes, and of training points."""
    law = SMALL
    if of_points:
        points = np.random.default_rng(1).normal(size=(12, 2))
        law = Empirical(points, np.arange(12))
    end = 0.02
    levels = CLOCK.levels(end, jnp.float64)
    classify = eqx.Partial(_label, law, levels)
    found = [
        speciation.simulated_agreement(
            SDE,
            ExactScore(one, CLOCK),
            np.linspace(0.1, 1.5, 4),
            128,
            jr.key(3),
            num_steps=8,
            end=end,
            draw=law.sample,
            classify=classify,
            reduce=False,
        )
        for one in (law, exact_denoiser(law))
    ]
    assert found[0].phi[-1] < found[0].phi[0] - 0.1
    np.testing.assert_allclose(found[1].phi, found[0].phi, atol=1e-6)
    np.testing.assert_allclose(
        found[1].crossing.time, found[0].crossing.time, atol=1e-6
    )


def _label(law, levels, score, x, t):
    return jnp.exp(law.label_log_posterior(x, *levels))


@pytest.mark.slow
@pytest.mark.long
def test_windows():
    """Confusion and survival, path by path; and the exact ones within errors."""
    noises, grid = np.linspace(0.2, 1.6, 5), LogSNRGrid(CLOCK, 0.02, 24)
    observed = [
        SampledObserved(SDE, ExactScore(one, CLOCK), grid, data=SMALL)
        for one in (SMALL, exact_denoiser(SMALL))
    ]
    options = {"num_replicas": 1024, "key": jr.key(5)}
    exact, learned = (confusion(one, noises, **options) for one in observed)
    np.testing.assert_allclose(learned.matrix, exact.matrix, atol=1e-6)
    times = [
        survival(one, [[0], [1]], Gaussian()).middle.time for one in (exact, learned)
    ]
    np.testing.assert_allclose(times[1], times[0], atol=1e-6)
    known = confusion(Observed(SMALL, Gaussian()), noises)
    z = (learned.matrix - known.matrix) / np.hypot(learned.stderr, known.stderr)
    assert np.abs(z).max() < 4.5


@pytest.mark.slow
@pytest.mark.long
def test_critical_time_of_two_deltas():
    """theta_c = 0.643594 (symmetry_and_clocks.md 1.6), of the exact network."""
    process = VariancePreserving(0.1, 20.0)
    found = symmetry.critical_times(
        exact_denoiser(DELTAS), process, dimension=1, times=(0.2, 0.5), starts=8
    )
    (time,) = np.asarray(found.transitions.time.time)
    assert bool(found.transitions.second_order[0])
    np.testing.assert_allclose(time, 0.2926416543, atol=1e-6)
    np.testing.assert_allclose(process.alpha(time), 0.643594, atol=6e-7)


@pytest.mark.slow
@pytest.mark.long
def test_potential_and_spectra():
    """Hessian-vector products, path integrals of the potential, Jacobian spectra."""
    process, learned = VariancePreserving(0.1, 20.0), exact_denoiser(SMALL)
    x, v = jr.normal(jr.key(0), (2, 2))
    times, places = np.array([0.1, 0.3, 0.6]), np.linspace(-1.0, 1.5, 9)
    first, last = (jnp.asarray(m, float) for m in ([1.0, 0.4], [-1.0, 0.1]))
    for drift in ("reverse_sde", "flow", "density"):
        exact, found = (
            symmetry.hessian_product(one, process, x, v, 0.3, drift)
            for one in (SMALL, learned)
        )
        np.testing.assert_allclose(found, exact, rtol=1e-6)
    for path in (symmetry.along_line, symmetry.along_arc):
        exact, found = (
            path(one, process, first, last, times, places) for one in (SMALL, learned)
        )
        for one, other in zip(
            jax.tree.leaves(found), jax.tree.leaves(exact), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    alphas, sigmas = process.levels(jnp.asarray(times), jnp.float64)
    xs = jr.normal(jr.key(1), (3, 2))
    exact, found = (
        jacobian.spectra(one, xs, alphas, sigmas) for one in (SMALL, learned)
    )
    np.testing.assert_allclose(found.normalised, exact.normalised, atol=1e-6)


@pytest.mark.slow
def test_certificate_of_windows():
    """Path divergence of U-turns: none of the exact score, of a wrong law its own."""
    wrong = GaussianMixture.isotropic([[1.0, 0.2], [-1.0, 0.1], [0.0, -0.8]], 0.15)
    options = {"labels": 1, "end": 0.01, "num_replicas": 128, "block_size": 16}

    def path(denoiser):
        return information.score_error_certificate(
            denoiser, SMALL, [0.3, 1.0], **options
        ).path

    assert np.all(path(exact_denoiser(SMALL)) < 1e-12)
    exact = path(wrong)
    assert np.all(exact > 1e-3)
    np.testing.assert_allclose(path(exact_denoiser(wrong)), exact, rtol=1e-6)


@pytest.mark.slow
def test_errors_of_the_exact_network_are_zero():
    found = comparison.denoiser_errors(
        exact_denoiser(SMALL), {"population": SMALL}, LEVELS, num_replicas=128
    )
    assert np.all(found.score_error < 1e-12)
    assert np.all(found.path < 1e-12)
    np.testing.assert_allclose(found.loss, found.optimal_loss[0], rtol=1e-9)


@pytest.mark.slow
def test_errors_of_a_wrong_law():
    """int E|s_hat - s|^2 dt is the KL of the laws, less that of the noised ones.

    Of two Gaussians N(0, v) and N(0, w) at alpha^2 + sigma^2 = 1, in closed form.
    """
    law, other = (GaussianMixture.isotropic(np.zeros((1, 3)), v) for v in (1.0, 0.5))
    levels = np.linspace(-9.0, 9.0, 181)
    found = comparison.denoiser_errors(
        other, {"population": law}, levels, num_replicas=1024
    )

    def divergence(level):
        alpha, sigma = (1 / (1 + np.exp(-s)) for s in (level, -level))
        ratio = (alpha * 1.0 + sigma) / (alpha * 0.5 + sigma)
        return 1.5 * (ratio - 1 - np.log(ratio))

    expected = divergence(9.0) - divergence(-9.0)
    error = found.path_stderr[0, -1]
    assert abs(found.path[0, -1] - expected) < 4 * error + 2e-4
    assert error < 0.04 * expected
    gain = lambda v, level: np.exp(level) * v / (1 + np.exp(level) * v)
    # E|D - D*|^2 = 3 (gain_w - gain_v)^2 (v + 1/snr), of the clean points' scale.
    snr = np.exp(found.log_snr)
    exact = (
        3 * (gain(0.5, found.log_snr) - gain(1.0, found.log_snr)) ** 2 * (1 + 1 / snr)
    )
    z = (found.error[0] - exact) / found.error_stderr[0]
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(
        found.score_error[0], found.error[0] * snr * (1 + snr), rtol=1e-12
    )


def test_path_errors_hold_that_of_the_grid():
    """An error that is the same at all points: no noise, the integral by SciPy."""
    law = GaussianMixture.isotropic(np.zeros((1, 1)), 1.0)
    bump = lambda level: np.exp(-(((level - 1.3) / 0.6) ** 2) - level / 2)

    def wrong(x, alpha, sigma):
        level = 2 * jnp.log(alpha / sigma)
        return law.denoise(x, alpha, sigma) + jnp.exp(
            -(((level - 1.3) / 0.6) ** 2) - level / 2
        )

    exact = scipy.integrate.quad(
        lambda s: 0.5 * np.exp(s) * bump(s) ** 2, -6, 9, points=[1.3], epsabs=1e-12
    )[0]
    errors = []
    for count in (9, 17, 129):
        found = comparison.denoiser_errors(
            FunctionDenoiser(wrong),
            {"population": law},
            np.linspace(-6.0, 9.0, count),
            num_replicas=64,
        )
        off, error = found.path[0, -1] - exact, found.path_stderr[0, -1]
        assert abs(off) < error + 1e-9
        errors.append(error)
    assert errors[0] > 0.05 * exact
    assert errors[2] < 1e-3 * exact


@pytest.mark.slow
def test_errors_between_optima():
    """`apart` is the distance from the first optimum, by itself; losses add up."""
    points = np.random.default_rng(2).normal(size=(30, 2))
    data = Empirical(points)
    law = GaussianMixture.isotropic(np.zeros((1, 2)), 1.0)
    found = comparison.denoiser_errors(
        law, {"data set": data, "population": law}, [-2.0, 0.0, 2.0], num_replicas=2048
    )
    assert found.optima == ("data set", "population")
    np.testing.assert_allclose(found.apart[1], found.error[0], rtol=1e-12)
    assert np.all(found.apart[0] == 0)
    assert np.all(found.error[1] < 1e-20)
    # Of the law the points are of: loss = own loss + distance, in the mean.
    rest = found.loss - found.optimal_loss[0] - found.error[0]
    assert np.all(np.abs(rest) < 4 * (found.loss_stderr + found.optimal_loss_stderr[0]))


def test_bound_is_of_points_of_the_optimum_alone():
    """Nothing is known of the paths of an optimum at points of another law.

    D and D* agree at every noised point and part elsewhere: no error, no bound.
    """
    best = FunctionDenoiser(lambda x, alpha, sigma: -jnp.ones_like(x))
    apart = FunctionDenoiser(lambda x, alpha, sigma: jnp.where(x > 0, -1.0, -5.0))
    found = comparison.denoiser_errors(
        apart,
        {"optimum": best},
        [6.0, 8.0],
        draw=lambda key: jnp.ones(1),
        num_replicas=64,
    )
    assert np.all(found.path == 0)
    assert np.all(np.isnan(found.bound))
    with pytest.raises(ValueError, match="`of` is 'law'"):
        comparison.denoiser_errors(best, {"optimum": best}, [0.0, 1.0], of="law")


@pytest.mark.slow
def test_bound_holds_between_two_gaussians():
    """Pinsker from p_T: total variation of N(0, 1) and what D of N(0, 1/2) makes."""
    law, other = (GaussianMixture.isotropic(np.zeros((1, 1)), v) for v in (1.0, 0.9))
    found = comparison.denoiser_errors(
        other, {"population": law}, np.linspace(-9.0, 9.0, 61), num_replicas=1024
    )
    x = np.linspace(-8, 8, 4001)
    normal = lambda v: np.exp(-0.5 * x**2 / v) / np.sqrt(2 * np.pi * v)
    distance = 0.5 * np.trapezoid(np.abs(normal(1.0) - normal(0.9)), x)
    assert distance < found.bound[0, -1] < 4 * distance
    assert np.all(np.diff(found.bound[0]) >= 0)


def test_errors_refuse():
    with pytest.raises(ValueError, match="strictly increasing"):
        comparison.denoiser_errors(SMALL, {"p": SMALL}, [1.0, 0.0])
    with pytest.raises(ValueError, match="`optima` is empty"):
        comparison.denoiser_errors(SMALL, {}, [0.0, 1.0])
    with pytest.raises(ValueError, match="no law"):
        comparison.denoiser_errors(SMALL, {"p": exact_denoiser(SMALL)}, [0.0, 1.0])
