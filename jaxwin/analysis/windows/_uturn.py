"""U-turns: the law of what comes back when a sub-mixture is noised and denoised."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.analysis.windows._line_components import share_on_line
from jaxwin.analysis.windows._sets import Labels, members, weight
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture, Reduction, reduce

# Trapezoid rule over the noise z. Posteriors of noised components change over no less
# than tenths of sigma where there is mass; two components D noise widths apart leave an
# error e^{-D^2/8 - 2 pi^2 / (D step)}, at most 1e-12 whatever D, also in sums over any
# number of components.
REACH, STEP = 9.0, 1 / 8


def uturn_sample(
    law: AbstractLabelledTarget,
    initial: Labels,
    key: Key,
    t: ScalarLike,
    *,
    process: AbstractProcess | None = None,
) -> Point:
    """An exact draw X' of the U-turn law p^{S,T}, in any dimension.

    x0 ~ p^S is noised to x = alpha x0 + sigma z, and X' ~ p(x0 | x) is drawn from the
    posterior of the whole law, not of the sub-mixture. No reverse run.

    Args:
        law: The mixture p.
        initial: Labels of the sub-mixture S.
        key: Random key; `vmap` over keys for many.
        t: Noise time T of the turn on `process`.
        process: The clock; OU if left out.

    Raises:
        BadInput: As `members`.

    References:
        arXiv:2502.00921, section 2 (forward-reverse experiment).
    """
    process = OrnsteinUhlenbeck() if process is None else process
    mask = members(initial, law.log_label_prior(), "initial")
    start_key, noise_key, back_key = jr.split(key, 3)
    x0 = sub_mixture(law, mask).sample(start_key)
    alpha, sigma = process.levels(jnp.asarray(t), x0.dtype)
    x = alpha * x0 + sigma * jr.normal(noise_key, x0.shape, x0.dtype)
    return law.posterior_sample(back_key, x, alpha, sigma)


def uturn_density(
    law: AbstractLabelledTarget,
    initial: Labels,
    alpha: ScalarLike,
    sigma: ScalarLike,
    x: Point,
) -> Float[Array, ""]:
    r"""Density of the U-turn law p^{S,T} at a clean point.

        p^{S,T}(x) = p(x) E_z[r_S(alpha x + sigma z)] / w_S,    z ~ N(0, I),

    r_S the posterior of the labels in S. It is p^S at sigma = 0 and p at alpha = 0;
    over a partition into sets S_k, sum_k w_k p^{S_k,T} = p. Error below 1e-12 of the
    density of the components in float64.

    Args:
        law: A law of one dimension, or a concrete mixture of any dimension that reduces
            to one (`targets.reduce`); without point masses.
        initial: Labels of the sub-mixture S.
        alpha: Amplitude of the signal at the turn.
        sigma: Standard deviation of the noise there.
        x: A clean point, of the dimension of the law.

    Raises:
        BadInput: As `members`.
        ValueError: The law does not reduce to one dimension, or has point masses.

    References:
        Derived: the kernel x -> X' is self-adjoint in L2(p) (arXiv:2502.00921,
        section 2, for the experiment).
    """
    mask = members(initial, law.log_label_prior(), "initial")
    line, reduction = on_a_line(law)
    place = x if reduction is None else reduction.project(x, 1.0)
    ratio = line_ratio(line, mask, alpha, sigma, place[0])
    return jnp.exp(law.log_density(x, 1.0, 0.0)) * ratio


def line_ratio(
    law: AbstractLabelledTarget,
    mask: Bool[np.ndarray | Array, " c"],
    alpha: ScalarLike,
    sigma: ScalarLike,
    x: Float[Array, ""],
) -> Float[Array, ""]:
    """Ratio (p^{S,T} / p)(x) of a law on the line, by quadrature over the noise."""
    z = jnp.arange(-REACH, REACH + STEP / 2, STEP, dtype=x.dtype)
    rule = jax.nn.softmax(-0.5 * z**2)
    share = jax.vmap(share_on_line(law, mask, alpha, sigma))(alpha * x + sigma * z)
    return jnp.sum(rule * share) / weight(law.log_label_prior(), mask)


def sub_mixture(
    law: AbstractLabelledTarget, mask: Bool[np.ndarray, " c"]
) -> AbstractLabelledTarget:
    """The law of the labels in `mask`, a constant where the law is one."""
    if not is_concrete(law):
        return law.restrict(jnp.asarray(mask))
    # Its check would be made at run time in a caller's jit.
    with jax.ensure_compile_time_eval():
        return law.restrict(jnp.asarray(mask))


def on_a_line(
    law: AbstractLabelledTarget,
) -> tuple[AbstractLabelledTarget, Reduction | None]:
    """A law of one dimension, and how a law of more reduces to it.

    Raises:
        ValueError: It does not.
    """
    if law.dimension == 1:
        return law, None
    reduction = reduce(law) if isinstance(law, GaussianMixture) else None
    if reduction is None or reduction.target.dimension > 1:
        raise ValueError(
            f"`law` has {law.dimension} dimensions and does not reduce to one; draw "
            f"samples with `uturn_sample`, or use `uturn_distance`."
        )
    return reduction.target, reduction
