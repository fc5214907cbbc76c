"""Confusion of labels in every tier: printed values, balance, agreement, survival."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.special

from jaxwin._checks import BadInput
from jaxwin.analysis import speciation
from jaxwin.analysis.windows import Confusion, confusion, survival
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.io import to_dataset, to_json
from jaxwin.processes import VarianceExploding
from jaxwin.targets import Empirical, GaussianMixture, ProductMixture, factors

# Flips at half-distance m of two equal components; windows 2.3 E1.
FLIPS = {
    0.25: 0.470527012230,
    0.5: 0.397972867183,
    1.0: 0.224799754603,
    2.0: 0.034298704395,
    3.0: 0.002075539870,
}
ONE_LESS = 0.8125, 1.9


def flip(m, odds=0.0):
    """E[1 / (1 + exp(log odds + 2 m^2 + 2 m Z))], by scipy."""
    value = lambda z: (
        math.exp(-z * z / 2) * scipy.special.expit(-odds - 2 * m**2 - 2 * m * z)
    )
    found = scipy.integrate.quad(value, -14, 14, epsabs=1e-14, limit=400)[0]
    return found / math.sqrt(2 * math.pi)


def balanced(found: Confusion) -> None:
    """Rows, detailed balance and w A = w, to rounding."""
    assert found.log_prior is not None
    weights = np.exp(found.log_prior)
    flow = weights[:, None] * found.matrix
    np.testing.assert_allclose(found.matrix.sum(axis=2), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(flow, flow.swapaxes(1, 2), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        flow.sum(axis=1), np.tile(weights, (len(flow), 1)), rtol=0, atol=1e-12
    )


def two(weights=(0.5, 0.5), m=10.0):
    means = np.zeros((2, 5))
    means[:, 1] = m, -m
    return GaussianMixture.isotropic(means, 1.0, weights)


def test_flips_of_two_components():
    places = np.array([*FLIPS, *ONE_LESS])
    found = confusion(two(), np.log(10 / places))
    assert found.method == "closed"
    balanced(found)
    exact = [flip(m) for m in places]
    np.testing.assert_allclose(found.matrix[:, 0, 1], exact, atol=1e-12)
    np.testing.assert_allclose(found.matrix[:5, 0, 1], list(FLIPS.values()), atol=1e-12)
    line = confusion(two(), np.log(10 / places), method="quadrature")
    np.testing.assert_allclose(line.matrix, found.matrix, atol=1e-12)
    balanced(line)


@pytest.mark.slow
def test_flips_of_unequal_weights():
    # Keep in the majority and in the minority of (.9, .1); windows 2.4.
    printed = {
        3.0: (0.9993448433, 0.9941035895),
        2.0: (0.9896858451, 0.9071726061),
        1.0: (0.9411293362, 0.4701640257),
        0.5: (0.9103875772, 0.1934881949),
    }
    places = np.array([*printed, *ONE_LESS])
    for method in ("closed", "quadrature"):
        found = confusion(two((0.9, 0.1)), np.log(10 / places), method=method)
        kept = np.einsum("tcc->tc", found.matrix)
        np.testing.assert_allclose(kept[:4], list(printed.values()), atol=6e-11)
        exact = [flip(m, np.log(9)) for m in places]
        np.testing.assert_allclose(found.matrix[:, 0, 1], exact, atol=1e-12)
        balanced(found)
        # phi, to 1e-12: sum_i w_i A_ii.
        levels = jnp.asarray(np.log(10 / places))
        phi = speciation.closed_form(two((0.9, 0.1)), levels)
        assert phi is not None
        np.testing.assert_allclose(kept @ [0.9, 0.1], phi, rtol=0, atol=1e-12)


SIMPLEX = {
    3: (0.518874200281, 0.805876026344, 0.953104874487, 0.993109906108),
    10: (0.209668005860, 0.553120271172, 0.857350645760, 0.974647044241),
    1000: (0.002705829038, 0.035517540132, 0.267271764195, 0.676558695383),
}


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_simplex(count):
    law = GaussianMixture.isotropic(10 * np.eye(count), 1.0)
    c = np.array([1.0, 2.0, 3.0, 4.0])
    found = confusion(law, np.log(10 / c))
    assert found.method == "closed"
    np.testing.assert_allclose(found.matrix[:, 0, 0], SIMPLEX[count], atol=1e-11)
    balanced(found)
    if count == 3:
        plane = confusion(law, np.log(10 / c), method="quadrature")
        assert np.all(np.abs(plane.matrix - found.matrix) < 1e-10)
        balanced(plane)
    else:
        middle = confusion(law, [np.log(10 / 1.991785746)])
        np.testing.assert_allclose(middle.matrix[0, 0, 0], 0.55, atol=1e-9)


@pytest.mark.slow
def test_simplex_of_a_thousand():
    law = GaussianMixture.isotropic(10 * np.eye(1000), 1.0)
    c = np.array([1.0, 2.0, 3.0, 4.0, 3.565854697])
    found = confusion(law, np.log(10 / c))
    exact = [*SIMPLEX[1000], (1 + 1 / 1000) / 2]
    np.testing.assert_allclose(found.matrix[:, 7, 7], exact, atol=1e-9)
    balanced(found)


@pytest.mark.slow
def test_random_means_in_the_gram_space():
    # E5, 2^18 draws in nine dimensions whatever d; their error is below 1.4e-3, that
    # of the printed values 4e-4; seed 0, 4.5 standard errors.
    printed = {
        1.5: 1.0,
        2.0: 0.98472,
        2.5: 0.75015,
        2.75: 0.55416,
        3.0: 0.38543,
        3.5: 0.19685,
        4.0: 0.13232,
    }
    means = np.random.default_rng(0).standard_normal((10, 1000))
    law = GaussianMixture.isotropic(means, 1.0)
    found = confusion(law, list(printed), num_replicas=2**18, block_size=512)
    assert found.method == "sampled"
    kept, stderr = found.matrix[:, 0, 0], found.stderr[:, 0, 0]
    gap = np.abs(kept - list(printed.values()))
    assert np.all(gap < 4.5 * np.hypot(stderr, 4e-4))
    assert np.all(stderr < 1.4e-3)
    balanced(found)


@pytest.mark.slow
def test_one_mean_and_two_widths():
    law = GaussianMixture.isotropic(np.zeros((2, 100)), [1.0, 2.0], [0.3, 0.7])
    found = confusion(law, [0.4, 1.0, 2.0])
    assert found.method == "closed"
    balanced(found)
    # chi^2 of 100: x^49 e^(-x/2) / (2^50 49!).
    log_pdf = lambda x: 49 * math.log(x) - x / 2 - 50 * math.log(2) - math.lgamma(50)
    for t, matrix in zip(found.noise, found.matrix, strict=True):
        a, b = 1.0, 1 + np.exp(-2 * t)
        # Over the chi-square law of the narrow one, x = |y|^2.
        log_odds = lambda x, a=a, b=b: (
            np.log(7 / 3) - 50 * np.log(b / a) + x * (1 / a - 1 / b) / 2
        )
        value = lambda x, f=log_odds: math.exp(log_pdf(x)) / (1 + math.exp(-f(x)))
        exact = scipy.integrate.quad(value, 10, 400, epsabs=1e-13, limit=400)[0]
        np.testing.assert_allclose(matrix[0, 1], exact, atol=1e-11)


@pytest.mark.slow
def test_full_covariances_on_a_plane():
    covariances = [[[2, 0.5], [0.5, 1]], [[0.5, 0], [0, 3]]]
    law = GaussianMixture.full([[1.0, -1], [-2, 2]], covariances)
    found = confusion(law, [0.0, 1.0])
    assert found.method == "quadrature"
    flips = found.matrix[:, 0, 1]
    np.testing.assert_allclose(flips, [0.044826602, 0.304013582], atol=6e-10)
    assert found.error is not None
    assert found.error < 1e-10
    balanced(found)


@pytest.mark.slow
def test_quartic_components():
    printed = {0.3: 0.0056590032, 0.5: 0.0317637963, 1: 0.1812549091, 2: 0.4278640680}
    law = ProductMixture([factors.quartic(m, 1.0, 1.0) for m in (3.0, -3.0)])
    found = confusion(law, list(printed))
    np.testing.assert_allclose(found.matrix[:, 0, 1], list(printed.values()), atol=1e-8)
    balanced(found)


# Draws against what is known


LAWS = {
    "line": GaussianMixture.isotropic(
        [[-2.0], [0.0], [0.7], [4.0]], [1.0, 0.3, 2.0, 1.0], [0.1, 0.2, 0.3, 0.4]
    ),
    # Labels of several components.
    "grouped": GaussianMixture.isotropic(
        [[-2.0], [0.0], [0.7], [4.0]],
        [0.5, 0.3, 2.0, 1.0],
        [0.1, 0.2, 0.3, 0.4],
        labels=[1, 0, 1, 0],
    ),
    "one covariance": GaussianMixture.full(
        np.random.default_rng(1).normal(size=(3, 6)),
        np.diag(np.linspace(0.2, 2, 6)) + 0.1,
        [0.2, 0.3, 0.5],
    ),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", ["grouped", "one covariance"])
def test_draws_agree_with_quadrature(name):
    # 8,192 draws, z <= 4.5 over all entries and noises.
    times = [0.1, 0.5, 1.2]
    exact = confusion(LAWS[name], times)
    drawn = confusion(LAWS[name], times, method="sampled")
    assert exact.method == "quadrature"
    z = (drawn.matrix - exact.matrix) / drawn.stderr
    assert np.all(np.abs(z) < 4.5), z
    balanced(exact)
    balanced(drawn)
    assert exact.log_prior is not None
    phi = np.einsum("i,tii->t", np.exp(exact.log_prior), exact.matrix)
    seen = Observed(LAWS[name], Gaussian())
    other = speciation.clone_agreement(seen, np.array([0.1, 0.5, 1.2, 2.0]))
    assert np.all(np.abs(other.phi[:3] - phi) < 4.5 * other.stderr[:3])
    assert drawn.block_means is not None
    assert drawn.block_counts is not None
    share = drawn.block_counts / drawn.block_counts.sum()
    mean = np.tensordot(share, drawn.block_means, axes=1)
    np.testing.assert_allclose(mean, drawn.matrix, atol=1e-12)
    # Errors of the mean of 128 blocks, known to 6 %.
    spread = drawn.block_means.std(axis=0, ddof=1) / np.sqrt(128)
    np.testing.assert_allclose(spread, drawn.stderr, rtol=0.3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.long
def test_draws_cover():
    # 120 replicates of 1,024 draws of one entry: 95 % +- 2.3 * 2 %.
    law = LAWS["line"]
    exact = confusion(law, [0.5]).matrix[0, 1, 2]
    inside = []
    for seed in range(120):
        drawn = confusion(
            law, [0.5], method="sampled", num_replicas=1024, key=jr.key(seed)
        )
        error = drawn.stderr[0, 1, 2]
        inside.append(abs(drawn.matrix[0, 1, 2] - exact) < 1.96 * error)
    assert 0.905 <= np.mean(inside) <= 0.995


@pytest.mark.slow
def test_a_law_that_only_draws():
    # Points with labels: the same estimator on any law, another clock.
    points = np.random.default_rng(4).normal(size=(40, 3))
    law = Empirical(points, np.arange(40) % 3, bandwidth=0.3)
    found = confusion(
        law, [0.5, 2.0], process=VarianceExploding(0.01, 50.0), num_replicas=512
    )
    assert found.method == "sampled"
    balanced(found)
    assert to_dataset(found)["matrix"].dims == ("noise", "class", "other_class")
    assert to_json(found)["method"] == "sampled"


class Simulated(AbstractObserved):
    """A law whose exact labels are hidden, and whose way back may be another's."""

    law: GaussianMixture
    model: GaussianMixture
    channel: Gaussian = eqx.field(default_factory=Gaussian)

    @property
    def has_exact_labels(self):
        return False

    def start(self, key):
        return self.law.sample_labelled(key)

    def log_label_prior(self):
        return self.law.log_label_prior()

    def observe(self, key, x0, noise):
        return self.channel.corrupt(key, x0, noise)

    def resample(self, key, observation, noise):
        return self.channel.resample(self.model, key, observation, noise)

    def label_probabilities(self, x0):
        return jnp.exp(self.law.label_log_posterior(x0, 1.0, 0.0))

    def label_log_posterior(self, observation, noise):
        raise NotImplementedError

    def coordinate(self, noise):
        return self.channel.coordinate(noise)

    def noise_at(self, coordinate):
        return self.channel.noise_at(coordinate)

    def soft_labels(self, key, noises):
        raise NotImplementedError


