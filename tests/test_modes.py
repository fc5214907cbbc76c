"""Clone agreement of many modes and of nested ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from jaxwin.analysis import speciation
from jaxwin.processes import OrnsteinUhlenbeck

OU = OrnsteinUhlenbeck()
agreement = jax.jit(speciation.agreement)
disagreement = jax.jit(speciation.disagreement)


# Equidistant modes


@pytest.mark.slow
@pytest.mark.parametrize("w", [0.5, 1 - 1e-6])
def test_two_modes_are_the_closed_form(w):
    for s in (0.0, 1e-4, 0.4, 0.999999, 1.0, 1.7, 4.0, 9.0, 25.0):
        two = speciation.modes_disagreement(s, np.array([w, 1 - w]))
        np.testing.assert_allclose(two, disagreement(s / np.sqrt(2), w), rtol=1e-11)
        phi = agreement(s / np.sqrt(2), w)
        found = speciation.modes_agreement(s, np.array([w, 1 - w]))
        assert abs(float(found) - float(phi)) < 1e-13


def test_modes_at_reference_points():
    # 5.7, Monte Carlo to 2e-4; digits of the simplex integral below.
    for s, printed in ((1.0, 0.5190), (2.0, 0.8060), (3.0, 0.9531)):
        assert abs(float(speciation.modes_agreement(s, 3)) - printed) < 2e-4
    for s, printed in ((1.0, 0.67506), (2.0, 0.88449), (3.0, 0.97436)):
        assert abs(float(speciation.modes_agreement(s, 2)) - printed) < 0.6e-5
    exact = {
        3: ".518874200281 .805876026344 .953104874487 .993109906108",
        10: ".209668005860 .553120271172 .857350645760 .974647044241",
    }
    for k, row in exact.items():
        for s, printed in zip((1.0, 2.0, 3.0, 4.0), row.split(), strict=True):
            found = speciation.modes_agreement(s, k)
            assert abs(float(found) - float(printed)) < 1e-11


def plane_purity(s: float, weights: np.ndarray) -> float:
    """phi of three modes by a trapezoid rule in the plane that they span."""
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]) - 1 / 3
    axes = np.linalg.svd(corners)[2][:2]
    means = s * corners @ axes.T
    grid = np.linspace(-s - 9, s + 9, 700)
    x = np.stack(np.meshgrid(grid, grid), -1)[..., None, :]
    log_joint = np.log(weights) - 0.5 * np.sum((x - means) ** 2, -1) - np.log(2 * np.pi)
    density = np.exp(log_joint).sum(-1)
    purity = np.exp(2 * log_softmax(log_joint, axis=-1)).sum(-1)
    return float(np.sum(density * purity) * (grid[1] - grid[0]) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [[0.2, 0.5, 0.3], [0.001, 0.009, 0.99]])
def test_three_modes_of_any_weights_against_the_plane(weights):
    weights = np.array(weights)
    for s in (0.3, 1.3, 3.1):
        found = float(speciation.modes_agreement(s, weights))
        assert abs(found - plane_purity(s, weights)) < 1e-12
        # Weights are normalised.
        again = float(speciation.modes_agreement(s, 7 * weights))
        assert abs(found - again) < 1e-14


@pytest.mark.slow
def test_many_modes_are_one_class_of_their_number():
    for k, s in ((5, 0.7), (5, 2.2)):
        one = speciation.modes_disagreement(s, k)
        many = speciation.modes_disagreement(s, np.full(k, 1 / k))
        np.testing.assert_allclose(one, many, rtol=1e-12)
    # A mode of weight zero in the limit changes nothing.
    three = speciation.modes_agreement(1.5, np.array([0.4, 0.6, 1e-14]))
    two = speciation.modes_agreement(1.5, np.array([0.4, 0.6]))
    assert abs(float(three) - float(two)) < 1e-12
    # 1 - phi is at least that of a mode against the others, at most the sum of pairs.
    k = 10**6
    assert abs(float(speciation.modes_agreement(0.0, k)) - 1 / k) < 1e-13
    pair = float(disagreement(9 / np.sqrt(2)))
    assert pair < float(speciation.modes_disagreement(9.0, k)) < (k - 1) * 2 * pair


def test_many_modes_by_monte_carlo():
    # p of the own mode against k - 1 others, seed 0: 200 draws of all.
    k, s = 50_000, 4.0
    rng = np.random.default_rng(0)
    own = np.exp(s * (s + rng.normal(size=200)))
    rest = np.array([np.exp(s * rng.normal(size=k - 1)).sum() for _ in range(200)])
    p = own / (own + rest)
    error = p.std() / np.sqrt(200)
    assert error < 0.03
    assert abs(p.mean() - float(speciation.modes_agreement(s, k))) < 4 * error


@pytest.mark.slow
def test_gradients_of_modes():
    weights = jnp.array([0.2, 0.5, 0.3])
    slope = jax.jit(jax.grad(speciation.modes_agreement, (0, 1)))
    h = 1e-5
    for s in (0.6, 2.4):
        along_s, along_w = slope(s, weights)
        there = [speciation.modes_agreement(s + e, weights) for e in (h, -h)]
        assert abs(float(along_s) - float(there[0] - there[1]) / (2 * h)) < 1e-9
        for i in range(3):
            e = h * np.eye(3)[i]
            there = [speciation.modes_agreement(s, weights + f) for f in (e, -e)]
            assert abs(float(along_w[i]) - float(there[0] - there[1]) / (2 * h)) < 1e-9
    assert abs(float(slope(0.0, weights)[0])) < 1e-13


def test_modes_in_float32():
    for s in (0.2, 1.0, 3.0, 8.0):
        single = speciation.modes_disagreement(jnp.float32(s), 4)
        assert single.dtype == jnp.float32
        double = speciation.modes_disagreement(float(np.float32(s)), 4)
        np.testing.assert_allclose(single, double, rtol=1e-4)


# Nested modes


def test_nested_modes_at_reference_points():
    # 5.7: d = 4096, mu = 1 and 1 / 4, sigma = 1.
    for t, coarse, fine in (
        (4.158883, 0.775200, 0.410448),
        (2.772589, 0.999951, 0.775162),
        (2.0, 1.0, 0.977006),
    ):
        r = 64 * np.exp(-t) * np.array([1.0, 0.25])
        found = np.asarray(speciation.nested_agreement(jnp.asarray(r)))
        np.testing.assert_allclose(found, [coarse, fine], atol=1e-6)


def test_nested_modes_are_products_of_independent_splits():
    # 2 x 2 x 2 clusters in three dimensions, by a trapezoid rule.
    r, w = np.array([1.4, 0.9, 0.5]), np.array([0.5, 0.7, 0.2])
    found = speciation.nested_agreement(jnp.asarray(r), jnp.asarray(w))
    x = np.linspace(-8, 8, 161)
    sides = []
    for ri, wi in zip(r, w, strict=True):
        joint = (
            np.log([wi, 1 - wi])[:, None] - (x - ri * np.array([[1], [-1]])) ** 2 / 2
        )
        sides.append(np.exp(joint) / np.sqrt(2 * np.pi))
    joint = np.einsum("ax,by,cz->abcxyz", *(s[:, ::2] for s in sides))
    density = joint.sum((0, 1, 2))
    total = np.sum((joint**2).sum((0, 1, 2)) / density) * (2 * (x[1] - x[0])) ** 3
    np.testing.assert_allclose(found[-1], total, rtol=1e-10)
    alone = [float(agreement(a, b)) for a, b in zip(r, w, strict=True)]
    np.testing.assert_allclose(found, np.cumprod(alone), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speciation.modes_agreement(-1.0, 3), "`s` is -1"),
        (lambda: speciation.modes_agreement(1.0, 1), "`weights` is 1"),
        (lambda: speciation.modes_agreement(1.0, np.array([1.0])), "shape"),
        (lambda: speciation.modes_agreement(1.0, np.array([1.0, 0.0])), "empty mode"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
