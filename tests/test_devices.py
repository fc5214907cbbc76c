"""One replica, the same bits: on any device, thread, position; blocks of pairs."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import replicas
from replicas import BLOCK_SIZE, KEY, NUM_REPLICAS, digest, example

from jaxwin.execution import run

# The cores are chosen before JAX starts its threads.
ON_CORES = (
    "import os, runpy, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split(',')));"
    f"sys.argv[1:] = []; runpy.run_path({replicas.__file__!r}, run_name='__main__')"
)


@pytest.fixture(scope="module")
def here() -> str:
    return digest(run(example(), NUM_REPLICAS, KEY, block_size=BLOCK_SIZE))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_bits_do_not_depend_on_devices(here, count):
    devices = jax.local_devices()[:count]
    assert len(devices) == count
    found = run(example(), NUM_REPLICAS, KEY, block_size=BLOCK_SIZE, devices=devices)
    assert digest(found) == here


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "cores"), [(1, 1), (1, 2), (8, 2)])
def test_bits_do_not_depend_on_processes_and_threads(here, devices, cores):
    flags = f"--xla_force_host_platform_device_count={devices}"
    some = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))
    # 64-bit types as here; the program itself is in float32.
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_ENABLE_X64": "1"}
    found = subprocess.run(
        [sys.executable, "-c", ON_CORES, some],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [here]


def one_hot(function, shift, wanted, key, replica):
    """The result of replica `wanted` where it is met, at a shifted position."""
    value = function(key, replica - shift)
    here = replica - shift == wanted
    return jax.tree.map(lambda leaf: jnp.where(here, leaf, 0), value)


def test_bits_do_not_depend_on_position_and_block():
    function, wanted, found = example(), 5, set()
    for shift in (0, 1, 2, 7, 8, 40, 75):
        arguments = jnp.asarray(shift, jnp.int32), jnp.asarray(wanted, jnp.int32)
        replica = eqx.Partial(one_hot, function, *arguments)
        means = run(replica, 96, KEY, block_size=8).block_means
        # One eighth of the value: a power of two keeps the bits.
        found.add(b"".join(leaf.sum(0).tobytes() for leaf in means.values()))
    assert len(found) == 1


class Pairs(eqx.Module):
    """Replicas 2p and 2p + 1 get the two halves of one draw."""

    scale: jax.Array

    def __call__(self, key, replica):
        pair = jr.normal(jr.fold_in(key, replica // 2), (2, 3))
        return self.scale * pair[replica % 2]

    def many(self, key, replicas):
        draw = lambda pair: jr.normal(jr.fold_in(key, pair), (2, 3))
        pairs = jax.vmap(draw)(replicas[::2] // 2)
        # Wrong unless the block starts with an even replica and has whole pairs.
        return self.scale * pairs.reshape(-1, 3)[: replicas.size]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "block_size", "sizes"),
    [
        (51, 7, [8] * 6 + [3]),
        (6, 64, [4, 2]),
    ],
)
def test_blocks_of_pairs(count, block_size, sizes):
    pairs = Pairs(jnp.asarray(2.0))
    found = run(pairs, count, KEY, block_size=block_size)
    np.testing.assert_array_equal(found.block_counts, sizes)
    values = jax.vmap(pairs, (None, 0))(KEY, jnp.arange(count))
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12, atol=1e-15)
    error = np.asarray(values).std(0, ddof=1) / np.sqrt(count)
    np.testing.assert_allclose(found.stderr, error, rtol=1e-11)


def test_the_block_form_is_what_is_called():
    called = []

    class Told(eqx.Module):
        def __call__(self, key, replica):
            raise AssertionError("vmapped")

        def many(self, key, replicas):
            called.append(replicas.shape)
            return replicas.astype(float)

    found = run(Told(), 100, KEY, block_size=32)
    assert called == [(32,)]
    np.testing.assert_allclose(found.mean, 49.5)


def wide(matrix, key, replica):
    """Takes at least one matrix of temporaries a replica."""
    scaled = matrix * replica.astype(float)
    return jnp.trace(scaled @ matrix)


def test_memory_budget_lowers_the_block_size_and_says_so():
    function = eqx.Partial(wide, jnp.ones((32, 32)))
    matrix = 32 * 32 * 8
    run(function, 100, KEY, block_size=16, memory=2**30)  # fits: no warning
    with pytest.warns(UserWarning, match="block size lowered from 16 to") as told:
        found = run(function, 100, KEY, block_size=16, memory=9 * matrix)
    assert len(told) == 1
    size = found.block_counts[0]
    assert size in (4, 8)
    assert f"to {size}:" in str(told[0].message)
    np.testing.assert_allclose(found.mean, 32 * 32 * 49.5)
    with pytest.raises(ValueError, match="`memory` is 10 bytes; a block of 1 needs"):
        run(function, 100, KEY, block_size=2, memory=10)
