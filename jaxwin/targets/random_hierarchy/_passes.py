"""Belief propagation on a tree: one pass up, one pass down, in log space, any batch.

Arrays are symbol first and batch last, (symbols, nodes, batch): gathers then copy whole
rows, and everything else runs along nodes and batch. Nodes of a level stand in order,
the s children of node j at s j ... s j + s - 1. Conditional laws P(rule | symbol) are
softmaxes of what comes from below, so that no downward message is needed, nothing
cancels, and evidence of any strength is exact.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# One level: symbols of the s children of each rule, row y m + r; log-weights of rules.
Rules = Int[Array, "km s"]
LogWeights = Float[Array, "k m"]
Levels = tuple[tuple[Int[Array, "_ s"], Float[Array, "_ _"]], ...]
Latents = tuple[Float[Array, "_ _ b"] | None, ...]


# More weights are not summed one after the other.
MOST_SUMMED = 32


class Upward(NamedTuple):
    """What comes from below, root first.

    messages: log u_l(y), largest 0, the root's with its prior. contradicted: nodes
    whose subtree nothing explains although each child's is explained; their message is
    flat. log_size: log-evidence less the log-sum of the root's message, what
    contradicts left out.
    """

    messages: tuple[Float[Array, "_ _ b"], ...]
    contradicted: tuple[Bool[Array, "_ b"], ...]
    log_size: Float[Array, " b"]


def upward(
    levels: Levels,
    log_prior: Float[Array, " k"],
    leaves: Float[Array, "v n b"],
    latents: Latents,
) -> Upward:
    """Log-messages of all nodes, U_l(y) = sum_r pi_{y,r} prod_i u_{l+1,i}(R_l[y,r,i]).

    The root's includes its prior. `latents` are log-factors on the symbols of levels
    0 ... L - 1, None for none.
    """
    message, fails, total = _normalised(_laid_out(leaves))
    messages, contradicted = [message], [fails]
    for level in range(len(levels) - 1, -1, -1):
        rules, log_weights = levels[level]
        joint = log_sum(rule_terms(rules, log_weights, message), axis=1)
        if level == 0:
            joint = joint + log_prior[:, None, None]
        if (factor := latents[level]) is not None:
            joint = joint + factor
        message, fails, size = _normalised(joint)
        # Summed along the tree: errors grow with its depth, not with its size.
        total = _of_children(total, rules.shape[1]).sum(axis=1) + size
        messages.append(message)
        contradicted.append(fails)
    return Upward(tuple(messages[::-1]), tuple(contradicted[::-1]), total[0])


def rule_terms(
    rules: Rules, log_weights: LogWeights, message: Float[Array, "v ns b"]
) -> Float[Array, "k m n b"]:
    """Log of pi_{y,r} prod_i u_i(R[y, r, i]) at every parent of the nodes."""
    branching, width = rules.shape[1], message.shape[-1]
    own = _of_children(message, branching, axis=1)
    terms = _look_up(own[:, :, 0], rules[:, 0])
    for i in range(1, branching):
        terms = terms + _look_up(own[:, :, i], rules[:, i])
    terms = terms.reshape(*log_weights.shape, -1, width)
    return terms + log_weights[:, :, None, None]


def rule_joint(
    rules: Rules,
    log_weights: LogWeights,
    message: Float[Array, "v ns b"],
    marginal: Float[Array, "k n b"],
) -> Float[Array, "k m n b"]:
    """P(y, r) = P(y) P(r | y, what is seen below) at every parent of the nodes."""
    terms = rule_terms(rules, log_weights, message)
    # A symbol that nothing below allows grows as the law would.
    share = shares(terms, _like(log_weights, terms), 1)
    return share * marginal[:, None]


def root_marginal(log_prior: Float[Array, " k"], up: Upward) -> Float[Array, "k 1 b"]:
    """Probabilities of the root's symbols; the prior where evidence contradicts."""
    message = jnp.where(up.contradicted[0][None], -jnp.inf, up.messages[0])
    return shares(message, _like(log_prior, message), 0)


