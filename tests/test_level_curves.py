"""U-turns of hierarchies against sums over all words."""

import functools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from grown import T1

from jaxwin.analysis import hierarchy
from jaxwin.analysis.hierarchy._turns import Turns
from jaxwin.channels import (
    EpsilonBelief,
    Gaussian,
    Masking,
    Observed,
    UniformCorruption,
)
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import RandomHierarchy
from jaxwin.targets.random_hierarchy import enumerate_trees

# Three children, three classes of two symbols, rules by level, and no weight equal.
THREE = RandomHierarchy(
    [
        [[[0, 0, 1], [1, 0, 1]], [[1, 1, 0], [0, 1, 1]], [[1, 0, 0], [1, 1, 1]]],
        [[[0, 0, 0], [0, 1, 1], [1, 0, 1]], [[0, 0, 1], [1, 1, 0], [0, 1, 0]]],
    ],
    [0.5, 0.3, 0.2],
    rule_weights=(
        np.array([[0.7, 0.3], [0.4, 0.6], [0.25, 0.75]]),
        np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]]),
    ),
)
LAWS = {"T1": T1, "three": THREE}


def ou_time(snr):
    """OU time of abar / (1 - abar)."""
    return 0.5 * np.log1p(1 / np.asarray(snr, float))


# The exact answer on a tiny tree: all words, all observations


def likelihoods(
    law: RandomHierarchy, channel: str, noise: float, sites: slice = slice(None)
) -> np.ndarray:
    """P(what is seen at some sites | tree), (trees, observations)."""
    words, q = enumerate_trees(law).trees[-1][:, sites], law.num_symbols
    # Of one symbol; what is erased is the last observation.
    each = (1 - noise) * np.eye(q) + noise / q
    if channel == "masking":
        each = np.c_[(1 - noise) * np.eye(q), np.full(q, noise)]
    table = np.ones((len(words), 1))
    for symbols in words.T:
        table = (table[:, :, None] * each[symbols][:, None]).reshape(len(words), -1)
    return table


def at_height(law: RandomHierarchy) -> np.ndarray:
    """Height of the lowest common ancestor of two leaves, counted by climbing."""
    leaf, height = np.arange(law.num_sites), 0
    while np.any(leaf[:, None] != leaf):
        height = height + (leaf[:, None] != leaf)
        leaf = leaf // law.branching
    return np.asarray(height)


def exactly(law: RandomHierarchy, channel: str, noise: float) -> dict[str, np.ndarray]:
    """All that analyses of U-turns estimate, by plain sums over trees."""
    trees, log_p = enumerate_trees(law)
    p, table, words = np.exp(log_p), likelihoods(law, channel, noise), trees[-1]
    seen = p @ table
    posterior = p[:, None] * table / np.maximum(seen, 1e-300)
    # P(tree w returns as tree u), and P(w, then u).
    turn = table @ posterior.T
    pairs = p[:, None] * turn
    apart = p[:, None] * p
    same, kept, chance, independent, known = [], [], [], [], []
    other = trees[0] != trees[0].T
    log = lambda p: np.log(np.where(p > 0, p, 1))
    entropy = lambda p: -np.sum(p * log(p), axis=-1)
    for level, size in zip(trees, law.symbols_of_levels, strict=True):
        equal = np.mean(level[:, None] == level[None], axis=2)
        same.append(np.sum(pairs * equal))
        chance.append(np.sum(apart * equal))
        kept.append(np.sum(pairs * equal * other) / np.sum(pairs * other))
        independent.append(np.sum(apart * equal * other) / np.sum(apart * other))
        has = level[..., None] == np.arange(size)
        prior = entropy(np.einsum("t,tna->na", p, has))
        left = entropy(np.einsum("to,tna->nao", posterior, has).swapaxes(1, 2)) @ seen
        known.append(np.mean(prior - left))
    spins = np.where(words[:, None] == words[None], -1.0, 1.0)
    mean = np.einsum("wu,wui->wi", turn, spins)
    second = np.einsum("wu,wui,wuj->ij", pairs, spins, spins)
    products = np.einsum("w,wi,wj->ij", p, mean, mean)
    dynamic, static = second - products, products - np.outer(p @ mean, p @ mean)
    height = at_height(law)
    heights = range(1 + law.depth)
    by_height = lambda c: np.array([c[height == h].mean() for h in heights])
    total = dynamic + static
    log_ratio = log(table) - log(seen)
    return {
        "same": np.array(same),
        "chance": np.array(chance),
        "kept": np.array(kept[1:]),
        "independent": np.array(independent[1:]),
        "class_changed": np.sum(pairs * other),
        "total": by_height(total),
        "dynamic": by_height(dynamic),
        "chi": total.sum() / np.trace(total),
        "chi_within": dynamic.sum() / np.trace(dynamic),
        "chi_static": static.sum() / np.trace(total),
        "word": np.sum(p[:, None] * table * log_ratio),
        "nodes": np.array(known),
        # 1 - sum_a P(a)^2 of a leaf is what its one-hot errs by.
        "squared_error": law.num_sites * (1 - same[-1]),
    }


