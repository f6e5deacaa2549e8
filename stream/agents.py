"""The Faust agents: batches of the three topics into the store, each acknowledged once it is in.

An agent that fails ends the worker: the restart begins with the batch that failed. Invalid records
never fail it; those of `ratings` become dead letters, the others are logged and counted.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, cast

from stream.app import App, batches
from stream.contracts import tracing
from stream.contracts.errors import InvalidEvent
from stream.contracts.events import decode_model, decode_movie
from stream.contracts.topics import Topics
from stream.log import LogRecord
from stream.metrics import Metrics
from stream.processor import Processor
from stream.retrying import retrying
from stream.store import StateStore
from stream.transport import BatchConsumer

logger = logging.getLogger(__name__)

# Batches under way at once, of as many partitions: while the store works on one, this process works
# on another. More would wait for the same two.
AT_ONCE: Final = 2

E = TypeVar("E")

Apply = Callable[[int, Sequence[LogRecord]], Awaitable[None]]


class Appliers:
    """What is done with a batch of each topic. All may be repeated: they change nothing twice."""

    def __init__(
        self, topics: Topics, processor: Processor, store: StateStore, metrics: Metrics
    ) -> None:
        self._topics = topics
        self._processor = processor
        self._store = store
        self._metrics = metrics

    async def ratings(self, partition: int, records: Sequence[LogRecord]) -> None:
        started = time.perf_counter()
        with tracing.batch("process ratings", records):
            outcome = await self._processor.process(partition, records)
        self._metrics.batch(len(records), time.perf_counter() - started, outcome)

    async def movies(self, _: int, records: Sequence[LogRecord]) -> None:
        await self._store.put_movies(self._valid(decode_movie, self._topics.movies, records))

    async def models(self, _: int, records: Sequence[LogRecord]) -> None:
        for event in self._valid(decode_model, self._topics.models, records)[-1:]:
            await self._store.put_model(event)

    def _valid(
        self, decode: Callable[[bytes | None], E], topic: str, records: Sequence[LogRecord]
    ) -> list[E]:
        events = []
        for record in records:
            try:
                events.append(decode(record.value))
            except InvalidEvent as error:
                logger.error("%s, offset %d: left out: %s", topic, record.offset, error)
                self._metrics.invalid.labels(topic, error.reason).inc()
        return events


def add_agents(app: App, topics: Topics, appliers: Appliers) -> None:
    """Agents for the `ratings`, `movies` and `models` topics."""
    add_agent(app, topics.ratings, appliers.ratings)
    add_agent(app, topics.movies, appliers.movies)
    add_agent(app, topics.models, appliers.models)


def add_agent(app: App, topic: str, apply: Apply) -> None:
    """An agent that applies a partition's batches one after the other, and those of two at once.

    `apply` is called again with the same batch while it raises Unavailable, for a time; what else
    it raises ends the worker.
    """

    @app.agent(batches(app, topic), name=topic)
    async def agent(stream: Any) -> None:
        turns = asyncio.Semaphore(AT_ONCE)
        latest: dict[int, asyncio.Task[None]] = {}

        async def work(event: Any, before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await before
            async with turns:
                await retrying()(apply, event.message.partition, event.value)
                await cast(BatchConsumer, app.consumer).finish(event)

        try:
            async with asyncio.TaskGroup() as group:
                async for event in stream.noack().events():
                    partition = event.message.partition
                    before = latest.get(partition)
                    latest[partition] = group.create_task(work(event, before))
        except ExceptionGroup as failed:  # the first one is why the others were given up
            raise failed.exceptions[0] from None
