"""Float32 against float64 at the same float32 inputs, sigma from 1e-3 to 1e3.

The tests marked f32 run with 64-bit floats off, in a second process that the one
unmarked test starts. References are plain numpy in float64.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxwin import _streaming
from jaxwin._streaming import ROUNDING
from jaxwin.targets import AbstractLabelledTarget, Empirical, GaussianMixture, reduce

SIGMAS = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3]
ALPHA = float(np.float32(0.7))
MOVES = 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "marked",
    ["f32 and not slow", pytest.param("f32 and slow", marks=pytest.mark.slow)],
)
def test_float32_suite_passes_in_its_own_process(marked):
    """Every test of the folder that is marked f32, with 64-bit floats off."""
    here = Path(__file__).parent
    options = ["-m", marked, "-q", "-n0", "-p", "no:cacheprovider"]
    # The other files have none, and take their time to import.
    files = [p for p in sorted(here.glob("test_*.py")) if "mark.f32" in p.read_text()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        env=os.environ | {"JAXWIN_TEST_X64": "0"},
        cwd=here.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-2000:]
    assert int(passed[1]) > 0
    assert " skipped" not in done.stdout


@dataclass(frozen=True)
class Row:
    """A law in float32, its log-joint in float64, and clean draws of its points."""

    target: AbstractLabelledTarget
    log_joint: Callable[[np.ndarray, float, float], np.ndarray]
    means: np.ndarray
    clean: Callable[[np.random.Generator, int], np.ndarray]


def paired_means(
    rng: np.random.Generator, k: int, d: int, sigma: float, offset: float
) -> np.ndarray:
    """k / 2 places of unit variance; at each two means, two noise levels apart."""
    places = rng.normal(size=(k // 2, 1, d)) + offset
    ways = rng.normal(size=(k // 2, 1, d))
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    apart = np.array([-1.0, 1.0])[:, None] * sigma / ALPHA
    return (places + apart * ways).reshape(k, d).astype(np.float32)


def exact(
    means: np.ndarray, basis: np.ndarray | None, values: np.ndarray
) -> Callable[[np.ndarray, float, float], np.ndarray]:
    """Log-joint of equal weights by eigenvectors (None: the axes) in float64."""
    means, values = means.astype(np.float64), values.astype(np.float64)

    def log_joint(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
        offset = x - alpha * means
        inside = offset if basis is None else (offset[:, None] @ basis)[:, 0]
        noised = alpha**2 * values + sigma**2
        return -0.5 * np.sum(inside**2 / noised + np.log(noised), axis=1)

    return log_joint


def point_masses(rng, sigma, *, k, d, offset=0.0) -> Row:
    means = paired_means(rng, k, d, sigma, offset)
    law = GaussianMixture.isotropic(means, 0.0)
    joint = exact(means, None, np.zeros((1, d)))
    return Row(law, joint, means, lambda rng, i: means[i])


def data_set(rng, sigma, *, k, d, offset=0.0, bandwidth=0.0) -> Row:
    h = float(np.float32(bandwidth))
    level = np.sqrt(sigma**2 + ALPHA**2 * h**2)
    means = paired_means(rng, k, d, level, offset)
    law = Empirical(means, np.arange(k), h)
    joint = exact(means, None, np.full((1, d), h**2))
    return Row(law, joint, means, lambda rng, i: means[i] + h * rng.normal(size=d))


def general(rng, sigma, *, k, d, kind, scale=1.0, spread=0.1, offset=0.0) -> Row:
    """Covariances scale * (1 +- spread), of every kind but low rank."""
    level = np.sqrt(sigma**2 + ALPHA**2 * scale)
    means = paired_means(rng, k, d, level, offset)
    if kind == "full":
        turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
        # A spectrum over three decades, nearly shared: classes of images.
        values = scale * np.arange(1, d + 1.0) ** -1.0
        values = values * np.exp(spread * rng.normal(size=(k, d)))
        tilt = np.linalg.qr(np.eye(d) + 2e-3 * rng.normal(size=(k, d, d)))[0]
        axes = turn @ tilt
        dense = (axes * values[:, None]) @ np.swapaxes(axes, 1, 2)
        dense = ((dense + np.swapaxes(dense, 1, 2)) / 2).astype(np.float32)
        law = GaussianMixture.full(means, dense)
        values, basis = np.linalg.eigh(dense.astype(np.float64))
        values = np.clip(values, 0, None)
    else:
        shape = (k, d) if kind == "diagonal" else (k, 1)
        values = scale * (1 + spread * rng.uniform(-1, 1, size=shape))
        values = values.astype(np.float32)
        build = getattr(GaussianMixture, kind)
        law = build(means, values if kind == "diagonal" else values[:, 0])
        values, basis = np.broadcast_to(values, (k, d)).astype(np.float64), None

    def clean(rng: np.random.Generator, i: int) -> np.ndarray:
        z = np.sqrt(values[i]) * rng.normal(size=d)
        return means[i] + (z if basis is None else basis[i] @ z)

    return Row(law, exact(means, basis, values), means, clean)


def low_rank(rng, sigma, *, k, d, floor, size, offset=0.0) -> Row:
    """Four factors a component over one floor; pairs share theirs but for 1 %."""
    level = np.sqrt(sigma**2 + ALPHA**2 * floor)
    means = paired_means(rng, k, d, level, offset)
    factors = np.repeat(rng.normal(size=(k // 2, d, 4)), 2, axis=0)
    factors = factors + 0.01 * rng.normal(size=factors.shape)
    factors = (size * factors).astype(np.float32)
    law = GaussianMixture.low_rank(means, factors, np.float32(floor))
    floor = float(np.float32(floor))
    basis, singular, _ = np.linalg.svd(factors.astype(np.float64), full_matrices=False)

    def log_joint(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
        offset = x - alpha * means.astype(np.float64)
        inside = np.einsum("kd,kdr->kr", offset, basis)
        outside = offset - np.einsum("kr,kdr->kd", inside, basis)
        low = alpha**2 * floor + sigma**2
        high = low + alpha**2 * singular**2
        square = np.sum(inside**2 / high, 1) + np.sum(outside**2, 1) / low
        return -0.5 * (square + np.sum(np.log(high / low), 1))

    def clean(rng: np.random.Generator, i: int) -> np.ndarray:
        z = np.sqrt(floor) * rng.normal(size=d)
        return means[i] + z + factors[i] @ rng.normal(size=4)

    return Row(law, log_joint, means, clean)


ROWS: dict[str, tuple[Callable[..., Row], dict[str, Any]]] = {
    "points, 64 in 784": (point_masses, dict(k=64, d=784)),
    "points at 100": (point_masses, dict(k=64, d=784, offset=100.0)),
    "64 in 256": (point_masses, dict(k=64, d=256)),
    "2 in 1024": (point_masses, dict(k=2, d=1024)),
    "64 in 256 at 100": (point_masses, dict(k=64, d=256, offset=100.0)),
    "4096 in 784 at 0.5": (point_masses, dict(k=4096, d=784, offset=0.5)),
    "data, 64 in 784": (data_set, dict(k=64, d=784)),
    "data at 100": (data_set, dict(k=64, d=784, offset=100.0)),
    "data, 4096 in 784 at 0.5": (data_set, dict(k=4096, d=784, offset=0.5)),
    "kernel at 100": (data_set, dict(k=64, d=784, offset=100.0, bandwidth=0.3)),
    "isotropic": (general, dict(k=16, d=784, kind="isotropic")),
    "isotropic, close": (general, dict(k=16, d=784, kind="isotropic", spread=0.01)),
    "isotropic at 100": (general, dict(k=16, d=784, kind="isotropic", offset=100.0)),
    "diagonal": (general, dict(k=16, d=784, kind="diagonal")),
    "diagonal, narrow": (general, dict(k=16, d=784, kind="diagonal", scale=1e-4)),
    "low rank": (low_rank, dict(k=16, d=784, floor=1.0, size=0.1)),
    "low rank, narrow": (low_rank, dict(k=16, d=784, floor=1e-4, size=1.0)),
    "low rank at 100": (low_rank, dict(k=16, d=784, floor=0.1, size=1.0, offset=1e2)),
    "full": (general, dict(k=4, d=196, kind="full", scale=10.0, spread=0.05)),
    "full in 784": (general, dict(k=2, d=784, kind="full", scale=10.0, spread=0.05)),
}
LARGE = {"4096 in 784 at 0.5", "data, 4096 in 784 at 0.5", "full in 784"}


@eqx.filter_jit
def responsibilities(target, xs, alpha, sigma):
    at = lambda x: jnp.exp(target.label_log_posterior(x, alpha, sigma))
    return jax.vmap(at)(xs)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def compare(row: Row, xs: np.ndarray, sigma: float, rng) -> Iterator[tuple]:
    """Error of each point's responsibilities, and the largest change by moves of x."""
    args = jnp.asarray(xs), jnp.float32(ALPHA), jnp.float32(sigma)
    got = np.asarray(responsibilities(row.target, *args), np.float64)
    assert np.all(np.isfinite(got))
    sigma = float(np.float32(sigma))
    for x, p in zip(xs, got, strict=True):
        centre = x.astype(np.float64)
        true = softmax(row.log_joint(centre, ALPHA, sigma))
        half = np.spacing(np.abs(x)).astype(np.float64) / 2
        moves = half * rng.choice([-1.0, 1.0], size=(MOVES, x.size))
        changes = [
            np.abs(softmax(row.log_joint(centre + move, ALPHA, sigma)) - true).max()
            for move in moves
        ]
        yield np.abs(p - true).max(), max(changes), np.sort(true)[-2:].min()


