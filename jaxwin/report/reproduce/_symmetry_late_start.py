"""Quality against the start, and whether the automatic start is a good one."""

from typing import Any

import numpy as np

from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._late_start_laws import THREE, TWO
from jaxwin.report.reproduce._symmetry_late_start_figures import (
    exact_figure,
    quality_figure,
    starts_figure,
    steps_figure,
)
from jaxwin.report.reproduce._symmetry_late_start_measured import (
    STEPS,
    Late,
    laws,
    measure,
    root,
)
from jaxwin.report.reproduce._symmetry_potential import SOURCE

# Where the published curves of FID against the start bend most, read off the figure.
PUBLISHED = {"MNIST": 400.0, "CIFAR-10": 400.0, "ImageNet64": 500.0, "CelebA64": 500.0}


def _study(measuring: Measuring) -> Study:
    """Late starts on five laws (the quick form: two), ten steps of DDIM.

    Keys of `summary.json`: `steps`; `published_elbows` (indices, read off the figure);
    `laws`, by name: `method` of the exact law; `automatic` (`time`, `start`, `bound`,
    `said`), `elbow` of the exact weight error and `elbow_of_frechet` of the sweep,
    `best` (index), `ratio` (`value`, `stderr`, `resolved`) of the root of the energy
    distance, automatic over best, `misplaced_at_elbow` by the vanilla start; `points`,
    by start: `start`, `vanilla`, `gaussian` (`value`, `stderr`). Of two clusters
    also `critical` (index of the symmetric law) and `elbow_bias` (elbow over critical,
    less one); of three components `steps`, by number of steps: the root of the energy
    distance `at_automatic` and `least`.
    """
    given = laws(measuring.quick)
    keys = measuring.keys(len(given))
    found = {
        name: measure(name, law, measuring, key)
        for key, (name, law) in zip(keys, given.items(), strict=True)
    }
    figures = {
        f"quality_{_key(name)}": quality_figure(one) for name, one in found.items()
    }
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=_results(found),
        summary={
            "steps": STEPS,
            "published_elbows": PUBLISHED,
            "laws": {name: _told(one) for name, one in found.items()},
        },
        figures=figures
        | {
            "exact_two_clusters": exact_figure(found[TWO]),
            "steps_three_components": steps_figure(found[THREE]),
            "starts": starts_figure(found, PUBLISHED),
        },
        table=_table(found),
    )


def _key(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_").lower()


def _results(found: dict[str, Late]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, one in found.items():
        key = f"law_{_key(name)}"
        results |= {f"{key}_{kind}": exact for kind, exact in one.exact.items()}
        results[f"{key}_agreement"] = one.agreed
        results[f"{key}_vanilla_sweep"] = one.vanilla
        results |= {f"{key}_{n}_steps": found for n, found in one.steps.items()}
    return results


def _told(one: Late) -> dict[str, Any]:
    chosen, agreed = one.agreed.automatic, one.agreed
    value, error = root(one.vanilla.measured("energy"))
    pair = lambda value, error: {"value": float(value), "stderr": float(error)}
    quality = agreed.quality
    told: dict[str, Any] = {
        "method": one.exact["gaussian"].method,
        "automatic": {
            "time": chosen.time,
            "start": chosen.start.to_json(),
            "bound": chosen.bound,
            "said": chosen.said,
        },
        "elbow": chosen.elbow.to_json(),
        "elbow_of_frechet": one.elbow.to_json(),
        "misplaced_at_elbow": _misplaced_at_elbow(one),
        "best": agreed.best,
        "ratio": {
            "value": float(agreed.ratio) if agreed.resolved else None,
            "stderr": float(agreed.stderr) if agreed.resolved else None,
            "resolved": agreed.resolved,
        },
        "points": [
            {
                "start": float(start),
                "vanilla": pair(value[i], error[i]),
                "gaussian": pair(quality.value[i], quality.stderr[i]),
            }
            for i, start in enumerate(agreed.sweep.start)
        ],
    }
    if one.critical is not None:
        told["critical"] = one.critical.to_json()
        told["elbow_bias"] = _bias(one)
    if one.steps:
        told["steps"] = _by_steps(one)
    return told


def _by_steps(one: Late) -> dict[str, Any]:
    """At the automatic start, and at the best one of each."""
    start, agreed = one.agreed.sweep.start, one.agreed
    at = int(np.searchsorted(start, np.ceil(agreed.automatic.time)))
    told = {}
    for n, found in sorted({STEPS: agreed.sweep, **one.steps}.items()):
        value, error = root(found.measured("energy"))
        least = int(np.argmin(found.measured("energy").value))
        told[str(n)] = {
            "at_automatic": {"value": float(value[at]), "stderr": float(error[at])},
            "least": {
                "start": float(start[least]),
                "energy": float(found.measured("energy").value[least]),
                "stderr": float(found.measured("energy").stderr[least]),
            },
        }
    return told


def _misplaced_at_elbow(one: Late) -> float | None:
    elbow = one.agreed.automatic.elbow
    if not bool(elbow.found):
        return None
    noise = one.exact["vanilla"].noise
    return float(np.interp(float(elbow.time), noise, one.error))


def _bias(one: Late) -> float | None:
    """How far the elbow lies beyond the critical time."""
    elbow, critical = one.agreed.automatic.elbow, one.critical
    if critical is None or not bool(elbow.found & critical.found):
        return None
    return float(elbow.time / critical.time) - 1


def _table(found: dict[str, Late]) -> Any:
    table = plain_table(
        f"Late starts: DDPM index, {STEPS} steps of DDIM from a Gaussian start",
        ["law", "automatic", "best", "elbow", "misplaced", "ratio"],
        "automatic: weights within 1 % and TV within 0.15; best: smallest energy "
        "distance of a sweep; elbow: of the exact weight error of the vanilla start, "
        "of which it misplaces so much there; ratio of roots of energy distances, "
        "automatic over best, –: the best is right to what was drawn. FID bends at 400 "
        "on MNIST and CIFAR-10 and at 500 on ImageNet64 and CelebA64 (published).",
    )
    for name, one in found.items():
        agreed, at = one.agreed, _misplaced_at_elbow(one)
        elbow = agreed.automatic.elbow
        ratio = in_brackets(float(agreed.ratio), float(agreed.stderr))
        add_row(
            table,
            name,
            f"{agreed.automatic.time:.0f}",
            f"{agreed.best:.0f}",
            f"{float(elbow.time):.0f}" if bool(elbow.found) else "–",
            "–" if at is None else f"{at:.3f}",
            ratio if agreed.resolved else "–",
        )
    two = found[TWO]
    bias = _bias(two)
    if two.critical is not None and bias is not None:
        table.caption = (
            f"{table.caption} On {TWO} the symmetric law is critical at "
            f"{float(two.critical.time):.0f}: the elbow is {100 * bias:.0f} % late."
        )
    left = {n: row["at_automatic"] for n, row in _by_steps(found[THREE]).items()}
    said = (f"{row['value']:.3f} after {n}" for n, row in left.items())
    table.caption = (
        f"{table.caption} On {THREE} the automatic start leaves a root of "
        f"{', '.join(said)} steps: what does not fall is the start's own error, within "
        "its bounds, and a sampler this exact would rather start at more noise."
    )
    return table


ENTRY = Entry(
    name="symmetry-late-start",
    title="Quality against the start on five laws; the automatic start and the elbow",
    source=f"{SOURCE}, section 5 (FID against the start)",
    published="curve",
    make=_study,
)
