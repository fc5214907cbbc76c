"""`jaxwin compare`: folders of trained networks, models of one's own, mistakes."""

import json

import jax
import numpy as np
import pytest

from jaxwin import cli
from jaxwin.cli import _common

MODULE = """
import jax.numpy as jnp

from jaxwin.targets import GaussianMixture


def law():
    return GaussianMixture.isotropic([[1.0], [-1.0]], 0.05)


def exact(x, alpha, sigma):
    return law().denoise(x, alpha, sigma)


def shapeless(x, alpha, sigma):
    return jnp.zeros(3)


def linear(x, alpha, sigma):
    # The best of Gaussian data of variance 1.
    return alpha * x / (alpha**2 + sigma**2)


number = 3


def edm(x, sigma):
    return x / (1 + sigma**2)
"""
LINE = ["compare", "--quiet", "--quick"]
MIXTURE = ["--means", "1,-1", "--variances", "0.05"]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)
    (tmp_path / "our_models.py").write_text(MODULE)


def refused(capsys, *argv: str) -> str:
    """The one line of a refusal."""
    assert cli.main([*LINE, *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_mistakes_are_one_line_and_leave_nothing(capsys, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    model = ["--model", "our_models:exact"]
    assert "no such folder" in refused(capsys, "--model", "nowhere", *MIXTURE)
    assert "`model`" in refused(capsys, "--model", "no_module:x", *MIXTURE)
    assert "`model`" in refused(capsys, "--model", "our_models:number", *MIXTURE)
    assert "shape" in refused(capsys, "--model", "our_models:shapeless", *MIXTURE)
    assert "from_network" in refused(capsys, "--model", "our_models:edm", *MIXTURE)
    assert "held_out" in refused(capsys, *model, *MIXTURE, "--held-out", "0.5")
    assert "model" in refused(capsys, *MIXTURE)
    assert "network" in refused(capsys, "--model", str(tmp_path), *MIXTURE)
    kept = [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"]
    assert sorted(kept) == before


def test_a_plan_is_printed(capsys):
    line = [*LINE, *MIXTURE, "--model", "our_models:exact", "--plan", "--json"]
    assert cli.main(line) == 0
    assert json.loads(capsys.readouterr().out)["evaluations"] > 0


@pytest.mark.slow
@pytest.mark.long
def test_a_network_that_was_just_trained(capsys, tmp_path):
    with jax.numpy_dtype_promotion("standard"):
        train = ["train", "--quiet", *MIXTURE, "--steps", "200", "--quick"]
        assert cli.main([*train, "--width", "32", "--out", "net"]) == 0
        capsys.readouterr()
        entry = ["--entry", "our_models:law", "--model", "net", "--json"]
        other = ["--means", "2,-2", "--variances", "0.05"]
        assert "--other-data" in refused(capsys, "--model", "net", *other)
        assert cli.main([*LINE, *entry, "--other-data", "--out", "there"]) == 0
    told = json.loads(capsys.readouterr().out)
    # The network's own folder is enough: it says what it was trained on.
    (tmp_path / "net" / "network").rename(tmp_path / "alone")
    assert "--other-data" in refused(capsys, "--model", "alone", *other)
    assert told["model"] == "net"
    assert told["errors"]["population"]["population"]["path"] > 0
    assert (tmp_path / "there" / "index.html").exists()
    assert (tmp_path / "there" / "figures" / "errors.svg").exists()


def points(path):
    """Two classes in the plane."""
    draws = np.random.default_rng(0)
    label = np.arange(200) % 2
    x = draws.normal(size=(200, 2)) * 0.3 + np.where(label, 1.0, -1.0)[:, None]
    np.savez(path, x=x, labels=label)


def test_a_report_refuses_a_model_before_any_work(capsys, tmp_path):
    points(tmp_path / "points.npz")
    line = ["report", "points.npz", "--quiet", "--quick", "--model"]
    for model, why in (
        ("nowhere", "no such folder"),
        ("our_models:number", "entry"),
        ("our_models:shapeless", "shape"),
    ):
        assert cli.main([*line, model]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert why.replace("entry", "`model`") in err
    assert not (tmp_path / "jaxwin-report").exists()


@pytest.mark.slow
@pytest.mark.long
def test_a_report_sets_a_model_beside_the_data(capsys, tmp_path):
    """A linear denoiser knows no classes: its clones part too early."""
    points(tmp_path / "points.npz")
    line = ["report", "points.npz", "--quiet", "--quick", "--json", "--out", "there"]
    with jax.numpy_dtype_promotion("standard"):
        assert cli.main([*line, "--model", "our_models:linear"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == 200
    assert told["model"]["model"] == "our_models:linear"
    assert told["model"]["deviates"]["errors"]
    place = tmp_path / "there"
    page = (place / "index.html").read_text()
    assert 'id="model"' in page
    assert told["model"]["findings"][0][:20] in page
    assert json.loads((place / "summary.json").read_text())["model"] == told["model"]
    assert (place / "model" / "index.html").exists()
