"""Collapse: predicted times against scipy, curves against closed forms and tables."""

from decimal import Decimal, getcontext

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root_scalar

from jaxwin.analysis import collapse, speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    convert,
)
from jaxwin.targets import Empirical

getcontext().prec = 60
OU = OrnsteinUhlenbeck()

leading_time = jax.jit(collapse.leading_time)
gaussian_time = jax.jit(collapse.gaussian_time)
two_cluster_time = jax.jit(collapse.two_cluster_time, static_argnums=2)


def assert_printed(value, printed: str):
    """To 0.6 of the last printed digit."""
    rounding = 0.6 * 10.0 ** int(Decimal(printed).as_tuple().exponent)
    assert abs(float(value) - float(printed)) <= rounding, (value, printed)


# 5.10: leading order


@pytest.mark.parametrize(
    ("rate", "row"),
    [
        (0.001, "2.417645 3.107804 3.800201"),
        (0.01, "1.296709 1.961003 2.646669"),
        (0.05, "0.608506 1.176084 1.832208"),
        (0.1, "0.377865 0.853886 1.473970"),
        (0.5, "0.067918 0.229338 0.601172"),
        (1.0, "0.019192 0.072707 0.243083"),
        (2.0, "0.002327 0.009243 0.035988"),
    ],
)
def test_leading_time_at_reference_points(rate, row):
    for std, printed in zip((0.5, 1.0, 2.0), row.split(), strict=True):
        assert_printed(leading_time(rate, std), printed)


def decimal_leading_time(rate: float, std: float) -> Decimal:
    a, s = Decimal(rate), Decimal(std)
    return (1 + s * s / ((2 * a).exp() - 1)).ln() / 2


@pytest.mark.parametrize("std", [1e-3, 0.37, 1.0, 40.0])
@pytest.mark.parametrize("rate", [1e-15, 3e-9, 1e-4, 0.0386855, 0.7, 6.0, 25.0])
def test_leading_time_in_sixty_digits(rate, std):
    exact = float(decimal_leading_time(rate, std))
    np.testing.assert_allclose(leading_time(rate, std), exact, rtol=2e-15)


def test_leading_time_of_the_published_mixtures():
    for d, printed in ((256, "1.298790"), (1024, "1.977547"), (4096, "2.667074")):
        assert_printed(leading_time(np.log(20_000) / d, 1.0), printed)


@pytest.mark.parametrize("rate", [1e-6, 0.05, 1.3])
def test_gradients_of_the_leading_time(rate):
    for std in (0.5, 2.0):
        along_rate, along_std = jax.grad(leading_time, (0, 1))(rate, std)
        h = 1e-5
        f = lambda a, s: float(leading_time(a, s))
        slope = (f(rate * (1 + h), std) - f(rate * (1 - h), std)) / (2 * h * rate)
        np.testing.assert_allclose(along_rate, slope, rtol=1e-7)
        slope = (f(rate, std + h) - f(rate, std - h)) / (2 * h)
        np.testing.assert_allclose(along_std, slope, rtol=1e-7)


# 5.11: exact information of two clusters


def class_information(r: float) -> float:
    """log 2 - E log(1 + e^{-2 r^2 - 2 r z}), by scipy."""
    f = lambda z: np.exp(-z * z / 2) * np.logaddexp(0, -2 * r * r - 2 * r * z)
    return np.log(2) - quad(f, -14, 14, epsabs=1e-14, limit=400)[0] / np.sqrt(2 * np.pi)


def reference_two_cluster_time(separation_sq, std, d, n) -> float:
    def gap(t):
        snr = 1 / np.expm1(2 * t)
        wide = 1 + snr * std**2
        r = np.sqrt(separation_sq * snr / wide)
        return d / 2 * np.log(wide) + class_information(r) - np.log(n)

    return root_scalar(gap, bracket=(1e-6, 30.0), xtol=1e-13, rtol=1e-14).root


@pytest.mark.parametrize(
    ("n", "d", "exact", "formula"),
    [
        (20_000, 256, "1.333731", "1.298790"),
        (20_000, 1024, "2.013488", "1.977547"),
        (20_000, 4096, "2.703269", "2.667074"),
        (1000, 16, "0.307719", "0.273828"),
        (1_000_000, 16, "0.107781", "0.097903"),
    ],
)
def test_exact_information_time_at_reference_points(n, d, exact, formula):
    found = two_cluster_time(float(d), 1.0, d, n)
    assert bool(found.found)
    assert float(found.stderr) == 0
    assert_printed(found.time, exact)
    assert_printed(leading_time(np.log(n) / d, 1.0), formula)


