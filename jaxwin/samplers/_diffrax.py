"""The one door to diffrax: any of its solvers and controllers, and an honest count.

diffrax is imported inside the functions, so that `jaxwin.samplers` does not load it.
"""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._checks import check_positive, is_concrete
from jaxwin._typing import ScalarLike

if TYPE_CHECKING:
    import diffrax

    Solver: TypeAlias = diffrax.AbstractSolver
    Controller: TypeAlias = diffrax.AbstractStepSizeController
    Terms: TypeAlias = diffrax.AbstractTerm
else:
    Solver = Controller = Terms = Any

STOPPED = (
    "The solver did not reach the other end of time with finite values and the error "
    "asked for. Raise `max_steps`, loosen `rtol` and `atol`, give an implicit solver "
    "(diffrax.Kvaerno5) or a smaller `step`, or end at a larger sigma, where the drift "
    "is finite."
)
# First step of an adaptive run, as a share of the way.
FIRST = 0.01


class Cost(NamedTuple):
    """Evaluations of the drift: before the first step, then per step tried.

    `exact` is false where a step may take more of them than that.
    """

    first: int
    per_step: int
    exact: bool


class Path(NamedTuple):
    """The far end of a solve and what it took."""

    state: PyTree[Float[Array, "..."]]
    solved: Bool[Array, ""]
    evaluations: Int[Array, ""]
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]
    exact: bool


def solve(
    terms: Terms,
    state: PyTree[Float[Array, "..."]],
    start: Float[Array, ""],
    end: Float[Array, ""],
    solver: Solver,
    controller: Controller,
    step: ScalarLike | None,
    max_steps: int,
    throw: bool,
) -> Path:
    """Run diffrax from `start` to `end`, in either direction of time.

    A solver whose last stage is the next one's first is handed that stage at the start:
    left to itself diffrax evaluates it in every attempt before the first accepted step,
    which its statistics do not show, and under `vmap` for all lanes together.

    Where the solver stops early, `state` is NaN, or with `throw` a run-time error.
    """
    import diffrax

    if max_steps < 1:
        raise ValueError(f"`max_steps` is {max_steps}; it must be at least 1.")
    share = (end - start) * FIRST
    first = share if step is None else jnp.sign(end - start) * jnp.asarray(step)
    cost = _cost(solver, controller)
    found = diffrax.diffeqsolve(
        terms,
        solver,
        start,
        end,
        None if isinstance(controller, diffrax.StepTo) else first.astype(start.dtype),
        state,
        stepsize_controller=controller,
        max_steps=max_steps,
        # Compiled, for a score may end where a concrete sigma = 0 is refused.
        solver_state=(jnp.array(False), jax.jit(terms.vf)(start, state, None))
        if cost.first
        else None,
        throw=False,
    )
    end_state = jax.tree.map(lambda y: y[-1], found.ys)
    tried = found.stats["num_steps"]
    values = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(end_state)]
    solved = diffrax.is_successful(found.result) & jnp.all(jnp.stack(values))
    if throw:
        end_state = eqx.error_if(end_state, ~solved, STOPPED)
    else:
        end_state = jax.tree.map(lambda y: jnp.where(solved, y, jnp.nan), end_state)
    return Path(
        state=end_state,
        solved=solved,
        evaluations=jnp.asarray(cost.first + cost.per_step * tried, jnp.int32),
        accepted=jnp.asarray(found.stats["num_accepted_steps"], jnp.int32),
        rejected=jnp.asarray(found.stats["num_rejected_steps"], jnp.int32),
        exact=cost.exact,
    )


def tolerances(
    controller: Controller | None,
    step: ScalarLike | None,
    rtol: ScalarLike,
    atol: ScalarLike,
    **options: Any,
) -> Controller:
    """The controller given; fixed steps for a `step`; else an error controller."""
    import diffrax

    for value, name in ((rtol, "rtol"), (atol, "atol"), (step, "step")):
        if value is not None and is_concrete(value):
            check_positive(float(value), name)
    if controller is not None:
        return controller
    if step is not None:
        return diffrax.ConstantStepSize()
    return diffrax.PIDController(rtol=rtol, atol=atol, **options)


def _cost(solver: Solver, controller: Controller) -> Cost:
    """What diffrax evaluates, read off the solver's tableau."""
    import diffrax

    factor = 1
    # A full step and two halves.
    while type(solver) is diffrax.HalfSolver:
        factor, solver = 3 * factor, solver.solver
    if isinstance(solver, diffrax.AbstractRungeKutta):
        tableau = solver.tableau
        if isinstance(tableau, diffrax.ButcherTableau):
            # Jumps make the kept stage invalid; Newton's iterations are not shown.
            jumps = getattr(controller, "jump_ts", None) is not None
            exact = not (tableau.implicit or (jumps and tableau.fsal))
            first = int(tableau.fsal)
            return Cost(first, factor * (tableau.num_stages - first), exact)
    if isinstance(solver, diffrax.AbstractSRK):
        ignored = solver.tableau.ignore_stage_f
        stages = len(solver.tableau.b_sol)
        skipped = 0 if ignored is None else int(np.sum(ignored))
        return Cost(0, factor * (stages - skipped), True)
    known = isinstance(solver, diffrax.Euler | diffrax.EulerHeun | diffrax.ItoMilstein)
    return Cost(0, factor, known)
