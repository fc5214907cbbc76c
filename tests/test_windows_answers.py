"""What is not reached, not certified or already so: answers of measured windows."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize

from jaxwin.analysis import unstack, windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.datasets import from_arrays
from jaxwin.processes import DiscreteDDPM, LinearInterpolant
from jaxwin.report import windows_of
from jaxwin.report._windows_of_data import _further
from jaxwin.report._windows_of_law import _with_best
from jaxwin.targets import GaussianMixture

# Together at 2.5, apart up to 0.5.
TWO = GaussianMixture.isotropic([[-4.0], [4.0]], 1.0)
FEW: dict[str, Any] = {"num_replicas": 256}


def measure(noises, process=None):
    channel = Gaussian() if process is None else Gaussian(process)
    observed = Observed(TWO, channel)
    return lambda pairs: windows.overlaps(observed, noises, pairs, **FEW)


def answers(noises, process=None, epsilon=0.1) -> list[str]:
    """Of thresholds, of a window and of a tree's root."""
    observed = Observed(TWO, Gaussian() if process is None else Gaussian(process))
    limits = windows.sampled_thresholds(observed, 0, [0, 1], epsilon, noises, **FEW)
    log_prior = TWO.log_label_prior()
    (window,) = windows.measured_windows(
        measure(noises, process), log_prior, [([0], [0, 1])], epsilon
    )
    tree = windows.measured_tree(
        measure(noises, process), windows.Tree.nested([0, 1]), epsilon
    )
    return [limits.answer, window.answer, tree.answers[-1]]


@pytest.mark.slow
def test_a_range_of_noises_is_no_end_of_the_clock():
    short = np.linspace(0.1, 1.0, 8)
    assert answers(short) == ["not reached"] * 3
    # Up to full noise, but not there.
    assert answers(np.linspace(0.1, 0.5, 8), LinearInterpolant()) == ["not reached"] * 3


@pytest.mark.slow
def test_a_clock_that_ends_in_the_noises_is_named():
    clock = DiscreteDDPM(20, "scaled_linear")
    ends = ["not resolvable above t_max"] * 3
    assert answers(np.linspace(0, 19, 8), clock) == ends
    assert answers(np.linspace(0, 18, 8), clock) == ["not reached"] * 3


@pytest.mark.slow
def test_an_unreached_time_says_where_it_was_looked_for():
    tree = windows.measured_tree(
        measure(np.linspace(0.1, 1.0, 8)), windows.Tree.nested([0, 1]), 0.1
    )
    assert (float(tree.end.low[-1]), float(tree.end.high[-1])) == (0.1, 1.0)
    assert tree.answer == "not reached"


def test_a_time_before_the_first_noise_lies_between_none_and_it():
    noises = np.linspace(4.0, 6.0, 8)
    found = measure(noises)([(np.array([True, False]), np.array([False, True]))])
    time = found.together([0], 0.3)
    assert (float(time.low), float(time.time), float(time.high)) == (0.0, 4.0, 4.0)
    assert float(time.stderr) == 4.0
    # And one after the last.
    near = measure(np.linspace(0.01, 0.1, 8))
    late = near([(np.array([True, False]), np.array([False, True]))]).apart(0, 0.1)
    assert bool(late.found)
    assert np.isinf(late.high)
    assert late.to_json()["high"] is None


@pytest.mark.slow
def test_bounds_that_leave_a_node_open_certify_nothing():
    # Full covariances that differ by little: the exact tree is resolved.
    means = np.zeros((4, 3))
    means[:, 0] = [103.5, 96.5, -96.5, -103.5]
    same = np.stack([np.eye(3)] * 4)
    other = same + 1e-6 * np.array([0, 1, 2, 3])[:, None, None] * np.diag([1, 2, 3.0])
    groups = [[0, 1], [2, 3]]
    exact = windows.mixture_tree(GaussianMixture.full(means, same), 0.1, groups)
    assert exact.answer == "resolved"
    found = windows.mixture_tree(GaussianMixture.full(means, other), 0.1, groups)
    assert "bounds" in found.method
    assert not found.resolved.all()
    assert "empty" not in found.answers
    assert "not certified" in found.answers
    assert found.answer == "not certified"


@pytest.mark.slow
def test_noises_of_data_reach_as_far_as_the_tolerance_asks():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3))
    means = np.array([[0.0, 0, 0], [0, 9, 0]])
    times = np.linspace(0.1, 3.0, 16)
    for epsilon in (0.1, 1e-3):
        noises = _further(times, points, means, epsilon)
        np.testing.assert_array_equal(noises[:16], times)
        assert np.all(np.diff(noises) > 0)
        law = GaussianMixture.isotropic(means, 1.0)
        alpha = np.exp(-noises[-1])
        sigma = np.sqrt(1 - alpha**2)
        assert windows.total_variation(law, [0], [1], alpha, sigma) < epsilon
    # A tolerance that is reached already asks for no more.
    assert _further(times, 0.01 * points, 0.01 * means, 0.5) is times


