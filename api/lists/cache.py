"""Answers that may be given again: the same question, the same state of the user, the same model.

The name of an answer says which question it answers, by which model and with which movies that
came later, the value which state it was made from. So a rating, a promotion and a new or changed
movie each make it miss at once, in every process. How hot movies are moves on by itself: an answer
is given again for some seconds at most.
"""

import asyncio
import hashlib
from typing import Final

from api import metrics
from api.lists.everybody import Retrieved
from api.lists.freshness import UserView
from api.lists.kept_list import KeptList
from api.serving.watcher import Serving
from stream.contracts.errors import StoreUnavailable
from stream.kept import Kept
from stream.store import StateStore

# s for which answers are gathered before they are written: nobody waits for that, and to write ten
# at once costs little more than to write one.
GATHERED: Final = 0.02


class AnswerCache:
    """Answers kept in the store, written after they were given.

    Args:
        store: where they are kept.
        seconds: for how long; 0 keeps none.
    """

    def __init__(self, store: StateStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._waiting: list[Kept] = []
        self._writer: asyncio.Task[None] | None = None

    def name(self, serving: Serving, question: bytes, limit: int) -> bytes:
        """Of the answer to a question (`question_of`) with so many movies; b"" where none is kept.

        Without a model answers are quickly made, and are not kept.
        """
        model, movies = serving.model, serving.repertoire
        if model is None or movies is None or not self._seconds:
            return b""
        event, later = model.event, movies.digest.hex()
        answer = f"{limit}|{event.version}|{event.artifact}|{event.collection}|{later}"
        return b"a" + hashlib.blake2b(question + answer.encode(), digest_size=12).digest()

    def find(self, serving: Serving, view: UserView) -> Retrieved | None:
        """The answer read with the user's state, if it was made from this very state."""
        kept = KeptList.decode(view.kept)
        if kept is None or kept.state != view.version():
            return None
        ids = kept.ids()
        candidates = kept.candidates(serving, range(len(ids)))
        if len(candidates) < len(ids):  # nobody knows what one of them is any more
            return None
        return Retrieved(kept.strategy, candidates)

    def put(
        self, user_id: int, view: UserView, serving: Serving, name: bytes, found: Retrieved
    ) -> None:
        """Keep an answer, soon; not one for which something was missing."""
        kept = KeptList.of(view, serving, found.strategy, found.candidates)
        if found.degraded or kept is None:
            return
        self._waiting.append(
            Kept(view.partition, user_id, kept.state, name, kept.encode(), self._seconds)
        )
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def settled(self) -> None:
        """Returns once all answers given so far are kept."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHERED)
            answers, self._waiting = self._waiting, []
            try:
                await self._store.keep(answers)
            except StoreUnavailable:  # they are made again when they are asked for again
                metrics.CACHE_FAILURES.inc(len(answers))
