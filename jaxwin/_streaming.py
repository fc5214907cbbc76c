"""The online softmax monoid: posterior averages over many points, block by block.

`partial` averages one block, `merge` is associative, `finish` normalises; the same
three stream over n, shard over devices and prune. All log-weights are relative to one
reference point, near x: what is large and common to all points never enters, so
nothing cancels in float32 (DESIGN 4). This is the plain form; memory is one block.
"""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxwin._typing import Point, ScalarLike

Carry = TypeVar("Carry")

# Coordinates that `coordinate_sum` takes at a time; 4 to 16 measure alike.
COORDINATES = 8


class Blocks(eqx.Module):
    """Weighted, labelled points in equal blocks; the last is padded by weight zero."""

    points: Float[Array, "m s d"]
    log_weights: Float[Array, "m s"]
    labels: Int[Array, "m s"]
    num_labels: int = eqx.field(static=True)

    def fold(self, step: Callable[[Carry, "Block"], Carry], start: Carry) -> Carry:
        """Carry a value through the blocks in order."""
        count, size, _ = self.points.shape
        first = size * jnp.arange(count, dtype=jnp.int32)
        arrays = (self.points, self.log_weights, self.labels, first)

        def body(carry: Carry, leaves: tuple[Array, ...]) -> tuple[Carry, None]:
            return step(carry, Block(*leaves, num_labels=self.num_labels)), None

        return jax.lax.scan(body, start, arrays)[0]


class Block(eqx.Module):
    """One block of points; `first` is the index of its first point."""

    points: Float[Array, "s d"]
    log_weights: Float[Array, " s"]
    labels: Int[Array, " s"]
    first: Int[Array, ""]
    num_labels: int = eqx.field(static=True)

    def index(self) -> Int[Array, " s"]:
        """Indices of the points among all."""
        return self.first + jnp.arange(self.log_weights.size, dtype=jnp.int32)


class Online(eqx.Module):
    """Running softmax average relative to a reference, in units of exp(top)."""

    top: Float[Array, ""]
    mass: Float[Array, ""]
    sum_x: Float[Array, " d"]
    label_mass: Float[Array, " c"]
    purity: Float[Array, ""]

    @classmethod
    def empty(cls, dimension: int, num_labels: int, dtype: jnp.dtype) -> "Online":
        """The neutral element: no points."""
        zero = jnp.zeros((), dtype)
        bottom = jnp.full((), jnp.finfo(dtype).min, dtype)
        sum_x, label_mass = (
            jnp.zeros((dimension,), dtype),
            jnp.zeros((num_labels,), dtype),
        )
        return cls(bottom, zero, sum_x, label_mass, zero)

    def log_mass(self) -> Float[Array, ""]:
        """Log of the summed weights relative to the reference; -inf for none."""
        some = self.mass > 0
        return jnp.where(
            some, self.top + jnp.log(jnp.where(some, self.mass, 1)), -jnp.inf
        )


class Posterior(eqx.Module):
    """Finished averages at one point x.

    log_evidence: log p(x). mean: E[x0 | x]. label_log_posterior: log p(label | x).
    purity: sum of squared responsibilities of the points.
    """

    log_evidence: Float[Array, ""]
    mean: Float[Array, " d"]
    label_log_posterior: Float[Array, " c"]
    purity: Float[Array, ""]


def partial(block: Block, log_ratio: Float[Array, " s"]) -> Online:
    """Softmax average of one block, given its log-weights relative to the reference."""
    # A padded block may hold nothing but log-weights of -inf: keep the top finite.
    top = jnp.maximum(log_ratio.max(), jnp.finfo(log_ratio.dtype).min)
    weight = jnp.exp(log_ratio - top)
    one_hot = jax.nn.one_hot(block.labels, block.num_labels, dtype=weight.dtype)
    return Online(
        top=top,
        mass=weight.sum(),
        sum_x=jnp.matmul(weight, block.points, precision="highest"),
        label_mass=jnp.matmul(weight, one_hot, precision="highest"),
        purity=jnp.sum(weight**2),
    )


