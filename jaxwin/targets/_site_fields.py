"""Two symbols a site, as spins -1 and +1 in fields: h is half the log-odds of +1.

Both laws of spins here ask one thing over and over: what a field h says where the law
expects a magnetisation tanh(g), E[exp(h a)] / cosh(h) = 1 + tanh(g) tanh(h).
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._typing import Key

LOG_TWO = float(np.log(2))


def site_fields(
    possible_logits: Float[Array, "n 2"],
) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    """Log-evidence of independent even spins, and the fields.

    sum_a prod_i exp(logits[i, a_i]) / 2 does not depend on the law and is left out of
    what follows: nothing of its size cancels.
    """
    below, above = possible_logits[:, 0], possible_logits[:, 1]
    even = jnp.sum(jnp.logaddexp(below, above) - LOG_TWO)
    return even, 0.5 * (above - below)


@jax.custom_jvp
def spin_marginals(fields: Float[Array, "..."]) -> Float[Array, "... 2"]:
    """Probabilities of spin -1 and +1 in a field, both to full relative precision."""
    return jax.nn.sigmoid(2 * jnp.stack([-fields, fields], axis=-1))


@spin_marginals.defjvp
def _spin_marginals_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """By p (1 - p) as a product of both; jax's own rule rounds 1 - p."""
    marginals = spin_marginals(*primals)
    slope = 2 * jnp.prod(marginals, axis=-1) * tangents[0]
    return marginals, jnp.stack([-slope, slope], axis=-1)


@jax.custom_jvp
def log_agreement(g: Array, h: Array) -> Array:
    """log(1 + tanh g tanh h), broadcast, to full precision at any g and h.

    Opposite fields leave e^{-2 |g|} / c(g) + tanh|g| e^{-2 |h|} / c(h) of positive
    terms, c(y) = (1 + e^{-2 |y|}) / 2, here with the larger exponential taken out.
    """
    product = jnp.tanh(g) * jnp.tanh(h)
    g_size, h_size = jnp.abs(g), jnp.abs(h)
    near, far = 2 * jax.nn.sigmoid(2 * g_size), 2 * jax.nn.sigmoid(2 * h_size)
    far = jnp.tanh(g_size) * far
    less = jnp.exp(-2 * jnp.abs(g_size - h_size))
    opposed = jnp.where(g_size < h_size, near + far * less, near * less + far)
    opposite = product < -0.5
    out = jnp.where(opposite, -2 * jnp.minimum(g_size, h_size), 0)
    return jnp.log(jnp.where(opposite, opposed, 1 + product)) + out


@log_agreement.defjvp
def _log_agreement_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """tanh(g + h) - tanh(g) = tanh(h) sech(g)^2 / (1 + tanh g tanh h), and so for h."""
    (g, h), (g_dot, h_dot) = primals, tangents
    value = log_agreement(g, h)
    along_g = jnp.tanh(h) * jnp.exp(_log_sech_sq(g) - value)
    along_h = jnp.tanh(g) * jnp.exp(_log_sech_sq(h) - value)
    return value, along_g * g_dot + along_h * h_dot


@jax.custom_jvp
def passed_on(u: Array, coupling: Array) -> Array:
    """Field that a spin in field u hands on through a coupling, at any size of both.

    atanh(tanh(coupling) tanh(u)) = (log cosh(u + coupling) - log cosh(u - coupling))/2
    """
    reach = jnp.abs(coupling)
    linear = jnp.sign(coupling) * jnp.clip(u, -reach, reach)
    return linear + 0.5 * (_tail(u + coupling) - _tail(u - coupling))


@passed_on.defjvp
def _passed_on_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (u, coupling), (u_dot, coupling_dot) = primals, tangents
    slope = _slope(u, coupling) * u_dot + _slope(coupling, u) * coupling_dot
    return passed_on(u, coupling), slope


def _slope(a: Array, b: Array) -> Array:
    """(tanh(a + b) - tanh(a - b)) / 2 = sinh(2 b) / (2 cosh(a + b) cosh(a - b))."""
    decay = jnp.exp(-2 * jnp.maximum(jnp.abs(a) - jnp.abs(b), 0))
    ends = jax.nn.sigmoid(2 * jnp.abs(a + b)) * jax.nn.sigmoid(2 * jnp.abs(a - b))
    return jnp.tanh(2 * b) * (1 + jnp.exp(-4 * jnp.abs(b))) * decay * ends


def _tail(field: Array) -> Array:
    """log(2 cosh) less its straight lines."""
    return jnp.log1p(jnp.exp(-2 * jnp.abs(field)))


def _log_sech_sq(field: Array) -> Array:
    return 2 * (LOG_TWO - jnp.abs(field) - _tail(field))


def spins_of(key: Key, fields: Float[Array, " n"]) -> Int[Array, " n"]:
    """Independent symbols 0, 1 (spins -1, +1), the second of log-odds 2 `fields`."""
    return jr.bernoulli(key, jax.nn.sigmoid(2 * fields)).astype(jnp.int32)


def two_values(
    values: Float[Array, " q"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Middle and half the distance of the values of two symbols."""
    if values.shape != (2,):
        raise ValueError(
            f"`values` has shape {values.shape}; spins have two symbols: give (2,)."
        )
    return (values[0] + values[1]) / 2, (values[1] - values[0]) / 2


def check_num_spins(num_spins: int) -> int:
    """`num_spins`, refused unless it is a whole number >= 2.

    Raises:
        ValueError: It is not.
    """
    if isinstance(num_spins, bool) or not isinstance(num_spins, int | np.integer):
        raise ValueError(
            f"`num_spins` is {num_spins!r}; it must be a whole number >= 2."
        )
    if num_spins < 2:
        raise ValueError(
            f"`num_spins` is {num_spins}; it must be at least 2: take more spins."
        )
    return int(num_spins)
