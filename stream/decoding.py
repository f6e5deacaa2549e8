"""Which records of the `ratings` topic are events, and what becomes of the others."""

from collections.abc import Sequence

from stream.contracts.errors import InvalidEvent
from stream.contracts.events import UserEvent, decode_user_event
from stream.contracts.topics import partition_of
from stream.log import DeadLetter, LogRecord


def decode(
    topic: str, partition: int, partitions: int, records: Sequence[LogRecord]
) -> tuple[list[tuple[int, UserEvent]], list[DeadLetter]]:
    """The valid events of a partition with their offsets, in order, and the other records."""
    events: list[tuple[int, UserEvent]] = []
    letters: list[DeadLetter] = []
    for record in records:
        try:
            event = decode_user_event(record.value, record.key, record.timestamp)
            home = partition_of(event.user_id, partitions)
            if home != partition:
                raise InvalidEvent("misrouted", f"user {event.user_id} belongs to partition {home}")
        except InvalidEvent as error:
            letters.append(DeadLetter(topic, partition, record, error.reason, error.detail))
        else:
            events.append((record.offset, event))
    return events, letters
