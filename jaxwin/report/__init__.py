"""The diagnosis of a data set: one call, one page."""

from jaxwin.report._clocks import named_clocks as named_clocks, on_clock as on_clock
from jaxwin.report._diagnose import (
    Diagnosis as Diagnosis,
    crossings as crossings,
    diagnose as diagnose,
    largest_error as largest_error,
    pair_crossings as pair_crossings,
)
from jaxwin.report._feature_times import FeatureTimes as FeatureTimes
from jaxwin.report._page import page as page
from jaxwin.report._plan import Plan as Plan, plan as plan
from jaxwin.report._prepare import noise_times as noise_times
from jaxwin.report._summary import summary as summary
from jaxwin.report._table import terminal_table as terminal_table
from jaxwin.report._write import figures as figures, write as write
