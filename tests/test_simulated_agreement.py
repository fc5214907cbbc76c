"""Clone agreement by simulation: closed forms, reduction, shared runs, compilation."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import speciation
from jaxwin.analysis.speciation import _simulated
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    OrnsteinUhlenbeck,
    convert,
    log_snr_uniform,
    uniform,
)
from jaxwin.samplers import (
    DPMSolverPP,
    EulerMaruyama,
    ExactTransition,
    FromLaw,
    FromPrior,
    clones,
)
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import Empirical, FunctionDenoiser, GaussianMixture

OU = OrnsteinUhlenbeck()
closed_form = jax.jit(
    jax.vmap(
        lambda distance, t: speciation.agreement(
            speciation.separation(distance, 1.0, OU.alpha(t), OU.sigma(t))
        ),
        in_axes=(None, 0),
    )
)


def clusters(d: int, size: float = 1.0, weights=None, dtype: Any = np.float64):
    mean = np.full(d, size, dtype)
    return GaussianMixture.isotropic(np.stack([mean, -mean]), dtype(1), weights)


def exactly(law, branches, pairs, key=0, **options):
    score = ExactScore(law, options.pop("process", OU))
    step = ExactTransition(law)
    branches = np.asarray(branches)
    return speciation.simulated_agreement(
        step, score, branches, pairs, jr.key(key), **options
    )


def by_euler(law, branches, pairs, key=0, **options):
    branches = np.asarray(branches)
    return speciation.simulated_agreement(
        EulerMaruyama(), ExactScore(law, OU), branches, pairs, jr.key(key), **options
    )


def assert_agrees(found, exact, slack=0.0):
    """4 standard errors; of binomials where hardly any pair disagrees."""
    exact = np.asarray(exact)
    rare = np.sqrt(exact * (1 - exact) / found.count) + 4 / found.count
    error = np.maximum(found.stderr, rare)
    assert np.all(np.abs(found.phi - exact) < 4 * error + slack), (found.phi, exact)


# Exact transitions


@pytest.mark.slow
@pytest.mark.long
def test_printed_values_of_exact_transitions():
    """5.4: d = 4, m = 4 (1, 1, 1, 1); 20,000 pairs."""
    branches = np.array([1.5, np.log(8.0), 2.5, 3.0])
    exact = np.array([0.944447, 0.775200, 0.656998, 0.569155])
    np.testing.assert_allclose(closed_form(16.0, branches), exact, atol=6e-7)
    found = exactly(clusters(4, 4.0), branches, 20_000)
    assert_agrees(found, exact)
    assert found.count == 20_000
    assert found.chance == pytest.approx(0.5)
    assert "exact reduction" in found.method
    assert "ExactTransition, 4 steps from the exact law" in found.method


@pytest.mark.slow
@pytest.mark.long
def test_printed_values_of_exact_transitions_in_full():
    """5.4: 1.5 million pairs; 0.3 million in full dimension."""
    branches = np.array([1.5, np.log(8.0), 2.5, 3.0])
    exact = np.array([0.944447, 0.775200, 0.656998, 0.569155])
    for reduce, pairs in ((True, 1_500_000), (False, 300_000)):
        found = exactly(clusters(4, 4.0), branches, pairs, reduce=reduce, hard=True)
        assert np.all(found.stderr < 0.61 / np.sqrt(pairs))
        assert_agrees(found, exact)


BRANCHES = np.array([2.0, 2.5, 3.0, 4.0, 5.0])


PRINTED = {  # 5.6: closed form; the released simulation with 10,000 pairs
    256: ("0.9770064408 0.8621141569 0.7068516879 0.5396877052 0.5057449214",
          "0.9775 0.8620 0.7012 0.5343 0.5027"),
    1024: ("0.9999884578 0.9934072760 0.9175756172 0.6318676590 0.5222391100",
           "nan 0.9944 0.9122 0.6216 0.5245"),
    4096: ("1.0 0.9999998837 0.9988901137 0.8261418909 0.5794214427",
           "nan nan 0.9984 0.8217 0.5719"),
    16384: ("1.0 1.0 0.9999999999 0.9855046746 0.7297398159",
            "nan nan nan 0.9854 0.7295"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
def test_printed_curves_share_a_compilation(monkeypatch):
    """5.6: against the closed form and the released points, by one trace."""
    traces, numbers, kept = [], [], _simulated._Pairs._ends

    def counted(*args):
        traces.append(1)
        return kept(*args)

    monkeypatch.setattr(_simulated._Pairs, "_ends", counted)
    for d, rows in PRINTED.items():
        exact, released = (np.array(row.split(), float) for row in rows)
        law = clusters(d, dtype=np.float32)
        found = exactly(law, BRANCHES, 10_000, key=d, batch_size=512)
        numbers.append(len(traces))
        np.testing.assert_allclose(
            closed_form(2 * np.sqrt(d), BRANCHES), exact, atol=6e-11
        )
        assert_agrees(found, exact)
        known = np.isfinite(released)
        both = np.hypot(found.stderr, np.sqrt(exact * (1 - exact) / 10_000))
        gap = np.abs(found.phi - released)[known]
        assert np.all(gap < 4 * both[known] + 6e-5)
    # Another separation, and other times.
    law = clusters(256, 2.0, dtype=np.float32)
    exactly(law, BRANCHES - 0.25, 10_000, batch_size=512)
    assert numbers[0] > 0
    assert {*numbers, len(traces)} == {numbers[0]}


@pytest.mark.slow
@pytest.mark.long
def test_several_modes_of_unequal_weight():
    """Against soft labels at the noise level, 8,192 each; in full dimension too."""
    means = 2.5 * np.random.default_rng(1).normal(size=(4, 6))
    law = GaussianMixture.isotropic(means, 0.5, [0.4, 0.3, 0.2, 0.1])
    branches = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    direct = speciation.clone_agreement(Observed(law, Gaussian()), branches)
    for options in ({}, {"reduce": False}, {"end": 0.3, "num_steps": 2}):
        found = exactly(law, branches, 8192, key=5, **options)
        both = np.hypot(found.stderr, direct.stderr)
        assert np.all(np.abs(found.phi - direct.phi) < 4 * both), options
        assert found.chance == pytest.approx(0.3)


@pytest.mark.slow
def test_unequal_weights_have_their_closed_form():
    """5.7, w = 0.8: phi at r = 0.5, 1, 2, 3; 10,000 pairs."""
    exact = [0.9983752073, 0.9736647534, 0.8368253960, 0.7295319216]
    # r = 2 e^{-t} / sqrt(1) with |m| = 2: t = log(2 / r) needs |m| > 3.
    branches = np.log(8 / np.array([3.0, 2.0, 1.0, 0.5]))
    found = exactly(clusters(4, 4.0, [0.8, 0.2]), branches, 10_000)
    assert_agrees(found, exact)
    assert found.chance == pytest.approx(0.68)


@pytest.mark.slow
@pytest.mark.long
def test_any_clock():
    law = clusters(4, 4.0)
    times = np.asarray(convert(jnp.array([1.5, 2.0, 2.5, 3.0]), OU, EDM())[0])
    found = exactly(law, times, 8192, process=EDM())
    assert_agrees(found, closed_form(16.0, np.array([1.5, 2.0, 2.5, 3.0])))
    np.testing.assert_allclose(found.noise, times)


@pytest.mark.slow
@pytest.mark.long
def test_data_sets_run_as_they_are():
    points = np.random.default_rng(0).normal(size=(40, 3)) + np.repeat(
        [[-2.0], [2.0]], 20, axis=0
    )
    law = Empirical(points, np.repeat([0, 1], 20))
    branches = np.array([0.5, 1.0, 1.5, 2.5])
    direct = speciation.clone_agreement(Observed(law, Gaussian()), branches)
    found = exactly(law, branches, 4096, key=2, num_steps=2)
    both = np.hypot(found.stderr, direct.stderr) + 1 / 4096
    assert np.all(np.abs(found.phi - direct.phi) < 4 * both)


@pytest.mark.slow
@pytest.mark.long
def test_a_tie_counts_in_equal_shares():
    # One place, two labels: by chance.
    law = Empirical(np.zeros((2, 2)), np.array([0, 1]))
    for hard in (True, False):
        found = exactly(law, [0.5, 1.0, 2.0, 3.0], 8, num_steps=1, hard=hard)
        np.testing.assert_allclose(found.phi, 0.5)


# Euler-Maruyama


@pytest.mark.slow
def test_shared_runs_are_those_of_clones():
    """Path by path: the trunk and the noise of `samplers.clones`."""
    law, key, count, steps = clusters(3, 0.8), jr.key(3), 6, 40
    score, branches = ExactScore(law, OU), np.array([0.5, 1.0, 2.0, 4.0])
    start = FromPrior(OU, 3)
    found = speciation.simulated_agreement(
        EulerMaruyama(),
        score,
        branches,
        count,
        key,
        num_steps=steps,
        shared=True,
        start_time=4.0,
        start=start,
    )
    start_key, path_key = jr.split(key)
    times = uniform(OU, 4.0, 0.0, steps)

    def agree(replica, branch):
        x = start(jr.fold_in(start_key, replica))
        run = EulerMaruyama(), score, x, times, path_key, replica
        ends = clones(*run, branch=branch)
        p = jnp.exp(jax.vmap(lambda x: law.label_log_posterior(x, 1.0, 0.0))(ends))
        return jnp.sum(p[0] * p[1])

    # The branch at t = 2, half way.
    each = jax.jit(jax.vmap(lambda r: agree(r, steps // 2)))(jnp.arange(count))
    np.testing.assert_allclose(found.phi[2], each.mean(), rtol=1e-9)
    assert "40 steps from 4, shared to the branch" in found.method
    # A start of your own is not reduced.
    assert "reduction" not in found.method


def transition_agreement(m: float, branches, steps: int, start: float):
    """phi of Euler-Maruyama itself, sign at the end: its kernel on a line of points."""
    grid = np.linspace(-1, 1, 601) * (m + 8)
    width = grid[1] - grid[0]
    times = np.linspace(start, 0, steps + 1)
    score = lambda x, t: -x + m * np.exp(-t) * np.tanh(m * np.exp(-t) * x)
    kernels = []
    for t, s in zip(times[:-1], times[1:], strict=True):
        h = t - s
        mean = grid + h * (grid + 2 * score(grid, t))
        kernels.append(
            np.exp(-((grid[None] - mean[:, None]) ** 2) / (4 * h))
            * width
            / np.sqrt(4 * np.pi * h)
        )
    e = m * np.exp(-start)
    law = np.exp(-((grid - e) ** 2) / 2) + np.exp(-((grid + e) ** 2) / 2)
    laws = [law / law.sum()]
    for kernel in kernels:
        laws.append(laws[-1] @ kernel)
    plus = np.where(grid > 0, 1.0, np.where(grid < 0, 0.0, 0.5))
    pluses = [plus]
    for kernel in kernels[::-1]:
        pluses.append(kernel @ pluses[-1])
    pluses = pluses[::-1]
    places = [int(np.argmin(np.abs(times - t))) for t in branches]
    purity = lambda p: p**2 + (1 - p) ** 2
    return np.array([laws[i] @ purity(pluses[i]) for i in places])


@pytest.mark.slow
def test_coarse_euler_has_its_own_agreement():
    """12 steps from 3: the scheme's own law, far from the exact phi; 40,000 pairs."""
    branches = np.array([0.5, 1.0, 1.5, 2.0])
    own = transition_agreement(3.0, branches, 12, 3.0)
    found = by_euler(
        clusters(9),
        branches,
        40_000,
        shared=True,
        hard=True,
        num_steps=12,
        start_time=3.0,
    )
    assert_agrees(found, own)
    assert np.any(np.abs(found.phi - closed_form(6.0, branches)) > 6 * found.stderr)
    assert found.method.endswith("likeliest class of the ends, exact reduction")


