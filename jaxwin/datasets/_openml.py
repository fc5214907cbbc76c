"""Data sets of openml.org by name or number; scikit-learn keeps what it fetched."""

import warnings
from typing import Any

from jaxwin._checks import BadInput
from jaxwin.datasets._quoting import quoted
from jaxwin.datasets._source import Source
from jaxwin.datasets._table import table_source

PREFIX = "openml:"


def openml_source(file: str, x: str | None) -> Source:
    """The table of a data set, labelled by its target columns.

    Raises:
        BadInput: There is no such data set, it is sparse, or cannot be fetched.
    """
    # Its module loads a hundred others.
    from sklearn.datasets import fetch_openml

    wanted = file.removeprefix(PREFIX)
    which: Any = {"data_id": int(wanted)} if wanted.isdecimal() else {"name": wanted}
    try:
        with warnings.catch_warnings():
            # Of several versions, the report names the number of the one fetched.
            warnings.simplefilter("ignore")
            # The faster parser, of pandas, fails where classes are numbers, as those of
            # mnist_784, from pandas 3.1 on (scikit-learn pull request 34902).
            bunch: Any = fetch_openml(**which, as_frame="auto", parser="liac-arff")
    except OSError as error:
        raise BadInput(
            f"`file` is {quoted(file)}, and openml.org cannot be reached; it must be "
            f"fetched once; go online, or give a file."
        ) from error
    except Exception as error:  # scikit-learn passes on what its parsers raise
        raise BadInput(
            f"`file` is {quoted(file)}, which openml.org does not give ({quoted(error)}"
            f"); it must be openml:NAME or openml:ID of www.openml.org."
        ) from error
    if bunch.frame is None:
        raise BadInput(
            f"`file` is {quoted(file)}, a sparse data set; points must be dense; give "
            f"a file with the columns to take."
        )
    details = bunch.details
    name = f"{details['name']} (OpenML {details['id']})"
    return table_source(bunch.frame, name, x, tuple(bunch.target_names or ()))
