"""What people do with what they were shown becomes events in the log."""

import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid5

from api import metrics
from api.intake.ratings import RatingPublisher
from api.schemas.feedback import Feedback, FeedbackAccepted
from api.schemas.ratings import Rating
from producers.publisher import Message, Publisher
from stream.contracts.events import encode, new_event_id
from stream.contracts.experiments import FeedbackEvent

# Event ids made from an Idempotency-Key live in this namespace.
_EVENT_IDS: Final = UUID("0f5f6a43-0d43-4c0c-9c3b-6a3d6f0b8d52")


class FeedbackPublisher:
    def __init__(self, publisher: Publisher, topic: str, ratings: RatingPublisher) -> None:
        self._publisher = publisher
        self._topic = topic
        self._ratings = ratings

    async def publish(
        self, feedback: Sequence[Feedback], where: str, key: str | None = None
    ) -> FeedbackAccepted:
        """Publish and return once the broker has everything.

        1. Check the movies.
        2. What was rated is a rating as well: it changes the person's state.
        3. All of it is feedback. If this fails, the same request under the same key makes the same
           events again, and a rating replaces itself.

        Args:
            feedback: what was done.
            where: the path of its movie ids in the request, with ``{}`` for the index.
            key: makes the event ids the same when the same is sent again under it.

        Raises:
            ProblemError: a movie is unknown (404), or no movie is known yet (503).
            BrokerUnavailable: not everything was acknowledged.
        """
        # 1.
        self._ratings.check_movies(feedback, where)
        # 2.
        rated = [
            Rating(
                user_id=it.user_id,
                movie_id=it.movie_id,
                rating=it.value,
                event_time=it.event_time,
            )
            for it in feedback
            if it.kind == "rating" and it.value is not None
        ]
        positions: dict[str, str] = {}
        if rated:
            positions = (await self._ratings.publish(rated, "api", key)).positions
        # 3.
        now = int(time.time() * 1000)
        events = [
            FeedbackEvent(
                event_id=_event_id(key, index, it),
                impression_id=it.impression_id,
                user_id=it.user_id,
                movie_id=it.movie_id,
                kind=it.kind,
                value=it.value,
                event_time=now if it.event_time is None else it.event_time,
                produced_time=now,
            )
            for index, it in enumerate(feedback)
        ]
        await self._publisher.send(
            [Message(self._topic, b"%d" % event.user_id, encode(event)) for event in events]
        )
        for event in events:
            metrics.FEEDBACK.labels(event.kind).inc()
        return FeedbackAccepted(accepted=len(events), positions=positions)


def _event_id(key: str | None, index: int, feedback: Feedback) -> str:
    if key is None:
        return new_event_id()
    return uuid5(_EVENT_IDS, f"{key}\n{index}\n{feedback.model_dump_json()}").hex
