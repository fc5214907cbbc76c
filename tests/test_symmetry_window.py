"""Windows of instability: linear response and the entropy that they create."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import quad

from jaxwin.analysis import speciation
from jaxwin.analysis.symmetry import (
    entropy_share,
    gradient,
    instability_integral,
    instability_window,
    named_drift,
    predicted_time,
    two_point_branches,
)
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import EDM, DiscreteDDPM, OrnsteinUhlenbeck, VariancePreserving
from jaxwin.targets import AbstractDenoiser, GaussianMixture

VP = VariancePreserving(0.1, 20.0)
TWO = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
SC = 0.2926416543281432


def test_two_points():
    """Row C14."""
    found = instability_window(TWO, VP, SC, 1.0)
    np.testing.assert_allclose(found.integral, 4.4120064230, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.factor, 0.0121308144, rtol=0, atol=6e-11)
    assert found.error < 1e-10
    late = instability_window(TWO, VP, 0.1, SC)
    np.testing.assert_allclose(late.integral, -5.8172185, rtol=0, atol=6e-8)
    # The point holds until the critical time, and nowhere after.
    assert np.all(found.curvature > 0)
    assert np.all(late.curvature < 0)
    assert np.all(np.diff(found.time) > 0)
    assert to_dataset(found)["curvature"].dims == ("time",)
    assert to_json(found)["factor"] == pytest.approx(0.0121308144)


@pytest.mark.parametrize("name", ["reverse_sde", "flow", "density", "eta"])
@pytest.mark.parametrize(
    ("process", "low", "high"), [(VP, 0.1, 0.8), (EDM(), 0.3, 4.0)], ids=["VP", "EDM"]
)
def test_closed_form(name, process, low, high):
    """Clusters with widths, in a plane off the origin of the second axis."""
    drift = named_drift(name, eta=0.7 if name == "eta" else None)
    law = GaussianMixture.isotropic([[0.9, 0.0], [-0.9, 0.0]], 0.15)
    found = instability_window(law, process, low, high, drift)
    value = lambda t: float(instability_integral(process, t, 0.81, drift, within=0.15))
    expected = value(high) - value(low)
    assert abs(found.integral - expected) < 1e-9 * (1 + abs(expected))


def test_distance_of_two_runs():
    """The factor is that of a small distance, by the drift itself and scipy's steps."""
    law = GaussianMixture.isotropic([[1.2], [-1.2]], 0.1)
    pull = eqx.filter_jit(lambda x, t: gradient(law, VP, x, t) * VP.diffusion_sq(t))
    found = instability_window(law, VP, 0.3, 0.6)
    times = np.linspace(0.6, 0.3, 4001)
    x = np.array([1e-6])
    for t, s in zip(times[:-1], times[1:], strict=True):
        middle = jnp.asarray((t + s) / 2)
        half = x - (t - s) / 2 * np.asarray(pull(jnp.asarray(x), jnp.asarray(t)))
        x = x - (t - s) * np.asarray(pull(jnp.asarray(half), middle))
    np.testing.assert_allclose(x[0] / 1e-6, found.factor, rtol=1e-6)


def branch(process, t):
    return two_point_branches(process, t, weight=0.7).position[:1]


def test_along_a_branch():
    """The deepest valley of unequal weights, against its curvature over time."""
    law = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0, [0.7, 0.3])
    found = instability_window(law, VP, 0.15, 0.5, path=eqx.Partial(branch, VP))
    bend = eqx.filter_jit(
        lambda t: (
            two_point_branches(VP, t, weight=0.7).curvature[0] * VP.diffusion_sq(t)
        )
    )
    value = lambda t: float(bend(jnp.asarray(t)))
    expected = quad(value, 0.15, 0.5, epsabs=1e-11, epsrel=1e-11)[0]
    np.testing.assert_allclose(found.integral, expected, rtol=1e-8)
    assert np.all(found.curvature > 0)


class Bare(AbstractDenoiser):
    """A law without its law: what a network would tell."""

    law: GaussianMixture

    def denoise(self, x, alpha, sigma):
        return self.law.denoise(x, alpha, sigma)

    def score(self, x, alpha, sigma):
        return self.law.score(x, alpha, sigma)

    def jacobian_product(self, x, v, alpha, sigma):
        return self.law.jacobian_product(x, v, alpha, sigma)


@pytest.mark.slow
def test_about_a_mean():
    """On a clock with f = 0 a law may be moved; the centre moves along."""
    middle = np.array([3.0, -1.0])
    offsets = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.6], [0.0, -0.6]])
    law = Bare(GaussianMixture.isotropic(middle + offsets, 0.1))
    still = GaussianMixture.isotropic(offsets, 0.1)
    moved = instability_window(law, EDM(), 0.5, 3.0, path=middle)
    expected = instability_window(still, EDM(), 0.5, 3.0)
    np.testing.assert_allclose(moved.integral, expected.integral, rtol=1e-9)
    # The density's drift has no origin of its own: its centre is alpha times the mean.
    moved = instability_window(law, VP, 0.15, 0.6, "density", path=middle)
    expected = instability_window(still, VP, 0.15, 0.6, "density")
    np.testing.assert_allclose(moved.integral, expected.integral, rtol=1e-9)
    with pytest.raises(ValueError, match="dimension"):
        instability_window(law, EDM(), 0.5, 3.0)


