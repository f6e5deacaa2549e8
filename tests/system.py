"""The whole product with real servers, as tests see it: REST, topics, commands, and what is stored.

One system serves all tests of a broker. Each test takes users that no other has, so that it can
count their events; what concerns movies is shared, and tests do not assert it.
"""

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import httpx
import pytest
from confluent_kafka import Producer
from tenacity import Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from infra import services
from infra.local import ANY_PORTS, FRESHET, Broker, LocalStack
from infra.settings import Settings
from producers.publisher import BulkPublisher
from stream.contracts.events import MovieEvent, RatingEvent, encode, new_event_id
from stream.contracts.keys import Position
from stream.contracts.topics import LIBRDKAFKA_PARTITIONER, Topics, partition_of
from stream.records import UserRecord
from stream.redis_store import RedisStore
from tests.planted_model import BY_ID, CATALOGUE, Movie, Trait
from training.artifact import Artifact
from training.promotion import announce

PARTITIONS: Final = 4
WORKERS: Final = ("worker-1", "worker-2")

# Seconds. What is waited for takes a few at most; two workers, killed together, that come back to
# a group whose members have not timed out yet take the longest.
DEADLINE: Final = 90.0

# ms that the API may take for a list. A second, as by default, is too little on a busy machine now
# and then, and the list comes without what was late.
PATIENCE: Final = 10_000

LONG_AGO: Final = 1_100_000_000_000  # ms: such ratings are too old to change what is trending

T = TypeVar("T")


def eventually(ask: Callable[[], T], holds: Callable[[T], bool] = bool) -> T:
    """What `ask` answers, as soon as `holds` is true of it; fails after `DEADLINE`."""
    answer: T = Retrying(
        retry=retry_if_not_result(holds),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(DEADLINE),
        retry_error_callback=lambda state: pytest.fail(
            f"still not after {DEADLINE:g} s: {state.outcome and state.outcome.result()!r}"
        ),
    )(ask)
    return answer


class Place(NamedTuple):
    """Where the broker put a record."""

    partition: int
    offset: int


class Outgoing(NamedTuple):
    """A record to produce as it is; -1: in the partition of its key."""

    key: bytes | None
    value: bytes | None
    partition: int = -1


