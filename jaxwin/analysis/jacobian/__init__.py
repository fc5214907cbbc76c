"""Spectra of the score's Jacobian: where a posterior is still wide."""

from jaxwin.analysis.jacobian._gaps import Gap as Gap, widest as widest
from jaxwin.analysis.jacobian._leading import Leading as Leading, leading as leading
from jaxwin.analysis.jacobian._linear import (
    WidestGap as WidestGap,
    degrees_of_freedom as degrees_of_freedom,
    frame_gap as frame_gap,
    gap as gap,
    marchenko_pastur_edges as marchenko_pastur_edges,
    normalised as normalised,
    ou_time as ou_time,
    widest_gap as widest_gap,
)
from jaxwin.analysis.jacobian._spectra import Spectra as Spectra, spectra as spectra
from jaxwin.analysis.jacobian._subspaces import (
    LostDimensions as LostDimensions,
    lost_dimensions as lost_dimensions,
    participation as participation,
    subspace_shares as subspace_shares,
)
