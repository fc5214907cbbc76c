"""jaxwin: when does a diffusion model decide each feature of what it generates?

The rooms are imported by name (`from jaxwin.targets import GaussianMixture`); this face
of the package loads each only when it is asked for.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxwin import (
        analysis as analysis,
        channels as channels,
        datasets as datasets,
        execution as execution,
        io as io,
        learned as learned,
        metrics as metrics,
        plots as plots,
        processes as processes,
        report as report,
        samplers as samplers,
        scores as scores,
        targets as targets,
    )
else:
    _ROOMS = (
        "analysis",
        "channels",
        "datasets",
        "execution",
        "io",
        "learned",
        "metrics",
        "plots",
        "processes",
        "report",
        "samplers",
        "scores",
        "targets",
    )

    def __getattr__(name):
        if name in _ROOMS:
            import importlib

            return importlib.import_module(f"jaxwin.{name}")
        raise AttributeError(f"module 'jaxwin' has no attribute {name!r}")

    def __dir__():
        return sorted([*globals(), *_ROOMS])
