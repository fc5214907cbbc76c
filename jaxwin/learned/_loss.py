"""Denoising score matching: the loss of a batch, and where in noise it lies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from flax import nnx
from jaxtyping import Array, Float, PyTree

from jaxwin._typing import Key
from jaxwin.learned._batches import AbstractBatches
from jaxwin.learned._denoiser import noise_level
from jaxwin.learned._levels import AbstractLevels, Weighting, relative_weight

# Edges of the bins of log(sigma / (alpha s)) in which losses are recorded.
BINS = tuple(-4.0 + 0.5 * i for i in range(17))


class DenoisingLoss(eqx.Module):
    r"""E w |F(u / sqrt v, c) - F*|^2 / d over a batch of noised points.

        F* = (sigma (x0 - m) / s - alpha s z) / sqrt v,    v = sigma^2 + alpha^2 s^2,

    what F must be for the denoised point to be x0 (`NetworkDenoiser`); its least value
    is not zero. Quantiles of the noise levels are stratified over the batch.

    References:
        Vincent (2011), Neural Computation 23, section 4.3; Karras et al. (2022),
        arXiv:2206.00364, equations 7 and 8.
    """

    batches: AbstractBatches
    levels: AbstractLevels
    mean: Float[Array, " d"]
    std: Float[Array, ""]
    fixed: PyTree[Array]
    graph: nnx.GraphDef = eqx.field(static=True)
    weighting: Weighting = eqx.field(static=True)
    num_labels: int = eqx.field(static=True)
    label_dropout: float = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)

    def __call__(
        self, params: PyTree[Array], key: Key, spread: jax.sharding.Sharding | None
    ) -> tuple[Float[Array, ""], Float[Array, "bins 2"]]:
        """Loss of one batch; sums of |F - F*|^2 / d and counts by noise level.

        spread: How the points of the batch lie on several devices.
        """
        size = self.batch_size
        data_key, noise_key, level_key, drop_key = jr.split(key, 4)
        x0, label = self.batches.draw(data_key, size)
        z = jr.normal(noise_key, x0.shape, x0.dtype)
        strata = jnp.arange(size, dtype=x0.dtype)
        # Inside (0, 1), where quantiles of a Gaussian are finite.
        shift = jr.uniform(level_key, (), x0.dtype, 1e-3, 1 - 1e-3)
        log_snr = self.levels.log_snr((strata + shift) / size, self.std)
        if self.num_labels:
            drop = jr.bernoulli(drop_key, self.label_dropout, (size,))
            label = jnp.where(drop, self.num_labels, label)
        if spread is not None:
            x0, z, log_snr, label = jax.lax.with_sharding_constraint(
                (x0, z, log_snr, label), spread
            )
        alpha, sigma = (jnp.sqrt(jax.nn.sigmoid(s)) for s in (log_snr, -log_snr))
        u = x0 - self.mean[None]
        root = jnp.sqrt(sigma**2 + (alpha * self.std) ** 2)
        a, s, r = alpha[:, None], sigma[:, None], root[:, None]
        wanted = (s * u / self.std - a * self.std * z) / r
        network = nnx.merge(self.graph, params, self.fixed)
        level = noise_level(alpha, sigma, self.std)
        found = network((a * u + s * z) / r, level, label).astype(x0.dtype)
        each = jnp.mean((found - wanted) ** 2, axis=1)
        weight = relative_weight(self.weighting, log_snr, self.std)
        place = jnp.searchsorted(jnp.asarray(BINS[1:-1], x0.dtype), 4 * level)
        record = jnp.zeros((len(BINS) - 1, 2), x0.dtype)
        record = record.at[place].add(jnp.stack([each, jnp.ones_like(each)], axis=1))
        return jnp.mean(weight * each), record
