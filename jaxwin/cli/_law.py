"""A mixture on the line or in a file, or a data set: what several commands take."""

import ast
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg
from jaxwin.cli._source import Source

if TYPE_CHECKING:
    from jaxwin.datasets import Data
    from jaxwin.report import Study
    from jaxwin.targets import GaussianMixture

# Of a mixture; `labels` is an option of data sets too.
PARTS = ("means", "variances", "covariances", "factors", "weights")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LawOrData(Source):
    """Options of the commands that take a mixture or a data set."""

    means: Annotated[str | None, Arg(metavar="NUMBERS")] = None
    """Mixture: [[1,1],[-1,-1]], or 1,-1 for all coordinates of --dimension."""
    variances: Annotated[str | None, Arg(metavar="NUMBERS")] = None
    """Mixture: one variance, one a component, or one a coordinate."""
    covariances: Annotated[str | None, Arg(metavar="NUMBERS")] = None
    """Mixture: a matrix, or one a component."""
    factors: Annotated[str | None, Arg(metavar="NUMBERS")] = None
    """Mixture: (d, r) or one a component; covariance = factor factor^T + variance."""
    weights: Annotated[str | None, Arg(metavar="NUMBERS")] = None
    """Mixture: one a component; equal if left out."""
    dimension: Annotated[int | None, Arg(metavar="D")] = None
    """Mixture: how many coordinates means of one number have."""

    def law_study(
        self,
        study: Callable[..., "Study"],
        place: str,
        mixture_takes: tuple[str, ...] = (),
        plan: Callable[..., Any] | None = None,
    ) -> None:
        """Run a study of the law or the data, with the options of its kind.

        mixture_takes: options that select from data, and say something of a mixture.
        plan: What tells the cost, as in `study`.
        """
        from jaxwin.datasets import Data

        self.configure()
        source = self.law_or_data()
        chosen = {k: v for k, v in self.selection().items() if v is not None}
        foreign = [name for name in chosen if name not in mixture_takes]
        if foreign and not isinstance(source, Data):
            raise BadInput(
                f"`{foreign[0]}` selects from a data set, and a mixture is given; "
                f"leave it out."
            )
        told = None if plan is None else functools.partial(plan, source, **chosen)
        self.study(functools.partial(study, source, **chosen), place, told)

    def law_or_data(self) -> "GaussianMixture | Data":
        """The mixture of the line or of a file (JSON, npz), or a data set."""
        from jaxwin.datasets import is_named, named_arrays
        from jaxwin.report import mixture

        given = {name: getattr(self, name) for name in PARTS}
        given = {name: _numbers(text, name) for name, text in given.items() if text}
        in_file = self.file is not None and is_named(self.file, "means")
        if not (given or in_file):
            if self.dimension is not None:
                raise BadInput(
                    f"`dimension` is {self.dimension}, of a mixture, and no `means` "
                    f"are given; leave it out."
                )
            return self.data()
        if self.file is not None and not in_file:
            raise BadInput(
                f"`{next(iter(given))}` is of a mixture and `file` {self.file!r} of a "
                f"data set; leave one of them out."
            )
        if self.x is not None:
            raise BadInput(
                f"`x` is {self.x!r}, of a data set, and a mixture is given; leave it "
                f"out."
            )
        if self.labels is not None:
            given["labels"] = _numbers(self.labels, "labels")
        file = named_arrays(self.file) if self.file is not None else {}
        return mixture(file | given, self.dimension)


def _numbers(text: str, name: str) -> Any:
    """A number or list of the line; brackets around a plain list may be left out."""
    from jaxwin.datasets import numbers

    try:
        # Not JSON, which knows no .5.
        found = ast.literal_eval(f"[{text}]")
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadInput(
            f"`{name}` is {text!r}; it must be numbers, as in 1,-1 or [[1,0],[0,1]]."
        ) from error
    return numbers(found[0] if len(found) == 1 else found, name)
