"""A mixture on a line at one noise level, in the line's own coordinate."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance
from jaxwin._typing import Index, ScalarLike
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Bisections: from a bracket of any width to neighbouring numbers.
STEPS = 100


class LineComponents(NamedTuple):
    """Noised components; those of no width are points."""

    centres: Float[Array, " k"]
    widths: Float[Array, " k"]
    log_weights: Float[Array, " k"]
    labels: Int[Array, " k"]

    def log_joint(self, x: Float[Array, ""]) -> Float[Array, " k"]:
        """Log of w_k N(x; c_k, s_k^2)."""
        scale = self.log_weights - jnp.log(self.widths) - 0.5 * LOG_TWO_PI
        return scale - 0.5 * ((x - self.centres) / self.widths) ** 2

    def share(
        self, x: Float[Array, ""], mask: Bool[np.ndarray | Array, " c"]
    ) -> Float[Array, ""]:
        """Posterior of the labels in a set."""
        inside = jnp.asarray(mask)[self.labels]
        return jnp.sum(jnp.where(inside, jax.nn.softmax(self.log_joint(x)), 0))

    def logit(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """Log of F(x) / (1 - F(x)), F the distribution function, in both tails."""
        z = (x - self.centres) / self.widths
        below = jsp.logsumexp(self.log_weights + jsp.log_ndtr(z))
        return below - jsp.logsumexp(self.log_weights + jsp.log_ndtr(-z))

    def quantile(self, logit: Float[Array, ""]) -> Float[Array, ""]:
        """Where `logit` takes a value, by bisection."""
        reach = 40 * self.widths
        ends = jnp.min(self.centres - reach), jnp.max(self.centres + reach)
        return bisected(lambda x: self.logit(x) < logit, *ends)


def line_components(
    law: GaussianMixture, alpha: ScalarLike, sigma: ScalarLike
) -> LineComponents:
    """The components of a mixture of one dimension, seen at (alpha, sigma)."""
    variances, _ = law.covariance.spectrum()
    variances = jnp.broadcast_to(variances[:, 0], law.log_weights.shape)
    alpha, sigma = (as_float(v).astype(variances.dtype) for v in (alpha, sigma))
    widths = jnp.sqrt(alpha**2 * variances + channel_variance(sigma))
    return LineComponents(alpha * law.means[:, 0], widths, law.log_weights, law.labels)


def share_on_line(
    law: AbstractLabelledTarget,
    mask: Bool[np.ndarray | Array, " c"],
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> Callable[[Array], Array]:
    """Posterior of a set of labels at a place of the line, of any law on it."""
    if isinstance(law, GaussianMixture):
        components = line_components(law, alpha, sigma)
        return lambda x: components.share(x, mask)

    def share(x: Array) -> Array:
        posterior = jnp.exp(law.label_log_posterior(x[None], alpha, sigma))
        return jnp.sum(jnp.where(mask, posterior, 0))

    return share


def bisected(
    left_of: Callable[[Array], Array],
    low: Float[Array, "*s"],
    high: Float[Array, "*s"],
) -> Float[Array, "*s"]:
    """The place where `left_of` turns from true to false."""

    def halve(_: Index, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) / 2
        left = left_of(middle)
        return jnp.where(left, middle, low), jnp.where(left, high, middle)

    low, high = jax.lax.fori_loop(0, STEPS, halve, (low, high))
    return low + (high - low) / 2
