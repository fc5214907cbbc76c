"""Times read off curves: known crossings, analytic errors, coverage, no crossing."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis import Crossing
from jaxwin.analysis._crossing import exact, read_off
from jaxwin.io import to_json

BLOCKS = 128
AXIS = np.linspace(-3.0, 3.0, 25)
# exp: an increasing clock on which the coordinate is not the time.
CLOCK = np.exp


def falling(axis: np.ndarray) -> np.ndarray:
    """0.5 + 0.5 / (1 + e^{2 (x - 0.3)}): a curve from 1 to 1/2."""
    return 0.5 + 0.5 / (1 + np.exp(2 * (axis - 0.3)))


def place_of(level: float) -> float:
    return 0.3 - 0.5 * np.log((level - 0.5) / (1 - level))


def noisy_blocks(seed: int, noise: float, counts: np.ndarray) -> np.ndarray:
    """Block means of a curve; each replica adds one Gaussian number to all of it."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(counts.size, 1)) * noise / np.sqrt(counts)[:, None]
    return falling(AXIS)[None] + shared


def measure(seed: int, noise: float, counts: np.ndarray, level: float, clock=CLOCK):
    blocks = noisy_blocks(seed, noise, counts)
    mean = counts @ blocks / counts.sum()
    return read_off(AXIS, mean, blocks, counts, level, clock)


def without_noise(axis: np.ndarray, curve: np.ndarray, level: float, clock=CLOCK):
    blocks = np.broadcast_to(curve, (4, curve.size))
    return read_off(axis, curve, blocks, np.full(4, 8), level, clock)


EQUAL = np.full(BLOCKS, 64)


@pytest.mark.parametrize("level", [0.55, 0.75, 0.775, 0.9, 0.99])
def test_known_crossing(level):
    # Cubic interpolation at step h errs by about h^4 |f''''| / (slope 40).
    found = without_noise(AXIS, falling(AXIS), level)
    assert bool(found.found)
    assert abs(np.log(float(found.time)) - place_of(level)) < 2e-3
    fine = np.linspace(-3, 3, 25 * 8)
    close = without_noise(fine, falling(fine), level)
    assert abs(np.log(float(close.time)) - place_of(level)) < 1e-6
    assert float(found.stderr) < 1e-12
    assert abs(float(found.low) - float(found.time)) < 1e-12
    assert abs(float(found.high) - float(found.time)) < 1e-12


def test_interpolation_has_fourth_order():
    level, errors = 0.775, []
    steps = np.array([16, 32, 64, 128, 256])
    for n in steps:
        # The crossing keeps its place within its interval.
        axis = place_of(level) + (np.arange(-n, n + 1) + 0.3) * 3.0 / n
        found = without_noise(axis, falling(axis), level, lambda x: x)
        errors.append(abs(float(found.time) - place_of(level)))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(-slope - 4) < 0.15


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("interval", [0, 1, 2, 3, 4])
def test_cubic_curves_are_read_exactly(where, interval):
    # The first and last interval of a grid too, on uneven grids, up and down.
    axis = np.array([-2.0, -1.1, 0.3, 0.9, 2.2, 2.5])
    place = axis[interval] + where * (axis[interval + 1] - axis[interval])
    curve = (axis - place) * (1 + 0.1 * (axis - place) ** 2)
    for sign in (1, -1):
        found = without_noise(axis, sign * curve, 0.0, lambda x: x)
        assert abs(float(found.time) - place) < 1e-13


@pytest.mark.parametrize("node", [0, 1, 3, 5])
def test_crossing_at_a_node(node):
    axis = np.arange(6.0)
    for sign in (1, -1):
        found = without_noise(axis, sign * (axis - node), 0.0, lambda x: x)
        if bool(found.found):
            assert abs(float(found.time) - node) < 1e-12
    inner = without_noise(axis, axis - 3, 0.0, lambda x: x)
    assert bool(inner.found)


