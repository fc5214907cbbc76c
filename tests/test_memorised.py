"""The memorised fraction: brute force, exact empirical samples, fresh ones."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxwin import metrics
from jaxwin.targets import Empirical

fraction = jax.jit(metrics.memorised_fraction, static_argnums=2)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "n", "d"), [(7, 2, 1), (40, 513, 3), (600, 1500, 17)])
@pytest.mark.parametrize("ratio", [1 / 3, 0.7, 1.0])
def test_brute_force(m, n, d, ratio):
    rng = np.random.default_rng(m)
    samples, data = rng.normal(size=(m, d)), rng.normal(size=(n, d))
    samples[: m // 2] = data[rng.integers(n, size=m // 2)] + 0.1 * samples[: m // 2]
    least = np.sort(cdist(samples, data), axis=1)
    expected = np.mean(least[:, 0] < ratio * least[:, 1])
    found = fraction(samples, data, ratio)
    assert float(found.value) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected <= 1


@pytest.mark.slow
def test_exact_empirical_samples_and_fresh_ones():
    d, n = 16, 2000
    points = jr.normal(jr.key(0), (n, d))
    law, time = Empirical(points), 1e-3
    alpha, sigma = np.exp(-time), np.sqrt(-np.expm1(-2 * time))

    def sample(key):
        first, second, third = jr.split(key, 3)
        x = alpha * law.sample(first) + sigma * jr.normal(second, (d,))
        return law.posterior_sample(third, x, alpha, sigma), x

    copies, noised = jax.jit(jax.vmap(sample))(jr.split(jr.key(1), 300))
    assert float(fraction(copies, points).value) == 1
    assert float(fraction(noised, points).value) == 1
    for dimension in (16, 64):
        data = jr.normal(jr.key(2), (n, dimension))
        fresh = jr.normal(jr.key(3), (1000, dimension))
        assert float(fraction(fresh, data).value) < 0.004
    # On the line a third would not be a copy either, but many would count.
    line = fraction(jr.normal(jr.key(4), (1000,)), jr.normal(jr.key(5), (500,)))
    assert 0.2 < float(line.value) < 0.5


def test_copies_far_from_the_origin_in_float32():
    # Expanded squares would round by 0.1 here, a thousand times the distances.
    rng = np.random.default_rng(0)
    data = (1000 + 0.01 * rng.normal(size=(300, 20))).astype(np.float32)
    found = fraction(data[:50], data)
    assert found.value.dtype == jnp.float32
    assert float(found.value) == 1
    between = (data[:50] + data[50:100]) / 2
    least = np.sort(cdist(between.astype(float), data.astype(float)), axis=1)
    expected = np.mean(least[:, 0] < least[:, 1] / 3)
    assert float(fraction(between, data).value) == pytest.approx(expected)


def test_duplicates():
    data = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0], [9.0, 9.0]])
    # On a point that is there twice: 0/0 counts as 0, a copy.
    assert float(fraction(data[:2], data).value) == 1
    # Near it both distances are equal: no copy until duplicates are dropped.
    near = data[:2] + np.array([[0.1, 0.0], [0.0, 0.1]])
    assert float(fraction(near, data).value) == 0
    assert float(fraction(near, np.unique(data, axis=0)).value) == 1


def test_standard_error():
    # Against the spread of fractions of fresh samples, given the data.
    rng, m = np.random.default_rng(0), 60
    data = rng.normal(size=(50, 2))
    found = [fraction(rng.normal(size=(m, 2)), data) for _ in range(200)]
    values = np.array([float(f.value) for f in found])
    errors = np.array([float(f.stderr) for f in found])
    assert values.std(ddof=1) == pytest.approx(errors.mean(), rel=0.2)
    # None or all: no certainty.
    all_copies = fraction(data[:40], data)
    a, b = 40.5, 0.5
    expected = np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    assert float(all_copies.stderr) == pytest.approx(expected, rel=1e-12)


def test_wrong_numbers_inside_a_trace_give_nan():
    data = np.random.default_rng(0).normal(size=(30, 3))
    bad = data.copy()
    bad[4, 1] = np.nan
    assert np.isnan(float(fraction(bad, data).value))
    assert np.isnan(float(fraction(data, bad).value))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: metrics.memorised_fraction(x[:1], x), "at least 2 samples"),
        (lambda x: metrics.memorised_fraction(x, x[:, :2]), "one dimension"),
        (lambda x: metrics.memorised_fraction(x, x, 0.0), "`ratio` is 0.0"),
        (lambda x: metrics.memorised_fraction(x, x, 1.5), "`ratio` is 1.5"),
        (lambda x: metrics.memorised_fraction(x * np.inf, x), "finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).normal(size=(5, 3)))
