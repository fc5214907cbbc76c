"""The score kernels: forms of the log-weights, streaming, bytes and compilations."""

from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batteries import some
from test_float32 import ALPHA, paired_means, softmax
from test_precision import equations

from jaxwin import _streaming
from jaxwin.targets import Empirical, GaussianMixture, _isotropic

jit = eqx.filter_jit


def every(law, xs, alpha, sigma):
    def at(x):
        log_density, gradient = jax.value_and_grad(law.log_density)(x, alpha, sigma)
        score, mean = law.score(x, alpha, sigma), law.denoise(x, alpha, sigma)
        log_p = law.label_log_posterior(x, alpha, sigma)
        return log_density, score, mean, log_p, gradient

    return jax.vmap(at)(xs)


everything = jit(every)


def in_form(form: str, law, xs, alpha, sigma):
    """All of `every` in one form, about the centre or the nearest point."""

    def by_form(signal, dtype, about_centre, about_nearest):
        del signal
        return about_centre(dtype) if form == "centre" else about_nearest()

    with (
        mock.patch("jaxwin.targets._isotropic.by_form", by_form),
        mock.patch("jaxwin.targets._noised_points.by_form", by_form),
    ):
        fresh = lambda law, xs, a, s: every(law, xs, a, s)
        return jit(fresh)(law, xs, alpha, sigma)


RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(37, 20))
LABELS = RNG.permutation(np.arange(37) % 5)
KEPT = jnp.array([True, False, True, True, False])
LAWS = {
    "shared variance": lambda: GaussianMixture.isotropic(MEANS, 0.2, labels=LABELS),
    "own variances": lambda: GaussianMixture.isotropic(
        MEANS, RNG.uniform(0.1, 0.3, 37), labels=LABELS
    ).restrict(KEPT),
    "data": lambda: Empirical(MEANS, LABELS, 0.3),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", some(LAWS, ["own variances"]))
def test_all_forms_and_blocks_agree(name):
    """In float64, where no form has rounding to speak of; the last block is short."""
    law = LAWS[name]()
    xs = jnp.asarray(0.7 * MEANS[:6] + 0.5 * RNG.normal(size=(6, 20)))
    args = law, xs, jnp.array(0.7), jnp.array(0.5)
    whole = in_form("centre", *args)
    with mock.patch.object(_isotropic, "BLOCK", 8):
        streamed = [in_form(form, *args) for form in ("centre", "nearest")]
    for form in streamed:
        for ours, theirs in zip(form, whole, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(whole[1], whole[4], rtol=1e-10, atol=1e-11)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("sigma", [1e-2, 0.3, 10.0])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("kind", ["mixture", "data"])
def test_float64_log_weights_of_float32_data(kind, offset, sigma):
    """Responsibilities to 1e-6 and scores to 1e-4 of their size, at any offset."""
    rng = np.random.default_rng(1)
    means = paired_means(rng, 64, 256, sigma, offset)
    law = (
        GaussianMixture.isotropic(means, np.float32(0.0))
        if kind == "mixture"
        else Empirical(means, np.arange(64))
    )
    first = rng.integers(64, size=8)
    clean, noise = means[first].astype(np.float64), rng.normal(size=(8, 256))
    xs = (ALPHA * clean + sigma * noise).astype(np.float32)
    level = jnp.float32(ALPHA), jnp.float32(sigma)
    got = everything(law, jnp.asarray(xs), *level)
    assert all(value.dtype == jnp.float32 for value in got)
    got = [np.asarray(value, np.float64) for value in got]
    means, sigma = means.astype(np.float64), float(np.float32(sigma))
    contested = 0
    for x, score, mean, log_p, gradient in zip(xs, *got[1:], strict=True):
        away = x.astype(np.float64) - ALPHA * means
        true = softmax(-0.5 * np.sum(away**2, axis=1) / sigma**2)
        assert np.abs(np.exp(log_p) - true).max() <= 1e-6
        exact = -true @ away / sigma**2
        slack = 1e-4 * np.sqrt(np.mean(exact**2))
        assert np.abs(score - exact).max() <= slack
        assert np.abs(gradient - exact).max() <= slack
        assert np.abs(mean - true @ means).max() <= 1e-5 * (1 + offset)
        contested += np.sort(true)[-2] > 1e-3
    assert contested >= 3


def forms_of(function, *args) -> list[list]:
    """Contractions in each branch of the one switch that a call makes."""
    found = [
        equation.params["branches"]
        for equation in equations(jax.make_jaxpr(function)(*args))
        if equation.primitive.name == "cond"
    ]
    products = lambda branch: [
        e for e in equations(branch) if e.primitive.name == "dot_general"
    ]
    assert len(found) == 1
    return [products(branch) for branch in found[0]]


SINGLE = MEANS.astype(np.float32)
CALLS = {
    "score": lambda law, x, a, s: law.score(x, a, s),
    "denoise": lambda law, x, a, s: law.denoise(x, a, s),
    "log_density": lambda law, x, a, s: law.log_density(x, a, s),
    "labels": lambda law, x, a, s: law.label_log_posterior(x, a, s),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["mixture", "data"])
def test_a_batch_is_one_matrix_product_a_contraction(kind, call):
    """Three forms stay branches under vmap, and no product has a batch dimension."""
    law = (
        GaussianMixture.isotropic(SINGLE, np.float32(0.1))
        if kind == "mixture"
        else Empirical(SINGLE, LABELS)
    )
    batched = jax.vmap(CALLS[call], in_axes=(None, 0, None, None))
    level = jnp.float32(0.5), jnp.float32(0.5)
    forms = forms_of(batched, law, jnp.zeros((5, 20), jnp.float32), *level)
    assert len(forms) == 3
    for products in forms:
        assert products
        for product in products:
            _, batch_dimensions = product.params["dimension_numbers"]
            assert batch_dimensions == ((), ())
            assert product.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2
    wide = [p.outvars[0].aval.dtype for p in forms[1]]
    assert jnp.float64 in wide
    assert jnp.float32 in wide or call == "labels"


def temporary(function, *args) -> int:
    memory = jax.jit(function).lower(*args).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize("method", ["score_many", "many"])
def test_temporaries_of_a_large_data_set(method):
    """At most 16 MiB at 1024 points in 784 dimensions, 60000 data points."""
    law = Empirical(np.zeros((_size(), 784), np.float32), np.arange(_size()) % 10)
    count = -(-60_000 // _size())
    more = lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)
    law = eqx.tree_at(lambda law: law.blocks, law, jax.tree.map(more, law.blocks))
    xs = jax.ShapeDtypeStruct((1024, 784), jnp.float32)
    level = jnp.float32(0.5), jnp.float32(0.5)
    call = lambda law, xs, *level: getattr(law, method)(xs, *level)
    assert temporary(call, law, xs, *level) <= 16 * 2**20


def _size() -> int:
    return Empirical(np.zeros((1000, 1))).blocks.labels.shape[1]


@pytest.mark.slow
def test_temporaries_do_not_grow_with_the_components():
    score = lambda law, xs, *level: law.score_many(xs, *level)

    def at(count: int) -> int:
        law = GaussianMixture.isotropic(np.zeros((count, 4), np.float32), 1.0)
        xs = jax.ShapeDtypeStruct((1024, 4), jnp.float32)
        return temporary(score, law, xs, jnp.float32(0.5), jnp.float32(0.5))

    assert at(4096) < 1.2 * at(1024)


@pytest.mark.parametrize("build", [GaussianMixture.isotropic, Empirical])
def test_one_program_for_a_whole_curve(build):
    """New noise levels, other forms and new laws of the same shape compile nothing."""
    trace = eqx.debug.assert_max_traces(
        lambda law, xs, a, s: law.score_many(xs, a, s), max_traces=1
    )
    scores = jit(trace)
    for i, sigma in enumerate([1e-3, 0.1, 10.0]):
        law = build(MEANS + i, np.full(37, 0.1) if build is not Empirical else LABELS)
        scores(law, jnp.asarray(MEANS), jnp.array(0.5), jnp.array(sigma))


def test_the_form_follows_the_noise():
    """Concrete levels choose at once, traced ones by a switch; both alike."""
    seen = []

    def use(form):
        seen.append(str(form))
        return jnp.zeros(())

    for signal in (1.0, 1e4, 1e12):
        _streaming.by_form(
            jnp.array(signal, jnp.float32),
            jnp.dtype("float32"),
            lambda dtype: use(jnp.dtype(dtype)),
            lambda: use("nearest"),
        )
    assert seen == ["float32", "float64", "nearest"]
