"""U-turns of trees three ways: marginals, one draw at once, and chains step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.channels import Gaussian, Masking, UniformCorruption
from jaxwin.processes import DiscreteDDPM, OrnsteinUhlenbeck, convert
from jaxwin.samplers import (
    Ancestral,
    masked_ancestral,
    sample,
    uniform_ancestral,
)
from jaxwin.scores import ExactScore
from jaxwin.targets import OneHot, RandomHierarchy

LAW = RandomHierarchy.draw(jr.key(2), 4, 2, 2, 3)
TARGET = OneHot(LAW)
# The schedule of the papers' code for this model: 200 steps.
TABLE = DiscreteDDPM(betas=np.linspace(1e-3, 0.1, 200))
TURNS, INDEX = 3000, 60


def by_level(same) -> jax.Array:
    return jnp.stack([level.mean() for level in same])


def of_words(found, truth):
    """Levels of the trees of words that are unchanged; a word has one tree."""
    hard = jnp.where(
        found[:, None] == jnp.arange(4, dtype=jnp.int32)[None], 0, -jnp.inf
    )
    seen = LAW.beliefs(hard.astype(float))
    trees = [jnp.argmax(level, axis=1).astype(jnp.int32) for level in seen.marginals]
    same = [(a == b).astype(float) for a, b in zip(trees, truth, strict=True)]
    return by_level(same), seen.contradictory


def masked(key, word):
    see, back = jr.split(key)
    observation = Masking().corrupt(see, word, 0.5)
    logits = Masking().site_logits(LAW, observation, 0.5)
    return logits, masked_ancestral(LAW, observation, back)


def replaced(key, word):
    see, back = jr.split(key)
    noises = 0.5 * (1 - jnp.arange(301) / 300) ** 2
    channel = UniformCorruption(4)
    observation = channel.corrupt(see, word, 0.5)
    logits = channel.site_logits(LAW, observation, 0.5)
    return logits, uniform_ancestral(LAW, observation, noises, back)


def diffused(key, word):
    """Through every index of the schedule below the one it was noised to."""
    see, back = jr.split(key)
    channel = Gaussian(TABLE)
    law, bound = channel.bound(LAW)
    seen = bound.corrupt(see, TARGET.point(word), float(INDEX))
    times = jnp.arange(INDEX, -2, -1).astype(float)
    end = sample(Ancestral(), ExactScore(TARGET, TABLE), seen, times, back)
    logits = bound.site_logits(law, seen, float(INDEX))
    return logits, jnp.argmax(end.reshape(8, 4), axis=1).astype(jnp.int32)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("turn", [masked, replaced, diffused])
def test_counts_per_level_agree(turn):
    """The same observations, so that differences are compared: 4 standard errors."""

    @eqx.filter_jit
    @jax.vmap
    def ask(key):
        grow, see, draw = jr.split(key, 3)
        truth = LAW.sample_tree(grow)
        logits, end = turn(see, truth[-1])
        seen = LAW.beliefs(logits)
        exact = [
            jnp.take_along_axis(level, symbols[:, None], 1)
            for level, symbols in zip(seen.marginals, truth, strict=True)
        ]
        once = LAW.posterior_tree(draw, logits)
        same = [(a == b).astype(float) for a, b in zip(once, truth, strict=True)]
        chain, invalid = of_words(end, truth)
        return by_level(exact), by_level(same), chain, invalid

    *counts, invalid = map(np.asarray, ask(jr.split(jr.key(5), TURNS)))
    # Words of parallel steps leave the law at times; those of one site a step do not.
    assert invalid.mean() <= (0.0 if turn is masked else 0.01)
    exact, once, chain = counts
    assert np.all(exact.mean(axis=0) > 0.3)
    assert np.all(exact.mean(axis=0) < 0.98)
    for one, other in ((exact, once), (exact, chain), (once, chain)):
        apart = one - other
        error = apart.std(axis=0, ddof=1) / np.sqrt(TURNS)
        assert np.all(np.abs(apart.mean(axis=0)) < 4 * error)
    # The average of marginals says the same with less scatter.
    assert np.all(exact.std(axis=0) < once.std(axis=0))


def test_clocks_of_the_schedule():
    """Section 6.18: gamma, abar, OU time, sigma and the step number, to 1e-12."""
    betas = np.linspace(1e-3, 0.1, 200)
    assert tuple(map(float, TABLE.levels(-1.0))) == (1.0, 0.0)
    assert TABLE.num_steps == 200
    for index in (0, INDEX, 199):
        abar = np.prod(1 - betas[: index + 1])
        alpha, sigma = map(float, TABLE.levels(float(index)))
        assert alpha**2 == pytest.approx(abar, rel=1e-12)
        assert sigma**2 == pytest.approx(1 - abar, rel=1e-12)
        gamma = abar / (1 - abar)
        assert float(TABLE.log_snr(float(index))) == pytest.approx(np.log(gamma))
        time, inside = convert(float(index), TABLE, OrnsteinUhlenbeck())
        assert bool(inside)
        assert float(time) == pytest.approx(0.5 * np.log1p(1 / gamma), rel=1e-12)
        back, _ = convert(time, OrnsteinUhlenbeck(), TABLE)
        assert float(back) == pytest.approx(index, abs=1e-10)
    with pytest.raises(ValueError, match=r"`betas` of shape \(2,\)"):
        DiscreteDDPM(betas=[0.1, 1.0])
    with pytest.raises(ValueError, match=r"`betas` of shape \(0,\)"):
        DiscreteDDPM(betas=[])
