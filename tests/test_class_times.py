"""Class times read off one pass: agreement, general times, merges, fresh errors."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root_scalar
from scipy.stats import t as student

from jaxwin.analysis import Crossing, Feature, Sweep, speciation, sweep, unstack
from jaxwin.analysis._crossing import exact, over_fresh_data, stack
from jaxwin.analysis._sweep import COARSE, GROUPS
from jaxwin.analysis.speciation import (
    _gaussian_classes,
    class_agreement,
    clone_agreement,
    gaussian_classes,
    general_times,
    merge_tree,
)
from jaxwin.analysis.windows import class_confusion
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset
from jaxwin.targets import Empirical, PointGroups

TIMES = np.linspace(0.1, 2.2, 22)
agreement = jax.jit(jax.vmap(speciation.agreement))


def all_pairs(num_classes: int) -> Feature:
    """Every label a class, and every pair of them."""
    pairs = np.stack(np.triu_indices(num_classes, 1), axis=1)
    return Feature(tuple(range(num_classes)), pairs)


def measure(points, labels, times=TIMES, count=2048, **options) -> Sweep:
    law, feature = Empirical(points, labels), all_pairs(labels.max() + 1)
    return sweep(law, times, features=(feature,), num_replicas=count, **options)


def one(crossings: Crossing, *index: int) -> Crossing:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], crossings)


def check_time(found: Crossing, time: float, data_error: float):
    """Within 4 of its standard error and that of the data; both small."""
    assert bool(found.found)
    error = np.hypot(float(found.stderr), data_error)
    assert error < 0.06
    assert abs(float(found.time) - time) < 4 * error, (found, time)


# Two clusters of unit variance on a line: r = 2 e^{-t}


@pytest.fixture(scope="module")
def two() -> Sweep:
    labels = np.arange(3000) % 2
    points = np.random.default_rng(0).normal(size=(3000, 1)) + 4.0 * labels[:, None]
    return measure(points, labels, key=jr.key(1))


@pytest.mark.slow
def test_agreement_of_a_large_sample_is_the_closed_form(two):
    found = class_agreement(two)
    assert found.pairs is not None
    closed = np.asarray(agreement(2 * np.exp(-TIMES)))
    # Data of 20 groups: the jackknife of the curve itself, at the coarse noises.
    assert two.left_out is not None
    for mean, without, stderr in (
        (found.phi, two.left_out.phi[0], found.stderr),
        (found.pairs.phi[0], two.left_out.pairs[0][0], found.pairs.stderr[0]),
    ):
        groups = len(without)
        spread = np.sum((without - without.mean(axis=0)) ** 2, axis=0)
        jackknife = np.sqrt(spread * (groups - 1) / groups)
        z = (mean - closed)[::COARSE] / jackknife
        assert np.all(np.abs(z) < 4), z
        # It holds what is given these data, too.
        assert np.all(jackknife > 0.8 * stderr[::COARSE])
        assert np.all(jackknife < 0.02)
    assert found.fresh is not None
    assert found.pairs.fresh is not None
    time = np.log(2 / 0.999367564588)
    for given, fresh in (
        (found.crossing, found.fresh),
        (one(found.pairs.crossing, 0), one(found.pairs.fresh, 0)),
    ):
        check_time(given, time, float(fresh.stderr))
        assert float(fresh.low) < time < float(fresh.high)
        np.testing.assert_allclose(fresh.time, given.time, rtol=1e-12)
        assert float(fresh.stderr) > 0.8 * float(given.stderr)
    assert found.chance == 0.5
    assert found.count == 2048
    assert to_dataset(found)["phi"].dims == ("noise",)


@pytest.mark.slow
def test_general_time_is_where_r_is_one(two):
    found = general_times(two)
    np.testing.assert_array_equal(found.pair, [[0, 1]])
    for side in range(2):
        # Fitted means and variances of 1,500 points err by 0.015 in log r.
        check_time(one(found.crossing, 0, side), np.log(2), 0.015)
    # Of these very draws, by linear interpolation.
    others = two.others.reshape(-1, TIMES.size, 2)
    for side in range(2):
        own = others[two.label.reshape(-1) == side]
        gap = own[..., side] - np.log(1499) - own[..., 1 - side] + np.log(1500)
        excess = gap.mean(axis=0) - gap.std(axis=0)
        last = np.flatnonzero(excess > 0)[-1]
        place = np.interp(0, -excess[last : last + 2], TIMES[last : last + 2])
        time = float(one(found.crossing, 0, side).time)
        assert abs(time - place) < 0.01


@pytest.mark.slow
@pytest.mark.long
def test_agreement_is_that_of_single_noised_points():
    rng = np.random.default_rng(3)
    labels = rng.choice(3, size=190, p=[0.5, 0.3, 0.2])
    points = rng.normal(size=(190, 2)) + np.array([[0, 0], [4, 0], [0, 5]])[labels]
    noises = np.linspace(0.1, 2.2, 13)
    mine = class_agreement(measure(points, labels, noises, 8192, key=jr.key(4)))
    # 8,192 draws each, keys 4 and 5.
    theirs = clone_agreement(
        Observed(Empirical(points, labels), Gaussian()),
        noises,
        pairs="all",
        num_replicas=8192,
        key=jr.key(5),
    )
    assert mine.pairs is not None
    assert theirs.pairs is not None
    for a, b in ((mine, theirs), (mine.pairs, theirs.pairs)):
        error = np.hypot(a.stderr, b.stderr)
        assert np.all(np.abs(a.phi - b.phi) < 4 * error)
        # Where 1 - phi is a rare event errors are known less well.
        np.testing.assert_allclose(a.stderr, b.stderr, rtol=0.45)
        assert np.all(a.crossing.found)
        error = np.hypot(a.crossing.stderr, b.crossing.stderr)
        assert np.all(np.abs(a.crossing.time - b.crossing.time) < 4 * error)
        np.testing.assert_allclose(a.crossing.stderr, b.crossing.stderr, rtol=0.35)
    np.testing.assert_array_equal(mine.pairs.pair, theirs.pairs.pair)
    np.testing.assert_allclose(mine.chance, theirs.chance, rtol=1e-12)


# Classes of one mean: N = dimension, variances v_1 < v_2


def zero_mean_excess(t: float, dimension: int, mine: float, other: float) -> float:
    """E[L] - sd[L] of L = log P_mine / P_other, from N z^2 sums."""
    alpha_sq = np.exp(-2 * t)
    ratio = (alpha_sq * mine + 1 - alpha_sq) / (alpha_sq * other + 1 - alpha_sq)
    mean = dimension / 2 * (ratio - 1 - np.log(ratio))
    return mean - np.sqrt(dimension / 2) * abs(ratio - 1)


def zero_mean_time(*law: Any) -> float:
    gap = lambda t: zero_mean_excess(t, *law)
    return root_scalar(gap, bracket=(1e-6, 6), xtol=1e-13).root


def test_zero_mean_times_of_the_theory():
    # Speciation 5.16, both ways.
    for n, there, back in (
        (10**3, 1.214693, 1.199797),
        (10**4, 1.785098, 1.780385),
        (10**5, 2.359118, 2.357627),
    ):
        assert abs(zero_mean_time(n, 0.5, 1.5) - there) < 0.6e-6
        assert abs(zero_mean_time(n, 1.5, 0.5) - back) < 0.6e-6


@pytest.mark.slow
def test_general_times_need_no_difference_of_means():
    # In the plane from the narrow class alone: from the wide one E[L] < sd[L] always.
    labels = np.arange(4000) % 2
    width = np.sqrt([0.05, 6.0])[labels]
    points = np.random.default_rng(6).normal(size=(4000, 2)) * width[:, None]
    times = np.linspace(0.1, 1.5, 15)
    time = zero_mean_time(2, 0.05, 6.0)
    assert max(zero_mean_excess(t, 2, 6.0, 0.05) for t in times) < -0.05
    found = general_times(measure(points, labels, times, key=jr.key(2))).crossing
    check_time(one(found, 0, 0), time, 0.01)
    assert not bool(one(found, 0, 1).found)


@pytest.mark.slow
def test_general_times_do_not_take_lost_weights_for_certainty():
    # A line: from the wide class E[L] < sd[L] at every noise. Where L has left the
    # range of the type it must not count as one huge number.
    labels = np.arange(150) % 2
    width = np.array([1e-3, 1.0])[labels]
    points = np.random.default_rng(7).normal(size=(150, 1)) * width[:, None]
    times = np.geomspace(1e-5, 3, 24)
    back = one(general_times(measure(points, labels, times, 1024)).crossing, 0, 1)
    assert not bool(back.found)
    # It says from where on it has searched: 1 / sigma^2 = 2 * 700 / max x^2.
    lost = np.max(points**2) / (2 * 709)
    assert 0.3 * lost < 2 * float(back.low) < 4 * lost
    assert float(back.high) == pytest.approx(3)


@pytest.mark.slow
def test_single_points_have_no_general_time_and_no_draws_no_curve():
    # Class 2 is one point, which is drawn; class 3 are two that are not.
    rng = np.random.default_rng(8)
    places = rng.normal(size=(200, 1))
    groups = PointGroups(Empirical(places), GROUPS)
    keys = jax.vmap(lambda i: jr.fold_in(jr.key(9), i))(jnp.arange(128))
    drawn = np.isin(groups.place, jax.vmap(groups.draw_own)(keys)[0])
    labels = np.arange(200) % 2
    labels[np.flatnonzero(drawn)[0]] = 2
    labels[np.flatnonzero(~drawn)[:2]] = 3
    points = places + np.array([0.0, 4.0, -9.0, 9.0])[labels][:, None]
    found = measure(points, labels, TIMES, 128, key=jr.key(9))
    assert set(found.label.reshape(-1)) == {0, 1, 2}
    general = general_times(found).crossing
    pairs = np.asarray(found.features[0].pairs).tolist()
    for p, (a, b) in enumerate(pairs):
        if 2 in (a, b):
            assert not np.any(one(general, p).found)
        if b == 3:
            assert not bool(one(general, p, 1).found)
            assert not np.isfinite(float(one(general, p, 1).time))
    assert np.all(one(general, pairs.index([0, 1])).found)
    agreement = class_agreement(found).pairs
    assert agreement is not None
    without = [p for p, pair in enumerate(pairs) if 3 in pair]
    assert np.all(np.isnan(agreement.phi[without]))
    assert np.all(np.isfinite(np.delete(agreement.phi, without, axis=0)))
    assert agreement.fresh is not None
    for crossing in (agreement.crossing, agreement.fresh):
        assert not np.any(np.asarray(crossing.found)[without])
    tree = merge_tree(found)
    assert 3 not in {*tree.first.tolist(), *tree.second.tolist()}
    assert len(tree.first) == 2
    confusion = class_confusion(found)
    assert np.all(np.isnan(confusion.matrix[:, 3]))
    assert np.all(np.isfinite(confusion.matrix[:, :2]))


# Merges


@pytest.fixture(scope="module")
def four() -> Sweep:
    """Clusters at +-6 e_1 +- 2 e_2, unit variance."""
    labels = np.arange(2400) % 4
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    means = (signs * [6.0, 2.0])[labels]
    points = means + np.random.default_rng(9).normal(size=(2400, 2))
    return measure(points, labels, np.linspace(0.2, 3, 22), key=jr.key(3))


@pytest.mark.slow
def test_merges_of_a_hierarchy_have_closed_forms(four):
    tree = merge_tree(four)
    joined = [{int(a), int(b)} for a, b in zip(tree.first, tree.second, strict=True)]
    assert {frozenset(pair) for pair in joined[:2]} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }
    assert joined[2] == {4, 5}
    # phi is 0.775 at r = 0.999367; signs along e_1 and e_2 are independent.
    for merge, size in enumerate((2.0, 2.0, 6.0)):
        check_time(one(tree.time, merge), np.log(size / 0.999367564588), 0.012)


@pytest.mark.slow
def test_merges_do_not_know_names(four):
    # Label c is called names[c].
    names = np.array([2, 0, 3, 1])
    back = np.argsort(names)
    renamed = Sweep(
        process=four.process,
        features=four.features,
        noise=four.noise,
        coordinate=four.coordinate,
        label=names[four.label],
        others=four.others[..., back],
        counts=four.counts[back],
        left_out=None,
        smaller={},
    )
    base, other = merge_tree(four), merge_tree(renamed)
    members = lambda tree, name: _members(tree, 4, name)
    assert members(other, lambda c: int(back[c])) == members(base, lambda c: c)
    for a, b in zip(
        jax.tree.leaves(base.time), jax.tree.leaves(other.time), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def _members(tree, num_classes, name) -> list[frozenset]:
    """Classes under each merge."""
    nodes = {c: frozenset({name(c)}) for c in range(num_classes)}
    for k, (a, b) in enumerate(zip(tree.first, tree.second, strict=True)):
        nodes[num_classes + k] = nodes[int(a)] | nodes[int(b)]
    return [nodes[num_classes + k] for k in range(len(tree.first))]


WEIGHTS, CENTRES = np.array([0.5, 0.1, 0.4]), np.array([0.0, 4.0, 12.0])


def pooled_phi(t: float) -> float:
    """Agreement of classes 0 and 1 together with class 2, by quadrature."""
    places = np.exp(-t) * CENTRES

    def density(x):
        each = np.exp(-((x - places) ** 2) / 2) / np.sqrt(2 * np.pi)
        first, second = WEIGHTS[:2] @ each[:2] / WEIGHTS[:2].sum(), each[2]
        return (first**2 + second**2) / (first + second) / 2

    return quad(density, -12, 20, points=list(places), limit=200)[0]


@pytest.mark.slow
def test_pooled_classes_keep_their_weights():
    labels = np.repeat([0, 1, 2], np.round(WEIGHTS * 2000).astype(int))
    points = np.random.default_rng(10).normal(size=(2000, 1)) + CENTRES[labels][:, None]
    tree = merge_tree(measure(points, labels, np.linspace(0.2, 3, 22), key=jr.key(6)))
    np.testing.assert_array_equal(tree.first, [0, 2])
    np.testing.assert_array_equal(tree.second, [1, 3])
    # The first at equal weights, however rare class 1 is: 200 points, 205 draws.
    check_time(one(tree.time, 0), np.log(2 / 0.999367564588), 0.02)
    time = root_scalar(lambda t: pooled_phi(t) - 0.775, bracket=(0.5, 3)).root
    unweighted = np.log((12 - 2) / 2 / 0.999)
    assert time - unweighted > 0.08
    check_time(one(tree.time, 1), time, 0.012)


@pytest.mark.slow
def test_groups_that_are_one_merge_first_and_are_not_found():
    labels = np.arange(150) % 3
    points = np.random.default_rng(11).normal(size=(150, 1))
    points[labels == 2] += 8
    # From noises at which single points are forgotten.
    tree = merge_tree(measure(points, labels, np.linspace(0.5, 3, 14), 1024))
    assert (int(tree.first[0]), int(tree.second[0])) == (0, 1)
    np.testing.assert_array_equal(tree.time.found, [False, True])


# A Gaussian for each class


@pytest.mark.slow
def test_gaussian_classes_of_mirrored_clusters_have_the_closed_form():
    # The second class is the mirror of the first: one covariance, exactly.
    rng = np.random.default_rng(12)
    first = rng.normal(size=(40, 2)) * [1.0, 0.3] + [2.0, 0.0]
    points, labels = np.concatenate([first, -first]), np.repeat([0, 1], 40)
    law = gaussian_classes(points, labels)
    np.testing.assert_allclose(law.means, [first.mean(0), -first.mean(0)], atol=1e-12)
    np.testing.assert_allclose(np.exp(law.log_weights), 0.5, rtol=1e-12)
    found = clone_agreement(
        Observed(law, Gaussian()), TIMES, num_replicas=8192, key=jr.key(7)
    )
    within = np.cov(first.T, bias=True)
    closed = []
    for t in TIMES:
        noised = np.exp(-2 * t) * within + (1 - np.exp(-2 * t)) * np.eye(2)
        m = np.exp(-t) * first.mean(0)
        closed.append(np.sqrt(m @ np.linalg.solve(noised, m)))
    z = (found.phi - agreement(jnp.asarray(closed))) / found.stderr
    assert np.all(np.abs(z) < 4), z


@pytest.mark.slow
def test_gaussian_classes_are_moments_of_classes(monkeypatch):
    rng = np.random.default_rng(13)
    labels = rng.integers(3, size=60)
    points = rng.normal(size=(60, 5)) * [3, 2, 1, 1, 0.5] + labels[:, None]
    law = gaussian_classes(points, labels)
    for c in range(3):
        own = points[labels == c]
        moments = law.restrict(jnp.arange(3) == c).moments()
        np.testing.assert_allclose(moments.mean, own.mean(0), atol=1e-12)
        np.testing.assert_allclose(
            moments.covariance(), np.cov(own.T, bias=True), atol=1e-12
        )
    np.testing.assert_allclose(np.exp(law.log_weights), np.bincount(labels) / 60)
    # At most so many directions, or numbers, the leading ones.
    for name, value in (("MOST_DIRECTIONS", 2), ("MOST_NUMBERS", 12.5)):
        with monkeypatch.context() as patch:
            patch.setattr(_gaussian_classes, name, value)
            few = gaussian_classes(points, labels)
        np.testing.assert_array_equal(few.means, np.asarray(law.means)[:, :2])
    # A class of one point is a point.
    single = gaussian_classes(points[:3], np.array([0, 1, 0]))
    assert single.restrict(jnp.array([False, True])).moments().covariance().max() == 0


# Errors over fresh data: the crossing of mean(x) - place is the mean

AXIS = np.linspace(-4, 4, 33)


def falling(numbers: np.ndarray) -> np.ndarray:
    return numbers.mean() - AXIS


def jackknife(numbers: np.ndarray, groups: int, clock=lambda x: x, stride: int = 1):
    parts = numbers.reshape(groups, -1)
    left_out = np.stack([falling(np.delete(parts, g, axis=0)) for g in range(groups)])
    curve = falling(numbers)
    return over_fresh_data(AXIS, curve, left_out[:, ::stride], 0.0, clock, stride)


@pytest.mark.parametrize("stride", [1, 4])
def test_jackknife_of_a_mean_is_that_of_its_groups(stride):
    numbers = np.random.default_rng(14).normal(size=200) + 0.3
    found = jackknife(numbers, 20, stride=stride)
    error = numbers.reshape(20, -1).mean(axis=1).std(ddof=1) / np.sqrt(20)
    half = student.ppf(0.975, 19) * error
    expected = numbers.mean(), error, numbers.mean() - half, numbers.mean() + half
    got = found.time, found.stderr, found.low, found.high
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    read = jackknife(numbers, 20, np.exp, stride)
    np.testing.assert_allclose(
        (read.time, read.low, read.high), np.exp([expected[0], *expected[2:]])
    )
    slope = np.exp(expected[0])
    np.testing.assert_allclose(read.stderr, slope * error, rtol=1e-3)


def test_infinite_ends_say_nothing_over_fresh_data():
    numbers = np.random.default_rng(15).normal(size=200)
    curve = falling(numbers)
    left_out = curve + np.random.default_rng(16).normal(size=(20, 1)) / 20
    plain = over_fresh_data(AXIS, curve, left_out, 0.0, lambda x: x)
    axis = np.concatenate([[-np.inf], AXIS, [np.inf]])
    ends = lambda curves: np.concatenate(
        [curves[..., :1], curves, curves[..., -1:]], axis=-1
    )
    wide = over_fresh_data(axis, ends(curve), ends(left_out), 0.0, lambda x: x)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(wide), strict=True):
        np.testing.assert_array_equal(a, b)
    none = over_fresh_data(axis, ends(curve), ends(left_out), 9.0, lambda x: x)
    assert str(none) == "not reached in [-4, 4]"


@pytest.mark.slow
def test_intervals_over_fresh_data_cover():
    # 700 data sets of 100 skewed numbers in 20 groups; truth 0.
    rng = np.random.default_rng(17)
    inside = 0
    for _ in range(700):
        found = jackknife(rng.exponential(size=100) - 1, 20)
        inside += float(found.low) <= 0 <= float(found.high)
    assert 0.925 <= inside / 700 <= 0.975


def test_crossings_are_stacked_and_taken_apart():
    each = [exact(1.0), exact(2.0, False)]
    for got, one_ in zip(unstack(stack(each)), each, strict=True):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(one_), strict=True):
            np.testing.assert_array_equal(a, b)
    none = stack([])
    assert unstack(none) == []
    assert none.found.shape == (0,)
