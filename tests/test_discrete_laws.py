"""Laws of words against sums over all words, and where there are too many of those.

The battery of tests/test_targets.py sees three spins through Gaussian noise; here the
evidence is any, also hard and contradictory, and sizes reach those of the figures.
"""

import itertools
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from batteries import some

from jaxwin.targets import (
    AbstractDiscreteLaw,
    CurieWeiss,
    HiddenManifold,
    IsingChain,
    MarkovChain,
    Spins,
    TokenMixture,
    ising_covariance_distance,
    ising_covariance_distance_limit,
)
from jaxwin.targets._site_fields import log_agreement, passed_on

DRAWS, Z = 10_000, 4.5


def log_sum(terms: np.ndarray, axis: int | None = None) -> np.ndarray:
    return np.asarray(scipy.special.logsumexp(terms, axis=axis))


@dataclass(frozen=True)
class Table:
    """All words of a law with log P(word, label): what it must reproduce."""

    law: AbstractDiscreteLaw
    words: np.ndarray
    log_joint: np.ndarray

    def given(self, site_logits: np.ndarray) -> np.ndarray:
        """Log P(word, label, evidence)."""
        sites = np.arange(self.words.shape[1])
        return self.log_joint + site_logits[sites, self.words].sum(axis=1)[:, None]


def all_words(n: int, q: int = 2) -> np.ndarray:
    return np.array(list(itertools.product(range(q), repeat=n)))


def normalised(log_joint: np.ndarray) -> np.ndarray:
    return log_joint - log_sum(log_joint)


def magnet(coupling: float, n: int) -> Table:
    words = all_words(n)
    total = (2 * words - 1).sum(axis=1)[:, None]
    # m | a is Gaussian of mean sum(a) / n and variance 1 / (n beta).
    states = scipy.special.log_ndtr(total * np.sqrt(coupling / n) * [[-1, 1]])
    log_joint = normalised(coupling * total**2 / (2 * n) + states)
    return Table(CurieWeiss(coupling, n), words, log_joint)


def chain(couplings: list[float], n: int, weights: list[float]) -> Table:
    words = all_words(n)
    spins = 2 * words - 1
    bonds = np.sum(spins[:, 1:] * spins[:, :-1], axis=1)[:, None]
    each = bonds * np.array(couplings)
    each = each - log_sum(each, axis=0) + np.log(weights)
    return Table(IsingChain(couplings, n, weights), words, each)


def markov(initial, transitions, n: int, weights: list[float]) -> Table:
    law = MarkovChain(initial, transitions, n, weights)
    words = all_words(n, len(transitions[0]))
    with np.errstate(divide="ignore"):
        first, steps, shares = map(np.log, (initial, transitions, weights))
    each = first[:, words[:, 0]] + shares[:, None]
    each = each + steps[:, words[:, :-1], words[:, 1:]].sum(axis=2)
    return Table(law, words, each.T)


def tokens(emissions, n: int, weights: list[float]) -> Table:
    words = all_words(n, len(emissions[0]))
    with np.errstate(divide="ignore"):
        each = np.log(emissions)[:, words].sum(axis=2).T + np.log(weights)
    return Table(TokenMixture(emissions, n, weights), words, each)


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    """Probabilities along the last axis."""
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])


def only(table: Table, mask: list[bool]) -> Table:
    log_joint = normalised(np.where(mask, table.log_joint, -np.inf))
    return Table(table.law.restrict(jnp.array(mask)), table.words, log_joint)


# Its second class moves by one symbol or not at all, and starts at one of two.
BOUND = (
    np.array([[0.2, 0.5, 0.3], [0.4, 0.6, 0.0]]),
    np.array([rows(3, 3), [[0.7, 0.3, 0.0], [0.1, 0.0, 0.9], [0.0, 0.2, 0.8]]]),
)

