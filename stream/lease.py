"""A lease: at most one process does something, whatever machine it is on.

A key in Redis that ends by itself. Its holder renews it in time; one that dies lets others in after
`SECONDS`. One that stands still for longer (a suspended machine, a Redis that is away) has lost it,
and must ask `held` before it does what two must not do.
"""

import logging
import threading
import time
from typing import Any, Final, Self
from uuid import uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from stream.contracts import keys
from stream.contracts.errors import Busy, StoreUnavailable

# How long others wait for a holder that was killed; renewed three times as often.
SECONDS: Final = 10.0
RENEWALS: Final = 3

# Redis's clock goes on while this machine is suspended; Linux's monotonic one does not.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# redis-py may send a command twice, so each of these is the same done twice.
_TAKE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

logger = logging.getLogger(__name__)


class Lease:
    """`with Lease(url, "archive") as lease:` holds it, a thread of its own renews it.

    Once lost it stays lost, even where nobody else took it: enter anew.
    """

    def __init__(self, url: str, name: str, seconds: float = SECONDS) -> None:
        """Does not connect yet.

        Args:
            url: of Redis.
            name: what for; one process at a time has it.
            seconds: after which others may have it if it was not renewed.
        """
        wait = seconds / RENEWALS / 2  # each question is asked twice at most
        # Any: redis-py's annotations leave open if answers are bytes or str, for both are possible.
        self._redis: Any = Redis.from_url(
            url, socket_timeout=wait, socket_connect_timeout=wait, retry=Retry(NoBackoff(), 1)
        )
        at = self._redis.connection_pool.connection_kwargs
        self._where = at.get("path") or f"{at.get('host')}:{at.get('port')}"  # without password
        self._name = name
        self._key = keys.lease(name)
        self._seconds = seconds
        self._token = uuid4().hex
        self._take, self._renew, self._release = (
            self._redis.register_script(script) for script in (_TAKE, _RENEW, _RELEASE)
        )
        self._until = 0.0  # by `_CLOCK`
        self._ended = threading.Event()

    @property
    def held(self) -> bool:
        """Whether nobody else can have it at this instant."""
        return not self._ended.is_set() and time.clock_gettime(_CLOCK) < self._until

    def check(self) -> None:
        """Raises Busy where it was lost."""
        if not self.held:
            raise Busy(f"the lease `{self._name}` was lost: another process may be at it")

    def __enter__(self) -> Self:
        """Raises Busy where another process holds it, and StoreUnavailable."""
        try:
            if not self._ask(self._take):
                raise Busy(
                    f"another process holds the lease `{self._name}`; one that was killed does for "
                    f"{self._seconds:g} s"
                )
        except RedisError as error:
            raise StoreUnavailable(
                f"Redis at {self._where}: {error}. Is it up, and is FRESHET_REDIS_URL right?"
            ) from error
        threading.Thread(target=self._keep, name=f"lease {self._name}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        try:
            self._release(keys=[self._key], args=[self._token])
        except RedisError as problem:
            logger.warning("the lease %s ends by itself: %s", self._name, problem)
        self._redis.close()

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds / RENEWALS):
            try:
                if not self._ask(self._renew):
                    self._until = 0.0
            except RedisError as error:
                logger.warning("the lease %s is not renewed: %s", self._name, error)
            if not self.held:  # for good: another may have had it in between
                logger.warning("the lease %s is lost", self._name)
                return

    def _ask(self, script: Any) -> bool:
        """Take or renew it; holds from before the question was sent."""
        asked = time.clock_gettime(_CLOCK)
        taken = bool(script(keys=[self._key], args=[self._token, int(self._seconds * 1000)]))
        if taken:
            self._until = asked + self._seconds
        return taken
