"""Networks of every prediction on their own clocks, read as denoisers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some

from jaxwin.analysis import information, jacobian, symmetry
from jaxwin.execution import run
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    VariancePreserving,
)
from jaxwin.scores import ExactScore, Guided, from_network, guided_network
from jaxwin.scores._network import _check_function
from jaxwin.targets import AbstractDenoiser, FunctionDenoiser, GaussianMixture

MEANS = np.array([[1.0, 0.5, -1.0], [-1.5, 0.0, 0.3]])
VARIANCES, WEIGHTS = np.array([0.3, 0.8]), np.array([0.3, 0.7])
LAW = GaussianMixture.isotropic(MEANS, VARIANCES, WEIGHTS)
CLOCKS: dict[str, AbstractProcess] = {
    "edm": EDM(),
    "ou": OrnsteinUhlenbeck(),
    "vp": VariancePreserving(0.1, 20.0),
    "ddpm": DiscreteDDPM(1000, "linear"),
    "flow": LinearInterpolant(),
}
FORMS = {
    "denoised": ExactScore.denoised,
    "noise": ExactScore.noise,
    "score": ExactScore.__call__,
    "v": ExactScore.v_prediction,
    "velocity": ExactScore.velocity,
}
CASES = [(clock, kind) for clock in CLOCKS for kind in FORMS]
FAST = [("edm", "denoised"), ("ddpm", "noise"), ("vp", "v"), ("flow", "velocity")]
SINGLE_CASES = [("ddpm", kind) for kind in FORMS] + [
    ("edm", "denoised"),
    ("flow", "velocity"),
]
X, V = jnp.array([0.7, -0.4, 0.2]), jnp.array([1.0, -2.0, 0.5])
ALPHA, SIGMA = 0.8, 0.6


def mixture_mean(means, x, alpha, sigma):
    """E[x0 | x] of the mixture, in few operations: quick to compile."""
    spread = jnp.asarray(VARIANCES)
    variance = alpha**2 * spread + sigma**2
    square = jnp.sum((x[None] - alpha * means) ** 2, axis=1)
    log = jnp.log(WEIGHTS) - square / (2 * variance) - 1.5 * jnp.log(variance)
    gain = (alpha * spread / variance)[:, None]
    return jax.nn.softmax(log) @ (means + gain * (x[None] - alpha * means))


SMALL = FunctionDenoiser(eqx.Partial(mixture_mean, jnp.asarray(MEANS)))


def network(form, exact, x, t):
    """A perfect network: parameters are those of the law."""
    return form(exact, x, t)


def perfect(clock: str, kind: str, law: AbstractDenoiser = SMALL) -> AbstractDenoiser:
    process = CLOCKS[clock]
    function = eqx.Partial(network, FORMS[kind], ExactScore(law, process))
    return from_network(function, process, kind)


def levels(log_snr, dtype=jnp.float64):
    """Of a variance preserving channel, whose points no network here expects."""
    log_snr = jnp.asarray(log_snr, dtype)
    return jnp.sqrt(jax.nn.sigmoid(log_snr)), jnp.sqrt(jax.nn.sigmoid(-log_snr))


def noised(log_snr, dtype=jnp.float64):
    alphas, sigmas = levels(log_snr, dtype)
    keys = jr.split(jr.key(0), alphas.size)
    clean = jax.vmap(LAW.sample)(keys).astype(dtype)
    z = jr.normal(jr.key(1), clean.shape, dtype)
    # Twice the size, so that a clock of the same levels is rescaled too.
    xs = 2 * (alphas[:, None] * clean + sigmas[:, None] * z)
    return xs, 2 * alphas, 2 * sigmas


@eqx.filter_jit
def answers(denoiser, xs, alphas, sigmas):
    v = V.astype(xs.dtype)

    def at(x, alpha, sigma):
        moved = denoiser.jacobian_product(x, v, alpha, sigma)
        return (
            denoiser.denoise(x, alpha, sigma),
            denoiser.score(x, alpha, sigma),
            moved,
        )

    return jax.vmap(at)(xs, alphas, sigmas)


def errors(found, exact):
    """Largest relative errors of denoised points, scores and Jacobian products."""
    size = lambda v: np.linalg.norm(np.asarray(v, np.float64), axis=-1)
    return [
        np.max(size(np.asarray(a, np.float64) - np.asarray(b)) / size(b))
        for a, b in zip(found, exact, strict=True)
    ]


@pytest.fixture(scope="module")
def exact():
    return answers(LAW, *noised(np.linspace(-8.0, 8.0, 33)))


# Five predictions, five clocks


@pytest.mark.slow
@pytest.mark.parametrize("case", some(CASES, FAST))
def test_every_prediction_gives_back_the_law(exact, case):
    found = answers(perfect(*case), *noised(np.linspace(-8.0, 8.0, 33)))
    assert max(errors(found, exact)) < 1e-10


# Rounding is 6e-8: at log-SNR -8 to 8, sigma / alpha from 0.02 to 55. A denoised point
# gives scores to rounding / sigma^2, noise gives denoised points to rounding sigma.
SINGLE = {
    "denoised": (2e-6, 2e-3, 1e-3),
    "noise": (5e-5, 2e-6, 2e-6),
    "score": (5e-5, 2e-6, 2e-6),
    "v": (2e-6, 2e-6, 2e-6),
    "velocity": (5e-5, 5e-5, 1e-5),
}


@pytest.mark.parametrize("case", some(SINGLE_CASES, []))
def test_float32_keeps_the_digits_that_its_form_has(case):
    xs, alphas, sigmas = noised(np.linspace(-8.0, 8.0, 33), jnp.float32)
    single = lambda leaf: leaf.astype(jnp.float32) if eqx.is_array(leaf) else leaf
    law = jax.tree.map(lambda v: single(v) if eqx.is_inexact_array(v) else v, LAW)
    clock, kind = case
    found = answers(perfect(clock, kind, law), xs, alphas, sigmas)
    assert {v.dtype for v in found} == {jnp.dtype("float32")}
    wide = tuple(v.astype(jnp.float64) for v in (xs, alphas, sigmas))
    made = errors(found, answers(LAW, wide[0], wide[1], wide[2]))
    assert np.all(np.array(made) < SINGLE[kind]), made


# Forms of functions: blocks, plain Python, labels


def mean_numpy(x, s):
    """E[x0 | x] of the mixture at noise s, in NumPy; x (b, d), s (b,)."""
    variance = VARIANCES[None] + s[:, None] ** 2
    square = np.sum((x[:, None] - MEANS[None]) ** 2, axis=-1)
    log = np.log(WEIGHTS)[None] - square / (2 * variance) - 1.5 * np.log(variance)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    gain = (VARIANCES[None] / variance)[..., None]
    centres = MEANS[None] + gain * (x[:, None] - MEANS[None])
    return np.sum(weight[..., None] * centres, axis=1)


def one(x, s):
    """A plain JAX network of one point."""
    return x / (1 + s**2) + jnp.sin(x) * s


def test_blocks_agree_and_reach_the_network_whole():
    shapes = []

    def block(xs, ts):
        shapes.append((xs.shape, ts.shape))
        return jax.vmap(one)(xs, ts)

    plain, batched = from_network(one), from_network(block, batched=True)
    xs = jr.normal(jr.key(2), (7, 3))
    for name in ("denoise", "score"):
        a, b = (getattr(d, name)(X, ALPHA, SIGMA) for d in (plain, batched))
        np.testing.assert_array_equal(a, b)
    assert set(shapes) == {((1, 3), (1,))}
    shapes.clear()
    found = batched.score_many(xs, ALPHA, SIGMA)
    assert shapes == [((7, 3), (7,))]
    np.testing.assert_allclose(found, plain.score_many(xs, ALPHA, SIGMA), rtol=1e-14)
    a, b = (d.jacobian_product(X, V, ALPHA, SIGMA) for d in (plain, batched))
    np.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize("batched", [True, False])
def test_python_functions_agree_in_one_call_under_nested_vmap(batched):
    calls = []

    def function(x, s):
        calls.append(x.shape)
        assert isinstance(x, np.ndarray)
        return mean_numpy(x, s) if batched else mean_numpy(x[None], s[None])[0]

    denoiser = from_network(function, batched=batched, host=True)
    found = denoiser.denoise(X, ALPHA, SIGMA)
    np.testing.assert_allclose(found, LAW.denoise(X, ALPHA, SIGMA), rtol=1e-12)
    xs = jr.normal(jr.key(2), (2, 3, 3))
    at = lambda x: denoiser.denoise(x, ALPHA, SIGMA)
    calls.clear()
    found = jax.jit(jax.vmap(jax.vmap(at)))(xs)
    # The first is the trial of the shapes.
    assert calls[-1] == ((6, 3) if batched else (3,))
    assert len(calls) == (2 if batched else 2 + 6)
    expected = mean_numpy(np.asarray(xs / ALPHA).reshape(6, 3), np.full(6, 0.75))
    np.testing.assert_allclose(found.reshape(6, 3), expected, rtol=1e-13)


def test_derivatives_of_python_functions_are_differences():
    product = eqx.filter_jit(
        from_network(mean_numpy, batched=True, host=True).jacobian_product
    )
    for log_snr in (-4.0, 0.0, 6.0):
        alpha, sigma = levels(log_snr)
        found, true = (f(X, V, alpha, sigma) for f in (product, LAW.jacobian_product))
        np.testing.assert_allclose(found, true, rtol=1e-6)
    # A network of single precision, by longer steps.
    rough = lambda x, s: mean_numpy(x, s).astype(np.float32)
    denoiser = from_network(rough, batched=True, host=True, step=5e-3)
    found, true = (d.jacobian_product(X, V, 0.8, 0.6) for d in (denoiser, LAW))
    np.testing.assert_allclose(found, true, rtol=1e-3)


def test_derivatives_in_the_noise_and_of_derivatives():
    plain = from_network(one)
    host = from_network(
        lambda x, s: np.asarray(x / (1 + s**2) + np.sin(x) * s), host=True
    )

    def answers(denoiser):
        mean = lambda x, sigma: denoiser.denoise(x, ALPHA, sigma)
        along = lambda x: jax.jvp(lambda x: mean(x, SIGMA), (x,), (V,))[1]
        both = jax.jvp(mean, (X, jnp.array(SIGMA)), (V, jnp.array(0.3)))[1]
        return both, jax.jvp(along, (X,), (V,))[1]

    (slope, curvature), exact = answers(host), answers(plain)
    np.testing.assert_allclose(slope, exact[0], rtol=1e-8)
    np.testing.assert_allclose(curvature, exact[1], rtol=1e-3)
    flat = jax.jvp(lambda x: host.denoise(x, ALPHA, SIGMA), (X,), (0 * X,))[1]
    np.testing.assert_array_equal(flat, 0)


def test_large_blocks_of_python_functions_do_not_wait_for_ever():
    """64 points of 3072 on four devices hung where arrays went through JAX."""
    denoiser = from_network(lambda x, s: x / s[:, None], batched=True, host=True)

    def square(denoiser, key, replica):
        x = jr.normal(jr.fold_in(key, replica), (3072,))
        return jnp.mean(denoiser.denoise(x, 1.0, 0.5) ** 2)

    found = run(eqx.Partial(square, denoiser), 512, jr.key(0), block_size=64)
    assert float(found.mean) == pytest.approx(4, rel=0.01)


# Labels


def labelled(means, x, s, label):
    """Row 0: no class; a Gaussian about each row."""
    mean = means[label]
    return mean + (x - mean) / (1 + s**2)


@pytest.mark.parametrize("form", ["one", "batched", "host", "host batched"])
def test_labels_reach_every_form(form):
    means = np.concatenate([np.zeros((1, 3)), MEANS])
    functions = {
        "one": eqx.Partial(labelled, jnp.asarray(means)),
        "batched": eqx.filter_vmap(eqx.Partial(labelled, jnp.asarray(means))),
        "host": lambda x, s, c: labelled(means, x, s, c),
        "host batched": lambda x, s, c: labelled(means, x, s[:, None], c),
    }
    guided = guided_network(
        functions[form], 2, 0, 1.5, batched="batched" in form, host="host" in form
    )
    score = lambda x, c: (means[c] - x) / (1 + 0.7**2)
    exact = lambda x: score(x, 0) + 1.5 * (score(x, 2) - score(x, 0))
    np.testing.assert_allclose(guided(X, 0.7), exact(np.asarray(X)), rtol=1e-12)
    xs = jr.normal(jr.key(3), (4, 3))
    np.testing.assert_allclose(
        guided.many(xs, 0.7), [exact(x) for x in np.asarray(xs)], rtol=1e-12
    )


def test_guidance_of_scores_on_another_clock():
    means = jnp.concatenate([jnp.zeros((1, 3)), jnp.asarray(MEANS)])
    clock, f = OrnsteinUhlenbeck(), eqx.Partial(labelled, means)
    scores = [ExactScore(from_network(f, label=c), clock) for c in (0, 1)]
    law = lambda c: GaussianMixture.isotropic(means[c][None], 1.0)
    exact = [ExactScore(law(c), clock) for c in (0, 1)]
    found, true = (Guided(a, b, 2.0) for a, b in (scores, exact))
    np.testing.assert_allclose(found(X, 0.4), true(X, 0.4), rtol=1e-12)


def test_new_parameters_and_labels_do_not_recompile():
    traces = []

    def f(means, x, s, label):
        traces.append(1)
        return labelled(means, x, s, label)

    score = eqx.filter_jit(lambda guided, x, t: guided(x, t))
    found = [
        score(guided_network(eqx.Partial(f, means), label, 0, w), X, 0.5)
        for means, label, w in [
            (jnp.asarray(MEANS), 1, 1.0),
            (jnp.asarray(2 * MEANS), np.int64(0), 2.0),
            (jnp.asarray(MEANS), jnp.array(1), -1.0),
        ]
    ]
    assert len(traces) == 2  # two scores, once
    assert not np.allclose(found[0], found[1])


def test_python_functions_wrapped_again_do_not_recompile():
    traces = []

    @eqx.filter_jit
    def denoise(denoiser, x):
        traces.append(1)
        return denoiser.denoise(x, ALPHA, SIGMA)

    f = lambda x, s, c: x * c
    for label in (1, 2):
        found = denoise(from_network(f, label=label, host=True), X)
        np.testing.assert_allclose(found, X / ALPHA * label)
    assert len(traces) == 1


# Ends


def test_beyond_the_times_it_denoises_as_at_their_end():
    times = (0.1, 5.0)
    plain = from_network(one, times=times)
    for sigma in (1e-3, 0.0):
        found = plain.denoise(2 * X, 2.0, sigma)
        np.testing.assert_allclose(found, one(X, 0.1), rtol=1e-14)
    for alpha in (1e-3, 0.0):
        found = plain.denoise(X, alpha, 10.0)
        np.testing.assert_allclose(found, one(X / 2, 5.0), rtol=1e-14)
    # The same denoiser from its noise prediction, and the score of both.
    noise = from_network(lambda x, s: (x - one(x, s)) / s, None, "noise", times=times)
    for alpha, sigma in [(2.0, 1e-3), (1e-3, 10.0), (0.0, 10.0), (1.0, 1.0)]:
        for name in ("denoise", "score"):
            a, b = (getattr(d, name)(X, alpha, sigma) for d in (plain, noise))
            np.testing.assert_allclose(a, b, rtol=1e-9)
    np.testing.assert_allclose(noise.score(X, 0.0, 10.0), -X / 100, rtol=1e-14)
    # A table ends at its first index, not at the clean point.
    seen = []
    table = from_network(lambda x, t: seen.append(float(t)) or x, DiscreteDDPM(10))
    table.denoise(X, 1.0, 0.0)
    table.denoise(X, 0.0, 1.0)
    assert seen == [0.0, 9.0]


@pytest.mark.parametrize("kind", FORMS)
def test_no_end_is_silently_wrong(kind):
    denoiser = perfect("flow", kind)
    clean = denoiser.denoise(X, 1.0, 0.0) if kind != "score" else X
    np.testing.assert_allclose(clean, X, rtol=1e-12)
    with pytest.raises(ValueError, match="`sigma` is 0"):
        denoiser.score(X, 1.0, 0.0)
    if kind in ("noise", "score"):
        with pytest.raises(ValueError, match="`alpha` is 0"):
            denoiser.denoise(X, 0.0, 1.0)
        traced = eqx.filter_jit(denoiser.denoise)(X, 0.0, 1.0)
        assert not np.isfinite(traced).any()
    else:
        found = denoiser.denoise(X, 0.0, 1.0)
        np.testing.assert_allclose(found, WEIGHTS @ MEANS, rtol=1e-12)
    np.testing.assert_allclose(denoiser.score(X, 0.0, 1.0), -X, rtol=1e-12)


def test_small_signals_and_noises_are_rescaled_without_overflow():
    denoiser = from_network(lambda x, s: x / (1 + s**2))
    x = X.astype(jnp.float32)
    for size in (1e-30, 1e30):
        level = jnp.float32(size)
        found = denoiser.denoise(x * level, level, level)
        np.testing.assert_allclose(found, x / 2, rtol=1e-6)


# Through the analyses


@pytest.mark.slow
def test_information_through_a_python_function():
    host = from_network(mean_numpy, batched=True, host=True)
    log_snr = np.arange(-6.0, 3.01, 1.0)
    found, exact = (
        information.from_mmse(d, log_snr, 50, draw=LAW.sample, num_replicas=256)
        for d in (host, LAW)
    )
    np.testing.assert_allclose(found.loss, exact.loss, rtol=1e-10)
    np.testing.assert_allclose(found.information, exact.information, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("count", some([None, 2], [2]))
def test_spectra_through_a_python_function(count):
    host = from_network(mean_numpy, batched=True, host=True)
    xs, alphas, sigmas = noised(np.linspace(-4.0, 4.0, 5))
    found, exact = (jacobian.spectra(d, xs, alphas, sigmas, count) for d in (host, LAW))
    np.testing.assert_allclose(found.normalised, exact.normalised, atol=1e-6)


@pytest.mark.slow
@pytest.mark.long
def test_critical_times_through_a_python_function():
    def mean(x, s):
        variance = 0.1 + s[:, None] ** 2
        pull = np.tanh(x[:, :1] / variance) * np.array([[1.0, 0.0]])
        return pull * (1 - 0.1 / variance) + 0.1 / variance * x

    law = GaussianMixture.isotropic(np.array([[1.0, 0.0], [-1.0, 0.0]]), 0.1)
    host = from_network(mean, batched=True, host=True)
    clock = OrnsteinUhlenbeck()
    found = symmetry.critical_times(host, clock, dimension=2)
    assert str(found) == str(symmetry.critical_times(law, clock))


# Mistakes


def test_numbers_that_are_not_finite_are_told_by_run():
    holes = from_network(lambda x, s: np.where(x > 3, np.nan, x), host=True)

    def square(denoiser, key, replica):
        x = jr.normal(jr.fold_in(key, replica), (100,))
        return jnp.sum(denoiser.denoise(x, 1.0, 1.0) ** 2)

    with pytest.raises(FloatingPointError, match="returned NaN"):
        run(eqx.Partial(square, holes), 64, jr.key(0))


def wrong(shape):
    return lambda x, t: np.zeros(shape)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda x: x, {}, r"`function` takes \(x\) and cannot be called"),
        (lambda x, t, c: x, {}, "give `label`"),
        (lambda x, t: x, {"label": 1}, "leave `label` out"),
        (eqx.Partial(lambda p, x: x, 1.0), {}, r"takes \(p, x\) and cannot"),
        (one, {"predicts": "epsilon"}, "`predicts` is 'epsilon'; it must be one of"),
        (one, {"times": (1.0, 0.5)}, "`times` are 1.0 and 0.5; they must increase"),
        (one, {"times": (0.1, 100.0)}, "`times` are"),
        (one, {"times": (np.nan, 1.0)}, "`times` are nan"),
        (one, {"step": 0.1}, "`step` is 0.1; functions written in JAX"),
        (one, {"step": -1.0, "host": True}, "`step` is -1"),
        (lambda x, t, c: x, {"label": np.array("dog")}, "`label` is .*dog"),
        (eqx.Partial(one, X), {"host": True, "label": None}, "cannot be"),
    ],
)
def test_bad_arguments_are_named(function, options, message):
    with pytest.raises(ValueError, match=message):
        from_network(function, **options)


def test_what_is_no_function_is_named():
    # The door itself is closed by the types that tests check.
    with pytest.raises(ValueError, match=r"`function` is 3; .* of \(x, t\)"):
        _check_function(3, ())


def test_bad_functions_of_one_point_are_named():
    jit = lambda denoiser: eqx.filter_jit(denoiser.denoise)(X, ALPHA, SIGMA)
    for host in (False, True):
        for call in (jit, lambda denoiser: denoiser.denoise(X, ALPHA, SIGMA)):
            with pytest.raises(
                ValueError, match=r"gives shape \(3, 1\).*must give \(3,\)"
            ):
                call(from_network(wrong((3, 1)), host=host))
    with pytest.raises(ValueError, match="of int64 on the host.* of floats"):
        jit(from_network(lambda x, t: np.zeros(3, np.int64), host=True))
    with pytest.raises(ValueError, match="real"):
        from_network(lambda x, s: x.astype(complex), EDM(), "denoised").denoise(
            X, 1.0, 0.5
        )
    with pytest.raises(ValueError, match=r"gives shape \(3,\) .*must give \(2, 3\)"):
        jit(from_network(wrong(3), batched=True, host=True))
    with pytest.raises(ValueError, match=r"gives shape \(4,\).*must give \(1, 3\)"):
        jit(from_network(wrong(4), batched=True))
    # Wrong for longer blocks alone: from inside the program, with the same words.
    late = from_network(lambda x, t: x[:2], batched=True, host=True)
    many = jax.jit(jax.vmap(lambda x: late.denoise(x, ALPHA, SIGMA)))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"must give \(5, 3\)"):
        many(jnp.ones((5, 3)))
