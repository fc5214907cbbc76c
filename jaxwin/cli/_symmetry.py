import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal

from jaxwin._checks import BadInput
from jaxwin.cli._common import Arg
from jaxwin.cli._entry import check_alone, denoiser_entry
from jaxwin.cli._law import PARTS, LawOrData

# What says where another law, or data, come from than --entry.
SOURCES = ("file", *PARTS, "labels", "x")
PLACE = "jaxwin-symmetry"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Symmetry(LawOrData):
    """When, and into what, does the backward dynamics break its symmetries?

    Fixed points, their branches and critical times, the potential, and the late start
    they justify: of a mixture (--means 1,-1 --variances 0, or a JSON or npz file with
    `means`), of a denoiser of your own (--entry MODULE:NAME), or of a data set under
    kernel density; the digits without any.
    """

    entry: Annotated[str | None, Arg(metavar="MODULE:NAME")] = None
    """Target, denoiser or function (x, alpha, sigma) -> E[x0|x], with --dimension."""
    drift: Literal["reverse_sde", "flow", "density", "eta"] = "reverse_sde"
    """Whose fixed points: each drift breaks at times of its own."""
    eta: Annotated[float | None, Arg(metavar="ETA")] = None
    """Noise of --drift eta: 0 is the flow, 1 the reverse SDE."""
    clock: Literal[
        "ou", "vp", "cosine", "ddpm_linear", "ddpm_cosine", "edm_sigma", "flow_u"
    ] = "ou"
    """Clock of the dynamics, and of all times."""
    times: Annotated[str | None, Arg(metavar="LOW,HIGH")] = None
    """Times to be searched; by the spread of the data if left out."""
    starts: Annotated[int | None, Arg(metavar="N")] = None
    """Clean points from which minima are looked for; 64, or 32 of data."""
    most: Annotated[int | None, Arg(metavar="N")] = None
    """Transitions that are followed, the noisiest; 16, or 4 with --quick."""
    bandwidth: Annotated[float | None, Arg(metavar="H")] = None
    """Of the kernel, in units of the normalised data."""
    bandwidth_factor: Annotated[float | None, Arg(metavar="SHARE")] = None
    """Of the mean distance to the nearest neighbour; 0.2 if both are left out."""

    def run(self) -> None:
        """Study it and save the folder."""
        from jaxwin.report import plan_symmetry, symmetry_of

        check_alone(self, SOURCES)
        given: dict[str, Any] = {
            "drift": self.drift,
            "eta": self.eta,
            "clock": self.clock,
            "times": _times(self.times),
            "starts": self.starts,
            "most": self.most,
            "bandwidth": self.bandwidth,
            "bandwidth_factor": self.bandwidth_factor,
        }
        study = functools.partial(symmetry_of, **given)
        plan = functools.partial(plan_symmetry, **given)
        if self.entry is None:
            self.law_study(study, PLACE, plan=plan)
            return
        self.configure()
        denoiser = denoiser_entry(self.entry)
        chosen = {k: v for k, v in self.selection().items() if v is not None}
        chosen |= {"name": self.entry, "dimension": self.dimension}

        def of_entry(function: Callable[..., Any]) -> Callable[..., Any]:
            return functools.partial(function, denoiser, **chosen)

        self.study(of_entry(study), PLACE, of_entry(plan))


def _times(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise BadInput(
            f"`times` is {text!r}; it must be two numbers, the smaller one first, as "
            f"in 0.1,2."
        ) from error