def from_below(law: RandomHierarchy, channel: str, noise: float) -> np.ndarray:
    """Beliefs in true symbols by what is seen below nodes, all symbols alike before."""
    trees, log_p = enumerate_trees(law)
    p, found = np.exp(log_p), []
    for depth, level in enumerate(trees):
        width, each = law.branching ** (law.depth - depth), []
        for node, symbols in enumerate(level.T):
            below = slice(node * width, (node + 1) * width)
            table = likelihoods(law, channel, noise, below)
            has = symbols[:, None] == np.arange(law.symbols_of_levels[depth])
            # Nodes outside are independent of those below, given the symbol.
            given = (p[:, None] * has / np.maximum(p @ has, 1e-300)).T @ table
            belief = given / np.maximum(given.sum(axis=0), 1e-300)
            each.append(np.sum(p[:, None] * table * belief[symbols]))
        found.append(np.mean(each))
    return np.array(found)


CHANNELS = {"masking": Masking(), "uniform": UniformCorruption()}
PRINTED = {
    "masking": {0.25: [0.73128, 0.83112, 0.89375], 0.5: [0.52448, 0.64674, 0.73972]},
    "uniform": {
        0.25: [0.56361, 0.68291, 0.75962],
        0.5: [0.39051, 0.47864, 0.55045],
        0.75: [0.34131, 0.38428, 0.41007],
    },
}
KEPT = {
    "masking": {0.25: [0.430295, 0.681584], 0.5: [0.374315, 0.599694]},
    "uniform": {0.25: [0.382827, 0.596021], 0.5: [0.328932, 0.486391]},
}
NOISES = np.array([0.1, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("channel", CHANNELS)
def test_sums_over_words_are_those_printed(channel):
    """Sections 6.5 and 6.23."""
    for noise, printed in PRINTED[channel].items():
        np.testing.assert_allclose(
            exactly(T1, channel, noise)["same"], printed, atol=6e-6
        )
    for noise, printed in KEPT[channel].items():
        np.testing.assert_allclose(
            exactly(T1, channel, noise)["kept"], printed, atol=6e-7
        )


@pytest.mark.slow
def test_three_children_have_heights():
    """Of 81 ordered pairs of leaves 9, 18 and 54 meet at heights 0, 1 and 2."""
    np.testing.assert_array_equal(np.bincount(at_height(THREE).ravel()), [9, 18, 54])
    height = [[0, 1, 2, 2], [1, 0, 2, 2], [2, 2, 0, 1], [2, 2, 1, 0]]
    np.testing.assert_array_equal(at_height(T1), height)
    for noise in NOISES:
        # All 162 trees have words of their own, and all that is seen has a probability.
        table = likelihoods(THREE, "masking", noise)
        assert table.shape == (162, 3**9)
        np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("name", "channel"), [("T1", "masking"), ("three", "uniform")])
def test_curves_and_correlations_of_a_tiny_tree(name, channel):
    """40,000 turns, every quantity within 4.5 s.e.; seed 0."""
    law = LAWS[name]
    found = hierarchy.level_curves(law, CHANNELS[channel], NOISES, num_turns=40_000)
    assert found.turns == 40_000
    if name == "T1":
        np.testing.assert_allclose(found.chance, [1 / 3, 13 / 36, 13 / 36], atol=1e-12)
    for i, noise in enumerate(NOISES):
        true = exactly(law, channel, noise)
        np.testing.assert_allclose(found.chance, true["chance"], atol=1e-12)
        for key, value, error in (
            ("same", found.same, found.same_stderr),
            ("same", found.drawn, found.drawn_stderr),
            ("same", found.purity, found.purity_stderr),
            ("total", found.covariance, found.covariance_stderr),
            ("dynamic", found.dynamic, found.dynamic_stderr),
            ("chi", found.chi, found.chi_stderr),
            ("chi_within", found.chi_within, found.chi_within_stderr),
            ("chi_static", found.chi_static, found.chi_static_stderr),
        ):
            z = (value[i] - true[key]) / error[i]
            assert np.all(np.abs(z) < 4.5), (key, noise, z)
            # An error that is no error would pass anything.
            assert np.all(error[i] < 0.03)
    gap = (found.same - found.purity) / found.nishimori_stderr
    assert np.all(np.abs(gap) < 4.5)
    # Exact marginals have less variance than drawn trees.
    assert np.all(found.same_stderr <= found.drawn_stderr)


def test_pooled_covariances_are_dynamics_and_starts():
    """To 1e-12, and chi of all ordered pairs is 2 chi of unordered ones less one."""
    rng = np.random.default_rng(0)
    spins = rng.choice([0.0, 1.0], size=(500, 2, 8)) * rng.uniform(size=(500, 1, 1))
    nodes = lambda values, w: values.reshape(*values.shape[:-1], -1, w).sum(axis=-1)
    widths = 8, 4, 2, 1
    squares = [np.mean(np.sum(nodes(spins, w) ** 2, -1)) for w in widths]
    crossed = [np.mean(np.sum(nodes(spins, w).prod(axis=1), -1)) for w in widths]
    found = hierarchy.correlations(
        spins.mean(axis=(0, 1))[None],
        np.array(squares)[None],
        np.array(crossed)[None],
        500.0,
        2,
    )
    np.testing.assert_allclose(found.total, found.dynamic + found.static, atol=1e-12)
    # Pair by pair: unbiased covariances over starts, then sums over all pairs.
    first, second = 2 * spins[:, 0], 2 * spins[:, 1]
    mean = (first + second) / 2
    middle = mean - mean.mean(axis=0)
    static = (first.T @ second + second.T @ first) / 1000
    both = (first.T @ first + second.T @ second) / 1000
    products = (500 * np.outer(mean.mean(0), mean.mean(0)) - (both + static) / 2) / 499
    del middle
    total = both - products
    assert abs(found.chi[0] - total.sum() / np.trace(total)) < 1e-12
    static_chi = (static - products).sum() / np.trace(total)
    assert abs(found.chi_static[0] - static_chi) < 1e-12
    upper = np.triu(total).sum() / np.trace(total)
    assert abs(found.chi[0] - (2 * upper - 1)) < 1e-12


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("name", "channel"), [("T1", "masking"), ("three", "uniform")])
def test_new_class_old_parts(name, channel):
    """Section 6.23: 20,000 turns within 4.5 s.e.; independent data exactly."""
    law = LAWS[name]
    found = hierarchy.recomposition(law, CHANNELS[channel], NOISES, num_turns=20_000)
    for i, noise in enumerate(NOISES):
        true = exactly(law, channel, noise)
        z = (found.kept[i] - true["kept"]) / found.kept_stderr[i]
        assert np.all(np.abs(z) < 4.5)
        assert np.all(found.kept_stderr[i] < 0.005)
        z = (found.class_changed - true["class_changed"]) / found.class_changed_stderr
        assert abs(z[i]) < 4.5
        np.testing.assert_allclose(found.independent, true["independent"], atol=1e-12)
    if name == "T1":
        printed = [0.2916666667, 0.3489583333]
        np.testing.assert_allclose(found.independent, printed, 6e-10)
    with pytest.raises(ValueError, match="has no posterior"):
        hierarchy.recomposition(law, EpsilonBelief(), NOISES)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("channel", CHANNELS)
