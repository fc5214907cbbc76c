"""Belief in the true symbol from below alone, which mean-field theory predicts."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.hierarchy._turns import at_symbols, checked_noises
from jaxwin.channels import AbstractChannel
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.targets import RandomHierarchy

LEVELS = ("noise", "level")


class UpwardBeliefs(eqx.Module):
    """E[u_l(true symbol)], averaged over the nodes of a level, 0 the root."""

    count: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    belief: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")


def upward_beliefs(
    law: RandomHierarchy,
    channel: AbstractChannel,
    noises: AnyArray,
    *,
    num_draws: int = 2048,
    key: Key | None = None,
    block_size: int = 16,
    **options: Any,
) -> UpwardBeliefs:
    """Mean normalised upward messages at the true symbols, without the root's prior.

    Args:
        law: The hierarchy.
        channel: Any; for `EpsilonBelief` mean-field theory is `posterior_chain`.
        noises: Of the channel, increasing.
        num_draws: Words a noise.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Words at once.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Noises that do not increase or lie outside of the channel.

    References:
        arXiv:2402.16991.
    """
    noises = checked_noises(channel, noises, posterior=False)
    flat = eqx.tree_at(
        lambda law: law.log_weights, law, jnp.zeros_like(law.log_weights)
    )
    replica = _Replica(law, flat, channel, jnp.asarray(noises, law.log_weights.dtype))
    key = jr.key(0) if key is None else key
    estimate = run(replica, num_draws, key, block_size=block_size, **options)
    return UpwardBeliefs(estimate.count, noises, estimate.mean, estimate.stderr)


class _Replica(eqx.Module):
    law: RandomHierarchy
    flat: RandomHierarchy
    channel: AbstractChannel
    noises: Float[Array, " t"]

    def __call__(self, key: Key, replica: Int[Array, ""]) -> Float[Array, "t l"]:
        """Beliefs of one word at every noise."""
        tree_key, noise_key = jr.split(jr.fold_in(key, replica))
        tree = self.law.sample_tree(tree_key)
        drawn = self.channel.draw_noise(self.law, noise_key)

        def at(noise: Array) -> Array:
            leaves = self.channel.word_logits(self.law, tree[-1], drawn, noise)
            messages = self.flat.upward(leaves[..., None]).messages
            beliefs = (jax.nn.softmax(message, axis=0) for message in messages)
            own = [
                at_symbols(belief, symbols[:, None]).mean()
                for belief, symbols in zip(beliefs, tree, strict=True)
            ]
            return jnp.stack(own)

        return jax.lax.map(at, self.noises)
