"""What to do: where to start, where to guide, where to step, ready to copy."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxwin.analysis import Crossing
from jaxwin.report._advice import Advice
from jaxwin.report._facts import Facts
from jaxwin.report._html import code, escape, figure, folded, paragraph, section, table
from jaxwin.report._schedules import DDIM_LOOP
from jaxwin.report._words import interval, reading

if TYPE_CHECKING:
    import matplotlib.figure

Figures = Mapping[str, "matplotlib.figure.Figure"]

# The tables of diffusers, as the page names them.
TABLES = {"linear": "linear", "scaled_linear": "scaled linear", "cosine": "cosine"}


def advice_sentence(known: Facts) -> str:
    """The advice in a sentence for the top of the page."""
    advice = known.diagnosis.advice
    start, first, last = (
        reading(found.to_json()) if found is not None and bool(found.found) else ""
        for found in (advice.late_start, advice.guidance_high, advice.guidance_low)
    )
    parts = []
    if start:
        parts.append(f"start at t{_EQUALS}{start} or at more noise")
    if first and last:
        parts.append(f"guide towards a class from {first} down to {last} only")
    steps = len(advice.grid.noise)
    parts.append(f'take the <a href="#advice">grid of {steps} steps</a> below')
    said = ", ".join(parts)
    return f"To sample: <strong>{said}</strong>."


_EQUALS = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"


def advice(known: Facts, figures: Figures) -> str:
    """Late start, guidance interval and grid on the clocks of samplers."""
    given, numbers = known.diagnosis.advice, known.schedule
    return section(
        "advice",
        "What to do",
        _moments(given, numbers),
        paragraph(f"<strong>Late start.</strong> {escape(given.late_start_rule)}"),
        paragraph(f"<strong>Guidance.</strong> {escape(given.guidance_rule)}"),
        _information(known, figures),
        paragraph(f"<strong>Grid.</strong> {escape(given.grid_rule)}"),
        _grid(numbers),
        _code(numbers),
    )


def _moments(given: Advice, numbers: Mapping[str, Any]) -> str:
    """Late start and guidance interval as a table; nothing without classes."""
    interval_of = numbers["guidance_interval"]
    moments = {
        "Late start": (given.late_start, numbers["late_start"]),
        "Guidance from": (given.guidance_high, interval_of["high"]),
        "Guidance to": (given.guidance_low, interval_of["low"]),
    }
    rows = [
        [name, *_moment(crossing, moment)]
        for name, (crossing, moment) in moments.items()
        if crossing is not None
    ]
    head = ["", "OU time<br>(95 %)", *(f"DDPM-1000 {name}" for name in TABLES.values())]
    if not rows:
        return ""
    clipped = any("*" in cell for row in rows for cell in row)
    note = "* Beyond the table: its end stands here." if clipped else ""
    return table("Noises of the advice", [*head, "EDM σ", "flow u"], rows, "wide") + (
        paragraph(note, kind="soft") if note else ""
    )


def _moment(crossing: Crossing, moment: Mapping[str, Any] | None) -> list[str]:
    """One noise on every clock; a dash where there is none."""
    time = crossing.to_json()
    first = f'{reading(time)}<br><span class="soft">{interval(time)}</span>'
    if moment is None:
        return [reading(time), *["–"] * (len(TABLES) + 2)]
    steps = [moment["ddpm_timestep"][name] for name in TABLES]
    return [
        first,
        *(f"{step['timestep']}{' *' * step['clipped']}" for step in steps),
        f"{moment['edm_sigma']:.4g}",
        f"{moment['flow_u']:.4g}",
    ]


def _information(known: Facts, figures: Figures) -> str:
    """How much of the class a noised sample tells."""
    found = known.diagnosis.features[0].information if known.has_classes else None
    if found is None or "information" not in figures:
        return ""
    low, high = (reading(end.to_json()) for end in (found.low, found.high))
    return figure(
        figures["information"],
        "information",
        f"Information about the class against OU time, from "
        f"{float(found.information[0]):.3g} nats at the least noise to "
        f"{float(found.information[-1]):.2g} at full noise, of "
        f"{float(found.entropy):.3g} in all. 95 % is known at {low}, 5 % at {high}.",
        f"Information I(class; x<sub>t</sub>) in a noised sample, H = "
        f"{float(found.entropy):.3g} nats in all: 95 % at {low}, 5 % at {high}.",
    )


def _grid(numbers: Mapping[str, Any]) -> str:
    """The grid as lists to copy, and as a table on demand."""
    grid = numbers["grid"]
    steps = {name: grid["ddpm_timesteps"][name] for name in TABLES}
    lists = [
        (
            "# The next list is cut at the ends of its table.\n"
            if found["clipped"]
            else ""
        )
        + _assign(f"timesteps_{name}", found["timesteps"])
        for name, found in steps.items()
    ]
    lists += [
        _assign("edm_sigmas", grid["edm_sigma"]),
        _assign("flow_u", grid["flow_u"]),
    ]
    clocks = {"ou_time": "OU time", "edm_sigma": "EDM σ", "flow_u": "flow u"}
    columns = [[f"{value:.4g}" for value in grid[key]] for key in clocks]
    rows = [[str(i + 1), *cells] for i, cells in enumerate(zip(*columns, strict=True))]
    return "\n".join(
        [
            paragraph(
                "From noisy to clean; timesteps are 0-based, and those that coincide "
                "are taken once.",
                kind="soft",
            ),
            code("\n".join(lists)),
            folded(
                "The grid as a table",
                table("The advised grid", ["Step", *clocks.values()], rows),
            ),
        ]
    )


def _code(numbers: Mapping[str, Any]) -> str:
    """The loop for DDIM, and how the other schedulers take a list."""
    first = {}
    for entry in numbers["diffusers"]:
        first.setdefault(entry["argument"], entry)
    names = {
        argument: sorted(
            {
                entry["scheduler"]
                for entry in numbers["diffusers"]
                if entry["argument"] == argument
            }
        )
        for argument in first
    }
    takes = "; ".join(
        f"<code>set_timesteps({argument}=…)</code> of {escape(', '.join(found))}"
        for argument, found in names.items()
    )
    loop = (
        f"import json\n\n\n{DDIM_LOOP}\n\n"
        'loop = json.load(open("schedule.json"))["ddim_loop"]["linear"]\n'
        "x = ddim(lambda x, t: unet(x, t).sample, torch.randn(shape), loop)"
    )
    return "\n".join(
        [
            "<h3>In diffusers</h3>",
            paragraph(
                "<code>DDIMScheduler</code> takes no list of its own; this loop does "
                "its step (η = 0) along the grid. <code>unet</code> predicts the "
                "noise; choose the table it was trained on: linear, scaled_linear or "
                "cosine."
            ),
            code(loop),
            paragraph(
                f"These take a list of their own: {takes}. Each with its values and "
                f"settings is in <code>schedule.json</code>.",
                kind="soft",
            ),
        ]
    )


def _assign(name: str, values: Sequence[float | int]) -> str:
    """A list of numbers as a line of Python, wrapped."""
    short = [v if isinstance(v, int) else float(f"{v:.5g}") for v in values]
    return textwrap.fill(f"{name} = {short}", 68, subsequent_indent="    ")
