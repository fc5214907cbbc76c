"""The training loop: what it does, its guard on NaN, what it refuses."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
from descents import (
    BOWL,
    DELTAS,
    NETWORK,
    SHORT,
    TRAINING,
    Bowl,
    descend,
    same,
    stop_after,
)

from jaxwin._checks import BadInput
from jaxwin.learned import (
    Network,
    train,
    train_classifier,
)
from jaxwin.learned._fit import _step, loss_of_chunks
from jaxwin.targets import GaussianMixture


@pytest.fixture(autouse=True)
def _standard_promotion():
    """Optax mixes types."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def by_hand(failures: int = 0, steps: int = 60) -> tuple[np.ndarray, ...]:
    """Adam, its rate, the clip and the average in NumPy, from their papers."""
    params = np.array([1.0, -2.0])
    average, m, v, losses = params.copy(), np.zeros(2), np.zeros(2), []
    for i in range(steps):
        key = jr.fold_in(jr.fold_in(jr.key(0), failures), i)
        gradient = params - 0.5 - np.asarray(jr.normal(key, (2,), jnp.float32), float)
        losses.append(0.5 * gradient @ gradient)
        gradient = gradient * min(1, 2.0 / np.linalg.norm(gradient))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        up, down = i / 5, 0.5 * (1 + np.cos(np.pi * (i - 5) / 55))
        rate = 0.1 * (up if i < 5 else down) / 2**failures
        step = m / (1 - 0.9 ** (i + 1)) / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8)
        params = params - rate * step
        kept = min(0.9, (1 + i) / (10 + i))
        average = kept * average + (1 - kept) * params
    return params, average, np.array(losses)


