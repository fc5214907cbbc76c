"""Spectra of the score's Jacobian: theory, gaps and lost dimensions."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
from jacobian_laws import OnlyDenoiser, frame, hidden_manifold, levels, two_blobs

from jaxwin.analysis.jacobian import (
    degrees_of_freedom,
    frame_gap,
    gap,
    leading,
    lost_dimensions,
    marchenko_pastur_edges,
    normalised,
    ou_time,
    participation,
    spectra,
    subspace_shares,
    widest,
    widest_gap,
)
from jaxwin.io import to_dataset
from jaxwin.targets import GaussianMixture

# Theory -------------------------------------------------------------------------------


def test_numbers_of_the_reference():
    found = widest_gap(1.0, 0.01)
    np.testing.assert_allclose(found.ratio, 0.1, rtol=1e-14)
    np.testing.assert_allclose(found.time.time, 0.0476551, atol=6e-8)
    np.testing.assert_allclose(found.height, 0.8181818, atol=6e-8)
    np.testing.assert_allclose(
        marchenko_pastur_edges(1.0, 100, 40)[0], 0.337722, atol=6e-7
    )
    np.testing.assert_allclose(
        marchenko_pastur_edges(0.1, 100, 40)[1], 0.066623, atol=6e-7
    )
    found = frame_gap(1.0, 0.1, 100, 40)
    np.testing.assert_allclose(found.ratio, 0.15, atol=6e-7)
    np.testing.assert_allclose(found.time.time, 0.069881, atol=6e-7)
    np.testing.assert_allclose(found.height, 0.384896, atol=6e-7)
    variances = jnp.array([1, 0.01, 0])
    np.testing.assert_allclose(
        normalised(0.1, variances), [0.090909, 0.909091, 1], atol=6e-7
    )
    np.testing.assert_allclose(
        normalised(0.001, variances), [0.000999, 0.090909, 1], atol=6e-7
    )


@pytest.mark.parametrize(("upper", "lower"), [(3.0, 0.2), (1e3, 1e-5), (1.0, 1 - 1e-6)])
def test_widest_gap_is_the_maximum_of_the_gap(upper, lower):
    found = widest_gap(upper, lower)
    best: Any = scipy.optimize.minimize_scalar(
        lambda log_u: -float(gap(np.exp(log_u), upper, lower)),
        bounds=(np.log(lower), np.log(upper)),
        method="bounded",
        options={"xatol": 1e-12},
    )
    np.testing.assert_allclose(found.height, -best.fun, rtol=1e-10)
    np.testing.assert_allclose(jnp.log(found.ratio), best.x, atol=1e-5)
    np.testing.assert_allclose(found.time.time, ou_time(found.ratio), rtol=1e-14)
    # In any units: the roots of numbers near the ends of the range too.
    scaled = widest_gap(upper * 1e-200, lower * 1e-200)
    np.testing.assert_allclose(scaled.height, found.height, rtol=1e-9)
    slope = jax.grad(lambda g: widest_gap(g, lower).height)(upper)
    change = upper * 1e-6
    moved = widest_gap(upper + change, lower).height - (
        widest_gap(upper - change, lower).height
    )
    if lower < 0.9:  # else the finite difference has no digits
        np.testing.assert_allclose(slope, moved / (2 * change), rtol=1e-5)


def test_no_gap_is_an_answer():
    found = widest_gap(1.0, 1.0)
    assert not bool(found.time.found)
    assert "not reached" in str(found.time)
    assert np.isfinite(jax.grad(lambda g: widest_gap(g, 1.0).time.low)(1.0))
    # Nothing across: the gap is widest where all noise is gone.
    found = widest_gap(1.0, 0.0)
    assert bool(found.time.found)
    assert (float(found.time.time), float(found.height)) == (0.0, 1.0)


def test_theory_in_float32_at_the_ends():
    tiny = normalised(jnp.float32(1e-30), jnp.array([0, 1e-30, 1e8], jnp.float32))
    np.testing.assert_allclose(tiny, [1, 0.5, 0], atol=1e-7)
    huge = gap(jnp.float32(1e20), jnp.float32(2e20), jnp.float32(1e20))
    np.testing.assert_allclose(huge, 1 / 6, rtol=1e-6)
    assert ou_time(jnp.float32(1e-12)) == np.float32(5e-13)


def test_marchenko_pastur_edges_are_those_of_a_frame():
    for dimension, columns in ((600, 200), (150, 600)):
        entries = np.random.default_rng(0).normal(size=(dimension, columns))
        singular = np.linalg.svd(1.3 * entries / np.sqrt(columns), compute_uv=False)
        low, high = marchenko_pastur_edges(1.3, dimension, columns)
        np.testing.assert_allclose(singular[-1] ** 2, low, rtol=0.1)
        np.testing.assert_allclose(singular[0] ** 2, high, rtol=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda law, x: leading(law, x, 0.0, 1.0, 2), "`alpha`"),
        (lambda law, x: leading(law, x, 1.0, 0.0, 2), "`sigma`"),
        (lambda law, x: leading(law, x, 1.0, np.nan, 2), "`sigma`"),
        (lambda law, x: leading(law, x, 1.0, 1.0, 0), "`count`"),
        (lambda law, x: leading(law, x, 1.0, 1.0, 9), "`count`"),
        (lambda law, x: spectra(law, x[None], jnp.ones(2), jnp.ones(2)), "`xs`"),
        (lambda law, x: spectra(law, x[None], jnp.ones(1), jnp.zeros(1)), "`sigma`"),
        (lambda law, x: widest(x[:1]), "`eigenvalues`"),
        (lambda law, x: subspace_shares(law, x, 1.0, 1.0, x[:3, None]), "`frame`"),
        (lambda law, x: subspace_shares(law, x, 1.0, 1.0, x[:, None]), "orthonormal"),
        (lambda law, x: normalised(0.0, x**2), "`ratio`"),
        (lambda law, x: normalised(1.0, -(x**2)), "`variances`"),
        (lambda law, x: widest_gap(0.0, 0.0), "`upper`"),
        (lambda law, x: widest_gap(1.0, -1.0), "`lower`"),
        (lambda law, x: widest_gap(np.nan, 0.1), "`upper`"),
        (lambda law, x: marchenko_pastur_edges(0.0, 3, 2), "`std`"),
        (lambda law, x: marchenko_pastur_edges(1.0, 0, 2), "`dimension`"),
        (lambda law, x: frame_gap(1.0, 0.1, 40, 40), "`upper`"),
        (lambda law, x: lost_dimensions(x[None], [], [2], [0.1]), "`frames`"),
        (
            lambda law, x: lost_dimensions(x[None], [jnp.eye(8)], [2], [0.1]),
            "`counts`",
        ),
        (
            lambda law, x: lost_dimensions(jnp.eye(8), [jnp.eye(8)], [2], [0.0]),
            "`sigma`",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(two_blobs(8), 1.0 + jnp.arange(8.0))


# Spectra and gaps ---------------------------------------------------------------------


@pytest.mark.slow
def test_dimension_of_a_hidden_manifold():
    """20 wide, 20 narrow and 60 empty directions (theory 5.19), measured."""
    law = hidden_manifold(100, (20, 20), (1.0, 0.1))
    alphas, sigmas = levels([0.1, 0.001])
    clean, z = law.sample(jr.key(1)), jr.normal(jr.key(2), (100,))
    xs = alphas[:, None] * clean[None] + sigmas[:, None] * z[None]
    found = spectra(law, xs, alphas, sigmas)
    np.testing.assert_array_equal(found.gap.dimension, [20, 40])
    np.testing.assert_allclose(found.gap.height[0], 0.8181818, atol=6e-8)
    np.testing.assert_allclose(found.gap.middle[0], 0.5, atol=1e-12)
    np.testing.assert_allclose(found.time, ou_time(jnp.array([0.1, 0.001])), rtol=1e-12)
    expected = np.concatenate(
        [
            np.repeat(normalised(u, jnp.array([1, 0.01, 0])), [20, 20, 60])[None]
            for u in (0.1, 0.001)
        ]
    )
    np.testing.assert_allclose(found.normalised, expected, atol=1e-12)
    assert found.complete
    few = spectra(law, xs, alphas, sigmas, 45)
    np.testing.assert_array_equal(few.gap.dimension, [20, 40])
    np.testing.assert_allclose(few.normalised, expected[:, :45], atol=1e-9)
    assert not few.complete
    assert to_dataset(found)["gap.dimension"].dims == ("point",)


@pytest.mark.slow
def test_gap_of_a_gaussian_frame_follows_the_edges():
    """Two scales of columns: the open gap is wider than between lone bulks' edges."""
    d, m = 120, 12
    entries = jr.normal(jr.key(0), (d, 2 * m)) / m**0.5
    factors = entries * jnp.repeat(jnp.array([1.0, 0.05]), m)[None]
    law = GaussianMixture.low_rank(jnp.zeros((1, d)), factors, 0.0)
    predicted = frame_gap(1.0, 0.05, d, m)
    alphas, sigmas = levels(predicted.ratio[None])
    found = spectra(law, jr.normal(jr.key(1), (1, d)), alphas, sigmas)
    np.testing.assert_array_equal(found.gap.dimension, [m])
    np.testing.assert_allclose(found.gap.height, predicted.height[None], rtol=0.1)


