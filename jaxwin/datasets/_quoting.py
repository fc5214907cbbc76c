"""Names of files, keys and classes inside one-line messages, however long they are."""

from collections.abc import Iterable

# A message stays below 300 characters.
_LONGEST_NAME, _LONGEST_LISTING = 60, 100


def quoted(name: object) -> str:
    """The name in quotes, its middle left out where it is long."""
    text = repr(str(name))
    half = _LONGEST_NAME // 2 - 2
    return text if len(text) <= _LONGEST_NAME else f"{text[:half]}...{text[-half:]}"


def listing(names: Iterable[str]) -> str:
    """The names in quotes on one line, shortened where they are many."""
    parts = [quoted(name) for name in names]
    if not parts:
        return "none"
    shown = 1
    while shown < len(parts) and len(", ".join(parts[: shown + 1])) < _LONGEST_LISTING:
        shown += 1
    text, more = ", ".join(parts[:shown]), len(parts) - shown
    return f"{text} and {more} more" if more else text