def test_what_words_tell_of_three_children(channel):
    """Information, errors and upward beliefs: 12,000 draws within 4.5 s.e."""
    ask = THREE, CHANNELS[channel], NOISES
    told = hierarchy.hierarchy_information(*ask, num_draws=12_000, block_size=96)
    up = hierarchy.upward_beliefs(*ask, num_draws=12_000, block_size=96)
    for i, noise in enumerate(NOISES):
        true = exactly(THREE, channel, noise)
        true["up"] = from_below(THREE, channel, noise)
        for name, value, error in (
            ("word", told.word, told.word_stderr),
            ("nodes", told.nodes, told.nodes_stderr),
            ("squared_error", told.squared_error, told.squared_error_stderr),
            ("up", up.belief, up.stderr),
        ):
            z = (value[i] - true[name]) / error[i]
            assert np.all(np.abs(z) < 4.5), (name, noise, z)
            assert np.all(error[i] < 0.02)


@pytest.mark.slow
@pytest.mark.long
def test_information_of_a_tiny_tree():
    """Section 6.7: 60,000 draws within 4.5 combined s.e.; dI / dSNR = MMSE / 2."""
    snr = np.array([8.0, 2.0, 1.0, 0.5, 0.25])
    channel = Gaussian()
    found = hierarchy.hierarchy_information(
        T1, channel, ou_time(snr), num_draws=60_000, block_size=256
    )
    near = lambda value, error, printed: np.all(
        np.abs(value - printed) < 4.5 * np.hypot(error, 5e-4)
    )
    word = [3.0014, 1.7327, 1.0434, 0.5766, 0.3035]
    squares = [0.1125, 1.1119, 1.6839, 2.0738, 2.3023]
    classes = [0.9433, 0.2889, 0.1118, 0.0417, 0.0167]
    assert near(found.word, found.word_stderr, word)
    assert near(found.squared_error, found.squared_error_stderr, squares)
    assert near(found.nodes[:, 0], found.nodes_stderr[:, 0], classes)
    same = hierarchy.level_curves(T1, channel, ou_time(snr[:4]), num_turns=20_000)
    printed = [0.9121, 0.5163, 0.4052, 0.3606]
    assert near(same.same[:, 0], same.same_stderr[:, 0], printed)
    # Slopes at nearby SNRs that share their random numbers.
    at = np.array([2.2, 2.1, 1.9, 1.8])
    close = hierarchy.hierarchy_information(
        T1, channel, ou_time(at), num_draws=60_000, block_size=256
    )
    slope = np.polyfit(at - 2, close.word, 1)[0]
    assert abs(slope - 0.5 * close.squared_error.mean()) < 0.02


