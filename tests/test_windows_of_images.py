"""Windows, groups and members of real images under kernel density, small."""

import numpy as np
import pytest

from jaxwin.datasets import Data, digits, from_arrays
from jaxwin.report import windows_of

pytestmark = pytest.mark.slow


def halves() -> tuple[Data, Data]:
    """The digits 1, 7 and 8 in two halves."""
    data = digits()
    labels = np.asarray(data.labels).ravel()
    chosen = np.flatnonzero(np.isin(labels, [1, 7, 8]))
    both = np.random.default_rng(8).permutation(chosen)[:528].reshape(2, 264)
    points = np.asarray(data.points).reshape(len(labels), -1)
    some = [from_arrays(points[rows], {"digit": labels[rows]}) for rows in both]
    return some[0], some[1]


@pytest.fixture(scope="module")
def audited():
    """Data, others, and their windows with groups and members."""
    own, others = halves()
    asked = {"groups": "digit", "members": own, "candidates": others}
    return own, windows_of(own, num_replicas=1024, **asked)


@pytest.mark.long
def test_windows_of_every_class(audited):
    own, study = audited
    told, found = study.summary, study.results
    classes = own.features[0].classes
    leaves = [one for one in told["windows"] if len(one["group"]) == 1]
    assert sorted(one["group"][0] for one in leaves) == sorted(classes)
    for one in leaves:
        early, middle, late = (one[key] for key in ("early", "middle", "late"))
        assert early["value"] < middle["value"] < late["value"]
        assert 0 < middle["stderr"] < 0.2 * middle["value"]
    # One story with phi: the average of the survivals of single classes.
    assert np.max(np.abs(found.phi - found.agreement.phi)) < 1e-10
    weights = np.array(
        [np.mean(own.features[0].labels == i) for i in range(len(classes))]
    )
    order = [classes.index(one["group"][0]) for one in leaves]
    kept = found.survival.survival[: len(leaves)]
    np.testing.assert_allclose(weights[order] @ kept, found.phi, atol=1e-10)


def test_groups_against_their_null(audited):
    _, study = audited
    fair = study.summary["fairness"]
    assert fair["null_moves"] < 1e-9
    # One Gaussian is no digit: shares move, beyond their errors.
    assert fair["biased"]
    assert fair["p_value"] < 1e-3
    worst = max(fair["groups"].values(), key=lambda one: abs(one["largest_excess"]))
    assert abs(worst["largest_excess"]) > 4 * worst["largest_excess_stderr"]


def test_members_are_told_in_a_window(audited):
    _, study = audited
    told = study.summary["membership"]
    assert told["auc"]["low"] > 0.9
    assert told["window"]["end"]["found"]
    assert told["best"] < told["window"]["end"]["value"]
    attack = study.results.membership.attack
    # At full noise everybody is anybody.
    assert attack.auc_low[-1] < 0.5 + 0.05 < attack.auc_high[0]