class System:
    """A running stack whose catalogue is `planted_model.CATALOGUE`.

    Attributes:
        stack: its processes.
        api: a client of its API.
        kafka: `Settings.librdkafka()`.
    """

    def __init__(self, stack: LocalStack, models: Mapping[Trait, Path]) -> None:
        self.stack = stack
        self.models = models
        self.kafka = stack.settings.librdkafka()
        self.topics = Topics(stack.settings.kafka_topic_prefix)
        self.api = httpx.Client(base_url=stack.api_url, timeout=DEADLINE)
        self._ids = count(1_000)

    # Who is there, and what they do.

    def users(self, number: int, partition: int | None = None) -> list[int]:
        """Users nobody has seen yet; all of one partition if one is given."""
        ids = (
            user
            for user in self._ids
            if partition is None or partition_of(user, PARTITIONS) == partition
        )
        return [next(ids) for _ in range(number)]

    def user(self) -> int:
        return self.users(1)[0]

    def post(
        self, user: int, *ratings: tuple[int, float], key: str | None = None
    ) -> httpx.Response:
        """POST (movie id, stars) of one user."""
        body = [{"user_id": user, "movie_id": m, "rating": stars} for m, stars in ratings]
        headers = {"Idempotency-Key": key} if key else {}
        return self.api.post("/api/v1/ratings", json=body, headers=headers)

    def rate(self, user: int, *ratings: tuple[int, float]) -> str:
        """Post ratings, which must be accepted; the position of the last."""
        answer = self.post(user, *ratings)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["positions"][str(user)])

    def recommend(self, user: int, **params: str | int) -> dict[str, Any]:
        """GET recommendations, which must succeed."""
        answer = self.api.get(f"/api/v1/recommendations/{user}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def recommend_after(self, user: int, position: str, **params: str | int) -> dict[str, Any]:
        """GET recommendations that include the event at `position`."""
        answer = self.recommend(user, after=position, wait_ms=10_000, **params)
        assert answer["freshness"]["included"] is True
        return answer

    def fan(self, number: int = 5) -> tuple[int, list[Movie]]:
        """Someone who loves `number` movies, which agree in genre and in decade."""
        user = self.user()
        loved = [it for it in CATALOGUE if (it.genre, it.decade) == ("Horror", 1970)][:number]
        self.recommend_after(user, self.rate(user, *((m.movie_id, 5.0) for m in loved)))
        return user, loved

    # The topics.

    def produce(self, topic: str, *records: Outgoing) -> list[Place]:
        """Produce whatever it is, in order, and return once the broker has it."""
        places: dict[int, Place] = {}

        def report(index: int, error: object, message: Any) -> None:
            assert error is None, error
            places[index] = Place(message.partition(), message.offset())

        producer = Producer(
            {**self.kafka, "partitioner": LIBRDKAFKA_PARTITIONER, "enable.idempotence": True}
        )
        for index, (key, value, partition) in enumerate(records):
            producer.produce(topic, value, key, partition, on_delivery=partial(report, index))
        assert producer.flush(DEADLINE) == 0
        return [places[index] for index in range(len(records))]

    def publish_movies(self, movies: Sequence[Movie]) -> None:
        now = int(time.time() * 1000)
        BY_ID.update({movie.movie_id: movie for movie in movies})
        events = [
            MovieEvent(
                event_id=new_event_id(),
                movie_id=movie.movie_id,
                title=movie.title,
                genres=(movie.genre,),
                year=movie.year,
                event_time=now,
                produced_time=now,
                source="replay",
            )
            for movie in movies
        ]
        with BulkPublisher(self.kafka) as publisher:
            for event in events:
                publisher.publish(self.topics.movies, b"%d" % event.movie_id, encode(event))

    def add_movie(self, movie: Movie, *tags: str) -> None:
        """Through the API."""
        BY_ID[movie.movie_id] = movie
        body = {"genres": [movie.genre], "tags": tags, **movie._asdict()}
        del body["genre"]
        answer = self.api.post("/api/v1/movies", json=body)
        assert answer.status_code == 202, answer.text

    def promote(self, trait: Trait) -> str:
        """Have the model that groups movies by `trait` served; its version."""
        artifact = Artifact.load(self.models[trait])
        return announce(artifact, self.kafka, self.topics.models).version

    def populate(self) -> None:
        """A catalogue, something trending, and the model of genres; returns once all is served."""
        self.publish_movies(CATALOGUE)
        now = int(time.time() * 1000)
        events = [
            rating(user, movie.movie_id, event_time=now)
            for user, movie in zip(self.users(60), CATALOGUE, strict=False)
        ]
        self.produce(
            self.topics.ratings, *(Outgoing(b"%d" % it.user_id, encode(it)) for it in events)
        )
        version = self.promote("genre")
        readiness = eventually(lambda: self.api.get("/readyz").json(), lambda it: bool(it["ready"]))
        assert readiness["checks"]["model"]["detail"] == version
        eventually(lambda: self.recommend(self.user())["items"])

    # The commands.

    def freshet(self, *arguments: str, status: int = 0) -> str:
        """What `freshet <arguments>` prints when it ends with this exit status."""
        done = subprocess.run(
            [*FRESHET, *arguments],
            env={**os.environ, **self.stack.env, "COLUMNS": "250"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        assert done.returncode == status, f"exit status {done.returncode}:\n{done.stdout}"
        return done.stdout

    @contextmanager
    def another_api(self, **settings: str) -> Iterator[httpx.Client]:
        """An API beside the system's own, with other settings."""
        port = services.free_port()
        variables = {f"FRESHET_{name.upper()}": value for name, value in settings.items()}
        env = {**os.environ, **self.stack.env, **variables, "FRESHET_API_PORT": str(port)}
        process = subprocess.Popen([*FRESHET, "api"], env=env, stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as client:
                eventually(lambda: _answers(client))
                yield client
        finally:
            process.terminate()
            process.wait(DEADLINE)

    # What is stored.

    def ask(self, question: Callable[[RedisStore], Coroutine[Any, Any, T]]) -> T:
        """Ask the store itself."""

        async def asking() -> T:
            store = RedisStore(str(self.stack.settings.redis_url))
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(asking())

    def positions(self) -> list[Position | None]:
        """The position of each partition."""

        async def read(store: RedisStore) -> list[Position | None]:
            return [await store.position(partition) for partition in range(PARTITIONS)]

        return self.ask(read)

    def records(self, users: Iterable[int]) -> dict[int, UserRecord]:
        """The records of those who have one."""

        async def read(store: RedisStore) -> dict[int, UserRecord]:
            found = {}
            for user in users:
                _, record = await store.read_user(partition_of(user, PARTITIONS), user)
                if record is not None:
                    found[user] = record
            return found

        return self.ask(read)

    def applied(self, users: Iterable[int]) -> Counter[int]:
        """How many events of each user were applied."""
        return Counter({user: it.state.events for user, it in self.records(users).items()})

    def assert_applied(self, events: Mapping[int, int]) -> None:
        """Everyone's events are applied, soon, and none of them more than once."""

        def at_least(applied: Counter[int]) -> bool:
            return applied >= Counter(events)

        assert eventually(lambda: self.applied(events), at_least) == events

    def metric(self, name: str) -> float:
        """The sum of a counter over its labels and the workers."""
        total = 0.0
        for worker in WORKERS:
            exposition = httpx.get(self.stack.process(worker).service.address).text
            for line in exposition.splitlines():
                if line.startswith((f"{name} ", f"{name}{{")):
                    total += float(line.split()[-1])
        return total


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").is_success
    except httpx.TransportError:
        return False


def rating(user: int, movie: int, stars: float = 4.0, event_time: int = LONG_AGO) -> RatingEvent:
    return RatingEvent(
        event_id=new_event_id(),
        user_id=user,
        movie_id=movie,
        rating=stars,
        event_time=event_time,
        produced_time=int(time.time() * 1000),
        source="replay",
    )


@contextmanager
def running(broker: Broker, home: Path, models: Mapping[Trait, Path]) -> Iterator[System]:
    """A system on this broker, populated. Raises ConfigurationError where Java or Maven is missing.

    All of it is its own, even where the environment points at servers that run elsewhere.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "QDRANT_URL"):
            environment.delenv(f"FRESHET_{name}", raising=False)
        settings = Settings(
            home=home, kafka_partitions=PARTITIONS, api_port=0, api_deadline_ms=PATIENCE
        )
        with LocalStack(settings, broker, len(WORKERS), ANY_PORTS) as stack:
            system = System(stack, models)
            with system.api:
                system.populate()
                yield system
