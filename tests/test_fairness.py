"""Fairness by U-turns: survival beside exact Bayes, the share curve, the flow."""

import json
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
from way_back import ClassifierOnly

from jaxwin._checks import BadInput
from jaxwin.analysis import fairness
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import to_dataset
from jaxwin.processes import VariancePreserving
from jaxwin.samplers import EulerMaruyama
from jaxwin.targets import Empirical, GaussianMixture

FIRST = 4.0
# windows.md 2.4: half-distances m = |mean| e^-T in noised widths.
M = np.array([4.0, 3.0, 2.0, 1.5, 1.0, 0.5, 0.2])
TIMES = np.log(FIRST / M)


def two(weights, mean=FIRST):
    law = GaussianMixture.isotropic([[mean], [-mean]], 1.0, weights)
    return Observed(law, Gaussian())


DATA, BIASED = two([0.9, 0.1]), two([0.95, 0.05])


def normal(y, centre, width):
    """Gaussian density; that of scipy is slow in an integrand."""
    z = (y - centre) / width
    return np.exp(-0.5 * z * z) / (width * np.sqrt(2 * np.pi))


def over(component, function):
    """Average over one noised component on the line, by an adaptive quadrature."""
    centre, width = component
    value = lambda y: normal(y, centre, width) * function(y)
    ends = centre + width * np.linspace(-9, 9, 19)
    part = lambda a, b: scipy.integrate.quad(value, a, b, epsabs=1e-13, epsrel=1e-12)[0]
    return sum(map(part, ends[:-1], ends[1:]))


def noised(law, t):
    """Weights, centres and widths of the components of a mixture on the line."""
    alpha, variance = np.exp(-t), -np.expm1(-2 * t)
    spread = np.asarray(law.covariance.spectrum()[0])[:, 0]
    widths = np.sqrt(alpha**2 * np.broadcast_to(spread, law.labels.shape) + variance)
    return (
        np.exp(np.asarray(law.log_weights)),
        alpha * np.asarray(law.means)[:, 0],
        widths,
    )


def destinations(data, model, groups, t):
    """A_gh of the data through the model, by its definition."""
    w, centres, widths = noised(data, t)
    v, others, others_widths = noised(model, t)

    def ends(y, group):
        joint = v * normal(y, others, others_widths)
        return joint[np.isin(np.asarray(model.labels), group)].sum() / joint.sum()

    table = np.zeros((len(groups), len(groups)))
    for g, group in enumerate(groups):
        parts = np.flatnonzero(np.isin(np.asarray(data.labels), group))
        for h, other in enumerate(groups):
            end = lambda y, other=other: ends(y, other)
            each = [over((centres[k], widths[k]), end) for k in parts]
            table[g, h] = w[parts] @ each / w[parts].sum()
    return table


def flips(m, weight):
    """Exact flip of a component of weight w beside 1 - w: windows.md 1.7."""
    odds = np.log(weight / (1 - weight))
    at = lambda z: 1 / (1 + np.exp(odds + 2 * m**2 + 2 * m * z))
    return over((0.0, 1.0), at)


@pytest.mark.slow
def test_printed_survival_and_times():
    found = fairness.group_survival(DATA, TIMES)
    assert found.method == "quadrature on the line"
    printed = {
        1: [0.9993448433, 0.9941035895],
        2: [0.9896858451, 0.9071726061],
        4: [0.9411293362, 0.4701640257],
        5: [0.9103875772, 0.1934881949],
    }
    for i, row in printed.items():
        np.testing.assert_allclose(found.null.survival[i], row, rtol=0, atol=6e-11)
    for i, m in enumerate(M):
        row = [1 - flips(m, 0.9), 1 - flips(m, 0.1)]
        np.testing.assert_allclose(found.null.survival[i], row, rtol=0, atol=1e-10)
    at = lambda times: FIRST * np.exp(-np.asarray(times.time))
    np.testing.assert_allclose(
        at(found.null.at_95), [1.130196281, 2.258349133], rtol=0, atol=6e-10
    )
    # One middle for both groups: detailed balance of two makes their curves one.
    np.testing.assert_allclose(at(found.null.middle), [1.1301962812] * 2, atol=6e-11)
    normalised = found.null.normalised
    np.testing.assert_allclose(normalised[:, 0], normalised[:, 1], atol=1e-12)
    for gap, value in [("gap_95", 0.692242756), ("gap_99", 0.341354311)]:
        assert abs(float(getattr(found.null, gap).time) - value) < 6e-10
    assert abs(float(found.null.gap_middle.time)) < 1e-12
    # The minority is forgotten first, and it is no bias.
    assert np.all(found.excess == 0)
    balance = found.weight[:, None] * found.null.destination
    np.testing.assert_allclose(balance, np.swapaxes(balance, 1, 2), atol=1e-15)


