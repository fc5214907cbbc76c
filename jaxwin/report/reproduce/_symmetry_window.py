"""How much of the class is decided while its centre is unstable."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis.symmetry import (
    EntropyShare,
    InstabilityWindow,
    entropy_share,
    instability_window,
    predicted_time,
)
from jaxwin.analysis.windows import expectation
from jaxwin.io import field, to_json
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._symmetry_potential import CLOCK, SOURCE, TIME
from jaxwin.targets import GaussianMixture

if TYPE_CHECKING:
    import matplotlib.figure

CORNERS = np.array([[2.0, 0.5], [2.0, -0.5], [-2.0, 0.5], [-2.0, -0.5]])
WIDTH = 0.04
END = 0.02
TIMES = np.linspace(END, 1.0, 99)


class DecidedWindow(eqx.Module):
    """One label: its entropy along time, and the window in which its centre repels.

    before, inside: shares of H(c) created before the critical time in generation, and
    from there to `END`. growth: of a small distance from the centre in that window, and
    shrink: from s = 1 to it.
    """

    before: EntropyShare
    inside: EntropyShare
    growth: InstabilityWindow
    shrink: InstabilityWindow
    critical: float = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "s")
    left: Float[np.ndarray, " t"] = field(("noise",), "", "H(c | x_s) / H(c)")


def cases() -> dict[str, tuple[GaussianMixture, float, float]]:
    """By name: the law with its label, the label's eigenvalue and width."""
    two = GaussianMixture.isotropic([[1.0], [-1.0]], 0.0)
    long, short = (
        GaussianMixture.isotropic(CORNERS, WIDTH, labels=labels)
        for labels in ([0, 0, 1, 1], [0, 1, 0, 1])
    )
    return {
        "two points": (two, 1.0, 0.0),
        "rectangle, long side": (long, 4.0, WIDTH),
        "rectangle, short side": (short, 0.25, WIDTH),
    }


def measure(law: GaussianMixture, eigenvalue: float, within: float) -> DecidedWindow:
    """All of it, by quadrature."""
    critical = float(predicted_time(eigenvalue, CLOCK, within=within).time)
    line = GaussianMixture.isotropic([[eigenvalue**0.5], [-(eigenvalue**0.5)]], within)
    return DecidedWindow(
        before=entropy_share(law, CLOCK, critical, 1.0),
        inside=entropy_share(law, CLOCK, END, critical),
        growth=instability_window(line, CLOCK, END, critical),
        shrink=instability_window(line, CLOCK, critical, 1.0),
        critical=critical,
        noise=TIMES,
        left=np.array([_left(law, t) for t in TIMES]),
    )


def _left(law: GaussianMixture, t: float) -> float:
    """H(c | x_s) over H(c)."""
    found = expectation(law, *CLOCK.levels(jnp.asarray(t)))
    log_p = np.asarray(found.log_posterior)
    safe = np.where(log_p > -np.inf, log_p, 0)
    entropy = -np.asarray(found.weight) @ np.sum(np.exp(log_p) * safe, axis=1)
    prior = np.asarray(found.log_prior)
    return float(entropy / -np.sum(np.exp(prior) * prior))


def _study(measuring: Measuring) -> Study:
    """The share of each label that is decided in its window of instability.

    Keys of `summary.json`: `end`; `labels`, by name: `critical` (s), `before` and
    `inside` (`share` and entropies), `shrink` and `growth` (factors of a distance).
    """
    del measuring  # exact
    found = {name: measure(*case) for name, case in cases().items()}
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={_key(name): one for name, one in found.items()},
        summary={
            "end": END,
            "labels": {
                name: {
                    "critical": one.critical,
                    "before": to_json(one.before),
                    "inside": to_json(one.inside),
                    "shrink": float(one.shrink.factor),
                    "growth": float(one.growth.factor),
                }
                for name, one in found.items()
            },
        },
        figures={"entropy": _figure(found)},
        table=_table(found),
    )


def _key(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_")


def _figure(found: dict[str, DecidedWindow]) -> "matplotlib.figure.Figure":
    """Dots where the centre becomes unstable."""
    series = []
    for name, one in found.items():
        at = np.array([one.critical])
        share = np.array([one.inside.entropy_high / one.inside.entropy])
        series.append(Series(name, (at, share, np.zeros(1)), (one.noise, one.left)))
    return beside(
        series,
        TIME,
        "H(c | x) / H(c)",
        ylim=(-0.03, 1.05),
        kinds={"measured": "critical time", "predicted": "exact"},
    )


def _table(found: dict[str, DecidedWindow]) -> Any:
    table = plain_table(
        "Class entropy created before and inside the window of instability",
        ["label", "critical s", "before", "inside", "shrinks by", "grows by"],
        f"Shares of H(c), by quadrature, down to s = {END:g}; the last two: a small "
        "distance from the centre, from s = 1 to the critical time, and from there on.",
    )
    for name, one in found.items():
        add_row(
            table,
            name,
            f"{one.critical:.6f}",
            f"{float(one.before.share):.6f}",
            f"{float(one.inside.share):.6f}",
            f"{float(one.shrink.factor):.4g}",
            f"{float(one.growth.factor):.3g}",
        )
    return table


ENTRY = Entry(
    name="symmetry-window",
    title="How much of the class is decided while its centre is unstable",
    source=f"{SOURCE}, section 3 (the window); entropies are ours",
    published="none available",
    make=_study,
)
