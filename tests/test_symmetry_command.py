"""`jaxwin symmetry`: small laws, data, denoisers of one's own, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray
from rich.console import Console

from jaxwin import cli
from jaxwin._checks import BadInput
from jaxwin.cli import _common
from jaxwin.datasets import digits
from jaxwin.processes import VariancePreserving
from jaxwin.report import mixture, plan_symmetry, symmetry_of, write_study
from jaxwin.report._symmetry_classes import class_overlap
from jaxwin.report._symmetry_clock import clocks_of_drifts, same_dynamics
from jaxwin.targets import GaussianMixture

LINE = ["symmetry", "--quiet"]
TWO = [*LINE, "--means", "1,-1", "--variances", "0"]
SMALL = ["--starts", "8", "--quick", "--json"]
KEYS = {
    "name",
    "n",
    "d",
    "directions",
    "kept",
    "classes",
    "bandwidth",
    "bandwidth_factor",
    "drift",
    "eta",
    "clock",
    "starts",
    "times",
    "answer",
    "none",
    "symmetric",
    "complete",
    "escape",
    "transitions",
    "minima",
    "late_start",
    "late_start_answer",
}
TRANSITION = {
    "time",
    "clocks",
    "order",
    "multiplicity",
    "zero_modes",
    "copies",
    "of_parents",
    "variance",
    "coexistence",
    "instability",
    "class_overlap",
}
FIGURES = {"branches", "cascade", "eigenvalues", "late_start", "potential"}
# Where alpha^2 = sqrt(2) - 1: the reverse SDE of points at +-1.
CRITICAL = -0.5 * np.log(2**0.5 - 1)
MODULE = """
import jax.numpy as jnp

from jaxwin.targets import FunctionDenoiser, GaussianMixture


def points(x, alpha, sigma):
    return jnp.tanh(alpha * x / sigma**2)


def built():
    return FunctionDenoiser(points)


def law():
    return GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)


def shapeless(x, alpha, sigma):
    return jnp.zeros(3)


def undefined(x, alpha, sigma):
    return x / 0.0


def raising(x, alpha, sigma):
    raise RuntimeError("no score today")


