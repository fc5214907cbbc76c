"""Total variation between a U-turn law and a sub-mixture, with its error."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, check, check_one_of
from jaxwin._numerics import stated_error
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis._line import LawOnALine, component_cuts, gauss_legendre
from jaxwin.analysis.windows._absolute import absolute_integral
from jaxwin.analysis.windows._line_components import share_on_line
from jaxwin.analysis.windows._sandwich import sandwich
from jaxwin.analysis.windows._sets import Labels, members, weight
from jaxwin.analysis.windows._uturn import line_ratio
from jaxwin.analysis.windows._uturn_plane import plan, plane_distances
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture, reduce

METHODS = "quadrature", "sampled"
# What is left out by quadrature on a line: the tails of components beyond ten widths.
LINE_ERROR = 1e-9
# Clean points at once: their noised points stay in cache.
BATCH = 32


class UturnDistance(eqx.Module):
    """Total variation between p^{S,T} and another sub-mixture at each noise of a turn.

    By quadrature `lower` and `upper` are `value` less and plus its numerical `error`.
    Where it was sampled they bound the distance in the mean, `error` is the standard
    error of each, and `value` lies between them.
    """

    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    value: Float[np.ndarray, " t"] = field(("noise",), "probability")
    lower: Float[np.ndarray, " t"] = field(("noise",), "probability")
    upper: Float[np.ndarray, " t"] = field(("noise",), "probability")
    error: Float[np.ndarray, " t"] = field(("noise",), "probability")


def uturn_distance(
    law: AbstractLabelledTarget,
    initial: Labels,
    other: Labels,
    noises: AnyArray,
    *,
    process: AbstractProcess | None = None,
    method: Literal["quadrature", "sampled"] | None = None,
    num_replicas: int = 8192,
    inner: int = 64,
    key: Key | None = None,
    block_size: int = 64,
    **options: Any,
) -> UturnDistance:
    r"""Total variation TV(p^{S,T}, p^other) over the noises of a U-turn.

    All is a function of the label posterior: with g = p^{S,T} / p and u = r / w of the
    other set at no noise,

        TV = E_p |g - u| / 2,    g(x) = E_z[r_S(alpha x + sigma z)] / w_S.

    The tiers: on a line by quadrature, point masses included, the integral cut at every
    change of sign (error below 1e-9); on a plane by two grids, their difference the
    stated error; else by a sandwich of Monte Carlo averages. A mixture of more
    dimensions is reduced first (`targets.reduce`).

    Args:
        law: The mixture p.
        initial: Labels of S, where the turn starts.
        other: Labels of the sub-mixture it is compared with; all for p itself.
        noises: Times T of the turns on `process`.
        process: The clock; OU if left out.
        method: The tier; the first that applies if left out.
        num_replicas: Clean points of the sandwich.
        inner: Noised points for each of its two averages: the gap between the bounds
            falls as they rise.
        key: Random key; `jax.random.key(0)` if left out.
        block_size: Clean points at once.
        options: Handed on to `execution.run`.

    Raises:
        BadInput: As `members`; quadrature of a law that has none.
        ValueError: Noises that are no list of numbers >= 0.

    References:
        arXiv:2502.00921, theorem 2, for what it bounds; the estimators are derived.
    """
    process = OrnsteinUhlenbeck() if process is None else process
    noises = np.atleast_1d(np.asarray(noises, float))
    if noises.ndim != 1 or noises.size == 0:
        raise ValueError(
            f"`noises` has shape {noises.shape}; it must be a list of times."
        )
    check(noises, lambda t: t >= 0, "noises", ">= 0")
    if method is not None:
        check_one_of(method, METHODS, "method")
    log_prior = law.log_label_prior()
    masks = members(initial, log_prior, "initial"), members(other, log_prior, "other")
    reduction = reduce(law) if isinstance(law, GaussianMixture) else None
    small = law if reduction is None else reduction.target
    levels = process.levels(jnp.asarray(noises), log_prior.dtype)
    if method != "sampled":
        if small.dimension == 1 and isinstance(small, GaussianMixture | LawOnALine):
            value = np.asarray(_line_distances(small, *masks, *levels))
            error = np.full_like(value, stated_error(LINE_ERROR, value.dtype))
            return _by_quadrature(noises, value, error)
        grid = plan(small, *map(np.asarray, levels))
        if grid is not None:
            assert isinstance(small, GaussianMixture)
            return _by_quadrature(
                noises, *plane_distances(small, *masks, *levels, grid)
            )
    if method == "quadrature":
        raise BadInput(
            f"`method` is 'quadrature', and `law` has {small.dimension} dimensions "
            f"after reduction, point masses, or widths too unlike for a grid; take "
            f"'sampled'."
        )
    key = jr.key(0) if key is None else key
    lower, upper, error = sandwich(
        small, *masks, *levels, num_replicas, inner, key, block_size, **options
    )
    middle = np.clip((lower + upper) / 2, 0, 1)
    return UturnDistance("sampled", noises, middle, lower, upper, error)


def _by_quadrature(
    noises: np.ndarray, value: np.ndarray, error: np.ndarray
) -> UturnDistance:
    low, high = np.clip(value - error, 0, 1), np.clip(value + error, 0, 1)
    return UturnDistance("quadrature", noises, value, low, high, error)


@eqx.filter_jit
def _line_distances(
    law: AbstractLabelledTarget,
    initial: Bool[np.ndarray | Array, " c"],
    other: Bool[np.ndarray | Array, " c"],
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
) -> Float[Array, " t"]:
    """Quadrature over clean points: point masses are summed, the rest is integrated."""
    log_prior = law.log_label_prior()
    if isinstance(law, GaussianMixture):
        means, variances = law.means[:, 0], law.covariance.spectrum()[0][:, 0]
        widths, solid = jnp.sqrt(variances), variances > 0
        cuts = component_cuts(means, widths)
        safe = jnp.where(solid, widths, 1)
        log_height = law.log_weights - jnp.log(safe) - 0.5 * jnp.log(2 * jnp.pi)

        def density(x: Array) -> Array:
            log_p = log_height - 0.5 * ((x - means) / safe) ** 2
            return jnp.sum(jnp.where(solid, jnp.exp(log_p), 0))

        atoms, mass = means, jnp.where(solid, 0, jnp.exp(law.log_weights))
    else:
        assert isinstance(law, LawOnALine)
        cuts = law.quadrature_cuts(1.0, 0.0)
        density = lambda x: jnp.exp(law.log_density(x[None], 1.0, 0.0))
        atoms = mass = jnp.zeros(0, log_prior.dtype)
    places, _ = gauss_legendre(cuts)
    half = 0.5 * jnp.diff(jnp.sort(cuts))
    heights = jax.vmap(jax.vmap(density))(places)
    # One list of places, so that posteriors are compiled once.
    whole = jnp.concatenate([places.ravel(), atoms])
    apart = lambda at: (at[: places.size].reshape(places.shape), at[places.size :])

    clean = share_on_line(law, other, 1.0, 0.0)
    aims = jax.vmap(clean)(whole) / weight(log_prior, other)

    def at(level: tuple[Array, Array]) -> Array:
        ratio = lambda x: line_ratio(law, initial, *level, x)
        spread, jumps = apart(jax.lax.map(ratio, whole, batch_size=BATCH) - aims)
        jump = jnp.sum(mass * jnp.abs(jumps))
        return 0.5 * (absolute_integral(heights * spread, half) + jump)

    return jax.lax.map(at, (alphas, sigmas))
