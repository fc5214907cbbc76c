"""The mean field of random grammars: fixed points, posterior chain, finite size."""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import bisect

from jaxwin.analysis import hierarchy
from jaxwin.io import to_dataset, to_json

# v, m, s, F'(1), F'(1 / v), p*, eps*, F'(p*), nu: theory 4.2; half a unit of the last
# printed digit.
TABLE = [
    (32, 8, 2, 0.484848, 0.242424, 0.291666667, 0.731182796, 1.442248, 1.892796),
    (32, 4, 2, 0.242424, 0.484848, 0.107142857, 0.921658986, 1.442248, 1.892796),
    (32, 12, 2, 0.727273, 0.161616, 0.55, 0.464516129, 1.259105, 3.008435),
    (32, 16, 2, 0.969697, 0.121212, 0.9375, 0.064516129, 1.030177, 23.31432),
    (16, 4, 2, 0.470588, 0.470588, 0.25, 0.8, 1.36, 2.254249),
    (8, 2, 2, 0.444444, 0.888889, 0.166666667, 0.952380952, 1.102041, 7.133804),
    (8, 3, 2, 0.666667, 0.592593, 0.4, 0.685714286, 1.224490, 3.422539),
    (4, 2, 2, 0.8, 0.8, 0.5, 0.666666667, 1.111111, 6.578813),
    (8, 8, 3, 0.328767, 0.328767, 0.353553391, 0.738796125, 1.565273, 2.451930),
    (8, 4, 3, 0.164384, 0.657534, 0.192744333, 0.922577905, 1.344657, 3.709787),
    (8, 16, 3, 0.657534, 0.164384, 0.648527499, 0.401682859, 1.344657, 3.709787),
]
NONE = [
    (32, 17, 2, 1.030303, 0.114082, "class lost for any noise"),
    (32, 1, 2, 0.060606, 1.939394, "class kept for all noise < 1"),
    (3, 2, 2, 1.0, 0.75, "marginal"),
    (8, 2, 3, 0.082192, 1.315068, "class kept for all noise < 1"),
]
# eps, upward belief of the root, chi: mean-field columns of theory 4.3.
ROOT = [
    (0.50, 0.9981, 1.73),
    (0.65, 0.9852, 2.45),
    (0.70, 0.9183, 3.51),
    (0.73, 0.3375, 8.96),
    (0.74, 0.0782, 7.44),
    (0.76, 0.0324, 4.23),
    (0.80, 0.0313, 2.52),
    (0.90, 0.0313, 1.46),
]
NOISES = jnp.array([row[0] for row in ROOT])
# Trees that are not alike: several numbers of children, rules and classes.
TREES = [(5, 3, 2, 3, None), (4, 2, 2, 3, 6), (3, 4, 3, 2, 5), (6, 6, 2, 2, None)]

# Their inner programs are compiled; what is around them is a few numbers.
climb, slope_of = hierarchy.upward_map, hierarchy.upward_slope
transition = hierarchy.transition
curves, chain = hierarchy.mean_field_curves, hierarchy.posterior_chain


# The upward map


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_transitions_of_the_table(row):
    v, m, s, truth, chance, p, noise, slope, nu = row
    found = transition(v, float(m), s)
    assert found.answer == "transition"
    assert abs(found.slope_at_truth - truth) < 6e-7
    assert abs(found.slope_at_chance - chance) < 6e-7
    assert abs(found.belief - p) < 6e-10
    assert abs(found.noise - noise) < 6e-10
    assert abs(found.slope - slope) < 6e-7
    assert abs(found.exponent - nu) < (6e-6 if nu > 10 else 6e-7)
    # A fixed point it is, and its slope that of the map.
    np.testing.assert_allclose(climb(found.belief, v, m, s), found.belief, rtol=1e-14)
    known = slope_of(found.belief, v, m, s)
    np.testing.assert_allclose(found.slope, known, rtol=1e-13)
    assert hierarchy.leaf_belief(found.noise, v) == pytest.approx(p, abs=6e-10)
    assert hierarchy.belief_noise(found.belief, v) == pytest.approx(noise, abs=6e-10)


