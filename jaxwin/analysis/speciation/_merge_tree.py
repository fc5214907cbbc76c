"""The order in which classes merge on the way to noise, with times."""

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from jaxwin.analysis._crossing import Crossing, crossing_place, read_off, stack
from jaxwin.analysis._sweep import Draws, Sweep
from jaxwin.analysis.speciation._class_agreement import Odds, pair_blocks, purities
from jaxwin.analysis.speciation._clone_agreement import LEVEL
from jaxwin.io import field


class MergeTree(eqx.Module):
    """Merges of classes and of groups of them, from data to noise.

    Nodes 0 ... c - 1 are the classes; merge k joins the nodes `first` and `second` to
    node c + k at `time`. A merge that is not found is of groups that are one all along.
    """

    first: Int[np.ndarray, " merge"] = field(("merge",), "node")
    second: Int[np.ndarray, " merge"] = field(("merge",), "node")
    time: Crossing = field(("merge",), "")


def merge_tree(found: Sweep, feature: int = 0, level: float = LEVEL) -> MergeTree:
    """Pool the closest pair of groups, and again, until one is left.

    Two groups merge where phi between them, counted at equal weights, falls to `level`.
    The closest pair is the one that merges at the least noise; it is pooled, its
    classes at their weights in the data, and its agreements with all other groups are
    taken anew from the same noised points. The own point is left out: a class of few
    points would else be told by its points. Classes of a single point, or without
    noised points, are left out of the tree.
    """
    of = found.features[feature]
    counts = np.asarray(of.count(found.counts))
    draws = found.draws(of, own=False)
    groups: dict[int, tuple[int, ...]] = {
        c: (c,) for c in range(of.num_classes) if len(draws[c].batch)
    }

    def pool(nodes: tuple[int, ...]) -> Draws:
        parts = [draws[c] for c in nodes]
        batch = np.concatenate([part.batch for part in parts])
        values = np.concatenate([part.log_likelihood for part in parts])
        return Draws(batch, values, parts[0].num_batches)

    def between(a: int, b: int) -> tuple[Draws, Draws, Odds]:
        """The draws of two groups, and the log-odds of one against the other."""
        sides = [(list(groups[g]), np.log(counts[list(groups[g])])) for g in (a, b)]

        def odds(log_likelihood: Float[np.ndarray, "n t c"]) -> np.ndarray:
            first, second = (
                np.logaddexp.reduce(log_likelihood[..., which] + log_count, axis=-1)
                - np.logaddexp.reduce(log_count)
                for which, log_count in sides
            )
            return first - second

        return pool(groups[a]), pool(groups[b]), odds

    def place(a: int, b: int) -> float:
        """Where the two merge, on the coordinate; lowest where they are one."""
        first, second, odds = between(a, b)
        sides = [purities(draws, odds).mean(axis=0) for draws in (first, second)]
        phi = np.mean(sides, axis=0)
        where = crossing_place(found.coordinate, phi, level)
        return where if np.isfinite(where) else -np.inf

    names = list(groups)
    places = {(a, b): place(a, b) for i, a in enumerate(names) for b in names[i + 1 :]}
    first, second, times = [], [], []
    for node in range(of.num_classes, of.num_classes + len(names) - 1):
        a, b = min(places, key=lambda pair: (places[pair], pair))
        phi, blocks = pair_blocks(*between(a, b))
        times.append(
            read_off(found.coordinate, phi, blocks, found.batches, level, found.clock)
        )
        first.append(a)
        second.append(b)
        groups[node] = groups.pop(a) + groups.pop(b)
        places = {pair: p for pair, p in places.items() if not {a, b} & {*pair}}
        places |= {(c, node): place(c, node) for c in groups if c != node}
    return MergeTree(np.array(first, int), np.array(second, int), stack(times))
