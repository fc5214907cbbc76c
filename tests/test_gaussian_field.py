"""The control of a Gaussian field: no transition, large scales come back first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin.analysis import hierarchy
from jaxwin.io import to_dataset

# abar, chi on a ring of 256: theory 6.14.
RING = [
    (0.99, 1.02462),
    (0.9, 1.25615),
    (0.8, 1.54292),
    (0.6, 2.27827),
    (0.4, 3.46142),
    (0.2, 6.01334),
    (0.1, 9.20032),
    (0.0, 20.74330),
]
SPECTRUM = hierarchy.ring_spectrum(256)

chi_of = jax.jit(jax.vmap(hierarchy.field_susceptibility, (None, 0)))


def test_ring_of_the_reference():
    assert abs(SPECTRUM[0] - 20.7433) < 6e-5
    np.testing.assert_allclose(SPECTRUM.mean(), 1, rtol=1e-14)
    assert SPECTRUM[0] == SPECTRUM[1]
    k = 2 * np.pi * np.arange(1, 256) / 256
    shape = SPECTRUM[1:] * np.abs(2 * np.sin(k / 2))
    np.testing.assert_allclose(shape, shape[0], rtol=1e-12)
    alpha_bar, known = (jnp.array(column) for column in zip(*RING, strict=True))
    found = chi_of(SPECTRUM, alpha_bar)
    np.testing.assert_allclose(found, known, atol=6e-6)


def test_susceptibility_rises_all_the_way():
    alpha_bar = jnp.linspace(0, 1, 101)
    for exponent in (0.5, 1.0, 2.0):
        found = chi_of(hierarchy.ring_spectrum(64, exponent), alpha_bar)
        assert np.all(np.diff(found) < 0)
        assert found[-1] == pytest.approx(1, abs=1e-14)
    white = chi_of(hierarchy.ring_spectrum(64, 0.0), alpha_bar)
    np.testing.assert_allclose(white, 1, rtol=1e-14)


@pytest.mark.parametrize("alpha_bar", [0.05, 0.5, 0.98])
def test_susceptibility_by_linear_algebra(alpha_bar):
    # Two independent draws from p(x0 | x_t): the start and the end of a U-turn.
    sites = 12
    spectrum = np.asarray(hierarchy.ring_spectrum(sites, 1.3))
    row = np.fft.ifft(spectrum).real
    prior = np.array([np.roll(row, i) for i in range(sites)])
    noised = alpha_bar * prior + (1 - alpha_bar) * np.eye(sites)
    posterior = prior - alpha_bar * prior @ np.linalg.solve(noised, prior)
    change = 2 * posterior
    known = change.sum() / np.trace(change)
    found = hierarchy.field_susceptibility(jnp.asarray(spectrum), alpha_bar)
    np.testing.assert_allclose(found, known, rtol=1e-11)
    # The spectrum of the change, as the theory has it.
    values = 2 * spectrum * (1 - alpha_bar) / (alpha_bar * spectrum + 1 - alpha_bar)
    np.testing.assert_allclose(np.fft.fft(change[0]).real, values, rtol=1e-10)


def test_half_of_each_mode():
    found = hierarchy.half_reconstruction(SPECTRUM)
    left = (1 - found.alpha_bar) / (found.alpha_bar * SPECTRUM + 1 - found.alpha_bar)
    np.testing.assert_allclose(left, 0.5, rtol=1e-13)
    np.testing.assert_allclose(found.snr * SPECTRUM, 1, rtol=1e-13)
    np.testing.assert_allclose(found.time, 0.5 * np.log1p(SPECTRUM), rtol=1e-13)
    # Large scales come back at more noise.
    assert np.all(np.diff(found.time[1:129]) < 0)
    assert to_dataset(found)["time"].dims == ("band",)


def test_half_of_bands():
    bands = hierarchy.octaves(256)
    np.testing.assert_array_equal(bands.sum(axis=0), 1)
    np.testing.assert_array_equal(bands.sum(axis=1), [3, 2, 4, 8, 16, 32, 64, 127])
    found = hierarchy.half_reconstruction(SPECTRUM, bands)
    alpha_bar, spectrum = np.asarray(found.alpha_bar)[:, None], np.asarray(SPECTRUM)
    post = spectrum * (1 - alpha_bar) / (alpha_bar * spectrum + 1 - alpha_bar)
    share = np.sum(bands * post, axis=1) / (bands @ spectrum)
    np.testing.assert_allclose(share, 0.5, rtol=1e-12)
    assert np.all(np.diff(found.time) < 0)


@pytest.mark.slow
def test_half_of_bands_of_one_mode():
    # and weights whose size is of no matter.
    single = hierarchy.half_reconstruction(SPECTRUM[:4], 3 * jnp.eye(4))
    each = hierarchy.half_reconstruction(SPECTRUM[:4])
    np.testing.assert_allclose(single.time, each.time, rtol=1e-12)
    flat = hierarchy.half_reconstruction(jnp.ones(5), jnp.ones((1, 5)))
    np.testing.assert_allclose(flat.alpha_bar, 0.5, rtol=1e-13)


@pytest.mark.slow
def test_half_of_a_band_is_differentiable():
    weight = jnp.array([[1.0, 2.0, 0.5]])
    time = jax.jit(lambda s: hierarchy.half_reconstruction(s, weight).time[0])
    spectrum, step = jnp.array([4.0, 1.0, 0.3]), 1e-5
    slope = jax.grad(time)(spectrum)
    for i, move in enumerate(step * np.eye(3)):
        known = (time(spectrum + move) - time(spectrum - move)) / (2 * step)
        np.testing.assert_allclose(slope[i], known, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("sites", [2, 3, 5, 6, 9])
def test_octaves_of_small_rings(sites):
    bands = hierarchy.octaves(sites)
    np.testing.assert_array_equal(bands.sum(axis=0), 1)
    assert np.all(bands.sum(axis=1) > 0)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: hierarchy.ring_spectrum(1), "`sites` is 1; it must be at least 2"),
        (lambda: hierarchy.ring_spectrum(8, np.inf), "`exponent` is inf; it must be"),
        (lambda: hierarchy.octaves(1), "`sites` is 1; it must be at least 2"),
        (
            lambda: hierarchy.field_susceptibility(SPECTRUM, 1.1),
            "`alpha_bar` is 1.1; it must be in",
        ),
        (
            lambda: hierarchy.field_susceptibility(jnp.zeros(3), 0.5),
            "`spectrum` is 0; it must be finite and > 0",
        ),
        (
            lambda: hierarchy.half_reconstruction(jnp.array([1.0, np.nan])),
            "`spectrum` is nan; it must be",
        ),
        (
            lambda: hierarchy.half_reconstruction(SPECTRUM[:2], -jnp.eye(2)),
            "`bands` is -1; it must be weights",
        ),
        (
            lambda: hierarchy.half_reconstruction(SPECTRUM[:2], jnp.zeros((1, 2))),
            r"`bands.sum\(axis=1\)` is 0; it must be > 0 for each band",
        ),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.f32
def test_single_precision():
    spectrum = hierarchy.ring_spectrum(256)
    assert spectrum.dtype == jnp.float32
    for alpha_bar, known in RING:
        found = hierarchy.field_susceptibility(spectrum, alpha_bar)
        np.testing.assert_allclose(found, known, rtol=5e-6)
    found = hierarchy.half_reconstruction(spectrum, hierarchy.octaves(256))
    assert found.time.dtype == jnp.float32
