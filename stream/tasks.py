"""The end of a task that works until it is told to stop."""

import asyncio
from typing import Any, Final

AGAIN: Final = 0.1  # s between two tries


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel `task` until it has ended. An exception that it ended with stays in it.

    Once is not enough: below Python 3.12 asyncio.wait_for keeps a cancellation to itself where what
    it waits for is done already, and redis-py writes within one where sockets have a timeout.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN)
