"""The same discretised scheme in the few directions where the law is not Gaussian.

Where a mixture reduces (`targets.reduce`), its score is that of the reduced law inside
a subspace and linear outside it. A step that is linear in point, score and noise then
falls apart too: inside, the same scheme on the reduced law; outside, with mean m and
variance v of the orthogonal part,

    x_end = gain x_start + shift m + sum_i c_i z_i,

whose coefficients are the gradient of one scalar run. No bias is added: discretisation
errors are those of the full scheme.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess
from jaxwin.samplers._base import AbstractStep
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import GaussianMixture, reduce


class ReducedScheme(eqx.Module):
    """A scheme in d dimensions as one in r dimensions and a Gaussian outside.

    score: of the law inside the subspace, on the same clock. basis: orthonormal columns
    of the subspace. centre, variance: mean of the law outside it, and its variance in
    each direction there. gain, shift, spread: the endpoint outside is
    gain x + shift centre + spread z.
    """

    score: ExactScore
    basis: Float[Array, "d r"]
    centre: Float[Array, " d"]
    variance: Float[Array, ""]
    gain: Float[Array, ""]
    shift: Float[Array, ""]
    spread: Float[Array, ""]

    @property
    def saving(self) -> float:
        """Dimensions of the full scheme over those of the reduced one."""
        return self.basis.shape[0] / self.basis.shape[1]

    def inside(self, x: Point) -> Float[Array, " r"]:
        """Coordinates in the subspace, where the reduced scheme runs."""
        return jnp.matmul(x, self.basis, precision="highest")

    def lift(self, y_end: Float[Array, " r"], x_start: Point, z: Point) -> Point:
        """The endpoint in d dimensions, given a Gaussian z: exact in law."""
        rest = self.gain * x_start + self.spread * z
        return self._joined(y_end, rest) + self.shift * self.centre

    def lift_from_law(
        self, y_end: Float[Array, " r"], z: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """As `lift`, the start being drawn from the law at (alpha, sigma)."""
        start = alpha**2 * self.variance + jnp.asarray(sigma) ** 2
        spread = jnp.sqrt(self.gain**2 * start + self.spread**2)
        centre = (self.gain * alpha + self.shift) * self.centre
        return self._joined(y_end, spread * z) + centre

    def _joined(self, y: Float[Array, " r"], x: Point) -> Point:
        """The point x, with the coordinates y in the subspace."""
        change = y - self.inside(x)
        return x + jnp.matmul(change, self.basis.T, precision="highest")


def reduce_scheme(
    step: AbstractStep, score: AbstractScore, times: Float[Array, " t"]
) -> ReducedScheme | None:
    """The reduced scheme, or None where there is none.

    It exists for the exact score of a mixture that `targets.reduce` reduces, and for
    steps that are linear in point, score and noise.

    Raises:
        ValueError: The mixture is traced; its rank fixes array shapes.
    """
    if not (step.linear and isinstance(score, ExactScore)):
        return None
    if not isinstance(score.target, GaussianMixture):
        return None
    reduction = reduce(score.target)
    if reduction is None:
        return None
    basis, centre = reduction.basis, reduction.centre
    inner = jnp.matmul(centre, basis, precision="highest")
    # Not centred: the scheme discretises the motion of the centre too.
    target = eqx.tree_at(
        lambda law: law.means, reduction.target, reduction.target.means + inner[None]
    )
    gain, shift, spread = _response(step, score.process, reduction.variance, times)
    return ReducedScheme(
        score=ExactScore(target, score.process),
        basis=basis,
        centre=centre - jnp.matmul(inner, basis.T, precision="highest"),
        variance=reduction.variance,
        gain=gain,
        shift=shift,
        spread=spread,
    )


class _GaussianScore(AbstractScore):
    """Score of N(alpha mean, alpha^2 variance + sigma^2)."""

    process: AbstractProcess
    mean: Float[Array, " d"]
    variance: Float[Array, ""]

    def __call__(self, x: Point, t: ScalarLike) -> Point:
        alpha, sigma = self.levels(x, t)
        return -(x - alpha * self.mean) / (alpha**2 * self.variance + sigma**2)


@eqx.filter_jit
def _response(
    step: AbstractStep,
    process: AbstractProcess,
    variance: Float[Array, ""],
    times: Float[Array, " t"],
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """How the endpoint of a scalar run answers to start, mean and noise."""

    def end(x: Array, mean: Array, zs: Array) -> Array:
        score = _GaussianScore(process, mean[None], variance)

        def body(carry, interval):
            (x, mem), (t, s, z) = carry, interval
            # A linear scheme makes no discrete choice.
            return step.step(score, x, t, s, z, jr.key(0), mem), None

        start = x[None], step.init(score, x[None], times[0])
        (x, _), _ = jax.lax.scan(body, start, (times[:-1], times[1:], zs))
        return x[0]

    zs = jnp.zeros((times.size - 1, step.draws, 1), variance.dtype)
    starts, means = jnp.eye(2, dtype=variance.dtype)
    gain, shift = jax.vmap(end, (0, 0, None))(starts, means, zs)
    zero = jnp.zeros((), variance.dtype)
    noise = jax.grad(end, 2)(zero, zero, zs)
    return gain, shift, jnp.sqrt(jnp.sum(noise**2))
