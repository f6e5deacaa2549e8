"""A first key for a local stack whose API asks for keys: it would not start without one."""

import asyncio
from collections.abc import Callable

from pydantic import SecretStr

from api.guard.keys import ApiKey, KeyStore, new_key
from infra.settings import Settings


def first_key(settings: Settings, say: Callable[[str], None]) -> dict[str, SecretStr]:
    """Create a key for everything where the API needs keys and there is none, and show it once.

    Returns the settings that our own commands send it with. Raises StoreUnavailable.
    """
    if not settings.api_keys_needed:
        return {}
    key, token = new_key("first of the local stack", "admin")
    if not asyncio.run(_put_first(settings.redis(), key)):
        return {}
    say(f"the API asks for keys; this one is not shown again: {token}")
    return {"api_key": SecretStr(token)}


async def _put_first(redis_url: str, key: ApiKey) -> bool:
    """Whether it is the first."""
    store = KeyStore(redis_url)
    try:
        if any(not it.expired for it in (await store.all()).values()):
            return False
        await store.put(key)
        return True
    finally:
        await store.close()
