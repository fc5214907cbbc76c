import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from jaxwin.cli._audit import Audit
from jaxwin.cli._common import Arg, command_line, unwritable
from jaxwin.cli._terminal import tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Audit):
    """When do the classes of a data set separate, and when are samples copies?

    Without a file: the digits of scikit-learn (1,797 images of 8 x 8).
    """

    steps: Annotated[int, Arg(metavar="N")] = 20
    """Evaluations of the advised time grid."""

    def run(self) -> None:
        """Diagnose, save the folder, print the table or the summary."""
        from jaxwin._files import check_place
        from jaxwin.execution import remove_runs
        from jaxwin.report import (
            diagnose,
            largest_error,
            plan,
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
        data = self.data()
        options: dict[str, Any] = {"num_steps": self.steps}
        options |= self.selection() | audited | self.measuring()
        if self.plan:
            with self.stages() as stage:
                cost = plan(data, stage=stage, **options)
            self.tell_plan(cost)
            return
        with self.stages() as stage:
            diagnosis = diagnose(
                data, folder=blocks, resume=self.resume, stage=stage, **options
            )
        try:
            write(diagnosis, place, command=command)
        except OSError as error:
            raise unwritable(place, error) from error
        remove_runs(blocks)
        self.tell_reached(largest_error(diagnosis), diagnosis.collapse.count)
        if self.json:
            tell(json.dumps(summary(diagnosis), indent=2, allow_nan=False))
            return
        tell(terminal_table(diagnosis))
        tell(f"Read {Path(place) / 'index.html'}")
