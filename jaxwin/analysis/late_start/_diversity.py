"""How evenly samples fall into classes: their entropy in bits."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.io import field


class Diversity(eqx.Module):
    """Entropy of class frequencies in bits.

    bias: what the Miller-Madow formula says was lost to the finite number of samples;
    entropy + bias is the corrected value. Both it and the error are 0 for exact
    weights.
    """

    count: int = eqx.field(static=True)
    entropy: Float[np.ndarray, ""] = field((), "bits", "-sum p log2 p")
    stderr: Float[np.ndarray, ""] = field((), "bits")
    bias: Float[np.ndarray, ""] = field((), "bits", "to be added")
    frequency: Float[np.ndarray, " c"] = field(("class",), "probability")


def diversity(
    weights: AnyArray | None = None,
    *,
    counts: AnyArray | None = None,
    soft_labels: AnyArray | None = None,
) -> Diversity:
    """Entropy of class frequencies p, one of three ways.

        H = -sum_c p_c log2 p_c
        stderr^2 = Var[sum_c q_c log2 p_c] / n    (delta method)
        bias     = sum_c Var[q_c] / (2 n p_c ln 2)    (second order)

    q are the label probabilities of one sample. Of hard labels Var[q_c] = p_c (1 - p_c)
    and the bias is (K - 1) / (2 n ln 2), K the classes met: Miller and Madow's.

    Args:
        weights: Exact frequencies, (c,), normalised here; they have no error.
        counts: Samples in each class, (c,).
        soft_labels: Label probabilities of n samples, (n, c).

    Raises:
        BadInput: Not one of the three, shapes, negative entries, all of them zero,
            counts that are not whole, rows that do not sum to 1, fewer than 2 samples.

    References:
        Miller (1955), in Information Theory in Psychology; Paninski (2003), Neural
        Computation 15, section 3.
    """
    given = [a for a in (weights, counts, soft_labels) if a is not None]
    if len(given) != 1:
        raise BadInput("One of `weights`, `counts` and `soft_labels` must be given.")
    name = (
        "weights"
        if weights is not None
        else "counts"
        if counts is not None
        else "soft_labels"
    )
    values = np.asarray(given[0], np.float64)
    _check(values, name)
    if name == "soft_labels":
        n, p = len(values), values.mean(axis=0)
    else:
        n, p = int(values.sum()) if name == "counts" else 0, values / values.sum()
    met = p > 0
    log = np.log2(np.where(met, p, 1.0))
    entropy = -np.sum(p * log)
    stderr = bias = 0.0
    if name == "counts":
        stderr = np.sqrt(np.sum(p * (log + entropy) ** 2) / n)
        bias = (met.sum() - 1) / (2 * n * np.log(2))
    elif name == "soft_labels":
        stderr = np.std(values @ log, ddof=1) / np.sqrt(n)
        spread = np.var(values, axis=0, ddof=1)
        bias = np.sum(spread[met] / p[met]) / (2 * n * np.log(2))
    number = lambda value: np.asarray(value, np.float64)
    return Diversity(n, number(entropy), number(stderr), number(bias), p)


def _check(values: np.ndarray, name: str) -> None:
    axes = 2 if name == "soft_labels" else 1
    if values.ndim != axes or values.size == 0:
        wanted = "one row a sample and one column" if axes == 2 else "one entry"
        raise BadInput(
            f"`{name}` has shape {values.shape}; it must have {wanted} a class."
        )
    if not np.all(np.isfinite(values) & (values >= 0)) or not values.sum() > 0:
        raise BadInput(f"`{name}` must be finite and >= 0, and not all zero.")
    if name == "counts" and not np.all(values == np.round(values)):
        raise BadInput("`counts` must be whole numbers; give `weights` instead.")
    samples = {"counts": values.sum(), "soft_labels": len(values)}.get(name, 2)
    if samples < 2:
        raise BadInput(f"`{name}` holds {samples:g} sample; an error needs at least 2.")
    if name == "soft_labels" and not np.allclose(values.sum(axis=1), 1, atol=1e-5):
        raise BadInput("`soft_labels` must sum to 1 in every row: take exp of the log.")
