"""Counts what came of experiments: the records of `exposures` and `feedback`, each exactly once.

As with the state (`stream.processor`): a commit takes only where the position is stored that it was
computed from. One position holds how far either topic was read, since both change the same people.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from stream.contracts.errors import InvalidEvent
from stream.contracts.events import ForgetEvent
from stream.contracts.experiments import (
    ExposureEvent,
    FeedbackEvent,
    decode_exposure,
    decode_feedback,
)
from stream.contracts.topics import Topics
from stream.experiments.outcomes import fold
from stream.experiments.store import OutcomeStore, Progress, Read
from stream.log import LogRecord, PartitionLog

logger = logging.getLogger(__name__)

PersonEvent: TypeAlias = ExposureEvent | FeedbackEvent | ForgetEvent
Decode: TypeAlias = Callable[[bytes | None, bytes | None, int], PersonEvent]


@dataclass(slots=True)
class Counted:
    """What one call did.

    Attributes:
        applied: events counted and committed, those that filled a gap included.
        duplicates: records delivered that had been counted before.
        invalid: records left out, by reason.
    """

    applied: int = 0
    duplicates: int = 0
    invalid: Counter[str] = field(default_factory=Counter)


class _Refused(Exception):  # noqa: N818 - a turn of events, not an error
    """Another position is stored than the one that was computed from."""


class Tally:
    """One serves both topics and all partitions of a worker.

    Calls may run at the same time, here or in other processes: that costs work, never correctness.
    """

    def __init__(
        self,
        store: OutcomeStore,
        topics: Topics,
        logs: Mapping[str, PartitionLog],
        window: int,
    ) -> None:
        """
        Args:
            logs: of both topics, by name.
            window: ms after an impression within which feedback counts.
        """
        self._store = store
        self._logs = logs
        self._window = window
        self._decode: Final[dict[str, Decode]] = {
            topics.exposures: decode_exposure,
            topics.feedback: decode_feedback,
        }
        self._topic_ids: dict[str, str] = {}
        self._left: dict[int, Progress] = {}  # in the store, by the last commit of this process
        self._reached: dict[tuple[str, int], int] = {}  # where each partition was last known to be

    async def resume(self, topic: str, partition: int) -> int:
        """The first offset of a partition newly assigned that is not counted.

        Raises StoreUnavailable or BrokerUnavailable.
        """
        topic_id = self._topic_ids[topic] = await self._logs[topic].topic_id()
        progress, _ = await self._store.load(partition, ())
        start = await self._start(progress, topic, topic_id, partition)
        # Where the log begins later than at 0, what is before was never stored, and is not lost.
        self._reached[topic, partition] = start if topic in progress.read else 0
        return start

    async def is_behind(self, topic: str, partition: int) -> bool:
        """Whether the store has less of a partition now than this process has seen there.

        Raises StoreUnavailable.
        """
        reached = self._reached.get((topic, partition), 0)  # first: both move on meanwhile
        progress, _ = await self._store.load(partition, ())
        read = progress.read.get(topic)
        return reached > (read.next_offset if read else 0)

    async def process(self, topic: str, partition: int, records: Sequence[LogRecord]) -> Counted:
        """Count what the log delivered, in its order; returns once it is committed.

        1. Take the progress that is stored: what this process left there last, where the records
           go on from it, or else read it.
        2. Fill what is missing before the records from the log.
        3. Trim those that are counted, and count the rest.

        Where a commit is refused, another writer got ahead: start over from what it stored. Raises
        StoreUnavailable or BrokerUnavailable with nothing lost or doubled: do it again.
        """
        counted = Counted()
        topic_id = self._topic_ids.get(topic)
        if topic_id is None:
            topic_id = self._topic_ids[topic] = await self._logs[topic].topic_id()
        begin = records[0].offset
        while True:
            # 1.
            progress = self._left.pop(partition, None)
            if progress is None or progress.read.get(topic) != Read(topic_id, begin):
                progress, _ = await self._store.load(partition, ())
            start = await self._start(progress, topic, topic_id, partition)
            try:
                # 2.
                if start < begin:
                    log = self._logs[topic]
                    async with aclosing(log.read(partition, start, begin)) as missing:
                        async for chunk in missing:
                            progress = await self._apply(progress, topic, partition, chunk, counted)
                # 3.
                fresh = [record for record in records if record.offset >= start]
                if fresh:
                    await self._apply(progress, topic, partition, fresh, counted)
            except _Refused:
                continue
            counted.duplicates = len(records) - len(fresh)
            return counted

    async def _start(self, progress: Progress, topic: str, topic_id: str, partition: int) -> int:
        read = progress.read.get(topic)
        if read is not None and read.topic_id == topic_id:
            return read.next_offset
        return await self._logs[topic].begin(partition)  # what was dropped, nobody can count

    async def _apply(
        self,
        expected: Progress,
        topic: str,
        partition: int,
        records: Sequence[LogRecord],
        counted: Counted,
    ) -> Progress:
        """Count records and commit, if `expected` is still what is stored; raises _Refused if not.

        Returns the new progress.
        """
        events, invalid = self._valid(topic, partition, records)
        stored, people = await self._store.load(partition, {event.user_id for event in events})
        if stored != expected:
            raise _Refused
        sums = fold(people, events, self._window)
        new = expected.after(topic, Read(self._topic_ids[topic], records[-1].offset + 1))
        if await self._store.commit(partition, expected, new, people, sums) != new:
            raise _Refused
        self._left[partition] = new
        self._reached[topic, partition] = records[-1].offset + 1
        counted.applied += len(events)
        counted.invalid.update(invalid)
        return new

    def _valid(
        self, topic: str, partition: int, records: Sequence[LogRecord]
    ) -> tuple[list[Any], list[str]]:
        """The events of valid records, and why the others are not. Nobody waits for those."""
        events, invalid = [], []
        for record in records:
            try:
                events.append(self._decode[topic](record.value, record.key, record.timestamp))
            except InvalidEvent as error:
                logger.error(
                    "%s[%d], offset %d: left out: %s", topic, partition, record.offset, error
                )
                invalid.append(error.reason)
        return events, invalid
