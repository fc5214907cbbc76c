"""Networks, their configurations, and the seam that makes them denoisers."""

from typing import Any

import chex
import equinox as eqx
import jax
import jax.extend.core
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some
from exact_network import exact_denoiser
from flax import nnx

from jaxwin._checks import BadInput
from jaxwin.learned import Network, NetworkDenoiser, Training
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import GaussianMixture

MIXTURE = GaussianMixture.isotropic(
    np.array([[1.0, 2.0, 0.0], [-1.0, 0.0, 0.5], [3.0, 1.0, 1.0]]),
    np.array([0.1, 0.5, 0.3]),
    np.array([0.2, 0.3, 0.5]),
)
EXACT = exact_denoiser(MIXTURE)
NETWORKS = {
    "mlp": Network(kind="mlp", dimension=5, width=16, depth=2, num_labels=3),
    "random_features": Network(
        kind="random_features", dimension=5, width=96, num_labels=3
    ),
    "unet": Network(
        kind="unet", dimension=126, shape=(7, 9, 2), width=8, depth=2, num_labels=3
    ),
}


# A U-Net compiles for seconds.
FEW = some(NETWORKS, ["mlp", "random_features"])


@eqx.filter_jit
def seen(denoiser, x, v, alpha, sigma):
    return (
        denoiser.denoise(x, alpha, sigma),
        denoiser.score(x, alpha, sigma),
        denoiser.jacobian_product(x, v, alpha, sigma),
    )


@eqx.filter_jit
def score_of(denoiser, x, alpha, sigma):
    return denoiser.score(x, alpha, sigma)


@eqx.filter_jit
def forward(graph, state, x, level, label):
    # As the seam calls it.
    with jax.numpy_dtype_promotion("standard"):
        return nnx.merge(graph, state)(x, level, label)


def filled(config: Network, seed: int = 1) -> tuple[nnx.GraphDef, Any]:
    """A network whose parameters, zeros of initialisation too, are random."""
    graph, state = nnx.split(config.build())
    leaves, structure = jax.tree.flatten(state)
    rng = np.random.default_rng(seed)
    moved = [np.asarray(a) + 0.1 * rng.normal(size=a.shape) for a in leaves]
    new = [jnp.asarray(b, a.dtype) for a, b in zip(leaves, moved, strict=True)]
    return graph, jax.tree.unflatten(structure, new)


def block(config: Network, size: int = 3, dtype: Any = jnp.float32):
    x = jr.normal(jr.key(2), (size, config.dimension), dtype)
    return x, jnp.linspace(-1, 1, size, dtype=dtype), jnp.arange(size) % 3


def denoiser_of(config: Network) -> NetworkDenoiser:
    graph, state = filled(config)
    mean = jnp.linspace(-1, 1, config.dimension, dtype=jnp.float32)
    std = jnp.asarray(0.7, jnp.float32)
    label = jnp.asarray(config.num_labels, jnp.int32)
    return NetworkDenoiser(state, mean, std, label, graph, config.num_labels)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1e-2, 0.1, 1.0, 10.0, 1e2])
def test_exact_network_gives_back_the_exact_law(ratio):
    x0, z, v = (jr.normal(jr.key(i), (3,)) for i in range(3))
    # Two channels of one SNR: variance exploding, and a weak one.
    for alpha in (1.0, 0.05):
        a, s = jnp.asarray(alpha), jnp.asarray(alpha * ratio)
        x = a * (MIXTURE.means[0] + x0) + s * z
        for found, wanted in zip(
            seen(EXACT, x, v, a, s), seen(MIXTURE, x, v, a, s), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)
        # Float32: rounding of the denoised point and of x - alpha m, s of order one.
        x = x.astype(jnp.float32)
        law = [MIXTURE.denoise(x.astype(float), a, s)]
        law += [MIXTURE.score(x.astype(float), a, s)]
        size = float(jnp.max(jnp.abs(x / a)) + 3)
        for found, wanted, scale in zip(
            seen(EXACT, x, v.astype(jnp.float32), a, s)[:2],
            law,
            (size, size * alpha / float(s) ** 2),
            strict=True,
        ):
            assert found.dtype == jnp.float32
            error = np.max(np.abs(np.asarray(found, float) - np.asarray(wanted)))
            assert error < 32 * np.finfo(np.float32).eps * scale


