import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg
from jaxwin.cli._entry import check_alone, denoiser_entry, from_entry
from jaxwin.cli._law import PARTS, LawOrData

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
        model, trained = self._model()
        given: dict[str, Any] = {
            "model_name": Path(self.model).name or self.model,
            "held_out": self.held_out,
            "late_start": True if self.late_start else None,
        }
        # Only data are cut.
        if trained.get("source") == "data":
            given["split_seed"] = trained.get("seed")
            if self.held_out is None:
                given["held_out"] = trained.get("share")
        if not self.other_data:
            given["digest"] = trained.get("digest")

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

    def _model(self) -> tuple[Any, dict[str, Any]]:
        """The denoiser, and what its training wrote of it."""
        place = Path(self.model)
        if not place.is_dir():
            if ":" not in self.model:
                raise BadInput(
                    f"`model` is {self.model!r}; there is no such folder: give one of "
                    f"jaxwin train, or MODULE:NAME."
                )
            try:
                return denoiser_entry(self.model), {}
            except BadInput as error:
                raise BadInput(str(error).replace("`entry`", "`model`")) from error
        from jaxwin.learned import load

        try:
            inner = place / "network"
            network = load(inner if inner.is_dir() else place)
        except BadInput as error:
            raise BadInput(str(error).replace("`folder`", "`model`")) from error
        return network.denoiser, _summary(place)


def _summary(place: Path) -> dict[str, Any]:
    """What `jaxwin train` wrote beside the network; nothing if it is not there."""
    try:
        found = json.loads((place / "summary.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
