"""The synthetic suite of critical windows: reference numbers, figures, folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray
from rich.table import Table

from jaxwin import cli
from jaxwin.analysis import windows
from jaxwin.cli import _common
from jaxwin.report import reproduce
from jaxwin.report.reproduce import (
    ENTRIES,
    _covariances,
    _hierarchy,
    _log_concave,
    _simplex,
)
from jaxwin.report.reproduce._comparison import Comparison, compare

SUITE = [name for name in ENTRIES if name.startswith("critical-windows-")]
# Replicas of a small study, 16 blocks of 64; seed 0.
SMALL = 1024
# Drawn between their noises at places of which nothing is told: fewer of them do.
COARSE = {
    "simplex": _simplex,
    "log-concave": _log_concave,
    "covariances": _covariances,
    "hierarchy": _hierarchy,
}


def made(name, **options):
    with pytest.MonkeyPatch.context() as patch:
        if name in COARSE:
            patch.setattr(COARSE[name], "FINE", COARSE[name].FINE[::4])
        study = reproduce(f"critical-windows-{name}", num_replicas=SMALL, **options)
    # Sampled beside exact: of some hundred z in the suite, correlated along curves;
    # errors of 16 blocks are Student's with 15 degrees of freedom, 4.9 for 2e-4.
    for part in study.results.values():
        if isinstance(part, Comparison):
            assert part.largest_z < 4.9
            assert np.isfinite(part.z).any()
    assert study.figures
    assert isinstance(study.table, Table)
    assert study.table.row_count > 0
    json.dumps(study.summary, allow_nan=False)
    return study


def at(found, name, noise):
    """The exact value of a quantity at a noise of its table."""
    i = int(np.argmin(np.abs(found.noise - noise)))
    assert abs(found.noise[i] - noise) < 1e-4
    return found.exact(name)[i]


def near(value, expected, digits):
    """To 0.6 of the last printed digit."""
    np.testing.assert_allclose(value, expected, rtol=0, atol=0.6 * 10.0**-digits)


def test_the_suite_is_listed():
    assert len(SUITE) == 13
    for name in SUITE:
        assert ENTRIES[name].published == "none available"


def test_comparisons_know_where_errors_are_none():
    """Exact, off by two errors, too rare for its error, and not sampled at all."""
    noise = np.array([0.0, 1.0, 2.0])
    known = lambda t: {"a": 0.25 + 0 * t, "b": 1e-4 + 0 * t}
    sampled = {"a": ([0.25, 0.27, 0.25], [0.0, 0.01, 1e-15])}
    found = compare(noise, np.linspace(0, 2, 5), known, sampled, 1000, "by hand")
    np.testing.assert_allclose(found.z[0], [0, 2, 0])
    assert np.isnan(found.z[1]).all()
    assert found.largest_z == pytest.approx(2)
    assert found.to_json()["points"][1]["b"]["z"] is None
    rare = compare(noise, noise, known, {"b": ([0, 0, 1e-3], [1e-6] * 3)}, 1000, "")
    assert np.isnan(rare.z).all()
    with pytest.raises(AssertionError, match="not known"):
        compare(noise, noise, known, {"c": (noise, noise)}, 1000, "")


@pytest.mark.slow
def test_masking():
    study = made("masking")
    short, long = study.summary["words"]
    near(short["T_before_pair"]["value"], 0.9989469497, 10)
    near(short["T_before"]["value"], 0.9977710523, 10)
    near(short["T_after"]["value"], 0.9549925860, 10)
    near(short["half_flip"]["value"], 0.9930924954, 10)
    near(long["T_before_pair"]["value"], 0.9999899497, 10)
    near(long["T_after"]["value"], 0.9908319449, 10)
    near(long["T_before"]["value"], 0.9999797975, 10)
    near(short["limit"], 4.499810, 6)
    near(long["limit"], 9.200290, 6)
    assert abs(long["scaled_width"] - long["limit"]) < 0.05
    # h times as many sites, the same probability that all of them are masked.
    for h, found in ((100, study.results["h_100"]), (1000, study.results["h_1000"])):
        half = 0.5 ** (1 / h)
        near(at(found, "TV", half), 0.5, 12)
        near(at(found, "flip", half), 0.25, 12)


def test_coins():
    study = made("coins")
    found, summary = study.results["comparison"], study.summary
    expected = {
        10: (0.242841890898, 0.453962752833),
        100: (0.682695602126, 0.223818090840),
        400: (0.954905892863, 0.033866935350),
    }
    for n, (variation, flip) in expected.items():
        near(at(found, "TV", n), variation, 12)
        near(at(found, "flip", n), flip, 12)
    assert (summary["told"], summary["pair_alike"]) == (661, 6)
    near(summary["after_printed"], 1059.66, 2)
    near(summary["small_bias"]["total_variation"], 0.158033780, 9)
    near(summary["sparse_regression"]["N_star"], 29.935319148, 9)


def test_command_writes_a_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_common, "keep_programs", lambda: None)
    argv = ["reproduce", "critical-windows-coins", "--quick", "--quiet", "--json"]
    assert cli.main([*argv, "--seed", "5"]) == 0
    summary = json.loads(capsys.readouterr().out)
    folder = Path("jaxwin-critical-windows-coins")
    assert summary["comparison"]["draws"] == 2048
    written = json.loads((folder / "summary.json").read_text())
    assert written | summary == written
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "flips.png",
        "flips.svg",
    }
    with xarray.open_dataset(folder / "results.nc", engine="h5netcdf") as results:
        stored = results["comparison.predicted"]
        assert stored.shape == (2, len(summary["comparison"]["points"]))


def test_seed_and_error_are_honoured():
    few = reproduce("critical-windows-coins", num_replicas=256).results["comparison"]
    other = reproduce("critical-windows-coins", num_replicas=256, seed=1)
    assert np.any(few.measured != other.results["comparison"].measured)
    study = reproduce("critical-windows-masking", until_stderr=0.02, quick=True)
    assert study.largest_error < 0.02


@pytest.mark.slow
@pytest.mark.long
def test_two_components():
    study = made("two-components")
    found = study.results["comparison"]
    names = "TV(p+, p−)", "flip, SDE", "flip, ODE", "BC(p+, p−)", "KL(p+ | p)"
    table = {
        0.25: (197412651366, 470527012230, 401293674317, 969233234476, 30311300521),
        0.5: (382924922548, 397972867183, 308537538726, 882496902585, 111421482185),
        1: (682689492137, 224799754603, 158655253931, 606530659713, 336830820347),
        2: (954499736104, 34298704395, 22750131948, 135335283237, 632720193737),
        3: (997300203937, 2075539870, 1349898032, 11108996538, 689297933029),
    }
    for m, values in table.items():
        for name, value in zip(names, values, strict=True):
            near(at(found, name, np.log(10 / m)), value / 1e12, 11)
    marks = study.summary["constants"]
    near(marks["half"], 0.922412292640423, 12)
    near(marks["steepest"], 1.11956760081, 9)
    near(marks["slope"], 0.322043257429, 11)
    near(marks["width"], 1.70802653264, 11)
    keys = "T_end", "T_end_pair", "before_printed", "T_start", "after_printed"
    thresholds = {
        0.2: (2.948084642, 3.675579874, 4.605170186, 1.582918233, 1.376055500),
        0.1: (3.675579874, 4.376749807, 5.298317367, 1.356413551, 0.938530460),
        0.01: (5.988712008, 6.681937745, 7.600902460, 0.944023791, 0.160498244),
    }
    leak = {0.2: 1.839320296, 0.1: 1.620557777, 0.01: 1.231541669}
    apart = {0.2: 1.371495, 0.1: 1.192422, 0.01: 0.845848}
    for row in study.summary["thresholds"]:
        epsilon = row["epsilon"]
        for key, value in zip(keys, thresholds[epsilon], strict=True):
            near(row[key]["value"], value, 9)
        near(row["T_end_solved"]["value"], row["T_end"]["value"], 9)
        near(row["T_start_solved"]["value"], row["T_start"]["value"], 9)
        near(row["after_leak"]["value"], leak[epsilon], 9)
        near(row["after_apart"]["value"], apart[epsilon], 6)


@pytest.mark.slow
@pytest.mark.long
def test_theorem():
    study = made("theorem")
    found, summary = study.results["comparison"], study.summary
    names = "to target", "to start", "to all", "inside", "U(T)"
    table = {
        0.5: (0.163975391, 0.177369355, 0.374816599, 0.227918785, 0.227918785),
        1.372994781: (0.035275702, 0.306069628, 0.333332756, 0.1, 0.1000003),
        1.9: (0.013355005, 0.330280760, 0.331062797, 0.059447516, 0.0610329),
        2.04544834: (0.012136034, 0.336740684, 0.326161717, 0.051448646, 0.0568214),
        3.0: (0.165022513, 0.431257849, 0.168310820, 0.019853964, 0.1760503),
        4.0: (0.299414889, 0.503386338, 0.033918445, 0.007306474, 0.3041865),
    }
    for time, values in table.items():
        for name, value in zip(names, values, strict=True):
            near(at(found, name, time), value, 7 if name == "U(T)" else 9)
    near(at(found, "leak", 1.9), 1.585417e-3, 9)
    near(at(found, "leak", 3.0), 0.1561963, 7)
    near(at(found, "lower", 3.0), 0.1650225, 7)
    near(summary["T_end"]["value"], 1.372994781, 9)
    near(summary["T_start"]["value"], 2.045448340, 9)
    near(summary["weight_ratio"], 0.5, 12)
    near(summary["bound"], 0.170710678, 9)
    assert abs(summary["best_T"]["value"] - 2.0873587) < 1e-4
    near(summary["best_upper"], 0.0565710, 7)
    closed = {round(row["noise"], 6): row["upper"] for row in summary["closed"]}
    near(closed[1.9], 0.065274, 6)
    assert summary["largest_inside"] < summary["bound"]
    # The distance itself lies between its sampled bounds, and between the exact ones.
    exact = found.exact("to target")
    assert np.all(exact <= found.exact("U(T)") + 1e-9)
    assert np.all(exact >= found.exact("lower") - 1e-9)
    for value, row in zip(exact, summary["sandwich"], strict=True):
        slack = 4.9 * row["stderr"]
        assert row["lower"] - slack <= value <= row["upper"] + slack


@pytest.mark.slow
@pytest.mark.long
def test_hierarchy():
    study = made("hierarchy")
    found = study.results["comparison"]
    table = {
        0: (1, 1, 0.775200245),
        1: (1, 0.999818695, 0.559968813),
        2: (1, 0.871318206, 0.443496592),
        3: (0.999999502, 0.601307250, 0.301397031),
        4: (0.949772022, 0.490309788, 0.245237107),
        6: (0.529001182, 0.264663006, 0.132332316),
    }
    for time, values in table.items():
        for name, value in zip(found.names, values, strict=True):
            near(at(found, name, time), value, 9)
    middles = [row["middle"]["value"] for row in study.summary["features"]]
    near(middles, [4.685933, 2.383348, 0.080763], 6)
    # Decided on the way back in this order, each before half of the flips are left.
    medians = [row["decided"]["0.5"]["value"] for row in study.summary["features"][:2]]
    assert medians[0] > medians[1]
    assert all(
        0 < middle - m < 0.7 for m, middle in zip(medians, middles, strict=False)
    )


@pytest.mark.slow
def test_tree():
    summary = made("tree").summary
    near(summary["separation_ratio"], 20.4981831567, 10)
    cases = summary["cases"]
    resolved, rejected = cases["A = 100, B = 3"], cases["A = 100, B = 5"]
    assert (resolved["answer"], rejected["answer"]) == ("resolved", "unresolved")
    near(resolved["nodes"]["leaf"]["T_start"]["value"], 0.234885, 6)
    near(resolved["nodes"]["leaf"]["T_end"]["value"], 0, 6)
    near(resolved["nodes"]["node"]["T_end"]["value"], 3.172777, 6)
    near(resolved["nodes"]["node"]["T_start"]["value"], 3.656015, 6)
    near(resolved["nodes"]["root"]["T_end"]["value"], 6.708894, 6)
    near(rejected["nodes"]["node"]["T_end"]["value"], 3.683603, 6)
    near(rejected["nodes"]["node"]["T_start"]["value"], 3.650721, 6)
    for case in cases.values():
        for node in case["nodes"].values():
            for key in ("T_end", "T_start"):
                exact, sampled = node[key], node[f"{key}_sampled"]
                if exact["found"] and sampled["found"]:
                    apart = abs(sampled["value"] - exact["value"])
                    assert apart <= 4 * sampled["stderr"]


@pytest.mark.slow
@pytest.mark.long
def test_random_means():
    study = made("random-means")
    summary = study.summary
    near(summary["nearest"], 43.093358, 6)
    near(summary["furthest"], 45.366699, 6)
    example = summary["windows"]["Example 2"]
    near(example["after"]["value"], 1.960058, 6)
    near(example["before"]["value"], 6.117363, 6)
    near(summary["width"], 4.157305, 6)
    near(summary["asymptotic_widths"]["10"], 4.105896, 6)
    near(summary["asymptotic_widths"]["100"], 4.308628, 6)
    survival = {
        1.5: 1.0,
        2: 0.98472,
        2.5: 0.75015,
        2.75: 0.55416,
        3: 0.38543,
        3.5: 0.19685,
        4: 0.13232,
    }
    points = {point["noise"]: point for point in summary["points"]}
    for time, value in survival.items():
        error = np.hypot(points[time]["stderr"], 4e-4)
        assert abs(points[time]["survival"] - value) < 4.5 * error
    assert summary["largest_z"] < 4.9
    # Equal distances are the leading order in d.
    equal = [abs(p["equal"] - survival.get(t, p["equal"])) for t, p in points.items()]
    assert max(equal) < 2e-3
    assert summary["windows"]["Definition 4, sampled"]["before"]["found"]


@pytest.mark.slow
@pytest.mark.long
def test_simplex():
    study = made("simplex")
    found = study.results["comparison"]
    table = {
        1: (0.518874200281, 0.209668005860, 0.002705829038),
        2: (0.805876026344, 0.553120271172, 0.035517540132),
        3: (0.953104874487, 0.857350645760, 0.267271764195),
        4: (0.993109906108, 0.974647044241, 0.676558695383),
    }
    for c, values in table.items():
        for name, value in zip(found.names, values, strict=True):
            # 1e-9 is what is asked for; at c = 3, K = 1000 the last two digits printed
            # are not those of either of two independent quadratures (...153713).
            assert abs(at(found, name, c) - value) < 1e-9
    assert abs(at(found, "K = 1000", 3) - 0.26727176415371) < 1e-12
    midpoints = [row["midpoint"] for row in study.summary["components"]]
    near(midpoints[1:], [1.991785746, 3.565854697], 9)


@pytest.mark.slow
@pytest.mark.long
def test_girsanov():
    study = made("girsanov")
    found = study.results["comparison"]
    drops = {
        0.5: 0.0857350795291,
        1: 0.3069990778346,
        2: 0.6130413750252,
        4: 0.6877906254712,
    }
    for time, value in drops.items():
        near(at(found, "drop of KL", time), value, 12)
        near(at(found, "its integral", time), value, 8)
    gaps = {
        0: 0.0373597177,
        0.5: 0.3414034946,
        1: 0.4707693765,
        1.5: 0.3033083055,
        2: 0.1412616940,
    }
    for time, value in gaps.items():
        near(at(found, "score gap", time), value, 10)
    peak = study.summary["peak"]
    near(peak["m"], 1.22814112739, 9)
    near(peak["rate"], 0.479515970635, 12)
    # Pinsker's bound holds for the law of the U-turn.
    assert np.all(found.exact("TV, U-turn") <= found.exact("bound") + 1e-9)


@pytest.mark.slow
@pytest.mark.long
def test_log_concave():
    study = made("log-concave")
    found = study.results["comparison"]
    table = {
        0.3: (0.9925867025, 0.0056590032, 0.0267345395),
        0.5: (0.9578457820, 0.0317637963, 0.1254703641),
        1: (0.7479732252, 0.1812549091, 0.5186866503),
        2: (0.3167239051, 0.4278640680, 0.9201380669),
    }
    for time, values in table.items():
        for name, value in zip(("TV", "flip", "BC"), values, strict=True):
            near(at(found, name, time), value, 10)
    near(study.summary["normaliser"], 1.935247818497, 12)
    near(study.summary["variance"], 0.467919916974, 12)


@pytest.mark.slow
@pytest.mark.long
def test_covariances():
    study = made("covariances")
    isotropic, plane = study.results["isotropic"], study.results["plane"]
    near(at(isotropic, "TV, d = 100", 1), 0.345818631393, 12)
    crossings = study.summary["crossings"]
    near(crossings["100"]["0.5"]["value"], 0.778825, 6)
    near(crossings["100"]["0.1"]["value"], 1.658750, 6)
    near(crossings["10000"]["0.5"]["value"], 1.974837, 6)
    near(crossings["10000"]["0.1"]["value"], 2.818910, 6)
    near(study.summary["shift"]["0.1"], 1.1602, 4)
    near(study.summary["quarter_log"], 1.1513, 4)
    table = {
        0: (0.144426367511, 11.589591326753, 0.044826602),
        1: (0.743077247814, 1.158148743005, 0.304013582),
    }
    for time, values in table.items():
        rows = zip(("BC", "KL(1 | 2)", "flip"), values, (12, 12, 9), strict=True)
        for name, value, digits in rows:
            near(at(plane, name, time), value, digits)
    # Integrated along y in closed form, adaptively along x (scipy): 0.5543171, which
    # the reference prints at t = 1, is one too many in its last digit.
    # At the noises of the study, for which it has been compiled.
    noise = np.union1d(_covariances.PLANE_TIMES, _covariances.PLANE_FINE)
    found = windows.distance(_covariances.plane(), 0, 1, noise)
    error = found.error[np.searchsorted(noise, [0.0, 1.0])]
    assert error.max() < 1e-6
    for time, value, most in zip(
        (0, 1), (0.937916100034, 0.554316978887), error, strict=True
    ):
        assert abs(at(plane, "TV", time) - value) <= most


@pytest.mark.slow
@pytest.mark.long
def test_fairness():
    study = made("fairness")
    found, summary = study.results["comparison"], study.summary
    kept = {
        3: (0.9993448433, 0.9941035895),
        2: (0.9896858451, 0.9071726061),
        1: (0.9411293362, 0.4701640257),
        0.5: (0.9103875772, 0.1934881949),
    }
    for m, values in kept.items():
        for name, value in zip(("majority", "minority"), values, strict=True):
            near(at(found, name, np.log(10 / m)), value, 10)
    shares = {
        4: 0.0999893847,
        3: 0.0995682079,
        2: 0.0934573715,
        1.5: 0.0827767047,
        1: 0.0663216688,
        0.5: 0.0531678488,
    }
    for m, value in shares.items():
        near(at(found, "share, biased", np.log(10 / m)), value, 10)
    near(found.exact("share, exact"), 0.1, 12)
    near(at(found, "majority, ODE", np.log(10)), 0.9568828783, 10)
    near(at(found, "minority, ODE", np.log(10)), 0.6119459050, 10)
    predicted = summary["predicted"]
    near(predicted["gap"]["95 %"]["value"], 0.692242756, 9)
    near(predicted["gap"]["99 %"]["value"], 0.341354311, 9)
    groups = predicted["at"]["95 %"]
    half_distance = lambda time: 10 * np.exp(-time["value"])
    near(half_distance(groups["majority"]), 1.130196281, 9)
    near(half_distance(groups["minority"]), 2.258349133, 9)
    for time in predicted["at"]["middle"].values():
        near(half_distance(time), 1.1301962812, 9)
    assert summary["biased"]


@pytest.mark.slow
@pytest.mark.long
def test_membership():
    study = made("membership")
    found = study.results["comparison"]
    table = {
        0.05: (0.0011230998, 0.2957729306, 0.99982030),
        0.1: (0.0754984777, 0.4981779460, 0.98792024),
        0.2: (0.6983261070, 1.0014587233, 0.88826782),
        0.5: (2.8540552001, 2.7844281106, 0.54335117),
    }
    for time, values in table.items():
        names = "R, member, h = 0", "R, other, h = 0", "return, h = 0"
        for name, value, digits in zip(names, values, (10, 10, 8), strict=True):
            near(at(found, name, time), value, digits)
    kernels = {0.5: (0.2617202948, 0.4015181516), 1: (0.4231635905, 0.4359283928)}
    for h, values in kernels.items():
        for name, value in zip(("R, member", "R, other"), values, strict=True):
            near(at(found, f"{name}, h = {h:g}", 0.1), value, 10)
    near(study.summary["collapse_time"], 0.444221, 6)
    points, wide = study.summary["attacks"].values()
    rows = {row["noise"]: row for row in points["points"]}
    # 400 draws of the noise, of other random numbers than the reference's.
    reference = {
        0.2: (0.412, 20.52, 1.0, 1.0, 0.9765),
        0.4442: (10.80, 25.93, 1.0, 1.0, 0.5758),
        0.6: (19.64, 29.08, 1.0, 1.0, 0.317),
        1.0: (32.47, 34.90, 0.647, 0.055, 0.0585),
        2.0: (38.8, 39.5, 0.531, 0.04, 0.0072),
    }
    for time, (member, other, auc, rate, back) in reference.items():
        row = rows[time]
        assert abs(row["R_member"] - member) < 0.15
        assert abs(row["R_other"] - other) < 0.1
        assert abs(row["auc"] - auc) < 0.02
        assert abs(row["tpr_at_1_percent"] - rate) < 0.02
        assert abs(row["return"] - back) < 0.005
    row = next(row for row in wide["points"] if row["noise"] == 0.6)
    assert abs(row["auc"] - 0.993) < 0.01
    assert abs(row["tpr_at_1_percent"] - 0.88) < 0.08
    assert 0.6 < points["window_end"]["value"] < 1.0
