"""Counts what came of experiments: the records of `exposures` and `feedback`, each exactly once.

As with the state (`stream.processor`): a commit takes only where the position is stored that it was
computed from. One position holds how far either topic was read, since both change the same people.

What the fold keeps of a person for what the other topic may still bring, it keeps for two windows.
So neither topic is counted more than half a window ahead of the other, which is then read up to
there first. It matters where months are counted again, because the store lost them.
"""

import logging
from asyncio import Lock
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final, TypeAlias

from stream.contracts.errors import InvalidEvent, TopicRecreated
from stream.contracts.events import ForgetEvent
from stream.contracts.experiments import (
    ExposureEvent,
    FeedbackEvent,
    decode_exposure,
    decode_feedback,
)
from stream.contracts.topics import Topics
from stream.experiments.outcomes import fold
from stream.experiments.pace import came, runs
from stream.experiments.store import OutcomeStore, Progress, Read
from stream.log import LogRecord, PartitionLog

logger = logging.getLogger(__name__)

PersonEvent: TypeAlias = ExposureEvent | FeedbackEvent | ForgetEvent
Decode: TypeAlias = Callable[[bytes | None, bytes | None, int], PersonEvent]


@dataclass(slots=True)
class Counted:
    """What one call did, and with it those of its partition before that failed half way.

    Attributes:
        applied: by topic, events counted and committed, whether they were delivered or read.
        duplicates: records delivered to this call that had been counted before.
        invalid: by topic and reason, records left out.
    """

    applied: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    invalid: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: "Counted") -> None:
        self.applied += other.applied
        self.invalid += other.invalid


class _Refused(Exception):  # noqa: N818 - a turn of events, not an error
    """Another position is stored than the one that was computed from."""


