"""One battery over all clocks, their conversions, and the reference numbers."""

from collections.abc import Callable
from decimal import Decimal, getcontext
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some, some_values
from numpy.typing import DTypeLike
from scipy.stats import norm

from jaxwin.processes import (
    EDM,
    AbstractProcess,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    Prior,
    VarianceExploding,
    VariancePreserving,
    convert,
)

getcontext().prec = 50
D = Decimal
PI = D("3.14159265358979323846264338327950288419716939937510582097494")
OU = OrnsteinUhlenbeck()


# Second computation of every clock, in 50 digits: t -> (alpha, sigma^2).


def cosine(x: Decimal) -> Decimal:
    term = total = D(1)
    for k in range(1, 60):
        term *= -x * x / ((2 * k) * (2 * k - 1))
        total += term
    return total


def preserving(alpha: Decimal) -> tuple[Decimal, Decimal]:
    return alpha, 1 - alpha * alpha


def linear_rate(low: float, high: float) -> Callable:
    a, b = D(low), D(high)
    return lambda t: preserving((-(a * t + (b - a) * t * t / 2) / 2).exp())


def cosine_clock(offset: float) -> Callable:
    s = D(offset)
    angle = lambda t: PI / 2 * (t + s) / (1 + s)
    return lambda t: preserving(cosine(angle(t)) / cosine(angle(D(0))))


def geometric(low: float, high: float) -> Callable:
    a, b = D(low), D(high)
    return lambda t: (D(1), (a * ((b / a).ln() * t).exp()) ** 2)


def betas(schedule: str, n: int) -> list[Decimal]:
    if schedule == "cosine":
        f = lambda i: cosine_clock(0.0)((D(i) / n + D("0.008")) / D("1.008"))[0] ** 2
        return [min(1 - f(i + 1) / f(i), D("0.999")) for i in range(n)]
    low, high = D("1e-4"), D("0.02")
    if schedule == "scaled_linear":
        low, high = D("0.00085").sqrt(), D("0.012").sqrt()
    power = 2 if schedule == "scaled_linear" else 1
    return [(low + (high - low) * i / (n - 1)) ** power for i in range(n)]


def log_alpha_bars(schedule: str, n: int) -> list[Decimal]:
    """At the indices -1, 0, ..., n - 1."""
    logs = [D(0)]
    for beta in betas(schedule, n):
        logs.append(logs[-1] + (1 - beta).ln())
    return logs


def table(logs: list[Decimal]) -> Callable:
    def channel(t: Decimal) -> tuple[Decimal, Decimal]:
        k = min(max(int(np.ceil(float(t))), 0), len(logs) - 2)
        part = t + 1 - k
        log_alpha = (logs[k] + part * (logs[k + 1] - logs[k])) / 2
        return preserving(log_alpha.exp())

    return channel


class Case(NamedTuple):
    process: AbstractProcess
    channel: Callable  # in 50 digits
    std: float
    scale: float = 1.0  # of time


LINEAR = log_alpha_bars("linear", 1000)
CASES = {
    "ou": Case(OU, lambda t: preserving((-t).exp()), 1),
    "vp": Case(VariancePreserving(), linear_rate(0.1, 20), 1),
    "vp-constant": Case(VariancePreserving(2, 2.0), linear_rate(2, 2), 1),
    "vp-falling": Case(VariancePreserving(5.0, 1.0), linear_rate(5, 1), 1),
    "cosine": Case(Cosine(), cosine_clock(0.008), 1),
    "cosine-0": Case(Cosine(0.0), cosine_clock(0.0), 1),
    "ve": Case(VarianceExploding(0.01, 50.0), geometric(0.01, 50), 50),
    "edm": Case(EDM(), lambda t: (D(1), t * t), 80, 10.0),
    "flow": Case(LinearInterpolant(), lambda t: (1 - t, t * t), 1),
    "ddpm": Case(DiscreteDDPM(), table(LINEAR), 1, 200.0),
    "ddpm-cosine": Case(
        DiscreteDDPM(100, "cosine"), table(log_alpha_bars("cosine", 100)), 1, 20.0
    ),
    "ddpm-scaled": Case(
        DiscreteDDPM(1000, "scaled_linear"),
        table(log_alpha_bars("scaled_linear", 1000)),
        1,
        200.0,
    ),
    "respaced": Case(
        DiscreteDDPM().respaced(50, "trailing"), table(LINEAR[::20]), 1, 10.0
    ),
}
every_clock = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
SOME = "ou", "cosine", "edm", "flow", "ddpm"
some_clocks = pytest.mark.parametrize("case", some_values(CASES, SOME))
METHODS = (
    "alpha",
    "sigma",
    "log_snr",
    "drift_coefficient",
    "diffusion_sq",
    "alpha_rate",
    "variance_rate",
)


