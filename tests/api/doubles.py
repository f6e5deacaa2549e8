"""Doubles at the API's boundary: an index, a model and a log that need no files and no servers."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from api.lists.ranking import HOTTEST
from producers.publisher import Delivered, Message
from stream.coldstart import ItemVectors
from stream.contracts.errors import BrokerUnavailable, IndexUnavailable, StoreUnavailable
from stream.contracts.events import (
    ForgetEvent,
    MovieEvent,
    RatingEvent,
    UserEvent,
    decode_movie,
    decode_user_event,
)
from stream.contracts.experiments import (
    ExperimentEvent,
    ExposureEvent,
    FeedbackEvent,
    decode_exposure,
    decode_feedback,
)
from stream.contracts.keys import Position
from stream.contracts.topics import Topics, partition_of
from stream.experiments.outcomes import Sums
from stream.features import FEATURE_VERSION, UserState, fold
from stream.records import UserRecord
from stream.store import Batch
from tests.fakes import MemoryStore
from tests.planted_ratings import planted_predictor
from training.artifact import LAYOUT, Manifest
from training.index import IndexedMovie, check_dimension, check_points
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.movie_table import MovieTable
from training.ranking import TOWERS, Links, Ranking
from training.tower_inputs import Content

PARTITIONS = 4
TOPIC_ID = "topic"

LEARNT_UNTIL = 1_600_000_000_000  # ms: the model has learnt from no later rating


class MemoryIndex:
    """`MovieIndex` by brute force."""

    in_process = True

    def __init__(self, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]) -> None:
        check_points([movie.movie_id for movie in movies], vectors)
        self._movies = {movie.movie_id: movie for movie in movies}
        self._vectors = vectors.copy()
        self.failing = False
        self.closed = False

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        exclude: Collection[int] = (),
        wanted: MovieFilter = ALL_MOVIES,
    ) -> list[tuple[int, float]]:
        self._check()
        check_dimension(vector, self._vectors.shape[1])
        scores = self._vectors @ vector
        ids = [
            id_ if id_ not in exclude and wanted.wants(movie) else None
            for id_, movie in self._movies.items()
        ]
        hits = [(ids[row], float(scores[row])) for row in np.argsort(-scores).tolist()]
        return [(id_, score) for id_, score in hits if id_ is not None][:limit]

    def movies(self, movie_ids: Collection[int]) -> dict[int, IndexedMovie]:
        self._check()
        return {id_: self._movies[id_] for id_ in movie_ids if id_ in self._movies}

    def count(self) -> int:
        self._check()
        return len(self._movies)

    def upsert(self, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]) -> None:
        self._check()
        check_points([movie.movie_id for movie in movies], vectors, self._vectors.shape[1])
        for movie, vector in zip(movies, vectors, strict=True):
            if movie.movie_id in self._movies:
                self._vectors[list(self._movies).index(movie.movie_id)] = vector
            else:
                self._vectors = np.vstack([self._vectors, vector])
            self._movies[movie.movie_id] = movie

    def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        assert not self.closed, "used after it was closed"
        if self.failing:
            raise IndexUnavailable("the index is told to fail")


class PlantedArtifact:
    """A model whose user vector is that of the movie rated last.

    Its ranker goes by that; of movies equally near the hotter one comes first. What follows a movie
    that was rated is proposed as well. A movie that it did not learn lies where the one is whose
    row its year says, counted from 1900.
    """

    def __init__(self, items: ItemVectors, movies: Sequence[IndexedMovie]) -> None:
        self.items = items
        self.manifest = Manifest(
            layout=LAYOUT,
            version=items.version,
            feature_version=FEATURE_VERSION,
            created_at="2026-01-01T00:00:00+00:00",
            dimensions=items.vectors.shape[1],
            history=50,
            genres=(),
            data_hash="planted",
            until=LEARNT_UNTIL,
            config={},
            metrics={},
            files={},
        )
        self._movies = MovieTable.of(movies)
        following = sparse.csr_array(np.eye(len(movies), k=1, dtype=np.float32))
        self.ranking = Ranking(
            links={"following": Links(following, recency=1.0, liked_from=1)},
            weights={
                TOWERS: np.array([1_000, 0, 0], np.float32),
                "following": np.array([1e-3, 0, 0], np.float32),
                "heat_30": np.array([1e-3, 0, 0], np.float32),
            },
            newcomers=HOTTEST,
            proposed={TOWERS: 50, "following": 10, "heat_30": 10},
        )
        self.predictor = planted_predictor(movies)

    def movies(self) -> MovieTable:
        return self._movies

    def item_vectors_for(self, movies: Sequence[Content]) -> npt.NDArray[np.float32]:
        rows = [(movie.year or 1900) - 1900 for movie in movies]
        return self.items.vectors[np.array(rows, np.int64)]

    def user_vectors(self, states: Sequence[UserState]) -> npt.NDArray[np.float32]:
        last = np.array([state.movie_ids()[-1] for state in states])
        return self.items.vectors[self.items.rows(last)]


class Store(MemoryStore):
    """`MemoryStore` that can be unreachable."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False

    def check(self) -> None:
        if self.failing:
            raise StoreUnavailable("the store is told to fail")

    async def position(self, partition: int) -> Position | None:
        self.check()
        return await super().position(partition)

    async def read_users(
        self, users: Mapping[int, Sequence[int]]
    ) -> dict[int, tuple[Position | None, dict[int, UserState]]]:
        self.check()
        return await super().read_users(users)

    async def read_user(
        self, partition: int, user_id: int
    ) -> tuple[Position | None, UserRecord | None]:
        self.check()
        return await super().read_user(partition, user_id)

    async def partitions(self) -> int | None:
        self.check()
        return await super().partitions()

    async def ping(self) -> None:
        self.check()


