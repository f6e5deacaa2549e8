"""Token buckets: what a key or an address may ask, and what its answers say about it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TypeAlias

import httpx
import pytest
from throttled.rate_limiter import RateLimitResult

from api import metrics
from api.guard import limits as limits_module
from api.guard.access import Guard
from api.guard.keyring import KeyRing
from api.guard.keys import KeyStore, new_key
from api.guard.limits import PAUSE, RateLimits
from api.main import create_app
from stream.contracts.errors import ConfigurationError
from tests.api.conftest import World

PATH = "/api/v1/recommendations/1"

Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may take its time: where it is late, requests pass."""
    monkeypatch.setattr(limits_module, "TIMEOUT", 10.0)


@pytest.fixture
def serve(world: World) -> Serve:
    """A client of an API with this guard, from this address."""

    @asynccontextmanager
    async def serve(guard: Guard, address: str = "203.0.113.7") -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(replace(world.services, guard=guard))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client

    return serve


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[RateLimits]:
    """Three at once, and another one an hour."""
    limits = RateLimits(redis_url, "1/h burst 3", "1/h burst 2")
    yield limits
    await limits.close()


async def test_an_address_has_its_bucket(serve: Serve, limits: RateLimits) -> None:
    async with serve(Guard(None, limits)) as client:
        answers = [await client.get(PATH) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit"] for answer in answers] == [
        '"address";r=1;t=3600',
        '"address";r=0;t=7200',
        '"address";r=0;t=7200',
    ]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"address";q=2;w=7200'}
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:freshet:rate-limited"
    assert 3_590 <= int(refused.headers["Retry-After"]) <= 3_600
    async with serve(Guard(None, limits), address="203.0.113.8") as other:
        assert (await other.get(PATH)).status_code == 200


async def test_operators_are_not_limited(serve: Serve, limits: RateLimits) -> None:
    async with serve(Guard(None, limits)) as client:
        answers = [await client.get("/livez") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[0].headers


async def test_a_key_has_its_bucket_wherever_it_is_used(
    serve: Serve, limits: RateLimits, redis_url: str
) -> None:
    store = KeyStore(redis_url)
    (first, token), (second, other) = new_key("a", "read"), new_key("b", "read", rate="1/h burst 1")
    await store.put(first, second)
    guard = Guard(KeyRing(store), limits)
    async with serve(guard) as here, serve(guard, address="203.0.113.8") as there:
        mine = {"Authorization": f"Bearer {token}"}
        got = [(await it.get(PATH, headers=mine)).status_code for it in (here, there, here, there)]
        assert got == [200, 200, 200, 429]
        its_own = {"Authorization": f"Bearer {other}"}
        got = [(await here.get(PATH, headers=its_own)).status_code for _ in range(2)]
        assert got == [200, 429]
        # Who guesses keys is limited by address.
        got = [(await here.get(PATH)).status_code for _ in range(3)]
        assert got == [401, 401, 429]
    await store.close()


async def test_it_fills_again(redis_url: str) -> None:
    limits = RateLimits(redis_url, per_address="2/s burst 1")
    at_once = await asyncio.gather(*(limits.take(None, "a") for _ in range(2)))
    found = sorted((one.allowed, one.retry_after) for one in at_once if one is not None)
    assert found == [(False, 1), (True, 0)]
    async with asyncio.timeout(10):
        while True:
            again = await limits.take(None, "a")
            if again is not None and again.allowed:
                break
            await asyncio.sleep(0.01)
    await limits.close()


async def test_without_redis_requests_pass(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "PAUSE", 60.0)  # however slow this machine is
    limits = RateLimits("redis://127.0.0.1:1", per_address="1/h burst 1")
    before = metrics.UNLIMITED._value.get()
    async with serve(Guard(None, limits)) as client:
        answers = [await client.get(PATH) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert metrics.UNLIMITED._value.get() == before + 1  # it is not asked again at once
    await limits.close()


async def test_redis_is_asked_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits("redis://127.0.0.1:1", per_address="1/h burst 1")
    before, asked = metrics.UNLIMITED._value.get(), []
    for now in (100.0, 100.0 + PAUSE / 2, 100.0 + PAUSE):
        clock = SimpleNamespace(monotonic=lambda now=now: now)
        monkeypatch.setattr(limits_module, "time", clock)
        assert await limits.take(None, "a") is None
        asked.append(metrics.UNLIMITED._value.get() - before)
    assert asked == [1, 1, 2]
    await limits.close()


@pytest.mark.parametrize("answers", [False, True])
async def test_a_redis_that_hangs_or_hangs_up_is_asked_once(
    answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked twice takes two tokens."""
    monkeypatch.setattr(limits_module, "TIMEOUT", 0.2)
    asked = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await (reader.read(1) if answers else reader.read())
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = RateLimits(f"redis://127.0.0.1:{port}", per_address="1/h burst 1")
    assert await limits.take(None, "a") is None
    assert asked == 1
    await limits.close()
    server.close()


async def test_who_is_refused_never_hears_to_try_again_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where rounding has left nothing of what there is to wait for."""

    async def refuse(*_: object) -> RateLimitResult:
        return RateLimitResult(True, (1, 0, 0.0, 0.0))

    monkeypatch.setattr(limits_module.GCRARateLimiter, "limit", refuse)
    limits = RateLimits(redis_url, per_address="1/h burst 1")
    taken = await limits.take(None, "a")
    assert taken is not None
    assert (taken.allowed, taken.retry_after) == (False, 1)
    await limits.close()


@pytest.mark.parametrize("rate", ["", "fast", "0/s", "5/fortnight", "5/s burst 0", "5/s, 7/m"])
def test_a_rate_that_is_none_is_named(rate: str) -> None:
    with pytest.raises(ConfigurationError, match="the rate"):
        RateLimits("redis://127.0.0.1:1", per_key=rate)
