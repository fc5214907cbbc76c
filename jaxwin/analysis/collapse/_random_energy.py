"""The random energy model of collapse: the sum of all other points' weights.

A noised point x has n P_t^e(x) (2 pi Delta)^{d/2} = Z_1 + Z, its own point's weight
Z_1 ~ e^{-d/2} and the sum Z of e^{-E} over the n = e^{alpha d} others, whose energies

    E = |x - a e^{-t}|^2 / (2 Delta),   a ~ N(centre, std^2 I),

are independent given x. Everything here is per coordinate, in the limit d -> inf.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._typing import ScalarLike
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.collapse._arguments import (
    check_not_negative,
    check_positive,
    floats,
)
from jaxwin.analysis.collapse._solve import log_range

# Gauss-Legendre on [0, 1]: pole of the integrand below at least one interval away.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
NODES, WEIGHTS = (1 + NODES) / 2, WEIGHTS / 2


class RandomEnergy(eqx.Module):
    """Energies of the points of one cluster, seen from x, at one noise level.

    With s = std^2 e^{-2t} and R = |x - centre e^{-t}|^2 / d:

    spread: s / Delta, the variance of a point's image, > 0.
    distance: R / Delta, where x lies, >= 0.

    The partition function grows as Z ~ e^{+d psi_+}, `free_energy`. Below the
    condensation time it is carried by few points; for x of the cluster itself that is
    the collapse time, psi_+ = -1/2.

    References:
        Biroli et al., arXiv:2402.18491, section 3 and its supplement; written in the
        saddle's u = lambda s / Delta, in which no two terms cancel (derived).
    """

    spread: Float[Array, ""]
    distance: Float[Array, ""]

    @classmethod
    def same_cluster(cls, time: ScalarLike, std: ScalarLike) -> "RandomEnergy":
        """The other points of x's own cluster: R = Gamma = Delta + s.

        Raises:
            ValueError: `time` or `std` is not > 0.
        """
        return cls.other_cluster(time, std, 0.0)

    @classmethod
    def other_cluster(
        cls, time: ScalarLike, std: ScalarLike, mean_sq: ScalarLike
    ) -> "RandomEnergy":
        """The points of the cluster at the opposite mean: R = Gamma + 4 mu^2 e^{-2t}.

        Args:
            time: OU time, > 0.
            std: Standard deviation of a cluster in one coordinate, > 0.
            mean_sq: mu^2 = |m|^2 / d of clusters at +-m.

        Raises:
            ValueError: `time` or `std` is not > 0, or `mean_sq` negative.
        """
        check_positive(time=time, std=std)
        check_not_negative(mean_sq=mean_sq)
        time, std, mean_sq = floats(time, std, mean_sq)
        noise = jnp.expm1(2 * time)
        spread = std**2 / noise
        return cls(spread, 1 + spread + 4 * mean_sq / noise)

    def cumulant(self, inverse_temperature: ScalarLike) -> Float[Array, ""]:
        """g(lambda) = lim log E[e^{-lambda E}] / d.

        g = log(Delta / (Delta + lambda s)) / 2 - lambda R / (2 (Delta + lambda s)).
        """
        beta, u = self._saddle(inverse_temperature)
        return -0.5 * (jnp.log1p(u) + beta * self.distance / (1 + u))

    def energy(self, inverse_temperature: ScalarLike) -> Float[Array, ""]:
        """Energy that dominates at lambda: epsilon* = -g'(lambda).

        epsilon* = s / (2 (Delta + lambda s)) + R Delta / (2 (Delta + lambda s)^2).
        """
        _, u = self._saddle(inverse_temperature)
        return 0.5 * (self.spread + self.distance / (1 + u)) / (1 + u)

    def inverse_temperature(self, energy: ScalarLike) -> Float[Array, ""]:
        """lambda*(epsilon), the inverse of `energy`; below zero above the mean energy.

        lambda* = (s - 4 Delta epsilon + sqrt(s^2 + 8 epsilon Delta R))
                  / (4 s epsilon).

        Raises:
            ValueError: `energy` is not > 0.
        """
        return self._saddle_at(energy) / self.spread

    def rate_function(self, energy: ScalarLike) -> Float[Array, ""]:
        """f(epsilon) = -g(lambda*) - lambda* epsilon: P(E ~ d epsilon) ~ e^{-d f}.

        f = [log(1 + u) - u / (1 + u) + (R / s) u^2 / (1 + u)^2] / 2, u = lambda* s /
        Delta; zero at the mean energy (s + R) / (2 Delta).

        Raises:
            ValueError: `energy` is not > 0.
        """
        u = self._saddle_at(energy)
        return self._entropy_lost(u / self.spread, u)

    def entropy_lost(self, inverse_temperature: ScalarLike) -> Float[Array, ""]:
        """f(epsilon*(lambda)): the rate log(n) / d at which lambda condenses."""
        return self._entropy_lost(*self._saddle(inverse_temperature))

    def condensed(self, rate: ScalarLike) -> Bool[Array, ""]:
        """Whether few points carry Z: rate = log(n) / d below f(epsilon*(1))."""
        return self._rate(rate) < self.entropy_lost(1.0)

    def critical_temperature(self, rate: ScalarLike) -> Float[Array, ""]:
        """The lambda at which n = e^{rate d} points condense, at most 1.

        f(epsilon*(lambda)) = rate; then epsilon*(lambda) is the lowest energy among n.
        """
        condensed = self.condensed(rate)
        lowest = -log_range(self.spread.dtype)
        args = self, self._rate(rate), condensed
        log_beta = bracketed_root(_condensation, lowest, jnp.zeros_like(lowest), args)
        return jnp.where(condensed, jnp.exp(log_beta), 1)

    def annealed(self, rate: ScalarLike) -> Float[Array, ""]:
        """Rate + g(1) = lim log E[Z] / d, at least psi_+.

        For the own cluster rate + log(Delta / Gamma) / 2 - 1/2.
        """
        return self._rate(rate) + self.cumulant(1.0)

    def free_energy(self, rate: ScalarLike) -> Float[Array, ""]:
        """psi_+ = lim log(Z) / d for n = e^{rate d} points; differentiable.

        Not condensed: rate + g(1). Condensed: -epsilon_min, minus the smallest root of
        f(epsilon) = rate; for the own cluster that is strictly below -1/2.
        """
        frozen = -self.energy(self.critical_temperature(rate))
        return jnp.where(self.condensed(rate), frozen, self.annealed(rate))

    def log_density_limit(self, rate: ScalarLike) -> Float[Array, ""]:
        """Lim log(n P_t^e(x) (2 pi Delta)^{d/2}) / d = max(-1/2, psi_+)."""
        return jnp.maximum(-0.5, self.free_energy(rate))

    def _rate(self, rate: ScalarLike) -> Array:
        check_positive(rate=rate)
        return jnp.asarray(rate, self.spread.dtype)

    def _saddle(self, inverse_temperature: ScalarLike) -> tuple[Array, Array]:
        beta = jnp.asarray(inverse_temperature, self.spread.dtype)
        return beta, beta * self.spread

    def _saddle_at(self, energy: ScalarLike) -> Array:
        """U = lambda*(epsilon) s / Delta, the larger root of a quadratic."""
        check_positive(energy=energy)
        energy = jnp.asarray(energy, self.spread.dtype)
        half = 4 * energy - self.spread
        # (4 eps - s)^2 + 8 eps (s + R - 2 eps), without its cancellation.
        turn = jnp.sqrt(self.spread**2 + 8 * energy * self.distance)
        below = 2 * (self.spread + self.distance - 2 * energy) / (jnp.abs(half) + turn)
        return jnp.where(half > 0, below, (turn - half) / (4 * energy))

    def _entropy_lost(self, beta: Array, u: Array) -> Array:
        share = u / (1 + u)
        return 0.5 * (log_less_share(u) + self.distance * beta / (1 + u) * share)


def log_less_share(u: Array) -> Array:
    """log(1 + u) - u / (1 + u), with full relative precision at small u too."""
    small = jnp.abs(u) < 0.5
    v = jnp.where(small, u, 0.0)
    nodes, weights = jnp.asarray(NODES, u.dtype), jnp.asarray(WEIGHTS, u.dtype)
    # int_0^u v / (1 + v)^2 dv.
    near = v**2 * jnp.sum(weights * nodes / (1 + v * nodes) ** 2)
    w = jnp.where(small, 1.0, u)
    return jnp.where(small, near, jnp.log1p(w) - w / (1 + w))


def _condensation(log_beta: Array, args: tuple[RandomEnergy, Array, Array]) -> Array:
    """Entropy lost at a temperature less the rate; what has no root gets one."""
    model, rate, condensed = args
    lost = model.entropy_lost(jnp.exp(log_beta)) - rate
    return jnp.where(condensed, lost, log_beta)
