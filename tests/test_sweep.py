"""One pass over a data set: label weights, groups of points, what is kept of a draw."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from jaxwin.analysis import Feature, Sweep, sweep
from jaxwin.analysis._sweep import BATCH, COARSE, GROUPS, PARTS
from jaxwin.processes import LinearInterpolant, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, Empirical, GaussianMixture
from jaxwin.targets._label_masses import log_label_masses
from jaxwin.targets._point_groups import PointGroups

OU = OrnsteinUhlenbeck()
KEY = jr.key(3)


def levels(times) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and sigma of an Ornstein-Uhlenbeck clock, by numpy."""
    return np.exp(-times), np.sqrt(-np.expm1(-2 * times))


def brute_masses(points, log_weights, labels, num_labels, y, z, b, c) -> np.ndarray:
    """Log of each label's weight (t, c) by sums in float64, nothing left out."""
    apart = points - y
    ratio = b[:, None] * (apart @ z) - 0.5 * c[:, None] * np.sum(apart**2, axis=1)
    ratio = ratio + log_weights
    with np.errstate(divide="ignore"):
        each = [
            np.logaddexp.reduce(np.where(labels == k, ratio, -np.inf), axis=1)
            for k in range(num_labels)
        ]
    return np.stack(each, axis=1)


# Weights of labels at a noised point

LABELS = np.random.default_rng(1).integers(3, size=530)
POINTS = np.random.default_rng(2).normal(size=(530, 5)) + LABELS[:, None]
ALPHAS, SIGMAS = levels(np.geomspace(0.01, 3, 9))
B, C = ALPHAS / SIGMAS, (ALPHAS / SIGMAS) ** 2

masses_at = jax.jit(log_label_masses)


# The radius chooses the form: matrix products where it is small.
@pytest.mark.parametrize("form", ["matrix products", "coordinates"])
@pytest.mark.parametrize("skip", [-1, 0, 299, 529])
def test_label_masses_are_direct_sums(form, skip):
    law = Empirical(POINTS, LABELS)
    weights = law.blocks.log_weights.reshape(-1).at[7].set(-jnp.inf)
    weights = weights.reshape(law.blocks.log_weights.shape)
    blocks = eqx.tree_at(lambda blocks: blocks.log_weights, law.blocks, weights)
    radius = jnp.asarray(0.0 if form == "matrix products" else 1e9)
    rng = np.random.default_rng(5)
    y, z = POINTS[max(skip, 0)] + 0.1 * rng.normal(size=5), rng.normal(size=5)
    log_weights = np.full(530, -np.log(530))
    log_weights[[7, skip if skip >= 0 else 7]] = -np.inf
    exact = brute_masses(POINTS, log_weights, LABELS, 3, y, z, B, C)
    got = masses_at(
        blocks, law.centre, radius, *map(jnp.asarray, (y, z, B, C)), jnp.asarray(skip)
    )
    assert exact.min() > -700 + exact.max(axis=1).max()
    np.testing.assert_allclose(got, exact, rtol=1e-11, atol=1e-10)


def test_far_from_the_origin_coordinates_are_taken():
    # 1e7 off their supposed centre the products would lose 14 digits.
    law = Empirical(POINTS + 1e7, LABELS)
    rng = np.random.default_rng(6)
    y, z = np.asarray(law.points)[3], rng.normal(size=5)
    got = masses_at(
        law.blocks, 0 * law.centre, jnp.asarray(2e7), *map(jnp.asarray, (y, z, B, C))
    )
    log_weights = np.full(530, -np.log(530))
    points = np.asarray(law.points)
    exact = brute_masses(points, log_weights, LABELS, 3, y, z, B, C)
    np.testing.assert_allclose(got, exact, rtol=1e-11, atol=1e-10)


def test_labels_without_weight_have_none():
    # Label 1 is the skipped point alone; label 2 has no weight.
    law = Empirical(np.random.default_rng(0).normal(size=(5, 2)), [0, 0, 1, 2, 3])
    law = law.restrict(jnp.asarray([True, True, False, True]))
    args = law.blocks, law.centre, law.radius, law.points[2], jnp.ones(2)
    got = np.asarray(masses_at(*args, jnp.asarray(B), jnp.asarray(C), jnp.asarray(2)))
    np.testing.assert_array_equal(
        np.isneginf(got), np.tile([False, True, True, False], (9, 1))
    )
    assert not np.any(np.isnan(got))