@pytest.mark.slow
def test_a_model_is_simulated():
    # 8,192 U-turns; z <= 4. A wrong model has no detailed balance.
    law, times = two((0.7, 0.3), 3.0), [0.3, 1.0, 1.6]
    right = confusion(Simulated(law, law), times)
    assert right.method == "simulated"
    exact = confusion(law, times)
    assert np.all(np.abs(right.matrix - exact.matrix) < 4 * right.stderr + 1e-3)
    wrong = confusion(Simulated(law, two((0.3, 0.7), 3.0)), times)
    weights = np.array([0.7, 0.3])[:, None]
    flow = (weights * wrong.matrix)[-1]
    error = np.hypot(*(weights * wrong.stderr)[-1][[0, 1], [1, 0]])
    assert abs(flow[0, 1] - flow[1, 0]) > 8 * error
    with pytest.raises(BadInput, match="no exact labels"):
        confusion(Simulated(law, law), times, method="sampled")


# Survival


def test_survival_of_two_components():
    times = np.linspace(0.2, 5, 60)
    found = survival(confusion(two(), times), [[0], 1, [0, 1]])
    assert found.stderr.max() == 0
    np.testing.assert_allclose(
        found.survival[0], [1 - flip(10 * np.exp(-t)) for t in times], atol=1e-12
    )
    np.testing.assert_allclose(found.normalised[0], 2 * found.survival[0] - 1)
    # Half of it is f = 1/4, at m* = 0.922412292640423.
    middle = np.log(10 / 0.922412292640423)
    # Read off by a cubic between 60 times.
    np.testing.assert_allclose(found.middle.time[:2], middle, atol=1e-5)
    early = float(found.early.time[0])
    np.testing.assert_allclose(flip(10 * np.exp(-early)), 0.025, atol=1e-5)
    assert np.all(found.survival[2] == 1)
    assert not bool(found.middle.found[2])
    assert bool(found.early.found[0])
    late = found.late.time[0]
    assert early < middle < late
    # Nothing is crossed between these.
    assert not np.any(survival(confusion(two(), times[:20]), [[0]]).late.found)