number = 3
"""


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)


def told(capsys, *argv: str) -> dict:
    """The summary of a run, as JSON."""
    assert cli.main(argv) == 0
    return json.loads(capsys.readouterr().out)


def as_text(table) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.fixture(scope="module")
def two():
    """Points at +1 and -1, a class each."""
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    return symmetry_of(law, quick=True, starts=8, num_replicas=256)


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--drift", "eta"], "`drift` is 'eta' and `eta` None"),
        (["--eta", "0.5"], "the two go together"),
        (["--drift", "eta", "--eta", "-1"], "`eta` is -1"),
        (["--times", "a,b"], "`times` is 'a,b'"),
        (["--times", "2,1"], "the smaller one first"),
        (["--times", "1"], "two times of the clock"),
        (["--clock", "vp", "--times", "0.1,2"], "which go from 0 to 1"),
        (["--starts", "0"], "`starts` is 0"),
        (["--most", "0"], "`most` is 0"),
        (["--bandwidth", "0.1"], "`bandwidth` is an option of data sets"),
        (["--weights", "1,0"], "`weights` give class 1 nothing"),
        (["--pca", "2"], "`pca` selects from a data set"),
        (["--entry", "mine:law"], "`means` is given beside `entry`"),
        (["--seed", "-1"], "`seed` is -1"),
        (["--clock", "sundial"], "sundial"),
    ],
)
def test_bad_input_is_one_line(capsys, argv, word):
    refused(capsys, word, *TWO, *argv)


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--means", "1", "--variances", "0"], "the spread of the data is 0"),
        (["--bandwidth", "-1"], "`bandwidth` is -1"),
        (["--bandwidth", "1", "--bandwidth-factor", "1"], "are both given"),
        (["--entry", "nowhere:law"], "which fails: ModuleNotFoundError"),
        (["--entry", "mine:points"], "`dimension` is missing"),
        (["--entry", "mine:number"], "which fails: TypeError"),
        (["--entry", "mine:law", "--dimension", "2"], "`dimension` is 2"),
        (["--entry", "mine:law", "--classes", "1"], "`classes` is an option of data"),
        (["--entry", "mine:shapeless", "--dimension", "1"], "gives shape (3,)"),
        (["--entry", "mine:undefined", "--dimension", "1"], "is not finite"),
        (["--entry", "mine:raising", "--dimension", "1"], "RuntimeError: no score"),
    ],
)
def test_sources_that_are_refused(capsys, argv, word):
    Path("mine.py").write_text(MODULE)
    refused(capsys, word, *LINE, *argv)


def refused(capsys, word: str, *argv: str) -> None:
    before = {path.name for path in Path().iterdir()} | {"__pycache__"}
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("jaxwin: ")
    assert word in line
    assert shown.out == ""
    assert {path.name for path in Path().iterdir()} <= before


@pytest.mark.slow
@pytest.mark.long
def test_two_points_break_where_the_paper_says(two):
    found = json.loads(json.dumps(two.summary, allow_nan=False))
    assert set(found) == KEYS
    (first,) = found["transitions"]
    assert set(first) == TRANSITION
    assert abs(first["time"]["value"] - CRITICAL) < 1e-8
    assert first["order"] == "second"
    assert (first["copies"], first["of_parents"], first["multiplicity"]) == (2, 1, 1)
    overlap = first["class_overlap"]
    assert sorted(overlap["group"] + overlap["rest"]) == ["0", "1"]
    assert overlap["overlap"] == overlap["pair_overlap"] == pytest.approx(1)
    # The same alpha on every variance-preserving clock, and no other clock.
    assert set(first["clocks"]) == {"ou", "vp", "cosine", "ddpm_linear", "ddpm_cosine"}
    alpha = VariancePreserving().alpha(first["clocks"]["vp"]["value"])
    assert abs(float(alpha) ** 2 - (2**0.5 - 1)) < 1e-8
    assert found["symmetric"]
    assert found["complete"]
    assert not found["none"]
    assert found["minima"]["count"][0] == 2
    assert found["minima"]["count"][-1] == 1
    assert not found["escape"]["found"]


@pytest.mark.slow
def test_late_start_is_in_summary_and_table(two):
    late = two.summary["late_start"]
    assert two.summary["late_start_answer"] == "weight error"
    assert late["automatic"]["found"]
    assert late["bound"] <= late["level"]
    assert len(late["times"]) == len(late["weight_bound"])
    # A symmetric law: no start misplaces anything.
    assert max(late["vanilla_weight_error"]) < 1e-12
    shown = as_text(two.table)
    assert "0.44069" in shown
    assert "automatic" in shown
    assert "0 | 1 (1.00)" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.slow
def test_folder_holds_all(two, tmp_path):
    assert set(two.figures) == FIGURES
    write_study(two, tmp_path / "out")
    with xarray.open_dataset(tmp_path / "out/results.nc", engine="h5netcdf") as saved:
        assert saved["critical.transitions.time.time"].shape == (1,)
        time, clean = saved["branches.time"].values, saved["branches.clean"].values
        assert saved["branches.stable"].values.any()
        assert clean.shape == (*time.shape, 1)
        # The new minima of two points: m = tanh(2 alpha^2 m / (1 - alpha^4)).
        child = ~saved["branches.of_parent"].values.astype(bool)
        t, m = time[child].ravel(), clean[child].ravel()
        known = np.isfinite(t)
        square = np.exp(-2 * t[known])
        m = m[known]
        np.testing.assert_allclose(
            np.tanh(2 * square * m / (1 - square**2)), m, atol=1e-8
        )
        place = saved["profile.place"].values
        value = saved["profile.value"].values
        assert np.all(abs(value[:, np.argmin(abs(place))]) < 1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_commands_of_one_law_agree(capsys):
    """On the line, as a target, as a denoiser and as a plain function."""
    Path("mine.py").write_text(MODULE)
    times = []
    for argv in (
        TWO,
        [*LINE, "--entry", "mine:law"],
        [*LINE, "--entry", "mine:built", "--dimension", "1"],
        [*LINE, "--entry", "mine:points", "--dimension", "1"],
    ):
        found = told(capsys, *argv, *SMALL)
        (first,) = found["transitions"]
        times.append(first["time"]["value"])
    np.testing.assert_allclose(times, CRITICAL, atol=1e-8)
    # The last ones know no law to start from, and no classes.
    assert found["late_start"] is None
    assert found["late_start_answer"].startswith("no law")
    assert first["class_overlap"] is None
    assert Path("jaxwin-symmetry/figures/potential.png").is_file()


@pytest.mark.slow
@pytest.mark.long
def test_a_law_without_transition_says_so():
    law = GaussianMixture.isotropic([[0.0, 0.0]], 0.5)
    study = symmetry_of(law, quick=True, starts=8, num_replicas=256)
    found = study.summary
    assert found["none"]
    assert found["transitions"] == []
    assert found["answer"].startswith("No transition in OU time [")
    assert found["late_start_answer"].startswith("no labels")
    assert found["late_start"]["weight_bound"] is None
    shown = as_text(study.table)
    assert "No transition" in shown
    assert "any start will do" in shown
    assert "potential" not in study.figures
    json.dumps(found, allow_nan=False)
    write_study(study, "none")


@pytest.mark.slow
def test_a_clock_that_stays_broken_says_so():
    """Times that end before the transition; then a drift that loses its minimum."""
    two = mixture({"means": [1, -1], "variances": 0.0})
    study = symmetry_of(two, quick=True, starts=8, times=(0.05, 0.3), num_replicas=256)
    assert not study.summary["symmetric"]
    assert study.summary["none"]
    shown = " ".join(as_text(study.table).split())
    assert "The symmetric phase is not reached: 2 minima are left" in shown
    wide = mixture({"means": [1, -1], "variances": 9.0}, dimension=2)
    study = symmetry_of(wide, quick=True, starts=8, times=(0.2, 0.9), num_replicas=256)
    assert "o minimum was found in the region" in study.summary["answer"]
    json.dumps(study.summary, allow_nan=False)


@pytest.mark.slow
@pytest.mark.long
def test_rectangle_breaks_twice(capsys):
    means = "[[3,1],[3,-1],[-3,1],[-3,-1]]"
    line = [*LINE, "--means", means, "--variances", "0.01", "--clock", "vp"]
    found = told(capsys, *line, *SMALL)
    first, second = found["transitions"]
    assert [one["order"] for one in (first, second)] == ["second", "second"]
    assert set(first["class_overlap"]["group"]) in ({"0", "1"}, {"2", "3"})
    assert set(second["class_overlap"]["group"]) in ({"0", "2"}, {"1", "3"})
    assert (second["copies"], second["of_parents"]) == (4, 2)
    assert found["clock"] == "vp"
    assert first["clocks"]["vp"]["value"] == pytest.approx(first["time"]["value"])
    assert second["time"]["value"] < first["time"]["value"]


@pytest.mark.slow
@pytest.mark.long
def test_three_patterns_break_at_a_distance():
    law = GaussianMixture.isotropic(3 * np.eye(3), 0.0)
    study = symmetry_of(law, quick=True, starts=8, drift="density", num_replicas=256)
    (first,) = study.summary["transitions"]
    assert first["order"] == "first"
    times = [first[k]["value"] for k in ("time", "coexistence", "instability")]
    assert times[0] > times[1] > times[2]
    assert first["copies"] == 3
    assert len(first["class_overlap"]["group"]) in (1, 2)
    assert first["class_overlap"]["overlap"] > 0.999
    # Modes of the density are a matter of the log-SNR alone.
    assert set(first["clocks"]) == set(clocks_of_drifts())


@pytest.mark.slow
def test_many_directions_cost_as_few():
    """Means in a line of 512 dimensions: one direction is looked at, the same times."""
    law = mixture({"means": [0.5, -0.5], "variances": 0.1}, dimension=512)
    wide = symmetry_of(law, quick=True, starts=8, num_replicas=256)
    assert (wide.summary["d"], wide.summary["directions"]) == (512, 1)
    assert wide.results.axes.shape == (512, 1)
    line = mixture({"means": [[0.5 * 512**0.5], [-0.5 * 512**0.5]], "variances": 0.1})
    narrow = symmetry_of(line, quick=True, starts=8, num_replicas=256)
    first, second = (s.summary["transitions"][0]["time"] for s in (wide, narrow))
    assert first["value"] == pytest.approx(second["value"], abs=1e-8)


@pytest.mark.slow
@pytest.mark.long
def test_digits_cascade_is_named_by_its_classes():
    study = symmetry_of(
        digits(), quick=True, num_points=300, pca=5, most=2, num_replicas=128
    )
    found = study.summary
    assert (found["n"], found["d"], found["directions"]) == (300, 64, 5)
    assert 0 < found["kept"] < 1
    assert found["bandwidth_factor"] == 0.2
    assert found["bandwidth"] > 0
    first = found["transitions"][0]
    assert first["class_overlap"]["overlap"] > 0.7
    assert set(first["class_overlap"]["group"]) < set(map(str, range(10)))
    assert found["minima"]["count"][-1] == 1
    assert found["late_start"]["weight_bound"] is not None
    assert "5 of d = 64" in as_text(study.table)


@pytest.mark.slow
@pytest.mark.long
def test_plan_tells_without_a_run(capsys):
    assert cli.main([*TWO, "--starts", "8", "--quick", "--plan", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)
    assert cost["reached"]
    assert cost["seconds"] > 0
    assert (cost["starts"], cost["directions"], cost["num_points"]) == (8, 1, None)
    assert list(Path().iterdir()) == []
    two = mixture({"means": [1, -1], "variances": 0.0})
    assert "8 starts in 1 directions" in str(plan_symmetry(two, starts=8, quick=True))
    with pytest.raises(BadInput, match="`most` is 0"):
        plan_symmetry(two, most=0)


def test_classes_are_cut_where_the_direction_says():
    means = np.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]])
    weights = np.full(4, 0.25)
    along = class_overlap(np.array([2.0, 0]), weights, means)
    assert along is not None
    assert (along.group, along.rest) == ((0, 1), (2, 3))
    assert along.overlap == pytest.approx(1)
    assert along.pair_overlap == pytest.approx(1)
    other = class_overlap(np.array([0, -1.0]), weights, means)
    assert other is not None
    assert (other.group, other.rest) == ((1, 3), (0, 2))
    # A class without weight is in no group.
    weights = np.array([0.5, 0, 0.5, 0])
    few = class_overlap(np.array([1.0, 0]), weights, means)
    assert few is not None
    assert (few.group, few.rest) == ((0,), (2,))
    assert class_overlap(np.zeros(2), weights, means) is None
    assert class_overlap(np.ones(2), np.array([1.0, 0, 0, 0]), means) is None
    assert class_overlap(np.ones(2), np.full(4, 0.25), np.ones((4, 2))) is None


def test_drifts_are_the_same_on_clocks_of_one_family():
    clocks = clocks_of_drifts()
    assert "edm_sigma" not in same_dynamics(clocks["ou"], "reverse_sde")
    assert set(same_dynamics(clocks["edm_sigma"], "flow")) == {"edm_sigma"}
    assert set(same_dynamics(clocks["flow_u"], "flow")) == {"flow_u"}
    assert set(same_dynamics(clocks["flow_u"], "density")) == set(clocks)
