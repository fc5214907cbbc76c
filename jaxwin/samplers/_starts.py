"""Where a backward run begins, and what beginning elsewhere than at p_T costs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import is_concrete
from jaxwin._numerics import LOG_TWO_PI
from jaxwin._typing import Index, Key, Point, ScalarLike
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess
from jaxwin.samplers._base import check_on_clock
from jaxwin.targets import AbstractTarget, GaussianMixture, Moments


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
    """The Gaussian with the exact mean and covariance of p_t: `start(key)`.

        N(alpha m, alpha^2 C + sigma^2 I),    C = factor factor^T + variance I

    m and C are those of the clean law: nothing is estimated from noised points. A draw
    and a density cost O(d r), r = min(d, rank of the factor), and no d x d matrix is
    made while r < d: U holds the leading directions, with eigenvalues e of C, and

        x = alpha m + sqrt(v) z + U (sqrt(alpha^2 e + sigma^2) - sqrt(v)) U^T z,
        v = alpha^2 variance + sigma^2.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693 (Gaussian late start).
    """

    clean: Moments
    eigenvalues: Float[Array, " r"]
    directions: Float[Array, "d r"]
    alpha: Float[Array, ""]
    sigma: Float[Array, ""]

    def __init__(self, target: AbstractTarget, process: AbstractProcess, t: ScalarLike):
        """The start at t; directions once, O(d r min(d, r)).

        Raises:
            ValueError: A time off the clock, or where the covariance is singular.
        """
        check_on_clock(process, t, "t")
        self.clean = target.moments()
        levels = process.levels(t, self.clean.mean.dtype)
        self.eigenvalues, self.directions = self.clean.leading(
            min(self.clean.factor.shape)
        )
        self.alpha, self.sigma = levels
        if is_concrete(self.eigenvalues, levels):
            widths, rest = map(np.asarray, self._variances())
            whole = self.directions.shape[1] == self.clean.mean.size
            if not (np.all(widths > 0) and (whole or rest > 0)):
                raise ValueError("The law is flat at `t`: take a time with sigma > 0.")

    @property
    def mean(self) -> Point:
        """Its mean alpha m."""
        return self.alpha * self.clean.mean

    @property
    def covariance(self) -> Float[Array, "d d"]:
        """Its covariance, dense."""
        dense = self.clean.covariance()
        eye = jnp.eye(len(dense), dtype=dense.dtype)
        return self.alpha**2 * dense + self.sigma**2 * eye

    def at(self, alpha: Float[Array, ""], sigma: Float[Array, ""]) -> "FromMoments":
        """The start at another noise, on the same directions."""
        return eqx.tree_at(lambda s: (s.alpha, s.sigma), self, (alpha, sigma))

    def __call__(self, key: Key) -> Point:
        """A point."""
        mean = self.clean.mean
        z = jr.normal(key, mean.shape, mean.dtype)
        widths, rest = self._variances()
        more = (jnp.sqrt(widths) - jnp.sqrt(rest)) * self._along(z)
        return self.mean + jnp.sqrt(rest) * z + self._embed(more)

    def log_density(self, x: Point) -> Float[Array, ""]:
        """Its log-density."""
        offset = x - self.mean
        widths, rest = self._variances()
        along = self._along(offset)
        square, log_det = jnp.sum(along**2 / widths), jnp.sum(jnp.log(widths))
        orthogonal = x.size - along.size
        if orthogonal:
            square = square + jnp.sum((offset - self._embed(along)) ** 2) / rest
            log_det = log_det + orthogonal * jnp.log(rest)
        return -0.5 * (square + log_det + x.size * LOG_TWO_PI)

    def moments(self) -> tuple[Point, Float[Array, "d d"]]:
        """Mean and covariance."""
        return self.mean, self.covariance

    def _variances(self) -> tuple[Float[Array, " r"], Float[Array, ""]]:
        """In the leading directions, and in each of the others."""
        noised = lambda clean: self.alpha**2 * clean + self.sigma**2
        return noised(self.eigenvalues), noised(self.clean.variance)

    def _along(self, x: Point) -> Float[Array, " r"]:
        return jnp.matmul(x, self.directions, precision="highest")

    def _embed(self, along: Float[Array, " r"]) -> Point:
        return jnp.matmul(along, self.directions.T, precision="highest")


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
