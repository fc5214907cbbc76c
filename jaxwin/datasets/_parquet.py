"""Parquet tables, by pandas and pyarrow."""

from pathlib import Path
from typing import Any

from jaxwin._checks import BadInput
from jaxwin.datasets._quoting import quoted


def read_parquet(path: Path, argument: str) -> Any:
    """A pandas table from a Parquet file.

    Raises:
        BadInput: pyarrow is not installed, or the file is damaged or has no rows.
    """
    import pandas as pd

    what = f"`{argument}` is {quoted(path)}"
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except ImportError as error:
        raise BadInput(
            f"{what}, a Parquet file; pyarrow must be installed to read it; run pip "
            f"install 'jaxwin[parquet]'."
        ) from error
    except Exception as error:  # a damaged file raises nearly anything
        raise BadInput(
            f"{what}, a truncated or damaged Parquet file; make it again."
        ) from error
    if not len(table):
        raise BadInput(f"{what}, a table without rows; it must hold points.")
    return table
