"""Several large eigenvalues, several times: classes, then their subclasses."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check, not_negative
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.speciation._times import components, half_log
from jaxwin.io import field
from jaxwin.targets import AbstractTarget


class SpeciationSequence(eqx.Module):
    """Speciation times of the eigenvalues of a covariance, the latest (in t) first.

        spectrum           Lambda_k e^{-2t} = 1            t_k = log(Lambda_k) / 2
        spectrum_plus_one  Lambda_k e^{-2t} = 1 - e^{-2t}  t_k = log(1 + Lambda_k) / 2

    The first exist where Lambda_k > 1 alone. Standard errors are over fresh data, zero
    for an exact law; they hold for eigenvalues that stand apart from the others.
    """

    eigenvalues: Float[Array, " k"] = field(("component",), "data units squared")
    spectrum: Crossing = field(("component",), "")
    spectrum_plus_one: Crossing = field(("component",), "")


def sequence(
    law: AbstractTarget | Float[Array, " k"], count: int = 10
) -> SpeciationSequence:
    """Times at which the leading directions of the data rise out of the noise, in turn.

    Args:
        law: A target, or eigenvalues of the covariance in any order, >= 0.
        count: Largest eigenvalues to keep.

    Raises:
        ValueError: A negative eigenvalue.

    References:
        Biroli et al., arXiv:2402.18491, section 2 and its discussion of subclasses.
    """
    if isinstance(law, AbstractTarget):
        values, _, errors = components(law, count)
    else:
        remedy = "finite and >= 0; clip what rounding made negative"
        check(law, not_negative, "law", remedy)
        values = jnp.sort(law)[::-1][:count]
        errors = jnp.zeros_like(values)
    always = jnp.ones_like(values, bool)
    plus_one = exact(0.5 * jnp.log1p(values), always, errors / (2 * (1 + values)))
    return SpeciationSequence(values, half_log(values, errors), plus_one)