@pytest.mark.f32
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in ROWS],
)
def test_responsibilities(name):
    """Within 1e-5 + 4 moves of x, and for x of the noised law within 1e-4."""
    build, sizes = ROWS[name]
    rng = np.random.default_rng(0)
    count, contested = (3, 0) if name in LARGE else (6, 0)
    for sigma in [1e-3, 0.1, 1.0, 100.0] if name in LARGE else SIGMAS:
        row = build(rng, sigma, **sizes)
        first = rng.integers(len(row.means), size=count)
        clean = np.array([row.clean(rng, i) for i in first])
        noised = ALPHA * clean + sigma * rng.normal(size=clean.shape)
        partner = np.where(np.arange(count) % 2, first ^ 1, first[::-1])
        means = row.means.astype(np.float64)
        middle = ALPHA * (means[first] + means[partner]) / 2
        for error, change, _ in compare(row, middle.astype(np.float32), sigma, rng):
            assert error <= 1e-5 + 4 * change, (name, sigma, "midpoint")
        for error, change, second in compare(
            row, noised.astype(np.float32), sigma, rng
        ):
            assert error <= 1e-5 + 4 * change, (name, sigma, "noised")
            assert error <= 1e-4, (name, sigma, "noised")
            contested += second > 0.01
    # The test says nothing unless components compete.
    assert contested >= 3


