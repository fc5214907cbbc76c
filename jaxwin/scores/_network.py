"""Networks on clocks of their own, as denoisers."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Shaped

from jaxwin._checks import check, check_one_of, is_concrete, positive
from jaxwin._numerics import as_float
from jaxwin._typing import Point, ScalarLike
from jaxwin.processes import EDM, AbstractProcess, DiscreteDDPM

# Not `convert_prediction`: its run-time refusals would keep compiled programs out of
# the persistent cache, and what they refuse is left out here by the range of times.
from jaxwin.scores._conversions import KINDS, _denoised_and_noise, _Levels
from jaxwin.scores._exact import ExactScore
from jaxwin.scores._guided import Guided
from jaxwin.scores._host_function import HostFunction
from jaxwin.targets import AbstractDenoiser


def from_network(
    function: Callable[..., Any],
    process: AbstractProcess | None = None,
    predicts: str = "denoised",
    *,
    label: ArrayLike | None = None,
    batched: bool = False,
    host: bool = False,
    times: tuple[ScalarLike, ScalarLike] | None = None,
    step: float | None = None,
) -> "NetworkPrediction":
    """Any network as a denoiser: what it predicts, on its own clock.

        from_network(denoise)                                   D(x, sigma) of EDM
        from_network(score, OrnsteinUhlenbeck(), "score")       s(x, t)
        from_network(noise, DiscreteDDPM(1000), "noise")        eps(x, index)
        from_network(velocity, LinearInterpolant(), "velocity") u = 0 clean, 1 noise

    Args:
        function: `function(x, t)`, or `function(x, t, label)` where `label` is given:
            the point in the network's own scale, x = alpha(t) x0 + sigma(t) z, and the
            time of `process`, to the prediction, of the shape of x. Parameters go in as
            a pytree, `eqx.Partial(network, parameters)`, so that new ones do not
            recompile; with `host` it is compared by identity or by its own equality.
        process: The clock it was trained on, `EDM()` (t = sigma, x = x0 + sigma z) if
            left out. A table's time is the index 0 ... N - 1, in floats and between
            whole numbers too: round it in the function where it only knows whole ones.
            A respaced table is not the one that a network was trained on.
        predicts: One of denoised, noise, score, v, velocity, see `convert_prediction`.
        label: A class (or any array) that the function is called with; traced data, so
            that another one does not recompile.
        batched: The function takes blocks: points (b, d), times (b,), labels (b, ...).
        host: The function is plain Python (NumPy, PyTorch) and gets NumPy arrays, see
            `HostFunction`, also for the error of its derivatives.
        times: First and last time that the network knows; those of the clock, without
            the clean end of a table, if left out.
        step: Of the differences that `host` takes derivatives by, see `HostFunction`.

    Raises:
        ValueError: `function` is not callable or does not take these arguments; an
            unknown prediction; `times` that do not increase within the clock's; a
            `label` that is no array; `step` without `host` or not positive.
    """
    process = EDM() if process is None else process
    given = () if label is None else (label,)
    _check_function(function, given)
    if host:
        function = HostFunction(function, process, batched=batched, step=step)
        batched = False
    elif step is not None:
        raise ValueError(
            f"`step` is {step}; functions written in JAX have exact derivatives: leave "
            f"it out, or set `host`."
        )
    return NetworkPrediction(
        function, process, predicts, label=label, batched=batched, times=times
    )


def guided_network(
    function: Callable[..., Any],
    label: ArrayLike,
    null_label: ArrayLike,
    strength: ScalarLike,
    process: AbstractProcess | None = None,
    predicts: str = "denoised",
    **options: Any,
) -> Guided:
    """Classifier-free guidance of one class-conditional network, on its own clock.

        s(x | null) + w (s(x | label) - s(x | null))

    For another clock, or for two networks, join `ExactScore`s of `from_network` by
    `Guided`.

    Args:
        function: `function(x, t, label)`, see `from_network`.
        label: The class.
        null_label: What the network takes for no class, often the number of classes.
        strength: w, see `Guided`.
        process: As in `from_network`.
        predicts: As in `from_network`.
        options: Handed on to `from_network`.

    Raises:
        ValueError: As in `from_network` and `Guided`.

    References:
        Ho & Salimans (2022), arXiv:2207.12598.
    """

    def score(label: ArrayLike) -> ExactScore:
        denoiser = from_network(function, process, predicts, label=label, **options)
        return ExactScore(denoiser, denoiser.process)

    return Guided(score(null_label), score(label), strength)


class NetworkPrediction(AbstractDenoiser):
    """A network's prediction read at equal SNR: `denoise(x, alpha, sigma)` of anybody.

        t = process.time(2 log(alpha / sigma)),    y = x alpha(t) / alpha,
        f(y, t) = D, E, -E / sigma(t), alpha(t) E - sigma(t) D or alpha' D + sigma' E,
        score = (alpha D - x) / sigma^2 if D is predicted, else -E / sigma,
        E[x0 | x] = (x - sigma E) / alpha if noise or score is, else D.

    Each is the form that keeps more digits. Beyond `times` the network is called at the
    nearer end of them and denoises as it does there: at less noise with the signal of y
    as it should be, y = x alpha(t) / alpha, at more noise with the noise as it should
    be, y = x sigma(t) / sigma. The score is that of this denoised point, so it goes to
    -x / sigma^2 at no signal, and grows like 1 / sigma^2 at no noise. At alpha = 0, if
    the network knows that time, a noise or a score determines no denoised point:
    refused, or not finite under a trace.

    Attributes:
        function: Of (x, t) or (x, t, label), one point or (`batched`) blocks.
        process: The network's clock.
        times: First and last time that the network knows.
        label: What it is called with besides, if anything.
        predicts: Kind of prediction.
    """

    function: Callable[..., Any]
    process: AbstractProcess
    times: tuple[Float[Array, ""], Float[Array, ""]]
    label: Shaped[Array, "..."] | None
    predicts: str = eqx.field(static=True)
    batched: bool = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[..., Any],
        process: AbstractProcess,
        predicts: str,
        *,
        label: ArrayLike | None = None,
        batched: bool = False,
        times: tuple[ScalarLike, ScalarLike] | None = None,
    ):
        """Like `from_network`, for a function written in JAX."""
        check_one_of(predicts, KINDS, "predicts")
        self.function, self.process, self.predicts = function, process, predicts
        self.batched = batched
        self.label = None if label is None else _as_label(label)
        self.times = _checked_times(process, times)

    def denoise(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Posterior mean E[x0 | x] as the network has it, in the type of x.

        Raises:
            ValueError: The function gives another shape; no denoised point at alpha 0.
        """
        read = self._read(x, alpha, sigma)
        return self._denoised(x, self._value(read.scale * x, read.time), read)

    def score(self, x: Point, alpha: ScalarLike, sigma: ScalarLike) -> Point:
        """Score grad log p(x) as the network has it.

        Raises:
            ValueError: The function gives another shape; `sigma` is a concrete zero.
        """
        read = self._read_score(x, alpha, sigma)
        return self._score(x, self._value(read.scale * x, read.time), read)

    def score_many(
        self, xs: Float[Array, "b d"], alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "b d"]:
        """Scores of a block of points: one call of a function of blocks."""
        read = self._read_score(xs, alpha, sigma)
        times = jnp.full(len(xs), read.time)
        ys = read.scale * xs
        if self.batched:
            return self._score(xs, self._block(ys, times), read)
        return self._score(xs, jax.vmap(self._value)(ys, times), read)

    def jacobian_product(
        self, x: Point, v: Point, alpha: ScalarLike, sigma: ScalarLike
    ) -> Point:
        """Product of the score's Jacobian with `v`, by a forward derivative."""
        score = lambda x: self.score(x, alpha, sigma)
        return jax.jvp(score, (x,), (v,))[1]

    def _value(self, y: Point, t: Float[Array, ""]) -> Point:
        """What the network gives at one point of its own clock."""
        if self.batched:
            return self._block(y[None], t[None])[0]
        given = () if self.label is None else (self.label,)
        return _checked(self.function(y, t, *given), y)

    def _block(
        self, ys: Float[Array, "b d"], times: Float[Array, " b"]
    ) -> Float[Array, "b d"]:
        """What a network of blocks gives."""
        given = ()
        if self.label is not None:
            shape = (len(ys), *self.label.shape)
            given = (jnp.broadcast_to(self.label[None], shape),)
        return _checked(self.function(ys, times, *given), ys)

    def _read_score(self, x: Array, alpha: ScalarLike, sigma: ScalarLike) -> "_Read":
        must = "finite and positive: a score needs noise, `denoise` has a limit there"
        check(sigma, positive, "sigma", must)
        return self._read(x, alpha, sigma)

    def _read(self, x: Array, alpha: ScalarLike, sigma: ScalarLike) -> "_Read":
        """Where on the network's clock the channel (alpha, sigma) is read."""
        alpha, sigma = (jnp.asarray(level, x.dtype) for level in (alpha, sigma))
        first, last = (jnp.asarray(end, x.dtype) for end in self.times)
        log_snr = 2 * jnp.log(alpha / sigma)
        top, bottom = self.process.log_snr(first), self.process.log_snr(last)
        clean, noisy = log_snr > top, log_snr < bottom
        time = jnp.clip(self.process.time(jnp.clip(log_snr, bottom, top)), first, last)
        # The ends are known exactly; at infinite log-SNR a clock may give NaN.
        time = jnp.where(log_snr >= top, first, time)
        time = jnp.where(log_snr <= bottom, last, time).astype(x.dtype)
        own = _Levels(
            alpha=jnp.asarray(self.process.alpha(time), x.dtype),
            sigma=jnp.asarray(self.process.sigma(time), x.dtype),
            alpha_rate=jnp.asarray(self.process.alpha_rate(time), x.dtype),
            half_rate=jnp.asarray(self.process.variance_rate(time), x.dtype) / 2,
        )
        # Of two equal ratios the one that is not of small numbers.
        by_signal = clean | (~noisy & (alpha >= sigma))
        scale = jnp.where(
            by_signal, own.alpha / _nonzero(alpha), own.sigma / _nonzero(sigma)
        )
        return _Read(alpha, sigma, time, scale, own, clean, noisy)

    def _denoised(self, x: Array, value: Array, read: "_Read") -> Array:
        if self.predicts not in ("noise", "score"):
            point = read.scale * x
            return _denoised_and_noise(value, point, self.predicts, read.own)[0]
        alpha, sigma = read.seen
        if is_concrete(alpha) and not alpha > 0:
            raise ValueError(
                f"`alpha` is {alpha}: a {self.predicts} network knows no denoised "
                f"point where there is no signal; take a small positive alpha."
            )
        return (x - sigma * self._noise(x, value, read)) / alpha

    def _score(self, x: Array, value: Array, read: "_Read") -> Array:
        if self.predicts == "denoised":
            return (read.alpha * value - x) / read.sigma**2
        noise = self._noise(x, value, read)
        # Within the times both are 1; beyond, this is (alpha D - x) / sigma^2 with the
        # denoised point D at their end.
        alpha, sigma = read.seen
        signal = jnp.where(read.noisy, read.alpha / _nonzero(alpha), 1)
        width = jnp.where(read.clean, sigma / _nonzero(read.sigma), 1)
        rest = jnp.where(read.noisy, (1 - signal) / read.sigma, 0)
        return -(signal * width * noise + rest * x) / read.sigma

    def _noise(self, x: Array, value: Array, read: "_Read") -> Array:
        point = read.scale * x
        return _denoised_and_noise(value, point, self.predicts, read.own)[1]


class _Read(NamedTuple):
    """A channel (alpha, sigma) read on the network's clock.

    scale: of the point. own: levels of the clock there. clean, noisy: whether the
    network knows no time of so little, of so much noise.
    """

    alpha: Float[Array, ""]
    sigma: Float[Array, ""]
    time: Float[Array, ""]
    scale: Float[Array, ""]
    own: _Levels
    clean: Bool[Array, ""]
    noisy: Bool[Array, ""]

    @property
    def seen(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Levels that the network takes the unscaled point for."""
        own = self.own
        weak = self.sigma * (own.alpha / _nonzero(own.sigma))
        wide = self.alpha * (own.sigma / _nonzero(own.alpha))
        alpha = jnp.where(self.noisy, weak, self.alpha)
        return alpha, jnp.where(self.clean, wide, self.sigma)


def _nonzero(value: Array) -> Array:
    """The value, or 1 in its place where it is zero: that branch is not taken."""
    return jnp.where(value == 0, 1, value)


def _checked(value: Any, like: Array) -> Array:
    """A prediction in the type of the points it belongs to, one for each coordinate."""
    if jnp.iscomplexobj(value):
        raise ValueError(
            "`function` gives complex numbers; it must give real ones: take the real "
            "part, if that is meant."
        )
    array = as_float(value)
    if array.shape != like.shape:
        raise ValueError(
            f"`function` gives shape {array.shape} for x of shape {like.shape}; it "
            f"must give {like.shape}, one number for each coordinate."
        )
    return array.astype(like.dtype)


def _as_label(label: ArrayLike) -> Shaped[Array, "..."]:
    """A label as an array; whole numbers of one type, so that none recompiles."""
    array = label if isinstance(label, jax.Array) else np.asarray(label)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"`label` is {label!r}; it must be a class number or an array of numbers."
        )
    kind = jnp.result_type(float) if array.dtype.kind == "f" else jnp.int32
    return jnp.asarray(array, kind)


def _checked_times(
    process: AbstractProcess, times: tuple[ScalarLike, ScalarLike] | None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    low, high = process.domain
    if times is None:
        # Index -1 is the clean point, which no network of a table is asked about.
        low = 0.0 if isinstance(process, DiscreteDDPM) else low
        return as_float(low), as_float(high)
    first, last = times
    if is_concrete(first, last, low, high) and not low <= first < last <= high:
        raise ValueError(
            f"`times` are {first} and {last}; they must increase, from the cleanest to "
            f"the noisiest that the network knows, within [{low}, {high}]."
        )
    return as_float(first), as_float(last)


def _check_function(function: Any, given: tuple[Any, ...]) -> None:
    """Raise ValueError unless `function` can be called with (x, t) or (x, t, label)."""
    names = "(x, t, label)" if given else "(x, t)"
    if not callable(function):
        raise ValueError(
            f"`function` is {function!r}; it must be a function of {names}."
        )
    called, before, by_name = function, (), {}
    while isinstance(called, eqx.Partial):
        before, by_name = (*called.args, *before), {**called.keywords, **by_name}
        called = called.func
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        # Some built-in functions tell nothing of their arguments.
        return
    try:
        signature.bind(*before, None, None, *given, **by_name)
    except TypeError as error:
        rest = "leave `label` out" if given else "give `label`"
        raise ValueError(
            f"`function` takes {signature} and cannot be called as function{names}: "
            f"{error}; {rest} if that is what is amiss."
        ) from error
