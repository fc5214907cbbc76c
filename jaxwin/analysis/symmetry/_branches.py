"""A branch of fixed points along the clock, in the units of the data."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxwin._checks import BadInput, check_positive
from jaxwin._typing import AnyArray
from jaxwin.analysis.symmetry._branch import END, LONGEST, MARGIN, fixed_points
from jaxwin.analysis.symmetry._drift import DriftLike, named_drift
from jaxwin.analysis.symmetry._follow import follow_branch
from jaxwin.analysis.symmetry._starts import OUTWARDS, noise_range, spread_of
from jaxwin.analysis.symmetry._system import System
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractDenoiser

# A fixed point was not found where it misses by so much, in units of the data.
MISSED = 1e-8


class FixedBranch(eqx.Module):
    """Fixed points of a drift along a branch, in the order in which it is followed.

    slopes: the largest eigenvalues of kappa (alpha^2 / sigma^2) Cov[x0 | x], 1 where a
    direction is marginal; the Hessian of u / g^2 is (push / kappa sigma^2) (1 - slope)
    along it. rising: d time / d arclength, whose sign changes at a turn.
    """

    drift: str = eqx.field(static=True)
    time: Float[np.ndarray, " p"] = field(("point",), "time of the process")
    x: Float[np.ndarray, "p d"] = field(("point", "coordinate"), "noised units")
    clean: Float[np.ndarray, "p d"] = field(
        ("point", "coordinate"), "data units", "E[x0 | x]"
    )
    slopes: Float[np.ndarray, "p k"] = field(("point", "direction"), "")
    rising: Float[np.ndarray, " p"] = field(("point",), "")
    stable: Bool[np.ndarray, " p"] = field(("point",), "", "a minimum")


def branch(
    denoiser: AbstractDenoiser,
    process: AbstractProcess | None,
    clean: AnyArray,
    t: float,
    *,
    drift: DriftLike = "reverse_sde",
    times: tuple[float, float] | None = None,
    count: int = 200,
    step: float = LONGEST,
    towards_noise: bool = True,
    scale: float | None = None,
) -> FixedBranch:
    """Follow fixed points along the clock, around turns, by pseudo-arclength.

    Cost of a point: some 5 Newton steps of d products with the Jacobian and a singular
    value decomposition, d <= 256; beyond, GMRES without a matrix.

    Args:
        denoiser: A law, or any denoiser.
        process: The clock; OU if None.
        clean: A clean point near E[x0 | x] of a fixed point.
        t: Time of `process` there.
        drift: Which drift, see `named_drift`.
        times: Least and largest time; chosen by the spread of the data if left out.
        count: Points at most.
        step: Arclength between points at most, in (clean point over the data's spread,
            log-SNR); shorter where the branch turns.
        towards_noise: Which way to begin.
        scale: Root of the total variance of the data; needed for a denoiser that is no
            law.

    Raises:
        BadInput: There is no fixed point near `clean` at `t`; times off the clock.

    References:
        Allgower & Georg, Numerical Continuation Methods (1990), chapter 6.
    """
    check_positive(step, "step")
    process = OrnsteinUhlenbeck() if process is None else process
    clean = np.asarray(clean)
    centre, spread = spread_of(denoiser, clean[None], scale)
    number = lambda value: jnp.asarray(value, centre.dtype)
    kind = named_drift(drift)
    system = System(denoiser, process, kind.unnamed(), number(centre), number(spread))
    low, high, _ = noise_range(process, spread, times)
    noise = float(-process.log_snr(jnp.asarray(t, float)))
    begin = fixed_points(system, ((clean - centre) / spread)[None], noise)
    if not begin.miss[0] < MISSED:
        raise BadInput(
            f"there is no fixed point near `clean` at t = {t:g}: Newton's method ends "
            f"{begin.miss[0]:.2g} of the data's spread off one; start from a minimum "
            f"of `critical_times`, or at another time."
        )
    if times is None:
        # A place beyond them has been asked for.
        low, high = min(low, noise - OUTWARDS), max(high, noise + OUTWARDS)
    ends = min(low, noise), max(high, noise)
    way = 1.0 if towards_noise else -1.0
    found = follow_branch(system, begin.places[0], noise, way, ends, END, count, step)
    places, noises = found.points[:, :-1], found.points[:, -1]
    levels = [system.levels(number(nu)) for nu in noises]
    signal = np.array([float(gain * alpha) for alpha, _, gain in levels])
    points = np.asarray(centre + spread * places)
    return FixedBranch(
        drift=kind.name,
        time=np.asarray(system.time(jnp.asarray(noises))),
        x=signal[:, None] * points,
        clean=points,
        slopes=found.slopes,
        rising=found.tangents[:, -1],
        stable=found.slopes[:, 0] < 1 + MARGIN,
    )
