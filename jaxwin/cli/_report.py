import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from jaxwin.cli._audit import Audit
from jaxwin.cli._common import Arg, command_line, unwritable
from jaxwin.cli._model import model_named
from jaxwin.cli._terminal import tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Audit):
    """When do the classes of a data set separate, and when are samples copies?

    Without a file: the digits of scikit-learn (1,797 images of 8 x 8).
    """

    steps: Annotated[int, Arg(metavar="N")] = 20
    """Evaluations of the advised time grid."""
    model: Annotated[str | None, Arg(metavar="DIR|MODULE:NAME")] = None
    """A model of the data, beside them: of jaxwin train, or (x, alpha, sigma)."""

    def run(self) -> None:
        """Diagnose, save the folder, print the table or the summary."""
        from jaxwin._files import check_place
        from jaxwin.execution import remove_runs
        from jaxwin.report import (
            check_model,
            compare_of,
            diagnose,
            largest_error,
            plan,
            plan_compare,
            summary,
            terminal_table,
            write,
        )

        self.configure()
        command = command_line()
        place = "jaxwin-report" if self.out is None else self.out
        target = check_place(place, "--out")
        blocks = target.with_name(f".{target.name}.blocks")
        # Members without candidates are told of before the data are read.
        audited = self.audited()
        model = None if self.model is None else model_named(self.model)
        data = self.data()
        chosen = {k: v for k, v in self.selection().items() if v is not None}
        if model is not None:
            # The points that it was trained on, unless others are asked for.
            chosen = model[1].get("origin", {}).get("selection", {}) | chosen
        options: dict[str, Any] = {"num_steps": self.steps} | audited
        options |= chosen | self.measuring()
        beside = ({} if model is None else model[1]) | chosen | self.measuring()
        if model is not None:
            # Before the diagnosis, which takes long.
            check_model(model[0], data, **beside)
        if self.plan:
            parts: dict[str, Any] = {}
            with self.stages() as stage:
                cost = plan(data, stage=stage, **options)
                if model is not None:
                    parts["model"] = plan_compare(model[0], data, stage=stage, **beside)
            self.tell_plan(cost, **parts)
            return
        with self.stages() as stage:
            diagnosis = diagnose(
                data, folder=blocks, resume=self.resume, stage=stage, **options
            )
            compared = None
            if model is not None:
                compared = compare_of(
                    model[0],
                    data,
                    folder=blocks / "model",
                    resume=self.resume,
                    stage=stage,
                    **beside,
                )
        try:
            write(diagnosis, place, command=command, model=compared)
        except OSError as error:
            raise unwritable(place, error) from error
        remove_runs(blocks / "model")
        remove_runs(blocks)
        self.tell_reached(largest_error(diagnosis), diagnosis.collapse.count)
        if self.json:
            told = summary(diagnosis)
            if compared is not None:
                told |= {"model": compared.summary}
            tell(json.dumps(told, indent=2, allow_nan=False))
            return
        tell(terminal_table(diagnosis))
        if compared is not None:
            tell(compared.table)
        tell(f"Read {Path(place) / 'index.html'}")
