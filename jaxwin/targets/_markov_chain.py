"""Mixtures of Markov chains: classes that differ in how symbols follow each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import AnyArray, Key
from jaxwin.targets._base import Moments
from jaxwin.targets._chain_moments import chain_moments
from jaxwin.targets._discrete import AbstractDiscreteLaw
from jaxwin.targets._labels import only_classes
from jaxwin.targets._mixture_arguments import checked_weights
from jaxwin.targets._symbol_rows import (
    agreeing,
    check_num_sites,
    check_values,
    joint_of_terms,
    log_mean,
    log_rows,
    log_sum,
)


class MarkovChain(AbstractDiscreteLaw):
    r"""Chains P_k(a) = p_k(a_1) prod_i T_k(a_i, a_{i+1}) of q symbols; the label is k.

    The forward recursion in logs gives all: with l_i = exp(site_logits[i]) and p_i the
    probabilities of the symbols at site i given what is seen before it,

        p_{i+1}(b) ~ sum_a p_i(a) l_i(a) T_k(a, b),
        log P_k(evidence) = sum_i log sum_a p_i(a) l_i(a),

    O(K n q^2) at any size of logits, with zeros among the probabilities. Sums over the
    sites are by halves: log-evidence errs by 1e-12 of itself in float64, by 1e-6 in
    float32 at 1000 sites. Where transitions are forbidden, evidence that leaves every
    site a symbol may still be impossible as a whole: then log-evidence is -inf, and
    everything else answers as if nothing had been seen, at any site.

    Args:
        initial: (K, q) probabilities of the first symbol, or (q,) for all classes.
        transitions: (K, q, q) probabilities T_k(a, b) of b after a, or (q, q).
        num_sites: Number of sites n >= 1.
        weights: (K,) probabilities of the classes; equal if left out.

    Raises:
        ValueError: Shapes that do not fit, rows that are no probabilities, no site.

    References:
        Forward filtering, backward sampling: Rabiner (1989), Proc. IEEE 77, 257,
        section III.
    """

    log_initial: Float[Array, "c q"]
    log_transitions: Float[Array, "c q q"]
    log_weights: Float[Array, " c"]
    site_count: int = eqx.field(static=True)

    def __init__(
        self,
        initial: AnyArray,
        transitions: AnyArray,
        num_sites: int,
        weights: AnyArray | None = None,
    ):
        log_initial = log_rows(initial, "initial")
        log_transitions = log_rows(transitions, "transitions").astype(log_initial.dtype)
        q = log_initial.shape[-1]
        counts = {log_initial.shape[:-1], log_transitions.shape[:-2]} - {()}
        square = log_transitions.shape[-2:] == (q, q)
        if not square or len(counts) > 1 or any(len(count) > 1 for count in counts):
            raise ValueError(
                f"`initial` has shape {log_initial.shape} and `transitions` "
                f"{log_transitions.shape}; they must be (K, q) and (K, q, q), each "
                f"without K where all classes share it."
            )
        (classes,) = counts.pop() if counts else (1,)
        self.log_initial = jnp.broadcast_to(_rows(log_initial, 2), (classes, q))
        self.log_transitions = jnp.broadcast_to(
            _rows(log_transitions, 3), (classes, q, q)
        )
        self.log_weights = checked_weights(self.log_initial, weights)
        self.site_count = check_num_sites(num_sites)

    @property
    def num_sites(self) -> int:
        """Number of sites n."""
        return self.site_count

    @property
    def num_symbols(self) -> int:
        """Number of symbols q."""
        return self.log_initial.shape[1]

    @property
    def num_labels(self) -> int:
        """Number of classes c."""
        return self.log_initial.shape[0]

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the classes."""
        return self.log_weights

    def sample_labelled(self, key: Key) -> tuple[Int[Array, " n"], Int[Array, ""]]:
        """A chain with its class, from the first symbol to the last."""
        label_key, key = jr.split(key)
        label = jr.categorical(label_key, self.log_weights)
        transitions = self.log_transitions[label]
        shape = self.num_sites, self.num_symbols
        gumbels = jr.gumbel(key, shape, transitions.dtype)

        def draw(log_p: Array, gumbel: Array) -> tuple[Array, Array]:
            symbol = jnp.argmax(log_p + gumbel)
            return transitions[symbol], symbol

        symbols = jax.lax.scan(draw, self.log_initial[label], gumbels)[1]
        return symbols.astype(jnp.int32), label.astype(jnp.int32)

    def restrict(self, mask: Bool[Array, " c"]) -> "MarkovChain":
        """The chains of the classes in `mask`, weights renormalised.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        return only_classes(self, mask)

    def moments(self, values: Float[Array, " q"]) -> Moments:
        """Mean and covariance of the numbers values[a_1] ... values[a_n]."""
        values = check_values(values, self.num_symbols)
        initial, transitions = jnp.exp(self.log_initial), jnp.exp(self.log_transitions)
        shares = jnp.exp(self.log_weights)
        return chain_moments(initial, transitions, shares, values, self.num_sites)

    def joint_log_evidence(
        self, possible_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, ""], Float[Array, " c"]]:
        """Log of P(class, evidence), relative to the first possible class."""
        top = jax.lax.stop_gradient(jnp.max(possible_logits, axis=1))
        terms, _ = self._filter(possible_logits - top[:, None])
        return joint_of_terms(terms, self.log_weights, top)

    def marginals_given(
        self, possible_logits: Float[Array, "n q"]
    ) -> Float[Array, "n q"]:
        """Posterior probabilities of the symbols at each site."""
        logits, each = agreeing(self, possible_logits)
        _, filtered = self._filter(logits)

        def step(seen: Array, logit: Array) -> tuple[Array, Array]:
            ahead = log_sum(self.log_transitions + seen[:, None], axis=2)
            ahead = ahead - _highest(ahead)
            return ahead + logit[None], ahead

        start = jnp.broadcast_to(logits[-1][None], self.log_initial.shape)
        ahead = jax.lax.scan(step, start, logits[:-1], reverse=True)[1]
        last = jnp.zeros_like(filtered[:1])
        log_p = filtered + jnp.concatenate([ahead, last])
        p = jnp.exp(log_p - _highest(log_p))
        mass = jnp.sum(p, axis=-1, keepdims=True)
        # Nothing is left of a class that is excluded; its share is zero.
        given = p / jnp.where(mass > 0, mass, 1)
        shares = jax.nn.softmax(each)
        return jnp.einsum("ika,k->ia", given, shares, precision="highest")

    def sample_given(
        self, key: Key, possible_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw: the class, then the symbols from the last to the first."""
        label_key, key = jr.split(key)
        logits, each = agreeing(self, possible_logits)
        label = jr.categorical(label_key, each)
        filtered = self._filter(logits)[1][:, label]
        transitions = self.log_transitions[label]
        gumbels = jr.gumbel(key, filtered.shape, filtered.dtype)

        def draw(pull: Array, site: tuple[Array, Array]) -> tuple[Array, Array]:
            symbol = jnp.argmax(site[0] + pull + site[1])
            return transitions[:, symbol], symbol

        start = jnp.zeros_like(transitions[0])
        _, symbols = jax.lax.scan(draw, start, (filtered, gumbels), reverse=True)
        return symbols.astype(jnp.int32)

    def _filter(
        self, logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, "n c"], Float[Array, "n c q"]]:
        """What each site adds to the log-evidence; unscaled, what is known after it.

        A site that a class cannot have given adds -inf and is then passed over.
        """

        def step(known: Array, logit: Array) -> tuple[Array, tuple[Array, Array]]:
            term = log_mean(known, logit[None])
            seen = known + logit[None]
            after = jnp.where((term > -jnp.inf)[:, None], seen - _highest(seen), known)
            ahead = log_sum(self.log_transitions + after[..., None], axis=1)
            return ahead - log_sum(ahead, axis=1)[:, None], (term, after)

        return jax.lax.scan(step, self.log_initial, logits)[1]


def _rows(values: Float[Array, "..."], ndim: int) -> Float[Array, "..."]:
    """`values` with an axis of classes in front if there is none."""
    return values if values.ndim == ndim else values[None]


def _highest(log_p: Float[Array, "... q"]) -> Float[Array, "... 1"]:
    """The largest along the last axis, finite."""
    top = jax.lax.stop_gradient(jnp.max(log_p, axis=-1, keepdims=True))
    return jnp.maximum(top, jnp.finfo(log_p.dtype).min)
