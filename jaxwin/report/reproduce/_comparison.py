"""Quantities along noise, computed beside sampled: what the suite of windows shows."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table

if TYPE_CHECKING:
    import matplotlib.figure

AXES = ("quantity", "noise")
# Numbers of a name, at some noises.
Known = Callable[[np.ndarray], Mapping[str, Any]]
# Of numbers of order one; and draws of which a standard error can be told.
ROUNDING, FEWEST = 1e-12, 10
SOURCE = "arXiv:2502.00921"
# Heights of shares, with room for names above them.
HEADROOM = (-0.03, 1.18)
OU_TIME = "OU time of the U-turn (more noise →)"


class Comparison(eqx.Module):
    """Some quantities at some noises: exact, and sampled where that says something.

    All noises of a quantity share their random numbers: errors along a curve are
    correlated. fine, line: the exact curves between.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    predicted: Float[np.ndarray, "q t"] = field(AXES, "", "exact")
    measured: Float[np.ndarray, "q t"] = field(AXES, "", "sampled", nullable=True)
    stderr: Float[np.ndarray, "q t"] = field(AXES, "", nullable=True)
    fine: Float[np.ndarray, " f"] = field(("fine",), "noise of the channel")
    line: Float[np.ndarray, "q f"] = field(("quantity", "fine"), "", "exact")

    @property
    def z(self) -> Float[np.ndarray, "q t"]:
        """Sampled less exact, in standard errors; 0 where only rounding scatters.

        NaN where nothing was sampled, or where a share is so near to none or all that
        `FEWEST` draws or fewer show it: the error seen is then none.
        """
        safe = np.where(self.stderr > ROUNDING, self.stderr, np.inf)
        share = np.minimum(np.abs(self.predicted), np.abs(1 - self.predicted))
        rare = (share * self.count < FEWEST) & (self.stderr > ROUNDING)
        known = ~(np.isnan(self.stderr) | rare)
        return np.where(known, (self.measured - self.predicted) / safe, np.nan)

    @property
    def largest_z(self) -> float:
        """Of all quantities at all noises."""
        return float(np.nanmax(np.abs(self.z), initial=0.0))

    @property
    def largest_error(self) -> float:
        """Of all quantities at all noises."""
        return float(np.nanmax(self.stderr, initial=0.0))

    def exact(self, name: str) -> Float[np.ndarray, " t"]:
        """The exact values of one quantity."""
        return self.predicted[self.names.index(name)]

    def to_json(self) -> dict[str, Any]:
        """Points by noise, and how far off sampling is.

        points: `noise`, and by quantity `predicted`, `measured`, `stderr`, `z`, the
        last three null where nothing was sampled, `z` also where what is sampled is too
        rare. largest_z: of all of them. draws: replicas of a quantity.
        """
        number = lambda value: None if np.isnan(value) else float(value)
        points = []
        for i, noise in enumerate(self.noise):
            point: dict[str, Any] = {"noise": float(noise)}
            for q, name in enumerate(self.names):
                point[name] = {
                    "predicted": float(self.predicted[q, i]),
                    "measured": number(self.measured[q, i]),
                    "stderr": number(self.stderr[q, i]),
                    "z": number(self.z[q, i]),
                }
            points.append(point)
        return {
            "points": points,
            "largest_z": self.largest_z,
            "draws": self.count,
            "method": self.method,
        }


def compare(
    noises: Float[np.ndarray, " t"],
    fine: Float[np.ndarray, " f"],
    known: Known,
    sampled: Mapping[str, tuple[Any, Any]],
    count: int,
    method: str,
) -> Comparison:
    """Put what is known beside what was sampled, (value, standard error) each."""
    # At once: shapes are compiled for.
    noise = np.unique(np.concatenate([noises, fine]))
    found = known(noise)
    assert set(sampled) <= set(found), "sampled, and not known"
    curves = np.stack([np.asarray(value, float) for value in found.values()])
    nothing = (np.full(noises.size, np.nan),) * 2
    pairs = [sampled.get(name, nothing) for name in found]
    return Comparison(
        names=tuple(found),
        noise=noises,
        predicted=curves[:, np.searchsorted(noise, noises)],
        measured=np.stack([np.asarray(pair[0], float) for pair in pairs]),
        stderr=np.stack([np.asarray(pair[1], float) for pair in pairs]),
        fine=fine,
        line=curves[:, np.searchsorted(noise, fine)],
        count=count,
        method=method,
    )


def drawn(
    found: Comparison,
    xlabel: str,
    ylabel: str,
    names: Sequence[str] | None = None,
    **options: Any,
) -> "matplotlib.figure.Figure":
    """Sampled points on exact curves, of all quantities or some."""
    series = []
    for q, name in enumerate(found.names):
        if names is None or name in names:
            shown = ~np.isnan(found.stderr[q])
            measured = (
                found.noise[shown],
                found.measured[q, shown],
                found.stderr[q, shown],
            )
            line = found.fine, found.line[q]
            series.append(Series(name, measured if shown.any() else None, line))
    return beside(series, xlabel, ylabel, **options)


def comparison_table(
    title: str,
    first: str,
    found: Comparison,
    caption: str = "",
    names: Sequence[str] | None = None,
) -> Any:
    """Exact values by noise, and the largest |z| of what was sampled there."""
    names = found.names if names is None else names
    table = plain_table(title, [first, *names, "|z|"], caption)
    for i, noise in enumerate(found.noise):
        z = np.abs(found.z[:, i])
        largest = "–" if np.isnan(z).all() else f"{np.nanmax(z):.1f}"
        values = (_digits(found.exact(name)[i]) for name in names)
        add_row(table, f"{noise:.6g}", *values, largest)
    return table


def _digits(value: float) -> str:
    return f"{value:.7g}" if abs(value) > 1e-3 else f"{value:.3g}"


def suite_study(
    name: str,
    results: Mapping[str, Any],
    summary: Mapping[str, Any],
    figures: "Mapping[str, matplotlib.figure.Figure]",
    table: Any,
) -> Study:
    """A study whose errors are those of its comparisons.

    Args:
        name: Of the entry.
        results: Results by name; every comparison is told in the summary by its name.
        summary: What else is told.
        figures: By file name.
        table: For the terminal.
    """
    found = {k: one for k, one in results.items() if isinstance(one, Comparison)}
    told = {key: one.to_json() for key, one in found.items()}
    return Study(
        command="reproduce",
        title=name,
        results=dict(results),
        summary={**summary, **told},
        figures=figures,
        table=table,
        largest_error=max((one.largest_error for one in found.values()), default=0.0),
        count=max((one.count for one in found.values()), default=0),
    )
