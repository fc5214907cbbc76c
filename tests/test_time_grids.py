"""Grids of times: their formula on every clock, their ends, and their errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.processes import (
    EDM,
    AbstractProcess,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    discrete,
    edm_rho,
    log_snr_uniform,
    uniform,
)

OU = OrnsteinUhlenbeck()
CASES = [  # process, start, end
    (OU, 2.0, 0.05),
    (OU, 9.0, 1e-6),
    (VariancePreserving(0.1, 20.0), 1.0, 1e-3),
    (Cosine(), 0.99, 0.01),
    (VarianceExploding(0.01, 50.0), 1.0, 0.0),
    (EDM(), 80.0, 0.002),
    (LinearInterpolant(), 0.999, 0.001),
    (DiscreteDDPM(), 999, 0),
    (DiscreteDDPM().respaced(50), 49.0, -0.5),
]
every_case = pytest.mark.parametrize(("process", "start", "end"), CASES)


def check_shape(times, start, end, steps):
    assert times.shape == (steps + 1,)
    assert np.all(np.diff(times) < 0)
    assert (float(times[0]), float(times[-1])) == (start, end)


@every_case
def test_uniform(process, start, end):
    times = uniform(process, start=start, end=end, steps=7)
    check_shape(times, start, end, 7)
    np.testing.assert_allclose(times, np.linspace(start, end, 8), rtol=1e-13)


@every_case
def test_log_snr_uniform(process, start, end):
    times = log_snr_uniform(process, start=start, end=end, steps=7)
    check_shape(times, start, end, 7)
    levels = np.asarray(process.log_snr(times))
    even = np.linspace(levels[0], levels[-1], 8)
    np.testing.assert_allclose(levels, even, rtol=1e-10, atol=1e-10)


def test_one_step_is_the_two_ends():
    for grid in (uniform, log_snr_uniform, edm_rho):
        check_shape(grid(OU, start=2.0, end=0.05, steps=1), 2.0, 0.05, 1)


@every_case
@pytest.mark.parametrize("rho", [7.0, 1.0])
def test_edm_rho(process, start, end, rho):
    times = edm_rho(process, start=start, end=end, steps=7, rho=rho)
    check_shape(times, start, end, 7)
    noise = np.asarray(process.sigma(times) / process.alpha(times))
    roots = np.linspace(noise[0] ** (1 / rho), noise[-1] ** (1 / rho), 8)
    np.testing.assert_allclose(noise, roots**rho, rtol=1e-10)


def test_edm_rho_is_the_grid_of_the_paper_on_its_own_clock():
    # Karras et al., equation 5: sigma_max = 80, sigma_min = 0.002, rho = 7, N = 18.
    i = np.arange(18)
    paper = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    times = edm_rho(EDM(), start=80.0, end=0.002, steps=17)
    np.testing.assert_allclose(times, paper, rtol=1e-12)
    # A clean end is allowed: sigma/alpha = 0 there.
    clean = edm_rho(OU, start=3.0, end=0.0, steps=10)
    check_shape(clean, 3.0, 0.0, 10)
    assert np.all(np.isfinite(clean))


def test_uniform_may_end_clean():
    check_shape(uniform(OU, start=4.0, end=0.0, steps=5), 4.0, 0.0, 5)
    check_shape(uniform(LinearInterpolant(), start=1.0, end=0.0, steps=5), 1.0, 0.0, 5)


@pytest.mark.parametrize("num_steps", [1, 2, 10, 1000])
def test_discrete_nodes_are_distinct_for_every_number_of_steps(num_steps):
    process = DiscreteDDPM(num_steps)
    for start in {0, num_steps // 2, num_steps - 1}:
        for steps in sorted(
            {1, 2, 3, start // 2, start, start + 1} & {*range(1, start + 2)}
        ):
            times = discrete(process, steps, start)
            check_shape(times, start, -1.0, steps)
            np.testing.assert_array_equal(times, np.round(times))
            even = np.linspace(start, -1, steps + 1)
            assert np.abs(times - even).max() <= 0.5 + 1e-9
    assert discrete(process, 1)[0] == num_steps - 1
    np.testing.assert_array_equal(
        discrete(process, num_steps), np.arange(-1, num_steps)[::-1]
    )


def test_dtype_of_the_start_is_kept():
    for grid in (uniform, log_snr_uniform, edm_rho):
        assert grid(OU, jnp.float32(2.0), 0.05, 4).dtype == jnp.float32
        assert grid(OU, 2, 0.05, 4).dtype == jnp.float64


@pytest.mark.f32
@every_case
def test_grids_in_float32(process: AbstractProcess, start, end):
    for grid in (uniform, log_snr_uniform, edm_rho):
        times = grid(process, start=start, end=end, steps=16)
        assert times.dtype == jnp.float32
        assert np.all(np.diff(times) < 0)
        assert np.float32(end) == times[-1]
    levels = np.asarray(
        process.log_snr(log_snr_uniform(process, start, end, 16)), float
    )
    np.testing.assert_allclose(
        levels, np.linspace(levels[0], levels[-1], 17), atol=1e-3
    )


@pytest.mark.parametrize("grid", [uniform, log_snr_uniform, edm_rho])
@pytest.mark.parametrize(
    ("process", "start", "end", "steps", "message"),
    [
        (OU, 2.0, 0.05, 0, "`steps` is 0"),
        (OU, 0.05, 2.0, 4, "noisy side"),
        (OU, 1.0, 1.0, 4, "noisy side"),
        (OU, np.inf, 1.0, 4, "finite"),
        (OU, np.nan, 1.0, 4, "finite"),
        (OU, 1.0, np.nan, 4, "finite"),
        (OU, 1.0, -0.1, 4, "0 <= end"),
        (VariancePreserving(), 1.1, 0.1, 4, "<= 1 on this clock"),
        (EDM(), 81.0, 0.1, 4, "<= 80 on this clock"),
        (DiscreteDDPM(10), 10, -1, 4, "<= 9 on this clock"),
    ],
)
def test_bad_ends_are_refused(grid, process, start, end, steps, message):
    with pytest.raises(ValueError, match=message):
        grid(process, start, end, steps)


def test_infinite_log_snr_is_refused():
    with pytest.raises(ValueError, match="`end` is 0, where the log-SNR is infinite"):
        log_snr_uniform(OU, 2.0, 0.0, 4)
    for grid in (log_snr_uniform, edm_rho):
        with pytest.raises(ValueError, match="`start` is 1, where the log-SNR"):
            grid(LinearInterpolant(), 1.0, 0.1, 4)
    with pytest.raises(ValueError, match="rho"):
        edm_rho(OU, 2.0, 0.1, 4, rho=0.0)


def test_too_fine_a_grid_for_its_precision_is_refused():
    start = jnp.float32(1.0)
    with pytest.raises(ValueError, match="must decrease strictly"):
        uniform(OU, start, start - jnp.float32(1e-6), 1000)


@pytest.mark.parametrize(
    ("steps", "start", "message"),
    [
        (0, None, "steps"),
        (11, None, "steps"),
        (5, 3, "steps"),
        (1, 10, "start"),
        (1, -1, "start"),
    ],
)
def test_bad_discrete_grids_are_refused(steps, start, message):
    with pytest.raises(ValueError, match=message):
        discrete(DiscreteDDPM(10), steps, start)
