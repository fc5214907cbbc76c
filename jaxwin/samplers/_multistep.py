"""Multistep methods: what they remember, and exponential integrals of a polynomial."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin.samplers._base import Points

# Below this h moments come from quadrature: their recursion would cancel.
SHORT = 1.0
NODES = 10


class History(eqx.Module):
    """Predictions at earlier times, latest first, and half the log-SNR of each time.

    Of the entries only the first `count` are there yet; it stops counting when full.
    """

    values: Float[Array, "m *b d"]
    places: Float[Array, " m"]
    count: Int[Array, ""]

    @classmethod
    def empty(cls, x: Points, size: int) -> "History":
        """Nothing remembered."""
        values, places = jnp.zeros((size, *x.shape), x.dtype), jnp.zeros(size, x.dtype)
        return cls(values, places, jnp.zeros((), jnp.int32))

    def push(self, value: Points, place: Float[Array, ""]) -> "History":
        """The latest in front, the oldest forgotten."""
        place = jnp.asarray(place, self.places.dtype)
        return History(
            jnp.concatenate([value[None], self.values])[:-1],
            jnp.concatenate([place[None], self.places])[:-1],
            jnp.minimum(self.count + 1, self.places.size),
        )

    def combined(self, weights: Float[Array, " m"]) -> Points:
        """The weighted sum of the entries."""
        terms = (w * value for w, value in zip(weights, self.values, strict=True))
        return sum(terms, jnp.zeros_like(self.values[0]))


def growing_moments(h: Float[Array, ""], count: int) -> Float[Array, " m"]:
    """Integrals over r in [0, 1] of h e^{-h (1 - r)} r^j: those of a frozen denoiser.

    Their sum rule is m_0 = 1 - e^-h, m_j = 1 - j m_{j-1} / h.
    """
    nodes, weights = _gauss(h.dtype)
    kernel = weights * h * jnp.exp(-h * (1 - nodes))
    moments = [-jnp.expm1(-h)]
    for j in range(1, count):
        far = 1 - j * moments[-1] / jnp.maximum(h, SHORT)
        moments.append(jnp.where(h < SHORT, jnp.sum(kernel * nodes**j), far))
    return jnp.stack(moments)


def falling_moments(h: Float[Array, ""], count: int) -> Float[Array, " m"]:
    """Integrals over r in [0, 1] of h e^{-h r} r^j: those of a frozen noise.

    Their sum rule is m_0 = 1 - e^-h, m_j = j m_{j-1} / h - e^-h.
    """
    nodes, weights = _gauss(h.dtype)
    kernel = weights * h * jnp.exp(-h * nodes)
    moments = [-jnp.expm1(-h)]
    for j in range(1, count):
        far = j * moments[-1] / jnp.maximum(h, SHORT) - jnp.exp(-h)
        moments.append(jnp.where(h < SHORT, jnp.sum(kernel * nodes**j), far))
    return jnp.stack(moments)


def interpolating_weights(
    nodes: Float[Array, " m"], available: Int[Array, ""], moments: Float[Array, " m"]
) -> Float[Array, " m"]:
    """Weights w: sum_k w_k p(r_k) is the integral of p, of degree below `available`.

    The polynomial passes through the first `available` nodes; the others get weight 0.
    """
    index = jnp.arange(nodes.size, dtype=jnp.int32)
    there = index < available
    nodes = jnp.where(there, nodes, 0)
    powers = jnp.stack([nodes**j for j in range(nodes.size)])
    matrix = jnp.where(there[:, None], powers, jnp.eye(nodes.size, dtype=nodes.dtype))
    return jnp.linalg.solve(matrix, jnp.where(there, moments, 0))


def _gauss(dtype: jnp.dtype) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return jnp.asarray((nodes + 1) / 2, dtype), jnp.asarray(weights / 2, dtype)
