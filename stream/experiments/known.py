"""The experiments there are, as the log has them: read and written by whoever decides on them."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from producers.publisher import BulkPublisher
from stream.contracts.errors import InvalidEvent
from stream.contracts.events import encode
from stream.contracts.experiments import ExperimentEvent, decode_experiment
from stream.log import PartitionLog
from stream.log_reader import KafkaLog


def known_experiments(kafka: Mapping[str, str], topic: str) -> dict[str, ExperimentEvent]:
    """All experiments, by name.

    Args:
        kafka: `Settings.librdkafka()`.
        topic: `Topics.experiments`.

    Raises:
        BrokerUnavailable: no answer in time, or there is no such topic.
    """
    return asyncio.run(_read(KafkaLog(kafka, topic)))


def publish(event: ExperimentEvent, kafka: Mapping[str, str], topic: str) -> None:
    """Have an experiment be what this says; returns once the broker has it.

    Raises BrokerUnavailable.
    """
    with BulkPublisher(kafka) as publisher:
        publisher.publish(topic, event.name.encode(), encode(event))


async def _read(log: PartitionLog) -> dict[str, ExperimentEvent]:
    found = {}
    async for records in log.read(0, await log.begin(0), await log.end(0)):
        for record in records:
            with suppress(InvalidEvent):  # workers leave it out too, and say so
                event = decode_experiment(record.value)
                found[event.name] = event
    return found