@pytest.mark.slow
def test_gap_in_ou_time_on_another_clock():
    process = VariancePreserving(0.1, 20.0)
    law = DATA.law
    noises = np.asarray(process.time(-DATA.coordinate(jnp.asarray(TIMES[1:]))))
    observed = Observed(law, Gaussian(process))
    found = fairness.group_survival(observed, noises)
    assert abs(float(found.null.gap_95.time) - 0.692242756) < 6e-10


@pytest.mark.slow
def test_printed_share_of_a_biased_model():
    found = fairness.share(DATA, BIASED, TIMES)
    printed = {
        0: 0.0999893847,
        1: 0.0995682079,
        2: 0.0934573715,
        3: 0.0827767047,
        4: 0.0663216688,
        5: 0.0531678488,
    }
    for i, value in printed.items():
        assert abs(found.share[i, 1] - value) < 6e-11
    # Not printed: m = 0.2, and the time at which half of the bias has entered.
    curve = lambda t: (
        np.array([0.9, 0.1]) @ destinations(DATA.law, BIASED.law, [[0], [1]], t)
    )
    np.testing.assert_allclose(found.share[6], curve(TIMES[6]), rtol=0, atol=1e-10)
    for name, level in [("half", 0.075), ("start", 0.0975), ("end", 0.0525)]:
        place = scipy.optimize.brentq(lambda t, a=level: curve(t)[1] - a, 0.1, 2.99)
        times = getattr(found, name).time
        np.testing.assert_allclose(times, np.full(2, place), atol=1e-9)
    assert found.biased
    assert found.p_value == 0
    np.testing.assert_allclose(found.model_weight, [0.95, 0.05])


# Three labels of four components, of other means, widths and weights than the model.
WIDE = GaussianMixture.isotropic(
    [[-2.0], [0.3], [2.5], [5.0]],
    [0.5, 1.0, 0.3, 0.8],
    [0.35, 0.3, 0.2, 0.15],
    labels=[0, 1, 2, 0],
)
FITTED = GaussianMixture.isotropic(
    [[-1.8], [0.8], [3.0]], [0.6, 1.2, 1.0], [0.45, 0.25, 0.3]
)


@pytest.mark.slow
def test_another_model_on_the_line_against_adaptive_quadrature():
    data, model = Observed(WIDE, Gaussian()), Observed(FITTED, Gaussian())
    times = [0.05, 0.3, 0.9, 1.7]
    found = fairness.group_survival(data, times, {"a": [0], "b": [2]}, model)
    assert found.names == ("a", "b", "rest")
    groups = [[0], [2], [1]]
    for i in (1,):
        exact = destinations(WIDE, FITTED, groups, times[i])[:2]
        null = destinations(WIDE, WIDE, groups, times[i])[:2]
        np.testing.assert_allclose(found.model.destination[i], exact, atol=1e-10)
        np.testing.assert_allclose(found.null.destination[i], null, atol=1e-10)
        np.testing.assert_allclose(found.excess[i], exact - null, atol=1e-10)


