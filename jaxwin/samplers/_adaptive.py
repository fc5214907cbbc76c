"""Backward runs by any solver of diffrax, with error control for each trajectory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Int

from jaxwin._checks import check_positive
from jaxwin._typing import Index, Key, Point, ScalarLike
from jaxwin.processes import Cosine, LinearInterpolant
from jaxwin.samplers._base import coefficients
from jaxwin.samplers._diffrax import (
    Controller,
    Path,
    Solver,
    solve,
    tolerances,
)
from jaxwin.samplers._smooth_clock import smooth_run
from jaxwin.scores import AbstractScore, ExactScore

# Shares of a step controller: backward runs stiffen all the way, and the integral alone
# tries too much at every second step. Milder for an SDE: its error is rough.
FLOW = {"pcoeff": 0.2, "icoeff": 0.4}
NOISE = {"pcoeff": 0.1, "icoeff": 0.3}
# Clocks that end without any signal, where f and g^2 are infinite.
SINGULAR = (LinearInterpolant, Cosine)


class Solution(eqx.Module):
    """The end of one backward run and what it took.

    x: the point at the end. solved: false where the run stopped early; x is then NaN.
    evaluations: of the drift, that is of the score, rejected steps included. accepted,
    rejected: steps. exact_count: whether `evaluations` is every call. If not it is a
    lower bound, one a stage: implicit solvers take more, by Newton's iterations and
    Jacobians, which diffrax does not report; so do jumps of a controller and solvers
    that are not Runge-Kutta.
    """

    x: Point
    solved: Bool[Array, ""]
    evaluations: Int[Array, ""]
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]
    exact_count: bool = eqx.field(static=True)


def flow_velocity(score: AbstractScore, x: Point, t: ScalarLike) -> Point:
    """Velocity f x - g^2 score / 2 of the probability flow, dx/dt on the clock.

    Where the clock's own end makes f infinite, an exact score gives it as
    alpha' E[x0 | x] - (sigma^2)' score / 2, finite there at nearly twice the cost.
    """
    if isinstance(score, ExactScore) and isinstance(score.process, SINGULAR):
        return score.velocity(x, t)
    f, rate = coefficients(score, x, t)
    return f * x - rate / 2 * score(x, t)


def solve_flow(
    score: AbstractScore,
    x: Point,
    start: ScalarLike,
    end: ScalarLike,
    *,
    solver: Solver | None = None,
    rtol: ScalarLike = 1e-5,
    atol: ScalarLike = 1e-5,
    controller: Controller | None = None,
    step: ScalarLike | None = None,
    max_steps: int = 4096,
    throw: bool = True,
) -> Solution:
    """Solve the probability flow dx/dt = f x - g^2 score / 2 from start to end < start.

    Local error is held below atol + rtol |x| (root mean square over coordinates). Each
    trajectory chooses its own steps: under `vmap` the result and the counts of a lane
    are those of the lane alone, and the run takes as long as its longest lane. Where
    neighbouring paths part, on the way into narrow modes, the end errs by more than
    the tolerance, by as much as the paths part: into peaks 1e-3 wide, at a distance of
    1, rtol = 1e-5 left 2e-3 on average and 0.16 in the worst of 10,000 lanes.

    The score is evaluated at both ends. End at sigma > 0 unless the clean law has a
    density; start at u = 1 of the interpolant (or of Cosine) with an exact score only,
    which there takes a denoiser beside each score, counted as one evaluation. A table
    (`DiscreteDDPM`) runs on the OU clock, where its flow is the same but smooth; steps
    and controllers then count OU time.

    Args:
        score: The score, which knows its process.
        x: The point at `start`.
        start: Time of the score's clock.
        end: An earlier time.
        solver: Any ODE solver of diffrax; `diffrax.Tsit5()` (order 5, 6 evaluations a
            step) if left out; `diffrax.Kvaerno5()` where the flow is stiff.
        rtol: Relative tolerance, > 0.
        atol: Absolute tolerance, > 0, in units of x.
        controller: Any step controller of diffrax in place of the tolerances; it sees
            the clock's own times, falling.
        step: A fixed step in units of the clock in place of the tolerances, > 0; of a
            `controller`, the first step, else a hundredth of the way.
        max_steps: Steps tried before the run is given up.
        throw: Whether a run that stops early raises. If not, `solved` is false and x is
            NaN, which `execution.run` reports with block and replica.

    Raises:
        ValueError: Not start > end, a tolerance or step that is not positive.
        RuntimeError: With `throw`: `max_steps` are taken, or values are not finite, in
            any lane of a `vmap`.

    References:
        Song et al. (2021), arXiv:2011.13456, equation 13.
        Tsitouras (2011), Computers & Mathematics with Applications 62, 770.
        Kidger (2022), arXiv:2202.02435, chapter 5 (diffrax).
    """
    import diffrax

    control = tolerances(controller, step, rtol, atol, **FLOW)
    score, start, end, falls = smooth_run(score, x, start, end)
    terms = diffrax.ODETerm(lambda t, y, _: flow_velocity(score, y, jnp.asarray(t)))
    solver = diffrax.Tsit5() if solver is None else solver
    # Times that turn out to rise when run: a failed run, not the opposite one.
    y = jnp.where(falls, x, jnp.nan)
    path = solve(terms, y, start, end, solver, control, step, max_steps, throw)
    return _solution(path)


def solve_sde(
    score: AbstractScore,
    x: Point,
    start: ScalarLike,
    end: ScalarLike,
    key: Key,
    replica: Index = 0,
    *,
    solver: Solver | None = None,
    rtol: ScalarLike = 1e-3,
    atol: ScalarLike = 1e-3,
    controller: Controller | None = None,
    step: ScalarLike | None = None,
    resolution: float = 2.0**-20,
    max_steps: int = 4096,
    throw: bool = True,
) -> Solution:
    """Solve the reverse SDE dx = (f x - g^2 score) dt + g dW from start to end < start.

    It runs in tau = start - t, forward, as Brownian controls must:

        dx = (g^2 score - f x) dtau + g dB,    0 <= tau <= start - end.

    B is a virtual Brownian tree: one path, fixed by (key, replica), which any solver
    sees at any steps, so finer steps converge to one and the same end. Its numbers are
    diffrax's, not those of `sample`. What else uses `key` must fold or split it first.

    The noise is additive: Ito and Stratonovich agree, and the default solver has strong
    order 1.5. It estimates the error of the drift alone, not that of the noise at steps
    along which g changes. A table runs on the OU clock, as in `solve_flow`.

    Args:
        score: The score, which knows its process.
        x: The point at `start`.
        start: Time of the score's clock, where f is finite.
        end: An earlier time.
        key: Root key of the run.
        replica: Which replica this is.
        solver: Any SDE solver of diffrax; `diffrax.ShARK()` (2 evaluations a step) if
            left out. `diffrax.Euler()` needs a `step`.
        rtol: Relative tolerance, > 0.
        atol: Absolute tolerance, > 0, in units of x.
        controller: Any step controller of diffrax in place of the tolerances; it sees
            tau, rising from 0.
        step: A fixed step in units of the clock in place of the tolerances, > 0; of a
            `controller`, the first step, else a hundredth of the way.
        resolution: Shortest step that the tree resolves, as a share of the way, in
            (0, 1/2). A step so short is accepted whatever its error; many of them end
            at `max_steps`. A step costs about -log2(resolution) Gaussian vectors.
        max_steps: Steps tried before the run is given up.
        throw: As in `solve_flow`.

    Raises:
        ValueError: Not start > end, a tolerance, step or resolution out of range.
        RuntimeError: With `throw`: the run stops early, in any lane of a `vmap`.

    References:
        Song et al. (2021), arXiv:2011.13456, equation 6.
        Foster, dos Reis, Strange (2023), arXiv:2210.17543, equation 6.1 (ShARK).
        Jelincic, Foster, Kidger (2024), arXiv:2405.06464 (the tree).
    """
    import diffrax
    import lineax

    check_positive(resolution, "resolution")
    if not resolution < 0.5:
        raise ValueError(f"`resolution` is {resolution}; it must be below 1/2.")
    score, start, end, falls = smooth_run(score, x, start, end)
    length = start - end
    zero, shortest = jnp.zeros_like(length), resolution * length
    control = tolerances(
        controller,
        step,
        rtol,
        atol,
        **NOISE,
        dtmin=shortest,
    )
    # Rounding of start - tau must not pass the end, where a clock may stop.
    time = lambda tau: jnp.maximum(start - tau, end)

    def drift(tau, y, _):
        f, rate = coefficients(score, y, time(tau))
        return rate * score(y, time(tau)) - f * y

    def noise(tau, y, _):
        rate = coefficients(score, y, time(tau))[1]
        return lineax.DiagonalLinearOperator(jnp.sqrt(rate) * jnp.ones_like(y))

    tree = diffrax.VirtualBrownianTree(
        zero,
        length,
        shortest,
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        jr.fold_in(key, replica),
        # The same for every solver, for the same path.
        diffrax.SpaceTimeLevyArea,
    )
    terms = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(noise, tree))
    y = jnp.where(falls, x, jnp.nan)
    solver = diffrax.ShARK() if solver is None else solver
    path = solve(terms, y, zero, length, solver, control, step, max_steps, throw)
    return _solution(path)


def _solution(path: Path) -> Solution:
    return Solution(
        x=path.state,
        solved=path.solved,
        evaluations=path.evaluations,
        accepted=path.accepted,
        rejected=path.rejected,
        exact_count=path.exact,
    )
