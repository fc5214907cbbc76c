"""U-turns of hierarchies against sums over all words, printed rows and mean field."""

import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some
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

TREES = enumerate_trees(T1).trees
WORDS = TREES[-1]


def ou_time(snr):
    """OU time of abar / (1 - abar)."""
    return 0.5 * np.log1p(1 / np.asarray(snr, float))


# The exact answer on T1: all words, all observations


def likelihoods(channel: str, noise: float) -> np.ndarray:
    """P(observation | word), (24, observations)."""
    if channel == "masking":
        masks = np.array(list(itertools.product([0, 1], repeat=4)))
        p = np.prod(np.where(masks, noise, 1 - noise), axis=1)
        seen = np.where(masks[None], -1, WORDS[:, None])
        flat = seen.reshape(-1, 4)
        _, where = np.unique(flat, axis=0, return_inverse=True)
        table = np.zeros((24, where.max() + 1))
        np.add.at(table, (np.repeat(np.arange(24), 16), where), np.tile(p, 24))
        return table
    seen = np.array(list(itertools.product(range(3), repeat=4)))
    each = np.where(seen[None] == WORDS[:, None], 1 - noise + noise / 3, noise / 3)
    return each.prod(axis=2)


def exactly(channel: str, noise: float) -> dict[str, np.ndarray]:
    """All that `level_curves` and `recomposition` estimate, by plain sums."""
    table = likelihoods(channel, noise)
    posterior = table / np.maximum(table.sum(axis=0), 1e-300)
    # P(word w returns as word u).
    turn = table @ posterior.T
    same, kept = [], []
    other = TREES[0] != TREES[0].T
    for level in TREES:
        equal = np.mean(level[:, None] == level[None], axis=2)
        same.append(np.sum(turn * equal) / 24)
        kept.append(np.sum(turn * equal * other) / np.sum(turn * other))
    spins = np.where(WORDS[:, None] == WORDS[None], -1.0, 1.0)
    mean = np.einsum("wu,wui->wi", turn, spins)
    second = np.einsum("wu,wui,wuj->wij", turn, spins, spins)
    dynamic = np.mean(second - mean[:, :, None] * mean[:, None], axis=0)
    static = np.cov(mean.T, bias=True)
    height = np.array([[0, 1, 2, 2], [1, 0, 2, 2], [2, 2, 0, 1], [2, 2, 1, 0]])
    by_height = lambda c: np.array([c[height == h].mean() for h in range(3)])
    total = dynamic + static
    return {
        "same": np.array(same),
        "kept": np.array(kept[1:]),
        "total": by_height(total),
        "dynamic": by_height(dynamic),
        "chi": total.sum() / np.trace(total),
        "chi_within": dynamic.sum() / np.trace(dynamic),
        "chi_static": static.sum() / np.trace(total),
    }


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
        np.testing.assert_allclose(exactly(channel, noise)["same"], printed, atol=6e-6)
    for noise, printed in KEPT[channel].items():
        np.testing.assert_allclose(exactly(channel, noise)["kept"], printed, atol=6e-7)


@pytest.mark.parametrize("channel", some(CHANNELS, ["masking"]))
def test_curves_and_correlations_of_a_tiny_tree(channel):
    """40,000 turns of T1, every quantity within 4.5 s.e.; seed 0."""
    found = hierarchy.level_curves(T1, CHANNELS[channel], NOISES, num_turns=40_000)
    assert found.turns == 40_000
    np.testing.assert_allclose(found.chance, [1 / 3, 13 / 36, 13 / 36], atol=1e-12)
    for i, noise in enumerate(NOISES):
        true = exactly(channel, noise)
        for name, value, error in (
            ("same", found.same, found.same_stderr),
            ("same", found.drawn, found.drawn_stderr),
            ("same", found.purity, found.purity_stderr),
            ("total", found.covariance, found.covariance_stderr),
            ("dynamic", found.dynamic, found.dynamic_stderr),
            ("chi", found.chi, found.chi_stderr),
            ("chi_within", found.chi_within, found.chi_within_stderr),
            ("chi_static", found.chi_static, found.chi_static_stderr),
        ):
            z = (value[i] - true[name]) / error[i]
            assert np.all(np.abs(z) < 4.5), (name, noise, z)
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
@pytest.mark.parametrize("channel", CHANNELS)
def test_new_class_old_parts(channel):
    """Section 6.23: 20,000 turns within 4.5 s.e.; independent data exactly."""
    found = hierarchy.recomposition(T1, CHANNELS[channel], NOISES, num_turns=20_000)
    for i, noise in enumerate(NOISES):
        z = (found.kept[i] - exactly(channel, noise)["kept"]) / found.kept_stderr[i]
        assert np.all(np.abs(z) < 4.5)
        assert np.all(found.kept_stderr[i] < 0.005)
    np.testing.assert_allclose(found.independent, [0.2916666667, 0.3489583333], 6e-10)
    with pytest.raises(ValueError, match="has no posterior"):
        hierarchy.recomposition(T1, EpsilonBelief(), NOISES)


@pytest.mark.slow
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


# Larger trees: printed rows and mean field


