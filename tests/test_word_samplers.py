"""Samplers of words: their exact laws on a hierarchy of 24 words, and their limits."""

import itertools
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from grown import CLEAN, NOISED, T1, listed

from jaxwin.channels import Gaussian, Masking, UniformCorruption
from jaxwin.processes import DiscreteDDPM, OrnsteinUhlenbeck
from jaxwin.samplers import (
    Ancestral,
    EulerMaruyama,
    HeunFlow,
    masked_ancestral,
    sample_block,
    uniform_ancestral,
    unmasking_bias,
)
from jaxwin.scores import ExactScore
from jaxwin.targets import MarkovChain, OneHot
from jaxwin.targets.random_hierarchy import enumerate_trees

COUNT = 20_000
WORDS = np.array(list(itertools.product(range(3), repeat=4)))
PLACES = np.array([27, 9, 3, 1])
LEAVES = enumerate_trees(T1).trees[-1]
STARTS = {"all": [-1] * 4, "two": [1, -1, -1, 0], "three": [-1, 0, -1, -1]}


def of_words(posterior: np.ndarray) -> np.ndarray:
    """Probabilities of all 81 words from those of the 24 trees."""
    return np.bincount(LEAVES @ PLACES, posterior, minlength=81)


def of_masked(word) -> np.ndarray:
    """The posterior of a partly masked word, by listing the trees."""
    seen = np.asarray(word)[:, None]
    possible = (seen == -1) | (seen == np.arange(3))
    return of_words(listed(T1, np.where(possible, 0.0, -np.inf)).posterior)


def frequencies(words) -> np.ndarray:
    return np.bincount(np.asarray(words) @ PLACES, minlength=81) / len(words)


def distance(p: np.ndarray, q: np.ndarray) -> float:
    return 0.5 * np.abs(p - q).sum()


def assert_drawn_from(words, p: np.ndarray):
    """Every word within 4.5 standard errors; those of fewer than 10 draws together."""
    found, n = frequencies(words), len(words)
    assert np.all(found[p == 0] == 0)
    rare = n * p < 10
    pairs = [
        *zip(found[~rare], p[~rare], strict=True),
        (found[rare].sum(), p[rare].sum()),
    ]
    for seen, true in pairs:
        assert abs(seen - true) <= 4.5 * np.sqrt(true * (1 - true) / n) + 1e-12


# Masked words


@partial(jax.jit, static_argnums=(2, 3))
def unmask(word, keys, per_step, order):
    one = lambda key: masked_ancestral(T1, word, key, per_step, order)
    return jax.vmap(one)(keys)


