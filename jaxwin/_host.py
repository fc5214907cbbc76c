"""Plain Python functions (NumPy, PyTorch) inside of compiled programs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array

from jaxwin._checks import is_concrete
from jaxwin._files import sha256


@dataclasses.dataclass(frozen=True)
class OnHost:
    """A Python function of (x, t, ...), t a number, called from a program.

    Under `vmap`, nested too, all points go to the host in one call; a function of
    blocks (`batched`) gets them with one leading axis. It gets NumPy arrays and must
    not call JAX: a computation within a computation may wait for itself for ever.
    Equal for equal functions, so that a wrapper made again does not recompile.

    like: shape and type of its value at one point. name: for errors.
    """

    function: Callable[..., Any]
    batched: bool
    like: jax.ShapeDtypeStruct
    name: str = "function"

    def __call__(self, *args: Array) -> Array:
        """The value at one point, now or in a program.

        Raises:
            ValueError: Another shape or kind of numbers than `like` (tried on two
                points of halves where a program is traced).
        """
        if is_concrete(*args):
            return jnp.asarray(self.on_blocks(*args))
        # What is raised within a compiled program is no ValueError any more.
        self.on_blocks(*(np.full((2, *a.shape), 0.5).astype(a.dtype) for a in args))
        method = "broadcast_all"
        # On a CPU `pure_callback` copies arrays above 100 kB on the threads that wait
        # for it: on four devices and two cores, a block of 64 points of 3072 never came
        # back.
        return jax.lax.platform_dependent(
            *args,
            cpu=buffer_callback(self._into, self.like, vmap_method=method),
            default=lambda *args: jax.pure_callback(
                self.on_blocks, self.like, *args, vmap_method=method
            ),
        )

    def __repr__(self) -> str:
        """With a digest of the code: so checkpoints know a program by it.

        Of the values that a function holds, such as weights, nothing is known.
        """
        function = self.function
        while inner := getattr(function, "function", getattr(function, "func", None)):
            function = inner
        name = getattr(function, "__qualname__", type(function).__qualname__)
        called = getattr(type(function).__call__, "__code__", None)
        code = getattr(function, "__code__", called)
        digest = "" if code is None else sha256(repr(_parts(code)).encode())
        kind = "blocks" if self.batched else "points"
        return f"{type(self.function).__name__} {name} {digest} of {kind} {self.like}"

    def on_blocks(self, x: Any, t: Any, *rest: Any) -> np.ndarray:
        """Values at points with any leading axes, those of t."""
        lead = np.shape(t)
        # Copies: PyTorch warns of arrays that it may not write to.
        args = [np.array(a) for a in (x, t, *rest)]
        flat = [a.reshape(-1, *a.shape[len(lead) :]) for a in args]
        if self.batched:
            values = self._checked(self.function(*flat), len(flat[0]))
        else:
            each = zip(*flat, strict=True)
            values = np.stack([self._checked(self.function(*one)) for one in each])
        return values.reshape(*lead, *self.like.shape).astype(self.like.dtype)

    def _into(self, _: Any, out: Any, *args: Any) -> None:
        """The same into a buffer, from buffers, which are read without JAX."""
        np.asarray(out)[...] = self.on_blocks(*map(np.asarray, args))

    def _checked(self, value: Any, *lead: int) -> np.ndarray:
        array, shape = np.asarray(value), (*lead, *self.like.shape)
        floats = np.issubdtype(self.like.dtype, np.floating)
        if array.shape != shape or array.dtype.kind not in ("f" if floats else "iub"):
            kind = "floats" if floats else "whole numbers"
            raise ValueError(
                f"`{self.name}` gives shape {array.shape} of {array.dtype} on the "
                f"host; it must give {shape} of {kind}."
            )
        return array


def _parts(code: Any) -> list[Any]:
    """What a compiled function does, without where it stands."""

    def constant(value: Any) -> Any:
        if hasattr(value, "co_code"):
            return _parts(value)
        # Their order is another one in each process.
        return sorted(map(repr, value)) if isinstance(value, frozenset) else value

    return [code.co_code, code.co_names, [constant(c) for c in code.co_consts]]


def check_hashable(function: Callable[..., Any], name: str) -> None:
    """Raise ValueError where a program cannot be known again by a function."""
    try:
        hash(function)
    except TypeError as error:
        raise ValueError(
            f"`{name}` is a {type(function).__name__} that cannot be hashed; hand over "
            f"a function that calls it."
        ) from error
