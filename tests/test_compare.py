"""A model beside the optimum: the law deviates nowhere, wrong laws where wrong."""

import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_network import exact_denoiser
from jaxtyping import Array
from pages import Page, times_at

from jaxwin._checks import BadInput
from jaxwin.analysis import comparison
from jaxwin.datasets import digits, from_arrays
from jaxwin.report import _compare_figures, compare_of, plan_compare, write_study
from jaxwin.report._compare import subject_of
from jaxwin.report._compare_certificate import _between
from jaxwin.report._compare_memory import memory, unlike
from jaxwin.report._compare_times import TimePair
from jaxwin.report._measuring import Measuring
from jaxwin.report._train_source import source_of
from jaxwin.targets import (
    AbstractDenoiser,
    AbstractTarget,
    Empirical,
    FunctionDenoiser,
    GaussianMixture,
)

KEYS = {
    *("name", "model", "source", "digest", "n", "held_out", "d", "classes"),
    *("num_points", "bandwidth", "accuracy", "findings", "deviates", "skipped"),
    *("worst", "memory", "errors", "times", "agreement", "spectra", "samples"),
    *("late_start", "certificates"),
}
LAW = GaussianMixture.isotropic([[1.0], [-1.0]], 0.05)
FEW = {"quick": True, "num_replicas": 512}


def as_function(law: AbstractTarget) -> AbstractDenoiser:
    """The law's denoiser, and nothing else of it."""

    def denoise(law: AbstractTarget, x: Array, alpha: Array, sigma: Array) -> Array:
        return law.denoise(x, alpha, sigma)

    return FunctionDenoiser(eqx.Partial(denoise, law))


def compared(model: AbstractDenoiser, **options):
    return compare_of(model, LAW, **FEW | options)


@pytest.fixture(scope="module")
def same():
    """The law as its own model."""
    return compared(as_function(LAW), num_points=2)


@pytest.mark.slow
@pytest.mark.long
def test_the_law_as_its_own_model_deviates_nowhere(same):
    found = same.summary
    assert set(found) == KEYS
    json.dumps(found, allow_nan=False)
    assert not any(found["deviates"].values()), found["deviates"]
    # The same function: differences are rounding at most.
    curve = found["errors"]["population"]["population"]
    assert max(curve["error"]) < 1e-20
    assert (found["worst"]["relative"] or 0.0) < 1e-20
    assert max(found["spectra"]["relative"]) < 1e-9
    assert found["times"]["collapse"]["difference"] == 0.0
    broken = found["times"]["first symmetry breaking"]
    assert abs(broken["difference"]) < 1e-6
    assert broken["exact"]["value"] > 0
    assert "population denoiser, to rounding" in found["findings"][0]
    assert found["memory"] is None
    assert set(found["skipped"]) == {"late_start"}
    for known in found["certificates"].values():
        assert max(known["bound"]) < 1e-9
        error = np.array(known["deviation_stderr"])
        assert np.all(np.array(known["deviation"]) < 5 * error + 1e-3)


@pytest.mark.slow
@pytest.mark.long
def test_the_page_and_the_files_of_a_comparison(same, tmp_path):
    page = Page(same.page)
    assert "times" in page.ids
    for name in ("errors", "information", "agreement", "survival", "late_start"):
        assert name in page.ids
    assert len(page.ids) == len(set(page.ids))
    assert "to rounding" in page.text
    write_study(same, tmp_path / "out", "jaxwin compare")
    kept = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert kept["command"] == "jaxwin compare"
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        *("index.html", "results.nc", "summary.json", "figures"),
    }


@pytest.mark.slow
@pytest.mark.long
def test_an_exact_network_deviates_nowhere():
    # Behind the seam of trained networks.
    with jax.numpy_dtype_promotion("standard"):
        found = compared(exact_denoiser(LAW)).summary
    assert not any(found["deviates"].values()), found["deviates"]
    curve = found["errors"]["population"]["population"]
    assert max(curve["error"]) < 1e-12


