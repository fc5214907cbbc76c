import dataclasses
from typing import Annotated

import tyro

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg, Common
from jaxwin.cli._terminal import tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduce(Common):
    """Remake a published figure, ours with error bars; --list names them all."""

    name: Annotated[str | None, tyro.conf.Positional, Arg(metavar="[NAME]")] = None
    """Which figure, such as dynamical-regimes-clones."""
    data: Annotated[tuple[str, ...], Arg(metavar="FILE")] = ()
    """Data of a figure that is made from some, where the machine is offline."""
    list: bool = False
    """Name the figures, their sources, and what of them is published."""

    def run(self) -> None:
        """Make it and save the folder."""
        from jaxwin.report import figures_of_papers, reproduce

        if self.list:
            tell(figures_of_papers())
            return
        if self.name is None:
            raise BadInput("`name` is missing; jaxwin reproduce --list names figures.")
        name = self.name
        self.study(
            lambda **options: reproduce(name, data=self.data, **options),
            f"jaxwin-{name}",
        )
