"""What an observation tells of the word, of each level, and by how much it errs."""

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
from jaxwin.targets._words import is_symbol

LEVELS = ("noise", "level")


class HierarchyInformation(eqx.Module):
    """Mutual information in nats, per noise.

    word: I(x0; x). nodes: I(symbol of a node; x), averaged over the nodes of a level;
    the root's is the class's. squared_error: E|x0 - E[x0 | x]|^2 of one-hots, with
    which dI / d SNR = squared_error / 2 on the Gaussian channel.
    """

    count: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    word: Float[np.ndarray, " t"] = field(("noise",), "nats")
    word_stderr: Float[np.ndarray, " t"] = field(("noise",), "nats")
    nodes: Float[np.ndarray, "t l"] = field(LEVELS, "nats")
    nodes_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "nats")
    squared_error: Float[np.ndarray, " t"] = field(("noise",), "one-hots squared")
    squared_error_stderr: Float[np.ndarray, " t"] = field(
        ("noise",), "one-hots squared"
    )


def hierarchy_information(
    law: RandomHierarchy,
    channel: AbstractChannel,
    noises: AnyArray,
    *,
    num_draws: int = 8192,
    key: Key | None = None,
    block_size: int = 32,
    **options: Any,
) -> HierarchyInformation:
    """I(x0; x) = E[log p(x | x0) - log p(x)], and the entropies of exact marginals.

    Args:
        law: The hierarchy.
        channel: A Bayesian channel.
        noises: Of the channel, increasing.
        num_draws: Observations a noise; all noises share words and random numbers.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Observations at once.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Noises that do not increase or lie outside of the channel; fewer
            than 4; a channel without posteriors (`EpsilonBelief`).

    References:
        Guo, Shamai & Verdu, arXiv:cs/0412108 (I-MMSE).
    """
    noises = checked_noises(channel, noises, posterior=True)
    nothing = jnp.zeros((law.num_symbols, law.num_sites, 1), law.log_weights.dtype)
    noise = jnp.asarray(noises, law.log_weights.dtype)
    replica = _Replica(law, channel, noise, _prior_entropies(law, nothing))
    key = jr.key(0) if key is None else key
    estimate = run(replica, num_draws, key, block_size=block_size, **options)
    word, nodes, error = estimate.mean
    word_stderr, nodes_stderr, error_stderr = estimate.stderr
    return HierarchyInformation(
        noise=noises,
        word=word,
        word_stderr=word_stderr,
        nodes=nodes,
        nodes_stderr=nodes_stderr,
        squared_error=error,
        squared_error_stderr=error_stderr,
        count=estimate.count,
    )


class _Replica(eqx.Module):
    law: RandomHierarchy
    channel: AbstractChannel
    noises: Float[Array, " t"]
    entropies: Float[Array, " l"]

    def __call__(
        self, key: Key, replica: Int[Array, ""]
    ) -> tuple[Float[Array, " t"], Float[Array, "t l"], Float[Array, " t"]]:
        """Log-ratio of the word, information of nodes, squared error, per noise."""
        law = self.law
        tree_key, noise_key = jr.split(jr.fold_in(key, replica))
        word = law.sample_tree(tree_key)[-1]
        drawn = self.channel.draw_noise(law, noise_key)

        def at(noise: Array) -> tuple[Array, Array, Array]:
            leaves = self.channel.word_logits(law, word, drawn, noise)[..., None]
            # Relative to the true symbols: log p(x | x0) is then zero, and no number
            # of the size of all evidence is taken from another. Zero to the bit: a
            # compiler may round the two sides of the difference in two ways.
            own = at_symbols(leaves, word[:, None])[None]
            true = is_symbol(word, law.num_symbols)[..., None]
            up = law.upward(jnp.where(true, 0, leaves - own))
            marginals = law.marginals_of(up)
            log_ratio = -law.log_evidence_of(up)[0]
            of_word, leaf = at_symbols(marginals[-1], word[:, None]), marginals[-1]
            squares = jnp.sum(leaf**2) + jnp.sum(1 - 2 * of_word)
            return log_ratio, self.entropies - _entropies(marginals), squares

        return jax.lax.map(at, self.noises)


@eqx.filter_jit
def _prior_entropies(
    law: RandomHierarchy, nothing: Float[Array, "q n 1"]
) -> Float[Array, " l"]:
    return _entropies(law.marginals_of(law.upward(nothing)))


def _entropies(marginals: tuple[Float[Array, "_ _ b"], ...]) -> Float[Array, " l"]:
    """Mean entropies of the nodes of each level, in nats."""
    entropy = lambda p: -jnp.sum(jax.scipy.special.xlogy(p, p), axis=0).mean()
    return jnp.stack([entropy(one) for one in marginals])
