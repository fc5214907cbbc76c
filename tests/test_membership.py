"""Membership by U-turns: reconstruction, return probability, attack and windows."""

import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from way_back import ClassifierOnly

from jaxwin._checks import BadInput
from jaxwin.analysis import collapse, membership
from jaxwin.analysis.membership._kernels import StreamedReconstruction, as_kernels
from jaxwin.analysis.membership._measure import reconstruct
from jaxwin.analysis.membership._roc import (
    RATES,
    Placements,
    placements,
    true_positive_rates,
)
from jaxwin.channels import Gaussian, Observed
from jaxwin.execution._block import bytes_of_block
from jaxwin.io import to_dataset
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical, GaussianMixture

LINE = np.array([[-2.0], [0.5], [3.0]])
# windows.md 2.5, the 20-dimensional test: the first 200 are members.
POINTS = np.random.default_rng(0).standard_normal((400, 20))


def data_model(points, bandwidth=0.0):
    return Observed(Empirical(points, bandwidth=bandwidth), Gaussian())


def levels(t):
    return np.exp(-t), np.sqrt(-np.expm1(-2 * t))


def given_noise(points, weights, h, x, z, t):
    """E|X' - x|^2 | y and responsibilities at y = alpha x + sigma z."""
    alpha, sigma = levels(t)
    v = (alpha * h) ** 2 + sigma**2
    y = alpha * x + sigma * z
    log_p = np.log(weights) - ((y - alpha * points) ** 2).sum(1) / (2 * v)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = points + alpha * h**2 / v * (y - alpha * points)
    within = x.size * h**2 * sigma**2 / v
    return p @ ((mean - x) ** 2).sum(1) + within, p


def integral(points, weights, h, x, t):
    """R_T and the responsibilities on a line, averaged by an adaptive quadrature."""
    alpha, sigma = levels(t)
    x = np.atleast_1d(float(x))
    middles = (points[1:, 0] + points[:-1, 0]) / 2
    cuts = np.clip(alpha * (middles - x) / sigma, -9, 9)
    edges = np.unique(
        [-9.0, 9.0, *cuts, *(cuts - 0.01).clip(-9), *(cuts + 0.01).clip(None, 9)]
    )

    def value(z, pick):
        distance, p = given_noise(points, weights, h, x, np.array([z]), t)
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        return density * (distance if pick is None else p[pick])

    def over(pick):
        quad = lambda a, b: scipy.integrate.quad(
            value, a, b, (pick,), epsabs=1e-13, epsrel=1e-12, limit=200
        )[0]
        return sum(map(quad, edges[:-1], edges[1:]))

    return over(None), [over(j) for j in range(len(points))]


def test_printed_table_on_a_line():
    # windows.md 2.5; 0.6 of the last printed digit.
    times = [0.05, 0.1, 0.2, 0.5]
    printed = [
        [0.0011230998, 0.2957729306],
        [0.0754984777, 0.4981779460],
        [0.6983261070, 1.0014587233],
        [2.8540552001, 2.7844281106],
    ]
    returned = [0.99982030, 0.98792024, 0.88826782, 0.54335117]
    found = membership.statistic(data_model(LINE), [[0.5], [1.0]], times)
    np.testing.assert_allclose(found.distance, printed, rtol=0, atol=6e-11)
    np.testing.assert_allclose(found.returned[:, 0], returned, rtol=0, atol=6e-9)
    assert np.all(np.isnan(found.returned[:, 1]))
    assert not np.any(found.stderr)
    # The order reverses: outside of its window the statistic says the opposite.
    order = found.distance[:, 0] < found.distance[:, 1]
    np.testing.assert_array_equal(order, [True, True, True, False])


@pytest.mark.parametrize(
    ("bandwidth", "printed"),
    [(0.5, [0.2617202948, 0.4015181516]), (1.0, [0.4231635905, 0.4359283928])],
)
def test_printed_rows_of_kernel_density(bandwidth, printed):
    found = membership.statistic(data_model(LINE, bandwidth), [[0.5], [1.0]], [0.1])
    np.testing.assert_allclose(found.distance[0], printed, rtol=0, atol=6e-11)


