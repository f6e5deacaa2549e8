"""Ends a worker whose partitions stand still: dead consumers have been seen to look alive.

The restart gives its partitions to a process that works, and loses nothing.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from faust.types import TP

from stream.transport import Progress

# Seconds that a partition with something to do may make no progress. Longer than agents try again
# when a service is away, for they say better what is wrong.
PATIENCE: Final = 60.0

# Seconds after which what was fetched at once keeps the others waiting. Mostly it takes a fraction
# of one; what fills a long gap in the state takes minutes.
LONG: Final = 5.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A partition at one moment.

    Attributes:
        behind: whether there is something to do.
        at: how far it is; any change is progress.
    """

    behind: bool
    at: Hashable


class Fetches:
    """Tells who waits from who stands still: nothing is fetched before all that was is finished."""

    def __init__(self) -> None:
        self._fetched: dict[TP, int] = {}  # what is under way, by where it ends
        self._since = 0.0

    def marks(
        self, progress: Mapping[TP, Progress], applied: Callable[[TP], Hashable], now: float
    ) -> dict[TP, Mark]:
        """A partition that waits for a long fetch of others has nothing to do itself, and those of
        the fetch get on with any of them.

        Args:
            progress: of the partitions assigned now.
            applied: what moves while a batch of a partition is applied.
            now: seconds on a monotonic clock.
        """
        under_way = {tp: it.fetched for tp, it in progress.items() if it.unfinished}
        if not under_way.items() <= self._fetched.items():
            self._fetched, self._since = under_way, now
        long = bool(under_way) and now - self._since > LONG
        moving = tuple(applied(tp) for tp in sorted(under_way))
        return {
            tp: Mark(
                behind=it.unfinished > 0 or (it.end > it.fetched and not long),
                at=(it.fetched, it.unfinished, moving if it.unfinished else None),
            )
            for tp, it in progress.items()
        }


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
