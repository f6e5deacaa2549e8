"""Looks through the live state for the people of the demo, beside the requests."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from api.catalogue.described import unrated
from api.demo.roles import Habits, cast
from api.errors import unavailable
from api.serving.watcher import Serving, ServingWatcher
from stream.contracts.keys import Position
from stream.features import UserState
from stream.store import StateStore
from stream.tasks import end
from training.artifact import Manifest
from training.movie_table import MovieTable

# People looked at: everybody of the small data sets. They are 35 MB of Redis, a few seconds of
# one process beside its requests; of more people the first that Redis happens to have.
MOST_PEOPLE: Final = 20_000

LASTS: Final = 600.0  # s until it is looked again; who was found before is shown meanwhile

# s that a request waits for the first time somebody looks.
PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays which part.

    Attributes:
        users: by name of the part.
        looked_at: how many people there were.
        version: of the model by which they are held out or not, None without one.
        until: instant of the monotonic clock up to which it holds.
    """

    users: dict[str, int]
    looked_at: int
    version: str | None
    until: float


class Casting:
    """The demo's people in the live state, found when they are first asked for.

    Processes that see the same state find the same people.
    """

    def __init__(self, store: StateStore, watcher: ServingWatcher) -> None:
        self._store = store
        self._watcher = watcher
        self._cast: Cast | None = None
        self._looking: asyncio.Task[Cast] | None = None

    async def people(self) -> Cast:
        """Who plays which part, as of some minutes ago at most.

        Raises:
            ProblemError: nobody has looked yet, and that takes too long to wait for (503).
            StoreUnavailable: the store does not answer, and nobody has looked before.
        """
        model = self._watcher.current.model
        version = model.event.version if model else None
        found = self._cast
        if found is None or found.version != version or time.monotonic() > found.until:
            looking = self._look()
            if found is None:
                return await self._wait_for(looking)
        return found

    async def again(self) -> Cast:
        """Who plays which part now: somebody who did is there no more. Raises as `people`."""
        return await self._wait_for(self._look())

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            await end(self._looking)

    def _look(self) -> asyncio.Task[Cast]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._find())
            # Where nobody waits for it, that it failed is told to who asks next.
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._looking

    async def _wait_for(self, looking: asyncio.Task[Cast]) -> Cast:
        try:
            return await asyncio.wait_for(asyncio.shield(looking), PATIENCE)
        except TimeoutError:
            raise unavailable("the demo's people are being looked for: ask again") from None

    async def _find(self) -> Cast:
        serving = self._watcher.current
        movies = await asyncio.to_thread(_table, serving)
        parts = [Habits.of({}, movies, [])]
        looked_at = 0
        for partition in range(serving.partitions or 0):
            position = await self._store.position(partition)
            if position is None:
                continue
            async for records in self._store.users(partition, position.generation):
                held_out = [
                    bool(held_out_of(serving, partition, position, record.state))
                    for record in records.values()
                ]
                parts.append(await asyncio.to_thread(Habits.of, records, movies, held_out))
                looked_at += len(records)
                if looked_at >= MOST_PEOPLE:
                    break
            if looked_at >= MOST_PEOPLE:
                break
        habits = await asyncio.to_thread(Habits.together, parts)
        model = serving.model
        self._cast = Cast(
            users=await asyncio.to_thread(cast, habits, movies.genre_names),
            looked_at=len(habits.users),
            version=model.event.version if model else None,
            until=time.monotonic() + LASTS,
        )
        return self._cast


def held_out_of(
    serving: Serving, partition: int, position: Position, state: UserState
) -> bool | None:
    """Whether the model has not learnt from somebody's latest rating; None without a model.

    Args:
        serving: whose model it is.
        partition: the user's.
        position: how far its state has got, in which topic.
        state: the user's.
    """
    if serving.model is None:
        return None
    manifest: Manifest = serving.model.artifact.manifest
    learnt = manifest.position
    if learnt is not None and learnt.topic_id == position.topic_id:
        return partition >= len(learnt.offsets) or state.last_offset >= learnt.offsets[partition]
    return state.last_event_time > manifest.until


def _table(serving: Serving) -> MovieTable:
    catalogue = serving.catalogue
    return MovieTable.of([unrated(catalogue[movie_id]) for movie_id in sorted(catalogue)])
