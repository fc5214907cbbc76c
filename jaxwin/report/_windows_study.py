"""What the windows of a law say: numbers, figures and the table of the terminal."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxwin.analysis import Crossing, unstack, windows
from jaxwin.plots import (
    agreement as agreement_figure,
    certificate as certificate_figure,
    merge_tree as merge_tree_figure,
    short,
    survival as survival_figure,
    timeline as timeline_figure,
)
from jaxwin.report._diagnose import pair_crossings
from jaxwin.report._fairness import (
    fairness_figures,
    fairness_rows,
    fairness_summary,
)
from jaxwin.report._membership import (
    membership_figures,
    membership_rows,
    membership_summary,
)
from jaxwin.report._study import Study
from jaxwin.report._windows_result import Windows
from jaxwin.report._windows_table import LONGEST, MOST_ROWS, windows_table

if TYPE_CHECKING:
    import matplotlib.figure

SENTENCE = (
    "Two equal groups of one variance, far apart, have a window of constant width in "
    "OU time; it is narrow only relative to its place, which grows with the logarithm "
    "of their separation."
)


def windows_study(found: Windows) -> Study:
    """All that a command saves and prints."""
    rows = [_rows(found)]
    summary = _summary(found)
    if found.fairness is not None:
        summary["fairness"] = fairness_summary(found.fairness)
        rows.append(fairness_rows(found.fairness))
    if found.membership is not None:
        summary["membership"] = membership_summary(found.membership)
        rows.append(membership_rows(found.membership))
    points = "" if found.num_points is None else f"n = {found.num_points:,}, "
    kernel = "" if found.bandwidth is None else f", kernel {found.bandwidth:.3g}"
    return Study(
        command="windows",
        title=found.name,
        results=found,
        summary=summary,
        figures=_figures(found),
        table=windows_table(
            f"{found.name}: {points}d = {found.dimension:,}{kernel}, "
            f"ε = {found.epsilon:g}",
            summary["windows"],
            [short(name, LONGEST) for name in node_names(found)],
            [row for row in rows if row],
            f"{_of_tree(found)} {SENTENCE}",
        ),
        largest_error=float(np.nanmax(found.survival.stderr, initial=0.0)),
        count=0 if found.agreement is None else found.agreement.count,
    )


def node_names(found: Windows) -> list[str]:
    """Of every node of the tree: its classes, or those of the root it lacks."""
    tree = found.tree.tree
    names = []
    for node in range(tree.num_nodes):
        group = tree.group(node)
        rest = [c for c in tree.labels if c not in group]
        few = group if not rest or len(group) <= 2 * len(rest) else rest
        joined = " + ".join(found.classes[c] for c in few)
        names.append(joined if few is group else f"all but {joined}")
    return names


def _of_tree(found: Windows) -> str:
    return f"Tree of groups: {found.tree.answer}, by {found.tree.method}."


def _rows(found: Windows) -> list[tuple[str, Crossing]]:
    """Where classes, then groups, are half forgotten."""
    names, middle = node_names(found), unstack(found.survival.middle)
    order = range(found.tree.tree.root)[:MOST_ROWS]
    rows = [
        (f"{short(names[node], LONGEST)}: half forgotten", middle[node])
        for node in order
    ]
    if found.rate is not None:
        rows.append(("class told fastest", found.rate.peak.time))
    return rows


def _summary(found: Windows) -> dict[str, Any]:
    """Documented keys of `summary.json`.

    windows: one entry a node of the tree but the root, `group` within `parent`:
    `T_after`, `T_before` of Definition 4 with the `answer`; `T_end_pair` (of the pair
    of its classes that is last told apart) and `T_start` of the node in the tree with
    `node_answer`; `early`, `middle`, `late` where a U-turn keeps
    95, 50 and 5 % of what it can lose; `width` = T_before - T_after in OU time and
    `relative` = width / T_before, both null without a window; `largest_inside`, the
    largest separation of class means in the
    parent, `smallest_outside`, that from the group to the rest. tree: answer of the
    whole tree, by `tree_method`. certificate: smallest U(T) of the U-turn with its
    `error`, the time `best_T`, and the lower bound there; a sampled one is chosen on
    one half of the draws and read on the other. Where more noise (or less) is always
    better `best_T` is not found and the bounds are those at that end. timeline:
    decision times, quantiles of each node. class_rate: where the information about the
    class is taken fastest, and at which rate in nats.
    """
    entries = []
    names, tree = node_names(found), found.tree.tree
    lists = {
        "T_after": found.after,
        "T_before": found.before,
        "T_end_pair": found.tree.end,
        "T_start": found.tree.start,
        "early": found.survival.early,
        "middle": found.survival.middle,
        "late": found.survival.late,
    }
    times = {key: unstack(crossings) for key, crossings in lists.items()}
    for node in range(tree.root):
        entry: dict[str, Any] = {
            "group": [found.classes[c] for c in tree.group(node)],
            "parent": [found.classes[c] for c in tree.group(int(tree.parent[node]))],
            "answer": found.answers[node],
            "node_answer": found.tree.answers[node],
        }
        entry |= {key: times[key][node].to_json() for key in times}
        width = relative = None
        if found.answers[node] == "window":
            end = float(found.before.time[node])
            width = end - float(found.after.time[node])
            relative = width / end
        entry |= {"width": width, "relative": relative}
        for key, values in (
            ("largest_inside", found.inside),
            ("smallest_outside", found.outside),
        ):
            entry[key] = None if values is None else float(values[node])
        entries.append(entry)
    agreement = found.agreement
    return {
        "name": found.name,
        "n": found.num_points,
        "d": found.dimension,
        "classes": list(found.classes),
        "epsilon": found.epsilon,
        "bandwidth": found.bandwidth,
        "method": found.method,
        "confusion_method": found.confusion.method,
        "windows": entries,
        "tree": found.tree.answer,
        "tree_method": found.tree.method,
        "sentence": SENTENCE,
        "certificate": _certificate(found),
        "t_phi": None if agreement is None else agreement.crossing.to_json(),
        "t_phi_pairs": {
            key: time.to_json()
            for key, time in pair_crossings(agreement, found.classes).items()
        },
        "timeline": _timeline(found, names),
        "class_rate": _rate(found),
    }


def _certificate(found: Windows) -> dict[str, Any] | None:
    certificate = found.certificate
    if certificate is None or certificate.best is None:
        return None
    best = certificate.best
    return {
        "initial": [found.classes[c] for c in found.turn[0]],
        "target": [found.classes[c] for c in found.turn[1]],
        "best_T": best.time.to_json(),
        "upper": float(best.upper),
        "lower": float(best.lower),
        "error": float(best.error),
        "method": certificate.method,
    }


def _timeline(found: Windows, names: list[str]) -> dict[str, Any] | None:
    """Median and central 90 % of the decision times of each node's samples."""
    line = found.timeline
    if line is None:
        return None
    entries = {}
    for node in range(line.tree.root):
        state = line.state[:, node]
        within = np.asarray(line.decision.time)[state == windows.WITHIN, node]
        on = int(np.sum(state != windows.OFF_BRANCH))
        quantiles = None
        if within.size:
            quantiles = [float(q) for q in np.quantile(within, [0.05, 0.5, 0.95])]
        entries[names[node]] = {
            "samples": on,
            "decided": int(np.sum(np.isin(state, (windows.WITHIN, windows.EARLIER)))),
            "quantiles": quantiles,
        }
    return {"level": line.level, "nodes": entries, "method": line.method}


