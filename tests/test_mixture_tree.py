"""Trees of labels with an interval of noise for each node; independent features."""

import functools

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
from scipy.special import erf, erfinv
from scipy.stats import norm

from jaxwin.analysis import speciation, sweep
from jaxwin.analysis.windows import (
    Confusion,
    Tree,
    confusion,
    depth_bound,
    half_flip_time,
    hypercube,
    kronecker_confusion,
    kronecker_matrix,
    linkage_tree,
    measured_tree,
    mixture_tree,
    model_error,
    overlaps,
    separation_ratio,
    stable_epsilon,
    tree_conditions,
    two_sided_matrix,
)
from jaxwin.analysis.windows._mixture_tree import _amounts
from jaxwin.analysis.windows._overlaps import class_overlaps
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import DiscreteDDPM, OrnsteinUhlenbeck, convert
from jaxwin.targets import Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()


def two_levels(far: float, near: float, **rest) -> GaussianMixture:
    means = [[far + near], [far - near], [-far + near], [-far - near]]
    return GaussianMixture.isotropic(means, 1.0, **rest)


def variation(means, first, second, t) -> float:
    """TV of two equal mixtures of unit variance by a fine sum, plain numpy."""
    means = np.exp(-t) * np.asarray(means)
    x = np.linspace(means.min() - 9, means.max() + 9, 200_001)
    p, q = (norm.pdf(x[:, None] - means[None, s]).mean(axis=1) for s in (first, second))
    return 0.5 * np.abs(p - q).sum() * (x[1] - x[0])


# A, B, eps; T_start of a leaf; [T_end, T_start] of a node; T_end of the root.
E4 = [
    (100, 3, 0.1, 0.234885, 3.172777, 3.656015, 6.708894),
    (100, 5, 0.1, None, 3.683603, 3.650721, None),
]


@pytest.mark.slow
@pytest.mark.parametrize(("far", "near", "eps", "leaf", "end", "start", "root"), E4)
def test_printed_intervals(far, near, eps, leaf, end, start, root):
    found = mixture_tree(two_levels(far, near), eps)
    assert found.tree.groups.sum(axis=1).tolist() == [1, 1, 1, 1, 2, 2, 4]
    ends, starts = np.asarray(found.end.time), np.asarray(found.start.time)
    np.testing.assert_array_equal(ends[:4], 0)
    np.testing.assert_allclose(ends[4:6], end, atol=6e-7)
    np.testing.assert_allclose(starts[4:6], start, atol=6e-7)
    if leaf is not None:
        np.testing.assert_allclose(starts[:4], leaf, atol=6e-7)
        np.testing.assert_allclose(ends[6], root, atol=6e-7)
        assert found.answer == "resolved"
        assert found.answers == ("interval",) * 6 + ("vacuous",)
    else:
        assert found.answer == "unresolved"
        assert found.answers[4:6] == ("empty", "empty")
        assert np.all(np.isnan(found.noise_amount))
        assert found.pruned().groups.sum(axis=1).tolist() == [1, 1, 1, 1, 4]


@pytest.mark.slow
@pytest.mark.parametrize(("far", "near", "eps"), [(60.0, 2.5, 0.15), (35.0, 4.0, 0.25)])
def test_intervals_at_other_numbers(far, near, eps):
    law = two_levels(far, near)
    found = mixture_tree(law, eps)
    means = np.asarray(law.means)[:, 0]
    pair = np.log(2 * near / (2 * np.sqrt(2) * erfinv(eps)))
    np.testing.assert_allclose(found.end.time[4:6], pair, rtol=1e-12)
    widest = np.log((2 * far + 2 * near) / (2 * np.sqrt(2) * erfinv(eps)))
    np.testing.assert_allclose(found.end.time[6], widest, rtol=1e-12)
    for node, first, second in ((4, [0, 1], [2, 3]), (0, [0], [1, 2, 3])):
        gap = lambda t, a=first, b=second: variation(means, a, b, t) - 1 + eps**2
        exact = scipy.optimize.root_scalar(gap, bracket=(1e-9, 8)).root
        # The sum over the line errs by 1e-7 of the slope.
        np.testing.assert_allclose(found.start.time[node], exact, atol=1e-5)