@pytest.mark.slow
def test_upward_beliefs_and_mean_field():
    """Section 4.6, eps_belief: 16 tables within 4.5 s.e., mean field beside them."""
    noises = [0.4, 0.6, 0.7, 0.8, 0.9]
    printed = {
        (16, 4): ([0.9890, 0.9514, 0.8338, 0.2685, 0.0682], [5, 13, 26, 27, 1]),
        (8, 3): ([0.9159, 0.6707, 0.3925, 0.1866, 0.1344], [21, 55, 46, 15, 3]),
    }
    for (v, m), (values, errors) in printed.items():
        found = np.stack(
            [
                hierarchy.upward_beliefs(
                    RandomHierarchy.draw(key, v, m, 2, 6),
                    EpsilonBelief(),
                    noises,
                    num_draws=128,
                ).belief[:, 0]
                for key in jr.split(jr.key(1), 16)
            ]
        )
        error = found.std(axis=0, ddof=1) / 4
        z = (found.mean(0) - values) / np.hypot(error, 1e-4 * np.array(errors))
        assert np.all(np.abs(z) < 4.5)
        theory = hierarchy.mean_field_curves(jnp.array(noises), v, m, 2, 6)
        # Low near eps*: by 7 % at 16 symbols and by 9 % at 8.
        ratio = theory.upward[:, -1] / np.array(values)
        assert np.all((ratio > (0.93 if v == 16 else 0.91)) & (ratio < 1.0))


@pytest.mark.slow
def test_gaussian_class_curves():
    """Section 4.6: class probabilities at L = 6, s.e. of the prints about .01."""
    snr = np.array([6.0, 4.0, 3.0, 2.0, 1.0])
    printed = [0.910, 0.541, 0.241, 0.0918, 0.0655]
    average, each = hierarchy.over_rules(
        lambda key: RandomHierarchy.draw(key, 16, 4, 2, 6),
        8,
        Gaussian(),
        ou_time(snr),
        num_turns=512,
    )
    z = (average.same[:, 0] - printed) / np.hypot(average.same_stderr[:, 0], 0.01)
    assert np.all(np.abs(z) < 4)
    assert average.tables == len(each) == 8
    assert average.turns == 8 * 512
    # The scatter of tables is more than that of sampling.
    assert np.all(average.same_spread >= 0)
    assert np.any(average.same_stderr > 1.2 * average.same_sampling_stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channel", "noises", "printed"),
    [
        (
            Gaussian(),
            ou_time([8.0, 7.0, 6.6, 6.2]),
            [[0.958, 0.986, 0.946, 3.36, 0.11], [0.710, 0.905, 0.896, 5.00, 0.17]]
            + [[0.472, 0.813, 0.862, 5.97, 0.19], [0.212, 0.671, 0.818, 5.43, 0.16]],
        ),
        (
            Masking(),
            [0.22, 0.25, 0.29, 0.34],
            [[0.884, 0.962, 0.911, 2.45, 0.08], [0.727, 0.910, 0.885, 2.80, 0.08]]
            + [[0.338, 0.743, 0.842, 3.40, 0.10], [0.068, 0.489, 0.780, 2.73, 0.08]],
        ),
        (
            EpsilonBelief(),
            [0.65, 0.70, 0.73, 0.76],
            [[0.985, 0.995, 0.939, 2.61, 0.17], [0.918, 0.971, 0.894, 3.70, 0.08]]
            + [[0.349, 0.740, 0.799, 9.33, 0.14], [0.0324, 0.228, 0.607, 4.32, 0.08]],
        ),
    ],
    ids=["Gaussian", "masking", "eps_belief"],
)
def test_curves_of_the_papers_sizes(channel, noises, printed):
    """Sections 4.3 and 4.4, L = 10: 4 tables of 96 turns, float32, 4.5 s.e."""
    single = lambda law: jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == float else leaf, law
    )
    average, _ = hierarchy.over_rules(
        lambda key: single(RandomHierarchy.draw(key, 32, 8, 2, 10)),
        4,
        channel,
        noises,
        num_turns=96,
        block_size=8,
    )
    printed = np.array(printed)
    levels = average.same[:, [0, 5, 10]]
    error = np.hypot(average.same_stderr[:, [0, 5, 10]], 0.007)
    assert np.all(np.abs(levels - printed[:, :3]) < 4.5 * error)
    error = np.hypot(average.chi_stderr, printed[:, 4])
    assert np.all(np.abs(average.chi - printed[:, 3]) < 4.5 * error)


# Programs


def program(depth: int) -> str:
    law = RandomHierarchy.draw(jr.key(0), 4, 2, 2, depth)
    turns = Turns(law, Gaussian(), jnp.array([0.1, 0.2]))
    call = lambda turns, key, replicas: turns.many(key, replicas)
    return jax.jit(call).lower(turns, jr.key(0), jnp.arange(4)).as_text()


def test_program_grows_by_the_level():
    """Each level adds as much as the last: no look-up is made of all before it."""
    lines = [program(depth).count("\n") for depth in (3, 4, 5, 6)]
    steps = np.diff(lines)
    assert np.all(np.abs(np.diff(steps)) <= 3)
    assert steps[-1] < 400


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
            at, noises, [exactly("masking", noise)["same"][level] for noise in noises]
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
