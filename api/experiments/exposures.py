"""Says in the log which list was shown to whom. No answer waits for it."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from api import metrics
from producers.publisher import Message
from stream.contracts.events import encode, new_event_id
from stream.contracts.experiments import Assigned, ExposureEvent


class Channel(Protocol):
    """Takes messages that may be lost: `producers.offers.Offers`."""

    def offer(self, message: Message) -> None: ...

    def close(self) -> None: ...


class _Movie(Protocol):
    movie_id: int


class Answer(Protocol):
    """A list, as far as it is told of."""

    impression_id: str
    model_version: str | None

    @property
    def items(self) -> Sequence[_Movie]: ...


class Exposures:
    def __init__(self, channel: Channel | None, topic: str) -> None:
        """`channel`: where they go; None says nothing of anybody."""
        self._channel = channel
        self._topic = topic

    def shown(
        self,
        user_id: int,
        answer: Answer,
        strategy: str,
        experiments: Mapping[str, Assigned] = MappingProxyType({}),
        teams: Sequence[int] = (),
        position: int = 0,
    ) -> None:
        """This answer is given.

        Args:
            user_id: whom to; of several each is told of.
            answer: with its impression id.
            strategy: how it was made.
            experiments: the person's, that had a say in it.
            teams: of each movie, where it is interleaved.
            position: of its first movie in the list, from 0.
        """
        if self._channel is None:
            return
        now = int(time.time() * 1000)
        event = ExposureEvent(
            event_id=new_event_id(),
            impression_id=answer.impression_id,
            user_id=user_id,
            experiments=dict(experiments),
            model_version=answer.model_version,
            strategy=strategy,
            movies=tuple([movie.movie_id for movie in answer.items]),
            teams=tuple(teams),  # type: ignore[arg-type]
            position=position,
            event_time=now,
            produced_time=now,
        )
        self._channel.offer(Message(self._topic, b"%d" % user_id, encode(event)))
        metrics.EXPOSURES.inc()

    def close(self) -> None:
        """Sends what waits. Blocks."""
        if self._channel is not None:
            self._channel.close()


def count_lost(count: int) -> None:
    """For `Offers`: exposures that nobody will count."""
    metrics.EXPOSURES_LOST.inc(count)
