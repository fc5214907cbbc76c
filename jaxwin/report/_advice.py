"""What to do with a diagnosis: where to start, where to guide, where to step."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing
from jaxwin.analysis.clocks import TimeGrid, advised_grid
from jaxwin.analysis.information import ClassInformation
from jaxwin.analysis.late_start import LateStart

STEPS = 20


class Advice(eqx.Module):
    """Late start, guidance interval and time grid, each with the rule behind it.

    Without labels there is a grid alone. The `time` of `late_start` is the upper end of
    the interval of the measured crossing, so that the promise is kept with 97.5 %
    confidence: a bound, without an error of its own. `guidance_low` and
    `guidance_high` are the clean and the noisy end of the interval.
    """

    late_start: Crossing | None
    guidance_low: Crossing | None
    guidance_high: Crossing | None
    grid: TimeGrid
    late_start_rule: str = eqx.field(static=True)
    guidance_rule: str = eqx.field(static=True)
    grid_rule: str = eqx.field(static=True)


def advise(
    noise: Float[np.ndarray, " t"],
    eigenvalues: Float[np.ndarray, " d"],
    *,
    information: ClassInformation | None = None,
    late_start: LateStart | None = None,
    num_steps: int = STEPS,
) -> Advice:
    """Turn measured curves into advice.

    Args:
        noise: OU times of the curves, increasing, > 0.
        eigenvalues: All those of the covariance of the data.
        information: Class information at the same times.
        late_start: Misplaced class weight, in OU time.
        num_steps: Evaluations of the grid, >= 2.

    Raises:
        BadInput: `num_steps` < 2.
        ValueError: The class information is at other times.
    """
    if num_steps < 2:
        raise BadInput(f"`num_steps` is {num_steps}; it must be at least 2.")
    noise = np.asarray(noise, np.float64)
    decided = None
    if information is not None:
        if not np.array_equal(information.noise, noise):
            raise ValueError(
                "`information` is at other times than `noise`; record both on one grid."
            )
        # A class that the data hardly tell has no noise at which it is decided.
        if bool(information.low.found & information.high.found):
            decided = information.information
    # Minus the log-SNR, log(e^{2t} - 1).
    coordinate = 2 * noise + np.log(-np.expm1(-2 * noise))
    return Advice(
        late_start=None if late_start is None else _safe(late_start.start),
        guidance_low=None if information is None else information.low,
        guidance_high=None if information is None else information.high,
        grid=advised_grid(coordinate, eigenvalues, decided, num_steps),
        late_start_rule=_late_start_rule(late_start),
        guidance_rule=_guidance_rule(information),
        grid_rule=_grid_rule(num_steps, decided is not None),
    )


def _safe(start: Crossing) -> Crossing:
    """The upper end of the interval as the time."""
    time = jnp.where(start.found, start.high, start.time)
    stderr = jnp.where(start.found, jnp.zeros_like(time), start.stderr)
    return eqx.tree_at(lambda c: (c.time, c.stderr), start, (time, stderr))


def _late_start_rule(late_start: LateStart | None) -> str:
    if late_start is None:
        return (
            "No classes are given, so it is not known what a late start would "
            "misplace: start from pure noise."
        )
    share = f"{100 * late_start.level:g} %"
    if late_start.always:
        return (
            f"Starting from the Gaussian with the mean and covariance of the noised "
            f"data misplaces at most {share} of the class weight at every noise tried: "
            f"the classes set no limit to a late start."
        )
    if not bool(late_start.start.found):
        return (
            f"No late start: even at the largest noise tried a Gaussian start "
            f"misplaces more than {share} of the class weight, or too few draws were "
            f"made to tell. Start from pure noise."
        )
    return (
        f"Start here, or at any larger noise, from the Gaussian with the mean and "
        f"covariance of the noised data in place of pure noise: at most {share} of the "
        f"class weight is then misplaced (the upper end of the 95 % interval of where "
        f"that holds), and the steps before are saved."
    )


def _guidance_rule(information: ClassInformation | None) -> str:
    if information is None:
        return "No classes are given: there is nothing to guide towards."
    low, high = bool(information.low.found), bool(information.high.found)
    if not (low and high):
        return (
            "The class information does not pass from 95 % to 5 % of its whole over "
            "the noises tried: the data name no interval for guidance."
        )
    return (
        "Guide towards a class between these two noises only. At the noisy end 5 % of "
        "the class information is there, at the clean end 95 %: nine tenths of the "
        "class are decided in between, and outside guidance costs evaluations and "
        "distorts the rest."
    )


def _grid_rule(num_steps: int, by_class: bool) -> str:
    start = (
        f"{num_steps} evaluations from noisy to clean; the step after the last ends "
        f"at the clean point. "
    )
    if by_class:
        return start + (
            "Half of the steps go where the class is decided (equal shares of the "
            "class information), half where everything else is (equal shares of the "
            "rescaled entropy that the covariance of the data gives)."
        )
    return start + (
        "The steps take equal shares of the rescaled entropy that the covariance of "
        "the data gives."
    )
