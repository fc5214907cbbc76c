"""Adaptive flows and SDEs: exact flows, paths, laws, and every evaluation counted."""

import itertools
import subprocess
import sys
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from scipy.optimize import root_scalar

from jaxwin.processes import (
    EDM,
    AbstractProcess,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
)
from jaxwin.samplers._adaptive import Solution, solve_flow, solve_sde
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import GaussianMixture

OU = OrnsteinUhlenbeck()
KEY = jr.key(3)
MEAN, VARIANCE = jnp.array([0.5, -1.0]), 0.25
GAUSS = GaussianMixture.isotropic([[0.5, -1.0]], VARIANCE)
PAIR = ExactScore(
    GaussianMixture.isotropic([[1.5], [-1.0]], [0.1, 0.3], [0.4, 0.6]), OU
)
X = jnp.array([1.3, 0.2])
# Clock, start, end; the interpolant from no signal at all, a table and its clean end.
CLOCKS: dict[str, tuple[AbstractProcess, float, float]] = {
    "edm": (EDM(), 80.0, 0.002),
    "flow": (LinearInterpolant(), 1.0, 0.0),
    "ddpm": (DiscreteDDPM(), 999.0, -1.0),
    "cosine": (Cosine(), 1.0, 0.0),
    "ve": (VarianceExploding(0.01, 50.0), 1.0, 0.0),
}


def on(score: ExactScore, process: AbstractProcess) -> ExactScore:
    return ExactScore(score.target, process)


class Plain(AbstractScore):
    """A score that is not an ExactScore, and tells of its calls."""

    inner: AbstractScore
    process: AbstractProcess

    def __call__(self, x, t):
        jax.debug.callback(lambda: CALLS.append(1))
        return self.inner(x, t)


CALLS: list[int] = []


def plain(score: AbstractScore) -> Plain:
    return Plain(inner=score, process=score.process)


@eqx.filter_jit
def flow(score, x, start, end, rtol: Any = 1e-8, **options) -> Solution:
    return solve_flow(score, x, start, end, rtol=rtol, atol=rtol, **options)


@eqx.filter_jit
def sde(score, x, start, end, key, **options) -> Solution:
    return solve_sde(score, x, start, end, key, **options)


def at(start: Any, end: Any) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(start, float), jnp.asarray(end, float)


# The flow


def moved(process: AbstractProcess, x, start, end):
    """Exact flow of a Gaussian: position over standard deviation is kept."""
    spread = lambda t: process.alpha(t) ** 2 * VARIANCE + process.sigma(t) ** 2
    stretch = jnp.sqrt(spread(end) / spread(start))
    return process.alpha(end) * MEAN + stretch * (x - process.alpha(start) * MEAN)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("clock", CLOCKS)
def test_flow_of_a_gaussian(clock):
    process, start, end = CLOCKS[clock]
    score, tols = ExactScore(GAUSS, process), jnp.array([1e-3, 1e-6, 1e-9])
    x = X * float(process.prior().std)
    found = jax.vmap(lambda tol: flow(score, x, *at(start, end), tol))(tols)
    errors = jnp.abs(found.x - moved(process, x, start, end)[None]).max(1)
    assert jnp.all(errors < 20 * tols)
    assert jnp.all(found.solved)
    assert jnp.all(jnp.diff(found.evaluations) > 0)


@pytest.mark.slow
def test_a_table_by_any_score():
    process, start, end = CLOCKS["ddpm"]
    found = flow(plain(ExactScore(GAUSS, process)), X, *at(start, end + 0.5), 1e-9)
    exact = moved(process, X, start, end + 0.5)
    np.testing.assert_allclose(found.x, exact, atol=1e-8)
    # On its own clock the jumps of the rates cost 17,005 and leave 1e-4.
    assert int(found.evaluations) < 500


