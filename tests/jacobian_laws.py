"""Laws whose score has a Jacobian that is known, or dense enough to compare with."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.targets import AbstractDenoiser, GaussianMixture


class OnlyDenoiser(AbstractDenoiser):
    """A law that hides all but what a network offers."""

    law: GaussianMixture

    def denoise(self, x, alpha, sigma):
        return self.law.denoise(x, alpha, sigma)

    def score(self, x, alpha, sigma):
        return (alpha * self.denoise(x, alpha, sigma) - x) / sigma**2

    def jacobian_product(self, x, v, alpha, sigma):
        return jax.jvp(lambda x: self.score(x, alpha, sigma), (x,), (v,))[1]


def frame(dimension, columns, key=0):
    return jnp.linalg.qr(jr.normal(jr.key(key), (dimension, columns)))[0]


def hidden_manifold(dimension, counts, stds, key=0):
    """Orthonormal directions of several widths, nothing across."""
    widths = np.repeat(stds, counts)
    factors = frame(dimension, widths.size, key) * jnp.asarray(widths)[None]
    return GaussianMixture.low_rank(jnp.zeros((1, dimension)), factors, 0.0)


def two_blobs(dimension):
    """Several modes, each with its own width: nothing about it is Gaussian."""
    means = 2 * jr.normal(jr.key(5), (3, dimension)) / dimension**0.5
    variances = 0.05 + jr.uniform(jr.key(6), (3, dimension)) ** 12
    return GaussianMixture.diagonal(means, variances)


def levels(ratio):
    ratio = jnp.asarray(ratio)
    return 1 / jnp.sqrt(1 + ratio), jnp.sqrt(ratio / (1 + ratio))
