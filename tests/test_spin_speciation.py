"""Speciation of spins by exact soft labels, against the published-size simulations.

Reference values are Monte Carlo with standard errors; ours lie within four combined
ones.
"""

import numpy as np
import pytest
import scipy.special

from jaxwin.analysis import speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.targets import (
    AbstractDiscreteLaw,
    CurieWeiss,
    IsingChain,
    Spins,
    ising_covariance_distance_limit,
)

AROUND = np.array([-0.5, 0.0, 0.25, 0.5])


def measured(
    law: AbstractDiscreteLaw, times: np.ndarray, replicas: int = 4096
) -> speciation.CloneAgreement:
    observed = Observed(Spins(law), Gaussian())
    return speciation.clone_agreement(observed, times, num_replicas=replicas)


def agrees(value: float, error: float, reference: float, its_error: float) -> bool:
    return abs(value - reference) <= 4 * np.hypot(error, its_error)


CHAINS = [
    ((0.2, 0.8), 256, 0.7333, 0.0028),
    ((0.2, 0.8), 1024, 0.7498, 0.0028),
    ((0.2, 0.8), 4096, 0.7579, 0.0040),
    ((0.5, 1.0), 256, 0.6909, 0.0028),
    ((0.5, 1.0), 1024, 0.7240, 0.0028),
    ((0.5, 1.0), 4096, 0.7467, 0.0040),
]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "row",
    [pytest.param(r, marks=[pytest.mark.slow] * (r[1] > 256)) for r in CHAINS],
    ids=str,
)
def test_chains_separate_by_their_covariances(row):
    """5.17: phi where ||dC|| e^{-2t} = 2 sqrt 2, 4096 replicas, key 0."""
    (first, second), n, phi, error = row
    distance = ising_covariance_distance_limit(first, second, n)
    time = 0.5 * np.log(float(distance) / np.sqrt(8))
    result = measured(IsingChain([first, second], n), time + AROUND)
    assert agrees(result.phi[1], result.stderr[1], phi, error)
    assert result.stderr[1] < 0.0045
    assert result.chance == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.long
def test_states_of_a_large_magnet():
    """5.18 at beta = 1.5, N = 1024: phi at t_S - 1/2, t_S, t_S + 1/2; key 0."""
    law = CurieWeiss(1.5, 1024)
    time = 0.5 * np.log(1024 * float(CurieWeiss.magnetisation(1.5)) ** 2)
    assert abs(time - 3.313237) < 6e-7
    assert abs(0.5 * np.log(float(law.top_eigenvalue())) - 3.312468) < 6e-7
    result = measured(law, time + AROUND)
    for i, phi, error in ((0, 0.9313, 27e-4), (1, 0.7739, 38e-4), (3, 0.6365, 28e-4)):
        assert agrees(result.phi[i], result.stderr[i], phi, error)


@pytest.mark.slow
@pytest.mark.long
def test_states_of_a_small_magnet():
    """N = 64 against numpy: words by magnetisation, the field on a grid, seed 0."""
    n, coupling, count = 64, 1.5, 2000
    time = 0.5 * np.log(n * float(CurieWeiss.magnetisation(coupling)) ** 2)
    result = measured(CurieWeiss(coupling, n), time + AROUND)
    rng = np.random.default_rng(0)
    ups = rng.choice(n + 1, count, p=shares(coupling, n))
    clean = np.where(np.arange(n)[None] < ups[:, None], 1.0, -1.0)
    m = np.linspace(0, 2, 401)[1:]
    for i, t in enumerate(time + AROUND):
        alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
        x = alpha * clean + sigma * rng.normal(size=clean.shape)
        evidence = []
        for sign in (-1, 1):
            log_p = np.tile(-n * coupling * m**2 / 2, (count, 1))
            for field in (alpha * x / sigma**2).T:
                log_p += np.log(np.cosh(sign * coupling * m + field[:, None]))
            evidence.append(np.logaddexp.reduce(log_p, axis=1))
        up = scipy.special.expit(evidence[1] - evidence[0])
        purity = up**2 + (1 - up) ** 2
        error = purity.std() / np.sqrt(count)
        assert agrees(result.phi[i], result.stderr[i], purity.mean(), error)


def shares(coupling: float, n: int) -> np.ndarray:
    """Probabilities of 0 ... n spins up."""
    up = np.arange(n + 1)
    log_p = -scipy.special.betaln(up + 1, n - up + 1)
    log_p = log_p + coupling * (2 * up - n) ** 2 / (2 * n)
    return np.exp(log_p - scipy.special.logsumexp(log_p))


def test_times_of_a_magnet_by_every_convention():
    """From its exact moments: a sum over magnetisations gives the same."""
    n, coupling = 64, 1.5
    times = speciation.times(Spins(CurieWeiss(coupling, n)))
    total, p = 2.0 * np.arange(n + 1) - n, shares(coupling, n)
    top = p @ total**2 / n
    above = 2 * scipy.special.ndtr(total * np.sqrt(coupling / n))
    between = n * (p @ (above * total) / n) ** 2
    for crossing, expected in (
        (times.spectrum, np.log(top)),
        (times.spectrum_plus_one, np.log1p(top)),
        (times.mean, np.log(between)),
        # Along the means the width is what is left of the spike.
        (times.curvature, np.log1p(2 * between - top)),
    ):
        assert bool(crossing.found)
        assert abs(float(crossing.time) - expected / 2) < 1e-11


def test_classes_of_equal_means_have_no_time_of_means():
    """Two chains differ in their covariance alone: "none", not a number."""
    times = speciation.times(Spins(IsingChain([0.2, 0.8], 16)))
    assert not bool(times.mean.found)
    assert not bool(times.curvature.found)
    away = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
    dense = (np.tanh(0.2) ** away + np.tanh(0.8) ** away) / 2
    top = np.linalg.eigvalsh(dense)[-1]
    assert abs(float(times.spectrum.time) - 0.5 * np.log(top)) < 1e-12
