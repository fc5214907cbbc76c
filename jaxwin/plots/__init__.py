"""Results to figures: one function a figure, matplotlib's objects, no global state."""

from jaxwin.plots._agreement import agreement as agreement
from jaxwin.plots._beside import Series as Series, beside as beside
from jaxwin.plots._branches import (
    BranchCurve as BranchCurve,
    BranchPanel as BranchPanel,
    branches as branches,
)
from jaxwin.plots._collapse import collapse as collapse
from jaxwin.plots._confusion import confusion as confusion
from jaxwin.plots._image_grid import image_grids as image_grids
from jaxwin.plots._information import information as information
from jaxwin.plots._kept_tree import kept_tree as kept_tree
from jaxwin.plots._levels import (
    changing_together as changing_together,
    level_name as level_name,
    levels as levels,
)
from jaxwin.plots._merge_tree import merge_tree as merge_tree
from jaxwin.plots._movement import movement as movement
from jaxwin.plots._noised_images import (
    is_image as is_image,
    noised_images as noised_images,
)
from jaxwin.plots._pair_times import pair_times as pair_times
from jaxwin.plots._paths import paths as paths
from jaxwin.plots._regimes import regimes as regimes
from jaxwin.plots._spectrum import spectrum as spectrum
from jaxwin.plots._style import (
    INK as INK,
    short as short,
    to_png as to_png,
    to_svg as to_svg,
)
from jaxwin.plots._survival import (
    certificate as certificate,
    survival as survival,
)
from jaxwin.plots._timeline import timeline as timeline
