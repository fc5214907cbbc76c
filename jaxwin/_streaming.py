"""The online softmax monoid: posterior averages over many points, block by block.

`partial` averages one block, `merge` is associative, `finish` normalises; the same
three stream over n, shard over devices and prune; memory is one block. All log-weights
are relative to one reference point. `by_form` chooses it: the centre of the points,
which makes them one matrix product, wherever rounding allows; else the nearest point,
about which nothing large and common to all enters (DESIGN 4).
"""

from collections.abc import Callable
from functools import partial as partial_
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxwin._checks import is_concrete
from jaxwin._typing import Point, ScalarLike

Carry = TypeVar("Carry")

# Largest eps alpha^2 max|a - c|^2 / v at which log-weights about the centre c are kept;
# measured errors of log-responsibilities are at most 8 times it.
ROUNDING = {"float32": 5e-6, "float64": 1e-10}
# Coordinates that `coordinate_sum` takes at a time: written out, 16 of them run at full
# speed on every JAX that was measured; 4 or 8, or a sum over their axis, not on all.
COORDINATES = 16


class Blocks(eqx.Module):
    """Weighted, labelled points in equal blocks; the last is padded by weight zero.

    Blocks that are not `felt` are passed over; left out, all are felt.
    """

    points: Float[Array, "m s d"]
    log_weights: Float[Array, "m s"]
    labels: Int[Array, "m s"]
    num_labels: int = eqx.field(static=True)
    felt: Bool[Array, " m"] | None = None

    def fold(self, step: Callable[[Carry, "Block"], Carry], start: Carry) -> Carry:
        """Carry a value through the blocks in order."""
        count, size, _ = self.points.shape
        first = size * jnp.arange(count, dtype=jnp.int32)
        arrays = (self.points, self.log_weights, self.labels, first)

        def body(carry: Carry, leaves: tuple[Array, ...]) -> tuple[Carry, None]:
            return step(carry, Block(*leaves, num_labels=self.num_labels)), None

        def choose(carry: Carry, now: tuple[Array, Array]) -> tuple[Carry, None]:
            j, felt = now
            # Only a block that is felt is read.
            read = lambda carry: body(carry, tuple(leaf[j] for leaf in arrays))[0]
            return jax.lax.cond(felt, read, lambda carry: carry, carry), None

        if self.felt is None:
            return jax.lax.scan(body, start, arrays)[0]
        return jax.lax.scan(choose, start, (jnp.arange(count), self.felt))[0]


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

    def one_hot(self) -> Float[Array, "s c"]:
        """Labels as unit rows."""
        return jax.nn.one_hot(self.labels, self.num_labels, dtype=self.points.dtype)


class Online(eqx.Module):
    """Running softmax average relative to a reference, in units of exp(top).

    `top` has the type of the log-weights, which may be wider than that of the sums.
    """

    top: Float[Array, ""]
    mass: Float[Array, ""]
    sum_x: Float[Array, " d"]
    label_mass: Float[Array, " c"]
    purity: Float[Array, ""]

    @classmethod
    def empty(
        cls,
        dimension: int,
        num_labels: int,
        dtype: jnp.dtype,
        top_dtype: jnp.dtype | None = None,
    ) -> "Online":
        """The neutral element: no points."""
        top_dtype = dtype if top_dtype is None else top_dtype
        bottom = jnp.full((), jnp.finfo(top_dtype).min, top_dtype)
        sum_x, label_mass = (
            jnp.zeros((dimension,), dtype),
            jnp.zeros((num_labels,), dtype),
        )
        return cls(
            bottom, jnp.zeros((), dtype), sum_x, label_mass, jnp.zeros((), dtype)
        )

    def log_mass(self) -> Float[Array, ""]:
        """Log of the summed weights relative to the reference; -inf for none."""
        some = self.mass > 0
        log_mass = jnp.log(jnp.where(some, self.mass, 1)).astype(self.top.dtype)
        return jnp.where(some, self.top + log_mass, -jnp.inf)


class Posterior(eqx.Module):
    """Finished averages at one point x.

    log_evidence: log p(x). mean: E[x0 | x]. label_log_posterior: log p(label | x).
    purity: sum of squared responsibilities of the points.
    """

    log_evidence: Float[Array, ""]
    mean: Float[Array, " d"]
    label_log_posterior: Float[Array, " c"]
    purity: Float[Array, ""]


def partial(
    log_ratio: Float[Array, " s"],
    rows: Float[Array, "s d"],
    marks: Float[Array, "s c"],
) -> Online:
    """Softmax sums of rows and marks (labels), given log-weights to the reference."""
    # A padded block may hold nothing but log-weights of -inf: keep the top finite.
    top = jnp.maximum(log_ratio.max(), jnp.finfo(log_ratio.dtype).min)
    weight = jnp.exp((log_ratio - top).astype(rows.dtype))
    return Online(
        top=top,
        mass=weight.sum(),
        sum_x=jnp.matmul(weight, rows, precision="highest"),
        label_mass=jnp.matmul(weight, marks, precision="highest"),
        purity=jnp.sum(weight**2),
    )


def merge(a: Online, b: Online) -> Online:
    """Join two disjoint sets; rescaled to the larger maximum, exp never overflows."""
    top = jnp.maximum(a.top, b.top)
    old, new = (jnp.exp((one.top - top).astype(one.mass.dtype)) for one in (a, b))
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
        log_evidence=(log_reference + online.log_mass()).astype(online.mass.dtype),
        mean=online.sum_x / online.mass,
        label_log_posterior=jnp.where(some, log_label, -jnp.inf),
        purity=online.purity / online.mass**2,
    )


