"""Random-feature networks: how fast they learn, and how fast by heart."""

from jaxwin.analysis.random_features._constants import (
    FeatureConstants as FeatureConstants,
    constants as constants,
)
from jaxwin.analysis.random_features._spectrum import (
    Bulk as Bulk,
    FeatureBulks as FeatureBulks,
    FeatureSpectrum as FeatureSpectrum,
    bulks as bulks,
    sample_spectrum as sample_spectrum,
)