@pytest.mark.parametrize("row", NONE, ids=str)
def test_no_transition_says_why(row):
    v, m, s, truth, chance, answer = row
    found = transition(v, float(m), s)
    assert not found.found
    assert abs(found.slope_at_truth - truth) < 6e-7
    assert abs(found.slope_at_chance - chance) < 6e-7
    assert found.answer == answer
    assert str(found) == f"no transition ({answer})"
    summary = found.to_json()
    assert summary["answer"] == answer
    assert summary["found"] is False
    assert all(summary[k] is None for k in ("belief", "noise", "slope", "exponent"))
    assert to_dataset(found)["rules"] == m


def test_two_children_in_closed_form():
    for v, m in [(32, 8), (7, 2.5), (100, 3), (100, 50), (9, 4.9)]:
        found = transition(v, float(m), 2)
        np.testing.assert_allclose(found.belief, (m - 1) / (v - m), rtol=1e-14)
        noise = (v - 2 * m + 1) / (v - m) * v / (v - 1)
        np.testing.assert_allclose(found.noise, noise, rtol=1e-14)


def test_where_transitions_exist():
    # In whole numbers: s m (v - 1) < v^s - 1 and m (v^s - 1) > s v^(s-1) (v - 1).
    for v, s in [(2, 2), (3, 2), (17, 2), (4, 3)]:
        for m in range(1, v ** (s - 1) + 1):
            truth = s * m * (v - 1) < v**s - 1
            chance = m * (v**s - 1) > s * v ** (s - 1) * (v - 1)
            assert bool(transition(v, m, s).found) == (truth and chance)


@pytest.mark.parametrize(("v", "s"), [(32, 2), (8, 3), (3, 4), (1000, 2), (2, 6)])
def test_fixed_points_at_chance_and_at_truth(v, s):
    for m in (1.0, v ** ((s - 1) / 2), float(v ** (s - 1))):
        np.testing.assert_allclose(climb(1 / v, v, m, s), 1 / v, rtol=1e-14)
        assert float(climb(1.0, v, m, s)) == 1
        found = transition(v, m, s)
        ends = slope_of(jnp.array([1.0, 1 / v]), v, m, s)
        np.testing.assert_allclose(found.slope_at_truth, ends[0], rtol=1e-12)
        np.testing.assert_allclose(found.slope_at_chance, ends[1], rtol=1e-12)


@pytest.mark.parametrize(("v", "s", "m"), [(32, 2, 7.3), (8, 3, 5.1), (5, 4, 30.0)])
def test_duality(v, s, m):
    dual = float(hierarchy.dual_rules(v, m, s))
    assert dual == pytest.approx(v ** (s - 1) / m, rel=1e-15)
    one, other = transition(v, m, s), transition(v, dual, s)
    np.testing.assert_allclose(one.belief * other.belief, 1 / v, rtol=1e-12)
    np.testing.assert_allclose(one.slope, other.slope, rtol=1e-12)
    np.testing.assert_allclose(one.slope_at_truth, other.slope_at_chance, rtol=1e-12)


def test_map_is_the_average_over_grammars():
    # All ways to choose the other m v - 1 tuples: v = 3, m = 2, s = 2, and which of
    # them is the parent's own; numerator and sum are averaged apart.
    v, m, p = 3, 2, 0.61
    u = np.array([p, *[(1 - p) / (v - 1)] * (v - 1)])
    others = [(i, j) for i in range(v) for j in range(v) if (i, j) != (0, 0)]
    above, below = [], []
    for chosen in itertools.combinations(others, m * v - 1):
        value = [u[i] * u[j] for i, j in chosen]
        for own in itertools.combinations(value, m - 1):
            above.append(p**2 + sum(own))
            below.append(p**2 + sum(value))
    known = np.mean(above) / np.mean(below)
    np.testing.assert_allclose(climb(p, v, float(m), 2), known, rtol=1e-14)


def test_slope_by_finite_differences():
    p, step = np.linspace(0.1, 0.9, 9), 1e-5
    for v, m, s in [(32, 8.0, 2), (8, 20.0, 3), (3, 9.0, 4)]:
        ahead, behind = (
            np.asarray(climb(jnp.asarray(q), v, m, s)) for q in (p + step, p - step)
        )
        found = slope_of(jnp.asarray(p), v, m, s)
        np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=1e-7)


