"""Beliefs about a leaf of which the truth is known: what a channel leaves of it.

Symbol 0 stands for the true one. A belief is p(observation | symbol), normalised.
"""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._checks import check
from jaxwin._typing import Key


class AbstractLeaves(eqx.Module):
    """Random beliefs of the leaves of a tree, each about a true symbol 0.

    Args:
        v: Number of symbols, at least 2.

    Raises:
        ValueError: Fewer than 2 symbols.
    """

    largest_noise: ClassVar[float] = 1.0
    v: int = eqx.field(static=True)

    def __check_init__(self):
        check(self.v, lambda v: v >= 2, "v", "a number of symbols, at least 2")

    @abc.abstractmethod
    def __call__(
        self, key: Key, noise: Float[Array, ""], count: int
    ) -> Float[Array, "n v"]:
        """Independent beliefs of `count` leaves, in the float type of `noise`."""


class EpsBeliefLeaves(AbstractLeaves):
    """Beliefs tilted to the truth: 1 - eps + eps / v in it, eps / v in the others.

    Not a channel: nothing is random, and no belief is ever wrong.

    References:
        Sclocchi, Favero & Wyart, arXiv:2402.16991 (their simplified process).
    """

    def __call__(
        self, key: Key, noise: Float[Array, ""], count: int
    ) -> Float[Array, "n v"]:
        """The same belief `count` times at noise eps in [0, 1]."""
        belief = _spread(_true(self.v, noise), noise)
        return jnp.broadcast_to(belief[None], (count, self.v))


class GaussianLeaves(AbstractLeaves):
    """One-hots seen through Gaussian noise: softmax of g 1[a = 0] + sqrt(g) z_a.

    The noise argument is the SNR g = abar / (1 - abar), here the larger the cleaner.
    """

    largest_noise: ClassVar[float] = math.inf

    def __call__(
        self, key: Key, noise: Float[Array, ""], count: int
    ) -> Float[Array, "n v"]:
        """Beliefs of `count` leaves at SNR `noise` >= 0."""
        z = jr.normal(key, (count, self.v), noise.dtype)
        logits = noise * _true(self.v, noise)[None] + jnp.sqrt(noise) * z
        return jax.nn.softmax(logits)


class MaskedLeaves(AbstractLeaves):
    """Leaves erased with probability f: flat beliefs then, else the truth."""

    def __call__(
        self, key: Key, noise: Float[Array, ""], count: int
    ) -> Float[Array, "n v"]:
        """Beliefs of `count` leaves at a masked fraction `noise` in [0, 1]."""
        masked = jr.uniform(key, (count,), noise.dtype) < noise
        flat = jnp.full(self.v, 1 / self.v, noise.dtype)
        return jnp.where(masked[:, None], flat[None], _true(self.v, noise)[None])


class CorruptedLeaves(AbstractLeaves):
    """Leaves replaced by a uniform symbol with probability eps.

    The belief is 1 - eps + eps / v in the symbol that is seen, true or not.
    """

    def __call__(
        self, key: Key, noise: Float[Array, ""], count: int
    ) -> Float[Array, "n v"]:
        """Beliefs of `count` leaves at corruption `noise` in [0, 1]."""
        replaced_key, symbol_key = jr.split(key)
        replaced = jr.uniform(replaced_key, (count,), noise.dtype) < noise
        other = jr.randint(symbol_key, (count,), 0, self.v)
        seen = jnp.where(replaced, other, 0)
        return _spread(jax.nn.one_hot(seen, self.v, dtype=noise.dtype), noise)


def _true(v: int, like: Float[Array, ""]) -> Float[Array, " v"]:
    """Certainty of symbol 0."""
    return jax.nn.one_hot(0, v, dtype=like.dtype)


def _spread(
    beliefs: Float[Array, "... v"], noise: Float[Array, ""]
) -> Float[Array, "... v"]:
    """A share `noise` of beliefs spread over all symbols."""
    return (1 - noise) * beliefs + noise / beliefs.shape[-1]
