"""MNIST, where it lies beside the repository: real_data.md, recomputed.

Times are compared to 4 combined standard errors: those of the table (8 replicates of n
points, 2,000 noise draws each) and the scatter of our own replicates.
"""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.optimize import root_scalar

from jaxwin.analysis import collapse, speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.targets import Empirical

FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist.npz"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"{FILE} is not there")


@cache
def mnist(pair: bool) -> tuple[np.ndarray, np.ndarray]:
    """Training images under `pm1` (not centred: nothing here depends on it), labels."""
    with np.load(FILE) as file:
        points, digits = file["x_train"].reshape(-1, 784), file["y_train"]
    if pair:
        chosen = (digits == 1) | (digits == 8)
        points, digits = points[chosen], digits[chosen]
    labels = np.unique(digits, return_inverse=True)[1]
    return points / 127.5 - 1, labels


@cache
def covariance(pair: bool) -> np.ndarray:
    return np.cov(mnist(pair)[0], rowvar=False)


@cache
def eigenvalues(pair: bool) -> np.ndarray:
    """Spectrum of the whole set in plain numpy, largest first."""
    return np.linalg.eigvalsh(covariance(pair))[::-1]


@cache
def pair_law() -> Empirical:
    return Empirical(*mnist(True))


@pytest.fixture(autouse=True, scope="module")
def _release_data():
    yield
    for loaded in (mnist, covariance, eigenvalues, pair_law):
        loaded.cache_clear()


# The whole set: what the table prints

TOP = {
    False: [20.4675, 14.9656, 13.0108, 11.3665, 10.2685],
    True: [30.4644, 18.2952, 10.8680, 8.1554, 6.4758],
}


def check_spectrum(pair: bool):
    found = speciation.spectrum(Empirical(mnist(pair)[0]), 5)
    np.testing.assert_allclose(found.eigenvalues, TOP[pair], atol=0.6e-4)
    np.testing.assert_allclose(found.eigenvalues, eigenvalues(pair)[:5], rtol=1e-10)
    return float(found.stderr)


@pytest.mark.slow
def test_spectrum_of_one_and_eight():
    # Printed: 30.464 +- 0.270.
    assert abs(check_spectrum(True) - 0.270) < 0.6e-3
    assert abs(eigenvalues(True).sum() - 155.450) < 0.6e-3


@pytest.mark.slow
@pytest.mark.long
def test_spectrum_of_all_digits():
    # Printed: 20.467 +- 0.127.
    assert abs(check_spectrum(False) - 0.127) < 0.6e-3
    assert abs(eigenvalues(False).sum() - 210.904) < 0.6e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "pm1", "unit"), [(False, 1.5094, 2.1659), (True, 1.7083, 2.5173)]
)
def test_speciation_times_of_covariances(pair, pm1, unit):
    times = speciation.times(jnp.asarray(covariance(pair)))
    assert abs(float(times.spectrum.time) - pm1) < 0.6e-4
    scale = 784 / np.trace(covariance(pair))
    times = speciation.times(jnp.asarray(scale * covariance(pair)))
    assert abs(float(times.spectrum.time) - unit) < 0.6e-4


@pytest.mark.slow
def test_speciation_times_of_one_and_eight():
    times = speciation.times(pair_law())
    assert abs(float(times.spectrum.time) - 1.7083) < 0.6e-4
    assert abs(float(times.spectrum.stderr) - 0.0044) < 0.6e-4
    assert abs(float(times.top_eigenvalue) - 30.464) < 0.6e-3
    # The between-class eigenvalue p1 p2 |m1 - m2|^2.
    assert abs(float(times.between_class_eigenvalue) - 22.567) < 0.6e-3
    assert abs(float(times.mean.time) - 0.5 * np.log(22.567)) < 2e-5
    points, labels = mnist(True)
    means = np.stack([points[labels == c].mean(0) for c in range(2)])
    weight = labels.mean()
    apart = means[1] - means[0]
    between = weight * (1 - weight) * apart @ apart
    assert abs(float(times.between_class_eigenvalue) - between) < 1e-9
    along = (points - means[labels]) @ apart / np.linalg.norm(apart)
    bent = between + 1 - np.mean(along**2)
    assert abs(float(times.curvature.time) - 0.5 * np.log(bent)) < 1e-9


@pytest.mark.slow
def test_first_direction_is_the_class_direction():
    # cos^2 = 0.97.
    spectrum = speciation.spectrum(pair_law(), 3)
    overlap = speciation.class_overlap(pair_law(), spectrum.directions)
    assert abs(float(overlap[0, 1, 0]) - 0.97) < 0.006
    assert np.all(overlap[0, 1, 1:] < 0.03)


def test_unit01_is_the_published_convention():
    # Pixels in [0, 1]: half of `pm1`.
    times = speciation.times(jnp.asarray(covariance(True) / 4))
    assert abs(float(times.top_eigenvalue) - 7.6161) < 0.6e-4
    assert abs(float(times.spectrum.time) - 1.0151) < 0.6e-4


