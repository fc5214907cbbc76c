"""Windows of a law: exact in one or two dimensions, by soft labels in more."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing, speciation, windows
from jaxwin.analysis.information import class_rate
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report._fairness import fairness_of_law
from jaxwin.report._measuring import Measuring
from jaxwin.report._windows_result import (
    EPSILON,
    MOST_CLASSES,
    Asked,
    Windows,
    assembled,
    narrowings,
    timeline_of,
    turn_between,
)
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture, reduce

# How far beyond the fall of phi windows reach, in minus the log-SNR.
BELOW, ABOVE = 1.0, 3.0
# Exact curves on a line are read off so many times as many noises.
FINER = 4
# Components on a plane up to which quadrature keeps within the minute of --quick.
FEW = 4
# Distance to which the best time is found where a look takes its time.
NEAR = 1e-4
# Noises at which the U-turn law is compared with its target.
TURNS = 16


def windows_of_law(
    source: AbstractLabelledTarget | AbstractObserved,
    name: str,
    groups: str | None,
    asked: Asked,
    measuring: Measuring,
) -> Windows:
    observed = _observed(source)
    if not observed.has_exact_labels:
        raise BadInput(
            "the law has no exact label posterior, which windows are made of; "
            "`windows.confusion` simulates its U-turns."
        )
    count = observed.log_label_prior().size
    if count > MOST_CLASSES:
        raise BadInput(
            f"the law has {count} labels, and windows are drawn of {MOST_CLASSES} at "
            f"most; group them by `labels`."
        )
    law = observed.law if isinstance(observed, Observed) else None
    range_key, overlap_key, flip_key, turn_key, path_key, rate_key = measuring.keys(6)
    mixture = law if isinstance(law, GaussianMixture) else None
    directions = None if mixture is None else windows.reduced_dimension(mixture)
    exact = mixture is not None and _is_exact(mixture, measuring.quick)
    tree = None
    if mixture is not None and (exact or windows.reduced_dimension(mixture) > 2):
        # Exact, or safe bounds in place of which it is measured below.
        tree = windows.mixture_tree(mixture, asked.epsilon, asked.tree)
    noise = _wider(
        observed,
        speciation.decided_times(observed, key=range_key),
        asked.epsilon,
        None if exact else tree,
    )
    log_prior = observed.log_label_prior()
    # Stages of different pairs: their finished blocks are kept apart.
    measure = lambda stage: (
        lambda pairs: windows.overlaps(
            observed, noise, pairs, **measuring.options(stage, overlap_key)
        )
    )
    if tree is None or not exact:
        if tree is not None:
            chosen = tree.tree
        elif mixture is not None and asked.tree is None:
            chosen = windows.linkage_tree(mixture, asked.epsilon)
        else:
            nested = asked.tree or [int(c) for c in _weighty(log_prior)]
            chosen = windows.Tree.nested(nested, count)
        tree = windows.measured_tree(
            measure("overlaps in the tree"), chosen, asked.epsilon
        )
    steps = narrowings(tree.tree)
    if exact and mixture is not None:
        found = [windows.window(mixture, a, b, asked.epsilon) for a, b in steps]
    else:
        found = windows.measured_windows(
            measure("overlaps"), log_prior, steps, asked.epsilon
        )
    sampled = {} if exact else measuring.options("confusion", flip_key)
    if directions == 2 and not exact:
        sampled["method"] = "sampled"
    often = _finer(observed, noise) if directions == 1 else noise
    confusion = windows.confusion(observed, often, **sampled)
    initial, target = turn_between(tree.tree, asked)
    if exact and mixture is not None:
        certificate = _with_best(mixture, initial, target, jnp.asarray(noise))
        turns = jnp.asarray(noise[:: max(1, len(noise) // TURNS)])
        distance = windows.uturn_distance(mixture, initial, target, turns)
    else:
        certificate = windows.sampled_certificate(
            observed,
            initial,
            target,
            noise,
            **measuring.options("certificate", turn_key),
        )
        distance = None
    rate = None
    if isinstance(observed, Observed) and isinstance(observed.channel, Gaussian):
        sampled = {} if directions == 1 else measuring.options("class rate", rate_key)
        rate = class_rate(observed, noise, **sampled)
    fair = None
    if groups:
        # `check_law_groups` has looked.
        assert mixture is not None
        fair = fairness_of_law(mixture, noise, measuring)
    means = None if mixture is None else speciation.class_means(mixture)[1]
    return assembled(
        tree,
        found,
        confusion,
        asked.epsilon,
        (initial, target),
        means,
        certificate=certificate,
        exact=distance,
        timeline=timeline_of(law, tree.tree, noise, path_key, measuring),
        rate=rate,
        fairness=fair,
        name=name,
        classes=tuple(str(c) for c in range(count)),
        dimension=getattr(source, "dimension", 0 if law is None else law.dimension),
    )


def _observed(source: AbstractLabelledTarget | AbstractObserved) -> AbstractObserved:
    """A law along OU time, in the few directions of a mixture that reduces."""
    if isinstance(source, AbstractObserved):
        return source
    reduced = reduce(source) if isinstance(source, GaussianMixture) else None
    return Observed(source if reduced is None else reduced.target, Gaussian())


def _is_exact(mixture: GaussianMixture, quick: bool) -> bool:
    """Whether quadrature is taken: on lines, and on planes if there is time for it."""
    directions = windows.reduced_dimension(mixture)
    return directions == 1 or (
        directions == 2 and not (quick and len(mixture.means) > FEW)
    )


def _weighty(log_prior: Float[Array, " c"]) -> np.ndarray:
    return np.flatnonzero(np.asarray(log_prior) > -np.inf)


def _wider(
    observed: AbstractObserved,
    noise: Float[np.ndarray, " t"],
    epsilon: float,
    safe: windows.MixtureTree | None,
) -> Float[np.ndarray, " t"]:
    """So many noises over a wider range: thresholds lie beyond the fall of phi.

    Small tolerances, and safe bounds of when all labels are one, ask for more of them
    at the same distance, twice as many at most.
    """
    low, high = (float(observed.coordinate(jnp.asarray(t))) for t in noise[[0, -1]])
    low, high, count = low - BELOW, high + ABOVE, len(noise)
    # Total variation falls as the square root of the SNR.
    last = high + 2 * max(np.log(EPSILON / epsilon), 0.0)
    if safe is not None and bool(safe.end.found[-1]):
        last = max(last, -float(OrnsteinUhlenbeck().log_snr(safe.end.time[-1])))
    step = (high - low) / (count - 1)
    count += min(int(np.ceil((last - high) / step)), count)
    return np.asarray(observed.noise_at(jnp.linspace(low, last, count)))


def _finer(
    observed: AbstractObserved, noise: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " s"]:
    """More noises over the same range."""
    low, high = (float(observed.coordinate(jnp.asarray(t))) for t in noise[[0, -1]])
    return np.asarray(observed.noise_at(jnp.linspace(low, high, FINER * len(noise))))


def _with_best(
    law: GaussianMixture, initial: list[int], target: list[int], noise: Array
) -> windows.Certificate:
    """The certificate with its best time; without one, the bounds at the last noise."""
    if windows.reduced_dimension(law) > 1:
        return _with_best_on_plane(law, initial, target, noise)
    best = windows.best_time(law, initial, target)
    time = jnp.where(best.time.found, best.time.time, noise[-1])
    found = windows.certificate(law, initial, target, jnp.append(noise, time))
    there = jax.tree.map(lambda leaf: leaf[-1], found)
    return eqx.tree_at(
        lambda c: c.best,
        jax.tree.map(lambda leaf: leaf[:-1], found),
        windows.Best(best.time, best.upper, there.lower, there.error),
        is_leaf=lambda leaf: leaf is None,
    )


def _with_best_on_plane(
    law: GaussianMixture, initial: list[int], target: list[int], noise: Array
) -> windows.Certificate:
    """The same by few looks between the noises beside the lowest, to `NEAR`.

    Not found where the lowest is at an end of the noises.
    """
    found = windows.certificate(law, initial, target, noise)
    place = int(jnp.argmin(found.upper))
    there = jax.tree.map(lambda leaf: leaf[place], found)
    number = lambda value: jnp.asarray(value, float)
    time, near, ends = np.nan, np.nan, (noise[0], noise[-1])
    if 0 < place < len(noise) - 1:

        def upper(time: float) -> float:
            at = jnp.asarray([time])
            return float(windows.certificate(law, initial, target, at).upper[0])

        lowest: Any = scipy.optimize.minimize_scalar(
            upper,
            bounds=(float(noise[place - 1]), float(noise[place + 1])),
            method="bounded",
            options={"xatol": NEAR},
        )
        time, near = lowest.x, NEAR
        ends = time - 2 * near, time + 2 * near
        there = eqx.tree_at(lambda c: c.upper, there, jnp.asarray(lowest.fun))
    inside = jnp.asarray(0 < place < len(noise) - 1)
    low, high = number(ends[0]), number(ends[1])
    crossing = Crossing(number(time), number(near), low, high, inside)
    return eqx.tree_at(
        lambda c: c.best,
        found,
        windows.Best(crossing, there.upper, there.lower, there.error),
        is_leaf=lambda leaf: leaf is None,
    )
