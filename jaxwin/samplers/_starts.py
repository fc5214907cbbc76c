"""Where a backward run begins, and what beginning elsewhere than at p_T costs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._checks import finite, is_concrete, require
from jaxwin._numerics import LOG_TWO_PI
from jaxwin._typing import Index, Key, Point, ScalarLike
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess
from jaxwin.samplers._base import check_on_clock
from jaxwin.targets import AbstractTarget, GaussianMixture


class FromPrior(eqx.Module):
    """The stationary law N(0, std^2 I) of a process: `start(key)`."""

    process: AbstractProcess
    dimension: int = eqx.field(static=True)

    def __call__(self, key: Key) -> Point:
        """A point."""
        return self.process.prior().sample(key, self.dimension)

    def log_density(self, x: Point) -> Float[Array, ""]:
        """Its log-density."""
        return self.process.prior().log_density(x)

    def moments(self) -> tuple[Point, Float[Array, "d d"]]:
        """Mean and covariance."""
        variance = self.process.prior().std ** 2
        return jnp.zeros(self.dimension), variance * jnp.eye(self.dimension)


class FromLaw(eqx.Module):
    """The exact law p_t of a target on a process: `start(key)`."""

    target: AbstractTarget
    process: AbstractProcess
    t: ScalarLike

    def __check_init__(self):
        check_on_clock(self.process, self.t, "t")

    def __call__(self, key: Key) -> Point:
        """A clean draw, noised."""
        clean_key, noise_key = jr.split(key)
        clean = self.target.sample(clean_key)
        alpha, sigma = self.process.levels(self.t, clean.dtype)
        return alpha * clean + sigma * jr.normal(noise_key, clean.shape, clean.dtype)

    def log_density(self, x: Point) -> Float[Array, ""]:
        """Its log-density."""
        return self.target.log_density(x, *self.process.levels(self.t, x.dtype))


class FromMoments(eqx.Module):
    """The Gaussian with the exact mean and covariance of p_t: `start(key)`."""

    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    root: Float[Array, "d d"]

    def __init__(self, target: AbstractTarget, process: AbstractProcess, t: ScalarLike):
        """Moments alpha mean and alpha^2 covariance + sigma^2 I; O(d^3).

        Raises:
            ValueError: A time off the clock, or where the covariance is singular.
        """
        moments = target.moments()
        check_on_clock(process, t, "t")
        alpha, sigma = process.levels(t, moments.mean.dtype)
        eye = jnp.eye(moments.mean.size, dtype=moments.mean.dtype)
        self.mean = alpha * moments.mean
        self.covariance = alpha**2 * moments.covariance() + sigma**2 * eye
        message = "The law is flat at `t`: take a time with sigma > 0."
        root = jnp.linalg.cholesky(self.covariance)
        self.root = require(root, finite, message) if is_concrete(root) else root

    def __call__(self, key: Key) -> Point:
        """A point."""
        z = jr.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.matmul(self.root, z, precision="highest")

    def log_density(self, x: Point) -> Float[Array, ""]:
        """Its log-density."""
        solve = jax.scipy.linalg.solve_triangular
        white = solve(self.root, x - self.mean, lower=True)
        log_det = jnp.sum(jnp.log(jnp.diagonal(self.root)))
        return -0.5 * (jnp.sum(white**2) + x.size * LOG_TWO_PI) - log_det

    def moments(self) -> tuple[Point, Float[Array, "d d"]]:
        """Mean and covariance."""
        return self.mean, self.covariance


class HorizonBias(eqx.Module):
    """KL(p_t | start) in nats, and by which way; an error of zero for a closed form."""

    value: Float[Array, ""]
    stderr: Float[Array, ""]
    method: str = eqx.field(static=True)


def horizon_bias(
    target: AbstractTarget,
    process: AbstractProcess,
    t: ScalarLike,
    start: FromPrior | FromMoments,
    key: Key,
    *,
    num_replicas: int = 4096,
) -> HorizonBias:
    """KL of the exact law p_t and the law a run begins with.

        KL = E[log p_t(x) - log q(x)],    x ~ p_t,

    which exact reverse transitions carry to the clean end without growth (data
    processing). Closed form for a single Gaussian, else an average over exact draws.

    Args:
        target: The clean law.
        process: The clock.
        t: The noisy end.
        start: `FromPrior` or `FromMoments`.
        key: Root key.
        num_replicas: Exact draws.

    Raises:
        ValueError: A time off the clock or at sigma = 0, or laws of two spaces.

    References:
        Cover & Thomas (2006), section 2.8; Chen, Chewi et al. (2022),
        arXiv:2209.11215, theorem 2 (the first term of the bound).
    """
    size = start.moments()[0].size
    if size != target.dimension:
        raise ValueError(
            f"`start` has {size} dimensions and `target` {target.dimension}; they must "
            f"be of one space."
        )
    if is_concrete(process, t) and not float(process.sigma(t)) > 0:
        raise ValueError(
            f"`t` is {t}, where sigma = 0: the clean law may have no density; compare "
            f"at sigma > 0."
        )
    if isinstance(target, GaussianMixture) and target.log_weights.size == 1:
        exact = FromMoments(target, process, t)
        value = _gaussian_divergence(exact.moments(), start.moments())
        return HorizonBias(value, jnp.zeros_like(value), "closed form")
    law = FromLaw(target, process, t)
    found = run(eqx.Partial(_log_ratio, law, start), num_replicas, key)
    value, stderr = jnp.asarray(found.mean), jnp.asarray(found.stderr)
    return HorizonBias(value, stderr, f"{found.count} exact draws")


def _log_ratio(
    law: FromLaw, start: FromPrior | FromMoments, key: Key, replica: Index
) -> Float[Array, ""]:
    x = law(jr.fold_in(key, replica))
    return law.log_density(x) - start.log_density(x)


def _gaussian_divergence(
    p: tuple[Point, Float[Array, "d d"]], q: tuple[Point, Float[Array, "d d"]]
) -> Float[Array, ""]:
    """KL(N_p | N_q), by the eigenvalues of the covariance of p whitened by q."""
    solve = jax.scipy.linalg.solve_triangular
    root = jnp.linalg.cholesky(q[1])
    half = solve(root, p[1], lower=True)
    values = jnp.linalg.eigvalsh(solve(root, half.T, lower=True))
    white = solve(root, p[0] - q[0], lower=True)
    return 0.5 * (jnp.sum(white**2) + jnp.sum(values - 1 - jnp.log(values)))