def _rate(found: Windows) -> dict[str, Any] | None:
    if found.rate is None:
        return None
    peak = found.rate.peak
    return {
        "time": peak.time.to_json(),
        "rate": float(peak.rate),
        "stderr": float(peak.stderr),
        "method": found.rate.method,
    }


def _figures(found: Windows) -> "dict[str, matplotlib.figure.Figure]":
    names, tree = node_names(found), found.tree.tree
    leaves = [n for n in range(tree.root) if tree.groups[n].sum() == 1]
    groups = [n for n in range(tree.root) if tree.groups[n].sum() > 1]
    # Groups in their windows; single classes where there are no groups.
    after, before = unstack(found.after), unstack(found.before)
    shaded, seen = [], set()
    for n in groups or leaves:
        ends = float(after[n].time), float(before[n].time)
        # Two classes have one window.
        if found.answers[n] == "window" and ends not in seen:
            shaded.append((names[n], after[n], before[n]))
            seen.add(ends)
    drawn = {
        "survival": survival_figure(
            _some(found.survival, leaves), [names[n] for n in leaves], shaded
        )
    }
    if len(groups) > 0:
        drawn["groups"] = survival_figure(
            _some(found.survival, groups), [names[n] for n in groups], shaded
        )
    if found.certificate is not None:
        drawn["certificate"] = certificate_figure(found.certificate, found.exact)
    if found.timeline is not None and len(found.timeline.posterior):
        drawn["timeline"] = timeline_figure(found.timeline, names)
    if found.agreement is not None:
        drawn["agreement"] = agreement_figure(found.agreement, found.classes)
    if found.merges is not None:
        drawn["merge_tree"] = merge_tree_figure(found.merges, found.classes)
    if found.fairness is not None:
        drawn |= fairness_figures(found.fairness)
    if found.membership is not None:
        drawn |= membership_figures(found.membership)
    return drawn


def _some(survival: windows.Survival, nodes: list[int]) -> windows.Survival:
    """The curves of some sets."""
    import jax

    rows = np.asarray(nodes)
    pick = lambda leaf: leaf[rows]
    parts = {
        name: jax.tree.map(pick, getattr(survival, name))
        for name in (
            "early",
            "middle",
            "late",
            "survival",
            "stderr",
            "normalised",
            "weight",
        )
    }
    return windows.Survival(noise=survival.noise, **parts)
