"""A function of one's own as a denoiser."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxwin._numerics import as_float
from jaxwin._typing import Point, ScalarLike
from jaxwin.targets._base import AbstractDenoiser, refuse_zero_noise


class FunctionDenoiser(AbstractDenoiser):
    """`function(x, alpha, sigma)` -> E[x0 | x], of one point, written in JAX.

        score = (alpha E[x0 | x] - x) / sigma^2,    Jacobian by forward derivatives.

    A function with parameters goes in as a pytree, `eqx.Partial(network, parameters)`,
    so that new parameters do not recompile. A network on a clock of its own, of any
    prediction, of blocks or in plain Python goes through `jaxwin.scores.from_network`.
    """

    function: Callable[[Point, Array, Array], Point]

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x], in the type of x."""
        alpha, sigma = (jnp.asarray(level, x.dtype) for level in (alpha, sigma))
        mean = as_float(self.function(x, alpha, sigma))
        if mean.shape != x.shape:
            raise ValueError(
                f"`function` gives shape {mean.shape} for a point of shape {x.shape}; "
                f"it must give E[x0 | x], one number for each coordinate."
            )
        return mean.astype(x.dtype)

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score (alpha E[x0 | x] - x) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a score")
        alpha, sigma = (jnp.asarray(level, x.dtype) for level in (alpha, sigma))
        return (alpha * self.denoise(x, alpha, sigma) - x) / sigma**2

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`."""
        score = lambda x: self.score(x, alpha, sigma)
        return jax.jvp(score, (x,), (v,))[1]