@pytest.mark.parametrize(
    ("separation_sq", "std", "d", "n"),
    [(3.0, 0.4, 7, 50), (200.0, 2.0, 30, 4000), (0.01, 1.0, 5, 10), (9.0, 0.7, 1, 2)],
)
def test_exact_information_time_against_scipy(separation_sq, std, d, n):
    found = two_cluster_time(separation_sq, std, d, n)
    exact = reference_two_cluster_time(separation_sq, std, d, n)
    np.testing.assert_allclose(found.time, exact, rtol=1e-10)


def test_gradients_of_the_exact_information_time():
    f = lambda m2, s, n: two_cluster_time(m2, s, 7, n).time
    point = (3.0, 0.4, 50.0)
    for i, slope in enumerate(jax.grad(f, (0, 1, 2))(*point)):
        h = 1e-5 * point[i]
        up = [v + h * (j == i) for j, v in enumerate(point)]
        down = [v - h * (j == i) for j, v in enumerate(point)]
        difference = (float(f(*up)) - float(f(*down))) / (2 * h)
        np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_point_clusters_may_never_collapse():
    # Two point masses carry at most log 2 nats.
    assert not bool(two_cluster_time(4.0, 0.0, 3, 3).found)
    assert bool(two_cluster_time(4.0, 0.1, 3, 3).found)


# t_gauss


def reference_gaussian_time(eigenvalues: np.ndarray, n: float) -> float:
    gap = lambda log_snr: (
        0.5 * np.sum(np.log1p(np.exp(log_snr) * eigenvalues)) - np.log(n)
    )
    log_snr = root_scalar(gap, bracket=(-60.0, 60.0), xtol=1e-14, rtol=1e-15).root
    return 0.5 * np.log1p(np.exp(-log_snr))


@pytest.mark.parametrize("n", [2, 60, 8000, 10**7])
@pytest.mark.parametrize("d", [1, 5, 300])
def test_gaussian_time_against_scipy(d, n):
    eigenvalues = 10.0 ** np.random.default_rng(d).uniform(-4, 1.5, d)
    if d > 1:
        eigenvalues[-1] = 0
    found = gaussian_time(jnp.asarray(eigenvalues), n)
    assert bool(found.found)
    np.testing.assert_allclose(
        found.time, reference_gaussian_time(eigenvalues, n), rtol=1e-10
    )


def test_gaussian_time_of_isotropic_data_is_the_leading_time():
    found = gaussian_time(jnp.full(64, 0.3**2), 5000)
    np.testing.assert_allclose(
        found.time, leading_time(np.log(5000) / 64, 0.3), rtol=1e-12
    )


def test_gaussian_time_of_scaled_data():
    eigenvalues = jnp.array([3.0, 1.0, 0.2])
    base = float(gaussian_time(eigenvalues, 100).time)
    scaled = float(gaussian_time(49 * eigenvalues, 100).time)
    np.testing.assert_allclose(np.expm1(2 * scaled), 49 * np.expm1(2 * base))


@pytest.mark.parametrize("variance", [1e-200, 1e-60, 1e60, 1e200])
def test_gaussian_time_at_any_scale(variance):
    # Isotropic: d/2 log(1 + s^2 v) = log n, s^-2 = e^{2t} - 1.
    found = gaussian_time(jnp.full(4, variance), 50)
    assert bool(found.found)
    expected = 0.5 * np.log1p(variance / np.expm1(np.log(50) / 2))
    assert float(found.time) == pytest.approx(expected, rel=1e-10)


def test_gradient_of_the_gaussian_time():
    eigenvalues = jnp.array([3.0, 1.0, 0.2, 0.0])
    f = lambda e, n: gaussian_time(e, n).time
    slope, along_n = jax.grad(f, (0, 1))(eigenvalues, 100.0)
    t = float(f(eigenvalues, 100.0))
    # Implicit: dt = -dI / (dI/dt).
    snr = 1 / np.expm1(2 * t)
    lam = np.asarray(eigenvalues)
    rate = -np.sum(lam / (1 + snr * lam)) / 2 * 2 * np.exp(2 * t) * snr**2
    np.testing.assert_allclose(slope, -snr / (1 + snr * lam) / 2 / rate, rtol=1e-8)
    np.testing.assert_allclose(along_n, 1 / 100 / rate, rtol=1e-8)


