import dataclasses

from jaxwin.cli._law import LawOrData


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collapse(LawOrData):
    """When are samples copies of data points: predicted by every route, and measured.

    Onto a data set as in `report`, or onto --points N drawn from a mixture (--means
    1,-1 --variances 1 --dimension 256, or a JSON or npz file with `means`); the digits
    without either.
    """

    def run(self) -> None:
        """Study it and save the folder."""
        from jaxwin.report import collapse_of

        self.law_study(collapse_of, "jaxwin-collapse", mixture_takes=("num_points",))
