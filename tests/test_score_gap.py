"""Girsanov both ways, score identities, certificates of wrong scores."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxwin.analysis import information
from jaxwin.analysis.information._label_slopes import set_gap, slopes_at
from jaxwin.io import to_dataset
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture, ProductMixture, factors

OU = OrnsteinUhlenbeck()
TWO = GaussianMixture.isotropic([[3.0, 0.0], [-3.0, 0.0]], 1.0)
THREE = GaussianMixture.isotropic(
    [[2.0], [-1.0], [0.5]], [0.3, 1.0, 2.0], [0.2, 0.5, 0.3]
)
MIXED = ProductMixture(
    [
        factors.laplace(1.0, 0.5),
        factors.truncated_gaussian(-2.0, 0.5, -0.5, 1.0),
        factors.logistic(-1.0, 0.4),
    ],
    [0.3, 0.3, 0.4],
)


def test_two_components():
    """E7 of windows.md: integral, drop and integrand."""
    ends = [0.5, 1.0, 2.0, 4.0]
    found = information.score_gap(TWO, 0, ends)
    exact = [0.0857350795291, 0.3069990778346, 0.6130413750252, 0.6877906254712]
    np.testing.assert_allclose(found.path, exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.drop, exact, rtol=0, atol=1e-12)
    assert found.path_error.max() < 1e-11
    np.testing.assert_allclose(found.bound, np.sqrt(np.array(exact) / 2), rtol=1e-11)
    found = information.score_gap(TWO, 0, [0, 0.5, 1, 1.5, 2])
    exact = [0.0373597177, 0.3414034946, 0.4707693765, 0.3033083055, 0.1412616940]
    np.testing.assert_allclose(found.gap, exact, rtol=0, atol=6e-11)
    assert found.path[0] == found.drop[0] == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("law", "labels"),
    [
        (THREE, [0, 2]),
        (THREE, 1),
        pytest.param(MIXED, [0, 1], marks=pytest.mark.slow),
    ],
    ids=["two of three", "one", "not Gaussian"],
)
def test_both_sides_agree(law, labels):
    """Off the table; the start at the edge of an interval goes like t^{-1/2}."""
    found = information.score_gap(law, labels, [0.07, 0.3, 1.7])
    bound = found.path_error + found.drop_error
    assert np.all(np.abs(found.path - found.drop) <= bound)
    # An interval's edge is seen down to sigma = 1e-4 by the rule in sqrt(t).
    assert bound.max() < (1e-9 if law is THREE else 1e-5)
    assert np.all(np.diff(found.path) > 0)


@pytest.mark.slow
def test_sampled_both_ways():
    """4,096 draws, seed 0: z < 4 against quadrature, and path against drop."""
    ends = [0.5, 1.0, 2.0]
    exact = information.score_gap(TWO, 1, ends)
    found = information.score_gap(TWO, 1, ends, method="sampled", num_replicas=4096)
    assert found.method == "sampled"
    for name in ("gap", "path", "drop"):
        error = np.abs(getattr(found, name) - getattr(exact, name))
        spread = getattr(found, f"{name}_error")
        assert np.all(error < 4 * spread), name
        assert spread.max() < 0.05


FULL = GaussianMixture.full(
    np.random.default_rng(0).normal(size=(5, 4)),
    [np.diag(v) + 0.1 for v in np.random.default_rng(1).uniform(0.2, 2, (5, 4))],
    [0.1, 0.3, 0.2, 0.15, 0.25],
)
PRODUCTS = ProductMixture(
    [
        [factors.laplace(0.3 * k, 0.5), factors.logistic(-0.4 * k, 0.3)]
        for k in range(4)
    ],
    [0.1, 0.3, 0.2, 0.4],
)


@pytest.mark.parametrize(
    "law",
    [FULL, pytest.param(PRODUCTS, marks=pytest.mark.slow)],
    ids=["full", "products"],
)
def test_score_identity_of_sub_mixtures(law):
    """s - s_S = r_rest (s_rest - s_S), and grad log r_S = s_S - s, to 1e-12."""
    mask = jnp.arange(law.num_labels) % 2 == 0
    inside, outside = law.restrict(mask), law.restrict(~mask)

    @eqx.filter_jit
    def at(law, inside, outside, x, alpha, sigma):
        s, s_in, s_out = (p.score(x, alpha, sigma) for p in (law, inside, outside))
        log_p = law.label_log_posterior(x, alpha, sigma)
        rest = jnp.sum(jnp.where(mask, 0, jnp.exp(log_p)))
        gap = set_gap(*slopes_at(law, x, alpha, sigma), mask)
        return s - s_in, rest * (s_out - s_in), gap, jnp.sum((s_in - s) ** 2)

    rng = np.random.default_rng(2)
    for time in (0.1, 0.7, 2.5):
        alpha, sigma = OU.levels(jnp.array(time))
        x = alpha * rng.normal(size=law.dimension) + sigma
        left, right, gap, square = at(law, inside, outside, x, alpha, sigma)
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gap, square, rtol=1e-11, atol=1e-12)


X = np.linspace(-12, 12, 4001)
H = X[1] - X[0]


def density(law, t):
    alpha, sigma = np.asarray(OU.levels(jnp.asarray(t)))
    widths = np.sqrt(alpha**2 * variances(law) + sigma**2)
    each = scipy.stats.norm.pdf(X[:, None], alpha * np.asarray(law.means[:, 0]), widths)
    return each @ np.exp(np.asarray(law.log_weights))


def variances(law):
    spread = np.asarray(law.covariance.spectrum()[0])[:, 0]
    return np.broadcast_to(spread, law.log_weights.shape)


def uturn(start, model, t):
    """Density of x0 ~ model(. | y), y ~ start noised to t; trapezoids on a grid."""
    alpha, sigma = np.asarray(OU.levels(jnp.asarray(t)))
    kernel = scipy.stats.norm.pdf(X[None], alpha * X[:, None], sigma)
    return density(model, 0.0) * (kernel @ (density(start, t) / density(model, t))) * H


def variation(p, q):
    return H * np.abs(p - q).sum() / 2


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("labels", [None, [0, 2]])
def test_certificate_of_a_wrong_mixture(labels):
    """Never below the true total variation, which is exact on the line."""
    mask = np.isin(np.arange(3), np.arange(3) if labels is None else labels)
    start = THREE.restrict(jnp.asarray(mask))
    ends = [0.2, 0.6, 1.2]
    for means, weights in (
        ([[2.0], [-1.0], [0.5]], [0.4, 0.3, 0.3]),
        ([[1.7], [-1.1], [0.7]], [0.2, 0.5, 0.3]),
    ):
        wrong = GaussianMixture.isotropic(means, [0.3, 1.0, 2.0], weights)
        found = information.score_error_certificate(wrong, THREE, ends, labels=labels)
        for end, bound in zip(ends, found.bound, strict=True):
            true = variation(uturn(start, wrong, end), uturn(start, THREE, end))
            assert 1e-3 < true <= bound
            assert bound < 6 * true
        assert found.error.max() < 1e-9


@pytest.mark.slow
def test_certificate_of_all_labels_is_a_drop_of_divergence():
    """Score of another law: KL(p || q) - KL(p_T || q_T), by trapezoids."""
    wrong = GaussianMixture.isotropic([[1.7], [-1.0]], [0.5, 1.2], [0.4, 0.6])
    divergence = lambda t: (
        H * np.sum(density(THREE, t) * np.log(density(THREE, t) / density(wrong, t)))
    )
    found = information.score_error_certificate(wrong, THREE, [0.0, 0.4, 2.0])
    exact = [divergence(0.0) - divergence(t) for t in (0.0, 0.4, 2.0)]
    np.testing.assert_allclose(found.path, exact, rtol=0, atol=1e-9)
    # Runs that stop before the clean end.
    found = information.score_error_certificate(wrong, THREE, [0.3, 2.0], end=0.3)
    exact = [divergence(0.3) - divergence(t) for t in (0.3, 2.0)]
    np.testing.assert_allclose(found.path, exact, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.long
def test_sampled_certificate():
    """4,096 draws, seed 0: z < 4 against quadrature, for a part and for all labels."""
    wrong = lambda x, alpha, sigma: THREE.score(x, alpha, sigma) + 0.3 * jnp.sin(x)
    ends = [0.3, 1.0]
    for labels, last in ((None, 0.0), (1, 0.0), (1, 0.2)):
        options = {"labels": labels, "end": last}
        found = information.score_error_certificate(
            wrong, THREE, ends, method="sampled", num_replicas=4096, **options
        )
        exact = information.score_error_certificate(wrong, THREE, ends, **options)
        assert np.all(np.abs(found.path - exact.path) < 4 * found.error)
        assert np.all(found.error < 0.05 * exact.path)
    exact = information.score_error_certificate(THREE, THREE, ends)
    np.testing.assert_allclose(exact.path, 0, atol=1e-20)


def test_results_are_written():
    found = information.score_gap(TWO, 0, [0.5, 1.0])
    assert to_dataset(found)["path"].dims == ("noise",)


def test_bad_input():
    with pytest.raises(ValueError, match="increase strictly"):
        information.score_gap(TWO, 0, [1.0, 0.5])
    with pytest.raises(ValueError, match="`labels`"):
        information.score_gap(TWO, 5, [1.0])
    with pytest.raises(ValueError, match="sigma"):
        information.score_gap(GaussianMixture.isotropic([[1.0], [2.0]], 0.0), 0, [1.0])
    plane = GaussianMixture.isotropic(np.eye(3), 1.0)
    with pytest.raises(ValueError, match="more than one direction"):
        information.score_gap(plane, 0, [1.0], method="quadrature")
    with pytest.raises(ValueError, match="needs one"):
        information.score_error_certificate(TWO, TWO, [1.0], method="quadrature")
    with pytest.raises(ValueError, match="`method`"):
        information.score_error_certificate(TWO, TWO, [1.0], method="guessed")
    for last in (-0.1, 1.1):
        with pytest.raises(ValueError, match="`end`"):
            information.score_error_certificate(TWO, TWO, [1.0], end=last)
