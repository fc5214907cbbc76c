"""What a model generates beside the data: classes, certainty, copies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.analysis.late_start import Classifier
from jaxwin.io import field

# Distances between so many samples and all training points at once.
BLOCK = 256


class SampleQuality(eqx.Module):
    """Samples of a model against held-out data, both seen by one classifier.

    share: of the likeliest classes. variation: total variation between the two shares.
    entropy: mean of the classifier's entropy over points, nats. distance: mean to the
    nearest training point; `distance_ratio`, samples over held-out data, is far below
    one for copies. copied: share of samples nearer to a training point than 1 % of the
    held-out data are. Errors are over samples and held-out data, the classifier and the
    training points held fixed.
    """

    num_samples: int = eqx.field(static=True)
    num_held_out: int = eqx.field(static=True)
    share: Float[np.ndarray, " c"] = field(("class",), "probability", "of samples")
    held_out_share: Float[np.ndarray, " c"] = field(("class",), "probability")
    variation: Float[np.ndarray, ""] = field((), "probability")
    variation_stderr: Float[np.ndarray, ""] = field((), "probability")
    entropy: Float[np.ndarray, ""] = field((), "nats", "of samples")
    entropy_stderr: Float[np.ndarray, ""] = field((), "nats")
    held_out_entropy: Float[np.ndarray, ""] = field((), "nats")
    held_out_entropy_stderr: Float[np.ndarray, ""] = field((), "nats")
    distance: Float[np.ndarray, ""] = field((), "data units", "of samples")
    held_out_distance: Float[np.ndarray, ""] = field((), "data units")
    distance_ratio: Float[np.ndarray, ""] = field((), "")
    distance_ratio_stderr: Float[np.ndarray, ""] = field((), "")
    copied: Float[np.ndarray, ""] = field((), "probability")


def sample_quality(
    samples: AnyArray, held_out: AnyArray, train: AnyArray, classifier: Classifier
) -> SampleQuality:
    """Compare samples of a model with data that it has not seen.

    Args:
        samples: (m, d).
        held_out: (h, d), not trained on.
        train: (n, d), trained on.
        classifier: Of clean points.

    Raises:
        BadInput: Arrays that are not (., d) or not finite, fewer than 2 points.
    """
    arrays = {"samples": samples, "held_out": held_out, "train": train}
    points = {name: _checked(a, name) for name, a in arrays.items()}
    sizes = {name: a.shape[1] for name, a in points.items()}
    if len(set(sizes.values())) > 1:
        raise BadInput(f"points have {sizes} coordinates; they must agree.")
    told, real = (
        np.exp(np.asarray(_told(classifier, points[name]), np.float64))
        for name in ("samples", "held_out")
    )
    near, base = (
        np.asarray(_nearest(points[name], points["train"]), np.float64)
        for name in ("samples", "held_out")
    )
    share, other = _shares(told), _shares(real)
    error = lambda a: np.std(a, ddof=1) / np.sqrt(len(a))
    entropy, held = _entropies(told), _entropies(real)
    ratio = near.mean() / base.mean()
    # Not of the logarithm: copies have no distance at all.
    ratio_error = np.hypot(error(near), ratio * error(base)) / base.mean()
    number = lambda value: np.asarray(value, np.float64)
    return SampleQuality(
        num_samples=len(told),
        num_held_out=len(real),
        share=share,
        held_out_share=other,
        variation=number(np.abs(share - other).sum() / 2),
        variation_stderr=number(_variation_error(share, other, len(told), len(real))),
        entropy=number(entropy.mean()),
        entropy_stderr=number(error(entropy)),
        held_out_entropy=number(held.mean()),
        held_out_entropy_stderr=number(error(held)),
        distance=number(near.mean()),
        held_out_distance=number(base.mean()),
        distance_ratio=number(ratio),
        distance_ratio_stderr=number(ratio_error),
        copied=number(np.mean(near < np.quantile(base, 0.01))),
    )


def _checked(points: AnyArray, name: str) -> Float[Array, "n d"]:
    found = np.asarray(points)
    if found.ndim != 2 or len(found) < 2 or not np.all(np.isfinite(found)):
        raise BadInput(
            f"`{name}` has shape {found.shape}; it must be (n, d) with n >= 2, and "
            f"finite."
        )
    return jnp.asarray(found, float)


@eqx.filter_jit
def _told(classifier: Classifier, points: Float[Array, "n d"]) -> Float[Array, "n c"]:
    return jax.lax.map(classifier.log_probabilities, points, batch_size=BLOCK)


@jax.jit
def _nearest(
    points: Float[Array, "m d"], train: Float[Array, "n d"]
) -> Float[Array, " m"]:
    """Distance of each point to the nearest of `train`."""
    # The product form is exact enough: it only chooses; the distance is a difference.
    half = 0.5 * jnp.sum(train**2, axis=1)

    def one(x: Float[Array, " d"]) -> Float[Array, ""]:
        closest = jnp.argmin(half - jnp.matmul(x, train.T, precision="highest"))
        return jnp.linalg.norm(x - train[closest])

    return jax.lax.map(one, points, batch_size=BLOCK)


def _shares(told: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    return np.bincount(told.argmax(axis=1), minlength=told.shape[1]) / len(told)


def _entropies(told: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    safe = np.where(told > 0, told, 1.0)
    return -np.sum(told * np.log(safe), axis=1)


def _variation_error(
    share: Float[np.ndarray, " c"], other: Float[np.ndarray, " c"], m: int, h: int
) -> float:
    """Of half the L1 distance of two sets of frequencies, to first order.

    Its variance is that of sum_c s_c (p_c - q_c) / 2 with the signs s_c held.
    """
    sign = np.sign(share - other)
    spread = lambda p: np.sum(p * sign**2) - np.sum(p * sign) ** 2
    return float(0.5 * np.sqrt(spread(share) / m + spread(other) / h))