@pytest.mark.slow
@pytest.mark.parametrize("h", [0.0, 0.3])
@pytest.mark.parametrize("t", [2e-6, 0.15, 0.8])
def test_line_against_adaptive_quadrature(h, t):
    # Wrong weights, and candidates nearly half-way between points, near which
    # responsibilities jump in a hundredth of the noise.
    points, weights = np.array([[-1.0], [0.25], [0.5], [2.0]]), [0.1, 0.4, 0.2, 0.3]
    law = GaussianMixture.isotropic(points, h**2, weights)
    candidates = [[0.5], [0.3755], [1.25], [-1.0]]
    found = membership.statistic(Observed(law, Gaussian()), candidates, [t])
    for i, (x,) in enumerate(candidates):
        distance, p = integral(points, np.array(weights), h, x, t)
        np.testing.assert_allclose(
            found.distance[0, i], distance, rtol=1e-9, atol=1e-12
        )
        own = np.flatnonzero(points[:, 0] == x)
        if own.size:
            np.testing.assert_allclose(found.returned[0, i], p[own[0]], atol=1e-11)
        else:
            assert np.isnan(found.returned[0, i])


@pytest.mark.slow
@pytest.mark.parametrize("h", [0.0, 0.6])
def test_stream_against_sums_over_all_points(h):
    # 700 points are three blocks and 37 candidates two tiles, both filled up.
    rng = np.random.default_rng(3)
    points = rng.normal(size=(700, 6)) + 4.0
    points[650] = points[11]
    candidates = np.concatenate([points[[0, 11, 699]], rng.normal(size=(34, 6)) + 4])
    times, key = np.array([0.03, 0.4, 1.5]), jr.key(5)
    alphas, sigmas = OrnsteinUhlenbeck().levels(jnp.asarray(times))
    law = as_kernels(Empirical(points, bandwidth=h))
    assert law is not None
    replica = StreamedReconstruction.of(law, candidates, alphas, sigmas)
    replicas = jnp.arange(4, 6)
    found = jax.jit(lambda replica: replica.many(key, replicas))(replica)
    weights = np.full(700, 1 / 700)
    for k, number in enumerate([4, 5]):
        z = np.asarray(jr.normal(jr.fold_in(key, number), (6,)))
        for j, t in enumerate(times):
            for i in (0, 1, 2, 3, 36):
                distance, p = given_noise(points, weights, h, candidates[i], z, t)
                got = found["distance"][k, j, i]
                np.testing.assert_allclose(got, distance, rtol=1e-10, atol=1e-12)
                own = {0: [0], 1: [11, 650], 2: [699]}.get(i, [])
                got = found["returned"][k, j, i]
                np.testing.assert_allclose(got, p[own].sum(), rtol=1e-9, atol=1e-14)


@pytest.mark.slow
def test_moments_agree_with_the_stream_draw_by_draw():
    rng = np.random.default_rng(4)
    means, weights = rng.normal(size=(5, 3)), [0.3, 0.05, 0.2, 0.25, 0.2]
    law = GaussianMixture.isotropic(means, 0.2, weights)
    model, candidates = Observed(law, Gaussian()), rng.normal(size=(6, 3))
    options = {"num_draws": 8, "block_size": 2}
    times = [0.2, 0.9, 9.0]
    streamed = membership.statistic(model, candidates, times, **options)
    assert "streamed" in streamed.method
    moments = membership.statistic(
        model, candidates, times, method="moments", **options
    )
    np.testing.assert_allclose(moments.distance, streamed.distance, rtol=1e-9)
    # Here it is the label that returns: to its weights at full noise.
    of_label = jax.vmap(model.label_probabilities)(jnp.asarray(candidates))
    np.testing.assert_allclose(
        moments.returned[2], np.asarray(of_label) @ np.array(weights), atol=1e-3
    )


@pytest.mark.slow
@pytest.mark.long
def test_classifier_alone_gives_the_same_answer():
    # 512 U-turns, seed 1; z <= 4 for 12 numbers.
    rng = np.random.default_rng(6)
    points = rng.normal(size=(40, 3))
    law = Empirical(points, np.arange(40) % 2, bandwidth=0.3)
    exact, candidates = (
        Observed(law, Gaussian()),
        np.concatenate([points[:2], [[0.3] * 3]]),
    )
    times = [0.1, 0.4, 0.9]
    options = {"key": jr.key(1), "num_draws": 512, "block_size": 64}
    known = membership.statistic(exact, candidates, times, method="moments", **options)
    model = ClassifierOnly(exact)
    found = membership.statistic(model, candidates, times, **options)
    assert found.method == "simulated U-turns"
    for name, error in (("distance", "stderr"), ("returned", "returned_stderr")):
        both = np.hypot(getattr(found, error), getattr(known, error))
        z = (getattr(found, name) - getattr(known, name)) / both
        assert np.max(np.abs(z)) < 4, (name, z)


