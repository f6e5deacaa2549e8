"""How fast events follow one another."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Pace:
    """`speed` times as fast as it happened, or `rate` events a second, else all at once."""

    speed: float | None = None
    rate: float | None = None

    @classmethod
    def parse(cls, speed: str | None, rate: str | None) -> "Pace":
        """From ``60x`` or ``max``, or from ``500`` or ``500/s``.

        Raises ConfigurationError for anything else, and for both at once.
        """
        if speed and rate:
            raise ConfigurationError("give --speed or --rate, not both")
        if rate:
            return cls(rate=_positive("--rate", rate, "/s"))
        if speed and speed != "max":
            return cls(speed=_positive("--speed", speed, "x"))
        return cls()

    def due(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """f64[n]: seconds after the first at which each is due, of event times i64[n] in ms."""
        if self.speed is not None:
            return (times - times[:1]) / (1000 * self.speed)
        if self.rate is not None:
            return np.arange(len(times)) / self.rate
        return np.zeros(len(times))


def _positive(option: str, text: str, unit: str) -> float:
    if not re.fullmatch(rf"\d+(\.\d+)?({unit})?", text) or not float(text.removesuffix(unit)):
        raise ConfigurationError(f"{option} {text!r} is not a number above 0 such as 60{unit}")
    return float(text.removesuffix(unit))
