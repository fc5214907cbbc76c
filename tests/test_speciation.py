"""Speciation: closed forms against scipy, measured curves against closed forms."""

from decimal import Decimal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some
from scipy.integrate import quad
from scipy.special import logsumexp

from jaxwin.analysis import speciation
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import Empirical, GaussianMixture, reduce

OU = OrnsteinUhlenbeck()
SOFT_LABELS = Gaussian()
RNG = np.random.default_rng(20260101)

agreement = jax.jit(speciation.agreement)
disagreement = jax.jit(speciation.disagreement)
information = jax.jit(speciation.class_information)
separation_at = jax.jit(speciation.separation_at)
predicted = eqx.filter_jit(speciation.times)


def rounding(printed: str) -> float:
    """0.6 of the last printed digit."""
    return 0.6 * 10.0 ** int(Decimal(printed).as_tuple().exponent)


def assert_printed(value, printed: str):
    assert abs(float(value) - float(printed)) <= rounding(printed), (value, printed)


# Second computation, from the definitions: x ~ w N(r, 1) + (1 - w) N(-r, 1).


def log_densities(x: float, r: float, w: float) -> np.ndarray:
    norm = 0.5 * np.log(2 * np.pi)
    first, second = -0.5 * (x - r) ** 2 - norm, -0.5 * (x + r) ** 2 - norm
    return np.array([np.log(w) + first, np.log1p(-w) + second])


def integral(f, r: float, w: float) -> float:
    middle = -0.5 * np.log(w / (1 - w)) / max(r, 0.1)
    ends = -r - 14.0, r + 14.0
    points = [p for p in (-r, r, middle, 0.0) if ends[0] < p < ends[1]]
    return quad(f, *ends, points=points, epsabs=0, epsrel=1e-13, limit=400)[0]


def reference_disagreement(r: float, w: float = 0.5) -> float:
    def f(x):
        logs = log_densities(x, r, w)
        return 2 * np.exp(logs.sum() - np.logaddexp(*logs))

    return integral(f, r, w)


def reference_information(r: float, w: float) -> float:
    """Entropy of the mixture minus that of one component."""

    def f(x):
        total = np.logaddexp(*log_densities(x, r, w))
        return -np.exp(total) * total

    return integral(f, r, w) - 0.5 * np.log(2 * np.pi * np.e)


# 5.6: two equal classes


@pytest.mark.parametrize(
    ("r", "phi"),
    [
        (0.1, "0.5049508123920826"),
        (0.5, "0.6020271328167502"),
        (1.0, "0.7752002453966636"),
        (2.0, "0.9657012956046306"),
    ],
)
def test_agreement_at_reference_points(r, phi):
    assert abs(float(agreement(r)) - float(phi)) < 4e-16


@pytest.mark.parametrize(
    ("r", "rest"), [(4.0, "4.910934e-5"), (5.0, "4.464100e-7"), (6.0, "1.540273e-9")]
)
def test_disagreement_keeps_relative_precision(r, rest):
    assert_printed(disagreement(r), rest)
    reference = reference_disagreement(r)
    np.testing.assert_allclose(disagreement(r), reference, rtol=1e-11)


def test_disagreement_keeps_relative_precision_far_out():
    # sqrt(pi / 8) e^{-r^2 / 2} / r (1 - pi^2 / (8 r^2) + ...), next term 5 pi^4/128 r^4
    for r in (20.0, 35.0):
        leading = np.sqrt(np.pi / 8) * np.exp(-(r**2) / 2) / r
        series = 1 - np.pi**2 / (8 * r**2) + 5 * np.pi**4 / (128 * r**4)
        np.testing.assert_allclose(disagreement(r), leading * series, rtol=61 / r**6)
    assert float(agreement(100.0)) == 1.0


def test_agreement_with_no_separation_is_chance():
    assert abs(float(agreement(0.0)) - 0.5) < 1e-15
    assert abs(float(agreement(0.0, 0.8)) - 0.68) < 1e-15
    assert abs(float(information(0.0, 0.3))) < 1e-15
    small = 1e-3
    series = small**2 / 2 - small**4 / 2
    assert abs(float(agreement(small)) - 0.5 - series) < 4e-16 + 2 * small**6


@pytest.mark.parametrize(
    ("phi", "r"),
    [
        (0.75, "0.922412292640"),
        (0.775, "0.999367564588"),
        (0.9, "1.492610509106"),
    ],
)
def test_inverse_of_agreement(phi, r):
    assert_printed(separation_at(phi), r)


@pytest.mark.parametrize("phi", [0.5 + 1e-7, 0.6, 0.999, 1 - 1e-12])
def test_inverse_of_agreement_there_and_back(phi):
    rest = 1 - phi
    assert abs(float(disagreement(separation_at(phi))) - rest) < 1e-12 * rest