@pytest.mark.slow
@pytest.mark.long
def test_published_scheme():
    """T = 10, 1,000 steps, sign of m.x, 10,000 pairs: its bias is far below errors."""
    branches = np.arange(1.0, 9.6, 0.5)
    for d in (256, 4096):
        found = by_euler(
            clusters(d, dtype=np.float32),
            branches,
            10_000,
            key=d,
            shared=True,
            hard=True,
            num_steps=1000,
        )
        np.testing.assert_allclose(found.noise, branches, rtol=1e-6)
        assert_agrees(found, closed_form(2 * np.sqrt(d), branches))
    own = transition_agreement(16.0, branches, 1000, 10.0)
    bias = own - np.asarray(closed_form(32.0, branches))
    assert 3e-4 < np.abs(bias).max() < 7e-4


@pytest.mark.slow
def test_runs_from_the_exact_law_at_the_branch():
    branches = np.array([2.0, 2.5, 3.0, 3.5])
    found = by_euler(clusters(256), branches, 16_384, num_steps=200)
    assert_agrees(found, closed_form(32.0, branches), slack=1.5e-3)
    assert "200 steps from the exact law at the branch" in found.method


@pytest.mark.slow
@pytest.mark.long
def test_full_and_reduced_runs_agree():
    """4,096 pairs each, d = 64, other noise: 4 combined standard errors."""
    branches, law = np.array([1.0, 1.5, 2.0, 3.0]), clusters(64)
    options = {"shared": True, "num_steps": 50, "start_time": 5.0}
    full = by_euler(law, branches, 4096, reduce=False, **options)
    less = by_euler(law, branches, 4096, key=1, **options)
    assert "reduction" in less.method
    assert "reduction" not in full.method
    both = np.hypot(full.stderr, less.stderr) + 1 / 4096
    assert np.all(np.abs(full.phi - less.phi) < 4 * both)


