"""The diagnosis of a data set: one call, one page."""

from jaxwin.report._clocks import named_clocks as named_clocks, on_clock as on_clock
from jaxwin.report._collapse import Collapse as Collapse, collapse_of as collapse_of
from jaxwin.report._compare import (
    check_model as check_model,
    compare_of as compare_of,
)
from jaxwin.report._compare_plan import (
    ComparePlan as ComparePlan,
    plan_compare as plan_compare,
)
from jaxwin.report._compare_result import Comparison as Comparison
from jaxwin.report._diagnose import (
    Diagnosis as Diagnosis,
    crossings as crossings,
    diagnose as diagnose,
    largest_error as largest_error,
    pair_crossings as pair_crossings,
)
from jaxwin.report._feature_times import FeatureTimes as FeatureTimes
from jaxwin.report._hierarchy import (
    hierarchy_of as hierarchy_of,
    hierarchy_starts as hierarchy_starts,
)
from jaxwin.report._hierarchy_result import HierarchyCurves as HierarchyCurves
from jaxwin.report._measuring import Measuring as Measuring
from jaxwin.report._mixture import mixture as mixture
from jaxwin.report._page import page as page
from jaxwin.report._plan import Plan as Plan, plan as plan, plan_study as plan_study
from jaxwin.report._prepare import noise_times as noise_times
from jaxwin.report._speciation import (
    Speciation as Speciation,
    speciation_of as speciation_of,
)
from jaxwin.report._study import Study as Study
from jaxwin.report._summary import summary as summary
from jaxwin.report._symmetry import (
    plan_symmetry as plan_symmetry,
    symmetry_of as symmetry_of,
)
from jaxwin.report._symmetry_plan import SymmetryPlan as SymmetryPlan
from jaxwin.report._symmetry_result import Symmetry as Symmetry
from jaxwin.report._table import terminal_table as terminal_table
from jaxwin.report._train import TrainedStudy as TrainedStudy, train_of as train_of
from jaxwin.report._train_plan import TrainPlan as TrainPlan, plan_train as plan_train
from jaxwin.report._windows import windows_of as windows_of
from jaxwin.report._windows_result import Windows as Windows
from jaxwin.report._write import (
    figures as figures,
    write as write,
    write_study as write_study,
)
from jaxwin.report.reproduce import (
    figures_of_papers as figures_of_papers,
    reproduce as reproduce,
)