def phi_at(t: float, mu: float, sigma: float, d: int):
    distance, width = 2 * mu * np.sqrt(d), OU.sigma(t)
    r = speciation.separation(distance, sigma**2, OU.alpha(t), width)
    return agreement(r)


# Rows t, columns d = 256, 1024, 4096, 16384; mu = sigma = 1.
PHI = {
    2.0: ["0.9770064408", "0.9999884578", "1.0", "1.0"],
    2.5: ["0.8621141569", "0.9934072760", "0.9999998837", "1.0"],
    3.0: ["0.7068516879", "0.9175756172", "0.9988901137", "0.9999999999"],
    4.0: ["0.5396877052", "0.6318676590", "0.8261418909", "0.9855046746"],
    5.0: ["0.5057449214", "0.5222391100", "0.5794214427", "0.7297398159"],
}


@pytest.mark.parametrize("t", PHI)
def test_agreement_along_the_clock(t):
    for d, printed in zip((256, 1024, 4096, 16384), PHI[t], strict=True):
        digits = printed if printed != "1.0" else "1.0000000000"
        assert_printed(phi_at(t, 1.0, 1.0, d), digits)


@pytest.mark.parametrize(
    ("t", "sigma", "printed"),
    [
        (2.0, 0.5, "0.9778547033"),
        (2.5, 0.5, "0.8628974688"),
        (2.0, 2.0, "0.9735235917"),
        (2.5, 2.0, "0.8590099951"),
    ],
)
def test_agreement_along_the_clock_other_widths(t, sigma, printed):
    assert_printed(phi_at(t, 1.0, sigma, 256), printed)


@pytest.mark.parametrize(
    ("mu", "sigma", "d"), [(1.0, 0.5, 256), (0.3, 2.0, 1000), (2.5, 0.0, 7)]
)
def test_agreement_at_the_curvature_time(mu, sigma, d):
    t = 0.5 * np.log(d * mu**2 + 1 - sigma**2)
    assert_printed(phi_at(t, mu, sigma, d), "0.775200245397")


@pytest.mark.parametrize(
    ("late", "phi"),
    [
        (-1.0, "0.994974479869"),
        (-0.5, "0.926214878534"),
        (-0.25, "0.855085157475"),
        (0.25, "0.700579724855"),
        (0.5, "0.639104282321"),
        (1.0, "0.560070356141"),
        (2.0, "0.508994978943"),
    ],
)
def test_agreement_is_universal_about_the_speciation_time(late, phi):
    for d in (16, 5000):
        assert_printed(phi_at(0.5 * np.log(d) + late, 1.0, 1.0, d), phi)


# 5.7: unequal weights


@pytest.mark.parametrize(
    ("w", "row"),
    [
        (0.8, ["0.7295319216", "0.8368253960", "0.9736647534", "0.9983752073"]),
        (0.6, ["0.6156192869", "0.7815806058", "0.9665121998", "0.9979701664"]),
    ],
)
def test_agreement_of_unequal_weights(w, row):
    for r, printed in zip((0.5, 1.0, 2.0, 3.0), row, strict=True):
        assert_printed(agreement(r, w), printed)
        assert_printed(agreement(r, 1 - w), printed)
    assert abs(float(agreement(1e-9, w)) - (w**2 + (1 - w) ** 2)) < 1e-15


POINTS = [
    (float(r), float(w))
    for r, w in zip(
        np.append(RNG.uniform(0.05, 6, 10), [1.0, 0.999999]),
        np.append(RNG.uniform(0.01, 0.99, 10), [0.37, 1e-6]),
        strict=True,
    )
]


@pytest.mark.parametrize(("r", "w"), POINTS)
def test_closed_forms_against_a_second_computation(r, w):
    reference = reference_disagreement(r, w)
    assert abs(float(disagreement(r, w)) - reference) < 1e-10 * reference
    assert abs(float(agreement(r, w)) - (1 - reference)) < 1e-12
    assert abs(float(information(r, w)) - reference_information(r, w)) < 1e-10


@pytest.mark.parametrize("w", [0.5, 0.13])
@pytest.mark.parametrize("r", [0.3, 1.0, 1.7, 4.2])
def test_gradients_of_closed_forms(r, w):
    h = 1e-5
    for f in (agreement, information):
        along_r, along_w = jax.grad(f, (0, 1))(r, w)
        slope = (float(f(r + h, w)) - float(f(r - h, w))) / (2 * h)
        assert abs(float(along_r) - slope) < 1e-8
        slope = (float(f(r, w + h)) - float(f(r, w - h))) / (2 * h)
        assert abs(float(along_w) - slope) < 1e-8


def test_gradient_of_the_inverse():
    for phi in (0.6, 0.775, 0.99):
        slope = jax.grad(agreement)(separation_at(phi))
        np.testing.assert_allclose(jax.grad(separation_at)(phi), 1 / slope, rtol=1e-9)


