import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal

from jaxwin.cli._common import Arg
from jaxwin.cli._entry import check_alone, from_entry
from jaxwin.cli._law import PARTS, LawOrData

# What says where another law, or data, come from than --entry.
SOURCES = ("file", *PARTS, "dimension", "labels", "x")
PLACE = "jaxwin-train"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(LawOrData):
    """Train a network to denoise, and say how good it is at every noise level.

    On a mixture (--means 1,-1 --variances 0), a law of your own (--entry MODULE:NAME)
    or a data set, of which a share is held out; the digits without any. The folder
    holds the network: jaxwin compare --model DIR sets it beside the optimum.
    """

    entry: Annotated[str | None, Arg(metavar="MODULE:NAME")] = None
    """Law of one's own: a labelled target, or a function that gives one."""
    network: Literal["mlp", "unet", "random_features"] | None = None
    """Which network; a U-Net of images and an MLP else if left out."""
    width: Annotated[int | None, Arg(metavar="W")] = None
    """Features of a layer, channels, or random features."""
    depth: Annotated[int | None, Arg(metavar="L")] = None
    """Residual layers, or resolutions of a U-Net."""
    conditional: bool = False
    """Train with the labels, to be asked for one of them."""
    bfloat16: bool = False
    """Compute in bfloat16; parameters stay in float32."""
    steps: Annotated[int | None, Arg(metavar="N")] = None
    """Steps of training; what takes minutes on two cores if left out."""
    batch: Annotated[int | None, Arg(metavar="B")] = None
    """Points a step."""
    learning_rate: Annotated[float | None, Arg(metavar="RATE")] = None
    """Of Adam, at its peak."""
    levels: Literal["lognormal", "log_snr", "time"] = "lognormal"
    """Noise levels of training: as EDM, even in log-SNR, or even on --clock."""
    clock: (
        Literal["vp", "cosine", "ddpm_linear", "ddpm_cosine", "edm_sigma", "flow_u"]
        | None
    ) = None
    """Clock of --levels time."""
    weighting: Literal["network", "noise", "denoised"] = "network"
    """What errors count: of the network, of the noise, or of the denoised point."""
    held_out: Annotated[float | None, Arg(metavar="SHARE")] = None
    """Of data, the share of each class that is not trained on; 0.2 if left out."""

    def run(self) -> None:
        """Train, measure and save the folder."""
        from jaxwin.report import plan_train, train_of

        check_alone(self, SOURCES)
        given: dict[str, Any] = {
            "network": self.network,
            "width": self.width,
            "depth": self.depth,
            "conditional": self.conditional,
            "bfloat16": self.bfloat16,
            "steps": self.steps,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "levels": self.levels,
            "clock": self.clock,
            "weighting": self.weighting,
            "held_out": self.held_out,
        }

        def study(*source: Any, **options: Any) -> Any:
            return train_of(*source, **given, **options).study

        plan = functools.partial(plan_train, **given)
        if self.entry is None:
            self.law_study(study, PLACE, plan=plan)
            return
        self.configure()
        law = from_entry(self.entry)
        chosen = {k: v for k, v in self.selection().items() if v is not None}

        def of_entry(function: Callable[..., Any]) -> Callable[..., Any]:
            return functools.partial(function, law, name=self.entry, **chosen)

        self.study(of_entry(study), PLACE, of_entry(plan))