@pytest.mark.f32
@pytest.mark.parametrize(
    "name", ["points, 64 in 784", "64 in 256 at 100", "data, 64 in 784", "data at 100"]
)
def test_responsibilities_at_the_edge_of_the_plain_form(name):
    """At the smallest noise at which log-weights about the centre are kept."""
    build, sizes = ROWS[name]
    rng = np.random.default_rng(4)
    limit = 0.95 * ROUNDING["float32"] / np.finfo(np.float32).eps
    means = build(rng, 1.0, **sizes).means.astype(np.float64)
    radius = np.sqrt(np.sum((means - means.mean(0)) ** 2, axis=1).max())
    sigma = 1.2 * ALPHA * radius / np.sqrt(limit)
    row = build(rng, sigma, **sizes)
    clean = row.means[rng.integers(64, size=12)]
    xs = ALPHA * clean + sigma * rng.normal(size=clean.shape)
    for error, change, _ in compare(row, xs.astype(np.float32), sigma, rng):
        assert error <= 1e-5 + 4 * change
        assert error <= 1e-4


own_responsibilities = eqx.filter_jit(
    lambda law, i, z, a, s: jnp.exp(law.own_many(i, z, a, s).label_log_posterior)
)
own_ratio = eqx.filter_jit(
    lambda law, i, z, a, s: jax.vmap(
        lambda i, z: jax.vmap(lambda a, s: law.own_log_ratio(i, z, a, s))(a, s)
    )(i, z)
)


