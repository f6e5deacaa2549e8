"""A stack whose API asks for keys gets one, once."""

import asyncio
import re

import pytest

from api.guard.keys import ApiKey, KeyStore, new_key, parse
from infra.first_key import first_key
from infra.settings import Settings


def kept(redis_url: str, *added: ApiKey) -> dict[str, ApiKey]:
    async def read() -> dict[str, ApiKey]:
        store = KeyStore(redis_url)
        if added:
            await store.put(*added)
        found = await store.all()
        await store.close()
        return found

    return asyncio.run(read())


@pytest.mark.parametrize(
    "asks",
    [{"api_host": "0.0.0.0"}, {"api_host": "::"}, {"api_host": "here"}, {"api_auth": "required"}],
)
def test_it_is_made_shown_and_sent(asks: dict[str, str], redis_url: str) -> None:
    settings = Settings(redis_url=redis_url, **asks)  # type: ignore[arg-type]
    kept(redis_url, new_key("old", "admin", lives=-1.0)[0])
    said: list[str] = []
    own = settings.model_copy(update=first_key(settings, said.append))
    [line] = said
    found = re.search(r"freshet_\S+", line)
    assert found is not None
    assert own.api_headers == {"Authorization": f"Bearer {found[0]}"}
    parsed = parse(found[0])
    assert parsed is not None
    assert kept(redis_url)[parsed[0]].scope == "admin"
    assert first_key(settings, said.append) == {}
    assert len(said) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_none_is_needed_for_this_machine_alone(host: str, redis_url: str) -> None:
    settings = Settings(redis_url=redis_url, api_host=host)
    assert first_key(settings, pytest.fail) == {}
    assert kept(redis_url) == {}
    assert settings.api_headers == {}
