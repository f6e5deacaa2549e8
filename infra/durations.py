"""Durations as people write them."""

import re
from typing import Final

from stream.contracts.errors import ConfigurationError

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(text: str) -> float:
    """Of a duration such as ``15m``. Raises ConfigurationError."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found or not int(found[1]):
        raise ConfigurationError(f"{text!r} is no duration: give 90s, 15m, 6h or 1d")
    return float(found[1]) * _UNITS[found[2]]