@pytest.mark.slow
def test_flow_of_a_mixture_keeps_the_distribution_function():
    law, start, end = PAIR.target, 2.0, 0.01
    assert isinstance(law, GaussianMixture)
    weights, means = np.exp(law.log_weights), np.asarray(law.means)[:, 0]
    variances = np.asarray(law.covariance.spectrum()[0])[:, 0]

    def cdf(y, t):
        alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
        sd = np.sqrt(alpha**2 * variances + sigma**2)
        return weights @ scipy.stats.norm.cdf((y - alpha * means) / sd)

    xs = np.array([-2.0, -0.3, 0.4, 1.1])
    run = jax.vmap(lambda x: flow(PAIR, x, *at(start, end), 1e-10))
    found = run(jnp.asarray(xs)[:, None]).x[:, 0]
    for x, y in zip(xs, found, strict=True):
        gap = lambda y, x=x: cdf(y, end) - cdf(x, start)
        exact = root_scalar(gap, bracket=(-9, 9), xtol=1e-13, rtol=1e-14).root
        assert float(y) == pytest.approx(exact, abs=1e-8)


# shared theory, symmetry_and_clocks C16: deltas at +-1, linear schedule, from s = 1.
TRANSPORT = [
    (0.5, 0.5, 0.5007915787),
    (0.5, 0.3, 0.5325024178),
    (0.5, 0.2, 0.6469484999),
    (0.5, 0.1, 0.8508120450),
    (0.5, 0.05, 0.9340813238),
    (0.1, 0.2, 0.1513971324),
    (0.1, 0.1, 0.4934762414),
    (2.0, 0.2, 1.7993047476),
    (2.0, 0.1, 1.4910367592),
]


@pytest.mark.slow
def test_printed_transport_of_two_deltas():
    deltas = GaussianMixture.isotropic([[-1.0], [1.0]], 0.0)
    score = ExactScore(deltas, VariancePreserving(0.1, 20.0))
    run = lambda x, end: flow(score, x[None], jnp.asarray(1.0), end, 1e-12)
    xs, ends, printed = jnp.asarray(TRANSPORT).T
    found = jax.vmap(run)(xs, ends)
    np.testing.assert_allclose(found.x[:, 0], printed, atol=0.6e-10)


class Stiff(AbstractScore):
    """Score of N(0, diag(1/rates)) at every noise: fast directions stay fast."""

    rates: jax.Array
    process: AbstractProcess

    def __call__(self, x, t):
        return -self.rates * x


@pytest.mark.slow
def test_kvaerno5_on_a_stiff_law():
    score = Stiff(rates=jnp.array([1e5, 0.5]), process=OU)
    explicit = flow(score, X, *at(3.0, 0.0), 1e-7, throw=False)
    assert not explicit.solved
    assert jnp.all(jnp.isnan(explicit.x))
    found = flow(score, X, *at(3.0, 0.0), 1e-7, solver=diffrax.Kvaerno5())
    # dx/dt = (rate - 1) x.
    exact = jnp.array([0.0, X[1] * np.exp(1.5)])
    np.testing.assert_allclose(found.x, exact, atol=1e-5)
    assert int(found.evaluations) < 2000
    assert not found.exact_count


@pytest.mark.slow
def test_gradient_of_the_flow():
    end = lambda x: flow(ExactScore(GAUSS, OU), x, *at(3.0, 0.01), 1e-7).x[0]
    stretch = moved(OU, X, 3.0, 0.01) - moved(OU, 0 * X, 3.0, 0.01)
    exact = jnp.array([stretch[0] / X[0], 0.0])
    np.testing.assert_allclose(jax.grad(end)(X), exact, atol=1e-6)