def test_bad_window():
    for low, high in [(0.5, 0.4), (0.0, 0.4)]:
        with pytest.raises(ValueError, match="cleaner"):
            instability_window(TWO, VP, low, high)


def left(t):
    """H(c | x) of two points, in nats."""
    r = np.exp(float(VP.log_snr(t)) / 2)
    return np.log(2) - float(speciation.class_information(r))


def test_entropy_of_two_points():
    """theory 2: H(s) by quadrature."""
    table = {0.1: 0.0046709889, 0.2: 0.2016974954, SC: 0.4295655881, 0.5: 0.6519682435}
    times = list(table)
    for low, high in zip(times[:-1], times[1:], strict=True):
        found = entropy_share(TWO, VP, low, high)
        np.testing.assert_allclose(found.entropy_low, table[low], rtol=0, atol=6e-11)
        np.testing.assert_allclose(found.entropy_high, table[high], rtol=0, atol=6e-10)
        expected = (left(high) - left(low)) / np.log(2)
        np.testing.assert_allclose(found.share, expected, rtol=1e-10)
        assert found.method == "quadrature"
    found = entropy_share(TWO, VP, 0.01, SC)
    np.testing.assert_allclose(found.share, 0.6197321437, rtol=0, atol=6e-10)
    assert to_json(found)["share"] == pytest.approx(0.6197321437)
    assert to_dataset(found)["share"].shape == ()


@pytest.mark.slow
def test_sampled_beside_quadrature():
    low, high = 0.15, 0.35
    exact = entropy_share(TWO, VP, low, high)
    drawn = entropy_share(TWO, VP, low, high, method="sampled", key=jr.key(5))
    assert drawn.method == "exact soft labels"
    assert abs(drawn.share - exact.share) < 4 * drawn.stderr
    assert drawn.stderr < 0.01
    # A law that no quadrature takes is drawn from: independent bits in four dimensions.
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 4), -1).reshape(-1, 4)
    law = GaussianMixture.isotropic(corners, 0.0)
    cube = entropy_share(law, VP, low, high, num_replicas=4096)
    assert cube.method == "exact soft labels"
    assert abs(cube.share - exact.share) < 4 * cube.stderr
    np.testing.assert_allclose(cube.entropy, 4 * np.log(2), rtol=1e-12)


@pytest.mark.slow
def test_cascade_of_a_rectangle():
    """Each side's bit is made about its own critical time, by the law on its line."""
    corners = [[2.0, 0.5], [2.0, -0.5], [-2.0, 0.5], [-2.0, -0.5]]
    first, second = (float(predicted_time(l, VP).time) for l in (4.0, 0.25))
    for labels, half in [([0, 0, 1, 1], 2.0), ([0, 1, 0, 1], 0.5)]:
        law = GaussianMixture.isotropic(corners, 0.0, labels=labels)
        line = GaussianMixture.isotropic([[half], [-half]], 0.0)
        found = entropy_share(law, VP, second, first)
        alone = entropy_share(line, VP, second, first)
        np.testing.assert_allclose(found.share, alone.share, atol=1e-9)
    # All labels of the same law: the two bits together.
    whole = GaussianMixture.isotropic(corners, 0.0)
    bits = [
        entropy_share(GaussianMixture.isotropic([[h], [-h]], 0.0), VP, second, first)
        for h in (2.0, 0.5)
    ]
    found = entropy_share(whole, VP, second, first)
    expected = np.mean([bit.share for bit in bits])
    np.testing.assert_allclose(found.share, expected, atol=1e-6)


def test_clocks_agree():
    """Shares are those of log-SNR, whatever the clock."""
    ends = [OrnsteinUhlenbeck().log_snr(t) for t in (0.2, 0.6)]
    expected = entropy_share(TWO, OrnsteinUhlenbeck(), 0.2, 0.6).share
    for process in (VP, EDM(), DiscreteDDPM()):
        low, high = (float(process.time(end)) for end in ends)
        found = entropy_share(TWO, process, low, high)
        np.testing.assert_allclose(found.share, expected, rtol=1e-9)


def test_bad_shares():
    with pytest.raises(ValueError, match="cleaner"):
        entropy_share(TWO, VP, 0.5, 0.2)
    with pytest.raises(ValueError, match="one label"):
        entropy_share(GaussianMixture.isotropic([[0.0]], 1.0), VP, 0.1, 0.2)
    cube = GaussianMixture.isotropic(np.eye(4), 0.1)
    with pytest.raises(ValueError, match="dimensions"):
        entropy_share(cube, VP, 0.1, 0.2, method="quadrature")
    with pytest.raises(ValueError, match="method"):
        entropy_share(TWO, VP, 0.1, 0.2, method="guess")
