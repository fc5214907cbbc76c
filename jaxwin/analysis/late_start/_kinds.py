"""The two starts that are compared, and where on a clock they may lie."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray
from jaxwin.processes import AbstractProcess
from jaxwin.samplers import FromMoments, FromPrior
from jaxwin.targets import AbstractLabelledTarget, AbstractTarget

# "gaussian": the exact moments of p_t. "vanilla": the prior of the process, at any t.
KINDS = ("gaussian", "vanilla")


def start_of(
    target: AbstractTarget, process: AbstractProcess, kind: str, t: float
) -> FromMoments | FromPrior:
    """One start of a kind.

    Raises:
        BadInput: An unknown kind.
        ValueError: A time off the clock, or at which the law is flat.
    """
    check_one_of(kind, KINDS, "start")
    if kind == "gaussian":
        return FromMoments(target, process, t)
    return FromPrior(process, target.dimension)


def checked_times(
    process: AbstractProcess, times: AnyArray, name: str
) -> Float[np.ndarray, " t"]:
    """Times of starts: strictly increasing, on the clock, with signal and with noise.

    Raises:
        BadInput: They are not.
    """
    times = np.asarray(times, np.float64)
    rising = times.ndim == 1 and times.size > 0 and np.all(np.diff(times) > 0)
    if not (rising and np.all(np.isfinite(times))):
        raise BadInput(
            f"`{name}` has shape {times.shape}; it must be a list of finite, strictly "
            f"increasing times: sort it, or take numpy.linspace."
        )
    low, high = map(float, process.domain)
    off = times[~((low <= times) & (times <= high))]
    if off.size:
        raise BadInput(
            f"`{name}` holds {off[0]:g}; on this clock a start lies between {low:g} "
            f"and {high:g}."
        )
    alpha, sigma = map(np.asarray, process.levels(jnp.asarray(times)))
    if not np.all((sigma > 0) & (alpha > 0)):
        raise BadInput(
            f"`{name}` holds an end of the clock, where nothing is left of the noise "
            f"or of the signal: a start has sigma > 0 and alpha > 0."
        )
    return times


def check_weights(target: AbstractLabelledTarget) -> Float[np.ndarray, " c"]:
    """The class weights, all positive.

    Raises:
        BadInput: A class of weight zero: nothing of it can be misplaced.
    """
    prior = np.exp(np.asarray(target.log_label_prior(), np.float64))
    if not np.all(prior > 0):
        raise BadInput(
            f"`target` gives class {int(np.argmin(prior))} the weight 0; every class "
            f"must have some: build the law without it."
        )
    return prior
