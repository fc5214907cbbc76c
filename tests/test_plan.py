"""What a run costs, told before it: against the run itself."""

import dataclasses
import functools
import json
import math
import re

import jax.random as jr
import numpy as np
import pytest

from jaxwin import cli
from jaxwin._checks import BadInput
from jaxwin.analysis import Feature, Sweep, sweep
from jaxwin.cli import _common
from jaxwin.execution import next_look
from jaxwin.report import Plan, diagnose, noise_times, plan
from jaxwin.report._plan import _replicas, largest_error
from jaxwin.targets import Empirical

GENERATOR = np.random.default_rng(4)
LABELS = np.arange(60) % 3
POINTS = GENERATOR.normal(size=(60, 4)) + 2.0 * np.eye(3, 4)[LABELS]
LAW = Empirical(POINTS, LABELS)
TIMES = noise_times(POINTS, count=16)
FEATURES = (Feature.of_labels(3),)


@functools.cache
def told(**options) -> tuple[Plan, list[tuple[str, int]]]:
    """A plan, and the blocks that were made for it."""
    blocks = []
    stage = lambda name: lambda status: blocks.append((name, status.done))
    return plan(POINTS, LABELS, stage=stage, **options), blocks


def largest(found: Sweep) -> tuple[float, float]:
    """Largest error of the two watched curves, by points and by batches."""
    curves = np.stack(
        [
            np.asarray(FEATURES[0].purity(found.log_masses_with_own())),
            1 / (1 + np.exp(np.minimum(found.log_rest(), 700))),
        ]
    )
    points = curves.reshape(2, -1, TIMES.size).std(axis=1, ddof=1)
    batches = curves.mean(axis=2).std(axis=1, ddof=1)
    count = len(found.label)
    return points.max() / np.sqrt(found.count), batches.max() / np.sqrt(count)


@pytest.mark.slow
@pytest.mark.long
def test_plan_of_the_plain_run_is_the_run():
    cost, blocks = told()
    assert cost.noised_points == 8192
    assert cost.reached
    # A pilot of an eighth.
    assert max(done for name, done in blocks if "classes and" in name) == 1024
    assert max(done for name, done in blocks if name == "late start") == 1024
    found = diagnose(POINTS, LABELS)
    assert found.collapse.count == cost.noised_points
    assert found.agreement is not None
    worst = max(found.agreement.stderr.max(), found.collapse.own_weight_stderr.max())
    assert largest_error(found) == worst
    np.testing.assert_allclose(cost.stderr, worst, rtol=0.1)


def test_line_is_readable():
    cost = Plan(8192, 20.6, 1288490189, 0.00449, None)
    assert str(cost) == (
        "8,192 noised points: about 21 s and 1.2 GiB for a largest error of 0.0045"
    )
    assert "GiB" not in str(dataclasses.replace(cost, bytes=None))
    wanted = dataclasses.replace(cost, until_stderr=0.005)
    assert str(wanted) == str(cost)
    missed = dataclasses.replace(cost, until_stderr=0.001)
    assert not missed.reached
    assert str(missed).endswith("0.0045, the most that are made: 0.001 is not reached")


@pytest.mark.parametrize(
    ("stderr", "until", "expected"),
    [
        (0.01, 0.02, 2048),  # 32 batches at least
        (0.01, 0.0071, 2048),
        (0.01, 0.01 / 2, 64 * 64),  # looks after 32, 38, 45, 54, 64, 76, 91 batches
        (0.01, 0.0049, 64 * 76),
        (0.01, 1e-5, 16 * 8192),
        (0.01, None, 8192),
    ],
)
def test_errors_fall_as_the_root_of_the_number(stderr, until, expected):
    assert _replicas(stderr, 1024, 8192, until) == expected


@pytest.mark.parametrize("until", [0.0, -1.0, math.nan])
def test_bad_errors_are_refused(until):
    with pytest.raises(BadInput, match="`until_stderr` is"):
        plan(POINTS, LABELS, until_stderr=until)


@pytest.mark.slow
@pytest.mark.long
def test_runs_stop_within_half_of_the_planned_number_more():
    """The promise of the plan, by the pass itself: 9 of 10 seeds."""
    ratios = []
    for seed in range(10):
        key, pilot_key = jr.key(seed), jr.key(100 + seed)
        pilot = sweep(LAW, TIMES, features=FEATURES, num_replicas=1024, key=pilot_key)
        error, _ = largest(pilot)
        until = 0.0055
        planned = _replicas(error, 1024, 8192, until)
        found = sweep(
            LAW,
            TIMES,
            features=FEATURES,
            num_replicas=16 * 8192,
            key=key,
            until_stderr=until,
        )
        assert largest(found)[1] < until
        ratios.append(found.count / planned)
    ratios = np.array(ratios)
    assert np.mean(ratios <= 1.5) >= 0.9, ratios
    # Nor is the plan safe by being wasteful.
    assert 0.7 < np.median(ratios) < 1.3, ratios


@pytest.mark.slow
def test_command_tells_the_plan_and_stops(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)
    np.savez("data.npz", x=POINTS, y=LABELS)
    command = ["report", "data.npz", "--plan", "--quiet", "--until-stderr", "0.008"]
    assert cli.main(command) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    pattern = r"[\d,]+ noised points: about \d+ s( and [\d.]+ GiB)? for a largest .*\n"
    assert re.fullmatch(pattern, shown.out)
    assert cli.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["until_stderr"] == 0.008
    assert found["reached"]
    assert found["stderr"] <= 0.008
    assert found["noised_points"] == 64 * next_look(found["noised_points"] // 64, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]