class Tally:
    """One serves both topics and all partitions of a worker.

    Calls may run at the same time, here or in other processes: that costs work, never correctness.
    """

    def __init__(
        self, store: OutcomeStore, topics: Topics, logs: Mapping[str, PartitionLog], window: int
    ) -> None:
        """
        Args:
            logs: of both topics, by name.
            window: ms after an impression within which feedback counts.
        """
        self._store = store
        self._logs = logs
        self._window = window
        self._ahead = window // 2  # ms
        self._others = dict(zip(topics.shown, reversed(topics.shown), strict=True))
        self._decode: Final[dict[str, Decode]] = {
            topics.exposures: decode_exposure,
            topics.feedback: decode_feedback,
        }
        self._topic_ids: dict[str, str] = {}
        self._left: dict[int, Progress] = {}  # in the store, by the last commit of this process
        self._reached: dict[tuple[str, int], int] = {}  # where each partition was last known to be
        self._commits: Counter[int] = Counter()  # of each partition
        # By partition: what calls counted that failed after it, and a commit whose answer was lost.
        self._untold: defaultdict[int, Counted] = defaultdict(Counted)
        self._unsure: dict[int, tuple[Progress, Counted]] = {}
        self._under_way: set[tuple[str, int]] = set()  # calls
        # How far a partition was read when all that it had before a time, in ms, was counted.
        self._until: dict[tuple[str, int], tuple[Read | None, int]] = {}
        # Both topics of a partition would else read the same on behalf of each other.
        self._turns: defaultdict[int, Lock] = defaultdict(Lock)

    async def resume(self, topic: str, partition: int) -> int:
        """The first offset of a partition newly assigned that is not counted.

        Raises StoreUnavailable or BrokerUnavailable.
        """
        self._topic_ids[topic] = await self._logs[topic].topic_id()
        progress, _ = await self._store.load(partition, ())
        start = await self._start(progress, topic, partition)
        # Where the log begins later than at 0, what is before was never stored, and is not lost.
        self._reached[topic, partition] = start if topic in progress.read else 0
        return start

    def mark(self, topic: str, partition: int) -> int | None:
        """What changes with every commit while a call is under way, None while none is.

        Also while it reads the other topic, or waits for a call that does: that may take as long as
        half a window of either has records, and a watchdog has to tell it from a stall.
        """
        return self._commits[partition] if (topic, partition) in self._under_way else None

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
        2. Fill what is missing before the records from the log, trim those that are counted, and
           count the rest, a run of half a window after the other.
        3. Before each run, count what the other topic had before it.

        Where a commit is refused, another writer got ahead: start over from what it stored. Raises
        StoreUnavailable or BrokerUnavailable with nothing lost or doubled: do it again. Raises
        TopicRecreated where one of the topics is no more what it was: resume.
        """
        self._under_way.add((topic, partition))
        try:
            async with self._turns[partition]:
                return await self._process(topic, partition, records)
        finally:
            self._under_way.discard((topic, partition))

    async def _process(self, topic: str, partition: int, records: Sequence[LogRecord]) -> Counted:
        counted, begin = self._untold[partition], records[0].offset
        while True:
            # 1.
            progress = self._left.pop(partition, None)
            at = Read(await self._topic_id(topic), begin)
            if progress is None or progress.read.get(topic) != at:
                progress, _ = await self._store.load(partition, ())
                self._settle(partition, progress, counted)
            start = await self._start(progress, topic, partition)
            fresh = [record for record in records if record.offset >= start]
            try:
                # 2.
                async with aclosing(self._missing(topic, partition, start, begin)) as missing:
                    async for chunk in missing:
                        progress = await self._go_on(progress, topic, partition, chunk, counted)
                await self._go_on(progress, topic, partition, fresh, counted)
            except _Refused:
                continue
            counted.duplicates = len(records) - len(fresh)
            return self._untold.pop(partition)

    async def _missing(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """What a gap has in the log still: what was dropped, nobody can count."""
        if start < end:
            start = max(start, await self._logs[topic].begin(partition))
            async with aclosing(self._logs[topic].read(partition, start, end)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _go_on(
        self,
        progress: Progress,
        topic: str,
        partition: int,
        records: Sequence[LogRecord],
        counted: Counted,
    ) -> Progress:
        """Count records that follow; raises _Refused. Returns the new progress."""
        for run in runs(records, self._ahead):
            # 3.
            other = self._others[topic]
            progress = await self._let_follow(progress, other, partition, run, counted)
            progress = await self._apply(progress, topic, partition, run, counted)
        return progress

    async def _let_follow(
        self,
        progress: Progress,
        topic: str,
        partition: int,
        run: Sequence[LogRecord],
        counted: Counted,
    ) -> Progress:
        """Count what a topic had before a run of the other, if it is too far behind its end.

        Raises _Refused and TopicRecreated. Returns the new progress.
        """
        begin = came(run[0])
        read, until = self._until.get((topic, partition), (None, 0))
        near = until >= max(map(came, run)) - self._ahead
        if near and progress.reaches(topic, read):
            return progress
        await self._make_sure_of(topic)
        start = await self._start(progress, topic, partition)
        end = await self._logs[topic].end(partition)
        async with aclosing(self._missing(topic, partition, start, end)) as missing:
            async for chunk in missing:
                before = list(takewhile(lambda record: came(record) < begin, chunk))
                if before:
                    progress = await self._apply(progress, topic, partition, before, counted)
                if len(before) < len(chunk):
                    break
        self._until[topic, partition] = progress.read.get(topic), begin
        return progress

    async def _topic_id(self, topic: str) -> str:
        if topic not in self._topic_ids:
            self._topic_ids[topic] = await self._logs[topic].topic_id()
        return self._topic_ids[topic]

    async def _make_sure_of(self, topic: str) -> None:
        """Raises TopicRecreated where what this process knows of a topic is of one before."""
        topic_id = await self._logs[topic].topic_id()
        if self._topic_ids.setdefault(topic, topic_id) != topic_id:
            raise TopicRecreated(
                f"topic {topic} was deleted and created again: resume, as a worker that is started "
                "again does"
            )

    async def _start(self, progress: Progress, topic: str, partition: int) -> int:
        read = progress.read.get(topic)
        if read is not None:
            if read.topic_id == self._topic_ids[topic]:
                return read.next_offset
            await self._make_sure_of(topic)  # one of both is of a topic that is no more
        return await self._logs[topic].begin(partition)

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
        left_out = Counter((topic, reason) for reason in invalid)
        self._unsure[partition] = new, Counted(Counter({topic: len(events)}), invalid=left_out)
        stored = await self._store.commit(partition, expected, new, people, sums)
        self._settle(partition, stored, counted)
        if stored != new:
            raise _Refused
        self._commits[partition] += 1
        self._left[partition] = new
        self._reached[topic, partition] = records[-1].offset + 1
        self._until[topic, partition] = new.read[topic], came(records[-1])
        return new

    def _settle(self, partition: int, stored: Progress, counted: Counted) -> None:
        """Take the last commit into what is counted, if it is the one that is stored."""
        sent, by_it = self._unsure.pop(partition, (None, Counted()))
        if sent == stored:
            counted.add(by_it)

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
