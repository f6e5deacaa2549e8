"""The experiments there are, as the log has them: read and written by whoever decides on them."""

from collections.abc import Mapping

from producers.publisher import BulkPublisher
from stream.contracts.events import encode
from stream.contracts.experiments import ExperimentEvent, decode_experiment
from stream.topic_events import topic_events


def known_experiments(kafka: Mapping[str, str], topic: str) -> dict[str, ExperimentEvent]:
    """All experiments, by name.

    Args:
        kafka: `Settings.librdkafka()`.
        topic: `Topics.experiments`.

    Raises:
        BrokerUnavailable: no answer in time.
    """
    return {event.name: event for event in topic_events(kafka, topic, decode_experiment)}


def publish(event: ExperimentEvent, kafka: Mapping[str, str], topic: str) -> None:
    """Have an experiment be what this says; returns once the broker has it.

    Raises BrokerUnavailable.
    """
    with BulkPublisher(kafka) as publisher:
        publisher.publish(topic, event.name.encode(), encode(event))