def test_scores_of_a_block_are_those_of_its_points():
    xs = jr.normal(jr.key(0), (4, 3))
    alpha, sigma = jnp.asarray(0.8), jnp.asarray(0.6)
    many = eqx.filter_jit(lambda d, xs: d.score_many(xs, alpha, sigma))(EXACT, xs)
    one = [score_of(EXACT, x, alpha, sigma) for x in xs]
    np.testing.assert_allclose(many, jnp.stack(one), rtol=1e-12)
    # The score is of the denoised point also where the network is nobody's.
    denoiser = denoiser_of(NETWORKS["mlp"])
    x = jr.normal(jr.key(0), (5,))
    found, score, _ = seen(denoiser, x, x, alpha, sigma)
    np.testing.assert_allclose((alpha * found - x) / sigma**2, score, rtol=1e-9)


@pytest.mark.slow
def test_labels_ask_for_a_class_and_guide():
    kinds = exact_denoiser(MIXTURE, num_labels=3)
    x, alpha, sigma = jnp.ones(3), jnp.asarray(0.8), jnp.asarray(0.6)
    bound_law = MIXTURE.restrict(jnp.arange(3) == 1)
    bound = score_of(bound_law, x, alpha, sigma)
    free = score_of(MIXTURE, x, alpha, sigma)
    np.testing.assert_allclose(score_of(kinds, x, alpha, sigma), free, rtol=1e-10)
    one = kinds.given(1)
    np.testing.assert_allclose(score_of(one, x, alpha, sigma), bound, rtol=1e-10)
    none = one.given(None)
    np.testing.assert_allclose(score_of(none, x, alpha, sigma), free, rtol=1e-10)
    process = OrnsteinUhlenbeck()
    t = jnp.asarray(0.5)
    guided = eqx.filter_jit(lambda score, x, t: score(x, t))(
        kinds.guided(1, 1.5, process), x, t
    )
    levels = process.alpha(t), process.sigma(t)
    one, other = score_of(bound_law, x, *levels), score_of(MIXTURE, x, *levels)
    np.testing.assert_allclose(guided, other + 1.5 * (one - other), rtol=1e-9)
    for label in (-1, 4):
        with pytest.raises(BadInput, match="it must be in 0 to 2"):
            kinds.given(label)


def test_seam_at_its_ends_and_bad_points():
    denoiser = denoiser_of(NETWORKS["mlp"])
    x = jr.normal(jr.key(0), (5,))
    found = denoiser.denoise(2 * x, 2.0, 0.0)
    np.testing.assert_allclose(found, x, rtol=1e-6)
    with pytest.raises(ValueError, match="sigma"):
        denoiser.score(x, 1.0, 0.0)
    assert jnp.all(jnp.isfinite(denoiser.score(x.astype(jnp.float32), 1e-4, 1.0)))
    assert jnp.all(jnp.isfinite(denoiser.denoise(x, 0.0, 1.0)))
    with pytest.raises(BadInput, match="`x` has 4 coordinates"):
        denoiser.denoise(x[:4], 1.0, 1.0)
    wide = eqx.tree_at(lambda d: d.mean, denoiser, jnp.zeros(4, jnp.float32))
    with pytest.raises((BadInput, TypeError)):
        wide.denoise(x[:4], 1.0, 1.0)