@pytest.mark.parametrize(
    ("v", "m", "s"),
    [pytest.param(32, 9.0, 2, marks=pytest.mark.slow), (8, 6.0, 3)],
)
def test_threshold_is_differentiable_in_rules(v, m, s):
    noise = jax.jit(lambda m: hierarchy.transition(v, m, s).noise)
    slope, step = jax.grad(noise)(m), 1e-5
    known = (noise(m + step) - noise(m - step)) / (2 * step)
    np.testing.assert_allclose(slope, known, rtol=1e-7)
    # Where there is none, nothing is NaN that may be summed with the rest.
    kept = lambda m: jnp.where(hierarchy.transition(v, m, s).found, noise(m), 0)
    assert jax.grad(kept)(1.0) == 0


def test_root_of_many_children_by_bisection():
    v, m, s = 6, 40.0, 4
    found = transition(v, m, s)
    excess = lambda p: float(climb(p, v, m, s)) - p
    known = float(np.asarray(bisect(excess, 0.25, 0.95, xtol=1e-14)))
    np.testing.assert_allclose(found.belief, known, rtol=1e-12)


# The posterior chain


def test_columns_of_the_reference():
    found = curves(NOISES, 32, 8.0, 2, 10)
    for row, upward, chi in zip(
        ROOT, found.upward[:, -1], found.susceptibility, strict=True
    ):
        assert abs(upward - row[1]) < 6e-5
        assert abs(chi - row[2]) < 6e-3
    ratio = found.covariance[3, 1:] / found.covariance[3, 0]
    printed = [0.633, 0.334, 0.177, 0.094, 0.050, 0.027, 0.015, 0.0075, 0.0037, 0.0014]
    last = [6e-4] * 7 + [6e-5] * 3
    assert np.all(np.abs(ratio - np.array(printed)) < np.array(last))
    # Middle latents are better off than leaves and the class.
    kept = np.asarray(found.kept[0])
    assert kept[6] > kept[10] > kept[0]
    np.testing.assert_allclose(kept[[0, 10]], [0.981, 0.998], atol=6e-4)


@pytest.mark.parametrize(
    ("v", "m", "printed"),
    [
        (16, 4.0, [0.9886, 0.9477, 0.8235, 0.2500, 0.0679]),
        (8, 3.0, [0.9103, 0.6468, 0.3590, 0.1772, 0.1338]),
    ],
)
def test_small_references(v, m, printed):
    found = curves(jnp.array([0.4, 0.6, 0.7, 0.8, 0.9]), v, m, 2, 6)
    np.testing.assert_allclose(found.upward[:, -1], printed, atol=6e-5)


def test_susceptibility_at_the_transition():
    chi = chain(0.731182796, 32, 8.0, 2, 10).susceptibility
    assert abs(chi - 9.081) < 6e-4


def pattern_law(noise, v, m, s, depth, classes):
    """Probabilities of all patterns of true leaves, by the rules of the chain alone.

    Children of a true parent: all true q^s / Z, any other pattern of k true ones
    a q^k (1 - q)^(s-k) / Z; of a false one the same without all true, normalised.
    """
    beliefs, total = [1 - noise * Fraction(v - 1, v)], v**s - 1
    own = Fraction(m - 1, total)
    for height in range(1, depth + 1):
        parents = classes if height == depth else v
        valid, u = Fraction(m * parents - 1, total), beliefs[-1] ** s
        beliefs.append((u + own * (1 - u)) / (u + valid * (1 - u)))
    # Laws of the leaves below a node, by its truth: a table over patterns.
    true, false = {(1,): Fraction(1)}, {(0,): Fraction(1)}
    averages = [(true, false)]
    for height in range(1, depth + 1):
        q, laws = beliefs[height - 1], (false, true)
        new = []
        for parent in (1, 0):
            law, norm = {}, Fraction(0)
            for truth in itertools.product((0, 1), repeat=s):
                k = sum(truth)
                weight = q**k * (1 - q) ** (s - k)
                weight *= (1 if parent else 0) if k == s else (own if parent else 1)
                norm += weight
                for parts in itertools.product(*(laws[t].items() for t in truth)):
                    leaves = sum((part[0] for part in parts), ())
                    chance = weight
                    for _, probability in parts:
                        chance *= probability
                    law[leaves] = law.get(leaves, 0) + chance
            new.append({leaves: chance / norm for leaves, chance in law.items()})
        true, false = new
        averages.append((true, false))
    top = beliefs[-1]
    keys = set(true) | set(false)
    law = {k: top * true.get(k, 0) + (1 - top) * false.get(k, 0) for k in keys}
    return beliefs, law


