"""`jaxwin windows`: whole studies, small, and the sections on the page."""

import json
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import xarray
from rich.console import Console

from jaxwin import cli
from jaxwin._checks import BadInput
from jaxwin.analysis.windows import Tree, best_time, decision_timeline, theorem_bound
from jaxwin.cli import _common
from jaxwin.datasets import from_arrays
from jaxwin.plots import timeline
from jaxwin.report import diagnose, figures, mixture, page, summary, windows_of
from jaxwin.report._fairness import fairness_of_law, fairness_summary
from jaxwin.report._measuring import Measuring
from jaxwin.targets import Empirical, GaussianMixture

CLUSTERS = mixture({"means": [1, -1], "variances": 1}, dimension=64)
# |mu| = 8; printed for |mu| = 10 in arXiv:2502.00921's Example 1, exact forms.
SHIFT = np.log(0.8)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)


def labelled(seed: int = 0, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes in the plane, and groups of weights 0.85 and 0.15 apart by 4."""
    rng = np.random.default_rng(seed)
    classes, groups = rng.integers(0, 3, n), (rng.random(n) < 0.15).astype(int)
    points = rng.normal(size=(n, 4))
    points[:, 0] += 4.0 * classes
    points[:, 1] += 4.0 * groups
    return points, classes, groups


def as_text(table) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.slow
@pytest.mark.long
def test_windows_of_two_clusters_are_their_theory():
    study = windows_of(CLUSTERS, num_replicas=1024)
    found = study.summary
    first = found["windows"][0]
    assert found["method"] == "quadrature"
    assert found["confusion_method"] == "closed"
    assert abs(first["T_after"]["value"] - (1.356413551 + SHIFT)) < 1e-8
    assert abs(first["T_before"]["value"] - (3.675579874 + SHIFT)) < 1e-8
    # Half of the flips at m* = 0.922412...; peak of the rate at 1.22814...
    middle = np.log(8 / 0.922412292640423)
    assert abs(first["middle"]["value"] - middle) < 1e-4
    rate = found["class_rate"]
    assert abs(rate["time"]["value"] - np.log(8 / 1.22814112739)) < 1e-6
    assert abs(rate["rate"] - 0.479515970635) < 1e-8
    assert abs(first["largest_inside"] - 16) < 1e-12
    assert abs(first["smallest_outside"] - 16) < 1e-12
    width = first["T_before"]["value"] - first["T_after"]["value"]
    assert first["width"] == width
    assert first["relative"] == width / first["T_before"]["value"]
    shown = as_text(study.table)
    assert f"{width:.3g}" in shown
    assert f"{100 * first['relative']:.0f} %" in shown
    assert found["tree"] == "resolved"
    assert set(study.figures) == {"survival", "certificate", "timeline"}
    # Samples are decided inside the window.
    low, _, high = found["timeline"]["nodes"]["0"]["quantiles"]
    assert first["T_after"]["value"] - 0.2 < low < high < first["T_before"]["value"]


@pytest.mark.slow
@pytest.mark.long
def test_many_directions_are_sampled_and_agree():
    """Five orthogonal means: equal windows, within 4 errors of each other's."""
    law = GaussianMixture.isotropic(6.0 * np.eye(5), 1.0)
    found = windows_of(law, num_replicas=2048).summary
    assert found["method"] == "overlaps by exact soft labels"
    leaves = [one for one in found["windows"] if len(one["group"]) == 1]
    assert len(leaves) == 5
    after = [one["T_after"] for one in leaves]
    assert all(time["found"] for time in after)
    spread = max(t["value"] for t in after) - min(t["value"] for t in after)
    assert spread < 8 * max(t["stderr"] for t in after)
    # T_start of a leaf and T_after of its window are both sup{TV >= 1 - eps^2}.
    assert found["tree_method"] == "overlaps by exact soft labels"
    assert any(one["answer"] == "window" for one in found["windows"])
    for one in found["windows"]:
        if one["answer"] == "window":
            assert one["T_start"] == one["T_after"]


@pytest.mark.slow
@pytest.mark.long
def test_data_tell_the_story_of_the_report():
    """Without a kernel the numbers are those of the report, bit for bit."""
    points, classes, _ = labelled()
    data = from_arrays(points, classes)
    study = windows_of(data, bandwidth=0.0, num_replicas=1024)
    report = diagnose(data, num_replicas=1024)
    told = summary(report)
    assert study.summary["t_phi"] == told["t_phi_all"]
    assert study.summary["t_phi_pairs"] == told["t_phi"]
    found = study.results
    assert np.max(np.abs(found.phi - found.agreement.phi)) < 1e-10
    assert {"survival", "certificate", "timeline", "merge_tree"} <= set(study.figures)
    # Classes 4 apart at unit width are told apart without noise, and not at much.
    windows = study.summary["windows"]
    assert all(one["middle"]["found"] for one in windows)
    assert all(one["middle"]["stderr"] > 0 for one in windows)
    assert '<section id="fairness"' not in page(report, figures(report))


@pytest.mark.slow
@pytest.mark.long
def test_groups_and_members_have_sections():
    points, classes, groups = labelled()
    # One Gaussian cannot hold a group of two clumps: its model is under-fitted.
    points[groups == 1, 2] += np.where(np.arange(np.sum(groups)) % 2, 5.0, -5.0)
    data = from_arrays(points, {"class": classes, "group": groups})
    fresh, _, _ = labelled(seed=1, n=150)
    others, members = from_arrays(fresh), from_arrays(points[:150])
    asked = {"groups": "group", "members": members, "candidates": others}
    found = diagnose(data, num_replicas=1024, **asked)
    told = summary(found)
    fair = told["fairness"]
    assert set(fair["groups"]) == {"0", "1"}
    assert fair["biased"]
    assert fair["null_moves"] < 1e-9
    assert 0.5 < told["membership"]["auc"]["value"] <= 1
    own = told["membership"]["own_windows"]
    assert len(own) == 16
    some = [one["middle"] for one in own if one["middle"]["found"]]
    assert all(one["early"]["found"] <= one["middle"]["found"] for one in own)
    assert len(some) > 0
    assert set(told["membership"]["true_positive"]) >= {"0.01", "0.05", "0.1", "0.9"}
    drawn = figures(found)
    text = page(found, drawn)
    for name in ("fairness", "membership"):
        assert f'<section id="{name}"' in text


@pytest.mark.slow
@pytest.mark.long
def test_command_writes_a_folder(capsys):
    line = "windows --means 0,3,20 --variances 1 --weights 0.5,0.3,0.2"
    argv = [*line.split(), "--tree", "[[0,1],2]", "--initial", "0"]
    assert cli.main([*argv, "--json", "--quiet", "--quick"]) == 0
    told = json.loads(capsys.readouterr().out)
    law = GaussianMixture.isotropic([[0.0], [3.0], [20.0]], 1.0, [0.5, 0.3, 0.2])
    found, exact = told["certificate"], best_time(law, [0], [0, 1])
    assert found["target"] == ["0", "1"]
    assert found["best_T"]["found"]
    assert abs(found["best_T"]["value"] - float(exact.time.time)) < 1e-9
    assert found["upper"] == float(exact.upper)
    assert found["lower"] <= found["upper"]
    assert told["tree_method"] == "closed form, quadrature"
    assert "T_end_pair" in told["windows"][0]
    with xarray.open_dataset("jaxwin-windows/results.nc", engine="h5netcdf") as saved:
        assert "survival.survival" in saved
    on_disk = json.loads(Path("jaxwin-windows/summary.json").read_text())
    assert on_disk["windows"] == told["windows"]


LINE = "windows --means 2,-2,9 --variances 1 --quiet"
BAD = {
    f"{LINE} --epsilon 0": "epsilon",
    f"{LINE} --epsilon 1.5": "epsilon",
    f"{LINE} --initial 0,2 --target 0,1": "inside",
    f"{LINE} --initial 7": "label 7",
    f"{LINE} --tree [[0,1],[1,2]]": "`tree` names label 1 twice",
    f"{LINE} --tree [0,1]": "`tree` leaves out class 2",
    f"{LINE} --tree [0]": "`tree` leaves out class 1",
    f"{LINE} --tree [0,0,1,2]": "`tree` names label 0 twice",
    f"{LINE} --tree [[[0,1,2]]]": "`tree` holds the group [0, 1, 2] twice",
    f"{LINE} --tree 0,9": "`tree` names label 9",
    f"{LINE} --tree [0,true]": "`tree` holds True",
    f"{LINE} --initial [[0],[1]]": "`initial` is [[0], [1]]",
    f'{LINE} --initial {{"a":1}}': "`initial` is [{'a': 1}]",
    f"{LINE} --target 0.5": "`target` is [0.5]",
    f"{LINE} --target []": "`target` is empty",
    f"{LINE} --bandwidth 1": "`bandwidth` is an option of data sets",
    f"{LINE} --points 3": "`num_points` selects from a data set",
    f"{LINE} --normalize pm1": "`normalize` selects from a data set",
    f"{LINE} --x a": "`x` is 'a', of a data set",
    f"{LINE} --groups nonsense": "`groups` is 'nonsense'",
    f"{LINE} --groups class": "several components a class by `labels`",
    f"{LINE} --labels 0,0,0": "fewer than two",
    f"{LINE} --labels 0,0,1 --weights 0.5,0.5,0": "fewer than two",
    "windows --means 1 --variances 1": "fewer than two",
    "windows --dimension 3": "`dimension` is 3, of a mixture",
    "windows --epsilon 2 --quick": "epsilon",
    "windows --bandwidth -1": "`bandwidth` is -1",
    "windows --bandwidth nan": "`bandwidth` is nan",
    "windows --bandwidth inf": "`bandwidth` is inf",
    "windows --classes 3": "`classes` keeps one class, '3'",
    "windows --classes 3,4 --tree [0]": "`tree` leaves out class 1",
    "windows --classes 3,4 --target 0.5": "`target` is [0.5]",
    f"{LINE} --weights 0.5,-0.1,0.6": "weights",
    f"{LINE} --weights 0.5,0.1,0.1": "sum to 1",
    f"{LINE} --members nowhere.npy": "go together",
    "windows nowhere.npy --members nowhere.npy": "go together",
    "report nowhere.npy --candidates nowhere.npy": "go together",
    f"{LINE} --members nowhere.npy --candidates a.npy": "`members` is 'nowhere.npy'",
    "windows --entry nothing": "MODULE:NAME",
    "windows --entry nowhere_at_all:law": "fails",
    "windows --entry math:pi": "fails",
    "windows --entry laws:law --means 1": "`means` is given beside `entry`",
    "windows data.csv --entry laws:law": "`file` is given beside `entry`",
    "windows --entry laws:law --labels a": "`labels` is given beside `entry`",
    "windows --entry laws:law --x a": "`x` is given beside `entry`",
    "windows --groups nothing --quick": "groups",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_and_exit_code_two(line, capsys):
    assert cli.main(line.split()) == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert BAD[line] in message


OF_DATA: dict[str, Any] = {
    "classes": [0, 1],
    "num_points": 5,
    "normalize": "pm1",
    "pca": 2,
    "shape": (8, 8),
    "bandwidth": 0.5,
}


@pytest.mark.parametrize("name", OF_DATA)
def test_a_law_takes_no_options_of_data(name):
    with pytest.raises(BadInput, match=f"`{name}` is an option of data sets"):
        windows_of(CLUSTERS, **{name: OF_DATA[name]})


def test_data_of_one_class_have_no_windows():
    with pytest.raises(BadInput, match="`labels` holds one class, '0'"):
        windows_of(from_arrays(labelled(n=20)[0], np.zeros(20, int)))


def test_bad_groups_of_a_law_are_told_before_long_work():
    with pytest.raises(BadInput, match="mixtures of Gaussians"):
        windows_of(Empirical(np.eye(3), np.array([0, 1, 1])), groups="class")
    means, weights = [[0.0], [1.0], [2.0]], [0.5, 0.5, 0.0]
    law = GaussianMixture.isotropic(means, 1.0, weights, labels=[0, 1, 2])
    with pytest.raises(BadInput, match="class 2 has no weight"):
        windows_of(law, groups="class")


LAW = """
from jaxwin.targets import GaussianMixture

law = GaussianMixture.isotropic([[1.0], [-1.0]], 1.0)


def broken():
    raise ValueError("first\\nsecond: line")
"""


def test_a_law_of_ones_own_fails_in_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_law.py").write_text(LAW)
    assert cli.main(["windows", "--entry", "own_law:broken"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: first second: line." in line
    # What selects from data selects nothing of a law.
    assert cli.main(["windows", "--entry", "own_law:law", "--classes", "0,1"]) == 2
    assert "`classes` is an option of data sets" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["members", "candidates"])
def test_bad_points_name_their_option(name, capsys):
    np.save("good.npy", np.eye(3))
    np.save("bad.npy", np.full((3, 3), np.nan))
    given = {"members": "good.npy", "candidates": "good.npy", name: "bad.npy"}
    argv = [word for key, file in given.items() for word in (f"--{key}", file)]
    assert cli.main(["windows", *argv]) == 2
    assert f"`{name}` is 'bad.npy': `x` has 9" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True])
def test_groups_of_a_mixture_on_a_line_are_exact(full):
    """Two components a class: the model, a Gaussian a class, is another law."""
    means, weights = [[0.0], [6.0], [3.0]], [0.4, 0.4, 0.2]
    make = GaussianMixture.full if full else GaussianMixture.isotropic
    spread = np.ones((3, 1, 1)) if full else 1.0
    law = make(means, spread, weights, labels=[0, 0, 1])
    noise = np.linspace(0.1, 4.0, 16)
    told = fairness_summary(fairness_of_law(law, noise, Measuring(quick=True)))
    assert told["column"] == "class"
    assert told["method"] == "quadrature on the line"
    assert abs(told["groups"]["1"]["largest_excess"]) > 0.01


@pytest.fixture
def _untyped():
    """Without checks of types, as people call."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_untyped")
@pytest.mark.parametrize("epsilon", [np.array([0.1, 0.2]), [0.1]])
def test_several_tolerances_are_refused(epsilon: Any):
    with pytest.raises(BadInput, match="`epsilon` is an array of shape"):
        theorem_bound(epsilon, 1.0)


@pytest.mark.slow
def test_timeline_is_drawn_where_the_tree_leaves_a_label_out():
    law = GaussianMixture.isotropic([[0.0], [2.0], [5.0]], 1.0)
    noise = np.linspace(0.1, 3.0, 8)
    found = decision_timeline(law, Tree.nested([0, 1], 3), noise, num_samples=64)
    assert 2 in found.label[: len(found.posterior)]
    drawn = timeline(found, ["a", "b", "all"])
    followed = np.isin(found.label[: len(found.posterior)], [0, 1])
    assert len(drawn.axes[0].get_legend_handles_labels()[1]) == followed.sum()


def test_members_go_with_candidates():
    points, _, _ = labelled(n=40)
    with pytest.raises(BadInput, match="go together"):
        windows_of(CLUSTERS, members=from_arrays(points))
