"""A data set cut into groups of points, whose weights are told apart."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._streaming import Blocks
from jaxwin._typing import Key, Point
from jaxwin.targets._empirical import BLOCK, Empirical
from jaxwin.targets._label_masses import log_label_masses


class PointGroups(eqx.Module):
    """Data points in random groups of equal size (to one), each in blocks of its own.

    Every point has weight one. Leaving groups out, or keeping few, gives the same
    averages for other data sets of the same law at no cost.
    """

    blocks: Blocks  # every leaf with a leading group axis
    place: Int[Array, " n"]  # of each point, in groups padded to one length
    counts: Float[Array, "g c"]
    centre: Float[Array, " d"]
    radius: Float[Array, ""]
    bandwidth: Float[Array, ""]
    num_groups: int = eqx.field(static=True)

    def __init__(self, law: Empirical, num_groups: int, seed: int = 0):
        """Cut the points of `law`, which is not restricted, into groups by `seed`."""
        # Views on the host: the data may be large.
        n, dimension = law.num_points, law.dimension
        points = np.asarray(law.blocks.points).reshape(-1, dimension)[:n]
        labels = np.asarray(law.labels)
        longest = -(-n // num_groups)
        count = -(-longest // BLOCK)
        size = -(-longest // count)
        order = np.random.default_rng(seed).permutation(n)
        place = np.empty(n, np.int32)
        place[order] = (np.arange(n) % num_groups) * (count * size)
        place[order] += np.arange(n, dtype=np.int32) // num_groups
        total = num_groups * count * size
        shape = (num_groups, count, size)

        def laid_out(values: np.ndarray, fill: float) -> Array:
            padded = np.full((total, *values.shape[1:]), fill, values.dtype)
            padded[place] = values
            return jnp.asarray(padded.reshape(shape + values.shape[1:]))

        leaves = (
            laid_out(points, 0.0),
            laid_out(np.zeros(n, points.dtype), -np.inf),
            laid_out(labels, 0.0),
        )
        group = lambda *leaves: Blocks(*leaves, num_labels=law.num_labels)
        self.blocks = jax.vmap(group)(*leaves)
        counts = np.zeros((num_groups, law.num_labels), points.dtype)
        np.add.at(counts, (place // (count * size), labels), 1)
        self.counts = jnp.asarray(counts)
        self.place = jnp.asarray(place)
        self.centre, self.radius = law.centre, law.radius
        self.bandwidth = law.bandwidth
        self.num_groups = num_groups

    def draw_own(self, key: Key) -> tuple[Int[Array, ""], Point]:
        """Place of a data point, all alike, and the Gaussian that noises it."""
        choice_key, normal_key = jr.split(key)
        index = jr.randint(choice_key, (), 0, self.place.size, jnp.int32)
        z = jr.normal(normal_key, self.centre.shape, self.centre.dtype)
        return self.place[index], z

    def group(self, place: Int[Array, ""]) -> Int[Array, ""]:
        """Group of the point at a place."""
        return place // self._length

    def label(self, place: Int[Array, ""]) -> Int[Array, ""]:
        """Label of the point at a place."""
        return self.blocks.labels.reshape(-1)[place]

    def log_label_masses_of_others(
        self,
        place: Int[Array, ""],
        z: Point,
        alphas: Float[Array, " t"],
        sigmas: Float[Array, " t"],
    ) -> Float[Array, "g t c"]:
        """Log of each label's weight in each group, relative to the own point's.

        At alpha a_own + sqrt(v) z, v = alpha^2 h^2 + sigma^2; the own point is left
        out. -inf for a label without other points in the group.
        """
        variances = alphas**2 * self.bandwidth**2 + sigmas**2
        b, c = alphas / jnp.sqrt(variances), alphas**2 / variances
        own = self.blocks.points.reshape(-1, self.centre.size)[place]
        here, own_group = place % self._length, self.group(place)

        def of_group(leaves: tuple[Blocks, Array]) -> Array:
            blocks, number = leaves
            skip = jnp.where(number == own_group, here, -1)
            data = blocks, self.centre, self.radius
            return log_label_masses(*data, own, z, b, c, skip)

        numbers = jnp.arange(self.num_groups, dtype=place.dtype)
        return jax.lax.map(of_group, (self.blocks, numbers))

    @property
    def _length(self) -> int:
        _, count, size, _ = self.blocks.points.shape
        return count * size