@pytest.mark.slow
def test_a_line_in_three_dimensions_is_the_same_line():
    data, model = (Observed(law, Gaussian()) for law in (WIDE, FITTED))
    times = [0.05, 0.3, 0.9, 1.7]
    found = fairness.group_survival(data, times, [0, 2], model)
    direction = np.array([[2.0, -1.0, 2.0]]) / 3
    lift = lambda law: GaussianMixture.full(
        np.asarray(law.means) @ direction,
        np.eye(3)[None]
        + (np.asarray(law.covariance.spectrum()[0])[:, :, None] - 1)
        * (direction.T @ direction)[None],
        np.exp(law.log_weights),
        labels=np.asarray(law.labels),
    )
    lifted = [Observed(lift(law), Gaussian()) for law in (WIDE, FITTED)]
    again = fairness.group_survival(lifted[0], times, [0, 2], lifted[1])
    assert again.method == "quadrature on the line"
    np.testing.assert_allclose(
        again.model.destination, found.model.destination, atol=1e-9
    )


@pytest.mark.slow
def test_share_of_an_unbiased_model_is_constant():
    exact = fairness.share(DATA, DATA, TIMES)
    np.testing.assert_allclose(exact.share, [[0.9, 0.1]] * 7, rtol=0, atol=1e-12)
    assert not exact.biased
    assert not np.any(exact.half.found)
    drawn = fairness.share(DATA, two([0.9, 0.1]), TIMES, method="sampled")
    np.testing.assert_allclose(drawn.share, [[0.9, 0.1]] * 7, rtol=0, atol=1e-12)
    assert np.all(np.abs(drawn.z) < 1)
    assert drawn.p_value == 1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("simulated", ["model", "both"])
def test_bias_is_found_by_the_classifier_alone(simulated):
    # 8,192 U-turns, seed 0, z <= 4.5 in 14 shares; the null and a planted bias.
    blind = lambda way, which: ClassifierOnly(way) if which else way
    data = blind(DATA, simulated == "both")
    known = fairness.share(DATA, BIASED, TIMES[1:])
    biased = fairness.share(data, ClassifierOnly(BIASED), TIMES[1:])
    z = (biased.share - known.share) / biased.stderr
    assert np.max(np.abs(z)) < 4.5
    assert biased.biased
    half = np.asarray(biased.half.time) - np.asarray(known.half.time)
    assert np.all(np.abs(half) < 4.5 * np.asarray(biased.half.stderr))
    fair = fairness.share(data, ClassifierOnly(DATA), TIMES[1:])
    assert not fair.biased
    assert fair.p_value > 0.01


@pytest.mark.slow
def test_sampled_tables_agree_with_quadrature_and_keep_their_balance():
    # 8,192 draws, seed 4: z <= 4.5 where errors are known.
    options = {"method": "sampled", "key": jr.key(4)}
    found = fairness.group_survival(DATA, TIMES, None, BIASED, **options)
    exact = fairness.group_survival(DATA, TIMES, None, BIASED)
    part = slice(1, None)
    for got, known, error in [
        (found.model.destination, exact.model.destination, found.model.stderr),
        (found.null.destination, exact.null.destination, found.null.stderr),
        (found.excess, exact.excess, found.excess_stderr),
    ]:
        z = (got[part] - known[part]) / error[part]
        assert np.max(np.abs(z)) < 4.5
    # Pairing: the excess is known better than the curves.
    assert np.all(found.excess_stderr[2, 1] < 0.7 * found.model.stderr[2, 1])
    balance = found.weight[:, None] * found.null.destination
    np.testing.assert_allclose(balance, np.swapaxes(balance, 1, 2), atol=1e-15)
    np.testing.assert_allclose(found.model.destination.sum(axis=2), 1, atol=1e-14)
    # Normalised curves of two groups are one in every draw: so are their errors.
    assert float(found.null.gap_middle.stderr) < 1e-9
    gap, known = found.null.gap_95, exact.null.gap_95
    assert 0 < float(gap.stderr) < 0.03
    assert abs(float(gap.time) - float(known.time)) < 4 * float(gap.stderr)
    assert float(gap.low) < float(known.time) < float(gap.high)
    for name in ("middle", "at_95"):
        times, truth = getattr(found.null, name), getattr(exact.null, name)
        apart = np.asarray(times.time - truth.time) / np.asarray(times.stderr)
        assert np.max(np.abs(apart)) < 4.5


