"""Predicted collapse times: gradients, also in the data, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slopes import assert_slopes

from jaxwin.analysis import collapse, speciation

RNG = np.random.default_rng(0)


@pytest.mark.slow
def test_gradients():
    assert_slopes(collapse.leading_time, (1e-3, 0.4), (0.3, 2.0), (8.0, 1.0))
    assert_slopes(collapse.leading_rate, (1e-5, 0.4), (0.3, 2.0), (4.0, 1.0))
    assert_slopes(
        lambda a, b, n: collapse.gaussian_time(jnp.stack([a, b, b]), n).time,
        (1.0, 3.0, 50.0),
        (0.01, 2.0, 3.0),
    )
    assert_slopes(
        lambda m2, s, d, n: collapse.two_cluster_time(m2, s, d, n).time,
        (16.0, 1.0, 16.0, 1000.0),
        (0.2, 0.3, 2.0, 7.0),
    )


@pytest.mark.slow
def test_gradients_at_the_ends():
    # At rates where e^{2 rate} overflows, clusters at one place, directions without
    # spread: finite, and the right limits.
    for rate in (400.0, 1e4):
        slopes = jax.grad(collapse.leading_time, (0, 1))(rate, 1.0)
        assert [float(s) for s in slopes] == [0, 0]
    single = jax.grad(collapse.leading_time)(jnp.float32(60.0), 1.0)
    assert np.isfinite(float(single))
    f = lambda m2, s: collapse.two_cluster_time(m2, s, 9, 40).time
    along_separation, along_std = jax.grad(f, (0, 1))(0.0, 0.8)
    h = 1e-6
    difference = (float(f(h, 0.8)) - float(f(0.0, 0.8))) / h
    np.testing.assert_allclose(along_separation, difference, rtol=1e-4)
    one = lambda s: collapse.leading_time(np.log(40) / 9, s)
    np.testing.assert_allclose(along_std, jax.grad(one)(0.8), rtol=1e-8)
    slope = jax.grad(lambda e: collapse.gaussian_time(e, 9).time)(jnp.array([1.0, 0.0]))
    step = collapse.gaussian_time(jnp.array([1.0, 1e-7]), 9).time
    base = collapse.gaussian_time(jnp.array([1.0, 0.0]), 9).time
    np.testing.assert_allclose(slope[1], (step - base) / 1e-7, rtol=1e-4)


# In the data


def cross() -> np.ndarray:
    """Points at +-e_i in 3 of 5 dimensions: equal eigenvalues, and two of zero."""
    points = np.zeros((6, 5))
    for i in range(3):
        points[2 * i, i], points[2 * i + 1, i] = 1, -1
    return points


@pytest.mark.slow
@pytest.mark.parametrize(
    "points",
    [cross(), cross().T.copy(), RNG.normal(size=(12, 4)), RNG.normal(size=(4, 9))],
    ids=["equal and zero", "wide", "tall data", "few points"],
)
def test_gradients_in_the_data(points):
    value = jax.jit(lambda p: collapse.gaussian_time_of(p).time)
    slope = np.asarray(jax.jit(jax.grad(value))(jnp.asarray(points)))
    assert np.all(np.isfinite(slope))
    expected, h = np.zeros_like(points), 1e-5
    for place in np.ndindex(*points.shape):
        moved = np.zeros_like(points)
        moved[place] = h
        ends = value(jnp.asarray(points + moved)), value(jnp.asarray(points - moved))
        expected[place] = (float(ends[0]) - float(ends[1])) / (2 * h)
    np.testing.assert_allclose(slope, expected, atol=1e-7)
    assert np.abs(slope).max() > 1e-3
    # Along the data themselves: times of scaled data are known.
    t = float(value(jnp.asarray(points)))
    scaled = -np.expm1(-2 * t)
    centred = points - points.mean(axis=0)
    np.testing.assert_allclose(np.sum(slope * centred), scaled, rtol=1e-7)


def test_time_of_data_is_that_of_its_spectrum():
    points = RNG.normal(size=(50, 6)) * [3, 1, 1, 0.2, 0.1, 0]
    eigenvalues = np.linalg.eigvalsh(np.cov(points, rowvar=False, bias=True)).clip(0)
    for n in (None, 1000):
        found = collapse.gaussian_time_of(jnp.asarray(points), n)
        expected = collapse.gaussian_time(jnp.asarray(eigenvalues), n or 50)
        np.testing.assert_allclose(found.time, expected.time, rtol=1e-11)
    single = collapse.gaussian_time_of(jnp.asarray(points, jnp.float32))
    assert single.time.dtype == jnp.float32
    np.testing.assert_allclose(
        single.time, collapse.gaussian_time_of(jnp.asarray(points)).time, rtol=1e-5
    )
    same = collapse.gaussian_time_of(jnp.ones((4, 3)))
    assert str(same) == "not reached in [0, inf]"


# What is refused, and what is answered


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: collapse.leading_time(0.0, 1.0), "`rate` is 0; it must be"),
        (lambda: collapse.leading_time(-0.1, 1.0), "`rate` is -0.1; it must be"),
        (lambda: collapse.leading_time(float("nan"), 1.0), "`rate` is nan"),
        (lambda: collapse.leading_time(0.1, 0.0), "`std` is 0"),
        (lambda: collapse.leading_time(0.1, -1.0), "`std` is -1"),
        (lambda: collapse.leading_rate(0.0, 1.0), "`time` is 0"),
        (lambda: collapse.two_cluster_time(1.0, -1.0, 3, 9), "`std` is -1"),
        (lambda: collapse.two_cluster_time(-1.0, 1.0, 3, 9), "`separation_sq` is -1"),
        (lambda: collapse.two_cluster_time(1.0, 1.0, 0, 9), "`dimension` is 0"),
        (lambda: collapse.two_cluster_time(1.0, 1.0, 3, 1), "`num_points` is 1"),
        (lambda: collapse.gaussian_time(jnp.array([1.0, -0.1]), 9), "`eigenvalues`"),
        (lambda: collapse.gaussian_time(jnp.array([1.0, np.nan]), 9), "`eigenvalues`"),
        (lambda: collapse.gaussian_time(jnp.ones(2), 1), "`num_points`"),
        (lambda: collapse.gaussian_points(-np.ones(2), 1.0), "`eigenvalues`"),
        (lambda: speciation.agreement(1.0, 1.5), "`weight`"),
        (lambda: speciation.disagreement(-1.0), "`r`"),
        (lambda: speciation.class_information(1.0, 0.0), "`weight`"),
        (lambda: speciation.separation(1.0, 1.0, 1.0, -1.0), "`sigma`"),
        (lambda: speciation.times(jnp.array([[1.0, 2], [0, 1]])), "not symmetric"),
        (lambda: collapse.gaussian_time_of(jnp.ones((1, 3))), "`points` has 1 row"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rounding_below_zero_is_no_mistake():
    eigenvalues = jnp.array([2.0, 1.0, -1e-16])
    found = collapse.gaussian_time(eigenvalues, 30).time
    expected = collapse.gaussian_time(jnp.array([2.0, 1.0, 0.0]), 30).time
    np.testing.assert_array_equal(found, expected)


def test_what_never_collapses_is_an_answer():
    for found in (
        collapse.two_cluster_time(4.0, 0.0, 3, 3),
        collapse.gaussian_time(jnp.zeros(2), 5),
        jax.jit(collapse.gaussian_time)(jnp.ones(2), 1),
    ):
        assert str(found) == "not reached in [0, inf]"


def test_dimensions_can_be_batched():
    d = jnp.array([16.0, 256.0])
    many = jax.vmap(lambda d: collapse.two_cluster_time(d, 1.0, d, 20_000).time)(d)
    for one, time in zip(d, many, strict=True):
        expected = collapse.two_cluster_time(one, 1.0, int(one), 20_000).time
        np.testing.assert_allclose(time, expected, rtol=1e-12)
