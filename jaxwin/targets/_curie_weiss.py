"""The Curie-Weiss magnet: every spin feels every other, two states of opposite sign."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float, Int

from jaxwin._checks import check_positive, is_concrete, require
from jaxwin._numerics import as_float
from jaxwin._typing import Key, ScalarLike
from jaxwin.targets._base import Moments
from jaxwin.targets._discrete import AbstractDiscreteLaw
from jaxwin.targets._labels import restricted_log_weights
from jaxwin.targets._site_fields import (
    check_num_spins,
    log_agreement,
    site_fields,
    spin_marginals,
    spins_of,
    two_values,
)

# Beyond the largest magnetisation, 1, the law of m is a Gaussian tail: so many widths.
TAIL = 9.0
# Gauss-Legendre nodes a width of that Gaussian, and some more for few spins.
PER_WIDTH, MORE = 2.0, 24
# Last denominator of y coth(y) = 1 + y^2 / (3 + y^2 / (5 + ...)), for y < 1.
DEPTH = 21


class CurieWeiss(AbstractDiscreteLaw):
    r"""P(a) ~ exp(beta (sum_i a_i)^2 / 2N) over N spins; the label is the state.

    Symbols 0 and 1 are the spins -1 and +1. A Gaussian field m with m | a of mean
    sum(a) / N and variance 1 / (N beta) makes the spins independent,

        p(m) ~ exp(-N beta m^2 / 2) (2 cosh(beta m))^N,
        P(a_i = 1 | m) = 1 / (1 + e^{-2 beta m}),

    and labels 0 and 1 are the two states m < 0 and m > 0: almost the sign of sum(a)
    (P(m > 0 | a) = Phi(sum(a) sqrt(beta / N))). Integrals over m are sums over fixed
    Gauss-Legendre nodes on each half line, so that the law is a mixture of product
    measures and everything is exact to rounding: integrands are entire, and never
    narrower than 1 / sqrt(N beta). Evidence costs O(N sqrt(N beta)).

    Args:
        coupling: beta > 0, concrete: it fixes the number of nodes. Two states for
            beta > 1 (the `magnetisation` of each), one that is split at zero below.
        num_spins: Number of spins N >= 2.

    Raises:
        ValueError: A coupling that is traced or not positive, fewer than two spins.

    References:
        Biroli & Mezard, arXiv:2306.03518 (the case of Curie-Weiss); the mixture is the
        Hubbard-Stratonovich identity.
    """

    fields: Float[Array, " m"]
    log_weights: Float[Array, " m"]
    log_prior: Float[Array, " c"]
    spin_count: int = eqx.field(static=True)

    def __init__(self, coupling: ScalarLike, num_spins: int):
        if not is_concrete(coupling):
            raise ValueError(
                "`coupling` is traced; it must be concrete, for it fixes the number "
                "of nodes: build the law outside jit and vmap."
            )
        check_positive(float(coupling), "coupling")
        self.spin_count = check_num_spins(num_spins)
        dtype = as_float(coupling).dtype
        fields, log_weights = _half_line(float(coupling), self.spin_count)
        self.fields = jnp.asarray(fields, dtype)
        self.log_weights = jnp.asarray(log_weights, dtype)
        self.log_prior = jnp.full(2, -np.log(2.0), dtype)

    @property
    def num_sites(self) -> int:
        """Number of spins N."""
        return self.spin_count

    @property
    def num_symbols(self) -> int:
        """Two: spin -1 and spin +1."""
        return 2

    @property
    def num_labels(self) -> int:
        """Two: the states m < 0 and m > 0."""
        return 2

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the two states, equal unless restricted."""
        return self.log_prior

    def sample_labelled(self, key: Key) -> tuple[Int[Array, " n"], Int[Array, ""]]:
        """Spins with their state: the field first, then independent spins."""
        label_key, node_key, spin_key = jr.split(key, 3)
        label = jr.categorical(label_key, self.log_prior).astype(jnp.int32)
        field = self.fields[jr.categorical(node_key, self.log_weights)]
        signed = jnp.where(label == 1, field, -field)
        return spins_of(spin_key, jnp.full(self.num_sites, signed)), label

    def restrict(self, mask: Bool[Array, " c"]) -> "CurieWeiss":
        """The law of the states in `mask`.

        Raises:
            ValueError: Nothing is left (a run-time error where `mask` is traced).
        """
        log_prior = restricted_log_weights(self.log_prior, jnp.arange(2), mask, 2)
        return eqx.tree_at(lambda law: law.log_prior, self, log_prior)

    def moments(self, values: Float[Array, " q"]) -> Moments:
        """Mean and covariance (1 - q) I + (q - mean^2) 1 1^T, q = E[tanh(beta m)^2].

        In units of `values`; the largest eigenvalue of both states together is
        E[(sum a)^2] / N = 1 - q + N q for spins of -1 and +1.
        """
        middle, half = two_values(values)
        weights, magnetisation = jnp.exp(self.log_weights), jnp.tanh(self.fields)
        up_share = jnp.exp(self.log_prior[1])
        # Of |tanh|, and of the sign that both states together give it.
        size = jnp.sum(weights * magnetisation)
        mean = (2 * up_share - 1) * size
        within = jnp.sum(weights * (magnetisation - size) ** 2)
        common = within + 4 * up_share * (1 - up_share) * size**2
        alone = jnp.sum(weights / jnp.cosh(self.fields) ** 2)
        factor = jnp.full((self.num_sites, 1), half * jnp.sqrt(common))
        each = jnp.full(self.num_sites, middle + half * mean)
        return Moments(each, factor, half**2 * alone)

    def top_eigenvalue(self) -> Float[Array, ""]:
        """Largest eigenvalue of the covariance: Var[sum_i a_i] / N.

        Both states together have E[(sum_i a_i)^2] / N, close to N m*^2 for beta > 1.
        """
        moments = self.moments(jnp.array([-1, 1], self.fields.dtype))
        return moments.variance + jnp.sum(moments.factor**2)

    @staticmethod
    def magnetisation(coupling: ScalarLike) -> Float[Array, ""]:
        """Largest solution m of m = tanh(beta m): zero for beta <= 1.

        Found as y = beta m, the positive root of y coth(y) = beta, which leaves m = 0
        out. Differentiable by the implicit function theorem; the slope is infinite as
        beta -> 1 from above.

        Args:
            coupling: beta > 0.

        Raises:
            ValueError: beta is not finite and positive.
        """
        import optimistix as optx

        message = "`coupling` must be finite and positive; it is 1 / temperature."
        beta = require(as_float(coupling), lambda b: (b > 0) & (b < np.inf), message)
        ordered = beta > 1
        # Convex and increasing in y: Newton's steps from beta go down to the root.
        gap = lambda y, beta: _excess(y) - (beta - 1)
        start = jnp.where(ordered, beta, 2)
        solver = optx.Newton(rtol=8 * float(jnp.finfo(beta.dtype).eps), atol=0.0)
        root = optx.root_find(gap, solver, start, start, max_steps=128, throw=False)
        return jnp.where(ordered, jnp.tanh(root.value), 0)

    def joint_log_evidence(
        self, possible_logits: Float[Array, "n q"]
    ) -> tuple[Float[Array, ""], Float[Array, " c"]]:
        """Log of P(state, evidence)."""
        even, fields = site_fields(possible_logits)
        states = jax.nn.logsumexp(self._log_evidence(fields), axis=1)
        return even, self.log_prior + states

    def marginals_given(
        self, possible_logits: Float[Array, "n q"]
    ) -> Float[Array, "n q"]:
        """Posterior probabilities of both spins at each site."""
        _, fields = site_fields(possible_logits)
        each = self.log_prior[:, None] + self._log_evidence(fields)
        # Both signs of a node first: without a field nothing is left of either.
        shares = jax.nn.softmax(each, axis=0)[..., None, None]
        total = self._signed()[..., None] + fields[None, None]
        given = jnp.sum(shares * spin_marginals(total), axis=0)
        weights = jax.nn.softmax(jax.nn.logsumexp(each, axis=0))
        flat = given.reshape(weights.size, -1)
        return jnp.matmul(weights, flat, precision="highest").reshape(-1, 2)

    def sample_given(
        self, key: Key, possible_logits: Float[Array, "n q"]
    ) -> Int[Array, " n"]:
        """An exact draw: the field given the evidence, then independent spins."""
        node_key, spin_key = jr.split(key)
        _, fields = site_fields(possible_logits)
        each = self.log_prior[:, None] + self._log_evidence(fields)
        node = jr.categorical(node_key, each.reshape(-1))
        return spins_of(spin_key, fields + self._signed().reshape(-1)[node])

    def _signed(self) -> Float[Array, "c m"]:
        """Fields beta m of all nodes, those of label 0 first."""
        return jnp.stack([-self.fields, self.fields])

    def _log_evidence(self, fields: Float[Array, " n"]) -> Float[Array, "c m"]:
        """Log of P(node, evidence | state), without what no node changes.

        Both signs of a node share half the sum of their evidence; what tells the states
        apart is summed for itself, so that large common parts cannot round it away.
        """
        sites = lambda sign: log_agreement(sign * self.fields[:, None], fields[None])
        up, down = sites(1), sites(-1)
        even, odd = 0.5 * jnp.sum(up + down, axis=1), 0.5 * jnp.sum(up - down, axis=1)
        return self.log_weights[None] + jnp.stack([even - odd, even + odd])


