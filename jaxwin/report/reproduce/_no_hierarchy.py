"""Controls without a hierarchy: which peaks of chi are evidence of one."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import hierarchy
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import BRACKETS, add_row, in_brackets, plain_table
from jaxwin.report.reproduce._entry import Entry
from jaxwin.report.reproduce._no_hierarchy_figures import FIELD, chi_of, peak_places
from jaxwin.report.reproduce._no_hierarchy_measured import (
    Case,
    Control,
    chain,
    control,
    flat,
)
from jaxwin.report.reproduce._rhm import SOURCE_CHANGES, draw, tree

TABLES, FIELD_SITES = 8, 256
# Symbols that are seen of a flat mixture, on average: a few tell its class.
SEEN = (51.2, 25.6, 10.24, 5.12, 2.56, 1.28, 0.0)
FLAT, PAIR, CHAIN, TREE = "flat, K = 32", "flat, K = 2", "chain", "hierarchy"
CHAIN_NOISES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0)
FULL_TREE = (0.1, 0.16, 0.2, 0.23, 0.26, 0.29, 0.32, 0.36, 0.45, 0.6, 0.8, 1.0)
QUICK_TREE = (0.2, 0.3, 0.38, 0.44, 0.5, 0.56, 0.65, 0.8, 1.0)
FINDING = (
    "A peak of pooled χ is no evidence of a hierarchy: that of a flat mixture of 32 "
    "classes peaks before full noise. Nor is a peak within starts, nor that it grows "
    "with d: the flat mixture's does, while it slides to full noise, always at the "
    "same few symbols seen. A peak within starts that stays inside as d grows, and "
    "from which χ falls back on both sides, is: a chain's stays, but hardly exceeds "
    "what is there at full noise. The height of a hierarchy's peak grows without end "
    "only for ν < 2; for ν > 2 it saturates."
)


def cases(quick: bool) -> list[Case]:
    """Laws and sizes: the first of each family is the one that all are compared at."""

    def of_flat(classes: int, sites: int, starts: int) -> Case:
        seen = (0.4 * sites, 0.2 * sites, *SEEN) if sites > 256 else SEEN
        noises = tuple(1 - n / sites for n in seen)
        name = FLAT if classes == 32 else PAIR
        return Case(
            name, lambda seed: flat(classes, sites, seed), sites, noises, starts
        )

    def of_chain(sites: int, starts: int) -> Case:
        return Case(CHAIN, lambda _: chain(sites), sites, CHAIN_NOISES, starts)

    def of_tree(depth: int, starts: int) -> Case:
        shape = (16, 4, 2, depth) if quick else (32, 8, 2, depth)
        law = lambda seed: draw(tree(*shape), jr.fold_in(jr.key(depth), seed))
        noises = QUICK_TREE if quick else FULL_TREE
        return Case(TREE, law, 2**depth, noises, starts)

    if quick:
        flats = [of_flat(32, 512, 256), of_flat(32, 64, 512)]
        chains = [of_chain(256, 256), of_chain(64, 512)]
        trees = [of_tree(6, 512), of_tree(4, 1024)]
    else:
        flats = [of_flat(32, 512, 512)]
        flats += [of_flat(32, sites, 256) for sites in (64, 256, 1024)]
        chains = [of_chain(512, 256), of_chain(128, 512)]
        trees = [of_tree(10, 256), of_tree(8, 512), of_tree(6, 512)]
    return [*flats, of_flat(2, 512, 256), *chains, *trees]


def field_chi(noise: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Exact chi of a Gaussian field on a ring, at noises 1 - abar."""
    spectrum = hierarchy.ring_spectrum(FIELD_SITES)
    chi = lambda abar: hierarchy.field_susceptibility(spectrum, abar)
    return np.asarray(jax.vmap(chi)(jnp.asarray(1 - noise)), float)


def _study(measuring: Measuring) -> Study:
    """Measure all laws.

    Keys of `summary.json`: `finding`; `laws`, each with `family`, `sites`, `tables`,
    `turns`, `noise` (masked fraction), `class_kept`, `chi`, `chi_within`, `chi_static`
    with `_stderr` (over tables), `pooled_top` and `within_top` {noise, low, high,
    value, stderr, rise, rise_stderr}; `gaussian_field` {noise = 1 - abar, chi}.
    """
    asked = cases(measuring.quick)
    keys = measuring.keys(len(asked))
    found = {
        case.name: control(case, TABLES, measuring, key)
        for case, key in zip(asked, keys, strict=True)
    }
    of = lambda family: sorted(
        (one for one in found.values() if one.family == family), key=lambda c: c.sites
    )
    families = FLAT, PAIR, CHAIN, TREE
    # Those of the first size asked for.
    shown = [next(one for one in found.values() if one.family == f) for f in families]
    noise = np.append(1 - np.geomspace(1, 1e-4, 121), 1)
    exact = field_chi(noise)
    figures = {
        "pooled": chi_of(shown, "chi", (1 - noise, exact)),
        "within": chi_of(shown, "chi_within"),
    }
    for name, family in (("flat", FLAT), ("chain", CHAIN), ("hierarchy", TREE)):
        figures[f"scaling_{name}"] = chi_of(of(family), "chi_within", sizes=True)
    figures["peaks"] = peak_places(
        {family: of(family) for family in (FLAT, CHAIN, TREE)}
    )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={f"law_{i}": one for i, one in enumerate(found.values())},
        summary={
            "finding": FINDING,
            "laws": [one.to_json() for one in found.values()],
            "gaussian_field": {"noise": noise.tolist(), "chi": exact.tolist()},
        },
        figures=figures,
        table=_table([one for family in families for one in of(family)], exact[-1]),
        largest_error=max(float(c.class_kept_stderr.max()) for c in found.values()),
        count=max(one.turns for one in found.values()),
    )


def _table(laws: Sequence[Control], field_top: float) -> Any:
    columns = ["law", "d", "pooled χ", "at", "less full", "within", "at", "less full"]
    table = plain_table(
        f"Peaks of χ under masking, {TABLES} tables of each law",
        [*columns, "seen"],
        f"Less full: less χ with nothing seen. Seen: symbols at the peak. {BRACKETS}\n"
        f"{FINDING}",
    )
    for one in laws:
        cells: list[str] = []
        for top in (one.pooled_top, one.within_top):
            cells += [in_brackets(top.value, top.stderr), f"{top.noise:.4g}"]
            ends = top.noise == one.noise[-1]
            cells.append("–" if ends else in_brackets(top.rise, top.rise_stderr))
        seen = f"{one.sites * (1 - one.within_top.noise):.3g}"
        add_row(table, one.family, str(one.sites), *cells, seen)
    add_row(table, FIELD, str(FIELD_SITES), f"{field_top:.4f}", "1", "–", *[""] * 4)
    return table


ENTRY = Entry(
    name="hierarchy-controls",
    title="chi without a hierarchy: flat mixtures, a chain, a Gaussian field",
    source=f"{SOURCE_CHANGES} and its reviews; the split and the sizes derived",
    published="none available",
    make=_study,
)
