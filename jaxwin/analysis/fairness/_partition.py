"""Groups of labels, and what is left of the labels beside them."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput
from jaxwin.analysis.windows._sets import Labels, members

Groups = Sequence[Labels] | Mapping[str, Labels]
# What is in no group, a destination of its own.
REST = "rest"


class Partition(eqx.Module):
    """Disjoint groups; the last row holds the labels of none of them, if there are any.

    masks: one row a destination. weight: of the data in each.
    """

    masks: Bool[np.ndarray, "h c"]
    weight: Float[np.ndarray, " h"]
    names: tuple[str, ...] = eqx.field(static=True)
    num_groups: int = eqx.field(static=True)

    def of(self, probabilities: Float[Array, " c"]) -> Float[Array, " h"]:
        """Probabilities of the destinations, from those of the labels."""
        rows = jnp.asarray(self.masks.T, probabilities.dtype)
        return jnp.matmul(probabilities, rows, precision="highest")

    def weights_of(self, log_prior: Float[Array, " c"]) -> Float[np.ndarray, " h"]:
        """Weights of the destinations under other weights of the labels."""
        return self.masks @ np.exp(np.asarray(log_prior, np.float64))


def partition(
    groups: Groups | None, log_prior: Float[Array, " c"], model_prior: Array | None
) -> Partition:
    """Check groups of labels.

    Args:
        groups: Each a label, several labels or a mask; named where it is a mapping. All
            labels one by one if None.
        log_prior: Log-weights of the labels of the data.
        model_prior: Those of the model, of as many labels; None for the data's.

    Raises:
        BadInput: No group, a group that is empty, has no weight or names an unknown
            label, groups that overlap; a model of other labels.
    """
    count = log_prior.shape[0]
    if model_prior is not None and model_prior.shape != (count,):
        raise BadInput(
            f"`model` has {model_prior.size} labels and the data {count}; both must "
            f"have the same labels."
        )
    if groups is None:
        groups = [int(c) for c in np.flatnonzero(np.asarray(log_prior) > -np.inf)]
    names = list(groups) if isinstance(groups, Mapping) else None
    sets = list(groups.values()) if isinstance(groups, Mapping) else list(groups)
    if not sets:
        raise BadInput("`groups` is empty; name at least one set of labels.")
    named = names or [_name(labels) for labels in sets]
    masks = [
        members(labels, log_prior, f"groups[{name!r}]" if names else f"groups[{i}]")
        for i, (labels, name) in enumerate(zip(sets, named, strict=True))
    ]
    taken = np.zeros(count, int)
    for i, mask in enumerate(masks):
        both = np.flatnonzero(mask & (taken > 0))
        if both.size:
            other = next(j for j in range(i) if masks[j][both[0]])
            raise BadInput(
                f"`groups` {named[other]!r} and {named[i]!r} share label {both[0]}; "
                f"groups must be disjoint: leave it to one of them."
            )
        taken += mask
    rest = taken == 0
    if rest.any():
        masks, named = [*masks, rest], [*named, REST]
    table = np.stack(masks)
    weight = table @ np.exp(np.asarray(log_prior, np.float64))
    # Weights of all labels sum to one: rounding is not a loss of share.
    return Partition(table, weight / weight.sum(), tuple(named), len(sets))


def _name(labels: Labels) -> str:
    given = np.atleast_1d(np.asarray(labels))
    chosen = np.flatnonzero(given) if given.dtype == bool else given
    return "+".join(str(label) for label in chosen.tolist())
