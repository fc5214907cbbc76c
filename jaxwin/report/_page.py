"""The diagnosis as a page that reads as an answer, from the first line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxwin.report._advice_section import advice
from jaxwin.report._answer import answer
from jaxwin.report._collapse_section import collapse
from jaxwin.report._data_section import data, examples
from jaxwin.report._diagnose import Diagnosis
from jaxwin.report._facts import facts
from jaxwin.report._fairness_section import fairness
from jaxwin.report._features_section import features
from jaxwin.report._html import document, escape
from jaxwin.report._membership_section import membership
from jaxwin.report._method_section import clocks, method
from jaxwin.report._model_section import model_section
from jaxwin.report._order_section import order
from jaxwin.report._separation_section import separation
from jaxwin.report._study import Study

if TYPE_CHECKING:
    import matplotlib.figure


def page(
    diagnosis: Diagnosis,
    figures: Mapping[str, "matplotlib.figure.Figure"],
    *,
    command: str | None = None,
    numbers: Mapping[str, Any] | None = None,
    model: Study | None = None,
) -> str:
    """A self-contained HTML page: opens offline, no script, light, dark and in print.

    Args:
        diagnosis: What is told.
        figures: Those of `figures(diagnosis)`; one that is left out is not shown.
        command: What a reader types to repeat it; a Python call if left out.
        numbers: `summary(diagnosis)`, if it is at hand.
        model: What `compare_of` found of a model of the data.
    """
    known = facts(diagnosis, numbers)
    sections = [
        answer(known),
        data(known),
        examples(known, figures),
        separation(known, figures),
        features(known, figures),
        collapse(known, figures),
        order(known, figures),
        fairness(diagnosis.fairness, figures),
        membership(diagnosis.membership, figures),
        model_section(model),
        advice(known, figures),
        clocks(known),
        method(known, command),
    ]
    return document(f"{escape(diagnosis.name)} – jaxwin report", "\n".join(sections))
