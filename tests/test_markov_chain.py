"""Chains of many symbols, and flat mixtures, at sizes beyond sums over all words."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.targets import IsingChain, MarkovChain, TokenMixture

N, Q = 1000, 5


def rows(*shape: int, seed: int) -> np.ndarray:
    """Probabilities along the last axis, some of them small."""
    return np.random.default_rng(seed).dirichlet(np.full(shape[-1], 0.3), shape[:-1])


def chain(num_sites: int = N) -> MarkovChain:
    return MarkovChain(rows(2, Q, seed=1), rows(2, Q, Q, seed=2), num_sites, [0.3, 0.7])


def flat() -> TokenMixture:
    return TokenMixture(rows(3, Q, seed=3), N)


@eqx.filter_jit
def ask(law, logits):
    return (
        law.log_evidence(logits),
        law.label_log_posterior(logits),
        law.marginals(logits),
        law.posterior_sample(jr.key(0), logits),
    )


def log_sum(terms: np.ndarray, axis: int) -> np.ndarray:
    top = np.maximum(terms.max(axis=axis, keepdims=True), np.finfo(np.float64).min)
    with np.errstate(divide="ignore"):
        return np.squeeze(top, axis) + np.log(np.exp(terms - top).sum(axis=axis))


def log_evidence_of_classes(law, logits: np.ndarray) -> np.ndarray:
    """Plain forward recursions in extended precision."""
    long = lambda a: np.asarray(a).astype(np.longdouble)
    normal = lambda a: long(a) - log_sum(long(a), axis=-1)[..., None]
    logits = long(logits)
    if isinstance(law, TokenMixture):
        terms = log_sum(normal(law.log_emissions)[None] + logits[:, None], axis=2)
        return terms.sum(axis=0)
    log_p, steps = normal(law.log_initial), normal(law.log_transitions)
    for i, logit in enumerate(logits):
        log_p = log_sum(log_p[:, :, None] + steps, axis=1) if i else log_p
        log_p = log_p + logit
    return log_sum(log_p, axis=1)


def check(law, logits: np.ndarray, relative: float, odds: float) -> None:
    answers = map(np.asarray, ask(law, jnp.asarray(logits)))
    log_evidence, labels, marginals, word = answers
    joint = log_evidence_of_classes(law, logits) + np.asarray(law.log_weights)
    total = log_sum(joint, axis=0)
    rounding = np.finfo(log_evidence.dtype).eps
    assert abs(log_evidence - total) <= relative * abs(total) + rounding
    np.testing.assert_allclose(
        np.exp(labels), np.exp(joint - total).astype(float), 0, odds
    )
    np.testing.assert_allclose(marginals.sum(axis=1), 1, rtol=relative)
    assert np.all(np.isfinite(logits[np.arange(N), word]))


def long_evidence(scale: float, dtype: type) -> np.ndarray:
    """Of one sign: sites do not cancel, and small errors show at any scale."""
    rng = np.random.default_rng(5)
    logits = -scale * rng.exponential(size=(N, Q))
    logits[::3] = 0.0
    if scale >= 0.1:
        logits[1::7, 2] = -np.inf
    return logits.astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("law", [chain(), flat()])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.1, 1.0, 30.0])
def test_a_thousand_sites(law, scale):
    check(law, long_evidence(scale, np.float64), 1e-12, 1e-11)


@pytest.mark.f32
@pytest.mark.parametrize("law", [chain(), flat()])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.1, 1.0, 30.0])
def test_a_thousand_sites_in_single_precision(law, scale):
    assert law.log_weights.dtype == jnp.float32
    check(law, long_evidence(scale, np.float32), 1e-6, 1e-5)


@pytest.mark.f32
def test_close_classes_in_single_precision():
    """Log-evidence of some thousand rounds by 1e-3, the odds of classes must not."""
    rng, steps = np.random.default_rng(7), rows(Q, Q, seed=2)
    near = steps * np.exp(0.002 * rng.normal(size=(2, Q, Q)))
    near = near / near.sum(axis=-1, keepdims=True)
    tokens = TokenMixture(near[:, 0], N)
    for law in (MarkovChain(rows(Q, seed=1), near, N), tokens):
        undecided = 0
        for scale in (10.0, 20.0, 30.0, 40.0):
            logits = long_evidence(scale, np.float32)
            joint = log_evidence_of_classes(law, logits)
            true = np.exp(joint - log_sum(joint, axis=0)).astype(float)
            got = np.exp(np.asarray(ask(law, jnp.asarray(logits))[1]))
            np.testing.assert_allclose(got, true, rtol=0, atol=1e-5)
            undecided += 0.02 < true[0] < 0.98
        assert undecided >= 2


@pytest.mark.slow
def test_a_chain_of_two_symbols_is_an_ising_chain():
    couplings, n = np.array([0.2, 0.8, -1.1]), 100
    stay = 1 / (1 + np.exp(-2 * couplings))
    steps = np.array([[[p, 1 - p], [1 - p, p]] for p in stay])
    ours = MarkovChain([0.5, 0.5], steps, n)
    ising = IsingChain(couplings, n)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(n, 2)))
    for got, true in zip(ask(ours, logits)[:3], ask(ising, logits)[:3], strict=True):
        np.testing.assert_allclose(got, true, rtol=1e-11, atol=1e-13)
    values = jnp.array([-1.0, 3.0])
    moments = eqx.filter_jit(lambda law: law.moments(values).covariance())
    np.testing.assert_allclose(moments(ours), moments(ising), rtol=1e-11, atol=1e-12)


def test_what_classes_share_is_given_once():
    first, step = rows(3, seed=1), rows(3, 3, seed=2)
    many = MarkovChain(np.tile(first, (2, 1)), np.tile(step, (2, 1, 1)), 4)
    for law in (
        MarkovChain(first, np.tile(step, (2, 1, 1)), 4),
        MarkovChain(np.tile(first, (2, 1)), step, 4),
    ):
        assert eqx.tree_equal(law, many)
    assert MarkovChain(first, step, 4).num_labels == 1


@pytest.mark.slow
def test_evidence_that_no_class_can_give():
    """Symbols alternate; two equal neighbours are possible one by one only."""
    law = MarkovChain([1.0, 0.0], [[0.0, 1.0], [1.0, 0.0]], 3)
    unlike = TokenMixture([[1.0, 0.0], [0.0, 1.0]], 3)
    logits = jnp.full((3, 2), -jnp.inf).at[jnp.arange(3), jnp.array([0, 1, 1])].set(0)
    for one, prior in ((law, [[1, 0], [0, 1], [1, 0]]), (unlike, [[0.5, 0.5]] * 3)):
        log_evidence, labels, marginals, word = ask(one, logits)
        assert log_evidence == -np.inf
        np.testing.assert_array_equal(labels, one.log_label_prior())
        np.testing.assert_allclose(marginals, prior, rtol=1e-15)
        assert all(np.asarray(prior)[np.arange(3), np.asarray(word)] > 0)


@pytest.mark.slow
def test_parameters_have_gradients():
    """Against central differences; of a zero only its own slope is none."""
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(6, 3)))
    initial, steps = jnp.asarray(rows(2, 3, seed=1)), jnp.asarray(rows(2, 3, 3, seed=2))
    values = jnp.array([1.0, -1.0, 0.5])

    @jax.jit
    def value(initial, steps):
        law = MarkovChain(initial, steps, 6)
        covariance = law.moments(values).covariance()
        return law.log_evidence(logits) + law.marginals(logits)[3, 1] + covariance[1, 4]

    slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(initial, steps)
    for which, at in ((0, (1, 2)), (1, (0, 1, 2)), (1, (1, 2, 0))):
        move = [jnp.zeros_like(initial), jnp.zeros_like(steps)]
        move[which] = move[which].at[at].set(1e-6)
        ends = [value(initial + s * move[0], steps + s * move[1]) for s in (1, -1)]
        slope = (ends[0] - ends[1]) / 2e-6
        assert abs(slopes[which][at] - slope) < 1e-7 * (1 + abs(slope))


def test_what_cannot_be_a_law_is_refused():
    first, step = rows(2, 3, seed=1), rows(2, 3, 3, seed=2)
    for initial, steps in (
        (first, step[:1].repeat(3, 0)),
        (first[:, :2] / first[:, :2].sum(1, keepdims=True), step),
        (first[None], step),
        (first[0], step[0, 0]),
    ):
        with pytest.raises(ValueError, match="`transitions`"):
            MarkovChain(initial, steps, 4)
    with pytest.raises(ValueError, match="`initial`"):
        MarkovChain(2 * first, step, 4)
    for wrong in (step - 0.5, np.full_like(step, np.nan)):
        with pytest.raises(ValueError, match="`transitions`"):
            MarkovChain(first, wrong, 4)
    with pytest.raises(ValueError, match="two symbols"):
        TokenMixture([[1.0]], 4)
    with pytest.raises(ValueError, match=r"must be \(K, q\)"):
        TokenMixture(first[0], 4)
    for build in (
        lambda n: MarkovChain(first, step, n),
        lambda n: TokenMixture(first, n),
    ):
        for n in (0, -1, True):
            with pytest.raises(ValueError, match="`num_sites`"):
                build(n)
        with pytest.raises(ValueError, match="`values`"):
            build(4).moments(jnp.zeros(2))
        with pytest.raises(ValueError, match="`site_logits`"):
            build(4).log_evidence(jnp.zeros((3, 3)))
    with pytest.raises(ValueError, match="`weights`"):
        TokenMixture(first, 4, [0.5, 0.6])