@pytest.mark.slow
def test_noise_amounts_make_a_tree():
    law = two_levels(100, 3)
    found = mixture_tree(law, 0.1)
    given = tree_conditions(law, found.tree, found.noise_amount, 0.1)
    assert given.holds
    assert np.all(given.met)
    # The conditions are those of the definition, by hand.
    t = found.noise_amount[4]
    inside = erf(6 * np.exp(-t) / (2 * np.sqrt(2)))
    outside = variation([103, 97, -97, -103], [0, 1], [2, 3], t)
    np.testing.assert_allclose([given.inside[4], given.outside[4]], [inside, outside])
    # Outside its interval, and without growing noises, it is none.
    late = found.noise_amount.copy()
    late[4] = 3.7
    assert not tree_conditions(law, found.tree, late, 0.1).holds
    assert not tree_conditions(law, found.tree, late, 0.1).met[4]
    flat = np.append(np.full(6, 3.4), 7.0)
    assert not tree_conditions(law, found.tree, flat, 0.1).holds


def test_noises_keep_below_those_of_parents():
    # Nodes that may go on after their parents, and one that begins after its parent
    # ends; inside the intervals noises grow.
    tree = Tree.nested([[[0, 1], 2], 3])
    low = np.array([0.0, 0, 0, 0, 1.0, 1.5, 2.0])
    high = np.array([9.0, 0.4, 9.0, 0.1, 9.0, 9.0, np.inf])
    amount = _amounts(tree, low, high)
    assert np.all((low <= amount) & (amount <= high))
    assert np.all(amount[tree.parent[:-1]] > amount[:-1])
    high[5] = 0.9
    assert np.all(np.isnan(_amounts(tree, low, high)))


@pytest.mark.slow
def test_a_clock_that_ends_early():
    # The SD-like end of a table: the root's noise is beyond it.
    law = two_levels(100, 3)
    found = mixture_tree(law, 0.1, t_max=5.0)
    assert found.answers[6] == "not resolvable above t_max"
    assert not bool(found.end.found[6])
    assert float(found.end.high[6]) == 5.0
    assert found.answer == "unresolved"
    clock = DiscreteDDPM(1000, "scaled_linear")
    last = float(convert(jnp.asarray(999.0), clock, OU)[0])
    on = mixture_tree(law, 0.1, process=clock)
    np.testing.assert_allclose(on.end.high[6], last, rtol=1e-6)
    assert on.answers[4] == "not resolvable above t_max"


@pytest.mark.slow
def test_json_and_netcdf():
    found = mixture_tree(two_levels(100, 5), 0.1)
    nodes = to_json({"tree": found})["tree"]["nodes"]
    assert nodes[4]["labels"] == [0, 1]
    assert nodes[4]["answer"] == "empty"
    assert nodes[6]["start"]["value"] is None
    assert nodes[0]["noise_amount"] is None
    assert to_dataset(found)["end.time"].dims == ("node",)


def test_linkage_finds_nested_scales_in_any_order():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(10, 3)))[0]
    law = hypercube([100.0, 10.0, 1.0], basis=basis)
    order = rng.permutation(8)
    labels = np.argsort(order)
    mixed = GaussianMixture.isotropic(np.asarray(law.means)[order], 1.0)
    tree = linkage_tree(mixed, 0.1)
    expected = {(i,) for i in range(8)} | {tuple(range(8))}
    for block in (2, 4):
        groups = labels.reshape(-1, block)
        expected |= {tuple(sorted(group)) for group in groups.tolist()}
    assert {tuple(tree.group(i)) for i in range(tree.num_nodes)} == expected
    assert tree.depth == 3


def test_linkage_joins_equal_separations_at_once():
    assert linkage_tree(GaussianMixture.isotropic(5 * np.eye(4), 1.0), 0.1).depth == 1
    law = GaussianMixture.isotropic(np.eye(3), 1.0, [0.5, 0.0, 0.5])
    assert linkage_tree(law, 0.1).labels == [0, 2]


@pytest.mark.slow
def test_depth_is_what_the_separation_ratio_allows():
    # Nested scales just further apart than rho are resolved, just closer ones are not;
    # widths of a level add to those below, hence the slack of 15 %.
    eps = 0.1
    rho = float(separation_ratio(eps))
    np.testing.assert_allclose(rho, 20.4981831567, rtol=1e-10)
    for ratio, answer in ((1.15 * rho, "resolved"), (0.9 * rho, "unresolved")):
        law = two_levels(4 * ratio, 4.0)
        found = mixture_tree(law, eps, [[0, 1], [2, 3]])
        assert found.answer == answer
        levels = found.pruned().depth
        assert levels <= float(depth_bound(ratio, eps)) + 1


