"""The windows of a law for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxwin.analysis import Crossing
from jaxwin.report._table import add_row, plain_table, times_table
from jaxwin.report._words import reading

if TYPE_CHECKING:
    import rich.console

# Nodes of the tree that are shown, and characters of their names.
MOST_ROWS, LONGEST = 16, 18
COLUMNS = ("", "T_after", "T_before", "width", "/ t", "inside", "outside")
CAPTION = (
    "Windows of OU time in which a group is chosen within its parent's, their width "
    "and its share of T_before; largest separation of class means inside the parent, "
    "smallest from the group to what is outside of it."
)


def windows_table(
    title: str,
    windows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    times: Sequence[Sequence[tuple[str, Crossing]]],
    note: str,
) -> "rich.console.Group":
    """A row for each window of the summary, then times on four clocks.

    Args:
        title: Of both.
        windows: Entries of the summary, `windows`.
        names: One each.
        times: Groups of rows, as in `times_table`.
        note: A last sentence about windows.
    """
    from rich.console import Group

    table = plain_table(title, COLUMNS, f"{CAPTION} {note}")
    for name, entry in zip(names[:MOST_ROWS], windows, strict=False):
        ends = entry["answer"], ""
        if entry["answer"] == "window":
            ends = reading(entry["T_after"]), reading(entry["T_before"])
        relative = entry["relative"]
        share = "" if relative is None else f"{100 * relative:.0f} %"
        sizes = entry["largest_inside"], entry["smallest_outside"]
        add_row(table, name, *ends, _short(entry["width"]), share, *map(_short, sizes))
    return Group(table, times_table("", times))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
