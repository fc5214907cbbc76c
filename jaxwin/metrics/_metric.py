"""What every metric returns."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Metric(eqx.Module):
    """An estimate and its standard error: scalars, or one entry for each mode.

    Standard errors are not differentiated.
    """

    value: Float[Array, "*modes"]
    stderr: Float[Array, "*modes"]

    def __str__(self) -> str:
        if self.value.ndim:
            return f"{self.value} +- {self.stderr}"
        return f"{float(self.value):.4g} +- {float(self.stderr):.1g}"


def measured(value: Float[Array, "*modes"], variance: Float[Array, "*modes"]) -> Metric:
    """A metric from its value and the variance of it."""
    variance = jax.lax.stop_gradient(variance)
    # Rounding may leave a variance of zero below it; NaN stays NaN.
    return Metric(value, jnp.sqrt(jnp.maximum(variance, 0)))


def mean_variance(terms: Float[Array, " n"]) -> Float[Array, ""]:
    """Variance of the mean of independent terms, from their spread."""
    return jnp.var(terms, ddof=1) / terms.size


def join_orders(
    whole: Float[Array, "*modes"], second: Float[Array, "*modes"]
) -> Float[Array, "*modes"]:
    """Variance of a quadratic statistic from its jackknife and its second-order part.

    The jackknife counts the second-order part twice; what is left after taking it off
    once is at least that part itself (Efron & Stein 1981, Annals of Statistics 9).
    """
    return jnp.maximum(whole - second, second)
