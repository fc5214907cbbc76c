"""Finite-size scaling of a hierarchy: class curves of trees of several depths."""

from collections.abc import Sequence

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float, Int

from jaxwin._typing import Key
from jaxwin.analysis import hierarchy
from jaxwin.io import field
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._rhm import tables_of, transition

# Of each tree and rule table.
STARTS = 256
# (eps - eps*) F'(p*)^L at which every tree is looked at: its class falls from -1 to 0.3
# whatever its depth. Zero is eps* itself.
SCALED = np.array(
    [
        -1,
        -0.8,
        -0.65,
        -0.55,
        -0.45,
        -0.35,
        -0.25,
        -0.17,
        -0.1,
        -0.04,
        0,
        0.06,
        0.14,
        0.3,
    ]
)


class Slope(eqx.Module):
    """The straight line through some values by depth.

    misfit: chi^2 of it over its degrees of freedom.
    """

    value: float = field((), "per level")
    stderr: float = field((), "per level")
    misfit: float = field((), "")


class Depths(eqx.Module):
    """Class curves of trees of several depths about eps*, beside the mean field.

    excess: what of the class is left over chance, (P_0 - 1/v) / (1 - 1/v). width: the
    noise between excess 3/4 and 1/4, the mean over rule tables. chi: leaves that change
    together at eps*, pooled.
    """

    depth: Int[np.ndarray, " depth"] = field(("depth",), "levels", "L")
    scaled: Float[np.ndarray, " t"] = field(("scaled",), "", "(eps - eps*) F'(p*)^L")
    noise: Float[np.ndarray, "depth t"] = field(("depth", "scaled"), "eps")
    excess: Float[np.ndarray, "depth t"] = field(("depth", "scaled"), "")
    excess_stderr: Float[np.ndarray, "depth t"] = field(("depth", "scaled"), "")
    width: Float[np.ndarray, " depth"] = field(("depth",), "eps")
    width_stderr: Float[np.ndarray, " depth"] = field(("depth",), "eps")
    width_mean_field: Float[np.ndarray, " depth"] = field(("depth",), "eps")
    chi: Float[np.ndarray, " depth"] = field(("depth",), "leaves", "at eps*")
    chi_stderr: Float[np.ndarray, " depth"] = field(("depth",), "leaves")
    chi_mean_field: Float[np.ndarray, " depth"] = field(("depth",), "leaves")


def measure(trees: Sequence[Sizes], measuring: Measuring, key: Key) -> Depths:
    """All trees at the same multiples of the width that is predicted for them."""
    at, sizes = transition(trees[0]), trees[0]
    v, m, s = sizes.symbols, float(sizes.rules), sizes.branching
    depth = np.array([one.depth for one in trees])
    noise = float(at.noise) + SCALED[None] * float(at.slope) ** -depth[:, None]
    star = int(np.flatnonzero(SCALED == 0)[0])
    excess, widths, chis = [], [], []
    for one, noises in zip(trees, noise, strict=True):
        own, stage = jr.fold_in(key, one.depth), f"L = {one.depth}"
        tables = tables_of(one, "eps_belief", noises, measuring, own, STARTS, stage)
        mean = hierarchy.average(tables)
        unit = v / (v - 1)
        over = (mean.same[:, 0] - 1 / v) * unit, mean.same_error[:, 0] * unit
        excess.append(over)
        widths.append(mean_width(_ends(tables, "early"), _ends(tables, "late")))
        chis.append((mean.chi.value[star], mean.chi.error[star]))
    most = int(depth.max())
    predicted = hierarchy.class_widths(v, m, s, most).width
    growth = hierarchy.critical_susceptibility(v, m, s, most).susceptibility
    (width, width_stderr), (chi, chi_stderr) = np.transpose(widths), np.transpose(chis)
    return Depths(
        depth=depth,
        scaled=SCALED,
        noise=noise,
        excess=np.stack([value for value, _ in excess]),
        excess_stderr=np.stack([error for _, error in excess]),
        width=width,
        width_stderr=width_stderr,
        width_mean_field=np.asarray(predicted, float)[depth - 1],
        chi=chi,
        chi_stderr=chi_stderr,
        chi_mean_field=np.asarray(growth, float)[depth - 1],
    )


def line(
    depth: Int[np.ndarray, " depth"],
    values: Float[np.ndarray, " depth"],
    stderr: Float[np.ndarray, " depth"],
) -> Slope:
    """The line through independent values, weighted by their errors."""
    weight = stderr**-2
    middle = np.sum(weight * depth) / np.sum(weight)
    apart = depth - middle
    spread = np.sum(weight * apart**2)
    slope = np.sum(weight * apart * values) / spread
    rest = values - np.sum(weight * values) / np.sum(weight) - slope * apart
    misfit = np.sum(weight * rest**2) / (depth.size - 2)
    return Slope(float(slope), float(spread**-0.5), float(misfit))


def mean_width(
    early: Float[np.ndarray, " n"], late: Float[np.ndarray, " n"]
) -> tuple[float, float]:
    """Both ends of a table shift together: its width is known better than either."""
    width = late - early
    return float(width.mean()), float(width.std(ddof=1) / np.sqrt(width.size))


def _ends(
    tables: Sequence[hierarchy.LevelCurves], name: str
) -> Float[np.ndarray, " n"]:
    """Of the class, by table."""
    return np.array([float(getattr(one, name).time[0]) for one in tables])