# Laws of one kind and size share their compiled programs.
TABLES = {
    "Curie-Weiss": magnet(1.5, 9),
    "Curie-Weiss, hot": magnet(0.05, 12),
    "Curie-Weiss, critical": magnet(1.0, 7),
    "Curie-Weiss, cold": magnet(9.0, 6),
    "Curie-Weiss, up": only(magnet(1.5, 7), [False, True]),
    "pair of spins": magnet(0.7, 2),
    "Ising chain": chain([0.2, 0.8], 10, [0.5, 0.5]),
    "Ising chain, any sign": chain([-0.7, 0.0, 4.0], 6, [0.2, 0.5, 0.3]),
    "Ising chain, cold": chain([18.0, -18.0], 10, [0.5, 0.5]),
    "Ising chain, one class": chain([0.5], 7, [1.0]),
    "Ising chain, two of three": only(
        chain([-0.7, 0.3, 2.0], 6, [0.2, 0.5, 0.3]), [True, False, True]
    ),
    "Markov chain": markov(*BOUND, 6, [0.3, 0.7]),
    "Markov chain, bound": only(markov(*BOUND, 6, [0.3, 0.7]), [False, True]),
    "Markov chain, two symbols": markov(
        rows(3, 2, seed=1), rows(3, 2, 2, seed=2), 8, [0.2, 0.5, 0.3]
    ),
    "Markov chain, one class": markov(rows(1, 4), rows(1, 4, 4), 4, [1.0]),
    "token mixture": tokens(
        np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]]),
        6,
        [0.3, 0.5, 0.2],
    ),
    "token mixture, two symbols": tokens(rows(2, 2), 7, [0.4, 0.6]),
    "token mixture, one of three": only(
        tokens(rows(3, 3), 6, [0.2, 0.5, 0.3]), [False, True, False]
    ),
}
FAST = "Curie-Weiss", "Ising chain, any sign", "Markov chain"
every_law = pytest.mark.parametrize("name", some(TABLES, FAST))
# Draws and derivatives of each kind of law, also restricted, and where it is hard.
HARD = [
    "Curie-Weiss, cold",
    "Curie-Weiss, up",
    "Ising chain, cold",
    "Ising chain, two of three",
    "Markov chain, bound",
    "token mixture, one of three",
]
every_law_once = pytest.mark.parametrize("name", some([*FAST[1:], *HARD], FAST[1:2]))


def evidence_on(table: Table) -> np.ndarray:
    return evidence(table.words.shape[1], table.law.num_symbols)


def evidence(n: int, q: int = 2) -> np.ndarray:
    """Evidence of every kind, one row each: weak to strong, none, hard, mixed."""
    rng = np.random.default_rng(0)
    scales = np.array([0.0, 1e-3, 0.1, 1.0, 10.0, 1e3])
    rows = list(scales[:, None, None] * rng.normal(size=(6, n, q)))
    rows.append(np.linspace(0.0, 700.0, q) + np.zeros((n, q)))
    symbols = rng.integers(q, size=n)[:, None]
    hard = np.where(symbols == np.arange(q), 0.0, -np.inf)
    masked = np.where(rng.uniform(size=n)[:, None] < 0.5, 0.0, hard)
    mixed = np.where(np.arange(n)[:, None] % 2 == 0, masked, rows[3])
    # The last contradicts itself at one site, the one before has not seen it.
    unseen, against = rows[3].copy(), rows[3].copy()
    unseen[1], against[1] = 0.0, -np.inf
    return np.array([*rows, hard, masked, mixed, unseen, against])


@eqx.filter_jit
def ask(law, rows):
    at = lambda logits: (
        law.log_evidence(logits),
        law.marginals(logits),
        law.label_log_posterior(logits),
        law.posterior_sample(jr.key(0), logits),
    )
    return jax.vmap(at)(rows)


