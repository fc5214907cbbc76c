"""Belief propagation on the Random Hierarchy Model beside naive gathers and NumPy.

    python benchmarks/belief_propagation.py

L = 10, s = 2, v = 32, m = 8, batch 128, float32: all marginals of the leaves, up and
down. Samples a core-second by CPU time on one pinned core, variants in turn.

naive: batch first, look-ups by fancy indices and scatter-adds, in linear space, the
whole batch at once; numpy: the same with `np.add.at`. Neither survives strong evidence,
as log space does. share: of the peak of matrix products, counting the 0.10 GFLOP that
the form by one-hot products takes.
"""

import _measure  # isort: skip  # threads first

import time

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from jaxwin.targets import RandomHierarchy

DEPTH, BRANCHING, SYMBOLS, RULES, BATCH = 10, 2, 32, 8, 128
TOGETHER = 4
# Peak of one core, FLOP/s, and what a sample takes by one-hot products.
PEAK, WORK = 263e9, 0.10e9


def naive(tables, leaves):
    """Marginals of the leaves, (batch, leaves, symbols), in linear space."""
    up, kept = leaves, []
    for table in tables[::-1]:
        pair = up.reshape(len(up), -1, BRANCHING, SYMBOLS)
        each = [pair[:, :, i][..., table[..., i]] for i in range(BRANCHING)]
        kept.append(each)
        up = (each[0] * each[1]).sum(-1)
        up = up / up.sum(-1, keepdims=True)
    down = jnp.full_like(up, 1 / SYMBOLS)
    for table, (first, second) in zip(tables, kept[::-1], strict=True):
        children = []
        for i, other in ((0, second), (1, first)):
            weight = down[..., None] * other
            zero = jnp.zeros((*down.shape[:2], SYMBOLS), down.dtype)
            children.append(zero.at[..., table[..., i]].add(weight))
        down = jnp.stack(children, axis=2).reshape(len(down), -1, SYMBOLS)
        down = down / down.sum(-1, keepdims=True)
    joint = down * leaves
    return joint / joint.sum(-1, keepdims=True)


def by_numpy(tables, leaves):
    """The same by NumPy."""
    up, kept = leaves, []
    for table in tables[::-1]:
        pair = up.reshape(len(up), -1, BRANCHING, SYMBOLS)
        each = [pair[:, :, i][..., table[..., i]] for i in range(BRANCHING)]
        kept.append(each)
        up = (each[0] * each[1]).sum(-1)
        up /= up.sum(-1, keepdims=True)
    down = np.full_like(up, 1 / SYMBOLS)
    for table, (first, second) in zip(tables, kept[::-1], strict=True):
        children = []
        for i, other in ((0, second), (1, first)):
            weight = down[..., None] * other
            out = np.zeros((SYMBOLS, *down.shape[:2]), down.dtype)
            np.add.at(out, table[..., i], np.moveaxis(weight, (0, 1), (2, 3)))
            children.append(np.moveaxis(out, 0, -1))
        down = np.stack(children, axis=2).reshape(len(down), -1, SYMBOLS)
        down /= down.sum(-1, keepdims=True)
    joint = down * leaves
    return joint / joint.sum(-1, keepdims=True)


def main() -> None:
    """Measure, compare the numbers, and store."""
    law = RandomHierarchy.draw(jr.key(0), SYMBOLS, RULES, BRANCHING, DEPTH)
    tables = law.rules
    logits = jr.normal(jr.key(1), (BATCH, law.num_sites, SYMBOLS))
    blocks = jnp.moveaxis(
        logits.reshape(-1, TOGETHER, law.num_sites, SYMBOLS), (1, 3), (3, 1)
    )
    blocks = jnp.array(blocks)
    uniforms = jr.uniform(jr.key(2), (len(blocks), 1 + law.num_inner, TOGETHER))

    def leaves_of(law, blocks):
        return jax.lax.map(lambda one: law.marginals_of(law.upward(one))[-1], blocks)

    def draws(law, blocks, uniforms):
        one = lambda both: law.draw_given(law.upward(both[0]), both[1])[-1]
        return jax.lax.map(one, (blocks, uniforms))

    def compiled(function, *arguments):
        start = time.process_time()
        program = jax.jit(function).lower(*arguments).compile()
        seconds = time.process_time() - start
        return lambda: jax.block_until_ready(program(*arguments)), round(seconds, 2)

    ours, compile_s = compiled(leaves_of, law, blocks)
    drawn, draw_compile_s = compiled(draws, law, blocks, uniforms)
    beliefs = jnp.exp(logits)
    other, other_compile_s = compiled(naive, tables, beliefs)
    host = [np.asarray(table) for table in tables], np.asarray(beliefs)
    variants = {
        "jaxwin, up and down": ours,
        "jaxwin, up and a draw": drawn,
        "naive gathers": other,
        "numpy": lambda: by_numpy(*host),
    }
    mine = np.moveaxis(np.asarray(ours()), (1, 3), (3, 1)).reshape(logits.shape)
    error = np.abs(mine - np.asarray(other())).max()
    timing = _measure.alternate(variants, rounds=7)
    compiles = [compile_s, draw_compile_s, other_compile_s, None]
    rows = []
    for (name, seconds), compile_seconds in zip(timing.items(), compiles, strict=True):
        rate = BATCH / seconds["median_s"]
        rows.append(
            {
                "variant": name,
                **seconds,
                "samples_per_core_s": round(rate),
                "times_naive": round(
                    timing["naive gathers"]["median_s"] / seconds["median_s"], 2
                ),
                "share_of_peak": round(rate * WORK / PEAK, 3),
                "compile_s": compile_seconds,
                "difference_to_naive": float(error),
            }
        )
    _measure.store("belief_propagation", rows)


if __name__ == "__main__":
    main()
