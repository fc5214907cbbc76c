"""Three nested features: each is forgotten, and decided, in a window of its own."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import unstack, windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.plots import timeline as timeline_figure
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row
from jaxwin.report.reproduce._comparison import (
    OU_TIME,
    SOURCE,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture

HALF_DISTANCES = (100.0, 10.0, 1.0)
DIMENSION, PATHS, SHOWN = 32, 512, 5
TIMES = np.array([0, 0.5, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6])
FINE = np.linspace(0, 8, 161)
# Corners with the signs of the first, the first two, all three features of corner 0.
KEPT = {"keep 1": [0, 1, 2, 3], "keep 1, 2": [0, 1], "keep all": [0]}
TREE = [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def law(seed: int) -> GaussianMixture:
    """The corners of a box along directions drawn at random."""
    generator = np.random.default_rng(seed)
    directions = generator.standard_normal((DIMENSION, len(HALF_DISTANCES)))
    return windows.hypercube(HALF_DISTANCES, basis=np.linalg.qr(directions)[0])


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """Survival by a Kronecker product of three closed forms."""
    features = [
        windows.confusion(windows.hypercube([a]), times) for a in HALF_DISTANCES
    ]
    joint = windows.kronecker_confusion(features)
    kept = windows.survival(joint, list(KEPT.values())).survival
    return dict(zip(KEPT, kept, strict=True))


def measure(measuring: Measuring) -> Comparison:
    """Simulated U-turns in all dimensions, with soft labels where they end."""
    seen = Observed(law(measuring.seed), Gaussian())
    options = measuring.options("U-turns", measuring.keys(2)[0])
    turned = windows.confusion(seen, TIMES, method="simulated", **options)
    kept = windows.survival(turned, list(KEPT.values()))
    sampled = dict(zip(KEPT, zip(kept.survival, kept.stderr, strict=True), strict=True))
    method = f"simulated U-turns in {DIMENSION} dimensions"
    return compare(TIMES, FINE, known, sampled, measuring.count, method)


def decisions(measuring: Measuring) -> windows.Timeline:
    """Samples followed from noise to data, by exact reverse transitions."""
    mixture = law(measuring.seed)
    return windows.decision_timeline(
        mixture,
        windows.Tree.nested(TREE, mixture.num_labels),
        np.linspace(0.02, 8, 240),
        num_samples=PATHS,
        shown=SHOWN,
        key=measuring.keys(2)[1],
    )


def _study(measuring: Measuring) -> Study:
    found, line = measure(measuring), decisions(measuring)
    middles = unstack(windows.half_flip_time(jnp.asarray(HALF_DISTANCES)))
    quantiles = windows.decision_law(line)
    # The first node of each size: one feature, two, all three.
    nodes = [line.tree.groups.sum(axis=1).tolist().index(size) for size in (4, 2, 1)]
    rows = [
        {
            "half_distance": a,
            "middle": middle.to_json(),
            "decided": {
                f"{q:g}": time.to_json()
                for q, time in zip(
                    quantiles.quantile, _times(quantiles, node), strict=True
                )
            },
            "earlier": float(quantiles.earlier[node]),
        }
        for a, middle, node in zip(HALF_DISTANCES, middles, nodes, strict=True)
    ]
    table = comparison_table(
        f"Features at ±100, ±10, ±1: survival after a U-turn; {found.count:,} draws",
        "T",
        found,
    )
    table.add_section()
    add_row(table, "feature", "half flip", "decided, median", "", "")
    median = int(np.argmin(np.abs(quantiles.quantile - 0.5)))
    for a, middle, node in zip(HALF_DISTANCES, middles, nodes, strict=True):
        decided = _times(quantiles, node)[median]
        add_row(table, f"±{a:g}", str(middle), str(decided), "", "")
    names = [_name(line.tree.group(node)) for node in range(line.tree.num_nodes)]
    return suite_study(
        ENTRY.name,
        {"comparison": found, "timeline": line, "decisions": quantiles},
        {"features": rows},
        {
            "survival": drawn(
                found,
                OU_TIME,
                "features kept",
                marks=[("", float(time.time)) for time in middles],
            ),
            "timeline": timeline_figure(line, names),
        },
        table,
    )


def _times(quantiles: windows.DecisionLaw, node: int) -> list[Any]:
    return unstack(jax.tree.map(lambda leaf: leaf[node], quantiles.time))


def _name(group: list[int]) -> str:
    """The signs that the corners of a node share."""
    bits = len(HALF_DISTANCES) - int(np.log2(len(group)))
    signs = "".join("+-"[group[0] >> (2 - i) & 1] for i in range(bits))
    return signs or "all"


ENTRY = Entry(
    name="critical-windows-hierarchy",
    title="Three nested features: survival by Kronecker products, decision timelines",
    source=f"{SOURCE}, Definition 8 and Corollary 1",
    published="none available",
    make=_study,
)