def by_form(
    signal: Float[Array, ""],
    dtype: jnp.dtype,
    about_centre: Callable[[jnp.dtype], PyTree[Array]],
    about_nearest: Callable[[], PyTree[Array]],
) -> PyTree[Array]:
    """Evaluate in the cheapest form of log-weights whose rounding is harmless.

    About the centre c of points a_k they are wrong by some eps alpha^2 max|a_k - c|^2
    / v = eps * `signal`. Three forms, the first that keeps this below `ROUNDING`:

        about_centre(dtype)    one matrix product in the type of the data
        about_centre(float64)  the same in float64, where 64-bit floats are enabled
        about_nearest()        differences to the nearest point: right at every noise

    The choice depends on the noise level alone: it stays a branch when only points are
    batched, and becomes a select (all forms are evaluated) when noise levels are.
    """
    # Points of numpy may say float64 where JAX has none.
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    limit = ROUNDING["float64" if dtype == jnp.float64 else "float32"]
    types = dict.fromkeys([dtype, jax.dtypes.canonicalize_dtype(jnp.float64)])
    coarse = [signal * float(jnp.finfo(kind).eps) > limit for kind in types]
    form = sum(step.astype(jnp.int32) for step in coarse)
    forms = [partial_(about_centre, kind) for kind in types] + [about_nearest]
    if is_concrete(form):
        return forms[int(form)]()
    return jax.lax.switch(form, forms)


def centred_ratios(
    block: Block,
    x: Point,
    centre: Point,
    alpha: ScalarLike,
    variance: ScalarLike,
) -> Float[Array, " s"]:
    """Log-weights relative to a unit weight at `centre`, in the type of x.

    log w_k + (alpha (x - alpha c) . n_k - alpha^2 |n_k|^2 / 2) / variance, n = a - c
    """
    near = block.points.astype(x.dtype) - centre[None]
    towards = (x - alpha * centre) * (alpha / variance)
    along = jnp.matmul(towards, near.T, precision="highest")
    square = jnp.sum(near**2, axis=1) * (alpha**2 / (2 * variance))
    return block.log_weights.astype(x.dtype) + along - square


def largest(
    blocks: Blocks,
    x: Point,
    alpha: ScalarLike,
    variance: ScalarLike,
    centre: Float[Array, " d"],
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """The largest log-weight at x and whose it is: the reference of the second pass.

    One matrix product a block, in coordinates about `centre`; its rounding may choose a
    near tie instead, which serves as well.
    """
    start = jnp.full((), -jnp.inf, x.dtype), jnp.zeros((), jnp.int32)

    def step(carry: tuple[Array, Array], block: Block) -> tuple[Array, Array]:
        best, index = carry
        rough = centred_ratios(block, x, centre, alpha, variance)
        k = jnp.argmax(rough).astype(jnp.int32)
        better = rough[k] > best
        return jnp.where(better, rough[k], best), jnp.where(
            better, block.first + k, index
        )

    return jax.lax.stop_gradient(blocks.fold(step, start))


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
    size = min(COORDINATES, points.shape[1])
    pad = -points.shape[1] % size
    columns = jnp.pad(points.T, ((0, pad), (0, 0)))
    columns = columns.reshape(-1, size, points.shape[0])
    rows = [jnp.pad(v, (0, pad)).reshape(-1, size) for v in vectors]
    add = lambda a, b: jax.tree.map(jnp.add, a, b)

    def together(leaves: tuple[Array, ...]) -> PyTree[Array]:
        terms = [term(*(leaf[i] for leaf in leaves)) for i in range(size)]
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=False)
            terms = [add(a, b) for a, b in pairs] + terms[len(terms) & ~1 :]
        return terms[0]

    leaves = columns, *rows
    if len(columns) == 1:
        return together(tuple(leaf[0] for leaf in leaves))
    shapes = jax.eval_shape(together, tuple(leaf[0] for leaf in leaves))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    body = lambda total, leaves: (add(total, together(leaves)), None)
    return jax.lax.scan(body, start, leaves)[0]


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

    def term(column: Array, own: Array, at: Array) -> Array:
        shift = alpha * (column - own)
        return shift * ((at - alpha * own) - shift / 2)

    form = coordinate_sum(term, block.points, reference, x)
    return block.log_weights + form / variance


def draw(
    blocks: Blocks,
    log_ratio: Callable[[Block], Float[Array, " s"]],
    online: Online,
    uniform: ScalarLike,
) -> Point:
    """A point drawn by weight: one uniform through streamed cumulative weights.

    `online` are the sums over all blocks, in which `log_ratio` are the log-weights.
    """
    threshold = uniform * online.mass

    def step(carry: tuple[Array, Point, Array], block: Block):
        below, point, done = carry
        weight = jnp.exp((log_ratio(block) - online.top).astype(below.dtype))
        cumulative = below + jnp.cumsum(weight)
        k = jnp.searchsorted(cumulative, threshold, side="right")
        # Rounding may leave the threshold above every sum: the last point with
        # weight stands until a block passes it.
        last = jnp.searchsorted(cumulative, cumulative[-1], side="left")
        candidate = block.points[jnp.minimum(k, last)]
        some = cumulative[-1] > below
        point = jnp.where(some & ~done, candidate, point)
        return cumulative[-1], point, done | (cumulative[-1] > threshold)

    start = jnp.zeros_like(online.mass), blocks.points[0, 0], jnp.zeros((), bool)
    return blocks.fold(step, start)[1]