def downward(
    levels: Levels, up: Upward, root: Float[Array, "k 1 b"]
) -> tuple[Float[Array, "_ _ b"], ...]:
    """Marginals of all nodes, root first, from those of the root (of any mass).

    P(child i = c) = sum_{y,r} P(y) P(r | y) 1[R[y, r, i] = c].
    """
    marginals = [root]
    for (rules, log_weights), message in zip(levels, up.messages[1:], strict=True):
        joint = rule_joint(rules, log_weights, message, marginals[-1])
        marginals.append(_to_children(rules, joint, len(message)))
    return tuple(marginals)


def draw(
    levels: Levels,
    log_prior: Float[Array, " k"],
    up: Upward,
    uniforms: Float[Array, "nodes b"],
) -> tuple[Int[Array, "_ b"], ...]:
    """A tree given what is seen, root first, by inverse cumulative weights.

    One uniform for the root's symbol and one for the rule of every node above the
    leaves; only the rules of the drawn symbol are looked up.
    """
    symbols, used = [_pick(root_marginal(log_prior, up), uniforms[:1])], 1
    for (rules, log_weights), message in zip(levels, up.messages[1:], strict=True):
        parents, m, branching = symbols[-1], log_weights.shape[1], rules.shape[1]
        rows = parents[None] * m + jnp.arange(m, dtype=jnp.int32)[:, None, None]
        prior = _look_up(log_weights.reshape(-1), rows)
        below = _at_children(_of_children(message, branching, axis=1), rules, rows)
        weight, _ = _weights(prior + below, prior, 0)
        count = len(parents)
        rule = _pick(weight, uniforms[used : used + count])
        used += count
        symbols.append(_children(rules, parents * m + rule))
    return tuple(symbols)


def grow(
    levels: Levels, log_prior: Float[Array, " k"], uniforms: Float[Array, "nodes b"]
) -> tuple[Int[Array, "_ b"], ...]:
    """A tree of the law, root first; uniforms as in `draw`."""
    symbols, used = [_from_table(jnp.exp(log_prior)[None], 0, uniforms[:1])], 1
    for rules, log_weights in levels:
        parents, count = symbols[-1], len(symbols[-1])
        drawn = uniforms[used : used + count]
        rule = _from_table(jnp.exp(log_weights), parents, drawn)
        used += count
        symbols.append(_children(rules, parents * log_weights.shape[1] + rule))
    return tuple(symbols)


def messages_down(
    levels: Levels, log_prior: Float[Array, " k"], up: Upward, latents: Latents
) -> tuple[Float[Array, "_ _ b"], ...]:
    """Log of what comes to each node from everywhere but it and below, largest 0.

    D_{l+1,i}(c) = sum_{y,r} 1[R[y,r,i] = c] d_l(y) pi_{y,r} prod_{k != i} u_k(R[y,r,k])
    """
    top = jnp.broadcast_to(log_prior[:, None, None], up.messages[0].shape)
    down = [top - jnp.max(top, axis=0)[None]]
    for (rules, log_weights), message, factor in zip(
        levels, up.messages[1:], latents, strict=True
    ):
        branching, width = rules.shape[1], message.shape[-1]
        own = _of_children(message, branching, axis=1)
        looked = [own[:, :, k][rules[:, k]] for k in range(branching)]
        above = down[-1] if factor is None else down[-1] + factor
        above = log_weights[:, :, None, None] + above[:, None]
        above = above.reshape(len(rules), -1, width)
        children = []
        for i in range(branching):
            # Left out, not subtracted: -inf less -inf is nothing.
            terms = sum((looked[k] for k in range(branching) if k != i), start=above)
            into = rules[:, i]
            size = jax.ops.segment_max(terms, into, len(message))
            size = jnp.where(size == -jnp.inf, 0, size)
            mass = jax.ops.segment_sum(jnp.exp(terms - size[into]), into, len(message))
            children.append(size + jnp.log(mass))
        joint = jnp.stack(children, axis=2).reshape(message.shape)
        down.append(_normalised(joint)[0])
    return tuple(down)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def shares(terms: Array, prior: Array, axis: int) -> Array:
    """Softmax of terms along an axis; that of `prior` where no term is possible.

    Slopes are sums of what the others have and keep their digits where one share is
    almost 1: those of `jax.nn.softmax` round 1 - p.
    """
    weight, mass = _weights(terms, prior, axis)
    return weight / jnp.expand_dims(mass, axis)


