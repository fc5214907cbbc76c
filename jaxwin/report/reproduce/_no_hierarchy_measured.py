"""Laws with and without a hierarchy under masking: chi, and where it is largest."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._typing import Key
from jaxwin.analysis import hierarchy
from jaxwin.analysis.hierarchy._averages import Mean, mean_over
from jaxwin.channels import Masking
from jaxwin.io import field
from jaxwin.report._hierarchy_sizes import block_size
from jaxwin.report._measuring import Measuring
from jaxwin.targets import (
    AbstractDiscreteLaw,
    MarkovChain,
    RandomHierarchy,
    TokenMixture,
)

SYMBOLS = 8
# Probability that a chain repeats its symbol for sure, rather than by chance.
PERSISTENCE = 0.8
# Leaves from which on a tree is quicker by observations side by side.
MANY = 128
# Noises that cannot be told from the one of the peak, in paired standard errors.
APART = 2.0


class Case(NamedTuple):
    """A law by `family` and number of sites, its noises, starts of a full run."""

    family: str
    law: Callable[[int], AbstractDiscreteLaw]
    sites: int
    noises: Sequence[float]
    starts: int

    @property
    def name(self) -> str:
        """Such as "flat 32, d = 512"."""
        return f"{self.family}, d = {self.sites}"


class Top(eqx.Module):
    """Where a curve is largest: tables are paired, as noises share their draws.

    low, high: from the first to the last noise that is not lower by two paired standard
    errors. rise: by how much the value exceeds that at the last noise, nothing seen.
    """

    noise: float = field((), "masked fraction")
    low: float = field((), "masked fraction")
    high: float = field((), "masked fraction")
    value: float = field((), "symbols")
    stderr: float = field((), "symbols")
    rise: float = field((), "symbols")
    rise_stderr: float = field((), "symbols")


class Control(eqx.Module):
    """chi of U-turns of one law, means over tables: of emissions, rules, or runs.

    Errors are over tables, sampling included. pooled_top, within_top: of chi and
    chi_within.
    """

    family: str = eqx.field(static=True)
    sites: int = eqx.field(static=True)
    tables: int = eqx.field(static=True)
    turns: int = eqx.field(static=True)
    pooled_top: Top
    within_top: Top
    noise: Float[np.ndarray, " t"] = field(("noise",), "masked fraction")
    class_kept: Float[np.ndarray, " t"] = field(("noise",), "probability")
    class_kept_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    chi: Float[np.ndarray, " t"] = field(("noise",), "symbols")
    chi_stderr: Float[np.ndarray, " t"] = field(("noise",), "symbols")
    chi_within: Float[np.ndarray, " t"] = field(("noise",), "symbols")
    chi_within_stderr: Float[np.ndarray, " t"] = field(("noise",), "symbols")
    chi_static: Float[np.ndarray, " t"] = field(("noise",), "symbols")
    chi_static_stderr: Float[np.ndarray, " t"] = field(("noise",), "symbols")

    def at(self, name: str, noise: float) -> tuple[float, float]:
        """Value and error of a field at one of the noises."""
        i = int(np.argmin(np.abs(self.noise - noise)))
        return float(getattr(self, name)[i]), float(getattr(self, f"{name}_stderr")[i])

    def to_json(self) -> dict[str, Any]:
        """All of it, by name."""
        names = [one.name for one in dataclasses.fields(self)]
        told = {name: getattr(self, name) for name in names}
        for name, value in told.items():
            if isinstance(value, Top):
                told[name] = dataclasses.asdict(value)
            elif isinstance(value, np.ndarray):
                told[name] = value.tolist()
        return told


def flat(classes: int, sites: int, seed: int) -> TokenMixture:
    """Symbols independent given the class: emissions of each drawn evenly."""
    generator = np.random.default_rng([seed, classes])
    return TokenMixture(generator.dirichlet(np.ones(SYMBOLS), size=classes), sites)


def chain(sites: int) -> MarkovChain:
    """Symbols that repeat: of one class, with correlations of finite reach."""
    even = np.full((SYMBOLS, SYMBOLS), 1 / SYMBOLS)
    steps = PERSISTENCE * np.eye(SYMBOLS) + (1 - PERSISTENCE) * even
    return MarkovChain(even[0], steps, sites)


def control(case: Case, tables: int, measuring: Measuring, key: Key) -> Control:
    """U-turns of a law, table after table by one compiled program."""
    measuring = dataclasses.replace(measuring, full=case.starts)
    noises, found = np.asarray(case.noises), []
    for table in range(tables):
        name = f"{case.name}, table {table + 1}"
        options = measuring.options(name, jr.fold_in(key, table))
        starts = options.pop("num_replicas")
        options |= {"num_turns": 2 * starts, "block_size": block_size(starts)}
        law = case.law(table)
        measure: Any = hierarchy.word_curves
        if isinstance(law, RandomHierarchy) and law.num_sites >= MANY:
            measure = hierarchy.level_curves
        found.append(measure(law, Masking(), noises, **options))
    if isinstance(found[0], hierarchy.LevelCurves):
        kept = Mean(*(part[:, 0] for part in mean_over(found, "same")))  # pyright: ignore
    else:
        kept = mean_over(found, "class_kept")
    chi, within, static = (
        mean_over(found, name) for name in ("chi", "chi_within", "chi_static")
    )
    return Control(
        family=case.family,
        sites=case.sites,
        tables=tables,
        turns=2 * sum(one.starts for one in found),
        pooled_top=top(noises, np.stack([one.chi for one in found])),
        within_top=top(noises, np.stack([one.chi_within for one in found])),
        noise=noises,
        class_kept=kept.value,
        class_kept_stderr=kept.error,
        chi=chi.value,
        chi_stderr=chi.error,
        chi_within=within.value,
        chi_within_stderr=within.error,
        chi_static=static.value,
        chi_static_stderr=static.error,
    )


def top(noises: Float[np.ndarray, " t"], each: Float[np.ndarray, "k t"]) -> Top:
    """The largest mean over tables, and which noises have values not told from it."""
    mean, count = each.mean(axis=0), len(each)
    best = int(np.argmax(mean))
    error = lambda values: values.std(axis=0, ddof=1) / np.sqrt(count)
    lower = each[:, best : best + 1] - each
    near = np.flatnonzero(lower.mean(axis=0) <= APART * error(lower))
    return Top(
        noise=float(noises[best]),
        low=float(noises[near[0]]),
        high=float(noises[near[-1]]),
        value=float(mean[best]),
        stderr=float(error(each)[best]),
        rise=float(lower.mean(axis=0)[-1]),
        rise_stderr=float(error(lower)[-1]),
    )