@pytest.mark.parametrize("name", FEW)
def test_new_parameters_do_not_recompile(name):
    first = denoiser_of(NETWORKS[name])
    other = eqx.tree_at(
        lambda d: d.state, first, filled(NETWORKS[name], seed=2)[1]
    ).given(1)
    score = eqx.filter_jit(
        eqx.debug.assert_max_traces(lambda d, x, a, s: d.score(x, a, s), max_traces=1)
    )
    x = jr.normal(jr.key(0), (NETWORKS[name].dimension,), jnp.float32)
    levels = jnp.asarray(0.8), jnp.asarray(0.6)
    assert not np.allclose(score(first, x, *levels), score(other, x, *levels))


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_network_of_a_block(name, dtype):
    config = NETWORKS[name]
    graph, state = filled(config)
    own = lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a
    state = jax.tree.map(own, state)
    x, level, label = block(config, dtype=dtype)
    values = forward(graph, state, x, level, label)
    assert values.shape == x.shape
    assert values.dtype == dtype
    slack = 100 * np.finfo(dtype).eps
    for i in range(2):
        one = forward(graph, state, x[i : i + 1], level[i : i + 1], label[i : i + 1])
        np.testing.assert_allclose(one[0], values[i], rtol=slack, atol=slack)
    # Level and label are heard; "no label" is a label of its own.
    for more in (level + 0.5, level):
        told = label if more is not level else label * 0 + 3
        assert float(jnp.abs(forward(graph, state, x, more, told) - values).min()) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_network_without_labels_hears_none(name):
    config = Network(**{**vars(NETWORKS[name]), "num_labels": 0})
    graph, state = filled(config)
    x, level, label = block(config)
    values = forward(graph, state, x, level, label)
    np.testing.assert_array_equal(values, forward(graph, state, x, level, 2 - label))


@pytest.mark.parametrize("name", NETWORKS)
def test_fresh_network_is_zero_and_its_denoiser_linear(name):
    config = NETWORKS[name]
    graph, state = nnx.split(config.build())
    x, level, label = block(config)
    np.testing.assert_array_equal(forward(graph, state, x, level, label), 0)
    # Whatever the precision of the process: a saved network is read in any.
    assert {a.dtype for a in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}
    again = nnx.split(config.build())[1]
    chex.assert_trees_all_equal(state, again)
    other = jax.tree.leaves(nnx.split(config.build(seed=1))[1])
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(state), other, strict=True)
    )


@pytest.mark.parametrize(
    ("shape", "width", "depth"),
    [
        ((7, 9, 2), 8, 2),
        pytest.param((7, 9, 2), 8, 3, marks=pytest.mark.slow),
        pytest.param((1, 5, 1), 8, 3, marks=pytest.mark.slow),
        pytest.param((32, 32, 3), 8, 3, marks=pytest.mark.slow),
    ],
)
def test_unet_of_any_sides(shape, width, depth):
    config = Network(
        kind="unet",
        dimension=int(np.prod(shape)),
        shape=shape,
        width=width,
        depth=depth,
    )
    graph, state = filled(config)
    x, level, label = block(config, 2)
    values = forward(graph, state, x, level, label)
    assert values.shape == x.shape
    assert jnp.all(jnp.isfinite(values))
    assert float(jnp.std(values)) > 0
    # Channels are told apart and a pixel is heard beyond its neighbours.
    moved = forward(graph, state, x.at[0, 0].add(1.0), level, label) - values
    assert float(jnp.abs(moved[0, -1])) > 0
    np.testing.assert_allclose(moved[1], 0, atol=1e-5)


