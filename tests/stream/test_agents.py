"""What is done with a batch of each topic; invalid records are counted and stop nothing."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.agents import Appliers
from stream.contracts.errors import StoreUnavailable, Unavailable
from stream.contracts.events import ModelEvent, MovieEvent, encode
from stream.contracts.topics import Topics
from stream.log import Record
from stream.metrics import Metrics
from stream.retrying import retrying
from tests.fakes import MemoryDeadLetters, MemoryLog, MemoryStore
from tests.stream.build import START, rating
from tests.stream.world import ELSEWHERE, HERE, PARTITION, entry, processor

TOPICS = Topics()


def movie(movie_id: int, title: str = "Heat") -> MovieEvent:
    return MovieEvent(
        event_id="m",
        movie_id=movie_id,
        title=title,
        genres=("Crime",),
        year=1995,
        event_time=START,
        produced_time=START,
        source="replay",
    )


def model(version: str) -> ModelEvent:
    return ModelEvent(
        event_id="m",
        version=version,
        artifact="/nowhere",
        collection="movies",
        event_time=START,
        produced_time=START,
    )


def records(*values: bytes | None) -> list[Record]:
    return [Record(offset, START, b"key", value) for offset, value in enumerate(values)]


class Setting:
    def __init__(self) -> None:
        self.store, self.log, self.dead = MemoryStore(), MemoryLog(), MemoryDeadLetters()
        self.metrics = Metrics()
        self.appliers = Appliers(
            TOPICS, processor(self.store, self.log, self.dead), self.store, self.metrics
        )

    def metric(self, name: str, **labels: str) -> float | None:
        registry: CollectorRegistry = self.metrics.registry
        return registry.get_sample_value(name, labels)


async def test_movies_reach_the_catalogue_and_invalid_ones_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setting = Setting()
    batch = records(encode(movie(1)), b"{", None, encode(movie(2)), encode(movie(1, "Heat II")))
    await setting.appliers.movies({0: batch})
    catalogue = await setting.store.catalogue(0)
    assert catalogue is not None
    assert catalogue.movies == {1: movie(1, "Heat II"), 2: movie(2)}
    await setting.appliers.movies({0: batch})  # repeating it changes nothing
    assert await setting.store.catalogue(catalogue.version) is None
    counted = {
        reason: setting.metric("freshet_invalid_records_total", topic="movies", reason=reason)
        for reason in ("malformed_json", "empty")
    }
    assert counted == {"malformed_json": 2, "empty": 2}
    assert "movies, offset 1: left out: malformed_json" in caplog.text


async def test_the_last_valid_model_is_the_one_to_serve() -> None:
    setting = Setting()
    await setting.appliers.models({0: records(b"{")})
    assert await setting.store.model() is None
    await setting.appliers.models({0: records(encode(model("a")), encode(model("b")), b"{")})
    assert await setting.store.model() == model("b")


async def test_ratings_are_applied_and_counted() -> None:
    setting = Setting()
    good = [entry(at, rating(HERE[0], movie, 4.0), None) for at, movie in enumerate((1, 2, 9))]
    bad = [
        entry(3, rating(HERE[0], 1, 4.0), "malformed_json"),
        entry(4, rating(ELSEWHERE, 1, 4.0), "misrouted"),
    ]
    batch = [it.record for it in good + bad]
    setting.log.append(PARTITION, *batch)
    for _ in range(2):
        await setting.appliers.ratings({PARTITION: batch})
    assert setting.metric("freshet_events_applied_total") == 3
    assert setting.metric("freshet_duplicates_total") == 5
    assert setting.metric("freshet_unknown_movies_total") == 1
    assert setting.metric("freshet_dead_letters_total", reason="misrouted") == 1
    assert setting.metric("freshet_dead_letters_total", reason="malformed_json") == 1
    assert setting.metric("freshet_batch_records_sum") == 10
    assert setting.metric("freshet_event_to_commit_seconds_count") == 3


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self, *_: Any) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_an_unavailable_service_is_tried_again() -> None:
    flaky = Flaky(StoreUnavailable("away"), Unavailable("away"))
    assert await retrying()(flaky) == "done"
    assert flaky.calls == 3


async def test_giving_up_says_what_was_wrong() -> None:
    with pytest.raises(StoreUnavailable, match="away"):
        await retrying(0.0)(Flaky(*[StoreUnavailable("away")] * 100))


async def test_a_bug_is_not_tried_again() -> None:
    flaky = Flaky(ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        await retrying()(flaky)
    assert flaky.calls == 1
