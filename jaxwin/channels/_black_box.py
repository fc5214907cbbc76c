"""Somebody's noise, denoiser and classifier, of which nothing else is known."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._host import OnHost, check_hashable
from jaxwin._typing import Key, ScalarLike, TimesLike
from jaxwin.channels._base import Datum
from jaxwin.channels._observed import AbstractSimulated, LabelledData

# How far probabilities may sum from 1: rounding of float32.
SLACK = 1e-3


class BlackBox(AbstractSimulated):
    """U-turns of a model that is known by its calls alone, whatever it does inside.

        x = noise(rng, x0, t),    x0' = denoise(rng, x, t),    p(label) = classify(x0')

    Plain Python functions (NumPy, PyTorch, a service) are called on the host, with a
    `numpy.random.Generator` of the key; observations have the shape and type of clean
    points: pad words to one length. What is drawn depends on the key alone, of
    functions of blocks also on the block. Such functions must not call JAX.

    Args:
        noise: The degradation at a noise level t, larger where more is lost.
        denoise: The way back, to a clean point.
        classify: Probabilities of the labels of a clean point, (c,).
        data: Clean labelled points: `targets.Empirical(points, labels)`, a law, or
            anything with `sample_labelled` and `log_label_prior`.
        batched: They take blocks: points (b, ...), t (b,), one generator, probabilities
            (b, c).
        traceable: They are JAX functions of one point, with a key in place of the
            generator; callable pytrees, so that parameters are traced.

    Raises:
        ValueError: Functions that cannot be hashed, `batched` ones that are traceable;
            when called, another shape or kind of numbers.

    References:
        Li, Karan & Chen (2025), arXiv:2502.00921, section 2 (any stochastic localiser).
    """

    noise: Callable[..., Any]
    denoise: Callable[..., Any]
    classify: Callable[..., Any]
    data: LabelledData
    batched: bool = eqx.field(static=True, default=False)
    traceable: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if self.traceable and self.batched:
            raise ValueError(
                "`batched` is set beside `traceable`; JAX functions take one point, "
                "and are batched by JAX: leave it out."
            )
        if not self.traceable:
            for name in ("noise", "denoise", "classify"):
                check_hashable(getattr(self, name), name)

    def start(self, key: Key) -> tuple[Datum, Int[Array, ""]]:
        """A clean point of the data and its label."""
        return self.data.sample_labelled(key)

    def log_label_prior(self) -> Float[Array, " c"]:
        """Log-probabilities of the labels of the data."""
        return self.data.log_label_prior()

    def observe(self, key: Key, x0: Datum, noise: ScalarLike) -> Datum:
        """What `noise` gives."""
        return self._drawn("noise", key, x0, noise)

    def resample(self, key: Key, observation: Datum, noise: ScalarLike) -> Datum:
        """What `denoise` gives."""
        return self._drawn("denoise", key, observation, noise)

    def label_probabilities(self, x0: Datum) -> Float[Array, " c"]:
        """What `classify` gives."""
        if self.traceable:
            return self.classify(x0)
        prior = self.log_label_prior()
        like = jax.ShapeDtypeStruct(prior.shape, prior.dtype)
        told = OnHost(_Told(self.classify), self.batched, like, "classify")
        return told(x0, jnp.zeros((), prior.dtype))

    def coordinate(self, noise: TimesLike) -> Float[Array, "..."]:
        """The noise itself: nothing is known of it."""
        return jnp.asarray(noise, float)

    def noise_at(self, coordinate: TimesLike) -> Float[Array, "..."]:
        """The coordinate itself."""
        return jnp.asarray(coordinate, float)

    def _drawn(self, name: str, key: Key, x: Datum, noise: ScalarLike) -> Datum:
        function = getattr(self, name)
        if self.traceable:
            return function(key, x, noise)
        like = jax.ShapeDtypeStruct(x.shape, x.dtype)
        drawn = OnHost(_Drawn(function), self.batched, like, name)
        return drawn(x, jnp.asarray(noise, float), jr.key_data(key))


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """A function with the generator of its seeds."""

    function: Callable[..., Any]

    def __call__(self, x: np.ndarray, t: Any, seed: np.ndarray) -> Any:
        return self.function(np.random.default_rng(seed.ravel()), x, t)


@dataclasses.dataclass(frozen=True)
class _Told:
    """A function of points alone."""

    function: Callable[..., Any]

    def __call__(self, x: np.ndarray, t: Any) -> Any:
        del t
        found = np.asarray(self.function(x))
        total = np.sum(found, axis=-1)
        if not (np.all(found >= 0) and np.all(np.abs(total - 1) <= SLACK)):
            raise ValueError(
                "`classify` must give probabilities: none negative, of sum 1."
            )
        return found
