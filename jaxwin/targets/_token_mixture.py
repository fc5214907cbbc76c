"""Flat mixtures of independent tokens: classes without any hierarchy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import AnyArray, Key
from jaxwin.targets._base import Moments
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
)


class TokenMixture(AbstractDiscreteLaw):
    r"""Words P(a) = sum_k w_k prod_i e_k(a_i): tokens independent given the class k.

    The control for everything that is said of trees: its tokens change together only
    because the class does. At a site i with likelihoods l_i = exp(site_logits[i]),

        log P_k(evidence) = sum_i log sum_a e_k(a) l_i(a),    O(K n q).

    Where tokens are forbidden, evidence that leaves every site a symbol may still be
    impossible for every class: then log-evidence is -inf, and everything else answers
    as if nothing had been seen, at any site.

    Args:
        emissions: (K, q) probabilities e_k(a) of the tokens in each class.
        num_sites: Number of sites n >= 1.
        weights: (K,) probabilities of the classes; equal if left out.

    Raises:
        ValueError: Shapes that do not fit, rows that are no probabilities, no site.

    References:
        The control that reviewers of arXiv:2410.13770 asked for; derived.
    """

    log_emissions: Float[Array, "c q"]
    log_weights: Float[Array, " c"]
    site_count: int = eqx.field(static=True)

    def __init__(
        self, emissions: AnyArray, num_sites: int, weights: AnyArray | None = None
    ):
        self.log_emissions = log_rows(emissions, "emissions")
        if self.log_emissions.ndim != 2:
            raise ValueError(
                f"`emissions` has shape {self.log_emissions.shape}; it must be (K, q), "
                f"one row of probabilities a class."
            )
        self.log_weights = checked_weights(self.log_emissions, weights)
        self.site_count = check_num_sites(num_sites)

    @property
    def num_sites(self) -> int:
        """Number of sites n."""
        return self.site_count

    @property
    def num_symbols(self) -> int:
        """Number of tokens q."""
        return self.log_emissions.shape[1]

    @property
    def num_labels(self) -> int:
        """Number of classes c."""
        return self.log_emissions.shape[0]

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the classes."""
        return self.log_weights

    def sample_labelled(self, key: Key) -> tuple[Int[Array, " n"], Int[Array, ""]]:
        """A word with its class."""
        label_key, key = jr.split(key)
        label = jr.categorical(label_key, self.log_weights)
        shape = (self.num_sites,)
        symbols = jr.categorical(key, self.log_emissions[label], shape=shape)
        return symbols.astype(jnp.int32), label.astype(jnp.int32)

    def restrict(self, mask: Bool[Array, " c"]) -> "TokenMixture":
        """The mixture of the classes in `mask`, weights renormalised.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        return only_classes(self, mask)

    def moments(self, values: Float[Array, " q"]) -> Moments:
        """Mean and covariance: between the classes plus the variance within them."""
        values = check_values(values, self.num_symbols)
        shares, p = jnp.exp(self.log_weights), jnp.exp(self.log_emissions)
        means = jnp.matmul(p, values, precision="highest")
        mean = jnp.sum(shares * means)
        square = (values[None] - means[:, None]) ** 2
        within = jnp.sum(shares[:, None] * p * square)
        between = (jnp.sqrt(shares) * (means - mean))[None]
        factor = jnp.broadcast_to(between, (self.num_sites, self.num_labels))
        return Moments(jnp.full(self.num_sites, mean), factor, within)

    def joint_log_evidence(
        self, possible_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, ""], Float[Array, " c"]]:
        """Log of P(class, evidence), relative to the first possible class."""
        top = jax.lax.stop_gradient(jnp.max(possible_logits, axis=1))
        logits = (possible_logits - top[:, None])[:, None]
        terms = log_mean(self.log_emissions[None], logits)
        return joint_of_terms(terms, self.log_weights, top)

    def marginals_given(
        self, possible_logits: Float[Array, "n q"]
    ) -> Float[Array, "n q"]:
        """Posterior probabilities of the tokens at each site."""
        logits, each = agreeing(self, possible_logits)
        seen = self._seen(logits)
        # Of a class that is excluded nothing may be left at a site; its share is zero.
        left = jnp.any(seen > -jnp.inf, axis=2, keepdims=True)
        given = jax.nn.softmax(jnp.where(left, seen, 0))
        shares = jax.nn.softmax(each)
        return jnp.einsum("ika,k->ia", given, shares, precision="highest")

    def sample_given(
        self, key: Key, possible_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw: the class, then every token for itself."""
        label_key, key = jr.split(key)
        logits, each = agreeing(self, possible_logits)
        label = jr.categorical(label_key, each)
        return jr.categorical(key, self._seen(logits)[:, label]).astype(jnp.int32)

    def _seen(self, logits: Float[Array, "n q"]) -> Float[Array, "n c q"]:
        """Log of e_k(a) l_i(a)."""
        return self.log_emissions[None] + logits[:, None]
