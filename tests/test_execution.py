"""Blocks of replicas: averages, errors, bits, recompilation, NaN, progress."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.execution import Estimate, next_look, run

KEY = jr.key(11)


def observe(scale, key, replica):
    """A pytree of three shapes; the replica's number enters too."""
    z = jr.normal(jr.fold_in(key, replica), (3,))
    number = replica.astype(z.dtype)
    return {"point": scale * z, "square": scale * jnp.sum(z**2), "number": number}


def normal(key, replica, dtype=float):
    return jr.normal(jr.fold_in(key, replica), dtype=dtype)


REPLICA = eqx.Partial(observe, jnp.asarray(2.0))


def by_hand(count: int, scale: float = 2.0) -> dict[str, np.ndarray]:
    """All replicas at once in numpy, from the keys that are documented."""
    keys = jax.vmap(lambda i: jr.fold_in(KEY, i))(jnp.arange(count, dtype=jnp.int32))
    z = np.asarray(jax.vmap(lambda key: jr.normal(key, (3,)))(keys))
    square = scale * np.sum(z**2, 1)
    return {
        "point": scale * z,
        "square": square,
        "number": np.arange(count, dtype=float),
    }


@pytest.mark.parametrize(
    ("count", "block_size"), [(100, 10), (100, 64), (101, 16), (7, 1), (5, 64), (2, 64)]
)
def test_average_and_error_are_those_of_numpy(count, block_size):
    found = run(REPLICA, count, KEY, block_size=block_size)
    assert isinstance(found, Estimate)
    assert found.count == count
    for name, values in by_hand(count).items():
        np.testing.assert_allclose(found.mean[name], values.mean(0), rtol=1e-12)
        error = values.std(0, ddof=1) / np.sqrt(count)
        np.testing.assert_allclose(found.stderr[name], error, rtol=1e-11)


@pytest.mark.parametrize(
    ("count", "block_size", "sizes"),
    [
        (101, 16, [16] * 6 + [5]),
        (64, 16, [16] * 4),
        (10, 64, [5, 5]),
        (9, 64, [5, 4]),
        (2, 64, [1, 1]),
    ],
)
def test_blocks(count, block_size, sizes):
    found = run(REPLICA, count, KEY, block_size=block_size)
    np.testing.assert_array_equal(found.block_counts, sizes)
    ends = np.cumsum(sizes)
    for name, values in by_hand(count).items():
        means = [part.mean(0) for part in np.split(values, ends[:-1])]
        np.testing.assert_allclose(found.block_means[name], means, rtol=1e-12)


def test_error_survives_a_large_common_offset():
    # The naive E[x^2] - E[x]^2 would lose every digit.
    shifted = eqx.Partial(lambda key, i: 1e9 + normal(key, i))
    plain = eqx.Partial(normal)
    a, b = run(shifted, 500, KEY), run(plain, 500, KEY)
    np.testing.assert_allclose(a.stderr, b.stderr, rtol=1e-6)


@pytest.mark.slow
def test_error_is_the_scatter_of_runs():
    # 400 runs of 64: a standard deviation is known to 3.5 %.
    f = eqx.Partial(lambda key, i: jr.exponential(jr.fold_in(key, i)))
    found = [run(f, 64, jr.key(seed), block_size=16) for seed in range(400)]
    means = np.array([e.mean for e in found])
    errors = np.array([e.stderr for e in found])
    assert abs(np.sqrt(np.mean(errors**2)) / means.std(ddof=1) - 1) < 0.15
    assert abs(means.mean() - 1) < 4 / np.sqrt(400 * 64)


@pytest.mark.parametrize("block_size", [1, 7, 32, 50])
def test_block_size_changes_rounding_only(block_size):
    whole = run(REPLICA, 100, KEY, block_size=64)
    parts = run(REPLICA, 100, KEY, block_size=block_size)
    for name in ("point", "square", "number"):
        np.testing.assert_allclose(parts.mean[name], whole.mean[name], rtol=1e-12)
        np.testing.assert_allclose(parts.stderr[name], whole.stderr[name], rtol=1e-10)


def test_bits_of_a_block_do_not_depend_on_how_many_follow():
    long, short = (run(REPLICA, n, KEY, block_size=16) for n in (200, 70))
    for name in ("point", "square", "number"):
        a, b = long.block_means[name], short.block_means[name]
        np.testing.assert_array_equal(a[:4], b[:4])


