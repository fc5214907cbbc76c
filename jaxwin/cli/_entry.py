"""A law of one's own, named on the line as MODULE:NAME."""

import importlib
import os
import sys
from typing import TYPE_CHECKING

from jaxwin._checks import BadInput

if TYPE_CHECKING:
    from jaxwin.channels import AbstractObserved
    from jaxwin.targets import AbstractLabelledTarget


def from_entry(entry: str) -> "AbstractLabelledTarget | AbstractObserved":
    """The law that `MODULE:NAME` is, or returns when called without arguments.

    Modules of the working folder are found too.

    Raises:
        BadInput: There is no such module or name, it fails, or it is no labelled law.
    """
    from jaxwin.channels import AbstractObserved
    from jaxwin.targets import AbstractLabelledTarget

    module, _, name = entry.partition(":")
    if not (module and name):
        raise BadInput(
            f"`entry` is {entry!r}; it must be MODULE:NAME, as in my_laws:clusters."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
        laws = AbstractLabelledTarget, AbstractObserved
        found = found if isinstance(found, laws) else found()
    except Exception as error:
        # Whatever somebody's module raises is a mistake of theirs: one line.
        told = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
        raise BadInput(f"`entry` is {entry!r}, which fails: {told}.") from error
    if not isinstance(found, laws):
        raise BadInput(
            f"`entry` is {entry!r}, which gives a {type(found).__name__}; it must give "
            f"a labelled target of jaxwin.targets, or a jaxwin.channels.Observed."
        )
    return found
