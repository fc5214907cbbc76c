"""A diagnosis as a folder: page, figures, results, summary."""

from pathlib import Path
from typing import TYPE_CHECKING

from jaxwin._files import PathLike, atomic_folder, atomic_write
from jaxwin.io import save, write_json
from jaxwin.plots import agreement, collapse, pair_times, spectrum, to_png, to_svg
from jaxwin.report._diagnose import Diagnosis
from jaxwin.report._page import page
from jaxwin.report._summary import summary

if TYPE_CHECKING:
    import matplotlib.figure


def figures(diagnosis: Diagnosis) -> dict[str, "matplotlib.figure.Figure"]:
    """The figures of a diagnosis by name; those of classes where there are some."""
    drawn = {"spectrum": spectrum(diagnosis.spectrum)}
    if diagnosis.agreement is not None:
        drawn["agreement"] = agreement(diagnosis.agreement, diagnosis.classes)
        if diagnosis.agreement.pairs is not None:
            pairs = diagnosis.agreement.pairs
            drawn["pair_times"] = pair_times(pairs, diagnosis.classes)
    return drawn | {"collapse": collapse(diagnosis.collapse)}


def write(diagnosis: Diagnosis, folder: PathLike, command: str | None = None) -> None:
    """Write `index.html`, the figures (PNG, SVG), `results.nc` and `summary.json`.

    The folder is whole or absent; an older one of ours is replaced.

    Args:
        diagnosis: What is written.
        folder: Where; missing parents are made.
        command: What a reader types to repeat it, for the page.

    Raises:
        BadInput: The folder cannot stand there, or something that is not ours does.
        OSError: A write failed; what was there before still is.
    """
    numbers, drawn = summary(diagnosis), figures(diagnosis)
    text = page(diagnosis, drawn, command=command, numbers=numbers)
    manifest = {"command": "report", "name": diagnosis.name}
    with atomic_folder(folder, manifest, "folder") as place:
        _write_figures(drawn, place / "figures")
        save(diagnosis, place / "results.nc")
        write_json(place / "summary.json", numbers)
        atomic_write(place / "index.html", text.encode("utf-8", "xmlcharrefreplace"))


def _write_figures(drawn: dict[str, "matplotlib.figure.Figure"], place: Path) -> None:
    place.mkdir()
    for name, figure in drawn.items():
        atomic_write(place / f"{name}.png", to_png(figure))
        atomic_write(place / f"{name}.svg", to_svg(figure).encode())
