"""Reads one topic by position, outside any consumer group: for filling gaps and rebuilding."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, ParamSpec, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers import admin
from producers.connection import Connection
from stream.contracts.errors import EventsMissing
from stream.log import Record

# Records a chunk: what one commit writes when a gap is filled, a few MB at most.
CHUNK: Final = 2_000

# Seconds without a record that ought to be there, after which the broker is called unavailable.
TIMEOUT: Final = 30.0

# Seconds that a call waits for a whole chunk, at the end of the log in vain.
FILL: Final = 0.05

# ms that the broker waits for more at the end of the log; by default 500, on every read.
FETCH_WAIT: Final = 20

P = ParamSpec("P")
T = TypeVar("T")


class KafkaLog:
    """`PartitionLog` of one topic. Holds no connection between calls."""

    def __init__(self, config: Mapping[str, str], topic: str, timeout: float = TIMEOUT) -> None:
        """`config`: `Settings.librdkafka()`. `timeout`: seconds to wait for a record."""
        self._config = config
        self._topic = topic
        self._timeout = timeout

    async def topic_id(self) -> str:
        """Raises BrokerUnavailable, or ConfigurationError where there is no such topic."""
        return await asyncio.to_thread(admin.topic_id, self._config, self._topic)

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        """Raises BrokerUnavailable where the log does not reach `end`, and EventsMissing where it
        no longer has `start`, or drops what comes next during the read."""
        async with self._reader(partition) as reader:
            await reader.seek(start)
            while reader.position < end:
                records = await reader.next(min(CHUNK, end - reader.position))
                if records and records[-1].offset >= end:  # there was a hole before `end`
                    records = [record for record in records if record.offset < end]
                if records:
                    yield records

    async def begin(self, partition: int) -> int:
        """Raises BrokerUnavailable."""
        async with self._reader(partition) as reader:
            return (await reader.watermarks())[0]

    async def end(self, partition: int) -> int:
        """Raises BrokerUnavailable."""
        async with self._reader(partition) as reader:
            # Tansu 0.6 says that the log ends where its last batch begins, or shortly after: read
            # on from there until a fetch finds nothing more.
            await reader.seek((await reader.watermarks())[1])
            while not reader.at_end:
                await reader.next(CHUNK)
            return reader.position

    @asynccontextmanager
    async def _reader(self, partition: int) -> AsyncIterator["_Reader"]:
        reader = _Reader(self._config, self._topic, partition, self._timeout)
        try:
            yield reader
        finally:
            reader.close()


class _Reader:
    """A consumer of one partition, on a thread of its own: its calls block, and it must not be
    closed during one that nobody waits for any more.

    Attributes:
        position: the offset of the next record, or of a hole before it.
        at_end: whether the last call found the end of the log.
    """

    def __init__(
        self, config: Mapping[str, str], topic: str, partition: int, timeout: float
    ) -> None:
        self._connection = Connection(config)
        self._consumer = Consumer(
            self._connection.config(
                group_id="freshet-reader",  # required, and never joined
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="error",  # rather than read on elsewhere
                fetch_wait_max_ms=FETCH_WAIT,
            )
        )
        self._thread = ThreadPoolExecutor(1)
        self._topic, self._partition, self._timeout = topic, partition, timeout
        self._what = f"reading {topic}[{partition}]"
        self.position = 0
        self.at_end = False

    async def seek(self, offset: int) -> None:
        self.position = offset
        await self._call(
            self._consumer.assign, [TopicPartition(self._topic, self._partition, offset)]
        )

    async def watermarks(self) -> tuple[int, int]:
        """The first offset that there is, and the one after the last."""
        low, high = await self._call(
            self._consumer.get_watermark_offsets,
            TopicPartition(self._topic, self._partition),
            timeout=self._timeout,
        )
        return int(low), int(high)

    async def next(self, limit: int) -> list[Record]:
        """At least one record, at most `limit`; none where this finds the end of the log."""
        deadline = monotonic() + self._timeout
        while monotonic() < deadline:
            messages = await self._call(self._consumer.consume, limit, FILL)
            records = self._take(messages)
            if records or self.at_end:
                return records
        raise self._connection.failure(
            f"waiting for offset {self.position} (has the topic lost records?) while {self._what}",
            KafkaError(KafkaError._TIMED_OUT),
        )

    def _take(self, messages: Sequence[Message]) -> list[Record]:
        self.at_end = False
        records = []
        for message in messages:
            offset, error = message.offset() or 0, message.error()
            if error is None:
                _, time = message.timestamp()
                records.append(Record(offset, time, message.key(), message.value()))
                self.position = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self.position = offset
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise EventsMissing(
                    f"topic {self._topic} no longer has offset {self.position} of partition "
                    f"{self._partition}: `freshet rebuild` takes it from the archive"
                )
            else:
                raise self._connection.failure(self._what, error)
            self.at_end = error is not None
        return records

    def close(self) -> None:
        self._thread.submit(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))
        except KafkaException as error:
            raise self._connection.failure(self._what, error.args[0]) from error
