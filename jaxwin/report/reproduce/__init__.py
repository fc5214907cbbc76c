"""Published figures remade: ours with error bars, published points where there are."""

from jaxwin.report.reproduce._entry import Entry as Entry
from jaxwin.report.reproduce._registry import (
    ENTRIES as ENTRIES,
    figures_of_papers as figures_of_papers,
    reproduce as reproduce,
)
