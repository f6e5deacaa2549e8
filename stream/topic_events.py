"""A topic of one partition, such as the catalogue's, read whole by whoever keeps no state of it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from producers.admin import topic_id
from stream.contracts.errors import InvalidEvent, NoTopic
from stream.log import PartitionLog
from stream.log_reader import KafkaLog

E = TypeVar("E")


def topic_events(
    kafka: Mapping[str, str], topic: str, decode: Callable[[bytes | None], E]
) -> list[E]:
    """Its valid events, in order; none before there is such a topic.

    Args:
        kafka: `Settings.librdkafka()`.
        topic: its name.
        decode: makes an event of a record's value, or raises InvalidEvent.

    Raises:
        BrokerUnavailable: no answer in time.
    """
    try:
        topic_id(kafka, topic)
    except NoTopic:  # as in a cluster that is new, or older than the topic, until a worker starts
        return []
    return asyncio.run(valid_events(KafkaLog(kafka, topic), decode))


async def valid_events(log: PartitionLog, decode: Callable[[bytes | None], E]) -> list[E]:
    """`topic_events` of a log."""
    events = []
    async for records in log.read(0, await log.begin(0), await log.end(0)):
        for record in records:
            with suppress(InvalidEvent):  # workers leave it out too, and say so
                events.append(decode(record.value))
    return events