@pytest.mark.f32
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("bandwidth", [0.0, 0.3])
@pytest.mark.parametrize("apart", [1e-3, 0.1, 10.0])
def test_responsibilities_with_a_known_own_point(offset, bandwidth, apart):
    """Within 1e-5 at every sigma, whatever the data: x itself is never formed."""
    rng = np.random.default_rng(1)
    points = paired_means(rng, 64, 784, apart, offset)
    law = Empirical(points, np.arange(64), bandwidth)
    index, h = rng.integers(64, size=6), float(np.float32(bandwidth))
    z = rng.normal(size=(6, 784)).astype(np.float32)
    sigmas = np.array([*SIGMAS, apart / 2, 2 * apart], np.float32)
    alphas = np.full(sigmas.size, ALPHA, np.float32)
    args = jnp.asarray(index), jnp.asarray(z), jnp.asarray(alphas), jnp.asarray(sigmas)
    got = np.asarray(own_responsibilities(law, *args), np.float64)
    ratio = np.asarray(own_ratio(law, *args), np.float64)
    for b, i in enumerate(index):
        away = points.astype(np.float64) - points[i].astype(np.float64)
        for t, sigma in enumerate(sigmas.astype(np.float64)):
            scale = ALPHA / np.sqrt(sigma**2 + ALPHA**2 * h**2)
            logits = scale * away @ z[b].astype(np.float64)
            logits = logits - 0.5 * scale**2 * np.sum(away**2, axis=1)
            true = softmax(logits)
            assert np.abs(got[b, t] - true).max() <= 1e-5
            rest = 1 - true[i]
            if rest > 1e-3:
                assert abs(ratio[b, t] - np.log(rest / true[i])) <= 2e-5 / rest


@eqx.filter_jit
def everything(law, xs, alpha, sigma):
    at = lambda x: (
        law.log_density(x, alpha, sigma),
        law.score(x, alpha, sigma),
        law.denoise(x, alpha, sigma),
        law.jacobian_product(x, x, alpha, sigma),
        *law.local(x, alpha, sigma),
        jax.grad(law.log_density)(x, alpha, sigma),
    )
    return jax.vmap(at)(xs)


MEANS = np.random.default_rng(2).normal(size=(4, 784)).astype(np.float32)


@pytest.mark.f32
@pytest.mark.parametrize(
    "build",
    [
        lambda: GaussianMixture.isotropic(MEANS, 0.0),
        lambda: GaussianMixture.low_rank(MEANS, MEANS[:2].T, 0.0),
        lambda: Empirical(MEANS, np.arange(4)),
    ],
    ids=["points", "low rank", "data"],
)
def test_everything_is_finite_and_single(build):
    """No overflow at either end, no float64 on the way; sigma = 0 has its limit."""
    law, alpha = build(), jnp.float32(0.7)
    xs = jnp.asarray(np.stack([0.7 * MEANS[0], 1e4 * MEANS[1] / 28, 0 * MEANS[2]]))
    for sigma in SIGMAS:
        for value in everything(law, xs, alpha, jnp.float32(sigma)):
            assert value.dtype == jnp.float32
            assert np.all(np.isfinite(value))
    at_zero = responsibilities(law, xs[:1], alpha, jnp.float32(0.0))
    np.testing.assert_allclose(at_zero[0, 0], 1, atol=1e-6)


@pytest.mark.f32
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_reduced_labels(offset):
    """K means span K - 1 directions; labels there within the limits of the whole."""
    rng = np.random.default_rng(3)
    for sigma in SIGMAS:
        level = np.hypot(sigma, 0.2 * ALPHA)
        means = paired_means(rng, 8, 784, level, offset)
        law = GaussianMixture.isotropic(means, np.float32(0.04))
        reduction = reduce(law)
        assert reduction is not None
        assert reduction.basis.shape == (784, 7)
        joint = exact(means, None, np.full((1, 784), np.float32(0.04)))
        x = (ALPHA * means[0] + level * rng.normal(size=784)).astype(np.float32)
        y = reduction.project(jnp.asarray(x), jnp.float32(ALPHA))
        got = responsibilities(
            reduction.target, y[None], jnp.float32(ALPHA), jnp.float32(sigma)
        )
        true = softmax(joint(x.astype(np.float64), ALPHA, float(np.float32(sigma))))
        np.testing.assert_allclose(got[0], true, rtol=0, atol=1e-4)


@pytest.mark.f32
def test_points_of_numpy_take_the_form_of_float32():
    """A float64 array of numpy is float32 here: it must not pass for float64."""
    form = _streaming.by_form(
        jnp.asarray(1e4, jnp.float32),
        np.dtype("float64"),
        lambda dtype: jnp.zeros(()),
        lambda: jnp.ones(()),
    )
    assert form == 1
