"""How fast noise takes the class: the rate at which its information is lost."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import check_curve, check_one_of
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.information._label_slopes import (
    class_gap_on_line,
    law_of,
    line_of,
    mean_gap,
    slopes_at,
)
from jaxwin.analysis.information._peak import Peak, known_peak, measured_peak
from jaxwin.channels import Observed
from jaxwin.execution import run
from jaxwin.io import field
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget


class ClassRate(eqx.Module):
    """-dI/dt of the class information I(c; x_t), its peak, and all local maxima.

    A peak is a window: classes that merge at well separated scales have one each.
    `maxima` are points of the grid; of a sampled curve noise has its own.
    """

    peak: Peak
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    rate: Float[np.ndarray, " t"] = field(("noise",), "nats per unit of OU time")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "nats per unit of OU time")
    maxima: Float[np.ndarray, " p"] = field(("maximum",), "OU time")
    method: str = eqx.field(static=True, default="")


def class_rate(
    source: AbstractLabelledTarget | Observed,
    noises: AnyArray,
    *,
    method: str | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> ClassRate:
    r"""Rate at which noise takes the information about the class, in OU time.

        -dI/dt = sum_i w_i E_{p_t^i} |s_i - s|^2 = E_{p_t} sum_i r_i |grad log r_i|^2,

    s_i the score of class i and s that of the law (de Bruijn's identity, once for the
    classes and once for the law). By quadrature where the labels depend on one
    direction of the noised point (error below 1e-11, peak and half widths by a root),
    else by exact draws: one replica is one clean point and one Gaussian, which serve
    every noise; times of the peak carry intervals from a bootstrap of whole curves.
    Below some percent of the peak at its clean side rare draws make the mean, which is
    sampled too low, and its standard error with it.

    Args:
        source: A labelled law, or one observed through the Gaussian channel in OU time.
        noises: At least 4 OU times, increasing; positive where a component is a point.
        method: "quadrature" or "sampled"; the first that the law allows if left out.
        num_replicas: Noised points, where sampled.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once; the defaults give 128 blocks for the bootstrap.
        options: Handed on to `execution.run`.

    Raises:
        ValueError: Noises that are no curve; quadrature asked of a law whose labels
            depend on more than one direction.

    References:
        arXiv:2403.01633 (the Girsanov functional); derived.
    """
    law = law_of(source)
    noises = np.asarray(noises, np.float64)
    check_curve(noises, "noises")
    line, within = line_of(law)
    if method is not None:
        check_one_of(method, ("quadrature", "sampled"), "method")
    if method == "quadrature" and not line:
        raise ValueError(
            "`method` is 'quadrature' and the labels depend on more than one direction "
            "of the point; leave it out, and the rate is sampled."
        )
    if line and method != "sampled":
        curve = np.asarray(_curve(law, within, jnp.asarray(noises)))
        peak = known_peak(_rate, _fall, (law, within), noises, curve)
        zero = np.zeros_like(curve)
        maxima = _maxima(noises, curve)
        return ClassRate(peak, noises, curve, zero, maxima, method="quadrature")
    key = jr.key(0) if key is None else key
    replica = eqx.Partial(_one_draw, law, jnp.asarray(noises))
    estimate = run(replica, num_replicas, key, block_size=block_size, **options)
    process, curve = OrnsteinUhlenbeck(), estimate.mean
    peak = measured_peak(
        -np.asarray(process.log_snr(jnp.asarray(noises))),
        curve,
        estimate.stderr,
        estimate.block_means,
        estimate.block_counts,
        lambda coordinate: process.time(-coordinate),
    )
    maxima = _maxima(noises, curve)
    return ClassRate(peak, noises, curve, estimate.stderr, maxima, method="sampled")


def _maxima(noises: np.ndarray, curve: np.ndarray) -> Float[np.ndarray, " p"]:
    inner = (curve[1:-1] > curve[:-2]) & (curve[1:-1] >= curve[2:])
    return noises[1:-1][inner]


def _rate(time: Array, args: Any) -> Float[Array, ""]:
    law, within = args
    return class_gap_on_line(law, within, time)


def _fall(time: Array, args: Any) -> Float[Array, ""]:
    rate = lambda time: _rate(time, args)
    return -jax.jvp(rate, (time,), (jnp.ones_like(time),))[1]


@eqx.filter_jit
def _curve(law, within, times: Float[Array, " t"]) -> Float[Array, " t"]:
    return jax.lax.map(lambda time: class_gap_on_line(law, within, time), times)


def _one_draw(
    law: AbstractLabelledTarget, times: Float[Array, " t"], key: Key, replica: Array
) -> Float[Array, " t"]:
    clean_key, noise_key = jr.split(jr.fold_in(key, replica))
    x0 = law.sample(clean_key)
    z = jr.normal(noise_key, x0.shape, x0.dtype)

    def at(time: Float[Array, ""]) -> Float[Array, ""]:
        alpha, sigma = OrnsteinUhlenbeck().levels(time, x0.dtype)
        return mean_gap(*slopes_at(law, alpha * x0 + sigma * z, alpha, sigma))

    return jax.lax.map(at, times)