def test_of_several_crossings_the_last():
    axis = np.linspace(0, 10, 200)
    found = without_noise(axis, np.cos(axis), 0.0, lambda x: x)
    assert abs(float(found.time) - 2.5 * np.pi) < 1e-5


def test_no_crossing_says_what_was_searched():
    for level in (0.4, 1.1):
        found = without_noise(AXIS, falling(AXIS), level)
        assert not bool(found.found)
        assert np.isnan(float(found.time))
        assert np.isnan(float(found.stderr))
        np.testing.assert_allclose(found.low, np.exp(-3), rtol=1e-14)
        np.testing.assert_allclose(found.high, np.exp(3), rtol=1e-14)
        assert str(found) == "not reached in [0.04979, 20.09]"


def test_infinite_ends_of_a_clock_are_left_out():
    axis = np.concatenate([[-np.inf], AXIS, [np.inf]])
    curve = np.concatenate([[1.0], falling(AXIS), [0.5]])
    found = without_noise(axis, curve, 0.775)
    inside = without_noise(AXIS, falling(AXIS), 0.775)
    assert eqx.tree_equal(found, inside)
    with pytest.raises(ValueError, match="3 noises lie between the ends"):
        without_noise(axis[[0, 1, 2, 3, -1]], curve[[0, 1, 2, 3, -1]], 0.775)


# Errors: noise that all points of a curve share has an exact answer,
# sd(time) = noise / sqrt(replicas) / |slope|.

LEVEL, NOISE = 0.775, 0.25
SLOPE = 2 * (LEVEL - 0.5) * (1 - (LEVEL - 0.5) / 0.5)


def analytic_error(counts: np.ndarray) -> float:
    return NOISE / np.sqrt(counts.sum()) / SLOPE


def test_bootstrap_error_is_the_analytic_one():
    identity = lambda x: x
    errors = [
        float(measure(s, NOISE, EQUAL, LEVEL, identity).stderr) for s in range(20)
    ]
    # 20 runs of 128 blocks: known to 1.6 %; the mean over the clock is curved a little.
    assert abs(np.mean(errors) / analytic_error(EQUAL) - 1) < 0.07


def test_bootstrap_error_is_carried_to_the_clock():
    plain = measure(0, NOISE, EQUAL, LEVEL, lambda x: x)
    read = measure(0, NOISE, EQUAL, LEVEL)
    np.testing.assert_allclose(float(read.time), np.exp(float(plain.time)))
    slope = np.exp(float(plain.time))
    np.testing.assert_allclose(
        float(read.stderr), slope * float(plain.stderr), rtol=0.02
    )
    np.testing.assert_allclose(read.low, np.exp(float(plain.low)))
    np.testing.assert_allclose(read.high, np.exp(float(plain.high)))


@pytest.mark.slow
def test_blocks_count_by_their_replicas():
    # Small noisy blocks must not weigh like large ones.
    counts = np.where(np.arange(BLOCKS) % 2, 640, 8)
    identity = lambda x: x
    errors = [
        float(measure(s, NOISE, counts, LEVEL, identity).stderr) for s in range(20)
    ]
    # 64 blocks carry all the weight; how many a resample takes adds a little.
    assert abs(np.mean(errors) / analytic_error(counts) - 1) < 0.12
    times = [float(measure(s, NOISE, counts, LEVEL, identity).time) for s in range(60)]
    assert abs(np.std(times) / analytic_error(counts) - 1) < 0.35
    assert (
        abs(np.mean(times) - place_of(LEVEL)) < 4 * np.std(times) / np.sqrt(60) + 2e-4
    )


def test_whole_curves_are_resampled():
    # Most of the noise is shared by a curve, some is each point's own, of which the
    # interpolation averages two neighbours or so.
    rng = np.random.default_rng(8)
    noise = 0.3 * rng.normal(size=(BLOCKS, 1)) + 0.05 * rng.normal(size=(BLOCKS, 25))
    blocks = falling(AXIS)[None] + noise / 8
    found = read_off(AXIS, blocks.mean(0), blocks, EQUAL, LEVEL, lambda x: x)
    error = np.hypot(0.3, 0.05 * 0.85) / 8 / np.sqrt(BLOCKS) / SLOPE
    assert abs(float(found.stderr) / error - 1) < 0.2


