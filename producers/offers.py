"""Publishing what nobody waits for: it is handed over and forgotten, and may be lost."""

from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from producers.connection import Connection
from producers.publisher import Message
from stream.contracts.topics import LIBRDKAFKA_PARTITIONER

LINGER: Final = 20  # ms that messages are gathered: what comes of them is counted, not waited for

# Messages that wait at most, about 20 MB: those of a broker's restart, at a thousand a second.
ROOM: Final = 30_000

CLOSING: Final = 2.0  # s to get rid of what waits in the end


class Offers:
    """Hands messages to librdkafka, which sends them when it can, each key's in order, each once.

    Args:
        config: `Settings.librdkafka()`.
        on_lost: told how many were lost: there was no room, or the broker did not take them within
            librdkafka's five minutes.
    """

    def __init__(self, config: Mapping[str, str], on_lost: Callable[[int], None]) -> None:
        self._on_lost = on_lost
        self._producer = Producer(
            {"on_delivery": self._report}
            | Connection(config).config(
                enable_idempotence=True,
                acks="all",
                partitioner=LIBRDKAFKA_PARTITIONER,
                delivery_report_only_error=True,
                linger_ms=LINGER,
                queue_buffering_max_messages=ROOM,
                compression_type="lz4",
            )
        )

    def offer(self, message: Message) -> None:
        """Returns at once, whatever becomes of it."""
        topic, key, value, headers = message
        try:
            self._producer.produce(topic, value, key, headers=list(headers))
            self._producer.poll(0)
        except (BufferError, KafkaException):
            self._on_lost(1)

    def close(self) -> None:
        """Sends what waits, for some seconds."""
        if left := self._producer.flush(CLOSING):
            self._on_lost(left)

    def _report(self, error: KafkaError | None, _: Report) -> None:
        if error is not None:
            self._on_lost(1)
