"""The law of a late start: what it gives each class, and how far it is from p_t."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._checks import check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.late_start._given import (
    Given,
    block_stderr,
    given_weights,
    noise_floor,
)
from jaxwin.analysis.late_start._kinds import (
    KINDS,
    check_weights,
    checked_times,
    start_of,
)
from jaxwin.analysis.late_start._law_draws import Apart, drawn_apart
from jaxwin.analysis.late_start._law_line import Line, line_integrals, on_line
from jaxwin.io import field
from jaxwin.processes import AbstractProcess
from jaxwin.targets import (
    AbstractLabelledTarget,
    AbstractTarget,
    GaussianMixture,
    reduce,
)


class ClassWeights(eqx.Module):
    """Class weights after exact continuation of a start, at each noise.

    error = (1/2) sum_c |weight_c - prior_c|; divergence = sum_c weight_c log(weight_c /
    prior_c). Noise of draws pushes both up: the error by at most `floor`.
    """

    weight: Float[np.ndarray, "t c"] = field(("noise", "class"), "probability")
    prior: Float[np.ndarray, " c"] = field(("class",), "probability", "of the law")
    error: Float[np.ndarray, " t"] = field(("noise",), "probability", "half L1")
    error_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    floor: Float[np.ndarray, " t"] = field(("noise",), "probability", "of noise alone")
    divergence: Float[np.ndarray, " t"] = field(("noise",), "nats", "KL of the weights")
    divergence_stderr: Float[np.ndarray, " t"] = field(("noise",), "nats")


class StartLaw(eqx.Module):
    """A start beside p_t at each noise; errors are zero where nothing was drawn.

    kind: "gaussian" or "vanilla". classes: None for a law without labels.
    """

    kind: str = eqx.field(static=True)
    method: str = eqx.field(static=True)
    classes: ClassWeights | None
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    divergence: Float[np.ndarray, " t"] = field(("noise",), "nats", "KL(p_t | start)")
    divergence_stderr: Float[np.ndarray, " t"] = field(("noise",), "nats")
    variation: Float[np.ndarray, " t"] = field(
        ("noise",), "probability", "TV(p_t, start)"
    )
    variation_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    frechet: Float[np.ndarray, " t"] = field(
        ("noise",), "data units squared", "squared Frechet distance of start and p_t"
    )


def law(
    target: AbstractTarget,
    process: AbstractProcess,
    times: AnyArray,
    *,
    start: str = "gaussian",
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> StartLaw:
    """The exact law of a late start, along a clock.

    A run that begins at x and is continued by the exact reverse process ends in class c
    with probability p(c | x), and so, begun from a start q, with

        weight_c = int q(x) p(c | x_t = x) dx,    q = N(alpha m, alpha^2 C + sigma^2 I)
                                                  or the prior of the process.

    weight error <= TV(p_t, q) <= sqrt(KL(p_t | q) / 2): the posterior of a class lies
    between 0 and 1 (Pinsker). By quadrature (rounding) where the law is one of the line
    or reduces to one, as two components of one covariance do; otherwise by draws, the
    weights with control variates (`misplaced`), KL and TV from draws of both laws. The
    Frechet distance is a closed form, zero for the Gaussian start by construction: it
    cannot choose a start.

    Args:
        target: The clean law.
        process: The clock.
        times: Its times, increasing, sigma > 0.
        start: "gaussian", the exact moments of p_t; "vanilla", the prior.
        num_replicas: Draws, where there are any.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once.
        options: Those of `execution.run`.

    Raises:
        BadInput: An unknown start, times off the clock or not increasing, a class of
            weight zero.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693 (Gaussian late start); Cover & Thomas
        (2006), lemma 11.6.1 (Pinsker).
    """
    check_one_of(start, KINDS, "start")
    times = checked_times(process, times, "times")
    labelled = target if isinstance(target, AbstractLabelledTarget) else None
    prior = None if labelled is None else check_weights(labelled)
    weights_key, apart_key = jr.split(jr.key(0) if key is None else key)
    vanilla = start == "vanilla"
    options = {"num_replicas": num_replicas, "block_size": block_size} | options
    inner = target if vanilla else _inner(target)

    def by_draws() -> Apart:
        last = start_of(inner, process, start, float(times[-1]))
        return drawn_apart(inner, process, last, times, key=apart_key, **options)

    line, classes = on_line(target), None
    if line is not None:
        excess, apart = _by_quadrature(line, process, times, vanilla)
        if prior is not None:
            classes = _classes(prior, excess, None)
        method = "quadrature"
        if vanilla and line.extra:
            # What is orthogonal to the line differs too, and TV does not add up.
            drawn = by_draws()
            apart = apart._replace(
                variation=drawn.variation, variation_stderr=drawn.variation_stderr
            )
            method = "quadrature, TV by draws"
    else:
        apart, method = by_draws(), "draws"
        if labelled is not None and prior is not None:
            own = inner if isinstance(inner, AbstractLabelledTarget) else labelled
            found = given_weights(
                own, process, times, key=weights_key, vanilla=vanilla, **options
            )
            classes = _classes(prior, found.weight - prior, found)
    return StartLaw(
        kind=start,
        method=method,
        classes=classes,
        noise=times,
        frechet=_frechet(target, process, times, vanilla),
        **apart._asdict(),
    )


def _inner(target: AbstractTarget) -> AbstractTarget:
    """The law in the directions where it is not Gaussian: elsewhere starts agree."""
    found = reduce(target) if isinstance(target, GaussianMixture) else None
    return target if found is None else found.target


def _by_quadrature(
    line: Line,
    process: AbstractProcess,
    times: Float[np.ndarray, " t"],
    vanilla: bool,
) -> tuple[Float[np.ndarray, "t c"], Apart]:
    """Excess of the class weights, and distances; TV is that along the line alone."""
    alphas, sigmas = process.levels(jnp.asarray(times))
    alpha, sigma = np.asarray(alphas), np.asarray(sigmas)
    beyond = np.zeros_like(times)
    if vanilla:
        square = float(process.prior().std) ** 2
        means, variances = -alpha * line.along, np.full_like(times, square)
        # Outside of the line both are Gaussian.
        ratio = (alpha**2 * line.variance + sigma**2) / square
        beyond = 0.5 * line.extra * (ratio - 1 - np.log(ratio))
        beyond = beyond + 0.5 * (alpha * line.across) ** 2 / square
    else:
        moments = line.law.moments()
        means = alpha * float(moments.mean[0])
        variances = alpha**2 * float(moments.covariance()[0, 0]) + sigma**2
    stds = np.sqrt(variances)
    found = line_integrals(
        line.law, jnp.asarray(means), jnp.asarray(stds), alphas, sigmas
    )
    zero = np.zeros_like(times)
    divergence = np.asarray(found.divergence) + beyond
    apart = Apart(divergence, zero, np.asarray(found.variation), zero)
    return np.asarray(found.excess), apart


def _classes(
    prior: Float[np.ndarray, " c"],
    excess: Float[np.ndarray, "t c"],
    drawn: Given | None,
) -> ClassWeights:
    """Errors of the weights prior + excess, with those of the draws."""
    weight = prior + excess
    # Quadrature may leave a weight of nothing a rounding below zero.
    safe = np.maximum(weight, np.finfo(float).tiny)
    slopes = np.sign(excess) / 2, np.log(safe / prior)
    zero = np.zeros(len(weight))
    errors, floor = [zero, zero], zero
    if drawn is not None:
        apart = drawn.blocks - drawn.weight
        errors = [
            block_stderr(np.sum(slope * apart, axis=2), zero, drawn.share)
            for slope in slopes
        ]
        floor = noise_floor(drawn)
    return ClassWeights(
        weight=weight,
        prior=prior,
        error=np.sum(np.abs(excess), axis=1) / 2,
        error_stderr=errors[0],
        floor=floor,
        divergence=np.sum(safe * slopes[1], axis=1),
        divergence_stderr=errors[1],
    )


def _frechet(
    target: AbstractTarget,
    process: AbstractProcess,
    times: Float[np.ndarray, " t"],
    vanilla: bool,
) -> Float[np.ndarray, " t"]:
    """Both are Gaussian moments, and the prior is isotropic: roots of eigenvalues."""
    if not vanilla:
        return np.zeros_like(times)
    moments = target.moments()
    values = np.asarray(moments.leading(min(moments.factor.shape))[0], np.float64)
    others = moments.mean.size - values.size
    values = np.append(values, np.full(others, float(moments.variance)))
    alpha, sigma = map(np.asarray, process.levels(jnp.asarray(times)))
    widths = np.sqrt(alpha[:, None] ** 2 * values + sigma[:, None] ** 2)
    gap = widths - float(process.prior().std)
    mean = np.asarray(moments.mean, np.float64)
    return alpha**2 * (mean @ mean) + np.sum(gap**2, axis=1)
