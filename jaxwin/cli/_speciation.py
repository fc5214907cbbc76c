import dataclasses

from jaxwin.cli._law import LawOrData


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speciation(LawOrData):
    """When do classes separate: predicted under every convention, and measured.

    Of a mixture (--means 1,-1 --variances 1 --dimension 4096, or a JSON or npz file
    with `means`), or of a data set as in `report`; the digits without either.
    """

    def run(self) -> None:
        """Study it and save the folder."""
        from jaxwin.report import speciation_of

        self.law_study(speciation_of, "jaxwin-speciation")
