"""The curse of dimensionality: how many points keep collapse late."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis.collapse._arguments import (
    check_not_negative,
    check_positive,
    check_several,
    floats,
)
from jaxwin.analysis.collapse._predicted import (
    leading_rate,
    leading_time,
    two_cluster_information,
    two_cluster_time,
)
from jaxwin.io import field


class Curse(eqx.Module):
    """Collapse and speciation of two clusters over numbers of points and dimensions."""

    num_points: Float[Array, " n"] = field(("num_points",), "points")
    dimension: Float[Array, " d"] = field(("dimension",), "")
    t_collapse: Crossing = field(("num_points", "dimension"), "", "log n = I")
    t_leading: Float[Array, "n d"] = field(
        ("num_points", "dimension"), "OU time", "at leading order in d"
    )
    t_speciation: Crossing = field(("dimension",), "", "log(d mu^2) / 2")
    ratio: Float[Array, "n d"] = field(
        ("num_points", "dimension"), "", "t_collapse / t_speciation", nullable=True
    )


class LogPoints(eqx.Module):
    """log n of which collapse is at a given time; n itself overflows."""

    exact: Float[Array, "..."] = field((), "nats", "I(x0; x_t)")
    leading: Float[Array, "..."] = field((), "nats", "d log(1 + S) / 2")


def curse(
    num_points: AnyArray,
    dimension: AnyArray,
    mean_sq: ScalarLike = 1.0,
    std: ScalarLike = 1.0,
) -> Curse:
    """Collapse times over grids of n and d, for two clusters at +-m, |m|^2 = d mu^2.

    The ratio is null where t_speciation = log(d mu^2) / 2 is not > 0, that is where
    classes never separate before the end.

    Args:
        num_points: Values of n, at least 2 each.
        dimension: Values of d.
        mean_sq: mu^2, > 0.
        std: Standard deviation of a cluster in one coordinate, > 0.

    Raises:
        ValueError: An argument out of range.

    References:
        Biroli et al., arXiv:2402.18491, section 3: only an n that is exponential in d
        keeps collapse from a speciation that moves as log(d) / 2.
    """
    check_positive(dimension=dimension, mean_sq=mean_sq, std=std)
    check_several(num_points)
    count, dimension, mean_sq, std = floats(num_points, dimension, mean_sq, std)
    count, dimension = jnp.atleast_1d(count), jnp.atleast_1d(dimension)
    at = lambda n, d: two_cluster_time(d * mean_sq, std, d, n)
    leading = lambda n, d: leading_time(jnp.log(n) / d, std)
    grid = lambda f: jax.vmap(lambda n: jax.vmap(lambda d: f(n, d))(dimension))(count)
    collapse = grid(at)
    separated = 0.5 * jnp.log(dimension * mean_sq)
    some = separated > 0
    ratio = collapse.time / jnp.where(some, separated, 1)[None]
    return Curse(
        num_points=count,
        dimension=dimension,
        t_collapse=collapse,
        t_leading=grid(leading),
        t_speciation=exact(separated, some),
        ratio=jnp.where(some[None], ratio, jnp.nan),
    )


def log_points(
    time: ScalarLike,
    dimension: ScalarLike,
    mean_sq: ScalarLike = 1.0,
    std: ScalarLike = 1.0,
) -> LogPoints:
    """Log n of the data set that collapses at `time`; more points collapse later on.

        exact:    d log(1 + S) / 2 + I_class(r),   leading:   d log(1 + S) / 2

    with S = std^2 / (e^{2t} - 1): n grows exponentially with d. More noise first means
    that a collapse before this time, nearer to the data, takes at least so many points.

    Args:
        time: OU time, > 0.
        dimension: d.
        mean_sq: mu^2 = |m|^2 / d of two equal clusters at +-m; 0 for one cluster.
        std: Standard deviation of a cluster in one coordinate, > 0.

    Raises:
        ValueError: An argument out of range.
    """
    check_positive(time=time, dimension=dimension, std=std)
    check_not_negative(mean_sq=mean_sq)
    time, dimension, std, mean_sq = floats(time, dimension, std, mean_sq)
    law = dimension * mean_sq, std, dimension
    return LogPoints(
        exact=two_cluster_information(-jnp.log(jnp.expm1(2 * time)), law),
        leading=dimension * leading_rate(time, std),
    )
