"""A partition's log, a store that can fail anywhere, and what the state has to be in the end."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from stream.archive import Archive
from stream.archive_files import SCHEMA
from stream.coldstart import ItemVectors
from stream.contracts.errors import StoreUnavailable
from stream.contracts.events import ForgetEvent, RatingEvent, UserEvent
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import MovieState, UserState, Writes, fold
from stream.log import DeadLetter, Record
from stream.processor import Processor
from stream.store import Batch, StateStore
from tests.fakes import MemoryDeadLetters, MemoryLog, MemoryStore
from tests.stream.build import DAY, START, forget, rating, record

TOPIC = "ratings"
PARTITIONS = 2
PARTITION = 1
HERE = [user for user in range(1, 50) if partition_of(user, PARTITIONS) == PARTITION][:3]
ELSEWHERE = next(user for user in range(1, 50) if partition_of(user, PARTITIONS) != PARTITION)


@dataclass(frozen=True)
class Entry:
    """One record of the log, and what ought to become of it: an event, or a reason."""

    record: Record
    event: UserEvent | None
    reason: str | None = None


def entry(offset: int, event: RatingEvent, wrong: str | None) -> Entry:
    good = record(offset, event)
    match wrong:
        case None:
            return Entry(good, event)
        case "malformed_json":
            return Entry(good._replace(value=b"{"), None, wrong)
        case "empty":
            return Entry(good._replace(value=None), None, wrong)
        case "key_mismatch":
            return Entry(good._replace(key=b"0"), None, wrong)
        case "time_ahead":
            return Entry(good._replace(timestamp=event.event_time - 2 * DAY), None, wrong)
        case "rating_range":
            value = (good.value or b"").replace(b'"rating":%.1f' % event.rating, b'"rating":9.0')
            return Entry(good._replace(value=value), None, wrong)
        case "misrouted":
            stray = replace_user(event, ELSEWHERE)
            return Entry(record(offset, stray), None, wrong)
        case _:
            raise AssertionError(wrong)


def plain_log(n: int = 6) -> list[Entry]:
    return [
        entry(offset, rating(HERE[offset % 3], offset % 4 + 1, 3.5, START + offset * DAY), None)
        for offset in range(n)
    ]


def replace_user(event: RatingEvent, user: int) -> RatingEvent:
    return rating(user, event.movie_id, event.rating, event.event_time)


REASONS = ("malformed_json", "empty", "key_mismatch", "time_ahead", "rating_range", "misrouted")


@st.composite
def logs(draw: st.DrawFn, most: int = 20) -> list[Entry]:
    """Few users and movies, so that ratings replace one another; some are forgotten; holes in the
    offsets."""
    entries = []
    offset = 0
    for _ in range(draw(st.integers(1, most))):
        user = draw(st.sampled_from(HERE))
        time = START + draw(st.integers(0, 90)) * DAY
        if draw(st.integers(0, 7)) == 0:
            gone = forget(user, time)
            entries.append(Entry(record(offset, gone), gone))
            offset += 1
            continue
        event = rating(
            user,
            draw(st.integers(1, 4)),
            draw(st.integers(1, 10)) / 2,
            time,
        )
        wrong = draw(st.none() | st.none() | st.none() | st.sampled_from(REASONS))
        entries.append(entry(offset, event, wrong))
        offset += draw(st.sampled_from((1, 1, 1, 3)))
    return entries


class FaultyStore(MemoryStore):
    """Fails once at the point that `fault` names, and lets others run as often as `turns` says."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: str | None = None
        self.turns = cycle((0,))

    async def pass_by(self, point: str) -> None:
        for _ in range(next(self.turns)):
            await asyncio.sleep(0)
        if self.fault == point:
            self.fault = None
            raise StoreUnavailable(point)

    async def load(
        self, partition: int, generation: int, users: Iterable[int], movies: Iterable[int]
    ) -> tuple[Position | None, dict[int, UserState], dict[int, MovieState]]:
        await self.pass_by("load")
        return await super().load(partition, generation, users, movies)

    async def commit(
        self, partition: int, expected: Position | None, new: Position, batch: Batch
    ) -> Position | None:
        await self.pass_by("before the commit")
        stored = await super().commit(partition, expected, new, batch)
        await self.pass_by("after the commit")
        return stored

    async def drop_before(self, partition: int, generation: int) -> None:
        await self.pass_by("before the drop")
        await super().drop_before(partition, generation)


