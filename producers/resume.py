"""Where a replay stopped: asked of the log itself, which is the only thing that knows."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.connection import Connection

FIRST_LOOK: Final = 2_000  # records at the end of each partition; a replay alone ends with its own
GROWTH: Final = 8  # how much more each further look takes in
BATCH: Final = 5_000  # records handed over at a time
SILENCE: Final = 30.0  # s without an answer before the broker counts as down

# s: what a killed process had handed to the network may be appended after we looked. The end of
# the log must have stood still for this long.
SETTLED: Final = 1.0


def last_sequences(config: Mapping[str, str], topic: str, partitions: int, run: str) -> list[int]:
    """For each partition the sequence number of the run's last event in it, -1 where there is none.

    Events of others may stand between and behind. Reads backwards in growing steps, so a run that
    has not begun costs reading the whole log once.

    Raises BrokerUnavailable, or ConfigurationError where the broker refuses us.
    """
    found = _look(config, topic, partitions, run)
    while max(found) >= 0:
        time.sleep(SETTLED)
        before, found = found, _look(config, topic, partitions, run)
        if found == before:
            break
    return found


@dataclass(slots=True)
class _Range:
    """The part of a partition to read next, and the last sequence number seen in it."""

    first: int
    start: int
    stop: int | None  # None: to the end of the log
    found: int = -1

    def back(self, records: int) -> None:
        self.stop = self.start
        self.start = max(self.first, self.start - records)


def _look(config: Mapping[str, str], topic: str, partitions: int, run: str) -> list[int]:
    connection = Connection(config)
    consumer = Consumer(
        connection.config(
            group_id="freshet-replay",  # required, never joined
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="earliest",
            fetch_wait_max_ms=20,
        )
    )
    try:
        ranges = {}
        for partition in range(partitions):
            first, end = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=SILENCE
            )
            # A broker may answer with an earlier end than the real one. Reading goes on to the
            # real one, so that does no harm.
            ranges[partition] = _Range(first, max(first, end - FIRST_LOOK), None)
        step = FIRST_LOOK
        pending = ranges
        while pending:
            _read(connection, consumer, topic, pending, run)
            pending = {p: r for p, r in pending.items() if r.found < 0 and r.start > r.first}
            step *= GROWTH
            for unresolved in pending.values():
                unresolved.back(step)
    except KafkaException as error:
        consumer.poll(0)
        raise connection.failure(f"reading topic {topic}", error.args[0]) from error
    finally:
        consumer.close()
    return [ranges[partition].found for partition in range(partitions)]


def _read(
    connection: Connection, consumer: Consumer, topic: str, ranges: dict[int, _Range], run: str
) -> None:
    """Read the ranges through and note the last of the run's events in each."""
    pattern = re.compile(rb'"event_id":"%s:(\d+)"' % re.escape(run.encode()))
    consumer.assign([TopicPartition(topic, p, r.start) for p, r in ranges.items()])
    unread = set(ranges)
    heard = time.monotonic()
    while unread:
        messages = consumer.consume(BATCH, timeout=0.1)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE:
            raise connection.failure(f"reading topic {topic}", KafkaError(KafkaError._TIMED_OUT))
        for message in messages:
            _note(message, ranges, unread, pattern)


def _note(
    message: Message, ranges: dict[int, _Range], unread: set[int], pattern: re.Pattern[bytes]
) -> None:
    partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    part = ranges[partition]
    if error is not None or (part.stop is not None and offset >= part.stop):
        unread.discard(partition)
    elif match := pattern.search(message.value() or b""):
        part.found = int(match[1])
