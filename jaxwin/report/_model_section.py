"""A model beside the data of a diagnosis: what `compare_of` found, in short."""

from jaxwin.report._html import bullets, escape, figure, paragraph, section
from jaxwin.report._study import Study

# Figures of the comparison that the page shows, with what they say.
SHOWN = {
    "agreement": "Clone agreement of the model beside that of the kernel density.",
    "errors": "Squared distance of the model to the optimal denoisers, by noise level.",
    "samples": "Samples of the model beside points of the data.",
}


def model_section(model: Study | None) -> str:
    """The findings, three figures, and where the rest is; nothing without a model."""
    if model is None:
        return ""
    figures = [
        figure(model.figures[name], f"model-{name}", meaning, meaning)
        for name, meaning in SHOWN.items()
        if name in model.figures
    ]
    return section(
        "model",
        f"The model: {escape(model.title)}",
        bullets(map(escape, model.summary["findings"])),
        *figures,
        paragraph(
            'All observables side by side: <a href="model/index.html">the '
            "comparison</a>.",
            kind="soft",
        ),
    )
