"""What a noised point still tells: about its class, and about its clean point."""

from jaxwin.analysis.information._class_information import (
    ClassInformation as ClassInformation,
    class_information as class_information,
)
from jaxwin.analysis.information._mutual_information import (
    mutual_information as mutual_information,
)