@pytest.mark.slow
def test_beliefs_that_no_channel_gives():
    """Section 6.5 of eps_belief, and the identity of Nishimori that it breaks."""
    noises = np.array([0.25, 0.5, 0.75, 0.9])
    found = hierarchy.level_curves(T1, EpsilonBelief(), noises, num_turns=20_000)
    printed = [[0.78090, 0.86985, 0.92104], [0.55844, 0.68544, 0.77437]]
    printed.append([0.39666, 0.49132, 0.57290])
    z = (found.same[:3] - printed) / found.same_stderr[:3]
    assert np.all(np.abs(z) < 4.5)
    gap = (found.same - found.purity) / found.nishimori_stderr
    assert np.all(gap > 50)
    assert not Observed(T1, EpsilonBelief()).has_exact_labels


# Programs


def program(depth: int) -> str:
    law = RandomHierarchy.draw(jr.key(0), 4, 2, 2, depth)
    turns = Turns(law, Gaussian(), jnp.array([0.1, 0.2]))
    call = lambda turns, key, replicas: turns.many(key, replicas)
    return jax.jit(call).lower(turns, jr.key(0), jnp.arange(4)).as_text()


@pytest.mark.slow
def test_program_grows_by_the_level():
    """Each level adds as much as the last: no look-up is made of all before it."""
    lines = [program(depth).count("\n") for depth in (3, 4, 5, 6)]
    steps = np.diff(lines)
    assert np.all(np.abs(np.diff(steps)) <= 3)
    assert steps[-1] < 400


