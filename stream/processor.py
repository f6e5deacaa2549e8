"""What happens to the records of a partition: fold, and one commit of state and position.

Whatever is delivered, twice, late, by a worker presumed dead or after the store was emptied, the
state ends up as one fold over the log: the commit's compare-and-set refuses what was not computed
from the stored position, and the log fills what is missing.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeGuard

from stream.coldstart import ItemVectors, records_of
from stream.contracts.errors import TopicRecreated
from stream.contracts.events import RatingEvent
from stream.contracts.keys import Position
from stream.decoding import decode
from stream.features import fold
from stream.log import DeadLetters, LogRecord, PartitionLog
from stream.store import Batch, Commit, StateStore, Wanted


@dataclass(slots=True)
class Outcome:
    """What one call did.

    Attributes:
        applied: events folded and committed, those that filled a gap included.
        duplicates: records delivered that had been applied before.
        dead: records buried, by reason.
        unknown_movies: applied events whose movie the catalogue does not know.
        produced_times: of the events in the last commit, ms: what has passed since is the latency.
    """

    applied: int = 0
    duplicates: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    unknown_movies: int = 0
    produced_times: list[int] = field(default_factory=list)


class _Refused(Exception):  # noqa: N818 - a turn of events, not an error
    """Another position is stored than the one that was computed from."""


class _Step(NamedTuple):
    """Records to fold onto the state at `start` and commit, if `stored` is still what is stored."""

    partition: int
    stored: Position | None
    start: Position
    records: Sequence[LogRecord]


class Processor:
    """Applies records to the live state. One serves all partitions of a worker.

    Calls may run at the same time, for one partition too, here or in other processes: that costs
    work, never correctness.
    """

    def __init__(
        self,
        store: StateStore,
        log: PartitionLog,
        dead_letters: DeadLetters,
        *,
        topic: str,
        partitions: int,
        items: Callable[[], ItemVectors | None],
        known_movies: Callable[[], Container[int]],
    ) -> None:
        """
        Args:
            topic: the name of the topic that `log` reads, for dead letters.
            partitions: how many partitions it has.
            items: the item vectors of the model that serves now, None before the first.
            known_movies: the movie ids of the catalogue as of now.
        """
        self._store = store
        self._log = log
        self._dead_letters = dead_letters
        self._topic = topic
        self._partitions = partitions
        self._items = items
        self._known_movies = known_movies
        # What each partition was last known to be of, and to have got to.
        self._topic_ids: dict[int, str] = {}
        self._positions: dict[int, Position] = {}

    def next_offset(self, partition: int) -> int | None:
        """How far the partition's state has got as far as this process knows, None before it does.

        It moves during a call that fills a long gap, so that a watchdog can tell work from a stall.
        """
        position = self._positions.get(partition)
        return position.next_offset if position else None

    async def process(self, partition: int, records: Sequence[LogRecord]) -> Outcome:
        """Apply what the log delivered, in its order; returns once it is committed.

        Raises StoreUnavailable or BrokerUnavailable with nothing lost or doubled: process the same
        records again, here or in another worker. Raises TopicRecreated where they may be of a topic
        that is no more: resume.
        """
        return await self.process_together({partition: records})

    async def process_together(self, batches: Mapping[int, Sequence[LogRecord]]) -> Outcome:
        """`process` for several partitions, each of which is committed or not on its own.

        All that go on from where this process left them share one question to the store, which
        costs more than a few records do, and one commit. The others, and those refused, are seen
        to one by one. Raises as `process` does.
        """
        outcome = Outcome()
        steps = []
        for partition, records in batches.items():
            at = self._positions.get(partition)
            if records and self._goes_on(at, partition, records[0].offset):
                steps.append(_Step(partition, at, at, records))
        took = await self._apply(steps, outcome) if steps else {}
        for partition, records in batches.items():
            if records and partition not in took:
                await self._advance(partition, records, records[0].offset, outcome)
        return outcome

    async def catch_up(self, partition: int) -> Outcome:
        """Apply all that the log holds beyond the state. Raises as `process` does."""
        outcome = Outcome()
        await self.resume(partition)
        await self._advance(partition, (), await self._log.end(partition), outcome)
        return outcome

    async def resume(self, partition: int) -> int:
        """The offset from which to read a partition newly assigned: the first one not applied.

        The store decides, not the consumer group: it may have lost what the group has committed,
        and it may be ahead of that. Raises as `process` does.
        """
        self._positions.pop(partition, None)  # others may have written since
        topic_id = self._topic_ids[partition] = await self._log.topic_id()
        stored = await self._store.position(partition)
        if stored is not None and stored.topic_id == topic_id:
            return stored.next_offset
        if stored is not None:  # of a topic that is no more: nobody may take it for this one's
            start = await self._start(partition, stored)
            if await self._store.commit(partition, stored, start, Batch()) == start:
                await self._store.drop_before(partition, start.generation)
        return 0

    async def _advance(
        self, partition: int, records: Sequence[LogRecord], begin: int, outcome: Outcome
    ) -> None:
        """Apply the log up to `begin`, then `records`, which begin there.

        1. Take the position that is stored: what this process committed last, or else read it.
        2. Make sure of the topic where the position is not one to go on from. If it was recreated,
           these records and those fetched with them may be of the old one: refuse them.
        3. Go on from the position, or start a new generation where it is none of this topic's.
        4. Fill what is missing before the records from the log.
        5. Trim those that are applied, and apply the rest.

        Where a commit is refused, another writer got ahead: start over from what it stored.
        """
        while True:
            # 1.
            stored = self._positions.get(partition) or await self._store.position(partition)
            # 2.
            if not self._goes_on(stored, partition, begin):
                await self._make_sure_of_topic(partition)
            # 3.
            start = await self._start(partition, stored)
            try:
                # 4.
                if start.next_offset < begin:
                    async with aclosing(
                        self._log.read(partition, start.next_offset, begin)
                    ) as missing:
                        async for chunk in missing:
                            step = _Step(partition, stored, start, chunk)
                            stored = start = await self._apply_one(step, outcome)
                # 5.
                fresh = [record for record in records if record.offset >= start.next_offset]
                if fresh:
                    await self._apply_one(_Step(partition, stored, start, fresh), outcome)
            except _Refused:
                continue
            outcome.duplicates += len(records) - len(fresh)
            return

    def _goes_on(self, stored: Position | None, partition: int, begin: int) -> TypeGuard[Position]:
        """Whether records from `begin` follow this position, of the topic that is known."""
        return (
            stored is not None
            and stored.topic_id == self._topic_ids.get(partition)
            and stored.next_offset == begin
        )

    async def _make_sure_of_topic(self, partition: int) -> None:
        topic_id = await self._log.topic_id()
        if self._topic_ids.setdefault(partition, topic_id) != topic_id:
            raise TopicRecreated(
                f"topic {self._topic} was deleted and created again: resume partition {partition}, "
                "as a worker that is started again does"
            )

    async def _start(self, partition: int, stored: Position | None) -> Position:
        topic_id = self._topic_ids[partition]
        if stored is not None and stored.topic_id == topic_id:
            return stored
        return Position(await self._store.new_generation(partition), topic_id, 0)

    async def _apply_one(self, step: _Step, outcome: Outcome) -> Position:
        """The position after the step. Raises _Refused."""
        if after := (await self._apply([step], outcome)).get(step.partition):
            return after
        raise _Refused

    async def _apply(self, steps: Sequence[_Step], outcome: Outcome) -> dict[int, Position]:
        """Take these steps, of a partition each.

        1. Tell the valid events from the others.
        2. Load the state of the users and movies that they concern, if it is still at `stored`.
        3. Fold.
        4. Pool the cold-start vectors.
        5. Bury the others. Before the commit, so that a crash between the two loses none.
        6. Commit the state and the new position; drop the generation that it replaces, if any.

        Returns the new positions, but of partitions where another one than `stored` is stored.
        """
        # 1.
        decoded = {
            step.partition: decode(self._topic, step.partition, self._partitions, step.records)
            for step in steps
        }
        rated = {
            partition: [event.movie_id for _, event in events if isinstance(event, RatingEvent)]
            for partition, (events, _) in decoded.items()
        }
        # 2.
        loaded = await self._store.load_together(
            [
                Wanted(
                    step.partition,
                    step.start.generation,
                    {event.user_id for _, event in decoded[step.partition][0]},
                    set(rated[step.partition]),
                )
                for step in steps
            ]
        )
        # 3.
        folded = [
            (step, fold(users, movies, decoded[step.partition][0]))
            for step, (at, users, movies) in zip(steps, loaded, strict=True)
            if self._remember(step.partition, at, step.stored)
        ]
        # 4.
        states = {user: state for _, writes in folded for user, state in writes.users.items()}
        records = records_of(states, self._items())
        # 5.
        if letters := [it for step, _ in folded for it in decoded[step.partition][1]]:
            await self._dead_letters.bury(letters)
        # 6.
        commits = [
            Commit(
                step.partition,
                step.stored,
                replace(step.start, next_offset=step.records[-1].offset + 1),
                Batch({user: records[user] for user in writes.users}, writes.movies),
            )
            for step, writes in folded
        ]
        stored = await self._store.commit_together(commits)
        took = [
            commit
            for commit, now in zip(commits, stored, strict=True)
            if self._remember(commit.partition, now, commit.new)
        ]
        for partition, before, new, _ in took:
            if before is None or before.generation != new.generation:
                await self._store.drop_before(partition, new.generation)

        known = self._known_movies()
        outcome.produced_times = []
        for commit in took:
            events, buried = decoded[commit.partition]
            outcome.applied += len(events)
            outcome.dead.update(letter.reason for letter in buried)
            outcome.unknown_movies += sum(movie not in known for movie in rated[commit.partition])
            outcome.produced_times += [event.produced_time for _, event in events]
        return {commit.partition: commit.new for commit in took}

    def _remember(self, partition: int, position: Position | None, wanted: Position | None) -> bool:
        """Keep what is stored; whether it is what was wanted."""
        self._positions.pop(partition, None)
        if position is not None:
            self._positions[partition] = position
        return position == wanted
