"""Score gap of a sub-mixture along noise, and the information it adds up to."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.information._label_slopes import (
    law_of,
    line_of,
    set_gap,
    slopes_at,
    slopes_on_line,
)
from jaxwin.analysis.information._time_rule import FEWER, cumulative_rule
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._sets import Labels, members
from jaxwin.analysis.windows._view import checked_view
from jaxwin.channels import Observed
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget


class ScoreGap(eqx.Module):
    """Both sides of int_0^T E|s_S - s|^2 dt = KL(p^S || p) - KL(p_T^S || p_T).

    gap: the integrand at T. path: its integral from 0 to T. drop: the fall of KL. The
    two agree within their errors: rounding and the quadrature in time, or standard
    errors of shared draws.
    """

    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time T")
    gap: Float[np.ndarray, " t"] = field(("noise",), "nats per unit of OU time")
    gap_error: Float[np.ndarray, " t"] = field(("noise",), "nats per unit of OU time")
    path: Float[np.ndarray, " t"] = field(("noise",), "nats")
    path_error: Float[np.ndarray, " t"] = field(("noise",), "nats")
    drop: Float[np.ndarray, " t"] = field(("noise",), "nats")
    drop_error: Float[np.ndarray, " t"] = field(("noise",), "nats")
    method: str = eqx.field(static=True, default="")

    @property
    def bound(self) -> Float[np.ndarray, " t"]:
        """Pinsker's sqrt(drop / 2) >= TV(p^{S,T}, p^S), at most one."""
        return np.minimum(np.sqrt(np.maximum(self.drop, 0) / 2), 1.0)


