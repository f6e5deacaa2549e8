"""The seam between the fold and where its state lives."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.keys import Position
from stream.features import MovieState, UserState
from stream.kept import KeepingStore
from stream.records import MovieHeats, UserRecord


@dataclass(slots=True)
class Batch:
    """What one commit writes: whole new records, so that applying it needs no read.

    Users without events are erased.
    """

    users: Mapping[int, UserRecord] = field(default_factory=dict)
    movies: Mapping[int, MovieState] = field(default_factory=dict)


class Wanted(NamedTuple):
    """What `StateStore.load` is asked for."""

    partition: int
    generation: int
    users: Iterable[int]
    movies: Iterable[int]


class Commit(NamedTuple):
    """What `StateStore.commit` is given."""

    partition: int
    expected: Position | None
    new: Position
    batch: Batch


Loaded: TypeAlias = tuple[Position | None, dict[int, UserState], dict[int, MovieState]]


@dataclass(slots=True)
class Snapshot:
    """Part of a partition's state at one instant.

    Attributes:
        position: what was live, None where nothing was.
        users: the records asked for; those without state are left out.
        movies: every movie of the generation.
    """

    position: Position | None
    users: dict[int, UserRecord]
    movies: dict[int, MovieState]


class Catalogue(NamedTuple):
    """What a reader of the catalogue lacks.

    Attributes:
        version: to ask with next time.
        movies: by id.
        whole: whether these are all movies, in place of what the reader has; else those that have
            changed since.
    """

    version: int
    movies: dict[int, MovieEvent]
    whole: bool


class StateStore(KeepingStore, Protocol):
    """Live state by partition and generation.

    Everything raises StoreUnavailable when the store does not answer in time. `tests/suites`
    holds every implementation to the same behaviour.
    """

    async def position(self, partition: int) -> Position | None:
        """What is live in this partition; None before the first commit."""
        ...

    async def load(
        self, partition: int, generation: int, users: Iterable[int], movies: Iterable[int]
    ) -> Loaded:
        """The partition's position and the state of these users and movies, of one instant.

        Those without state are left out. Without the position a state read while the store was
        being filled again could be taken for that of the same position before.
        """
        ...

    async def load_together(self, wanted: Sequence[Wanted]) -> list[Loaded]:
        """`load` of each in one round trip, of an instant each."""
        ...

    async def commit(
        self, partition: int, expected: Position | None, new: Position, batch: Batch
    ) -> Position | None:
        """Write `batch` into `new.generation` and make `new` the position, if it is `expected`.

        All or nothing. Returns the position that is stored afterwards: `new` where the commit
        took (or had taken already), else what another writer stored, with nothing changed. A
        switch to another generation is refused too where the store lost that generation's number
        (it was emptied), and with it what was written there.
        """
        ...

    async def commit_together(self, commits: Sequence[Commit]) -> list[Position | None]:
        """`commit` of each in one round trip. Each is all or nothing, whatever the others are."""
        ...

    async def write(self, partition: int, generation: int, batch: Batch) -> None:
        """Write into a generation that is not live."""
        ...

    async def new_generation(self, partition: int) -> int:
        """A generation number higher than any this partition had; each caller gets its own."""
        ...

    async def drop_before(self, partition: int, generation: int) -> None:
        """Delete every older generation, left-overs of rebuilds that were given up included."""
        ...

    async def read_user(
        self, partition: int, user_id: int
    ) -> tuple[Position | None, UserRecord | None]:
        """A user's record and the partition's position, both of one instant."""
        ...

    async def read_users(
        self, users: Mapping[int, Sequence[int]]
    ) -> dict[int, tuple[Position | None, dict[int, UserState]]]:
        """States of many in one round trip: by partition, of one instant each.

        Those without state are left out. Vectors are left out too: it takes half the time.

        Args:
            users: by partition, a thousand at most and one at least.
        """
        ...

    async def holding(self, partition: int, user_id: int) -> list[int]:
        """The generations with a record of a user: the live one, and those of rebuilds that are
        under way or were given up."""
        ...

    def users(self, partition: int, generation: int) -> AsyncIterator[dict[int, UserRecord]]:
        """All users of a generation, in chunks, each of its own instant; some may come twice."""
        ...

    async def snapshot(self, partition: int, generation: int, users: Iterable[int]) -> Snapshot:
        """These users of a generation, all its movies and the partition's position, of one
        instant."""
        ...

    async def movies(self, partition: int, generation: int) -> dict[int, MovieState]:
        """All movies of a generation."""
        ...

    def heats(
        self, partition: int, generation: int, since: int | None = None
    ) -> AsyncIterator[MovieHeats]:
        """The heats of a generation's movies, in chunks, each of its own instant; a movie may come
        twice, its latest heats last.

        Where `since` is the `next_offset` of a position of this generation, only the movies that
        commits after that position wrote.
        """
        ...

    async def put_movies(self, events: Iterable[MovieEvent]) -> None:
        """Add to the catalogue or replace; repeating it changes nothing."""
        ...

    async def catalogue(self, known_version: int) -> Catalogue | None:
        """What has changed in the catalogue since `known_version`, None where nothing has.

        It is all of the catalogue where the store cannot tell what changed since then: it was
        emptied, an earlier release wrote to it, or the reader knows nothing yet (a version of 0).
        """
        ...

    async def put_model(self, event: ModelEvent) -> None:
        """Set the model to serve."""
        ...

    async def model(self) -> ModelEvent | None:
        """The model to serve, None before the first promotion."""
        ...

    async def put_partitions(self, partitions: int) -> None:
        """Tell readers how many partitions the `ratings` topic has."""
        ...

    async def partitions(self) -> int | None:
        """How many partitions the `ratings` topic has, None before a worker or rebuild said so."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...
