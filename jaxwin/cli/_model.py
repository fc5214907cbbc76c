"""A model named on the line: a folder of jaxwin train, or MODULE:NAME."""

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
        network = load(place)
    except BadInput as error:
        raise BadInput(str(error).replace("`folder`", "`model`")) from error
    origin = {} if network.origin is None else dict(network.origin)
    if other_data:
        origin.pop("digest", None)
    elif "digest" not in origin:
        raise BadInput(
            f"`model` is {model!r}, which does not say what it was trained on; give a "
            f"folder that jaxwin train wrote, or use jaxwin compare --other-data."
        )
    return network.denoiser, {"model_name": name, "origin": origin}
