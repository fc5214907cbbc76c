"""The confusion of classes: rows, reversibility, closed forms, groups of labels."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import Feature, Sweep, speciation, sweep
from jaxwin.analysis.windows import class_confusion
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical, PointGroups

TIMES = np.linspace(0.03, 2.2, 8)
RNG = np.random.default_rng(0)
LABELS = RNG.choice(4, size=190, p=[0.4, 0.3, 0.2, 0.1])
POINTS = RNG.normal(size=(190, 2)) + np.array([[0, 0], [2, 0], [0, 3], [2, 3]])[LABELS]
# Every label a class; labels in two groups, whose order is not that of the labels.
FEATURES = (Feature.of_labels(4), Feature((1, 0, 1, 0), np.zeros((0, 2), int)))


@pytest.fixture(scope="module")
def found() -> Sweep:
    law = Empirical(POINTS, LABELS)
    return sweep(law, TIMES, features=FEATURES, num_replicas=4096, key=jr.key(1))


def brute(points, labels, t: float, count: int, seed: int):
    """Labels of noised points and their posteriors by plain numpy, the own point in."""
    rng = np.random.default_rng(seed)
    own = rng.integers(len(points), size=count)
    alpha, variance = np.exp(-t), -np.expm1(-2 * t)
    x = alpha * points[own] + np.sqrt(variance) * rng.normal(size=(count, 2))
    square = np.sum((x[:, None] - alpha * points[None]) ** 2, -1)
    logit = -square / (2 * variance)
    p = np.exp(logit - np.logaddexp.reduce(logit, axis=1, keepdims=True))
    return labels[own], p @ np.eye(labels.max() + 1)[labels]


@pytest.mark.slow
@pytest.mark.parametrize("feature", [0, 1])
def test_confusion_against_plain_numpy(found, feature):
    # 4,096 draws here and there; 4 combined standard errors.
    confusion = class_confusion(found, feature)
    classes = np.take(FEATURES[feature].of_label, LABELS)
    for i in (0, 1, 4, 7):
        own, posterior = brute(POINTS, classes, TIMES[i], 4096, i)
        for c in range(classes.max() + 1):
            rows = posterior[own == c]
            error = np.hypot(
                confusion.stderr[i, c], rows.std(axis=0) / np.sqrt(len(rows))
            )
            assert np.all(
                np.abs(confusion.matrix[i, c] - rows.mean(axis=0)) < 4 * error
            )
            assert np.all(error < 0.03)


@pytest.mark.slow
@pytest.mark.parametrize("feature", [0, 1])
def test_rows_sum_to_one_and_turns_are_reversible(found, feature):
    confusion = class_confusion(found, feature)
    np.testing.assert_allclose(confusion.matrix.sum(axis=2), 1, rtol=1e-12)
    counts = np.bincount(np.take(FEATURES[feature].of_label, LABELS))
    weights = (counts / 190)[:, None]
    flow = weights * confusion.matrix
    np.testing.assert_allclose(flow, np.swapaxes(flow, 1, 2), rtol=0, atol=1e-15)
    np.testing.assert_allclose(flow.sum(axis=1), np.tile(weights.T, (8, 1)), rtol=1e-12)
    # In full noise every row is the weights; its diagonal is phi.
    last = sweep(
        Empirical(POINTS, LABELS), TIMES + 12, features=FEATURES, num_replicas=2048
    )
    np.testing.assert_allclose(
        class_confusion(last, feature).matrix[-1],
        np.tile(weights.T, (len(counts), 1)),
        atol=1e-4,
    )


@pytest.mark.slow
@pytest.mark.parametrize("feature", [0, 1])
def test_trace_is_the_clone_agreement(found, feature):
    # phi = sum_c w_c A_cc, one estimator: to rounding.
    agreement = speciation.class_agreement(found, feature)
    confusion = class_confusion(found, feature)
    assert confusion.log_prior is not None
    diagonal = np.einsum("tcc->tc", confusion.matrix)
    np.testing.assert_allclose(
        diagonal @ np.exp(confusion.log_prior), agreement.phi, rtol=1e-12
    )


@pytest.mark.slow
def test_two_equal_classes_have_the_closed_form():
    # Two points at +-a: A_00 = A_11 = phi(r), r = |a| alpha / sigma.
    law = Empirical(np.array([[0.8, 0.6], [-0.8, -0.6]]), [0, 1])
    times = np.linspace(0.2, 2.0, 8)
    confusion = class_confusion(sweep(law, times, num_replicas=16384, key=jr.key(2)))
    ou = OrnsteinUhlenbeck()
    phi = [
        float(
            speciation.agreement(
                speciation.separation(2.0, 0, ou.alpha(t), ou.sigma(t))
            )
        )
        for t in times
    ]
    z = (np.einsum("tcc->tc", confusion.matrix) - np.array(phi)[:, None]) / np.einsum(
        "tcc->tc", confusion.stderr
    )
    assert np.all(np.abs(z[2:]) < 4), z
    np.testing.assert_allclose(confusion.matrix[0, 0, 0], phi[0], atol=2e-3)


@pytest.mark.slow
def test_a_class_without_draws_has_no_row():
    points = np.random.default_rng(3).normal(size=(190, 1))
    groups = PointGroups(Empirical(points), 1)
    keys = jax.vmap(lambda i: jr.fold_in(jr.key(4), i))(jnp.arange(128))
    drawn = np.isin(groups.place, jax.vmap(groups.draw_own)(keys)[0])
    labels = np.zeros(190, int)
    labels[np.flatnonzero(~drawn)[:2]] = 1
    none = sweep(Empirical(points, labels), TIMES, num_replicas=128, key=jr.key(4))
    assert np.all(none.label == 0)
    confusion = class_confusion(none)
    assert np.all(np.isnan(confusion.matrix[:, 1]))
    assert np.all(np.isnan(confusion.stderr[:, 1]))
    np.testing.assert_allclose(confusion.matrix[:, 0].sum(axis=1), 1, rtol=1e-12)
    assert to_json(confusion)["matrix"][0][1] == [None, None]
    assert to_dataset(confusion)["matrix"].dims == ("noise", "class", "other_class")
