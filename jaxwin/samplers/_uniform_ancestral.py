"""Ancestral sampling of uniformly corrupted words."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check, check_decreasing, is_concrete, unit_interval
from jaxwin._numerics import as_float
from jaxwin._typing import Key
from jaxwin.channels import UniformCorruption
from jaxwin.targets import AbstractDiscreteLaw
from jaxwin.targets._words import check_word, is_symbol


def uniform_ancestral(
    law: AbstractDiscreteLaw,
    observation: Int[Array, " n"],
    noises: Float[Array, " t"],
    key: Key,
) -> Int[Array, " n"]:
    """Take a uniformly corrupted word back along decreasing noises eps = 1 - abar.

    A step from eps_t to eps_s < eps_t draws all sites at once and independently, with
    the exact denoiser p(x0_i | x_t), the marginals of the law:

        p(x_s,i | x_t) = sum_{x0_i} q(x_s,i | x_t,i, x0_i) p(x0_i | x_t),
        q(x_s | x_t, x0) = q(x_t | x_s) q(x_s | x0) / q(x_t | x0),
        q(x_s | x0) = (1 - eps_s) 1[x_s = x0] + eps_s / q,
        q(x_t | x_s) = r 1[x_t = x_s] + (1 - r) / q,    r = (1 - eps_t) / (1 - eps_s).

    Each site's law after a step is exact, that of all sites together is not: two sites
    that change in one step do not know of each other. The end's total variation to the
    posterior p(x0 | observation) falls as 1 / steps on a grid that is quadratic towards
    0, eps_i = eps_0 (1 - i / steps)^2, and as log(steps) / steps on a uniform one: what
    is left to repair at small eps changes at a rate of 1 / eps. In the limit the end is
    a draw of `law.posterior_sample`.

    Work: one call of `law.marginals` a step, `noises.size - 1` in all.

    Args:
        law: Any discrete law.
        observation: Symbols seen at noise `noises[0]`.
        noises: Noises in [0, 1], strictly decreasing, at least two. They should end at
            0: there the last step draws the clean symbols from their marginals.
        key: Key of the symbols.

    Returns:
        The word at `noises[-1]`, clean if that is 0.

    Raises:
        ValueError: Noises that do not decrease, leave [0, 1] or are fewer than two; a
            word of another length or with symbols out of range. Values are not looked
            at under a trace.

    References:
        Austin et al. (2021), arXiv:2107.03006, equations 3 and 4; the orders are
        derived, and measured on chains of exact transition matrices.
    """
    check_word(law, observation, "observation", masks=False)
    if noises.ndim != 1 or noises.size < 2:
        raise ValueError(
            f"`noises` has shape {noises.shape}; it must be a list of at least 2 "
            f"noises, the ends of one step."
        )
    check(noises, unit_interval, "noises", "in [0, 1] everywhere")
    if is_concrete(noises):
        check_decreasing(np.asarray(noises), "noises")
    noises = as_float(noises).astype(law.log_label_prior().dtype)

    def body(word, interval):
        key, t, s = interval
        log_p = jnp.log(_site_laws(law, word, t, s))
        return jr.categorical(key, log_p, axis=1).astype(word.dtype), None

    keys = jr.split(key, noises.size - 1)
    return jax.lax.scan(body, observation, (keys, noises[:-1], noises[1:]))[0]


def _site_laws(
    law: AbstractDiscreteLaw,
    word: Int[Array, " n"],
    t: Float[Array, ""],
    s: Float[Array, ""],
) -> Float[Array, "n q"]:
    """Probabilities p(x_s,i | x_t) of the symbols at each site."""
    q = law.num_symbols
    same = is_symbol(word, q).T
    clean = law.marginals(UniformCorruption().site_logits(law, word, t))
    weight = clean / (jnp.where(same, 1 - t, 0) + t / q)
    from_clean = (1 - s) * weight + s / q * jnp.sum(weight, axis=1, keepdims=True)
    r = (1 - t) / (1 - s)
    return (jnp.where(same, r, 0) + (1 - r) / q) * from_clean