@pytest.mark.slow
@pytest.mark.long
@every_law
def test_evidence_marginals_and_labels_against_all_words(name):
    table = TABLES[name]
    rows = evidence_on(table)
    answers = map(np.asarray, ask(table.law, jnp.array(rows)))
    log_evidence, marginals, labels, _ = answers
    one_hot = table.words[..., None] == np.arange(table.law.num_symbols)
    for i, logits in enumerate(rows[:-1]):
        joint = table.given(logits)
        total = log_sum(joint)
        if total == -np.inf:
            # Possible at every site and not together: as if nothing had been seen.
            assert log_evidence[i] == -np.inf
            joint, total = table.log_joint, 0.0
        else:
            assert abs(log_evidence[i] - total) <= 1e-12 * (1 + abs(total))
        p = np.exp(joint - total)
        at = np.tensordot(p.sum(axis=1), one_hot, axes=1)
        np.testing.assert_allclose(marginals[i], at, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(marginals[i].sum(axis=1), 1, rtol=1e-14)
        log_labels = log_sum(joint, axis=0) - total
        # Half a Gaussian's tail is the least likely of all: log-probabilities there.
        atol = 1e-12 * (1 + np.abs(log_labels[np.isfinite(log_labels)]).max())
        np.testing.assert_allclose(labels[i], log_labels, rtol=0, atol=10 * atol)


gradients = eqx.filter_jit(
    lambda law, rows: jax.vmap(jax.grad(lambda row: law.log_evidence(row)))(rows)
)


@every_law_once
def test_gradient_of_the_log_evidence_is_the_marginals(name):
    """Also where nothing is seen, and where a symbol is excluded."""
    law, rows = TABLES[name].law, jnp.array(evidence_on(TABLES[name]))
    gradient = np.asarray(gradients(law, rows))
    log_evidence, marginals, *_ = map(np.asarray, ask(law, rows))
    agree = np.isfinite(log_evidence)
    np.testing.assert_allclose(gradient[agree], marginals[agree], 1e-9, 1e-12)
    np.testing.assert_array_equal(gradient[~agree], 0)


@every_law_once
def test_jacobian_of_the_marginals_is_the_covariance(name):
    """Of the symbols given the evidence: none, weak, strong, hard and masked."""
    table = TABLES[name]
    rows = evidence_on(table)[[0, 2, 3, 7, 8]]
    got = np.asarray(covariances(table.law, jnp.array(rows)))
    ones = table.words == 1
    for logits, jacobian in zip(rows, got, strict=True):
        joint = table.given(logits)
        total = log_sum(joint)
        if total == -np.inf:
            continue
        p = np.exp(joint - total).sum(axis=1)
        centred = ones - p @ ones
        covariance = centred.T @ (centred * p[:, None])
        np.testing.assert_allclose(jacobian, covariance, rtol=1e-9, atol=1e-13)


@eqx.filter_jit
def covariances(law, rows):
    marginals = lambda row: law.marginals(row)[:, 1]
    return jax.vmap(lambda row: jax.jacfwd(marginals)(row)[..., 1])(rows)


@eqx.filter_jit
def draws(law, logits, key):
    keys = jr.split(key, DRAWS)
    words, labels = jax.vmap(law.sample_labelled)(keys)
    given = jax.vmap(lambda k: law.posterior_sample(k, logits))(keys)
    return words, labels, given


def counts(words: np.ndarray, labels: np.ndarray, q: int, c: int) -> np.ndarray:
    number = words @ q ** np.arange(words.shape[1])[::-1]
    return np.bincount(number * c + labels, minlength=q ** words.shape[1] * c)


@pytest.mark.long
@every_law_once
def test_draws_follow_the_law_and_the_posterior(name):
    """10,000 draws, seed 3: z < 4.5 for every word (and label)."""
    table = TABLES[name]
    q, c = table.law.num_symbols, table.law.num_labels
    logits = evidence_on(table)[3]
    words, labels, given = map(
        np.asarray, draws(table.law, jnp.array(logits), jr.key(3))
    )
    posterior = table.given(logits)
    posterior = np.exp(posterior - log_sum(posterior)).sum(axis=1)
    for found, p in (
        (counts(words, labels, q, c), np.exp(table.log_joint).reshape(-1)),
        (counts(given, 0 * labels, q, 1), posterior),
    ):
        deviation = np.abs(found - DRAWS * p)
        # Rare words come in whole numbers: Poisson, not Gaussian.
        assert np.all(deviation <= Z * np.sqrt(DRAWS * p * (1 - p)) + 3.5)


moments_of = eqx.filter_jit(lambda law, values: law.moments(values))


@every_law
def test_moments_against_all_words(name):
    table = TABLES[name]
    p = np.exp(table.log_joint).sum(axis=1)
    for values in ([-1.0, 1.0, 0.3, 7.0], [2.0, -0.5, 0.0, 1.0]):
        values = np.array(values)[: table.law.num_symbols]
        numbers = values[table.words]
        mean = p @ numbers
        covariance = (numbers - mean).T @ ((numbers - mean) * p[:, None])
        moments = moments_of(table.law, jnp.array(values))
        np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(moments.covariance(), covariance, 1e-11, 1e-12)


@every_law
def test_contradictory_evidence_is_impossible_and_no_nan(name):
    law, rows = TABLES[name].law, jnp.array(evidence_on(TABLES[name]))
    log_evidence, *rest = ask(law, rows)
    assert log_evidence[-1] == -np.inf
    assert np.isfinite(log_evidence[-2])
    for value in rest:
        np.testing.assert_array_equal(value[-1], value[-2])


@pytest.mark.slow
def test_parameters_of_a_chain_have_gradients():
    """Against central differences, at couplings of zero and of every sign."""
    rows = jnp.array(evidence(6)[[2, 3, 8]])
    law, leaves = (
        IsingChain(np.ones(3), 6),
        lambda law: (law.couplings, law.log_weights),
    )

    @jax.jit
    def value(couplings, log_weights):
        log_weights = jax.nn.log_softmax(log_weights)
        chains = eqx.tree_at(leaves, law, (couplings, log_weights))
        mean = chains.moments(jnp.array([-1.0, 1.0])).covariance()[0, 3]
        log_evidence, marginals, labels, _ = ask(chains, rows)
        return log_evidence.sum() + marginals[:, 2, 1].sum() + labels[1, 0] + mean

    at = jnp.array([-0.7, 0.0, 2.0]), jnp.array([0.1, 0.5, -0.2])
    slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(*at)
    step = 1e-5
    for which in (0, 1):
        for i in range(3):
            ends = []
            for move in (step, -step):
                moved = list(at)
                moved[which] = moved[which].at[i].add(move)
                ends.append(float(value(*moved)))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert abs(slopes[which][i] - slope) <= 1e-8 * (1 + abs(slope))


FIELDS = np.array([0.0, 1e-9, 0.3, 1.0, 5.0, 30.0, 200.0])
PAIRS = np.array([*itertools.product(np.r_[-FIELDS, FIELDS], FIELDS)]).T


def log_cosh(y: np.ndarray) -> np.ndarray:
    y = np.abs(y.astype(np.longdouble))
    return y + np.log1p(np.exp(-2 * y)) - np.log(np.longdouble(2))


def test_fields_meet_to_full_precision():
    """Against log cosh in extended precision; slopes against those of tanh."""
    g, h = PAIRS.astype(np.longdouble)
    agreement = log_cosh(g + h) - log_cosh(g) - log_cosh(h)
    np.testing.assert_allclose(
        log_agreement(*jnp.array(PAIRS)), agreement, rtol=1e-15, atol=3e-16
    )
    handed = (log_cosh(g + h) - log_cosh(g - h)) / 2
    np.testing.assert_allclose(
        passed_on(*jnp.array(PAIRS)), handed, rtol=1e-15, atol=3e-16
    )
    tanh = lambda y: np.tanh(y.astype(np.longdouble))
    sum_, less = tanh(g + h), tanh(g - h)
    for function, along_g, along_h in (
        (log_agreement, sum_ - tanh(g), sum_ - tanh(h)),
        (passed_on, (sum_ - less) / 2, (sum_ + less) / 2),
    ):
        slope = jax.jit(jax.vmap(jax.grad(function, argnums=(0, 1))))
        slopes = slope(*jnp.array(PAIRS))
        np.testing.assert_allclose(slopes[0], along_g, rtol=1e-13, atol=1e-17)
        np.testing.assert_allclose(slopes[1], along_h, rtol=1e-13, atol=1e-17)


def test_second_derivatives_of_the_fields():
    """Curvatures at zero fields and zero couplings, where forms by |h| have kinks."""
    hessian = lambda f: jax.jit(jax.hessian(lambda v: f(v[0], v[1])))(jnp.zeros(2))
    np.testing.assert_allclose(hessian(log_agreement), [[0, 1], [1, 0]], atol=1e-15)
    np.testing.assert_allclose(hessian(passed_on), [[0, 1], [1, 0]], atol=1e-15)


def test_fields_of_any_size_pass_through_a_chain():
    """Fields of 1e8, and infinite ones, through couplings of 60: no overflow."""
    law = IsingChain([60.0, -60.0, 0.5], 5)
    words = np.array([1, 0, 1, 1, 0])
    for size in (1e8, np.inf):
        logits = jnp.array(np.where(words[:, None] == [0, 1], 0.0, -size))
        log_evidence, marginals, labels, _ = ask(law, logits[None])
        np.testing.assert_array_equal(marginals[0, :, 1], words)
        # Three of four bonds are broken: log P = log(1/2) + log p(break) ...
        agree = lambda b: -np.logaddexp(0, -2 * b)
        each = np.array([agree(b) + 3 * agree(-b) for b in (60.0, -60.0, 0.5)])
        total = np.logaddexp.reduce(each) - np.log(6)
        assert abs(log_evidence[0] - total) < 1e-12
        np.testing.assert_allclose(
            labels[0], each - np.logaddexp.reduce(each), rtol=1e-13
        )


@pytest.mark.parametrize("coupling", [pytest.param(0.8, marks=pytest.mark.slow), 1.5])
@pytest.mark.parametrize("field", [0.0, 0.01, 0.4, -30.0])
def test_many_spins_in_one_field_by_their_magnetisation(coupling, field):
    """N = 1024: all words of one magnetisation have the same weight."""
    n = 1024
    k = np.arange(n + 1)
    total = 2 * k - n
    log_p = -scipy.special.betaln(n - k + 1, k + 1) - np.log(n + 1)
    log_p = normalised(log_p + coupling * total**2 / (2 * n))
    given = log_p + field * total
    true = log_sum(given)
    law = CurieWeiss(coupling, n)
    logits = jnp.full((n, 2), field) * jnp.array([[-1.0, 1.0]])
    log_evidence, marginals, labels, _ = ask(law, logits[None])
    assert abs(log_evidence[0] - true) <= 1e-11 * (1 + abs(true))
    states = scipy.special.log_ndtr(total * np.sqrt(coupling / n) * [[-1], [1]])
    true_labels = log_sum(given + states, axis=1) - true
    np.testing.assert_allclose(labels[0], true_labels, rtol=1e-10, atol=1e-11)
    up = np.exp(given - true) @ k / n
    np.testing.assert_allclose(marginals[0, :, 1], up, rtol=1e-10)
    eigenvalue = np.exp(log_p) @ total**2 / n
    np.testing.assert_allclose(law.top_eigenvalue(), eigenvalue, rtol=1e-11)
    np.testing.assert_allclose(
        Spins(law).moments().leading(1)[0], eigenvalue, rtol=1e-11
    )


magnetisations = jax.jit(jax.vmap(CurieWeiss.magnetisation))


@pytest.mark.slow
def test_magnetisation_and_top_eigenvalue_as_printed():
    """Section 5.18 of the theory, and another root finder at other couplings."""
    printed = magnetisations(jnp.array([1.2, 1.5, 2.0]))
    np.testing.assert_allclose(
        printed, [0.65856966, 0.85855964, 0.95750402], atol=6e-9, rtol=0
    )
    couplings, root = [1.01, 1.7, 5.0, 30.0], scipy.optimize.root_scalar
    gaps = [lambda m, b=b: np.tanh(b * m) - m for b in couplings]
    others = [root(gap, bracket=(1e-2, 1.1), xtol=1e-15).root for gap in gaps]
    np.testing.assert_allclose(magnetisations(jnp.array(couplings)), others, rtol=1e-13)
    # Near the transition m^2 = 3 (beta - 1) + O((beta - 1)^2), and zero below.
    above = np.array([1e-12, 1e-8, 1e-6]) + 1
    edge = magnetisations(jnp.array([*above, 1.0, 0.1]))
    np.testing.assert_allclose(edge[:3], np.sqrt(3 * (above - 1)), rtol=2e-6)
    np.testing.assert_array_equal(edge[3:], 0)
    assert CurieWeiss.magnetisation(1.5) == printed[1]
    assert abs(CurieWeiss(1.5, 1024).top_eigenvalue() - 753.656324) < 6e-7


def test_slope_of_the_magnetisation():
    couplings = jnp.array([0.5, 1.05, 1.5, 20.0])
    ends = [magnetisations(couplings + move) for move in (1e-6, -1e-6)]
    slopes = jax.jit(jax.vmap(jax.grad(CurieWeiss.magnetisation)))(couplings)
    np.testing.assert_allclose(slopes, (ends[0] - ends[1]) / 2e-6, 1e-6, 1e-9)


@pytest.mark.slow
def test_distance_of_covariances_of_chains():
    """Against the matrices; leading orders as printed in section 5.17."""
    away = np.abs(np.subtract.outer(np.arange(200), np.arange(200)))
    for first, second in ((0.2, 0.8), (-0.6, 1.1), (0.0, 0.3), (0.5, 0.5)):
        matrices = [np.tanh(b) ** away for b in (first, second)]
        true = np.linalg.norm(matrices[0] - matrices[1])
        got = ising_covariance_distance(first, second, 200)
        assert abs(got - true) <= 1e-13 * (1 + true)
    printed = {
        (0.2, 0.8): (32.87139, [0.879867, 1.226441, 1.573015]),
        (0.5, 1.0): (34.06090, [0.897641, 1.244215, 1.590788]),
    }
    long = ising_covariance_distance_limit
    for pair, (distance, times) in printed.items():
        assert abs(long(*pair, 1024) - distance) < 6e-6
        got = [0.5 * np.log(long(*pair, n) / np.sqrt(8)) for n in (256, 1024, 4096)]
        np.testing.assert_allclose(got, times, atol=6e-7)
    # Squares approach their leading order like 1 / n, whatever signs and sizes.
    for pair in ((0.2, 0.8), (-0.6, 1.1), (1.3, 1.3001)):
        less = [
            (ising_covariance_distance(*pair, n) / long(*pair, n)) ** 2 - 1
            for n in (200, 400)
        ]
        assert abs(less[1]) < 0.05
        assert abs(less[0] / less[1] - 2) < 1e-6
    for distance in (ising_covariance_distance, long):
        slope = jax.grad(distance)(0.2, 0.8, 200)
        ends = [float(distance(0.2 + move, 0.8, 200)) for move in (1e-6, -1e-6)]
        assert abs(slope - (ends[0] - ends[1]) / 2e-6) < 1e-7
        assert np.isfinite(jax.grad(distance)(0.5, 0.5, 200))


def chain_log_odds(couplings, fields: np.ndarray) -> np.ndarray:
    """Log-evidence of each class by a plain forward recursion in float64."""
    log_p = np.full((2, len(couplings)), -np.log(2.0))
    stay, turn = (-np.logaddexp(0, -2 * s * np.asarray(couplings)) for s in (1, -1))
    for i, field in enumerate(fields.astype(np.float64)):
        if i:
            log_p = np.logaddexp(log_p + stay, log_p[::-1] + turn)
        log_p = log_p + np.array([[-field], [field]])
    return np.logaddexp(*log_p)


@eqx.filter_jit
def labels_of(target, xs, alpha, sigma):
    return jax.vmap(lambda x: target.label_log_posterior(x, alpha, sigma))(xs)


@pytest.mark.f32
@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 3.0, 30.0])
def test_labels_of_a_long_chain_in_single_precision(sigma):
    """Within 1e-5 of float64 at the same float32 points: 4096 spins."""
    couplings, alpha, n = [0.2, 0.8], np.float32(0.6), 4096
    target = Spins(IsingChain(couplings, n))
    clean = jax.vmap(target.sample)(jr.split(jr.key(0), 4))
    x = alpha * clean + np.float32(sigma) * jr.normal(jr.key(1), clean.shape)
    got = labels_of(target, x, alpha, jnp.float32(sigma))
    assert got.dtype == jnp.float32
    for row, point in zip(np.asarray(got), np.asarray(x), strict=True):
        exact = np.float64(alpha) * point.astype(np.float64) / np.float32(sigma) ** 2.0
        odds = np.diff(chain_log_odds(couplings, exact))[0]
        assert abs(np.exp(row[1]) - scipy.special.expit(odds)) <= 1e-5


