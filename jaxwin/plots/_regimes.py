from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing, collapse as collapse_results, speciation
from jaxwin.plots._style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    changing_until,
    interval,
    legend,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    import matplotlib.figure


def regimes(
    collapse: collapse_results.CollapseCurve,
    separation: Crossing,
    agreement: speciation.CloneAgreement | None = None,
) -> "matplotlib.figure.Figure":
    """The three regimes of generation: I noise, II decided and new, III a copy.

    I ends where the first pair of classes separates, and III begins at `t_half`. Where
    collapse comes first there is no regime II. Small ticks above are the separations.

    Args:
        collapse: Whose own weight is drawn.
        separation: Times at which pairs of classes separate, or at which the widest
            direction emerges where there are no classes; any axes.
        agreement: Whose phi is drawn.
    """
    own, error = collapse.own_weight, collapse.own_weight_stderr
    found = np.asarray(separation.found, bool)
    apart = np.atleast_1d(separation.time)[np.atleast_1d(found)]
    copies = float(collapse.t_half.time) if bool(collapse.t_half.found) else None
    end = changing_until(collapse.noise, own[None], rest=0.02)
    end = max([end, *(1.25 * apart)])
    end = min(end, float(collapse.noise[-1]))

    figure = new_figure(height=3.2)
    axes = figure.add_subplot()
    _shade(axes, end, apart, copies)
    curves = [("own weight: the clone is a copy", collapse.noise, own, error, BLUE)]
    if agreement is not None:
        noise, phi, spread = agreement.noise, agreement.phi, agreement.stderr
        curves.append(("φ: clones in one class", noise, phi, spread, ORANGE))
    for label, noise, curve, spread, color in curves:
        axes.fill_between(
            noise, curve - spread, curve + spread, color=color, alpha=0.3, linewidth=0
        )
        axes.plot(noise, curve, color=color, linewidth=2, label=label)
    if copies is not None:
        interval(axes, collapse.t_half, 0.5, BLUE)
    for time in apart:
        axes.plot([time] * 2, [1.03, 1.07], color=GREEN, linewidth=1)
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1.18)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("OU time (more noise →)")
    axes.set_ylabel("probability")
    tidy(axes)
    legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def _shade(
    axes: Any, end: float, apart: Float[np.ndarray, " p"], copies: float | None
) -> None:
    """Shade and name the regimes between no noise and `end`."""
    third = 0.0 if copies is None else copies
    second = max([third, *apart])
    for name, low, high, color, alpha in (
        ("III copies", 0.0, third, BLUE, 0.14),
        ("II decided, new", third, second, GREEN, 0.14),
        ("I noise", second, end, INK, 0.1),
    ):
        if not high > low:
            continue
        axes.axvspan(low, high, color=color, alpha=alpha, linewidth=0)
        # A narrow stripe has room for the number alone.
        wide = high - low > 0.022 * len(name) * end
        axes.text(
            (low + high) / 2,
            1.13,
            name if wide else name.split()[0],
            ha="center",
            va="center",
            color=INK,
            fontsize=SMALL,
            fontweight="bold",
        )