def _weights(terms: Array, prior: Array, axis: int) -> tuple[Array, Array]:
    """Exponentials of terms, or of `prior` where none is possible, and their sum."""
    top = jnp.max(terms, axis=axis, keepdims=True)
    weight = jnp.exp(jnp.where(top == -jnp.inf, prior, terms - top))
    return weight, jnp.sum(weight, axis=axis)


@shares.defjvp
def _shares_jvp(axis: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """p_r (d_r - sum_q p_q d_q), d the slopes of the terms less that of the largest."""
    terms, prior = primals
    share = shares(terms, prior, axis)
    largest = jnp.max(terms, axis=axis, keepdims=True)
    slopes = jnp.where(largest == -jnp.inf, tangents[1], tangents[0])
    top = jnp.argmax(terms, axis=axis, keepdims=True)
    apart = slopes - jnp.take_along_axis(slopes, top, axis=axis)
    return share, share * (apart - jnp.sum(share * apart, axis=axis, keepdims=True))


def log_sum(terms: Array, axis: int) -> Array:
    """Log of a sum of exponentials; -inf, with a slope of zero, where all are."""
    top = _finite_top(terms, axis)
    mass = jnp.sum(jnp.exp(terms - jnp.expand_dims(top, axis)), axis=axis)
    some = mass > 0
    return jnp.where(some, top + jnp.log(jnp.where(some, mass, 1)), -jnp.inf)


def _finite_top(terms: Array, axis: int) -> Array:
    top = jax.lax.stop_gradient(jnp.max(terms, axis=axis))
    return jnp.where(top == -jnp.inf, 0, top)


def _laid_out(leaves: Float[Array, "v n b"]) -> Float[Array, "v n b"]:
    """The same, made once and in this order.

    A producer fused into a gather is evaluated anew for every rule, and a transposed
    one is read across the cache: twice the time on a CPU.
    """
    flat = jax.lax.optimization_barrier(leaves.reshape(len(leaves), -1))
    return flat.reshape(leaves.shape)


def _normalised(
    joint: Float[Array, "k n b"],
) -> tuple[Float[Array, "k n b"], Bool[Array, "n b"], Float[Array, "n b"]]:
    """A message whose largest entry is 0, flat where nothing is possible; its size."""
    top = jax.lax.stop_gradient(jnp.max(joint, axis=0))
    fails = top == -jnp.inf
    top = jnp.where(fails, 0, top)
    return jnp.where(fails[None], 0, joint - top[None]), fails, top


def _to_children(
    rules: Rules, joint: Float[Array, "k m n b"], num_symbols: int
) -> Float[Array, "v ns b"]:
    """Sums over the rules whose child i is each symbol."""
    branching = rules.shape[1]
    count, width = joint.shape[2:]
    rows = joint.reshape(len(rules), -1)
    each = [_sum_rows(rows, rules[:, i], num_symbols) for i in range(branching)]
    together = jnp.stack([one.reshape(-1, count, width) for one in each], axis=2)
    return together.reshape(num_symbols, count * branching, width)


def _sum_rows(
    rows: Float[Array, "km n"], symbols: Int[Array, " km"], num_symbols: int
) -> Float[Array, "v n"]:
    """Sums of rows by symbol: row by row on a CPU, elsewhere as a matrix product."""

    def in_turn(rows: Array, symbols: Array) -> Array:
        return jax.ops.segment_sum(rows, symbols, num_symbols)

    def product(rows: Array, symbols: Array) -> Array:
        own = symbols[None] == jnp.arange(num_symbols, dtype=jnp.int32)[:, None]
        return jnp.matmul(own.astype(rows.dtype), rows, precision="highest")

    return jax.lax.platform_dependent(rows, symbols, cpu=in_turn, default=product)


def _of_children(values: Array, branching: int, axis: int = 0) -> Array:
    """The axis of nodes as (parent, child)."""
    shape = values.shape
    return values.reshape(*shape[:axis], -1, branching, *shape[axis + 1 :])


def _pick(
    weights: Float[Array, "k n b"], uniforms: Float[Array, "n b"]
) -> Int[Array, "n b"]:
    """Index drawn by inverse cumulative weights, never one of weight zero."""
    if len(weights) > MOST_SUMMED:
        cumulative = jnp.cumsum(weights, axis=0)
    else:
        # One after the other: half the compile time of a running sum.
        each = itertools.accumulate(weights[i] for i in range(len(weights)))
        cumulative = jnp.stack(list(each))
    return _inverse(cumulative, uniforms)


def _from_table(
    weights: Float[Array, "k m"], row: Int[Array, "n b"] | int, uniforms: Array
) -> Int[Array, "n b"]:
    """Index drawn by the weights of a row, summed once for the whole table."""
    # Fused into the look-up, sums and exponentials would be made anew for every node.
    cumulative = jax.lax.optimization_barrier(jnp.cumsum(weights, axis=1))
    m = jnp.arange(weights.shape[1], dtype=jnp.int32)[:, None, None]
    rows = jnp.broadcast_to(row, uniforms.shape)[None] * weights.shape[1] + m
    return _inverse(_look_up(cumulative.reshape(-1), rows), uniforms)


def _inverse(
    cumulative: Float[Array, "k n b"], uniforms: Float[Array, "n b"]
) -> Int[Array, "n b"]:
    """How many cumulative weights are below a share of the last."""
    # Above zero, so that leading weights of zero are skipped.
    least = 4 * jnp.finfo(cumulative.dtype).tiny
    threshold = jnp.maximum(uniforms, least) * cumulative[-1]
    return jnp.sum(cumulative < threshold[None], axis=0).astype(jnp.int32)


def _children(rules: Rules, row: Int[Array, "n b"]) -> Int[Array, "ns b"]:
    """Symbols of the children by the row of the rule, in order."""
    children = jnp.swapaxes(_look_up(rules, row), 1, 2)
    return children.reshape(-1, row.shape[1])


def _look_up(table: Array, index: Int[Array, "..."]) -> Array:
    # One flat index, known to be inside: two-index look-ups level after level make
    # compile time grow fourfold a level.
    return table.at[index].get(mode="promise_in_bounds")


def _at_children(
    message: Float[Array, "v n s b"], rules: Rules, rows: Int[Array, "m n b"]
) -> Float[Array, "m n b"]:
    """Sum over children i of message[rules[row, i], j, i, b] at row = rows[r, j, b]."""
    _, nodes, branching, width = message.shape
    size = nodes * branching * width
    place = jnp.arange(size, dtype=jnp.int32).reshape(nodes, branching, width)
    symbols = _look_up(rules, rows)
    index = symbols * size + jnp.swapaxes(place, 1, 2)[None]
    return jnp.sum(_look_up(message.reshape(-1), index), axis=-1)


def _like(values: Array, other: Array) -> Array:
    """Values of the leading axes in the shape of another array."""
    short = values.reshape(values.shape + (1,) * (other.ndim - values.ndim))
    return jnp.broadcast_to(short, other.shape)
