"""A worker reads on where the store is, and notices what the store has lost."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from faust.types import TP

from stream.agents import Appliers
from stream.coldstart import MANIFEST, VECTORS, VOCABULARY
from stream.contracts.events import encode
from stream.contracts.topics import Topics
from stream.metrics import Metrics
from stream.resume import Resume
from stream.views import Views
from tests.fakes import MemoryDeadLetters, MemoryLog, MemoryStore
from tests.stream.build import rating
from tests.stream.test_agents import model, movie, records
from tests.stream.world import HERE, PARTITION, entry, processor

TOPICS = Topics()
RATINGS, OTHER = TP(TOPICS.ratings, PARTITION), TP(TOPICS.ratings, 0)
MOVIES, MODELS = TP(TOPICS.movies, 0), TP(TOPICS.models, 0)
ALL = [RATINGS, OTHER, MOVIES, MODELS]


class Process:
    """A worker's parts on a store and a log that outlive it."""

    def __init__(self, store: MemoryStore, log: MemoryLog) -> None:
        self.metrics = Metrics()
        self.views = Views(store, self.metrics)
        self.processor = processor(store, log, MemoryDeadLetters())
        self.appliers = Appliers(TOPICS, self.processor, store, self.metrics)
        self.resume = Resume(TOPICS, self.processor, store, self.views)

    async def starts(self) -> list[int | None]:
        return [await self.resume.start_offset(tp) for tp in ALL]


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.append(PARTITION, *(entry(at, rating(HERE[0], at + 1, 4.0), None).record for at in (0, 1)))
    return log


async def fill(process: Process, log: MemoryLog) -> None:
    await process.appliers.ratings({PARTITION: log.records(PARTITION)})
    await process.appliers.movies({0: records(encode(movie(1)))})
    await process.appliers.models({0: records(encode(model("a")))})


async def test_begins_with_the_store_whoever_filled_it(log: MemoryLog) -> None:
    store = MemoryStore()
    assert await Process(store, log).starts() == [0, 0, 0, 0]
    await fill(Process(store, log), log)
    assert await Process(store, log).starts() == [2, 0, None, None]
    log.recreate("second")
    assert await Process(store, log).starts() == [0, 0, None, None]
    store.flush()
    assert await Process(store, log).starts() == [0, 0, 0, 0]


async def test_notices_an_emptied_store(log: MemoryLog) -> None:
    store = MemoryStore()
    process = Process(store, log)
    assert await process.resume.lost(ALL) == []
    await fill(process, log)
    assert await process.resume.lost(ALL) == []
    store.flush()
    assert await process.resume.lost(ALL) == [RATINGS, MOVIES, MODELS]
    assert await process.starts() == [0, 0, 0, 0]
    await fill(process, log)
    assert await process.resume.lost(ALL) == []
    assert process.processor.next_offset(PARTITION) == 2


async def test_notices_the_loss_of_what_others_had_put_there(log: MemoryLog) -> None:
    store = MemoryStore()
    await fill(Process(store, log), log)
    successor = Process(store, log)
    assert await successor.starts() == [2, 0, None, None]
    assert await successor.resume.lost(ALL) == []
    store.flush()
    assert await successor.resume.lost(ALL) == [RATINGS, MOVIES, MODELS]


async def test_notices_a_store_restored_from_a_snapshot(log: MemoryLog) -> None:
    store = MemoryStore()
    process = Process(store, log)
    await process.appliers.ratings({PARTITION: log.records(PARTITION)[:1]})
    snapshot = dict(store.live)
    await fill(process, log)
    store.live = snapshot
    assert await process.resume.lost(ALL) == [RATINGS]
    assert await process.resume.start_offset(RATINGS) == 1


async def test_another_worker_being_ahead_is_no_loss(log: MemoryLog) -> None:
    store = MemoryStore()
    behind = Process(store, log)
    await behind.appliers.ratings({PARTITION: log.records(PARTITION)[:1]})
    await fill(Process(store, log), log)
    assert await behind.resume.lost(ALL) == []


def write_vectors(directory: Path, version: str) -> None:
    directory.mkdir()
    (directory / MANIFEST).write_text(json.dumps({"version": version}))
    np.save(directory / VOCABULARY, np.array([1, 2], np.uint32))
    np.save(directory / VECTORS, np.eye(2, dtype=np.float32))


async def test_views_follow_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    metrics = Metrics()
    views = Views(store, metrics)
    await views.refresh()
    assert (views.items, views.model, list(views.known_movies)) == (None, None, [])

    await store.put_movies([movie(1), movie(5)])
    await store.put_model(msgspec.structs.replace(model("a"), artifact=str(tmp_path / "a")))
    for _ in range(3):  # the artifact is not there yet: said once
        await views.refresh()
    assert set(views.known_movies) == {1, 5}
    assert views.items is None
    assert metrics.registry.get_sample_value("freshet_artifact_failures_total") == 1
    assert caplog.text.count("model a: no cold-start vectors") == 1

    write_vectors(tmp_path / "a", "a")
    await views.refresh()
    assert views.items is not None
    assert views.items.version == "a"
    await store.put_movies([movie(7)])
    await views.refresh()
    assert set(views.known_movies) == {1, 5, 7}
    assert metrics.registry.get_sample_value("freshet_model_info", {"version": "a"}) == 1

    write_vectors(tmp_path / "b", "not-b")
    await store.put_model(msgspec.structs.replace(model("b"), artifact=str(tmp_path / "b")))
    for _ in range(2):  # half of it is of another model: what the API serves on stays here too
        await views.refresh()
    assert views.items.version == "a"
    assert caplog.text.count("model b: no cold-start vectors, those of a stay") == 1
    shutil.rmtree(tmp_path / "b")
    write_vectors(tmp_path / "b", "b")
    await views.refresh()
    assert views.items.version == "b"

    store.flush()
    await views.refresh()
    assert (views.items, views.model, list(views.known_movies)) == (None, None, [])
