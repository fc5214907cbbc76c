"""Results to figures: one function a figure, matplotlib's objects, no global state."""

from jaxwin.plots._agreement import agreement as agreement
from jaxwin.plots._collapse import collapse as collapse
from jaxwin.plots._pair_times import pair_times as pair_times
from jaxwin.plots._spectrum import spectrum as spectrum
from jaxwin.plots._style import INK as INK, to_png as to_png, to_svg as to_svg
