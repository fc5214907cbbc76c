"""The Langevin equation of the one coordinate in which two clusters separate."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import (
    check,
    fraction,
    not_negative,
    positive,
)
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.analysis.speciation._landau import log_cosh


class CollectiveLangevin(eqx.Module):
    """The reverse SDE of two clusters N(+-m, std^2 I) seen along q = m . x / sqrt(d).

    With |m|^2 = d size^2, Gamma = 1 + (std^2 - 1) e^{-2t} and tau = -t,

        dq = -V'(q) dtau + sqrt(2) size dW,
        -V' = q (1 - 2 / Gamma) + 2 size^2 h tanh(q h + b),  h = sqrt(d) e^{-t} / Gamma,

    exact at every d, b = log(w / (1 - w)) / 2. The potential is that of a double well
    once t falls below the time of `potential` in `SpeciationTimes`; dimension and time
    enter by sqrt(d) e^{-t} alone for Gamma = 1. Times in OU units.

    The source prints noise sqrt(2) dW, right for size = 1 only (W projects onto m), the
    scaling variable as e^{-sqrt t} d, and Gamma = 1 throughout.

    References:
        Biroli et al., arXiv:2402.18491, section 2; general Gamma derived: m / sqrt(d)
        times dx = [x + 2 grad log p] dtau + sqrt(2) dW.
    """

    dimension: ScalarLike
    size: ScalarLike = 1.0
    std: ScalarLike = 1.0
    weight: ScalarLike = 0.5

    def __check_init__(self):
        check(self.dimension, positive, "dimension", "positive")
        check(self.size, positive, "size", "positive: the norm |m| / sqrt(d)")
        check(self.std, not_negative, "std", "finite and >= 0")
        check(self.weight, fraction, "weight", "in (0, 1); leave out an empty class")

    @property
    def noise(self) -> Float[Array, ""]:
        """Noise amplitude sqrt(2) size."""
        return jnp.sqrt(2.0) * as_float(self.size)

    def potential(self, q: TimesLike, t: ScalarLike) -> Float[Array, "..."]:
        """V(q, t), with V(0, t) = 0."""
        gamma, pull = self._width(t), self._pull(t)
        square = as_float(self.size) ** 2
        wells = 2 * square * log_cosh(pull * q, self.weight)
        return -0.5 * (1 - 2 / gamma) * as_float(q) ** 2 - wells

    def drift(self, q: TimesLike, t: ScalarLike) -> Float[Array, "..."]:
        """Drift -V'(q, t) of the generating direction."""
        w, pull = as_float(self.weight), self._pull(t)
        bias = 0.5 * (jnp.log(w) - jnp.log1p(-w))
        return self._drift(q, t, jnp.tanh(pull * q + bias))

    def class_drift(self, q: TimesLike, t: ScalarLike) -> Float[Array, "..."]:
        """Drift once the cluster at +m is decided: tanh = 1, one Gaussian.

        It is x + 2 grad log p(x | +) along m; the source prints grad log p alone.
        """
        return self._drift(q, t, jnp.ones_like(self._width(t)))

    def curvature(self, t: ScalarLike) -> Float[Array, ""]:
        """V''(0, t) at equal weights: 1 - 2 d size^2 e^{-2t} where std = 1."""
        square = as_float(self.size) ** 2
        return 2 / self._width(t) - 1 - 2 * square * self._pull(t) ** 2

    def _drift(self, q: TimesLike, t: ScalarLike, side: Array) -> Array:
        square = as_float(self.size) ** 2
        return q * (1 - 2 / self._width(t)) + 2 * square * self._pull(t) * side

    def _pull(self, t: ScalarLike) -> Array:
        t = as_float(t)
        return jnp.sqrt(as_float(self.dimension)) * jnp.exp(-t) / self._width(t)

    def _width(self, t: ScalarLike) -> Array:
        """Gamma, the noised variance of a cluster."""
        check(t, not_negative, "t", "an OU time >= 0")
        t = as_float(t)
        gamma = -jnp.expm1(-2 * t) + as_float(self.std) ** 2 * jnp.exp(-2 * t)
        check(gamma, positive, "Gamma", "positive: give t > 0, or clusters a width")
        return gamma
