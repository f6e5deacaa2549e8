"""The fold over a whole partition, in memory: what rebuild writes and verify compares with."""

from collections.abc import Callable
from contextlib import aclosing
from typing import TypeAlias

from stream.contracts.events import ForgetEvent
from stream.decoding import decode
from stream.features import Writes, fold_into
from stream.log import DeadLetter, PartitionLog

Progress: TypeAlias = Callable[[int], object]


class PartitionFold:
    """A partition's state as of an offset of the log.

    Attributes:
        state: of every user and movie.
        next_offset: the first offset that is not in it.
        events: how many valid events are.
        erased: how many ratings of people who were forgotten may be missing: of the offsets that
            the topic has dropped, those without a record in the archive. 0 where it has them all.
    """

    def __init__(
        self, log: PartitionLog, topic: str, partition: int, partitions: int, progress: Progress
    ) -> None:
        """`progress` is told how many records each step took."""
        self._log = log
        self._topic = topic
        self._partition = partition
        self._partitions = partitions
        self._progress = progress
        self.state = Writes()
        self.next_offset = 0
        self.events = 0
        self.erased = 0

    async def advance(self, end: int) -> tuple[Writes, list[DeadLetter]]:
        """Fold the log up to `end`, if that is ahead; the new state of what changed, and the
        records that are not valid. Raises as reading does."""
        changed = Writes()
        letters: list[DeadLetter] = []
        if end > self.next_offset:
            dropped = min(await self._log.begin(self._partition), end)
            self.erased += max(dropped - self.next_offset, 0)
            async with aclosing(self._log.read(self._partition, self.next_offset, end)) as chunks:
                async for chunk in chunks:
                    events, invalid = decode(self._topic, self._partition, self._partitions, chunk)
                    fold_into(changed, self.state.users, self.state.movies, events)
                    letters += invalid
                    self.events += len(events)
                    if chunk[0].offset < dropped:
                        self.erased -= sum(record.offset < dropped for record in chunk)
                    self._progress(len(chunk))
            self.state.users |= changed.users
            for user, state in changed.users.items():
                if not state.events:
                    del self.state.users[user]
            self.state.movies |= changed.movies
            self.next_offset = end
        return changed, letters

    async def wishes(self, end: int) -> set[int]:
        """Who is to be forgotten by what comes next, up to `end`. Raises as reading does."""
        users: set[int] = set()
        if end > self.next_offset:
            async with aclosing(self._log.read(self._partition, self.next_offset, end)) as chunks:
                async for chunk in chunks:
                    events, _ = decode(self._topic, self._partition, self._partitions, chunk)
                    users |= {it.user_id for _, it in events if isinstance(it, ForgetEvent)}
        return users