def test_bits_repeat():
    assert eqx.tree_equal(run(REPLICA, 50, KEY), run(REPLICA, 50, KEY))
    other = run(REPLICA, 50, jr.key(12))
    assert np.all(other.mean["point"] != run(REPLICA, 50, KEY).mean["point"])


def test_new_values_do_not_recompile():
    traces = []

    def f(scale, key, replica):
        traces.append(None)
        return scale * normal(key, replica) + replica.astype(scale.dtype)

    for scale, key, count in (
        (1.0, 0, 100),
        (2.0, 1, 100),
        (3.0, 2, 4000),
        (3.0, 3, 65),
    ):
        run(eqx.Partial(f, jnp.asarray(scale)), count, jr.key(key), block_size=32)
    assert len(traces) == 1
    # Another block size is another program.
    run(eqx.Partial(f, jnp.asarray(1.0)), 100, KEY, block_size=16)
    assert len(traces) == 2


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("culprit", [0, 37, 49])
def test_replica_that_is_not_finite_is_named(bad, culprit):
    def f(bad, culprit, key, replica):
        value = jnp.where(replica == culprit, bad, normal(key, replica))
        return {
            "fine": normal(key, replica),
            "sometimes": jnp.stack([value, value, 0 * value]),
        }

    which = jnp.asarray(culprit, jnp.int32)
    replica = eqx.Partial(f, jnp.asarray(bad), which)
    message = rf"replica {culprit} \(block {culprit // 16} of 4\) returned NaN"
    with pytest.raises(FloatingPointError, match=message):
        run(replica, 50, KEY, block_size=16)


def test_absent_replicas_of_a_short_block_do_not_count():
    # Replica 50 and on would be NaN, but there are only 50; replica 48 begins a block.
    def f(key, replica):
        return jnp.where(replica >= 50, jnp.nan, 1.0 + 0 * normal(key, replica))

    found = run(eqx.Partial(f), 50, KEY, block_size=16)
    np.testing.assert_array_equal(found.mean, 1)
    np.testing.assert_array_equal(found.stderr, 0)


def test_progress_is_called_after_every_block():
    calls = []
    called = lambda status: calls.append((status.done, status.total))
    run(REPLICA, 50, KEY, block_size=16, progress=called)
    assert calls == [(16, 50), (32, 50), (48, 50), (50, 50)]
    calls.clear()
    with pytest.raises(FloatingPointError):
        run(
            eqx.Partial(lambda key, i: jnp.where(i > 20, jnp.nan, 0.0)),
            50,
            KEY,
            block_size=16,
            progress=called,
        )
    assert calls == [(16, 50)]


def test_results_are_pytrees_of_host_arrays():
    f = eqx.Partial(
        lambda key, i: (normal(key, i), [jr.normal(key, (2, 3)), jnp.ones(0)])
    )
    found = run(f, 20, KEY, block_size=5)
    assert jax.tree.structure(found.mean) == jax.tree.structure((0, [0, 0]))
    shapes = jax.tree.map(np.shape, jax.tree.leaves(found.block_means))
    assert shapes == [(4,), (4, 2, 3), (4, 0)]
    for leaf in jax.tree.leaves((found.mean, found.stderr, found.block_means)):
        assert isinstance(leaf, np.ndarray | np.float64)
        assert leaf.dtype == np.float64


def test_float32_replicas_are_merged_in_float64():
    f = eqx.Partial(normal, dtype=jnp.float32)
    found = run(f, 4000, KEY, block_size=50)
    blocks = np.asarray(found.block_means)
    assert found.mean.dtype == np.float64
    np.testing.assert_allclose(found.mean, blocks.mean(), rtol=1e-12)


@pytest.mark.parametrize(
    ("count", "block_size", "message"),
    [
        (1, 8, "`num_replicas` is 1; errors need at least 2"),
        (0, 8, "`num_replicas` is 0"),
        (10, 0, "`block_size` is 0; it must be at least 1"),
    ],
)
def test_bad_numbers_are_named(count, block_size, message):
    with pytest.raises(ValueError, match=message):
        run(REPLICA, count, KEY, block_size=block_size)


def uniform(key, replica):
    """Standard deviations 0.29 and 2.9."""
    u = jr.uniform(jr.fold_in(key, replica))
    return u, 10 * u[None]


UNIFORM = eqx.Partial(uniform)


