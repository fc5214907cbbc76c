"""Clone agreement of two classes of one mean and different widths, by quadrature.

For N(m, v_1 I) and N(m, v_2 I) in N dimensions all depends on N and on one number, the
contrast of the noised variances,

    k = (G_1 - G_2) / (G_1 + G_2),    G_i = alpha^2 v_i + sigma^2.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check, fraction, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike
from jaxwin.analysis.speciation._differences import atanh_excess, log_excess

# Trapezoid rule in a = log(|x|^2 / E|x|^2), in which the chi-square density is analytic
# and decays; e^-DECAY of its peak is where it is cut.
STEPS, DECAY = 4001, 80.0


def contrast(
    first: ScalarLike, second: ScalarLike, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, ""]:
    """Contrast k of two classes of variances `first` and `second`, noised."""
    check(first, not_negative, "first", "a variance >= 0")
    check(second, not_negative, "second", "a variance >= 0")
    alpha_sq, noise = as_float(alpha) ** 2, as_float(sigma) ** 2
    apart = as_float(first) - as_float(second)
    return alpha_sq * apart / (alpha_sq * (as_float(first) + second) + 2 * noise)


def covariance_agreement(
    k: ScalarLike, dimension: ScalarLike, weight: ScalarLike = 0.5
) -> Float[Array, ""]:
    r"""Clone agreement phi of two isotropic classes of one mean, exact at any N.

    With L = log p_1 / p_2, b = log(w / (1 - w)) and X a chi-square variable of N
    degrees of freedom,

        1 - phi = sqrt(w (1 - w)) (1 - k^2)^{N / 4} E_X[sech((L + b) / 2)],
        L = N (k x + k - atanh k),  x = X / N - 1.

    Float64 error below 1e-12 up to N = 1e6.

    Args:
        k: `contrast` of the noised variances, in (-1, 1).
        dimension: N, >= 1.
        weight: Weight w of the first class.

    References:
        Derived: sqrt(p_1 p_2) is the density of an isotropic Gaussian of the harmonic
        mean variance, times the Bhattacharyya coefficient (1 - k^2)^{N / 4}.
    """
    return 1 - covariance_disagreement(k, dimension, weight)


def covariance_disagreement(
    k: ScalarLike, dimension: ScalarLike, weight: ScalarLike = 0.5
) -> Float[Array, ""]:
    """1 - phi of `covariance_agreement`, to relative precision where it is small."""
    check(k, lambda k: abs(k) < 1, "k", "in (-1, 1); see `contrast`")
    check(dimension, lambda n: n >= 1, "dimension", "at least 1")
    check(weight, fraction, "weight", "in (0, 1); leave out an empty class")
    k = as_float(k)
    n, w = (as_float(value).astype(k.dtype) for value in (dimension, weight))
    bias = jnp.log(w) - jnp.log1p(-w)
    # The density is e^{-N (x - log(1 + x)) / 2} in a = log(1 + x), a slope N / 2 far
    # left and a double exponential right.
    far = DECAY / n
    left = -far - 2 * jnp.sqrt(far)
    right = jnp.log1p(2 * far + 1.5 * jnp.sqrt(2 * far))
    x = jnp.expm1(jnp.linspace(left, right, STEPS))
    mass = jnp.exp(-n / 2 * log_excess(x))
    ratio = n * (k * x - atanh_excess(k))
    sech = 1 / jnp.cosh((ratio + bias) / 2)
    overlap = jnp.exp(n / 4 * jnp.log1p(-(k**2)))
    return jnp.sqrt(w * (1 - w)) * overlap * jnp.sum(mass * sech) / jnp.sum(mass)