@pytest.mark.parametrize("n", [2.0, 60.0, 8000.0, 1e7])
def test_gaussian_points_undo_the_gaussian_time(n):
    eigenvalues = 10.0 ** np.random.default_rng(3).uniform(-4, 1.5, 20)
    eigenvalues[-1] = 0
    time = float(gaussian_time(jnp.asarray(eigenvalues), n).time)
    found = collapse.gaussian_points(eigenvalues, time)
    assert found == pytest.approx(n, rel=1e-9)


def test_gaussian_points_that_do_not_exist():
    for time in (0.0, -1.0, float("nan"), 1e-3):
        assert collapse.gaussian_points(np.full(20, 4.0), time) is None
    # Without spread one point is enough.
    assert collapse.gaussian_points(np.zeros(3), 0.5) == 1


def test_gaussian_times_that_do_not_exist():
    for eigenvalues, n in ((jnp.zeros(4), 50), (jnp.ones(4), 1)):
        found = gaussian_time(eigenvalues, n)
        assert not bool(found.found)
        assert str(found) == "not reached in [0, inf]"
        f = lambda e, n=n: jnp.nan_to_num(gaussian_time(e, n).time)
        assert np.all(np.isfinite(jax.grad(f)(eigenvalues)))


# Curves

TIMES = np.array([0.1, 0.2, 0.4, 0.6, 1.0, 2.0])


@pytest.mark.slow
def test_two_points_have_closed_forms():
    # Two points at +-a: own weight phi(r), L of mean -2 r^2, excess log 2 - I(r).
    law = Empirical(np.array([[0.8, 0.6], [-0.8, -0.6]]))
    times = np.linspace(0.2, 2.5, 12)
    curve = collapse.curve(law, times, num_replicas=16384, key=jr.key(4))
    r = np.asarray(1 / np.sqrt(np.expm1(2 * times)))
    own = jax.jit(jax.vmap(speciation.agreement))(r)
    excess = np.log(2) - jax.jit(jax.vmap(speciation.class_information))(r)
    # At the first times the own weight is one up to rare events.
    common = np.asarray(own) < 0.995
    assert common.sum() >= 10
    z = (curve.own_weight - own) / curve.own_weight_stderr
    assert np.all(np.abs(z)[common] < 4)
    z = (curve.excess - excess) / curve.excess_stderr
    assert np.all(np.abs(z)[common] < 4)
    # L = -2 r^2 - 2 r z: its error is known too.
    assert np.all(np.abs((curve.log_rest + 2 * r**2) / curve.log_rest_stderr) < 4)
    np.testing.assert_allclose(curve.log_rest_stderr, 2 * r / 128, rtol=0.03)
    # It is always the own point's turn, and less than log 2 is missing.
    for never in (curve.t_half, curve.t_rest, curve.t_log2):
        assert not bool(never.found)
        assert str(never) == "not reached in [0.2, 2.5]"
    assert curve.num_points == 2
    assert curve.dimension == 2
    assert curve.count == 16384


def reference_curve(points: np.ndarray, t: float, count: int, seed: int):
    """Own weight, log_rest and excess of `count` noised points, by plain numpy."""
    rng = np.random.default_rng(seed)
    n, d = points.shape
    own = rng.integers(n, size=count)
    alpha, variance = np.exp(-t), -np.expm1(-2 * t)
    x = alpha * points[own] + np.sqrt(variance) * rng.normal(size=(count, d))
    square = np.sum((x[:, None] - alpha * points[None]) ** 2, -1) / (2 * variance)
    relative = square[np.arange(count), own][:, None] - square
    relative[np.arange(count), own] = -np.inf
    rest = np.logaddexp.reduce(relative, axis=1)
    return 1 / (1 + np.exp(rest)), rest, np.logaddexp(0, rest)


