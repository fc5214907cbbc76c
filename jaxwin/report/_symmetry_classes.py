"""Which classes a direction tells apart."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class ClassOverlap(NamedTuple):
    """The groups of classes that a direction separates best, and the best pair.

    group: classes on the side to which the direction points; rest: the others. overlap:
    |cos| between the direction and the difference of the groups' means; pair_overlap:
    the same of two class means; between: the length of its part in the span of all
    differences of class means (1 for certain where they span the space).
    """

    group: tuple[int, ...]
    rest: tuple[int, ...]
    overlap: float
    pair: tuple[int, int]
    pair_overlap: float
    between: float


def class_overlap(
    direction: Float[np.ndarray, " d"],
    weights: Float[np.ndarray, " c"],
    means: Float[np.ndarray, "c d"],
) -> ClassOverlap | None:
    """What a direction separates: classes are cut in two where they are projected.

    Of the c - 1 cuts between neighbouring projections the one of largest |cos| is
    taken. None where no two classes have weight and means that differ.
    """
    size = np.linalg.norm(direction)
    present = np.flatnonzero(weights > 0)
    if len(present) < 2 or not size > 0:
        return None
    unit = direction / size
    present = present[np.argsort(-(means[present] @ unit), kind="stable")]
    cuts = [(present[:k], present[k:]) for k in range(1, len(present))]
    mean = lambda group: weights[group] @ means[group] / weights[group].sum()
    cosines = [_cosine(unit, mean(a) - mean(b)) for a, b in cuts]
    # Of equal overlaps, up to rounding, the first.
    best = int(np.argmax(np.round(cosines, 12)))
    pairs = [(a, b) for i, a in enumerate(present) for b in present[i + 1 :]]
    of_pairs = [_cosine(unit, means[a] - means[b]) for a, b in pairs]
    pair = int(np.argmax(np.round(of_pairs, 12)))
    apart = means[present] - means[present].mean(axis=0)
    left, singular, _ = np.linalg.svd(apart.T, full_matrices=False)
    if not singular[0] > 0:
        return None
    span = left[:, singular > 1e-9 * singular[0]]
    in_order = lambda group: tuple(sorted(int(c) for c in group))
    return ClassOverlap(
        group=in_order(cuts[best][0]),
        rest=in_order(cuts[best][1]),
        overlap=float(cosines[best]),
        pair=(int(pairs[pair][0]), int(pairs[pair][1])),
        pair_overlap=float(of_pairs[pair]),
        between=float(min(np.linalg.norm(unit @ span), 1.0)),
    )


def _cosine(unit: np.ndarray, difference: np.ndarray) -> float:
    size = np.linalg.norm(difference)
    return float(abs(unit @ difference) / size) if size > 0 else 0.0