def meeting_height(i: int, j: int, s: int) -> int:
    height = 0
    while i != j:
        i, j, height = i // s, j // s, height + 1
    return height


@pytest.mark.slow
@pytest.mark.parametrize("tree", TREES, ids=str)
def test_covariances_by_enumeration(tree):
    # Exact rationals, so that the first noise is small without harm.
    v, m, s, depth, classes = tree
    for noise in (Fraction(1, 10**9), Fraction(2, 7), Fraction(9, 10)):
        beliefs, law = pattern_law(noise, v, m, s, depth, classes or v)
        leaves = s**depth
        both = lambda i, j, law=law: sum(p for k, p in law.items() if k[i] and k[j])
        mean = 2 * both(0, 0) - 1
        covariance = np.zeros((leaves, leaves), object)
        for i, j in itertools.combinations_with_replacement(range(leaves), 2):
            apart = 4 * (both(i, j) - both(i, i) * both(j, j))
            covariance[i, j] = covariance[j, i] = apart
        found = chain(float(noise), v, float(m), s, depth, classes)
        # float(noise) is the rational to rounding.
        close = lambda value, known: np.testing.assert_allclose(
            np.asarray(value), np.array(known, float), rtol=1e-13, atol=1e-30
        )
        close(found.upward, beliefs)
        close(2 * found.kept[0] - 1, mean)
        for i, j in [(0, s**h - 1) for h in range(depth + 1)]:
            height = meeting_height(i, j, s)
            close(found.covariance[height], covariance[i, j])
        variance = sum(covariance[i, i] for i in range(leaves))
        close(found.susceptibility, np.sum(covariance) / variance)
        half = sum(covariance[i, j] for i in range(leaves) for j in range(i, leaves))
        chi = found.susceptibility
        close(hierarchy.triangular_susceptibility(chi), half / variance)
        close(hierarchy.susceptibility(found.covariance, s), chi)
        along = [
            sum(covariance[i, i + r] for i in range(leaves - r)) / (leaves - r)
            for r in range(leaves)
        ]
        distances = np.arange(leaves)
        close(hierarchy.distance_covariance(found.covariance, distances, s), along)


def test_siblings_as_in_the_theory():
    # Section 2.2 as it is printed, at moderate noise.
    for v, m, s, depth, classes in [*TREES, (32, 8, 2, 10, None)]:
        for noise in (0.2, 0.7, 0.95):
            found = chain(noise, v, float(m), s, depth, classes)
            q, a = np.asarray(found.upward[:-1]), (m - 1) / (v**s - 1)
            u = q**s
            z = u + a * (1 - u)
            true = np.stack([u + a * (q**2 - u), a * q * (1 - q), a * (1 - q) ** 2], 1)
            false = np.stack([q**2 - u, q * (1 - q), (1 - q) ** 2], 1)
            close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-13)
            close(found.siblings_true, true / z[:, None])
            close(found.siblings_false, false / (1 - u)[:, None])
            close(found.tau_true, found.siblings_true[:, :2].sum(axis=1))
            close(found.tau_false, found.siblings_false[:, :2].sum(axis=1))
            kept, twice = np.asarray(found.kept), np.array([1.0, 2.0, 1.0])
            for siblings in (found.siblings_true, found.siblings_false):
                close(siblings @ twice, 1)
            step = kept[1:] * found.tau_true + (1 - kept[1:]) * found.tau_false
            close(kept[:-1], step)
            close(kept[-1], found.upward[-1])
            # The annealed route of the papers, and its map one edge at a time.
            number = v * np.ones(depth + 1)
            number[-1] = classes or v
            p, down = np.asarray(found.upward), np.asarray(found.downward)
            wrong = (1 - p) * (1 - down) / (number - 1)
            np.testing.assert_allclose(p * down / (p * down + wrong), kept, rtol=1e-12)
            one = hierarchy.downward_map(down[1], p[0], v, m, s)
            close(one, down[0])
            close(hierarchy.combine(p[0], down[0], v), kept[0])