@pytest.mark.slow
def test_survival_of_sets_of_a_hierarchy():
    # Coordinates decouple (E3): the first and the second feature together.
    signs = np.array(np.meshgrid([1, -1], [1, -1], indexing="ij")).reshape(2, 4).T
    law = GaussianMixture.isotropic(signs * [30.0, 3.0], 1.0)
    times = np.linspace(0.5, 4.5, 24)
    a = confusion(law, times)
    found = survival(a, [[0, 1], [0]])
    keep = [[1 - flip(m * np.exp(-t)) for t in times] for m in (30, 3)]
    np.testing.assert_allclose(found.survival[0], keep[0], atol=1e-9)
    np.testing.assert_allclose(
        found.survival[1], np.multiply(*np.array(keep)), atol=1e-9
    )


@pytest.mark.slow
def test_times_of_draws_have_intervals():
    times = np.linspace(0.2, 5, 24)
    exact = survival(confusion(two((0.7, 0.3)), times), [[1]])
    drawn = survival(confusion(two((0.7, 0.3)), times, method="sampled"), [[1]])
    for name in ("early", "middle", "late"):
        one, other = getattr(drawn, name), getattr(exact, name)
        assert float(one.low[0]) < float(other.time[0]) < float(one.high[0])
        assert 0 < float(one.stderr[0]) < 0.1
    # Losses that 8,192 draws do not see have no errors either.
    seen = exact.survival < 1 - 1e-3
    z = (drawn.survival - exact.survival)[seen] / drawn.stderr[seen]
    assert np.all(np.abs(z) < 4)
    assert to_dataset(drawn)["survival"].dims == ("set", "noise")
    plain = to_json({"survival": drawn})["survival"]
    assert plain["weight"] == pytest.approx([0.3])
    assert plain["middle"][0]["value"] == pytest.approx(float(drawn.middle.time[0]))


