"""How fast one worker applies ratings, beside a stock Faust agent that does nothing."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import faust
import numpy as np
import uvloop
from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

from benchmarks.report import Report, main
from infra import services
from infra.settings import Settings
from infra.supervisor import Supervisor
from producers.admin import ensure_topics
from producers.publisher import BulkPublisher, Message, Publisher
from stream.coldstart import MANIFEST, VECTORS, VOCABULARY
from stream.collector import tune_collector
from stream.contracts.errors import Unavailable
from stream.contracts.events import MODEL_KEY, ModelEvent, RatingEvent, encode, new_event_id
from stream.contracts.topics import Topics
from stream.processor import Outcome
from stream.worker import Worker

PARTITIONS = 8
EVENTS = 400_000
STOCK_EVENTS = 60_000  # enough for some seconds of a stock agent
USERS, MOVIES, DIMENSIONS = 10_000, 9_000, 128
SINGLES = 200  # events sent one by one to a worker that is idle otherwise
PAUSE = 0.05  # seconds between them

TOPICS = Topics()

T = TypeVar("T")


class Run(NamedTuple):
    """Wall and processor seconds of one process for `events` events."""

    events: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.events / self.wall


def run() -> Report:
    report = Report("One stream worker", "python -m benchmarks.worker")
    with TemporaryDirectory() as home, Supervisor(Path(home, "logs"), lambda _: None) as servers:
        broker = services.tansu(services.free_port())
        redis = services.valkey(services.free_port(), data=None)
        servers.start(broker, redis, timeout=60)
        settings = Settings(
            home=Path(home), kafka_bootstrap_servers=broker.address, redis_url=redis.address
        )
        _prepare(settings)
        stock = _in_a_process(_stock, settings)
        ours, latencies = _in_a_process(_ours, settings)
    report.at_least("worker: decode, fold, vectors, commit", ours.rate, "events/s", 30_000)
    report.context("its processor time", ours.cpu / ours.events * 1e6, "µs/event")
    report.context("stock Faust agent that does nothing", stock.rate, "events/s")
    report.context("its processor time", stock.cpu / stock.events * 1e6, "µs/event")
    report.at_least("worker / stock agent", ours.rate / stock.rate, "times", 3)
    percentiles = quantiles(latencies, n=100)
    for percent in (50, 99):
        report.context(
            f"one event to an idle worker, sent to committed, p{percent}",
            percentiles[percent - 1] * 1e3,
            "ms",
        )
    report.notes.append(
        f"{EVENTS:,} JSON ratings in {PARTITIONS} partitions, item vectors of {DIMENSIONS} "
        f"dimensions, {MOVIES:,} movies. Each rating is by any of {USERS:,} users, so that a batch "
        "has about as many users as ratings; people who rate in bursts cost less. The stock agent "
        "is Faust as it comes, on the same topic."
    )
    return report


def _prepare(settings: Settings) -> None:
    """Topics with ratings in them, and a promoted model."""
    config = settings.librdkafka()
    ensure_topics(config, TOPICS, PARTITIONS, 1)
    rng = np.random.default_rng(7)
    artifact = settings.home / "model"
    artifact.mkdir()
    vectors = rng.normal(size=(MOVIES, DIMENSIONS)).astype(np.float32)
    (artifact / MANIFEST).write_text(json.dumps({"version": "benchmark"}))
    np.save(artifact / VOCABULARY, np.arange(1, MOVIES + 1, dtype=np.uint32))
    np.save(artifact / VECTORS, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    now = int(time.time() * 1000)
    model = ModelEvent(
        event_id=new_event_id(),
        version="benchmark",
        artifact=str(artifact),
        collection="movies-benchmark",
        event_time=now,
        produced_time=now,
    )
    users = rng.integers(1, USERS + 1, EVENTS).tolist()
    movies = (rng.zipf(1.2, EVENTS) % MOVIES + 1).tolist()
    stars = (rng.integers(1, 11, EVENTS) / 2).tolist()
    with BulkPublisher(config) as publisher:
        publisher.publish(TOPICS.models, MODEL_KEY, encode(model))
        for user, movie, rating in zip(users, movies, stars, strict=True):
            publisher.publish(TOPICS.ratings, b"%d" % user, encode(_rating(user, movie, rating)))


def _rating(user: int, movie: int, stars: float) -> RatingEvent:
    now = int(time.time() * 1000)
    return RatingEvent(
        event_id=new_event_id(),
        user_id=user,
        movie_id=movie,
        rating=stars,
        event_time=now,
        produced_time=now,
        source="api",
    )


def _in_a_process(measure: Callable[[Settings], T], settings: Settings) -> T:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (settings,))


def _ours(settings: Settings) -> tuple[Run, list[float]]:
    tune_collector()
    return uvloop.run(_measure_ours(settings))


async def _measure_ours(settings: Settings) -> tuple[Run, list[float]]:
    worker = Worker(settings, PARTITIONS)
    committed = asyncio.Event()
    count = 0

    def counting(_: int, __: float, outcome: Outcome) -> None:
        nonlocal count
        count += outcome.applied
        committed.set()

    worker.metrics.batch = counting
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run_until(stop))

    async def applied(events: int) -> None:
        while count < events:
            committed.clear()
            waiting = asyncio.create_task(committed.wait())
            await asyncio.wait([waiting, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()

    await AsyncRetrying(retry=retry_if_exception_type(Unavailable), wait=wait_fixed(0.01))(
        worker.check_ready
    )
    started, started_cpu = time.perf_counter(), time.process_time()
    await applied(EVENTS)
    measured = Run(EVENTS, time.perf_counter() - started, time.process_time() - started_cpu)

    publisher = Publisher(settings.librdkafka())
    latencies = []
    for i in range(SINGLES + 1):
        await asyncio.sleep(PAUSE)
        event = _rating(i + 1, 1, 4.0)
        started = time.perf_counter()
        await publisher.send([Message(TOPICS.ratings, b"%d" % event.user_id, encode(event))])
        await applied(EVENTS + i + 1)
        latencies.append(time.perf_counter() - started)
    stop.set()
    await working
    await worker.close()
    publisher.close()
    return measured, latencies[1:]  # the first waits for the publisher's connection


def _stock(settings: Settings) -> Run:
    os.chdir(settings.home)  # where Faust makes a directory for its tables
    return asyncio.run(_measure_stock(settings))


async def _measure_stock(settings: Settings) -> Run:
    app = faust.App(
        "stock",
        broker=f"kafka://{settings.kafka_bootstrap_servers}",
        value_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
    )
    app.finalize()
    marks: list[tuple[float, float]] = []
    done = asyncio.Event()
    seen = 0

    @app.agent(app.topic(TOPICS.ratings))
    async def nothing(stream: Any) -> None:
        nonlocal seen
        async for _ in stream:
            seen += 1
            if seen in (1, STOCK_EVENTS):
                marks.append((time.perf_counter(), time.process_time()))
                if seen == STOCK_EVENTS:
                    done.set()

    starting = asyncio.create_task(app.start())
    await done.wait()
    await starting
    await app.stop()
    (first, first_cpu), (last, last_cpu) = marks
    return Run(STOCK_EVENTS - 1, last - first, last_cpu - first_cpu)


if __name__ == "__main__":
    main(run)
