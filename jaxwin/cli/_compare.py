import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any

import tyro

from jaxwin.cli._common import Arg
from jaxwin.cli._entry import check_alone, from_entry
from jaxwin.cli._law import PARTS, LawOrData
from jaxwin.cli._model import model_named

# What says where another law, or data, come from than --entry.
SOURCES = ("file", *PARTS, "dimension", "labels", "x")
PLACE = "jaxwin-compare"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare(LawOrData):
    """Where, when and in which observable does a model deviate from the optimum?

    A network of jaxwin train (--model DIR) or a denoiser of your own (--model
    MODULE:NAME), beside the law it should have learned (--means 1,-1 --variances 0, or
    --entry MODULE:NAME) or the data; the digits without any.
    """

    model: Annotated[str, Arg(metavar="DIR|MODULE:NAME")] = tyro.MISSING
    """Folder of jaxwin train; or denoiser, or function (x, alpha, sigma) -> E[x0|x]."""
    entry: Annotated[str | None, Arg(metavar="MODULE:NAME")] = None
    """Law of one's own: a labelled target, or a function that gives one."""
    held_out: Annotated[float | None, Arg(metavar="SHARE")] = None
    """Of data, the share that is held out; that of the training if left out."""
    other_data: bool = False
    """Compare on what the network was not trained on."""
    late_start: bool = False
    """Make the table of late starts also with --quick."""

    def run(self) -> None:
        """Compare and save the folder."""
        from jaxwin.report import compare_of, plan_compare

        check_alone(self, SOURCES)
        self.configure()
        model, given = model_named(self.model, self.other_data)
        if self.held_out is not None:
            given["held_out"] = self.held_out
        given["late_start"] = True if self.late_start else None

        def of_model(function: Callable[..., Any]) -> Callable[..., Any]:
            return functools.partial(function, model, **given)

        study, plan = of_model(compare_of), of_model(plan_compare)
        if self.entry is None:
            self.law_study(study, PLACE, ("num_points",), plan)
            return
        law = from_entry(self.entry)
        chosen = {k: v for k, v in self.selection().items() if v is not None}

        def of_entry(function: Callable[..., Any]) -> Callable[..., Any]:
            return functools.partial(function, law, name=self.entry, **chosen)

        self.study(of_entry(study), PLACE, of_entry(plan))