@pytest.mark.slow
def test_single_precision_of_members():
    # Without noise to speak of members come back to themselves, to the last bit.
    law = as_kernels(Empirical(POINTS[:200].astype(np.float32)))
    assert law is not None
    own = OrnsteinUhlenbeck().levels(jnp.asarray([0.01, 1.0], np.float32))
    candidates = POINTS[[0, 5, 250]].astype(np.float32)
    replica = StreamedReconstruction.of(law, candidates, *own)
    found = jax.jit(lambda replica: replica.many(jr.key(2), jnp.arange(2)))(replica)
    assert found["distance"].dtype == np.float32
    assert np.all(np.isfinite(found["distance"]))
    assert np.all(found["distance"][:, 0, :2] == 0)
    assert np.all(found["returned"][:, 0, :2] == 1)
    assert np.all(found["distance"][:, :, 2] > 5)


# T, mean R of members and of others, AUC, TPR at 1 %, return probability.
TABLE = [
    (0.2, 0.412, 20.52, 1.0, 1.0, 0.9765),
    (0.4442, 10.80, 25.93, 1.0, 1.0, 0.5758),
    (0.6, 19.64, 29.08, 1.0, 1.0, 0.317),
    (1.0, 32.47, 34.90, 0.647, 0.055, 0.0585),
    (2.0, 38.8, 39.5, 0.531, 0.04, 0.0072),
]


@pytest.fixture(scope="module")
def twenty():
    times = np.array([row[0] for row in TABLE])
    model = data_model(POINTS[:200])
    return membership.attack(
        model, POINTS[:200], POINTS[200:], times, num_draws=400, num_windows=3
    )


@pytest.mark.slow
def test_printed_table_in_twenty_dimensions(twenty):
    # 400 draws, shared by all points: means over 200 of them scatter by the draws, and
    # 4 standard errors of that are allowed (the table's own draws were independent).
    model = data_model(POINTS[:200])
    found = reconstruct(model, POINTS, twenty.noise, num_draws=400)
    mean = found.mean["distance"][:, :200].mean(axis=1)
    np.testing.assert_allclose(mean, twenty.member_distance)
    blocks = found.blocks
    assert blocks is not None

    def error(name, rows):
        means = blocks[name][:, :, rows].mean(axis=2)
        return means.std(axis=0, ddof=1) / np.sqrt(len(means))

    own, rest = slice(200), slice(200, 400)
    columns = np.array(TABLE).T
    halves = [0.6e-3, 0.6e-2, 0.6e-2, 0.6e-2, 0.06]
    for got, printed, slack in [
        (twenty.member_distance, columns[1], error("distance", own)),
        (twenty.other_distance, columns[2], error("distance", rest)),
        (twenty.member_returned, columns[5], error("returned", own)),
    ]:
        assert np.all(np.abs(got - printed) < 4 * slack + halves), (got, slack)
        assert np.all(slack < 0.08 * printed + 1e-4)
    for i, (_, _, _, auc, rate, _) in enumerate(TABLE):
        assert abs(twenty.auc[i] - auc) <= (0.02 if auc < 1 else 0)
        assert abs(twenty.true_positive[i, 0] - rate) <= (0.02 if rate < 1 else 0)
        assert twenty.true_positive_low[i, 0] <= rate <= twenty.true_positive_high[i, 0]
        assert twenty.auc_low[i] <= auc <= twenty.auc_high[i]


@pytest.mark.slow
def test_window_of_the_attack(twenty):
    # windows.md 2.5: it works up to T in (0.6, 1.0), past the collapse time.
    assert twenty.window.answer == "from the first noise"
    assert 0.6 < float(twenty.window.end.low) < float(twenty.window.end.time) < 1.0
    assert float(twenty.window.end.time) < float(twenty.window.end.high) < 1.05
    assert not bool(twenty.window.start.found)
    assert float(twenty.detectable.end.time) > float(twenty.window.end.high)
    assert twenty.best in (0.2, 0.4442, 0.6)
    assert twenty.best_auc == 1.0
    assert not twenty.reversed_order.any()
    at = collapse.gaussian_time(jnp.ones(20), 200)
    assert abs(float(at.time) - 0.444221) < 6e-7


