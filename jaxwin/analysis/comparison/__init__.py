"""Learned against optimal: errors of a denoiser, and what it generates."""

from jaxwin.analysis.comparison._errors import (
    DenoiserErrors as DenoiserErrors,
    denoiser_errors as denoiser_errors,
)
from jaxwin.analysis.comparison._generate import TO as TO, generate as generate
from jaxwin.analysis.comparison._samples import (
    SampleQuality as SampleQuality,
    sample_quality as sample_quality,
)