def test_course_is_adam_with_its_average():
    course = descend()
    params, average, losses = by_hand()
    np.testing.assert_allclose(course.params["a"], params, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(course.average["a"], average, rtol=1e-4, atol=1e-5)
    assert (int(course.step), int(course.failures)) == (60, 0)
    mean, error = loss_of_chunks(course, SHORT)
    chunks = losses.reshape(6, 10)
    np.testing.assert_allclose(mean, chunks.mean(axis=1), rtol=1e-4)
    wanted = chunks.std(axis=1, ddof=1) / np.sqrt(10)
    np.testing.assert_allclose(error, wanted, rtol=1e-3)
    np.testing.assert_allclose(course.records[:, 0, 0] / 10, mean, rtol=1e-5)


def test_progress_tells_points_and_loss():
    told = []
    course = descend(progress=told.append)
    assert [s.done for s in told] == [80, 160, 240, 320, 400, 480]
    assert {s.total for s in told} == {480}
    mean, error = loss_of_chunks(course, SHORT)
    np.testing.assert_array_equal([s.mean for s in told], mean)
    np.testing.assert_array_equal([s.stderr for s in told], error)


def test_one_program_for_every_seed_and_loss():
    descend()
    cached: Any = getattr(_step, "_cache_size")  # noqa: B009
    compiled = cached()
    moved = Bowl(jnp.array([0.2, 0.9], jnp.float32), jnp.asarray(0.0, jnp.float32))
    found = [descend(), descend(moved)]
    found.append(descend(training=dataclasses.replace(SHORT, seed=1)))
    assert cached() == compiled
    assert same(found[0], descend())
    assert not same(found[0].params, found[1].params)
    assert not same(found[0].params, found[2].params)


def test_nan_everywhere_is_an_error_that_can_be_resumed(tmp_path):
    never = eqx.tree_at(lambda b: b.bad, BOWL, jnp.asarray(2.0, jnp.float32))
    place = tmp_path / "run"
    with pytest.raises(FloatingPointError, match="4 times.*after step 0.*run'"):
        descend(never, folder=place)
    # With a sounder loss it goes on from the last good state, at an eighth of the rate.
    course = descend(folder=place, resume=True)
    assert (int(course.failures), int(course.step)) == (3, 60)
    params = by_hand(failures=3)[0]
    np.testing.assert_allclose(course.params["a"], params, rtol=1e-4, atol=1e-5)
    huge = dataclasses.replace(SHORT, learning_rate=1e30, retries=1)
    with pytest.raises(FloatingPointError, match="2 times"):
        descend(training=huge)


def unlucky(seed: int) -> list[int]:
    """Steps of the first try whose key is unlucky at 1 %."""
    root = jr.fold_in(jr.key(seed), 0)
    drawn = [
        jr.uniform(jr.fold_in(jr.fold_in(root, i), 1), (), jnp.float32)
        for i in range(60)
    ]
    return np.flatnonzero(np.asarray(drawn) < 0.01).tolist()


def test_nan_of_one_key_is_gone_round_at_half_the_rate(tmp_path):
    seed = next(s for s in range(50) if [i for i in unlucky(s) if 20 <= i < 50])
    training = dataclasses.replace(SHORT, seed=seed)
    loss = eqx.tree_at(lambda b: b.bad, BOWL, jnp.asarray(0.01, jnp.float32))
    whole = descend(loss, training)
    assert int(whole.failures) == 1
    assert bool(whole.finite)
    assert np.all(np.isfinite(whole.losses))
    assert not same(whole, descend(BOWL, training))
    for chunks in (1, 5):
        place = tmp_path / str(chunks)
        options = {"folder": place, "every": 0.0}
        with pytest.raises(KeyboardInterrupt):
            descend(loss, training, **options, progress=stop_after(chunks))
        assert same(descend(loss, training, **options, resume=True), whole)


@pytest.fixture(scope="module")
def trained():
    with jax.numpy_dtype_promotion("standard"):
        return train(DELTAS, NETWORK, TRAINING)


def test_training_lowers_the_loss(trained):
    assert trained.step.tolist() == list(range(25, 301, 25))
    # At initialisation F = 0 and the loss is that of F*, one. The least is the mean of
    # tanh's posterior variance, by quadrature; noise of a chunk is some 2 %.
    assert abs(trained.loss[0] - 1) < 0.15
    assert np.mean(trained.loss[-3:]) < np.mean(trained.loss[:2]) - 0.05
    assert trained.by_level.shape == (12, trained.edges.size - 1)
    assert np.all(trained.loss_stderr > 0)
    assert trained.failures == 0


def test_same_configuration_compiles_nothing_and_gives_the_same_bits(trained):
    cached: Any = getattr(_step, "_cache_size")  # noqa: B009
    compiled = cached()
    again = train(DELTAS, NETWORK, TRAINING)
    assert cached() == compiled
    assert same(again.denoiser, trained.denoiser)
    np.testing.assert_array_equal(again.loss, trained.loss)
    np.testing.assert_array_equal(again.by_level, trained.by_level)
    other = train(DELTAS + 0.5, NETWORK, dataclasses.replace(TRAINING, seed=1))
    assert cached() == compiled
    assert not same(other.denoiser.state, trained.denoiser.state)
    score = eqx.filter_jit(
        eqx.debug.assert_max_traces(lambda d, x: d.score(x, 0.8, 0.6), max_traces=1)
    )
    values = [score(one.denoiser, jnp.ones(1)) for one in (trained, other)]
    assert not np.allclose(*values)


@pytest.mark.slow
def test_devices_share_a_batch(trained):
    told = []
    for count in (2, 4):
        found = train(DELTAS, NETWORK, TRAINING, devices=jax.devices()[:count])
        told.append(found)
        for a, b in zip(
            jax.tree.leaves(found.denoiser.state),
            jax.tree.leaves(trained.denoiser.state),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.loss, trained.loss, rtol=1e-4)


def test_batch_that_devices_cannot_share_is_refused():
    with pytest.raises(BadInput, match="`batch_size` is 32, which 3 devices"):
        train(DELTAS, NETWORK, TRAINING, devices=jax.devices()[:3])


LAW = GaussianMixture.isotropic(np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones(2))
POINTS = np.random.default_rng(0).normal(size=(6, 2))
TWO = Network(kind="mlp", dimension=2, num_labels=2)
BAD = {
    "(n, d)": {"data": np.zeros(5)},
    "shape ()": {"data": np.float64(1.0)},
    "(3, 2, 2)": {"data": np.zeros((3, 2, 2))},
    "NaN or infinity": {"data": np.array([[0.0, np.nan]])},
    "one point": {"data": np.full((7, 2), 0.1)},
    "of dimension 3": {"data": POINTS, "network": Network(kind="mlp", dimension=3)},
    "dimension 2": {"data": np.zeros((3, 5)), "network": TWO},
    "has its own": {"data": LAW, "labels": np.zeros(6)},
    "have 0": {"data": POINTS, "network": TWO},
    "have 3": {"data": POINTS, "network": TWO, "labels": np.arange(6) % 3},
    "type float64": {"data": POINTS, "network": TWO, "labels": np.full(6, 0.5)},
    "whole numbers": {"data": POINTS, "network": TWO, "labels": -np.ones(6)},
    "below 2^31": {"data": POINTS, "network": TWO, "labels": np.full(6, 2**32)},
    "type complex128": {"data": POINTS + 0j},
    "one a point": {"data": POINTS, "network": TWO, "labels": np.zeros(5)},
    "type <U1": {"data": POINTS, "network": TWO, "labels": np.array(list("ababab"))},
    "(6,)": {"data": POINTS, "network": TWO, "labels": np.full(6, np.nan)},
}


@pytest.mark.parametrize("told", BAD)
def test_bad_data_is_refused(told):
    with pytest.raises(BadInput) as caught:
        train(**BAD[told], training=SHORT)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


MEANS = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])