# 5.11: class information


@pytest.mark.parametrize(
    ("r", "nats"),
    [
        (0.25, "0.0303113005"),
        (0.5, "0.1114214822"),
        (1.0, "0.3368308203"),
        (2.0, "0.6327201937"),
        (3.0, "0.6892979330"),
    ],
)
def test_class_information_at_reference_points(r, nats):
    assert_printed(information(r), nats)


def test_class_information_saturates_at_the_entropy():
    assert abs(float(information(9.0)) - np.log(2)) < 1e-14
    entropy = -0.2 * np.log(0.2) - 0.8 * np.log(0.8)
    assert abs(float(information(12.0, 0.2)) - entropy) < 1e-14


@pytest.mark.parametrize(("r", "w"), [*POINTS[:4], (1.0, 0.5), (0.4, 0.5)])
def test_information_gains_the_disagreement(r, w):
    # I-MMSE: dI / d(r^2) = E[2 p (1 - p)] = 1 - phi.
    slope = jax.grad(information)(r, w) / (2 * r)
    assert abs(float(slope) - float(disagreement(r, w))) < 1e-12


def test_disagreement_integrates_to_the_information():
    nodes, weights = np.polynomial.legendre.leggauss(80)

    def up_to(end: float) -> float:
        r = end * (nodes + 1) / 2
        rest = np.array([float(disagreement(x)) for x in r])
        return float(end / 2 * weights @ (2 * r * rest))

    assert abs(up_to(1.0) - 0.3368308203) < 1e-10
    assert abs(up_to(12.0) - np.log(2)) < 1e-12


# 5.8: predicted times

TIMES = [
    (0.5, 1.0, 256, "2.079442 2.087194 2.094827 2.079442 2.426015"),
    (0.5, 2.0, 256, "2.079442 2.109754 2.117053 2.055437 2.426015"),
    (1.0, 0.5, 256, "2.772589 2.773077 2.775024 2.774051 3.119162"),
    (1.0, 1.0, 256, "2.772589 2.774538 2.776480 2.772589 3.119162"),
    (1.0, 2.0, 256, "2.772589 2.780341 2.782260 2.766695 3.119162"),
    (1.0, 1.0, 1024, "3.465736 3.466224 3.466712 3.465736 3.812309"),
    (1.0, 1.0, 4096, "4.158883 4.159005 4.159127 4.158883 4.505457"),
    (1.0, 1.0, 16384, "4.852030 4.852061 4.852091 4.852030 5.198604"),
]
NAMES = ("mean", "spectrum", "spectrum_plus_one", "curvature", "potential")


def two_clusters(mu: float, sigma: float, d: int, weights=None) -> GaussianMixture:
    mean = mu * np.ones((1, d))
    means = np.concatenate([mean, -mean])
    return GaussianMixture.isotropic(means, sigma**2, weights)


@pytest.mark.parametrize(("mu", "sigma", "d", "row"), TIMES)
def test_predicted_times(mu, sigma, d, row):
    times = predicted(two_clusters(mu, sigma, d))
    for name, printed in zip(NAMES, row.split(), strict=True):
        assert bool(getattr(times, name).found)
        assert_printed(getattr(times, name).time, printed)
        assert float(getattr(times, name).stderr) == 0
    assert abs(float(times.scale.time) - 0.5 * np.log(d)) < 1e-14
    signal, width = d * mu**2, sigma**2
    arguments = (
        signal,
        signal + width,
        1 + signal + width,
        signal + 1 - width,
        2 * signal,
    )
    for name, argument in zip(NAMES, arguments, strict=True):
        assert abs(float(getattr(times, name).time) - 0.5 * np.log(argument)) < 1e-10


@pytest.mark.parametrize(
    ("top", "time"),
    [
        (7.66, "1.018006"),
        (16.72, "1.408303"),
        (3.05, "0.557571"),
        (12.11, "1.247016"),
        (60.52, "2.051487"),
    ],
)
def test_predicted_times_of_a_covariance(top, time):
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    covariance = rotation @ np.diag([0.2, top, 1.5, 0.0]) @ rotation.T
    times = predicted(jnp.asarray((covariance + covariance.T) / 2))
    assert_printed(times.spectrum.time, time)
    assert abs(float(times.spectrum_plus_one.time) - 0.5 * np.log1p(top)) < 1e-12
    for name in ("mean", "curvature", "potential"):
        assert not bool(getattr(times, name).found)
    assert float(times.between_class_eigenvalue) == 0


@pytest.mark.parametrize("top", [1e-30, 1e-9, 1e30])
def test_plus_one_convention_at_any_scale(top):
    found = speciation.times(top * jnp.eye(2)).spectrum_plus_one
    assert float(found.time) == pytest.approx(0.5 * np.log1p(top), rel=1e-13)


