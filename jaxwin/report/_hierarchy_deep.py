"""Where trees of the same rules lose their class if they are infinitely deep."""

from jaxwin._typing import Key
from jaxwin.analysis import hierarchy
from jaxwin.analysis.hierarchy._population import GROUP
from jaxwin.report._hierarchy_grid import FRACTIONS, SNR_RANGE
from jaxwin.report._hierarchy_sizes import Sizes

LEAVES = {
    "gaussian": hierarchy.GaussianLeaves,
    "masking": hierarchy.MaskedLeaves,
    "uniform": hierarchy.CorruptedLeaves,
    "eps_belief": hierarchy.EpsBeliefLeaves,
}
# Groups of beliefs that share their rules: most of them, and fewest that say anything.
MOST, FEWEST = (1280, 256), 32
# Tuples and products of a population, of a plain and a quick run: half a minute and a
# tenth of it on two cores.
WORK = 1e7, 2e6
# Widths of the last bracket, as shares of the range.
RESOLUTION = 1e-3


def deep_of(
    channel: str, sizes: Sizes, quick: bool, key: Key
) -> hierarchy.DeepThreshold | None:
    """The deep threshold by population dynamics; an SNR for the Gaussian channel.

    Populations are smaller where there are many rules; None where there are so many
    that too few beliefs would be affordable.
    """
    v, m, s = sizes.symbols, sizes.rules, sizes.branching
    groups = min(MOST[quick], int(WORK[quick] / (GROUP * v * m + 3 * v**s)))
    if groups < FEWEST:
        return None
    clean, noisy = SNR_RANGE
    bracket = (noisy, clean) if channel == "gaussian" else FRACTIONS
    return hierarchy.deep_threshold(
        LEAVES[channel](v),
        v,
        m,
        s,
        key,
        bracket=bracket,
        population=GROUP * groups,
        tolerance=RESOLUTION * (bracket[1] - bracket[0]),
    )
