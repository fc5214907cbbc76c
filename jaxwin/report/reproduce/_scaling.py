"""The clone curves of all dimensions on one axis: the universal curve."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxwin.analysis import speciation
from jaxwin.io import field
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row, plain_table
from jaxwin.report.reproduce._clones import TIMES, measure
from jaxwin.report.reproduce._entry import Entry


class Scaling(eqx.Module):
    """Clone agreement against t - t_S, and how far dimensions share one curve.

    Times of one dimension share random numbers: chi^2 over them scatters by more than
    that of independent points.
    """

    collapse: speciation.ScalingCollapse
    dimension: Int[np.ndarray, " d"] = field(("dimension",), "")
    t_S: Float[np.ndarray, " d"] = field(("dimension",), "OU time", "log(d) / 2")
    width: Float[np.ndarray, " d"] = field(
        ("dimension",), "OU time", "from phi = 0.9 to 0.6"
    )
    share: Float[np.ndarray, " d"] = field(("dimension",), "", "width / t_S")


def _study(measuring: Measuring) -> Study:
    clones = measure(measuring)
    d, t_S = clones.dimension, clones.t_S
    windows = [speciation.window(float(one)) for one in d]
    found = Scaling(
        collapse=speciation.scaling_collapse(
            [TIMES] * d.size, list(clones.phi), list(clones.stderr), t_S
        ),
        dimension=d,
        t_S=t_S,
        width=np.array([float(window.width) for window in windows]),
        share=np.array([float(window.share) for window in windows]),
    )
    fine = np.linspace(-3, 4, 141)
    curve = np.asarray(speciation.universal(jnp.asarray(fine)))
    shifted = beside(
        [
            Series(
                f"d = {d[i]}",
                (TIMES - t_S[i], clones.phi[i], clones.stderr[i]),
                (fine, curve) if i == 0 else None,
            )
            for i in range(d.size)
        ],
        "t - t_S, OU time",
        "φ, clones in one class",
        marks=[("t_S", 0.0)],
        xlim=(-3.0, 4.0),
    )
    narrowing = beside(
        [
            Series(
                f"d = {d[i]}",
                (TIMES / t_S[i], clones.phi[i], clones.stderr[i]),
                (1 + fine / t_S[i], curve),
            )
            for i in range(d.size)
        ],
        "t / t_S",
        "φ, clones in one class",
        marks=[("1", 1.0)],
        xlim=(0.0, 2.5),
    )
    collapse = found.collapse
    table = plain_table(
        f"chi² = {collapse.chi_squared:.1f} over {collapse.count} points about the "
        f"universal curve, {clones.pairs:,} pairs a time",
        ["d", "t_S", "width, φ = 0.9 to 0.6", "width / t_S"],
        "The width in OU time does not shrink with d; as a share of t_S it does.",
    )
    rows = []
    for one, time, width, share in zip(d, t_S, found.width, found.share, strict=True):
        add_row(table, str(one), f"{time:.4f}", f"{width:.4f}", f"{share:.4f}")
        rows.append(
            {
                "d": int(one),
                "t_S": float(time),
                "width": float(width),
                "share": float(share),
            }
        )
    return Study(
        command="reproduce",
        title=ENTRY.name,
        results=found,
        summary={
            "pairs": clones.pairs,
            "chi_squared": collapse.chi_squared,
            "count": collapse.count,
            "dimensions": rows,
        },
        figures={"scaling": shifted, "narrowing": narrowing},
        table=table,
        largest_error=float(clones.stderr.max()),
        count=clones.pairs,
    )


ENTRY = Entry(
    name="dynamical-regimes-scaling",
    title="Clone agreement against t - t_S: all dimensions on one curve",
    source="arXiv:2402.18491, section 2",
    published="none available",
    make=_study,
)
