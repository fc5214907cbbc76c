"""A feature of labelled data: which labels make a class, and pairs of classes."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real

# Of JAX inside a pass, of numpy after it.
AnyKind = TypeVar("AnyKind", np.ndarray, Array)


class Feature(eqx.Module):
    """Classes of one feature as groups of joint labels, and pairs of its classes.

    Several features of one data set share a pass: every combination of their classes
    that occurs is a joint label, and `of_label` is the class of each.
    """

    of_label: tuple[int, ...] = eqx.field(static=True)
    pairs: Int[np.ndarray | Array, "p 2"]

    @classmethod
    def of_labels(cls, num_labels: int) -> "Feature":
        """Every label a class, without pairs."""
        return cls(tuple(range(num_labels)), np.zeros((0, 2), np.int32))

    def alone(self) -> "Feature":
        """The feature without its pairs."""
        return Feature(self.of_label, self.pairs[:0])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return max(self.of_label) + 1

    def count(self, labels: Real[np.ndarray | Array, " *s l"]) -> Float[Array, " *s c"]:
        """Sums over the labels of each class."""
        member = np.eye(self.num_classes)[list(self.of_label)]
        counts = jnp.asarray(labels).astype(jnp.result_type(float))
        return jnp.matmul(counts, member.astype(counts.dtype), precision="highest")

    def log_sum(
        self, masses: Float[np.ndarray | Array, " *s l"]
    ) -> Float[Array, " *s c"]:
        """Log of the summed exponentials of each class's labels."""
        masses, of_label = jnp.asarray(masses), np.asarray(self.of_label)
        if of_label.size == self.num_classes:
            return masses[..., np.argsort(of_label)]
        each = [
            jax.nn.logsumexp(masses[..., of_label == c], axis=-1)
            for c in range(self.num_classes)
        ]
        return jnp.stack(each, axis=-1)

    def purity(self, masses: Float[np.ndarray | Array, " *s l"]) -> Float[Array, " *s"]:
        """Sum of squared posterior probabilities of the classes."""
        log_posterior = jax.nn.log_softmax(self.log_sum(masses))
        return jnp.sum(jnp.exp(2 * log_posterior), axis=-1)

    def pair_purity(
        self,
        masses: Float[Array, " *s l"],
        counts: Real[Array, " *#s l"],
        label: Int[Array, ""],
    ) -> tuple[Float[Array, "p ..."], Float[Array, "p 2"]]:
        """Purity in each pair at equal weights, and which side the draw is of.

        Args:
            masses: Log of the weight of each label at the noised point.
            counts: Data points of each label.
            label: Of the noised point; the purity of pairs without it means nothing.
        """
        masses, pairs = self.log_sum(masses), jnp.asarray(self.pairs)
        own = jnp.asarray(self.of_label, pairs.dtype)[label]
        side = (pairs == own).astype(masses.dtype)
        log_likelihood = masses - jnp.log(self.count(counts).astype(masses.dtype))
        first, second = (log_likelihood[..., pairs[:, i]] for i in (0, 1))
        odds = jnp.moveaxis(first - second, -1, 0)
        here = side.any(axis=1).reshape((-1,) + (1,) * (odds.ndim - 1))
        return pair_purity(jnp.tanh(jnp.where(here, odds, 0) / 2)), side


def pair_purity(tanh: Float[AnyKind, " *s"]) -> Float[AnyKind, " *s"]:
    """p^2 + (1 - p)^2 for p of log-odds u, from tanh(u / 2)."""
    return (1 + tanh**2) / 2