# What it took


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        diffrax.Tsit5(),
        diffrax.Heun(),
        pytest.param(diffrax.Euler(), marks=pytest.mark.slow),
        pytest.param(diffrax.HalfSolver(diffrax.Tsit5()), marks=pytest.mark.slow),
        pytest.param(diffrax.Kvaerno5(), marks=pytest.mark.slow),
    ],
    ids=lambda solver: type(solver).__name__,
)
def test_evaluations_of_the_flow_are_the_calls(solver):
    CALLS.clear()
    # A first step that is far too long: rejections before the first accepted step.
    control = diffrax.PIDController(rtol=1e-6, atol=1e-6)
    if isinstance(solver, diffrax.Euler) and type(solver) is diffrax.Euler:
        control = diffrax.ConstantStepSize()
    options = {"solver": solver, "controller": control, "step": jnp.asarray(1.5)}
    found = flow(plain(PAIR), jnp.array([0.4]), *at(3.0, 0.01), **options)
    jax.effects_barrier()
    if found.exact_count:
        assert int(found.evaluations) == len(CALLS)
    else:
        assert 0 < int(found.evaluations) < len(CALLS)
    assert found.exact_count == (not isinstance(solver, diffrax.Kvaerno5))
    if type(solver) is diffrax.Tsit5:
        assert int(found.rejected) > 2


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "solver",
    [
        diffrax.ShARK(),
        pytest.param(diffrax.SRA1(), marks=pytest.mark.slow),
        pytest.param(diffrax.ItoMilstein(), marks=pytest.mark.slow),
    ],
    ids=lambda solver: type(solver).__name__,
)
def test_evaluations_of_the_sde_are_the_calls(solver):
    CALLS.clear()
    adaptive = isinstance(solver, diffrax.ShARK | diffrax.SRA1)
    options = {"solver": solver, "step": None if adaptive else jnp.asarray(0.02)}
    found = sde(plain(PAIR), jnp.array([0.4]), *at(3.0, 0.01), KEY, **options)
    jax.effects_barrier()
    assert found.exact_count
    assert int(found.evaluations) == len(CALLS) > 0


@pytest.mark.slow
def test_lanes_choose_their_own_steps():
    """Laws of unequal width, points and ends: a lane is the lane alone."""
    widths, ends = jnp.array([1e-4, 0.1, 1.0]), jnp.array([0.001, 0.05, 0.5])
    xs = jnp.array([[0.01], [1.0], [-3.0]])

    def run(width, x, end):
        law = GaussianMixture.isotropic(jnp.array([[1.0], [-1.0]]), width)
        return solve_flow(ExactScore(law, OU), x, 3.0, end, throw=False)

    together = eqx.filter_jit(jax.vmap(run))(widths, xs, ends)
    alone = [eqx.filter_jit(run)(*lane) for lane in zip(widths, xs, ends, strict=True)]
    for name in ("evaluations", "accepted", "rejected"):
        each = [int(getattr(a, name)) for a in alone]
        np.testing.assert_array_equal(getattr(together, name), each)
    np.testing.assert_allclose(together.x, [a.x for a in alone], rtol=1e-9)
    assert len(np.unique(together.evaluations)) == 3


