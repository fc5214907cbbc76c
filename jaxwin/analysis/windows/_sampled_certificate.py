"""The certificate of any law with exact labels, measured in one pass of soft labels."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._crossing import RESAMPLES, Crossing, not_reached
from jaxwin.analysis.windows._certificate import Best, Certificate
from jaxwin.analysis.windows._sets import Labels, nested
from jaxwin.channels import AbstractObserved
from jaxwin.execution import Estimate, run

# With fewer blocks a half of them has no standard error.
LEAST_BLOCKS = 4


def sampled_certificate(
    observed: AbstractObserved,
    initial: Labels,
    target: Labels,
    noises: AnyArray,
    *,
    num_replicas: int = 8192,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> Certificate:
    """U(T) and the lower bound with standard errors, for any law and channel.

        intra = 1 - E_p min(r_init / w_init, r_targ / w_targ),
        leak  = E_p r_targ r_out / w_targ,

    r the exact label posterior of noised points y ~ p_T. `lower` takes off the target's
    leak at the first of `noises`, which is no smaller than that at no noise; it may
    exceed the truth by its own error, of the size of `error`. `best` is chosen on one
    half of the blocks of draws and read on the other: the lowest of noisy values, read
    where it was found, would be too low.

    Args:
        observed: A law with exact labels seen through a channel.
        initial: Labels of the set that is noised.
        target: Labels of the set that is to be reached, the initial ones included.
        noises: Noise of the channel, increasing.
        num_replicas: Noised points, which serve every noise.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Replicas at once.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: As `certificate`; no exact label posterior, noises that do not
            increase.

    References:
        Derived; see `certificate`.
    """
    if not observed.has_exact_labels:
        raise BadInput(
            "`observed` has no exact label posterior, which the certificate is made "
            "of: simulate U-turns (`windows.confusion`)."
        )
    noise = np.atleast_1d(np.asarray(noises, float))
    if noise.ndim != 1 or not np.all(np.diff(noise) > 0):
        raise BadInput(
            "`noises` must be a list of strictly increasing noises: sort it."
        )
    inner, outer = nested(initial, target, observed.log_label_prior())
    key = jr.key(0) if key is None else key
    replica = eqx.Partial(
        _parts, observed, jnp.asarray(noise), jnp.asarray(inner), jnp.asarray(outer)
    )
    found = run(replica, num_replicas, key, block_size=block_size, **options)
    alike, leak, spill, _ = found.mean
    return Certificate(
        method="sampled",
        noise=jnp.asarray(noise),
        intra=jnp.asarray(1 - alike),
        leak=jnp.asarray(leak),
        upper=jnp.asarray(1 - alike + leak),
        lower=jnp.asarray(np.clip(spill - leak[0], 0, None)),
        # Of the sum of both parts, whose errors are correlated.
        error=jnp.asarray(found.stderr[3]),
        best=_best(noise, found) if len(found.block_counts) >= LEAST_BLOCKS else None,
    )


def _best(noise: Float[np.ndarray, " t"], found: Estimate) -> Best:
    """The noise of the smallest U in every second block, and U there in the others.

    Not found where that is an end of the noises; the bounds are those there.
    """
    counts, blocks = found.block_counts, found.block_means
    place, time = _lowest(noise, counts[::2], blocks[::2, 3])
    counts, blocks = counts[1::2], blocks[1::2]
    _, leak, spill, change = np.tensordot(counts / counts.sum(), blocks, axes=1)
    off = blocks[:, 3, place] - change[place]
    variance = np.sum((counts / counts.sum() * off) ** 2)
    number = lambda value: jnp.asarray(value, float)
    return Best(
        time=time,
        upper=number(1 + change[place]),
        lower=number(max(spill[place] - leak[0], 0)),
        error=number(np.sqrt(variance * len(counts) / (len(counts) - 1))),
    )


def _lowest(
    noise: Float[np.ndarray, " t"],
    counts: Real[np.ndarray, " b"],
    blocks: Float[np.ndarray, "b t"],
) -> tuple[int, Crossing]:
    """Where a curve is lowest; an interval by resampled blocks, a noise aside at least.

    Not found at an end of the noises.
    """
    place = int(np.argmin(counts @ blocks))
    if not 0 < place < len(noise) - 1:
        return place, not_reached(noise)
    number, many = lambda value: jnp.asarray(value, float), len(counts)
    draws = np.random.default_rng(0).multinomial(
        many, np.full(many, 1 / many), RESAMPLES
    )
    others = noise[np.argmin((draws * counts) @ blocks, axis=1)]
    before, time, after = noise[place - 1 : place + 2]
    low, high = np.quantile(others, [0.025, 0.975])
    return place, Crossing(
        number(time),
        number(max(np.std(others), (after - before) / 4)),
        number(min(low, before)),
        number(max(high, after)),
        jnp.asarray(True),
    )


def _parts(
    observed: AbstractObserved,
    noises: Float[Array, " t"],
    inner: Bool[Array, " c"],
    outer: Bool[Array, " c"],
    key: Key,
    replica: Array,
) -> Float[Array, "4 t"]:
    _, log_posterior = observed.soft_labels(jr.fold_in(key, replica), noises)
    r, prior = jnp.exp(log_posterior), jnp.exp(observed.log_label_prior())
    inside = lambda mask: jnp.sum(jnp.where(mask[None], r, 0), axis=1)
    share = lambda mask: inside(mask) / jnp.sum(jnp.where(mask, prior, 0))
    out = inside(~outer)
    alike = jnp.minimum(share(inner), share(outer))
    leak = share(outer) * out
    return jnp.stack([alike, leak, share(inner) * out, leak - alike])
