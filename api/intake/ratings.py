"""Ratings that come in through the API become events in the log."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid5

from api import metrics
from api.errors import FieldError, ProblemError, unavailable
from api.intake.applied import Applied
from api.lists.freshness import LogPosition
from api.schemas.feedback import Feedback
from api.schemas.ratings import AcceptedEvent, MovieRating, Rating, RatingsAccepted
from api.serving.watcher import ServingWatcher
from producers.publisher import Message, Publisher
from stream.contracts.events import RatingEvent, Source, encode, new_event_id
from stream.contracts.topics import Topics

# Event ids made from an Idempotency-Key live in this namespace.
_EVENT_IDS: Final = UUID("5d8f0f8e-6a55-4e0e-9c39-9a1c4c0f2f61")


class RatingPublisher:
    def __init__(
        self, publisher: Publisher, topics: Topics, watcher: ServingWatcher, applied: Applied
    ) -> None:
        self._applied = applied
        self._publisher = publisher
        self._topic = topics.ratings
        self._watcher = watcher

    def check_movies(self, ratings: Sequence[MovieRating | Feedback], where: str) -> None:
        """Raises ProblemError: 404 naming the movies nobody knows, 503 before any is known.

        Args:
            ratings: what was sent.
            where: the path of its movie ids in the request, with ``{}`` for the index.
        """
        catalogue = self._watcher.current.catalogue
        if not catalogue:
            raise unavailable("the catalogue is not loaded yet")
        unknown = [
            FieldError(field=where.format(index), message=f"no movie has id {rating.movie_id}")
            for index, rating in enumerate(ratings)
            if rating.movie_id not in catalogue
        ]
        if unknown:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-movie",
                "A movie is not in the catalogue",
                "; ".join(error.message for error in unknown[:5]) + ": nothing was published",
                unknown,
            )

    async def publish(
        self, ratings: Sequence[Rating], source: Source, key: str | None = None
    ) -> RatingsAccepted:
        """Publish and return once the broker has everything.

        Args:
            ratings: of known movies.
            source: where they come from.
            key: makes the event ids the same when the same ratings are sent again under it.

        Raises:
            BrokerUnavailable: not everything was acknowledged.
        """
        now = int(time.time() * 1000)
        events = [
            RatingEvent(
                event_id=_event_id(key, index, rating),
                user_id=rating.user_id,
                movie_id=rating.movie_id,
                rating=rating.rating,
                event_time=now if rating.event_time is None else rating.event_time,
                produced_time=now,
                source=source,
            )
            for index, rating in enumerate(ratings)
        ]
        delivered = await self._publisher.send(
            [Message(self._topic, b"%d" % event.user_id, encode(event)) for event in events]
        )
        metrics.RATINGS.labels(source).inc(len(events))
        self._applied.published(delivered)
        accepted = [
            AcceptedEvent(
                event_id=event.event_id,
                user_id=event.user_id,
                movie_id=event.movie_id,
                position=str(LogPosition(place.partition, place.offset)),
            )
            for event, place in zip(events, delivered, strict=True)
        ]
        return RatingsAccepted(
            accepted=len(accepted),
            positions={str(event.user_id): event.position for event in accepted},
            events=accepted,
        )


def _event_id(key: str | None, index: int, rating: Rating) -> str:
    if key is None:
        return new_event_id()
    return uuid5(_EVENT_IDS, f"{key}\n{index}\n{rating.model_dump_json()}").hex
