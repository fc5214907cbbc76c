"""I-MMSE: closed forms of Gaussians and of two points, tables, wrong denoisers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import collapse, information, speciation
from jaxwin.io import to_dataset, to_json
from jaxwin.targets import Empirical, GaussianMixture

SPREAD = np.array([9.0, 3.0, 1.0, 0.2, 0.2, 0.0])
LEVELS = np.arange(-8.0, 6.01, 0.25)


def gaussian_information(log_snr, spread=SPREAD):
    return 0.5 * np.log1p(np.exp(log_snr)[:, None] * spread[None]).sum(1)


def gaussian_losses(log_snr, spread=SPREAD):
    return np.sum(spread / (1 + np.exp(log_snr)[:, None] * spread[None]), axis=1)


def clusters(d: int) -> GaussianMixture:
    return GaussianMixture.isotropic(np.stack([np.ones(d), -np.ones(d)]), 1.0)


# Tables


def test_table_of_a_gaussian():
    losses = gaussian_losses(LEVELS)
    found = information.from_losses(LEVELS, losses, 500, eigenvalues=SPREAD)
    np.testing.assert_array_equal(found.log_snr, LEVELS[::-1])
    np.testing.assert_array_equal(found.loss, losses[::-1])
    np.testing.assert_allclose(np.expm1(2 * found.noise), np.exp(-found.log_snr))
    exact = gaussian_information(found.log_snr)
    np.testing.assert_allclose(found.information, exact, rtol=2e-5)
    np.testing.assert_allclose(found.excess, np.log(500) - exact, atol=1e-4)
    np.testing.assert_allclose(found.relative_excess * np.log(500), found.excess)
    reference = collapse.gaussian_time(jnp.asarray(SPREAD), 500).time
    np.testing.assert_allclose(found.collapse.time, reference, rtol=1e-5)
    assert float(found.collapse.low) == pytest.approx(float(found.collapse.time))
    np.testing.assert_array_equal(found.stderr, 0)


@pytest.mark.parametrize("lowest", [-9.0, -6.0, -4.0])
def test_tail_below_the_first_level(lowest):
    # All three forms of it; the fitted one is exact where all eigenvalues are equal.
    levels = np.arange(lowest, 2.01, 0.125)
    for spread, tolerance in ((np.full(4, 3.0), 1e-6), (SPREAD, 3e-3)):
        losses = gaussian_losses(levels, spread)
        exact = gaussian_information(levels, spread)[::-1]
        given = information.from_losses(levels, losses, 9, eigenvalues=spread)
        fitted = information.from_losses(levels, losses, 9)
        np.testing.assert_allclose(given.information, exact, rtol=1e-6)
        np.testing.assert_allclose(fitted.information, exact, rtol=tolerance)
        # Without the tail it would be less by this much.
        assert given.information[-1] == pytest.approx(exact[-1], rel=1e-12)


def test_quadrature_is_of_fourth_order():
    errors = []
    for h in (1.0, 0.5, 0.25):
        levels = np.arange(-8.0, 4.01, h)
        found = information.from_losses(
            levels, gaussian_losses(levels), 9, eigenvalues=SPREAD
        )
        errors.append(abs(found.information[0] - gaussian_information(levels)[-1]))
    assert errors[0] / errors[1] > 10
    assert errors[1] / errors[2] > 10


def test_losses_that_do_not_fall_have_a_constant_tail():
    levels = np.linspace(-6.0, 0.0, 25)
    found = information.from_losses(levels, np.full(25, 2.0), 50)
    np.testing.assert_allclose(found.information, np.exp(found.log_snr), rtol=1e-4)
    assert str(found.collapse).startswith("not reached in")


def test_errors_of_a_table_come_from_its_blocks():
    rng = np.random.default_rng(0)
    scale = 1 + 0.1 * rng.normal(size=(400, 1))
    table = gaussian_losses(LEVELS)[None] * scale
    found = information.from_losses(LEVELS, table, 500)
    # Blocks differ by one factor, so I does too.
    np.testing.assert_allclose(
        found.stderr, found.information * scale.std(ddof=1) / 20, rtol=0.01
    )
    np.testing.assert_allclose(found.loss_stderr / found.loss, 0.005, rtol=0.15)
    assert float(found.collapse.stderr) > 0
    # dt = dI / I'(t), and I' from the spline's neighbours.
    slope = np.interp(
        float(found.collapse.time),
        found.noise,
        np.gradient(found.information, found.noise),
    )
    expected = np.log(500) * 0.005 / abs(slope)
    np.testing.assert_allclose(found.collapse.stderr, expected, rtol=0.15)


# Measured


@pytest.mark.slow
def test_collapse_of_the_published_mixture():
    """5.26: d = 256, n = 20,000, within 1e-3; 4,096 points err by 0.0004."""
    levels = np.arange(-11.0, -1.4, 0.25)
    found = information.from_mmse(clusters(256), levels, 20_000, num_replicas=4096)
    assert abs(float(found.collapse.time) - 1.333731) < 1e-3
    assert 1e-4 < float(found.collapse.stderr) < 6e-4
    assert "Rao-Blackwell" in found.method
    r = np.sqrt(256 * np.exp(found.log_snr) / (1 + np.exp(found.log_snr)))
    classes = [float(jax.jit(speciation.class_information)(x)) for x in r]
    exact = 128 * np.log1p(np.exp(found.log_snr)) + np.array(classes)
    assert np.all(abs(found.information - exact) < 4 * found.stderr + 2e-5 * exact)


@pytest.mark.slow
def test_traces_of_a_gaussian_have_no_noise():
    root = np.diag(np.sqrt(SPREAD[:5]))
    law = GaussianMixture.full(np.ones((1, 5)), root[None] @ root[None])
    found = information.from_mmse(law, LEVELS, 100, num_replicas=4, block_size=2)
    np.testing.assert_allclose(
        found.information, gaussian_information(found.log_snr), rtol=2e-5
    )
    np.testing.assert_allclose(found.loss_stderr, 0, atol=1e-12)


@pytest.mark.slow
def test_two_points_have_the_information_of_their_class():
    point = np.array([[0.8, 0.6], [-0.8, -0.6]])
    levels = np.arange(-7.0, 4.01, 0.25)
    found = information.from_mmse(Empirical(point), levels, 2, num_replicas=4096)
    exact = [float(speciation.class_information(np.exp(x / 2))) for x in found.log_snr]
    error = found.stderr + 1e-6
    assert np.all(np.abs(found.information - exact) < 4 * error)
    # Less than log 2 at every noise.
    if not bool(found.collapse.found):
        assert str(found.collapse).startswith("not reached in")
    else:
        assert float(found.collapse.time) < float(found.noise[4])


@pytest.mark.slow
def test_squared_errors_agree_with_traces():
    """Other draws, 8,192 each: 4 combined standard errors, and larger ones."""
    law, levels = clusters(8), np.arange(-6.0, 3.01, 0.5)
    traces = information.from_mmse(law, levels, 50, key=jr.key(1))
    squares = information.from_mmse(law.denoise, levels, 50, draw=law.sample)
    denoiser = information.from_mmse(law, levels, 50, draw=law.sample)
    np.testing.assert_array_equal(squares.loss, denoiser.loss)
    for name in ("loss", "information"):
        error = {"loss": "loss_stderr", "information": "stderr"}[name]
        gap = getattr(squares, name) - getattr(traces, name)
        combined = np.hypot(getattr(squares, error), getattr(traces, error))
        assert np.all(np.abs(gap) < 4 * combined + 1e-4), name
    assert np.all(traces.loss_stderr < squares.loss_stderr)


@pytest.mark.slow
def test_a_wrong_denoiser_is_an_upper_bound():
    """An over-confident one: the likeliest class for certain."""
    law, levels = clusters(4), np.arange(-6.0, 3.01, 0.25)

    def confident(x, alpha, sigma):
        sign = jnp.where(jnp.sum(x) > 0, 1.0, -1.0)
        mean, variance = sign * jnp.ones(4), alpha**2 + sigma**2
        return mean + alpha / variance * (x - alpha * mean)

    right = information.from_mmse(law.denoise, levels, 20, draw=law.sample)
    wrong = information.from_mmse(confident, levels, 20, draw=law.sample)
    assert np.all(wrong.loss[8:] > right.loss[8:])
    assert np.all(wrong.information > right.information)
    assert float(wrong.collapse.time) > float(right.collapse.time)
    reference = float(collapse.two_cluster_time(4.0, 1.0, 4, 20).time)
    assert float(right.collapse.low) < reference < float(right.collapse.high)


@pytest.mark.slow
def test_float32_laws_keep_their_type():
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    levels = np.arange(-7.0, 8.01, 0.5)
    single = information.from_mmse(Empirical(points), levels, 30, num_replicas=512)
    double = information.from_mmse(
        Empirical(points.astype(np.float64)), levels, 30, num_replicas=512
    )
    # Other random numbers.
    combined = np.hypot(single.stderr, double.stderr)
    assert np.all(abs(single.information - double.information) < 4 * combined + 1e-3)


@pytest.mark.f32
def test_without_64_bits():
    levels = np.arange(-11.0, -1.4, 0.25)
    found = information.from_mmse(clusters(256), levels, 20_000, num_replicas=2048)
    assert abs(float(found.collapse.time) - 1.333731) < 3e-3


@pytest.mark.slow
@pytest.mark.long
def test_stated_errors_are_those_of_repetitions():
    law, levels = clusters(16), np.arange(-7.0, 1.01, 0.5)
    runs = [
        information.from_mmse(law, levels, 1000, num_replicas=2048, key=jr.key(k))
        for k in range(60)
    ]
    spread = np.std([r.information for r in runs], axis=0, ddof=1)
    stated = np.mean([r.stderr for r in runs], axis=0)
    # 60 repetitions know a standard deviation to 9 %.
    np.testing.assert_allclose(stated[:-1] / spread[:-1], 1, atol=0.35)
    times = np.array([float(r.collapse.time) for r in runs])
    errors = np.array([float(r.collapse.stderr) for r in runs])
    assert abs(errors.mean() / times.std(ddof=1) - 1) < 0.35
    reference = float(collapse.two_cluster_time(16.0, 1.0, 16, 1000).time)
    assert abs(times.mean() - reference) < 4 * times.std() / np.sqrt(60) + 5e-5


def test_results_can_be_stored():
    found = information.from_losses(LEVELS, gaussian_losses(LEVELS), 500)
    entry = to_json(found)
    assert entry["collapse"]["value"] == float(found.collapse.time)
    assert entry["num_points"] == 500
    assert to_dataset(found)["information"].attrs["units"] == "nats"


@pytest.mark.parametrize(
    ("levels", "losses", "n", "options", "message"),
    [
        (LEVELS[:3], np.ones(3), 9, {}, "`log_snr` has shape"),
        (LEVELS[::-1], np.ones(LEVELS.size), 9, {}, "strictly increasing"),
        (LEVELS, np.ones(4), 9, {}, r"`losses` has shape \(4,\)"),
        (LEVELS, np.ones((1, LEVELS.size)), 9, {}, "at least 2 such rows"),
        (LEVELS, -np.ones(LEVELS.size), 9, {}, "`losses` must be finite and >= 0"),
        (LEVELS, np.full(LEVELS.size, np.nan), 9, {}, "`losses` must be finite"),
        (LEVELS, np.ones(LEVELS.size), 1, {}, "`num_points` is 1; it must"),
        (LEVELS, np.ones(LEVELS.size), np.nan, {}, "`num_points` is nan"),
        (
            LEVELS,
            np.ones(LEVELS.size),
            9,
            {"eigenvalues": -np.ones(2)},
            "`eigenvalues` run",
        ),
    ],
)
def test_bad_tables_are_named(levels, losses, n, options, message):
    with pytest.raises(ValueError, match=message):
        information.from_losses(levels, losses, n, **options)


def test_a_function_needs_a_source_of_points():
    with pytest.raises(ValueError, match="give `draw"):
        information.from_mmse(lambda x, alpha, sigma: x, LEVELS, 9)
