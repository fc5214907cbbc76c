"""How weights begin: drawn on the host, where no shape costs a compilation."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, DTypeLike, Shaped

from jaxwin._typing import Key


def scaled(
    key: Key, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, **options: object
) -> Shaped[Array, "..."]:
    """Gaussian entries of variance 1 / n, n the inputs of each output.

    The initialisers of flax compile a program for each shape: half a minute for a
    U-Net.
    """
    del options
    words = np.asarray(jr.key_data(key)).tolist()
    drawn = np.random.default_rng(words).standard_normal(shape)
    return jnp.asarray(drawn / math.sqrt(math.prod(shape[:-1])), dtype)


def zero(
    key: Key, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, **options: object
) -> Shaped[Array, "..."]:
    """Zeros, for layers that shall say nothing at first."""
    del key, options
    return jnp.asarray(np.zeros(shape), dtype)


def spread(
    key: Key, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, **options: object
) -> Shaped[Array, "..."]:
    """Gaussian entries of variance 1 / m, m the numbers of a row: rows of length 1."""
    return scaled(key, shape[::-1], dtype, **options).T