# Soft labels at any clean point, any Gaussian

TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 5, 5)))[0]
COVARIANCES = np.einsum("kir,r,kjr->kij", TURN, [2.0, 1.0, 0.5, 0.1, 0.0], TURN)
COVARIANCES = (COVARIANCES + np.swapaxes(COVARIANCES, 1, 2)) / 2
LAWS: dict[str, AbstractLabelledTarget] = {
    "data": Empirical(POINTS, LABELS),
    "kernel": Empirical(POINTS, LABELS, 0.4),
    "restricted": Empirical(POINTS, LABELS).restrict(jnp.array([True, False, True])),
    "isotropic": GaussianMixture.isotropic(POINTS[:3], 0.3, np.array([0.2, 0.5, 0.3])),
    "full": GaussianMixture.full(POINTS[:3], COVARIANCES, np.array([0.2, 0.5, 0.3])),
    "grouped": GaussianMixture.full(POINTS[:3], COVARIANCES, labels=[1, 0, 1]),
}

soft_labels_at = eqx.filter_jit(lambda law, *at: law.soft_labels_at(*at))
label_log_posterior = eqx.filter_jit(lambda law, *at: law.label_log_posterior(*at))


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_soft_labels_are_label_posteriors_level_by_level(name):
    law, rng = LAWS[name], np.random.default_rng(8)
    for start in (POINTS[11] + 0.3, np.full(5, 4.0)):
        x0, z = jnp.asarray(start), jnp.asarray(rng.normal(size=5))
        got = soft_labels_at(law, x0, z, jnp.asarray(ALPHAS), jnp.asarray(SIGMAS))
        for row, alpha, sigma in zip(np.asarray(got), ALPHAS, SIGMAS, strict=True):
            at = alpha * x0 + sigma * z, jnp.asarray(alpha), jnp.asarray(sigma)
            exact = np.asarray(label_log_posterior(law, *at))
            # Below that a weight is lost beside the largest.
            seen = exact > -600
            np.testing.assert_allclose(row[seen], exact[seen], rtol=1e-9, atol=1e-10)
            assert np.all(row[~seen] < -600)


def numpy_soft_labels(points, labels, y, z, alphas, sigmas, skip=None) -> np.ndarray:
    """Posteriors (t, c) in float64; the weight at y itself joins label of `skip`."""
    b, c = alphas / sigmas, (alphas / sigmas) ** 2
    weights = np.zeros(len(points))
    masses = brute_masses(points, weights, labels, labels.max() + 1, y, z, b, c)
    return np.exp(log_softmax(masses, axis=1))


@pytest.mark.f32
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_soft_labels_in_single_precision(offset):
    """Known own point: 1e-5 at every sigma; any other: 1e-5 + 4 Delta (DESIGN 4)."""
    rng, d = np.random.default_rng(9), 784
    single = lambda v: np.asarray(v, np.float32)
    double = lambda v: np.asarray(v, np.float64)
    alphas, sigmas = single(np.full(7, 0.7)), single(np.geomspace(1e-3, 1e3, 7))
    places = rng.normal(size=(16, d)) + offset
    ways = rng.normal(size=(7, d))
    ways *= (sigmas / alphas)[:, None] / np.linalg.norm(ways, axis=1, keepdims=True)
    # Around the first point others at two noise levels each.
    points = single(np.concatenate([places, places[0] + 2 * ways, places[0] - ways]))
    labels = np.arange(30) % 3
    law = Empirical(points, labels)
    for draw in range(4):
        z = single(rng.normal(size=d))
        own = law.log_label_masses_of_others(
            jnp.asarray(0), jnp.asarray(z), jnp.asarray(alphas), jnp.asarray(sigmas)
        )
        own = np.logaddexp(own, np.where(np.arange(3) == 0, -np.log(30), -np.inf))
        at = double(z), double(alphas), double(sigmas)
        exact = numpy_soft_labels(double(points), labels, double(points[0]), *at)
        got = np.exp(log_softmax(double(own), axis=1))
        assert np.abs(got - exact).max() <= 1e-5
        y = single(points[draw] + 1e-2 * rng.normal(size=d))
        got = soft_labels_at(law, *map(jnp.asarray, (y, z, alphas, sigmas)))
        assert got.dtype == jnp.float32
        exact = numpy_soft_labels(double(points), labels, double(y), *at)
        half = np.spacing(np.abs(y)).astype(np.float64) / 2
        moved = [
            numpy_soft_labels(
                double(points), labels, y + rng.choice([-1, 1], d) * half, *at
            )
            for _ in range(16)
        ]
        change = np.max(np.abs(np.stack(moved) - exact), axis=(0, 2))
        error = np.abs(np.exp(double(got)) - exact).max(axis=1)
        assert np.all(error <= 1e-5 + 4 * change), (error, change)


