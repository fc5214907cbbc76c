"""What a random-feature network's activation amounts to: four Gaussian averages.

Random features f(W x / sqrt(d)) of noised data x = alpha a + sigma z, a ~ N(0, s_a^2),
act like Gaussian ones with the same second moments. In Hermite orders

    f(sqrt(G) y) = sum_k c_k h_k(y),  y ~ N(0, 1),  G = alpha^2 s_a^2 + sigma^2,

the part that the data fix has E_a[(E_z f)^2] = sum_k c_k^2 rho^k (Mehler), with
rho = alpha^2 s_a^2 / G. Sums of squares: nothing cancels at small or large times.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import require
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.io import field

# Trapezoid rule in y: Gaussian averages of what is smooth on the scale of a step.
REACH, STEP = 13.0, 0.02
# Hermite orders kept. Those of tanh fall like exp(-pi sqrt(2 k)) in square.
ORDERS = 1024


class FeatureConstants(eqx.Module):
    """Constants of the equivalent Gaussian features, at one OU time.

        slope      a = E[f'],            along x
        noise      b = sigma a,          along the noise z
        data_sq    v^2 = E_a[(E_z f)^2] - (E f)^2 - alpha^2 s_a^2 a^2,  of a data point
        rest_sq    s^2 = E[f^2] - (E f)^2 - G a^2 - v^2,  fresh for every noise

    second_moment = E[f^2]. `mean` = E[f] is zero for odd activations; otherwise it
    makes a single large eigenvalue, and v^2 leaves it out. `unresolved`: square norm of
    the Hermite orders beyond those kept, by which v^2 and s^2 together fall short.
    """

    time: Float[Array, ""] = field((), "OU time")
    data_std: Float[Array, ""] = field((), "data units", "s_a")
    slope: Float[Array, ""] = field((), "", "a")
    noise: Float[Array, ""] = field((), "", "b")
    data_sq: Float[Array, ""] = field((), "", "v^2")
    rest_sq: Float[Array, ""] = field((), "", "s^2")
    second_moment: Float[Array, ""] = field((), "", "E[f^2]")
    mean: Float[Array, ""] = field((), "", "E[f]")
    unresolved: Float[Array, ""] = field((), "", "of the second moment")


def constants(
    time: ScalarLike,
    activation: Callable[[Array], Array] = jnp.tanh,
    data_std: ScalarLike = 1.0,
) -> FeatureConstants:
    """Constants a, b, v^2 and s^2 of an activation, for Gaussian data.

    By the trapezoid rule for Hermite functions: exact to rounding, relative to each
    constant, for activations that are smooth on the scale 0.1; one with a kink at 0
    (ReLU) to about 1e-4. Differentiable in `time` and `data_std`.

    Args:
        time: OU time, > 0.
        activation: Of an array, elementwise.
        data_std: Standard deviation s_a of the data in each coordinate, > 0.

    Raises:
        ValueError: `time` or `data_std` not finite and positive; an activation that
            changes the shape, or is not finite between -13 and 13 standard deviations.

    References:
        Bonnaire, Urfin, Biroli & Mezard (2025), arXiv:2505.17638 (the matrix U).
    """
    positive = lambda v: (v > 0) & (v < np.inf)
    message = "`{}` must be finite and positive."
    t = require(as_float(time), positive, message.format("time"))
    std = as_float(data_std).astype(t.dtype)
    std = require(std, positive, message.format("data_std"))
    noise_sq = -jnp.expm1(-2 * t)
    signal_sq = (std * jnp.exp(-t)) ** 2
    total = signal_sq + noise_sq
    c, second_moment = _hermite(activation, jnp.sqrt(total))
    orders = jnp.arange(ORDERS, dtype=t.dtype)[2:]
    log_rho = -jnp.log1p(jnp.expm1(2 * t) / std**2)
    slope = c[1] / jnp.sqrt(total)
    return FeatureConstants(
        time=t,
        data_std=std,
        slope=slope,
        noise=jnp.sqrt(noise_sq) * slope,
        data_sq=jnp.sum(c[2:] ** 2 * jnp.exp(orders * log_rho)),
        rest_sq=jnp.sum(c[2:] ** 2 * -jnp.expm1(orders * log_rho)),
        second_moment=second_moment,
        mean=c[0],
        unresolved=jnp.maximum(second_moment - jnp.sum(c**2), 0),
    )


def _hermite(
    activation: Callable[[Array], Any], std: Float[Array, ""]
) -> tuple[Float[Array, " k"], Float[Array, ""]]:
    """Coefficients c_k = E[f(std y) h_k(y)], h_k of unit norm, and E[f(std y)^2].

    By the Hermite functions h_k sqrt(density), which stay of order one where h_k and
    the density alone leave the range of a float.
    """
    half = round(REACH / STEP)
    y = STEP * jnp.arange(-half, half + 1, dtype=std.dtype)
    root = jnp.exp(-0.25 * y**2) / (2 * jnp.pi) ** 0.25
    values = activation(std * y)
    if getattr(values, "shape", None) != y.shape:
        raise ValueError(
            f"`activation` makes {getattr(values, 'shape', type(values))} of an array "
            f"of shape {y.shape}; it must act on each element: use `jnp.vectorize`."
        )
    message = (
        "`activation` must be finite from -13 to 13 standard deviations of its "
        "argument."
    )
    weighted = STEP * root * require(values, lambda v: abs(v) < np.inf, message)
    return _coefficients(weighted, y, root), jnp.sum(weighted * root * values)


@jax.jit
def _coefficients(
    weighted: Float[Array, " m"], y: Float[Array, " m"], root: Float[Array, " m"]
) -> Float[Array, " k"]:
    """Sums of `weighted` with the Hermite functions, by their recursion."""

    def next_order(pair: tuple[Array, Array], k: Array):
        old, now = pair
        new = (y * now - jnp.sqrt(k) * old) / jnp.sqrt(k + 1)
        return (now, new), jnp.sum(weighted * now)

    orders = jnp.arange(ORDERS, dtype=y.dtype)
    return jax.lax.scan(next_order, (jnp.zeros_like(y), root), orders)[1]