class Experiments:
    """`ExperimentStore` in memory."""

    def __init__(self) -> None:
        self.events: list[ExperimentEvent] = []
        self.counted = Sums()

    def put(self, event: ExperimentEvent) -> None:
        self.events = [it for it in self.events if it.name != event.name] + [event]

    async def definitions(self) -> list[ExperimentEvent]:
        return self.events

    async def sums(self, experiment: str, round_: int) -> Sums:
        wanted = {at: it for at, it in self.counted.items() if at[0][:2] == (experiment, round_)}
        return Sums(wanted)

    async def close(self) -> None:
        pass


class Log:
    """A publisher, and the worker behind it: what is sent is in the state after `apply`.

    Attributes:
        lag: whether the worker waits for `apply` to be called.
        failing: whether the broker acknowledges nothing.
        events: the ratings acknowledged, in order.
        wishes: the wishes to be forgotten likewise.
        movies: the movies likewise; they are in the catalogue at once.
        exposures: what was shown, whether or not the broker fails.
        feedback: what was said of it, acknowledged.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ends = dict.fromkeys(range(PARTITIONS), 0)
        self._pending: list[tuple[int, int, UserEvent]] = []
        self.lag = False
        self.failing = False
        self.events: list[RatingEvent] = []
        self.wishes: list[ForgetEvent] = []
        self.movies: list[MovieEvent] = []
        self.exposures: list[ExposureEvent] = []
        self.feedback: list[FeedbackEvent] = []

    def offer(self, message: Message) -> None:
        event = decode_exposure(message.value, message.key, 2**42)
        assert isinstance(event, ExposureEvent)
        self.exposures.append(event)

    async def send(self, messages: Sequence[Message]) -> list[Delivered]:
        if self.failing:
            raise BrokerUnavailable("the broker is told to fail")
        delivered = []
        for message in messages:
            if message.topic == Topics().movies:
                movie = decode_movie(message.value)
                assert message.key == b"%d" % movie.movie_id
                delivered.append(Delivered(message.topic, 0, len(self.movies)))
                self.movies.append(movie)
                await self._store.put_movies([movie])
                continue
            if message.topic in Topics().shown:
                self._of_experiments(message)
                delivered.append(Delivered(message.topic, 0, 0))
                continue
            event = decode_user_event(message.value, message.key, 2**42)
            partition = partition_of(event.user_id, PARTITIONS)
            delivered.append(Delivered(message.topic, partition, self._ends[partition]))
            self._pending.append((partition, self._ends[partition], event))
            self._ends[partition] += 1
            if isinstance(event, RatingEvent):
                self.events.append(event)
            else:
                self.wishes.append(event)
        if not self.lag:
            await self.apply()
        return delivered

    def _of_experiments(self, message: Message) -> None:
        if message.topic == Topics().exposures:
            assert isinstance(decode_exposure(message.value, message.key, 2**42), ForgetEvent)
            return
        event = decode_feedback(message.value, message.key, 2**42)
        if isinstance(event, FeedbackEvent):
            self.feedback.append(event)

    async def apply(self) -> None:
        for partition, offset, event in self._pending:
            before = await self._store.position(partition)
            generation = (
                before.generation if before else await self._store.new_generation(partition)
            )
            rated = [event.movie_id] if isinstance(event, RatingEvent) else []
            _, users, movies = await self._store.load(partition, generation, [event.user_id], rated)
            writes = fold(users, movies, [(offset, event)])
            records = {user: UserRecord(state) for user, state in writes.users.items()}
            after = Position(generation, TOPIC_ID, offset + 1)
            committed = await self._store.commit(
                partition, before, after, Batch(records, writes.movies)
            )
            assert committed == after
        self._pending.clear()

    async def check(self) -> None:
        if self.failing:
            raise BrokerUnavailable("the broker is told to fail")

    def close(self) -> None:
        pass
