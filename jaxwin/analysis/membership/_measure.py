"""U-turns of given points, by the best way that the model allows."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import Key, Point
from jaxwin.analysis.membership._kernels import StreamedReconstruction, as_kernels
from jaxwin.analysis.membership._line import MOST, line_reconstruction
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess
from jaxwin.targets import AbstractLabelledTarget

# Gaussians a run, and at once: the 128 blocks that the bootstrap of crossings wants.
DRAWS, BLOCK = 512, 4
# Points that a model is called with at once.
TILE = 32
METHODS = {
    "quadrature": "quadrature over the noise, in one dimension",
    "streamed": "closed form given the noise, streamed over the kernels",
    "moments": "posterior mean and trace of the posterior covariance given the noise",
    "simulated": "simulated U-turns",
}


class Reconstructed(eqx.Module):
    """E|X' - x|^2 and return probabilities of points, over draws of the noise.

    Leaves are called "distance" and "returned". blocks, counts: of the draws, for
    bootstraps; None where nothing was drawn. chance: return probability at full noise,
    NaN for a point that is no training point. tier: a key of `METHODS`. again: the
    means at another noise, where they are known without draws.
    """

    mean: dict[str, Float[np.ndarray, "t m"]]
    stderr: dict[str, Float[np.ndarray, "t m"]]
    blocks: dict[str, Float[np.ndarray, "b t m"]] | None
    counts: Int[np.ndarray, " b"] | None
    chance: Float[np.ndarray, " m"]
    count: int
    tier: str
    again: Callable[[float], dict[str, np.ndarray]] | None = None


def reconstruct(
    model: AbstractObserved,
    points: Float[np.ndarray, "m d"],
    noises: Float[np.ndarray, " t"],
    *,
    num_draws: int = DRAWS,
    key: Key | None = None,
    block_size: int = BLOCK,
    method: str | None = None,
    **options: Any,
) -> Reconstructed:
    """U-turns of all points at all noises, with the same draws of the noise.

    Raises:
        BadInput: An unknown method, or one that the model does not allow.
    """
    if method is not None:
        check_one_of(method, METHODS, "method")
    key = jr.key(0) if key is None else key
    law = process = None
    if isinstance(model, Observed) and isinstance(model.channel, Gaussian):
        law, process = model.law, model.channel.process
    kernels = None if law is None else as_kernels(law)
    allowed = ["simulated"]
    if law is not None:
        allowed = ["moments", *allowed]
    if kernels is not None:
        allowed = ["streamed", *allowed]
        if points.shape[1] == 1 and len(kernels.points) <= MOST:
            allowed = ["quadrature", *allowed]
    tier = allowed[0] if method is None else method
    if tier not in allowed:
        raise BadInput(
            f"`method` is {tier!r}, which this model does not allow; leave it out, or "
            f"take one of {', '.join(map(repr, allowed))}."
        )
    levels = jnp.asarray(noises, points.dtype)
    if tier in ("quadrature", "streamed"):
        assert kernels is not None
        assert process is not None
        replica = StreamedReconstruction.of(
            kernels, points, *process.levels(levels, points.dtype)
        )
        chance = np.exp(np.asarray(replica.own_log_weight, np.float64))
        chance = np.where(chance > 0, chance, np.nan)
        if tier == "quadrature":

            def at(noises: np.ndarray) -> dict[str, np.ndarray]:
                levels = process.levels(jnp.asarray(noises, points.dtype))
                own = replica.own_log_weight
                return line_reconstruction(kernels, points, own, *levels)

            mean = _present(at(noises), chance)
            exact = {name: np.zeros_like(value) for name, value in mean.items()}
            again = lambda noise: at(np.atleast_1d(noise))
            return Reconstructed(mean, exact, None, None, chance, 0, tier, again)
    elif tier == "moments":
        assert law is not None
        assert process is not None
        replica = _Moments(law, process, jnp.asarray(points), levels)
        chance = _chance(model, points)
    else:
        replica = _Simulated(model, jnp.asarray(points), levels)
        chance = _chance(model, points)
    fixed: dict[str, Any] = {"watch": lambda found: found["distance"]}
    found = run(replica, num_draws, key, block_size=block_size, **fixed | options)
    return Reconstructed(
        _present(found.mean, chance),
        _present(found.stderr, chance),
        found.block_means,
        found.block_counts,
        chance,
        found.count,
        tier,
    )


class _Moments(eqx.Module):
    """Any exact law on the Gaussian channel: mean and spread of its posterior.

    The return probability is that of the label, sum_l p(l | x) p(l | y).
    """

    law: AbstractLabelledTarget
    process: AbstractProcess
    points: Float[Array, "m d"]
    noises: Float[Array, " t"]

    def __call__(self, key: Key, replica: Int[Array, ""]) -> dict[str, Array]:
        normal_key = jr.fold_in(key, replica)
        z = jr.normal(normal_key, self.points.shape[1:], self.points.dtype)

        def at(x: Point, noise: Array) -> dict[str, Array]:
            alpha, sigma = self.process.levels(noise, x.dtype)
            y = alpha * x + sigma * z
            local = self.law.local(y, alpha, sigma)
            spread = sigma**2 * local.relative_variance
            label = self.law.label_log_posterior(x, 1.0, 0.0)
            back = self.law.label_log_posterior(y, alpha, sigma)
            return {
                "distance": jnp.sum((local.mean - x) ** 2) + spread,
                "returned": jnp.sum(jnp.exp(label + back)),
            }

        return _over_points(at, self.points, self.noises)


class _Simulated(eqx.Module):
    """Any model: there and back, by its own way and its own classifier."""

    model: AbstractObserved
    points: Float[Array, "m d"]
    noises: Float[Array, " t"]

    def __call__(self, key: Key, replica: Int[Array, ""]) -> dict[str, Array]:
        there, back = jr.split(jr.fold_in(key, replica))

        def at(x: Point, noise: Array) -> dict[str, Array]:
            y = self.model.observe(there, x, noise)
            end = self.model.resample(back, y, noise)
            label = self.model.label_probabilities(x)
            return {
                "distance": jnp.sum((end - x) ** 2),
                "returned": jnp.sum(label * self.model.label_probabilities(end)),
            }

        return _over_points(at, self.points, self.noises)


def _over_points(at: Any, points: Array, noises: Array) -> dict[str, Array]:
    """`at(x, noise)` of all points at all noises, (t, m).

    Noise levels one by one: a batch of them would evaluate every form of log-weights.
    """
    level = lambda noise: jax.lax.map(
        lambda x: at(x, noise), points, batch_size=min(TILE, len(points))
    )
    return jax.lax.map(level, noises)


def _chance(
    model: AbstractObserved, points: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, " m"]:
    """Return probability of the label at full noise."""
    label = jax.vmap(model.label_probabilities)(jnp.asarray(points))
    prior = jnp.exp(model.log_label_prior())
    return np.asarray(jnp.matmul(label, prior, precision="highest"), np.float64)


def _present(found: dict[str, np.ndarray], chance: np.ndarray) -> dict[str, np.ndarray]:
    """No return probability where there is nothing to return to."""
    returned = np.where(np.isnan(chance), np.nan, found["returned"])
    return found | {"returned": returned}
