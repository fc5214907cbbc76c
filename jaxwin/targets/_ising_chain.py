"""Mixtures of open Ising chains: classes that differ in how neighbours agree."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import finite, require
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, Key, ScalarLike
from jaxwin.targets._base import Moments
from jaxwin.targets._discrete import AbstractDiscreteLaw
from jaxwin.targets._labels import only_classes
from jaxwin.targets._mixture_arguments import checked_weights
from jaxwin.targets._site_fields import (
    check_num_spins,
    log_agreement,
    passed_on,
    site_fields,
    spin_marginals,
    spins_of,
    two_values,
)


class IsingChain(AbstractDiscreteLaw):
    r"""Open chains P_k(a) ~ exp(beta_k sum_i a_i a_{i+1}) of spins; the label is k.

    Symbols 0 and 1 are the spins -1 and +1. A chain is a Markov chain whose neighbours
    agree with probability 1 / (1 + e^{-2 beta}); <a_i a_j> = tanh(beta)^|i - j|.
    Evidence enters as fields h_i, and a forward recursion in the fields that a site
    hands on gives everything exactly, O(K n), at any size of fields and couplings:

        g_{i+1} = atanh(tanh(beta) tanh(h_i + g_i)),    g_1 = 0,
        log P_k(evidence) = sum_i log(1 + tanh(g_i) tanh(h_i)) + what k does not change.

    Args:
        couplings: (K,) couplings beta_k over temperature, of any sign; one for one.
        num_spins: Number of spins n >= 2.
        weights: (K,) probabilities of the classes; equal if left out.

    Raises:
        ValueError: Couplings that are not finite, fewer than two spins, weights that do
            not fit.

    References:
        The example of arXiv:2602.04404 (one-dimensional Ising mixtures); the recursion
        is derived: sum over a_1, then a_2, and so on.
    """

    couplings: Float[Array, " c"]
    log_weights: Float[Array, " c"]
    spin_count: int = eqx.field(static=True)

    def __init__(
        self, couplings: AnyArray, num_spins: int, weights: AnyArray | None = None
    ):
        couplings = jnp.atleast_1d(as_float(couplings))
        if couplings.ndim != 1 or not couplings.size:
            raise ValueError(
                f"`couplings` has shape {couplings.shape}; it must be (K,) with "
                f"K >= 1: pass one coupling a class."
            )
        message = "`couplings` must be finite everywhere."
        self.couplings = require(couplings, finite, message)
        self.log_weights = checked_weights(self.couplings[:, None], weights)
        self.spin_count = check_num_spins(num_spins)

    @property
    def num_sites(self) -> int:
        """Number of spins n."""
        return self.spin_count

    @property
    def num_symbols(self) -> int:
        """Two: spin -1 and spin +1."""
        return 2

    @property
    def num_labels(self) -> int:
        """Number of classes c."""
        return self.couplings.size

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the classes."""
        return self.log_weights

    def sample_labelled(self, key: Key) -> tuple[Int[Array, " n"], Int[Array, ""]]:
        """A chain with its class: an even spin, then neighbours that agree or not."""
        label_key, spin_key = jr.split(key)
        label = jr.categorical(label_key, self.log_weights)
        bonds = jnp.full(self.num_sites, self.couplings[label]).at[0].set(0)
        turned = spins_of(spin_key, -bonds)
        return jnp.cumsum(turned) % 2, label.astype(jnp.int32)

    def restrict(self, mask: Bool[Array, " c"]) -> "IsingChain":
        """The chains of the classes in `mask`, weights renormalised.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        return only_classes(self, mask)

    def moments(self, values: Float[Array, " q"]) -> Moments:
        """Mean and covariance sum_k w_k tanh(beta_k)^|i - j|, in units of `values`.

        The factor is exact: a chain's spins have the covariance of an autoregression,
        a_1 = z_1 and a_{i+1} = t a_i + sqrt(1 - t^2) z_{i+1} with t = tanh(beta).
        """
        middle, half = two_values(values)
        n, dtype = self.num_sites, self.couplings.dtype
        powers = _powers(self.couplings, n)
        back = np.arange(n)[:, None] - np.arange(n)[None]
        kept = jnp.where(back[None] >= 0, powers[:, np.maximum(back, 0)], 0)
        new = jnp.where(np.arange(n)[None] == 0, 1, _sech(self.couplings)[:, None])
        weights = jnp.exp(0.5 * self.log_weights)
        factor = half * weights[:, None, None] * kept * new[:, None]
        factor = jnp.moveaxis(factor, 0, 1).reshape(n, -1)
        return Moments(jnp.full(n, middle), factor, jnp.zeros((), dtype))

    def joint_log_evidence(
        self, possible_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, ""], Float[Array, " c"]]:
        """Log of P(class, evidence), relative to the first class of positive weight."""
        even, fields = site_fields(possible_logits)
        terms = log_agreement(self._passed(fields), fields[:, None])
        # Differences before sums: sums over many sites would round away the classes.
        first = terms[:, jnp.argmax(self.log_weights > -jnp.inf)]
        relative = jnp.sum(terms - first[:, None], axis=0)
        return even + first.sum(), self.log_weights + relative

    def marginals_given(
        self, possible_logits: Float[Array, "n q"]
    ) -> Float[Array, "n q"]:
        """Posterior probabilities of both spins at each site."""
        _, fields = site_fields(possible_logits)
        _, each = self.joint_log_evidence(possible_logits)
        behind = self._passed(fields)
        ahead = self._passed(fields[::-1])[::-1]
        total = fields[:, None] + behind + ahead
        given = jnp.moveaxis(spin_marginals(total), 1, 2)
        return jnp.matmul(given, jax.nn.softmax(each), precision="highest")

    def sample_given(
        self, key: Key, possible_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw: the class, then the spins from the last to the first."""
        label_key, spin_key = jr.split(key)
        _, fields = site_fields(possible_logits)
        _, each = self.joint_log_evidence(possible_logits)
        label = jr.categorical(label_key, each)
        coupling = self.couplings[label]
        seen = fields + self._passed(fields)[:, label]
        uniforms = jr.uniform(spin_key, fields.shape, fields.dtype)

        def draw(pull: Array, site: tuple[Array, Array]) -> tuple[Array, Array]:
            field, uniform = site
            up = uniform < jax.nn.sigmoid(2 * (field + pull))
            return jnp.where(up, coupling, -coupling), up

        start = jnp.zeros((), fields.dtype)
        _, ups = jax.lax.scan(draw, start, (seen, uniforms), reverse=True)
        return ups.astype(jnp.int32)

    def _passed(self, fields: Float[Array, " n"]) -> Float[Array, "n c"]:
        """Fields g_i that the spins before i hand on to it, in each class."""

        def step(u: Array, field: Array) -> tuple[Array, Array]:
            handed = passed_on(u, self.couplings)
            return field + handed, handed

        start = jnp.zeros_like(self.couplings)
        return jax.lax.scan(step, start, fields)[1]


