"""Follows the log into the archive, for as long as nothing goes wrong."""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from producers import admin
from stream.archive import NOTHING, Archive
from stream.archive_pending import Pending
from stream.archiver_metrics import ArchiverMetrics
from stream.contracts import tracing
from stream.contracts.errors import DatasetError, TopicRecreated
from stream.lease import Lease
from stream.log import Record
from stream.tail import Tail

# Records read at a time, and seconds after which fewer are taken: so soon a stop is noticed.
BATCH: Final = 10_000
WAIT: Final = 0.2

# Seconds between two looks at whether the broker is there and the topic the one that it was.
LOOK: Final = 10.0

# Seconds between two deletions of what is older than the archive keeps.
RETENTION: Final = 3_600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """When is written, and how long it is kept.

    Attributes:
        rows: that wait to be written at most, over all partitions.
        seconds: after which what was read is written.
        retention_days: that the archive keeps, None for ever.
    """

    rows: int
    seconds: float
    retention_days: int | None = None


class Archiving:
    """One run under one lease. Use as a context manager.

    Attributes:
        caught_up: whether what the log had when it began is archived.
        works: whether it has archived something, or seen that there is nothing to archive.
    """

    def __init__(
        self,
        config: Mapping[str, str],
        topic: str,
        archive: Archive,
        lease: Lease,
        limits: Limits,
        metrics: ArchiverMetrics,
    ) -> None:
        """Find where the archive ends, and go to there in the log."""
        self._config = config
        self._topic = topic
        self._archive = archive
        self._lease = lease
        self._limits = limits
        self._metrics = metrics
        archive.claim(topic)
        self._topic_id = admin.topic_id(config, topic)
        spans = archive.spans(self._topic_id, admin.partition_count(config, topic))
        self._tail = Tail(config, topic, [span.end for span in spans])
        self._pending = [
            Pending(start if span == NOTHING else span.end)
            for span, start in zip(spans, self._tail.positions, strict=True)
        ]
        self._lost: dict[int, int] = {}  # by partition, to be counted once the archive is past it
        self._begun = {partition for partition, span in enumerate(spans) if span != NOTHING}
        for partition, (span, start) in enumerate(zip(spans, self._tail.positions, strict=True)):
            metrics.at(partition, self._pending[partition].begin)
            if span != NOTHING and start > span.end:
                self._lost[partition] = start - span.end
                logger.critical(
                    "%s[%d] has dropped the offsets [%d, %d) before they were archived: the "
                    "archive goes on without them. Have the topic keep more, or the archiver run",
                    *(topic, partition, span.end, start),
                )
        self._looked = time.monotonic()
        self._retained = -math.inf
        self.caught_up = False
        self.works = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tail.close()

    def step(self) -> None:
        """
        1. Read what has come.
        2. Write what is due. Everything is where the end of the log is seen for the first time.
        3. Where nothing was, see now and then whether the broker is there and the topic the same.
        4. Delete what is older than the archive keeps.
        """
        # 1.
        for partition, records in self._read().items():
            invalid = self._pending[partition].add(
                self._topic, partition, len(self._pending), records
            )
            self._metrics.read(invalid)
        for pending, position in zip(self._pending, self._tail.positions, strict=True):
            pending.reach(position)
        # 2.
        if not self.caught_up and self._tail.ended == set(range(len(self._pending))):
            self.write_all()
            self.works = self.caught_up = True
        elif due := self._due():
            self._write(due)
            self.works = True
        # 3.
        elif time.monotonic() > self._looked + LOOK:
            self._make_sure_of_topic()
        # 4.
        days = self._limits.retention_days
        if days is not None and time.monotonic() > self._retained + RETENTION:
            self._lease.check()
            self._metrics.dropped.inc(self._archive.retain(days))
            self._retained = time.monotonic()

    def write_all(self) -> None:
        """Write all that was read."""
        self._write([it for it, pending in enumerate(self._pending) if pending.end > pending.begin])

    def _read(self) -> Mapping[int, list[Record]]:
        try:
            return self._tail.read(BATCH, WAIT)
        except DatasetError:
            self._make_sure_of_topic()  # one that was made anew may well be shorter
            raise

    def _due(self) -> list[int]:
        """The partitions to write now: those that wait long enough, wishes to be forgotten at once,
        and where too much waits the one that has most of it, so that files change seldom."""
        now = time.monotonic()
        due = {
            partition
            for partition, pending in enumerate(self._pending)
            if pending.forgotten or now > pending.since + self._limits.seconds
        }
        waiting = [pending.rows for pending in self._pending]
        if sum(waiting) >= self._limits.rows:
            due.add(waiting.index(max(waiting)))
        return sorted(due)

    def _write(self, partitions: Iterable[int]) -> None:
        """
        1. Make sure that what was read is of this topic: where it still is, it was.
        2. Erase who wants to be forgotten from what is archived.
        3. Archive what waits, without them: only now the archive claims to know of their wish.
        """
        # 1.
        self._make_sure_of_topic()
        for partition in partitions:
            pending, started = self._pending[partition], time.monotonic()
            with tracing.batch("archive ratings", pending.traced):
                rows, erased = self._archive_one(partition, pending)
            self._pending[partition] = Pending(pending.end)
            self._metrics.written(rows, erased, time.monotonic() - started)
            self._metrics.at(partition, pending.end)

    def _archive_one(self, partition: int, pending: Pending) -> tuple[int, int]:
        """How many rows were added, and how many were erased."""
        erased = 0
        # 2.
        if pending.forgotten:
            self._lease.check()
            erased = self._archive.erase(
                self._topic_id, partition, pending.forgotten, pending.begin
            )
        # 3.
        table = pending.table()
        self._lease.check()
        self._archive.append(
            *(self._topic_id, partition, pending.begin, pending.end, table),
            first=partition not in self._begun,
        )
        self._begun.add(partition)
        self._metrics.lost.inc(self._lost.pop(partition, 0))
        return len(table), erased

    def _make_sure_of_topic(self) -> None:
        if admin.topic_id(self._config, self._topic) != self._topic_id:
            raise TopicRecreated(
                f"topic {self._topic} was deleted and created again: it is archived from its "
                "beginning"
            )
        self._looked = time.monotonic()