@pytest.mark.parametrize(("v", "m", "s"), [(32, 8, 2), (8, 4, 3), (8, 3, 2)])
def test_slope_is_that_of_siblings_at_the_transition(v, m, s):
    at = transition(v, float(m), s)
    found = chain(at.noise, v, float(m), s, 3)
    np.testing.assert_allclose(found.upward, at.belief, rtol=1e-13)
    apart = s * (found.tau_true - found.tau_false)
    np.testing.assert_allclose(apart, at.slope, rtol=1e-12)


def test_pair_counts_by_loops():
    for s, depth in [(2, 4), (3, 2)]:
        leaves = s**depth
        known = np.zeros((leaves, depth + 1))
        for i in range(leaves):
            for r in range(leaves - i):
                known[r, meeting_height(i, i + r, s)] += 1 / (leaves - r)
        found = hierarchy.pair_shares(np.arange(leaves), s, depth)
        np.testing.assert_allclose(found, known, rtol=1e-14)


def test_ends_of_the_noise():
    for v, m, s, depth, classes in TREES:
        clean = chain(0.0, v, float(m), s, depth, classes)
        np.testing.assert_array_equal(clean.upward, 1)
        np.testing.assert_allclose(clean.kept, 1, rtol=1e-14)
        np.testing.assert_array_equal(clean.covariance, 0)
        assert clean.susceptibility == 1
        assert hierarchy.susceptibility(clean.covariance, s) == 1
        lost = chain(1.0, v, float(m), s, depth, classes)
        np.testing.assert_allclose(lost.upward[:-1], 1 / v, rtol=1e-13)
        np.testing.assert_allclose(lost.kept[-1], 1 / (classes or v), rtol=1e-13)
    kept = lambda e: chain(e, 4, 2.0, 2, 3, 6).kept[0]
    one = jnp.ones(())
    for noise in (0.0, 0.5, 1.0):
        _, slope = jax.jvp(kept, (jnp.asarray(noise),), (one,))
        step = 1e-6 if noise < 1 else -1e-6
        known = (kept(noise + step) - kept(noise)) / step
        np.testing.assert_allclose(slope, known, rtol=1e-4)


def test_a_curve_is_its_points():
    found = curves(NOISES, 32, 8.0, 2, 10)
    for i in (0, 3, 7):
        point = chain(NOISES[i], 32, 8.0, 2, 10)
        for name in ("upward", "kept", "covariance", "susceptibility"):
            one, many = getattr(point, name), getattr(found, name)[i]
            np.testing.assert_allclose(many, one, rtol=1e-12)
    data = to_dataset(found)
    assert data["covariance"].dims == ("noise", "height")
    summary = to_json(chain(0.3, 32, 8.0, 2, 10))
    assert summary["kept"][-1] == summary["upward"][-1]


# Finite size


@pytest.mark.parametrize(
    ("depth", "chi", "noise"),
    [
        pytest.param(6, 4.946, 0.7227, marks=pytest.mark.slow),
        pytest.param(8, 6.913, 0.7301, marks=pytest.mark.slow),
        (10, 9.101, 0.7319),
        pytest.param(12, 11.477, 0.7320, marks=pytest.mark.slow),
    ],
)
def test_peaks_of_the_susceptibility(depth, chi, noise):
    found = hierarchy.susceptibility_peak(32, 8, 2, depth)
    assert found.interior
    assert abs(found.susceptibility - chi) < 6e-4
    # Found on a grid by the source.
    assert abs(found.noise - noise) < 1.1e-4
    for noise in (found.noise - 1e-3, found.noise + 1e-3):
        lower = chain(noise, 32, 8.0, 2, depth).susceptibility
        assert lower < found.susceptibility


