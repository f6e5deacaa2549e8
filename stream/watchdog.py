"""Ends a worker whose partitions stand still: dead consumers have been seen to look alive.

The restart gives its partitions to a process that works, and loses nothing.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from faust.types import TP

# Seconds that a partition with something to do may make no progress. Longer than agents try again
# when a service is away, for they say better what is wrong.
PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A partition at one moment.

    Attributes:
        behind: whether there is something to do.
        at: how far it is; any change is progress.
    """

    behind: bool
    at: Hashable


class Watchdog:
    """Remembers since when each partition has been where it is."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._since: dict[TP, tuple[Mark, float]] = {}

    def stalled(self, marks: Mapping[TP, Mark], now: float) -> list[TP]:
        """The partitions that have been behind without progress for longer than `patience`.

        Args:
            marks: the partitions assigned now; what is known of others is forgotten.
            now: seconds on a monotonic clock.
        """
        since = {}
        for tp, mark in marks.items():
            before = self._since.get(tp)
            since[tp] = before if before is not None and before[0] == mark else (mark, now)
        self._since = since
        return sorted(
            tp
            for tp, (mark, start) in since.items()
            if mark.behind and now - start > self._patience
        )
