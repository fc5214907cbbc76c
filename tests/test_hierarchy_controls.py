"""What chi says of laws without a hierarchy, beside the tree's own counting."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from grown import T1

from jaxwin.analysis import hierarchy
from jaxwin.channels import EpsilonBelief, Masking, UniformCorruption
from jaxwin.targets import TokenMixture

NOISES = np.array([0.1, 0.3, 0.5, 0.8])


@pytest.mark.slow
@pytest.mark.long
def test_a_tree_counted_as_words_is_the_same():
    """T1 by its nodes and by its word alone: two runs, 4.5 combined s.e."""
    words = hierarchy.word_curves(T1, UniformCorruption(), NOISES, num_turns=20_000)
    tree = hierarchy.level_curves(
        T1, UniformCorruption(), NOISES, num_turns=20_000, key=jr.key(1)
    )
    for mine, error, other, other_error in (
        (words.class_kept, words.class_kept_stderr, tree.same, tree.same_stderr),
        (words.chi, words.chi_stderr, tree.chi, tree.chi_stderr),
        (
            words.chi_within,
            words.chi_within_stderr,
            tree.chi_within,
            tree.chi_within_stderr,
        ),
        (
            words.chi_static,
            words.chi_static_stderr,
            tree.chi_static,
            tree.chi_static_stderr,
        ),
    ):
        if other.ndim == 2:
            other, other_error = other[:, 0], other_error[:, 0]
        assert np.all(np.abs(mine - other) < 4.5 * np.hypot(error, other_error))
    assert np.all(np.abs(words.symbol_kept - tree.drawn[:, -1]) < 0.01)


@pytest.mark.slow
def test_independent_symbols_do_not_change_together():
    """One class: within a start chi is one, up to its error."""
    law = TokenMixture(np.array([[0.5, 0.3, 0.2]]), 12)
    found = hierarchy.word_curves(law, Masking(), NOISES, num_turns=8000)
    assert np.all(np.abs(found.chi_within - 1) < 4.5 * found.chi_within_stderr)
    assert np.all(np.abs(found.chi - 1) < 4.5 * found.chi_stderr)
    np.testing.assert_allclose(found.class_kept, 1, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_pooled_chi_of_a_flat_mixture_peaks_without_a_hierarchy():
    """Section 3: 32 classes, 512 symbols, 6 emission tables of 400 starts, 4.5 s.e."""
    fractions = [0.80, 0.95, 0.98, 1.0]
    found = []
    for seed in range(6):
        emissions = np.random.default_rng(seed).dirichlet(np.ones(8), size=32)
        found.append(
            hierarchy.word_curves(
                TokenMixture(emissions, 512),
                Masking(),
                fractions,
                num_turns=800,
                key=jr.key(seed),
            )
        )
    for name, printed, errors in (
        ("chi", [4.9, 8.7, 11.9, 9.3], [0.5, 0.7, 0.8, 0.6]),
        ("chi_within", [1.00, 2.12, 6.5, 9.0], [0.02, 0.06, 0.2, 0.5]),
        ("class_kept", [0.995, 0.798, 0.421, 0.031], [0.005] * 4),
    ):
        values = np.stack([getattr(one, name) for one in found])
        error = np.hypot(values.std(axis=0, ddof=1) / np.sqrt(6), errors)
        assert np.all(np.abs(values.mean(axis=0) - printed) < 4.5 * error), name
    pooled = np.stack([one.chi for one in found])
    within = np.stack([one.chi_within for one in found])
    # The peak of the pooled one before full noise; within a start there is none.
    gap, rise = pooled[:, 2] - pooled[:, 3], within[:, 3] - within[:, 2]
    assert gap.mean() > 2 * gap.std(ddof=1) / np.sqrt(6)
    assert rise.mean() > 2 * rise.std(ddof=1) / np.sqrt(6)


def test_what_has_no_posterior_is_refused():
    with pytest.raises(ValueError, match="has no posterior"):
        hierarchy.word_curves(T1, EpsilonBelief(), NOISES)
    with pytest.raises(ValueError, match="`num_turns` is 3"):
        hierarchy.word_curves(T1, Masking(), jnp.array(NOISES), num_turns=3)
