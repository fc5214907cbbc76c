"""The key times of a diagnosis for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxwin.analysis import Crossing
from jaxwin.report._clocks import named_clocks, on_clock
from jaxwin.report._diagnose import Diagnosis, speciation_times
from jaxwin.report._facts import (
    COLLAPSE,
    CONVENTIONS,
    FIXED,
    Pair,
    Time,
    pairs_of,
    reading,
)

if TYPE_CHECKING:
    import rich.table

CLOCKS = {
    "ou": "OU time",
    "ddpm_linear": "DDPM i",
    "edm_sigma": "EDM σ",
    "flow_u": "flow u",
}
# So many pairs from each end.
ENDS = 3
# Characters of a class name.
LONGEST = 14
BRACKETS = "In brackets: one standard error of the last digits."
# Behind the point; smaller errors are not shown.
MOST_DIGITS = 5


def terminal_table(diagnosis: Diagnosis) -> "rich.table.Table":
    """The key times on four clocks, as a table that `rich` prints."""
    d = diagnosis
    count = len(d.classes)
    classes = f", {count} class{'es' if count > 1 else ''}" if count else ""
    title = f"{d.name}: n = {d.n:,}, d = {d.d:,}{classes}, {d.normalization}, "
    return times_table(
        f"{title}seed {d.seed}",
        _groups(diagnosis),
        "The page has every time, clock and interval.",
    )


def times_table(
    title: str, groups: Sequence[Sequence[tuple[str, Crossing]]], note: str = ""
) -> "rich.table.Table":
    """Times on four clocks, in groups of rows."""
    table = plain_table(
        title,
        ["", *CLOCKS.values()],
        f"± one standard error. DDPM-1000 linear, 0-based index. {note}".strip(),
    )
    processes = {key: named_clocks()[key] for key in CLOCKS}
    for rows in groups:
        labels, times = zip(*rows, strict=True)
        columns = [
            [_cell(time, key) for time in on_clock(times, process)]
            for key, process in processes.items()
        ]
        for label, *cells in zip(labels, *columns, strict=True):
            add_row(table, label, *cells)
        table.add_section()
    return table


def plain_table(
    title: str, columns: Sequence[str], caption: str = ""
) -> "rich.table.Table":
    """A table without rows."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    # Text, not markup: a class may be called "[red]".
    table = Table(
        title=Text(title),
        caption=Text(caption) if caption else None,
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in columns:
        table.add_column(name)
    return table


def add_row(table: "rich.table.Table", *cells: str) -> None:
    """A row of plain text."""
    from rich.text import Text

    table.add_row(*map(Text, cells))


def in_brackets(value: float, error: float) -> str:
    """0.472(7): a number with its standard error in units of its last digit."""
    if not np.isfinite(value):
        return "–"
    if not (np.isfinite(error) and error > 0):
        return f"{value:.3f}"
    places = int(np.clip(-np.floor(np.log10(error)), 0, MOST_DIGITS))
    last = round(error * 10**places)
    if last >= 10 and places > 0:
        places, last = places - 1, round(last / 10)
    return f"{value:.{places}f}({last})" if last else f"{value:.{places}f}"


def _cell(time: Time, clock: str) -> str:
    """The error on the first clock alone: the table must fit 80 columns."""
    if clock == "ou":
        return reading(time)
    if not time["found"]:
        return "–"
    return reading(time, clock).split(f"{FIXED}±")[0] if time["inside"] else "outside"


def _groups(diagnosis: Diagnosis) -> list[list[tuple[str, Crossing]]]:
    times = dict(speciation_times(diagnosis.t_S))
    if len(diagnosis.classes) < 2:
        for key in ("mean", "curvature", "potential"):
            del times[key]
    groups = [[(f"t_S  {CONVENTIONS[k]}", times[k]) for k in CONVENTIONS if k in times]]
    if diagnosis.agreement is not None:
        rows = [("t_φ  all classes", diagnosis.agreement.crossing)]
        for pair in _ends(pairs_of(diagnosis)):
            names = [name[:LONGEST] for name in (pair.first, pair.second)]
            rows.append((f"t_φ  {names[0]} | {names[1]}", pair.crossing))
        groups.append(rows)
    groups.append([(key, getattr(diagnosis.collapse, key)) for key in COLLAPSE])
    advice = diagnosis.advice
    moments = {
        "start here at the latest": advice.late_start,
        "guide from": advice.guidance_high,
        "guide down to": advice.guidance_low,
    }
    rows = [(label, time) for label, time in moments.items() if time is not None]
    return [*groups, rows] if rows else groups


def _ends(pairs: list[Pair]) -> list[Pair]:
    """The pairs that separate first and last on the way from noise."""
    # Without a single one found, a few that are not say so.
    chosen = [pair for pair in pairs if pair.time["found"]] or pairs
    return chosen if len(chosen) <= 2 * ENDS else chosen[:ENDS] + chosen[-ENDS:]
