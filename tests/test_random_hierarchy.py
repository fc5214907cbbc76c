"""Belief propagation against sums over all trees, printed rows, and large trees."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from grown import CLEAN, NOISED, T1, listed, some_law

from jaxwin.targets import OneHot, RandomHierarchy
from jaxwin.targets.random_hierarchy import (
    copies,
    enumerate_trees,
    log_number_of_trees,
    valid_nodes,
    validity,
    word_evidence,
    zipf_weights,
)

DEEP = (32, 8, 2, 10)
ENTROPY = np.log(32) + 1023 * np.log(8)


@eqx.filter_jit
def ask(law, logits, latents=None):
    return law.beliefs(logits, latents), law.rule_marginals(logits, latents)


ask_messages = eqx.filter_jit(
    lambda law, logits, latents=None: law.messages(logits, latents)
)


def hard(word, num_symbols):
    with np.errstate(divide="ignore"):
        return np.log(np.eye(num_symbols)[word])


# Printed rows


def eps_belief(eps: float) -> np.ndarray:
    return np.log(np.where(np.arange(3) == CLEAN[:, None], 1 - eps + eps / 3, eps / 3))


ROWS = {
    "eps_belief": (
        eps_belief(0.3),
        0.0213916667,
        [
            [[0.0315543436, 0.8264511102, 0.1419945462]],
            [
                [0.0560966108, 0.0070120764, 0.9368913128],
                [0.8229450721, 0.1455005843, 0.0315543436],
            ],
            [
                [0.0315543436, 0.9505259057, 0.0179197507],
                [0.9505259057, 0.0035060382, 0.0459680561],
                [0.9396182314, 0.0407089988, 0.0196727698],
                [0.8383326841, 0.0161667316, 0.1455005843],
            ],
        ],
    ),
    "Gaussian": (
        0.6 / 0.64 * NOISED,
        6.8678564458,
        [
            [[0.3052236243, 0.1948235561, 0.4999528196]],
            [
                [0.5773174324, 0.1509941883, 0.2716883792],
                [0.1401989284, 0.3949681422, 0.4648329294],
            ],
            [
                [0.606761455, 0.268272375, 0.1249661701],
                [0.7675980428, 0.0825542835, 0.1498476737],
                [0.2510332672, 0.2321992752, 0.5167674575],
                [0.2139031055, 0.2048862543, 0.5812106402],
            ],
        ],
    ),
    "masked": (
        np.where([[False], [True], [True], [False]], 0.0, hard(CLEAN, 3)),
        1 / 12,
        [
            [[0, 0.5, 0.5]],
            [[0.5, 0, 0.5], [0.5, 0, 0.5]],
            [[0, 1, 0], [0.5, 0, 0.5], [0.5, 0.5, 0], [1, 0, 0]],
        ],
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_printed_marginals(name):
    """Section 6.1."""
    logits, evidence, printed = ROWS[name]
    beliefs, _ = ask(T1, jnp.array(logits))
    assert abs(np.exp(beliefs.log_evidence) - evidence) < 6e-11
    for found, true in zip(beliefs.marginals, printed, strict=True):
        np.testing.assert_allclose(found, true, atol=6e-11)


def test_printed_messages():
    messages = ask_messages(T1, jnp.array(eps_belief(0.3)))
    up = [[0.1927710843, 0.0240963855, 0.7831325301]]
    up.append([0.7831325301, 0.1084337349, 0.1084337349])
    down = [[0.1636363636, 0.1636363636, 0.6727272727]]
    down.append([0.3915662651, 0.5, 0.1084337349])
    np.testing.assert_allclose(messages.up[1], up, atol=6e-11)
    np.testing.assert_allclose(messages.down[1], down, atol=6e-11)


def test_printed_score():
    """Section 6.3: score and density of the Gaussian row, and its autodiff."""
    target, x = OneHot(T1), jnp.array(NOISED.reshape(-1))
    log_density = lambda x: target.log_density(x, 0.6, 0.8)
    score = jax.jit(lambda x: target.score(x, 0.6, 0.8))(x)
    first = [-0.0561611360, 0.5640053515, -0.1953442156]
    last = [-0.8619658386, 0.4420808634, -0.5801150248]
    np.testing.assert_allclose(score[:3], first, atol=6e-11)
    np.testing.assert_allclose(score[-3:], last, atol=6e-11)
    value, gradient = jax.jit(jax.value_and_grad(log_density))(x)
    assert abs(value + 11.9426877418) < 6e-11
    np.testing.assert_allclose(gradient, score, rtol=0, atol=1e-12)


# Every tree of 50 random laws


def evidence(law: RandomHierarchy, seed: int) -> np.ndarray:
    """Weak, strong and hard evidence, and none; symbols of one tree stay possible."""
    rng = np.random.default_rng(seed)
    shape = law.num_sites, law.num_symbols
    word = enumerate_trees(law).trees[-1][0]
    rows = [scale * rng.normal(size=shape) for scale in (0.0, 1.0, 30.0, 1e3)]
    masked = np.where(rng.uniform(size=(shape[0], 1)) < 0.5, 0.0, hard(word, shape[1]))
    return np.array([*rows, masked, masked + rows[1]])


@eqx.filter_jit
def ask_all(law, rows):
    return jax.vmap(lambda row: law.beliefs(row))(rows)


TREES = [
    pytest.param(seed, marks=[] if seed < 1 else [pytest.mark.slow])
    for seed in range(50)
]


@pytest.mark.long
@pytest.mark.parametrize("seed", TREES)
def test_beliefs_against_all_trees(seed):
    law = some_law(seed)
    rows = evidence(law, seed)
    found = ask_all(law, jnp.array(rows))
    for i, row in enumerate(rows):
        true = listed(law, row)
        error = abs(found.log_evidence[i] - true.log_evidence)
        assert error <= 1e-12 * (1 + abs(true.log_evidence))
        for level, marginal in zip(found.marginals, true.marginals, strict=True):
            # Evidence of 1e3 is known to its own rounding.
            np.testing.assert_allclose(level[i], marginal, rtol=1e-11, atol=1e-12)
    # The gradient of the evidence is the marginal of the leaves.
    if seed % 5 == 0:
        gradient = gradients(law, jnp.array(rows))
        np.testing.assert_allclose(gradient, found.marginals[-1], rtol=0, atol=1e-12)


@eqx.filter_jit
def gradients(law, rows):
    return jax.vmap(jax.grad(lambda row: law.log_evidence(row)))(rows)


@pytest.mark.parametrize("seed", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_rules_latents_and_messages_against_all_trees(seed):
    law = some_law(seed)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(law.num_sites, law.num_symbols))
    latents = {
        level: rng.normal(size=(law.branching**level, law.symbols_of_levels[level]))
        for level in range(law.depth)
    }
    given = {level: jnp.array(factor) for level, factor in latents.items()}
    beliefs, rules = ask(law, jnp.array(logits), given)
    true = listed(law, logits, latents)
    assert abs(beliefs.log_evidence - true.log_evidence) < 1e-12
    for level, marginal in zip(beliefs.marginals, true.marginals, strict=True):
        np.testing.assert_allclose(level, marginal, atol=1e-12)
    for level, marginal in zip(rules, true.marginals[:-1], strict=True):
        np.testing.assert_allclose(level.sum(axis=-1), marginal, atol=1e-12)
    trees, _ = enumerate_trees(law)
    # A rule's share: of all trees, those with its symbols; two rules may be alike.
    for level, (table, joint) in enumerate(zip(law.rules, rules, strict=True)):
        children = trees[level + 1].reshape(len(trees[0]), -1, law.branching)
        alike = np.all(np.asarray(table)[trees[level]] == children[:, :, None], -1)
        own = trees[level][..., None] == np.arange(len(table))
        weight = np.exp(np.asarray(law.log_rule_weights[level]))[trees[level]] * alike
        weight = weight / weight.sum(axis=-1, keepdims=True)
        true_joint = np.einsum("t,tny,tnr->nyr", true.posterior, own, weight)
        np.testing.assert_allclose(joint, true_joint, atol=1e-12)
    messages = ask_messages(law, jnp.array(logits), given)
    for up, down, marginal in zip(
        messages.up, messages.down, true.marginals, strict=True
    ):
        product = np.asarray(up * down)
        product = product / product.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(product, marginal, atol=1e-12)


# Draws

draw_trees = eqx.filter_jit(
    lambda law, key, logits, count: jax.vmap(lambda k: law.posterior_tree(k, logits))(
        jr.split(key, count)
    )
)


def numbers(trees, num_symbols: int) -> np.ndarray:
    """One number a tree."""
    flat = np.concatenate([np.asarray(level) for level in trees], axis=1)
    return flat @ num_symbols ** np.arange(flat.shape[1])


def test_joint_posterior_draws():
    """Section 6.2: 400,000 draws, total variation < 0.005 (exact law of all trees)."""
    logits, count = 0.6 / 0.64 * NOISED, 400_000
    drawn = draw_trees(T1, jr.key(0), jnp.array(logits), count)
    trees, _ = enumerate_trees(T1)
    p = listed(T1, logits).posterior
    names, where = np.unique(numbers(trees, 3), return_inverse=True)
    found, times = np.unique(numbers(drawn, 3), return_counts=True)
    share = np.zeros(names.size)
    share[np.searchsorted(names, found)] = times / count
    assert np.isin(found, names).all()
    assert 0.5 * np.abs(share - np.bincount(where, p)).sum() < 0.005
    words = trees[-1] @ 10 ** np.arange(4)[::-1]
    for word, printed in ((22, 0.2305227158), (10, 0.1130521716), (21, 0.1010231206)):
        assert abs(p[words == word].sum() - printed) < 6e-11


def test_draws_of_the_law():
    """Section 6.15: leaf 1 of T1 has the law (1/3, 1/6, 1/2); 60,000 trees, z < 4."""
    drawn = draw_trees(T1, jr.key(1), jnp.zeros((4, 3)), 60_000)
    for values, p in ((drawn[2][:, 1], [1 / 3, 1 / 6, 1 / 2]), (drawn[0], [1 / 3] * 3)):
        share = np.bincount(np.asarray(values).reshape(-1)) / 60_000
        p = np.array(p)
        assert np.all(np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / 60_000))
    for tree in zip(*(np.asarray(level)[:50] for level in drawn), strict=True):
        for rules, above, below in zip(T1.rules, tree[:-1], tree[1:], strict=True):
            tuples = np.asarray(rules)[above]
            assert np.all(np.any(np.all(tuples == below.reshape(-1, 1, 2), -1), -1))


# Sizes of the papers


@pytest.fixture(scope="module")
def deep():
    return RandomHierarchy.draw(jr.key(0), *DEEP)


@pytest.mark.slow
@pytest.mark.long
def test_evidence_of_a_valid_word_is_its_probability(deep):
    """Section 6.4: -2130.7344330413, float32 to 1e-6; all-masked words have 1."""
    word = jax.jit(lambda key: deep.sample_tree(key)[-1])(jr.key(1))
    logits = jnp.array(hard(np.asarray(word), 32))
    nothing = jnp.zeros_like(logits)
    value = jax.jit(lambda law, logits: law.log_evidence(logits))
    assert abs(value(deep, logits) + 2130.7344330413) < 1e-9
    assert abs(value(deep, nothing)) < 1e-9
    assert abs(log_number_of_trees(deep) - ENTROPY) < 1e-9
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == float else leaf, deep
    )
    rough = value(single, logits.astype(jnp.float32))
    assert abs(rough + 2130.7344330413) < 2130.7 * 1e-6
    beliefs = jax.jit(lambda law, logits: law.beliefs(logits))
    for level, size in zip(
        beliefs(deep, nothing).marginals, deep.symbols_of_levels, strict=True
    ):
        np.testing.assert_allclose(level.sum(axis=1), 1, rtol=1e-12)
        assert level.shape[1] == size
    # Noise of any strength, in float32: no NaN, and marginals as in float64.
    rng = np.random.default_rng(0)
    for snr in (1.0, 6.75, 1e4):
        own = hard(np.asarray(word), 32) == 0
        noised = snr * own + np.sqrt(snr) * rng.normal(size=own.shape)
        noised = jnp.array(noised.astype(np.float32))
        rough = beliefs(single, noised)
        fine = beliefs(deep, noised.astype(float))
        for a, b in zip(rough.marginals, fine.marginals, strict=True):
            assert np.abs(np.asarray(a, float) - b).max() < 1e-4
        leaf = np.abs(np.asarray(rough.marginals[-1], float) - fine.marginals[-1])
        assert leaf.mean() < 1e-6


@pytest.mark.slow
def test_float32_marginals_of_small_trees():
    """Section 6.20: within 1e-6 of float64."""
    law = RandomHierarchy.draw(jr.key(3), 8, 3, 2, 3)
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == float else leaf, law
    )
    rng = np.random.default_rng(1)
    rows = jnp.array(rng.normal(scale=3, size=(20, 8, 8)).astype(np.float32))
    fine, rough = ask_all(law, rows.astype(float)), ask_all(single, rows)
    for a, b in zip(rough.marginals, fine.marginals, strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_nothing_seen_returns_priors():
    beliefs, _ = ask(T1, jnp.zeros((4, 3)))
    true = listed(T1, np.zeros((4, 3)))
    assert abs(beliefs.log_evidence) < 1e-15
    for level, marginal in zip(beliefs.marginals, true.marginals, strict=True):
        np.testing.assert_allclose(level, marginal, atol=1e-15)


# Contradictions


def test_contradictory_evidence_is_flagged_and_never_nan():
    # The pair (0, 1) has no parent; the other pair is (0, 0), grown from symbol 0.
    broken = np.stack([hard(np.array([0, 1, 0, 0]), 3), hard(CLEAN, 3)])
    found = ask_all(T1, jnp.array(broken))
    np.testing.assert_array_equal(found.contradictory, [True, False])
    assert found.log_evidence[0] == -np.inf
    # What is below the node that contradicts itself is left out.
    seen = broken[0].copy()
    seen[:2] = 0
    true = listed(T1, seen)
    for level, marginal in zip(found.marginals, true.marginals, strict=True):
        np.testing.assert_allclose(level[0], marginal, atol=1e-12)
    both = lambda row: (
        T1.posterior_sample(jr.key(0), row),
        T1.label_log_posterior(row),
    )
    word, labels = jax.jit(both)(jnp.array(broken[0]))
    assert np.all((np.asarray(word) >= 0) & (np.asarray(word) < 3))
    np.testing.assert_allclose(np.exp(labels), true.marginals[0][0], atol=1e-12)
    for gradient in gradients(T1, jnp.array(broken)):
        assert not np.any(np.isnan(gradient))
    # A site without a possible symbol, and a root that is excluded.
    nowhere = np.zeros((4, 3))
    nowhere[2] = -np.inf
    only = T1.restrict(jnp.array([True, False, False]))
    for law, logits in ((T1, nowhere), (only, hard(CLEAN, 3))):
        beliefs, _ = ask(law, jnp.array(logits))
        assert beliefs.contradictory
        assert beliefs.log_evidence == -np.inf
        for level in beliefs.marginals:
            np.testing.assert_allclose(level.sum(axis=1), 1, rtol=1e-12)


# Rules and words


@pytest.mark.slow
def test_rules_are_distinct_and_uniform():
    """Unambiguous by construction, also where few tuples of many are drawn."""
    draws = jax.jit(
        jax.vmap(lambda key: RandomHierarchy.draw(key, 3, 2, 2, 2, num_classes=4).rules)
    )
    rules = draws(jr.split(jr.key(0), 4000))
    for table, parents in zip(rules, (4, 3), strict=True):
        code = np.asarray(table[..., 0] * 3 + table[..., 1]).reshape(4000, -1)
        assert code.shape[1] == 2 * parents
        assert np.all(np.diff(np.sort(code, axis=1), axis=1) > 0)
        share = np.bincount(code[:, 1], minlength=9) / 4000
        assert np.all(np.abs(share - 1 / 9) < 4.5 * np.sqrt(8 / 81 / 4000))
    wide = RandomHierarchy.draw(jr.key(1), 200, 100, 3, 1, num_classes=300).rules[0]
    assert wide.shape == (300, 100, 3)
    assert len(np.unique(np.asarray(wide).reshape(-1, 3), axis=0)) == 30_000
    again = RandomHierarchy.draw(jr.key(1), 200, 100, 3, 1, num_classes=300).rules[0]
    np.testing.assert_array_equal(wide, again)


def test_sizes_weights_and_ambiguity():
    law = RandomHierarchy.draw(
        jr.key(2),
        4,
        (5, 2, 1),
        2,
        3,
        num_classes=2,
        rule_weights=(zipf_weights(5, 1.0), None, None),
    )
    assert law.symbols_of_levels == (2, 4, 4, 4)
    assert [table.shape for table in law.rules] == [(2, 5, 2), (4, 2, 2), (4, 1, 2)]
    expected = np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    np.testing.assert_allclose(
        np.exp(law.log_rule_weights[0][1]), expected / expected.sum(), rtol=1e-14
    )
    loose = RandomHierarchy.draw(jr.key(0), 2, 9, 2, 2, ambiguous=True)
    trees, log_p = enumerate_trees(loose.restrict(jnp.array([True, False])))
    assert abs(np.logaddexp.reduce(log_p)) < 1e-12
    assert len(np.unique(trees[-1], axis=0)) < len(trees[-1])


def test_numbers_of_data():
    """24 words, all different, each with probability 1/24."""
    trees, log_p = enumerate_trees(T1)
    assert len(np.unique(trees[-1], axis=0)) == 24
    np.testing.assert_allclose(np.exp(log_p), 1 / 24, rtol=1e-14)
    assert abs(log_number_of_trees(T1) - np.log(24)) < 1e-14
    with pytest.raises(ValueError, match="at most 2\\^20"):
        enumerate_trees(RandomHierarchy.draw(jr.key(0), 8, 4, 2, 4))


def covariance_square(law: RandomHierarchy) -> jax.Array:
    """Mean square covariance of the one-hots of the first and the last leaf."""
    nothing = jnp.zeros((law.num_sites, law.num_symbols))
    first = lambda row: law.marginals(nothing.at[-1].set(row))[0]
    return jnp.mean(jax.jacfwd(first)(nothing[-1]) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(("v", "m", "height"), [(16, 4, 1), (16, 4, 2), (32, 8, 3)])
def test_covariance_of_leaves_falls_with_height(v, m, height):
    """Section 1.1 over 400 tables, within 3 %: leaves whose ancestor is the root.

    Below a node that is not a root, symbols are no longer uniform, and more.
    """
    draw = lambda key: RandomHierarchy.draw(key, v, m, 2, height)
    squares = jax.jit(
        lambda keys: jax.lax.map(lambda key: covariance_square(draw(key)), keys)
    )
    mean = np.asarray(squares(jr.split(jr.key(5), 400))).mean()
    formula = (1 - m / v) / (v**3 * m ** (2 * height - 1))
    ratio = np.sqrt(mean / formula) / (1 - 1 / v) ** height
    assert abs(ratio - 1) < 0.03


@jax.jit
def valid_shares(keys):
    """Of 200 random words of each of some random laws."""

    def one(key):
        law = RandomHierarchy.draw(key, 4, 2, 2, 3)
        words = jr.randint(key, (200, 8), 0, 4)
        nodes = jax.vmap(lambda word: valid_nodes(law, word))(words)
        return jnp.stack([level.mean() for level in nodes[::-1]])

    return jax.vmap(one)(keys)


@pytest.mark.slow
def test_validity_of_data_and_of_noise():
    """Section 6.16: 1 for data, f^((s^h - 1)/(s - 1)) for random words, 4 s.e."""
    fractions = np.asarray(valid_shares(jr.split(jr.key(0), 200)))
    mean, error = fractions.mean(0), fractions.std(0) / np.sqrt(200)
    assert np.all(np.abs(mean - 0.5 ** np.array([1, 3, 7])) < 4 * error + 1e-12)
    words = jnp.array(enumerate_trees(T1).trees[-1])
    np.testing.assert_array_equal(validity(T1, words), 1)
    some = jnp.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 7, 0]])
    np.testing.assert_array_equal(validity(T1, some), [4 / 6, 1 / 3])
    pairs, root = valid_nodes(T1, some[0])[::-1]
    np.testing.assert_array_equal(pairs, [False, True])
    np.testing.assert_array_equal(root, [False])
    assert copies(words, words[:6]) == 0.25
    assert copies(words, some[:1]) == 0


@pytest.mark.slow
def test_restriction_and_moments():
    only = T1.restrict(jnp.array([True, False, True]))
    logits = np.random.default_rng(0).normal(size=(4, 3))
    beliefs, _ = ask(only, jnp.array(logits))
    latents = {0: np.log([[1.0, 1e-300, 1.0]])}
    true = listed(T1, logits, latents)
    np.testing.assert_allclose(beliefs.marginals[1], true.marginals[1], atol=1e-12)
    values = np.array([0.5, -1.0, 2.0])
    numbers_ = values[enumerate_trees(T1).trees[-1]]
    moments = eqx.filter_jit(lambda law, values: law.moments(values))(
        T1, jnp.array(values)
    )
    np.testing.assert_allclose(moments.mean, numbers_.mean(0), atol=1e-14)
    centred = numbers_ - numbers_.mean(0)
    np.testing.assert_allclose(
        moments.covariance(), centred.T @ centred / 24, atol=1e-13
    )
    # 6.7: the variance of one-hots is 23 / 9.
    covariance = jax.jit(lambda: OneHot(T1).moments().covariance())()
    assert abs(np.trace(covariance) - 23 / 9) < 1e-12


@pytest.mark.slow
def test_laws_stand_side_by_side():
    """A batch of rule tables is one program."""
    keys = jr.split(jr.key(7), 3)
    many = jax.vmap(lambda key: RandomHierarchy.draw(key, 3, 2, 2, 2))(keys)
    logits = jnp.array(np.random.default_rng(0).normal(size=(4, 3)))
    found = jax.jit(jax.vmap(lambda law: law.log_evidence(logits)))(many)
    for key, value in zip(keys, found, strict=True):
        law = RandomHierarchy.draw(key, 3, 2, 2, 2)
        assert abs(listed(law, np.asarray(logits)).log_evidence - value) < 1e-12


@pytest.mark.slow
def test_words_as_evidence():
    """Every word of the law, and words with holes, against the list of all trees."""
    words = enumerate_trees(T1).trees[-1]
    for word in words[::5]:
        assert T1.log_evidence(word_evidence(T1, word)) == pytest.approx(-np.log(24))
    masked = np.where([True, False, False, True], CLEAN, -1)
    found = float(T1.log_evidence(word_evidence(T1, masked)))
    fits = np.all((words == masked) | (masked == -1), axis=1)
    assert found == pytest.approx(np.log(fits.mean()))


# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHierarchy.draw(jr.key(0), 3, 4, 2, 2), "at most 3 rules"),
        (lambda: RandomHierarchy.draw(jr.key(0), 3, 2, 0, 2), "`branching` is 0"),
        (lambda: RandomHierarchy.draw(jr.key(0), 3, (2, 1), 2, 3), "`num_rules`"),
        (lambda: RandomHierarchy.draw(jr.key(0), 2000, 2, 3, 1), "32 bits"),
        (lambda: RandomHierarchy([]), "`rules` is empty"),
        (lambda: RandomHierarchy([[[0, 1]]]), "must be (k, m, s)"),
        (lambda: RandomHierarchy([[[[0.0, 1.0]]]]), "whole numbers"),
        (lambda: RandomHierarchy([[[[0, 3]]]]), "holds the symbol 3"),
        (lambda: RandomHierarchy([[[[0, 0]], [[0, 0]]]]), "(0, 0) more than once"),
        (
            lambda: RandomHierarchy([[[[0, 0]]]], rule_weights=[1.0, 2.0, 3.0]),
            "`rule_weights`",
        ),
        (
            lambda: RandomHierarchy([[[[0, 0], [0, 0]]]], rule_weights=[-1.0, 2.0]),
            "more than once",
        ),
        (lambda: T1.log_evidence(jnp.zeros((4, 2))), "`site_logits` has shape"),
        (lambda: T1.beliefs(jnp.zeros((4, 3)), {2: jnp.zeros((4, 3))}), "level 2"),
        (lambda: T1.beliefs(jnp.zeros((4, 3)), {1: jnp.zeros((1, 3))}), "must be"),
        (lambda: T1.restrict(jnp.zeros(3, bool)), "`mask`"),
        (lambda: validity(T1, jnp.zeros((2, 3), int)), "`words` has shape"),
        (lambda: validity(T1, jnp.zeros((2, 4))), "whole numbers"),
        (lambda: copies(jnp.zeros((2, 3), int), jnp.zeros((2, 4), int)), "one length"),
        (
            lambda: copies(jnp.zeros((0, 4), int), jnp.zeros((2, 4), int)),
            "at least one",
        ),
        (lambda: word_evidence(T1, [0, 1, 2]), "`word` has shape (3,)"),
        (lambda: word_evidence(T1, [0, 1, 2, 3]), "`word` holds 3; symbols of the"),
        (lambda: word_evidence(T1, [0, -2, 0, 0]), "`word` holds -2"),
        (lambda: word_evidence(T1, [0.0, 1.0, 0.0, 0.0]), "whole numbers"),
        # (0, 1) has no parent; (0, 0) and (0, 0) have, and these none together.
        (lambda: word_evidence(T1, [0, 0, 0, 1]), "level 1 has the leaves 2 ... 3"),
        (lambda: word_evidence(T1, [0, 0, 0, 0]), "level 0 has the leaves 0 ... 3"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
