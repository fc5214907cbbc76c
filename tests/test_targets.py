"""The battery of the targets: one line in CASES inherits every test of this file.

References are plain numpy: every law here is a mixture of Gaussians (or of point
masses), written down by its eigenvectors and eigenvalues, or of products of symmetric
densities of given means and variances, by brute force.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any
from unittest import mock

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
from line_posteriors import Density, posterior

from jaxwin.targets import (
    AbstractDiscreteLaw,
    AbstractLabelledTarget,
    AbstractTarget,
    CurieWeiss,
    Empirical,
    GaussianMixture,
    HiddenManifold,
    Hypersphere,
    IsingChain,
    OneHot,
    ProductMixture,
    RandomHierarchy,
    Spins,
    _empirical,
    factors,
    orthogonal_patterns,
    simplex,
)

EPS = np.finfo(float).eps
NOISES = [(1.0, 1e-4), (0.95, 1e-2), (0.8, 0.3), (0.6, 1.0), (0.2, 30.0), (0.9, 1e3)]
NEAR = 6  # of the points at each noise level, those that the noised law may produce
DRAWS = 5_000  # a Monte Carlo test: this many draws, z below Z, seeds in the test
Z = 4.5


@dataclass(frozen=True)
class Law:
    """Mixture of N(mean, basis diag(values) basis^T), restricted to labels in mask."""

    weights: np.ndarray
    means: np.ndarray
    basis: np.ndarray
    values: np.ndarray
    labels: np.ndarray
    mask: tuple[bool, ...]
    # Of the densities along the axes where they are not Gaussian, see KINDS.
    kind: str = ""

    @property
    def kept(self) -> np.ndarray:
        weights = np.where(np.array(self.mask)[self.labels], self.weights, 0)
        return weights / weights.sum()

    def dense(self, values: np.ndarray | None = None) -> np.ndarray:
        values = self.values if values is None else values
        return np.einsum("kir,kr,kjr->kij", self.basis, values, self.basis)

    def moved(self, rotation: np.ndarray, shift: np.ndarray) -> "Law":
        means = self.means @ rotation.T + shift
        return replace(self, means=means, basis=rotation @ self.basis)

    def ordered(self, order: np.ndarray) -> "Law":
        pick = {
            name: getattr(self, name)[order]
            for name in ("weights", "means", "basis", "values", "labels")
        }
        return replace(self, **pick)


@dataclass(frozen=True)
class Posterior:
    """What the numpy reference says of one noised point."""

    log_density: float
    weights: np.ndarray
    centres: np.ndarray
    spreads: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    log_labels: np.ndarray


def reference(law: Law, x: np.ndarray, alpha: float, sigma: float) -> Posterior:
    if law.kind == "sphere":
        return on_sphere(law, x, alpha, sigma)
    if law.kind:
        return by_brute_force(law, x, alpha, sigma)
    noised = alpha**2 * law.values + sigma**2
    inside = np.einsum("kd,kdr->kr", x - alpha * law.means, law.basis)
    log_kernel = -0.5 * np.sum(inside**2 / noised + np.log(2 * np.pi * noised), axis=1)
    with np.errstate(divide="ignore"):
        # Relative: several labels at one place keep their shares at any noise.
        joint = np.log(law.kept) + (log_kernel - log_kernel.max())
    weights = np.exp(joint - np.logaddexp.reduce(joint))
    gain = alpha * law.values / noised
    centres = law.means + np.einsum("kdr,kr->kd", law.basis, gain * inside)
    mean = weights @ centres
    spreads = law.dense(sigma**2 * law.values / noised)
    apart = centres - mean
    covariance = np.einsum("k,kij->ij", weights, spreads) + (weights * apart.T) @ apart
    labels = [
        np.logaddexp.reduce(joint[law.labels == c]) - np.logaddexp.reduce(joint)
        for c in range(len(law.mask))
    ]
    return Posterior(
        float(log_kernel.max() + np.logaddexp.reduce(joint)),
        weights,
        centres,
        spreads,
        mean,
        covariance,
        np.array(labels),
    )


def by_brute_force(law: Law, x: np.ndarray, alpha: float, sigma: float) -> Posterior:
    density, variances = density_of(law.kind), np.einsum("kii->ki", law.dense())
    each = [
        [
            posterior(density(m, v), x_i, alpha, sigma)
            for m, v, x_i in zip(*row, x, strict=True)
        ]
        for row in zip(law.means, variances, strict=True)
    ]
    pick = lambda name: np.array([[getattr(p, name) for p in row] for row in each])
    log_kernel, centres = pick("log_density").sum(axis=1), pick("mean")
    with np.errstate(divide="ignore"):
        joint = np.log(law.kept) + (log_kernel - log_kernel.max())
    weights = np.exp(joint - np.logaddexp.reduce(joint))
    spreads = np.stack([np.diag(row) for row in pick("variance")])
    mean = weights @ centres
    apart = centres - mean
    labels = [
        np.logaddexp.reduce(joint[law.labels == c]) - np.logaddexp.reduce(joint)
        for c in range(len(law.mask))
    ]
    return Posterior(
        float(log_kernel.max() + np.logaddexp.reduce(joint)),
        weights,
        centres,
        spreads,
        mean,
        np.einsum("k,kij->ij", weights, spreads) + (weights * apart.T) @ apart,
        np.array(labels),
    )


def on_sphere(law: Law, x: np.ndarray, alpha: float, sigma: float) -> Posterior:
    """By quadrature over h = 1 - cosine, of weight (h (2 - h))^((d - 3) / 2)."""
    d, radius = x.size, np.sqrt(law.values.sum())
    # Where x is zero no direction differs from any other.
    size, variance = max(np.linalg.norm(x), np.finfo(float).tiny), sigma**2
    kappa = alpha * radius * size / variance
    y, w = np.polynomial.legendre.leggauss(200)
    end = 80 / max(kappa, 40.0)
    h = end * (y + 1) / 2
    log_mass = (d - 3) / 2 * np.log(h * (2 - h)) - kappa * h + np.log(w * end / 2)
    log_area = scipy.special.betaln(0.5, (d - 1) / 2)
    total = np.logaddexp.reduce(log_mass)
    mass = np.exp(log_mass - total)
    below = mass @ h
    along, across = mass @ (h - below) ** 2, mass @ (h * (2 - h)) / (d - 1)
    square = (size - alpha * radius) ** 2 / variance + d * np.log(2 * np.pi * variance)
    u = x / size
    covariance = across * np.eye(d) + (along - across) * np.outer(u, u)
    mean = radius * (1 - below) * u
    return Posterior(
        float(total - log_area - 0.5 * square),
        np.ones(1),
        mean[None],
        radius**2 * covariance[None],
        mean,
        radius**2 * covariance,
        np.zeros(1),
    )


def law(
    k: int,
    d: int,
    values: Any,
    *,
    seed: int = 0,
    turned: bool = False,
    equal: bool = False,
    labels: Any = None,
    mask: Any = None,
    centred: bool = False,
) -> Law:
    """A law with the given eigenvalues (broadcast), random means and axes."""
    rng = np.random.default_rng(seed)
    means = (0.0 if centred else 1.5) * rng.normal(size=(k, d))
    axes = rng.normal(size=(k, d, d))
    basis = np.linalg.qr(axes)[0] if turned else np.broadcast_to(np.eye(d), axes.shape)
    weights = np.ones(k) if equal else 1 + rng.uniform(size=k)
    values = np.broadcast_to(np.asarray(values, float), (k, d))
    labels = np.arange(k) if labels is None else np.asarray(labels)
    mask = (True,) * (labels.max() + 1) if mask is None else tuple(map(bool, mask))
    return Law(weights / weights.sum(), means, basis, values, labels, mask)


def isotropic(law: Law) -> GaussianMixture:
    values = law.values[:, 0]
    return GaussianMixture.isotropic(law.means, values, law.weights, labels=law.labels)


def diagonal(law: Law) -> GaussianMixture:
    values = np.einsum("kii->ki", law.dense())
    return GaussianMixture.diagonal(law.means, values, law.weights, labels=law.labels)


def low_rank(law: Law) -> GaussianMixture:
    floor = law.values[:, -1]
    rank = max(1, int(np.max(np.sum(law.values > floor[:, None], axis=1))))
    above = np.sqrt(law.values[:, :rank] - floor[:, None])
    factors = law.basis[:, :, :rank] * above[:, None]
    return GaussianMixture.low_rank(
        law.means, factors, floor, law.weights, labels=law.labels
    )


def full(law: Law) -> GaussianMixture:
    dense = law.dense()
    return GaussianMixture.full(
        law.means,
        (dense + np.swapaxes(dense, 1, 2)) / 2,
        law.weights,
        labels=law.labels,
    )


def empirical(law: Law) -> Empirical:
    """In several blocks, the last of them padded."""
    with mock.patch.object(_empirical, "BLOCK", 8):
        return Empirical(law.means, law.labels, float(np.sqrt(law.values[0, 0])))


def linear(law: Law) -> AbstractLabelledTarget:
    """Of one component: its axes as the frame, floor aside; a column too many."""
    floor = law.values[0, -1]
    frame = law.basis[0] * np.sqrt(law.values[0] - floor)
    frame = np.concatenate([frame, frame[:, :1]], axis=1) / [2**0.5, 1, 1, 2**0.5]
    return HiddenManifold.linear(frame, means=law.means, floor=floor)


def drawn(kind: str, floor: float) -> tuple[Callable[..., GaussianMixture], Law]:
    """A manifold of a drawn frame, and the mixture that its covariance makes."""

    def make(law: Law | None = None) -> GaussianMixture:
        draw = partial(getattr(HiddenManifold, kind), jr.key(3), 3, [1, 1], [1.0, 0.3])
        if law is None:
            return draw()
        return draw(
            means=law.means, weights=law.weights, labels=law.labels, floor=floor
        )

    values, basis = np.linalg.eigh(np.asarray(make().moments().covariance()))
    values = np.where(values > 1e-12, values, 0) + floor
    again = law(3, 3, values)
    return make, replace(again, basis=np.broadcast_to(basis, again.basis.shape))


@lru_cache
def density_of(kind: str) -> Callable[[float, float], Density]:
    """Densities of a kind, each built once."""
    return lru_cache(KINDS[kind][1])


def products(law: Law) -> ProductMixture:
    factor, variances = KINDS[law.kind][0], np.einsum("kii->ki", law.dense())
    rows = [
        [factor(m, v) for m, v in zip(*row, strict=True)]
        for row in zip(law.means, variances, strict=True)
    ]
    return ProductMixture(rows, law.weights, labels=law.labels)


# Half-width of an interval that holds all but 1e-3 of a Gaussian, and its variance.
CUT = 3.3
CUT_VARIANCE = scipy.stats.truncnorm.expect(lambda y: y**2, (-CUT, CUT))
LOG_COSH = lambda y: np.logaddexp(y, -y)
TABLE = np.linspace(-4, 4, 60)
SPLINE = scipy.interpolate.CubicSpline(TABLE, -2 * LOG_COSH(TABLE) - TABLE**2 / 9)
FINE = np.linspace(-4, 4, 80_001)
TABLE_VARIANCE = scipy.integrate.simpson(
    FINE**2 * np.exp(SPLINE(FINE)), x=FINE
) / scipy.integrate.simpson(np.exp(SPLINE(FINE)), x=FINE)
# Of exp(-y^4 / 4).
WELL_VARIANCE = 2 * scipy.special.gamma(0.75) / scipy.special.gamma(0.25)


def on_table(m: float, v: float) -> Density:
    scale = float(np.sqrt(v / TABLE_VARIANCE))
    psi = lambda u: SPLINE(((u - m) / scale).astype(float)).astype(np.longdouble)
    ends = m + scale * TABLE
    return Density(psi, m, scale, tuple(ends), ends[0], ends[-1])


def in_interval(m: float, v: float) -> Density:
    sd = float(np.sqrt(v / CUT_VARIANCE))
    psi = lambda u: -0.5 * ((u - m) / sd) ** 2
    return Density(psi, m, sd, low=m - CUT * sd, high=m + CUT * sd)


# A factor of a mean and a variance, and the same density in numpy.
KINDS: dict[str, tuple[Callable[..., factors.AbstractFactor], Callable]] = {
    "Laplace": (
        lambda m, v: factors.laplace(m, np.sqrt(v / 2)),
        lambda m, v: Density(
            lambda u: -np.abs(u - m) / np.sqrt(v / 2), m, np.sqrt(v / 2), (m,)
        ),
    ),
    "logistic": (
        lambda m, v: factors.logistic(m, np.sqrt(3 * v) / np.pi),
        lambda m, v: Density(
            lambda u: -2 * LOG_COSH((u - m) * np.pi / np.sqrt(12 * v)), m, np.sqrt(v)
        ),
    ),
    "well": (
        lambda m, v: factors.quartic(m, np.inf, (v / WELL_VARIANCE) ** 2),
        lambda m, v: Density(
            lambda u: -((u - m) ** 4) / (4 * (v / WELL_VARIANCE) ** 2), m, np.sqrt(v)
        ),
    ),
    "interval": (
        lambda m, v: factors.truncated_gaussian(
            m - CUT * np.sqrt(v / CUT_VARIANCE),
            m + CUT * np.sqrt(v / CUT_VARIANCE),
            m,
            v / CUT_VARIANCE,
        ),
        in_interval,
    ),
    "table": (
        lambda m, v: factors.tabulated(
            m + np.sqrt(v / TABLE_VARIANCE) * TABLE, SPLINE(TABLE)
        ),
        on_table,
    ),
}
SPREAD = [[0.3, 0.8, 0.1], [0.2, 1.0, 0.5], [0.6, 0.4, 0.9]]


def of_kind(kind: str, **options: Any) -> Law:
    return replace(law(3, 3, SPREAD, **options), kind=kind)


COUPLINGS, SHARES = np.array([0.3, 1.1, -0.5]), np.array([0.4, 0.35, 0.25])
CHAIN, MAGNET = IsingChain(COUPLINGS, 3, SHARES), CurieWeiss(1.5, 3)


# One rule is shared by two classes: words leave doubts about labels.
RULES = np.array([[[0, 1], [1, 1]], [[1, 0], [0, 1]], [[0, 0], [1, 0]]])
RULE_WEIGHTS = np.array([[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
GROWN = RandomHierarchy(
    [RULES], SHARES, rule_weights=RULE_WEIGHTS, num_symbols=2, ambiguous=True
)
SPINS = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
PAIRS = np.array(list(itertools.product([0, 1], repeat=2)))


def spins(model: AbstractDiscreteLaw) -> Callable[[Law], Spins]:
    return lambda law: Spins(model)


def words(
    joint: Callable[[np.ndarray], np.ndarray],
    corners: np.ndarray = SPINS,
    **options: Any,
) -> Law:
    """Point masses at the words of a few sites, once for each label."""
    weights = joint(corners)
    labels = np.repeat(np.arange(weights.shape[1]), len(corners))
    again = law(labels.size, corners.shape[1], 0.0, labels=labels, **options)
    means = np.tile(corners, (weights.shape[1], 1))
    return replace(again, weights=weights.T.reshape(-1) / weights.sum(), means=means)


def chain_joint(corners: np.ndarray) -> np.ndarray:
    bonds = corners[:, 0] * corners[:, 1] + corners[:, 1] * corners[:, 2]
    each = np.exp(bonds[:, None] * COUPLINGS)
    return each / each.sum(axis=0) * SHARES


def grown_joint(points: np.ndarray) -> np.ndarray:
    """P(word, label) of `GROWN`, by its rules one by one."""
    pairs = points.reshape(-1, 2, 2)[:, :, 1]
    same = np.all(RULES[None] == pairs[:, None, None], axis=-1)
    return SHARES * np.sum(RULE_WEIGHTS * same, axis=-1)


def magnet_joint(corners: np.ndarray) -> np.ndarray:
    total = corners.sum(axis=1)
    up = scipy.stats.norm.cdf(total * np.sqrt(1.5 / 3))
    return np.exp(1.5 * total**2 / 6)[:, None] * np.stack([1 - up, up], axis=1)


def sphere(d: int, radius: float) -> Law:
    """The radius is that of its variance."""
    return replace(law(1, d, radius**2 / d, centred=True), kind="sphere")


def hypersphere(law: Law) -> Hypersphere:
    return Hypersphere(law.means.shape[1], np.sqrt(law.values.sum()))


def at(points: np.ndarray, variance: float, **options: Any) -> Law:
    """Equal Gaussians at the given points."""
    count, d = points.shape
    return replace(law(count, d, variance, equal=True, **options), means=points)


THREE = np.array([[1, 1], [-1, 1], [0, -2]]) / np.sqrt([2, 6])


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Law], AbstractTarget]
    law: Law
    movable: bool = True
    labelled: bool = True

    def build(self, law: Law | None = None) -> Any:
        law = self.law if law is None else law
        target = self.make(law)
        if all(law.mask):
            return target
        assert isinstance(target, AbstractLabelledTarget)
        return target.restrict(jnp.array(law.mask, bool))

    @property
    def has_density(self) -> bool:
        """Without noise."""
        return bool(self.law.values.all()) and self.law.kind != "sphere"

    @property
    def dimension(self) -> int:
        return self.law.means.shape[1]

    @property
    def atoms(self) -> bool:
        return not self.law.values.any()

    @property
    def places(self) -> np.ndarray:
        """Number of each component's place, where point masses of labels coincide."""
        if not self.atoms:
            return np.arange(len(self.law.means))
        return np.unique(self.law.means, axis=0, return_inverse=True)[1].reshape(-1)

    def rotation(self) -> np.ndarray:
        """A rotation (a signed permutation for axes-bound laws)."""
        d = self.dimension
        if self.make in (diagonal, products):
            return -np.roll(np.eye(d), 1, axis=0)
        return np.linalg.qr(np.random.default_rng(9).normal(size=(d, d)))[0]


