"""New class, old parts: what is kept of each level where the class has changed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.hierarchy._jackknife import jackknife
from jaxwin.analysis.hierarchy._turns import at_symbols, checked_noises, level_means
from jaxwin.channels import AbstractChannel
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.targets import RandomHierarchy

LEVELS = ("noise", "level")


class Recomposition(eqx.Module):
    """P(symbol of a level unchanged | the class changed), levels 1 ... L.

    kept: after a U-turn at each noise, null where the class never changes. independent:
    the same of two independent trees with different roots, exact. class_changed: how
    often the class changes.
    """

    count: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    kept: Float[np.ndarray, "t l"] = field(LEVELS, "probability", nullable=True)
    kept_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability", nullable=True)
    independent: Float[np.ndarray, " l"] = field(("level",), "probability")
    class_changed: Float[np.ndarray, " t"] = field(("noise",), "probability")
    class_changed_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")


def recomposition(
    law: RandomHierarchy,
    channel: AbstractChannel,
    noises: AnyArray,
    *,
    num_turns: int = 8192,
    key: Key | None = None,
    block_size: int = 32,
    **options: Any,
) -> Recomposition:
    """What U-turns that change the class keep of each level, by exact posteriors.

    E[P(node unchanged, root changed | x)] / E[P(root changed | x)]: the root is clamped
    to the other classes, which averages of single-node marginals cannot give. Errors
    are of the ratio, by leaving out one block at a time.

    Args:
        law: The hierarchy.
        channel: A Bayesian channel.
        noises: Of the channel, increasing.
        num_turns: Observations a noise.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Observations at once.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Noises that do not increase or lie outside of the channel; fewer
            than 4; a channel without posteriors (`EpsilonBelief`).

    References:
        arXiv:2402.16991 (low levels are kept and recomposed into another class).
    """
    noises = checked_noises(channel, noises, posterior=True)
    dtype = law.log_weights.dtype
    replica = _Replica(law, channel, jnp.asarray(noises, dtype))
    key = jr.key(0) if key is None else key
    estimate = run(replica, num_turns, key, block_size=block_size, **options)
    ratio, error = jackknife(estimate, _ratio)
    return Recomposition(
        noise=noises,
        kept=ratio,
        kept_stderr=error,
        independent=independent_recomposition(law),
        class_changed=estimate.mean[0],
        class_changed_stderr=estimate.stderr[0],
        count=estimate.count,
    )


def independent_recomposition(law: RandomHierarchy) -> Float[np.ndarray, " l"]:
    """P(symbol of a level the same | roots differ) of two independent trees, exact.

    With P_y the law of a node given the root's symbol y, averaged over nodes,
    sum_{y != z} w_y w_z sum_a P_y(a) P_z(a) / sum_{y != z} w_y w_z.
    """
    nothing = jnp.zeros((law.num_symbols, law.num_sites, 1), law.log_weights.dtype)
    return np.array(_kept_by_chance(law, nothing), float)


@eqx.filter_jit
def _kept_by_chance(
    law: RandomHierarchy, nothing: Float[Array, "q n 1"]
) -> Float[Array, " l"]:
    up, weights = law.upward(nothing), jnp.exp(law.log_weights)
    from_root = lambda root: law.marginals_of(up, root[:, None, None])
    each = jax.vmap(from_root)(jnp.diag(weights))[1:]
    both = lambda one: jnp.sum(one.sum(axis=0) ** 2 - jnp.sum(one**2, axis=0), axis=0)
    found = jnp.stack([jnp.mean(both(one)) for one in each])
    return found / (1 - jnp.sum(weights**2))


class _Replica(eqx.Module):
    law: RandomHierarchy
    channel: AbstractChannel
    noises: Float[Array, " t"]

    def __call__(
        self, key: Key, replica: Int[Array, ""]
    ) -> tuple[Float[Array, " t"], Float[Array, "t l"]]:
        """P(root changed), and P(node unchanged, root changed) by level, per noise."""
        law = self.law
        tree_key, noise_key = jr.split(jr.fold_in(key, replica))
        tree = law.sample_tree(tree_key)
        drawn = self.channel.draw_noise(law, noise_key)
        truth = tuple(level[:, None] for level in tree)
        sizes = np.array([level.size for level in tree[1:]])

        def at(noise: Array) -> tuple[Array, Array]:
            leaves = self.channel.word_logits(law, tree[-1], drawn, noise)
            up = law.upward(leaves[..., None])
            classes = jnp.arange(law.num_labels, dtype=jnp.int32)
            other = classes[:, None, None] != truth[0][None]
            root = jnp.where(other, law.root_of(up), 0)
            joint = law.marginals_of(up, root)
            kept = map(at_symbols, joint[1:], truth[1:])
            return root.sum(), level_means(sizes, jnp.concatenate(list(kept)))[:, 0]

        return jax.lax.map(at, self.noises)


def _ratio(means: tuple[np.ndarray, np.ndarray], count: Any) -> np.ndarray:
    del count
    changed, kept = means
    with np.errstate(invalid="ignore", divide="ignore"):
        return kept / changed[..., None]
