"""Requests that keep a thread for tens of milliseconds: a few at once, so that lists stay fast."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeVar

from api import metrics
from api.errors import RETRY_AFTER, ProblemError
from api.lists.deadline import Deadline, DeadlinePassed

T = TypeVar("T")

# At once. Each takes the GIL from lists every other time slice: with two, one computes while the
# other reads and writes JSON, and more would not be answered sooner.
AT_ONCE: Final = 2


class Heavy:
    """Places for them, given in the order in which they were asked for.

    Args:
        patience: s for which a request waits for a place.
        places: how many there are.
    """

    def __init__(self, patience: float, places: int = AT_ONCE) -> None:
        self._patience = patience
        self._places = asyncio.Semaphore(places)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Holds a place for what is done within. Raises ProblemError: none got free (503)."""
        try:
            await self._enter(Deadline.after(self._patience))
        except DeadlinePassed:
            metrics.REFUSED.labels("busy").inc()
            raise _busy() from None
        try:
            yield
        finally:
            self._places.release()

    async def run(self, work: Callable[[], T], deadline: Deadline) -> T:
        """What `work` gives, which is done in a thread.

        Raises DeadlinePassed where it would be late; once it was begun it keeps its place to its
        end.
        """
        await self._enter(deadline)
        doing = asyncio.create_task(asyncio.to_thread(work))
        doing.add_done_callback(self._leave)
        done, _ = await asyncio.wait([doing], timeout=deadline.left_or_none())
        if not done:
            raise DeadlinePassed
        return doing.result()

    async def _enter(self, deadline: Deadline) -> None:
        if deadline.passed:
            raise DeadlinePassed
        try:
            async with asyncio.timeout(deadline.left_or_none()):
                await self._places.acquire()
        except TimeoutError:
            raise DeadlinePassed from None

    def _leave(self, done: "asyncio.Task[T]") -> None:
        self._places.release()
        if not done.cancelled():
            done.exception()  # who has given up does not want to know


def _busy() -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        "Too much is asked at once",
        "what takes long is answered by turns: try again, and send the next one after the answer",
        headers={"Retry-After": str(RETRY_AFTER)},
    )
