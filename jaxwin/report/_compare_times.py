"""One time of a model beside that of the optimum."""

from typing import Any

import equinox as eqx
import numpy as np

from jaxwin.analysis import Crossing

# Times agree where they differ by at most so many standard errors, or by this share.
ERRORS, SHARE = 3.5, 0.01


class TimePair(eqx.Module):
    """A time read off the model and off the optimum in the same way; OU time.

    The errors of the two are taken as independent: random numbers that are shared make
    the true error of the difference smaller.
    """

    name: str = eqx.field(static=True)
    model: Crossing
    exact: Crossing

    @property
    def both(self) -> bool:
        """Whether the two have the time."""
        return bool(self.model.found) and bool(self.exact.found)

    @property
    def difference(self) -> float:
        """Model minus optimum; NaN where one of them has none."""
        return float(self.model.time) - float(self.exact.time) if self.both else np.nan

    @property
    def stderr(self) -> float:
        """Of the difference."""
        if not self.both:
            return np.nan
        return float(np.hypot(float(self.model.stderr), float(self.exact.stderr)))

    @property
    def agrees(self) -> bool:
        """Whether they are equal within errors, or there is none in either."""
        if not self.both:
            return bool(self.model.found) == bool(self.exact.found)
        slack = max(ERRORS * self.stderr, SHARE * abs(float(self.exact.time)))
        return abs(self.difference) <= slack

    def to_json(self) -> dict[str, Any]:
        """Both times, the difference with its error and interval, and `agrees`."""
        number = lambda value: None if np.isnan(value) else float(value)
        reach = 1.96 * self.stderr
        return {
            "model": self.model.to_json(),
            "exact": self.exact.to_json(),
            "difference": number(self.difference),
            "stderr": number(self.stderr),
            "low": number(self.difference - reach),
            "high": number(self.difference + reach),
            "agrees": self.agrees,
        }