# The reverse SDE


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "step",
    [0.05, pytest.param(None, marks=pytest.mark.slow)],
    ids=["fixed", "adaptive"],
)
def test_law_of_the_sde(step):
    """1,500 paths from the exact p_T, key 3: moments within 4 standard errors.

    Discretisation moves the end by less than a quarter of one.
    """
    start, end, count = 2.0, 0.05, 1500
    score = ExactScore(GaussianMixture.isotropic([[0.8]], VARIANCE), OU)
    var = lambda t: float(OU.alpha(t)) ** 2 * VARIANCE + float(OU.sigma(t)) ** 2
    xs = 0.8 * OU.alpha(start) + np.sqrt(var(start)) * jr.normal(jr.key(1), (count, 1))
    replicas, size = jnp.arange(count), None if step is None else jnp.asarray(step)
    options = {"step": size, "resolution": 2.0 ** (-12 if step is None else -8)}
    run = lambda x, r: sde(score, x, *at(start, end), KEY, replica=r, **options)
    found = jax.vmap(run)(xs, replicas)
    z = (found.x[:, 0] - 0.8 * OU.alpha(end)) / np.sqrt(var(end))
    assert abs(float(z.mean())) < 4 / np.sqrt(count)
    assert abs(float(jnp.mean(z**2)) - 1) < 4 * np.sqrt(2 / count)
    # Steps are the trajectory's own.
    assert (len(np.unique(found.accepted)) > 10) == (step is None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("solver", "order"),
    [
        pytest.param(diffrax.Euler(), 1.0, marks=pytest.mark.slow),
        pytest.param(diffrax.SRA1(), 1.5, marks=pytest.mark.slow),
    ],
    ids=["Euler", "SRA1"],
)
def test_finer_steps_on_one_tree_converge(solver, order):
    """64 Brownian paths on a mixture; every step, and no step, sees the same ones."""
    replicas, x = jnp.arange(64), jnp.array([0.4])

    @eqx.filter_jit
    def run(step, **options):
        one = lambda r: solve_sde(
            PAIR, x, 1.8, 0.3, KEY, r, step=step, resolution=2.0**-13, **options
        )
        return jax.vmap(one)(replicas).x

    steps = 0.03 / 2.0 ** np.arange(5)
    ends = [run(jnp.asarray(h), solver=solver) for h in steps]
    errors = [float(jnp.abs(a - b).mean()) for a, b in itertools.pairwise(ends)]
    slope = np.polyfit(np.log(steps[1:]), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.1
    if isinstance(solver, diffrax.SRA1):
        # The default solver, adaptively.
        adaptive = run(None, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(adaptive, ends[-1], atol=1e-2)
    # Another replica is another path.
    assert len(np.unique(ends[-1])) == 64


# Errors and types


@pytest.mark.parametrize("solve", [solve_flow, solve_sde])
def test_refused(solve):
    extra = (KEY,) if solve is solve_sde else ()
    for start, end in ((1.0, 1.0), (0.5, 1.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match=r"needs start > end: exchange them"):
            solve(PAIR, jnp.ones(1), start, end, *extra)
    for name in ("rtol", "atol", "step"):
        with pytest.raises(ValueError, match=rf"`{name}` is 0.0; it must be finite"):
            solve(PAIR, jnp.ones(1), 1.0, 0.5, *extra, **{name: 0.0})
    with pytest.raises(ValueError, match="`max_steps` is 0; it must be at least 1"):
        solve(PAIR, jnp.ones(1), 1.0, 0.5, *extra, max_steps=0)


@pytest.mark.parametrize("resolution", [0.0, 0.5, np.nan])
def test_refused_resolution(resolution):
    with pytest.raises(ValueError, match="`resolution` is"):
        solve_sde(PAIR, jnp.ones(1), 1.0, 0.5, KEY, resolution=resolution)


@pytest.mark.slow
def test_a_run_that_stops_early():
    """Under jit and vmap: too few steps, a point that is NaN, times that rise."""
    lanes = eqx.filter_jit(
        lambda throw, *lanes: jax.vmap(
            lambda x, start, end: solve_flow(
                PAIR, x, start, end, max_steps=12, throw=throw
            )
        )(*lanes)
    )
    xs = jnp.array([[0.4], [0.4], [jnp.nan], [0.4]])
    starts, ends = at([3.0, 3.0, 3.0, 0.5], [0.5, 1e-4, 0.5, 3.0])
    found = lanes(False, xs, starts, ends)
    good = np.array([True, False, False, False])
    np.testing.assert_array_equal(found.solved, good)
    # No answer, rather than that of the other direction or of half the way.
    np.testing.assert_array_equal(jnp.isfinite(found.x[:, 0]), good)
    with pytest.raises(RuntimeError, match="Raise `max_steps`"):
        lanes(True, xs, starts, ends)
    all_good = lanes(True, xs[:1].repeat(4, 0), *at([3.0] * 4, [0.5] * 4))
    assert jnp.all(all_good.solved)


@pytest.mark.parametrize(
    "solve", [solve_flow, pytest.param(solve_sde, marks=pytest.mark.slow)]
)
def test_float32_stays_float32_and_new_values_do_not_recompile(solve):
    traced = []

    @eqx.filter_jit
    def run(score, x, start, end, key, tol):
        traced.append(1)
        extra = (key,) if solve is solve_sde else ()
        return solve(score, x, start, end, *extra, rtol=tol, atol=tol)

    mean = np.array([[0.5, -1.0]], np.float32)
    law = GaussianMixture.isotropic(mean, np.float32(VARIANCE))
    x = X.astype(jnp.float32)
    for i, end in enumerate([0.01, 0.1]):
        times, tol = at(3.0 - end, end), jnp.asarray(1e-4 / (i + 1))
        found = run(ExactScore(law, OU), x * (1 + i), *times, jr.key(i), tol)
        assert found.x.dtype == jnp.float32
        assert jnp.all(found.solved)
        if solve is solve_flow:
            exact = moved(OU, X * (1 + i), 3.0 - end, end)
            np.testing.assert_allclose(found.x, exact, atol=1e-3)
    assert len(traced) == 1


def test_samplers_do_not_load_diffrax():
    code = "import sys, jaxwin.samplers._adaptive, jaxwin.samplers; "
    code += "print('diffrax' in sys.modules, 'optimistix' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "False"]