@pytest.mark.f32
@pytest.mark.parametrize("sigma", [1e-3, 0.3, 3.0, 30.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_states_of_a_large_magnet_in_single_precision(sigma, balanced):
    """Within 1e-5 of float64 at the same float32 points: 1024 spins."""
    n, alpha, coupling = 1024, np.float32(0.6), 1.5
    target = Spins(CurieWeiss(coupling, n))
    clean = np.asarray(target.sample(jr.key(0)))
    if balanced:
        clean = np.where(np.arange(n) % 2 == 0, 1, -1).astype(np.float32)
    noise = np.asarray(jr.normal(jr.key(1), (n,)))
    x = jnp.asarray(alpha * clean + np.float32(sigma) * noise)
    got = labels_of(target, x[None], alpha, jnp.float32(sigma))[0]
    assert got.dtype == jnp.float32
    point = np.asarray(x).astype(np.float64)
    fields = np.float64(alpha) * point / np.float64(np.float32(sigma)) ** 2
    m = np.linspace(0, 1.3, 4001)
    ends = np.where(m == 0, np.log(0.5), 0)
    log_up, log_down = (
        ends
        - n * coupling * m**2 / 2
        + np.sum([log_2cosh(sign * coupling * m + h) for h in fields], axis=0)
        for sign in (1, -1)
    )
    odds = log_sum(log_up) - log_sum(log_down)
    assert abs(np.exp(got[1]) - scipy.special.expit(odds)) <= 1e-5


def log_2cosh(y: np.ndarray) -> np.ndarray:
    return np.abs(y) + np.log1p(np.exp(-2 * np.abs(y)))


@eqx.filter_jit
def everything(target, xs, alpha, sigma):
    at = lambda x: (
        target.log_density(x, alpha, sigma),
        target.score(x, alpha, sigma),
        target.jacobian_product(x, x, alpha, sigma),
        *target.local(x, alpha, sigma),
        target.label_log_posterior(x, alpha, sigma),
        jax.grad(target.log_density)(x, alpha, sigma),
    )
    return jax.vmap(at)(xs)


@pytest.mark.f32
@pytest.mark.parametrize("law", [IsingChain([0.2, 50.0], 9), CurieWeiss(1.5, 9)])
def test_everything_of_spins_is_finite_and_single(law):
    xs = jnp.asarray([[1e-6] * 9, [0.7] * 8 + [-0.7], [1e4, -1e4] * 4 + [0.0]])
    for sigma in (1e-3, 1.0, 1e3):
        for value in everything(Spins(law), xs, jnp.float32(0.7), jnp.float32(sigma)):
            assert value.dtype == jnp.float32
            assert np.all(np.isfinite(value))


def test_what_cannot_be_a_law_is_refused():
    for coupling in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="`coupling`"):
            CurieWeiss(coupling, 8)
        with pytest.raises(ValueError, match="`coupling`"):
            CurieWeiss.magnetisation(coupling)
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda b: CurieWeiss(b, 4).top_eigenvalue())(1.5)
    for build in (lambda n: CurieWeiss(1.0, n), lambda n: IsingChain([0.5], n)):
        for n in (1, 0, -3):
            with pytest.raises(ValueError, match="at least 2"):
                build(n)
    for couplings in ([np.nan], [], [[0.1]]):
        with pytest.raises(ValueError, match="`couplings`"):
            IsingChain(couplings, 4)
    with pytest.raises(ValueError, match="`weights`"):
        IsingChain([0.1, 0.2], 4, [0.5, 0.6])
    with pytest.raises(ValueError, match="`weights`"):
        IsingChain([0.1, 0.2], 4, [1.0])
    with pytest.raises(ValueError, match="at least 2"):
        ising_covariance_distance(0.1, 0.2, 1)
    law = IsingChain([0.1, 0.2], 4)
    with pytest.raises(ValueError, match="`site_logits`"):
        law.log_evidence(jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="`values`"):
        law.moments(jnp.zeros(3))


