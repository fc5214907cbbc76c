"""The uniform law on a sphere: no label, and a symmetry that breaks all at once."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._checks import check_point, finite, require
from jaxwin._numerics import LOG_TWO_PI, as_float, channel_variance
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.targets._base import (
    AbstractTarget,
    Local,
    Moments,
    noise_with_a_score,
    refuse_zero_noise,
)
from jaxwin.targets._bessel import log_scaled_average, ratios
from jaxwin.targets._mises_fisher import cosine_draw, tangent


class Hypersphere(AbstractTarget):
    r"""The uniform law on the sphere |x0| = r of R^d; two points +-r where d = 1.

    Seen through x = alpha x0 + sigma z, the direction of x0 follows the von
    Mises-Fisher law of natural parameter w = alpha r x / sigma^2, kappa = |w|. With
    nu = d/2 - 1, A = I_{nu+1}(kappa) / I_nu(kappa), rho = A / kappa and
    F = Gamma(nu + 1) (2 / kappa)^nu I_nu(kappa),

        log p(x)    = -(|x|^2 + alpha^2 r^2) / (2 sigma^2) + log F
                      - (d / 2) log(2 pi sigma^2),
        E[x0 | x]   = r A x / |x| = r rho w,
        Cov[x0 | x] = r^2 (rho (I - u u^T) + A' u u^T),    u = x / |x|.

    Everything is smooth at x = 0, where rho = A' = 1 / d. A point costs O(d), at any
    kappa from zero to beyond 1e12, in float32 as in float64. The law is on the sphere
    alone: densities and scores need sigma > 0.

    References:
        Raya & Ambrogioni, arXiv:2305.19693 (the hypersphere); Mardia & Jupp,
        Directional Statistics (2000), 9.3.2 and 10.3.1; DLMF 10.41 (I_nu).
    """

    radius: Float[Array, ""]
    coordinate_count: int = eqx.field(static=True)

    def __init__(self, dimension: int, radius: ScalarLike):
        """Build the law.

        Args:
            dimension: Dimension d >= 1 of space.
            radius: Radius r > 0; its type is that of the points.

        Raises:
            ValueError: A dimension below one or no integer, a radius that is not one
                finite positive number (a run-time error where it is traced).
        """
        if isinstance(dimension, bool) or int(dimension) != dimension or dimension < 1:
            raise ValueError(
                f"`dimension` is {dimension}; it must be a whole number >= 1."
            )
        message = f"`radius` is {radius}; it must be one finite number > 0."
        radius = require(as_float(radius), lambda r: finite(r) & (r > 0), message)
        if radius.shape:
            raise ValueError(message)
        self.radius = radius
        self.coordinate_count = int(dimension)

    @property
    def dimension(self) -> int:
        """Dimension d of a point."""
        return self.coordinate_count

    @property
    def posterior_draws(self) -> int:
        """Gaussian vectors that `posterior_draw` takes."""
        return 1

    def log_density(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, ""]:
        """Log-density of the noised law.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        refuse_zero_noise(sigma, "a density of points on a sphere")
        x, variance = self._point(x), channel_variance(sigma)
        alpha = as_float(alpha).astype(x.dtype)
        log_kernel = _log_kernel(self.order, x, alpha, variance, self.radius)
        return log_kernel - 0.5 * x.size * (LOG_TWO_PI + jnp.log(variance))

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x]; at sigma = 0 the nearest point of the sphere."""
        w = self._natural(x, alpha, sigma)
        return self.radius * _rho(self.order, w) * w

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score (alpha E[x0 | x] - x) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        mean = self.denoise(x, alpha, sigma)
        return (alpha * mean - x) / channel_variance(sigma)

    def score_jacobian(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Jacobian of the score, (alpha^2 Cov[x0 | x] / sigma^2 - I) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        spread = self._relative_covariance(x, alpha, sigma)
        eye = jnp.eye(self.dimension, dtype=spread.dtype)
        return (alpha**2 * spread - eye) / channel_variance(sigma)

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, in O(d).

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        across, along, u = self._relative_variances(x, alpha, sigma)
        part = _dot(u, v) * u
        spread = across * (v - part) + along * part
        return (alpha**2 * spread - v) / channel_variance(sigma)

    def posterior_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        """Posterior covariance Cov[x0 | x]: across x and along it."""
        spread = self._relative_covariance(x, alpha, sigma)
        return channel_variance(sigma) * spread

    def local(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Local:
        """Mean, score and their divergences, tr Cov[x0 | x] = r^2 (1 - A^2).

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        sigma = noise_with_a_score(sigma, lambda: True)
        variance, mean = channel_variance(sigma), self.denoise(x, alpha, sigma)
        across, along, _ = self._relative_variances(x, alpha, sigma)
        relative_variance = (self.dimension - 1) * across + along
        return Local(
            mean=mean,
            score=(alpha * mean - x) / variance,
            divergence=(alpha**2 * relative_variance - x.size) / variance,
            relative_variance=relative_variance,
        )

    def sample(self, key: Key) -> Point:
        """One clean point: a Gaussian direction."""
        if self.dimension == 1:
            return self.radius * jr.rademacher(key, (1,), self.radius.dtype)
        z = jr.normal(key, (self.dimension,), self.radius.dtype)
        return self.radius * z / _norm(z)

    def posterior_draw(
        self,
        choice_key: Key,
        z: Float[Array, "draws d"],
        x: Point,
        alpha: ScalarLike,
        sigma: ScalarLike,
    ) -> Point:
        """Exact draw x0 ~ p(x0 | x), von Mises-Fisher.

        The angle to x is drawn by `choice_key`, without loss however small it is, and z
        gives the direction across: which of all directions at that angle.

        References:
            Wood (1994), Communications in Statistics 23, 157; see `_mises_fisher`.
        """
        w = self._natural(x, alpha, sigma)
        kappa, u = _norm(w), _direction(w)
        # Without a direction any axis will do.
        u = u + jnp.where(kappa > 0, 0, jnp.eye(u.size, dtype=u.dtype)[0])
        below, above = cosine_draw(choice_key, self.dimension, kappa)
        across = jnp.sqrt(below * above) * tangent(z[0], u)
        return self.radius * ((1 - below) * u + across)

    def moments(self) -> Moments:
        """Mean zero and covariance (r^2 / d) I."""
        zeros = jnp.zeros(self.dimension, self.radius.dtype)
        return Moments(zeros, zeros[:, None][:, :0], self.radius**2 / self.dimension)

    @property
    def order(self) -> float:
        """Order nu = d/2 - 1 of the Bessel functions."""
        return self.dimension / 2 - 1

    def _point(self, x: Point) -> Point:
        check_point(x, self.dimension)
        return as_float(x)

    def _natural(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """The parameter w = alpha r x / sigma^2, held to where its square is a number.

        The direction of x0 has long reached its limit there.
        """
        x = self._point(x)
        variance = _held(x, alpha * self.radius, channel_variance(sigma))
        return alpha * self.radius * x / variance

    def _relative_variances(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> tuple[Float[Array, ""], Float[Array, ""], Point]:
        """Variances of x0 across and along x over sigma^2, and the direction of x."""
        x = self._point(x)
        variance = _held(x, alpha * self.radius, channel_variance(sigma))
        w = alpha * self.radius * x / variance
        at = ratios(self.order, _dot(w, w))
        # By the same variance as in w: across, the limit is r / (alpha |x|).
        scale = self.radius**2 / variance
        return scale * at.rho, scale * at.slope, _direction(w)

    def _relative_covariance(
        self, x: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "d d"]:
        across, along, u = self._relative_variances(x, alpha, sigma)
        part = u[:, None] * u[None]
        eye = jnp.eye(self.dimension, dtype=u.dtype)
        return across * (eye - part) + along * part


def _held(
    x: Point, pull: Float[Array, ""], variance: Float[Array, ""]
) -> Float[Array, ""]:
    """The variance, raised to where the square of w = pull x / variance is a number."""
    size = jax.lax.stop_gradient(jnp.abs(pull) * _norm(x))
    return jnp.maximum(variance, size / _most(x))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _rho(nu: float, w: Point) -> Float[Array, ""]:
    """The ratio rho at |w|, with derivatives that hold at w = 0 as well."""
    return ratios(nu, _dot(w, w)).rho


@_rho.defjvp
def _rho_jvp(nu, primals, tangents):
    (w,), (change,) = primals, tangents
    at = ratios(nu, _dot(w, w))
    return _rho(nu, w), -_rho(nu, w) * _dot(at.gap * w, change)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_kernel(
    nu: float,
    x: Point,
    alpha: Float[Array, ""],
    variance: Float[Array, ""],
    radius: Float[Array, ""],
) -> Float[Array, ""]:
    """Log of E[exp(-|x - alpha x0|^2 / (2 variance))], by the distance to the sphere.

    Where kappa is large, |x|^2 + alpha^2 r^2 would cancel against log F; the rule takes
    derivatives of the smooth form, which |x| is not at x = 0.
    """
    size, reach = _norm(x), jnp.abs(alpha) * radius
    # Beyond the last kappa with a square only the distance counts.
    kappa = jnp.minimum(size * (reach / variance), _most(x))
    return -0.5 * (size - reach) ** 2 / variance + log_scaled_average(nu, kappa**2)


@_log_kernel.defjvp
def _log_kernel_jvp(nu, primals, tangents):
    x, alpha, variance, radius = primals
    held = _held(x, alpha * radius, variance)
    w = alpha * radius * x / held
    at = ratios(nu, _dot(w, w))
    mean = radius * _rho(nu, w) * w
    # Of the covariance of x0, over the variance.
    trace = radius**2 / held * ((2 * nu + 1) * at.rho + at.slope)
    # Averages over x0 given x: of x - alpha x0, of x0 . (x - alpha x0), and of half its
    # square over the variance.
    apart = x - alpha * mean
    inside = _dot(x, mean) - alpha * radius**2
    square = _dot(apart, apart) / variance + alpha**2 * trace
    slope = -_dot(apart, tangents[0]) + inside * tangents[1]
    slope = slope + 0.5 * square * tangents[2]
    slope = slope + inside * (alpha / radius) * tangents[3]
    return _log_kernel(nu, *primals), slope / variance


def _dot(a: Point, b: Point) -> Float[Array, ""]:
    return jnp.dot(a, b, precision="highest")


def _norm(x: Point) -> Float[Array, ""]:
    """|x|, with slope zero at x = 0."""
    square = _dot(x, x)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _direction(x: Point) -> Point:
    """The direction x / |x|, and zero at x = 0."""
    if x.size == 1:  # exact, so that nothing of it is left across
        return jnp.sign(x)
    size = _norm(x)
    return x / jnp.where(size > 0, size, 1)


def _most(x: Point) -> float:
    """The largest |w| taken: its square, some times over, is a number."""
    return float(jnp.finfo(x.dtype).max) ** 0.5 / 64
