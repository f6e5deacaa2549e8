"""Forgetting a person: a wish in the log, and what has to be erased besides the state.

The wish makes every reader of the log forget: the workers erase the live state with its vector and
the lists made from it, the archiver erases the archive's rows, and a training set is made of what
is left there. The answers that are kept for repeated requests come from no log, and are erased
here; so are the lists, which are not to be shown until a worker has come to the wish.
"""

import time

from pydantic import BaseModel

from api import metrics
from api.intake.idempotency import IdempotentRequests
from api.lists.freshness import LogPosition, wait_for
from api.schemas.common import answer_config
from producers.publisher import Message, Publisher
from stream.contracts.events import ForgetEvent, encode, new_event_id
from stream.contracts.topics import Topics, partition_of
from stream.store import StateStore


class Forgotten(BaseModel):
    """A wish to be forgotten that is in the log, and what it erased.

    `position` is the wish's own, `applied` says whether the live state includes it: ratings and
    vector are gone from there then. `ratings` had been there, `answers` were kept for repeated
    requests, and `lists` to be given again or paged through.
    """

    model_config = answer_config(
        {
            "user_id": 42,
            "position": "3:1043",
            "applied": True,
            "ratings": 154,
            "answers": 1,
            "lists": 2,
        }
    )

    user_id: int
    position: str
    applied: bool
    ratings: int
    answers: int
    lists: int


class Forgetting:
    def __init__(
        self,
        store: StateStore,
        publisher: Publisher,
        topics: Topics,
        idempotent: IdempotentRequests,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._topics = (topics.ratings, *topics.shown)
        self._idempotent = idempotent

    async def forget(self, user_id: int, wait_ms: int) -> Forgotten:
        """Forget somebody, known or not; to do it again changes nothing.

        1. See what the live state has of them.
        2. Publish the wish, also to those who count what they were shown. What they do from here on
           is that of somebody new.
        3. Erase the answers to requests that came before, and the lists.
        4. Wait until the live state includes the wish, at most `wait_ms`.

        Raises BrokerUnavailable or StoreUnavailable: do it again.
        """
        # 1.
        ratings, lists = await self._live(user_id)
        # 2.
        now = int(time.time() * 1000)
        wish = ForgetEvent(
            event_id=new_event_id(), user_id=user_id, event_time=now, produced_time=now
        )
        place, *_ = await self._publisher.send(
            [Message(topic, b"%d" % user_id, encode(wish)) for topic in self._topics]
        )
        metrics.FORGOTTEN.inc()
        # 3.
        answers = await self._idempotent.erase(user_id)
        await self._store.drop_kept(place.partition, user_id)
        # 4.
        position = LogPosition(place.partition, place.offset)
        return Forgotten(
            user_id=user_id,
            position=str(position),
            applied=await wait_for(self._store, position, wait_ms),
            ratings=ratings,
            answers=answers,
            lists=lists,
        )

    async def _live(self, user_id: int) -> tuple[int, int]:
        """How many ratings the live state has, and how many lists are kept."""
        partitions = await self._store.partitions()
        if partitions is None:  # no worker has ever run
            return 0, 0
        partition = partition_of(user_id, partitions)
        _, record = await self._store.read_user(partition, user_id)
        lists = await self._store.kept(partition, user_id)
        return 0 if record is None else len(record.state), lists
