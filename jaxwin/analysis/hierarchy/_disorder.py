"""Level curves averaged over rules, whose error is not that of sampling."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import Crossing, independent_mean, stack, unstack
from jaxwin.analysis.hierarchy._averages import (
    Susceptibility,
    mean_over,
    susceptibility_over,
)
from jaxwin.analysis.hierarchy._level_curves import LevelCurves, level_curves
from jaxwin.channels import AbstractChannel
from jaxwin.io import field
from jaxwin.targets import RandomHierarchy

LEVELS = ("noise", "level")


class DisorderAverage(eqx.Module):
    """Level curves averaged over rule tables; see `LevelCurves`.

    same_stderr: of the average over all rules, from the scatter of tables, sampling
    included; None for one table. same_sampling_stderr: the part of it that more turns
    would remove. same_spread: the standard deviation between tables, sampling taken
    out; None for one. early, half, late: of each level, the means over tables (for one
    table, its own).
    """

    tables: int = eqx.field(static=True)
    turns: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    chi: Susceptibility
    chi_within: Susceptibility
    chi_static: Susceptibility
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    same: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    same_stderr: Float[np.ndarray, "t l"] | None = field(LEVELS, "probability")
    same_sampling_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    same_spread: Float[np.ndarray, "t l"] | None = field(LEVELS, "probability")
    chance: Float[np.ndarray, " l"] = field(("level",), "probability")
    early: Crossing = field(("level",), "noise of the channel")
    half: Crossing = field(("level",), "noise of the channel")
    late: Crossing = field(("level",), "noise of the channel")

    @property
    def same_error(self) -> Float[np.ndarray, "t l"]:
        """The error to show: over rules if that is known."""
        if self.same_stderr is None:
            return self.same_sampling_stderr
        return self.same_stderr


def over_rules(
    draw: Callable[[Key], RandomHierarchy],
    num_tables: int,
    channel: AbstractChannel,
    noises: AnyArray,
    *,
    key: Key | None = None,
    **options: Any,
) -> tuple[DisorderAverage, list[LevelCurves]]:
    """`level_curves` of several laws that differ in their rules, and their average.

    The program is compiled once: tables are its arguments.

    Args:
        draw: A law from a key, such as
            `lambda key: RandomHierarchy.draw(key, 32, 8, 2, 10)`.
        num_tables: How many, at least 2.
        channel: See `level_curves`.
        noises: See `level_curves`.
        key: Random key; `jax.random.key(0)` if left out.
        options: Handed on to `level_curves`; blocks of each table are kept in a folder
            of its own inside of `folder`.

    Raises:
        ValueError: Fewer than 2 tables; and as `level_curves`.
    """
    if num_tables < 2:
        raise ValueError(
            f"`num_tables` is {num_tables}; an error over rules needs at least 2."
        )
    key = jr.key(0) if key is None else key
    folder, found = options.pop("folder", None), []
    for table in range(num_tables):
        rule_key, turn_key = jr.split(jr.fold_in(key, table))
        if folder is not None:
            options["folder"] = Path(folder) / f"table_{table + 1}"
        law = draw(rule_key)
        found.append(level_curves(law, channel, noises, key=turn_key, **options))
    return average(found), found


def average(tables: Sequence[LevelCurves]) -> DisorderAverage:
    """Level curves of one or several rule tables, at the same noises, as one.

    Raises:
        ValueError: No curves, or curves at different noises.
    """
    if not tables:
        raise ValueError("`tables` is empty; an average needs at least one.")
    first = tables[0]
    if any(not np.array_equal(one.noise, first.noise) for one in tables):
        raise ValueError("`tables` are at different noises; measure all at the same.")
    same = mean_over(tables, "same")
    return DisorderAverage(
        noise=first.noise,
        same=same.value,
        same_stderr=same.stderr,
        same_sampling_stderr=same.sampling,
        same_spread=same.spread,
        chance=np.mean([one.chance for one in tables], axis=0),
        early=_crossings([one.early for one in tables]),
        half=_crossings([one.half for one in tables]),
        late=_crossings([one.late for one in tables]),
        chi=susceptibility_over(tables, "chi"),
        chi_within=susceptibility_over(tables, "chi_within"),
        chi_static=susceptibility_over(tables, "chi_static"),
        tables=len(tables),
        turns=sum(one.turns for one in tables),
        method=first.method,
    )


def _crossings(tables: Sequence[Crossing]) -> Crossing:
    """Means over tables, level by level."""
    if len(tables) == 1:
        return jax.tree.map(jnp.asarray, tables[0])
    return stack([_mean(level) for level in zip(*map(unstack, tables), strict=True)])


def _mean(tables: Sequence[Crossing]) -> Crossing:
    # All were searched in one range, that of the noises.
    missing = [one for one in tables if not bool(one.found)] or tables[:1]
    searched = float(missing[0].low), float(missing[0].high)
    return independent_mean(np.array([float(one.time) for one in tables]), searched)
