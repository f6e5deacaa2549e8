"""The log as far back as the archive goes: what the topic has dropped comes from there.

The archive has valid ratings alone, and none of people who were forgotten since. Whoever is to be
forgotten by a record that the topic still has is forgotten when that is folded.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import pyarrow as pa

from stream.archive import Archive
from stream.contracts.errors import EventsMissing
from stream.contracts.events import RatingEvent, encode
from stream.log import LogRecord, PartitionLog, Record

# Records a chunk, as `KafkaLog` gives them: some 10 ms in which nothing else of the process runs.
CHUNK: Final = 2_000

_OTHERS: Final = ("offset", "event_id", "source", "user_id", "movie_id", "rating")
_TIMES: Final = ("event_time", "produced_time", "record_time")


class ArchivedLog:
    """`PartitionLog` of a topic and its archive."""

    def __init__(self, log: PartitionLog, archive: Archive) -> None:
        self._log = log
        self._archive = archive

    async def topic_id(self) -> str:
        return await self._log.topic_id()

    async def begin(self, partition: int) -> int:
        """Of the topic: what is before comes from the archive."""
        return await self._log.begin(partition)

    async def end(self, partition: int) -> int:
        return await self._log.end(partition)

    async def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """
        1. See what the topic still has.
        2. Read what it has dropped from the archive, if that has all of it.
        3. Go on with the topic.

        Raises BrokerUnavailable or ArchiveUnavailable, DatasetError where the archive is damaged,
        and EventsMissing where neither has all that is asked for, or what the topic has dropped
        since the first step.
        """
        # 1.
        kept = min(max(await self._log.begin(partition), start), end)
        # 2.
        if start < kept:
            async for records in self._archived(partition, start, kept):
                yield records
        # 3.
        if kept < end:
            async with aclosing(self._log.read(partition, kept, end)) as chunks:
                async for records in chunks:
                    yield records

    async def _archived(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        topic_id = await self._log.topic_id()
        # The look at what is read comes first: what was there still at the second was there then.
        batches = await asyncio.to_thread(self._archive.batches, topic_id, partition, start, end)
        span = await asyncio.to_thread(self._archive.span, topic_id, partition)
        if start < span.begin or span.end < end:
            covers = f"{span.begin} to {span.end - 1}" if span.begin < span.end else "nothing"
            raise EventsMissing(
                f"the topic has dropped the offsets {start} to {end - 1} of partition {partition}, "
                f"and the archive at {self._archive.where} covers {covers} of it. Nothing was "
                "changed. Check FRESHET_ARCHIVE_URL, or bring the archive's missing files back: "
                "it deletes them itself after FRESHET_ARCHIVE_RETENTION_DAYS, if that is set"
            )
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for first in range(0, len(batch), CHUNK):
                yield list(_records(batch.slice(first, CHUNK)))


def _records(batch: pa.RecordBatch) -> Iterator[Record]:
    """The rows as the topic had them, `stream.archive_files.SCHEMA`."""
    columns = [batch[name] for name in _OTHERS] + [batch[name].cast(pa.int64()) for name in _TIMES]
    # By way of NumPy in a third of to_pylist's time.
    values = (column.to_numpy(zero_copy_only=False).tolist() for column in columns)
    for offset, event_id, source, user, movie, stars, happened, produced, recorded in zip(
        *values, strict=True
    ):
        event = RatingEvent(
            event_id=event_id,
            user_id=user,
            movie_id=movie,
            rating=stars,
            event_time=happened,
            produced_time=produced,
            source=source,
        )
        yield Record(offset, recorded, b"%d" % user, encode(event))