def ising_covariance_distance(
    first: ScalarLike, second: ScalarLike, num_spins: int
) -> Float[Array, ""]:
    """Frobenius distance ||C_1 - C_2|| of the covariances of two open chains, O(n).

    ||C_1 - C_2||^2 = 2 sum_{r=1}^{n-1} (n - r) (tanh(first)^r - tanh(second)^r)^2.

    Two zero-mean classes separate about t = log(||C_1 - C_2|| / (2 sqrt 2)) / 2.

    Raises:
        ValueError: Fewer than two spins.

    References:
        arXiv:2602.04404 for the criterion; this sum is derived from
        C_ij = tanh(beta)^|i - j|.
    """
    n = check_num_spins(num_spins)
    apart = _powers(as_float(first)[None], n) - _powers(as_float(second)[None], n)
    pairs = jnp.arange(n, 0, -1, dtype=apart.dtype)
    return _root(2 * jnp.sum(pairs * apart[0] ** 2))


def ising_covariance_distance_limit(
    first: ScalarLike, second: ScalarLike, num_spins: int
) -> Float[Array, ""]:
    """Leading order of `ising_covariance_distance` for many spins, ~ sqrt(n).

    2 n [s_1^2 + s_2^2 - 2 s_1 s_2 / cosh(b_1 - b_2)],    s = sinh(b),

    for tanh^2 / (1 - tanh^2) = sinh^2; written as (s_1 - s_2)^2 plus the rest, so that
    close couplings do not cancel.

    Raises:
        ValueError: Fewer than two spins.
    """
    first, second = as_float(first), as_float(second)
    away, middle = (first - second) / 2, (first + second) / 2
    apart = 2 * jnp.cosh(middle) * jnp.sinh(away)
    product = jnp.sinh(first) * jnp.sinh(second)
    rest = 4 * product * jnp.sinh(away) ** 2 / jnp.cosh(2 * away)
    return _root(2 * check_num_spins(num_spins) * (apart**2 + rest))


def _powers(couplings: Float[Array, " c"], count: int) -> Float[Array, "c n"]:
    """Correlations tanh(coupling)^r at distances r = 0 ... count - 1."""
    steps = jnp.broadcast_to(jnp.tanh(couplings)[:, None], (couplings.size, count))
    return jnp.cumprod(steps.at[:, 0].set(1), axis=1)


def _sech(couplings: Float[Array, " c"]) -> Float[Array, " c"]:
    """sqrt(1 - tanh^2), without overflow."""
    decay = jnp.exp(-jnp.abs(couplings))
    return 2 * decay / (1 + decay**2)


def _root(square: Float[Array, ""]) -> Float[Array, ""]:
    """Square root whose gradient at zero is zero, not NaN."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