@pytest.mark.slow
def test_a_manifold_of_given_directions():
    """5.19: u times the Jacobian has eigenvalues -u / (u + lambda)."""
    law = HiddenManifold.orthonormal(jr.key(0), 100, [20, 20], [1.0, 0.01])
    clean = law.moments().leading(100)[0]
    np.testing.assert_allclose(clean[:40], [1.0] * 20 + [0.01] * 20, rtol=1e-12)
    assert np.abs(clean[40:]).max() < 1e-15
    x = law.sample(jr.key(1))
    spectrum = eqx.filter_jit(
        lambda u: jnp.linalg.eigvalsh(u * law.score_jacobian(x, 1.0, jnp.sqrt(u)))
    )
    for u, values, count in (
        (0.1, [-1, -0.909091, -0.090909], 20),
        (0.001, [-1, -0.090909, -0.000999], 40),
    ):
        found = np.asarray(spectrum(jnp.array(u)))
        np.testing.assert_allclose(found[[0, 70, 90]], values, atol=6e-7)
        # Local dimension: eigenvalues past the largest gap.
        assert 99 - np.argmax(np.diff(found)) == count


@pytest.mark.slow
def test_frames_of_gaussian_columns():
    """Marchenko and Pastur's edges for one scale, d = 200, m = 80, seed 2."""
    law = HiddenManifold.gaussian(jr.key(2), 200, [80], [0.25])
    values = np.asarray(law.moments().leading(200)[0])
    low, high = (0.25 * (1 + s * np.sqrt(200 / 80)) ** 2 for s in (-1, 1))
    # Edges fluctuate by d^(-2/3) of themselves, traces much less.
    assert abs(values[0] - high) < 0.06 * high
    assert abs(values[79] - low) < 0.3 * low
    square = (0.25 / 80) ** 2 * 200 * 80 * (200 + 80 + 1)
    assert abs(np.sum(values**2) - square) < 0.05 * square
    assert np.abs(values[80:]).max() < 1e-12
    assert abs(values.sum() / 200 - 0.25) < 4 * 0.25 * np.sqrt(2 / (200 * 80))
    # Every scale adds its own variance; the columns may be more than d.
    law = HiddenManifold.gaussian(jr.key(3), 50, [40, 600], [1.0, 3.0], floor=0.5)
    covariance = np.asarray(law.moments().covariance())
    spread = np.sqrt(2 * (1 / (50 * 40) + 9 / (50 * 600)))
    assert abs(np.trace(covariance) / 50 - 4.5) < 4 * spread
    assert np.linalg.eigvalsh(covariance).min() > 0.5


