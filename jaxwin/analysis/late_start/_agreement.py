"""Is the automatic start as good as the best one that a sweep finds?"""

from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.late_start._automatic import AutomaticStart, automatic
from jaxwin.analysis.late_start._kinds import checked_times
from jaxwin.analysis.late_start._over_starts import OverStarts, jackknife, over_starts
from jaxwin.analysis.late_start._sweep import StartSweep, sweep
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, DiscreteDDPM
from jaxwin.samplers import AbstractStep
from jaxwin.targets import AbstractTarget


class Agreement(eqx.Module):
    """The automatic start beside a sweep, by the root of the energy distance.

    quality: sqrt(max(energy, 0)) at each start, the automatic one among them, a metric
    between laws that sees weights and shapes. ratio: that of the automatic start over
    the smallest one; its error by the jackknife over replicates, on shared random
    numbers. resolved: whether the smallest energy is above twice its error; if not, the
    best start is right to what was drawn, and the ratio is of the size of noise.
    """

    automatic: AutomaticStart
    sweep: StartSweep
    quality: OverStarts
    best: float = eqx.field(static=True)
    resolved: bool = eqx.field(static=True)
    ratio: Float[np.ndarray, ""] = field((), "", "quality, automatic over best")
    stderr: Float[np.ndarray, ""] = field((), "", "where resolved", nullable=True)


def agreement(
    target: AbstractTarget,
    process: AbstractProcess,
    step: AbstractStep,
    num_steps: int,
    starts: AnyArray,
    *,
    key: Key | None = None,
    choice: dict[str, Any] | None = None,
    **options: Any,
) -> Agreement:
    """Run a sampler from the automatic Gaussian start and from those of a sweep.

    Args:
        target: The clean law.
        process: The clock.
        step: The sampler.
        num_steps: Its steps.
        starts: Times of the sweep, increasing; the automatic one is added.
        key: Random key.
        choice: Options of `automatic`.
        options: Options of `sweep`.

    Raises:
        BadInput: As `automatic` and `sweep`.
    """
    choose_key, sweep_key = jr.split(jr.key(0) if key is None else key)
    chosen = automatic(target, process, key=choose_key, **(choice or {}))
    starts = checked_times(process, starts, "starts")
    # A discrete sampler begins at a whole index: the next noisier one keeps the bound.
    whole = isinstance(process, DiscreteDDPM)
    own = float(np.ceil(chosen.time)) if whole else chosen.time
    grid = np.union1d(starts, [own])
    options = {"metrics": ("energy",)} | options
    found = sweep(target, process, step, num_steps, grid, key=sweep_key, **options)
    energy = found.measured("energy").replicate
    at, count = int(np.searchsorted(grid, own)), len(energy)
    root = lambda means: np.sqrt(np.maximum(means, np.finfo(float).tiny))
    means = energy.mean(axis=0)
    left_out = root((energy.sum(axis=0) - energy) / (count - 1))
    ratio = lambda roots: roots[..., at] / roots.min(axis=-1)
    least = int(np.argmin(means))
    spread = energy[:, least].std(ddof=1) / np.sqrt(count)
    errors = [jackknife(column) for column in left_out.T]
    quality = OverStarts(root(means), np.array(errors), over_starts(energy).replicate)
    resolved = bool(means[least] > 2 * spread)
    error = jackknife(ratio(left_out)) if resolved else np.nan
    return Agreement(
        automatic=chosen,
        sweep=found,
        quality=quality,
        best=float(found.start[least]),
        ratio=np.asarray(ratio(root(means))),
        stderr=np.asarray(error),
        resolved=resolved,
    )
