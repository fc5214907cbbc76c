"""Results to and from disk: netCDF4 with provenance, JSON for the summary.

A result is an `equinox.Module` whose fields declare dimensions and units:

```python
class Spectrum(eqx.Module):
    eigenvalue: Float[Array, " r"] = io.field(("rank",), "variance", "largest first")
    time: Crossing
    method: str = eqx.field(static=True)
```

In a file the parts of a nested result are called `outer.inner`. A 1-D field with the
name of its dimension is its coordinate, and the dimension then belongs to the result
that declares it, with all that is nested inside; a dimension without a coordinate is
shared by its name as long as the sizes agree. What is not declared by `field` and is
no array becomes an attribute: strings and numbers as they are, the rest as JSON.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

from jaxwin._checks import BadInput
from jaxwin._files import PathLike, atomic_write, provenance

if TYPE_CHECKING:
    import xarray

SEPARATOR = "."
RESULT, PROVENANCE = "jaxwin_result", "jaxwin_provenance"


def field(
    dims: tuple[str, ...],
    units: str,
    description: str = "",
    *,
    nullable: bool = False,
    **options: Any,
) -> Any:
    """Declare a field of a result: its dimensions, units and meaning.

    Args:
        dims: Names of the axes, `()` for a scalar. On a nested result, the axes that
            `vmap` put in front of those its fields declare.
        units: Such as "OU time" or "nats"; "" for a pure number.
        description: One line.
        nullable: NaN here means "there is none" and is null in JSON, where NaN is
            otherwise refused.
        options: Handed on to `equinox.field`.
    """
    metadata = {
        "dims": tuple(dims),
        "units": units,
        "description": description,
        "nullable": nullable,
    }
    return eqx.field(metadata=metadata, **options)


def to_dataset(result: eqx.Module | Mapping[str, Any]) -> "xarray.Dataset":
    """Lay a result, or a dictionary of results, out flat.

    Raises:
        ValueError: An array is not declared by `field`, or its axes are not those
            declared.
    """
    import xarray

    leaves = list(_leaves(result, _Scope("", (), "", {})))
    sizes: dict[str, int] = {}
    variables, coordinates, attributes = {}, {}, {}
    for leaf in leaves:
        if leaf.dims is None:
            attributes[leaf.name] = _attribute(leaf.value)
            continue
        array = _storable(leaf.value, leaf.name)
        if array.ndim != len(leaf.dims):
            raise ValueError(
                f"`{leaf.name}` has shape {array.shape}; its field declares the "
                f"dimensions {leaf.dims}; correct one of them."
            )
        dims = _shared(leaf, array.shape, sizes)
        is_coordinate = dims == (leaf.name,)
        labels = {"units": leaf.units, "description": leaf.description}
        (coordinates if is_coordinate else variables)[leaf.name] = (dims, array, labels)
    attributes[RESULT] = type(result).__name__
    return xarray.Dataset(variables, coordinates, attributes)


def save(
    result: "eqx.Module | Mapping[str, Any] | xarray.Dataset", path: PathLike
) -> None:
    """Write a result as netCDF4, with provenance; the file is whole or absent.

    Raises:
        BadInput: `path` is no place for a file.
        OSError: The write failed.
    """
    import xarray

    dataset = result if isinstance(result, xarray.Dataset) else to_dataset(result)
    dataset = dataset.assign_attrs({PROVENANCE: json.dumps(provenance())})
    atomic_write(path, bytes(dataset.to_netcdf(engine="h5netcdf")))


def load(path: PathLike) -> "xarray.Dataset":
    """Read a file of `save` into memory.

    Raises:
        BadInput: There is no such file, or it is not netCDF4.
    """
    import h5py
    import xarray

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(
            f"`path` is {str(path)!r}, which cannot be read ({error.strerror}); give "
            f"a results file."
        ) from error
    try:
        # h5netcdf stumbles in its finaliser over a file that h5py cannot walk through.
        with h5py.File(BytesIO(data), "r") as file:
            dict(file.attrs)
            file.visititems(lambda _, part: dict(part.attrs) and None)
        # Times are pure numbers here: units such as "seconds" must not become dates.
        return xarray.load_dataset(BytesIO(data), engine="h5netcdf", decode_times=False)
    except Exception as error:  # a damaged file raises nearly anything
        raise BadInput(
            f"`path` is {str(path)!r}, which is no whole netCDF4 file; give a "
            f"results file, or make it again."
        ) from error


def to_json(result: eqx.Module | Mapping[str, Any]) -> dict[str, Any]:
    """Plain dictionaries, lists and numbers of a result, for a summary.

    A nested result with a `to_json` of its own is asked for it. The outermost one is
    not, so that its `to_json` may be this function.

    Raises:
        ValueError: A value is NaN or infinite and its field is not `nullable`.
        TypeError: A value has no form in JSON.
    """
    if isinstance(result, Mapping):
        return {str(k): _plain(v, str(k), False) for k, v in result.items()}
    return {f.name: _plain(v, f.name, _nullable(f)) for f, v in _fields(result)}


def write_json(path: PathLike, value: Mapping[str, Any]) -> None:
    """Write a dictionary as JSON; the file is whole or absent, NaN is refused."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    # A lone surrogate (a file name that is not UTF-8) becomes a JSON escape.
    atomic_write(path, f"{text}\n".encode("utf-8", "backslashreplace"))


