"""Laws seen through the Gaussian channel: the contract, soft labels and U-turns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some

from jaxwin.analysis import speciation
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    Cosine,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    convert,
)
from jaxwin.targets import AbstractLabelledTarget, Empirical, GaussianMixture

OU = OrnsteinUhlenbeck()
COUNT = 20_000

# Three classes on the line, one of them in two pieces, all of different widths.
MEANS = np.array([-2.0, 0.5, 3.0, 5.0])
VARIANCES = np.array([0.5, 1.0, 0.3, 0.2])
WEIGHTS = np.array([0.2, 0.5, 0.2, 0.1])
LABELS = np.array([0, 1, 2, 0])
MIXTURE = GaussianMixture.isotropic(MEANS[:, None], VARIANCES, WEIGHTS, labels=LABELS)
POINTS = np.array([-2.0, -1.5, 0.2, 0.9, 1.0, 2.5, 4.0])
POINT_LABELS = np.array([0, 0, 1, 1, 0, 2, 2])
DATA = Empirical(POINTS[:, None], POINT_LABELS)
SMOOTH = Empirical(POINTS[:, None], POINT_LABELS, bandwidth=0.4)

LAWS: dict[str, AbstractLabelledTarget] = {
    "mixture": MIXTURE,
    "data": DATA,
    "smooth data": SMOOTH,
}
COMPONENTS = {  # mean, variance, weight, label
    "mixture": (MEANS, VARIANCES, WEIGHTS, LABELS),
    "data": (POINTS, np.zeros(7), np.full(7, 1 / 7), POINT_LABELS),
    "smooth data": (POINTS, np.full(7, 0.16), np.full(7, 1 / 7), POINT_LABELS),
}

CLOCKS: dict[str, AbstractProcess] = {
    "ou": OU,
    "vp": VariancePreserving(0.1, 20.0),
    "cosine": Cosine(),
    "ve": VarianceExploding(0.01, 50.0),
    "edm": EDM(),
    "flow": LinearInterpolant(),
    "ddpm": DiscreteDDPM(1000, "linear"),
    "ddpm-respaced": DiscreteDDPM(1000, "cosine").respaced(100),
}
NODES = {"ddpm": [50, 150, 333, 500], "ddpm-respaced": [8, 25, 44, 70]}


def clock_times(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Times on a clock (nodes of a table), and the same on OU."""
    if name in NODES:
        times = np.array(NODES[name], float)
    else:
        ou_times = jnp.array([0.05, 0.3, 0.8, 1.7])
        times = np.asarray(convert(ou_times, OU, CLOCKS[name])[0])
    return times, np.asarray(convert(jnp.asarray(times), CLOCKS[name], OU)[0])


# Second computation: densities on a grid, by numpy.