THIRDS = np.arange(19) % 3
# Laws of one kind and shape share their compiled programs.
GROUPED = [0, 1, 2, 1]
CASES = [
    Case("isotropic", isotropic, law(3, 3, [[0.3], [0.8], [0.1]])),
    Case("isotropic point masses", isotropic, law(4, 3, 0.0, labels=GROUPED)),
    Case(
        "isotropic beside a point mass",
        isotropic,
        law(4, 3, [[0.3], [0.0], [0.1], [0.8]], labels=GROUPED),
    ),
    Case("diagonal", diagonal, law(3, 3, [[0.5, 0.2, 1], [0.1, 1, 0], [1, 0, 0.3]])),
    Case("low rank", low_rank, law(3, 3, [[1, 0.5, 0.2]], turned=True)),
    Case("low rank on a plane", low_rank, law(3, 3, [[1, 0.5, 0]], turned=True)),
    Case("full", full, law(3, 3, [[1, 0.5, 0.1], [0.4, 0.3, 0.2]][:1], turned=True)),
    Case("full singular", full, law(3, 3, [[1, 0.3, 0]], turned=True)),
    Case("empirical points", empirical, law(19, 3, 0.0, equal=True, labels=THIRDS)),
    Case("empirical kernel", empirical, law(19, 3, 0.1, equal=True, labels=THIRDS)),
    Case("grouped", isotropic, law(4, 3, [[0.3]], labels=GROUPED)),
    Case(
        "restricted",
        isotropic,
        law(4, 3, [[0.3]], labels=GROUPED, mask=[0, 1, 1]),
    ),
    Case(
        "empirical restricted",
        empirical,
        law(19, 3, 0.1, equal=True, labels=THIRDS, mask=[1, 0, 1]),
    ),
    Case(
        "zero-mean isotropic",
        isotropic,
        law(4, 3, [[0.5], [1.5], [1.0], [0.2]], labels=GROUPED, centred=True),
    ),
    Case(
        "zero-mean full",
        full,
        law(
            3,
            3,
            [[1, 0.5, 0.2], [0.3, 0.9, 0.4], [0.6, 0.6, 0.1]],
            centred=True,
            turned=True,
        ),
    ),
    Case("manifold", linear, law(1, 3, [[1, 0.5, 0.2]], turned=True)),
    Case("orthonormal manifold", *drawn("orthonormal", 0.0), movable=False),
    Case("Gaussian manifold", *drawn("gaussian", 0.2), movable=False),
    Case("Ising chain", spins(CHAIN), words(chain_joint), movable=False),
    Case(
        "Ising chain restricted",
        spins(CHAIN),
        words(chain_joint, mask=[0, 1, 1]),
        movable=False,
    ),
    Case("Curie-Weiss", spins(MAGNET), words(magnet_joint), movable=False),
    Case(
        "one-hot hierarchy",
        lambda law: OneHot(GROWN),
        words(grown_joint, np.eye(2)[PAIRS].reshape(4, 4)),
        movable=False,
    ),
    Case("Laplace", products, of_kind("Laplace")),
    Case("logistic", products, of_kind("logistic", labels=[1, 0, 1])),
    Case("well", products, of_kind("well")),
    Case("interval", products, of_kind("interval", labels=[1, 0, 1])),
    Case("table", products, of_kind("table", mask=[0, 1, 1])),
    Case("hypersphere", hypersphere, sphere(3, 1.3), movable=False, labelled=False),
    Case(
        "orthogonal patterns",
        lambda law: orthogonal_patterns(3, 4, 1.3, 0.2),
        at(1.3 * np.eye(3, 4), 0.2),
        movable=False,
    ),
    Case(
        "simplex", lambda law: simplex(3, 2, 1.2), at(1.2 * THREE, 0.0), movable=False
    ),
    Case(
        "hypersphere 1-D",
        lambda law: Hypersphere(1, 1.3),
        at(np.array([[1.3], [-1.3]]), 0.0, labels=[0, 0]),
        movable=False,
        labelled=False,
    ),
    Case("isotropic 1-D", isotropic, law(3, 1, [[0.3], [0.8], [0.1]], seed=1)),
    Case("point masses 1-D", isotropic, law(3, 1, 0.0, seed=1)),
    Case("low rank 1-D", low_rank, law(3, 1, [[0.3], [0.8], [0.1]], seed=1)),
    Case("full 1-D", full, law(3, 1, [[0.3], [0.8], [0.1]], seed=1)),
]
BY_NAME = {case.name: case for case in CASES}


