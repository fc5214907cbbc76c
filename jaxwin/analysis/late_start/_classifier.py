"""Quality of samples as a classifier sees them: its features and its classes."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray, Point
from jaxwin.io import field

# How far the probabilities of one point may sum from 1: rounding of float32.
SLACK = 1e-3


@runtime_checkable
class Classifier(Protocol):
    """What a sweep asks of a classifier: an equinox module with these two methods.

    Both take one point, in the scaling and the type in which samplers make them.
    """

    def features(self, x: Point) -> Float[Array, " f"]:
        """What the Fréchet distance is taken between, such as the last hidden layer."""
        ...

    def log_probabilities(self, x: Point) -> Float[Array, " c"]:
        """Log-probabilities of the classes, normalised."""
        ...


class FeatureMoments(eqx.Module):
    """Real data as a classifier sees them: what samples are compared with.

    mean, covariance: of the features, the covariance with 1 / (n - 1). share: of the
    data, by likeliest class. uncertainty: entropy of the probabilities of one point,
    its mean over the data; 0 where the classifier is always certain.

    Raises:
        BadInput: Shapes that do not fit, entries that are not finite, shares that are
            negative or do not sum to 1.
    """

    mean: Float[np.ndarray, " f"] = field(("feature",), "of the features")
    covariance: Float[np.ndarray, "f f"] = field(
        ("feature", "other_feature"), "of the features, squared"
    )
    share: Float[np.ndarray, " c"] = field(("class",), "probability")
    uncertainty: Float[np.ndarray, ""] | None = field((), "nats", default=None)

    def __check_init__(self):
        size = self.mean.size
        if self.covariance.shape != (size, size):
            raise BadInput(
                f"`covariance` has shape {self.covariance.shape}; features with a "
                f"`mean` of shape {self.mean.shape} need ({size}, {size})."
            )
        for name in ("mean", "covariance"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise BadInput(f"`{name}` of the features must be finite everywhere.")
        whole = abs(self.share.sum() - 1) <= SLACK
        if not (np.all(self.share >= 0) and whole):
            raise BadInput("`share` must be >= 0 everywhere and sum to 1.")


def feature_moments(
    classifier: Classifier, points: AnyArray, *, batch: int = 512
) -> FeatureMoments:
    """Moments of the features of real data, and the shares of their classes.

    Errors of these moments are not in those of a sweep, which hold the reference fixed;
    they add O(f / n) to its Fréchet distances.

    Args:
        classifier: A module with `features` and `log_probabilities`.
        points: Real data, (n, d), scaled as the samples will be.
        batch: Points that are classified together.

    Raises:
        BadInput: Fewer than 2 points, features or probabilities that are not one finite
            vector a point, probabilities that do not sum to 1.
    """
    seen, log = features_of(classifier, points, batch=batch)
    probability = np.exp(log)
    counts = np.bincount(log.argmax(axis=1), minlength=log.shape[1])
    terms = probability * np.where(probability > 0, log, 0)
    return FeatureMoments(
        mean=seen.mean(axis=0),
        covariance=np.atleast_2d(np.cov(seen, rowvar=False, ddof=1)),
        share=counts / len(seen),
        uncertainty=np.asarray(-terms.sum(axis=1).mean()),
    )


def features_of(
    classifier: Classifier, points: AnyArray, *, batch: int = 512
) -> tuple[Float[np.ndarray, "n f"], Float[np.ndarray, "n c"]]:
    """Features and log-probabilities of real data, checked.

    Raises:
        BadInput: As `feature_moments`.
    """
    rows = jnp.asarray(points)
    if rows.ndim != 2 or len(rows) < 2 or batch < 1:
        raise BadInput(
            f"`points` has shape {rows.shape} and `batch` is {batch}; they must be at "
            f"least 2 points as rows, (n, d), and at least 1."
        )
    check_classifier(classifier, rows.shape[1], rows.dtype)
    seen, log = (np.asarray(a, float) for a in _classified(classifier, rows, batch))
    if not np.all(np.isfinite(seen)):
        raise BadInput(
            "`classifier.features` is not finite at every one of `points`: mend the "
            "classifier, or leave such points out."
        )
    if not np.all(np.abs(np.exp(log).sum(axis=1) - 1) <= SLACK):
        raise BadInput(
            "`classifier.log_probabilities` must be the logs of probabilities that sum "
            "to 1: take jax.nn.log_softmax of the logits."
        )
    return seen, log


@eqx.filter_jit
def _classified(
    classifier: Classifier, points: Array, batch: int
) -> tuple[Float[Array, "n f"], Float[Array, "n c"]]:
    both = lambda x: (classifier.features(x), classifier.log_probabilities(x))
    return jax.lax.map(both, points, batch_size=batch)


def uncertainty(log_probability: Float[Array, " c"]) -> Float[Array, ""]:
    """Entropy of the classes of one point, in nats."""
    # A class of probability zero has the log -inf: it adds nothing.
    none = jnp.isneginf(log_probability)
    log = jnp.where(none, 0, log_probability)
    return -jnp.sum(jnp.where(none, 0, jnp.exp(log) * log))


def check_classifier(
    classifier: Classifier, dimension: int, dtype: jnp.dtype
) -> tuple[int, int]:
    """The numbers of features and of classes, without a computation.

    Raises:
        BadInput: One of the two is not one vector a point.
    """
    point = jax.ShapeDtypeStruct((dimension,), dtype)
    sizes = []
    for name in ("features", "log_probabilities"):
        shape = eqx.filter_eval_shape(getattr(classifier, name), point).shape
        if len(shape) != 1 or shape[0] == 0:
            raise BadInput(
                f"`classifier.{name}` has shape {shape} at a point of shape "
                f"({dimension},); it must be one vector: flatten it."
            )
        sizes.append(shape[0])
    return sizes[0], sizes[1]


def check_reference(
    classifier: Classifier | None,
    reference: FeatureMoments | None,
    dimension: int,
    dtype: jnp.dtype,
) -> None:
    """Raise BadInput unless both are given, or none, and the reference is the one's."""
    if (classifier is None) != (reference is None):
        missing = "reference" if reference is None else "classifier"
        raise BadInput(
            f"`{missing}` is missing: give both the classifier and "
            f"`feature_moments(classifier, data)`, or none."
        )
    if classifier is None or reference is None:
        return
    sizes = check_classifier(classifier, dimension, dtype)
    if sizes != (reference.mean.size, reference.share.size):
        raise BadInput(
            f"`reference` has {reference.mean.size} features and "
            f"{reference.share.size} classes, and `classifier` {sizes[0]} and "
            f"{sizes[1]}: make it by `feature_moments` with this classifier."
        )