class Learned(AbstractScore):
    """A score without a law."""

    process: AbstractProcess
    inner: ExactScore

    def __call__(self, x, t):
        return self.inner(x, t)


@pytest.mark.slow
@pytest.mark.long
def test_a_score_without_a_law():
    law = clusters(9)
    branches = np.array([0.5, 1.0, 1.5, 2.0])

    def sign(score, x, t):
        plus = jnp.where(jnp.sum(x) > 0, 1.0, 0.0)
        return jnp.stack([plus, 1 - plus])

    options = {"shared": True, "num_steps": 30, "start_time": 3.0}
    found = speciation.simulated_agreement(
        EulerMaruyama(),
        Learned(OU, ExactScore(law, OU)),
        branches,
        8192,
        jr.key(0),
        start=FromPrior(OU, 9),
        classify=sign,
        **options,
    )
    own = transition_agreement(3.0, branches, 30, 3.0)
    # N(0, I) instead of the law at T, whose clusters are 0.15 from the middle.
    assert_agrees(found, own, slack=0.005)
    assert found.chance == pytest.approx(0.5, abs=0.01)


# Noised data

STEP = DPMSolverPP(stochastic=True)


def lawless(law):
    """The posterior means of a law, and nothing else of it."""
    return ExactScore(FunctionDenoiser(lambda x, a, s: law.denoise(x, a, s)), OU)