# Kinds whose lines others run too, on another shape: each compiles everything again.
AGAIN = {
    "diagonal",
    "Laplace",
    "empirical points",
    "logistic",
    "well",
    "interval",
    "table",
    "isotropic point masses",
    "full singular",
    "isotropic beside a point mass",
    "zero-mean isotropic",
    "zero-mean full",
    "manifold",
    "orthonormal manifold",
    "Gaussian manifold",
    "Ising chain",
    "Ising chain restricted",
    "one-hot hierarchy",
    "Curie-Weiss",
    "orthogonal patterns",
    "simplex",
    "hypersphere 1-D",
    "isotropic 1-D",
    "grouped",
    "low rank 1-D",
    "low rank on a plane",
    "empirical restricted",
    "point masses 1-D",
    "full 1-D",
    "restricted",
}


FIRST = [case.name for case in CASES if case.name not in AGAIN]
# Only tests/test_precision.py takes them: tests/test_product_mixture.py compares each
# family with brute force, tests/test_patterns.py finds mixtures like any other.
ELSEWHERE = {"Laplace", "logistic", "well", "orthogonal patterns", "simplex"}
HERE = [case for case in CASES if case.name not in ELSEWHERE]


def named(cases: Iterable[Case | str], fast: Iterable[str] = FIRST) -> Any:
    names = [case if isinstance(case, str) else case.name for case in cases]
    return pytest.mark.parametrize("name", some(names, set(fast) & set(names)))


