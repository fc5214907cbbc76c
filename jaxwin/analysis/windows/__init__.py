"""Windows of noise in which a feature is decided."""

from jaxwin.analysis.windows._confusion import (
    Confusion as Confusion,
    class_confusion as class_confusion,
)
