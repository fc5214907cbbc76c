"""A mixture on the line or in a file, and what is refused."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin import cli
from jaxwin._checks import BadInput
from jaxwin.cli import _common
from jaxwin.cli._speciation import Speciation
from jaxwin.datasets import Data, is_named, named_arrays
from jaxwin.report import mixture
from jaxwin.targets import GaussianMixture

MEANS = np.array([[1.0, 2.0, 0.0], [-1.0, 0.5, 3.0]])


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)


def covariances(law: GaussianMixture) -> np.ndarray:
    """Dense covariance of each component."""
    alone = lambda label: law.restrict(
        jnp.asarray(np.eye(law.num_labels, dtype=bool)[label])
    )
    each = [alone(label).moments().covariance() for label in np.asarray(law.labels)]
    return np.array(each)


FACTOR = np.array([[1.0], [2.0], [0.5]])
FULL = FACTOR @ FACTOR.T + 0.3 * np.eye(3)
KINDS = {
    "one variance": ({"variances": 0.5}, 0.5 * np.eye(3)),
    "one each": (
        {"variances": [0.5, 2.0]},
        np.array([0.5 * np.eye(3), 2 * np.eye(3)]),
    ),
    "one a coordinate": ({"variances": [1.0, 2.0, 3.0]}, np.diag([1.0, 2.0, 3.0])),
    "covariances": ({"covariances": FULL}, FULL),
    "factors": ({"factors": FACTOR, "variances": 0.3}, FULL),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["dictionary", "json", "npz"])
def test_every_covariance_in_every_form(kind, form):
    given, expected = KINDS[kind]
    arrays = {"means": MEANS, "weights": [0.25, 0.75], "labels": [1, 0], **given}
    if form == "json":
        text = {key: np.asarray(value).tolist() for key, value in arrays.items()}
        Path("law").write_text(json.dumps(text))
        arrays = named_arrays("law")
    elif form == "npz":
        np.savez("law.npz", **arrays)
        arrays = named_arrays("law.npz")
    law = mixture(arrays)
    np.testing.assert_allclose(law.means, MEANS)
    np.testing.assert_allclose(
        covariances(law), np.broadcast_to(expected, (2, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(np.exp(law.log_weights), [0.25, 0.75])
    np.testing.assert_array_equal(law.labels, [1, 0])


def test_numbers_fill_all_coordinates():
    law = mixture({"means": [1, -1], "variances": 1}, dimension=5)
    np.testing.assert_array_equal(law.means, [[1.0] * 5, [-1.0] * 5])
    assert mixture({"means": [1, -1], "variances": 1}).dimension == 1


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"variances": 1}, "`means` is missing"),
        ({"means": MEANS}, "`variances` is missing"),
        ({"means": MEANS, "variances": -1}, "`variances`"),
        ({"means": MEANS, "variances": 1, "covariances": FULL}, "keep one"),
        ({"means": MEANS, "variances": 1, "weights": [0.5, 0.9]}, "sum to 1"),
        ({"means": MEANS, "variances": [1, 2, 3, 4]}, "`variances` has shape"),
        ({"means": MEANS, "variances": 1, "mean": 0}, "`mean` is no part"),
        ({"means": MEANS, "variances": 1, "labels": [0, 2]}, "`labels`"),
        ({"means": [[np.nan]], "variances": 1}, "`means`"),
        ({"means": MEANS, "covariances": -np.eye(3)}, "negative eigenvalue"),
    ],
)
def test_what_is_no_mixture_is_refused(arrays, word):
    with pytest.raises(BadInput, match=word):
        mixture(arrays)


def test_dimension_contradicts_rows():
    with pytest.raises(BadInput, match="`dimension` is 4"):
        mixture({"means": MEANS, "variances": 1}, dimension=4)


def test_a_data_set_is_told_from_a_mixture():
    np.savez("data.npz", x=MEANS, y=[0, 1])
    np.savez("law.npz", means=MEANS, variances=1.0)
    Path("law.json").write_text('  {"means": [[0], [1]], "variances": 1}')
    assert not is_named("data.npz", "means")
    assert is_named("law.npz", "means")
    assert is_named("law.json", "means")
    assert isinstance(Speciation(file="law.json").law_or_data(), GaussianMixture)
    data = Speciation(file="data.npz").law_or_data()
    assert isinstance(data, Data)
    np.testing.assert_array_equal(data.points, MEANS)


def test_the_line_adds_to_the_file():
    Path("law.json").write_text('{"means": [[0, 0], [1, 4]], "variances": 1}')
    options = Speciation(file="law.json", variances="2.5", weights="0.1,0.9")
    law = options.law_or_data()
    assert isinstance(law, GaussianMixture)
    np.testing.assert_allclose(covariances(law)[0], 2.5 * np.eye(2))
    np.testing.assert_allclose(np.exp(law.log_weights), [0.1, 0.9])


@pytest.mark.parametrize("command", ["speciation", "collapse"])
@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--means", "1,x", "--variances", "1"], "`means`"),
        (["--means", "[[1],[2,3]]", "--variances", "1"], "`means`"),
        (["--means", "1,-1"], "`variances` is missing"),
        (["--means", "1,-1", "--variances", "-1"], "`variances`"),
        (["--means", "1,-1", "--variances", "1", "--classes", "0"], "`classes`"),
        (["data.npy", "--means", "1,-1"], "`means`"),
        (["broken.json"], "no JSON"),
        (["--means", "1,-1", "--variances", "1", "--seed", "-1"], "`seed`"),
    ],
)
def test_bad_lines_get_one_line_and_leave_nothing(capsys, command, argv, word):
    np.save("data.npy", MEANS)
    Path("broken.json").write_text('{"means": [[0], [1')
    before = sorted(Path().iterdir())
    assert cli.main([command, *argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("jaxwin: ")
    assert word in line
    assert sorted(Path().iterdir()) == before


def test_one_point_of_a_mixture_is_refused(capsys):
    argv = ["collapse", "--means", "1,-1", "--variances", "1", "--points", "1"]
    assert cli.main(argv) == 2
    assert "`points` is 1" in capsys.readouterr().err
