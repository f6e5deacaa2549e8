"""Says in the log which list was shown to whom. No answer waits for it."""

import time
from collections.abc import Sequence
from typing import Protocol

from api import metrics
from api.experiments.trial import Trial
from api.schemas.recommendations import Recommendations
from producers.publisher import Message
from stream.contracts.events import encode, new_event_id
from stream.contracts.experiments import ExposureEvent


class Channel(Protocol):
    """Takes messages that may be lost: `producers.offers.Offers`."""

    def offer(self, message: Message) -> None: ...

    def close(self) -> None: ...


class Exposures:
    def __init__(self, channel: Channel | None, topic: str) -> None:
        """`channel`: where they go; None says nothing of anybody."""
        self._channel = channel
        self._topic = topic

    def shown(
        self, answer: Recommendations, trial: Trial, teams: Sequence[int], position: int
    ) -> None:
        """This answer is given.

        Args:
            answer: with its impression id.
            trial: that it was made by.
            teams: of each movie, where it is interleaved.
            position: of its first movie in the list, from 0.
        """
        if self._channel is None:
            return
        now = int(time.time() * 1000)
        event = ExposureEvent(
            event_id=new_event_id(),
            impression_id=answer.impression_id,
            user_id=answer.user_id,
            experiments=trial.assigned,
            model_version=answer.model_version,
            strategy=answer.strategy,
            movies=tuple([movie.movie_id for movie in answer.items]),
            teams=tuple(teams),  # type: ignore[arg-type]
            position=position,
            event_time=now,
            produced_time=now,
        )
        self._channel.offer(Message(self._topic, b"%d" % answer.user_id, encode(event)))
        metrics.EXPOSURES.inc()

    def close(self) -> None:
        """Sends what waits. Blocks."""
        if self._channel is not None:
            self._channel.close()


def count_lost(count: int) -> None:
    """For `Offers`: exposures that nobody will count."""
    metrics.EXPOSURES_LOST.inc(count)
