"""Movies that come in through the API become events in the catalogue's topic."""

import time
from typing import Final
from uuid import UUID, uuid5

from api import metrics
from api.schemas.movies import MovieAccepted, NewMovie
from producers.publisher import Message, Publisher
from stream.contracts.events import MovieEvent, encode, new_event_id

# Event ids made from an Idempotency-Key live in this namespace.
_EVENT_IDS: Final = UUID("c2a2b1de-7a65-4d0f-9b52-6e3c3f0b7c11")


class MoviePublisher:
    """Publishes to `topic`, the name of the `movies` topic."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    async def publish(self, movie: NewMovie, key: str | None = None) -> MovieAccepted:
        """Publish and return once the broker has it.

        Args:
            movie: new, or known and changed.
            key: makes the event id the same when the same movie is sent again under it.

        Raises:
            BrokerUnavailable: it was not acknowledged.
        """
        now = int(time.time() * 1000)
        event = MovieEvent(
            event_id=_event_id(key, movie),
            movie_id=movie.movie_id,
            title=movie.title,
            genres=tuple(movie.genres),
            year=movie.year,
            tags=tuple(movie.tags),
            event_time=now,
            produced_time=now,
            source="api",
        )
        await self._publisher.send([Message(self._topic, b"%d" % event.movie_id, encode(event))])
        metrics.MOVIES.inc()
        return MovieAccepted(
            event_id=event.event_id,
            movie_id=event.movie_id,
            title=event.title,
            genres=list(event.genres),
            year=event.year,
            tags=list(event.tags),
            event_time=event.event_time,
        )


def _event_id(key: str | None, movie: NewMovie) -> str:
    if key is None:
        return new_event_id()
    return uuid5(_EVENT_IDS, f"{key}\n{movie.model_dump_json()}").hex
