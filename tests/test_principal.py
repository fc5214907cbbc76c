"""Principal axes of a data set: what they keep, and what they do not know."""

import jax
import numpy as np
import pytest

from jaxwin._checks import BadInput
from jaxwin.analysis import speciation
from jaxwin.analysis.speciation import principal
from jaxwin.targets import Empirical


def data(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Skewed points of uneven spread, about their mean."""
    rng = np.random.default_rng(seed)
    points = rng.exponential(size=(n, d)) * np.linspace(3, 0.5, d)
    return points - points.mean(axis=0)


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40), (20, 20), (21, 20)])
def test_distances_and_spectrum_are_kept(n, d):
    points = data(n, d)
    found = principal(points)
    rank = min(n - 1, d)
    assert found.coordinates.shape == (n, rank)
    assert sorted(found.order) == list(range(n))
    np.testing.assert_allclose(
        distances(found.coordinates), distances(points[found.order]), atol=1e-6
    )
    # The nearest to the mean comes first.
    size = np.linalg.norm(found.coordinates, axis=1)
    assert np.all(np.diff(size) >= 0)
    np.testing.assert_allclose(size, np.linalg.norm(points[found.order], axis=1))
    # The spectrum of numpy, over n - 1.
    exact = np.linalg.svd(points, compute_uv=False)[:rank] ** 2 / (n - 1)
    np.testing.assert_allclose(found.eigenvalues, exact, rtol=1e-9)
    covariance = found.coordinates.T @ found.coordinates / (n - 1)
    np.testing.assert_allclose(covariance, np.diag(exact), atol=1e-9 * exact[0])
    assert found.kept == 1
    # Along the stated directions; the third moment of every axis is positive.
    directions = np.asarray(found.spectrum.directions)
    shown = min(10, rank)
    np.testing.assert_allclose(
        points[found.order] @ directions[:, :shown],
        found.coordinates[:, :shown],
        atol=1e-6,
    )
    assert np.all(np.sum(found.coordinates**3, axis=0) > 0)


def test_rounding_is_no_direction():
    # Rank 3 in 8 dimensions, tall and wide.
    rng = np.random.default_rng(1)
    for n in (30, 6):
        points = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 8))
        found = principal(points - points.mean(axis=0))
        assert found.coordinates.shape == (n, 3)
        assert found.eigenvalues.shape == (3,)


@pytest.mark.parametrize("count", [3, 10])
def test_both_routes_agree(count):
    # The same points in more coordinates than points: zeros change nothing.
    points = data(12, 6)
    tall = principal(points, count=count)
    wide = principal(np.pad(points, ((0, 0), (0, 14))), count=count)
    np.testing.assert_allclose(wide.coordinates, tall.coordinates, atol=1e-7)
    np.testing.assert_array_equal(wide.order, tall.order)
    np.testing.assert_allclose(wide.eigenvalues, tall.eigenvalues, rtol=1e-10)
    shown = min(count, 6)
    for one, d in ((tall, 6), (wide, 20)):
        assert one.spectrum.directions.shape == (d, min(count, d))
        np.testing.assert_allclose(
            one.spectrum.eigenvalues[:shown], tall.eigenvalues[:shown], rtol=1e-10
        )
        assert np.all(np.asarray(one.spectrum.eigenvalues)[shown:] == 0)
        assert np.all(np.asarray(one.spectrum.directions)[:, shown:] == 0)
    np.testing.assert_allclose(
        wide.spectrum.directions[:6, :shown],
        tall.spectrum.directions[:, :shown],
        atol=1e-8,
    )
    np.testing.assert_allclose(wide.spectrum.stderr, tall.spectrum.stderr, rtol=1e-10)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (9, 25)])
def test_coordinates_do_not_know_order_origin_or_turn(n, d):
    points = data(n, d)
    base = principal(points)
    rng = np.random.default_rng(2)
    shuffled = rng.permutation(n)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    moved = points + 100.0
    cases = {
        "order": (points[shuffled], shuffled, 1.0),
        "turn": (points @ turn, np.arange(n), 1.0),
        "origin": (moved - moved.mean(axis=0), np.arange(n), 1.0),
        "scale": (7.5 * points, np.arange(n), 7.5),
    }
    for name, (changed, names, scale) in cases.items():
        found = principal(changed)
        np.testing.assert_array_equal(names[found.order], base.order, name)
        np.testing.assert_allclose(
            found.coordinates, scale * base.coordinates, atol=1e-6 * scale, err_msg=name
        )
        np.testing.assert_allclose(found.eigenvalues, scale**2 * base.eigenvalues)


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40)])
def test_rank_keeps_the_leading_subspace(n, d):
    points = data(n, d)
    whole, cut = principal(points), principal(points, rank=2)
    assert cut.coordinates.shape == (n, 2)
    # The order is by what is kept.
    back = np.empty_like(whole.coordinates[:, :2])
    back[whole.order] = whole.coordinates[:, :2]
    np.testing.assert_allclose(cut.coordinates, back[cut.order], atol=1e-12)
    assert np.all(np.diff(np.linalg.norm(cut.coordinates, axis=1)) >= 0)
    share = whole.eigenvalues[:2].sum() / whole.eigenvalues.sum()
    np.testing.assert_allclose(cut.kept, share, rtol=1e-12)
    # The spectrum is that of all.
    np.testing.assert_allclose(cut.eigenvalues, whole.eigenvalues, rtol=1e-12)


@pytest.mark.parametrize("rank", [0, -1, 7])
def test_ranks_that_do_not_exist(rank):
    message = f"`pca` is {rank}; it must lie between 1 and 6"
    with pytest.raises(BadInput, match=message):
        principal(data(7, 40), rank=rank)


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40)])
def test_spectrum_is_that_of_the_empirical_law(n, d):
    points = data(n, d)
    found, exact = principal(points).spectrum, speciation.spectrum(Empirical(points))
    known = min(10, n - 1, d)
    np.testing.assert_allclose(
        found.eigenvalues[:known], exact.eigenvalues[:known], rtol=1e-9
    )
    np.testing.assert_allclose(found.stderr, exact.stderr, rtol=1e-9)
    overlap = np.sum(np.asarray(found.directions * exact.directions)[:, :known], axis=0)
    np.testing.assert_allclose(np.abs(overlap), 1, rtol=1e-9)


@pytest.mark.slow
def test_times_in_principal_coordinates_of_scaled_data():
    points = data(60, 9) + np.array([[0.0], [4.0]])[np.arange(60) % 2]
    points -= points.mean(axis=0)
    labels = np.arange(60) % 2
    found = principal(points)
    inside = Empirical(found.coordinates, labels[found.order])
    for scale in (1.0, 0.5):
        got = speciation.times(inside, found.spectrum, scale)
        exact = speciation.times(Empirical(scale * points, labels))
        for one, other in zip(
            jax.tree.leaves(got), jax.tree.leaves(exact), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    # d is that of the data, not of the subspace.
    cut = principal(points, rank=3)
    inside = Empirical(cut.coordinates, labels[cut.order])
    scale_time = speciation.times(inside, cut.spectrum).scale.time
    np.testing.assert_allclose(scale_time, np.log(9) / 2, rtol=1e-12)
    # Without a spectrum at hand it is taken of the law.
    law = Empirical(points, labels)
    again = speciation.times(law, speciation.spectrum(law, 1))
    for one, other in zip(
        jax.tree.leaves(again), jax.tree.leaves(speciation.times(law)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
