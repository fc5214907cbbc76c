"""Random hierarchies: at which noise each level is lost, and what changes together."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin._checks import BadInput
from jaxwin._typing import Key
from jaxwin.analysis import hierarchy
from jaxwin.report._hierarchy_deep import deep_of
from jaxwin.report._hierarchy_grid import mean_field_grid, ou_times, pilot_grid
from jaxwin.report._hierarchy_result import HierarchyCurves, channel_curves
from jaxwin.report._hierarchy_sizes import (
    CHANNELS,
    Asked,
    Sizes,
    block_size,
    check_memory,
    checked,
)
from jaxwin.report._hierarchy_study import hierarchy_study
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.targets import RandomHierarchy

# Blocks before errors are looked at, with `until_stderr`.
MIN_BLOCKS = 32


def hierarchy_of(
    *,
    symbols: int = 32,
    rules: int = 8,
    branching: int = 2,
    depth: int = 10,
    classes: int | None = None,
    channel: str | Sequence[str] = "gaussian",
    noises: Any = None,
    num_turns: int = 10_000,
    tables: int = 1,
    deep: bool = True,
    **measuring: Any,
) -> Study:
    """At which noise does each level of a random hierarchy change, and how together?

    A tree of random production rules is noised and restored by exact belief
    propagation. Of every level: the probability that its symbol is unchanged, and the
    noise at which half of what can be lost is lost; of the leaves: chi, how many change
    together. Beside them the noise at which infinitely deep trees lose their class;
    for `eps_belief` the mean field; for the Gaussian channel the prediction of mean
    matching, which is naive and wrong by 1.5 to 2 times.

    Args:
        symbols: Symbols v of every level below the root.
        rules: Production rules m of a symbol, at most v^(s - 1).
        branching: Children s of a node.
        depth: Levels L below the root: s^L leaves.
        classes: Symbols n of the root; v if left out.
        channel: "gaussian", "masking", "uniform", "eps_belief"; one or several, as a
            list or separated by commas.
        noises: At least 4, increasing: SNRs of the Gaussian channel, fractions in
            [0, 1] of the others. If left out 20 (12 where `quick`) around the fall of
            the class and of the leaves: by the mean field for `eps_belief`, by a short
            pilot on the first table for the others.
        num_turns: U-turns a noise and a rule table, two of each start; where `quick`, a
            fourth of them or fewer, so that it takes about a minute on two cores.
        tables: Rule tables; with several, averages over them, with errors from their
            scatter beside those of sampling.
        deep: Whether to look for the threshold of infinitely deep trees, by population
            dynamics; half a minute a channel at most.
        measuring: Fields of `Measuring`; `num_replicas` is the number of starts.

    Raises:
        BadInput: What cannot be studied, or not in the memory that is free; one line
            that says what to do.
    """
    asked = checked(
        symbols=symbols,
        rules=rules,
        branching=branching,
        depth=depth,
        classes=classes,
        channel=channel,
        noises=noises,
        num_turns=num_turns,
        tables=tables,
        deep=deep,
        quick=measuring.get("quick", False),
    )
    if measuring.get("num_replicas") is None:
        measuring |= {"num_replicas": asked.starts}
    options = Measuring(**measuring)
    most = options.options("", jr.key(0))["num_replicas"]
    check_memory(asked.sizes, asked.num_noises, most)
    options.begin()
    law_key, turn_key = options.keys(2)
    laws = [_law(asked.sizes, jr.fold_in(law_key, table)) for table in range(tables)]
    found = {
        name: _measured(name, asked, laws, turn_key, options) for name in asked.channels
    }
    transition = hierarchy.transition(symbols, float(rules), branching)
    return hierarchy_study(asked.sizes, transition, found, options.seed)


def hierarchy_starts(**asked: Any) -> int:
    """Starts of one run of `hierarchy_of`, for `plan_study`.

    Args:
        asked: Every argument of `hierarchy_of`, and `quick`.

    Raises:
        BadInput: As there.
    """
    return checked(**asked).starts


def _law(sizes: Sizes, key: Key) -> RandomHierarchy:
    """Random rules, unless there are more tuples than numbers to draw them by."""
    try:
        return RandomHierarchy.draw(
            key,
            sizes.symbols,
            sizes.rules,
            sizes.branching,
            sizes.depth,
            num_classes=sizes.classes,
        )
    except (ValueError, OverflowError) as error:
        raise BadInput(
            f"rules cannot be drawn for `symbols` {sizes.symbols} and `branching` "
            f"{sizes.branching}: {' '.join(str(error).split())}"
        ) from error


def _measured(
    name: str,
    asked: Asked,
    laws: list[RandomHierarchy],
    turn_key: Key,
    measuring: Measuring,
) -> HierarchyCurves:
    """Curves of one channel, table after table by one compiled program."""
    sizes, given, count = asked.sizes, asked.noises, asked.num_noises
    channel, gaussian = CHANNELS[name], name == "gaussian"
    # A channel's numbers do not depend on which others are measured.
    own_key = jr.fold_in(turn_key, list(CHANNELS).index(name))
    key: Callable[[int], Key] = lambda number: jr.fold_in(own_key, number)
    made = measuring.options("", own_key)["num_replicas"]
    size = block_size(made)
    if given is not None:
        noises = ou_times(-np.log(given[::-1])) if gaussian else given
    elif name == "eps_belief":
        noises = mean_field_grid(sizes, count)
    else:
        pilot = {"key": key(0), "block_size": size}
        noises = pilot_grid(laws[0], channel, gaussian, count, **pilot)
    curves = []
    for table, law in enumerate(laws):
        stage = name if len(laws) == 1 else f"{name}, table {table + 1}"
        options = measuring.options(stage, key(table + 1))
        turns = 2 * options.pop("num_replicas")
        curves.append(
            hierarchy.level_curves(
                law,
                channel,
                noises,
                num_turns=turns,
                block_size=size,
                min_blocks=MIN_BLOCKS,
                **options,
            )
        )
    naive = expected = None
    v, m, s = sizes.symbols, float(sizes.rules), sizes.branching
    if gaussian:
        transition = hierarchy.transition(v, m, s)
        if bool(transition.found):
            naive = float(hierarchy.matched_snr(transition.noise, v))
    if name == "eps_belief":
        places = jnp.asarray(noises, float)
        expected = hierarchy.mean_field_curves(
            places, v, m, s, sizes.depth, sizes.classes
        )
    deep = None
    if asked.deep:
        deep = deep_of(name, sizes, asked.quick, key(len(laws) + 1))
    return channel_curves(name, curves, naive, expected, deep)
