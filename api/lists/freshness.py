"""A user's state as of a position in the log, and waiting for one."""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from api.errors import FieldError, invalid
from api.schemas.freshness import Freshness
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.records import UserRecord
from stream.store import StateStore

# s between two looks at the position while waiting for it. A look is one GET, about 0.2 ms. The
# pause grows with the wait, so that Redis is not asked in vain about a worker that lags.
FIRST_PAUSE: Final = 0.002
PAUSE_GROWTH: Final = 1.2
LONGEST_PAUSE: Final = 0.02

# "partition:offset", each within what Kafka allows.
POSITION_PATTERN: Final = r"^\d{1,9}:\d{1,18}$"


class LogPosition(NamedTuple):
    """An event's place in the `ratings` topic; on the wire ``partition:offset``."""

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
    """

    partition: int
    position: Position | None
    record: UserRecord
    included: bool | None

    def freshness(self) -> Freshness:
        state = self.record.state
        applied = self.position.next_offset - 1 if self.position else -1
        freshness = Freshness(
            position=str(LogPosition(self.partition, applied)) if applied >= 0 else None,
            included=self.included,
        )
        if state.events:
            freshness.last_event_position = str(LogPosition(self.partition, state.last_offset))
            freshness.last_event_time = state.last_event_time
            freshness.last_produced_time = state.last_produced_time
            freshness.age_ms = max(int(time.time() * 1000) - state.last_produced_time, 0)
        return freshness


async def view_user(
    store: StateStore, partitions: int, user_id: int, after: LogPosition | None, wait_ms: int
) -> UserView:
    """The user's state, once it includes `after` or `wait_ms` have passed.

    Raises:
        ProblemError: `after` is in another partition than the user's events (422).
        StoreUnavailable: the store does not answer.
    """
    partition = partition_of(user_id, partitions)
    if after is not None:
        if after.partition != partition:
            raise _bad_after(f"the events of user {user_id} are in partition {partition}")
        await wait_for(store, after, wait_ms)
    position, record = await store.read_user(partition, user_id)
    included = None if after is None else _includes(position, after)
    return UserView(partition, position, record or UserRecord(UserState()), included)


async def wait_for(store: StateStore, after: LogPosition, wait_ms: int) -> bool:
    """Whether the state includes this event, at the latest when `wait_ms` have passed.

    Raises StoreUnavailable.
    """
    deadline = time.monotonic() + wait_ms / 1000
    pause = FIRST_PAUSE
    while not _includes(await store.position(after.partition), after):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
    return True


def _includes(position: Position | None, after: LogPosition) -> bool:
    return position is not None and position.next_offset > after.offset


def _bad_after(message: str) -> Exception:
    return invalid([FieldError(field="query.after", message=message)])
