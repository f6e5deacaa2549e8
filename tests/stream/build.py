"""Short ways to make events, records and states."""

from collections.abc import Iterable

from stream.contracts.events import ForgetEvent, RatingEvent, UserEvent, encode
from stream.features import Writes, fold
from stream.log import Record

DAY = 86_400_000  # ms
START = 1_000_000_000_000  # ms: September 2001


def rating(user: int, movie: int, stars: float, time: int = START) -> RatingEvent:
    """Produced a minute after it happened."""
    return RatingEvent(
        event_id=f"{user}-{movie}-{time}",
        user_id=user,
        movie_id=movie,
        rating=stars,
        event_time=time,
        produced_time=time + 60_000,
        source="replay",
    )


def forget(user: int, time: int = START) -> ForgetEvent:
    return ForgetEvent(
        event_id=f"{user}-{time}", user_id=user, event_time=time, produced_time=time + 60_000
    )


def record(offset: int, event: UserEvent) -> Record:
    """The event as the log holds it, well-formed."""
    return Record(offset, event.produced_time, b"%d" % event.user_id, encode(event))


def folded(events: Iterable[UserEvent]) -> Writes:
    """One fold over nothing, offsets from 0."""
    return fold({}, {}, enumerate(events))
