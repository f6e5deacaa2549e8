"""What readers keep for a user, for a time: lists that were made from the user's state.

It is kept beside the state, under one key a user, so that both are read at once and a person's is
erased at once. It never outlives them: nothing is kept of a state that is not live any more, and
the commit that erases a user erases what was kept.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from stream.contracts.keys import Position
from stream.records import UserRecord

# Names a user may have: some lists that are paged through, and answers to some different questions.
MAX_KEPT: Final = 32

_NO_EVENT: Final = -1


class UserVersion(NamedTuple):
    """Which state of a user: another event, or another copy of the state, is another version.

    Attributes:
        generation: see `Position`.
        topic_id: the same.
        last_offset: of the user's last event, -1 for a user without state.
    """

    generation: int
    topic_id: str
    last_offset: int

    @classmethod
    def of(cls, position: Position, record: UserRecord | None) -> "UserVersion":
        """That of a record as it is at a position."""
        last = _NO_EVENT if record is None else record.state.last_offset
        return cls(position.generation, position.topic_id, last)


class Kept(NamedTuple):
    """Something to keep for a user.

    Attributes:
        partition: the user's.
        user_id: whose it is.
        of: the state it was made from.
        name: takes the place of what has that name; of too many the least name goes first.
        value: what is read again.
        seconds: for how long.
    """

    partition: int
    user_id: int
    of: UserVersion
    name: bytes
    value: bytes
    seconds: float


class KeepingStore(Protocol):
    """Everything raises StoreUnavailable when the store does not answer in time."""

    async def read_user_with(
        self, partition: int, user_id: int, name: bytes
    ) -> tuple[Position | None, UserRecord | None, bytes | None]:
        """`StateStore.read_user`, and what is kept for them under this name, of one instant."""
        ...

    async def keep(self, things: Sequence[Kept]) -> list[bool]:
        """Keep each of these, unless the user's state is another one by now: whether it is kept."""
        ...

    async def drop_kept(self, partition: int, user_id: int) -> None:
        """Erase all that is kept for a user."""
        ...

    async def kept(self, partition: int, user_id: int) -> int:
        """How many things are kept for a user, expired ones that are still there included."""
        ...
