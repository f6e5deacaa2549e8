"""How many requests a key or an address may make: token buckets in Redis, for all processes.

The buckets are kept by their theoretical arrival time (GCRA), which is the same as counting tokens
and exact to the microsecond. Answers say what is left as the IETF's draft on RateLimit fields has
it (draft-ietf-httpapi-ratelimit-headers): `X-RateLimit-*` mean something else with each vendor.
"""

import asyncio
import logging
import math
import time
from functools import lru_cache
from typing import Final, NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from throttled.asyncio.rate_limiter.gcra import GCRARateLimiter
from throttled.asyncio.store import RedisStore
from throttled.exceptions import BaseThrottledError, StoreUnavailableError
from throttled.rate_limiter import Quota, quota_parser

from api import metrics
from api.guard.keys import ApiKey
from stream.contracts.errors import ConfigurationError

log = logging.getLogger(__name__)

# s: what a request waits at most for its bucket; it takes well under a millisecond.
TIMEOUT: Final = 0.1

# s for which Redis is not asked after it did not answer: requests pass meanwhile.
PAUSE: Final = 1.0


class Taken(NamedTuple):
    """What became of one token.

    Attributes:
        allowed: whether there was one.
        headers: what the answer says about the bucket.
        retry_after: s, whole, until there will be one; 0 where there was.
    """

    allowed: bool
    headers: dict[str, str]
    retry_after: int


class RateLimits:
    """The buckets.

    Args:
        redis_url: where they are. Nothing is asked of it yet.
        per_key: of a key that has no rate of its own, such as ``100/s burst 200``: the rate, and
            how many may come at once; None: without bound.
        per_address: of an address, for requests without a valid key.

    Raises ConfigurationError where a rate cannot be read.
    """

    def __init__(
        self, redis_url: str, per_key: str | None = None, per_address: str | None = None
    ) -> None:
        for rate in (per_key, per_address):
            if rate is not None:
                quota(rate)
        self._store = RedisStore(
            redis_url,
            options={
                "SOCKET_TIMEOUT": TIMEOUT,
                "SOCKET_CONNECT_TIMEOUT": TIMEOUT,
                # A command sent twice would take two tokens.
                "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
            },
        )
        self._limiters: dict[str, GCRARateLimiter] = {}
        self._per_key = per_key
        self._per_address = per_address
        self._away_until = 0.0  # monotonic

    async def take(self, key: ApiKey | None, address: str) -> Taken | None:
        """Take a token for a request; None where no limit applies, or Redis does not answer.

        Args:
            key: a valid one; None: the address is who asks.
            address: where the request comes from.
        """
        if key is None:
            who, name, rate = f"address:{address}", "address", self._per_address
        else:
            who, name, rate = f"key:{key.key_id}", "key", key.rate or self._per_key
        if rate is None or time.monotonic() < self._away_until:
            return None
        limiter = self._limiters.get(rate)
        if limiter is None:
            limiter = self._limiters[rate] = GCRARateLimiter(
                quota(rate), self._store, key_prefix="rate-limit"
            )
        try:
            async with asyncio.timeout(TIMEOUT):
                result = await limiter.limit(who)
        except (StoreUnavailableError, OSError) as error:  # the deadline's TimeoutError is one
            log.warning("requests are not limited for %g s: %s", PAUSE, error.__cause__ or error)
            metrics.UNLIMITED.inc()
            self._away_until = time.monotonic() + PAUSE
            return None
        state = result.state
        window = math.ceil(state.limit * limiter.quota.emission_interval)
        headers = {
            "RateLimit-Policy": f'"{name}";q={state.limit};w={window}',
            "RateLimit": f'"{name}";r={state.remaining};t={math.ceil(state.reset_after)}',
        }
        return Taken(not result.limited, headers, max(math.ceil(state.retry_after), result.limited))

    async def close(self) -> None:
        client = cast(Redis, self._store._backend.get_client())  # it has no way of its own
        await client.aclose()


@lru_cache
def quota(rate: str) -> Quota:
    """Raises ConfigurationError where it is not ``<n>/<unit>`` with or without ``burst <n>``."""
    try:
        quotas = quota_parser.parse(rate)
    except BaseThrottledError as error:
        raise ConfigurationError(f"the rate {rate!r} cannot be read: {error}") from error
    if len(quotas) != 1 or quotas[0].burst < 1:
        raise ConfigurationError(f"the rate {rate!r} is not one: say `100/s burst 200`")
    return quotas[0]