def test_widest_gap_of_a_list():
    found = widest(jnp.array([[0.9, 0.1, 0.15, 1.0], [1.0, 0.97, 0.99, 0.95]]))
    np.testing.assert_allclose(found.height, [0.75, 0.02])
    np.testing.assert_allclose(found.middle, [0.525, 0.96])
    np.testing.assert_array_equal(found.dimension, [2, 1])
    # With the ends, what fills the space has d dimensions, and pure noise none.
    full = jnp.array([[0.01, 0.02, 0.03], [0.97, 0.98, 0.99], [-3.0, 0.95, 1.0]])
    np.testing.assert_array_equal(widest(full, ends=True).dimension, [3, 0, 1])
    traced = jax.jit(jax.vmap(lambda row: widest(row, ends=True)))(full)
    np.testing.assert_array_equal(traced.dimension, [3, 0, 1])


# Lost dimensions ----------------------------------------------------------------------


@pytest.mark.slow
def test_shares_of_a_gaussian_are_its_own():
    law = hidden_manifold(100, (20, 20), (1.0, 0.1))
    alpha, sigma = levels(0.01)
    x, basis = jr.normal(jr.key(1), (100,)), frame(100, 40)
    both = subspace_shares(law, x, alpha, sigma, basis)
    np.testing.assert_allclose(both, [1 / 1.01] * 20 + [0.5] * 20, rtol=1e-10)
    variances = jnp.array([1.0] * 20 + [0.01] * 20 + [0.0])
    np.testing.assert_allclose(both.sum(), degrees_of_freedom(0.01, variances))
    # Across the narrow directions, and some that hold nothing.
    rest = jnp.linalg.qr(basis, mode="complete")[0][:, 20:60]
    narrow = subspace_shares(law, x, alpha, sigma, rest)
    np.testing.assert_allclose(narrow, [0.5] * 20 + [0.0] * 20, atol=1e-10)
    np.testing.assert_allclose(participation(narrow), 20)
    np.testing.assert_allclose(participation(jnp.array([2.0, 0.0, 0.0])), 1)
    assert participation(jnp.zeros(3)) == 0