def products(jaxpr) -> list[Any]:
    """Types of the results of all products and convolutions of a program."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found.append(equation.outvars[0].aval.dtype)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            found += products(inner)
    return found


@pytest.mark.parametrize("name", FEW)
def test_bfloat16_is_where_it_computes(name):
    kept = Network(**{**vars(NETWORKS[name]), "bfloat16": True})
    full, half = denoiser_of(NETWORKS[name]), denoiser_of(kept)
    assert {a.dtype for a in jax.tree.leaves(half.state)} == {
        a.dtype for a in jax.tree.leaves(full.state)
    }
    x = jr.normal(jr.key(0), (kept.dimension,), jnp.float32)
    for denoiser, dtype in ((half, jnp.bfloat16), (full, jnp.float32)):
        score = lambda x, d=denoiser: d.score(x, 0.8, 0.6)
        types = products(jax.make_jaxpr(score)(x).jaxpr)
        assert len(types) >= 4
        assert set(types) == {jnp.dtype(dtype)}
    many = [jax.jit(lambda x, d=d: d.score(x, 0.8, 0.6))(x) for d in (half, full)]
    assert many[0].dtype == jnp.float32
    gap = jnp.linalg.norm(many[0] - many[1]) / jnp.linalg.norm(many[1])
    assert 0 < float(gap) < 0.05


def test_first_layer_of_random_features_is_not_trained():
    params = nnx.state(NETWORKS["random_features"].build(), nnx.Param)
    assert set(params) == {"embedding", "leave"}
    # F = A tanh(W x / sqrt d + V e) / sqrt p, by hand and with unit entries of W.
    network = Network(kind="random_features", dimension=5, width=4000).build()
    first: Any = network
    assert abs(float(first.first[...].std()) - 1) < 0.02
    x, level, label = block(NETWORKS["random_features"])
    a = jr.normal(jr.key(3), (4000, 5), jnp.float32)
    first.leave.kernel[...] = a
    told = first.embedding(level, label) @ first.told[...]
    inside = x @ first.first[...] / 5**0.5 + told
    wanted = jnp.tanh(inside) @ a / 4000**0.5
    np.testing.assert_allclose(first(x, level, label), wanted, rtol=1e-4, atol=1e-4)


BAD_NETWORKS = {
    "dimension": {"dimension": 0},
    "width": {"width": 0},
    "depth": {"depth": 0},
    "num_labels": {"num_labels": -1},
    "shape": {"kind": "unet"},
    "shape` is (2, 2, 2)": {"kind": "unet", "shape": (2, 2, 2)},
    "shape` is (-4, -1, 1)": {"kind": "unet", "shape": (-4, -1, 1)},
    "takes images of up to 32": {"kind": "unet", "shape": (33, 2, 1), "dimension": 66},
    "a U-Net needs a multiple of 8": {"kind": "unet", "shape": (2, 2, 1), "width": 12},
}


@pytest.mark.parametrize("told", BAD_NETWORKS)
def test_networks_that_are_refused(told):
    with pytest.raises(BadInput) as caught:
        Network(**{"kind": "mlp", "dimension": 4} | BAD_NETWORKS[told])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 0) for name in ("num_steps", "batch_size", "chunk")],
        *[(name, -1) for name in ("warmup", "retries")],
        *[("learning_rate", v) for v in (0.0, np.nan, np.inf)],
        *[("clip", 0.0), ("ema", 1.0), ("label_dropout", -0.1)],
    ],
)
def test_trainings_that_are_refused(name, value):
    with pytest.raises(BadInput, match=f"`{name}` is"):
        Training(**{name: value})
    assert Training(num_steps=101, chunk=50).chunks == 3


@pytest.mark.slow
def test_network_in_float32():
    """Where x is float64 the network alone is rounded, by what it was trained with."""
    denoiser = EXACT
    x = jr.normal(jr.key(3), (MIXTURE.dimension,))
    for sigma in (0.1, 1.0, 10.0):
        alpha = jnp.asarray(1.0)
        whole = denoiser.denoise(x, alpha, sigma)
        rounded = denoiser.in_float32().denoise(x, alpha, sigma)
        assert rounded.dtype == x.dtype == jnp.float64
        gap = float(jnp.abs(rounded - whole).max())
        assert 0 < gap < 1e-5
        slopes = [
            one.jacobian_product(x, jnp.ones_like(x), alpha, sigma)
            for one in (denoiser.in_float32(), denoiser)
        ]
        assert slopes[0].dtype == x.dtype
        np.testing.assert_allclose(*slopes, rtol=1e-4, atol=1e-4 / sigma**2)
    single = x.astype(jnp.float32)
    np.testing.assert_array_equal(
        denoiser.in_float32().score(single, 1.0, 0.5), denoiser.score(single, 1.0, 0.5)
    )