@pytest.mark.slow
def test_unlike_widths_by_quadrature():
    # A narrow component in a wide one, and one apart: total variations by fine sums.
    means, widths = np.array([0.0, 0.5, 30.0]), np.array([0.4, 2.0, 1.0])
    law = GaussianMixture.isotropic(means[:, None], widths**2)
    eps = 0.2
    found = mixture_tree(law, eps, [[0, 1], 2])
    assert found.method == "quadrature"

    def apart(t, first, second):
        a, v = np.exp(-t), np.sqrt(np.exp(-2 * t) * (widths**2 - 1) + 1)
        x = np.linspace(-15, 45, 200_001)
        p = norm.pdf(x[:, None], a * means, v)
        mean = lambda s: p[:, s].mean(axis=1)
        return 0.5 * np.abs(mean(first) - mean(second)).sum() * (x[1] - x[0])

    fall = lambda gap: scipy.optimize.root_scalar(gap, bracket=(1e-9, 8)).root
    node = fall(lambda t: apart(t, [0], [1]) - eps)
    start = fall(lambda t: apart(t, [0, 1], [2]) - 1 + eps**2)
    np.testing.assert_allclose(found.end.time[3], node, atol=1e-5)
    np.testing.assert_allclose(found.start.time[3], start, atol=1e-5)
    # The narrow one is never told from the wide one to 1 - eps^2: no leaf of its own.
    assert not bool(found.start.found[0])
    assert found.answers[0] == "empty"


@pytest.mark.slow
def test_bounds_are_safe_in_many_dimensions():
    # Full covariances in 6-D, two groups; measured by 32,768 draws, seed 1.
    rng = np.random.default_rng(1)
    factors = 0.3 * rng.normal(size=(4, 6, 6))
    covariances = factors @ np.swapaxes(factors, 1, 2) + 0.5 * np.eye(6)
    means = np.array([[90.0], [90], [-90], [-90]]) * np.eye(6)[0] + 1.0 * rng.normal(
        size=(4, 6)
    )
    law = GaussianMixture.full(means, covariances)
    tree = Tree.nested([[0, 1], [2, 3]])
    safe = mixture_tree(law, 0.2, tree)
    assert "bounds" in safe.method
    measure = functools.partial(
        overlaps, Observed(law, Gaussian()), np.linspace(0.02, 7, 60)
    )
    found = measured_tree(
        lambda pairs: measure(pairs, num_replicas=32_768, key=jr.key(1)), tree, 0.2
    )
    assert np.all(found.resolved[4:])
    assert np.all(safe.resolved[4:])
    for node in (4, 5, 6):
        slack = 4 * float(found.end.stderr[node])
        assert float(safe.end.time[node]) >= float(found.end.time[node]) - slack
    for node in (4, 5):
        slack = 4 * float(found.start.stderr[node])
        assert float(safe.start.time[node]) <= float(found.start.time[node]) + slack


@pytest.mark.slow
def test_measured_tree_has_the_exact_times():
    # 16,384 draws, seed 2; 4 standard errors.
    law, tree = two_levels(100, 3), Tree.nested([[0, 1], [2, 3]])
    exact = mixture_tree(law, 0.1, tree)
    measure = functools.partial(
        overlaps, Observed(law, Gaussian()), np.linspace(0.05, 8, 80)
    )
    found = measured_tree(
        lambda pairs: measure(pairs, num_replicas=16_384, key=jr.key(2)), tree, 0.1
    )
    for a, b in ((exact.end, found.end), (exact.start, found.start)):
        there = np.asarray(b.found) & (np.asarray(b.stderr) > 0)
        assert there.sum() >= 3
        gap = np.abs(np.asarray(a.time) - np.asarray(b.time))[there]
        assert np.all(gap < 4 * np.asarray(b.stderr)[there])
    np.testing.assert_array_equal(found.tree.groups, exact.tree.groups)


@pytest.mark.slow
def test_tree_of_labelled_data():
    # Three clouds of points, two of them close: merges, then intervals of each node.
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 80)
    centres = np.array([[0.0, 0.0], [14.0, 0.0], [1.5, 0.0]])
    law = Empirical(rng.normal(size=(240, 2)) * 0.4 + centres[labels], labels, 0.5)
    found = sweep(law, np.linspace(0.02, 6, 32), num_replicas=2048)
    tree = Tree.of_merges(speciation.merge_tree(found), 3)
    assert {tuple(tree.group(i)) for i in (3, 4)} == {(0, 2), (0, 1, 2)}
    timed = measured_tree(lambda pairs: class_overlaps(found, pairs), tree, 0.2)
    assert timed.answers[3:] == ("interval", "vacuous")
    # Two Gaussian clouds of variance 0.41: T_end of the close pair, up to the data.
    root = 2 * np.sqrt(2) * erfinv(0.2)
    exact = 0.5 * np.log((1.5 / root) ** 2 + 1 - 0.41)
    assert abs(float(timed.end.time[3]) - exact) < 0.2