def test_a_manifold_of_a_given_frame():
    """More columns than dimensions, classes that share the frame, a floor."""
    rng = np.random.default_rng(0)
    frame, means = rng.normal(size=(4, 7)), rng.normal(size=(3, 4))
    law = HiddenManifold.linear(frame, means=means, labels=[0, 1, 0], floor=0.3)
    assert law.num_labels == 2
    between = (means - means.mean(axis=0)).T @ (means - means.mean(axis=0)) / 3
    covariance = frame @ frame.T + 0.3 * np.eye(4) + between
    np.testing.assert_allclose(law.moments().covariance(), covariance, rtol=1e-12)
    np.testing.assert_allclose(law.moments().mean, means.mean(axis=0), rtol=1e-12)


def test_manifolds_that_cannot_be_are_refused():
    draw = HiddenManifold.orthonormal
    with pytest.raises(ValueError, match="`frame` has shape"):
        HiddenManifold.linear(np.ones(3))
    with pytest.raises(ValueError, match="`frame` must be finite"):
        HiddenManifold.linear([[np.nan], [1.0]])
    with pytest.raises(ValueError, match="`variances`"):
        HiddenManifold.linear(np.ones((3, 1)), floor=-1.0)
    with pytest.raises(ValueError, match="sum to 5"):
        draw(jr.key(0), 4, [3, 2], [1.0, 1.0])
    for ranks in ([0], [1.5], [[1]]):
        with pytest.raises(ValueError, match="`ranks`"):
            draw(jr.key(0), 4, ranks, [1.0])
    for variances in ([-1.0], [np.nan]):
        with pytest.raises(ValueError, match="`variances`"):
            draw(jr.key(0), 4, [1], variances)
    with pytest.raises(ValueError, match="`variances` has shape"):
        draw(jr.key(0), 4, [1], [1.0, 2.0])
    with pytest.raises(ValueError, match="`dimension`"):
        draw(jr.key(0), 0, [1], [1.0])