def ends(case: Case) -> tuple[float, float]:
    low, high = case.process.domain
    return float(low), float(high)


def times(case: Case, dtype: DTypeLike = float) -> jax.Array:
    """From 1e-8 of the clean end to just below the noisy one; always as many."""
    low, high = ends(case)
    shares = np.append(10.0 ** np.arange(-8, -1), np.linspace(0.05, 0.99, 12))
    inner = (low + (min(high, 15.0 * case.scale) - low) * shares).astype(dtype)
    # In float32 the first ones may coincide with the clean end of a table.
    return jnp.asarray(
        np.maximum(inner, np.nextafter(inner.dtype.type(low), inner[-1]))
    )


def exact(case: Case, ts: jax.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second computation of alpha, sigma and log-SNR at exactly these floats."""
    pairs = [case.channel(D(float(t))) for t in ts]
    rows = [(a, v.sqrt(), 2 * a.ln() - v.ln()) for a, v in pairs]
    alpha, sigma, log_snr = np.array(rows).astype(float).T
    return alpha, sigma, log_snr


def steepness(process: AbstractProcess, t) -> np.ndarray:
    """How fast the log-SNR falls: -d log-SNR/dt = g^2/sigma^2."""
    return np.asarray(process.diffusion_sq(t) / process.sigma(t) ** 2)


@every_clock
def test_channel_against_fifty_digits(case):
    ts = times(case)
    alpha, sigma, log_snr = exact(case, ts)
    np.testing.assert_allclose(case.process.alpha(ts), alpha, rtol=2e-13)
    np.testing.assert_allclose(case.process.sigma(ts), sigma, rtol=2e-13)
    np.testing.assert_allclose(
        case.process.log_snr(ts), log_snr, rtol=1e-13, atol=1e-12
    )
    np.testing.assert_allclose(case.process.time(log_snr), ts, rtol=1e-11, atol=1e-15)


@pytest.mark.f32
@every_clock
def test_channel_in_float32(case):
    ts = times(case, np.float32)
    alpha, sigma, log_snr = exact(case, ts)
    np.testing.assert_allclose(case.process.alpha(ts), alpha, rtol=4e-6)
    np.testing.assert_allclose(case.process.sigma(ts), sigma, rtol=4e-6)
    np.testing.assert_allclose(case.process.log_snr(ts), log_snr, rtol=1e-6, atol=4e-6)
    back = case.process.time(jnp.asarray(log_snr, jnp.float32))
    assert back.dtype == jnp.float32
    # dt for a log-SNR off by its own rounding and that of log alpha, a few ulp each.
    slack = 1e-6 * (1 + np.abs(log_snr)) / steepness(case.process, ts)
    slack += 5e-7 * np.abs(np.asarray(ts))
    assert np.all(np.abs(np.asarray(back, float) - np.asarray(ts, float)) <= slack)


@every_clock
def test_rates_are_derivatives(case):
    process, ts = case.process, jnp.asarray(times(case)) + 1e-3
    ts = ts[ts < ends(case)[1]]
    one = jnp.ones_like(ts)
    _, alpha_rate = jax.jvp(process.alpha, (ts,), (one,))
    _, variance_rate = jax.jvp(lambda t: process.sigma(t) ** 2, (ts,), (one,))
    f, g2 = process.drift_coefficient(ts), process.diffusion_sq(ts)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    close(process.alpha_rate(ts), alpha_rate)
    close(f * process.alpha(ts), alpha_rate)
    close(process.variance_rate(ts), variance_rate)
    close(g2, variance_rate - 2 * f * process.sigma(ts) ** 2)


RATES_AT_ENDS = {  # d alpha/dt and d sigma^2/dt at the clean and at the noisy end
    "ou": ((-1, 0), (2, 0)),
    "vp": ((-0.05, -10 * np.exp(-5.025)), (0.1, 20 * np.exp(-10.05))),
    "cosine": (
        (-np.pi / 2.016 * np.tan(np.pi * 0.008 / 2.016), -1.5584507926252689),
        (np.pi / 1.008 * np.tan(np.pi * 0.008 / 2.016), 0),
    ),
    "cosine-0": ((0, -np.pi / 2), (0, 0)),
    "ve": ((0, 0), (2e-4 * np.log(5e3), 5e3 * np.log(5e3))),
    "edm": ((0, 0), (0, 160)),
    "flow": ((-1, -1), (0, 2)),
    "ddpm": (
        (np.log1p(-1e-4) / 2, np.log(0.98) / 2 * 4.035829765375676e-5**0.5),
        (-np.log1p(-1e-4), -np.log(0.98) * 4.035829765375676e-5),
    ),
}


@pytest.mark.parametrize("name", RATES_AT_ENDS)
def test_rates_at_both_ends_are_the_finite_limits(name):
    case = CASES[name]
    both = jnp.asarray(ends(case))
    alpha_rate, variance_rate = RATES_AT_ENDS[name]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-15)
    close(case.process.alpha_rate(both), alpha_rate)
    close(case.process.variance_rate(both), variance_rate)


def test_rates_diverge_where_the_signal_ends():
    for process in (LinearInterpolant(), Cosine()):
        assert process.drift_coefficient(1.0) == -jnp.inf
        assert process.diffusion_sq(1.0) == jnp.inf
        assert process.alpha(1.0) == 0
        assert process.log_snr(1.0) == -jnp.inf


def whole_domain(case: Case) -> jax.Array:
    """Both ends, infinite ones too, and many rising times between."""
    low, high = ends(case)
    inner = np.linspace(low, min(high, 30.0), 400)[1:-1]
    return jnp.asarray(np.sort([low, *inner, *np.asarray(times(case)), high]))


@every_clock
def test_time_inverts_log_snr_over_the_whole_domain(case):
    ts = whole_domain(case)
    back = case.process.time(case.process.log_snr(ts))
    # The geometric clock starts at a finite log-SNR, the table counts from -1.
    absolute = {"VarianceExploding": 1e-15, "DiscreteDDPM": 1e-12}
    slack = absolute.get(type(case.process).__name__, 0.0)
    np.testing.assert_allclose(back, ts, rtol=1e-13, atol=slack)


@every_clock
def test_log_snr_decreases(case):
    ts = whole_domain(case)
    alpha, sigma, log_snr = (
        np.asarray(function(ts))
        for function in (case.process.alpha, case.process.sigma, case.process.log_snr)
    )
    later = np.diff(ts) > 0
    assert np.all(log_snr[1:][later] < log_snr[:-1][later])
    assert np.all(np.diff(sigma) >= 0)
    assert np.all(np.diff(alpha) <= 0)


@every_clock
def test_clean_end_is_the_data(case):
    low, _ = ends(case)
    alpha, sigma = eqx.filter_jit(lambda p, t: (p.alpha(t), p.sigma(t)))(
        case.process, jnp.asarray(low)
    )
    assert alpha == 1
    if case.std != 50:
        # Plus zero: its inverse is plus infinity.
        assert sigma == 0
        assert not np.signbit(sigma)
        assert case.process.log_snr(low) == jnp.inf


@eqx.filter_jit
def values(process: AbstractProcess, t) -> dict[str, jax.Array]:
    found = {method: getattr(process, method)(t) for method in METHODS}
    return found | {"time": process.time(t)}


@some_clocks
def test_elementwise_on_numbers_and_arrays_of_any_shape(case):
    low, high = ends(case)
    points = jnp.linspace(low, min(high, 5.0), 8)[1:-1].reshape(2, 3)
    whole = values(case.process, points)
    mapped = jax.vmap(jax.vmap(lambda t: values(case.process, t)))(points)
    for method, found in whole.items():
        assert found.shape == (2, 3)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(mapped[method], found, rtol=1e-14)
    number = float(points[1, 1])
    np.testing.assert_allclose(case.process.alpha(number), whole["alpha"][1, 1])
    # Whole numbers count as floats, and other float dtypes are kept.
    for t, dtype in (
        (0, jnp.float64),
        (jnp.asarray(0), jnp.float64),
        (np.arange(1, 3), jnp.float64),
        (points.astype(jnp.float32), jnp.float32),
        (jnp.zeros((), jnp.bfloat16), jnp.bfloat16),
    ):
        for found in eqx.filter_eval_shape(values, case.process, t).values():
            assert found.shape == np.shape(t)
            assert found.dtype == dtype


@some_clocks
def test_gradients_are_finite_inside(case):
    # Not jitted: the clocks share their operations, but no program.
    @eqx.filter_grad
    def total(inputs, ts):
        process, shift = inputs
        found = [jnp.sum(getattr(process, method)(ts + shift)) for method in METHODS]
        return sum(found) + jnp.sum(process.time(process.log_snr(ts + shift)))

    gradient = total((case.process, jnp.asarray(0.0)), jnp.asarray(times(case)))
    for leaf in jax.tree.leaves(gradient):
        assert jnp.all(jnp.isfinite(leaf))


@every_clock
def test_prior(case):
    prior = case.process.prior()
    assert prior.std == case.std
    key = jr.key(3)
    x = prior.sample(key, 5)
    np.testing.assert_allclose(x, case.std * jr.normal(key, (5,)))
    expected = norm.logpdf(x, scale=case.std).sum()
    np.testing.assert_allclose(prior.log_density(x), expected, rtol=1e-12)
    assert prior.log_density(x.astype(jnp.float32)).dtype == jnp.float32


FAMILIES = [
    [VariancePreserving(0.1, 20.0), VariancePreserving(1, 3), VariancePreserving(2, 2)],
    [Cosine(), Cosine(0.1), Cosine(jnp.asarray(0.0))],
    [VarianceExploding(0.01, 50.0), VarianceExploding(0.2, 3.0)],
    [EDM(), EDM(10)],
    [DiscreteDDPM(50, name) for name in ("linear", "cosine", "scaled_linear")]
    + [DiscreteDDPM().respaced(50)],
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f[0]).__name__)
def test_new_parameters_do_not_recompile(family):
    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def everything(process, t):
        found = [getattr(process, method)(t) for method in METHODS]
        last = convert(20.0, OU, process)[0]
        return jnp.stack([*found, convert(t, process, OU)[0], last])

    results = [everything(process, jnp.asarray(0.3)) for process in family]
    assert len({tuple(np.asarray(found)) for found in results}) == len(family)


def test_processes_can_be_made_under_transformations():
    by_rate = lambda rate: VariancePreserving(0.1, rate).log_alpha(0.5)
    assert jax.grad(by_rate)(20.0) == pytest.approx(-0.0625, rel=1e-12)
    rates = jnp.asarray([1.0, 20.0])
    many = eqx.filter_vmap(lambda rate: VariancePreserving(0.1, rate))(rates)
    values = eqx.filter_vmap(lambda process: process.log_alpha(1.0))(many)
    np.testing.assert_allclose(values, -(0.1 + rates) / 4, rtol=1e-14)
    # Plain numbers under jit leave no run-time check in the program.
    program = jax.make_jaxpr(lambda t: VariancePreserving(1, 2).alpha(t))(0.5)
    assert "callback" not in str(program)
    with pytest.raises(RuntimeError, match="beta_max"):
        jax.jit(by_rate)(-1.0)


# Reading one clock on another.


HUB = ["ou", "vp", "cosine", "ve", "edm", "flow", "ddpm", "respaced"]
every_pair = pytest.mark.parametrize(
    ("case", "target"),
    [(CASES[a], CASES[b]) for a in HUB for b in HUB],
    ids=[f"{a}-{b}" for a in HUB for b in HUB],
)


@every_pair
def test_conversion_there_and_back(case, target):
    low, high = ends(case)
    ts = jnp.concatenate([jnp.array([low]), times(case), jnp.array([high])])
    there, inside = convert(ts, case.process, target.process)
    first, last = ends(target)
    assert np.all((there >= first) & (there <= last))
    # Second judgement of what can be reached, from the 50-digit clocks.
    outer = np.asarray(case.process.log_snr(ts[jnp.array([0, -1])]))
    level = np.concatenate([outer[:1], exact(case, ts[1:-1])[2], outer[1:]])
    top, bottom = (float(target.process.log_snr(end)) for end in (first, last))
    clear = ~(np.isclose(level, top, 1e-9) | np.isclose(level, bottom, 1e-9))
    expected = (level <= top) & (level >= bottom)
    np.testing.assert_array_equal(inside[clear], expected[clear])
    assert np.all(np.asarray(there)[level >= top] == first)
    assert np.all(np.asarray(there)[level <= bottom] == last)

    # The same point of the channel: equal alpha/sigma, up to the grain of the times
    # (a time near 1 or -1 has only so many digits of its distance to it).
    keep = np.asarray(inside) & np.isfinite(level)
    ratio = target.process.alpha(there) / target.process.sigma(there)
    wanted = case.process.alpha(ts) / case.process.sigma(ts)
    error = np.abs(np.log(np.asarray(ratio)[keep] / np.asarray(wanted)[keep]))
    fall = steepness(target.process, there)[keep]
    grain = 1e-15 * (30 + fall * np.abs(np.asarray(there)[keep]))
    np.testing.assert_array_less(error, 2 * grain)

    back, returned = convert(there, target.process, case.process)
    assert np.all(np.asarray(returned)[keep])
    slack = 4 * grain / steepness(case.process, ts)[keep] + 1e-300
    error = np.abs(np.asarray(back - ts))[keep]
    np.testing.assert_array_less(error, slack + 1e-14 * np.abs(np.asarray(ts)[keep]))


@pytest.mark.parametrize("name", some(HUB, ["ou", "flow", "ddpm"]))
def test_conversion_has_finite_gradients_also_at_the_ends(name):
    @eqx.filter_grad
    def total(inputs, ts):
        source, target, shift = inputs
        return jnp.sum(convert(ts + shift, source, target)[0])

    def inputs_at(source, target):
        low, high = ends(source)
        high = min(high, 1e3)  # infinity has no neighbours
        ts = jnp.array(
            [low - 1, low, low + 1e-8, 0.3 * low + 0.7 * high, high, high + 1]
        )
        return (source.process, target.process, jnp.asarray(0.0)), ts

    for pair in ((CASES[name], CASES["ou"]), (CASES["cosine"], CASES[name])):
        for leaf in jax.tree.leaves(total(*inputs_at(*pair))):
            assert jnp.all(jnp.isfinite(leaf))


def test_conversion_gradient_is_the_ratio_of_speeds():
    # dt'/dt = (g^2/sigma^2)_source/(g^2/sigma^2)_target at equal log-SNR.
    process, t = VariancePreserving(), jnp.asarray(0.3)
    slope = jax.grad(lambda t: convert(t, OU, process)[0])(t)
    there, _ = convert(t, OU, process)
    expected = steepness(OU, t) / steepness(process, there)
    np.testing.assert_allclose(slope, expected, rtol=1e-12)


def test_conversion_out_of_reach_says_so_and_stays_at_the_nearest_end():
    late, inside = convert(jnp.asarray([7.0, jnp.inf, 1e-6]), OU, VariancePreserving())
    np.testing.assert_array_equal(inside, [False, False, True])
    np.testing.assert_array_equal(late[:2], 1.0)
    early, inside = convert(0.0, OU, VarianceExploding(0.01, 50.0))
    assert (float(early), bool(inside)) == (0.0, False)
    noise, inside = convert(jnp.inf, OU, LinearInterpolant())
    assert (float(noise), bool(inside)) == (1.0, True)
    noise, inside = convert(1.0, Cosine(), OU)
    assert (float(noise), bool(inside)) == (np.inf, True)
    clean, inside = convert(0, OU, DiscreteDDPM())
    assert (float(clean), bool(inside)) == (-1.0, True)
    # Outside the domain of the source: the answer is that of its nearest end.
    outside, inside = convert(jnp.array([-0.1, 1.5]), VariancePreserving(), OU)
    np.testing.assert_array_equal(inside, [False, False])
    np.testing.assert_allclose(outside, [0.0, 5.025], rtol=1e-13)
    nothing, inside = convert(jnp.nan, OU, EDM())
    assert jnp.isnan(nothing)
    assert not inside


@pytest.mark.f32
@every_clock
def test_conversion_in_float32(case):
    ts = times(case, np.float32)
    there, inside = convert(ts, case.process, OU)
    assert there.dtype == jnp.float32
    assert np.all(inside)
    alpha, sigma, _ = exact(case, ts)
    wanted = 0.5 * np.log1p((sigma / alpha) ** 2)
    np.testing.assert_allclose(there, wanted, rtol=2e-5)
    back, _ = convert(there, OU, case.process)
    slack = 2e-6 * (1 + np.abs(case.process.log_snr(ts))) / steepness(case.process, ts)
    assert np.all(np.abs(back - ts) <= slack + 1e-6 * np.abs(ts))


# The table of a discrete sampler.


@pytest.mark.parametrize("schedule", ["linear", "cosine", "scaled_linear"])
def test_table_at_whole_indices(schedule):
    process, n = DiscreteDDPM(100, schedule), 100
    index = jnp.arange(-1, n)
    logs = np.array(log_alpha_bars(schedule, n)).astype(float)
    np.testing.assert_allclose(2 * process.log_alpha(index), logs, rtol=2e-13)
    beta = np.array(betas(schedule, n)).astype(float)
    # At a whole index the rates of the interval below it; at -1 those above.
    rates = np.append(beta[0], beta)
    np.testing.assert_allclose(
        process.diffusion_sq(index), -np.log1p(-rates), rtol=1e-12
    )
    whole = index.astype(float)
    half = process.diffusion_sq(whole[1:] - 0.5)
    np.testing.assert_array_equal(half, process.diffusion_sq(index[1:]))
    above = process.diffusion_sq(whole[1:-1] + 1e-9)
    np.testing.assert_array_equal(above, process.diffusion_sq(index[2:]))
    np.testing.assert_array_equal(process.timesteps, np.arange(n))
    assert process.num_steps == n


def test_table_beta_gives_the_ancestral_step():
    # exp(-g^2) over one index is 1 - beta, whatever the precision of the table.
    process = DiscreteDDPM()
    assert -jnp.expm1(-process.diffusion_sq(999)) == pytest.approx(0.02, rel=1e-13)
    assert -jnp.expm1(-process.diffusion_sq(0)) == pytest.approx(1e-4, rel=1e-13)


SPACED = {  # as diffusers spaces 10 table entries over 4 and 3 steps
    ("linspace", 4): [0, 3, 6, 9],
    ("leading", 4): [0, 2, 4, 6],
    ("trailing", 4): [1, 4, 7, 9],
    ("linspace", 3): [0, 4, 9],
    ("trailing", 3): [2, 6, 9],
}


@pytest.mark.parametrize(("spacing", "n"), SPACED)
def test_respaced_table(spacing, n):
    whole = DiscreteDDPM(10)
    chosen = SPACED[spacing, n]
    process = whole.respaced(n, spacing)
    np.testing.assert_array_equal(process.timesteps, chosen)
    assert process.domain == (-1.0, n - 1.0)
    np.testing.assert_array_equal(
        process.log_alpha(jnp.arange(n)), whole.log_alpha(jnp.array(chosen))
    )
    assert process.log_snr(-1) == jnp.inf
    # One coarse step noises as much as the fine ones it stands for.
    fine = np.asarray(whole.diffusion_sq(jnp.arange(10)))
    coarse = [fine[a + 1 : b + 1].sum() for a, b in pairwise([-1, *chosen])]
    np.testing.assert_allclose(process.diffusion_sq(jnp.arange(n)), coarse, rtol=1e-12)
    # A respaced table can be respaced; the indices are still the original ones.
    twice = process.respaced(2, "linspace")
    np.testing.assert_array_equal(twice.timesteps, [chosen[0], chosen[-1]])


@pytest.mark.parametrize("available", [10, 1000])
def test_trailing_indices_are_those_of_diffusers(available):
    # diffusers, DDIMScheduler.set_timesteps: round(arange(N, 0, -N / n)) - 1.
    whole = DiscreteDDPM(available)
    for n in (2, 3, 4, 7, 9):
        steps = np.round(np.arange(available, 0, -available / n)).astype(int) - 1
        found = np.asarray(whole.respaced(n, "trailing").timesteps)
        np.testing.assert_array_equal(found[::-1], steps[:n])


# Reference numbers of shared/theory.


CONVERT = eqx.filter_jit(convert)


def ou_time(time, process) -> np.ndarray:
    answer, inside = CONVERT(jnp.asarray(time), process, OU)
    assert np.all(inside)
    return np.asarray(answer)


def test_speciation_5_1():
    index = np.array([329, 446, 495, 526, 635, 999])
    printed = [0.558418, 1.018226, 1.251652, 1.411802, 2.051760, 5.058857]
    np.testing.assert_allclose(ou_time(index, DiscreteDDPM()), printed, atol=6e-7)
    every = np.arange(1000)
    second = -np.array(LINEAR[1:]).astype(float) / 2
    np.testing.assert_allclose(ou_time(every, DiscreteDDPM()), second, rtol=1e-10)

    t = jnp.array([1.0, 2.772589, 0.37])
    noise, inside = CONVERT(t, OU, EDM())
    assert np.all(inside)
    np.testing.assert_allclose(noise[:2], [2.527658, 15.968724], atol=6e-7)
    np.testing.assert_allclose(noise, np.sqrt(np.expm1(2 * t)), rtol=1e-10)
    u, _ = CONVERT(t, OU, LinearInterpolant())
    np.testing.assert_allclose(u[:2], [0.716526, 0.941068], atol=6e-7)
    root = np.sqrt(-np.expm1(-2 * t))
    np.testing.assert_allclose(u, root / (root + np.exp(-t)), rtol=1e-10)
    assert float(OU.log_snr(1.0)) == pytest.approx(-1.854587, abs=6e-7)
    np.testing.assert_allclose(OU.log_snr(t), -np.log(np.expm1(2 * t)), rtol=1e-10)


@pytest.mark.slow
def test_windows_1_1_and_capability_1():
    stable = DiscreteDDPM(1000, "scaled_linear")
    index = jnp.array([0, 99, 249, 499, 599, 749, 999])
    t = [0.000425, 0.055207, 0.196201, 0.640662, 0.910844, 1.435666, 2.684359]
    bar = [0.99915, 0.895463, 0.675432, 0.277670, 0.161753, 0.0566235, 0.00466010]
    np.testing.assert_allclose(ou_time(index, stable), t, atol=6e-7)
    np.testing.assert_allclose(stable.alpha(index) ** 2, bar, atol=6e-7)
    logs = np.array(log_alpha_bars("scaled_linear", 1000)).astype(float)
    np.testing.assert_allclose(
        ou_time(np.arange(1000), stable), -logs[1:] / 2, rtol=1e-10
    )
    assert ou_time(999, stable) == pytest.approx(2.6843593455, abs=1e-9)
    assert ou_time(999, DiscreteDDPM()) == pytest.approx(5.0588567712, abs=1e-9)
    np.testing.assert_allclose(
        ou_time(np.array([499, 749, 999]), DiscreteDDPM()),
        [1.271773, 2.849315, 5.058857],
        atol=6e-7,
    )
    # No window later than t = 2.684 can be seen with that table.
    nearest, inside = CONVERT(jnp.asarray(2.7), OU, stable)
    assert (float(nearest), bool(inside)) == (999.0, False)


def test_symmetry_c1():
    process, ddpm = VariancePreserving(0.1, 20.0), DiscreteDDPM()
    assert float(process.alpha(1.0)) == pytest.approx(0.006571586494929619, abs=1e-10)
    assert float(ddpm.alpha(999) ** 2) == pytest.approx(4.035829765375676e-5, rel=1e-10)
    assert float(ddpm.alpha(400) ** 2) == pytest.approx(0.1935720097, abs=1e-10)
    # The critical time of two deltas: B = asinh(1), so OU time asinh(1)/2.
    critical, inside = CONVERT(jnp.arcsinh(jnp.asarray(1.0)) / 2, OU, process)
    assert inside
    assert float(critical) == pytest.approx(0.2926416543281432, abs=1e-12)
    assert float(process.alpha(critical)) == pytest.approx(
        0.6435942529055826, abs=1e-12
    )
    assert float(process.diffusion_sq(critical)) == pytest.approx(
        5.9235689211, abs=1e-9
    )
    assert float(process.log_snr(critical)) == pytest.approx(-np.log(2) / 2, abs=1e-12)


def test_continuous_schedule_and_table_are_two_processes():
    index = np.arange(1000)
    apart = ou_time(index, DiscreteDDPM()) - ou_time(
        (index + 1) / 1000, VariancePreserving()
    )
    assert np.abs(apart).max() == pytest.approx(0.034, abs=6e-4)


# Errors.

BAD = [
    (lambda: VariancePreserving(0.0, 20.0), "beta_min"),
    (lambda: VariancePreserving(0.1, np.nan), "beta_max"),
    (lambda: VariancePreserving(0.1, np.inf), "beta_max"),
    (lambda: VariancePreserving(jnp.ones(2), 20.0), "filter_vmap"),  # pyright: ignore[reportArgumentType]
    (lambda: Cosine(-0.1), "offset"),
    (lambda: VarianceExploding(0.0, 1.0), "sigma_min"),
    (lambda: VarianceExploding(2.0, 1.0), "exchanged"),
    (lambda: VarianceExploding(1.0, 1.0), "larger than"),
    (lambda: EDM(-80.0), "sigma_max"),
    (lambda: Prior(0.0), "std"),
    (lambda: Prior(np.nan), "std"),
    (lambda: DiscreteDDPM(0), "num_steps"),
    (lambda: DiscreteDDPM(10).respaced(11), "num_steps"),
    (lambda: DiscreteDDPM(10).respaced(0), "num_steps"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="scaled_linear"):
        DiscreteDDPM(10, "quadratic")
    with pytest.raises(ValueError, match="trailing"):
        DiscreteDDPM(10).respaced(5, "even")
