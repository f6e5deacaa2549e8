"""The seam between processing and the log: what a record is, and who can read or bury one."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stream.contracts.tracing import Headers


class LogRecord(Protocol):
    """One record of a partition. aiokafka's ConsumerRecord is one as it comes."""

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""
        ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...


class Record(NamedTuple):
    """A LogRecord made by hand.

    Attributes:
        headers: those that `stream.contracts.tracing` reads, where its reader wants any.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class PartitionLog(Protocol):
    """Reads the `ratings` topic by position."""

    async def topic_id(self) -> str:
        """The topic's identity: a topic deleted and created again has another one."""
        ...

    def read(
        self, partition: int, start: int, end: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """Records with start <= offset < end, in order, in chunks.

        Raises EventsMissing where the log no longer has `start`: what is left would make another
        state.
        """
        ...

    async def begin(self, partition: int) -> int:
        """The first offset that the topic still has; its end where it has none."""
        ...

    async def end(self, partition: int) -> int:
        """The offset the next record of the partition will get."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that breaks its contract, and why."""

    topic: str
    partition: int
    record: LogRecord
    reason: str
    detail: str


class DeadLetters(Protocol):
    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Returns once the broker has acknowledged them all; raises BrokerUnavailable otherwise.

        A batch that is processed again buries its letters again; readers tell them apart by
        origin (topic, partition, offset, time).
        """
        ...
