"""Who survives a U-turn: groups through a model, beside exact Bayes."""

from jaxwin.analysis.fairness._flow import (
    FlowSurvival as FlowSurvival,
    ProbabilityFlow as ProbabilityFlow,
    flow_survival as flow_survival,
)
from jaxwin.analysis.fairness._share import Share as Share, share as share
from jaxwin.analysis.fairness._survival import (
    GroupCurves as GroupCurves,
    GroupSurvival as GroupSurvival,
    group_survival as group_survival,
)
