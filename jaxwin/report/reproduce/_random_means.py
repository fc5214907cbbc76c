"""One of many components with random means: survival, and windows of two kinds."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import speciation, windows
from jaxwin.channels import Gaussian, Observed
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._comparison import SOURCE
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import GaussianMixture, reduce

DIMENSION, COUNT, EPSILON = 1000, 10, 0.1
DRAWS = 65536
TIMES = np.array([1.5, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 5])
LEVELS = np.linspace(0.5, 8, 61)
FINE = np.linspace(1, 6, 101)


def law() -> GaussianMixture:
    """The means of numpy's default_rng(0)."""
    means = np.random.default_rng(0).standard_normal((COUNT, DIMENSION))
    return GaussianMixture.isotropic(means, 1.0)


class RandomMeans(eqx.Module):
    """Survival of component 0 in K - 1 directions, in all d, and at equal distances.

    survival: by soft labels of points noised in the span of the means, which is exact.
    whole: by simulated U-turns in all dimensions. equal: by quadrature, for means at
    the root mean square of the distances to component 0.
    """

    draws: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    survival: Float[np.ndarray, " t"] = field(("noise",), "probability")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    whole: Float[np.ndarray, " t"] = field(("noise",), "probability")
    whole_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    equal: Float[np.ndarray, " t"] = field(("noise",), "probability")

    @property
    def z(self) -> Float[np.ndarray, " t"]:
        """All dimensions less the span of the means, in standard errors of both."""
        error = np.hypot(self.stderr, self.whole_stderr)
        return (self.whole - self.survival) / np.where(error > 0, error, np.inf)


def measure(measuring: Measuring) -> tuple[RandomMeans, windows.Window]:
    """Survival twice, and the window of Definition 4 by overlaps."""
    mixture, keys = law(), measuring.keys(3)
    seen = Observed(mixture, Gaussian())
    many = dataclasses.replace(measuring, full=DRAWS)
    options = many.options("span of the means", keys[0])
    span = windows.confusion(mixture, TIMES, method="sampled", **options)
    options = measuring.options("all dimensions", keys[1])
    whole = windows.confusion(seen, TIMES, method="simulated", **options)
    small = reduce(mixture)
    assert small is not None
    found = functools.partial(
        windows.overlaps,
        Observed(small.target, Gaussian()),
        LEVELS,
        **many.options("overlaps", keys[2]),
    )
    everything = list(range(COUNT))
    (window,) = windows.measured_windows(
        found, mixture.log_label_prior(), [([0], everything)], EPSILON
    )
    result = RandomMeans(
        noise=TIMES,
        survival=span.matrix[:, 0, 0],
        stderr=span.stderr[:, 0, 0],
        whole=whole.matrix[:, 0, 0],
        whole_stderr=whole.stderr[:, 0, 0],
        equal=_equal(TIMES),
        draws=many.count,
    )
    return result, window


def distances() -> Float[np.ndarray, " k"]:
    """From component 0 to the others."""
    means = np.asarray(law().means)
    return np.linalg.norm(means[1:] - means[0], axis=1)


def _equal(times: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    norm = np.sqrt(np.mean(distances() ** 2) / 2)
    at = jax.vmap(lambda s: speciation.modes_agreement(s, COUNT))
    return np.asarray(at(jnp.asarray(norm * np.exp(-times))))


def _study(measuring: Measuring) -> Study:
    found, sampled = measure(measuring)
    apart, everything = distances(), list(range(COUNT))
    closed = windows.one_of_many(apart.min(), apart.max(), COUNT, EPSILON)
    pairs = windows.window(law(), [0], everything, EPSILON, pairs=True)
    kinds = {
        "Example 2": (closed.after, closed.before),
        "Definition 4, by pairs": (pairs.after, pairs.before),
        "Definition 4, sampled": (sampled.after, sampled.before),
    }
    points = []
    table = plain_table(
        f"One of {COUNT} components in {DIMENSION} dimensions; {found.draws:,} draws",
        ["T", "survival", "all dimensions", "z", "equal distances"],
    )
    rows = zip(
        TIMES,
        found.survival,
        found.stderr,
        found.whole,
        found.whole_stderr,
        found.z,
        found.equal,
        strict=True,
    )
    names = "noise", "survival", "stderr", "whole", "whole_stderr", "z", "equal"
    for row in rows:
        points.append(point := dict(zip(names, map(float, row), strict=True)))
        add_row(
            table,
            f"{point['noise']:g}",
            f"{point['survival']:.5f} ± {point['stderr']:.5f}",
            f"{point['whole']:.4f} ± {point['whole_stderr']:.4f}",
            f"{point['z']:.1f}",
            f"{point['equal']:.5f}",
        )
    table.add_section()
    add_row(table, "", "T_after", "T_before", "", "")
    for name, (after, before) in kinds.items():
        add_row(table, "", str(after), str(before), "", name)
    widths = {
        str(k): float(windows.random_means_width(k, EPSILON)) for k in (COUNT, 100)
    }
    measured = (TIMES, found.survival, found.stderr)
    figure = beside(
        [
            Series("component 0", measured, (FINE, _equal(FINE))),
            Series("all dimensions", (TIMES, found.whole, found.whole_stderr)),
        ],
        "OU time of the U-turn (dotted: T_after, T_before)",
        "survival",
        marks=[
            ("Example 2", float(closed.after.time)),
            ("Def. 4", float(sampled.before.time)),
            ("Example 2", float(closed.before.time)),
        ],
        xlim=(1.0, 7.0),
        ylim=(0.0, 1.03),
    )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results={
            "survival": found,
            "example": closed,
            "pairs": pairs,
            "window": sampled,
        },
        summary={
            "epsilon": EPSILON,
            "nearest": float(apart.min()),
            "furthest": float(apart.max()),
            "windows": {
                name: {"after": after.to_json(), "before": before.to_json()}
                for name, (after, before) in kinds.items()
            },
            "width": float(closed.width),
            "asymptotic_widths": widths,
            "points": points,
            "largest_z": float(np.abs(found.z).max()),
        },
        figures={"survival": figure},
        table=table,
        largest_error=float(found.whole_stderr.max()),
        count=found.draws,
    )


ENTRY = Entry(
    name="critical-windows-random-means",
    title="One of 10 components with random means in 1000 dimensions",
    source=f"{SOURCE}, Example 2 and Definition 4",
    published="none available",
    make=_study,
)