@pytest.mark.slow
def test_a_tree_is_one_of_a_model_too():
    # Corollary 2: means moved by h, TV(p^i, q^i) = erf(h / sqrt 8) = delta / 2.
    law, eps, move = two_levels(100, 3), 0.1, 0.004
    moved = np.asarray(law.means) + move * np.array([[1.0], [-1], [1], [-1]])
    model = GaussianMixture.isotropic(moved, 1.0)
    delta = float(model_error(law, model))
    np.testing.assert_allclose(delta, 2 * erf(move / np.sqrt(8)), rtol=1e-10)
    found = mixture_tree(law, eps)
    weaker = float(stable_epsilon(eps, delta))
    np.testing.assert_allclose(weaker, eps + np.sqrt(delta))
    assert tree_conditions(model, found.tree, found.noise_amount, weaker).holds
    # At the very end of an interval eps itself does not do for the model.
    edge = found.noise_amount.copy()
    edge[4:6] = np.asarray(found.end.time)[4:6]
    assert not tree_conditions(model, found.tree, edge, eps).holds
    assert tree_conditions(model, found.tree, edge, weaker).holds


def test_error_of_a_model_with_labels_of_several_components():
    means = np.array([[0.0], [4.0], [9.0]])
    law = GaussianMixture.isotropic(means, 1.0, [0.2, 0.3, 0.5], labels=[0, 0, 1])
    model = GaussianMixture.isotropic(
        means + [[0.0], [0.02], [0.0]], 1.0, [0.25, 0.25, 0.5], labels=[0, 0, 1]
    )
    # Shares 0.4, 0.6 against 0.5, 0.5: a bound of the exact distance.
    x = np.linspace(-9, 14, 100_001)
    p = 0.4 * norm.pdf(x) + 0.6 * norm.pdf(x, 4)
    q = 0.5 * norm.pdf(x) + 0.5 * norm.pdf(x, 4.02)
    exact = np.abs(p - q).sum() * (x[1] - x[0])
    bound = float(model_error(law, model))
    assert exact <= bound <= 1.1 * exact + 0.02
    other = GaussianMixture.isotropic(means, 1.0, [0.2, 0.2, 0.6], labels=[0, 0, 1])
    with pytest.raises(ValueError, match="`model` weighs"):
        model_error(law, other)
    with pytest.raises(ValueError, match="`model` has 4 components"):
        model_error(law, two_levels(9, 1))