def score_gap(
    source: AbstractLabelledTarget | Observed,
    labels: Labels,
    noises: AnyArray,
    *,
    method: str | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> ScoreGap:
    r"""By what the reverse processes of p^S and of p, both from p_T^S, differ.

        int_0^T E_{p_t^S} |s_S - s|^2 dt = KL(p^S || p) - KL(p_T^S || p_T),

    the path-space KL of Girsanov; both path laws share the forward kernel. So
    TV(p^{S,T}, p^S)^2 <= half of it, whatever the dimension and the components: T ends
    in S as long as little has dropped. s_S - s = grad log r_S needs label posteriors
    alone. By quadrature where the labels depend on one direction, else by exact draws
    from p^S.

    Args:
        source: A labelled law, or one observed through the Gaussian channel in OU time.
        labels: The sub-mixture S.
        noises: OU times T >= 0, increasing.
        method: "quadrature" or "sampled"; the first that the law allows if left out.
        num_replicas: Draws, where sampled.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Draws at once.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: Times that do not increase from 0 or later; labels as
            `windows.confusion`.
        ValueError: Quadrature where labels depend on more than one direction, or a
            component is singular (at T = 0 there is no density).

    References:
        arXiv:2403.01633 (the Girsanov functional); the equality is derived.
    """
    law = law_of(source)
    mask = members(labels, law.log_label_prior(), "labels")
    noises = checked_times(noises)
    line, within = line_of(law)
    if method is not None:
        check_one_of(method, ("quadrature", "sampled"), "method")
    if method == "quadrature" and not line:
        raise ValueError(
            "`method` is 'quadrature' and the labels depend on more than one direction "
            "of the point; leave it out, and the gap is sampled."
        )
    times, weights = cumulative_rule(noises)
    if line and method != "sampled":
        checked_view(law, 1.0, 0.0, within)
        few, few_weights = cumulative_rule(noises, FEWER)
        every = np.concatenate([[0.0], noises, times, few])
        found = _on_line(law, within, jnp.asarray(mask), jnp.asarray(every))
        gaps, divergences = (np.asarray(array) for array in found)
        ends = np.cumsum([1, noises.size, times.size])
        _, gap, main, other = np.split(gaps, ends)
        path, drop = weights @ main, divergences[0] - divergences[1 : ends[1]]
        rounding = 64 * np.finfo(float).eps * (1 + divergences[0])
        return ScoreGap(
            noise=noises,
            gap=gap,
            gap_error=np.full_like(gap, rounding),
            path=path,
            path_error=np.abs(path - few_weights @ other) + rounding,
            drop=drop,
            drop_error=np.full_like(drop, rounding),
            method="quadrature",
        )
    key = jr.key(0) if key is None else key
    inside = law.restrict(jnp.asarray(mask))
    arrays = (jnp.asarray(a) for a in (mask, noises, times, weights))
    replica = eqx.Partial(_one_draw, law, inside, *arrays)
    estimate = run(replica, num_replicas, key, block_size=block_size, **options)
    (gap, path, drop), errors = estimate.mean, estimate.stderr
    return ScoreGap(
        noises, gap, errors[0], path, errors[1], drop, errors[2], method="sampled"
    )


def checked_times(noises: AnyArray) -> Float[np.ndarray, " t"]:
    """OU times, at least one, increasing from 0 or later.

    Raises:
        BadInput: They are not.
    """
    times = np.atleast_1d(np.asarray(noises, np.float64))
    good = times.ndim == 1 and times.size > 0 and np.all(np.isfinite(times))
    if not (good and times[0] >= 0 and np.all(np.diff(times) > 0)):
        raise BadInput(
            f"`noises` has shape {times.shape}; it must list finite OU times >= 0 that "
            f"increase strictly: sort them."
        )
    return times


@eqx.filter_jit
def _on_line(
    law: AbstractLabelledTarget,
    within: Directions | None,
    mask: Bool[Array, " c"],
    times: Float[Array, " t"],
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """E_{p^S} |s_S - s|^2 and KL(p^S || p) at every time."""
    prior = law.log_label_prior()
    log_weight = jax.nn.logsumexp(prior, where=mask)

    def at(time: Float[Array, ""]) -> tuple[Array, Array]:
        found = slopes_on_line(law, within, *OrnsteinUhlenbeck().levels(time))
        log_u = jax.nn.logsumexp(found.log_posterior, axis=1, where=mask[None])
        log_u = log_u - log_weight
        gap = jax.vmap(set_gap, in_axes=(0, 0, None))(
            found.log_posterior, found.gradient, mask
        )
        weight = found.weight * jnp.exp(log_u)
        # 0 log 0 = 0 where the set has no share left.
        safe = jnp.where(jnp.isfinite(log_u), log_u, 0)
        return jnp.sum(weight * gap), jnp.sum(weight * safe)

    return jax.lax.map(at, times)


def _one_draw(
    law: AbstractLabelledTarget,
    inside: AbstractLabelledTarget,
    mask: Bool[Array, " c"],
    noises: Float[Array, " t"],
    times: Float[Array, " n"],
    weights: Float[Array, "t n"],
    key: Key,
    replica: Array,
) -> tuple[Float[Array, " t"], Float[Array, " t"], Float[Array, " t"]]:
    """Gap at T, its integral, and the fall of log(p^S / p), of one draw from p^S."""
    clean_key, noise_key = jr.split(jr.fold_in(key, replica))
    x0 = inside.sample(clean_key)
    z = jr.normal(noise_key, x0.shape, x0.dtype)

    def noised(time: Float[Array, ""]) -> tuple[Array, Array, Array]:
        alpha, sigma = OrnsteinUhlenbeck().levels(time, x0.dtype)
        return alpha * x0 + sigma * z, alpha, sigma

    def gap(time: Float[Array, ""]) -> Float[Array, ""]:
        return set_gap(*slopes_at(law, *noised(time)), mask)

    def log_share(time: Float[Array, ""]) -> Float[Array, ""]:
        log_p = law.label_log_posterior(*noised(time))
        return jax.nn.logsumexp(log_p, where=mask)

    shares = jax.lax.map(log_share, jnp.concatenate([jnp.zeros(1), noises]))
    along = jax.lax.map(gap, times)
    path = jnp.matmul(weights, along, precision="highest")
    return jax.lax.map(gap, noises), path, shares[0] - shares[1:]
