"""The time at which classes separate, predicted under every convention in use."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import check, is_concrete
from jaxwin._numerics import as_float
from jaxwin._typing import Point, ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.io import field
from jaxwin.targets import (
    AbstractLabelledTarget,
    AbstractTarget,
    Empirical,
    Moments,
)


class SpeciationTimes(eqx.Module):
    """Speciation time t_S in OU time under every convention, none where it has none.

    With Lambda the largest eigenvalue of the covariance, B and u the top between-class
    eigenvalue and direction, W the within-class covariance:

        scale              d e^{-2t} = 1                   t = log(d) / 2
        mean               B e^{-2t} = 1                   t = log(B) / 2
        spectrum           Lambda e^{-2t} = 1              t = log(Lambda) / 2
        spectrum_plus_one  Lambda e^{-2t} = 1 - e^{-2t}    t = log(1 + Lambda) / 2
        curvature          log p_t bends the other way     t = log(B + 1 - uWu) / 2
        potential          so does the potential           t = log(2 B) / 2

    `spectrum_plus_one` exists for every law and is the safe headline. Standard errors
    are over fresh data, to first order in 1 / sqrt(n) (zero for an exact law).
    """

    scale: Crossing
    mean: Crossing
    spectrum: Crossing
    spectrum_plus_one: Crossing
    curvature: Crossing
    potential: Crossing
    top_eigenvalue: Float[Array, ""] = field((), "data units squared", "Lambda")
    between_class_eigenvalue: Float[Array, ""] = field(
        (), "data units squared", "B; zero without classes"
    )


class Spectrum(eqx.Module):
    """Leading eigenvalues and directions of the covariance, largest first."""

    eigenvalues: Float[Array, " c"] = field(("component",), "data units squared")
    directions: Float[Array, "d c"] = field(("coordinate", "component"), "")
    stderr: Float[Array, ""] = field((), "data units squared", "of the largest")


def spectrum(law: AbstractTarget, count: int = 10) -> Spectrum:
    """Leading `count` eigenvalues of the covariance of a law.

    A data set divides by n - 1 and carries the standard error of its largest
    eigenvalue over fresh data, sd((u . (a - mean))^2) / sqrt(n); an exact law has none.
    """
    values, directions, errors = components(law, count)
    return Spectrum(values, directions, errors[0])


def components(
    law: AbstractTarget, count: int
) -> tuple[Float[Array, " c"], Float[Array, "d c"], Float[Array, " c"]]:
    """As `spectrum`, with the standard error of every eigenvalue.

    Errors are to first order, for eigenvalues that stand apart from the others.
    """
    if not isinstance(law, Empirical):
        values, directions = law.moments().leading(count)
        return values, directions, jnp.zeros_like(values)
    moments = law.moments()
    n = jnp.sum(law.blocks.log_weights > -jnp.inf).astype(moments.mean.dtype)
    data = Moments(moments.mean, moments.factor, jnp.zeros_like(moments.variance))
    values, directions = data.leading(count)
    # Columns of the factor are sqrt(1/n) (a_i - mean).
    along = jnp.matmul(directions.T, data.factor, precision="highest")
    # In units of the eigenvalue: fourth powers leave the range of float32.
    size = jnp.where(values > 0, values, 1)
    fourth = jnp.sum((along**2 / size[:, None]) ** 2, axis=1) * n
    errors = size * jnp.sqrt(jnp.clip(fourth - (values / size) ** 2, 0) / n)
    unbiased = n / jnp.maximum(n - 1, 1)
    return values * unbiased + moments.variance, directions, errors


def times(
    law: AbstractTarget | Float[Array, "d d"],
    found: Spectrum | None = None,
    scale: ScalarLike = 1.0,
) -> SpeciationTimes:
    """Speciation times of a law, or of a covariance alone (then without classes).

    Args:
        law: A target, or the covariance of x0, symmetric. An `Empirical` law divides by
            n - 1 in Lambda and by n between and within classes.
        found: `spectrum(law)`, if it is at hand; its directions tell d, for a law in
            coordinates of a subspace.
        scale: Factor of the data.

    Returns:
        Times in OU time (dx = -x dt + sqrt(2) dW).

    Raises:
        ValueError: A covariance of another shape, not symmetric, or with a negative
            eigenvalue.

    References:
        Biroli et al., arXiv:2402.18491, section 2; curvature and potential for two
        classes at +-m: B = |m|^2.
    """
    if isinstance(law, AbstractTarget):
        found = spectrum(law, 1) if found is None else found
        top, stderr = found.eigenvalues[0], found.stderr
        dimension = found.directions.shape[0]
    else:
        law = _checked_covariance(law)
        dimension = law.shape[0]
        values = jnp.linalg.eigvalsh(law)
        rounding = law.shape[0] * jnp.finfo(law.dtype).eps * jnp.max(jnp.abs(law))
        remedy = "a covariance without negative eigenvalues: clip its spectrum"
        check(values, lambda v: v >= -64 * np.asarray(rounding), "law", remedy)
        top = values[-1]
        stderr = jnp.zeros_like(top)
    zero = jnp.zeros_like(top)
    classes = _Classes(zero, zero, zero, zero)
    if isinstance(law, AbstractLabelledTarget) and law.num_labels > 1:
        classes = _classes(law)
    square = jnp.asarray(scale, top.dtype) ** 2
    top, stderr, classes = jax.tree.map(lambda v: square * v, (top, stderr, classes))
    between, width = classes.between, classes.width
    # log1p of a difference: at a small scale B + 1 - uWu would round to one.
    bent = jnp.where((between > 0) & (between > width), between - width, 0)
    curved = 0.5 * jnp.log1p(bent), bent > 0, classes.bent_stderr / (2 * (1 + bent))
    return SpeciationTimes(
        scale=half_log(jnp.full_like(top, dimension)),
        mean=half_log(between, classes.between_stderr),
        spectrum=half_log(top, stderr),
        spectrum_plus_one=exact(0.5 * jnp.log1p(top), True, stderr / (2 * (1 + top))),
        curvature=exact(*curved),
        potential=half_log(2 * between, 2 * classes.between_stderr),
        top_eigenvalue=top,
        between_class_eigenvalue=between,
    )


def _checked_covariance(covariance: Array) -> Float[Array, "d d"]:
    covariance = as_float(covariance)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(
            f"`law` has shape {covariance.shape}; a covariance is (d, d): take "
            f"numpy.cov(points.T), or give a target."
        )
    if is_concrete(covariance):
        square = np.asarray(covariance)
        if np.abs(square - square.T).max() > 1e-5 * np.abs(square).max():
            raise ValueError(
                "`law` is not symmetric; a covariance is: pass (C + C.T) / 2."
            )
    return covariance


class _Classes(NamedTuple):
    """B, u W u, and the standard errors of B and of B - u W u over fresh data."""

    between: Array
    width: Array
    between_stderr: Array
    bent_stderr: Array


def _classes(law: AbstractLabelledTarget) -> _Classes:
    between, direction = between_class(law)
    if not isinstance(law, Empirical):
        zero = jnp.zeros_like(between)
        return _Classes(between, within_class_variance(law, direction), zero, zero)
    # Along u a data set is a list of numbers: class mean g plus deviation e. Their
    # influence on B is g^2 + 2 g e - B and on u W u it is e^2 - u W u, u held.
    weights = jnp.exp(law.blocks.log_weights.reshape(-1)[: law.num_points])
    _, means = class_means(law)
    centre = jnp.matmul(weights, law.points, precision="highest")
    along = lambda rows: jnp.matmul(rows, direction, precision="highest")
    g = along(means - centre[None])[law.labels]
    e = along(law.points - centre[None]) - g
    width = jnp.sum(weights * e**2)
    n = jnp.sum(weights > 0).astype(weights.dtype)
    stderr = lambda influence: jnp.sqrt(jnp.sum(weights * influence**2) / n)
    moves = g**2 + 2 * g * e - between
    bends = moves - (e**2 - width)
    width = width + law.bandwidth**2
    return _Classes(between, width, stderr(moves), stderr(bends))


def class_means(
    law: AbstractLabelledTarget,
) -> tuple[Float[Array, " c"], Float[Array, "c d"]]:
    """Weight and mean of every class; one without weight has the mean of all."""
    weights, masks = _each_class(law)
    return weights, jax.lax.map(lambda mask: law.restrict(mask).moments().mean, masks)


def _each_class(
    law: AbstractLabelledTarget,
) -> tuple[Float[Array, " c"], Bool[Array, "c c"]]:
    """Weights, and masks of one class each; all of them for a class without weight."""
    weights = jnp.exp(law.log_label_prior())
    # A restricted law keeps its labels: an empty restriction would be refused.
    return weights, jnp.eye(law.num_labels, dtype=bool) | (weights == 0)[:, None]


def between_class(law: AbstractLabelledTarget) -> tuple[Float[Array, ""], Point]:
    """Top eigenvalue B and direction u of the between-class covariance."""
    values, directions = between_class_spectrum(law)
    return values[0], directions[:, 0]


def between_class_spectrum(
    law: AbstractLabelledTarget,
) -> tuple[Float[Array, " m"], Float[Array, "d m"]]:
    """Eigenvalues and directions of the covariance of the class means.

    c classes have at most c - 1 of them, descending; one zero for a single class.
    """
    weights, means = class_means(law)
    centre = jnp.matmul(weights, means, precision="highest")
    columns = ((means - centre[None]) * jnp.sqrt(weights)[:, None]).T
    moments = Moments(centre, columns, jnp.zeros_like(weights[0]))
    return moments.leading(max(1, min(law.num_labels - 1, law.dimension)))


def within_class_variance(
    law: AbstractLabelledTarget, direction: Point
) -> Float[Array, ""]:
    """Variance u^T W u along a unit vector, W the average covariance of the classes."""
    weights, masks = _each_class(law)

    def along(mask: Array) -> Array:
        moments = law.restrict(mask).moments()
        projected = jnp.matmul(direction, moments.factor, precision="highest")
        return jnp.sum(projected**2) + moments.variance

    return jnp.sum(weights * jax.lax.map(along, masks))


def class_overlap(
    law: AbstractLabelledTarget, directions: Float[Array, "d m"]
) -> Float[Array, "c c m"]:
    """cos^2 between each direction and each class difference; 0 where there is none.

    Where the overlap with the first direction is small, log(Lambda) / 2 does not date
    the separation of that pair.
    """
    weights, means = class_means(law)
    both = (weights[:, None] > 0) & (weights[None] > 0)
    apart = jnp.where(both[..., None], means[:, None] - means[None], 0)
    square = jnp.sum(apart**2, axis=-1, keepdims=True)
    along = jnp.matmul(apart, directions, precision="highest")
    return jnp.where(square > 0, along**2 / jnp.where(square > 0, square, 1), 0)


def half_log(value: Array, stderr: Array | None = None) -> Crossing:
    """The crossing at log(value) / 2, none where that is not positive."""
    found = value > 1
    # log of a safe value: a masked branch must not send NaN into a gradient.
    safe = jnp.where(found, value, jnp.e)
    error = jnp.zeros_like(safe) if stderr is None else stderr / (2 * safe)
    return exact(0.5 * jnp.log(safe), found, error)