@pytest.mark.slow
def test_no_peak_inside():
    found = hierarchy.susceptibility_peak(32, 1, 2, 10)
    assert not found.interior
    assert found.noise == 1


def test_growth_at_the_transition():
    found = hierarchy.critical_susceptibility(16, 4, 2, 40)
    printed = {4: 2.64, 8: 4.33, 10: 5.02, 16: 6.52, 24: 7.67, 40: 8.60}
    for depth, chi in printed.items():
        # 7.664544 of depth 24 is printed rounded up.
        assert abs(found.susceptibility[depth - 1] - chi) < 6e-3
        assert found.depth[depth - 1] == depth
    assert not found.diverges
    assert found.exponent < 0
    grows = hierarchy.critical_susceptibility(32, 8, 2, 120)
    assert grows.diverges
    assert abs(grows.susceptibility[9] - 9.081) < 6e-4
    # chi ~ s^(L (2 / nu - 1)): locally, where corrections have died out.
    local = np.diff(np.log2(grows.susceptibility))
    np.testing.assert_allclose(local[-1], grows.exponent, rtol=0.03)
    assert abs(local[-1] - grows.exponent) < abs(local[-40] - grows.exponent)
    none = hierarchy.critical_susceptibility(32, 17, 2, 3)
    assert to_json(none)["susceptibility"] == [None] * 3
    assert not none.diverges


@pytest.mark.parametrize(("v", "m", "s", "depth"), [(32, 8, 2, 10), (8, 8, 3, 6)])
def test_growth_is_that_of_the_chain(v, m, s, depth):
    at = transition(v, float(m), s)
    known = chain(at.noise, v, float(m), s, depth).susceptibility
    found = hierarchy.critical_susceptibility(v, m, s, depth).susceptibility[-1]
    np.testing.assert_allclose(found, known, rtol=1e-11)


def test_covariances_at_the_transition_fall_by_a_factor():
    at = transition(32, 8.0, 2)
    c = np.asarray(chain(at.noise, 32, 8.0, 2, 40).covariance)
    ratio = c[2:10] / c[1:9]
    np.testing.assert_allclose(ratio, 0.520020, atol=1e-5)
    np.testing.assert_allclose((at.slope / 2) ** 2, 0.520020, atol=6e-7)


@pytest.mark.parametrize(("v", "m", "s"), [(32, 8, 2), (16, 4, 2), (8, 8, 3)])
def test_width_of_the_class_curve(v, m, s):
    found = hierarchy.class_widths(v, m, s, 60)
    local = np.diff(np.log(found.width))
    at = transition(v, float(m), s)
    np.testing.assert_allclose(found.slope, -np.log(at.slope), rtol=1e-12)
    # Even where early and late are equal to nine digits.
    np.testing.assert_allclose(local[-10:], -np.log(at.slope), rtol=1e-6)
    np.testing.assert_allclose([found.early[-1], found.late[-1]], at.noise, atol=1e-6)
    # The ends are those of the class curve, by bisection on the way up.
    for depth, level in ((4, 0.75), (4, 0.25)):
        class_belief = lambda e, level=level, depth=depth: (
            iterate(1 - e * (1 - 1 / v), v, m, s, depth) - (1 / v + level * (1 - 1 / v))
        )
        known = np.asarray(bisect(class_belief, 1e-9, 1 - 1e-9, xtol=1e-14))
        end = found.early if level > 0.5 else found.late
        np.testing.assert_allclose(end[depth - 1], known, rtol=1e-10)
    gap = found.late - found.early
    np.testing.assert_allclose(found.width[:8], gap[:8], rtol=1e-10)


def iterate(p, v, m, s, depth):
    a, b = (m - 1) / (v**s - 1), (m * v - 1) / (v**s - 1)
    for _ in range(depth):
        p = (p**s + a * (1 - p**s)) / (p**s + b * (1 - p**s))
    return p


