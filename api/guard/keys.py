"""API keys: what one is, and where they are kept.

A key is `freshet_<id>_<secret>`. The secret is 256 random bits, so one round of SHA-256 keeps it:
what slow hashes protect is what people think of themselves. Redis has the digest alone.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream.contracts import keys
from stream.contracts.errors import ConfigurationError, StoreUnavailable

log = logging.getLogger(__name__)

Scope: TypeAlias = Literal["read", "write", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")  # each may do what those before may

SECRET_BYTES: Final = 32

TIMEOUT: Final = 1.0  # s for one call to Redis

_TOKEN: Final = re.compile(r"freshet_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


class ApiKey(msgspec.Struct, frozen=True):
    """What is kept of a key.

    Attributes:
        key_id: names it in commands, logs and metrics; no secret.
        name: whose it is, for people.
        scope: the most that it may do.
        digest: SHA-256 of the secret, hexadecimal.
        created: ms since the epoch.
        expires: when it ends, ms; None: never.
        rate: requests that it may make, such as ``100/s burst 200``; None: the API's setting.
    """

    key_id: str
    name: str
    scope: Scope
    digest: str
    created: int
    expires: int | None = None
    rate: str | None = None

    def may(self, scope: Scope) -> bool:
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def is_secret(self, secret: str) -> bool:
        """Takes the same time whatever is wrong with it."""
        return hmac.compare_digest(_digest(secret), self.digest)

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= time.time() * 1000


def new_key(
    name: str, scope: Scope, lives: float | None = None, rate: str | None = None
) -> tuple[ApiKey, str]:
    """A new key, and the token that its owner gets: it is shown once and kept nowhere.

    Args:
        name: whose it is.
        scope: the most that it may do.
        lives: s until it expires; None: for ever.
        rate: of its own.
    """
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES)
    now = int(time.time() * 1000)
    expires = None if lives is None else now + int(lives * 1000)
    key = ApiKey(key_id, name, scope, _digest(secret), now, expires, rate)
    return key, f"freshet_{key_id}_{secret}"


def parse(token: str) -> tuple[str, str] | None:
    """The id and the secret of a token; None where it cannot be one."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else (found[1], found[2])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyStore:
    """The keys in Redis. Every change counts the version up, which is all that a look reads.

    Every method raises StoreUnavailable where Redis does not answer.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis: Any = Redis.from_url(
            redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )

    async def version(self) -> int:
        async with self._told():
            return int(await self._redis.get(keys.API_KEYS_VERSION) or 0)

    async def all(self) -> dict[str, ApiKey]:
        """By id, expired ones included; what cannot be read is no key, and keeps nobody else's."""
        async with self._told():
            entries = await self._redis.hgetall(keys.API_KEYS)
        found = {}
        for key_id, value in entries.items():
            try:
                found[key_id.decode()] = msgspec.json.decode(value, type=ApiKey)
            except msgspec.DecodeError as error:
                log.error("key %r in %s is left out: %s", key_id, keys.API_KEYS, error)
        return found

    async def put(self, *changed: ApiKey) -> None:
        """Add or replace keys, all at once."""
        async with self._told():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hset(
                keys.API_KEYS, mapping={key.key_id: msgspec.json.encode(key) for key in changed}
            )
            pipeline.incr(keys.API_KEYS_VERSION)
            await pipeline.execute()

    async def revoke(self, key_id: str) -> None:
        """Delete a key. Raises ConfigurationError where there is none of this id."""
        await self.find(key_id)
        async with self._told():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hdel(keys.API_KEYS, key_id)
            pipeline.incr(keys.API_KEYS_VERSION)
            await pipeline.execute()

    async def rotate(self, key_id: str, overlap: float) -> tuple[ApiKey, str]:
        """A new key in the place of an old one, which ends `overlap` s from now at the latest.

        The new one has its name, scope and rate, and lives as long as the old one was given.
        Returns it with its token. Raises ConfigurationError where there is no key of this id, or it
        has expired.
        """
        old = await self.find(key_id)
        if old.expired:
            raise ConfigurationError(f"key {key_id} has expired: create a new one")
        lives = None if old.expires is None else (old.expires - old.created) / 1000
        new, token = new_key(old.name, old.scope, lives, old.rate)
        ends = new.created + int(overlap * 1000)
        ending = msgspec.structs.replace(
            old, expires=ends if old.expires is None else min(ends, old.expires)
        )
        await self.put(new, ending)
        return new, token

    async def find(self, key_id: str) -> ApiKey:
        """Raises ConfigurationError where there is no key of this id."""
        found = await self.all()
        if key_id not in found:
            there = ", ".join(sorted(found)) or "none"
            raise ConfigurationError(f"there is no key {key_id}; there are: {there}")
        return found[key_id]

    async def close(self) -> None:
        await self._redis.aclose()

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            yield
        except RedisError as error:
            raise StoreUnavailable(f"the API's keys cannot be reached: {error}") from error