@pytest.mark.f32
def test_full_covariances_in_single_precision():
    """Two wide, nearly equal covariances: the rounding that `full` states."""
    rng, d = np.random.default_rng(10), 128
    values = np.arange(1, d + 1.0) ** -1.0 * np.exp(0.1 * rng.normal(size=(4, d)))
    turn = np.linalg.qr(np.eye(d) + 2e-3 * rng.normal(size=(4, d, d)))[0]
    dense = np.einsum("kir,kr,kjr->kij", turn, values, turn)
    dense = ((dense + np.swapaxes(dense, 1, 2)) / 2).astype(np.float32)
    means = (0.1 * rng.normal(size=(4, d))).astype(np.float32)
    law = GaussianMixture.full(means, dense)
    alphas = np.full(7, 0.7, np.float32)
    sigmas = np.geomspace(1e-3, 1e3, 7).astype(np.float32)
    values, basis = np.linalg.eigh(dense.astype(np.float64))
    values = np.clip(values, 0, None)
    for k in range(4):
        x0 = means[k] + basis[k] @ (np.sqrt(values[k]) * rng.normal(size=d))
        x0, z = x0.astype(np.float32), rng.normal(size=d).astype(np.float32)
        got = soft_labels_at(law, *map(jnp.asarray, (x0, z, alphas, sigmas)))
        assert got.dtype == jnp.float32
        for row, a, s in zip(np.exp(got), alphas, sigmas, strict=True):
            a, s = float(a), float(s)
            x = a * x0.astype(np.float64) + s * z.astype(np.float64)
            inside = np.einsum("kd,kdr->kr", x - a * means.astype(np.float64), basis)
            noised = a**2 * values + s**2
            joint = -0.5 * np.sum(inside**2 / noised + np.log(noised), axis=1)
            assert np.abs(row - np.exp(log_softmax(joint))).max() <= 1e-4


# Groups of points


