"""Requests at their times, from a process of their own, whether or not earlier ones are answered.

Nothing is left out where the server stands still: a request that should have been sent meanwhile is
sent, and its latency counts from when it was due (Gil Tene: How not to measure latency, 2013, calls
the opposite coordinated omission).
"""

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

import aiohttp
import numpy as np
import uvloop

# s that a thread of the client may hold the GIL while the one that sends is due, by default 0.005.
_SWITCH_INTERVAL: Final = 0.0002

_TIMEOUT: Final = 30  # s for one answer


class Request(NamedTuple):
    """What to ask; with a body it is posted, as JSON."""

    path: str
    body: bytes | None = None


class Answered(NamedTuple):
    """One request.

    Attributes:
        request: which of those that were to be asked.
        milliseconds: from when it was due to its answer.
        late: ms from when it was due to when it was sent, which is the client's own doing.
        status: of the answer, 0 where none came.
        wrong: what `check` says of it; '' where nothing is.
    """

    request: int
    milliseconds: float
    late: float
    status: int
    wrong: str


Check = Callable[[bytes], str]  # what is wrong with the body of an answer; '' where nothing is


def load(
    url: str, requests: Sequence[Request], rate: float, seconds: float, check: Check, seed: int = 0
) -> list[Answered]:
    """Ask these requests, by chance, for so long; times between two are those of a Poisson process.

    Args:
        url: of the API.
        requests: each is asked as often as chance has it.
        rate: requests a second.
        seconds: how long.
        check: is asked about every answer of status 200; a function of a module.
        seed: of the times and the choice.
    """
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    arguments = (sending, url, requests, rate, seconds, check, seed)
    process = context.Process(target=_load, args=arguments)
    process.start()
    sending.close()
    try:
        answered: list[Answered] = receiving.recv()
    except EOFError as error:
        raise RuntimeError("the client of the load died, and said above of what") from error
    finally:
        process.join()
    return answered


def _load(
    sending: Connection,
    url: str,
    requests: Sequence[Request],
    rate: float,
    seconds: float,
    check: Check,
    seed: int,
) -> None:
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.disable()  # to look through all answers took it 0.2 s, and those meanwhile seemed late
    chance = np.random.default_rng(seed)
    due = np.cumsum(chance.exponential(1 / rate, int(rate * seconds)))
    which = chance.integers(len(requests), size=len(due))
    answered = uvloop.run(_ask_all(url, requests, due.tolist(), which.tolist()))
    # Not before: server and client share the machine.
    sending.send(
        [one if one.status != 200 else one._replace(wrong=check(body)) for one, body in answered]
    )


async def _ask_all(
    url: str, requests: Sequence[Request], due: Sequence[float], which: Sequence[int]
) -> list[tuple[Answered, bytes]]:
    """With the body of each answer."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(_TIMEOUT)
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[tuple[Answered, bytes]]] = []
    sent = asyncio.Event()
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as client:

        def begin(at: float, request: int) -> None:
            asked = _ask(client, requests[request], request, at)
            tasks.append(loop.create_task(asked))

        def send() -> None:
            """In a thread: an event loop wakes up to a millisecond late."""
            start = time.perf_counter()
            for after, request in zip(due, which, strict=True):
                time.sleep(max(start + after - time.perf_counter(), 0))
                loop.call_soon_threadsafe(begin, start + after, request)
            loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, daemon=True).start()
        await sent.wait()
        return await asyncio.gather(*tasks)


async def _ask(
    client: aiohttp.ClientSession, request: Request, number: int, due: float
) -> tuple[Answered, bytes]:
    late = (time.perf_counter() - due) * 1e3
    method, headers = ("GET", {}) if request.body is None else ("POST", _JSON)
    try:
        async with client.request(
            method, request.path, data=request.body, headers=headers
        ) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        took = (time.perf_counter() - due) * 1e3
        return Answered(number, took, late, 0, repr(error)), b""
    took = (time.perf_counter() - due) * 1e3
    wrong = "" if answer.status == 200 else str(body[:200])
    return Answered(number, took, late, answer.status, wrong), body


_JSON: Final = {"Content-Type": "application/json"}
