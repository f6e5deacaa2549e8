"""One instant by which a request shall be answered: stages are given what is left, or left out."""

import math
import time
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of the monotonic clock; by default one that never comes.

    It goes through all stages of a request, in place of timeouts of each that would add up.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until then, 0 once it has passed."""
        return max(self.at - time.monotonic(), 0.0)

    def left_or_none(self) -> float | None:
        """The same as what takes a timeout wants it: None where there is no end to wait for."""
        return None if self.at == math.inf else self.left()

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.at


class DeadlinePassed(Exception):  # noqa: N818 - it is no fault
    """There was not enough time left."""


NEVER: Final = Deadline()
