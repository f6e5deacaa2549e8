"""Where a worker reads on: where the store is, whatever the consumer group has committed.

So a store that was emptied or restored from an old snapshot is filled again, and a worker that
takes over does not repeat what is done.
"""

from collections.abc import Iterable

from faust.types import TP

from stream.contracts.topics import Topics
from stream.processor import Processor
from stream.retrying import retrying
from stream.store import StateStore
from stream.views import Views


class Resume:
    def __init__(
        self, topics: Topics, processor: Processor, store: StateStore, views: Views
    ) -> None:
        self._topics = topics
        self._processor = processor
        self._store = store
        self._views = views
        self._had = {topics.movies: False, topics.models: False}
        self._began: dict[int, int] = {}  # where, by partition of `ratings`

    async def start_offset(self, tp: TP) -> int | None:
        """The offset at which to begin; None: where the group left off.

        Raises Unavailable once trying again has not helped.
        """
        return await retrying()(self._start_offset, tp)

    async def lost(self, tps: Iterable[TP]) -> list[TP]:
        """Those partitions of which the store has less now than this process has seen there.

        Raises StoreUnavailable.
        """
        await self._views.refresh()
        had, self._had = self._had, self._has()
        return [
            tp
            for tp in tps
            if (
                await self._is_behind(tp.partition)
                if tp.topic == self._topics.ratings
                else had[tp.topic] and not self._had[tp.topic]
            )
        ]

    async def _start_offset(self, tp: TP) -> int | None:
        if tp.topic == self._topics.ratings:
            self._began[tp.partition] = await self._processor.resume(tp.partition)
            return self._began[tp.partition]
        await self._views.refresh()
        return None if self._has()[tp.topic] else 0

    async def _is_behind(self, partition: int) -> bool:
        known = self._processor.next_offset(partition) or self._began.get(partition, 0)
        stored = await self._store.position(partition)
        return known > (stored.next_offset if stored else 0)

    def _has(self) -> dict[str, bool]:
        return {
            self._topics.movies: bool(self._views.known_movies),
            self._topics.models: self._views.model is not None,
        }
