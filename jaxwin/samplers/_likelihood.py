"""Log-likelihood of a point by the probability flow that carries it to the noise."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check_one_of, is_concrete
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.samplers._adaptive import FLOW, flow_velocity
from jaxwin.samplers._base import check_grid
from jaxwin.samplers._diffrax import Controller, Solver, solve, tolerances
from jaxwin.samplers._smooth_clock import smooth_run
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import AbstractTarget

LogDensity = Callable[[Point], Float[Array, ""]]
# Where no end of the domain is: the noise is the prior to a percent, and no more than
# e^-4 of signal is left in it.
PRIOR_STD, PRIOR_LOG_SNR = 0.01, -8.0


class Likelihood(eqx.Module):
    """Log-density of a point at the last time of a grid, in nats.

    stderr: of the random directions or the noise; zero where nothing was random,
    infinite where one draw alone tells nothing of it. evaluations: of the score.
    solved: false where the solver stopped early; value is then NaN.
    """

    value: Float[Array, ""]
    stderr: Float[Array, ""]
    evaluations: Int[Array, ""]
    solved: Bool[Array, ""]
    method: str = eqx.field(static=True)


def log_likelihood(
    score: AbstractScore,
    x: Point,
    times: Float[Array, " t"],
    *,
    divergence: str = "exact",
    key: Key | None = None,
    probes: int = 1,
    prior: LogDensity | None = None,
    solver: Solver | None = None,
    rtol: ScalarLike = 1e-5,
    atol: ScalarLike = 1e-5,
    controller: Controller | None = None,
    max_steps: int = 4096,
    throw: bool = True,
) -> Likelihood:
    """Log-density log p(x) of x at times[-1] under the probability flow.

    With v = f x - g^2 score / 2 and the path dx/dt = v from x at s = times[-1], the
    clean end, up to T = times[0],

        log p_s(x) = log p_T(x_T) + int_s^T div v(x_t, t) dt.

    The density is that of the noised point x_s. Where sigma(s) > 0 this is not the
    density of clean data: it is the law of alpha x0 + sigma z.

    log p_T is `prior`, by default the process's own, N(0, std^2 I) with std = sigma_max
    on EDM and VE and 1 elsewhere: the law from which a sampler starts, so that p is the
    law of what it makes. Only u = 1 of the interpolant (and of Cosine) has exactly this
    law; elsewhere the signal left in x_T shifts the value at a point by about
    (alpha/sigma)(T) |x0|, the mean over points by half its square. For an exact law
    give its own density at T, `lambda y: law.log_density(y, alpha, sigma)`.

    The integral is solved with x, adaptively; only the ends of `times` count. For the
    steps of the grid itself: `controller=diffrax.StepTo(times[::-1])`.

    Args:
        score: The score, which knows its process; evaluated at both ends.
        x: The point at times[-1].
        times: Times, strictly decreasing.
        divergence: "exact" is closed form for an `ExactScore` of a target, one pass
            over it, and d Jacobian products beside the score of others. "hutchinson"
            averages e . (dv/dx) e over `probes` random sign vectors e, the same along
            the whole path: unbiased, up to the solver's tolerance; one product beside
            each score, for scores without a law in many dimensions.
        key: Needed for "hutchinson"; use it nowhere else.
        probes: Sign vectors; two at least for a finite standard error.
        prior: Log-density at times[0] in place of the process's own.
        solver: As in `solve_flow`.
        rtol: Relative tolerance of the point and of the log-density, > 0.
        atol: Absolute tolerance of both, > 0.
        controller: As in `solve_flow`, but it sees times rising from times[-1].
        max_steps: Steps tried before the run is given up.
        throw: As in `solve_flow`.

    Raises:
        ValueError: Times that do not decrease or leave the clock, an unknown
            divergence, "hutchinson" without a key, fewer than one probe, tolerances
            that are not positive, or a start without `prior` where the process's own is
            not the law of the noise.
        RuntimeError: With `throw`: the run stops early, in any lane of a `vmap`.

    References:
        Chen et al. (2018), arXiv:1806.07366, theorem 1.
        Song et al. (2021), arXiv:2011.13456, appendix D.2.
        Grathwohl et al. (2018), arXiv:1810.01367, section 3.1 (fixed probes).
        Hutchinson (1990), Communications in Statistics 19, 433.
    """
    import diffrax

    check_one_of(divergence, ("exact", "hutchinson"), "divergence")
    check_grid(score.process, times)
    control = tolerances(controller, None, rtol, atol, **FLOW)
    log_prior = start_density(score, times, prior)
    random = divergence == "hutchinson"
    directions = _signs(key, probes, x) if random else jnp.eye(x.size, dtype=x.dtype)
    score, start, end, falls = smooth_run(score, x, times[0], times[-1])

    def field(t, state, _):
        if not random and isinstance(score, ExactScore):
            if isinstance(score.target, AbstractTarget):
                return _by_law(score, score.target, state[0], t)
        velocity = lambda y: flow_velocity(score, y, t)
        along = lambda e: jax.jvp(velocity, state[:1], (e,))
        # The velocity itself is no function of the direction: evaluated once.
        v, pushed = jax.vmap(along, out_axes=(None, 0))(directions)
        spread = jnp.sum(directions * pushed, axis=1)
        return v, spread if random else spread.sum(keepdims=True)

    state = jnp.where(falls, x, jnp.nan), jnp.zeros(probes if random else 1, x.dtype)
    solver = diffrax.Tsit5() if solver is None else solver
    path = solve(
        diffrax.ODETerm(field),
        state,
        end,
        start,
        solver,
        control,
        None,
        max_steps,
        throw,
    )
    x_start, spreads = path.state
    mean, stderr = mean_of_draws(spreads)
    return Likelihood(
        value=log_prior(x_start) + mean,
        stderr=stderr if random else jnp.where(path.solved, 0.0, mean),
        evaluations=path.evaluations,
        solved=path.solved,
        method=f"flow, {probes} random directions" if random else "flow, exact",
    )


def _by_law(
    score: ExactScore, target: AbstractTarget, x: Point, t: ScalarLike
) -> tuple[Point, Float[Array, " 1"]]:
    """Velocity and its divergence, alpha' div D - (sigma^2)' div s / 2.

    With div D = alpha tr Cov[x0 | x] / sigma^2; finite also where f is not, and at
    sigma = 0 where the law has a density.
    """
    alpha, sigma = score.levels(x, t)
    alpha_rate = jnp.asarray(score.process.alpha_rate(t), x.dtype)
    half = jnp.asarray(score.process.variance_rate(t), x.dtype) / 2
    local = target.local(x, alpha, sigma)
    spread = alpha_rate * alpha * local.relative_variance
    velocity = alpha_rate * local.mean - half * local.score
    return velocity, (spread - half * local.divergence)[None]


def start_density(
    score: AbstractScore, times: Float[Array, " t"], prior: LogDensity | None
) -> LogDensity:
    """The log-density given, or the process's own where that is the law of the noise.

    Times and processes known only at run time are not checked.
    """
    process = score.process
    if prior is not None:
        return prior
    own, t = process.prior(), times[0]
    if is_concrete(t, process):
        low, high = (float(end) for end in process.domain)
        at_end = np.isfinite(high) and abs(float(t) - high) <= 1e-6 * (high - low)
        level = abs(float(jnp.log(process.sigma(t) / own.std.astype(t.dtype))))
        quiet = float(process.log_snr(t)) <= PRIOR_LOG_SNR
        if not (at_end or (quiet and level <= PRIOR_STD)):
            raise ValueError(
                f"`times` starts at {float(t):g}, where the law of x is not the "
                f"process's prior, of standard deviation {float(own.std):g}; start at "
                f"the noisy end, or give `prior`, the log-density at times[0]."
            )
    return own.log_density


def mean_of_draws(
    values: Float[Array, " m"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and its standard error; infinite for a single value."""
    if values.size == 1:
        return values[0], jnp.full_like(values[0], jnp.inf)
    return values.mean(), values.std(ddof=1) / np.sqrt(values.size).astype(values.dtype)


def _signs(key: Key | None, probes: int, x: Point) -> Float[Array, "m d"]:
    if key is None:
        raise ValueError(
            "`key` is left out; random directions need one: give `key`, or take "
            "divergence='exact'."
        )
    if probes < 1:
        raise ValueError(f"`probes` is {probes}; it must be at least 1.")
    return jr.rademacher(key, (probes, x.size), x.dtype)
