"""A request that names an `Idempotency-Key` is done once; sent again, it gets the same answer.

The answer is kept in Redis under the key. While the first request is under way its entry says so,
for a time that outlives the request: if the process dies, the client may try again after that.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.errors import RETRY_AFTER, ProblemError
from stream.contracts import keys
from stream.contracts.errors import StoreUnavailable

log = logging.getLogger(__name__)

KEPT: Final = 86_400  # s: how long an answer is repeated

# s: longer than any request takes that ends, with the publisher's timeout and every wait.
IN_PROGRESS: Final = 60

TIMEOUT: Final = 1.0  # s for one call to Redis


class Answer(msgspec.Struct, frozen=True):
    """A status and a JSON body."""

    status: int
    body: bytes


class _Entry(msgspec.Struct, frozen=True):
    """`request` is the digest of what was asked; `attempt` names who is, or was, at it."""

    request: str
    attempt: str
    answer: Answer | None = None


class IdempotentRequests:
    def __init__(self, redis_url: str) -> None:
        self._redis: Any = Redis.from_url(
            redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )

    async def once(
        self, key: str | None, route: str, request: bytes, act: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer of `act`, or the one that a request with this key got before.

        Args:
            key: the client's key; None does it without any of this.
            route: keys of different routes are different keys.
            request: what the client asked, to tell another request under the same key.
            act: does the work. Where it raises, the key is free again.

        Raises:
            ProblemError: the same key came with another request (422), or the first request is
                still under way (409).
            StoreUnavailable: Redis does not answer, so nothing was done.
        """
        if key is None:
            return await act()
        name = keys.idempotency(hashlib.sha256(f"{route}\n{key}".encode()).hexdigest())
        mine = _Entry(hashlib.sha256(request).hexdigest(), uuid4().hex)
        repeated = await self._reserve(name, mine)
        if repeated is not None:
            return repeated
        try:
            answer = await act()
        except BaseException:
            await self._store(name, None)
            raise
        await self._store(name, msgspec.structs.replace(mine, answer=answer))
        return answer

    async def close(self) -> None:
        await self._redis.aclose()

    async def _reserve(self, name: bytes, mine: _Entry) -> Answer | None:
        """None where the key is ours now, else the answer to repeat."""
        value = msgspec.msgpack.encode(mine)
        try:
            stored = await self._redis.set(name, value, nx=True, get=True, ex=IN_PROGRESS)
        except RedisError as error:
            raise StoreUnavailable(
                f"the Idempotency-Key cannot be checked ({error}), so nothing was done: try again"
            ) from error
        if stored is None or stored == value:  # the client may have sent the command twice
            return None
        entry = msgspec.msgpack.decode(stored, type=_Entry)
        if entry.request != mine.request:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The Idempotency-Key belongs to another request",
                "this Idempotency-Key came with another body before: use a new key",
            )
        if entry.answer is None:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "request-in-progress",
                "The first request with this Idempotency-Key is still under way",
                f"it is done or given up within {IN_PROGRESS} s: try again with the same key",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        return entry.answer

    async def _store(self, name: bytes, entry: _Entry | None) -> None:
        """Keep the answer, or free the key."""
        try:
            if entry is None:
                await self._redis.delete(name)
            else:
                await self._redis.set(name, msgspec.msgpack.encode(entry), ex=KEPT)
        except RedisError as error:
            # The work is done, or has failed in a way that the client is told: that stays true. A
            # retry is refused as under way until the entry expires.
            log.warning("idempotency entry %s was not updated: %s", name, error)
