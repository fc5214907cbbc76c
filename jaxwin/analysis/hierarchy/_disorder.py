"""Averages over rules, whose error is not that of sampling."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.hierarchy._level_curves import LevelCurves, level_curves
from jaxwin.channels import AbstractChannel
from jaxwin.io import field
from jaxwin.targets import RandomHierarchy

LEVELS = ("noise", "level")


class DisorderAverage(eqx.Module):
    """Level curves averaged over rule tables.

    stderr: of the average over all rules, from the scatter of tables, sampling
    included. sampling_stderr: the part of it that more turns would remove. spread: the
    standard deviation between tables, sampling taken out.
    """

    tables: int = eqx.field(static=True)
    turns: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    same: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    same_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    same_sampling_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    same_spread: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    chi: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_within: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_within_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)


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
        options: Handed on to `level_curves`.

    Raises:
        ValueError: Fewer than 2 tables; and as `level_curves`.
    """
    if num_tables < 2:
        raise ValueError(
            f"`num_tables` is {num_tables}; an error over rules needs at least 2."
        )
    key = jr.key(0) if key is None else key
    found = []
    for table in range(num_tables):
        rule_key, turn_key = jr.split(jr.fold_in(key, table))
        law = draw(rule_key)
        found.append(level_curves(law, channel, noises, key=turn_key, **options))
    same = np.stack([one.same for one in found])
    sampling = np.mean([one.same_stderr**2 for one in found], axis=0)
    scatter = same.var(axis=0, ddof=1)
    error = lambda values: np.std(values, axis=0, ddof=1) / np.sqrt(num_tables)
    chi = np.stack([one.chi for one in found])
    chi_within = np.stack([one.chi_within for one in found])
    return (
        DisorderAverage(
            noise=found[0].noise,
            same=same.mean(axis=0),
            same_stderr=error(same),
            same_sampling_stderr=np.sqrt(sampling / num_tables),
            same_spread=np.sqrt(np.maximum(scatter - sampling, 0)),
            chi=chi.mean(axis=0),
            chi_stderr=error(chi),
            chi_within=chi_within.mean(axis=0),
            chi_within_stderr=error(chi_within),
            tables=num_tables,
            turns=sum(one.turns for one in found),
        ),
        found,
    )
