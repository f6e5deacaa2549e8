"""The keys as an API process has them at hand, so that no request asks Redis for one."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from api.guard.keys import ApiKey, KeyStore, parse
from stream.contracts.errors import StoreUnavailable
from stream.tasks import end

log = logging.getLogger(__name__)

# s between two looks: a key that is revoked is refused this long afterwards at the latest, while
# Redis answers. Without Redis the keys known last stay valid: nobody who has one is locked out.
LOOK: Final = 1.0

# s: for a key that is not known Redis is asked at once, but no more often than this.
ASK: Final = 0.1


class KeyRing:
    """Keeps the keys of `store` at hand.

    Args:
        store: where the keys are; closed with this.
        pause: s between two looks.
    """

    def __init__(self, store: KeyStore, pause: float = LOOK) -> None:
        self._store = store
        self._pause = pause
        self._keys: Mapping[str, ApiKey] = {}
        self._version = -1
        self._asked = -ASK  # monotonic
        self._reachable = True
        self._task: asyncio.Task[None] | None = None

    async def find(self, token: str) -> ApiKey | None:
        """The key of a token; None where there is none, or none any more.

        One that was created a moment ago is found. Raises nothing: without Redis the keys known
        last are those that there are.
        """
        parsed = parse(token)
        if parsed is None:
            return None
        key_id, secret = parsed
        if key_id not in self._keys and time.monotonic() - self._asked >= ASK:
            await self._look()
        key = self._keys.get(key_id)
        if key is None or not key.is_secret(secret) or key.expired:
            return None
        return key

    async def refresh(self) -> None:
        """Look at Redis once. Raises StoreUnavailable; the keys known last stay then."""
        self._asked = time.monotonic()
        version = await self._store.version()
        if version != self._version:
            # Read after the version: what is newer than it is told by the next one.
            self._keys, self._version = await self._store.all(), version

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            await end(self._task)
        await self._store.close()

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._pause)

    async def _look(self) -> None:
        try:
            await self.refresh()
        except StoreUnavailable as error:
            if self._reachable:  # once, not at every look
                log.warning("the keys known last stay valid: %s", error)
            self._reachable = False
        else:
            self._reachable = True