@pytest.mark.slow
def test_curve_against_plain_numpy():
    points = np.random.default_rng(0).normal(size=(60, 5)) * [2, 1, 1, 0.5, 0.1]
    curve = collapse.curve(Empirical(points), TIMES, num_replicas=8192)
    measured = (curve.own_weight, curve.log_rest, curve.excess)
    errors = (curve.own_weight_stderr, curve.log_rest_stderr, curve.excess_stderr)
    for i, t in enumerate(TIMES):
        for value, error, sample in zip(
            measured, errors, reference_curve(points, t, 8192, i), strict=True
        ):
            combined = np.hypot(error[i], sample.std() / np.sqrt(8192))
            assert abs(value[i] - sample.mean()) < 4 * combined
    eigenvalues = np.linalg.eigvalsh(np.cov(points, rowvar=False, bias=True))
    exact = reference_gaussian_time(np.clip(eigenvalues, 0, None), 60)
    np.testing.assert_allclose(curve.t_gauss.time, exact, rtol=1e-9)
    # Too few points to leave some out, or to look at fewer.
    assert curve.fresh is None
    assert curve.movement is None


@pytest.mark.slow
def test_ends_of_the_curve():
    # No noise: the own point for certain. All noise: 1 of n, and log n nats missing.
    points = np.random.default_rng(0).normal(size=(50, 3))
    times = np.array([1e-6, 1e-3, 1.0, 8.0, 12.0])
    curve = collapse.curve(Empirical(points), times, num_replicas=512)
    np.testing.assert_allclose(curve.own_weight[0], 1, atol=1e-12)
    np.testing.assert_allclose(curve.excess[0], 0, atol=1e-12)
    np.testing.assert_allclose(curve.own_weight[-1], 1 / 50, rtol=1e-4)
    np.testing.assert_allclose(curve.log_rest[-1], np.log(49), rtol=1e-4)
    np.testing.assert_allclose(curve.excess[-1], np.log(50), rtol=1e-4)


GRID = np.linspace(0.05, 1.5, 30)
SPREAD = np.linspace(2.0, 0.5, 10)


def points_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(200, 10)) * SPREAD


@pytest.fixture(scope="module")
def curve() -> collapse.CollapseCurve:
    return collapse.curve(Empirical(points_of(1)), GRID, num_replicas=4096)


@pytest.mark.slow
@pytest.mark.long
def test_crossings_lie_on_their_curves(curve):
    for crossing, values, level in (
        (curve.t_half, curve.own_weight, 0.5),
        (curve.t_rest, curve.log_rest, 0.0),
        (curve.t_log2, curve.excess, np.log(2)),
    ):
        assert bool(crossing.found)
        linear = np.interp(float(crossing.time), GRID, values)
        assert abs(linear - level) < 0.01
        low, high = float(crossing.low), float(crossing.high)
        assert low < float(crossing.time) < high
        np.testing.assert_allclose(high - low, 3.92 * float(crossing.stderr), rtol=0.25)
    # Jensen: E log(1 + e^L) = log 2 comes before E[L] = 0.
    assert float(curve.t_log2.time) < float(curve.t_rest.time)


@pytest.mark.slow
def test_intervals_over_fresh_data_hold_those_given_these(curve):
    for name in ("t_half", "t_rest", "t_log2"):
        given, fresh = getattr(curve, name), getattr(curve.fresh, name)
        np.testing.assert_allclose(fresh.time, given.time, rtol=1e-12)
        # Noised points are fresh too; 20 groups tell an error to 16 %.
        assert float(fresh.stderr) > 0.6 * float(given.stderr)
        assert float(fresh.low) < float(fresh.time) < float(fresh.high)


@pytest.mark.slow
@pytest.mark.long
def test_errors_over_fresh_data_are_those_of_data_sets():
    # 24 data sets: a standard deviation is known to 15 %.
    curves = [
        collapse.curve(Empirical(points_of(s)), GRID, num_replicas=1024, key=jr.key(s))
        for s in range(24)
    ]
    for name in ("t_half", "t_rest", "t_log2"):
        spread = np.std([float(getattr(c, name).time) for c in curves], ddof=1)
        errors = [float(getattr(c.fresh, name).stderr) for c in curves]
        assert abs(np.sqrt(np.mean(np.square(errors))) / spread - 1) < 0.5


@pytest.mark.slow
@pytest.mark.long
def test_movement_is_that_of_random_parts(curve):
    moved = curve.movement
    np.testing.assert_array_equal(moved.n, [10, 20, 50, 100, 200])
    assert np.all(np.diff(moved.t_half.time) < 0)
    np.testing.assert_array_equal(moved.t_half.time[-1], curve.t_half.time)
    eigenvalues = np.linalg.eigvalsh(np.cov(points_of(1), rowvar=False, bias=True))
    for n, time in zip(moved.n, moved.t_gauss.time, strict=True):
        np.testing.assert_allclose(
            time, reference_gaussian_time(eigenvalues, n), rtol=1e-9
        )
    # Half of the points at random, 5 times, 2,048 draws each.
    halves = []
    for seed in range(5):
        chosen = np.random.default_rng(seed).permutation(200)[:100]
        half = collapse.curve(
            Empirical(points_of(1)[chosen]), GRID, num_replicas=2048, key=jr.key(seed)
        )
        halves.append(float(half.t_half.time))
    error = np.hypot(np.std(halves, ddof=1) / np.sqrt(5), moved.t_half.stderr[3])
    assert abs(np.mean(halves) - float(moved.t_half.time[3])) < 4 * error
    assert error < 0.02