every_kind = named(HERE)
labelled = named([case for case in HERE if case.labelled])
where_movable = named([case for case in HERE if case.movable])
in_space = named(
    [case for case in HERE if case.dimension > 1],
    ["isotropic", "low rank", "empirical kernel", "hypersphere"],
)
# Of tests that compile programs of their own: not the same lines on another shape.
REPEATED = {"manifold", "hypersphere 1-D", "low rank 1-D", "full 1-D"}
each_program = named([case for case in HERE if case.name not in REPEATED])
# The plain isotropic mixture draws as the grouped ones do.
each_sampler = named([c for c in HERE if c.name not in REPEATED | {"isotropic"}])
# One of each way through the code.
some_in_space = partial(
    named, fast=["isotropic", "low rank", "empirical kernel", "hypersphere"]
)


def probes(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (m, NEAR + 2, d) of the noised law, between means and far; alphas, sigmas.

    The last point but NEAR lies between two means, then follow |x| = 1e2 and 1e4.
    """
    rng = np.random.default_rng(3)
    law, d = case.law, case.dimension
    rows = []
    for alpha, sigma in NOISES:
        ks = rng.choice(len(law.kept), NEAR - 1, p=law.kept)
        z = rng.normal(size=(2, NEAR - 1, d))
        within = np.einsum("kdr,kr->kd", law.basis[ks], np.sqrt(law.values[ks]) * z[0])
        clean = law.means[ks] + within
        between = alpha * law.means[np.argsort(law.kept)[-2:]].mean(axis=0)
        far = rng.normal(size=(2, d))
        far *= np.array([[1e2], [1e4]]) / np.linalg.norm(far, axis=1, keepdims=True)
        rows.append(np.concatenate([alpha * clean + sigma * z[1], between[None], far]))
    alphas, sigmas = np.array(NOISES).T
    return np.array(rows), alphas, sigmas


def log_labels(target, x, alpha, sigma) -> jax.Array:
    """Of a law without labels: one, and certain."""
    if isinstance(target, AbstractLabelledTarget):
        return target.label_log_posterior(x, alpha, sigma)
    return jnp.zeros(1)


def point(target, x, v, alpha, sigma) -> dict[str, jax.Array]:
    density = lambda y: target.log_density(y, alpha, sigma)
    score = lambda y: target.score(y, alpha, sigma)
    log_density, gradient = jax.value_and_grad(density)(x)
    return {
        "log_density": log_density,
        "gradient": gradient,
        "score": score(x),
        "mean": target.denoise(x, alpha, sigma),
        "covariance": target.posterior_covariance(x, alpha, sigma),
        "jacobian": target.score_jacobian(x, alpha, sigma),
        "autodiff": jax.jacfwd(score)(x),
        "product": target.jacobian_product(x, v, alpha, sigma),
        **{"local " + k: v for k, v in target.local(x, alpha, sigma)._asdict().items()},
        "labels": log_labels(target, x, alpha, sigma),
    }


@eqx.filter_jit
def evaluate(target, xs, v, alphas, sigmas) -> dict[str, jax.Array]:
    block = jax.vmap(point, in_axes=(None, 0, None, None, None))
    return jax.vmap(block, in_axes=(None, 0, None, 0, 0))(target, xs, v, alphas, sigmas)


def run(target, xs, v, alphas, sigmas) -> dict[str, np.ndarray]:
    out = evaluate(target, *map(jnp.asarray, (xs, v, alphas, sigmas)))
    return jax.tree.map(np.asarray, out)


@dataclass(frozen=True)
class Probe:
    """Points of a case, and all that its target says of them."""

    case: Case
    xs: np.ndarray
    v: np.ndarray
    alphas: np.ndarray
    sigmas: np.ndarray
    out: dict[str, np.ndarray]

    @property
    def norms(self) -> np.ndarray:
        return np.linalg.norm(self.xs, axis=-1)

    def of_sigma(self, axes: int) -> np.ndarray:
        """Noise levels, with `axes` empty axes behind."""
        return self.sigmas.reshape((-1,) + (1,) * axes)

    def each(self):
        """Noise index, point index and reference of the points near the law."""
        for i, (alpha, sigma) in enumerate(zip(self.alphas, self.sigmas, strict=True)):
            for j in range(NEAR):
                yield i, j, reference(self.case.law, self.xs[i, j], alpha, sigma)


@lru_cache
def probe(name: str) -> Probe:
    case = BY_NAME[name]
    xs, alphas, sigmas = probes(case)
    v = np.random.default_rng(4).normal(size=case.dimension)
    out = run(case.build(), xs, v, alphas, sigmas)
    return Probe(case, xs, v, alphas, sigmas, out)


@pytest.fixture(autouse=True, scope="module")
def _forget():
    yield
    probe.cache_clear()


@pytest.mark.slow
@pytest.mark.long
# Of the others the fast tests say it, value by value.
@named([case for case in HERE if case.name in AGAIN])
def test_everything_is_finite(name):
    out = dict(probe(name).out)
    excluded = ~np.array(BY_NAME[name].law.mask)
    labels = out.pop("labels")
    assert np.all(np.isneginf(labels[..., excluded]))
    assert not np.any(np.isnan(labels))
    for key, value in out.items():
        assert np.all(np.isfinite(value)), key


@pytest.mark.slow
@every_kind
def test_score_is_gradient_of_log_density(name):
    p = probe(name)
    score, gradient = p.out["score"], p.out["gradient"]
    slack = 16 * EPS * p.norms / p.of_sigma(1) ** 2
    size = np.linalg.norm(gradient, axis=-1)
    error = np.linalg.norm(score - gradient, axis=-1)
    assert np.all(error <= 1e-10 * (1 + size) + slack)


@pytest.mark.slow
@every_kind
def test_posterior_against_numpy(name):
    p = probe(name)
    for i, j, true in p.each():
        sigma, alpha, x = p.sigmas[i], p.alphas[i], p.xs[i, j]
        # A law given by rounded numbers is known to eps / sigma^2 and no better.
        rtol = 1e-11 + 200 * EPS * (1 + x @ x) / (sigma**2 * (1 + sigma**2))
        got = {key: value[i, j] for key, value in p.out.items()}
        scale = 1 + abs(true.log_density)
        assert abs(got["log_density"] - true.log_density) <= rtol * scale
        np.testing.assert_allclose(
            np.exp(got["labels"]), np.exp(true.log_labels), rtol=0, atol=rtol
        )
        np.testing.assert_allclose(got["mean"], true.mean, rtol=rtol, atol=10 * rtol)
        np.testing.assert_allclose(
            got["covariance"], true.covariance, rtol=rtol, atol=10 * rtol
        )
        score = (alpha * true.mean - x) / sigma**2
        bound = rtol * np.abs(score).max() + 10 * rtol / sigma**2
        assert np.all(np.abs(got["score"] - score) <= bound)


@every_kind
def test_score_denoiser_and_covariance_are_one(name):
    p = probe(name)
    alpha, sigma = p.alphas[:, None, None], p.of_sigma(2)
    mean = (p.xs + sigma**2 * p.out["score"]) / alpha
    bound = 1e-12 * (1 + p.norms[..., None]) / alpha
    assert np.all(np.abs(mean - p.out["mean"]) <= bound)
    alpha, sigma = alpha[..., None], sigma[..., None]
    covariance = sigma**2 * (np.eye(p.v.size) + sigma**2 * p.out["jacobian"])
    bound = 1e-12 * sigma**2 + 1e-11 * (1 + p.norms[..., None, None])
    assert np.all(np.abs(covariance - alpha**2 * p.out["covariance"]) <= bound)


@every_kind
def test_local_is_mean_score_and_their_divergences(name):
    p = probe(name)
    out, d = p.out, p.v.size
    bound = 1e-12 * (1 + p.norms[..., None]) / p.alphas[:, None, None]
    assert np.all(np.abs(out["local mean"] - out["mean"]) <= bound)
    bound = bound * np.maximum(1, p.of_sigma(2) ** -2.0)
    assert np.all(np.abs(out["local score"] - out["score"]) <= bound)
    relative = out["covariance"] / p.of_sigma(3) ** 2
    for found, matrices in (
        (out["local divergence"], out["jacobian"]),
        (out["local relative_variance"], relative),
    ):
        size = d * np.abs(matrices).max(axis=(2, 3))
        assert np.all(np.abs(found - np.trace(matrices.T).T) <= 1e-11 * size)


@every_kind
def test_jacobian_against_autodiff(name):
    p = probe(name)
    jacobian, autodiff = p.out["jacobian"], p.out["autodiff"]
    size = np.abs(jacobian).max(axis=(2, 3), keepdims=True)
    # Autodiff multiplies p_k' ~ 1 / sigma^2 by scores of size |x| / sigma^2, and p_k'
    # is a difference of scores, rounded to eps |x| / sigma^2.
    norms = p.norms[..., None, None]
    slack = EPS * (64 * (1 + norms) + norms**2) / p.of_sigma(3) ** 4
    assert np.all(np.abs(jacobian - autodiff) <= 1e-10 * size + slack)
    np.testing.assert_allclose(
        np.swapaxes(jacobian, 2, 3), jacobian, rtol=0, atol=1e-13 * size.max()
    )
    product = jacobian @ p.v
    assert np.all(np.abs(p.out["product"] - product) <= 1e-11 * size[..., 0])


@labelled
def test_labels_sum_to_one(name):
    p = probe(name)
    assert np.abs(np.logaddexp.reduce(p.out["labels"], axis=-1)).max() < 1e-12
    prior = np.asarray(p.case.build().log_label_prior())
    law = p.case.law
    weights = np.bincount(law.labels, law.kept, minlength=len(law.mask))
    np.testing.assert_allclose(np.exp(prior), weights, rtol=1e-12)


one = eqx.filter_jit(
    lambda target, x, a, s: (
        target.score(x, a, s),
        target.denoise(x, a, s),
        log_labels(target, x, a, s),
        target.log_density(x, a, s),
    )
)
score_many = eqx.filter_jit(lambda target, xs, a, s: target.score_many(xs, a, s))


@pytest.mark.slow
@pytest.mark.long
@some_in_space(
    [
        "isotropic",
        "diagonal",
        "low rank",
        "full",
        "empirical points",
        "empirical kernel",
        "restricted",
        "Ising chain",
        "Curie-Weiss",
        "one-hot hierarchy",
        "table",
        "hypersphere",
    ]
)
def test_batching_changes_nothing(name):
    p = probe(name)
    target = p.case.build()
    keys = "score", "mean", "labels", "log_density"
    for i in (1, 2, 4):
        alpha, sigma = jnp.array(p.alphas[i]), jnp.array(p.sigmas[i])
        rtol = (1e-12 + 64 * EPS / p.sigmas[i] ** 2) * (1 + 1 / p.sigmas[i] ** 2)
        scores = score_many(target, jnp.asarray(p.xs[i]), alpha, sigma)
        np.testing.assert_allclose(scores, p.out["score"][i], rtol, rtol)
        for j in range(NEAR):
            alone = one(target, jnp.asarray(p.xs[i, j]), alpha, sigma)
            for key, value in zip(keys, alone, strict=True):
                np.testing.assert_allclose(value, p.out[key][i, j], rtol, rtol)


@every_kind
def test_order_of_components_changes_nothing(name):
    p = probe(name)
    order = np.random.default_rng(5).permutation(len(p.case.law.weights))
    out = run(p.case.build(p.case.law.ordered(order)), p.xs, p.v, p.alphas, p.sigmas)
    for i, sigma in enumerate(p.sigmas):
        rtol = 1e-11 + 200 * EPS / sigma**2
        for key in ("log_density", "labels", "mean", "covariance", "score"):
            near, other = p.out[key][i, :NEAR], out[key][i, :NEAR]
            atol = rtol * (1 + np.abs(near[np.isfinite(near)]).max())
            np.testing.assert_allclose(other, near, rtol=rtol, atol=atol)


@where_movable
def test_translation_and_rotation(name):
    p = probe(name)
    turn, shift = p.case.rotation(), np.linspace(1, 2, p.case.dimension)
    moved = p.case.build(p.case.law.moved(turn, shift))
    xs = p.xs @ turn.T + p.alphas[:, None, None] * shift
    out = run(moved, xs, turn @ p.v, p.alphas, p.sigmas)
    expected = {
        "log_density": p.out["log_density"],
        "labels": np.exp(p.out["labels"]),
        "mean": p.out["mean"] @ turn.T + shift,
        "score": p.out["score"] @ turn.T,
        "covariance": turn @ p.out["covariance"] @ turn.T,
        "jacobian": turn @ p.out["jacobian"] @ turn.T,
        "product": p.out["product"] @ turn.T,
    }
    out["labels"] = np.exp(out["labels"])
    for i, sigma in enumerate(p.sigmas):
        rtol = 1e-11 + 1000 * EPS / sigma**2
        for key, value in expected.items():
            value = value[i, :NEAR]
            atol = rtol * (1 + np.abs(value).max())
            np.testing.assert_allclose(out[key][i, :NEAR], value, rtol=0, atol=atol)


@pytest.mark.slow
@named([case for case in CASES if case.dimension == 1], ["isotropic 1-D"])
def test_denoiser_by_quadrature(name):
    p = probe(name)
    for i, (alpha, sigma) in enumerate(zip(p.alphas, p.sigmas, strict=True)):
        for j in range(NEAR):
            x, mean = p.xs[i, j, 0], p.out["mean"][i, j, 0]
            rtol = 1e-10 + 200 * EPS / sigma**2
            true = by_quadrature(p.case.law, x, alpha, sigma)
            assert abs(mean - true) <= rtol * (1 + abs(true))


def by_quadrature(law: Law, x: float, alpha: float, sigma: float) -> float:
    """E[x0 | x] by trapezoids over x0, component by component, sums for atoms."""
    grids, logs = [], []
    for weight, mean, value in zip(
        law.kept, law.means[:, 0], law.values[:, 0], strict=True
    ):
        if weight == 0:
            continue
        if value == 0:
            grid, log = np.array([mean]), np.array([np.log(weight)])
        else:
            # Prior and likelihood are Gaussian: the narrower one bounds the window.
            sd = min(np.sqrt(value), sigma / alpha)
            tilt = value * alpha / (alpha**2 * value + sigma**2)
            grid = mean + tilt * (x - alpha * mean) + 12 * sd * np.linspace(-1, 1, 801)
            log = np.log(weight * (grid[1] - grid[0]) / np.sqrt(2 * np.pi * value))
            log = log - (grid - mean) ** 2 / (2 * value)
        grids.append(grid)
        logs.append(log - (x - alpha * grid) ** 2 / (2 * sigma**2))
    grid, log = np.concatenate(grids), np.concatenate(logs)
    mass = np.exp(log - log.max())
    return float(mass @ grid / mass.sum())


@eqx.filter_jit
def posterior_draws(target, key, x, alpha, sigma):
    keys = jr.split(key, DRAWS)
    return jax.vmap(lambda k: target.posterior_sample(k, x, alpha, sigma))(keys)


def contested(case: Case) -> tuple[np.ndarray, float, float]:
    """A noised point at which at least two places have more than 5 %."""
    xs, alphas, sigmas = probes(case)
    found = []
    for i in (2, 3):
        for x in xs[i, :NEAR]:
            weights = reference(case.law, x, alphas[i], sigmas[i]).weights
            weights = np.bincount(case.places, weights)
            second = np.sort(weights)[-2] if weights.size > 1 else 1.0
            found.append((second, i, x))
    second, i, x = max(found, key=lambda row: row[0])
    assert second > 0.05
    return x, float(alphas[i]), float(sigmas[i])


@pytest.mark.slow
@pytest.mark.long
@each_sampler
def test_posterior_draws_follow_the_posterior(name):
    """5,000 draws, seed 11: z < 4.5, or KS at p = 1e-4."""
    case = BY_NAME[name]
    x, alpha, sigma = contested(case)
    true = reference(case.law, x, alpha, sigma)
    args = jnp.asarray(x), jnp.array(alpha), jnp.array(sigma)
    draws = np.asarray(posterior_draws(case.build(), jr.key(11), *args))
    if case.atoms:
        apart = np.abs(draws[:, None] - case.law.means[None]).max(axis=2)
        assert apart.min(axis=1).max() == 0
        counts = np.bincount(case.places[apart.argmin(axis=1)])
        true_counts = np.bincount(case.places, true.weights)
        check_counts(np.pad(counts, (0, true_counts.size - counts.size)), true_counts)
        return  # shares of the places say it all, also of rare ones
    if case.dimension == 1:
        sd = np.sqrt(true.spreads[:, 0, 0])
        cdf = lambda t: (
            scipy.stats.norm.cdf((t[:, None] - true.centres[:, 0]) / sd) @ true.weights
        )
        assert scipy.stats.kstest(draws[:, 0], cdf).pvalue > 1e-4
    check_moments(draws, true.mean, true.covariance)


def check_counts(counts: np.ndarray, p: np.ndarray) -> None:
    deviation = np.abs(counts - DRAWS * p)
    assert np.all(deviation <= Z * np.sqrt(DRAWS * p * (1 - p)) + 0.5)


def check_moments(draws: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    centred = draws - mean
    error = np.abs(centred.mean(axis=0))
    assert np.all(error <= Z * centred.std(axis=0) / np.sqrt(DRAWS) + 1e-12)
    products = centred[:, :, None] * centred[:, None, :]
    error = np.abs(products.mean(axis=0) - covariance)
    assert np.all(error <= Z * products.std(axis=0) / np.sqrt(DRAWS) + 1e-12)


@eqx.filter_jit
def clean_law(target, key):
    moments = target.moments()
    exact = moments, moments.covariance(), moments.leading(target.dimension)
    keys = jr.split(key, DRAWS)
    if not isinstance(target, AbstractLabelledTarget):
        points = jax.vmap(target.sample)(keys)
        return exact, points, jnp.zeros(DRAWS, int), jnp.zeros(1)
    points, labels = jax.vmap(target.sample_labelled)(keys)
    return exact, points, labels, target.log_label_prior()


@pytest.mark.slow
@pytest.mark.long
@each_sampler
def test_clean_draws_and_moments(name):
    """Exact moments against numpy; 5,000 draws, seed 12, z < 4.5."""
    case = BY_NAME[name]
    law, target = case.law, case.build()
    exact, points, labels, log_prior = jax.tree.map(
        np.asarray, clean_law(target, jr.key(12))
    )
    moments, dense, (values, ways) = exact
    mean = law.kept @ law.means
    apart = law.means - mean
    covariance = np.einsum("k,kij->ij", law.kept, law.dense())
    covariance = covariance + (law.kept * apart.T) @ apart
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dense, covariance, 1e-12, 1e-12)
    total = np.trace(covariance)
    np.testing.assert_allclose(moments.total_variance(), total, 1e-12, 1e-12)
    np.testing.assert_allclose(covariance @ ways, ways * values, 1e-10, 1e-12)
    np.testing.assert_allclose(
        values, np.linalg.eigvalsh(covariance)[::-1], 1e-10, 1e-12
    )
    found = values > float(moments.variance) + 1e-8
    gram = ways[:, found].T @ ways[:, found]
    np.testing.assert_allclose(gram, np.eye(found.sum()), atol=1e-10)
    check_moments(points, mean, covariance)
    prior = np.exp(log_prior)
    check_counts(np.bincount(labels, minlength=prior.size), prior)
    # Given their label, points follow the restricted law.
    for c in np.flatnonzero(prior)[:2]:
        given = law.kept * (law.labels == c)
        given = given / given.sum()
        centred = points[labels == c] - given @ law.means
        bound = Z * centred.std(axis=0) / np.sqrt(len(centred)) + 1e-12
        assert np.all(np.abs(centred.mean(axis=0)) <= bound)


soft_labels = eqx.filter_jit(
    lambda target, key, a, s: jax.vmap(lambda k: target.soft_labels(k, a, s))(
        jr.split(key, 1000)
    )
)


@pytest.mark.slow
@pytest.mark.long
@some_in_space(
    [
        "isotropic",
        "low rank",
        "full",
        "empirical kernel",
        "restricted",
        "empirical restricted",
        "Curie-Weiss",
        "one-hot hierarchy",
        "table",
    ]
)
def test_soft_labels_average_to_the_prior(name):
    """A posterior is a martingale: 1,000 draws, seed 13, z < 4.5 at each level."""
    target = BY_NAME[name].build()
    alphas, sigmas = jnp.array(NOISES[1:5]).T
    labels, log_p = map(np.asarray, soft_labels(target, jr.key(13), alphas, sigmas))
    p, prior = np.exp(log_p), np.exp(np.asarray(target.log_label_prior()))
    np.testing.assert_allclose(p.sum(axis=2), 1, rtol=1e-12)
    spread = p.std(axis=0) / np.sqrt(len(p))
    assert np.all(np.abs(p.mean(axis=0) - prior) <= Z * spread + 1e-9)
    # p(label | x) at the true label averages to sum_c p_c^2.
    own = np.take_along_axis(p, labels[:, None, None], axis=2)[..., 0]
    error = own - np.sum(p**2, axis=2)
    spread = error.std(axis=0) / np.sqrt(len(p))
    assert np.all(np.abs(error.mean(axis=0)) <= Z * spread + 1e-9)


@each_program
def test_limits_at_zero_noise(name):
    case = BY_NAME[name]
    target = case.build()
    x = probes(case)[0][2, 0]
    for alpha in (1.0, 0.7):
        # At a generic point the limit is reached long before sigma = 1e-9.
        true = reference(case.law, x, alpha, 1e-9)
        levels = jnp.array(alpha, float), jnp.array(0.0, float)
        got = one(target, jnp.asarray(x), *levels)
        _, mean, labels, density = map(np.asarray, got)
        np.testing.assert_allclose(np.exp(labels), np.exp(true.log_labels), atol=1e-8)
        np.testing.assert_allclose(mean, true.mean, rtol=1e-7, atol=1e-7)
        if case.has_density:
            np.testing.assert_allclose(density, true.log_density, rtol=1e-10)


@every_kind
def test_scores_at_zero_noise_are_refused(name):
    case = BY_NAME[name]
    target, x = case.build(), jnp.ones(case.dimension)
    for sigma in (0, 0.0, jnp.array(0.0)):
        with pytest.raises(ValueError, match="`sigma` is 0"):
            target.score(x, 1.0, sigma)
    with pytest.raises(ValueError, match="`sigma` is 0"):
        target.score_jacobian(x, 1.0, 0.0)
    with pytest.raises(ValueError, match="`sigma` is 0"):
        target.jacobian_product(x, x, 1.0, 0.0)
    if not case.has_density:
        with pytest.raises(ValueError, match="`sigma` is 0"):
            target.log_density(x, 1.0, 0.0)


@in_space
def test_a_point_of_another_length_is_refused(name):
    target = BY_NAME[name].build()
    for x in (jnp.ones(1), jnp.ones(target.dimension + 1)):
        asks = [target.score, target.denoise, target.log_density]
        if isinstance(target, AbstractLabelledTarget):
            asks.append(target.label_log_posterior)
        for ask in asks:
            with pytest.raises(ValueError, match="takes one point"):
                ask(x, 1.0, 0.5)


@labelled
def test_restriction(name):
    case = BY_NAME[name]
    target, num_labels = case.build(), len(case.law.mask)
    nothing = jnp.zeros(num_labels, bool)
    with pytest.raises(ValueError, match="`mask`"):
        target.restrict(nothing)
    with pytest.raises(ValueError, match="`mask`"):
        target.restrict(jnp.ones(num_labels + 1, bool))
    first = int(np.flatnonzero(case.law.mask)[0])
    mask = np.arange(num_labels) != first if num_labels > 1 else np.ones(1, bool)
    kept = target.restrict(jnp.asarray(mask))
    assert abs(np.logaddexp.reduce(np.asarray(kept.log_label_prior()))) < 1e-12
    smaller = replace(case.law, mask=tuple(mask & np.array(case.law.mask)))
    p = probe(name)
    out = run(kept, p.xs, p.v, p.alphas, p.sigmas)
    for i in (1, 2, 3):
        for j in range(NEAR):
            true = reference(smaller, p.xs[i, j], p.alphas[i], p.sigmas[i])
            tol = 1e-10 + 1000 * EPS / p.sigmas[i] ** 2
            np.testing.assert_allclose(out["mean"][i, j], true.mean, tol, tol)
            np.testing.assert_allclose(
                out["log_density"][i, j], true.log_density, tol, tol
            )
            np.testing.assert_allclose(
                np.exp(out["labels"][i, j]), np.exp(true.log_labels), tol, tol
            )


@named([BY_NAME["grouped"], BY_NAME["empirical kernel"]])
def test_traced_empty_restriction_is_an_error(name):
    labels = eqx.filter_jit(
        lambda target, mask, x: target.restrict(mask).label_log_posterior(x, 1.0, 1.0)
    )
    target, x = BY_NAME[name].build(), jnp.ones(3)
    some = labels(target, jnp.array([False, True, False]), x)
    np.testing.assert_array_equal(some, [-np.inf, 0, -np.inf])
    with pytest.raises(eqx.EquinoxRuntimeError, match="`mask`"):
        labels(target, jnp.zeros(3, bool), x)


def parameters(target) -> list[jax.Array]:
    """Where the law is, and how it is weighted."""
    if isinstance(target, Empirical):
        return [target.blocks.points, target.blocks.log_weights]
    if isinstance(target, Spins):
        return jax.tree.leaves(target.law)
    if isinstance(target, OneHot):
        law: Any = target.law
        return [law.log_weights, *law.log_rule_weights]
    if isinstance(target, Hypersphere):
        return [target.radius]
    if isinstance(target, ProductMixture):
        # Ends of intervals and knots move on their own: what holds for all kinds.
        return [target.log_weights]
    return [target.means, target.log_weights]


@eqx.filter_jit
@eqx.filter_value_and_grad
def observe(target, x, alpha, sigma, c):
    log_label = log_labels(target, x, alpha, sigma)[c]
    return target.log_density(x, alpha, sigma) + 2 * log_label


@pytest.mark.slow
@pytest.mark.long
@some_in_space(
    [
        "isotropic point masses",
        "restricted",
        "diagonal",
        "low rank",
        "full",
        "empirical points",
        "empirical restricted",
        "Ising chain restricted",
        "Curie-Weiss",
        "one-hot hierarchy",
        "interval",
        "table",
        "hypersphere",
    ]
)
def test_gradients_in_the_parameters(name):
    case = BY_NAME[name]
    target = case.build()
    x, alpha, sigma = contested(case)
    args = jnp.asarray(x), jnp.array(alpha), jnp.array(sigma)
    c = jnp.array(int(np.flatnonzero(case.law.mask)[-1]))
    _, gradient = observe(target, *args, c)
    for leaf in jax.tree.leaves(gradient):
        assert np.all(np.isfinite(leaf))
    rng, step = np.random.default_rng(6), 1e-5
    for i, leaf in enumerate(parameters(target)):
        way = jnp.asarray(rng.normal(size=leaf.shape))

        def moved(move, i=i, leaf=leaf, way=way):
            return eqx.tree_at(lambda t: parameters(t)[i], target, leaf + move * way)

        ahead, behind = (observe(moved(h), *args, c)[0] for h in (step, -step))
        slope = float(ahead - behind) / (2 * step)
        analytic = float(jnp.sum(way * parameters(gradient)[i]))
        assert abs(slope - analytic) <= 1e-6 * (1 + abs(slope))


@some_in_space(
    [
        "isotropic",
        "diagonal",
        "low rank",
        "full",
        "empirical points",
        "empirical kernel",
        "interval",
        "table",
        "hypersphere",
    ]
)
def test_new_values_do_not_recompile(name):
    case = BY_NAME[name]
    score = lambda target, x, alpha, sigma: target.score(x, alpha, sigma)
    jitted = eqx.filter_jit(eqx.debug.assert_max_traces(score, max_traces=1))
    shift = np.linspace(1, 2, case.dimension)
    for i in range(3):
        law = case.law.moved(np.eye(case.dimension), i * shift)
        x = jnp.asarray(i * shift)
        jitted(case.build(law), x, jnp.array(0.5 + 0.1 * i), jnp.array(0.1 + i))