@pytest.mark.slow
def test_kernel_density_hides_members_little(twenty):
    # windows.md 2.5: h = 1, T = 0.6: AUC .993, TPR .88 (over seeds of independent draws
    # .992 to .996 and .67 to .92).
    model, times = data_model(POINTS[:200], 1.0), [0.5, 0.6, 0.7, 0.8]
    found = membership.attack(
        model, POINTS[:200], POINTS[200:], times, num_draws=400, num_windows=1
    )
    assert abs(found.auc[1] - 0.993) < 0.005
    assert found.auc_low[1] < 0.993 < found.auc_high[1]
    assert found.true_positive_low[1, 0] < 0.88 < found.true_positive_high[1, 0]
    assert found.true_positive[1, 0] > 0.6


def test_return_window_of_two_points_in_closed_form():
    # A_ii = 1 - f(m), m = a / sqrt(e^2T - 1); half-way from 1 to 1/2 at f = 1/4, m*.
    half, a = 0.922412292640423, 1.7
    expected = 0.5 * np.log1p((a / half) ** 2)
    times = np.linspace(0.2, 2.5, 9)
    line = np.array([[-a], [a]])
    exact = membership.return_windows(data_model(line), line, times)
    np.testing.assert_allclose(exact.middle.time, [expected] * 2, atol=1e-9)
    assert np.all(exact.early.time < exact.middle.time)
    assert np.all(exact.middle.time < exact.late.time)


@pytest.mark.slow
def test_return_window_of_drawn_curves():
    # The same in six dimensions, 2,048 draws, seed 3: z <= 4.
    a, expected = 1.7, 0.5 * np.log1p((1.7 / 0.922412292640423) ** 2)
    times, space = np.linspace(0.2, 2.5, 9), np.zeros((2, 6))
    space[:, 2] = [-a, a]
    drawn = membership.return_windows(
        data_model(space), space, times, num_draws=2048, block_size=16, key=jr.key(3)
    )
    z = (np.asarray(drawn.middle.time) - expected) / np.asarray(drawn.middle.stderr)
    assert np.max(np.abs(z)) < 4
    assert np.all(np.asarray(drawn.middle.stderr) < 0.05)
    assert np.all(drawn.middle.low < expected)
    assert np.all(drawn.middle.high > expected)


@pytest.mark.slow
def test_order_reverses_outside_of_the_window():
    # Others nearer to the mean than members: at large noise they move less.
    rng = np.random.default_rng(7)
    members, others = rng.normal(size=(150, 4)), 0.6 * rng.normal(size=(150, 4))
    times = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
    found = membership.attack(
        data_model(members), members, others, times, num_draws=64, num_windows=1
    )
    assert found.auc[0] > 0.99
    assert found.auc[-1] < 0.3
    assert not found.reversed_order[0]
    assert found.reversed_order[-1]
    assert found.window.answer == "from the first noise"
    assert found.detectable.answer == "from the first noise"
    assert 0.05 < float(found.window.end.time) < float(found.detectable.end.time) < 0.8


def test_nothing_is_found_among_points_that_were_not_used():
    # Seed 8; planted: the same model with its own points.
    rng = np.random.default_rng(8)
    train, a, b = rng.normal(size=(3, 120, 5))
    times = [0.1, 0.3, 0.6, 1.0]
    null = membership.attack(
        data_model(train), a, b, times, num_draws=64, num_windows=1
    )
    assert np.all((null.auc_low < 0.5) & (null.auc_high > 0.5))
    assert null.window.answer == null.detectable.answer == "no window"
    assert not bool(null.window.end.found)
    assert np.all(np.isnan(null.member_returned))
    planted = membership.attack(
        data_model(train), train, b, times, num_draws=64, num_windows=1
    )
    assert planted.auc_low[0] > 0.9
    assert planted.detectable.answer != "no window"


@pytest.mark.slow
def test_results_are_saved_and_told(twenty):
    text = json.dumps(twenty.to_json(), allow_nan=False)
    told = json.loads(text)
    assert set(told["window"]["end"]) == {"value", "stderr", "low", "high", "found"}
    assert len(told["members"]["middle"]) == 3
    assert told["false_positive"] == RATES.tolist()
    saved = to_dataset(twenty)
    assert saved["members.probability"].dims == ("members.noise", "member")
    assert saved["true_positive"].attrs["units"] == "probability"


