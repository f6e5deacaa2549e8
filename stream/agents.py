"""The Faust agents: batches of the three topics into the store, each acknowledged once it is in.

An agent that fails ends the worker: the restart begins with the batch that failed. Invalid records
never fail it; those of `ratings` become dead letters, the others are logged and counted.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
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

# Batches under way at once, of different partitions: while the store works on one, this process
# works on another. More would wait for the same two.
AT_ONCE: Final = 2

E = TypeVar("E")

# Records by partition, those of each consecutive.
Batches = Mapping[int, Sequence[LogRecord]]

Apply = Callable[[Batches], Awaitable[None]]


class Appliers:
    """What is done with a batch of each topic. All may be repeated: they change nothing twice."""

    def __init__(
        self, topics: Topics, processor: Processor, store: StateStore, metrics: Metrics
    ) -> None:
        self._topics = topics
        self._processor = processor
        self._store = store
        self._metrics = metrics

    async def ratings(self, batches: Batches) -> None:
        started = time.perf_counter()
        with tracing.batch("process ratings", chain.from_iterable(batches.values())):
            outcome = await self._processor.process_together(batches)
        records = sum(map(len, batches.values()))
        self._metrics.batch(records, time.perf_counter() - started, outcome)

    async def movies(self, batches: Batches) -> None:
        await self._store.put_movies(self._valid(decode_movie, self._topics.movies, batches))

    async def models(self, batches: Batches) -> None:
        for event in self._valid(decode_model, self._topics.models, batches)[-1:]:
            await self._store.put_model(event)

    def _valid(self, decode: Callable[[bytes | None], E], topic: str, batches: Batches) -> list[E]:
        events = []
        for record in chain.from_iterable(batches.values()):
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
    """An agent that applies a partition's batches one after the other, and two of others at once.

    `apply` is called again with the same batches while it raises Unavailable, for a time; what else
    it raises ends the worker.
    """

    @app.agent(batches(app, topic), name=topic)
    async def agent(stream: Any) -> None:
        turns = asyncio.Semaphore(AT_ONCE)
        latest: dict[int, asyncio.Task[None]] = {}

        async def work(event: Any, before: Iterable[asyncio.Task[None]]) -> None:
            for task in before:
                await task
            async with turns:
                await retrying()(apply, event.value)
                cast(BatchConsumer, app.consumer).finish(event)

        try:
            async with asyncio.TaskGroup() as group:
                async for event in stream.noack().events():
                    before = {latest[it] for it in event.value if it in latest}
                    latest |= dict.fromkeys(event.value, group.create_task(work(event, before)))
        except ExceptionGroup as failed:  # the first one is why the others were given up
            raise failed.exceptions[0] from None