# Collapse: n points drawn without replacement, a few times

GRID = np.linspace(0.4, 1.75, 19)
ROWS = {  # (pair, n): t_half, t_rest, t_log2, each with its error; t_gauss
    (False, 500): ((1.3664, 0.0039), (1.3764, 0.0034), (1.1799, 0.0043), 1.3637),
    (False, 8000): ((1.1091, 0.0022), (1.1193, 0.0023), (0.9059, 0.0035), 1.1652),
    (True, 2000): ((0.9430, 0.0051), (1.0337, 0.0022), (0.5950, 0.0042), 1.0625),
}


def gaussian_time(spectrum: np.ndarray, n: int) -> float:
    spectrum = np.clip(spectrum, 0, None)
    gap = lambda log_snr: 0.5 * np.log1p(np.exp(log_snr) * spectrum).sum() - np.log(n)
    log_snr = root_scalar(gap, bracket=(-40.0, 40.0), xtol=1e-13).root
    return 0.5 * np.log1p(np.exp(-log_snr))


def measure(pair: bool, n: int, replicates: int, draws: int) -> np.ndarray:
    """Rows t_half, t_rest, t_log2, t_gauss of every replicate."""
    points, _ = mnist(pair)
    rows = []
    for seed in range(replicates):
        chosen = np.random.default_rng(seed).choice(len(points), n, replace=False)
        law = Empirical(points[chosen])
        curve = collapse.curve(law, GRID, num_replicas=draws, key=jr.key(seed))
        times = (curve.t_half, curve.t_rest, curve.t_log2, curve.t_gauss)
        assert all(bool(time.found) for time in times)
        rows.append([float(time.time) for time in times])
        # `t_gauss` of a curve is that of its own points (dividing by n).
        if seed == 0:
            own = np.linalg.eigvalsh(np.cov(points[chosen], rowvar=False, bias=True))
            assert abs(rows[0][3] - gaussian_time(own, n)) < 1e-9
    return np.array(rows)


def check_collapse(pair: bool, n: int, replicates: int, draws: int):
    rows = measure(pair, n, replicates, draws)
    *measured, _ = ROWS[pair, n]
    mean, scatter = rows.mean(0), rows.std(0, ddof=1) / np.sqrt(replicates)
    for value, error, (printed, its_error) in zip(
        mean, scatter, measured, strict=False
    ):
        combined = np.hypot(error, its_error)
        assert abs(value - printed) < 4 * combined, (value, printed, combined)
        assert combined < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "n"), ROWS)
def test_gaussian_collapse_time_of_the_population(pair, n):
    # The table takes the spectrum of the whole set, with the log of n points.
    found = collapse.gaussian_time(jnp.asarray(eigenvalues(pair)).clip(0), n)
    assert abs(float(found.time) - ROWS[pair, n][3]) < 0.6e-4
    assert abs(float(found.time) - gaussian_time(eigenvalues(pair), n)) < 1e-10


@pytest.mark.slow
def test_collapse_of_few_digits():
    check_collapse(False, 500, replicates=4, draws=256)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("pair", "n"), ROWS)
def test_collapse_in_full(pair, n):
    small = n <= 2000
    check_collapse(pair, n, replicates=6 if small else 4, draws=1024 if small else 512)


# Speciation, measured


def check_agreement(law: Empirical, draws: int, t_spectrum: float, spread: float):
    """The pair's phi crosses 0.775 at 0.95 to 0.97 of t_S."""
    noises = np.linspace(1.2, 2.1, 10)
    observed = Observed(law, Gaussian())
    curve = speciation.clone_agreement(
        observed, noises, pairs="all", num_replicas=draws, key=jr.key(1)
    )
    assert curve.pairs is not None
    crossing = jax.tree.map(lambda leaf: leaf[0], curve.pairs.crossing)
    assert bool(crossing.found)
    slack = 4 * np.hypot(float(crossing.stderr), spread) / t_spectrum
    ratio = float(crossing.time) / t_spectrum
    assert 0.95 - slack < ratio < 0.97 + slack
    assert slack < 0.12
    return ratio


@pytest.mark.slow
def test_agreement_of_one_and_eight_on_a_part():
    # 2,000 of 12,593 points: their own t_S, whose error is 0.011.
    points, labels = mnist(True)
    chosen = np.random.default_rng(0).choice(len(points), 2000, replace=False)
    law = Empirical(points[chosen], labels[chosen])
    t_spectrum = float(speciation.times(law).spectrum.time)
    assert abs(t_spectrum - 1.7083) < 4 * 0.011
    check_agreement(law, 384, t_spectrum, 0.011)


@pytest.mark.slow
@pytest.mark.long
def test_agreement_of_one_and_eight():
    check_agreement(pair_law(), 4096, 1.7083, 0.0044)