@pytest.mark.slow
@pytest.mark.long
def test_error_of_the_gap_is_that_of_repeated_runs():
    # 24 runs of 1,024 draws: scatter over mean error within 1 +- 0.45 (3 sigma), and no
    # mean shift beyond 4 errors.
    options: dict[str, Any] = {
        "method": "sampled",
        "num_replicas": 1024,
        "block_size": 64,
    }
    gaps = [
        fairness.group_survival(DATA, TIMES[1:], key=jr.key(seed), **options).null
        for seed in range(24)
    ]
    values = np.array([float(found.gap_95.time) for found in gaps])
    errors = np.array([float(found.gap_95.stderr) for found in gaps])
    assert abs(values.std(ddof=1) / errors.mean() - 1) < 0.45
    assert abs(values.mean() - 0.692242756) < 4 * values.std() / np.sqrt(24)


@pytest.mark.slow
def test_fair_models_are_rarely_called_biased():
    # 40 runs of a fair model by its classifier: p < 0.05 in at most 5 % + 3 sigma.
    fair = ClassifierOnly(DATA)
    options: dict[str, Any] = {"num_replicas": 1024, "block_size": 64}
    low = [
        fairness.share(DATA, fair, TIMES, key=jr.key(seed), **options).p_value < 0.05
        for seed in range(40)
    ]
    assert np.mean(low) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


@pytest.mark.slow
def test_groups_of_data_through_a_smoother_model():
    # Points and a kernel density of them agree in weights: shares move by kernels only.
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    points = rng.normal(size=(100, 3)) + 3 * np.eye(3)[labels]
    data = Observed(Empirical(points, labels), Gaussian())
    model = Observed(Empirical(points, labels, bandwidth=0.5), Gaussian())
    options = {"num_replicas": 1024, "block_size": 8}
    times = [0.1, 0.4, 0.8, 1.5]
    found = fairness.group_survival(data, times, [[0], [1, 2]], model, **options)
    assert found.names == ("0", "1+2")
    np.testing.assert_allclose(found.weight, [0.6, 0.4])
    # A kernel forgets its own point earlier: below the null, beyond its errors.
    survival = np.diagonal(found.excess, axis1=1, axis2=2)
    error = np.diagonal(found.excess_stderr, axis1=1, axis2=2)
    assert np.all(survival[1] < -4 * error[1])
    shares = fairness.share(data, model, times, [[0], [1, 2]], **options)
    assert not np.any(shares.half.found)
    assert abs(shares.share[3, 0] - 0.6) < 0.01


@pytest.mark.slow
def test_printed_survival_along_the_flow():
    # windows.md 2.4: means +-10 noised to |mean| = 1, weights (.9, .1).
    ten = two([0.9, 0.1], mean=10.0)
    times = np.log(10 / M[1:])
    found = fairness.flow_survival(ten, times)
    np.testing.assert_allclose(
        found.flow.survival[3], [0.9568828783, 0.6119459050], rtol=0, atol=6e-11
    )
    np.testing.assert_allclose(
        found.sde.survival[3], [0.9411293362, 0.4701640257], rtol=0, atol=6e-11
    )
    np.testing.assert_allclose(found.flow.destination.sum(axis=2), 1, atol=1e-12)
    # The boundary lies at the quantile w of the noised law, at every m.
    cdf = scipy.stats.norm.cdf
    for i, m in enumerate(M[1:]):
        apart = lambda y, m=m: 0.9 * cdf(y, m) + 0.1 * cdf(y, -m) - 0.1
        cut = scipy.optimize.brentq(apart, -20, 20, xtol=1e-13)
        row = [scipy.stats.norm.sf(cut, m), scipy.stats.norm.cdf(cut, -m)]
        np.testing.assert_allclose(found.flow.survival[i], row, atol=1e-10)
    assert float(found.flow.gap_95.time) != float(found.sde.gap_95.time)
    difference = found.flow.destination - found.sde.destination
    np.testing.assert_array_equal(found.difference, difference)


