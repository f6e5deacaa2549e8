"""A request that names an `Idempotency-Key` is done once; sent again, it gets the same answer.

The answer is kept in Redis under the key. While the first request is under way its entry says so,
for a time that outlives the request: if the process dies, the client may try again after that.

Whom a request is about is noted before it is done, so that their answers are found when they want
to be forgotten. The key stays taken then: a late retry must not bring back what they did.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
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

# s: whom a request is about is noted before its answer is there, and for as long as that is kept.
NOTED: Final = IN_PROGRESS + KEPT

TIMEOUT: Final = 1.0  # s for one call to Redis

LOOKED_AT: Final = 1_000  # answers read at once when all are looked through

# Sets KEYS[1] to ARGV[2] for ARGV[3] s, or deletes it where that is '', if it is ARGV[1].
_REPLACE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""

# Adds ARGV[1] to the answers KEYS[1] for ARGV[2] s, and takes out those that have expired.
_NOTE: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class Answer(msgspec.Struct, frozen=True):
    """A status and a JSON body; `users` are those it is about whom the request did not name."""

    status: int
    body: bytes
    users: tuple[int, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    """`request` is the digest of what was asked, empty where it was about somebody who is forgotten
    by now; `attempt` names who is, or was, at it."""

    request: str
    attempt: str
    answer: Answer | None = None


_ERASED: Final = msgspec.msgpack.encode(_Entry(request="", attempt=""))


class IdempotentRequests:
    def __init__(self, redis_url: str) -> None:
        self._redis: Any = Redis.from_url(
            redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._replace = self._redis.register_script(_REPLACE)
        self._note = self._redis.register_script(_NOTE)

    async def once(
        self,
        key: str | None,
        route: str,
        request: bytes,
        users: Iterable[int],
        act: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """The answer of `act`, or the one that a request with this key got before.

        Args:
            key: the client's key; None does it without any of this.
            route: keys of different routes are different keys.
            request: what the client asked, to tell another request under the same key.
            users: whom it names.
            act: does the work. Where it raises, the key is free again.

        Raises:
            ProblemError: the same key came with another request (422), the first request is still
                under way (409), or it was about somebody who is forgotten by now (410).
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
            with _told("whom the Idempotency-Key is about cannot be noted, so nothing was done"):
                await self._note_users(name, users)
            answer = await act()
        except BaseException:
            await self._settle(name, mine, None)
            raise
        await self._settle(name, mine, answer)
        return answer

    async def erase(self, user_id: int) -> int:
        """Erase the answers about a person; how many there were.

        Nothing of what a request was about is left but that its key was used. Raises
        StoreUnavailable; repeat it then.
        """
        about = keys.answers_about(user_id)
        with _told("stored answers cannot be erased"):
            names = await self._redis.zrange(about, 0, -1)
            if not names:
                return 0
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:  # also of a request that failed or died: it may be sent again
                pipeline.set(name, _ERASED, get=True, ex=KEPT)
            pipeline.zrem(about, *names)  # last: cut short, they are found again
            *before, _ = await pipeline.execute()
        return sum(value not in (None, _ERASED) for value in before)

    async def mentions(self, user_id: int) -> int:
        """How many stored answers name a person, or note that there are some: all are read.

        Raises StoreUnavailable.
        """
        named = re.compile(rb'"user_id":%d\b' % user_id)
        with _told("stored answers cannot be read"):
            found = int(await self._redis.exists(keys.answers_about(user_id)))
            cursor = None
            while cursor != 0:
                cursor, names = await self._redis.scan(
                    cursor or 0, keys.idempotency("*"), LOOKED_AT
                )
                values = await self._redis.mget(names) if names else []
                found += sum(named.search(value or b"") is not None for value in values)
        return found

    async def close(self) -> None:
        await self._redis.aclose()

    async def _reserve(self, name: bytes, mine: _Entry) -> Answer | None:
        """None where the key is ours now, else the answer to repeat."""
        value = msgspec.msgpack.encode(mine)
        with _told("the Idempotency-Key cannot be checked, so nothing was done"):
            stored = await self._redis.set(name, value, nx=True, get=True, ex=IN_PROGRESS)
        if stored is None or stored == value:  # the client may have sent the command twice
            return None
        if stored == _ERASED:
            raise ProblemError(
                HTTPStatus.GONE,
                "forgotten",
                "The answer to this Idempotency-Key was erased",
                "the request was about somebody who has been forgotten since, and is not done "
                "again: if they are back, use a new key",
            )
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

    async def _note_users(self, name: bytes, users: Iterable[int]) -> None:
        """Raises RedisError."""
        pipeline = self._redis.pipeline(transaction=False)
        for user in users:
            await self._note(keys=(keys.answers_about(user),), args=(name, NOTED), client=pipeline)
        await pipeline.execute()

    async def _settle(self, name: bytes, mine: _Entry, answer: Answer | None) -> None:
        """Keep the answer, or free the key; it may have been erased meanwhile, and stays so."""
        reserved, value = msgspec.msgpack.encode(mine), b""
        try:
            if answer is not None:
                await self._note_users(name, answer.users)
                value = msgspec.msgpack.encode(msgspec.structs.replace(mine, answer=answer))
            await self._replace(keys=(name,), args=(reserved, value, KEPT))
        except RedisError as error:
            # The work is done, or has failed in a way that the client is told: that stays true. A
            # retry is refused as under way until the entry expires.
            log.warning("idempotency entry %s was not updated: %s", name, error)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """`StoreUnavailable` for whatever keeps Redis from it."""
    try:
        yield
    except RedisError as error:
        raise StoreUnavailable(f"{what} ({error}): try again") from error