@pytest.mark.slow
def test_new_values_do_not_recompile():
    traced = []

    @eqx.filter_jit
    def curves(turns, key):
        traced.append(1)
        return turns.many(key, jnp.arange(2)).same

    for seed in range(3):
        law = RandomHierarchy.draw(jr.key(seed), 4, 2, 2, 2)
        noises = jnp.array([0.1, 0.2]) * (1 + seed)
        values = curves(Turns(law, Gaussian(), noises), jr.key(seed))
        assert np.all((values >= 0) & (values <= 1))
    assert len(traced) == 1


@pytest.mark.slow
def test_rules_are_resumed_table_by_table(tmp_path):
    draw = lambda key: RandomHierarchy.draw(key, 3, 2, 2, 2)
    ask = functools.partial(hierarchy.over_rules, draw, 2, Masking(), NOISES)
    whole, _ = ask(num_turns=64, block_size=4, folder=tmp_path)
    (tmp_path / "table_2").rename(tmp_path / "gone")
    again, _ = ask(num_turns=64, block_size=4, folder=tmp_path, resume=True)
    np.testing.assert_array_equal(again.same, whole.same)
    assert len(list(tmp_path.glob("table_*"))) == 2


@pytest.mark.slow
@pytest.mark.long
def test_replicas_do_not_depend_on_their_block():
    turns = Turns(T1, UniformCorruption(), jnp.array([0.2, 0.6]))
    many = eqx.filter_jit(lambda replicas: turns.many(jr.key(0), replicas))
    together, alone = many(jnp.arange(4)), many(jnp.array([2, 3]))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a[2:], b)
    one = turns(jr.key(0), jnp.asarray(3))
    np.testing.assert_allclose(one.same, together.same[3], rtol=1e-12)


@pytest.mark.slow
def test_halves_lie_where_curves_cross():
    noises = np.linspace(0.05, 0.95, 13)
    found = hierarchy.level_curves(T1, Masking(), noises, num_turns=8000)
    for level in range(3):
        half = jax.tree.map(lambda leaf, level=level: leaf[level], found.half)
        assert half.found
        at = float(half.time)
        middle = (1 + found.chance[level]) / 2
        true = np.interp(
            at,
            noises,
            [exactly(T1, "masking", noise)["same"][level] for noise in noises],
        )
        assert abs(true - middle) < 0.02
        assert float(half.low) < at < float(half.high)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hierarchy.level_curves(T1, Masking(), [0.1, 0.2, 0.3, 1.2]),
            "`noises` is 1.2; it must be in [0, 1]",
        ),
        (
            lambda: hierarchy.level_curves(T1, Masking(), [0.1, 0.3, 0.2, 0.5]),
            "`noises`",
        ),
        (
            lambda: hierarchy.level_curves(T1, Masking(), NOISES, num_turns=2),
            "`num_turns` is 2",
        ),
        (
            lambda: hierarchy.over_rules(lambda key: T1, 1, Masking(), NOISES),
            "`num_tables` is 1",
        ),
        (
            lambda: Masking().corrupt(jr.key(0), jnp.zeros(4, int), -0.1),
            "`noise` is -0.1",
        ),
        (
            lambda: UniformCorruption().corrupt(jr.key(0), jnp.zeros(4, int), 0.1),
            "number of symbols is not known",
        ),
        (lambda: Observed(T1, UniformCorruption(4)), "the law has 3 symbols"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_clock_of_the_snr():
    """A Gaussian channel sees the SNR alone: gamma on the truth, sqrt(gamma) z."""
    z = jr.normal(jr.key(0), (3, 4))
    word = jnp.array([1, 0, 2, 0])
    logits = Gaussian().word_logits(T1, word, z, jnp.asarray(ou_time(2.5)))
    expected = 2.5 * np.eye(3)[:, word] + np.sqrt(2.5) * np.asarray(z)
    np.testing.assert_allclose(logits, expected, rtol=1e-12)
    alpha, sigma = OrnsteinUhlenbeck().levels(jnp.asarray(ou_time(2.5)), float)
    assert abs(alpha**2 / sigma**2 - 2.5) < 1e-12
