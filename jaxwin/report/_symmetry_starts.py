"""The late start of a law: the latest that keeps the class weights."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin._typing import Key
from jaxwin.analysis import late_start
from jaxwin.analysis._crossing import not_reached
from jaxwin.processes import AbstractProcess
from jaxwin.report._measuring import Measuring
from jaxwin.report._symmetry_result import Starts
from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget, AbstractTarget

# Times of the curves in equal steps, up to the noise in which the data are one part in
# so many.
TIMES, FAINT = 40, 16.0
# Errors that are rounding bend where chance will have it.
ROUNDING = 1e-12
# Answers where there is no weight error to tell of.
NO_LAW = "no law: a denoiser alone has no exact moments to start from"
NO_LABELS = "no labels: total variation bounds every weight error"


def starts_of(
    denoiser: AbstractDenoiser,
    process: AbstractProcess,
    spread: float,
    measuring: Measuring,
    key: Key,
) -> Starts | None:
    """The automatic start and the curves beside it; None for what is no law."""
    if not isinstance(denoiser, AbstractTarget):
        return None
    times = start_times(process, spread)
    common: dict[str, Any] = {
        "times": times,
        "key": key,
        "num_replicas": measuring.count,
        "until_stderr": measuring.until_stderr,
    }
    stage = measuring.stage
    show = lambda name: None if stage is None else stage(name)
    automatic = late_start.automatic(
        denoiser,
        process,
        rule="both" if has_labels(denoiser) else "variation",
        progress=show("late start"),
        **common,
    )
    vanilla = late_start.law(
        denoiser, process, start="vanilla", progress=show("vanilla start"), **common
    )
    of_elbow = vanilla.variation
    if has_labels(denoiser) and vanilla.classes is not None:
        of_elbow = vanilla.classes.error
    if of_elbow.max() < ROUNDING:
        none = not_reached(times)
        automatic = eqx.tree_at(lambda found: found.elbow, automatic, none)
    return Starts(automatic, vanilla)


def has_labels(denoiser: AbstractDenoiser) -> bool:
    """Whether there are classes to be misplaced."""
    return isinstance(denoiser, AbstractLabelledTarget) and denoiser.num_labels > 1


def start_times(process: AbstractProcess, spread: float) -> Float[np.ndarray, " t"]:
    """Equal steps from the clean end to where the data are faint."""
    low, high = (float(end) for end in process.domain)
    last = float(process.time(jnp.asarray(-2 * np.log(FAINT * spread))))
    times = np.linspace(low, min(last, high), TIMES + 1)[1:]
    alpha, sigma = map(np.asarray, process.levels(jnp.asarray(times)))
    return times[(alpha > 0) & (sigma > 0)]


def check_class_weights(denoiser: AbstractDenoiser) -> None:
    """Raise BadInput, before long work, where a class has no weight."""
    if not isinstance(denoiser, AbstractLabelledTarget):
        return
    empty = np.flatnonzero(~(np.asarray(denoiser.log_label_prior()) > -np.inf))
    if empty.size:
        raise BadInput(
            f"`weights` give class {empty[0]} nothing; every class must have some: "
            f"leave its components out."
        )