def test_widths_without_a_transition():
    found = hierarchy.class_widths(32, 17, 2, 30)
    assert not found.found
    assert to_json(found)["slope"] is None
    assert np.all(np.diff(found.early) < 0)
    assert 0 < found.early[-1] < found.late[-1] < 0.06


@pytest.mark.slow
def test_correlation_length():
    # xi from the covariances of a deep tree: where they are 1 / e of critical ones.
    at = transition(32, 8.0, 2)
    depth, apart = 60, np.logspace(-5, -2, 7)
    critical = np.asarray(chain(at.noise, 32, 8.0, 2, depth).covariance[1:])
    near = curves(at.noise - apart, 32, 8.0, 2, depth)
    height = []
    for covariance in np.asarray(near.covariance[:, 1:]):
        fall = np.log(covariance / covariance[0]) - np.log(critical / critical[0])
        height.append(np.interp(1, -fall[:45], np.arange(1, 46)))
    slope = np.polyfit(np.log(apart), np.log(2) * np.array(height), 1)[0]
    np.testing.assert_allclose(-slope, at.exponent, rtol=0.03)
    # and the predicted one, with its amplitude left open.
    length = [float(at.correlation_length(at.noise - x)) for x in (1e-2, 1e-4)]
    np.testing.assert_allclose(length[1] / length[0], 100**at.exponent, rtol=1e-9)
    assert at.correlation_length(at.noise) == np.inf


# Bad input, other floats


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: hierarchy.transition(1, 1, 2), "`v` is 1; it must be a number of sym"),
        (lambda: hierarchy.transition(8, 2, 1), "`s` is 1; it must be a number of ch"),
        (lambda: hierarchy.transition(8, 9, 2), r"`m` is 9; .* v\^\(s - 1\) = 8"),
        (lambda: hierarchy.transition(8, 0.5, 2), "`m` is 0.5; it must be between 1"),
        (lambda: hierarchy.transition(8, np.nan, 2), "`m` is nan; it must be between"),
        (lambda: hierarchy.upward_map(1.5, 8, 2, 2), "`p` is 1.5; it must be a prob"),
        (lambda: hierarchy.belief_noise(-1, 8), "`p` is -1; it must be a probability"),
        (lambda: hierarchy.leaf_belief(2, 8), r"`noise` is 2; it must be in \[0, 1\]"),
        (lambda: hierarchy.posterior_chain(-0.1, 8, 2, 2, 3), "`noise` is -0.1; it mu"),
        (
            lambda: hierarchy.posterior_chain(0.1, 8, 2, 2, 0),
            "`depth` is 0; it mu",
        ),
        (
            lambda: hierarchy.posterior_chain(0.1, 8, 2, 2, 3, 1),
            "`classes` is 1; it",
        ),
        (lambda: hierarchy.posterior_chain(0.1, 8, 2, 2, 3, 33), r"`m` is 2; .* / 33"),
        (
            lambda: hierarchy.mean_field_curves(jnp.array([0.1, 1.1]), 8, 2, 2, 3),
            "`noises` is 1.1; it must be in",
        ),
        (
            lambda: hierarchy.distance_covariance(jnp.ones(3), [4], 2),
            "`distances` is 4; it must be from 0 to 3",
        ),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.f32
def test_single_precision():
    # The numbers of float64 at the same arguments: theory 4.2, 4.3 and 6.12.
    noises = jnp.array([0.5, 0.73, 1e-4], jnp.float32)
    found = hierarchy.mean_field_curves(noises, 32, 8, 2, 10)
    assert found.covariance.dtype == jnp.float32
    np.testing.assert_allclose(found.upward[:2, -1], [0.9981, 0.3375], atol=6e-5)
    np.testing.assert_allclose(found.susceptibility[:2], [1.73, 8.96], atol=6e-3)
    # At small noise nothing cancels: C_1 / C_0 = (1 - p_0) (b - a) ... stays positive.
    assert np.all(found.covariance > 0)
    at = hierarchy.transition(8, 4, 3)
    np.testing.assert_allclose(at.noise, 0.922577905, rtol=1e-6)
    np.testing.assert_allclose(at.exponent, 3.709787, rtol=1e-5)
