"""U-turns of models that are known by their calls alone."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxwin.analysis import windows
from jaxwin.channels import BlackBox, Gaussian, Observed
from jaxwin.targets import Empirical, GaussianMixture

LAW = GaussianMixture.isotropic([[1.5], [-1.5]], 0.2, [0.6, 0.4])
EXACT = Observed(LAW, Gaussian())
NOISES = [0.3, 0.9, 2.0]


def levels(t):
    return np.exp(-t), np.sqrt(-np.expm1(-2 * t))


def noise(rng, x, t):
    alpha, sigma = (np.asarray(a)[..., None] for a in levels(t))
    return alpha * x + sigma * rng.normal(size=x.shape)


def weights(x, alpha, sigma):
    """Posterior weights of the two components, by hand; (..., 2)."""
    spread = alpha**2 * 0.2 + sigma**2
    log = np.log([0.6, 0.4]) - (x - alpha * np.array([1.5, -1.5])) ** 2 / (2 * spread)
    told = np.exp(log - log.max(axis=-1, keepdims=True))
    return told / told.sum(axis=-1, keepdims=True)


def denoise(rng, x, t):
    """An exact posterior draw in NumPy, of a block."""
    alpha, sigma = (np.asarray(a)[..., None] for a in levels(t))
    first = rng.random(x.shape) < weights(x, alpha, sigma)[..., :1]
    centre = np.where(first, 1.5, -1.5)
    gain = alpha * 0.2 / (alpha**2 * 0.2 + sigma**2)
    left = 0.2 * sigma**2 / (alpha**2 * 0.2 + sigma**2)
    mean = centre + gain * (x - alpha * centre)
    return mean + np.sqrt(left) * rng.normal(size=x.shape)


def classify(x):
    return weights(x, 1.0, 0.0)


def box(**options):
    return BlackBox(noise, denoise, classify, LAW, **options)


@pytest.mark.parametrize(
    "batched",
    [pytest.param(False, marks=pytest.mark.slow), True],
    ids=["points", "blocks"],
)
def test_confusion_of_an_exact_model_on_the_host(batched):
    """By posterior draws in NumPy: z < 4.5 against quadrature."""
    found = windows.confusion(
        box(batched=batched), NOISES, num_replicas=2048, key=jr.key(1)
    )
    exact = windows.confusion(EXACT, NOISES)
    assert found.stderr is not None
    assert np.all(found.stderr < 0.03)
    off = np.abs(found.matrix - exact.matrix)
    assert np.all(off < 4.5 * found.stderr + 1e-9)
    again = windows.confusion(
        box(batched=batched), NOISES, num_replicas=2048, key=jr.key(1)
    )
    np.testing.assert_array_equal(again.matrix, found.matrix)


@pytest.mark.slow
def test_traceable_functions_are_called_as_they_are():
    """The law's own U-turns behind the box: the same bits."""
    same = BlackBox(
        EXACT.observe, EXACT.resample, EXACT.label_probabilities, LAW, traceable=True
    )
    options = {"method": "simulated", "num_replicas": 64, "key": jr.key(0)}
    found, exact = (windows.confusion(one, NOISES, **options) for one in (same, EXACT))
    np.testing.assert_array_equal(found.matrix, exact.matrix)


def test_words_stay_whole_numbers():
    """Tokens of a model that has no geometry; every site masked is lost for good."""

    def masked(rng, x, t):
        return np.where(rng.random(x.shape) < t, -1, x)

    def filled(rng, x, t):
        del t
        return np.where(x < 0, rng.integers(0, 2, x.shape), x)

    class Words:
        """Words of three equal symbols."""

        def sample_labelled(self, key):
            label = jr.randint(key, (), 0, 2)
            return jnp.full(3, label), label

        def log_label_prior(self):
            return jnp.log(jnp.full(2, 0.5))

    def majority(x):
        return np.eye(2)[int(x.sum() > 1)]

    model = BlackBox(masked, filled, majority, Words())
    key = jr.key(3)
    x0, _ = model.start(key)
    back = jax.jit(lambda x: model.resample(key, model.observe(key, x, 1.0), 1.0))(x0)
    assert back.dtype == x0.dtype
    assert set(np.asarray(back)) <= {0, 1}
    found = windows.confusion(model, [0.0, 1.0], num_replicas=1024, key=key)
    np.testing.assert_array_equal(found.matrix[0], np.eye(2))
    assert np.all(np.abs(found.matrix[1] - 0.5) < 4.5 * found.stderr[1])


def test_held_out_points_are_data():
    data = Empirical(np.array([[1.5], [-1.5], [1.4]]), np.array([0, 1, 0]))
    model = BlackBox(noise, denoise, classify, data)
    np.testing.assert_allclose(np.exp(model.log_label_prior()), [2 / 3, 1 / 3])
    assert float(model.noise_at(model.coordinate(0.7))) == 0.7
    assert not model.has_exact_labels
    with pytest.raises(ValueError, match="no label posterior"):
        model.label_log_posterior(jnp.zeros(1), 0.5)
    with pytest.raises(ValueError, match="no label posterior"):
        model.soft_labels(jr.key(0), jnp.ones(2))


def test_a_run_is_not_resumed_with_another_function(tmp_path):
    """Of the same name, and of other code."""

    def made(shift):
        if shift:
            return BlackBox(lambda rng, x, t: x + 1, denoise, classify, LAW)
        return BlackBox(lambda rng, x, t: x + 0, denoise, classify, LAW)

    def confusion(model):
        options = {"folder": tmp_path / "run", "resume": True, "key": jr.key(0)}
        return windows.confusion(model, [0.5], num_replicas=8, **options)

    confusion(made(True))
    assert np.all(np.isfinite(confusion(made(True)).matrix))
    with pytest.raises(ValueError, match="program"):
        confusion(made(False))


def test_boxes_that_are_refused():
    key, x = jr.key(0), jnp.ones(1)
    wrong = BlackBox(lambda rng, x, t: np.zeros(3), denoise, classify, LAW)
    for call in (wrong.observe, jax.jit(lambda *args: wrong.observe(*args))):
        with pytest.raises(ValueError, match="`noise` gives shape"):
            call(key, x, 0.5)
    half = BlackBox(noise, denoise, lambda x: np.array([1, 0]), LAW)
    with pytest.raises(ValueError, match="`classify` gives shape .* floats"):
        half.label_probabilities(x)
    more = BlackBox(noise, denoise, lambda x: np.array([-1.0, 2.0]), LAW)
    with pytest.raises(ValueError, match="probabilities"):
        more.label_probabilities(x)
    with pytest.raises(ValueError, match="`batched`"):
        box(batched=True, traceable=True)
    with pytest.raises(ValueError, match="`noise` is a .* hashed"):
        BlackBox(Unhashable(), denoise, classify, LAW)


class Unhashable:
    """Callable, and not known again."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __call__(self, rng, x, t):
        return x
