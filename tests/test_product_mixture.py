"""Mixtures of products of densities on the line: against brute force, closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.special
import scipy.stats
from batteries import some
from line_posteriors import Density, posterior, share_below

from jaxwin.analysis import windows
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture, ProductMixture, factors

TABLE = np.linspace(-3, 4, 60)
BUMPS = np.log(
    0.3 * np.exp(-((TABLE + 1) ** 2) / 0.4) + 0.7 * np.exp(-((TABLE - 1.5) ** 2) / 1.2)
)
SPLINE = scipy.interpolate.CubicSpline(TABLE, BUMPS)
logcosh = lambda y: np.logaddexp(y, -y)
# Each family with the same density in numpy.
FAMILIES = {
    "interval": (
        factors.truncated_gaussian(-0.5, 1.2, 0.3, 0.7),
        Density(lambda u: -((u - 0.3) ** 2) / 1.4, 0.3, 0.8, low=-0.5, high=1.2),
    ),
    "tail of a Gaussian": (
        factors.truncated_gaussian(2.0, np.inf, -1.0, 0.5),
        Density(lambda u: -((u + 1) ** 2), 2.0, 0.2, low=2.0),
    ),
    "Laplace": (
        factors.laplace(0.4, 0.7),
        Density(lambda u: -np.abs(u - 0.4) / 0.7, 0.4, 1.0, cuts=(0.4,)),
    ),
    "logistic": (
        factors.logistic(-0.3, 0.5),
        Density(lambda u: -2 * logcosh(u + 0.3), -0.3, 1.0),
    ),
    "quartic": (
        factors.quartic(0.2, 1.5, 0.8),
        Density(lambda u: -((u - 0.2) ** 2) / 3 - (u - 0.2) ** 4 / 3.2, 0.2, 0.8),
    ),
    "only quartic": (
        factors.quartic(0.2, np.inf, 2.0),
        Density(lambda u: -((u - 0.2) ** 4) / 8, 0.2, 1.0),
    ),
}
BUMPY = (
    factors.tabulated(TABLE, BUMPS),
    Density(
        lambda u: SPLINE(u.astype(float)).astype(np.longdouble),
        0.5,
        1.0,
        cuts=tuple(TABLE),
        low=-3.0,
        high=4.0,
        bumpy=True,
    ),
)
LEVELS = [
    (1.0, 1e-5),
    (0.99, 1e-3),
    (0.95, 0.03),
    (0.8, 0.6),
    (0.6, 1.0),
    (0.3, 5.0),
    (1.0, 30.0),
    (0.9, 1e3),
    (1e-3, 1.0),
    (1e-8, 1.0),
]


@eqx.filter_jit
def ask(law, xs, alpha, sigma):
    def at(x):
        x = x[None]
        return (
            law.log_density(x, alpha, sigma),
            law.denoise(x, alpha, sigma)[0],
            law.posterior_covariance(x, alpha, sigma)[0, 0],
            law.score(x, alpha, sigma)[0],
            law.score_jacobian(x, alpha, sigma)[0, 0],
        )

    return jax.vmap(at)(xs)


def points(density, alpha, sigma):
    """Clean places with some noise, ends and kinks, and places far outside."""
    spread = np.array([-2.0, -0.3, 0.0, 0.1, 1.1, 3.0, 12.0])
    clean = np.clip(density.centre + density.scale * spread, density.low, density.high)
    edges = [v for v in (*density.cuts[:2], density.low, density.high)]
    # One number of points: nothing is compiled twice.
    clean = np.resize(np.concatenate([clean, [v for v in edges if np.isfinite(v)]]), 12)
    noise = np.resize([0.0, 0.7, -1.3, 3.0, -6.0], clean.size)
    return alpha * clean + sigma * noise


def compare(factor, density, alpha, sigma, xs, tolerance=1e-10):
    arguments = jnp.asarray(xs), jnp.array(alpha), jnp.array(sigma)
    found = [np.asarray(v) for v in ask(ProductMixture([factor]), *arguments)]
    for i, x in enumerate(xs):
        true = posterior(density, x, alpha, sigma)
        log_density, mean, variance, score, slope = (v[i] for v in found)
        assert abs(log_density - true.log_density) <= tolerance * (
            1 + abs(true.log_density)
        )
        assert abs(mean - true.mean) <= tolerance
        np.testing.assert_allclose(variance, true.variance, rtol=tolerance)
        # At ends and kinks what they add cancels: 1e-14 / sigma.
        bound = max(tolerance, 1e-14 / sigma)
        assert abs(score - true.score) <= bound * (1 + abs(true.score))
        if sigma >= 0.01:
            exact = (alpha**2 * true.variance / sigma**2 - 1) / sigma**2
            assert abs(slope - exact) <= tolerance * (1 + 1 / sigma**2)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", some(FAMILIES, ["interval", "Laplace"]))
def test_posterior_by_brute_force(name):
    """Below 1e-10 for sigma from 1e-5 to 1e3 and alpha down to 1e-8, at any x."""
    factor, density = FAMILIES[name]
    for alpha, sigma in LEVELS:
        compare(factor, density, alpha, sigma, points(density, alpha, sigma))


@pytest.mark.slow
def test_table_by_brute_force():
    factor, density = BUMPY
    for alpha, sigma in LEVELS[2:7:2]:
        compare(factor, density, alpha, sigma, points(density, alpha, sigma))


def ou(t):
    alpha, sigma = OrnsteinUhlenbeck().levels(jnp.asarray(t))
    return float(alpha), float(sigma)


@pytest.mark.slow
def test_closed_forms():
    """Gaussians in an interval by cdfs, Laplace by erfcx, at points of any noise."""
    for alpha, sigma in ((1.0, 0.01), (0.9, 0.4), (0.5, 3.0), (0.9, 200.0)):
        xs = alpha * np.linspace(-1, 2, 12) + sigma * np.linspace(-2, 2, 12)
        levels = jnp.array(alpha), jnp.array(sigma)
        law = ProductMixture([factors.truncated_gaussian(-0.5, 1.2, 0.3, 0.7)])
        log_density, *_ = ask(law, jnp.asarray(xs), *levels)
        noised = alpha**2 * 0.7 + sigma**2
        centre = 0.3 + alpha * 0.7 / noised * (xs - alpha * 0.3)
        sd = sigma * np.sqrt(0.7 / noised)
        whole = np.diff(scipy.special.ndtr(np.array([-0.8, 0.9]) / 0.7**0.5))
        # Of the two tails the smaller difference.
        ends = np.array([(-0.5 - centre) / sd, (1.2 - centre) / sd])
        ends = np.where(ends[0] > 0, -ends[::-1], ends)
        log_ends = scipy.special.log_ndtr(ends)
        share = log_ends[1] + np.log1p(-np.exp(log_ends[0] - log_ends[1]))
        exact = share - np.log(whole)
        exact += scipy.stats.norm.logpdf(xs, alpha * 0.3, noised**0.5)
        np.testing.assert_allclose(log_density, exact, rtol=1e-11, atol=1e-11)
        law = ProductMixture([factors.laplace(0.4, 0.7)])
        log_density, *_ = ask(law, jnp.asarray(xs), *levels)
        q, b = (xs - alpha * 0.4) / sigma, sigma / (alpha * 0.7)
        # exp(b^2 / 2) Phi(-b) is erfcx up to factors; in logs nothing overflows.
        each = [b * s * q + scipy.special.log_ndtr(-b - s * q) for s in (1, -1)]
        exact = np.logaddexp(*each) + b**2 / 2 - np.log(2 * alpha * 0.7)
        np.testing.assert_allclose(log_density, exact, rtol=1e-11, atol=1e-11)


gauss = lambda m, v: factors.truncated_gaussian(-np.inf, np.inf, m, v)
MEANS = np.array([[0.3, -1.0], [1.5, 0.5], [-1.0, 0.2]])
VARIANCES = np.array([[0.5, 0.2], [0.1, 1.0], [0.7, 0.3]])
WEIGHTS = np.array([0.5, 0.2, 0.3])
WIDE = np.linspace(-9, 9, 400)


@eqx.filter_jit
def everything(law, x, alpha, sigma):
    return (
        law.log_density(x, alpha, sigma),
        law.denoise(x, alpha, sigma),
        law.score(x, alpha, sigma),
        law.posterior_covariance(x, alpha, sigma),
        law.score_jacobian(x, alpha, sigma),
        law.jacobian_product(x, jnp.array([0.3, -1.0]), alpha, sigma),
        *law.local(x, alpha, sigma),
        law.label_log_posterior(x, alpha, sigma),
        law.moments().mean,
        law.moments().covariance(),
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", ["interval", "well", "table"])
def test_gaussian_factors_are_a_gaussian_mixture(kind):
    """Three ways to write a Gaussian; classes out of order; a table to its spline."""
    make = {
        "interval": gauss,
        "well": lambda m, v: factors.quartic(m, v, np.inf),
        "table": lambda m, v: factors.tabulated(
            m + v**0.5 * WIDE, -(WIDE**2) / 2 + 3.0
        ),
    }[kind]
    rows = [
        [make(m, v) for m, v in zip(*row, strict=True)]
        for row in zip(MEANS, VARIANCES, strict=True)
    ]
    tolerance = 1e-8 if kind == "table" else 1e-11
    law = ProductMixture(rows, WEIGHTS, labels=[1, 0, 1])
    exact = GaussianMixture.diagonal(MEANS, VARIANCES, WEIGHTS, labels=[1, 0, 1])
    assert (law.dimension, law.num_labels) == (2, 2)
    for alpha, sigma in ((1.0, 1e-3), (0.8, 0.6), (0.3, 20.0)):
        x = jnp.asarray(alpha * MEANS[0] + sigma * np.array([0.4, -1.1]))
        levels = jnp.array(alpha), jnp.array(sigma)
        for found, true in zip(
            everything(law, x, *levels), everything(exact, x, *levels), strict=True
        ):
            size = np.abs(true).max()
            np.testing.assert_allclose(found, true, tolerance, tolerance * size)


@pytest.mark.slow
@pytest.mark.parametrize("name", some([*FAMILIES, "table"], ["Laplace"]))
def test_draws_are_quantiles(name):
    """x0 = F^-1(Phi(z)) of the posterior, both tails, by the brute-force cdf."""
    factor, density = BUMPY if name == "table" else FAMILIES[name]
    law = ProductMixture([factor])
    draw = eqx.filter_jit(
        lambda law, z, x, a, s: law.posterior_draw(jr.key(0), z[None], x, a, s)
    )
    for alpha, sigma in ((1.0, 0.05), (0.6, 1.0), (0.5, 100.0)):
        x = alpha * density.centre + 0.7 * sigma
        for z in (-4.0, -1.0, 0.0, 0.3, 5.0):
            levels = jnp.array(alpha), jnp.array(sigma)
            u = float(draw(law, jnp.array([z]), jnp.array([x]), *levels)[0])
            assert density.low <= u <= density.high
            found = share_below(density, x, alpha, sigma, u)
            assert abs(found - scipy.stats.norm.cdf(z)) <= 1e-11


@pytest.mark.slow
def test_draws_are_differentiable():
    """In z, x and the parameters, by finite differences."""

    def at(values):
        z, x, low, mean, scale = values
        rows = [
            [factors.truncated_gaussian(low, jnp.inf, mean, 0.7)],
            [factors.logistic(mean, scale)],
        ]
        law = ProductMixture(rows)
        keys = jr.split(jr.key(1), 20)
        draw = lambda k: law.posterior_draw(k, z[None, None], x[None], 0.8, 0.6)
        return jnp.mean(jax.vmap(draw)(keys))

    values = jnp.array([0.7, 0.4, -0.2, 0.3, 0.5])
    gradient, value = jax.jit(jax.grad(at))(values), jax.jit(at)
    steps = 1e-5 * jnp.eye(5)
    # The choice of the component is held fixed by its key, but for the last bits.
    slopes = [(value(values + h) - value(values - h)) / 2e-5 for h in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-8)


@eqx.filter_jit
def observe(values, x, alpha, sigma):
    low, width, mean, variance, scale, well, weight = values
    inside = factors.truncated_gaussian(low, low + width, mean, variance)
    rows = [
        [inside, factors.laplace(mean, scale)],
        [factors.logistic(-mean, scale), factors.quartic(mean, variance, well)],
    ]
    law = ProductMixture(rows, jnp.stack([weight, 1 - weight]))
    labels = law.label_log_posterior(x, alpha, sigma)
    moments = law.moments()
    return law.log_density(x, alpha, sigma) + labels[0] + jnp.sum(moments.covariance())


slopes = eqx.filter_jit(jax.grad(lambda *args: observe(*args)))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("sigma", [0.02, 0.7, 30.0])
def test_gradients_in_the_parameters(sigma):
    """Through the constructors: ends of intervals, kinks and normalisers too."""
    values = jnp.array([-0.4, 1.3, 0.2, 0.6, 0.5, 1.1, 0.3])
    rest = jnp.array([-0.33, 0.19]), jnp.array(0.8), jnp.array(sigma)
    at = lambda v: observe(v, *rest)
    gradient, step = slopes(values, *rest), 1e-5
    for i, h in enumerate(step * jnp.eye(values.size)):
        slope = (at(values + h) - at(values - h)) / (2 * step)
        assert abs(gradient[i] - slope) <= 1e-6 * (1 + abs(slope)), i


MIXED = ProductMixture(
    [
        [factors.laplace(0.5, 0.4), factors.truncated_gaussian(-1.0, 1.0, 0.4, 2.0)],
        [factors.logistic(-1.0, 0.3), factors.laplace(0.2, 0.2)],
        [factors.truncated_gaussian(0.0, 0.5, 0.0, 1.0), BUMPY[0]],
    ],
    [0.3, 0.3, 0.4],
    labels=[0, 1, 0],
)


@pytest.mark.slow
@pytest.mark.long
def test_limit_at_zero_noise():
    """The clean density at x / alpha, its posteriors, no spread."""
    x, alpha = np.array([0.3, 0.35]), 0.7
    logs = np.log(
        [
            0.3
            * scipy.stats.laplace.pdf(x[0] / alpha, 0.5, 0.4)
            * scipy.stats.truncnorm.pdf(
                x[1] / alpha, -1.4 / 2**0.5, 0.6 / 2**0.5, 0.4, 2**0.5
            ),
            0.3
            * scipy.stats.logistic.pdf(x[0] / alpha, -1.0, 0.3)
            * scipy.stats.laplace.pdf(x[1] / alpha, 0.2, 0.2),
            0.4
            * scipy.stats.truncnorm.pdf(x[0] / alpha, 0, 0.5)
            * np.exp(SPLINE(x[1] / alpha) - np.log(mass_of_table())),
        ]
    )
    each = logs - np.logaddexp.reduce(logs)
    for sigma in (0.0, 1e-9):
        # A concrete zero is refused a score; one that is traced has its limit.
        found = everything(MIXED, jnp.asarray(x), jnp.array(alpha), jnp.array(sigma))
        exact = np.logaddexp.reduce(logs) - 2 * np.log(alpha)
        np.testing.assert_allclose(found[0], exact, rtol=1e-11)
        np.testing.assert_allclose(found[1], x / alpha)
        spread = sigma**2 / alpha**2 * np.eye(2)
        np.testing.assert_allclose(found[3], spread, 1e-6, 1e-30)
        assert np.all(np.isfinite(found[2]))
        np.testing.assert_allclose(found[9], 2 / alpha**2, rtol=1e-6)
        labels = [np.logaddexp(each[0], each[2]), each[1]]
        np.testing.assert_allclose(found[10], labels, rtol=1e-10)
    # Outside of every interval the nearer end wins.
    ends = ProductMixture(
        [factors.truncated_gaussian(a, a + 1, a, 1.0) for a in (0.0, 3.0)]
    )
    labels = ends.label_log_posterior(jnp.array([2.1]), 1.0, 0.0)
    np.testing.assert_array_equal(jnp.exp(labels), [0, 1])


def mass_of_table():
    fine = np.linspace(-3, 4, 20001)
    return scipy.integrate.simpson(np.exp(SPLINE(fine)), x=fine)


@pytest.mark.slow
@pytest.mark.long
def test_clean_draws_follow_the_law():
    """20,000 draws, seed 5: Kolmogorov-Smirnov at p = 1e-4, labels at z < 4.5."""
    sample = eqx.filter_jit(
        lambda law, keys: (jax.vmap(law.sample_labelled)(keys), law.moments())
    )
    (draws, labels), moments = sample(MIXED, jr.split(jr.key(5), 20_000))
    draws, labels = np.asarray(draws), np.asarray(labels)
    assert abs(labels.mean() - 0.3) < 4.5 * np.sqrt(0.21 / labels.size)
    first = draws[labels == 1]
    assert scipy.stats.kstest(first[:, 0], "logistic", (-1.0, 0.3)).pvalue > 1e-4
    assert scipy.stats.kstest(first[:, 1], "laplace", (0.2, 0.2)).pvalue > 1e-4
    centred = draws - np.asarray(moments.mean)
    products = centred[:, :, None] * centred[:, None]
    error = np.abs(products.mean(axis=0) - moments.covariance())
    assert np.all(error < 4.5 * products.std(axis=0) / np.sqrt(len(draws)))


@pytest.mark.slow
def test_moments_of_families():
    cut = scipy.stats.truncnorm.var(-1.3 / 2**0.5, 1.3 / 2**0.5, 0, 2**0.5)
    for factor, variance in (
        (factors.laplace(0.3, 0.7), 2 * 0.7**2),
        (factors.logistic(0.3, 0.7), (np.pi * 0.7) ** 2 / 3),
        (factors.truncated_gaussian(-1.0, 1.6, 0.3, 2.0), cut),
    ):
        moments = eqx.filter_jit(lambda law: law.moments())(ProductMixture([factor]))
        np.testing.assert_allclose(moments.mean, 0.3, rtol=1e-12)
        np.testing.assert_allclose(moments.covariance(), variance, rtol=1e-11)


E8 = {
    0.3: (0.9925867025, 0.0056590032, 0.0267345395),
    0.5: (0.9578457820, 0.0317637963, 0.1254703641),
    1.0: (0.7479732252, 0.1812549091, 0.5186866503),
    2.0: (0.3167239051, 0.4278640680, 0.9201380669),
}
WELLS = ProductMixture([factors.quartic(m, 1.0, 1.0) for m in (3.0, -3.0)])
Y = np.linspace(-6, 6, 600)


def tabulated_wells():
    table = [factors.tabulated(Y + m, -(Y**2) / 2 - Y**4 / 4 + 7) for m in (3.0, -3.0)]
    return ProductMixture([[f] for f in table])


@eqx.filter_jit
def on_grid(law, xs, alpha, sigma):
    both = lambda x: (
        law.label_log_posterior(x[None], alpha, sigma)
        + law.log_density(x[None], alpha, sigma)
    )
    return jax.vmap(both)(xs)


def distances(law, t):
    """TV, flip and Bhattacharyya coefficient of equal weights, Simpson by hand."""
    # Split where the two densities are equal, by symmetry at zero.
    xs = np.linspace(0, 12, 2401)
    joint = on_grid(
        law, jnp.asarray(np.stack([xs, -xs]).ravel()), *map(jnp.array, ou(t))
    )
    joint = np.asarray(joint).reshape(2, xs.size, 2)
    rule = lambda f: scipy.integrate.simpson(f.sum(axis=0), x=xs)
    p = np.exp(joint)
    flip = 2 * p.prod(axis=2) / p.sum(axis=2)
    variation = np.abs(p[..., 0] - p[..., 1])
    return np.array([rule(f) for f in (variation, flip, 2 * np.sqrt(p.prod(axis=2)))])


@pytest.mark.slow
@pytest.mark.parametrize("t", some(E8, [1.0]))
def test_quartic_components(t):
    """The table E8 of windows.md to 1e-8, its normaliser and variance to 1e-11."""
    np.testing.assert_allclose(distances(WELLS, t), E8[t], rtol=0, atol=1e-8)
    factor = factors.quartic(3.0, 1.0, 1.0)
    log_mass, moments = eqx.filter_jit(
        lambda f: (f.log_normaliser(), ProductMixture([f]).moments().covariance())
    )(factor)
    np.testing.assert_allclose(np.exp(log_mass), 1.935247818497, rtol=6e-13)
    np.testing.assert_allclose(moments, 0.467919916974, rtol=2e-12)


@pytest.mark.slow
@pytest.mark.long
def test_quartic_components_from_a_table():
    """600 places in [-6, 6]: the spline errs by 1e-9 and less where it matters."""
    law = tabulated_wells()
    for t in (0.3, 1.0):
        np.testing.assert_allclose(distances(law, t), E8[t], rtol=0, atol=1e-8)


@pytest.mark.slow
def test_error_of_a_table_falls_by_the_fourth_power():
    """Of the normaliser of a logistic density on [-6, 6]; slope of a regression."""
    counts = np.array([25, 49, 97, 193])
    found = []
    for count in counts:
        y = np.linspace(-6, 6, count)
        law = factors.tabulated(y, -2 * logcosh(y / 2))
        found.append(eqx.filter_jit(lambda f: f.log_normaliser())(law))
    # The table's largest value stands for one.
    whole = np.log(4 * np.tanh(3))
    errors = np.abs(np.array(found) - whole)
    slope = np.polyfit(np.log(counts - 1), np.log(errors), 1)[0]
    assert abs(slope + 4) < 0.1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("t", [0.3, 1.0])
def test_quadrature_of_windows_takes_the_law(t):
    """By the windows' own quadrature, also with ends, kinks and heavy tails."""
    levels = tuple(map(jnp.array, ou(t)))
    variation = windows.total_variation(WELLS, 0, 1, *levels)
    np.testing.assert_allclose(variation, E8[t][0], rtol=0, atol=6e-11)
    places = windows.expectation(WELLS, *levels)
    r = np.exp(places.log_posterior)
    np.testing.assert_allclose(2 * places.weight @ r.prod(axis=1), E8[t][1], atol=6e-11)
    mixed = ProductMixture(
        [
            factors.truncated_gaussian(0.0, 1.0, 0.2, 0.3),
            factors.laplace(-0.5, 0.3),
            factors.logistic(1.0, 0.4),
        ],
        [0.2, 0.5, 0.3],
    )
    for alpha, sigma in (levels, (jnp.array(1.0), jnp.array(0.01))):
        places = windows.expectation(mixed, alpha, sigma)
        np.testing.assert_allclose(places.weight.sum(), 1, rtol=1e-12)
        means = places.weight @ np.exp(places.log_posterior)
        np.testing.assert_allclose(means, [0.2, 0.5, 0.3], rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: factors.truncated_gaussian(1.0, 1.0, 0.0, 1.0), "low < high"),
        (lambda: factors.truncated_gaussian(np.nan, 1.0, 0.0, 1.0), "`low`"),
        (lambda: factors.truncated_gaussian(0.0, 1.0, 0.0, 0.0), "`variance`"),
        (lambda: factors.laplace(np.inf, 1.0), "`mean`"),
        (lambda: factors.laplace(0.0, -1.0), "`scale`"),
        (lambda: factors.logistic(0.0, np.nan), "`scale`"),
        (lambda: factors.quartic(0.0, np.inf, np.inf), "one must be finite"),
        (lambda: factors.quartic(0.0, 1.0, 0.0), "`quartic`"),
        (lambda: factors.tabulated([0, 1, 2], [0, 1, 2]), "n at least 4"),
        (lambda: factors.tabulated([0, 1, 1, 2], np.zeros(4)), "increase strictly"),
        (lambda: factors.tabulated(np.arange(4), [0, -np.inf, 0, 0]), "`log_density`"),
        (lambda: factors.tabulated(np.arange(4), [0, 11, 12, 13]), "add places"),
        (lambda: ProductMixture([]), "`factors` has 0 rows"),
        (lambda: ProductMixture([[gauss(0.0, 1.0)], []]), "`factors` has 2 rows"),
        (lambda: ProductMixture([gauss(0.0, 1.0)], [0.5, 0.5]), "`weights`"),
        (lambda: MIXED.quadrature_cuts(1.0, 0.5), "2 dimensions"),
        (lambda: MIXED.score(jnp.zeros(2), 1.0, 0.0), "`sigma` is 0"),
        (lambda: MIXED.denoise(jnp.zeros(1), 1.0, 0.5), "takes one point"),
    ],
)
def test_bad_input(build, message):
    with pytest.raises(ValueError, match=message):
        build()
