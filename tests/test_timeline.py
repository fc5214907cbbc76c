"""Decision timelines: martingales on the way back, and the law of decision times."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from jaxwin.analysis.windows import Tree, decision_law, decision_timeline
from jaxwin.analysis.windows._timeline import EARLIER, NEVER, OFF_BRANCH, WITHIN
from jaxwin.datasets import digits
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import EDM, LinearInterpolant, OrnsteinUhlenbeck, convert
from jaxwin.samplers import HeunFlow
from jaxwin.scores import ExactScore
from jaxwin.targets import Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()
TIMES = np.linspace(0.02, 3.5, 24)
# Two groups of two, unlike in weight, in five dimensions.
MEANS = (
    np.array([[6.0, 1.5], [6.0, -1.5], [-6.0, 1.2], [-6.0, -1.2]])
    @ np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0].T
)
LAW = GaussianMixture.isotropic(MEANS, 1.0, [0.2, 0.3, 0.4, 0.1])
TREE = Tree.nested([[0, 1], [2, 3]])


@pytest.fixture(scope="module")
def found():
    return decision_timeline(
        LAW, TREE, TIMES, num_samples=4096, shown=4096, key=jr.key(1), block_size=1024
    )


@pytest.mark.slow
def test_posteriors_are_martingales_on_the_way_back(found):
    # E[r(s) - r(t)] f(x_t) = 0 for s < t, f functions of the posterior at t: 4,096
    # paths, seed 1, 4 standard errors.
    r = found.posterior
    np.testing.assert_allclose(r[:, :, :4].sum(axis=2), 1, rtol=1e-12)
    np.testing.assert_allclose(r[:, :, 0] + r[:, :, 1], r[:, :, 4], rtol=1e-9)
    np.testing.assert_allclose(r[:, :, TREE.root], 1, rtol=1e-12)
    for later, earlier in ((0, 6), (6, 12), (3, 18), (12, 23)):
        step = r[:, later] - r[:, earlier]
        for f in (np.ones(len(r)), r[:, earlier, 0], np.cos(9 * r[:, earlier, 4])):
            product = step[:, :6] * f[:, None]
            error = product.std(axis=0) / np.sqrt(len(r))
            assert np.all(np.abs(product.mean(axis=0)) < 4 * error + 1e-12)
            assert np.all(step[:, :6].std(axis=0) > 1e-3)


@pytest.mark.slow
def test_points_are_those_of_the_law(found):
    # Ends at t = 0.02 of 4,096 paths in five dimensions: mean and covariance, 5 errors.
    a, v = np.exp(-0.02), -np.expm1(-0.04)
    weights = np.exp(np.asarray(LAW.log_weights))
    mean = a * weights @ MEANS
    between = (MEANS - weights @ MEANS).T * weights @ (MEANS - weights @ MEANS)
    covariance = a**2 * (between + np.eye(5)) + v * np.eye(5)
    x = found.point
    error = np.sqrt(np.diagonal(covariance) / len(x))
    assert np.all(np.abs(x.mean(axis=0) - mean) < 5 * error)
    scale = np.sqrt(np.outer(np.diagonal(covariance), np.diagonal(covariance)))
    gap = np.abs(np.cov(x.T, ddof=0) - covariance) / scale
    assert gap.max() < 5 * np.sqrt(2 / len(x))
    # The branch is that of the largest posterior at the end.
    np.testing.assert_array_equal(found.label, found.posterior[:, 0, :4].argmax(axis=1))


@pytest.mark.slow
def test_readings_of_the_posteriors(found):
    # Again by a plain loop: the least noise at which a node of the branch is below.
    time, state = np.asarray(found.decision.time), found.state
    for i in range(0, 300):
        for node in range(TREE.num_nodes):
            if not TREE.groups[node, found.label[i]]:
                assert state[i, node] == OFF_BRANCH
                continue
            curve = found.posterior[i, :, node]
            below = np.flatnonzero(curve < 0.95)
            if below.size == 0:
                assert state[i, node] == EARLIER
            elif below[0] == 0:
                assert state[i, node] == NEVER
            else:
                k = below[0]
                assert state[i, node] == WITHIN
                assert TIMES[k - 1] <= time[i, node] <= TIMES[k]
                odds = np.log(curve[[k - 1, k]] / (1 - curve[[k - 1, k]]))
                share = (odds[0] - np.log(19)) / (odds[0] - odds[1])
                exact = TIMES[k - 1] + share * (TIMES[k] - TIMES[k - 1])
                if odds[0] < 15:
                    np.testing.assert_allclose(time[i, node], exact, atol=1e-6)
                assert float(found.decision.low[i, node]) == TIMES[k - 1]
                assert float(found.decision.high[i, node]) == TIMES[k]
            if state[i, node] != WITHIN:
                assert np.isnan(time[i, node])
                assert not bool(found.decision.found[i, node])
    assert np.all(state[:, TREE.root] == EARLIER)


def forward_decisions(half_distance, times, count, seed):
    """Decision times of two equal clusters by noising, plain numpy.

    The reverse of a diffusion has the law of the diffusion run backwards; the
    log-odds of +-m at t are 2 e^{-t} m x.
    """
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0], count)
    x = sign * half_distance + rng.normal(size=count)
    x = np.exp(-times[0]) * x + np.sqrt(-np.expm1(-2 * times[0])) * rng.normal(
        size=count
    )
    odds = [2 * np.exp(-times[0]) * half_distance * x]
    for step, t in zip(np.diff(times), times[1:], strict=True):
        x = np.exp(-step) * x + np.sqrt(-np.expm1(-2 * step)) * rng.normal(size=count)
        odds.append(2 * np.exp(-t) * half_distance * x)
    odds = np.array(odds)
    odds = odds * np.sign(odds[0])
    below = odds < np.log(19)
    first = below.argmax(axis=0)
    inside = below.any(axis=0) & ~below[0]
    before = np.maximum(first - 1, 0)
    rows = np.arange(count)
    above, under = odds[before, rows], odds[first, rows]
    share = (above - np.log(19)) / np.where(inside, above - under, 1)
    time = times[before] + share * (times[first] - times[before])
    return np.where(inside, time, np.where(below[0], -np.inf, np.inf))


@pytest.mark.slow
def test_two_clusters_decide_as_the_forward_path_does():
    # 4,096 paths of exact reverse transitions in 3-D against 40,000 forward ones;
    # Kolmogorov and Smirnov, seeds 2 and 3, p > 1e-4.
    times = np.linspace(0.02, 4.0, 24)
    mean = 4.0 * np.array([[2.0, -1.0, 2.0]]) / 3
    law = GaussianMixture.isotropic(np.concatenate([mean, -mean]), 1.0)
    tree = Tree.nested([0, 1])
    found = decision_timeline(
        law, tree, times, num_samples=4096, key=jr.key(2), block_size=1024
    )
    own = found.state[np.arange(4096), found.label]
    value = np.asarray(found.decision.time)[np.arange(4096), found.label]
    value = np.where(own == NEVER, -np.inf, np.where(own == EARLIER, np.inf, value))
    exact = forward_decisions(4.0, times, 40_000, 3)
    # Grids that end are ties: none here but the undecided ones.
    assert abs(np.mean(own == NEVER) - np.mean(exact == -np.inf)) < 0.01
    inside = lambda v: v[np.isfinite(v)]
    p_value = lambda other: np.asarray(
        scipy.stats.ks_2samp(inside(value), inside(other))
    )[1]
    assert p_value(exact) > 1e-4
    # And not that of other clusters.
    other = forward_decisions(4.4, times, 40_000, 3)
    assert p_value(other) < 1e-4
    read = decision_law(found)
    for node in (0, 1):
        median = float(read.time.time[node, 2])
        low, high = float(read.time.low[node, 2]), float(read.time.high[node, 2])
        assert low < median < high
        slack = 2 * (high - low)
        assert abs(median - np.median(exact)) < slack
    assert read.count.tolist() == [np.sum(found.label == c) for c in (0, 1)] + [4096]
    assert read.earlier[2] == 1
    assert not np.asarray(read.time.found[2]).any()


@pytest.mark.slow
@pytest.mark.long
def test_other_clocks_decide_at_the_same_noise():
    # Times of other processes at equal log-SNR: posteriors of the same law. 2,048
    # paths, seeds 4, 5: medians within both intervals' widths.
    medians = []
    for i, clock in enumerate((OU, LinearInterpolant(), EDM())):
        times = np.asarray(convert(jnp.asarray(TIMES), OU, clock)[0])
        found = decision_timeline(
            LAW, TREE, times, process=clock, num_samples=2048, key=jr.key(4 + i)
        )
        read = decision_law(found).time
        ends = [read.time[5, 2], read.low[5, 2], read.high[5, 2]]
        back = convert(jnp.asarray(ends), clock, OU)[0]
        medians.append(np.asarray(back))
    for one in medians[1:]:
        assert abs(one[0] - medians[0][0]) < np.ptp(one) + np.ptp(medians[0])


@pytest.mark.slow
def test_the_flow_decides_too():
    # Another way back: a deterministic path, whose posteriors are no martingale but
    # whose end has a branch.
    score = ExactScore(LAW, OU)
    found = decision_timeline(
        LAW, TREE, TIMES, step=HeunFlow(), score=score, num_samples=64, shown=64
    )
    assert found.method.startswith("HeunFlow")
    assert np.all(np.isfinite(found.posterior))
    # It never comes back: within 1e-3 posteriors of the top split only rise.
    branch = np.where(found.label < 2, 4, 5)
    curves = found.posterior[np.arange(64), :, branch]
    assert np.all(np.diff(curves[:, ::-1], axis=1) > -0.02)


@pytest.mark.slow
def test_digits_under_kernel_density():
    # Digits 1 and 8: exact reverse paths end at the data, and its posteriors are
    # martingales (512 paths, seed 6, 4 standard errors).
    data = digits()
    labels = np.asarray(data.labels).ravel()
    chosen = np.isin(labels, [1, 8])
    points = np.asarray(data.points, float).reshape(len(labels), -1)[chosen] / 8 - 1
    points = points - points.mean(axis=0)
    law = Empirical(points, (labels[chosen] == 8).astype(int), 0.35)
    found = decision_timeline(
        law,
        Tree.nested([0, 1]),
        np.linspace(0.02, 3, 24),
        num_samples=512,
        shown=512,
        key=jr.key(6),
    )
    share = np.mean(labels[chosen] == 8)
    assert abs(np.mean(found.label) - share) < 4 * np.sqrt(share * (1 - share) / 512)
    r = found.posterior[:, :, 0]
    for later, earlier in ((0, 8), (8, 16), (4, 20)):
        step = (r[:, later] - r[:, earlier]) * (1 + r[:, earlier])
        assert abs(step.mean()) < 4 * step.std() / np.sqrt(512)
        assert step.std() > 1e-3
    nearest = np.sqrt(np.sum((found.point[:, None] - points[None]) ** 2, -1).min(1))
    # A kernel draw noised to t = 0.02: sqrt(64 (0.35^2 + 0.04)) = 3.2 in distance.
    assert np.median(nearest) < 4
    read = decision_law(found)
    assert 0.2 < float(read.time.time[0, 2]) < 1.5
    assert np.all(read.never[:2] < 0.05)


def test_results_are_saved(found):
    assert to_dataset(found)["decision.time"].dims == ("sample", "node")
    read = decision_law(found)
    assert to_dataset(read)["time.time"].dims == ("node", "quantile")
    assert to_json({"share": read.never})["share"][TREE.root] == 0


@pytest.mark.slow
def test_samples_do_not_depend_on_the_block():
    given = LAW, TREE, TIMES[:6]
    one = decision_timeline(*given, num_samples=5, shown=5, block_size=5)
    two = decision_timeline(*given, num_samples=5, shown=2, block_size=2)
    np.testing.assert_array_equal(one.label, two.label)
    np.testing.assert_allclose(one.posterior[:2], two.posterior, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(one.state, two.state)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decision_timeline(LAW, Tree.nested([0, 1]), TIMES), "`tree` is of 2"),
        (lambda: decision_timeline(LAW, TREE, TIMES[:3]), "`noises` has shape"),
        (lambda: decision_timeline(LAW, TREE, TIMES[::-1]), "`noises` has shape"),
        (lambda: decision_timeline(LAW, TREE, TIMES, level=1.0), "`level` is 1"),
        (lambda: decision_timeline(LAW, TREE, TIMES, num_samples=0), "`num_samples`"),
        (
            lambda: decision_timeline(
                LAW, TREE, TIMES, score=ExactScore(LAW, EDM()), step=HeunFlow()
            ),
            "another clock",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
