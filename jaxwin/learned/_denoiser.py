"""The seam between flax and equinox: a network seen as a denoiser."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._checks import BadInput, is_concrete
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import AbstractProcess
from jaxwin.scores import ExactScore, Guided
from jaxwin.targets import AbstractDenoiser
from jaxwin.targets._base import refuse_zero_noise


class NetworkDenoiser(AbstractDenoiser):
    r"""A flax network F seen as a denoiser, of any (alpha, sigma).

        E[x0 | x] ~ m + alpha s^2 u / v + (sigma s / sqrt v) F(u / sqrt v, c),
        u = x - alpha m,  v = sigma^2 + alpha^2 s^2,  c = log(sigma / (alpha s)) / 4,

    m the mean of the data and s^2 their mean variance a coordinate. F is called with a
    block of points (b, d), their levels c (b,) and labels (b,). The score is formed
    without the difference that cancels at small sigma,

        score ~ -u / v + (alpha s / (sigma sqrt v)) F.

    Parameters are data: new ones do not recompile. They are taken in the type of x,
    so that a network trained in float32 is a smooth function in float64 too, as root
    finders want it; averages do not, and `in_float32` is twice as fast.

    Attributes:
        state: Parameters of the network, a pytree.
        mean: m.
        std: s > 0.
        label: Which label is asked for; `num_labels` is none of them.
        graph: The network without its parameters.
        num_labels: Labels that the network knows.
        single: Whether F is computed in float32 where x is float64.

    References:
        Karras et al. (2022), arXiv:2206.00364, table 1 (c_skip, c_out, c_in, c_noise,
        here of centred data and at equal SNR).
    """

    state: PyTree[Array]
    mean: Float[Array, " d"]
    std: Float[Array, ""]
    label: Int[Array, ""]
    # Static: code, not data; it hashes for jit.
    graph: nnx.GraphDef = eqx.field(static=True)
    num_labels: int = eqx.field(static=True)
    single: bool = eqx.field(static=True, default=False)

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """What the network takes for E[x0 | x]; at sigma = 0 the point itself."""
        return self._denoise(x[None], alpha, sigma)[0]

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score (alpha E[x0 | x] - x) / sigma^2.

        Raises:
            ValueError: `sigma` is a concrete zero.
        """
        return self.score_many(x[None], alpha, sigma)[0]

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`; a network's is not symmetric."""
        return jax.jvp(lambda x: self.score(x, alpha, sigma), (x,), (v,))[1]

    def score_many(
        self, xs: Float[Array, "b d"], alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "b d"]:
        """Scores of a block of points, one call of the network."""
        refuse_zero_noise(sigma, "a score")
        alpha, sigma = (jnp.asarray(level, xs.dtype) for level in (alpha, sigma))
        u, std, v, value = self._network(xs, alpha, sigma)
        return -u / v + alpha * std / (sigma * jnp.sqrt(v)) * value

    def given(self, label: int | Int[Array, ""] | None) -> "NetworkDenoiser":
        """The same network, asked for one label, or for none of them.

        Raises:
            BadInput: The network knows no such label.
        """
        label = self.num_labels if label is None else label
        if is_concrete(label) and label not in range(self.num_labels + 1):
            raise BadInput(
                f"`label` is {label}; the network knows {self.num_labels} labels: "
                f"it must be in 0 to {self.num_labels - 1}, or None for no label."
            )
        return eqx.tree_at(lambda d: d.label, self, jnp.asarray(label, jnp.int32))

    def in_float32(self) -> "NetworkDenoiser":
        """The same, whose network alone is computed in float32."""
        return dataclasses.replace(self, single=True)

    def guided(
        self,
        label: int | Int[Array, ""],
        strength: ScalarLike,
        process: AbstractProcess,
    ) -> Guided:
        """Guidance towards a label: s + w (s_label - s), both of this network."""
        free, bound = (ExactScore(self.given(one), process) for one in (None, label))
        return Guided(free, bound, strength)

    def _denoise(
        self, xs: Float[Array, "b d"], alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "b d"]:
        alpha, sigma = (jnp.asarray(level, xs.dtype) for level in (alpha, sigma))
        u, std, v, value = self._network(xs, alpha, sigma)
        linear = self.mean.astype(xs.dtype)[None] + alpha * std**2 * u / v
        return linear + sigma * std / jnp.sqrt(v) * value

    def _network(
        self, xs: Float[Array, "b d"], alpha: Array, sigma: Array
    ) -> tuple[Array, Array, Array, Array]:
        """u, s, v and F at a block of points."""
        own = lambda a: a.astype(xs.dtype)
        if xs.shape[1:] != self.mean.shape:
            raise BadInput(
                f"`x` has {xs.shape[1]} coordinates; the network was made for "
                f"{self.mean.size}."
            )
        mean, std = own(self.mean), own(self.std)
        u, v = xs - alpha * mean[None], sigma**2 + (alpha * std) ** 2
        level = noise_level(alpha, sigma, std)
        kind = jnp.dtype(jnp.float32) if self.single else xs.dtype
        floats = lambda a: (
            a.astype(kind) if jnp.issubdtype(a.dtype, jnp.floating) else a
        )
        network = nnx.merge(self.graph, jax.tree.map(floats, self.state))
        many = lambda value: jnp.broadcast_to(floats(value), xs.shape[:1])
        # Layers of flax mix types in their own arithmetic.
        with jax.numpy_dtype_promotion("standard"):
            value = network(floats(u / jnp.sqrt(v)), many(level), many(self.label))
        if value.shape != xs.shape:
            raise BadInput(
                f"the network gives shape {value.shape} for points {xs.shape}; it must "
                f"give one number for each coordinate."
            )
        return u, std, v, own(value)


def noise_level(
    alpha: Float[Array, "*b"], sigma: Float[Array, "*b"], std: Float[Array, ""]
) -> Float[Array, "*b"]:
    """Level c = log(sigma / (alpha s)) / 4, within what a type can tell."""
    tiny = jnp.finfo(sigma.dtype).tiny ** 0.5
    log = lambda a: jnp.log(jnp.maximum(a, tiny))
    return (log(sigma) - log(alpha) - jnp.log(std)) / 4
