"""What must be equal for two runs to share their blocks, bit for bit."""

import os
import re
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.extend import core
from jaxtyping import PyTree

from jaxwin._files import sha256
from jaxwin._typing import Key
from jaxwin.execution._block import Device, Replica, one_block


def configuration(
    function: Replica, key: Key, size: int, device: Device
) -> tuple[dict[str, str], PyTree[jax.ShapeDtypeStruct]]:
    """Parts of a configuration by name, and the structure of a block's mean.

    The program is its jaxpr as text, without addresses, and the constants in it; the
    data are the bytes of the function's leaves. Replicas and devices are no part of it:
    a run may be extended, and moved to more devices of the same kind.
    """
    zero = jnp.zeros((), jnp.int32)
    jaxpr, (mean, _, _), _ = eqx.filter_make_jaxpr(one_block)(
        function, key, zero, zero, size
    )
    text = re.sub(r"0x[0-9a-f]+", "", str(jaxpr))
    constants = [_digest(value) for value in _constants(jaxpr)]
    leaves = jax.tree.leaves(eqx.filter(function, eqx.is_array_like))
    # They change the rounding of a compiled program; the number of devices does not.
    flags = os.environ.get("XLA_FLAGS", "").split()
    flags = sorted(flag for flag in flags if "device_count" not in flag)
    parts = {
        "program": sha256("\n".join([text, *constants]).encode()),
        "data": sha256("\n".join(map(_digest, leaves)).encode()),
        "key": _digest(key),
        "block size": str(size),
        "jax": f"{jax.__version__} {' '.join(flags)}".strip(),
        "device": f"{device.platform} {device.device_kind}",
    }
    return parts, mean


def _digest(leaf: Any) -> str:
    """Hash of a leaf's bytes, type and shape."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return f"{jr.key_impl(leaf)} {_digest(jr.key_data(leaf))}"
    array = np.asarray(leaf)
    if array.dtype.kind == "V":  # bfloat16 and its like, which numpy does not know
        array = array.view(np.uint8)
    return f"{np.asarray(leaf).dtype} {sha256(array)}"


def _constants(jaxpr: Any) -> Iterator[Any]:
    """Arrays compiled into a program; its text shows their shapes alone."""
    if isinstance(jaxpr, core.ClosedJaxpr):
        yield from jaxpr.consts
        jaxpr = jaxpr.jaxpr
    for equation in jaxpr.eqns:
        yield from (v.val for v in equation.invars if isinstance(v, core.Literal))
        for value in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda v: isinstance(v, core.Jaxpr | core.ClosedJaxpr),
        ):
            if isinstance(value, core.Jaxpr | core.ClosedJaxpr):
                yield from _constants(value)
            elif isinstance(value, np.ndarray | jax.Array):
                yield value
