"""All figures that can be remade, by name."""

import difflib
from collections.abc import Sequence
from typing import Any

from jaxwin._checks import BadInput
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report.reproduce import (
    _changes,
    _clones,
    _coins,
    _covariances,
    _curse,
    _datasets,
    _deep_thresholds,
    _depths,
    _excess,
    _fairness_suite,
    _girsanov,
    _hierarchy,
    _levels,
    _log_concave,
    _masking,
    _membership_suite,
    _mixture_trees,
    _mnist,
    _no_hierarchy,
    _phases,
    _random_means,
    _recomposed,
    _scaling,
    _simplex,
    _symmetry_arc,
    _symmetry_bifurcation,
    _symmetry_diversity,
    _symmetry_late_start,
    _symmetry_linear_phase,
    _symmetry_potential,
    _symmetry_reversion,
    _symmetry_samplers,
    _symmetry_window,
    _theorem,
    _time_scale,
    _told,
    _trajectories,
    _two_components,
)

_MODULES = (
    _clones,
    _scaling,
    _excess,
    _phases,
    _trajectories,
    _curse,
    _datasets,
    _mnist,
    _two_components,
    _theorem,
    _hierarchy,
    _mixture_trees,
    _random_means,
    _simplex,
    _girsanov,
    _log_concave,
    _covariances,
    _masking,
    _coins,
    _fairness_suite,
    _membership_suite,
    _levels,
    _deep_thresholds,
    _depths,
    _time_scale,
    _changes,
    _no_hierarchy,
    _recomposed,
    _told,
    _symmetry_potential,
    _symmetry_bifurcation,
    _symmetry_reversion,
    _symmetry_linear_phase,
    _symmetry_window,
    _symmetry_arc,
    _symmetry_late_start,
    _symmetry_samplers,
    _symmetry_diversity,
)
ENTRIES = {module.ENTRY.name: module.ENTRY for module in _MODULES}


def reproduce(name: str, data: Sequence[str] = (), **measuring: Any) -> Study:
    """Remake one figure of a paper.

    Args:
        name: One of `ENTRIES`.
        data: Files of a figure that is made from data.
        measuring: Fields of `Measuring`.

    Raises:
        BadInput: There is no such figure, or data where none are taken.
    """
    if name not in ENTRIES:
        near = difflib.get_close_matches(name, ENTRIES, 1, 0.3)
        hint = f" did you mean {near[0]!r}?" if near else ""
        raise BadInput(
            f"`name` is {name!r}, which is no figure;{hint} see jaxwin reproduce "
            f"--list."
        )
    entry, options = ENTRIES[name], Measuring(**measuring)
    if entry.data:
        return entry.make(tuple(data), options)
    if data:
        raise BadInput(f"`data` is given, and {name} is made without; leave it out.")
    return entry.make(options)


def figures_of_papers() -> str:
    """Every figure, its source, and what of it is published."""
    lines = []
    for entry in ENTRIES.values():
        takes = " --data FILE" if entry.data else ""
        lines.append(f"{entry.name}{takes}")
        lines.append(f"    {entry.title}")
        lines.append(f"    {entry.source}; published: {entry.published}")
    return "\n".join(lines)