def three_classes(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size)
    return MEANS[labels] + rng.normal(size=(size, 2)), labels


@pytest.mark.slow
def test_classifier_reaches_the_best_accuracy():
    points, labels = three_classes(2000, 0)
    held_out = three_classes(4000, 1)
    training = dataclasses.replace(
        TRAINING, batch_size=128, learning_rate=3e-3, chunk=50
    )
    found = train_classifier(points, labels, held_out=held_out, training=training)
    # Of equal weights and covariances: the nearest mean.
    square = ((held_out[0][:, None] - MEANS[None]) ** 2).sum(axis=2)
    bayes = np.mean(square.argmin(axis=1) == held_out[1])
    assert abs(found.accuracy - bayes) < 0.03
    posterior = scipy.special.log_softmax(-square / 2, axis=1)
    best = -np.mean(posterior[np.arange(4000), held_out[1]])
    assert best - 0.01 < found.log_loss < best + 0.1
    assert found.held_out == 4000
    with jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.float32, jnp.float64):
            xs = jnp.asarray(held_out[0][:500], dtype)
            told = jax.vmap(found.classifier.log_probabilities)(xs)
            assert told.dtype == dtype
            np.testing.assert_allclose(jnp.exp(told).sum(axis=1), 1, rtol=1e-5)
            gap = np.abs(np.exp(told) - np.exp(posterior[:500]))
            assert np.mean(gap) < 0.05
            assert jax.vmap(found.classifier.features)(xs).shape == (500, 64)


ROWS = np.arange(6) % 2
BAD_CLASSES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "(n, d) and (n,)": (POINTS, ROWS[:5], {}),
    "NaN or infinity": (POINTS * np.nan, ROWS, {}),
    "whole numbers": (POINTS, ROWS + 0.5, {}),
    "from 0": (POINTS, ROWS - 1, {}),
    "one class": (POINTS, ROWS * 0, {}),
    "`shape` is (3, 1, 1)": (POINTS, ROWS, {"shape": (3, 1, 1)}),
}


@pytest.mark.parametrize("told", BAD_CLASSES)
def test_bad_classes_are_refused(told):
    points, labels, options = BAD_CLASSES[told]
    held_out = (POINTS, ROWS * 0 if told == "one class" else ROWS)
    with pytest.raises(BadInput) as caught:
        train_classifier(points, labels, held_out=held_out, training=SHORT, **options)
    assert told in str(caught.value)