@pytest.mark.parametrize(("n", "groups"), [(53, 7), (53, 1), (530, 2), (8, 8)])
def test_groups_hold_every_point_once(n, groups):
    points, labels = POINTS[:n], LABELS[:n]
    cut = PointGroups(Empirical(points, labels), groups, 4)
    place = np.asarray(cut.place)
    assert np.unique(place).size == n
    rows = np.asarray(cut.blocks.points).reshape(-1, 5)
    np.testing.assert_array_equal(rows[place], points)
    weights = np.asarray(cut.blocks.log_weights).reshape(-1)
    np.testing.assert_array_equal(np.flatnonzero(weights == 0), np.sort(place))
    assert np.all(np.isneginf(np.delete(weights, place)))
    group = np.asarray(jax.vmap(cut.group)(cut.place))
    np.testing.assert_array_equal(np.asarray(jax.vmap(cut.label)(cut.place)), labels)
    np.testing.assert_array_equal(group, place // (weights.size // groups))
    counts = np.zeros((groups, labels.max() + 1))
    np.add.at(counts, (group, labels), 1)
    np.testing.assert_array_equal(cut.counts, counts)
    assert np.ptp(counts.sum(axis=1)) <= 1
    # By chance, not in their order; another seed cuts otherwise.
    other = np.asarray(PointGroups(Empirical(points, labels), groups, 5).place)
    if 1 < groups < n:
        assert np.mean(other // (weights.size // groups) == group) < 0.8


@pytest.mark.parametrize("bandwidth", [0.0, 0.4])
def test_groups_together_are_the_law(bandwidth):
    law = Empirical(POINTS, LABELS, bandwidth)
    cut = PointGroups(law, 7, 0)
    alphas, sigmas = jnp.asarray(ALPHAS), jnp.asarray(SIGMAS)
    of_others = eqx.filter_jit(lambda law, *at: law.log_label_masses_of_others(*at))
    for index in (0, 255, 529):
        z = jnp.asarray(np.random.default_rng(index).normal(size=5))
        each = of_others(cut, cut.place[index], z, alphas, sigmas)
        assert each.shape == (7, 9, 3)
        # The law's points weigh 1 / n, those of groups one.
        total = np.logaddexp.reduce(np.asarray(each), axis=0) - np.log(530)
        exact = of_others(law, jnp.asarray(index, jnp.int32), z, alphas, sigmas)
        np.testing.assert_allclose(total, exact, rtol=1e-10, atol=1e-10)


def test_own_points_are_drawn_alike():
    cut = PointGroups(Empirical(POINTS[:10]), 3, 0)
    places, z = jax.jit(jax.vmap(cut.draw_own))(jr.split(KEY, 20000))
    counts = np.array([np.sum(np.asarray(places) == place) for place in cut.place])
    # 20,000 draws of 10 places: chi^2 of 9 degrees, 4 standard deviations.
    chi = np.sum((counts - 2000) ** 2 / 2000)
    assert chi < 9 + 4 * np.sqrt(18)
    np.testing.assert_allclose(np.cov(np.asarray(z).T), np.eye(5), atol=0.05)


# The pass, re-made draw by draw

TIMES = np.geomspace(0.02, 3, 16)
FIRST, SECOND = (0, 0, 0, 1, 1), (0, 1, 2, 1, 2)
JOINT = np.random.default_rng(11).choice(5, size=230, p=[0.3, 0.2, 0.2, 0.2, 0.1])
DATA = np.random.default_rng(12).normal(size=(230, 2)) + 1.5 * np.stack(
    [np.take(FIRST, JOINT), np.take(SECOND, JOINT)], axis=1
)
FEATURES = (
    Feature(FIRST, np.array([[0, 1]])),
    Feature(SECOND, np.array([[0, 1], [1, 2], [0, 2]])),
)


@pytest.fixture(scope="module")
def found() -> Sweep:
    law = Empirical(DATA, JOINT)
    return sweep(law, TIMES, features=FEATURES, num_replicas=2 * BATCH, key=KEY)


@pytest.fixture(scope="module")
def again() -> tuple[np.ndarray, ...]:
    """The very draws: index, group, of all points the group, and label masses by it."""
    law = Empirical(DATA, JOINT)
    cut = PointGroups(law, GROUPS, 0)
    keys = jax.vmap(lambda i: jr.fold_in(KEY, i))(jnp.arange(2 * BATCH))
    place, z = jax.vmap(cut.draw_own)(keys)
    back = {int(p): i for i, p in enumerate(cut.place)}
    index = np.array([back[int(p)] for p in place])
    group = np.asarray(jax.vmap(cut.group)(cut.place))
    alphas, sigmas = levels(TIMES)
    b, c = alphas / sigmas, (alphas / sigmas) ** 2
    # Extended range: no weight is lost beside another.
    bins = np.eye(5 * GROUPS)[5 * group + JOINT].astype(np.longdouble)
    masses = []
    for own, noise in zip(index, np.asarray(z), strict=True):
        apart = DATA - DATA[own]
        ratio = b[:, None] * (apart @ noise) - c[:, None] * np.sum(apart**2, 1) / 2
        weight = np.exp(ratio.astype(np.longdouble))
        weight[:, own] = 0
        with np.errstate(divide="ignore"):
            masses.append(np.log(weight @ bins).reshape(-1, GROUPS, 5).swapaxes(0, 1))
    masses = np.stack(masses).astype(float)
    return index, group, masses, np.asarray(z)


@pytest.mark.slow
@pytest.mark.long
def test_others_and_labels_of_the_very_draws(found, again):
    index, _, masses, z = again
    label = JOINT[index]
    np.testing.assert_array_equal(found.label.reshape(-1), label)
    np.testing.assert_array_equal(found.counts, np.bincount(JOINT))
    assert found.others.shape == (2, BATCH, TIMES.size, 5)
    others = found.others.reshape(-1, TIMES.size, 5)
    with np.errstate(divide="ignore"):
        exact = np.logaddexp.reduce(masses, axis=1)
    np.testing.assert_allclose(others, exact, rtol=1e-10, atol=1e-9)
    law, (alphas, sigmas) = Empirical(DATA, JOINT), levels(TIMES)
    args = jnp.asarray(index[5], jnp.int32), jnp.asarray(z[5])
    plain = law.log_label_masses_of_others(
        *args, jnp.asarray(alphas), jnp.asarray(sigmas)
    )
    np.testing.assert_allclose(others[5], plain + np.log(230), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(
        found.log_rest().reshape(-1, TIMES.size),
        np.logaddexp.reduce(exact, axis=2),
        atol=1e-9,
    )
    own = np.where(np.arange(5) == label[:, None], 0.0, -np.inf)[:, None]
    np.testing.assert_allclose(
        found.log_masses_with_own().reshape(exact.shape),
        np.logaddexp(exact, own),
        rtol=1e-10,
        atol=1e-9,
    )
    assert found.count == 2 * BATCH
    assert found.num_points == 230
    np.testing.assert_allclose(
        found.coordinate, np.log(np.expm1(2 * TIMES)), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(found.clock(found.coordinate), TIMES, rtol=1e-10)


@pytest.mark.slow
def test_own_weight_among_fewer_points(found, again):
    index, group, masses, _ = again
    rest = np.logaddexp.reduce(masses, axis=3)
    # One group has 11.5 points in the mean, and so on.
    assert list(found.smaller) == [round(230 * part / GROUPS) for part in PARTS]
    for part, own in zip(PARTS, found.smaller.values(), strict=True):
        exact = []
        for row, i in enumerate(index):
            chosen = [(group[i] + k) % GROUPS for k in range(part)]
            exact.append(expit(-np.logaddexp.reduce(rest[row, chosen], axis=0)))
        exact = np.reshape(exact, (2, BATCH, -1)).mean(axis=1)
        np.testing.assert_allclose(own, exact, rtol=1e-8, atol=1e-12)


def pooled(masses: np.ndarray, of_label: np.ndarray) -> np.ndarray:
    """Log of the summed masses of each class's labels."""
    with np.errstate(divide="ignore"):
        return np.stack(
            [
                np.logaddexp.reduce(masses[..., of_label == c], -1)
                for c in np.unique(of_label)
            ],
            -1,
        )


@pytest.mark.slow
def test_curves_without_a_group(found, again):
    index, group, masses, _ = again
    assert found.left_out is not None
    masses = masses[:, :, ::COARSE]
    label = JOINT[index]
    own_log = np.where(np.arange(5) == label[:, None], 0.0, -np.inf)[:, None]
    for g in range(GROUPS):
        # The data set is the points outside the group, and so are its draws.
        here = group[index] != g
        others = np.logaddexp.reduce(np.delete(masses, g, axis=1), axis=1)[here]
        rest = np.logaddexp.reduce(others, axis=2)
        exact = [expit(-rest), rest, np.logaddexp(0, rest)]
        np.testing.assert_allclose(
            found.left_out.own[:, g], np.mean(exact, axis=1), rtol=1e-9, atol=1e-11
        )
        with_own = np.logaddexp(others, own_log[here])
        counts = np.bincount(JOINT[group != g], minlength=5)
        for f, feature in enumerate(FEATURES):
            of_label = np.asarray(feature.of_label)
            mass = pooled(with_own, of_label)
            p = np.exp(log_softmax(mass, axis=-1))
            np.testing.assert_allclose(
                found.left_out.phi[f][g], np.sum(p**2, -1).mean(0), rtol=1e-9
            )
            weight = np.bincount(of_label, counts)
            side = of_label[label[here]]
            for k, (a, b) in enumerate(np.asarray(feature.pairs)):
                odds = (mass[..., a] - np.log(weight[a])) - (
                    mass[..., b] - np.log(weight[b])
                )
                pure = expit(odds) ** 2 + expit(-odds) ** 2
                exact = (pure[side == a].mean(0) + pure[side == b].mean(0)) / 2
                np.testing.assert_allclose(
                    found.left_out.pairs[f][k, g], exact, rtol=1e-9
                )


@pytest.mark.slow
def test_draws_of_classes(found, again):
    index, _, masses, _ = again
    exact = np.logaddexp.reduce(masses, axis=1)
    counts = np.bincount(np.take(SECOND, JOINT))
    for c, draws in enumerate(found.draws(FEATURES[1], own=False)):
        mine = np.flatnonzero(np.take(SECOND, JOINT[index]) == c)
        np.testing.assert_array_equal(draws.batch, mine // BATCH)
        # Its own point is not among the points of its class.
        left = counts - (np.arange(3) == c)
        expected = pooled(exact[mine], np.asarray(SECOND)) - np.log(left)
        np.testing.assert_allclose(draws.log_likelihood, expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(
            draws.counts, np.bincount(mine // BATCH, minlength=2)
        )
        sums = draws.sums(draws.log_likelihood)
        for batch in range(2):
            np.testing.assert_allclose(
                sums[batch], expected[mine // BATCH == batch].sum(axis=0), rtol=1e-9
            )
    own = found.draws(FEATURES[0], own=True)[1]
    mine = np.take(FIRST, JOINT[index]) == 1
    with_own = np.logaddexp(
        exact, np.where(np.eye(5)[JOINT[index]] > 0, 0, -np.inf)[:, None]
    )
    counts = np.bincount(np.take(FIRST, JOINT))
    expected = pooled(with_own[mine], np.asarray(FIRST)) - np.log(counts)
    np.testing.assert_allclose(own.log_likelihood, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_features_of_one_pass_are_those_of_their_own(found, number):
    feature = FEATURES[number]
    labels = np.take(feature.of_label, JOINT)
    law = Empirical(DATA, JOINT).with_labels(labels)
    alone = Feature(tuple(range(feature.num_classes)), feature.pairs)
    own = sweep(law, TIMES, features=(alone,), num_replicas=2 * BATCH, key=KEY)
    np.testing.assert_array_equal(own.label, np.take(feature.of_label, found.label))
    np.testing.assert_allclose(
        own.others, feature.log_sum(found.others), rtol=1e-11, atol=1e-10
    )
    assert own.left_out is not None
    assert found.left_out is not None
    mine = own.left_out.own, own.left_out.phi[0], own.left_out.pairs[0]
    joint = found.left_out
    theirs = joint.own, joint.phi[number], joint.pairs[number]
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    for a, b in zip(own.smaller.values(), found.smaller.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_a_resumed_pass_has_the_same_bits(found, tmp_path):
    measure = lambda count, **options: sweep(
        Empirical(DATA, JOINT),
        TIMES,
        features=FEATURES,
        num_replicas=count,
        key=KEY,
        folder=tmp_path,
        **options,
    )
    longer = measure(5 * BATCH)
    # The first blocks are kept: only what is missing is computed.
    seen = []
    resumed = measure(6 * BATCH, resume=True, progress=seen.append)
    assert seen[0].done >= 5
    np.testing.assert_array_equal(resumed.others[:2], found.others)
    np.testing.assert_array_equal(resumed.others[:5], longer.others)
    for size, own in found.smaller.items():
        np.testing.assert_array_equal(resumed.smaller[size][:2], own)
    whole = measure(6 * BATCH)
    assert eqx.tree_equal(resumed, whole)


@pytest.mark.slow
def test_few_points_have_no_groups_and_a_single_point_no_others():
    labels = np.append(JOINT[:198], 5)
    small = sweep(Empirical(DATA[:199], labels), TIMES, num_replicas=32 * BATCH)
    assert small.left_out is None
    assert small.smaller == {}
    # Every label a class, without pairs, unless told otherwise.
    assert small.features[0].of_label == (0, 1, 2, 3, 4, 5)
    assert small.features[0].pairs.shape == (0, 2)
    alone = small.label == 5
    assert alone.sum() > 1
    assert np.all(small.others[alone][..., 5] < -1e36)
    assert np.all(small.log_masses_with_own()[alone][..., 5] == 0)
    assert np.all(small.others[~alone] > -1e36)


@pytest.mark.slow
def test_few_noises_have_no_curves_without_a_group():
    found = sweep(Empirical(DATA, JOINT), TIMES[:12], num_replicas=128)
    assert found.left_out is None
    assert list(found.smaller) == [round(230 * part / GROUPS) for part in PARTS]


def test_another_clock_sees_the_same_noised_points(found):
    flow = LinearInterpolant()
    u = np.asarray(flow.time(-jnp.asarray(found.coordinate)))
    other = sweep(
        Empirical(DATA, JOINT),
        u,
        process=flow,
        features=FEATURES,
        num_replicas=2 * BATCH,
        key=KEY,
    )
    np.testing.assert_allclose(other.others, found.others, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("law", "times", "message"),
    [
        (Empirical(np.eye(3)[:1]), TIMES, "`law` has 1 point"),
        (Empirical(np.eye(3)), TIMES[:3], "at least 4"),
        (Empirical(np.eye(3)), TIMES[::-1], "strictly increasing"),
        (
            Empirical(np.eye(3), [0, 1, 1]).restrict(jnp.array([True, False])),
            TIMES,
            "`law` is restricted",
        ),
    ],
)
def test_bad_arguments_are_named(law, times, message):
    with pytest.raises(ValueError, match=message):
        sweep(law, times, num_replicas=128)
