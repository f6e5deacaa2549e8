"""A user's state as of a position in the log, and waiting for one."""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from api.errors import FieldError, invalid
from api.schemas.freshness import POSITION_PATTERN, Freshness
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.kept import UserVersion
from stream.records import UserRecord
from stream.store import StateStore

# s between two looks at the position while waiting for it. A look is one GET, about 0.2 ms. The
# pause grows with the wait, so that Redis is not asked in vain about a worker that lags.
FIRST_PAUSE: Final = 0.002
PAUSE_GROWTH: Final = 1.2
LONGEST_PAUSE: Final = 0.02


class LogPosition(NamedTuple):
    """An event's place in the `ratings` topic; on the wire ``partition:offset``.

    It does not say which topic of that name: no acknowledgement does, and to ask the broker would
    cost each rating a request. Where an operator deletes the topic and creates it anew, positions
    from before mean nothing, and those of the new topic are told apart from the old one's only once
    the workers have started again, as they do by themselves (`stream.processor`).
    """

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "LogPosition":
        """Raises ProblemError (422) unless it is ``partition:offset``."""
        if not re.match(POSITION_PATTERN, text):
            raise _bad_after(f"{text!r} is not `partition:offset` as POST /ratings gives it")
        partition, offset = text.split(":")
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class UserView:
    """What was known of a user at one instant.

    Attributes:
        partition: the user's.
        position: how far the partition had got, None where nothing was ever applied.
        record: an empty one for someone unknown.
        included: whether the event that was asked for is part of it, None where none was.
        kept: what was kept for them under the name asked for.
    """

    partition: int
    position: Position | None
    record: UserRecord
    included: bool | None
    kept: bytes | None = None

    def version(self) -> UserVersion | None:
        """Of their state; None where nothing was ever applied."""
        if self.position is None:
            return None
        return UserVersion.of(self.position, self.record if self.record.state.events else None)

    def freshness(self) -> Freshness:
        state = self.record.state
        last = LastEvent(state.last_offset, state.last_event_time, state.last_produced_time)
        return freshness_of(
            self.partition,
            self.position.next_offset if self.position else 0,
            last if state.events else None,
            self.included,
        )


class LastEvent(NamedTuple):
    """A user's last event: its offset, when it happened and was handed to the broker, in ms."""

    offset: int
    event_time: int
    produced_time: int


def freshness_of(
    partition: int, next_offset: int, last: LastEvent | None, included: bool | None
) -> Freshness:
    """Of what was made from a user's state.

    Args:
        partition: the user's.
        next_offset: the first one that was not applied to it.
        last: the user's last event, None without one.
        included: see `Freshness`.
    """
    position = str(LogPosition(partition, next_offset - 1)) if next_offset > 0 else None
    if last is None:
        return Freshness(position=position, included=included)
    return Freshness(
        position=position,
        included=included,
        last_event_position=str(LogPosition(partition, last.offset)),
        last_event_time=last.event_time,
        last_produced_time=last.produced_time,
        age_ms=max(int(time.time() * 1000) - last.produced_time, 0),
    )


async def view_user(
    store: StateStore,
    partitions: int,
    user_id: int,
    after: LogPosition | None,
    wait_ms: int,
    name: bytes = b"",
) -> UserView:
    """The user's state, once it includes `after` or `wait_ms` have passed.

    What is kept for them under `name` is read with it, at the same instant.

    Raises:
        ProblemError: `after` is in another partition than the user's events (422).
        StoreUnavailable: the store does not answer.
    """
    partition = partition_of(user_id, partitions)
    if after is not None:
        if after.partition != partition:
            raise _bad_after(f"the events of user {user_id} are in partition {partition}")
        await wait_for(store, after, wait_ms)
    position, record, kept = await store.read_user_with(partition, user_id, name)
    included = None if after is None else includes(position, after)
    return UserView(partition, position, record or UserRecord(UserState()), included, kept)


async def wait_for(store: StateStore, after: LogPosition, wait_ms: int) -> bool:
    """Whether the state includes this event, at the latest when `wait_ms` have passed.

    Raises StoreUnavailable.
    """
    deadline = time.monotonic() + wait_ms / 1000
    pause = FIRST_PAUSE
    while not includes(await store.position(after.partition), after):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
    return True


def includes(position: Position | None, after: LogPosition) -> bool:
    """Whether a partition's state includes an event of it."""
    return position is not None and position.next_offset > after.offset


def _bad_after(message: str) -> Exception:
    return invalid([FieldError(field="query.after", message=message)])
