"""The one curve that all two-class speciations follow near their time."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check, not_negative, positive
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.speciation._agreement import agreement, separation_at
from jaxwin.io import field

# Powers of e^{-t} in which the signal of a class difference comes.
MEANS, COVARIANCES = 1, 2


class TransitionWindow(eqx.Module):
    """OU times at which phi of two clusters has two levels, high level first.

    `width` does not depend on d at leading order; as a `share` of t_S = log(|m|^2) / 2
    it shrinks as 1 / log d. Both are NaN where they do not exist.
    """

    early: Crossing
    late: Crossing
    width: Float[Array, ""] = field((), "OU time", "late - early", nullable=True)
    share: Float[Array, ""] = field((), "", "width / t_S", nullable=True)


class ScalingCollapse(eqx.Module):
    """Measured phi of several laws against the universal curve, as one list of points.

    Points without scatter (phi is one in every draw) say nothing, and are left out.
    `chi_squared` over `count` is about one where the curves collapse and errors are
    independent; errors along one curve that shares its random numbers are not.
    """

    chi_squared: float = eqx.field(static=True)
    count: int = eqx.field(static=True)
    curve: Int[np.ndarray, " p"] = field(("point",), "", "which measured curve")
    shift: Float[np.ndarray, " p"] = field(("point",), "OU time", "t - t_S")
    phi: Float[np.ndarray, " p"] = field(("point",), "probability", "measured")
    stderr: Float[np.ndarray, " p"] = field(("point",), "probability")
    universal: Float[np.ndarray, " p"] = field(("point",), "probability")
    z: Float[np.ndarray, " p"] = field(("point",), "", "(phi - universal) / stderr")


def universal(shift: AnyArray, order: int = MEANS) -> Float[Array, "..."]:
    """Clone agreement near any speciation of two equal classes: phi(e^{-order shift}).

    In the weak-signal limit the log-likelihood ratio is Gaussian, N(2 r^2, 4 r^2) with
    r = e^{-(t - t_S)} where means differ and e^{-2 (t - t_S)} where covariances alone
    do. Two clusters of unit width follow it at every d.

    Args:
        shift: t - t_S in OU time, t_S where E[L] = sd(L): see `weak_signal_time`.
        order: 1 for classes of different means, 2 for those of different covariances.

    References:
        Biroli et al., arXiv:2402.18491, section 2, for means; covariances derived:
        E[L] = |Delta C|_F^2 e^{-4t} / 4 is to be 2 r^2.
    """
    check(order, positive, "order", "1 (means) or 2 (covariances)")
    shift = as_float(shift)
    # Beyond r = e^5 phi is one; e^{-order shift} would overflow.
    r = jnp.exp(jnp.minimum(-order * shift, 5.0))
    return jax.vmap(agreement)(r.reshape(-1)).reshape(r.shape)


def rescaled(t: AnyArray, speciation_time: ScalarLike) -> Float[Array, "..."]:
    """Time in units of the speciation time, in which phi of large d is a step.

    The step is from 1 to 1 / 2 (the text of the source says zero; its limit is 1 / 2).
    """
    check(speciation_time, positive, "speciation_time", "an OU time > 0")
    return as_float(t) / speciation_time


def window(
    separation_sq: ScalarLike,
    variance: ScalarLike = 1.0,
    levels: tuple[float, float] = (0.9, 0.6),
) -> TransitionWindow:
    """Between which OU times two equal clusters' phi falls from one level to another.

    phi depends on r^2 = |m|^2 / (e^{2t} - 1 + v), hence

        t = log(|m|^2 / r(level)^2 + 1 - v) / 2,

    none where that is no time.

    Args:
        separation_sq: |m|^2 of the clusters at +-m, d mu^2 of the source.
        variance: v within a cluster.
        levels: High and low level of phi, in (1/2, 1).

    Raises:
        ValueError: `levels` do not fall, or lie outside (1/2, 1).

    References:
        Biroli et al., arXiv:2402.18491, section 2; derived by solving for t.
    """
    check(separation_sq, positive, "separation_sq", "finite and > 0")
    check(variance, not_negative, "variance", "finite and >= 0")
    high, low = levels
    if not 0.5 < low < high < 1:
        raise ValueError(
            f"`levels` are {levels}; they must fall and lie in (1/2, 1): phi falls "
            f"from 1 to 1/2."
        )
    square = as_float(separation_sq)

    def time(level: float) -> Crossing:
        r = separation_at(jnp.asarray(level, square.dtype))
        # log1p: classes that merge at small t keep their digits.
        late = square / r**2 - variance
        found = late > 0
        return exact(0.5 * jnp.log1p(jnp.where(found, late, 0)), found)

    early, late = time(high), time(low)
    width = late.time - early.time
    some = square > 1
    whole = 0.5 * jnp.log(jnp.where(some, square, 2))
    return TransitionWindow(early, late, width, jnp.where(some, width / whole, jnp.nan))


def scaling_collapse(
    times: Sequence[AnyArray],
    phis: Sequence[AnyArray],
    stderrs: Sequence[AnyArray],
    speciation_times: AnyArray,
    order: int = MEANS,
) -> ScalingCollapse:
    """Put measured phi curves of several laws on one axis, t - t_S, and test them.

    Args:
        times: OU times of each curve.
        phis: phi measured there, of two equal classes.
        stderrs: Standard errors.
        speciation_times: t_S of each curve.
        order: As in `universal`.

    Raises:
        ValueError: Lengths differ, or no point has an error.
    """
    centres = np.atleast_1d(np.asarray(speciation_times, np.float64))
    sizes = {len(times), len(phis), len(stderrs), centres.size}
    if len(sizes) != 1:
        raise ValueError(
            f"`times`, `phis`, `stderrs` and `speciation_times` are of {len(times)}, "
            f"{len(phis)}, {len(stderrs)} and {centres.size} curves; give one of each."
        )
    columns = []
    for k, (t, phi, error) in enumerate(zip(times, phis, stderrs, strict=True)):
        rows = np.broadcast_arrays(k, np.asarray(t) - centres[k], phi, error)
        columns.append(np.stack([np.atleast_1d(row).astype(float) for row in rows]))
    curve, shift, phi, error = np.concatenate(columns, axis=1)
    known = error > 0
    if not known.any():
        raise ValueError(
            "`stderrs` are zero everywhere; measure where phi lies between 1/2 and 1."
        )
    expected = np.asarray(universal(shift[known], order), np.float64)
    z = (phi[known] - expected) / error[known]
    return ScalingCollapse(
        curve=curve[known].astype(int),
        shift=shift[known],
        phi=phi[known],
        stderr=error[known],
        universal=expected,
        z=z,
        chi_squared=float(np.sum(z**2)),
        count=int(known.sum()),
    )
