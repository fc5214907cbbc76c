"""Hierarchies at the ends: almost no noise, noises off the clock, unknown symbols."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from grown import T1

from jaxwin.analysis import hierarchy
from jaxwin.channels import Gaussian, Masking, Observed, UniformCorruption
from jaxwin.report._hierarchy_grid import fractions, mean_field_grid, pilot_grid
from jaxwin.report._hierarchy_sizes import Sizes
from jaxwin.targets import RandomHierarchy

single = lambda law: jax.tree.map(
    lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == float else leaf, law
)


@pytest.mark.slow
@pytest.mark.parametrize("law", [T1, single(T1)], ids=["float64", "float32"])
def test_all_is_told_where_there_is_hardly_any_noise(law):
    """I(x0; x) = ln 24 to rounding; SNRs up to infinity."""
    noises = np.append([0.0], 0.5 * np.log1p(1 / np.array([1e8, 1e6, 1e4])))
    found = hierarchy.hierarchy_information(law, Gaussian(), noises, num_draws=256)
    tight = 1e-12 if law.log_weights.dtype == float else 1e-6
    np.testing.assert_allclose(found.word, np.log(24), rtol=tight)
    np.testing.assert_allclose(found.nodes[:, 0], np.log(3), rtol=tight)
    np.testing.assert_allclose(found.squared_error, 0, atol=tight)
    assert np.all(np.isfinite(found.word_stderr))


def test_noises_off_the_clock():
    for noises in ([-1.0, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, np.nan]):
        for ask in (hierarchy.level_curves, hierarchy.hierarchy_information):
            with pytest.raises(ValueError, match="`noises`"):
                ask(T1, Gaussian(), noises)
    for noises in ([0.0, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, np.inf]):
        with pytest.raises(ValueError, match="holds 3 numbers between the ends"):
            hierarchy.level_curves(T1, Gaussian(), noises)


@pytest.mark.slow
def test_unknown_symbols_are_refused():
    masked, replaced = Observed(T1, Masking()), Observed(T1, UniformCorruption())
    for seen, word in ((replaced, [0, 9, 0, 0]), (replaced, [0, -1, 0, 0])):
        with pytest.raises(ValueError, match=f"`observation` holds {word[1]}"):
            seen.label_log_posterior(jnp.array(word), 0.2)
        with pytest.raises(ValueError, match=f"`observation` holds {word[1]}"):
            seen.resample(jr.key(0), jnp.array(word), 0.2)
    with pytest.raises(ValueError, match="`observation` holds -5"):
        masked.resample(jr.key(0), jnp.array([0, -5, 0, 0]), 0.2)
    with pytest.raises(ValueError, match="has shape"):
        masked.resample(jr.key(0), jnp.array([0, 0]), 0.2)
    word = masked.resample(jr.key(0), jnp.array([1, -1, -1, 0]), 0.2)
    assert word[0] == 1
    assert word[3] == 0


def test_grids_reach_to_a_single_leaf():
    assert fractions(1024)[0] == pytest.approx(0.5 / 1024)
    assert np.all(np.diff(fractions(1024)) > 0)
    assert fractions(2)[0] == fractions(16)[0] == 0.02
    # Every pair of symbols is a rule: one wrong belief spreads to the class.
    sizes = Sizes(symbols=8, rules=8, branching=2, depth=8, classes=8, tables=1)
    grid = mean_field_grid(sizes, 12)
    kept = hierarchy.mean_field_curves(jnp.array(grid[:1]), 8, 8.0, 2, 8).kept[0, -1]
    assert grid[0] < 0.01
    assert kept > 0.5


@pytest.mark.slow
@pytest.mark.long
def test_pilots_find_a_class_that_little_noise_takes():
    law = RandomHierarchy.draw(jr.key(0), 8, 8, 2, 6)
    grid = pilot_grid(law, Masking(), False, 12, key=jr.key(1), block_size=8)
    found = hierarchy.level_curves(law, Masking(), grid, num_turns=256)
    assert found.half.found[0]
    assert found.same[0, 0] > 0.6