@pytest.mark.slow
def test_scaled_data_collapse_at_equal_signal_to_noise():
    points = np.random.default_rng(1).normal(size=(100, 10))
    times = np.linspace(0.05, 1.5, 12)
    later = lambda t: 0.5 * np.log1p(9 * np.expm1(2 * t))
    base = collapse.curve(Empirical(points), times, num_replicas=512)
    scaled = collapse.curve(Empirical(3 * points), later(times), num_replicas=512)
    np.testing.assert_allclose(scaled.excess, base.excess, rtol=1e-9, atol=1e-12)
    for name in ("t_half", "t_rest", "t_log2", "t_gauss"):
        moved, still = getattr(scaled, name), getattr(base, name)
        np.testing.assert_allclose(moved.time, later(still.time), rtol=1e-8)


# A result computed on one clock and converted equals the result computed on another.

CLOCKS: dict[str, AbstractProcess] = {
    "vp": VariancePreserving(0.1, 20.0),
    "cosine": Cosine(),
    "ve": VarianceExploding(0.01, 50.0),
    "edm": EDM(),
    "flow": LinearInterpolant(),
    "ddpm": DiscreteDDPM(1000, "cosine"),
    "ddpm-respaced": DiscreteDDPM(1000, "scaled_linear").respaced(50),
}
NODES = {"ddpm": [100, 250, 330, 500, 700], "ddpm-respaced": [3, 9, 14, 20, 30]}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", CLOCKS)
def test_curve_on_every_clock(name):
    process = CLOCKS[name]
    law = Empirical(np.random.default_rng(1).normal(size=(100, 10)))
    if name in NODES:
        times = np.array(NODES[name], float)
    else:
        ou_times = jnp.array([0.1, 0.25, 0.5, 0.9, 1.6])
        times = np.asarray(convert(ou_times, OU, process)[0])
    on_ou, inside = convert(jnp.asarray(times), process, OU)
    assert bool(np.all(inside))
    here = collapse.curve(law, times, process=process, num_replicas=256)
    there = collapse.curve(law, np.asarray(on_ou), num_replicas=256)
    for quantity in ("own_weight", "log_rest", "excess"):
        np.testing.assert_allclose(
            getattr(here, quantity), getattr(there, quantity), rtol=1e-9, atol=1e-12
        )
    for crossing in ("t_half", "t_rest", "t_log2", "t_gauss"):
        mine, ou = getattr(here, crossing), getattr(there, crossing)
        assert bool(mine.found)
        for end in ("time", "low", "high"):
            moved = convert(getattr(ou, end), OU, process)[0]
            np.testing.assert_allclose(getattr(mine, end), moved, rtol=1e-8)


@pytest.mark.slow
def test_gaussian_time_outside_a_clock():
    # Points so far apart, or so close, that the clock never has that noise.
    table, exploding = DiscreteDDPM(1000, "linear"), VarianceExploding(0.01, 50.0)
    cases = (
        (1e4, table, [1.0, 100.0, 500.0, 999.0], "not reached in [-1, 999]"),
        (1e-4, exploding, [0.1, 0.4, 0.7, 1.0], "not reached in [0, 1]"),
        (0.0, table, [1.0, 100.0, 500.0, 999.0], "not reached in [-1, 999]"),
    )
    for scale, process, times, answer in cases:
        law = Empirical(scale * np.random.default_rng(1).normal(size=(20, 3)))
        curve = collapse.curve(law, np.array(times), process=process, num_replicas=16)
        assert not bool(curve.t_gauss.found)
        assert np.isnan(float(curve.t_gauss.time))
        assert str(curve.t_gauss) == answer


