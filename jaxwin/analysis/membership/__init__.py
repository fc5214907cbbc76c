"""Who was in the training data: reconstruction, return and attacks by U-turns."""

from jaxwin.analysis.membership._attack import (
    Attack as Attack,
    AttackWindow as AttackWindow,
    attack as attack,
)
from jaxwin.analysis.membership._statistic import (
    MembershipStatistic as MembershipStatistic,
    statistic as statistic,
)
from jaxwin.analysis.membership._windows import (
    ReturnWindows as ReturnWindows,
    return_windows as return_windows,
)
