"""Labels of a mixture in two dimensions at one noise level: lines of a plane."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxwin._numerics import LOG_TWO_PI, segment_logsumexp
from jaxwin.analysis._line import component_cuts, gauss_legendre
from jaxwin.analysis.windows._directions import Seen
from jaxwin.analysis.windows._on_line import Apart, OnLine, compared, line_places

# Rows at once: more would fill the cache.
ROWS = 64
# Up to so many components there is time for more nodes.
FEW = 4
# Steps of Newton's method from a linear guess between two neighbouring nodes.
NEWTON = 3


class OnPlane(NamedTuple):
    """Gaussian components in two directions."""

    log_prior: Float[Array, " c"]
    log_weights: Float[Array, " k"]
    labels: Int[Array, " k"]
    centres: Float[Array, "k 2"]
    covariances: Float[Array, "k 2 2"]

    def row(self, x: Float[Array, ""]) -> OnLine:
        """The line of points (x, y), with the joint density of x in it."""
        across = self.covariances[:, 0, 0]
        slope = self.covariances[:, 0, 1] / across
        left = x - self.centres[:, 0]
        centres = self.centres[:, 1] + slope * left
        widths = jnp.sqrt(self.covariances[:, 1, 1] - slope * self.covariances[:, 0, 1])
        log_row = self.log_weights - 0.5 * (left**2 / across + jnp.log(across))
        scale = log_row - jnp.log(widths) - LOG_TWO_PI

        def log_each(y: Array) -> Array:
            return scale - 0.5 * ((y - centres) / widths) ** 2

        cuts = component_cuts(centres, widths)
        return OnLine(self.log_prior, cuts, self.labels, log_each)

    @property
    def nodes(self) -> int:
        """On the pieces of lines: more components make more, and smaller, pieces."""
        return 12 if self.log_weights.size <= FEW else 10

    def rows(self, nodes: int) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        """Places and weights of the rows."""
        widths = jnp.sqrt(self.covariances[:, 0, 0])
        cuts = jax.lax.stop_gradient(component_cuts(self.centres[:, 0], widths))
        places, rule = gauss_legendre(cuts, nodes)
        return places.ravel(), rule.ravel()


def components_on_plane(found: Seen, num_labels: int) -> OnPlane:
    """Gaussian components in two directions."""
    log_prior = segment_logsumexp(found.log_weights, found.labels, num_labels)
    return OnPlane(log_prior, *found)


def plane_places(
    plane: OnPlane, nodes: int | None = None
) -> tuple[Float[Array, " m"], Float[Array, "m c"]]:
    """Weights and log label posteriors, row by row."""
    nodes = plane.nodes if nodes is None else nodes
    places, rule = plane.rows(nodes)
    of_row = lambda x: line_places(plane.row(x), nodes)
    weight, log_posterior = jax.lax.map(of_row, places, batch_size=ROWS)
    weight = rule[:, None] * weight
    return weight.ravel(), log_posterior.reshape(-1, log_posterior.shape[-1])


def plane_apart(
    plane: OnPlane,
    first: Bool[Array, " c"],
    second: Bool[Array, " c"],
    nodes: int | None = None,
) -> Apart:
    """Half the integral of |p_A - p_B|, each row cut where the two are equal.

    What is left is the error of the rule over rows, since they meet the line p_A = p_B
    in changing numbers of places: 1e-7 to 1e-5. Rows are taken closer for that.
    """
    nodes = plane.nodes if nodes is None else nodes

    def of_row(x: Array) -> Apart:
        line = plane.row(x)
        places, rule = gauss_legendre(jax.lax.stop_gradient(line.cuts), nodes)

        def density(mask: Array) -> Float[Array, "pieces nodes"]:
            at = lambda y: jnp.exp(line.log_density(y, mask))
            return jax.vmap(at)(places.ravel()).reshape(places.shape)

        half = 0.5 * jnp.sum(rule, axis=1)
        return _row_apart(density(first), density(second), half)

    closer = 4 if plane.log_weights.size <= FEW else 2
    places, rule = plane.rows(closer * nodes)
    found = jax.lax.map(of_row, places, batch_size=ROWS)
    return Apart(*(jnp.sum(rule * each) for each in found))


def _row_apart(
    first: Float[Array, "pieces nodes"],
    second: Float[Array, "pieces nodes"],
    half: Float[Array, " pieces"],
) -> Apart:
    """From two densities at the Gauss-Legendre nodes of pieces of a line.

    Each is the polynomial through its values; integrals are cut at the first and the
    last change of sign of their difference on each piece.
    """
    values = first - second
    count = values.shape[1]
    nodes, rule = np.polynomial.legendre.leggauss(count)
    constant = lambda array: jnp.asarray(array, values.dtype)
    # Powers are well enough conditioned for so few nodes: 2^count roundings.
    transform = constant(np.linalg.inv(np.vander(nodes, increasing=True)).T)
    power_form = lambda of: jnp.matmul(of, transform, precision="highest")
    both = power_form(first), power_form(second)
    order = constant(np.arange(count))
    held, at = jax.lax.stop_gradient((values, both[0] - both[1]))
    changes = (held[:, 1:] > 0) != (held[:, :-1] > 0)
    some = jnp.any(changes, axis=1)

    def root(gap: Int[Array, " pieces"]) -> Float[Array, " pieces"]:
        low, high = constant(nodes)[gap], constant(nodes)[gap + 1]
        rows = jnp.arange(gap.size)
        left, right = held[rows, gap], held[rows, gap + 1]
        fall = left - right
        x = low + (high - low) * left / jnp.where(some, fall, 1)

        def nearer(_: Array, x: Array) -> Array:
            power = x[:, None] ** order[None]
            value = jnp.sum(at * power, axis=1)
            slope = jnp.sum(at[:, 1:] * order[None, 1:] * power[:, :-1], axis=1)
            return jnp.clip(x - value / jnp.where(slope == 0, 1, slope), low, high)

        return jnp.where(some, jax.lax.fori_loop(0, NEWTON, nearer, x), 1.0)

    last = changes.shape[1] - 1 - jnp.argmax(changes[:, ::-1], axis=1)
    ends = root(jnp.argmax(changes, axis=1)), root(last)

    def masses(
        of: Float[Array, "pieces nodes"], coefficients: Float[Array, "pieces nodes"]
    ) -> Float[Array, "3 pieces"]:
        """Before the first change, between the two, and after the last."""
        above = order[None] + 1
        until = lambda x: jnp.sum(
            coefficients * (x[:, None] ** above - (-1) ** above) / above, axis=1
        )
        before, middle = map(until, ends)
        whole = jnp.sum(of * constant(rule)[None], axis=1)
        return half[None] * jnp.stack([before, middle - before, whole - middle])

    return compared(masses(first, both[0]), masses(second, both[1]))
