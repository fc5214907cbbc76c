"""A density given by a table of its logarithm."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.interpolate import CubicSpline

from jaxwin._checks import is_concrete
from jaxwin._typing import AnyArray
from jaxwin.targets.factors._base import DROP, AbstractFactor, Chart, Reach
from jaxwin.targets.factors._quadrature import log_integral

# Largest change of log-density over one interval of a table.
STEEPEST = 10.0
# Knots about which a quadrature over the noised law cuts the line.
MARKS = 33


class Tabulated(AbstractFactor):
    """Density ~ exp(cubic spline) between the knots of a table, zero outside."""

    knots: Float[Array, " n"]
    # Of (u - knot)^3, ^2, ^1, ^0, in units of the interval.
    coefficients: Float[Array, "p 4"]
    # What the log-density gains or loses at most over each interval.
    variation: Float[Array, " p"]

    @property
    def num_nodes(self) -> int:
        """Nodes of a panel."""
        return 24

    def edges(self) -> Float[Array, " p_plus_one"]:
        """The knots."""
        return self.knots

    def centre(self) -> Float[Array, ""]:
        """The middle of the table."""
        return (self.knots[0] + self.knots[-1]) / 2

    def width(self) -> Float[Array, ""]:
        """A quarter of the table."""
        return (self.knots[-1] - self.knots[0]) / 4

    def log_normaliser(self) -> Float[Array, ""]:
        """Log of the integral."""
        piece = self.pieces()[:, None]
        density = lambda u: self.log_density(u, jnp.broadcast_to(piece, u.shape))
        return log_integral(density, self.knots[:-1], self.knots[1:])

    def log_density(
        self, u: Float[Array, "*s"], piece: Int[Array, "*s"]
    ) -> Float[Array, "*s"]:
        """The spline."""
        start, length = self.knots[piece], jnp.diff(self.knots)[piece]
        a, b, c, d = jnp.moveaxis(self.coefficients[piece], -1, 0)
        v = (u - start) / length
        return d + v * (c + v * (b + v * a))

    def log_ratio(
        self,
        u: Float[Array, ""],
        shift: Float[Array, "p n"],
        home: Int[Array, ""],
        piece: Int[Array, "p 1"],
    ) -> Float[Array, "p n"]:
        """Of two values: a table's are small enough to be subtracted."""
        there = self.log_density(u + shift, jnp.broadcast_to(piece, shift.shape))
        return there - self.log_density(u, home)

    def marks(self) -> Float[Array, " m"]:
        """Some of the knots, both ends among them."""
        count = self.knots.size
        return self.knots[
            np.linspace(0, count - 1, min(count, MARKS)).round().astype(int)
        ]

    def reach(
        self, chart: Chart, low: Float[Array, " p"], high: Float[Array, " p"]
    ) -> Reach:
        """Where the likelihood is largest, and where it outweighs the table."""
        slow = jnp.maximum(chart.rate, float(jnp.finfo(chart.rate.dtype).tiny))
        top = jnp.clip(chart.offset / slow, low, high)
        q = jnp.abs(chart.offset - chart.rate * top)
        drop = 2 * (DROP + self.variation)
        reach = drop / (jnp.sqrt(q**2 + drop) + q) / slow
        return Reach(top, jnp.minimum(reach, top - low), jnp.minimum(reach, high - top))


def tabulated(x: AnyArray, log_density: AnyArray) -> Tabulated:
    """The density whose logarithm is the cubic spline through a table.

    It is zero outside [x_1, x_n]: let the table reach to where the density is
    negligible. Not normalised values are welcome. Against a smooth density the law errs
    by the fourth power of the spacing; it is a law of its own, of which everything is
    exact. A point costs O(n).

    Args:
        x: (n,) places, n >= 4, increasing.
        log_density: (n,) values there, finite.

    Raises:
        ValueError: Shapes that do not fit, a traced table, places out of order, values
            that are not finite, or change by more than 10 between two places.
    """
    if not is_concrete(x, log_density):
        raise ValueError("`x` and `log_density` must be concrete: build them outside.")
    places, values = np.asarray(x, np.float64), np.asarray(log_density, np.float64)
    if places.ndim != 1 or places.size < 4 or values.shape != places.shape:
        raise ValueError(
            f"`x` has shape {places.shape} and `log_density` {values.shape}; both must "
            f"be (n,), n at least 4."
        )
    if not (np.all(np.isfinite(places)) and np.all(np.diff(places) > 0)):
        raise ValueError("`x` must be finite and increase strictly: sort the table.")
    if not np.all(np.isfinite(values)):
        raise ValueError(
            "`log_density` must be finite: cut the table where the density is zero."
        )
    steepest = np.abs(np.diff(values)).max()
    if not steepest <= STEEPEST:
        raise ValueError(
            f"`log_density` changes by {steepest:.3g} between two places; it must "
            f"change by at most {STEEPEST:g}: add places in between."
        )
    length = np.diff(places)
    powers = length[:, None] ** np.arange(3, -1, -1)
    coefficients = CubicSpline(places, values - values.max()).c.T * powers
    # A cubic's range over its interval: generously, by its coefficients.
    variation = np.abs(coefficients[:, :3]).sum(axis=1)
    dtype = jnp.result_type(float)
    as_array = lambda value: jnp.asarray(value, dtype)
    return Tabulated(as_array(places), as_array(coefficients), as_array(variation))
