"""The archive: the valid ratings of the log as a plain Hive-partitioned Parquet data set.

Below `<url>/ratings`, by date and Kafka partition. A file covers a contiguous range of one
partition's offsets. What the files of a partition cover is what is archived: there is no position
but the data itself, and every change is one file that appears, is replaced or vanishes in one
atomic step. Small files do not come to be: rows are added to the last file until it is full.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stream.archive_files import SCHEMA, ArchiveFile, ArchiveFiles, Part
from stream.archive_storage import Storage, storage_at
from stream.contracts.errors import (
    ArchiveUnavailable,
    Busy,
    ConfigurationError,
    DatasetError,
)

DATA_SET: Final = "ratings"  # the directory that readers are given

# Rows from which on a file is left and the next begun: some 12 MB, read and written in a second.
TARGET_ROWS: Final = 500_000


_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = 86_400_000  # ms


class Span(NamedTuple):
    """The offsets [begin, end) of a partition that are archived."""

    begin: int
    end: int


NOTHING: Final = Span(0, 0)


class Archive:
    """The data set at one place. May be read by anyone at any time, also while it is written.

    Readers and writers look at the files anew in every call. All of it raises ArchiveUnavailable
    where the storage fails, and DatasetError where files are damaged, overlap or are missing.
    """

    def __init__(
        self,
        storage: Storage,
        target_rows: int = TARGET_ROWS,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        """`target_rows`: rows from which on a file is left. `today`: the date in UTC."""
        self._storage = storage
        self._files = ArchiveFiles(storage)
        self._target_rows = target_rows
        self._today = today

    @classmethod
    def open(cls, url: str) -> "Archive":
        """The archive at a local path, or at any URL that `pyarrow.fs.FileSystem.from_uri` takes.

        Nothing needs to be there yet. Raises ConfigurationError where the URL is none.
        """
        return cls(storage_at(url, DATA_SET))

    @property
    def where(self) -> str:
        """Where the data set is, for people."""
        return self._files.where

    def claim(self, topic: str) -> None:
        """Make it the archive of this topic, by name.

        Raises ConfigurationError where it is another one's: people of both have the same numbers,
        and are forgotten by them.
        """
        with self._storage.exclusive():
            whose = self._storage.topic()
            if not whose:  # a kill may have left the note empty
                self._storage.note_topic(topic)
            elif whose != topic:
                raise ConfigurationError(
                    f"the archive at {self.where} is of topic {whose}, not of {topic}: set another "
                    "FRESHET_ARCHIVE_URL for each, or give both the same FRESHET_KAFKA_TOPIC_PREFIX"
                )

    def span(self, topic_id: str, partition: int) -> Span:
        """The offsets that are archived; (0, 0) where nothing is."""
        return _span(self._files.look().get(Part(topic_id, partition), []))

    def spans(self, topic_id: str, partitions: int) -> list[Span]:
        """The same of each partition, in one look."""
        there = self._files.look()
        return [_span(there.get(Part(topic_id, partition), [])) for partition in range(partitions)]

    def append(
        self,
        topic_id: str,
        partition: int,
        begin: int,
        end: int,
        table: pa.Table,
        *,
        first: bool = True,
    ) -> None:
        """Archive the offsets [begin, end): `table` has the rows of `SCHEMA` that are of them.

        The first that is archived of a partition may begin anywhere, but `first` says whether this
        may be it. Raises Busy where `begin` is not the span's end: another archiver wrote, and
        ArchiveUnavailable where all that was there is gone.

        1. See what is there, with other writers kept out.
        2. Choose the date: the day of the newest record, but not before that of the file before,
           so that dates never go back, and not after today, whatever a producer's clock says.
        3. Extend the last file, if it is of this date and not full, else begin another.
        4. Write it whole, in one atomic step: with a file that is extended the rows that it had.
        """
        _check(table, begin, end)
        # 1.
        with self._files.exclusive():
            files = self._files.look().get(Part(topic_id, partition), [])
            if files and files[-1].next != begin:
                raise Busy(
                    f"{self.where}: partition {partition} is archived up to offset "
                    f"{files[-1].next}, so offsets from {begin} on cannot follow: another archiver "
                    "wrote; begin anew from what is there"
                )
            if not files and not first:
                raise ArchiveUnavailable(
                    f"{self.where}: partition {partition} was archived up to offset {begin}, and "
                    "nothing of it is there any more: begin anew with what the topic still has"
                )
            if begin == end:
                return
            # 2.
            day = max([_day(table, self._today()), *(file.date for file in files[-1:])])
            # 3.
            last = files[-1] if files else None
            if last and last.date == day and last.rows < self._target_rows:
                table = pa.concat_tables([self._files.read(last), table])
                new = replace(last, next=end, rows=len(table))
            else:
                new = ArchiveFile(Part(topic_id, partition), day, begin, end, len(table))
            # 4.
            self._files.write(new, table)

    def erase(self, topic_id: str, partition: int, users: Collection[int], before: int) -> int:
        """Erase the rows of these users with offsets below `before`; how many there were.

        Those of other topics go too: a topic that was created again came after them. Every file is
        replaced in a step of its own; where it is cut short, do it again.
        """
        erased = 0
        wanted = pa.array(sorted(users), pa.int64())
        with self._files.exclusive():
            for files in list(self._files.look().values()):
                for file in files:
                    if file.part.topic_id != topic_id:
                        end = file.next
                    elif file.part.partition == partition:
                        end = before
                    else:
                        continue
                    if file.first < end and self._files.count(file, wanted):
                        table = self._files.read(file)
                        gone = pc.and_(
                            pc.is_in(table["user_id"], wanted), pc.less(table["offset"], end)
                        )
                        kept = table.filter(pc.invert(gone))
                        self._files.write(replace(file, rows=len(kept)), kept)
                        erased += len(table) - len(kept)
        return erased

    def retain(self, days: int) -> int:
        """Keep this many days before today, and delete the files of those before; how many.

        What is left of a partition has no gap. Where nothing is, an empty file stays in place of
        the last one: without it nobody would know how far the archive had got.
        """
        oldest, dropped = self._today() - timedelta(days), 0
        with self._files.exclusive():
            for files in list(self._files.look().values()):
                old = [file for file in files if file.date < oldest]
                if len(old) == len(files):
                    last = files[-1]
                    place = replace(last, first=last.next, rows=0)
                    if last != place:
                        self._files.write(place, SCHEMA.empty_table())
                    old = [file for file in old if file != place]
                for file in old:  # the oldest first: what is left has no gap at any time
                    self._files.delete(file)
                dropped += len(old)
        return dropped

    def batches(
        self, topic_id: str, partition: int, start: int, end: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows with start <= offset < end, in order; begins where the archive does if later.

        Raises DatasetError where the archive does not reach `end`.
        """
        return self._rows(self._files.look(), Part(topic_id, partition), start, end)

    def table(self, topic_id: str, until: Sequence[int]) -> pa.Table:
        """A snapshot: each partition's rows with offsets below `until[partition]`, one partition
        after the other, in the order of the log. Raises DatasetError as `batches` does."""
        there = self._files.look()
        batches = [
            batch
            for partition, end in enumerate(until)
            for batch in self._rows(there, Part(topic_id, partition), 0, end)
        ]
        return pa.Table.from_batches(batches, SCHEMA)

    def contains(self, user_id: int) -> int:
        """How many rows there are of a person, in all topics."""
        wanted = pa.array([user_id], pa.int64())
        return sum(
            self._files.count(file, wanted)
            for files in self._files.look().values()
            for file in files
        )

    def _rows(
        self, there: Mapping[Part, list[ArchiveFile]], part: Part, start: int, end: int
    ) -> Iterator[pa.RecordBatch]:
        files = there.get(part, [])
        reached = _span(files).end
        if end > max(reached, start):
            raise DatasetError(
                f"{self.where}: partition {part.partition} is archived up to offset {reached}, not "
                f"{end}: let the archiver catch up (`freshet archive --once`)"
            )
        for file in files:
            if file.first < end and start < file.next:
                for batch in self._files.batches(file):
                    offsets = batch["offset"].to_numpy()
                    low, high = offsets.searchsorted([start, end])
                    if low < high:
                        yield batch.slice(low, high - low)


def _span(files: Sequence[ArchiveFile]) -> Span:
    return Span(files[0].first, files[-1].next) if files else NOTHING


def _day(table: pa.Table, today: date) -> date:
    """The day of the newest record, or today where that is earlier or there is none."""
    days = (today - _EPOCH).days
    newest = pc.max(table["record_time"]).value  # ms: a wrong clock's may be of no date at all
    return _EPOCH + timedelta(days if newest is None else min(newest // _DAY, days))


def _check(table: pa.Table, begin: int, end: int) -> None:
    """Raises ValueError where `table` cannot be what is of the offsets [begin, end)."""
    if table.schema != SCHEMA:
        raise ValueError(f"the table has not the archive's schema but {table.schema}")
    offsets = table["offset"].to_numpy()
    if begin > end or (len(offsets) and not begin <= offsets[0] <= offsets[-1] < end):
        raise ValueError(f"the rows do not lie in the offsets [{begin}, {end})")
