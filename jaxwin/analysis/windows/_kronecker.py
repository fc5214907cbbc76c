"""Features that are decided independently: confusions as Kronecker products."""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput, check, fraction, not_negative
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, ScalarLike, TimesLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.speciation import disagreement, separation_at
from jaxwin.analysis.windows._confusion import Confusion
from jaxwin.targets import GaussianMixture


def kronecker_matrix(
    matrices: Sequence[Float[Array | np.ndarray, "*t c c"]],
) -> Float[Array, "*t k k"]:
    """Confusion of joint labels of independent features, A = A_1 x A_2 x ...

    Features in orthogonal directions, chosen independently, decouple: the noised law is
    a product over them and so is the posterior. O(K^2) for the whole matrix, features
    one by one whatever K. The first feature is the slowest index of the joint label.

    Args:
        matrices: Confusion of each feature, (c_f, c_f) or a curve of them.

    References:
        Derived (shared theory, windows, E3).
    """
    if not matrices:
        raise ValueError("`matrices` is empty; give the confusion of one feature.")

    def product(a: Array, b: Array) -> Array:
        joint = jnp.einsum("...ij,...kl->...ikjl", a, b, precision="highest")
        side = a.shape[-1] * b.shape[-1]
        return joint.reshape(*joint.shape[:-4], side, side)

    return functools.reduce(product, [as_float(matrix) for matrix in matrices])


def kronecker_confusion(confusions: Sequence[Confusion]) -> Confusion:
    """Confusion of joint labels of independent features at the noises they share.

    Standard errors of features measured apart from one another, to first order:
    se^2 = sum_f se_f^2 prod_{g != f} A_g^2.

    Args:
        confusions: One for each feature, the slowest index of the joint label first.

    Raises:
        BadInput: None, or not at the same noises.
    """
    if not confusions:
        raise BadInput("`confusions` is empty; give that of at least one feature.")
    noise = confusions[0].noise
    for one in confusions:
        if not np.array_equal(one.noise, noise):
            raise BadInput(
                "`confusions` are at different noises; measure all at the same ones."
            )
    matrix = np.asarray(kronecker_matrix([one.matrix for one in confusions]))
    variance = np.zeros_like(matrix)
    for f, one in enumerate(confusions):
        squares = [other.matrix**2 for other in confusions]
        squares[f] = one.stderr**2
        variance += np.asarray(kronecker_matrix(squares))
    priors = [one.log_prior for one in confusions]
    joint = None
    if all(prior is not None for prior in priors):
        add = lambda a, b: (a[:, None] + b[None]).ravel()
        joint = functools.reduce(add, [np.asarray(prior) for prior in priors])
    methods = " x ".join(one.method or "given" for one in confusions)
    return Confusion(noise, matrix, np.sqrt(variance), joint, method=methods)


def two_sided_matrix(
    half_distance: ScalarLike,
    alpha: ScalarLike,
    sigma: ScalarLike,
    *,
    variance: ScalarLike = 1.0,
    weight: ScalarLike = 0.5,
) -> Float[Array, "2 2"]:
    """Confusion of one feature of two sides +-a of one variance, in closed form.

        A_{+-} = (1 - phi) / (2 w_+),   A_{-+} = (1 - phi) / (2 w_-),

    phi the clone agreement (`speciation.agreement`) at a alpha in noised widths: the
    flips of the two sides balance. Relative precision also where they are rare.

    Args:
        half_distance: Half the distance a of the means.
        alpha: Amplitude of the signal.
        sigma: Standard deviation of the noise.
        variance: Variance of either side.
        weight: Weight w_+ of the first side, in (0, 1).

    Raises:
        ValueError: A negative distance, or a weight that is none.
    """
    check(half_distance, not_negative, "half_distance", "finite and >= 0")
    check(weight, fraction, "weight", "in (0, 1); leave out a feature of one side")
    alpha, sigma = as_float(alpha), as_float(sigma)
    width = jnp.sqrt(alpha**2 * variance + sigma**2)
    weight = as_float(weight).astype(alpha.dtype)
    lost = 0.5 * disagreement(half_distance * alpha / width, weight)
    first, second = lost / weight, lost / (1 - weight)
    return jnp.stack([jnp.stack([1 - first, first]), jnp.stack([second, 1 - second])])


def half_flip_time(half_distance: TimesLike, variance: ScalarLike = 1.0) -> Crossing:
    """OU time at which a feature of two equal sides flips in a quarter of U-turns.

    Halfway between never and at random: log(a / m*) at unit variance, m* = 0.92241. Not
    found where the sides overlap so much that they flip more often without noise.

    Args:
        half_distance: Half the distance a of the means, one or many.
        variance: Variance of either side.

    References:
        Derived (shared theory, windows, E1).
    """
    check(half_distance, not_negative, "half_distance", "finite and >= 0")
    check(variance, not_negative, "variance", "finite and >= 0")
    a = as_float(half_distance)
    # a^2 alpha^2 = m*^2 (alpha^2 v + 1 - alpha^2)
    middle = separation_at(0.75).astype(a.dtype) ** 2
    inverse = (a**2 / middle) + (1 - as_float(variance).astype(a.dtype))
    found = inverse > 1
    return exact(0.5 * jnp.log(jnp.where(found, inverse, 1)), found)


def hypercube(
    half_distances: Sequence[float] | Float[np.ndarray, " f"],
    *,
    variance: float = 1.0,
    weights: Sequence[float] | float = 0.5,
    basis: AnyArray | None = None,
) -> GaussianMixture:
    """Components at all corners (+-a_1, +-a_2, ...), in orthogonal directions.

    Corner labels count through the signs, the first feature slowest and + before -, as
    `kronecker_matrix` does.

    Args:
        half_distances: a_f of each feature.
        variance: Of every component.
        weights: Weight of the + side of each feature, one for all or one each.
        basis: (d, f) orthonormal directions of the features; the axes if left out.

    Raises:
        ValueError: No feature, or directions that are not orthonormal.
    """
    scales = np.asarray(half_distances, float)
    if scales.ndim != 1 or scales.size == 0:
        raise ValueError(
            f"`half_distances` has shape {scales.shape}; it must be a list of at "
            f"least one."
        )
    check(weights, fraction, "weights", "in (0, 1); leave out a feature of one side")
    axes = np.eye(scales.size) if basis is None else np.asarray(basis, float)
    if axes.ndim != 2 or axes.shape[1] != scales.size:
        raise ValueError(
            f"`basis` has shape {axes.shape}; it must be (d, {scales.size}), a "
            f"direction for each feature."
        )
    if not np.allclose(axes.T @ axes, np.eye(scales.size), atol=1e-10):
        raise ValueError("`basis` must be orthonormal; take that of numpy.linalg.qr.")
    plus = np.broadcast_to(np.asarray(weights, float), scales.shape)
    signs = 1 - 2 * np.indices((2,) * scales.size).reshape(scales.size, -1).T
    each = np.where(signs > 0, plus[None], 1 - plus[None])
    means = (signs * scales[None]) @ axes.T
    return GaussianMixture.isotropic(means, variance, each.prod(axis=1))
