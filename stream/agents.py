"""The Faust agents: batches of the three topics into the store, each acknowledged once it is in.

An agent that fails ends the worker: the restart begins with the batch that failed. Invalid records
never fail it; those of `ratings` become dead letters, the others are logged and counted.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from stream.app import App, batches
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

E = TypeVar("E")

Apply = Callable[[int, Sequence[LogRecord]], Awaitable[None]]


def add_agents(
    app: App, topics: Topics, processor: Processor, store: StateStore, metrics: Metrics
) -> None:
    """Agents for the `ratings`, `movies` and `models` topics."""

    async def rate(partition: int, records: Sequence[LogRecord]) -> None:
        started = time.perf_counter()
        outcome = await processor.process(partition, records)
        metrics.batch(len(records), time.perf_counter() - started, outcome)

    async def catalogue(_: int, records: Sequence[LogRecord]) -> None:
        await store.put_movies(list(_valid(decode_movie, topics.movies, records, metrics)))

    async def promote(_: int, records: Sequence[LogRecord]) -> None:
        for event in list(_valid(decode_model, topics.models, records, metrics))[-1:]:
            await store.put_model(event)

    add_agent(app, topics.ratings, rate)
    add_agent(app, topics.movies, catalogue)
    add_agent(app, topics.models, promote)


def add_agent(app: App, topic: str, apply: Apply) -> None:
    """An agent that applies one batch of the topic after the other.

    `apply` is called again with the same batch while it raises Unavailable, for a time; what else
    it raises ends the worker.
    """

    @app.agent(batches(app, topic), name=topic)
    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            await retrying()(apply, event.message.partition, event.value)
            await cast(BatchConsumer, app.consumer).finish(event)


def _valid(
    decode: Callable[[bytes | None], E], topic: str, records: Sequence[LogRecord], metrics: Metrics
) -> Iterator[E]:
    for record in records:
        try:
            yield decode(record.value)
        except InvalidEvent as error:
            logger.error("%s, offset %d: left out: %s", topic, record.offset, error)
            metrics.invalid.labels(topic, error.reason).inc()
