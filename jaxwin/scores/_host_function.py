"""Plain Python functions (NumPy, PyTorch) inside of compiled programs."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Float, Shaped

from jaxwin._checks import check_positive, is_concrete
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess

Labels = tuple[Shaped[Array, "..."], ...]


@dataclasses.dataclass(frozen=True)
class _OnHost:
    """The Python side of a call: any leading axes in, one block to the function.

    Equal for equal functions, so that a wrapper made again does not recompile.
    """

    function: Callable[..., Any]
    batched: bool

    def __call__(self, x: Any, t: Any, *labels: Any) -> np.ndarray:
        # Copies: PyTorch warns of arrays that it may not write to.
        x, t = np.array(x), np.array(t)
        axes, size = x.ndim - 1, x.shape[-1]
        points, times = x.reshape(-1, size), t.reshape(-1)
        rest = [np.array(label) for label in labels]
        rest = [label.reshape(-1, *label.shape[axes:]) for label in rest]
        if self.batched:
            values = self._checked(self.function(points, times, *rest), points.shape)
        else:
            values = np.stack(
                [
                    self._checked(self.function(*one), (size,))
                    for one in zip(points, times, *rest, strict=True)
                ]
            )
        return values.reshape(x.shape).astype(x.dtype)

    def into(self, _: Any, out: Any, *args: Any) -> None:
        """The same into a buffer, from buffers, which are read without JAX."""
        np.asarray(out)[...] = self(*map(np.asarray, args))

    def _checked(self, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        array = np.asarray(value)
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(
                f"`function` gives shape {array.shape} of {array.dtype} on the host; "
                f"for points of shape {shape} it must give {shape} of floats, one "
                f"number for each coordinate."
            )
        return array


class HostFunction(eqx.Module):
    """A Python function of (x, t) or (x, t, label) that JAX programs call on the host.

    Under `vmap`, nested too, all points go to the host in one call; a function of
    blocks (`batched`) gets them as (b, d), with times (b,). It gets NumPy arrays and
    must not call JAX: a computation within a computation may wait for itself for ever.
    What is not finite is handed on as it is.

    Forward derivatives are central differences, two more calls for each direction u,

        (f(x + h u) - f(x - h u)) / (2 h),    h |u| = step * sigma(t),

    of error h^2 |f'''| / 6 + rounding / h, so that with the default step, the cube root
    of the rounding of x, about 1e-10 of f / sigma in float64 and 1e-4 in float32. Those
    of derivatives lose as many digits again. There are no reverse derivatives.

    Attributes:
        process: The clock of t, for the width sigma(t).
        step: Of the differences, in units of sigma(t). A network that computes in
            float32 behind points of float64 wants 5e-3.
    """

    call: _OnHost = eqx.field(static=True)
    process: AbstractProcess
    step: float | None = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[..., Any],
        process: AbstractProcess,
        *,
        batched: bool = False,
        step: float | None = None,
    ):
        """Wrap a function.

        Raises:
            ValueError: `step` is not positive; `function` cannot be hashed.
        """
        if step is not None:
            check_positive(step, "step")
        try:
            hash(function)
        except TypeError as error:
            raise ValueError(
                f"`function` is a {type(function).__name__} that cannot be hashed; "
                f"hand over a function that calls it."
            ) from error
        self.call, self.process, self.step = _OnHost(function, batched), process, step

    def __call__(self, x: Point, t: ScalarLike, *labels: Any) -> Point:
        """The function at one point.

        Raises:
            ValueError: It gives another shape, or no floats (tried on two points of
                halves where x is traced, when it is traced).
        """
        t = jnp.asarray(t, x.dtype)
        if not is_concrete(x, t, labels):
            # What is raised within a compiled program is no ValueError any more.
            half = lambda shape: np.full(shape, 0.5, x.dtype)
            tried = [np.zeros((2, *np.shape(v)), v.dtype) for v in labels]
            self.call(half((2, x.size)), half((2,)), *tried)
        width = jnp.asarray(self.process.sigma(t), x.dtype)
        # At a clean end: units of the data.
        width = jnp.where(width > 0, width, 1)
        step = self.step or float(jnp.finfo(x.dtype).eps) ** (1 / 3)
        return _call(self.call, x, t, labels, width * jnp.asarray(step, x.dtype))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _call(
    call: _OnHost,
    x: Point,
    t: Float[Array, ""],
    labels: Labels,
    step: Float[Array, ""],
) -> Point:
    """The function at one point; `step` is that of its derivative."""
    if is_concrete(x, t, labels):
        return jnp.asarray(call(x, t, *labels))
    shape, method = jax.ShapeDtypeStruct(x.shape, x.dtype), "broadcast_all"
    # On a CPU `pure_callback` copies arrays above 100 kB on the threads that wait for
    # it: on four devices and two cores, a block of 64 points of 3072 never came back.
    return jax.lax.platform_dependent(
        *(x, t, *labels),
        cpu=buffer_callback(call.into, shape, vmap_method=method),
        default=lambda *args: jax.pure_callback(call, shape, *args, vmap_method=method),
    )


@_call.defjvp
def _call_jvp(call, primals, tangents):
    x, t, labels, step = primals
    dx, dt, _, _ = tangents
    # Both at once: points and times that move together are one direction. Time moves
    # by as small a part of itself, or of a thousandth where it is zero.
    eps = jnp.asarray(float(jnp.finfo(x.dtype).eps) ** (1 / 3), x.dtype)
    length = jnp.linalg.norm(dx) / step
    length = jnp.maximum(length, jnp.abs(dt) / (eps * jnp.maximum(jnp.abs(t), 1e-3)))
    # Derivatives of this rule take the step as it is.
    h = jax.lax.stop_gradient(1 / jnp.where(length > 0, length, 1))
    at = jax.vmap(lambda x, t: _call(call, x, t, labels, step))
    ends = at(jnp.stack([x + h * dx, x - h * dx]), jnp.stack([t + h * dt, t - h * dt]))
    return _call(call, x, t, labels, step), (ends[0] - ends[1]) / (2 * h)
