"""Type aliases of the package: one name and one axis letter for one meaning.

Axes: `d` dimension of a point, `n` data points, `k` mixture components, `c` classes
(labels), `t` times or noise levels, `b` a batch, `r` reduced dimension or rank.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, Real

# What jnp.asarray takes: arrays, numbers and (nested) lists of them.
AnyArray: TypeAlias = ArrayLike | Sequence[Any]
Key: TypeAlias = PRNGKeyArray
Point: TypeAlias = Float[Array, " d"]

if TYPE_CHECKING:
    # pyright reads Real[ArrayLike, ""] as ArrayLike, which admits bool and complex.
    ScalarLike: TypeAlias = float | Array
    TimesLike: TypeAlias = float | Array
    Index: TypeAlias = int | Array
else:
    ScalarLike = Real[ArrayLike, ""]
    TimesLike = Real[ArrayLike, "..."]
    Index = Int[ArrayLike, ""]
