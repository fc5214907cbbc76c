"""The same experiment on laws without a hierarchy: chi of flat mixtures and chains."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.hierarchy._correlations import correlations
from jaxwin.analysis.hierarchy._jackknife import jackknife
from jaxwin.analysis.hierarchy._turns import TURNS, check_turns, checked_noises
from jaxwin.channels import AbstractChannel
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.targets import AbstractDiscreteLaw


class WordCurves(eqx.Module):
    """U-turns of the words of any discrete law, per noise; see `Correlations` for chi.

    class_kept: probability that the label's exact posterior gives the true label;
    symbol_kept: that a symbol of the drawn word is unchanged.
    """

    starts: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "noise of the channel")
    class_kept: Float[np.ndarray, " t"] = field(("noise",), "probability")
    class_kept_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    symbol_kept: Float[np.ndarray, " t"] = field(("noise",), "probability")
    chi: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_within: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_within_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_static: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)
    chi_static_stderr: Float[np.ndarray, " t"] = field(("noise",), "", nullable=True)


def word_curves(
    law: AbstractDiscreteLaw,
    channel: AbstractChannel,
    noises: AnyArray,
    *,
    num_turns: int = 4096,
    key: Key | None = None,
    block_size: int = 16,
    **options: Any,
) -> WordCurves:
    """What U-turns change in words that need not come from a tree: the control.

    The pooled chi of a flat mixture of many classes peaks before full noise as that of
    a hierarchy does, by differences between starts and by the class alone; its
    within-start part has no such peak at a noise that stays where it is as words grow.
    Compare `chi_within` at several sizes before a peak is read as a hierarchy.

    Args:
        law: Such as `TokenMixture`, `MarkovChain`, or a `RandomHierarchy`.
        channel: A Bayesian channel.
        noises: Of the channel, at least 4, increasing.
        num_turns: U-turns a noise, two a start.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Starts at once.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Noises that do not increase or lie outside of the channel; a channel
            without posteriors (`EpsilonBelief`); fewer than 8 turns.

    References:
        Controls asked for in the reviews of arXiv:2410.13770; the split derived.
    """
    noises = checked_noises(channel, noises, posterior=True)
    check_turns(num_turns)
    dtype = law.log_label_prior().dtype
    replica = _Replica(law, channel, jnp.asarray(noises, dtype))
    key = jr.key(0) if key is None else key
    estimate = run(replica, num_turns // TURNS, key, block_size=block_size, **options)

    def read(means: Any, count: Any) -> Any:
        kept, changed, squares, crossed = means
        del kept
        # All sites under one node: a tree of height one.
        return correlations(changed, squares, crossed, count, law.num_sites)

    found, error = jackknife(estimate, read)
    kept, changed, _, _ = estimate.mean
    return WordCurves(
        starts=estimate.count,
        noise=noises,
        class_kept=kept,
        class_kept_stderr=estimate.stderr[0],
        symbol_kept=1 - changed.mean(axis=-1),
        chi=found.chi,
        chi_stderr=error.chi,
        chi_within=found.chi_within,
        chi_within_stderr=error.chi_within,
        chi_static=found.chi_static,
        chi_static_stderr=error.chi_static,
    )


class _Replica(eqx.Module):
    law: AbstractDiscreteLaw
    channel: AbstractChannel
    noises: Float[Array, " t"]

    def __call__(self, key: Key, replica: Int[Array, ""]) -> tuple[Array, ...]:
        """Of one start turned twice, per noise; sums over all sites, and each alone."""
        law = self.law
        word_key, *turns = jr.split(jr.fold_in(key, replica), 3)
        word, label = law.sample_labelled(word_key)
        keys = jax.vmap(lambda turn: jr.split(turn))(jnp.stack(turns))
        drawn = jax.vmap(lambda key: self.channel.draw_noise(law, key))(keys[:, 0])

        def at(noise: Array) -> tuple[Array, ...]:
            def turn(own: Any, key: Key) -> tuple[Array, Array]:
                logits = self.channel.word_logits(law, word, own, noise).T
                kept = jnp.exp(law.label_log_posterior(logits)[label])
                changed = law.posterior_sample(key, logits) != word
                return kept, changed.astype(kept.dtype)

            kept, changed = jax.vmap(turn)(drawn, keys[:, 1])
            each, total = changed.sum(axis=0), changed.sum(axis=1)
            alone = jnp.sum(changed**2, axis=1).mean()
            squares = jnp.stack([jnp.mean(total**2), alone])
            crossed = jnp.stack([jnp.prod(total), jnp.sum(jnp.prod(changed, axis=0))])
            return kept.mean(), each / 2, squares, crossed

        return jax.lax.map(at, self.noises)