@pytest.mark.slow
@pytest.mark.long
def test_simulated_flow_agrees_with_the_map_of_quantiles():
    # 1,024 flows, seed 0: z <= 4.5, by a model of other weights.
    ten, other = two([0.9, 0.1], mean=10.0), two([0.7, 0.3], mean=10.0)
    times = np.log(10 / M[2:])
    options: dict[str, Any] = {"num_replicas": 1024, "block_size": 64}
    exact = fairness.flow_survival(ten, times, None, other)
    drawn = fairness.flow_survival(ten, times, None, other, method="sampled", **options)
    z = (drawn.flow.destination - exact.flow.destination) / drawn.flow.stderr
    assert np.max(np.abs(z)) < 4.5
    z = (drawn.difference - exact.difference) / drawn.difference_stderr
    assert np.max(np.abs(z)) < 4.5
    # In the plane it is simulated; two groups on a line of it are as above.
    law = GaussianMixture.full([[10.0, 0.0], [-10.0, 0.0]], np.eye(2), [0.9, 0.1])
    plane = Observed(law, Gaussian())
    drawn = fairness.flow_survival(plane, times, **options)
    exact = fairness.flow_survival(ten, times)
    assert "DPMSolverPP" in drawn.method
    z = (drawn.flow.destination - exact.flow.destination) / drawn.flow.stderr
    assert np.max(np.abs(z)) < 4.5


@pytest.mark.slow
def test_results_are_saved_and_told():
    survival = fairness.group_survival(DATA, TIMES, {"many": 0, "few": 1}, BIASED)
    told = json.loads(json.dumps(survival.to_json(), allow_nan=False))
    assert told["names"] == ["many", "few"]
    assert [c["found"] for c in told["null"]["at_95"]] == [True, True]
    # A share of 0.95 of the model: the majority never falls below that.
    assert [c["found"] for c in told["model"]["at_95"]] == [False, True]
    assert not told["model"]["gap_95"]["found"]
    saved = to_dataset(survival)
    assert saved["null.at_95.time"].dims == ("group",)
    assert saved["excess"].dims == ("noise", "group", "destination")
    shares = fairness.share(DATA, BIASED, TIMES)
    told = json.loads(json.dumps(shares.to_json(), allow_nan=False))
    assert told["half"][1]["found"]
    assert to_dataset(shares)["share"].attrs["units"] == "probability"


THREE = Observed(WIDE, Gaussian())
FEW = [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("groups", "noises", "message"),
    [
        ([[0, 1], [1, 2]], FEW, "`groups` '0\\+1' and '1\\+2' share label 1"),
        ({"a": [0], "b": [0]}, FEW, "`groups` 'a' and 'b' share label 0"),
        ([[0], [7]], FEW, r"`groups\[1\]` names label 7; the labels are 0 to 2"),
        ({"a": []}, FEW, r"`groups\['a'\]` is empty"),
        ([], FEW, "`groups` is empty; name at least one set"),
        ([0, 1], [0.1, 0.2], "`noises` has shape .* at least 4"),
        ([0, 1], FEW[::-1], "`noises` has shape .* increasing"),
    ],
)
def test_bad_groups_and_noises_are_one_clear_line(groups, noises, message):
    for call in (
        lambda: fairness.group_survival(THREE, noises, groups),
        lambda: fairness.share(THREE, THREE, noises, groups),
        lambda: fairness.flow_survival(THREE, noises, groups),
    ):
        with pytest.raises(BadInput, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="`model` has 2 labels and the data 3"):
        fairness.share(THREE, DATA, FEW)
    clock = Observed(WIDE, Gaussian(VariancePreserving(0.1, 20.0)))
    with pytest.raises(BadInput, match="`model` has another channel"):
        fairness.share(THREE, clock, FEW)
    with pytest.raises(BadInput, match="`method` is 'exact'"):
        fairness.share(THREE, THREE, FEW, method="exact")
    with pytest.raises(BadInput, match="'quadrature', which needs mixtures"):
        fairness.share(THREE, ClassifierOnly(THREE), FEW, method="quadrature")
    with pytest.raises(BadInput, match="EulerMaruyama, which draws noise"):
        fairness.flow_survival(THREE, FEW, step=EulerMaruyama())
    with pytest.raises(BadInput, match="`noises` begins without noise"):
        fairness.flow_survival(THREE, [0.0, *FEW])
    with pytest.raises(BadInput, match="`num_steps` is 0"):
        fairness.flow_survival(THREE, FEW, num_steps=0)