def test_trees_from_lists():
    tree = Tree.nested([[0, 1], [2, [3, 4]]])
    assert tree.parent.tolist() == [5, 5, 7, 6, 6, 8, 7, 8, -1]
    assert [tree.group(i) for i in (5, 6, 7)] == [[0, 1], [3, 4], [2, 3, 4]]
    assert tree.children(8) == [5, 7]
    assert tree.path(3) == [3, 6, 7, 8]
    assert tree.ages().tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 3]
    assert tree.depth == 3
    assert tree.without([7]).parent.tolist() == [5, 5, 7, 6, 6, 7, 7, -1]
    part = Tree.nested([[1, 3]], num_labels=5)
    assert part.labels == [1, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Tree.nested([]), "`groups` names no label"),
        (lambda: Tree.nested([[0, "a"]]), "`groups` holds 'a'"),
        (lambda: Tree.nested([0, 4], num_labels=3), "`groups` names label 4"),
        (lambda: Tree.nested([0, 4], 3, "tree"), "`tree` names label 4"),
        (lambda: Tree.nested([[0, True], 2]), "`groups` holds True"),
        (lambda: Tree.nested([[0, 1], [1, 2]]), "`groups` names label 1 twice"),
        (lambda: Tree.nested([[[0, 1]], 2]), r"holds the group \[0, 1\] twice"),
        (lambda: Tree.of_groups([[0, 1], [1, 2]], 3), "overlap"),
        (lambda: mixture_tree(two_levels(9, 1), 1.2), "`epsilon` is 1.2"),
        (lambda: mixture_tree(two_levels(9, 1), 0.1, [[0, 1], 5]), "names label 5"),
        (
            lambda: mixture_tree(
                two_levels(9, 1, weights=[0.5, 0.5, 0, 0]), 0.1, [[0, 1], [2, 3]]
            ),
            "no weight",
        ),
        (
            lambda: tree_conditions(
                two_levels(9, 1), Tree.nested([[0, 1], [2, 3]]), np.full(7, np.nan), 0.1
            ),
            "`noise_amount` is",
        ),
        (lambda: hypercube([]), "`half_distances` has shape"),
        (lambda: hypercube([1.0, 2.0], basis=np.ones((3, 2))), "orthonormal"),
        (lambda: kronecker_confusion([]), "`confusions` is empty"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# T, then survival of the first, the first two and all features (E3).
SURVIVAL = np.array(
    [
        [0, 1, 1, 0.775200245],
        [1, 1, 0.999818695, 0.559968813],
        [2, 1, 0.871318206, 0.443496592],
        [3, 0.999999502, 0.601307250, 0.301397031],
        [4, 0.949772022, 0.490309788, 0.245237107],
        [6, 0.529001182, 0.264663006, 0.132332316],
    ]
)


def test_hypercube_survival():
    for t, *expected in SURVIVAL:
        alpha, sigma = OU.levels(jnp.asarray(t))
        each = [two_sided_matrix(a, alpha, sigma) for a in (100.0, 10.0, 1.0)]
        joint = np.asarray(kronecker_matrix(each))
        np.testing.assert_allclose(joint.sum(axis=1), 1, rtol=1e-13)
        # Of label 5, binary 101: those that share its first, its first two features.
        kept = joint[5, 4:].sum(), joint[5, 4:6].sum(), joint[5, 5]
        np.testing.assert_allclose(kept, expected, atol=6e-10)
        r = jnp.array([100.0, 10.0, 1.0]) * alpha
        np.testing.assert_allclose(
            kept, speciation.nested_agreement(r), rtol=1e-12, atol=1e-12
        )


def test_half_flip_times():
    found = half_flip_time(jnp.array([100.0, 10.0, 1.0, 0.9]))
    np.testing.assert_allclose(
        found.time[:3], [4.685933, 2.383348, 0.080763], atol=6e-7
    )
    assert not bool(found.found[3])
    wide = half_flip_time(3.0, variance=2.5)
    alpha, sigma = OU.levels(wide.time)
    flips = two_sided_matrix(3.0, alpha, sigma, variance=2.5)
    np.testing.assert_allclose(flips[0, 1], 0.25, rtol=1e-10)


@pytest.mark.slow
def test_kronecker_is_the_confusion_of_the_joint_law():
    # Two features of unlike weights and one width, turned, in 3-D: quadrature on a
    # plane beside the product.
    basis = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 2)))[0]
    law = hypercube([3.0, 1.2], variance=0.6, weights=[0.7, 0.4], basis=basis)
    times = np.array([0.2, 1.0])
    joint = confusion(law, times)
    features = []
    for a, weight in ((3.0, 0.7), (1.2, 0.4)):
        pair = GaussianMixture.isotropic([[a], [-a]], 0.6, [weight, 1 - weight])
        features.append(confusion(pair, times))
        alpha, sigma = OU.levels(jnp.asarray(times[1]))
        closed = two_sided_matrix(a, alpha, sigma, variance=0.6, weight=weight)
        np.testing.assert_allclose(features[-1].matrix[1], closed, atol=1e-12)
    product = kronecker_confusion(features)
    np.testing.assert_allclose(product.matrix, joint.matrix, atol=1e-5)
    assert product.log_prior is not None
    np.testing.assert_allclose(product.log_prior, law.log_label_prior(), atol=1e-12)


def test_errors_of_measured_features_add():
    rng = np.random.default_rng(5)
    rows = lambda: rng.dirichlet(np.ones(2), size=(1, 2))
    given = [Confusion(np.array([1.0]), rows(), 0.01 * rows()) for _ in range(3)]
    found = kronecker_confusion(given)
    # Label 5 = 101 to label 2 = 010.
    factors = [g.matrix[0, i, 1 - i] for g, i in zip(given, (1, 0, 1), strict=True)]
    errors = [g.stderr[0, i, 1 - i] for g, i in zip(given, (1, 0, 1), strict=True)]
    relative = np.sqrt(sum((e / f) ** 2 for e, f in zip(errors, factors, strict=True)))
    np.testing.assert_allclose(found.matrix[0, 5, 2], np.prod(factors))
    np.testing.assert_allclose(found.stderr[0, 5, 2], np.prod(factors) * relative)
    elsewhere = Confusion(np.array([2.0]), rows(), rows())
    with pytest.raises(ValueError, match="different noises"):
        kronecker_confusion([given[0], elsewhere])
