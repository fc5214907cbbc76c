"""What entries about random hierarchies share: curves by tables, how to show them."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import Crossing, hierarchy, unstack
from jaxwin.analysis.hierarchy._averages import mean_over
from jaxwin.report._hierarchy_grid import ou_times
from jaxwin.report._hierarchy_result import to_snr
from jaxwin.report._hierarchy_sizes import CHANNELS, Sizes, block_size
from jaxwin.report._measuring import Measuring
from jaxwin.targets import RandomHierarchy

if TYPE_CHECKING:
    import matplotlib.figure

SOURCE_TRANSITION = "arXiv:2402.16991"
SOURCE_CHANGES = "arXiv:2410.13770"
# Blocks before errors are looked at, with `until_stderr`.
MIN_BLOCKS = 32
# A name, a law and a key of what is drawn from it.
Stage = tuple[str, RandomHierarchy, Key]


def tree(
    symbols: int, rules: int, branching: int, depth: int, tables: int = 1
) -> Sizes:
    """v, m, s, L, as many classes as symbols, and how many rule tables."""
    return Sizes(
        symbols=symbols,
        rules=rules,
        branching=branching,
        depth=depth,
        classes=symbols,
        tables=tables,
    )


def named(sizes: Sizes) -> str:
    """The sizes in words, but for the depth."""
    return f"v = {sizes.symbols}, m = {sizes.rules}, s = {sizes.branching}"


def draw(sizes: Sizes, key: Key) -> RandomHierarchy:
    """Random rules."""
    shape = sizes.symbols, sizes.rules, sizes.branching, sizes.depth
    return RandomHierarchy.draw(key, *shape, num_classes=sizes.classes)


def transition(sizes: Sizes) -> hierarchy.Transition:
    """The mean-field transition of deep trees of these sizes."""
    return hierarchy.transition(sizes.symbols, float(sizes.rules), sizes.branching)


def starts_of(measuring: Measuring, full: int) -> int:
    """Starts of each tree and table, of `full` in a full run."""
    return dataclasses.replace(measuring, full=full).count


def tables_of(
    sizes: Sizes,
    channel: str,
    noises: Float[np.ndarray, " t"],
    measuring: Measuring,
    key: Key,
    starts: int,
    stage: str = "",
) -> list[hierarchy.LevelCurves]:
    """Level curves of a channel on each of some rule tables, by exact marginals.

    Tables are arguments of one compiled program, and each is a stage of its own: its
    blocks are kept and resumed by themselves.

    Args:
        sizes: Of the trees; `tables` of them.
        channel: A name of `CHANNELS`.
        noises: Increasing; SNRs of the Gaussian channel, fractions of the others.
        measuring: How to measure.
        key: Random key of rules and turns.
        starts: Starts of a full run and table, two turns each; a fourth where quick.
        stage: Name of the stages; that of the channel if left out.

    Returns:
        Curves at noises of the channel: of the Gaussian one OU times.
    """
    if channel == "gaussian":
        noises = ou_times(-np.log(noises[::-1]))
    measuring = dataclasses.replace(measuring, full=starts)
    found = []
    for table in range(sizes.tables):
        rule_key, turn_key = jr.split(jr.fold_in(key, table))
        name = f"{stage or channel}, table {table + 1}"
        options = measuring.options(name, turn_key)
        replicas = options.pop("num_replicas")
        found.append(
            hierarchy.level_curves(
                draw(sizes, rule_key),
                CHANNELS[channel],
                noises,
                num_turns=2 * replicas,
                block_size=block_size(replicas),
                min_blocks=MIN_BLOCKS,
                **options,
            )
        )
    return found


def stages_of(sizes: Sizes, name: str, rules: Key, key: Key) -> list[Stage]:
    """The tables that `tables_of` draws by the key `rules`, a stage each."""
    found = []
    for table in range(sizes.tables):
        rule_key, _ = jr.split(jr.fold_in(rules, table))
        law, of_table = draw(sizes, rule_key), jr.fold_in(key, table)
        found.append((f"{name}, table {table + 1}", law, of_table))
    return found


def averaged(tables: Sequence[Any], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Means over tables by name, the errors to show, and those of sampling alone."""
    found = {}
    for name in names:
        mean = mean_over(tables, name)
        found[name] = mean.value
        found[f"{name}_stderr"] = mean.error
        found[f"{name}_sampling_stderr"] = mean.sampling
    return found


def curves(*args: Any, **options: Any) -> hierarchy.DisorderAverage:
    """The average of `tables_of` over its tables."""
    return hierarchy.average(tables_of(*args, **options))


def places(channel: str, noises: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Noises as they are shown: SNRs of the Gaussian channel."""
    return 1 / np.expm1(2 * noises) if channel == "gaussian" else noises


def shown(channel: str, crossings: Crossing) -> list[Crossing]:
    """Crossings of several levels as they are shown: SNRs of the Gaussian channel."""
    crossings = jax.tree.map(jnp.asarray, crossings)
    return unstack(to_snr(crossings) if channel == "gaussian" else crossings)


def whole_places(figure: "matplotlib.figure.Figure") -> "matplotlib.figure.Figure":
    """The figure with ticks at whole numbers alone, as of depths."""
    from matplotlib.ticker import MaxNLocator

    (axes,) = figure.axes
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def logarithmic(figure: "matplotlib.figure.Figure") -> "matplotlib.figure.Figure":
    """The figure with a logarithmic vertical axis, its ticks plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axes,) = figure.axes
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure
