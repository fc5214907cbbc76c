"""What a wrong or learned score costs at most: total variation of what it generates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray, Key, Point, ScalarLike
from jaxwin.analysis._line import LawOnALine, component_cuts, gauss_legendre
from jaxwin.analysis.information._label_slopes import law_of
from jaxwin.analysis.information._score_gap import checked_times
from jaxwin.analysis.information._time_rule import FEWER, NODES
from jaxwin.analysis.windows._sets import Labels, members
from jaxwin.channels import Observed
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget, GaussianMixture

Score = Callable[[Point, ScalarLike, ScalarLike], Point]

# Panels in sqrt(t) of a path from 0 to T.
PANELS = 4
# Trapezoid rule over the Gaussian that leads from t to T.
REACH, STEP = 9.0, 1 / 8


class ScoreCertificate(eqx.Module):
    """Path-space divergence of a run with another score, and the bound it gives.

    path: int_end^T E|s_hat - s|^2 dt along the exact reverse law started from p_T^S;
    error: of the quadrature, or the standard error.
    """

    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time T")
    path: Float[np.ndarray, " t"] = field(("noise",), "nats")
    error: Float[np.ndarray, " t"] = field(("noise",), "nats")
    method: str = eqx.field(static=True, default="")

    @property
    def bound(self) -> Float[np.ndarray, " t"]:
        """Pinsker's sqrt(path / 2) >= TV(p_hat^{S,T}, p^{S,T}), at most one."""
        return np.minimum(np.sqrt(np.maximum(self.path, 0) / 2), 1.0)


def score_error_certificate(
    score_hat: AbstractDenoiser | Score,
    source: AbstractLabelledTarget | Observed,
    noises: AnyArray,
    *,
    labels: Labels | None = None,
    end: ScalarLike = 0.0,
    method: str | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> ScoreCertificate:
    r"""Bound on what a wrong score does to a U-turn that starts from p_T^S.

        TV(p_hat^{S,T}, p^{S,T})^2 <= (1/2) int_end^T E|s_hat - s|^2 (x_t) dt,

    x_t of the exact reverse SDE from x_T ~ p_T^S: x_T is noised from p^S, its clean
    end is an exact posterior draw, and x_t lies on the bridge between the two. For all
    labels x_t ~ p_t, and with s_hat the score of a law q the integral is
    KL(p_end || q_end) - KL(p_T || q_T). Errors of a time grid are not part of it. By
    quadrature in one dimension, else by these draws.

    Args:
        score_hat: A denoiser (its `score`), or a function (x, alpha, sigma) -> score.
        source: The labelled law p, or one observed in OU time.
        noises: OU times T >= `end`, increasing.
        labels: The sub-mixture S; all labels if left out.
        end: OU time at which runs stop: the integral and the bound are down to there.
            At zero noise a law of points has no score, and a learned one no bound.
        method: "quadrature" (one dimension) or "sampled"; the first that the law allows
            if left out. For part of the labels quadrature takes some 1e7 label
            posteriors a T: sample laws that are not Gaussian mixtures.
        num_replicas: Draws, where sampled.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Draws at once.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: As `score_gap`; `end` is negative or beyond the first of the noises.
        ValueError: Quadrature in more than one dimension.

    References:
        arXiv:2403.01633 (Girsanov); derived.
    """
    law = law_of(source)
    prior = law.log_label_prior()
    mask = members(
        np.ones(prior.size, bool) if labels is None else labels, prior, "labels"
    )
    noises = checked_times(noises)
    if not 0 <= end <= noises[0]:
        raise BadInput(
            f"`end` is {float(end):g} and the first of `noises` {noises[0]:g}; runs "
            f"must stop between no noise and there."
        )
    last = jnp.asarray(end, float)
    line = law.dimension == 1 and isinstance(law, GaussianMixture | LawOnALine)
    if method is not None:
        check_one_of(method, ("quadrature", "sampled"), "method")
    if method == "quadrature" and not line:
        raise ValueError(
            f"`method` is 'quadrature' in {law.dimension} dimensions; it needs one: "
            f"leave it out, and the certificate is sampled."
        )
    everything = bool(np.all(mask | (np.asarray(prior) == -np.inf)))
    if line and method != "sampled":
        given = score_hat, law, jnp.asarray(mask), last, jnp.asarray(noises)
        fine, coarse = (
            np.asarray(_on_line(*given, nodes, everything)) for nodes in (NODES, FEWER)
        )
        rounding = 64 * np.finfo(float).eps * (1 + fine)
        return ScoreCertificate(
            noises, fine, np.abs(fine - coarse) + rounding, method="quadrature"
        )
    key = jr.key(0) if key is None else key
    inside = law.restrict(jnp.asarray(mask))
    replica = eqx.Partial(_one_draw, score_hat, law, inside, last, jnp.asarray(noises))
    estimate = run(replica, num_replicas, key, block_size=block_size, **options)
    return ScoreCertificate(noises, estimate.mean, estimate.stderr, method="sampled")


def _path(
    last: Float[Array, ""], end: Float[Array, ""], nodes: int
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Times and weights of the integral from `last` to `end`, by panels in sqrt(t)."""
    y, w = np.polynomial.legendre.leggauss(nodes)
    starts = np.arange(PANELS)[:, None]
    share = jnp.asarray(((starts + (y + 1) / 2) / PANELS).ravel(), end.dtype)
    weights = jnp.asarray(np.tile(w / PANELS, PANELS), end.dtype)
    low, width = jnp.sqrt(last), jnp.sqrt(end) - jnp.sqrt(last)
    root = low + width * share
    return root**2, width * root * weights


def _error(
    score_hat: AbstractDenoiser | Score,
    law: AbstractLabelledTarget,
    x: Point,
    alpha: Array,
    sigma: Array,
) -> Float[Array, ""]:
    guess = score_hat.score if isinstance(score_hat, AbstractDenoiser) else score_hat
    return jnp.sum((guess(x, alpha, sigma) - law.score(x, alpha, sigma)) ** 2)


def _cuts(law: Any, alpha: Array, sigma: Array) -> Float[Array, " m"]:
    """Where to cut the line for a law of one dimension, none if it does not say."""
    if isinstance(law, GaussianMixture):
        variances = jnp.broadcast_to(
            law.covariance.spectrum()[0][:, 0], law.log_weights.shape
        )
        widths = jnp.sqrt(alpha**2 * variances + sigma**2)
        return component_cuts(alpha * law.means[:, 0], widths)
    if isinstance(law, LawOnALine):
        return law.quadrature_cuts(alpha, sigma)
    return jnp.zeros(0, alpha.dtype)


@eqx.filter_jit
def _on_line(
    score_hat: AbstractDenoiser | Score,
    law: AbstractLabelledTarget,
    mask: Bool[Array, " c"],
    last: Float[Array, ""],
    noises: Float[Array, " t"],
    nodes: int,
    everything: bool,
) -> Float[Array, " t"]:
    levels, prior = OrnsteinUhlenbeck().levels, law.log_label_prior()
    log_weight = jax.nn.logsumexp(prior, where=mask)
    z = np.arange(-REACH, REACH + STEP / 2, STEP)
    rule = np.exp(-0.5 * z**2)
    z, rule = (jnp.asarray(a, prior.dtype) for a in (z, rule / rule.sum()))

    def at_end(end: Float[Array, ""]) -> Float[Array, ""]:
        alpha_end, sigma_end = levels(end)

        def started(x: Array, alpha: Array, sigma: Array) -> Float[Array, ""]:
            """(p_T^S / p_T)(x_T), averaged over x_T given x_t = x."""
            kept = alpha_end / alpha
            spread = jnp.sqrt(sigma_end**2 - (kept * sigma) ** 2)
            share = lambda y: jax.nn.logsumexp(
                law.label_log_posterior(y[None], alpha_end, sigma_end),
                where=mask,
            )
            return jnp.sum(rule * jnp.exp(jax.vmap(share)(kept * x + spread * z)))

        def at_time(time: Float[Array, ""]) -> Float[Array, ""]:
            alpha, sigma = levels(time)
            both = [_cuts(one, alpha, sigma) for one in (law, score_hat)]
            places, weights = gauss_legendre(jnp.concatenate(both))

            def at(x: Float[Array, ""]) -> Float[Array, ""]:
                value = _error(score_hat, law, x[None], alpha, sigma)
                value = value * jnp.exp(law.log_density(x[None], alpha, sigma))
                if everything:
                    return value
                return value * started(x, alpha, sigma) * jnp.exp(-log_weight)

            return jnp.sum(weights.ravel() * jax.vmap(at)(places.ravel()))

        times, weights = _path(last, end, nodes)
        return jnp.sum(weights * jax.lax.map(at_time, times))

    return jax.lax.map(at_end, noises)


def _one_draw(
    score_hat: AbstractDenoiser | Score,
    law: AbstractLabelledTarget,
    inside: AbstractLabelledTarget,
    last: Float[Array, ""],
    noises: Float[Array, " t"],
    key: Key,
    replica: Array,
) -> Float[Array, " t"]:
    clean_key, up_key, back_key, bridge_key = jr.split(jr.fold_in(key, replica), 4)
    x0 = inside.sample(clean_key)
    up, z = (jr.normal(k, x0.shape, x0.dtype) for k in (up_key, bridge_key))
    levels = lambda time: OrnsteinUhlenbeck().levels(time, x0.dtype)

    def at_end(end: Float[Array, ""]) -> Float[Array, ""]:
        alpha_end, sigma_end = levels(end)
        noised = alpha_end * x0 + sigma_end * up
        # At T = 0 there is no path, and no noise to divide by.
        some = jnp.where(end > 0, sigma_end, 1)
        back = law.posterior_sample(back_key, noised, alpha_end, some)

        def at_time(time: Float[Array, ""]) -> Float[Array, ""]:
            alpha, sigma = levels(time)
            kept = alpha_end / alpha
            rest = sigma_end**2 - (kept * sigma) ** 2
            mean = (rest * alpha * back + kept * sigma**2 * noised) / some**2
            spread = sigma * jnp.sqrt(jnp.maximum(rest, 0)) / some
            return _error(score_hat, law, mean + spread * z, alpha, sigma)

        times, weights = _path(last.astype(end.dtype), end, NODES)
        # Not at no noise: there is no score.
        found = jax.lax.map(at_time, jnp.where(end > 0, times, 1.0))
        return jnp.sum(weights * jnp.where(end > 0, found, 0))

    return jax.lax.map(at_end, noises)