@pytest.mark.slow
@pytest.mark.long
def test_windows_of_a_rare_class_far_away_are_found():
    """TV(rare, all) falls to 0.1 only beyond the noises of the report."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [108, 54, 18])
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 12.0]])
    points = centres[labels] + 0.7 * rng.normal(size=(180, 2))
    study = windows_of(from_arrays(points, labels), num_replicas=1024)
    given = [one["answer"] for one in study.summary["windows"]]
    assert "not resolvable above t_max" not in given
    (rare,) = (one for one in study.summary["windows"] if one["group"] == ["2"])
    assert rare["answer"] == "window"
    told = study.summary["certificate"]["best_T"]
    assert set(told) == {"value", "stderr", "low", "high", "found"}


@pytest.mark.slow
@pytest.mark.long
def test_the_lowest_of_noisy_values_is_read_on_other_draws():
    law = GaussianMixture.isotropic([[0.0], [3.0], [20.0]], 1.0, [0.5, 0.3, 0.2])
    noises = np.linspace(0.2, 3.5, 24)
    found = windows.sampled_certificate(
        Observed(law, Gaussian()), [0], [0, 1], noises, num_replicas=4096, key=jr.key(2)
    )
    exact = windows.best_time(law, [0], [0, 1])
    best = found.best
    assert best is not None
    assert float(best.time.low) < float(exact.time.time) < float(best.time.high)
    there = windows.certificate(law, [0], [0, 1], [float(best.time.time)])
    assert abs(float(best.upper - there.upper[0])) < 4 * float(best.error)
    # Half of the draws: larger errors than those of all.
    place = int(np.argmin(np.abs(noises - float(best.time.time))))
    assert 1.1 < float(best.error / found.error[place]) < 1.8
    # All of the law as a target: more noise is always better.
    whole = windows.sampled_certificate(
        Observed(law, Gaussian()), [0], [0, 1, 2], noises, **FEW
    )
    assert whole.best is not None
    assert not bool(whole.best.time.found)
    assert float(whole.best.time.high) == noises[-1]
    known = _with_best(law, [0], [0, 1, 2], jnp.asarray(noises)).best
    assert known is not None
    assert not bool(known.time.found)


@pytest.mark.slow
@pytest.mark.long
def test_the_best_time_on_a_plane_is_between_noises():
    means = [[0.0, 0.0], [3.0, 0.0], [0.0, 20.0]]
    law = GaussianMixture.isotropic(means, 1.0, [0.5, 0.3, 0.2])
    best = _with_best(law, [0], [0, 1], jnp.linspace(0.1, 4.0, 5)).best
    assert best is not None
    time = float(best.time.time)
    beside = windows.certificate(law, [0], [0, 1], time + np.array([-0.02, 0, 0.02]))
    assert np.all(np.asarray(beside.upper) >= float(best.upper) - 1e-12)
    assert np.isclose(beside.upper[1], best.upper, atol=1e-10)
    early = _with_best(law, [0], [0, 1], jnp.linspace(0.1, 0.5, 5)).best
    assert early is not None
    assert not bool(early.time.found)
    assert float(early.time.high) == 0.5


def of_survival(count: int, level: float) -> tuple[windows.Survival, float]:
    """Survival of the middle one of three, and the root of the exact confusion."""
    law = GaussianMixture.isotropic([[0.0], [3.0], [20.0]], 1.0, [0.5, 0.3, 0.2])
    found = windows.survival(windows.confusion(law, grid(count)), [[2]])

    def gap(time: float) -> float:
        matrix = windows.confusion(law, [time]).matrix[0]
        return (matrix[2, 2] - 0.2) / 0.8 - level

    return found, float(np.asarray(scipy.optimize.brentq(gap, 0.5, 4.5, xtol=1e-12)))


def grid(count: int) -> np.ndarray:
    """Uniform in the log-SNR."""
    return np.asarray(Gaussian().noise_at(jnp.linspace(-4.0, 8.0, count)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), [("early", 0.95), ("middle", 0.5)])
@pytest.mark.parametrize("count", [24, 64, 256])
def test_times_read_off_exact_curves_state_their_error(name, level, count):
    found, root = of_survival(count, level)
    (time,) = unstack(getattr(found, name))
    error = abs(float(time.time) - root)
    assert error <= max(4 * float(time.stderr), 1e-9)
    assert float(time.low) <= root + 1e-9
    assert root - 1e-9 <= float(time.high)
    # Four times as many noises err by less than a hundredth of it.
    if count == 256:
        assert error < 1e-6
        assert float(time.stderr) < 1e-4


@pytest.mark.slow
@pytest.mark.long
def test_a_quick_run_samples_planes_of_many_components():
    """Quadrature of six components on a plane takes minutes; draws agree with it."""
    rng = np.random.default_rng(3)
    means = np.concatenate([rng.normal(size=(5, 2)), [[25.0, 0.0]]])
    law = GaussianMixture.isotropic(means, 0.5, labels=[0, 0, 0, 0, 0, 1])
    summary = windows_of(law, quick=True).summary
    assert summary["method"] == "overlaps by exact soft labels"
    assert summary["confusion_method"] == "sampled"
    exact = windows.window(law, [1], [0, 1], 0.1)
    (one,) = (w for w in summary["windows"] if w["group"] == ["1"])
    for key, time in (("T_after", exact.after), ("T_before", exact.before)):
        assert abs(one[key]["value"] - float(time.time)) < 4 * one[key]["stderr"]