FAULTS = (
    "load",
    "before the burial",
    "after the burial",
    "before the commit",
    "after the commit",
    "before the drop",
)


class FaultyDeadLetters(MemoryDeadLetters):
    def __init__(self, store: FaultyStore) -> None:
        super().__init__()
        self.store = store

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        await self.store.pass_by("before the burial")
        await super().bury(letters)
        await self.store.pass_by("after the burial")


@dataclass
class World:
    entries: list[Entry] = field(default_factory=list)
    store: FaultyStore = field(default_factory=FaultyStore)
    log: MemoryLog = field(default_factory=MemoryLog)
    items: ItemVectors | None = None

    def __post_init__(self) -> None:
        self.dead_letters = FaultyDeadLetters(self.store)
        self.log.append(PARTITION, *(entry.record for entry in self.entries))

    def worker(self) -> Processor:
        """A process that has just started."""
        return processor(self.store, self.log, self.dead_letters, self.items)

    def recreate_topic(self, topic_id: str, entries: list[Entry]) -> None:
        self.entries = entries
        self.log.recreate(topic_id)
        self.log.append(PARTITION, *(entry.record for entry in entries))

    def straight_fold(self) -> Writes:
        return straight_fold(self.entries)

    def invalid(self) -> dict[tuple[str, int, int], str]:
        """Origin and reason of every dead letter that there has to be."""
        return {
            (TOPIC, PARTITION, entry.record.offset): entry.reason
            for entry in self.entries
            if entry.reason
        }


def processor(
    store: StateStore,
    log: MemoryLog,
    dead_letters: MemoryDeadLetters,
    items: ItemVectors | None = None,
) -> Processor:
    return Processor(
        store,
        log,
        dead_letters,
        topic=TOPIC,
        partitions=PARTITIONS,
        items=lambda: items,
        known_movies=lambda: {1, 2, 3},
    )


def straight_fold(entries: Iterable[Entry]) -> Writes:
    """The state that every history of deliveries has to end in."""
    whole = fold({}, {}, [(e.record.offset, e.event) for e in entries if e.event])
    whole.users = {user: state for user, state in whole.users.items() if state.events}
    return whole


async def live_state(store: StateStore, partition: int = PARTITION) -> Writes:
    position = await store.position(partition)
    if position is None:
        return Writes()
    users = {
        user: found.state
        async for chunk in store.users(partition, position.generation)
        for user, found in chunk.items()
    }
    return Writes(users, await store.movies(partition, position.generation))


def archived(archive: Archive, topic_id: str, partition: int, entries: Sequence[Entry]) -> None:
    """Have the archive go on with these, as the archiver would at once."""
    begin = archive.span(topic_id, partition).end or entries[0].record.offset
    end = entries[-1].record.offset + 1
    rows: list[dict[str, Any]] = []
    for it in entries:
        at = it.record.offset
        match it.event:
            case RatingEvent() as event:
                stars = {
                    name: getattr(event, name) for name in SCHEMA.names if hasattr(event, name)
                }
                rows.append(stars | {"record_time": it.record.timestamp, "offset": at})
            case ForgetEvent() as event:
                archive.erase(topic_id, partition, {event.user_id}, at)
                rows = [row for row in rows if row["user_id"] != event.user_id]
    archive.append(topic_id, partition, begin, end, pa.Table.from_pylist(rows, SCHEMA))