@pytest.mark.slow
def test_interval_covers():
    # 200 replicates; truth: the noiseless curve; binomial: 95 % +- 4 * 1.54 %.
    truth = float(without_noise(AXIS, falling(AXIS), LEVEL).time)
    found = [measure(1000 + s, NOISE, EQUAL, LEVEL) for s in range(200)]
    inside = [float(c.low) <= truth <= float(c.high) for c in found]
    assert 0.90 < np.mean(inside) < 0.995
    below = np.mean([truth < float(c.low) for c in found])
    above = np.mean([truth > float(c.high) for c in found])
    assert max(below, above) < 0.069


def test_bootstrap_repeats_itself():
    assert eqx.tree_equal(
        measure(5, NOISE, EQUAL, LEVEL), measure(5, NOISE, EQUAL, LEVEL)
    )


# Times known exactly


def test_exact_time():
    time = exact(1.5)
    assert bool(time.found)
    assert str(time) == "1.5000"
    assert time.to_json() == {
        "value": 1.5,
        "stderr": 0.0,
        "low": 1.5,
        "high": 1.5,
        "found": True,
    }
    estimated = exact(1.5, stderr=0.1)
    assert str(estimated) == "1.5000 ± 0.1000"
    np.testing.assert_allclose(estimated.low, 1.5 - 0.196)
    np.testing.assert_allclose(estimated.high, 1.5 + 0.196)


def test_exact_time_that_is_none():
    none = exact(1.5, False)
    assert np.isnan(float(none.time))
    assert str(none) == "not reached in [0, inf]"
    text = json.dumps(none.to_json(), allow_nan=False)
    assert json.loads(text) == {
        "value": None,
        "stderr": None,
        "low": 0.0,
        "high": None,
        "found": False,
    }


def test_exact_time_under_a_trace():
    f = jax.jit(lambda t: exact(t, t > 0, 0.1 * t))
    assert str(f(2.0)) == "2.0000 ± 0.2000"
    assert str(f(-2.0)) == "not reached in [0, inf]"
    assert f(2.0).found.dtype == bool


def test_measured_time_in_json_and_words():
    found = measure(0, NOISE, EQUAL, LEVEL)
    entry = found.to_json()
    assert set(entry) == {"value", "stderr", "low", "high", "found"}
    assert entry["found"] is True
    assert entry["low"] < entry["value"] < entry["high"]
    assert str(found) == f"{entry['value']:.4f} ± {entry['stderr']:.4f}"
    assert to_json({"t": found}) == {"t": entry}


def test_read_on_another_clock():
    found = measure(0, NOISE, EQUAL, LEVEL)
    moved = found.read_on(lambda t: t**2)
    time = float(found.time)
    np.testing.assert_allclose(moved.time, time**2)
    np.testing.assert_allclose(moved.stderr, 2 * time * found.stderr, rtol=1e-6)
    np.testing.assert_allclose(moved.low, found.low**2)
    np.testing.assert_allclose(moved.high, found.high**2)
    assert bool(moved.found)
    # The slope is exact however early the time is.
    early = exact(1e-12, True, 1e-14).read_on(jnp.sqrt)
    np.testing.assert_allclose(early.stderr, 1e-14 / (2 * 1e-6), rtol=1e-12)
    none = exact(0.0, False).read_on(lambda t: 1 - jnp.exp(-t))
    assert not bool(none.found)
    assert str(none) == "not reached in [0, 1]"


def test_many_crossings_share_one_object():
    each = [exact(1.0), exact(2.0, False)]
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    assert isinstance(both, Crossing)
    np.testing.assert_array_equal(both.found, [True, False])
    assert eqx.tree_equal(jax.tree.map(lambda leaf: leaf[0], both), each[0])