# Looks after 2 blocks: one more block, or a fifth more.
LOOKS = [*range(2, 11), 12, 14, 16, 19, 22, 26, 31, 37, 44, 52, 62, 74, 88, 105, 126]


@pytest.mark.slow
def test_run_stops_at_the_first_look_where_errors_are_small():
    whole = run(UNIFORM, 1024, KEY, block_size=8)
    errors = {n: run(UNIFORM, 8 * n, KEY, block_size=8).stderr[1][0] for n in LOOKS}
    stops = set()
    for until in (0.6, 0.3, 0.2, 0.12):
        found = run(UNIFORM, 1024, KEY, block_size=8, until_stderr=until)
        first = min(n for n, error in errors.items() if error < until)
        assert found.count == 8 * first
        assert found.stderr[1][0] < until
        start = whole.block_means[1][:first]
        np.testing.assert_array_equal(found.block_means[1], start)
        stops.add(first)
    assert len(stops) == 4
    assert max(stops) > 10


@pytest.mark.parametrize("min_blocks", [0, 1, 2, 5, 32, 128])
def test_looks_are_a_fifth_apart(min_blocks):
    looks = [n for n in range(1, 2000) if next_look(n, min_blocks) == n]
    assert looks[0] == max(min_blocks, 1)
    steps = np.diff(looks)
    np.testing.assert_array_equal(steps, np.maximum(np.asarray(looks[:-1]) // 5, 1))
    assert min_blocks != 2 or looks[: len(LOOKS)] == LOOKS
    later = [next_look(n, min_blocks) for n in range(1000)]
    assert later == [min(look for look in looks if look >= n) for n in range(1000)]


@pytest.mark.slow
@pytest.mark.long
def test_errors_after_stopping_are_true():
    # Stopped after 2 of the skew replicas, many runs would be wrong by far more.
    f = eqx.Partial(lambda key, i: jr.exponential(jr.fold_in(key, i)))
    looked: dict[str, Any] = dict(block_size=1, min_blocks=32, until_stderr=0.125)
    one = jax.local_devices()[:1]
    found = [run(f, 512, jr.key(s), devices=one, **looked) for s in range(60)]
    assert all(e.stderr < 0.125 for e in found)
    # 64 are needed on average; the rms of 60 is known to 9 %.
    assert 50 < np.mean([e.count for e in found]) < 80
    assert np.sqrt(np.mean([(e.mean - 1) ** 2 for e in found])) < 1.3 * 0.125


def test_run_watches_what_it_is_told_to():
    looked: dict[str, Any] = dict(block_size=8, until_stderr=0.1)
    # (2.9 / 0.1)^2 replicas, and a fifth more at most.
    assert 8 * 88 <= run(UNIFORM, 4096, KEY, **looked).count <= 8 * 126
    assert run(UNIFORM, 4096, KEY, watch=lambda x: x[0], **looked).count == 16
    late = run(UNIFORM, 4096, KEY, watch=lambda x: x[0], min_blocks=9, **looked)
    assert late.count == 72
    # Never reached: all replicas.
    assert run(UNIFORM, 50, KEY, block_size=8, until_stderr=1e-9).count == 50


def test_stopping_does_not_depend_on_devices_and_cuts(tmp_path):
    looked: dict[str, Any] = dict(block_size=8, until_stderr=0.3)
    whole = run(UNIFORM, 1000, KEY, **looked)
    one = run(UNIFORM, 1000, KEY, devices=jax.local_devices()[:1], **looked)
    # More blocks than needed are there already: the same stop.
    run(UNIFORM, 800, KEY, block_size=8, folder=tmp_path / "run")
    resumed = run(UNIFORM, 1000, KEY, folder=tmp_path / "run", resume=True, **looked)
    assert eqx.tree_equal(whole, one)
    assert eqx.tree_equal(whole, resumed)


def test_status_tells_rate_remaining_time_and_estimate():
    seen = []
    found = run(UNIFORM, 64, KEY, block_size=8, progress=seen.append)
    assert [status.done for status in seen] == list(range(8, 65, 8))
    for status in seen:
        assert status.total == 64
        left = (64 - status.done) / status.rate
        np.testing.assert_allclose(status.remaining, left)
    # The second part is known ten times worse.
    assert seen[-1].mean == found.mean[1][0]
    assert seen[-1].stderr == found.stderr[1][0]
    assert seen[-1].remaining == 0
