"""Results as a folder: figures, results, summary, and the page of a diagnosis."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxwin._files import PathLike, atomic_folder, atomic_write
from jaxwin.io import save, write_json
from jaxwin.plots import to_png, to_svg
from jaxwin.report._diagnose import Diagnosis
from jaxwin.report._figures import figures
from jaxwin.report._page import page
from jaxwin.report._schedules import schedule
from jaxwin.report._study import Study
from jaxwin.report._summary import summary

if TYPE_CHECKING:
    import matplotlib.figure


def write(
    diagnosis: Diagnosis,
    folder: PathLike,
    command: str | None = None,
    model: Study | None = None,
) -> None:
    """Write the page, figures (PNG, SVG), results, summary and schedule.

    `index.html`, `figures/`, `results.nc`, `summary.json`, `schedule.json`.

    The folder is whole or absent; an older one of ours is replaced.

    Args:
        diagnosis: What is written.
        folder: Where; missing parents are made.
        command: What a reader types to repeat it, for the page.
        model: What `compare_of` found of a model of the data: a section of the page,
            `model` in the summary, and a folder of its own.

    Raises:
        BadInput: The folder cannot stand there, or something that is not ours does.
        OSError: A write failed; what was there before still is.
    """
    numbers, drawn = summary(diagnosis), figures(diagnosis)
    text = page(diagnosis, drawn, command=command, numbers=numbers, model=model)
    if model is not None:
        numbers = numbers | {"model": model.summary}
    manifest = {"command": "report", "name": diagnosis.name}
    with _folder(folder, manifest, diagnosis, numbers, drawn) as place:
        write_json(place / "schedule.json", schedule(diagnosis.advice))
        atomic_write(place / "index.html", text.encode("utf-8", "xmlcharrefreplace"))
        if model is not None:
            write_study(model, place / "model")


def write_study(study: Study, folder: PathLike, command: str | None = None) -> None:
    """Write what a command found: `figures/`, `results.nc`, `summary.json`, and more.

    A page and folders of its own where the study has them.

    Args:
        study: What is written.
        folder: Where; missing parents are made. Whole or absent, as in `write`.
        command: What a reader types to repeat it.

    Raises:
        BadInput: The folder cannot stand there, or something that is not ours does.
        OSError: A write failed; what was there before still is.
    """
    manifest = {"command": study.command, "name": study.title}
    numbers = study.summary | ({} if command is None else {"command": command})
    with _folder(folder, manifest, study.results, numbers, study.figures) as place:
        if study.page is not None:
            text = study.page.encode("utf-8", "xmlcharrefreplace")
            atomic_write(place / "index.html", text)
        for name, write_attachment in study.attachments.items():
            write_attachment(place / name)


@contextlib.contextmanager
def _folder(
    folder: PathLike,
    manifest: dict[str, str],
    results: Any,
    numbers: dict[str, Any],
    drawn: "Mapping[str, matplotlib.figure.Figure]",
) -> Iterator[Path]:
    """A folder with what every command writes, open for more."""
    with atomic_folder(folder, manifest, "folder") as place:
        _write_figures(drawn, place / "figures")
        save(results, place / "results.nc")
        write_json(place / "summary.json", numbers)
        yield place


def _write_figures(
    drawn: "Mapping[str, matplotlib.figure.Figure]", place: Path
) -> None:
    place.mkdir()
    for name, figure in drawn.items():
        atomic_write(place / f"{name}.png", to_png(figure))
        atomic_write(place / f"{name}.svg", to_svg(figure).encode())