@pytest.mark.slow
def test_shares_are_the_projected_covariance():
    law, (alpha, sigma) = two_blobs(12), levels(0.2)
    x, basis = jr.normal(jr.key(3), (12,)), frame(12, 5)
    covariance = law.posterior_covariance(x, alpha, sigma)
    expected = np.linalg.eigvalsh(basis.T @ covariance @ basis)[::-1] / 0.2
    for denoiser in (law, OnlyDenoiser(law)):
        found = subspace_shares(denoiser, x, alpha, sigma, basis)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.long
def test_dimensions_are_lost_to_memory():
    """Few points lose the directions of a manifold at a noise where many keep them."""
    wide, narrow = frame(12, 5)[:, :2], frame(12, 5)[:, 2:]
    law = hidden_manifold(12, (2, 3), (1.0, 0.2))
    points = jax.vmap(law.sample)(jr.split(jr.key(1), 6000))
    ratios = np.array([1e-6, 0.05, 1.0])
    found = lost_dimensions(
        points,
        [wide, narrow],
        [20, 6000],
        ou_time(jnp.asarray(ratios)),
        num_replicas=64,
    )
    assert found.degrees.shape == (2, 3, 2)
    population = [
        [degrees_of_freedom(u, jnp.array([v] * k)) for v, k in ((1.0, 2), (0.04, 3))]
        for u in ratios
    ]
    # 6000 points stand for the population where the noise covers their gaps.
    error = 4 * found.degrees_stderr[1, 1:] + 0.03
    assert np.all(np.abs(found.degrees[1, 1:] - population[1:]) < error)
    # 20 do not, and nothing at all is left of any number at tiny noise.
    assert np.all(found.degrees[0, 1] < found.degrees[1, 1] - 0.3)
    assert np.all(found.degrees[:, 0] < 0.05)
    assert np.all((found.participation >= 0) & (found.participation <= [2, 3]))
    np.testing.assert_allclose(found.participation[1, 1], [2, 3], rtol=0.15)
    assert to_dataset(found)["degrees"].dims == ("points", "noise", "subspace")
