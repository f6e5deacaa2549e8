"""Is what was published here applied to the live state? It is what an API sees of the workers."""

import time
from collections.abc import Iterable
from typing import Final

from api.lists.freshness import LogPosition
from producers.publisher import Delivered
from stream.contracts.errors import Unavailable
from stream.store import StateStore

# s after which an event should have been applied: it takes some 10 ms, a worker's restart seconds.
PATIENCE: Final = 10.0


class Applied:
    """Remembers one event of each partition until it is applied, and when it was published."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[int, float]] = {}

    def published(self, places: Iterable[Delivered]) -> None:
        now = time.monotonic()
        for place in places:
            self._waiting.setdefault(place.partition, (place.offset, now))

    async def check(self, store: StateStore) -> str:
        """Says that all is applied, or may be yet.

        Raises Unavailable where it is overdue, or the store does not answer.
        """
        now = time.monotonic()
        late = []
        for partition, (offset, since) in list(self._waiting.items()):
            position = await store.position(partition)
            if position is not None and position.next_offset > offset:
                del self._waiting[partition]
            elif now - since > PATIENCE:
                late.append((since, LogPosition(partition, offset)))
        if late:
            since, first = min(late)
            raise Unavailable(
                f"{first}, sent {now - since:.0f} s ago, is not applied"
                + (f", nor what waits in {len(late) - 1} other partitions" * (len(late) > 1))
                + ": does a worker run?"
            )
        return "what was sent is applied"