def test_times_that_do_not_exist_are_answers():
    times = predicted(jnp.diag(jnp.array([0.5, 0.25])))
    assert not bool(times.spectrum.found)
    assert str(times.spectrum) == "not reached in [0, inf]"
    none = {"value": None, "stderr": None, "low": 0.0, "high": None, "found": False}
    assert times.spectrum.to_json() == none
    assert abs(float(times.spectrum_plus_one.time) - 0.5 * np.log(1.5)) < 1e-14
    one_class = GaussianMixture.isotropic(
        np.array([[3.0], [-3.0]]), 1.0, labels=np.array([0, 0])
    )
    times = predicted(one_class)
    assert not bool(times.mean.found)
    assert abs(float(times.spectrum.time) - 0.5 * np.log(10)) < 1e-14
    # Classes wider than one, closer than that: no change of curvature.
    wide = predicted(two_clusters(0.5, 3.0, 4))
    assert not bool(wide.curvature.found)
    assert bool(wide.potential.found)


def test_gradient_of_predicted_times():
    covariance = jnp.array([[2.0, 0.3], [0.3, 1.0]])
    f = lambda c: predicted(c).spectrum_plus_one.time
    slope = jax.grad(f)(covariance)
    top, vector = np.linalg.eigh(covariance)
    outer = np.outer(vector[:, -1], vector[:, -1])
    np.testing.assert_allclose(slope, outer / (2 * (1 + top[-1])), atol=1e-12)
    # Where there is none the gradient is zero, not NaN.
    low = jax.grad(lambda c: jnp.nan_to_num(predicted(c).spectrum.time))
    assert np.all(np.isfinite(low(0.1 * covariance)))


def labelled_data(
    n: int, d: int, classes: int, apart: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + d)
    labels = rng.choice(classes, size=n, p=np.arange(1, classes + 1) / 6)
    centres = apart * rng.normal(size=(classes, d))
    return centres[labels] + rng.normal(size=(n, d)) * np.linspace(1, 2, d), labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "d"), [(9, 20), pytest.param(60, 5, marks=pytest.mark.slow)]
)
def test_spectrum_and_times_of_data(n, d):
    points, labels = labelled_data(n, d, 3)
    law = Empirical(points, labels, bandwidth=0.3)
    values, vectors = np.linalg.eigh(np.cov(points, rowvar=False))
    found = speciation.spectrum(law, 4)
    np.testing.assert_allclose(found.eigenvalues, values[::-1][:4] + 0.09, rtol=1e-12)
    overlap = np.abs(np.sum(np.asarray(found.directions) * vectors[:, ::-1][:, :4], 0))
    np.testing.assert_allclose(overlap, 1, atol=1e-9)
    along = (points - points.mean(0)) @ vectors[:, -1]
    np.testing.assert_allclose(found.stderr, np.std(along**2) / np.sqrt(n), rtol=1e-9)

    # Between and within classes: dividing by n.
    weights = np.bincount(labels) / n
    means = np.stack([points[labels == c].mean(0) for c in range(3)])
    apart = means - points.mean(0)
    between = np.einsum("c,ci,cj->ij", weights, apart, apart)
    size, direction = (part[..., -1] for part in np.linalg.eigh(between))
    residual = (points - means[labels]) @ direction
    width = np.mean(residual**2) + 0.09
    times = predicted(law)
    expected = {
        "scale": d,
        "mean": size,
        "spectrum": values[-1] + 0.09,
        "spectrum_plus_one": 1 + values[-1] + 0.09,
        "curvature": size + 1 - width,
        "potential": 2 * size,
    }
    for name, argument in expected.items():
        time = float(getattr(times, name).time)
        assert abs(time - 0.5 * np.log(argument)) < 1e-11, name
    np.testing.assert_allclose(times.top_eigenvalue, values[-1] + 0.09, rtol=1e-12)
    np.testing.assert_allclose(times.between_class_eigenvalue, size, rtol=1e-12)

    cos_sq = speciation.class_overlap(law, found.directions)
    difference = means[:, None] - means[None]
    square = np.sum(difference**2, -1)[..., None]
    reference = (difference @ vectors[:, ::-1][:, :4]) ** 2
    reference = np.divide(reference, square, out=0 * reference, where=square > 0)
    np.testing.assert_allclose(cos_sq, reference, atol=1e-9)


@pytest.mark.slow
def test_more_eigenvalues_than_directions_are_not_invented():
    points, _ = labelled_data(9, 20, 3)
    values = np.linalg.eigvalsh(np.cov(points, rowvar=False))[::-1]
    found = speciation.spectrum(Empirical(points), 30).eigenvalues
    np.testing.assert_allclose(found, np.clip(values, 0, None), atol=1e-12)
    assert found.shape == (20,)
    exact = speciation.spectrum(two_clusters(1.0, 0.5, 6), 30)
    np.testing.assert_allclose(exact.eigenvalues, [6.25, *5 * [0.25]], rtol=1e-12)
    assert float(exact.stderr) == 0