def test_rates_of_detection_against_counting():
    rng = np.random.default_rng(9)
    members = np.round(rng.normal(-1, 1, size=(3, 40)), 1)
    others = np.round(rng.normal(0, 1, size=(3, 55)), 1)
    placed = placements(members, others)
    pairs = members[:, :, None] - others[:, None]
    wins = (pairs < 0) + 0.5 * (pairs == 0)
    np.testing.assert_allclose(placed.auc, wins.mean(axis=(1, 2)), atol=1e-14)
    variance = wins.mean(2).var(1, ddof=1) / 40 + wins.mean(1).var(1, ddof=1) / 55
    np.testing.assert_allclose(placed.stderr, np.sqrt(variance), rtol=1e-12)
    blocks = placed.blocks()
    np.testing.assert_allclose(blocks.mean(axis=0), placed.auc, atol=1e-14)
    scatter = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    np.testing.assert_allclose(scatter, placed.stderr, rtol=0.35)
    best, low, high = true_positive_rates(members, others)
    below = [
        [np.mean(m < np.quantile(o, f)) for f in RATES]
        for m, o in zip(members, others, strict=True)
    ]
    np.testing.assert_allclose(best, below, atol=1e-14)
    assert np.all((low <= best) & (best <= high))


def test_interval_of_sets_that_are_apart():
    placed = Placements(np.ones((1, 30)), np.ones((1, 50)))
    low, high = placed.interval()
    # Clopper-Pearson: 30 of 30.
    np.testing.assert_allclose(low, scipy.stats.beta.ppf(0.025, 30, 1), rtol=1e-12)
    assert high == 1
    low, high = Placements(np.zeros((1, 30)), np.zeros((1, 50))).interval()
    assert (low, high) == (0, 1 - 0.025 ** (1 / 30))


@pytest.mark.slow
def test_intervals_of_rates_cover():
    # 1,000 replicates of 200 and 150 Gaussians, seed 10: 95 % +- 2.5 %.
    rng = np.random.default_rng(10)
    members = rng.normal(-1.2, 1, size=(1000, 200))
    others = rng.normal(0, 1, size=(1000, 150))
    low, high = placements(members, others).interval()
    auc = scipy.stats.norm.cdf(1.2 / np.sqrt(2))
    assert 0.925 < np.mean((low < auc) & (auc < high)) < 0.975
    rates = np.array([0.05, 0.1, 0.3, 0.5])
    truth = scipy.stats.norm.cdf(scipy.stats.norm.ppf(rates) + 1.2)
    _, low, high = true_positive_rates(members, others, rates)
    cover = np.mean((low <= truth) & (truth <= high), axis=0)
    assert np.all((cover > 0.925) & (cover < 0.985)), cover


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data():
    candidates, own = np.zeros((40, 8)), OrnsteinUhlenbeck().levels(jnp.arange(1.0, 6))
    taken = []
    for n in (2048, 16384):
        law = as_kernels(Empirical(np.random.default_rng(0).normal(size=(n, 8))))
        assert law is not None
        replica = StreamedReconstruction.of(law, candidates, *own)
        taken.append(bytes_of_block(replica, jr.key(0), 4, jax.devices()[0]))
    assert taken[1] < 1.1 * taken[0]


MODEL = data_model(POINTS[:8, :3])
OWN, OTHER, TIMES = POINTS[:4, :3], POINTS[20:24, :3], [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((OWN[:, :2], OTHER, TIMES), {}, r"`members` has shape \(4, 2\).*dimension"),
        ((OWN, OTHER[0], TIMES), {}, r"`candidates` has shape \(3,\)"),
        ((OWN[:1], OTHER, TIMES), {}, "`members` holds 1 points; .* at least 2"),
        ((OWN, OTHER[:1], TIMES), {}, "`candidates` holds 1 points"),
        ((OWN, OTHER * np.nan, TIMES), {}, "`candidates` is not finite in row 0"),
        ((OWN, OWN[::-1], TIMES), {}, "`candidates` holds in row 0 a point of `memb"),
        ((OWN, OTHER, [0.1, 0.3]), {}, "`noises` has shape .* at least 4"),
        ((OWN, OTHER, [0.3, 0.2, 0.1, 0.05]), {}, "`noises` .* increasing"),
        ((OWN, OTHER, [0.0, 0.1, 0.2, 0.3]), {}, "`noises` holds 0, where sigma"),
        ((OWN, OTHER, TIMES), {"method": "guess"}, "`method` is 'guess'"),
        ((OWN, OTHER, TIMES), {"method": "quadrature"}, "this model does not allow"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, options, message):
    with pytest.raises(BadInput, match=message) as caught:
        membership.attack(MODEL, *arguments, **options)
    assert "\n" not in str(caught.value)
