"""One Redis, asked with one deadline for all that a call does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from stream.contracts.errors import StoreUnavailable

# Seconds for one call, whatever is tried again within it: an API request must be able to degrade,
# and a worker to be restarted, before anyone gives up on them.
TIMEOUT: Final = 5.0

# Tries after the first, within that time.
RETRIES: Final = 3


class RedisConnection:
    """Base of what speaks to the Redis of the live state."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        """Does not connect yet. `timeout`: seconds for one call, retries included."""
        # Any: redis-py's annotations leave open if answers are bytes or str, for both are possible.
        self._redis: Any = Redis.from_url(
            url,
            # `_bounded` ends what takes too long. With a time of its own redis-py makes a task of
            # every command that it sends.
            socket_timeout=None,
            socket_connect_timeout=timeout,
            retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.5), RETRIES),
        )
        self._timeout = timeout
        at = self._redis.connection_pool.connection_kwargs
        self._where = at.get("path") or f"{at.get('host')}:{at.get('port')}"  # without password

    async def ping(self) -> None:
        async with self._bounded():
            await self._redis.ping()

    async def close(self) -> None:
        await self._redis.aclose()

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """One deadline for all that a call does, and one error for whatever keeps it from it."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except (RedisError, OSError) as error:  # the deadline's TimeoutError is an OSError
            why = str(error) or f"no answer within {self._timeout:g} s"
            raise StoreUnavailable(
                f"Redis at {self._where}: {why}. Is it up, and is FRESHET_REDIS_URL right?"
            ) from error
