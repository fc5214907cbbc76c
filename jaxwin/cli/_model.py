"""A model named on the line: a folder of jaxwin train, or MODULE:NAME."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxwin._checks import BadInput
from jaxwin.cli._entry import denoiser_entry

if TYPE_CHECKING:
    from jaxwin.targets import AbstractDenoiser


def model_named(
    model: str, other_data: bool = False
) -> "tuple[AbstractDenoiser, dict[str, Any]]":
    """The denoiser, and options of `compare_of` that its training says.

    other_data: whether the data need not be those of the training.

    Raises:
        BadInput: No such folder, module or name, or one that holds no denoiser.
    """
    place = Path(model)
    name = place.name or model
    if not place.is_dir():
        if ":" not in model:
            raise BadInput(
                f"`model` is {model!r}; there is no such folder: give one of jaxwin "
                f"train, or MODULE:NAME."
            )
        try:
            return denoiser_entry(model), {"model_name": name}
        except BadInput as error:
            raise BadInput(str(error).replace("`entry`", "`model`")) from error
    from jaxwin.learned import load

    try:
        inner = place / "network"
        network = load(inner if inner.is_dir() else place)
    except BadInput as error:
        raise BadInput(str(error).replace("`folder`", "`model`")) from error
    trained = _summary(place)
    if not (other_data or {"source", "digest", "seed", "share"} <= trained.keys()):
        raise BadInput(
            f"`model` is {model!r}, beside whose network there is no summary.json that "
            f"says what it was trained on; give the folder that jaxwin train wrote, or "
            f"use jaxwin compare --other-data."
        )
    options: dict[str, Any] = {"model_name": name}
    # Only data are cut.
    if trained.get("source") == "data":
        options |= {"split_seed": trained.get("seed"), "held_out": trained.get("share")}
    if not other_data:
        options["digest"] = trained.get("digest")
    return network.denoiser, options


def _summary(place: Path) -> dict[str, Any]:
    """What `jaxwin train` wrote beside the network; nothing if it is not there."""
    try:
        found = json.loads((place / "summary.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
