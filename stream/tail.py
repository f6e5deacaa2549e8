"""Follows all partitions of a topic by position, outside any consumer group."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.connection import Connection
from stream.contracts import tracing
from stream.contracts.errors import BrokerUnavailable, DatasetError
from stream.log import Record

TIMEOUT: Final = 10.0  # seconds for one question to the broker

FETCH_WAIT: Final = 100  # ms that the broker waits for more at the end of the log


class Tail:
    """The records of a topic from given offsets on. For one thread.

    Attributes:
        positions: of each partition the offset after what was read, or after a hole behind that. At
            first the offset that was asked for, or a later one where the topic has dropped it.
        ended: the partitions whose end was seen at least once.
    """

    def __init__(self, config: Mapping[str, str], topic: str, offsets: Sequence[int]) -> None:
        """
        Args:
            config: `Settings.librdkafka()`.
            topic: its name.
            offsets: of each partition the first offset to read.

        Raises BrokerUnavailable.
        """
        self._connection = Connection(config)
        self._consumer = Consumer(
            self._connection.config(
                group_id="freshet-archiver",  # required, and never joined
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="error",
                fetch_wait_max_ms=FETCH_WAIT,
            )
        )
        self._topic = topic
        held = [self._held(partition) for partition in range(len(offsets))]
        self.positions = [
            max(offset, first) for offset, (first, _) in zip(offsets, held, strict=True)
        ]
        self.ended: set[int] = set()
        # A broker that has less than what was asked for may leave a question beyond its end without
        # an answer, so begin at the end that it says; Tansu 0.6 says one that is too early.
        starts = [min(it, end) for it, (_, end) in zip(self.positions, held, strict=True)]
        self._consumer.assign([TopicPartition(topic, *start) for start in enumerate(starts)])

    def close(self) -> None:
        self._consumer.close()

    def read(self, limit: int, seconds: float) -> Mapping[int, list[Record]]:
        """At most `limit` records by partition, what comes within `seconds`.

        Raises BrokerUnavailable, and DatasetError where the log ends before the offset asked for.
        """
        records: defaultdict[int, list[Record]] = defaultdict(list)
        for message in self._consumer.consume(limit, seconds):
            partition, offset = message.partition() or 0, message.offset() or 0
            error = message.error()
            if error is None and offset < self.positions[partition]:
                continue
            if error is None:
                _, time = message.timestamp()
                records[partition].append(
                    Record(offset, time, message.key(), message.value(), _headers(message))
                )
                self.positions[partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF and offset >= self.positions[partition]:
                self.positions[partition] = offset
                self.ended.add(partition)
            elif error.code() in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
                raise self._not_there(partition)
            else:
                raise self._connection.failure(f"reading {self._topic}[{partition}]", error)
        return records

    def _held(self, partition: int) -> tuple[int, int]:
        """The first offset that the topic still has, and where it says that it ends."""
        try:
            first, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=TIMEOUT
            )
        except KafkaException as error:
            what = f"asking where {self._topic}[{partition}] begins and ends"
            raise self._connection.failure(what, error.args[0]) from error
        return int(first), int(end)

    def _not_there(self, partition: int) -> BrokerUnavailable | DatasetError:
        position, (first, _) = self.positions[partition], self._held(partition)
        if position < first:
            return BrokerUnavailable(
                f"{self._topic}[{partition}] has dropped its records from offset {position} to "
                f"{first}, which were not read yet"
            )
        return DatasetError(
            f"{self._topic}[{partition}] ends before offset {position}, up to which it was read "
            "before: the broker has lost records. Restore them, or make the topic anew"
        )


def _headers(message: Message) -> tracing.Headers:
    """Those of a trace; none where nobody asks for traces."""
    if not tracing.is_on():
        return ()
    # Any: annotated as what may be sent, too, of which a mapping is one.
    found: Any = message.headers()
    return found or ()