def densities(name: str, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Grid x and weighted densities of the classes there, at OU time t: (c, x)."""
    means, variances, weights, labels = COMPONENTS[name]
    alpha, noise = np.exp(-t), -np.expm1(-2 * t)
    x = np.linspace(-12, 12, 40_001)
    var = alpha**2 * variances + noise
    square = (x[None] - alpha * means[:, None]) ** 2 / var[:, None]
    each = weights[:, None] * np.exp(-0.5 * square) / np.sqrt(2 * np.pi * var)[:, None]
    return x, np.stack([each[labels == c].sum(0) for c in range(3)])


def confusion(name: str, t: float) -> np.ndarray:
    """Joint probability of the label and that of a clone: int p_i p_j / p dx."""
    x, joint = densities(name, t)
    total = np.maximum(joint.sum(0), 1e-300)
    return np.einsum("ix,jx->ij", joint, joint / total) * (x[1] - x[0])


# The contract


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_starts_are_drawn_from_the_law(name):
    observed = Observed(LAWS[name], Gaussian())
    assert isinstance(observed, AbstractObserved)
    assert observed.has_exact_labels
    means, variances, weights, labels = COMPONENTS[name]
    prior = np.bincount(labels, weights)
    np.testing.assert_allclose(np.exp(observed.log_label_prior()), prior, rtol=1e-12)
    x0, label = jax.jit(jax.vmap(observed.start))(jr.split(jr.key(0), COUNT))
    for c in range(3):
        chosen = np.asarray(label) == c
        error = np.sqrt(prior[c] * (1 - prior[c]) / COUNT)
        assert abs(chosen.mean() - prior[c]) < 4 * error
        inside = weights[labels == c] / prior[c]
        mean = inside @ means[labels == c]
        square = inside @ (variances + means**2)[labels == c]
        draws = np.asarray(x0)[chosen, 0]
        assert abs(draws.mean() - mean) < 4 * draws.std() / np.sqrt(chosen.sum())
        error = np.std(draws**2) / np.sqrt(chosen.sum())
        assert abs(np.mean(draws**2) - square) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize("name", some(CLOCKS, ["ou", "edm", "flow", "ddpm"]))
def test_observations_have_the_amplitudes_of_the_clock(name):
    process = CLOCKS[name]
    observed = Observed(MIXTURE, Gaussian(process))
    x0 = jnp.array([2.5])
    for t in clock_times(name)[0][:2]:
        time = jnp.asarray(t)
        keys = jr.split(jr.key(1), COUNT)
        x = jax.jit(
            jax.vmap(lambda key, time: observed.observe(key, x0, time), (0, None))
        )
        draws = np.asarray(x(keys, time))[:, 0]
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
        assert abs(draws.mean() - 2.5 * alpha) < 4 * sigma / np.sqrt(COUNT)
        assert abs(draws.std() / sigma - 1) < 4 / np.sqrt(2 * COUNT)


def test_observations_of_one_key_share_their_noise():
    channel = Gaussian()
    x0, key = jnp.array([1.0, -2.0]), jr.key(5)
    z = [
        (channel.corrupt(key, x0, t) - OU.alpha(t) * x0) / OU.sigma(t)
        for t in (0.1, 1.0, 3.0)
    ]
    np.testing.assert_allclose(z[0], z[1], rtol=1e-12)
    np.testing.assert_allclose(z[0], z[2], rtol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_label_posterior_is_bayes_rule(name):
    observed = Observed(LAWS[name], Gaussian())
    posterior = jax.jit(jax.vmap(observed.label_log_posterior, (0, None)))
    for t in (0.05, 0.7, 2.0):
        x, joint = densities(name, t)
        likely = joint.sum(0) > 1e-8
        some = np.flatnonzero(likely)[:: max(likely.sum() // 50, 1)]
        found = np.exp(posterior(jnp.asarray(x[some, None]), jnp.asarray(t)))
        np.testing.assert_allclose(
            found, (joint / joint.sum(0))[:, some].T, rtol=1e-8, atol=1e-13
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_soft_labels_are_those_of_observations(name):
    # Purity and label frequencies, two ways, 20,000 draws each; and calibration.
    observed = Observed(LAWS[name], Gaussian())
    noises = jnp.array([0.1, 0.5, 1.0, 2.0])
    draw = jax.jit(jax.vmap(observed.soft_labels, (0, None)))
    label, log_posterior = draw(jr.split(jr.key(2), COUNT), noises)
    p = np.exp(log_posterior)
    assert p.shape == (COUNT, 4, 3)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-12)
    z = lambda values, expected: (
        (values.mean(0) - expected) / (values.std(0) / np.sqrt(COUNT) + 1e-12)
    )
    for i, t in enumerate(np.asarray(noises)):
        joint = confusion(name, float(t))
        assert np.all(np.abs(z(np.sum(p[:, i] ** 2, -1), np.trace(joint))) < 4)
        assert np.all(np.abs(z(p[:, i], joint.sum(1))) < 4)
        # Of the draws with label a, the posterior of b averages to confusion(a, b).
        own = np.asarray(label)[:, None] == np.arange(3)[None]
        table = own[:, :, None] * p[:, i, None, :]
        assert np.all(np.abs(z(table.reshape(COUNT, 9), joint.reshape(9))) < 4)


def test_soft_labels_of_a_mixture_are_its_label_posterior():
    # The default form: one clean point and one Gaussian for all noises.
    law, noises = MIXTURE, jnp.array([0.1, 1.0])
    key = jr.key(6)
    label, log_posterior = eqx.filter_jit(Gaussian().soft_labels)(law, key, noises)
    data_key, noise_key = jr.split(key)
    x0, expected = law.sample_labelled(data_key)
    assert int(label) == int(expected)
    posterior = jax.jit(lambda x, t: Gaussian().label_log_posterior(law, x, t))
    for t, row in zip(noises, log_posterior, strict=True):
        x = Gaussian().corrupt(noise_key, x0, t)
        np.testing.assert_allclose(row, posterior(x, t), rtol=1e-10)


@pytest.mark.parametrize("name", some(["data", "smooth data"], ["smooth data"]))
def test_u_turns_return_with_the_exact_frequencies(name):
    # Start, observe, resample, look: 20,000 U-turns; rows of the table 4 s.e. each.
    observed = Observed(LAWS[name], Gaussian())

    def turn(key, t):
        first, second, third = jr.split(key, 3)
        x0, label = observed.start(first)
        x = observed.observe(second, x0, t)
        clone = observed.resample(third, x, t)
        return label, observed.label_probabilities(clone)

    turns = jax.jit(jax.vmap(turn, (0, None)))
    for t in (0.2, 0.8, 1.5):
        label, probabilities = turns(jr.split(jr.key(7), COUNT), jnp.asarray(t))
        own = np.asarray(label)[:, None] == np.arange(3)[None]
        table = own[:, :, None] * np.asarray(probabilities)[:, None, :]
        if name == "data":
            # A data point shows its label; the others leave some doubt, which
            # averages out: E[p(j | x0) | x] = p(j | x).
            assert np.all(np.asarray(probabilities).max(-1) == 1)
        expected = confusion(name, t)
        error = table.std(0) / np.sqrt(COUNT) + 1e-12
        assert np.all(np.abs(table.mean(0) - expected) < 4 * error)


def test_u_turn_of_two_classes_flips_as_printed():
    # windows E1, capability 11: 1 - phi(m) at separation m.
    law = GaussianMixture.isotropic(np.array([[4.0], [-4.0]]), 1.0)
    observed = Observed(law, Gaussian())

    def flips(key, t):
        first, second, third = jr.split(key, 3)
        x0, label = observed.start(first)
        clone = observed.resample(third, observed.observe(second, x0, t), t)
        return label, observed.label_probabilities(clone)

    run = jax.jit(jax.vmap(flips, (0, None)))
    for m, printed in ((0.5, 0.397972867183), (1.0, 0.224799754603)):
        label, p = run(jr.split(jr.key(8), COUNT), jnp.log(4.0 / m))
        other = np.asarray(p)[np.arange(COUNT), 1 - np.asarray(label)]
        assert abs(other.mean() - printed) < 4 * other.std() / np.sqrt(COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_clones_are_distributed_as_the_law(name):
    # The U-turn leaves the law as it is: first two moments, 20,000 clones.
    observed = Observed(LAWS[name], Gaussian())

    def turn(key, t):
        first, second, third = jr.split(key, 3)
        x0, _ = observed.start(first)
        return observed.resample(third, observed.observe(second, x0, t), t)

    clones = jax.jit(jax.vmap(turn, (0, None)))(jr.split(jr.key(9), COUNT), 0.9)
    draws = np.asarray(clones)[:, 0]
    means, variances, weights, _ = COMPONENTS[name]
    for power, expected in (
        (1, weights @ means),
        (2, weights @ (variances + means**2)),
    ):
        values = draws**power
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(COUNT)


@pytest.mark.parametrize("name", ["mixture", "data"])
def test_clean_labels(name):
    observed = Observed(LAWS[name], Gaussian())
    if name == "data":
        found = jax.jit(jax.vmap(observed.label_probabilities))(POINTS[:, None])
        np.testing.assert_allclose(found, np.eye(3)[POINT_LABELS], atol=1e-12)
    else:
        x, joint = densities(name, 0.0)
        at = 21_000
        found = observed.label_probabilities(jnp.asarray(x[at : at + 1]))
        np.testing.assert_allclose(found, joint[:, at] / joint[:, at].sum(), rtol=1e-9)


# Clocks


@pytest.mark.parametrize("name", CLOCKS)
def test_coordinate_and_its_inverse(name):
    channel = Gaussian(CLOCKS[name])
    times, on_ou = clock_times(name)
    coordinate = channel.coordinate(jnp.asarray(times))
    assert np.all(np.diff(coordinate) > 0)
    np.testing.assert_allclose(channel.noise_at(coordinate), times, rtol=1e-10)
    expected = np.log(np.expm1(2 * on_ou))
    np.testing.assert_allclose(coordinate, expected, rtol=1e-9, atol=1e-12)
    assert eqx.tree_equal(
        Observed(MIXTURE, channel).coordinate(jnp.asarray(times)), coordinate
    )


@eqx.filter_jit
def soft(channel, noises):
    draw = lambda key: channel.soft_labels(DATA, key, noises)
    return jax.vmap(draw)(jr.split(jr.key(3), 64))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param("edm", marks=pytest.mark.slow), "ddpm"],
)
def test_soft_labels_of_data_on_other_clocks(name):
    times, on_ou = clock_times(name)
    # A mixture's on every clock are measured by clone agreement below.
    here = soft(Gaussian(CLOCKS[name]), jnp.asarray(times))
    there = soft(Gaussian(), jnp.asarray(on_ou))
    np.testing.assert_array_equal(here[0], there[0])
    np.testing.assert_allclose(np.exp(here[1]), np.exp(there[1]), atol=1e-9)


@eqx.filter_jit
def posteriors(channel, xs, times):
    """Label posteriors of a block of points at each time."""
    at = lambda x, t: jnp.exp(channel.label_log_posterior(MIXTURE, x, t))
    return jax.vmap(jax.vmap(at, (0, None)))(xs, times)


@pytest.mark.slow
@pytest.mark.parametrize("name", some(CLOCKS, ["ou", "edm", "flow", "ddpm"]))
def test_label_posterior_on_every_clock(name):
    # Equal SNR: a point of one clock is that of another rescaled by alpha.
    process, xs = CLOCKS[name], jnp.linspace(-3.0, 6.0, 7)[:, None]
    times, on_ou = (jnp.asarray(values) for values in clock_times(name))
    ratio = process.alpha(times) / OU.alpha(on_ou)
    stretched = ratio[:, None, None] * xs[None]
    here = posteriors(Gaussian(process), stretched, times)
    there = posteriors(Gaussian(), jnp.broadcast_to(xs[None], (4, 7, 1)), on_ou)
    np.testing.assert_allclose(here, there, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow", "ddpm-respaced"])
def test_clone_agreement_on_other_clocks(name):
    times, on_ou = clock_times(name)
    law = GaussianMixture.isotropic(np.array([[2.0], [-2.0]]), 0.5)
    measure = lambda process, noises: speciation.clone_agreement(
        Observed(law, Gaussian(process)), noises, num_replicas=256
    )
    here, there = measure(CLOCKS[name], times), measure(OU, on_ou)
    np.testing.assert_allclose(here.phi, there.phi, rtol=1e-9)
    np.testing.assert_allclose(here.stderr, there.stderr, rtol=1e-6)
    assert bool(there.crossing.found)
    for end in ("time", "low", "high"):
        moved = convert(getattr(there.crossing, end), OU, CLOCKS[name])[0]
        np.testing.assert_allclose(getattr(here.crossing, end), moved, rtol=1e-9)


@pytest.mark.parametrize("name", CLOCKS)
def test_closed_form_agreement_on_every_clock(name):
    process = CLOCKS[name]
    for time, ou_time in zip(*clock_times(name), strict=True):
        on = lambda p, t: speciation.separation(3.0, 0.5, p.alpha(t), p.sigma(t))
        here = speciation.agreement(on(process, time))
        there = speciation.agreement(on(OU, ou_time))
        assert abs(float(here) - float(there)) < 1e-10
