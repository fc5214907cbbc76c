"""Folders of images, or of one folder of images for each class."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.datasets._memory import check_holds
from jaxwin.datasets._quoting import quoted
from jaxwin.datasets._source import Source, no_columns

_ENDINGS = frozenset(
    ".png .jpg .jpeg .jpe .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .tga".split()
)
_GREY = {"1": "u1", "L": "u1", "LA": "u1", "La": "u1", "F": "f4", "I": "i4"}


def folder_source(path: Path, x: str | None) -> Source:
    """The images of a folder, labelled by the folders they lie in.

    Raises:
        BadInput: There is no image, only one class folder, or one without an image.
    """
    no_columns(x, "a folder of images", path.name)
    what = f"`file` is {quoted(path)}"
    folders = [p for p in _visible(path, what) if p.is_dir()]
    images = {folder: _images(folder, what) for folder in folders}
    flat = _images(path, what)
    name = path.resolve().name
    if flat:
        if any(images.values()):
            raise BadInput(
                f"{what}, with images beside folders of images; it must hold one or "
                f"the other; move the images into a folder of their class."
            )
        return Source(name, lambda labels: read_images(flat))
    if not any(images.values()):
        files = [p for f in (path, *folders) for p in _visible(f, what) if p.is_file()]
        raise BadInput(
            f"{what}, a folder in which none of {len(files)} files is an image by its "
            f"ending (.png, .jpg, ...); it must hold images, or folders of images."
        )
    empty = [folder for folder in folders if not images[folder]]
    if empty:
        raise BadInput(
            f"{what}, where class folder {quoted(empty[0].name)} holds no image; each "
            f"must hold some; remove it."
        )
    if len(folders) == 1:
        raise BadInput(
            f"{what}, with one class folder, {quoted(folders[0].name)}; classes must "
            f"be two at least; give that folder itself, for no labels."
        )
    files = [image for folder in folders for image in images[folder]]
    labels = np.repeat(
        [folder.name for folder in folders], [len(images[f]) for f in folders]
    )
    return Source(
        name, lambda _: read_images(files), {"class": lambda: labels}, ("class",)
    )


def read_images(files: list[Path]) -> np.ndarray:
    """Images of one size in one array, (n, h, w) if all are grey, else (n, h, w, 3).

    Grey keeps its type, 16 bits uint16; colours are uint8, transparency is left out.

    Raises:
        BadInput: One is broken, or two differ in size or cannot be in one array.
    """
    heads = [_head(file) for file in files]
    size, kinds = heads[0][0], {kind for _, kind in heads}
    for file, (other, _) in zip(files, heads, strict=True):
        if other != size:
            raise BadInput(
                f"The images are of several sizes: {_place(files[0])} is "
                f"{size[0]} x {size[1]} and {_place(file)} is {other[0]} x "
                f"{other[1]}; all must be of one; crop or resize them."
            )
    if len(kinds) > 1 and kinds != {"u1", "rgb"}:
        other = next(i for i, (_, kind) in enumerate(heads) if kind != heads[0][1])
        raise BadInput(
            f"The images are of several types: {_place(files[0])} and "
            f"{_place(files[other])} differ in bits a pixel; convert them to one."
        )
    width, height = size
    kind = "rgb" if "rgb" in kinds else kinds.pop()
    channels, dtype = ((3,), np.dtype("u1")) if kind == "rgb" else ((), np.dtype(kind))
    shape = (len(files), height, width, *channels)
    check_holds(math.prod(shape) * dtype.itemsize, f"The {len(files)} images")
    out = np.empty(shape, dtype)
    for i, file in enumerate(files):
        out[i] = _pixels(file, kind)
    # Sixteen bits may come as whole numbers of 32.
    if out.dtype == "i4" and 0 <= out.min() and out.max() < 2**16:
        return out.astype("u2")
    return out


def _head(file: Path) -> tuple[tuple[int, int], str]:
    """Size and kind of an image, without its pixels."""
    with _opened(file) as image:
        if image.mode.startswith("I;16"):
            return image.size, "u2"
        if image.mode == "P":
            red, green, blue = np.reshape(image.getpalette("RGB"), (-1, 3)).T
            grey = np.array_equal(red, green) and np.array_equal(green, blue)
            return image.size, "u1" if grey else "rgb"
        return image.size, _GREY.get(image.mode, "rgb")


def _pixels(file: Path, kind: str) -> np.ndarray:
    with _opened(file) as image:
        try:
            if image.mode == "P":
                # Palettes with transparency go through RGBA.
                image = image.convert("RGBA").convert("RGB")
            mode = {"rgb": "RGB", "u1": "L"}.get(kind, image.mode)
            return np.asarray(image.convert(mode))
        except Exception as error:  # a damaged image raises nearly anything
            raise _broken(file) from error


def _opened(file: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(file)
    except Exception as error:  # a damaged image raises nearly anything
        raise _broken(file) from error


def _broken(file: Path) -> BadInput:
    return BadInput(
        f"The image {_place(file)} is broken or cannot be read; mend or remove it."
    )


def _place(file: Path) -> str:
    return quoted(f"{file.parent.name}/{file.name}")


def _images(folder: Path, what: str) -> list[Path]:
    return [
        path
        for path in _visible(folder, what)
        if path.suffix.lower() in _ENDINGS and path.is_file()
    ]


def _visible(folder: Path, what: str) -> list[Path]:
    """What lies in a folder and is not hidden, in the order of the names."""
    try:
        return [folder / n for n in sorted(os.listdir(folder)) if n[0] != "."]
    except OSError as error:
        raise BadInput(
            f"{what}, with a folder that cannot be read ({error.strerror}); give "
            f"another."
        ) from error