@pytest.mark.slow
@pytest.mark.long
def test_wrong_weights_are_wrong_shares():
    wrong = GaussianMixture.isotropic([[1.0], [-1.0]], 0.05, [0.75, 0.25])
    found = compared(as_function(wrong)).summary
    assert found["deviates"]["errors"]
    assert found["deviates"]["classes"]
    for known in found["certificates"].values():
        slack = 5 * np.array(known["deviation_stderr"])
        bound = np.array(known["bound"])
        assert np.all(np.array(known["deviation"]) < bound + slack)
        assert bound[-1] > 0.05
    samples = found["samples"]
    assert abs(samples["share"][0] - 0.75) < 4 * samples["share_stderr"][0]
    assert samples["energy"] > 2 * samples["energy_stderr"]


@pytest.mark.slow
@pytest.mark.long
def test_wrong_means_are_wrong_times_and_right_shares():
    wrong = GaussianMixture.isotropic([[1.5], [-1.5]], 0.05)
    told = compared(as_function(wrong)).summary["deviates"]
    assert not told["classes"]
    for name in ("errors", "samples", "fixed_points", "spectra"):
        assert told[name], name


@pytest.mark.slow
@pytest.mark.long
def test_data_have_two_optima_and_the_data_set_copies():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    points = (2.0 * labels[:, None] - 1) + 0.3 * rng.normal(size=(120, 3))
    data = from_arrays(points, labels)

    split = source_of(data).split
    assert split is not None
    copying = as_function(Empirical(split.train))
    with jax.numpy_dtype_promotion("standard"):
        study = compare_of(copying, data, late_start=True, **FEW)
    found = study.summary
    assert found["source"] == "data"
    assert set(found["errors"]) == {"training data", "held-out data"}
    assert found["accuracy"] == 1.0
    known = memory(study.results)
    assert known is not None
    assert known.verdict == "copies"
    assert abs(known.share - 1) < 1e-9
    assert known.gap > 1
    assert "certificates" in found["skipped"]
    # The small form of the published table, with what unseen data themselves have.
    rows = found["late_start"]["rows"]
    assert set(rows) == {
        f"{s}_{n}" for s in ("DDPM", "DDIM", "PNDM") for n in (3, 5, 10)
    }
    assert rows["PNDM_10"]["evaluations"] == 19
    floors = found["late_start"]["data"]["floors"]
    assert floors["training data"]["num_points"] == 96
    assert floors["held-out data"]["num_samples"] == 24
    assert 0 < floors["held-out data"]["frechet"] < rows["DDIM_3"]["usual"]["frechet"]
    assert any("Data themselves are" in told for told in found["findings"])
    page = Page(str(study.page))
    assert "Data themselves are" in page.text


def test_models_that_do_not_answer_are_one_line():
    def refused(model) -> str:
        with pytest.raises(BadInput) as caught:
            compared(FunctionDenoiser(model))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "shape" in refused(lambda x, a, s: jnp.zeros(3))
    assert "not finite" in refused(lambda x, a, s: x / 0.0)
    # Only where there is hardly a signal.
    assert "-12" in refused(lambda x, a, s: jnp.where(s > 100 * a, jnp.nan, a * x))
    assert "from_network" in refused(lambda x, a, s: np.sin(np.asarray(x)))


def test_other_data_are_refused_by_their_digest():
    with pytest.raises(BadInput, match="--other-data"):
        compare_of(as_function(LAW), LAW, origin={"digest": "0" * 64}, **FEW)


