"""The denoising loss: its least value, its noise levels, what errors there count."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from exact_network import exact_denoiser
from flax import nnx

from jaxwin._checks import BadInput
from jaxwin.learned import EvenLogSNR, EvenTime, LogNormal
from jaxwin.learned._batches import Fresh, Stored
from jaxwin.learned._denoiser import noise_level
from jaxwin.learned._levels import relative_weight
from jaxwin.learned._loss import BINS, DenoisingLoss
from jaxwin.processes import Cosine, OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

MIXTURE = GaussianMixture.isotropic(
    np.array([[1.0, 2.0, 0.0], [-1.0, 0.0, 0.5], [3.0, 1.0, 1.0]]),
    np.array([0.1, 0.5, 0.3]),
    np.array([0.2, 0.3, 0.5]),
)
GAUSSIAN = GaussianMixture.diagonal(
    np.array([[3.0, -1.0]]), np.array([[4.0, 0.25]]), np.array([1.0])
)
U = (np.arange(4000) + 0.5) / 4000


def test_quantiles_of_log_normal_levels():
    std = jnp.asarray(0.5)
    log_snr = LogNormal().log_snr(jnp.asarray(U), std)
    # P_mean and P_std of EDM for log sigma at alpha = 1 and s = 1/2.
    log_sigma = -np.asarray(log_snr) / 2
    wanted = scipy.stats.norm(-0.5 + np.log(0.5), 1.2).ppf(U)
    np.testing.assert_allclose(log_sigma, wanted, rtol=1e-9, atol=1e-9)
    assert abs(-0.5 + np.log(0.5) - -1.2) < 0.01


def test_quantiles_of_even_levels():
    one = jnp.asarray(1.0)
    even = np.asarray(EvenLogSNR(-3.0, 5.0).log_snr(jnp.asarray(U), one))
    assert scipy.stats.kstest(even, scipy.stats.uniform(-3, 8).cdf).statistic < 2e-3
    for process, start in ((Cosine(), None), (OrnsteinUhlenbeck(), 3.0)):
        levels = EvenTime(process, start)
        found = np.asarray(levels.log_snr(jnp.asarray(U), one))
        end = 1.0 if start is None else start
        wanted = np.clip(np.asarray(process.log_snr(jnp.asarray(end * U))), -16, 16)
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
    # u of the noisier is larger for all, so that strata are strata of noise.
    for one_law in (LogNormal(), EvenLogSNR(), EvenTime(Cosine())):
        assert np.all(np.diff(one_law.log_snr(jnp.asarray(U), one)) <= 0)


def test_levels_that_are_refused():
    with pytest.raises(BadInput, match="`low`"):
        EvenLogSNR(1.0, 1.0)
    with pytest.raises(BadInput, match="`start`"):
        EvenTime(OrnsteinUhlenbeck())


def test_weights_are_the_published_ones():
    """w |F - F*|^2 = weight |D - x0|^2, up to a factor that knows no level."""
    s, sigma = 0.5, np.geomspace(1e-2, 1e2, 9)
    c_out = sigma * s / np.sqrt(sigma**2 + s**2)
    log_snr = jnp.asarray(-2 * np.log(sigma))
    published = {
        # Karras et al. (2022), table 1; Ho et al. (2020), equation 14; |x0 - D|^2.
        "network": (sigma**2 + s**2) / (sigma * s) ** 2,
        "noise": 1 / sigma**2,
        "denoised": np.ones(9) / s**2,
    }
    for name, weight in published.items():
        ours = relative_weight(name, log_snr, jnp.asarray(s))  # pyright: ignore
        np.testing.assert_allclose(ours, weight * c_out**2, rtol=1e-12, err_msg=name)


def loss_of(law, weighting="network", levels=None, size=256, **options):
    denoiser = exact_denoiser(law)
    single = lambda a: a.astype(jnp.float32)
    graph, params, fixed = nnx.split(
        nnx.merge(denoiser.graph, jax.tree.map(single, denoiser.state)), nnx.Param, ...
    )
    loss = DenoisingLoss(
        batches=Fresh(jax.tree.map(lambda a: a, law)),
        levels=LogNormal() if levels is None else levels,
        mean=single(denoiser.mean),
        std=single(denoiser.std),
        fixed=fixed,
        graph=graph,
        weighting=weighting,  # pyright: ignore
        num_labels=0,
        label_dropout=0.0,
        batch_size=size,
    )
    return loss, params


@eqx.filter_jit
def graded(loss, params, keys):
    """Losses, records and gradients of many batches."""
    return jax.lax.map(
        lambda key: jax.value_and_grad(loss, has_aux=True)(params, key, None), keys
    )


def least_loss(weighting: str, levels: str) -> float:
    """Of a Gaussian: coordinate i leaves v_i v / ((alpha^2 v_i + sigma^2) s^2)."""
    variances = np.array([4.0, 0.25])
    square = variances.mean()

    def at(log_ratio):
        noise = square * np.exp(2 * log_ratio)  # (sigma / alpha)^2
        left = variances * (noise + square) / ((variances + noise) * square)
        weight = {
            "network": 1.0,
            "noise": 1 / (1 + noise / square),
            "denoised": noise / (noise + square),
        }[weighting]
        return weight * left.mean()

    if levels == "normal":
        density = lambda c: scipy.stats.norm.pdf(c, -0.5, 1.2)
        return scipy.integrate.quad(lambda c: density(c) * at(c), -10, 10)[0]
    shift = np.log(square) / 2
    return scipy.integrate.quad(lambda l: at(-l / 2 - shift) / 8, -4, 4)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weighting", "levels"),
    [
        ("network", "normal"),
        pytest.param("noise", "even", marks=pytest.mark.slow),
        pytest.param("denoised", "even", marks=pytest.mark.slow),
    ],
)
def test_exact_network_has_the_least_loss(weighting, levels):
    law = EvenLogSNR(-4.0, 4.0) if levels == "even" else LogNormal()
    loss, params = loss_of(GAUSSIAN, weighting, law)
    (values, records), gradients = graded(loss, params, jr.split(jr.key(7), 400))

    def z_score(values, wanted=0.0):
        values = np.asarray(values, float)
        error = values.std(ddof=1) / np.sqrt(len(values))
        return (values.mean() - wanted) / error

    # 400 batches of 256, seed 7.
    assert abs(z_score(values, least_loss(weighting, levels))) < 4
    assert abs(z_score(gradients["scale"][...])) < 4
    assert abs(z_score(gradients["shift"][...])) < 4
    # Away from the minimum both see it: a test of the test.
    off = jax.tree.map(lambda a: a * 1.1 + 0.05, params)
    (worse, _), slopes = graded(loss, off, jr.split(jr.key(7), 400))
    assert np.mean(worse) > np.mean(values)
    assert z_score(slopes["scale"][...]) > 8
    assert z_score(slopes["shift"][...]) > 8
    # Every point is in one bin, the one of its level, and the losses are its sums.
    sums, counts = np.moveaxis(np.asarray(records, float), 2, 0)
    np.testing.assert_array_equal(counts.sum(axis=1), 256)
    if weighting == "network":
        np.testing.assert_allclose(sums.sum(axis=1) / 256, values, rtol=1e-4)
        edges = [-np.inf, *BINS[1:-1], np.inf]
        share = np.diff(scipy.stats.norm(-0.5, 1.2).cdf(edges))
        np.testing.assert_allclose(counts.mean(axis=0) / 256, share, atol=2e-3)


class Told(nnx.Module):
    """Minus one, or the label that it is asked for."""

    def __init__(self):
        self.unit = nnx.Param(jnp.ones((), jnp.float32))

    def __call__(self, x, level, label):
        del level
        return (
            jnp.broadcast_to(label[:, None].astype(x.dtype), x.shape) * self.unit[...]
        )


@pytest.mark.slow
def test_labels_are_dropped_at_their_rate():
    """By the loss of a network that says its label: E (label - F*)^2, F* of mean 0."""
    graph, params, fixed = nnx.split(Told(), nnx.Param, ...)
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.normal(size=(50, 4)), jnp.float32)
    fields = {
        "batches": Stored(points, jnp.zeros(50, jnp.int32)),
        "levels": EvenLogSNR(-2.0, 2.0),
        "mean": points.mean(axis=0),
        "std": jnp.sqrt(points.var(axis=0).mean()),
        "fixed": fixed,
        "graph": graph,
        "weighting": "network",
        "batch_size": 256,
    }
    found = {}
    for num_labels, dropout in ((0, 0.25), (5, 0.25)):
        loss = DenoisingLoss(num_labels=num_labels, label_dropout=dropout, **fields)
        (values, _), _ = graded(loss, params, jr.split(jr.key(1), 100))
        found[num_labels, dropout] = np.asarray(values, float)
    # Label 0 unless dropped: then 5, and never where the network knows no labels.
    more = found[5, 0.25] - found[0, 0.25]
    # A share of 1/4 of 25; 100 batches of 256, seed 1.
    assert abs(more.mean() - 6.25) < 4 * more.std(ddof=1) / 10


def test_noise_level_is_of_the_ratio():
    std = jnp.asarray(0.5)
    c = noise_level(jnp.asarray(0.02), jnp.asarray(0.03), std)
    np.testing.assert_allclose(c, np.log(0.03 / (0.02 * 0.5)) / 4, rtol=1e-12)
    assert jnp.isfinite(noise_level(jnp.asarray(0.0), jnp.asarray(1.0), std))
    assert jnp.isfinite(noise_level(jnp.asarray(1.0), jnp.asarray(0.0), std))


def test_batches_are_of_their_source():
    points, labels = jax.jit(lambda k: Fresh(MIXTURE).draw(k, 20_000))(jr.key(0))
    assert (points.dtype, labels.dtype) == (jnp.float32, jnp.int32)
    share = np.bincount(np.asarray(labels), minlength=3) / 20_000
    np.testing.assert_allclose(share, [0.2, 0.3, 0.5], atol=4 * 0.5 / np.sqrt(20_000))
    for k in range(3):
        mean = np.asarray(points)[np.asarray(labels) == k].mean(axis=0)
        np.testing.assert_allclose(mean, MIXTURE.means[k], atol=4 * 0.7 / 60)
    stored = Stored(jnp.arange(12.0).reshape(4, 3), jnp.arange(4))
    points, labels = stored.draw(jr.key(0), 4000)
    np.testing.assert_array_equal(points[:, 0], 3 * labels)
    counts = np.bincount(np.asarray(labels), minlength=4)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
