"""A merge tree in words, for those who cannot see its picture."""

from collections.abc import Sequence

from jaxwin.analysis import unstack
from jaxwin.analysis.speciation import MergeTree
from jaxwin.report._words import reading

# So many merges are told from each end.
ENDS = 4


def tree_words(tree: MergeTree, classes: Sequence[str]) -> str:
    """Which groups join at which noise: all merges, or the first and the last few."""
    groups = [[name] for name in classes]
    told = []
    merges = zip(tree.first, tree.second, unstack(tree.time), strict=True)
    for a, b, crossing in merges:
        time = crossing.to_json()
        when = f"at {reading(time)}" if time["found"] else "at every noise"
        told.append(f"{_group(groups[a])} and {_group(groups[b])} merge {when}")
        groups.append(groups[a] + groups[b])
    if len(told) > 2 * ENDS:
        told = [*told[:ENDS], f"{len(told) - 2 * ENDS} more merge", *told[-ENDS:]]
    return f"From data to noise: {'; '.join(told)}." if told else "Nothing merges."


def _group(names: Sequence[str]) -> str:
    """A group by the names of its classes, if they are few."""
    if len(names) > ENDS:
        return f"a group of {len(names)} ({names[0]} and others)"
    return "+".join(names)
