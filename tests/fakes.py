"""Doubles at the seams, in memory. The conformance suites hold them to what the real ones do."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence

from stream.contracts import events
from stream.contracts.errors import BrokerUnavailable, EventsMissing
from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.keys import Position
from stream.features import MovieState, UserState
from stream.kept import MAX_KEPT, Kept, UserVersion
from stream.log import DeadLetter, LogRecord, Record
from stream.records import (
    MovieHeats,
    UserRecord,
    pack_movie,
    pack_user,
    unpack_heats,
    unpack_movie,
    unpack_user,
)
from stream.store import Batch, Catalogue, Commit, Loaded, Snapshot, Wanted


class MemoryStore:
    """`StateStore` in dictionaries, of packed values as in Redis, so that nothing is shared."""

    def __init__(self) -> None:
        self.flush()

    def flush(self) -> None:
        """Lose everything, as an emptied Redis does."""
        self.live: dict[int, Position] = {}
        self.numbers: dict[int, int] = {}
        self.user_values: dict[tuple[int, int], dict[int, bytes]] = {}
        self.movie_values: dict[tuple[int, int], dict[int, bytes]] = {}
        self.changed: dict[tuple[int, int], dict[int, int]] = {}
        self.kept_values: dict[tuple[int, int], dict[bytes, tuple[float, bytes]]] = {}
        self.movie_events: dict[int, bytes] = {}
        self.movie_versions: dict[int, int] = {}  # in which each movie came
        self.beginning = self.version = 0
        self.model_value: bytes | None = None
        self.partition_count: int | None = None

    async def position(self, partition: int) -> Position | None:
        return self.live.get(partition)

    async def load(
        self, partition: int, generation: int, users: Iterable[int], movies: Iterable[int]
    ) -> Loaded:
        records = self._records(partition, generation, users)
        movie_values = self.movie_values.get((partition, generation), {})
        return (
            self.live.get(partition),
            {user: record.state for user, record in records.items()},
            {movie: unpack_movie(movie_values[movie]) for movie in movies if movie in movie_values},
        )

    async def load_together(self, wanted: Sequence[Wanted]) -> list[Loaded]:
        return [await self.load(*one) for one in wanted]

    async def commit_together(self, commits: Sequence[Commit]) -> list[Position | None]:
        return [await self.commit(*one) for one in commits]

    async def commit(
        self, partition: int, expected: Position | None, new: Position, batch: Batch
    ) -> Position | None:
        stored = self.live.get(partition)
        switches = expected is None or expected.generation != new.generation
        forgotten = switches and self.numbers.get(partition, 0) < new.generation
        if stored != expected or forgotten:
            return stored
        await self.write(partition, new.generation, batch)
        for user, record in batch.users.items():
            if not record.state.events:
                self.kept_values.pop((partition, user), None)
        self.changed.setdefault((partition, new.generation), {}).update(
            dict.fromkeys(batch.movies, new.next_offset)
        )
        self.live[partition] = new
        return new

    async def write(self, partition: int, generation: int, batch: Batch) -> None:
        values = self.user_values.setdefault((partition, generation), {})
        for user, record in batch.users.items():
            if value := pack_user(record):
                values[user] = value
            else:
                values.pop(user, None)
        self.movie_values.setdefault((partition, generation), {}).update(
            {movie: pack_movie(state) for movie, state in batch.movies.items()}
        )

    async def new_generation(self, partition: int) -> int:
        self.numbers[partition] = self.numbers.get(partition, 0) + 1
        return self.numbers[partition]

    async def drop_before(self, partition: int, generation: int) -> None:
        for number in range(1, generation):
            self.user_values.pop((partition, number), None)
            self.movie_values.pop((partition, number), None)
            self.changed.pop((partition, number), None)

    async def read_user(
        self, partition: int, user_id: int
    ) -> tuple[Position | None, UserRecord | None]:
        position = self.live.get(partition)
        if position is None:
            return None, None
        return position, self._records(partition, position.generation, [user_id]).get(user_id)

    async def read_users(
        self, users: Mapping[int, Sequence[int]]
    ) -> dict[int, tuple[Position | None, dict[int, UserState]]]:
        found = {}
        for partition, some in users.items():
            each = [(user, await self.read_user(partition, user)) for user in some]
            states = {user: record.state for user, (_, record) in each if record is not None}
            found[partition] = (self.live.get(partition), states)
        return found

    async def read_user_with(
        self, partition: int, user_id: int, name: bytes
    ) -> tuple[Position | None, UserRecord | None, bytes | None]:
        position, record = await self.read_user(partition, user_id)
        expires, value = self.kept_values.get((partition, user_id), {}).get(name, (0.0, None))
        return position, record, value if expires > time.time() else None

    async def keep(self, things: Sequence[Kept]) -> list[bool]:
        return [await self._keep(thing) for thing in things]

    async def drop_kept(self, partition: int, user_id: int) -> None:
        self.kept_values.pop((partition, user_id), None)

    async def kept(self, partition: int, user_id: int) -> int:
        return len(self.kept_values.get((partition, user_id), {}))

    async def holding(self, partition: int, user_id: int) -> list[int]:
        return sorted(
            generation
            for (place, generation), values in self.user_values.items()
            if place == partition and user_id in values
        )

    async def users(self, partition: int, generation: int) -> AsyncIterator[dict[int, UserRecord]]:
        for user in list(self.user_values.get((partition, generation), {})):
            yield self._records(partition, generation, [user])

    async def snapshot(self, partition: int, generation: int, users: Iterable[int]) -> Snapshot:
        movies = await self.movies(partition, generation)
        return Snapshot(
            self.live.get(partition), self._records(partition, generation, users), movies
        )

    async def movies(self, partition: int, generation: int) -> dict[int, MovieState]:
        values = self.movie_values.get((partition, generation), {})
        return {movie: unpack_movie(value) for movie, value in values.items()}

    async def heats(
        self, partition: int, generation: int, since: int | None = None
    ) -> AsyncIterator[MovieHeats]:
        changed = self.changed.get((partition, generation), {})
        for movie, value in self.movie_values.get((partition, generation), {}).copy().items():
            if since is None or changed.get(movie, 0) > since:
                yield unpack_heats([movie], [value])

    async def put_movies(self, movies: Iterable[MovieEvent]) -> None:
        encoded = {movie.movie_id: events.encode(movie) for movie in movies}
        changed = {id_: it for id_, it in encoded.items() if self.movie_events.get(id_) != it}
        if not changed:
            return
        if max(self.movie_versions.values(), default=0) != self.version or not self.version:
            self.beginning = self.version = time.time_ns() // 1_000
            self.movie_versions.clear()
        self.version += 1
        self.movie_events |= changed
        self.movie_versions |= dict.fromkeys(changed, self.version)

    async def catalogue(self, known_version: int) -> Catalogue | None:
        if self.version == known_version:
            return None
        last = max(self.movie_versions.values(), default=0)
        whole = not self.beginning <= known_version < self.version or last != self.version
        since = {id_ for id_, version in self.movie_versions.items() if version > known_version}
        movies = {
            id_: events.decode_movie(value)
            for id_, value in self.movie_events.items()
            if whole or id_ in since
        }
        return Catalogue(self.version, movies, whole)

    async def put_model(self, event: ModelEvent) -> None:
        self.model_value = events.encode(event)

    async def model(self) -> ModelEvent | None:
        return None if self.model_value is None else events.decode_model(self.model_value)

    async def put_partitions(self, partitions: int) -> None:
        self.partition_count = partitions

    async def partitions(self) -> int | None:
        return self.partition_count

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def _keep(self, thing: Kept) -> bool:
        position, record = await self.read_user(thing.partition, thing.user_id)
        if position is None or UserVersion.of(position, record) != thing.of:
            return False
        kept = self.kept_values.setdefault((thing.partition, thing.user_id), {})
        if thing.name not in kept and len(kept) >= MAX_KEPT:
            del kept[min(kept)]
        kept[thing.name] = (time.time() + thing.seconds, thing.value)
        return True

    def _records(
        self, partition: int, generation: int, users: Iterable[int]
    ) -> dict[int, UserRecord]:
        values = self.user_values.get((partition, generation), {})
        return {user: unpack_user(values[user]) for user in users if user in values}


class MemoryLog:
    """`PartitionLog` in lists. Offsets need not be dense: compaction and transactions leave holes.

    Attributes:
        chunk: records a chunk of `read`.
    """

    def __init__(self, chunk: int = 3) -> None:
        self.chunk = chunk
        self.recreate("first")

    def recreate(self, topic_id: str) -> None:
        self._topic_id = topic_id
        self._records: dict[int, list[Record]] = {}
        self._begins: dict[int, int] = {}

    def append(self, partition: int, *records: Record) -> None:
        self._records.setdefault(partition, []).extend(records)

    def drop_before(self, partition: int, offset: int) -> None:
        """As a topic's retention does."""
        kept = [record for record in self.records(partition) if record.offset >= offset]
        self._records[partition], self._begins[partition] = kept, offset

    def records(self, partition: int) -> list[Record]:
        return self._records.get(partition, [])

    async def topic_id(self) -> str:
        return self._topic_id

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        if end > await self.end(partition):
            raise BrokerUnavailable(f"the log of partition {partition} does not reach {end}")
        if start < end and start < await self.begin(partition):
            raise EventsMissing(f"the log of partition {partition} no longer has {start}")
        wanted = [record for record in self.records(partition) if start <= record.offset < end]
        for at in range(0, len(wanted), self.chunk):
            yield wanted[at : at + self.chunk]

    async def begin(self, partition: int) -> int:
        return self._begins.get(partition, 0)

    async def end(self, partition: int) -> int:
        records = self.records(partition)
        return records[-1].offset + 1 if records else await self.begin(partition)


class MemoryDeadLetters:
    """`DeadLetters` in a list, in the order of burial."""

    def __init__(self) -> None:
        self.buried: list[DeadLetter] = []

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        self.buried += letters

    def origins(self) -> dict[tuple[str, int, int], str]:
        """(topic, partition, offset) of each letter, told apart as readers do, with its reason."""
        return {
            (letter.topic, letter.partition, letter.record.offset): letter.reason
            for letter in self.buried
        }