@pytest.mark.slow
def test_standard_errors_are_those_of_fresh_data():
    # 300 data sets; the ratio of standard errors is then known to 4 %.
    n, sets = 500, 300
    centre = np.array([[3.0, 1.0, 0.0], [-2.0, 0.6, 0.8]])
    rng = np.random.default_rng(3)
    fresh = rng.choice(2, p=[0.3, 0.7], size=(sets, n))
    found = []
    for labels in fresh:
        points = centre[labels] + rng.normal(size=(n, 3)) * [1.0, 0.7, 0.5]
        times = predicted(Empirical(points, labels))
        names = ("spectrum", "spectrum_plus_one", "mean", "curvature", "potential")
        found.append(
            [[getattr(times, k).time for k in names]]
            + [[getattr(times, k).stderr for k in names]]
        )
    times, errors = np.moveaxis(np.array(found, float), 1, 0)
    ratio = errors.mean(0) / times.std(0, ddof=1)
    assert np.all(np.abs(ratio - 1) < 0.16), ratio


# Invariances


def test_times_under_relabelling_translation_and_rotation():
    points, labels = labelled_data(80, 4, 3)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    order = np.random.default_rng(1).permutation(80)
    renamed = np.array([2, 0, 1])[labels]
    base = jax.tree.leaves(predicted(Empirical(points, labels)))
    for law in (
        Empirical(points, renamed),
        Empirical(points[order], labels[order]),
        Empirical(points + 30.0, labels),
        Empirical(points @ rotation, labels),
    ):
        moved = jax.tree.leaves(predicted(law))
        np.testing.assert_allclose(moved, base, rtol=1e-9)


# Measured curves

NOISES = np.linspace(0.4, 3.6, 17)


