"""The distance that real data themselves have at a given number of samples."""

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Key
from jaxwin.analysis.late_start._classifier import (
    Classifier,
    FeatureMoments,
    features_of,
)
from jaxwin.io import field
from jaxwin.metrics import frechet


class Floor(eqx.Module):
    """Squared Fréchet distance of real data to the reference, as a sweep takes it.

    Of the reference's own points it is the bias of `num_samples` a replicate (a little
    less, as they are drawn without replacement); of unseen ones also what sets the
    reference, and a classifier that was trained on it, apart from the law. stderr: over
    subsets, which share some of the `num_points`.
    """

    num_samples: int = eqx.field(static=True)
    num_points: int = eqx.field(static=True)
    frechet: Float[np.ndarray, ""] = field((), "of the features, squared")
    frechet_stderr: Float[np.ndarray, ""] = field((), "of the features, squared")


def floor_of(
    classifier: Classifier,
    reference: FeatureMoments,
    points: AnyArray,
    num_samples: int,
    replicates: int,
    key: Key,
) -> Floor:
    """Distances of random subsets of real points.

    Args:
        classifier: As in `sweep`.
        reference: As in `sweep`.
        points: (n, d), real data.
        num_samples: Points of a subset; all of them where there are fewer.
        replicates: Subsets, at least 2.
        key: Root key.

    Raises:
        BadInput: Fewer than 2 replicates, and as `feature_moments`.
    """
    if replicates < 2:
        raise BadInput(f"`replicates` is {replicates}; it must be at least 2.")
    seen = features_of(classifier, points)[0]
    count = min(num_samples, len(seen))

    def of_subset(key: Key) -> float:
        rows = np.asarray(jr.choice(key, len(seen), (count,), replace=False))
        moments = {"mean": reference.mean, "covariance": reference.covariance}
        return float(frechet(seen[rows], **moments).value)

    found = np.array([of_subset(one) for one in jr.split(key, replicates)])
    return Floor(
        frechet=np.asarray(found.mean()),
        frechet_stderr=np.asarray(found.std(ddof=1) / np.sqrt(replicates)),
        num_samples=count,
        num_points=len(seen),
    )