unmask_each = jax.jit(jax.vmap(lambda word, key: masked_ancestral(T1, word, key, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("order", ["random", "left"])
@pytest.mark.parametrize("start", STARTS)
def test_one_site_a_step_is_exact(start, order):
    word = STARTS[start]
    found = unmasking_bias(T1, jnp.array(word), 1, order)
    assert found.total_variation <= 1e-12
    exact = of_masked(word)
    for p in (found.sampled, found.posterior):
        np.testing.assert_allclose(p, exact[found.words @ PLACES], rtol=0, atol=1e-12)
    drawn = unmask(jnp.array(word), jr.split(jr.key(3), COUNT), 1, order)
    assert_drawn_from(drawn, exact)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_step", "order"), [(2, "random"), (4, "random"), (2, "left")]
)
@pytest.mark.parametrize("start", ["all", "three"])
def test_sites_at_once_are_biased_as_listed(start, per_step, order):
    """20,000 draws; the set of words that come too often is an event."""
    word = jnp.array(STARTS[start])
    found = unmasking_bias(T1, word, per_step, order)
    p = np.zeros(81)
    p[found.words @ PLACES] = found.sampled
    assert p.sum() == pytest.approx(1, abs=1e-12)
    drawn = unmask(word, jr.split(jr.key(4), COUNT), per_step, order)
    assert_drawn_from(drawn, p)
    more = p > (exact := of_masked(word))
    estimate = frequencies(drawn)[more].sum() - exact[more].sum()
    share = p[more].sum()
    stderr = np.sqrt(share * (1 - share) / COUNT)
    assert abs(estimate - found.total_variation) < 4 * stderr
    assert found.total_variation > 0.1


def test_all_at_once_is_the_product_of_marginals():
    found = unmasking_bias(T1, jnp.array([-1] * 4), 4)
    sites = np.stack([np.eye(3)[LEAVES[:, i]].mean(axis=0) for i in range(4)])
    product = sites[np.arange(4), found.words].prod(axis=1)
    np.testing.assert_allclose(found.sampled, product, rtol=0, atol=1e-14)
    beyond = unmasking_bias(T1, jnp.array([-1] * 4), 9)
    np.testing.assert_array_equal(beyond.sampled, found.sampled)


def test_bias_on_the_hierarchy():
    """By hand: two groups of the order "left" are the halves of the word."""
    found = unmasking_bias(T1, jnp.array([-1] * 4), 2, "left")
    halves = of_words(np.full(24, 1 / 24)).reshape(9, 9)
    first = np.stack([np.eye(3)[LEAVES[:, i]].mean(axis=0) for i in (0, 1)])
    begun = np.outer(*first).reshape(-1)
    # Beginnings that no tree has are answered by the law's convention; the others here.
    for half in np.flatnonzero(halves.sum(axis=1)):
        rest = halves[half].reshape(3, 3) / halves[half].sum()
        product = np.outer(rest.sum(axis=1), rest.sum(axis=0)).reshape(-1)
        ends = found.sampled.reshape(9, 9)[half]
        np.testing.assert_allclose(ends, begun[half] * product, atol=1e-14)
    printed = {1: 0.0, 2: 0.295416988, 3: 0.275173611, 4: 0.596064815}
    for per_step, value in printed.items():
        found = unmasking_bias(T1, jnp.array([-1] * 4), per_step)
        assert abs(found.total_variation - value) < 6e-10


def test_another_law():
    """A chain of 5 sites with 2 symbols: independent sites have no bias, others do."""
    coin, sticky = [[0.3, 0.7], [0.3, 0.7]], [[0.9, 0.1], [0.2, 0.8]]
    word = jnp.array([-1, -1, 1, -1, -1])
    free, bound = (MarkovChain([0.4, 0.6], table, 5) for table in (coin, sticky))
    assert unmasking_bias(free, word, 4).total_variation < 1e-12
    assert unmasking_bias(bound, word, 1).total_variation < 1e-12
    assert unmasking_bias(bound, word, 4).total_variation > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("per_step", [1, 2])
def test_nothing_masked_is_left_alone(per_step):
    word = jnp.array(CLEAN)
    back = unmask(word, jr.split(jr.key(0), COUNT), per_step, "random")
    assert back.dtype == word.dtype
    np.testing.assert_array_equal(back, np.tile(CLEAN, (COUNT, 1)))
    assert unmasking_bias(T1, word, per_step).total_variation == 0


@pytest.mark.slow
def test_words_of_a_block_are_those_of_each():
    """Words with different numbers of masks run together as they run alone."""
    starts = np.array([*STARTS.values(), CLEAN])
    words, keys = np.tile(starts, (COUNT // 4, 1)), jr.split(jr.key(5), COUNT)
    together = np.asarray(unmask_each(jnp.array(words), keys))
    for i, word in enumerate(starts):
        alone = unmask(jnp.array(word), keys, 2, "random")
        np.testing.assert_array_equal(together[i::4], alone[i::4])
    np.testing.assert_array_equal(np.where(words == -1, together, words), together)


# Uniform corruption


def quadratic(eps: float, steps: int) -> np.ndarray:
    return eps * np.linspace(1, 0, steps + 1) ** 2


def uniform(eps: float, steps: int) -> np.ndarray:
    return np.linspace(eps, 0, steps + 1)


def likelihood(eps: float) -> np.ndarray:
    same = WORDS[:, None] == LEAVES[None]
    return np.where(same, 1 - eps + eps / 3, eps / 3).prod(axis=2)


def chain(noises: np.ndarray, first: int) -> np.ndarray:
    """The exact law of the end: products of 81 x 81 transition matrices."""
    kernel = lambda eps: (1 - eps) * np.eye(3) + eps / 3
    law = np.eye(81)[first]
    for t, s in itertools.pairwise(noises):
        posterior = likelihood(t) / likelihood(t).sum(axis=1, keepdims=True)
        clean = np.einsum("xt,tia->xia", posterior, np.eye(3)[LEAVES])
        # q(x_s = b | x_t = c, x0 = a), by Bayes' rule on the three symbols.
        bridge = kernel((t - s) / (1 - s)).T[:, None] * kernel(s)[None]
        bridge = bridge / bridge.sum(axis=2, keepdims=True)
        sites = np.einsum("xia,xiab->xib", clean, bridge[WORDS])
        each = np.array([sites[:, i][:, WORDS[:, i]] for i in range(4)])
        law = law @ each.prod(axis=0)
    return law


def bias(noises: np.ndarray, first: int) -> float:
    at_start = likelihood(noises[0])[first]
    return distance(chain(noises, first), of_words(at_start / at_start.sum()))


@jax.jit
def uncorrupt(word, noises, keys):
    return jax.vmap(lambda key: uniform_ancestral(T1, word, noises, key))(keys)


@pytest.mark.slow
@pytest.mark.parametrize("first", [27, 5], ids=["a word", "no word"])
@pytest.mark.parametrize("eps", [0.5, 1.0])
def test_draws_of_the_reverse_chain(eps, first):
    noises = uniform(eps, 6)
    keys = jr.split(jr.key(6), COUNT)
    drawn = uncorrupt(jnp.array(WORDS[first]), jnp.array(noises), keys)
    assert_drawn_from(drawn, chain(noises, first))


def test_draws_that_stop_before_the_clean_end():
    noises = uniform(0.8, 4)[:3]
    keys = jr.split(jr.key(8), COUNT)
    drawn = uncorrupt(jnp.array(CLEAN), jnp.array(noises), keys)
    assert_drawn_from(drawn, chain(noises, 27))


@pytest.mark.slow
@pytest.mark.parametrize("first", [27, 5, 40])
def test_order_of_the_reverse_chain(first):
    """Total variation by regression over four doublings: 1 / steps, up to a log."""
    steps = np.array([50, 100, 200, 400, 800])
    found = np.array([bias(quadratic(0.5, n), first) for n in steps])
    slope = np.polyfit(np.log(steps), np.log(found), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)
    assert found[2] < 0.01
    # On a uniform grid steps x bias is a straight line in log(steps).
    found = steps * [bias(uniform(0.5, n), first) for n in steps]
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(np.diff(found, 2), 0, atol=0.1 * np.diff(found)[0])


def test_one_step_is_the_product_of_marginals():
    clean = likelihood(0.5)[5] @ np.eye(3)[LEAVES].reshape(24, -1)
    sites = (clean / likelihood(0.5)[5].sum()).reshape(4, 3)
    product = sites[np.arange(4), WORDS].prod(axis=1)
    np.testing.assert_allclose(chain(uniform(0.5, 1), 5), product, atol=1e-14)


@pytest.mark.slow
def test_many_steps_draw_from_the_posterior():
    """100 quadratic steps, bias 0.003 (exact): 20,000 draws are within 0.02."""
    observation, noises = jnp.array(WORDS[27]), jnp.array(quadratic(0.5, 100))
    drawn = uncorrupt(observation, noises, jr.split(jr.key(9), COUNT))
    logits = UniformCorruption().site_logits(T1, observation, 0.5)
    exact = of_words(listed(T1, np.asarray(logits)).posterior)
    assert distance(frequencies(drawn), exact) < 0.02


# Diffusion of one-hot points


OU, TARGET = OrnsteinUhlenbeck(), OneHot(T1)
START = -0.5 * np.log(0.36)
run = eqx.filter_jit(sample_block)


def rounded(points) -> np.ndarray:
    return np.asarray(points).reshape(-1, 4, 3).argmax(axis=2)


def noised_posterior() -> np.ndarray:
    return of_words(listed(T1, 0.6 / 0.64 * NOISED).posterior)


def reverse(step, process, times, key):
    xs = jnp.tile(jnp.array(NOISED.reshape(-1)), (COUNT, 1))
    return rounded(run(step, ExactScore(TARGET, process), xs, times, jr.key(key)))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("step", [Ancestral(), EulerMaruyama()], ids=["DDPM", "SDE"])
def test_reverse_chains_end_as_posterior_draws(step):
    """Section 6.2: 400 geometric steps, 20,000 paths; 0.0116 is the floor of these."""
    words = reverse(step, OU, jnp.geomspace(START, 1e-3, 401), 0)
    exact = noised_posterior()
    assert np.all(frequencies(words)[exact == 0] == 0)
    assert distance(frequencies(words), exact) < 0.02


@pytest.mark.slow
def test_discrete_schedule_ends_as_posterior_draws():
    """From abar = 0.36 through every index of 200 below it to the clean -1."""
    table = DiscreteDDPM(1000).respaced(200, "linspace")
    start = float(table.time_of_log_alpha(jnp.log(0.6)))
    times = jnp.array([start, *np.arange(np.floor(start), -2, -1)])
    words = reverse(Ancestral(), table, times, 1)
    exact = noised_posterior()
    assert np.all(frequencies(words)[exact == 0] == 0)
    assert distance(frequencies(words), exact) < 0.02


@pytest.mark.slow
def test_flow_has_the_law_of_words_but_no_posterior():
    """20,000 noised draws, 30 steps; every word within 4.5 standard errors of 1/24."""
    times = jnp.geomspace(START, 1e-3, 31)

    def noised(key):
        data_key, noise_key = jr.split(key)
        return 0.6 * TARGET.sample(data_key) + 0.8 * jr.normal(noise_key, (12,))

    xs = jax.jit(jax.vmap(noised))(jr.split(jr.key(3), COUNT))
    score = ExactScore(TARGET, OU)
    ends = run(HeunFlow(), score, xs, times, jr.key(0))
    assert_drawn_from(rounded(ends), of_words(np.full(24, 1 / 24)))
    one = jnp.tile(jnp.array(NOISED.reshape(-1)), (4, 1))
    p = frequencies(rounded(run(HeunFlow(), score, one, times, jr.key(0))))
    assert p.max() == 1
    assert distance(p, noised_posterior()) > 0.5


@eqx.filter_jit
def turned(channel, x0, noise, keys):
    def one(key):
        seen = channel.corrupt(key, x0, noise)
        return seen, channel.resample(TARGET, key, seen, noise)

    return jax.vmap(one)(keys)


@pytest.mark.slow
def test_u_turns_of_no_steps_return_the_start():
    """Section 6.18: index -1 is reached by no noising step; masks and noise of 0."""
    table, keys = DiscreteDDPM(1000), jr.split(jr.key(0), 8)
    assert tuple(map(float, table.levels(-1.0))) == (1.0, 0.0)
    word = jnp.array(CLEAN)
    x0 = TARGET.point(word)
    for found in turned(Gaussian(table), x0, -1.0, keys):
        np.testing.assert_array_equal(found, np.tile(x0, (8, 1)))
    for channel in (Masking(), UniformCorruption(3)):
        np.testing.assert_array_equal(channel.corrupt(keys[0], word, 0.0), word)


# Bad input


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ([0, 1, 2], r"has shape \(3,\)"),
        ([0, 1, 2, 3], "holds 3"),
        ([0, -2, 1, 1], "holds -2"),
    ],
)
def test_words_that_are_refused(word, match):
    word, key = jnp.array(word), jr.key(0)
    with pytest.raises(ValueError, match="`word_with_masks` " + match):
        masked_ancestral(T1, word, key)
    with pytest.raises(ValueError, match="`word_with_masks` " + match):
        unmasking_bias(T1, word, 1)
    with pytest.raises(ValueError, match="`observation` " + match):
        uniform_ancestral(T1, word, jnp.array([0.5, 0.0]), key)


@pytest.mark.parametrize(
    ("noises", "match"),
    [
        ([0.5, 0.5, 0.0], "must decrease strictly"),
        ([0.2, 0.5], "must decrease strictly"),
        ([0.5, np.nan], "`noises` is nan"),
        ([1.5, 0.0], r"`noises` is 1.5; it must be in \[0, 1\]"),
        ([0.5, -0.1], "`noises` is -0.1"),
        ([0.5], "at least 2"),
        ([], "at least 2"),
    ],
)
def test_noises_that_are_refused(noises, match):
    with pytest.raises(ValueError, match=match):
        uniform_ancestral(T1, jnp.array(CLEAN), jnp.array(noises, float), jr.key(0))


def test_what_else_is_refused():
    word, key = jnp.array(CLEAN), jr.key(0)
    with pytest.raises(ValueError, match="`observation` holds -1"):
        uniform_ancestral(T1, jnp.array([0, -1, 0, 0]), jnp.array([0.5, 0.0]), key)
    for function in (
        unmasking_bias,
        lambda *a: masked_ancestral(a[0], a[1], key, a[2]),
    ):
        with pytest.raises(ValueError, match="`per_step` is 0"):
            function(T1, word, 0)
    with pytest.raises(ValueError, match="`order` is 'right'"):
        masked_ancestral(T1, word, key, order="right")
    with pytest.raises(ValueError, match="`order` is 'right'"):
        unmasking_bias(T1, word, 1, "right")
    with pytest.raises(ValueError, match="probability zero"):
        unmasking_bias(T1, jnp.array([0, 1, -1, -1]), 1)
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda word: unmasking_bias(T1, word, 1).total_variation)(word)
    long = MarkovChain([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], 20)
    with pytest.raises(ValueError, match="20 masks"):
        unmasking_bias(long, jnp.full(20, -1), 1)
