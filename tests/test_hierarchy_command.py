"""`jaxwin hierarchy`: small trees, their folder, what is refused, what is averaged."""

import contextlib
import json
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray
from rich.console import Console

from jaxwin import cli
from jaxwin._checks import BadInput
from jaxwin.analysis import hierarchy
from jaxwin.channels import EpsilonBelief
from jaxwin.cli import _common, _terminal
from jaxwin.report import _hierarchy_sizes, hierarchy_of
from jaxwin.report._hierarchy_grid import mean_field_grid, spread
from jaxwin.report._hierarchy_sizes import Sizes, block_size, needed_bytes
from jaxwin.report._table import in_brackets
from jaxwin.targets import RandomHierarchy

TINY = {"symbols": 3, "rules": 2, "branching": 2, "depth": 3}
LINE = "hierarchy --symbols 3 --rules 2 --branching 2 --depth 3 --quiet".split()
FRACTIONS = "0.2,0.4,0.6,0.8"
KEYS = {
    "unit",
    "noise",
    "snr",
    "alpha_bar",
    "turns",
    "method",
    "levels",
    "chi",
    "chi_within",
    "chi_static",
    "mean_field",
    "naive_half_snr",
    "deep",
}


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)


def as_text(table) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--symbols", "1"], "`symbols` is 1"),
        (["--rules", "4"], "`rules` is 4, more than v^(s - 1) = 3^1 = 3"),
        (["--rules", "0"], "`rules` is 0"),
        (["--classes", "5"], "`classes` is 5"),
        (["--branching", "1"], "`branching` is 1"),
        (["--branching", "2000", "--depth", "1"], "at most 1024"),
        (["--depth", "0"], "`depth` is 0"),
        (["--depth", "1000000"], "more than any memory holds"),
        (["--depth", "30"], "needs about"),
        (["--tables", "0"], "`tables` is 0"),
        (["--turns", "7"], "at least 8"),
        (["--channel", "gauss"], "'gauss'"),
        (["--channel", ""], "`channel` is ''"),
        (["--channel", "masking,telex"], "'telex'"),
        (["--channel", "masking", "--noises", "0.1,0.2,0.3,1.1"], "[0, 1]"),
        (["--channel", "masking", "--noises", "0.1,0.3,0.2,0.4"], "increasing"),
        (["--channel", "masking", "--noises", "0.1,0.2,0.3"], "at least 4"),
        (["--channel", "masking", "--noises", "0.1,nan,0.3,0.4"], "increasing"),
        (["--noises", "0,1,2,3"], "finite and positive"),
        (["--noises", "a,b"], "`noises` is 'a,b'"),
        (["--channel", "gaussian,masking", "--noises", FRACTIONS], "one at a time"),
        (["--seed", "-1"], "`seed` is -1"),
        (["--until-stderr", "0"], "`until_stderr` is 0"),
    ],
)
def test_bad_input_is_one_line(capsys, argv, word):
    assert cli.main([*LINE, *argv]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("jaxwin: ")
    assert word in line
    assert shown.out == ""
    assert list(Path().iterdir()) == []


def test_more_than_the_free_memory_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(_hierarchy_sizes, "free_memory", lambda: 10_000)
    assert cli.main(LINE) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a tree of 2^3 = 8 leaves at 20 noises and 10,000 turns needs" in line
    assert "1e-05 GB are free" in line


def test_memory_is_what_the_formula_says():
    sizes = Sizes(**TINY, classes=3, tables=1)
    assert sizes.leaves == 8
    device = 12 * (2 * 8 * 3 + 2 * 3 * 15 + 3 * 3 * 2 * 4) + 2 * 32 * 5 * 8
    host = 6 * 256 * 5 * 8
    assert block_size(8192) == 32
    assert needed_bytes(sizes, 5, 8192, 4) == 4 * device + 8 * host
    assert _hierarchy_sizes.free_memory() > 1e8
    assert all(block_size(n) % 2 == 0 for n in (4, 300, 5000, 80_000))
    assert block_size(4) == 2


def test_noises_bracket_the_transition():
    sizes = Sizes(symbols=32, rules=8, branching=2, depth=10, classes=32, tables=1)
    grid = mean_field_grid(sizes, 20)
    assert grid.size == 20
    assert np.all(np.diff(grid) > 0)
    star = float(hierarchy.transition(32, 8.0, 2).noise)
    assert np.sum(np.abs(grid - star) < 0.03) >= 7
    assert grid[0] < 0.65
    assert grid[-1] > 0.85


def test_errors_in_brackets():
    assert in_brackets(0.4724, 0.0071) == "0.472(7)"
    assert in_brackets(0.4724, 0.0996) == "0.5(1)"
    assert in_brackets(6.756, 12.0) == "7(12)"
    assert in_brackets(6.75, 0.0) == "6.750"
    assert in_brackets(np.nan, 0.1) == "–"


def test_noises_spread_over_everything_where_nothing_falls():
    places = np.linspace(0, 1, 11)
    flat = np.ones((11, 2))
    np.testing.assert_allclose(spread(places, flat, 6), np.linspace(0, 1, 6))


def test_quick_is_less():
    sizes = Sizes(symbols=32, rules=8, branching=2, depth=10, classes=32, tables=1)
    assert sizes.starts(10_000, 20, 1, quick=False) == 5000
    assert 200 < sizes.starts(10_000, 12, 1, quick=True) < 500
    assert Sizes(**TINY, classes=3, tables=1).starts(1000, 12, 1, True) == 125
    assert sizes.starts(8, 20, 100, quick=True) == 4


@pytest.fixture(scope="module")
def study():
    """Two tables, in a channel of Python's and one that the mean field knows."""
    noises = [0.2, 0.4, 0.6, 0.8, 0.95]
    options = {**TINY, "noises": noises, "num_turns": 256, "tables": 2, "seed": 3}
    return hierarchy_of(channel=["eps_belief", "masking"], **options)


@pytest.mark.slow
@pytest.mark.long
def test_tables_are_averaged(study):
    found = study.results["eps_belief"]
    law_key, turn_key = jr.split(jr.key(3), 2)
    own = jr.fold_in(turn_key, 3)
    each = [
        hierarchy.level_curves(
            RandomHierarchy.draw(jr.fold_in(law_key, table), 3, 2, 2, 3),
            EpsilonBelief(),
            found.noise,
            num_turns=256,
            key=jr.fold_in(own, table + 1),
            block_size=2,
        )
        for table in range(2)
    ]
    mean = found.average
    same = np.stack([one.same for one in each])
    np.testing.assert_allclose(mean.same, same.mean(axis=0), rtol=1e-12)
    apart = np.abs(same[0] - same[1]) / 2
    np.testing.assert_allclose(mean.same_stderr, apart, atol=1e-12)
    sampling = np.sqrt(each[0].same_stderr ** 2 + each[1].same_stderr ** 2) / 2
    np.testing.assert_allclose(mean.same_sampling_stderr, sampling, atol=1e-12)
    # Variance of two tables, less the mean of what sampling adds.
    square = 2 * apart**2 - 2 * sampling**2
    np.testing.assert_allclose(mean.same_spread**2, np.maximum(square, 0), atol=1e-12)
    for name in ("early", "half", "late"):
        times = np.stack([getattr(one, name).time for one in each])
        place = getattr(mean, name)
        # NaN, and said not to be found, where one of the two never gets there.
        np.testing.assert_allclose(place.time, times.mean(axis=0))
        np.testing.assert_allclose(place.stderr, np.abs(times[0] - times[1]) / 2)
        np.testing.assert_array_equal(place.found, np.isfinite(times).all(axis=0))
    assert np.all(mean.half.found[:-1])
    assert found.tables.same.shape == (2, 5, 4)
    assert study.count == 512


@pytest.mark.slow
def test_summary_has_its_keys(study):
    told = json.loads(json.dumps(study.summary, allow_nan=False))
    assert told["transition"]["answer"] == "marginal"
    assert (told["leaves"], told["classes"], told["tables"]) == (8, 3, 2)
    for name, channel in told["channels"].items():
        assert set(channel) == KEYS
        assert channel["snr"] is channel["naive_half_snr"] is None
        names = [one["name"] for one in channel["levels"]]
        assert names == ["class", "level 1", "level 2", "leaves"]
        for one in channel["levels"]:
            assert len(one["same"]) == len(one["same_tables_stderr"]) == 5
            assert set(one["half"]) == {"value", "stderr", "low", "high", "found"}
        assert len(channel["chi"]["tables_stderr"]) == 5
        peak = channel["chi"]["peak"]
        assert peak["low"] <= peak["noise"] <= peak["high"]
        assert (channel["mean_field"] is None) == (name == "masking")
    kept = hierarchy.mean_field_curves(jnp.array([0.2, 0.4]), 3, 2.0, 2, 3).kept
    expected = told["channels"]["eps_belief"]["mean_field"]["same_class"]
    np.testing.assert_allclose(expected[:2], kept[:, -1], rtol=1e-12)
    shown = as_text(study.table)
    assert "no transition (marginal)" in shown
    assert "(m.f.)" in shown
    assert "over rule tables" in shown
    assert study.largest_error > 0


@pytest.mark.slow
def test_command_writes_a_folder(capsys):
    argv = ["--rules", "1", "--json", "--turns", "64", "--noises", "0.5,1,2,4,8"]
    assert cli.main([*LINE, *argv]) == 0
    told = json.loads(capsys.readouterr().out)
    saved = json.loads(Path("jaxwin-hierarchy/summary.json").read_text())
    assert saved.pop("command").startswith("jaxwin")
    assert told == saved
    assert told["transition"]["answer"] == "class kept for all noise < 1"
    channel = told["channels"]["gaussian"]
    np.testing.assert_allclose(channel["snr"], [8, 4, 2, 1, 0.5], rtol=1e-12)
    snr, abar = np.array(channel["snr"]), np.array(channel["alpha_bar"])
    np.testing.assert_allclose(abar, snr / (1 + snr), rtol=1e-12)
    np.testing.assert_allclose(abar, np.exp(-2 * np.array(channel["noise"])))
    assert channel["naive_half_snr"] is None
    half, ou = channel["levels"][-1]["half_snr"], channel["levels"][-1]["half"]
    assert half["low"] <= half["value"] <= half["high"]
    assert half["value"] == pytest.approx(1 / np.expm1(2 * ou["value"]))
    with xarray.open_dataset("jaxwin-hierarchy/results.nc", engine="h5netcdf") as data:
        same = data["gaussian.average.same"]
        np.testing.assert_allclose(same[:, 0], channel["levels"][0]["same"])
        assert data["gaussian.tables.purity"].shape == (1, 5, 4)
        assert same.attrs["units"] == "probability"
    drawn = {path.name for path in Path("jaxwin-hierarchy/figures").iterdir()}
    names = "levels_gaussian", "chi_gaussian"
    assert drawn == {f"{name}.{end}" for name in names for end in ("png", "svg")}


@pytest.mark.slow
@pytest.mark.long
def test_stopped_run_goes_on_to_the_same_numbers(capsys, monkeypatch):
    """The noises are found by a pilot, which finds the same ones again."""
    argv = [*LINE, "--channel", "uniform", "--json", "--turns", "400", "--quick"]
    assert cli.main([*argv, "--out", "whole"]) == 0
    whole = json.loads(capsys.readouterr().out)

    @contextlib.contextmanager
    def impatient(quiet, resume):
        def show(status):
            if status.done > 20:
                raise KeyboardInterrupt

        yield lambda name: show

    with monkeypatch.context() as patch:
        patch.setattr(_terminal, "stages", impatient)
        assert cli.main(argv) == 130
    assert not Path("jaxwin-hierarchy").exists()
    assert [path.name for path in Path(".jaxwin-hierarchy.blocks").iterdir()] == [
        "uniform"
    ]
    capsys.readouterr()
    assert cli.main([*argv, "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert len(again["channels"]["uniform"]["noise"]) == 12
    assert again == whole
    assert not Path(".jaxwin-hierarchy.blocks").exists()


@pytest.mark.slow
@pytest.mark.long
def test_plan_tells_the_cost_and_writes_nothing(capsys):
    argv = ["--channel", "eps_belief", "--turns", "64", "--plan", "--json"]
    assert cli.main([*LINE, *argv, "--noises", FRACTIONS]) == 0
    assert json.loads(capsys.readouterr().out)["noised_points"] == 32
    assert list(Path().iterdir()) == []


def test_rules_beyond_the_numbers_are_refused():
    with pytest.raises(BadInput, match="cannot be drawn"):
        hierarchy_of(symbols=100, branching=8, depth=1, num_turns=8, channel="masking")