def posterior(law):
    def classify(score, x, t):
        return jnp.exp(law.label_log_posterior(x, *score.levels(x, t)))

    return classify


def of_draws(law, branches, pairs, key=0, draw=None, **options):
    return speciation.simulated_agreement(
        STEP,
        lawless(law),
        branches,
        pairs,
        jr.key(key),
        grid=log_snr_uniform,
        end=0.1,
        draw=law.sample if draw is None else draw,
        classify=posterior(law),
        **options,
    )


def test_noised_draws_are_points_of_the_law():
    law = clusters(3, 1.5)
    parts = jnp.ones((1, 2)), None, None
    rest = posterior(law), (), False, 2
    drawn = _simulated._Pairs(STEP, lawless(law), *parts, law.sample, *rest)
    for t in (0.0, 1.5):
        points = drawn.begin(jr.key(0), t), FromLaw(law, OU, t)(jr.key(0))
        np.testing.assert_allclose(*points, rtol=1e-12)


@pytest.mark.slow
def test_draws_of_the_law_follow_the_paths_of_the_law():
    """The same noise, 16 pairs: noised draws are the points of the exact law."""
    law, branches = clusters(3, 1.5), np.array([0.5, 1.0, 1.5, 2.5])
    found = of_draws(law, branches, 16)
    score, options = ExactScore(law, OU), {"grid": log_snr_uniform, "end": 0.1}
    key = jr.key(0)
    same = speciation.simulated_agreement(
        STEP, score, branches, 16, key, reduce=False, **options
    )
    np.testing.assert_allclose(found.phi, same.phi, rtol=1e-9)
    assert "4 steps from noised data at the branch" in found.method
    assert "reduction" not in found.method