def _excess(y: Float[Array, ""]) -> Float[Array, ""]:
    """Value of y coth(y) - 1; by Lambert's fraction for small y: nothing cancels."""
    small, large = jnp.where(y < 1, y, 1), jnp.where(y < 1, 1, y)
    below = jnp.full_like(y, DEPTH)
    for odd in range(DEPTH - 2, 1, -2):
        below = odd + small**2 / below
    return jnp.where(y < 1, small**2 / below, large / jnp.tanh(large) - 1)


def _half_line(coupling: float, num_spins: int) -> tuple[np.ndarray, np.ndarray]:
    """Fields beta m at the nodes of 0 < m, and log-weights that sum to one.

    On the host in float64: terms of size N cancel in log p(m).
    """
    width = 1 / np.sqrt(num_spins * coupling)
    reach = 1 + TAIL * width
    count = MORE + int(np.ceil(PER_WIDTH * reach / width))
    nodes, lengths = scipy.special.roots_legendre(count)
    m = reach * (1 + nodes) / 2
    fields = coupling * m
    log_cosh = fields + np.log1p(np.exp(-2 * fields))
    log_density = num_spins * (log_cosh - coupling * m**2 / 2)
    log_weights = np.log(lengths) + log_density - log_density.max()
    log_weights = log_weights - np.log(np.sum(np.exp(log_weights)))
    return fields, log_weights