def test_bad_input_is_refused():
    law = GaussianMixture.isotropic(np.eye(5), [1, 1, 1, 1, 2])
    with pytest.raises(BadInput, match="`method` is 'quadrature'"):
        confusion(law, [0.5], method="quadrature")
    points = GaussianMixture.isotropic([[0.0], [1.0], [3.0]], [0.0, 1.0, 1.0])
    with pytest.raises(BadInput, match="singular covariance"):
        confusion(points, [0.0, 0.5])
    found = confusion(two(), [0.5, 1.0])
    with pytest.raises(BadInput, match=r"`sets\[1\]` is empty"):
        survival(found, [[0], []])
    bare = Confusion(found.noise, found.matrix, found.stderr)
    with pytest.raises(BadInput, match="log_prior"):
        survival(bare, [[0]])
    # Point masses of one covariance have limits at no noise.
    masses = confusion(GaussianMixture.isotropic([[0.0], [1.0]], 0.0), [0.0])
    np.testing.assert_array_equal(masses.matrix[0], np.eye(2))


@pytest.mark.slow
def test_a_label_without_weight_has_no_row():
    law = GaussianMixture.isotropic([[0.0], [1.0], [2.0]], 1.0, [0.5, 0.0, 0.5])
    for method in ("quadrature", "sampled"):
        found = confusion(law, [0.5], method=method, num_replicas=256)
        assert np.all(np.isnan(found.matrix[:, 1]))
        np.testing.assert_array_equal(found.matrix[:, [0, 2], 1], 0)
        rows = found.matrix[:, [0, 2]]
        np.testing.assert_allclose(rows.sum(axis=2), 1, rtol=1e-12)


@pytest.mark.slow
def test_one_program_for_other_values(caplog):
    # Times, means and weights are not compiled in.
    confusion(LAWS["grouped"], [0.1, 0.2, 0.3])
    means = LAWS["grouped"].means + 0.1
    other = eqx.tree_at(lambda law: law.means, LAWS["grouped"], means)
    with jax.log_compiles():
        confusion(other, [0.4, 0.5, 0.6])
    assert not [r for r in caplog.records if "_flow" in r.getMessage()]
