"""Overlaps of many sets from one pass of soft labels."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis import sweep
from jaxwin.analysis.windows import class_overlaps, members, overlaps, total_variation
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical, GaussianMixture

LAW = GaussianMixture.isotropic(
    [[-4.0], [-1.0], [1.5], [6.0]], [0.5, 1.0, 0.2, 1.0], [0.1, 0.4, 0.3, 0.2]
)
SETS = [([0], [1]), ([0, 2], [0, 1, 2, 3]), ([1, 2], [0, 3])]
NOISES = np.linspace(0.05, 3.0, 12)


def masks(law, sets):
    prior = law.log_label_prior()
    return [(members(a, prior, "set"), members(b, prior, "set")) for a, b in sets]


@pytest.mark.slow
def test_overlaps_are_those_of_quadrature():
    """4,096 draws, seed 0: every one of 36 z-scores below 4."""
    found = overlaps(
        Observed(LAW, Gaussian()), NOISES, masks(LAW, SETS), num_replicas=4096
    )
    for p, (first, second) in enumerate(SETS):
        levels = zip(*OrnsteinUhlenbeck().levels(jnp.asarray(NOISES)), strict=True)
        exact = [1 - float(total_variation(LAW, first, second, *at)) for at in levels]
        assert np.all(np.abs(found.mean[p] - exact) < 4 * found.stderr[p] + 1e-12)
        # Errors are of the right size: not all deviations are tiny beside them.
        assert np.mean(((found.mean[p] - exact) / found.stderr[p]) ** 2) > 0.02


@pytest.mark.slow
def test_an_overlap_is_read_off_with_an_interval():
    found = overlaps(
        Observed(LAW, Gaussian()), NOISES, masks(LAW, SETS), num_replicas=4096
    )
    crossing = found.together([0], 0.1)
    alpha, sigma = OrnsteinUhlenbeck().levels(crossing.time)
    there = 1 - float(total_variation(LAW, [0], [1], alpha, sigma))
    assert abs(there - 0.9) < 0.02
    assert float(crossing.low) < float(crossing.time) < float(crossing.high)
    told = found.apart(0, 0.5)
    alpha, sigma = OrnsteinUhlenbeck().levels(told.time)
    assert abs(float(total_variation(LAW, [0], [1], alpha, sigma)) - 0.75) < 0.02
    # The smaller overlap of two pairs decides, and it is that of the first.
    assert float(found.together([0, 1], 0.1).time) == float(crossing.time)
    assert float(found.together([1], 0.9).time) == NOISES[0]


@pytest.mark.slow
def test_overlaps_of_classes_are_those_of_their_law():
    """The pass over a data set and the same law as any observed one: 4 errors."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    points = rng.normal(size=(90, 2)) + 2.0 * labels[:, None]
    law = Empirical(points, labels, bandwidth=0.5)
    sets = masks(law, [([0], [1]), ([1], [0, 1, 2]), ([0, 1], [2])])
    swept = class_overlaps(sweep(law, NOISES, num_replicas=4096), sets)
    other = overlaps(Observed(law, Gaussian()), NOISES, sets, num_replicas=4096)
    error = np.hypot(swept.stderr, other.stderr)
    assert np.all(np.abs(swept.mean - other.mean) < 4 * error + 1e-12)
    assert swept.blocks.shape == (64, 3, 12)


def test_laws_without_exact_labels_are_refused(monkeypatch):
    monkeypatch.setattr(Observed, "has_exact_labels", False)
    with pytest.raises(ValueError, match="no exact label posterior"):
        overlaps(Observed(LAW, Gaussian()), NOISES, masks(LAW, SETS))
