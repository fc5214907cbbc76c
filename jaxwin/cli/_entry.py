"""A law or a denoiser of one's own, named on the line as MODULE:NAME."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jaxwin._checks import BadInput

if TYPE_CHECKING:
    from jaxwin.channels import AbstractObserved
    from jaxwin.targets import AbstractDenoiser, AbstractLabelledTarget


def check_alone(command: Any, sources: Sequence[str]) -> None:
    """Raise BadInput where --entry stands beside another law or data."""
    beside = [name for name in sources if getattr(command, name) is not None]
    if command.entry is not None and beside:
        raise BadInput(
            f"`{beside[0]}` is given beside `entry` {command.entry!r}, which is the "
            f"law; leave one of them out."
        )


def from_entry(entry: str) -> "AbstractLabelledTarget | AbstractObserved":
    """The law that `MODULE:NAME` is, or returns when called without arguments.

    Modules of the working folder are found too.

    Raises:
        BadInput: There is no such module or name, it fails, or it is no labelled law.
    """
    from jaxwin.channels import AbstractObserved
    from jaxwin.targets import AbstractLabelledTarget

    laws = AbstractLabelledTarget, AbstractObserved
    found = _loaded(entry, lambda found: found if isinstance(found, laws) else found())
    if not isinstance(found, laws):
        raise BadInput(
            f"`entry` is {entry!r}, which gives a {type(found).__name__}; it must give "
            f"a labelled target of jaxwin.targets, or a jaxwin.channels.Observed."
        )
    return found


def denoiser_entry(entry: str) -> "AbstractDenoiser":
    """The denoiser that `MODULE:NAME` is, or returns when called without arguments.

    A function that takes (x, alpha, sigma) is one.

    Raises:
        BadInput: There is no such module or name, it fails, or it is no denoiser.
    """
    from jaxwin.targets import AbstractDenoiser, FunctionDenoiser

    def made(found: Any) -> Any:
        if isinstance(found, AbstractDenoiser) or _takes(found, 3):
            return found
        if not _takes(found, 0):
            raise TypeError(
                "a function must take (x, alpha, sigma), or nothing and give a "
                "denoiser; of D(x, sigma), eps(x, t) and the like make one: "
                "from_network(D, EDM(), 'denoised') of jaxwin.scores"
            )
        return found()

    found = _loaded(entry, made)
    if isinstance(found, AbstractDenoiser):
        return found
    if _takes(found, 3):
        return FunctionDenoiser(found)
    raise BadInput(
        f"`entry` is {entry!r}, which gives a {type(found).__name__}; it must give a "
        f"target or denoiser of jaxwin.targets, or be function(x, alpha, sigma)."
    )


def _takes(found: Any, count: int) -> bool:
    """Whether something can be called with so many arguments."""
    if not callable(found):
        return False
    try:
        inspect.signature(found).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def _loaded(entry: str, made: Callable[[Any], Any]) -> Any:
    """What `made` makes of the name in its module."""
    module, _, name = entry.partition(":")
    if not (module and name):
        raise BadInput(
            f"`entry` is {entry!r}; it must be MODULE:NAME, as in my_laws:clusters."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return made(getattr(importlib.import_module(module), name))
    except Exception as error:
        # Whatever somebody's module raises is a mistake of theirs: one line.
        told = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
        raise BadInput(f"`entry` is {entry!r}, which fails: {told}.") from error
