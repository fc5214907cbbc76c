"""T_end and T_start of any law with exact labels, with intervals."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from jaxwin.analysis._crossing import not_reached
from jaxwin.analysis.windows._overlaps import overlaps
from jaxwin.analysis.windows._sets import Labels, nested, rest_odds
from jaxwin.analysis.windows._theorem import theorem_bound, tolerance
from jaxwin.analysis.windows._thresholds import Thresholds
from jaxwin.channels import AbstractObserved


def sampled_thresholds(
    observed: AbstractObserved,
    initial: Labels,
    target: Labels,
    epsilon: float,
    noises: ArrayLike,
    **options: Any,
) -> Thresholds:
    """T_end and T_start read off measured overlaps, in the noise of the channel.

        TV = 1 - E_p min(r_A / w_A, r_B / w_B)

    on all `noises` from one pass; intervals are bootstraps of whole curves, given the
    law. An end beyond the noises is "not reached", or "not resolvable above t_max" if
    the clock ends there. Where it holds at the first noise already the end lies in
    [0, first noise]: that noise is given, with low = 0.

    Args:
        observed: A law with exact labels seen through a channel.
        initial: Labels of the set that is noised.
        target: Labels of the set that is to be reached, the initial ones included.
        epsilon: Tolerance, in (0, 1).
        noises: At least 4, increasing.
        options: As in `overlaps`: `num_replicas`, `key`, `block_size`.

    Raises:
        BadInput: As `thresholds`.
        ValueError: As `overlaps`.

    References:
        Li, Karan & Chen, arXiv:2502.00921, Theorem 2.
    """
    log_prior = observed.log_label_prior()
    inner, outer = nested(initial, target, log_prior)
    given = tolerance(epsilon)
    ratio = rest_odds(log_prior, outer)
    vacuous = bool(np.all(outer | (np.asarray(log_prior) == -np.inf)))
    pairs = [(inner, outer)] if vacuous else [(inner, outer), (outer, ~outer)]
    found = overlaps(observed, noises, pairs, **options)
    never = not_reached(found.noise)
    start = never if vacuous else found.apart(1, float(given))
    return Thresholds(
        method="sampled",
        vacuous=vacuous,
        end=found.together([0], float(given)),
        start=start,
        epsilon=given,
        weight_ratio=ratio,
        bound=theorem_bound(given, ratio),
        t_max=jnp.asarray(found.t_max, float),
    )