def test_points_are_chosen_as_in_the_training():
    rng = np.random.default_rng(0)
    data = from_arrays(rng.normal(size=(60, 4)), np.repeat([0, 1, 2], 20))
    chosen = {"classes": "0,2", "normalize": "unit", "pca": 2}
    origin = source_of(data, seed=3, held_out=0.25, **chosen).origin
    assert json.loads(json.dumps(origin)) == origin

    def subject(**options):
        model = FunctionDenoiser(lambda x, a, s: a * x)
        measuring = Measuring(full=1000, seed=0, quick=True)
        return subject_of(model, data, measuring, name="", model_name="", **options)

    again = subject(origin=origin).source
    assert again.digest == origin["digest"]
    assert again.split is not None
    assert again.split.held_out.shape == (10, 2)
    with pytest.raises(BadInput, match="--other-data"):
        subject(origin=origin, pca=3)
    foreign = {key: value for key, value in origin.items() if key != "digest"}
    assert subject(origin=foreign, pca=3).source.dimension == 3
    assert subject().source.dimension == 4


def test_samples_that_are_unlike_data_are_told():
    """Each by itself, where it is sure."""
    good = {"entropy": 0.03, "held_out_entropy": 0.01, "variation": 0.03}
    good |= {"entropy_stderr": 0.002, "held_out_entropy_stderr": 0.002}
    good |= {"variation_stderr": 0.02, "distance_ratio": 0.98}
    good |= {"distance_ratio_stderr": 0.02}
    rest = {"distance": 1.0, "held_out_distance": 1.0, "copied": 0.01}
    shares = {"share": np.full(2, 0.5), "held_out_share": np.full(2, 0.5)}

    def told(**other: float) -> bool:
        made: dict[str, Any] = {"num_samples": 100, "num_held_out": 100} | shares
        made |= {k: np.asarray(v, float) for k, v in (good | rest | other).items()}
        return unlike(comparison.SampleQuality(**made))

    assert not told()
    assert told(entropy=0.1)
    assert told(variation=0.2)
    assert told(distance_ratio=1.6)
    assert told(distance_ratio=0.4)
    assert not told(entropy=0.1, entropy_stderr=0.05)


def test_pictures_are_of_points_as_they_came(monkeypatch):
    split = source_of(digits()).split
    assert split is not None
    monkeypatch.setattr(_compare_figures, "image_grids", lambda groups, shape: groups)
    drawn = _compare_figures._pictures({"some": split.train}, split, (8, 8, 1))
    assert (drawn["some"].min(), drawn["some"].max()) == pytest.approx((0, 16))


def test_certified_times_are_where_the_band_crosses():
    noises = np.linspace(0.0, 2.0, 5)
    kept = np.array([1.0, 0.9, 0.7, 0.6, 0.5])
    between = lambda bound, level: _between(noises, kept, np.full(5, bound), level)
    # Straight lines between noises: 0.9 - 0.05 to 0.7 - 0.05 falls to 0.75 half way.
    assert between(0.05, 0.75) == pytest.approx((0.75, 1.0))
    assert between(0.0, 0.75) == pytest.approx((0.875, 0.875))
    assert between(0.3, 0.75) == pytest.approx((0.0, np.inf))
    assert between(0.2, 0.75) == pytest.approx((0.25, 1.75))
    # Up again at the end, and above throughout.
    back = np.array([1.0, 0.7, 0.9, 0.7, 0.9])
    assert _between(noises, back, np.zeros(5), 0.8) == (2.0, np.inf)
    assert _between(noises, np.ones(5), np.zeros(5), 0.8) == (2.0, np.inf)


def test_the_plan_counts_evaluations():
    cost = plan_compare(as_function(LAW), LAW, quick=True)
    assert cost.evaluations > 1000
    assert cost.seconds > 0
    assert "evaluations of the model" in str(cost)


def test_times_agree_within_errors_or_where_there_is_none():
    one = lambda time, error=0.01, found=True: times_at(time, error, found)
    pair = lambda *times: TimePair("t", *times)
    assert pair(one(1.0), one(1.03)).agrees
    assert not pair(one(1.0), one(1.2)).agrees
    assert pair(one(1.0, found=False), one(1.2, found=False)).agrees
    missing = pair(one(1.0), one(1.2, found=False))
    assert not missing.agrees
    assert missing.to_json()["difference"] is None