def z_scores(curve, reference) -> np.ndarray:
    return (curve.phi - reference) / curve.stderr


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.5, 0.8])
def test_measured_agreement_of_two_modes(weight):
    # Seed 1, 16384 replicas, 17 noises.
    mixture = two_clusters(1.0, 0.7, 64, np.array([weight, 1 - weight]))
    reduction = reduce(mixture)
    assert reduction is not None
    assert reduction.target.dimension == 1
    observed = Observed(reduction.target, SOFT_LABELS)
    curve = speciation.clone_agreement(
        observed, NOISES, pairs="all", num_replicas=16384, key=jr.key(1)
    )
    r = [
        float(speciation.separation(16.0, 0.49, OU.alpha(t), OU.sigma(t)))
        for t in NOISES
    ]
    phi = np.array([float(agreement(x, weight)) for x in r])
    equal = np.array([float(agreement(x)) for x in r])
    # Where 1 - phi is a rare event errors are not Gaussian.
    common = phi < 0.995
    assert common.sum() >= 12
    assert np.all(np.abs(z_scores(curve, phi))[common] < 4)
    assert np.all(np.abs(curve.phi - phi) < 1e-3 + 4 * curve.stderr)
    assert curve.pairs is not None
    pair = curve.pairs
    np.testing.assert_array_equal(pair.pair, [[0, 1]])
    assert np.all((np.abs(pair.phi[0] - equal) / pair.stderr[0])[common] < 4)
    assert np.all(pair.stderr[0][3:] > 0)
    assert abs(curve.chance - (weight**2 + (1 - weight) ** 2)) < 1e-14
    assert curve.count == 16384
    # phi = 0.775 at r = 0.999367564588, whatever the weights of the classes.
    level_r = 0.999367564588**2
    time = 0.5 * np.log(64 / level_r + 1 - 0.49)
    crossing = float(pair.crossing.time[0])
    assert abs(crossing - time) < 4 * float(pair.crossing.stderr[0])
    assert 1e-3 < float(pair.crossing.stderr[0]) < 0.02
    if weight == 0.5:
        assert abs(float(curve.crossing.time) - time) < 4 * float(curve.crossing.stderr)
        # One law, two classes: the same draws, but for how often each class came.
        assert np.all(np.abs(pair.phi[0] - curve.phi) < 0.1 * curve.stderr + 1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_pair_errors_do_not_count_the_classes():
    # How often a class is drawn fluctuates from run to run; it must not move phi.
    mixture = GaussianMixture.isotropic(
        np.array([[2.0], [-2.0]]), 1.0, np.array([0.9, 0.1])
    )
    observed = Observed(mixture, SOFT_LABELS)
    found = [
        speciation.clone_agreement(
            observed, NOISES[:6], pairs="all", num_replicas=512, key=jr.key(seed)
        )
        for seed in range(100)
    ]
    phi = np.array([c.pairs.phi[0] for c in found if c.pairs is not None])
    assert np.all((phi > 0.5) & (phi <= 1 + 1e-12))
    stderr = np.array([c.pairs.stderr[0] for c in found if c.pairs is not None])
    # 100 runs: a standard deviation is known to 7 %.
    assert np.all(np.abs(stderr.mean(0) / phi.std(0, ddof=1) - 1) < 0.3)
    every = np.array([c.stderr for c in found]).mean(0)
    spread = np.array([c.phi for c in found]).std(0, ddof=1)
    assert np.all(np.abs(every / spread - 1) < 0.3)


def simplex_purity(k: int, c: float) -> float:
    """A_11 of windows E6: int_0^inf E[a e^{-sa}] E[e^{-sb}]^{K-1} ds, s = e^u."""
    z, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    u = np.linspace(-(c**2) - 13 * c - 40, 13 * c + 6, 4001)
    a, b = c**2 + c * z[None] + u[:, None], c * z[None] + u[:, None]
    with np.errstate(over="ignore", under="ignore"):
        own = np.exp(a - np.exp(a)) @ weight
        rest = np.exp(-np.exp(b)) @ weight
    return float(np.sum(own * rest ** (k - 1)) * (u[1] - u[0]))


SIMPLEX = {
    3: ".518874200281 .805876026344 .953104874487 .993109906108",
    10: ".209668005860 .553120271172 .857350645760 .974647044241",
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("k", some([2, 3, 10], [2]))
def test_measured_agreement_of_orthogonal_means(k):
    # Means R e_k, unit variance: c = R e^{-t}; seed 2, 16384 replicas.
    exact = [simplex_purity(k, c) for c in (1.0, 2.0, 3.0, 4.0)]
    if k == 2:
        closed = [float(agreement(c / np.sqrt(2))) for c in (1.0, 2.0, 3.0, 4.0)]
        np.testing.assert_allclose(exact, closed, atol=1e-10)
        for value, printed in zip(exact, (0.67506, 0.88449, 0.97436), strict=False):
            assert abs(value - printed) < 2e-4
    else:
        for value, printed in zip(exact, SIMPLEX[k].split(), strict=True):
            assert abs(value - float(printed)) < 1e-10
    radius, d = 8.0, 40
    law = reduce(GaussianMixture.isotropic(radius * np.eye(k, d), 1.0))
    assert law is not None
    assert law.target.dimension == k - 1
    noises = np.log(radius / np.array([4.0, 3.0, 2.0, 1.0]))
    curve = speciation.clone_agreement(
        Observed(law.target, SOFT_LABELS), noises, num_replicas=16384, key=jr.key(2)
    )
    assert np.all(np.abs(z_scores(curve, exact[::-1])) < 4)
    assert np.all(curve.stderr < 4e-3)


@pytest.mark.slow
@pytest.mark.parametrize("fine", some([False, True], [True]))
def test_measured_agreement_of_a_hierarchy(fine):
    # Four clusters +-m_1 +-m_2, orthogonal, d = 4096; seed 3, 16384 replicas.
    d, signs = 4096, np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    large, small = np.ones(d), np.where(np.arange(d) % 2, 0.25, -0.25)
    means = signs @ np.stack([large, small])
    labels = None if fine else np.array([0, 0, 1, 1])
    law = reduce(GaussianMixture.isotropic(means, 1.0, labels=labels))
    assert law is not None
    assert law.target.dimension == 2
    # Coarse, only where 1 - phi is no rare event: there errors are Gaussian.
    first = [2.0, 2.772588722239781] if fine else [3.2, 3.5]
    noises = np.array([*first, 3.8, 4.1588830833596715])
    r = np.exp(-noises)[:, None] * 64 * np.array([1.0, 0.25])
    phi = np.array([[float(agreement(x)) for x in row] for row in r])
    exact = phi.prod(1) if fine else phi[:, 0]
    assert_printed(exact[-1], "0.410448" if fine else "0.775200")
    if fine:
        assert_printed(exact[1], "0.775162")
        assert_printed(exact[0], "0.977006")
    curve = speciation.clone_agreement(
        Observed(law.target, SOFT_LABELS), noises, num_replicas=16384, key=jr.key(3)
    )
    assert np.all(np.abs(z_scores(curve, exact)) < 4)


def brute_purity(points, labels, t: float, count: int, seed: int) -> np.ndarray:
    """phi of a data set by plain numpy: (count,) purities, the own point in."""
    rng = np.random.default_rng(seed)
    own = rng.integers(len(points), size=count)
    alpha, variance = np.exp(-t), -np.expm1(-2 * t)
    x = alpha * points[own] + np.sqrt(variance) * rng.normal(
        size=(count, points.shape[1])
    )
    square = np.sum((x[:, None] - alpha * points[None]) ** 2, -1)
    logit = -square / (2 * variance)
    p = np.exp(logit - logsumexp(logit, axis=1, keepdims=True))
    mass = np.stack([p[:, labels == c].sum(1) for c in np.unique(labels)], 1)
    return np.sum(mass**2, 1)


@pytest.mark.slow
def test_measured_agreement_of_data():
    points, labels = labelled_data(40, 3, 3)
    noises = np.array([0.2, 0.6, 1.2, 2.0])
    law = Empirical(points, labels)
    observed = Observed(law, SOFT_LABELS)
    curve = speciation.clone_agreement(observed, noises, num_replicas=8192)
    for i, t in enumerate(noises):
        purity = brute_purity(points, labels, t, 8192, i)
        error = np.hypot(curve.stderr[i], purity.std() / np.sqrt(8192))
        assert abs(curve.phi[i] - purity.mean()) < 4 * error
    weights = np.bincount(labels) / 40
    assert abs(curve.chance - np.sum(weights**2)) < 1e-14


@pytest.mark.slow
def test_measured_agreement_under_relabelling_translation_and_rotation():
    points, labels = labelled_data(40, 3, 3)
    measure = lambda points, labels, **options: speciation.clone_agreement(
        Observed(Empirical(points, labels), SOFT_LABELS),
        NOISES,
        num_replicas=1024,
        pairs="all",
        **options,
    )
    base = measure(points, labels)
    assert base.pairs is not None
    np.testing.assert_array_equal(base.pairs.pair, [[0, 1], [0, 2], [1, 2]])
    renamed = measure(points, np.array([2, 0, 1])[labels])
    np.testing.assert_allclose(renamed.phi, base.phi, atol=1e-12)
    # 0 1 2 became 2 0 1: pairs 01 02 12 became 02 12 01.
    assert renamed.pairs is not None
    np.testing.assert_allclose(renamed.pairs.phi[[1, 2, 0]], base.pairs.phi, atol=1e-12)
    moved = measure(points + 100.0, labels)
    np.testing.assert_allclose(moved.phi, base.phi, atol=1e-11)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = measure(points @ rotation, labels, key=jr.key(77))
    error = np.hypot(turned.stderr, base.stderr)
    assert np.all(np.abs(turned.phi - base.phi) < 4 * error)


@pytest.mark.slow
def test_scaled_data_cross_at_equal_signal_to_noise():
    points, labels = labelled_data(40, 3, 3, 5.0)
    scale = 3.0
    map_time = lambda t: 0.5 * np.log1p(scale**2 * np.expm1(2 * t))
    measure = lambda points, noises: speciation.clone_agreement(
        Observed(Empirical(points, labels), SOFT_LABELS),
        noises,
        num_replicas=1024,
        pairs="all",
    )
    base, scaled = measure(points, NOISES), measure(scale * points, map_time(NOISES))
    np.testing.assert_allclose(scaled.phi, base.phi, atol=1e-12)
    assert base.pairs is not None
    assert scaled.pairs is not None
    for a, b in ((base, scaled), (base.pairs, scaled.pairs)):
        for end in ("time", "low", "high"):
            moved, still = getattr(b.crossing, end), getattr(a.crossing, end)
            np.testing.assert_allclose(moved, map_time(still), rtol=1e-8)
    assert np.all(base.pairs.crossing.found)


@pytest.mark.slow
def test_crossings_are_the_same_on_a_grid_that_begins_clean():
    law = GaussianMixture.isotropic(np.array([[2.0], [-2.0]]), 0.5)
    measure = lambda noises: speciation.clone_agreement(
        Observed(law, SOFT_LABELS), noises, num_replicas=512
    )
    with_end = measure(np.append(0.0, NOISES))
    assert with_end.phi[0] > with_end.phi[1]
    np.testing.assert_allclose(
        float(with_end.crossing.time), float(measure(NOISES).crossing.time), rtol=1e-12
    )


@pytest.mark.slow
def test_no_crossing_is_an_answer():
    one = Observed(Empirical(np.eye(3)), SOFT_LABELS)
    curve = speciation.clone_agreement(one, NOISES, num_replicas=64)
    assert not bool(curve.crossing.found)
    np.testing.assert_array_equal(curve.phi, 1)
    assert curve.chance == 1
    assert str(curve.crossing) == "not reached in [0.4, 3.6]"
    close = GaussianMixture.isotropic(np.array([[0.1], [-0.1]]), 1.0)
    found = speciation.clone_agreement(
        Observed(close, SOFT_LABELS), NOISES, pairs="all", num_replicas=64
    )
    assert found.pairs is not None
    assert not bool(found.pairs.crossing.found[0])


@pytest.mark.slow
def test_far_classes_never_meet():
    # At 1e4 apart posteriors are exactly 0 and 1: purity one, not NaN.
    law = GaussianMixture.isotropic(np.array([[1e4], [-1e4], [0.0]]), 1e-6)
    curve = speciation.clone_agreement(
        Observed(law, SOFT_LABELS), NOISES, pairs="all", num_replicas=256
    )
    np.testing.assert_array_equal(curve.phi, 1)
    assert curve.pairs is not None
    assert np.all(np.isfinite(curve.pairs.phi))
    assert not np.any(curve.pairs.crossing.found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": [[0, 2]]}, "`pairs` names labels 0 to 2"),
        ({"pairs": [[-1, 0]]}, "`pairs` names labels -1 to 0"),
        ({"pairs": [[1, 1]]}, "a label with itself"),
        ({"noises": [0.1, 0.2, 0.3]}, "at least 4"),
        ({"noises": [0.1, 0.3, 0.2, 0.4]}, "strictly increasing"),
        ({"noises": [0.1, 0.2, np.nan, 0.4]}, "strictly increasing"),
        ({"num_replicas": 1}, "`num_replicas` is 1"),
    ],
)
def test_bad_arguments_are_named(options, message):
    observed = Observed(two_clusters(1.0, 1.0, 2), SOFT_LABELS)
    arguments = {"noises": NOISES, "num_replicas": 8} | options
    noises = np.array(arguments.pop("noises"))
    if isinstance(arguments.get("pairs"), list):
        arguments["pairs"] = np.array(arguments["pairs"])
    with pytest.raises(ValueError, match=message):
        speciation.clone_agreement(observed, noises, **arguments)


def test_a_list_of_no_pairs_is_no_pairs():
    observed = Observed(two_clusters(1.0, 1.0, 2), SOFT_LABELS)
    found = speciation.clone_agreement(
        observed, NOISES, pairs=np.zeros((0, 2), int), num_replicas=8
    )
    assert found.pairs is None


def test_windows_reference_values():
    # E1: the U-turn flips with probability 1 - phi; half of it at phi = 3/4.
    row = {0.25: "0.470527012230", 1.0: "0.224799754603", 3.0: "0.002075539870"}
    for r, flip in row.items():
        assert_printed(disagreement(r), flip)
    assert abs(float(separation_at(0.75)) - 0.922412292640423) < 1e-13


@pytest.mark.slow
def test_agreement_with_a_rare_class_stays_below_one():
    law = GaussianMixture.isotropic(
        np.array([[2.0], [-2.0]]), 0.1, np.array([0.99, 0.01])
    )
    found = speciation.clone_agreement(
        Observed(law, SOFT_LABELS), NOISES, pairs="all", num_replicas=512
    )
    assert found.pairs is not None
    assert np.all(found.pairs.phi <= 1 + 1e-12)
    assert np.all(found.pairs.phi >= 0.5 - 1e-12)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", ["data", "mixture"])
def test_restricted_laws_are_laws_of_fewer_classes(kind):
    points, labels = RESTRICTED
    keep = labels < 2
    if kind == "data":
        whole, part = Empirical(points, labels), Empirical(points[keep], labels[keep])
    else:
        whole = GaussianMixture.isotropic(points[:3], 0.5)
        part = GaussianMixture.isotropic(points[:2], 0.5)
    law = whole.restrict(jnp.array([True, True, False]))
    for a, b in zip(
        jax.tree.leaves(speciation.times(law)),
        jax.tree.leaves(speciation.times(part)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    overlap = speciation.class_overlap(law, jnp.eye(2))
    expected = speciation.class_overlap(part, jnp.eye(2))
    np.testing.assert_allclose(overlap[:2, :2], expected, atol=1e-12)
    assert np.all(np.asarray(overlap)[2] == 0)
    observed = Observed(law, SOFT_LABELS)
    found = speciation.clone_agreement(observed, NOISES, pairs="all", num_replicas=64)
    assert found.pairs is not None
    np.testing.assert_array_equal(found.pairs.pair, [[0, 1]])
    with pytest.raises(ValueError, match="label 2, which has no weight"):
        speciation.clone_agreement(observed, NOISES, pairs=np.array([[0, 2]]))


RESTRICTED = np.random.default_rng(7).normal(size=(30, 2)), np.arange(30) % 3


@pytest.mark.slow
def test_pair_of_a_class_never_drawn_is_refused():
    rare = GaussianMixture.isotropic(
        np.array([[2.0], [-2.0]]), 1.0, np.array([1 - 1e-6, 1e-6])
    )
    with pytest.raises(ValueError, match="label 1 of `pairs` was never drawn"):
        speciation.clone_agreement(
            Observed(rare, SOFT_LABELS), NOISES[:6], pairs="all", num_replicas=64
        )


def test_curvature_at_a_tiny_scale_keeps_its_digits():
    """B + 1 - uWu rounds to one there: the time is (B - W) / 2 to first order."""
    scale = 1e-8
    law = GaussianMixture.isotropic(scale * np.array([[2.0], [-2.0]]), scale**2)
    found = speciation.times(law).curvature
    assert float(found.time) == pytest.approx(1.5e-16, rel=1e-12)
