"""What a noised point still tells: about its class, and about its clean point."""

from jaxwin.analysis.information._class_information import (
    ClassInformation as ClassInformation,
    class_information as class_information,
)
from jaxwin.analysis.information._class_rate import (
    ClassRate as ClassRate,
    class_rate as class_rate,
)
from jaxwin.analysis.information._measured import (
    measured_class_information as measured_class_information,
)
from jaxwin.analysis.information._mmse import (
    DenoisingInformation as DenoisingInformation,
    from_losses as from_losses,
    from_mmse as from_mmse,
)
from jaxwin.analysis.information._mutual_information import (
    mutual_information as mutual_information,
)
from jaxwin.analysis.information._peak import Peak as Peak
from jaxwin.analysis.information._score_certificate import (
    ScoreCertificate as ScoreCertificate,
    score_error_certificate as score_error_certificate,
)
from jaxwin.analysis.information._score_gap import (
    ScoreGap as ScoreGap,
    score_gap as score_gap,
)
