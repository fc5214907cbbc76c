"""What a U-turn from one set of labels certainly reaches: an upper bound at every T."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check, not_negative
from jaxwin._numerics import as_float, stated_error
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis._crossing import Crossing
from jaxwin.analysis.windows._certificate_parts import (
    Nested,
    closed_parts,
    exact_parts,
    nested_sets,
)
from jaxwin.analysis.windows._directions import Directions
from jaxwin.analysis.windows._pairs import checked_level
from jaxwin.analysis.windows._sets import Labels
from jaxwin.analysis.windows._threshold_roots import CLEANEST, levels
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture

# Of total variation by quadrature on a line (`total_variation`); on a plane it is
# what so many nodes differ by from the default.
LINE_ERROR, COARSE = 1e-10, 8


class Best(eqx.Module):
    """Where U(T) is smallest, and the bounds there; not found where no T is best."""

    time: Crossing = field((), "time of the process")
    upper: Float[Array, ""] = field((), "probability", "U at that time")
    lower: Float[Array, ""] = field((), "probability")
    error: Float[Array, ""] = field((), "probability", "of the upper bound")


class Certificate(eqx.Module):
    """Bounds of TV(p^{init,T}, p^{targ}) along noise times T.

        lower <= TV(p^{init,T}, p^{targ}) <= upper = intra + leak

    intra = TV(p_T^{init}, p_T^{targ}); leak = E[r_out] for y ~ p_T^{targ}, the share of
    U-turns from the target that leave it; lower = the share from the initial set that
    leave the target, less the target's own at no noise. Of method "closed form" intra
    and leak are themselves upper bounds, and lower is zero. `error`: of the upper
    bound, by quadrature or rounding; a standard error where sampled. `best` is None
    where it was not looked for.
    """

    method: str = eqx.field(static=True)
    noise: Float[Array, " t"] = field(("noise",), "time of the process")
    intra: Float[Array, " t"] = field(("noise",), "probability")
    leak: Float[Array, " t"] = field(("noise",), "probability")
    upper: Float[Array, " t"] = field(("noise",), "probability", "U(T)")
    lower: Float[Array, " t"] = field(("noise",), "probability")
    error: Float[Array, " t"] = field(("noise",), "probability", "of the upper bound")
    best: Best | None = None


def certificate(
    law: AbstractLabelledTarget,
    initial: Labels,
    target: Labels,
    noises: AnyArray,
    *,
    closed: bool = False,
    process: AbstractProcess | None = None,
    within: Directions | None = None,
) -> Certificate:
    """The certificate U(T) and the lower bound, exact or in closed form.

    Args:
        law: As in `thresholds`; with `closed` a mixture of Gaussians of any dimension.
        initial: Labels of the set that is noised.
        target: Labels of the set that is to be reached, the initial ones included.
        noises: Noise times T of the process, one or several.
        closed: Bounds from pairs of components, O(K^2) and without quadrature,

                intra <= sum w_i w_k TV_ik / (w_init w_targ),  i initial, k in target,
                leak <= sum sqrt(w_i w_j) BC_ij / (2 w_targ),  i in target, j outside.

        process: The clock of `noises`; Ornstein-Uhlenbeck if left out.
        within: As in `thresholds`.

    Raises:
        BadInput: An empty set, or an initial one not inside the target; a noise of zero
            where a component is singular.
        ValueError: More directions than quadrature takes: use `closed`, or
            `sampled_certificate`; negative noises.

    References:
        Derived; its worst case is Theorem 2 of Li, Karan & Chen, arXiv:2502.00921.
    """
    given = nested_sets(law, initial, target, closed, within)
    process = OrnsteinUhlenbeck() if process is None else process
    noises = jnp.atleast_1d(as_float(noises))
    check(noises, not_negative, "noises", "finite and >= 0")
    alphas, sigmas = process.levels(noises, law.log_label_prior().dtype)
    if isinstance(law, GaussianMixture):
        alphas, sigmas = checked_level(law, alphas, sigmas)
    # Where next to no noise is left, for the target's own leak: it grows with noise.
    clean = levels(jnp.asarray(CLEANEST, alphas.dtype))
    alphas, sigmas = jnp.append(alphas, clean[0]), jnp.append(sigmas, clean[1])
    parts = _curve(given, closed, alphas, sigmas)
    intra, leak, spill = (part[:-1] for part in parts)
    lower = jnp.zeros_like(spill) if closed else jnp.clip(spill - parts[1][-1], 0)
    upper, method = intra + leak, "closed form" if closed else "quadrature"
    error = jnp.zeros_like(upper)
    if not closed:
        error = jnp.full_like(upper, stated_error(LINE_ERROR, upper.dtype))
        if given.everywhere is not None and given.everywhere.dimension > 1:
            coarse = _curve(given, closed, alphas, sigmas, COARSE)
            error = jnp.maximum(error, jnp.abs(upper - (coarse[0] + coarse[1])[:-1]))
    return Certificate(method, noises, intra, leak, upper, lower, error)


def certificate_at(
    law: AbstractLabelledTarget,
    initial: Labels,
    target: Labels,
    alpha: ScalarLike,
    sigma: ScalarLike,
    *,
    closed: bool = True,
    within: Directions | None = None,
) -> Float[Array, ""]:
    """U at one level, to be mapped, compiled and differentiated in the law.

    Args and Raises as in `certificate`.
    """
    given = nested_sets(law, initial, target, closed, within)
    dtype = law.log_label_prior().dtype
    level = as_float(alpha).astype(dtype), as_float(sigma).astype(dtype)
    if isinstance(law, GaussianMixture):
        level = checked_level(law, *level)
    intra, leak, *_ = (closed_parts if closed else exact_parts)(given, *level)
    return intra + leak


@eqx.filter_jit
def _curve(
    given: Nested,
    closed: bool,
    alphas: Float[Array, " t"],
    sigmas: Float[Array, " t"],
    nodes: int | None = None,
) -> tuple[Array, ...]:
    """Intra, leak and the initial set's leak at every level."""

    def at(level: tuple[Array, Array]) -> tuple[Array, ...]:
        if closed:
            return closed_parts(given, *level)
        return exact_parts(given, *level, nodes)

    return jax.lax.map(at, (alphas, sigmas))