@pytest.mark.slow
def test_repeated_points_share_the_weight():
    # Every point twice: at no noise half of the weight is the twin's.
    points = np.repeat(np.random.default_rng(3).normal(size=(20, 3)), 2, axis=0)
    curve = collapse.curve(
        Empirical(points), np.array([1e-6, 1e-4, 1e-2, 1.0]), num_replicas=64
    )
    np.testing.assert_allclose(curve.own_weight[0], 0.5, rtol=1e-10)
    np.testing.assert_allclose(curve.excess[0], np.log(2), rtol=1e-10)


@pytest.mark.parametrize(
    ("points", "times", "message"),
    [
        (np.ones((1, 3)), TIMES, "`law` has 1 point"),
        (np.eye(3), TIMES[:3], "at least 4"),
        (np.eye(3), TIMES[::-1], "strictly increasing"),
    ],
)
def test_bad_arguments_are_named(points, times, message):
    with pytest.raises(ValueError, match=message):
        collapse.curve(Empirical(points), times, num_replicas=8)


def test_restricted_data_are_refused():
    law = Empirical(np.eye(3), np.arange(3)).restrict(jnp.array([True, False, True]))
    with pytest.raises(ValueError, match="`law` is restricted; build a law"):
        collapse.curve(law, TIMES, num_replicas=8)


@pytest.mark.slow
def test_curve_in_json():
    points = np.random.default_rng(1).normal(size=(30, 2))
    curve = collapse.curve(Empirical(points), TIMES, num_replicas=256)
    entry = to_json(curve)
    assert entry["t_gauss"]["value"] == float(curve.t_gauss.time)
    assert set(entry["t_half"]) == {"value", "stderr", "low", "high", "found"}
    assert entry["num_points"] == 30
    dataset = to_dataset(curve)
    assert dataset["excess"].dims == ("noise",)
    assert dataset["excess"].attrs["units"] == "nats"


# 5.14: n = 1000, d = 16, mu = sigma = 1, averaged over data sets

TABLE = {  # t: f^e / alpha, phi_C, class phi, each with its standard error
    0.1: ((0.0016, 0.0001), (0.9944, 0.0002), (1.0000, 0.0)),
    0.2: ((0.0456, 0.0006), (0.8615, 0.0012), (1.0000, 0.0)),
    0.4: ((0.2817, 0.0014), (0.3698, 0.0017), (0.9964, 0.0)),
    0.6: ((0.5044, 0.0012), (0.1224, 0.0010), (0.9792, 0.0005)),
    1.0: ((0.7574, 0.0012), (0.0158, 0.0001), (0.8971, 0.0008)),
    2.0: ((0.9596, 0.0005), (0.0017, 0.0), (0.6169, 0.0006)),
}


def small_table(num_sets: int, num_replicas: int) -> np.ndarray:
    """Rows of every data set: (set, quantity, time)."""
    rows = []
    for seed in range(num_sets):
        rng = np.random.default_rng(100 + seed)
        labels = rng.integers(2, size=1000)
        points = (2 * labels[:, None] - 1) + rng.normal(size=(1000, 16))
        law, key = Empirical(points, labels), jr.key(seed)
        curve = collapse.curve(law, TIMES, num_replicas=num_replicas, key=key)
        phi = speciation.clone_agreement(
            Observed(law, Gaussian()), TIMES, num_replicas=num_replicas, key=key
        ).phi
        rows.append([curve.excess / np.log(1000), curve.own_weight, phi])
    return np.array(rows)


def check_small_table(rows: np.ndarray) -> np.ndarray:
    mean = rows.mean(0)
    # Between data sets, sampling included.
    spread = rows.std(0, ddof=1) / np.sqrt(len(rows))
    printed = np.array([[pair for pair in TABLE[t]] for t in TABLE])
    value, error = printed[..., 0].T, printed[..., 1].T
    rounding = 0.6e-4
    combined = np.hypot(spread, error)
    assert np.all(np.abs(mean - value) < 4 * combined + rounding)
    # Fine enough to tell.
    assert np.all(combined < 0.011)
    return (mean - value) / (combined + rounding / 4)


@pytest.mark.slow
@pytest.mark.long
def test_small_table():
    # Twenty: of fewer sets the spread itself is known too badly.
    check_small_table(small_table(num_sets=20, num_replicas=512))


def test_class_agreement_of_the_population():
    for t, printed in ((1.0, "0.895986"), (2.0, "0.616194")):
        r = speciation.separation(8.0, 1.0, OU.alpha(t), OU.sigma(t))
        assert_printed(speciation.agreement(r), printed)
