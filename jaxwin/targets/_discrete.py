"""What a discrete law is: exact answers to evidence on its sites."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxwin._typing import Key
from jaxwin.targets._base import Moments


class AbstractDiscreteLaw(eqx.Module):
    """A law of words a = (a_1 ... a_n), each a_i one of q symbols, with a label.

    Whatever the channel, what is seen of site i enters as the log-likelihoods
    `site_logits[i, :]` of its symbols: any constant may be added, a site of which
    nothing is seen has equal ones, and -inf excludes a symbol. The posterior is

        P(a, label | evidence) ~ P(a, label) exp(sum_i site_logits[i, a_i]).

    Evidence that contradicts the law has log-evidence -inf; everything else then
    answers as if the sites without a possible symbol had not been seen, never NaN.
    """

    @property
    @abc.abstractmethod
    def num_sites(self) -> int:
        """Number of sites n."""

    @property
    @abc.abstractmethod
    def num_symbols(self) -> int:
        """Number of symbols q at each site."""

    @property
    @abc.abstractmethod
    def num_labels(self) -> int:
        """Number of labels c."""

    @abc.abstractmethod
    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels."""

    @abc.abstractmethod
    def sample_labelled(self, key: Key) -> tuple[Int[Array, " n"], Int[Array, ""]]:
        """One word with its label."""

    @abc.abstractmethod
    def restrict(self, mask: Bool[Array, " c"]) -> "AbstractDiscreteLaw":
        """The law given that the label is one of those in `mask`.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """

    @abc.abstractmethod
    def moments(self, values: Float[Array, " q"]) -> Moments:
        """Mean and covariance of the numbers values[a_1] ... values[a_n]."""

    @abc.abstractmethod
    def joint_log_evidence(
        self, possible_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, ""], Float[Array, " c"]]:
        """Log of P(label, evidence), as a part common to all labels and the rest.

        The common part may be large and never enters a label posterior. Like the next
        two it takes logits of which each site has a finite one.
        """

    @abc.abstractmethod
    def marginals_given(
        self, possible_logits: Float[Array, "n q"]
    ) -> Float[Array, "n q"]:
        """Posterior probabilities of the symbols at each site."""

    @abc.abstractmethod
    def sample_given(
        self, key: Key, possible_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw of a word given the evidence."""

    def log_evidence(self, site_logits: Float[Array, "n q"]) -> Float[Array, ""]:
        """Log of sum_a P(a) exp(sum_i site_logits[i, a_i]), -inf if contradictory."""
        logits, agree = self._possible(site_logits)
        common, each = self.joint_log_evidence(logits)
        return jnp.where(agree, common + jax.nn.logsumexp(each), -jnp.inf)

    def label_log_posterior(
        self, site_logits: Float[Array, "n q"]
    ) -> Float[Array, " c"]:
        """Log-probabilities log P(label | evidence)."""
        logits, _ = self._possible(site_logits)
        _, each = self.joint_log_evidence(logits)
        agree = jnp.any(each > -jnp.inf)
        return jax.nn.log_softmax(jnp.where(agree, each, self.log_label_prior()))

    def marginals(self, site_logits: Float[Array, "n q"]) -> Float[Array, "n q"]:
        """Posterior probabilities P(a_i = symbol | evidence) at each site."""
        return self.marginals_given(self._possible(site_logits)[0])

    def posterior_sample(
        self, key: Key, site_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw a ~ P(a | evidence)."""
        return self.sample_given(key, self._possible(site_logits)[0])

    def sample(self, key: Key) -> Int[Array, " n"]:
        """One word."""
        return self.sample_labelled(key)[0]

    def _possible(
        self, site_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, "n q"], Bool[Array, ""]]:
        """Logits with a site's own set to zero if all are -inf; whether none is."""
        shape = self.num_sites, self.num_symbols
        if site_logits.shape != shape:
            raise ValueError(
                f"`site_logits` has shape {site_logits.shape}; the law takes evidence "
                f"of shape {shape}, a row a site: use `jax.vmap` for many."
            )
        possible = jnp.any(site_logits != -jnp.inf, axis=1)
        logits = jnp.where(possible[:, None], site_logits, 0)
        return logits, jnp.all(possible)


def moments_of_values(law: AbstractDiscreteLaw, values: Float[Array, " q"]) -> Moments:
    """Mean and covariance of values[a_1] ... values[a_n] of any law, O(n) passes.

    Marginals respond to evidence by the covariance, d P(a_i = b) / d logit(j, c) =
    Cov[1(a_i = b), 1(a_j = c)]: one derivative a site, at no evidence.
    """
    if values.shape != (law.num_symbols,):
        raise ValueError(
            f"`values` has shape {values.shape}; it must be ({law.num_symbols},), one "
            f"number a symbol."
        )
    n = law.num_sites
    nothing = jnp.zeros((n, law.num_symbols), values.dtype)

    def mean(fields: Float[Array, " n"]) -> Float[Array, " n"]:
        logits = nothing + fields[:, None] * values[None]
        return jnp.matmul(law.marginals(logits), values, precision="highest")

    covariance = jax.jacfwd(mean)(nothing[:, 0])
    return Moments(
        mean(nothing[:, 0]), psd_root(covariance), jnp.zeros((), values.dtype)
    )


def psd_root(covariance: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """A factor with factor factor^T = covariance, negative rounding set to zero."""
    values, vectors = jnp.linalg.eigh((covariance + covariance.T) / 2)
    return vectors * jnp.sqrt(jnp.maximum(values, 0))[None]
