"""Sparse combinations of atoms: independent supports decouple, fixed sizes do not."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from jaxwin._checks import BadInput
from jaxwin.analysis import windows
from jaxwin.analysis.windows import SparseDictionary
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck

OU = OrnsteinUhlenbeck()


def one_atom(coefficient: float, p: float, t: float) -> float:
    """A_10 of a coordinate N(0, 1) or N(c e^{-t}, 1), weight p, by quadrature."""
    c = coefficient * np.exp(-t)
    density = lambda x: scipy.stats.norm.pdf(x, c)
    absent = lambda x: scipy.special.expit(np.log((1 - p) / p) + c**2 / 2 - c * x)
    return scipy.integrate.quad(
        lambda x: density(x) * absent(x), c - 12, c + 12, epsabs=1e-13, limit=200
    )[0]


def test_presence_of_independent_atoms():
    coefficients, p = np.array([40.0, 6.0, 1.5]), np.array([0.2, 0.5, 0.7])
    sparse = SparseDictionary.independent(coefficients, p)
    presence = eqx.filter_jit(sparse.presence_confusion)
    for t in (0.3, 1.7, 3.4):
        found = presence(*OU.levels(jnp.array(t)))
        np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-14)
        for k in range(3):
            lost = one_atom(coefficients[k], p[k], t)
            assert abs(float(found[k, 1, 0]) - lost) < 1e-10
            # Detailed balance.
            assert np.isclose((1 - p[k]) * found[k, 0, 1], p[k] * lost, atol=1e-11)


def test_law_in_turned_atoms():
    rng = np.random.default_rng(0)
    atoms = np.linalg.qr(rng.normal(size=(6, 3)))[0].T
    coefficients, p = np.array([5.0, 2.0, 1.0]), np.array([0.2, 0.5, 0.7])
    sparse = SparseDictionary.independent(coefficients, p, atoms)
    law = sparse.law()
    assert law.means.shape == (8, 6)
    for k in range(8):
        inside = sparse.supports[k]
        np.testing.assert_allclose(
            law.means[k], (coefficients * inside) @ atoms, atol=1e-14
        )
        weight = np.prod(np.where(inside, p, 1 - p))
        assert np.isclose(np.exp(law.log_weights[k]), weight, rtol=1e-12)
    # Labels by one atom: its presence.
    by_atom = sparse.law(1)
    assert by_atom.num_labels == 2
    assert np.isclose(np.exp(by_atom.log_label_prior()[1]), 0.5)
    np.testing.assert_array_equal(sparse.containing(1), by_atom.labels == 1)


def test_confusion_is_a_kronecker_product():
    # Against 2e5 draws of the whole mixture in plain numpy, z of 4.5 over 64 entries.
    sparse = SparseDictionary.independent([8.0, 3.0, 2.0], [0.3, 0.5, 0.6])
    t = 1.1
    found = np.asarray(sparse.confusion(*OU.levels(t)))
    weights = np.exp(np.asarray(sparse.log_weights))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    flow = weights[:, None] * found
    np.testing.assert_allclose(flow, flow.T, atol=1e-13)
    np.testing.assert_allclose(weights @ found, weights, rtol=1e-12)
    rng, n = np.random.default_rng(3), 200_000
    means = np.asarray(sparse.law().means) * np.exp(-t)
    x = means[rng.choice(8, size=n, p=weights)] + rng.normal(size=(n, 3))
    log = np.log(weights) - 0.5 * np.sum((x[:, None] - means) ** 2, axis=2)
    r = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
    # A_ij = E_p r_i r_j / w_i.
    for i in range(8):
        each = r[:, [i]] * r / weights[i]
        error = each.std(axis=0) / np.sqrt(n)
        assert np.all(np.abs(each.mean(axis=0) - found[i]) < 4.5 * error)


@pytest.mark.slow
def test_windows_of_independent_atoms_are_resolved():
    # A strong atom is told long after a weak one is lost: an interval of the theorem.
    sparse = SparseDictionary.independent([500.0, 5.0])
    law, strong = sparse.law(), sparse.containing(0)
    initial = np.flatnonzero(strong)[:1]
    found = windows.thresholds(law, initial, strong, 0.1, pairs=True)
    assert found.answer == "interval"
    apart = np.sqrt(8) * scipy.special.erfinv(0.99)
    assert abs(float(found.start.time) - np.log(500 / apart)) < 1e-9
    # In between the weak atom is forgotten, the strong one kept.
    t = 0.5 * (float(found.end.time) + float(found.start.time))
    presence = np.asarray(sparse.presence_confusion(*OU.levels(t)))
    assert presence[0, 1, 1] > 0.999
    assert abs(presence[1, 1, 1] - 0.5) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("count", "size"), [(4, 2), (6, 3), (8, 1)])
def test_supports_of_fixed_size_have_an_empty_interval(count, size):
    # Swapping one atom is no more than what is to be told together.
    sparse = SparseDictionary.fixed_size(np.full(count, 30.0), size)
    law, inside = sparse.law(), sparse.containing(0)
    assert law.means.shape[0] == scipy.special.comb(count, size, exact=True)
    assert np.all(sparse.supports.sum(axis=1) == size)
    found = windows.thresholds(law, np.flatnonzero(inside)[:1], inside, 0.1, pairs=True)
    if size == 1:
        # One support holds the atom: nothing is to be told together.
        assert found.answer == "interval"
        return
    assert found.answer == "empty"
    assert float(found.end.time) > float(found.start.time)
    with pytest.raises(BadInput, match="needs independent supports"):
        sparse.presence_confusion(0.5, 0.5)


@pytest.mark.slow
def test_fixed_size_is_empty_by_sub_mixtures_too():
    # Three atoms, two in each support: a plane, total variations by quadrature.
    sparse = SparseDictionary.fixed_size([30.0, 30.0, 30.0], 2)
    inside = sparse.containing(0)
    initial = np.flatnonzero(inside)[:1]
    found = windows.thresholds(sparse.law(), initial, inside, 0.1)
    assert found.answer == "empty"
    # One of two at 30 sqrt 2: half a pair's TV.
    together = np.sqrt(8) * scipy.special.erfinv(0.2)
    end = np.log(30 * np.sqrt(2) / together)
    assert abs(float(found.end.time) - end) < 1e-8
    # Told from the third support later than its two neighbours are each.
    assert 0 < float(found.start.time) < end - 1


@pytest.mark.slow
def test_exact_confusion_of_fixed_size_has_a_window():
    # Presence of an atom: survival falls from one to its share, all the same.
    sparse = SparseDictionary.fixed_size(np.full(6, 30.0), 3)
    noises = np.linspace(0.5, 6.0, 12)
    observed = Observed(sparse.law(0), Gaussian())
    found = windows.confusion(observed, noises, num_replicas=8192, key=jr.key(2))
    kept = np.asarray(found.matrix)[:, 1, 1]
    error = np.asarray(found.stderr)[:, 1, 1]
    assert kept[0] > 0.9999
    assert abs(kept[-1] - 0.5) < 4 * error[-1] + 0.01
    assert np.all(np.diff(kept) < 4 * error[1:] + 1e-9)
    survival = windows.survival(found, [[1]])
    early, middle, late = (
        float(np.asarray(getattr(survival, name).time).ravel()[0])
        for name in ("early", "middle", "late")
    )
    assert early < middle < late
    # The swapped pair's own window: 30 sqrt 2 apart, ln(30 / sqrt 2 / m*).
    assert abs(middle - np.log(30 / np.sqrt(2) / 0.9224)) < 0.8


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="away from orthonormal"):
        SparseDictionary.independent([1.0, 2.0], atoms=[[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(BadInput, match="one row an"):
        SparseDictionary.independent([1.0, 2.0], atoms=np.eye(3))
    with pytest.raises(BadInput, match="more than 16384 supports"):
        SparseDictionary.independent(np.ones(15))
    with pytest.raises(BadInput, match="more than 16384 supports"):
        SparseDictionary.fixed_size(np.ones(30), 15)
    with pytest.raises(BadInput, match="`size` is 3; it must lie between 1 and 2"):
        SparseDictionary.fixed_size(np.ones(3), 3)
    with pytest.raises(ValueError, match="`coefficients` is -1"):
        SparseDictionary.fixed_size([1.0, -1.0], 1)
    with pytest.raises(ValueError, match="`probabilities` is 1"):
        SparseDictionary.independent(jnp.ones(2), 1.0)
    with pytest.raises(BadInput, match="has shape"):
        SparseDictionary.independent(np.ones((2, 2)))