def merge(a: Online, b: Online) -> Online:
    """Join two disjoint sets; rescaled to the larger maximum, exp never overflows."""
    top = jnp.maximum(a.top, b.top)
    old, new = jnp.exp(a.top - top), jnp.exp(b.top - top)
    return Online(
        top=top,
        mass=old * a.mass + new * b.mass,
        sum_x=old * a.sum_x + new * b.sum_x,
        label_mass=old * a.label_mass + new * b.label_mass,
        purity=old**2 * a.purity + new**2 * b.purity,
    )


def finish(online: Online, log_reference: ScalarLike) -> Posterior:
    """Normalise; weights are relative to a log-density of `log_reference`."""
    some = online.label_mass > 0
    log_label = jnp.log(jnp.where(some, online.label_mass, 1)) - jnp.log(online.mass)
    return Posterior(
        log_evidence=log_reference + online.log_mass(),
        mean=online.sum_x / online.mass,
        label_log_posterior=jnp.where(some, log_label, -jnp.inf),
        purity=online.purity / online.mass**2,
    )


def nearest(
    blocks: Blocks,
    x: Point,
    alpha: ScalarLike,
    variance: ScalarLike,
    centre: Float[Array, " d"],
) -> Point:
    """The data point of largest weight at x: the reference of the second pass.

    One matrix product a block, in coordinates about `centre`; its rounding may choose a
    near tie instead, which serves as well.
    """
    start = jnp.full((), -jnp.inf, x.dtype), blocks.points[0, 0]
    towards = (x - alpha * centre) * (alpha / variance)

    def step(carry: tuple[Array, Point], block: Block) -> tuple[Array, Point]:
        best, point = carry
        near = block.points - centre[None]
        square = jnp.sum(near**2, axis=1) * (alpha**2 / (2 * variance))
        along = jnp.matmul(towards, near.T, precision="highest")
        rough = block.log_weights + along - square
        k = jnp.argmax(rough)
        better = rough[k] > best
        return jnp.where(better, rough[k], best), jnp.where(
            better, block.points[k], point
        )

    return jax.lax.stop_gradient(blocks.fold(step, start)[1])


def coordinate_sum(
    term: Callable[..., PyTree[Array]],
    points: Float[Array, "s d"],
    *vectors: Float[Array, " d"],
) -> PyTree[Float[Array, " s"]]:
    """Sums over coordinates i of term(points[:, i], vectors[0][i], ...), a point each.

    A sum over the last axis of a batch of (s, d) differences is a scalar loop on a CPU;
    here all points of the block move together through `COORDINATES` coordinates at a
    time, which is 40 times faster under `vmap` and adds up in float32 like a tree. The
    term must vanish where all its arguments do.
    """
    pad = -points.shape[1] % COORDINATES
    columns = jnp.pad(points.T, ((0, pad), (0, 0)))
    columns = columns.reshape(-1, COORDINATES, points.shape[0])
    rows = [jnp.pad(v, (0, pad)).reshape(-1, COORDINATES, 1) for v in vectors]
    shapes = jax.eval_shape(term, columns[0], *(row[0] for row in rows))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), shapes)

    def body(total: PyTree[Array], leaves: tuple[Array, ...]):
        add = lambda sum_, terms: sum_ + terms.sum(axis=0)
        return jax.tree.map(add, total, term(*leaves)), None

    return jax.lax.scan(body, start, (columns, *rows))[0]


def log_ratios(
    block: Block,
    x: Point,
    reference: Point,
    alpha: ScalarLike,
    variance: ScalarLike,
) -> Float[Array, " s"]:
    """Log-weights of a block relative to a unit weight at `reference`.

    log w_k + alpha (a_k - a_r) . ((x - alpha a_r) - alpha (a_k - a_r) / 2) / variance
    """

    def term(column: Array, own: Array, toward: Array) -> Array:
        shift = alpha * (column - own)
        return shift * (toward - shift / 2)

    toward = x - alpha * reference
    form = coordinate_sum(term, block.points, reference, toward)
    return block.log_weights + form / variance
