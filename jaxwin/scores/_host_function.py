"""Plain Python functions with derivatives by differences."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxwin._checks import check_positive
from jaxwin._host import OnHost, check_hashable
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess

Labels = tuple[Shaped[Array, "..."], ...]


class HostFunction(eqx.Module):
    """A Python function of (x, t) or (x, t, label) that JAX programs call on the host.

    As `OnHost`; a function of blocks (`batched`) gets points (b, d) and times (b,).
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

    function: Callable[..., Any] = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
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
        check_hashable(function, "function")
        self.function, self.batched = function, batched
        self.process, self.step = process, step

    def __call__(self, x: Point, t: ScalarLike, *labels: Any) -> Point:
        """The function at one point.

        Raises:
            ValueError: As `OnHost`.
        """
        t = jnp.asarray(t, x.dtype)
        call = OnHost(
            self.function, self.batched, jax.ShapeDtypeStruct(x.shape, x.dtype)
        )
        width = jnp.asarray(self.process.sigma(t), x.dtype)
        # At a clean end: units of the data.
        width = jnp.where(width > 0, width, 1)
        step = self.step or float(jnp.finfo(x.dtype).eps) ** (1 / 3)
        return _call(call, x, t, labels, width * jnp.asarray(step, x.dtype))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _call(
    call: OnHost,
    x: Point,
    t: Float[Array, ""],
    labels: Labels,
    step: Float[Array, ""],
) -> Point:
    """The function at one point; `step` is that of its derivative."""
    return call(x, t, *labels)


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