@dataclasses.dataclass(frozen=True)
class _Scope:
    """Where a nested result stands: its prefix and what it inherits."""

    prefix: str
    dims: tuple[str, ...]
    units: str
    owners: Mapping[str, str]  # dimension -> its name in the file


@dataclasses.dataclass(frozen=True)
class _Leaf:
    name: str
    value: Any
    dims: tuple[str, ...] | None  # None: an attribute
    units: str
    description: str
    prefix: str
    owned: frozenset[str]  # dimensions with a coordinate


def _leaves(value: Any, scope: _Scope) -> Iterator[_Leaf]:
    """Walk over a result; every leaf is a variable or an attribute."""
    owners = dict(scope.owners)
    if isinstance(value, Mapping):
        parts = [(str(name), part, {}) for name, part in value.items()]
    else:
        parts = [(f.name, part, f.metadata) for f, part in _fields(value)]
    if not scope.dims:
        owners |= {
            name: scope.prefix + name
            for name, _, metadata in parts
            if metadata.get("dims") == (name,)
        }
    for short, part, metadata in parts:
        name = scope.prefix + short
        declared = metadata.get("dims")
        dims = scope.dims + tuple(str(owners.get(d, d)) for d in declared or ())
        units = metadata.get("units", "") or scope.units
        if _is_nested(part):
            if isinstance(part, list | tuple):
                part = dict(enumerate(part))
            yield from _leaves(part, _Scope(name + SEPARATOR, dims, units, owners))
            continue
        # None in a declared field: there is nothing to lay out.
        is_array = part is not None and (declared is not None or hasattr(part, "shape"))
        yield _Leaf(
            name,
            part,
            dims if is_array else None,
            units,
            metadata.get("description", ""),
            scope.prefix,
            frozenset(owners.values()),
        )


def _is_result(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_is_nested(v) or hasattr(v, "shape") for v in value.values())
    if isinstance(value, list | tuple):
        return any(_is_nested(v) for v in value)
    return _is_result(value)


def _fields(result: Any) -> list[tuple[dataclasses.Field, Any]]:
    return [(f, getattr(result, f.name)) for f in dataclasses.fields(result)]


def _nullable(f: dataclasses.Field) -> bool:
    return bool(f.metadata.get("nullable", False))


def _shared(
    leaf: _Leaf, shape: tuple[int, ...], sizes: dict[str, int]
) -> tuple[str, ...]:
    """Names of the axes in the file; a second size of a shared name gets its own."""
    names = []
    for dim, size in zip(leaf.dims or (), shape, strict=True):
        # Failing here would throw a finished computation away.
        if dim not in leaf.owned and sizes.get(dim, size) != size:
            dim = leaf.prefix + dim
        if dim in names or sizes.setdefault(dim, size) != size:
            raise ValueError(
                f"`{leaf.name}` has shape {shape} on the dimensions {leaf.dims}: "
                f"{dim!r} is there already; give the axis a name of its own."
            )
        names.append(dim)
    return tuple(names)


def _storable(value: Any, name: str) -> np.ndarray:
    array = np.asarray(value)
    # netCDF4 knows no half precision; bfloat16 shows itself to numpy as kind V.
    if array.dtype == np.float16 or (array.dtype.kind == "V" and not array.dtype.names):
        array = array.astype(np.float32)
    if array.dtype.kind not in "biufU":
        raise ValueError(
            f"`{name}` has type {array.dtype}; a result holds booleans, numbers and "
            f"strings; convert it."
        )
    return array


def _attribute(value: Any) -> str | int | float:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        in_range = isinstance(value, float) or -(2**63) <= value < 2**63
        return value if in_range else str(value)
    return json.dumps(_plain(value, "attribute", True), ensure_ascii=False)


def _plain(value: Any, name: str, nullable: bool) -> Any:
    """The value in the types of JSON."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        if nullable and math.isnan(value):
            return None
        raise ValueError(
            f"`{name}` is {value}, which JSON cannot hold; a value that may be "
            f"missing is declared `nullable`."
        )
    own = getattr(value, "to_json", None)
    if callable(own):
        return _plain(own(), name, nullable)
    if _is_result(value):
        return to_json(value)
    if isinstance(value, Mapping):
        pairs = value.items()
        return {str(k): _plain(v, f"{name}.{k}", nullable) for k, v in pairs}
    if isinstance(value, list | tuple):
        return [_plain(v, name, nullable) for v in value]
    if hasattr(value, "shape"):
        return _plain(_storable(value, name).tolist(), name, nullable)
    raise TypeError(
        f"`{name}` is of {type(value).__name__}, which has no form in JSON."
    )
