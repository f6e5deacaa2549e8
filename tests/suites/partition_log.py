"""What every PartitionLog does, in memory or on a broker."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import pytest

from stream.contracts.errors import BrokerUnavailable
from stream.log import LogRecord, PartitionLog, Record
from tests.stream.build import START, rating, record

Append: TypeAlias = Callable[[int, Sequence[Record]], Awaitable[None]]

# Valid ratings, for an archive has no others; more than one chunk of any log.
RECORDS = [
    record(at, rating(at % 97 + 1, at % 13 + 1, at % 10 / 2 + 0.5, START + at))
    for at in range(2_500)
]


async def read(log: PartitionLog, partition: int, start: int, end: int) -> list[LogRecord]:
    return [record async for chunk in log.read(partition, start, end) for record in chunk]


class PartitionLogSuite:
    """Subclasses give fixtures `log`, of a new topic of two partitions, and `append`."""

    async def test_an_empty_partition_begins_and_ends_at_0(self, log: PartitionLog) -> None:
        assert await log.begin(0) == await log.end(0) == 0
        assert await read(log, 0, 0, 0) == []

    async def test_records_come_back_as_they_were(self, log: PartitionLog, append: Append) -> None:
        await append(0, RECORDS)
        assert await log.end(0) == len(RECORDS)
        assert await log.end(1) == 0
        assert await read(log, 0, 0, len(RECORDS)) == RECORDS

    async def test_a_read_is_of_what_was_asked_for(self, log: PartitionLog, append: Append) -> None:
        await append(1, RECORDS)
        for start, end in ((0, 1), (7, 7), (100, 2_300), (2_499, 2_500)):
            assert await read(log, 1, start, end) == RECORDS[start:end]

    async def test_the_end_is_told_after_every_batch(
        self, log: PartitionLog, append: Append
    ) -> None:
        for start, end in ((0, 10), (10, 11), (11, 1_000)):
            await append(0, RECORDS[start:end])
            assert await log.end(0) == end

    async def test_an_end_that_the_log_does_not_reach_is_an_error(
        self, log: PartitionLog, append: Append
    ) -> None:
        await append(0, RECORDS[:5])
        with pytest.raises(BrokerUnavailable):
            await read(log, 0, 0, 6)

    async def test_a_read_may_be_given_up(self, log: PartitionLog, append: Append) -> None:
        await append(0, RECORDS)
        chunks = log.read(0, 0, len(RECORDS))
        assert (await anext(chunks))[0] == RECORDS[0]
        await chunks.aclose()

    async def test_the_topic_keeps_its_identity(self, log: PartitionLog, append: Append) -> None:
        before = await log.topic_id()
        await append(0, RECORDS[:1])
        assert await log.topic_id() == before != ""