@pytest.mark.slow
@pytest.mark.long
def test_draws_reproduce_the_exact_agreement():
    """Three classes of unequal weight, 8,192 pairs, seed 3: z <= 4, 32 steps."""
    means = np.array([[2.5, 0.0, 0.0], [-1.0, 2.0, 0.0], [-1.0, -2.0, 1.0]])
    law = GaussianMixture.isotropic(means, 0.5, [0.5, 0.3, 0.2])
    branches = np.array([0.5, 1.0, 1.5, 2.5])
    direct = speciation.clone_agreement(
        Observed(law, Gaussian()), branches, num_replicas=65_536
    )
    found = of_draws(law, branches, 8192, key=3, num_steps=32)
    both = np.hypot(found.stderr, direct.stderr)
    assert np.all(np.abs(found.phi - direct.phi) < 4 * both), (found, direct)
    # Shares of ends, where no law says them.
    assert found.chance == pytest.approx(0.38, abs=0.01)
    # Draws of one class alone are other noised points.
    one = law.restrict(jnp.array([False, False, True]))
    other = of_draws(law, branches, 8192, key=3, num_steps=16, draw=one.sample)
    both = np.hypot(other.stderr, direct.stderr)
    assert np.any(np.abs(other.phi - direct.phi) > 8 * both)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shared": True}, "leave out `draw`"),
        ({"shared": True, "start": FromPrior(OU, 4)}, "leave out `draw`"),
        ({"start": FromPrior(OU, 4)}, "leave out `draw`"),
    ],
)
def test_draws_are_not_shared(options, message):
    with pytest.raises(ValueError, match=message):
        of_draws(clusters(4), BRANCHES, 8, **options)


def test_draws_without_classes_are_refused():
    law = clusters(4)
    for score in (lawless(law), Learned(OU, ExactScore(law, OU))):
        with pytest.raises(ValueError, match="`classify` is left out"):
            speciation.simulated_agreement(
                STEP, score, BRANCHES, 8, jr.key(0), draw=law.sample
            )


# Errors and bad input


@pytest.mark.slow
@pytest.mark.long
def test_stated_errors_are_those_of_repetitions():
    branches = np.array([1.0, 1.5, 2.0, 2.5])
    runs = [exactly(clusters(16), branches, 1024, key=k) for k in range(60)]
    spread = np.std([r.phi for r in runs], axis=0, ddof=1)
    stated = np.mean([r.stderr for r in runs], axis=0)
    np.testing.assert_allclose(stated / spread, 1, atol=0.35)
    times = np.array([float(r.crossing.time) for r in runs])
    errors = np.array([float(r.crossing.stderr) for r in runs])
    assert abs(errors.mean() / times.std(ddof=1) - 1) < 0.35


@pytest.mark.slow
@pytest.mark.long
def test_odd_numbers_of_pairs():
    found = exactly(clusters(4, 4.0), BRANCHES, 37, num_steps=1)
    assert found.count == 37
    # The first 37 pairs are those of any larger run with batches of that size.
    more = exactly(clusters(4, 4.0), BRANCHES, 38, num_steps=1, batch_size=18)
    assert more.count == 38
    assert np.all(np.abs(found.phi * 37 - more.phi * 38) <= 1)


@pytest.mark.slow
def test_classes_that_never_separate():
    law = GaussianMixture.isotropic(np.zeros((2, 3)), 1.0)
    found = exactly(law, BRANCHES, 37, num_steps=1)
    np.testing.assert_allclose(found.phi, 0.5, rtol=1e-12)
    assert str(found.crossing) == "not reached in [2, 5]"


@pytest.mark.parametrize(
    ("branches", "pairs", "options", "message"),
    [
        (BRANCHES[:3], 8, {}, "at least 4"),
        (BRANCHES[::-1], 8, {}, "strictly increasing"),
        (BRANCHES - 2, 8, {}, "start"),
        (BRANCHES, 1, {}, "`num_pairs` is 1"),
        (BRANCHES, 8, {"start": FromPrior(OU, 4)}, "only shared runs begin"),
        (BRANCHES, 8, {"shared": True, "num_steps": 3}, "moved to the grid"),
        (BRANCHES - 1.99, 8, {"shared": True, "num_steps": 20}, "end of the grid"),
    ],
)
def test_bad_arguments_are_named(branches, pairs, options, message):
    with pytest.raises(ValueError, match=message):
        exactly(clusters(4), branches, pairs, **options)


def test_a_score_without_a_law_needs_a_start():
    score = Learned(OU, ExactScore(clusters(4), OU))
    with pytest.raises(ValueError, match="no law to draw points from"):
        speciation.simulated_agreement(EulerMaruyama(), score, BRANCHES, 8, jr.key(0))


@pytest.mark.f32
def test_without_64_bits():
    found = exactly(clusters(256, dtype=np.float32), BRANCHES, 10_000)
    assert_agrees(found, closed_form(32.0, jnp.asarray(BRANCHES)))
    shared = by_euler(
        clusters(256, dtype=np.float32), BRANCHES, 512, shared=True, num_steps=100
    )
    assert_agrees(shared, closed_form(32.0, jnp.asarray(BRANCHES)), slack=0.02)
