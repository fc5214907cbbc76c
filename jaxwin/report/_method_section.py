"""Every time on every clock, and how all of it was computed."""

from jaxwin._files import provenance
from jaxwin.report._facts import CLOCKS, COLLAPSE, CONVENTIONS, Facts
from jaxwin.report._html import bullets, code, escape, paragraph, section, table
from jaxwin.report._words import reading, symbol


def clocks(known: Facts) -> str:
    """The table of every time on every clock; pairs have theirs above."""
    times = known.numbers["clocks"]
    labels = {
        f"t_S {key}": f"t<sub>S</sub>, {text}" for key, text in CONVENTIONS.items()
    }
    if "t_phi_all" in times["ou"]:
        labels["t_phi_all"] = "t<sub>φ</sub>, all classes"
    labels |= {key: symbol(key) for key in COLLAPSE}
    without_classes = ("t_S mean", "t_S curvature", "t_S potential")
    if len(known.diagnosis.classes) < 2:
        labels = {k: v for k, v in labels.items() if k not in without_classes}
    rows = [
        [label, *(reading(times[clock][key], clock) for clock in CLOCKS)]
        for key, label in labels.items()
    ]
    pairs = "Pairs of classes: see the table of pairs above." if known.pairs else ""
    return section(
        "clocks",
        "Every time on every clock",
        table(
            "At equal signal-to-noise ratio",
            ["Time", *CLOCKS.values()],
            rows,
            "wide",
        ),
        paragraph(
            pairs,
            "DDPM indices are 0-based as in diffusers: index i follows i + 1 noising "
            "steps, −1 is clean, and between whole indices log ᾱ is linear. EDM: x = "
            "x<sub>0</sub> + σz. Flow: x = (1 − u)x<sub>0</sub> + uz, u = 0 clean.",
            kind="soft",
        ),
    )


def method(known: Facts, command: str | None) -> str:
    """How it was computed, with what, and how to repeat it."""
    d, made = known.diagnosis, provenance()
    curves = [f"Collapse: {escape(d.collapse.method)}; {d.collapse.count:,} replicas."]
    if d.agreement is not None:
        how = escape(d.agreement.method)
        curves.insert(0, f"φ: {how}; {d.agreement.count:,} replicas.")
    versions = ", ".join(
        f"{name} {escape(made[name])}"
        for name in ("jaxwin", "jax", "jaxlib", "numpy", "python")
    )
    items = [
        *curves,
        "t<sub>gauss</sub> is computed from the spectrum, without sampling.",
        "± is one standard error. Intervals of t<sub>φ</sub> and of the collapse times "
        "are 95 %, by a bootstrap of whole curves, and hold these data fixed.",
        "Errors of t<sub>S</sub> are over fresh data of the same size, to first order.",
        f"{escape(d.precision)}, seed {d.seed}, on {escape(made['devices'])} "
        f"({escape(made['platform'])}).",
        f"{versions}; {escape(_plain_time(made['time']))}.",
        "All numbers: <code>summary.json</code>; all curves: <code>results.nc</code>.",
    ]
    return section(
        "method",
        "How it was computed",
        bullets(items),
        paragraph("To repeat it, in the folder of the data:"),
        code(command or known.diagnosis.call),
    )


def _plain_time(stamp: str) -> str:
    return stamp.replace("T", " ").replace("+00:00", " UTC")
