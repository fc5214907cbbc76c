"""The noise function: the primitive's bits, the Gaussian law, independence."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from jax.extend.random import threefry_2x32

from jaxwin._random import choice_key, normals, pair_normals, pair_uniforms, threefry

KEY = jr.key(12)


@partial(jax.jit, static_argnums=(3, 4, 5))
def block(key, replicas, steps, draws, dimension, dtype=float):
    """Gaussians of shape (replica, step, draw, coordinate)."""
    at = lambda r, i: normals(key, r, i, draws, dimension, dtype)
    return jax.vmap(lambda r: jax.vmap(lambda i: at(r, i))(steps))(replicas)


def from_words(w, w2, dtype):
    signed = w2 - 2**32 if w2 >= 2**31 else w2
    as_array = lambda value: jnp.asarray([value], dtype)
    return pair_normals(jax.lax.complex(as_array(w), as_array(signed)))


def test_bits_are_those_of_the_primitive():
    rng = np.random.default_rng(0)
    key, x, y = (rng.integers(0, 2**32, n, dtype=np.uint32) for n in (2, 500, 500))
    as_words = lambda a, b: (jnp.asarray(a), jnp.asarray(b))
    ours = threefry(as_words(*key), as_words(x, y))
    theirs = np.asarray(threefry_2x32(key, np.concatenate([x, y])))
    np.testing.assert_array_equal(np.concatenate(ours), theirs)


def test_address_is_the_published_one():
    # DESIGN 4, by the primitive: keys and counters written out.
    root = np.asarray(jr.key_data(KEY))
    step, draw, replica, coordinate = 7, 1, 11, 3
    key = np.asarray(threefry_2x32(root, np.array([step, draw], np.uint32)))
    counter = np.array([replica // 2, coordinate], np.uint32)
    w, w2 = (float(word) for word in threefry_2x32(key, counter))
    radius = np.sqrt(-2 * np.log((w + 0.5) / 2**32))
    angle = 2 * np.pi * w2 / 2**32
    found = block(KEY, jnp.array([10, 11]), jnp.array([step]), 2, 5)[:, 0, draw, 3]
    expected = radius * np.array([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.slow
def test_a_number_depends_on_its_address_alone():
    whole = block(KEY, jnp.arange(6), jnp.arange(4), 2, 8)
    part = block(KEY, jnp.array([5, 2]), jnp.array([3, 1]), 1, 5)
    # To rounding: programs of other shapes fuse other multiplications with additions.
    same = partial(np.testing.assert_allclose, rtol=1e-14, atol=1e-15)
    chosen = np.ix_([5, 2], [3, 1], [0], range(5))
    same(part, whole[chosen])
    even, odd = pair_normals(pair_uniforms(KEY, 2, 3, 2, 8, float))
    same(np.stack([even, odd]), whole[4:6, 3])


def test_float32_follows_float64():
    args = KEY, jnp.arange(200), jnp.arange(5), 1, 64
    wide = np.asarray(block(*args))
    narrow = np.asarray(block(*args, jnp.float32))
    assert narrow.dtype == np.float32
    # Near radius zero float32 rounds the uniform to one: an absolute error of 4e-4.
    error = np.abs(wide - narrow)
    assert error.max() < 5e-4
    assert error[np.abs(wide) > 0.1].max() < 2e-5
    assert np.median(error) < 1e-7


@pytest.mark.parametrize(
    "words", [(0, 0), (2**32 - 1, 2**32 - 1), (1, 2**30), (0, 2**31)]
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_extreme_words_stay_finite(words, dtype):
    z = np.array(from_words(words[0], words[1], dtype))
    assert np.all(np.isfinite(z))
    assert np.hypot(*z) <= 6.77
    if words[0] == 0:
        assert np.hypot(*z) == pytest.approx(np.sqrt(2 * np.log(2**33)), rel=1e-6)


def test_gaussian_law():
    """4,194,304 numbers, key 12: Kolmogorov-Smirnov, moments and tails."""
    z = np.asarray(block(KEY, jnp.arange(256), jnp.arange(16), 2, 512)).ravel()
    n = z.size
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-3
    # Moments 1 to 6, their standard errors sqrt((E z^2k - (E z^k)^2) / n).
    double = [1, 1, 3, 15, 105, 945, 10395]
    for k in range(1, 7):
        mean = 0 if k % 2 else double[k // 2]
        error = np.sqrt((double[k] - mean**2) / n)
        assert abs(np.mean(z**k) - mean) < 4 * error, k
    for level in (3.0, 4.0, 4.5):
        expected = 2 * n * scipy.stats.norm.sf(level)
        assert abs(np.sum(np.abs(z) > level) - expected) < 4 * np.sqrt(expected)


def test_tails_pass_five_and_a_half():
    # P(radius > r) = exp(-r^2/2): of 2^32 words, so many lie beyond 5.5.
    share = np.exp(-(5.5**2) / 2)
    word = int(share * 2**32 - 0.5)
    reach = lambda w: np.hypot(*from_words(w, 0, jnp.float32)).item()
    assert reach(word) > 5.5 - 1e-6
    assert reach(word + 2) < 5.5 + 1e-6


@pytest.mark.parametrize("axis", ["replica", "step", "draw", "coordinate"])
def test_neighbours_are_independent(axis):
    """Correlations of z and of z^2 between neighbours, 260,000 pairs, 4.5 sigma."""
    z = np.asarray(block(KEY, jnp.arange(64), jnp.arange(64), 2, 64))
    axis_number = ["replica", "step", "draw", "coordinate"].index(axis)
    last = z.shape[axis_number] - 1
    a = np.take(z, range(last), axis_number).ravel()
    b = np.take(z, range(1, last + 1), axis_number).ravel()
    for f in (lambda v: v, lambda v: v**2, np.abs, np.sign):
        correlation = np.corrcoef(f(a), f(b))[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(a.size)


def test_partners_are_jointly_gaussian():
    # A pair shares radius and angle: the chi-square law of both, and a uniform angle.
    z = np.asarray(block(KEY, jnp.arange(128), jnp.arange(16), 1, 64))
    a, b = z[::2].ravel(), z[1::2].ravel()
    assert scipy.stats.kstest(a**2 + b**2, "chi2", (2,)).pvalue > 1e-3
    angle = np.arctan2(b, a) / (2 * np.pi) + 0.5
    assert scipy.stats.kstest(angle, "uniform").pvalue > 1e-3


def test_other_keys_and_choices_are_apart():
    near = [jr.key(12), jr.key(13), jr.fold_in(KEY, 0), jr.fold_in(KEY, 1)]
    z = [
        np.asarray(block(k, jnp.arange(8), jnp.arange(2), 1, 64)).ravel() for k in near
    ]
    assert np.abs(np.corrcoef(z) - np.eye(4)).max() < 4.5 / np.sqrt(z[0].size)
    keys = [choice_key(KEY, r, i) for r in (0, 1) for i in (0, 1)]
    assert len({tuple(np.asarray(jr.key_data(k))) for k in keys}) == 4


def test_any_key_implementation_is_taken():
    z = normals(jr.key(0, impl="rbg"), 0, 0, 1, 100)
    assert np.isfinite(z).all()
    assert 0.7 < float(jnp.std(z)) < 1.3
