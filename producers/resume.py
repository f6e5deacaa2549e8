"""Where a replay stopped: asked of the log itself, which is the only thing that knows."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from producers.connection import Connection

FIRST_LOOK: Final = 2_000  # records at the end of each partition; a replay alone ends with its own
GROWTH: Final = 8  # how many times more each further look takes in
BATCH: Final = 5_000  # records handed over at a time
WAIT: Final = 0.1  # s for a batch to fill

# s: what a killed process had handed to the network may be appended after we looked. The end of
# the log must have stood still for this long.
SETTLED: Final = 1.0


def last_sequences(
    config: Mapping[str, str], topic: str, partitions: int, run: str, patience: float
) -> list[int]:
    """For each partition the sequence number of the run's last event in it, -1 where there is none.

    Events of others may stand between and behind. Reads backwards in growing steps, so a run that
    has not begun costs reading the whole log once.

    Args:
        config: `Settings.librdkafka()`.
        topic: the log.
        partitions: how many it has.
        run: what the run's event ids begin with, before the colon.
        patience: seconds without an answer after which to give up.

    Raises:
        BrokerUnavailable: no answer.
        ConfigurationError: the broker refuses us.
    """
    reader = _Reader(config, topic, run, patience)
    try:
        found = reader.look(partitions)
        settled = max(found) < 0
        while not settled:
            time.sleep(SETTLED)
            before, found = found, reader.look(partitions)
            settled = found == before
    finally:
        reader.close()
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


class _Reader:
    def __init__(self, config: Mapping[str, str], topic: str, run: str, patience: float) -> None:
        self._connection = Connection(config)
        self._consumer = Consumer(
            self._connection.config(
                group_id="freshet-replay",  # required, never joined
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="earliest",
                fetch_wait_max_ms=20,
            )
        )
        self._topic = topic
        self._pattern = re.compile(rb'"event_id":"%s:(\d+)"' % re.escape(run.encode()))
        self._patience = patience

    def look(self, partitions: int) -> list[int]:
        """As `last_sequences`, of this moment."""
        try:
            ranges = {partition: self._end(partition) for partition in range(partitions)}
            step, pending = FIRST_LOOK, ranges
            while pending:
                self._read(pending)
                pending = {p: r for p, r in pending.items() if r.found < 0 and r.start > r.first}
                step *= GROWTH
                for unresolved in pending.values():
                    unresolved.back(step)
        except KafkaException as error:
            self._consumer.poll(0)
            what = f"reading topic {self._topic}"
            raise self._connection.failure(what, error.args[0]) from error
        return [part.found for part in ranges.values()]

    def close(self) -> None:
        self._consumer.close()

    def _end(self, partition: int) -> _Range:
        """The last records. A broker may name too early an end, but reading goes on to the real."""
        asking = Retrying(
            retry=retry_if_exception(_unsettled),
            wait=wait_exponential(multiplier=0.02, max=0.5),
            stop=stop_after_delay(self._patience),
            reraise=True,
        )
        here = TopicPartition(self._topic, partition)
        first, end = asking(self._consumer.get_watermark_offsets, here, timeout=self._patience)
        return _Range(first, max(first, end - FIRST_LOOK), None)

    def _read(self, ranges: dict[int, _Range]) -> None:
        """Read the ranges through and note the last of the run's events in each."""
        self._consumer.assign([TopicPartition(self._topic, p, r.start) for p, r in ranges.items()])
        unread = set(ranges)
        heard = time.monotonic()
        while unread:
            messages = self._consumer.consume(BATCH, timeout=WAIT)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._patience:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            for message in messages:
                partition = message.partition() or 0
                if self._note(message, ranges[partition]):
                    unread.discard(partition)

    def _note(self, message: Message, part: _Range) -> bool:
        """Whether the range is read through."""
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            return True
        if part.stop is not None and (message.offset() or 0) >= part.stop:
            return True
        if match := self._pattern.search(message.value() or b""):
            part.found = int(match[1])
        return False


def _unsettled(error: BaseException) -> bool:
    """Whether the broker is still about to lead the partition, as after the topic's creation."""
    return isinstance(error, KafkaException) and error.args[0].code() in {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
