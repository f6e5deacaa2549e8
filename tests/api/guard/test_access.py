"""API keys: who may ask what, how a key ends, and what Redis has of it."""

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import msgspec
import pytest
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_not_result, stop_after_delay

from api.guard.access import Guard
from api.guard.keyring import KeyRing
from api.guard.keys import SCOPES, KeyStore, Scope, new_key, parse
from api.main import create_app
from stream.contracts import keys as names
from stream.contracts.errors import ConfigurationError, StoreUnavailable
from tests.api.conftest import MOVIES, World

RATING = {"user_id": 42, "movie_id": 3, "rating": 4.0}
MOVIE = {"movie_id": MOVIES + 1, "title": "A First Night", "genres": ["Drama"], "year": 1960}

DEADLINE = 10.0  # s; it takes milliseconds


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[KeyStore]:
    store = KeyStore(redis_url)
    yield store
    await store.close()


@pytest.fixture
async def ring(redis_url: str) -> AsyncIterator[KeyRing]:
    ring = KeyRing(KeyStore(redis_url), pause=0.001)
    yield ring
    await ring.close()


@pytest.fixture
async def client(world: World, ring: KeyRing) -> AsyncIterator[httpx.AsyncClient]:
    """Of an API that asks for keys."""
    app = create_app(replace(world.services, guard=Guard(ring)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def created(store: KeyStore, scope: Scope, lives: float | None = None) -> str:
    key, token = new_key("a test", scope, lives)
    await store.put(key)
    return token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class TestScopes:
    @pytest.mark.parametrize("scope", SCOPES)
    async def test_each_may_do_what_those_before_may(
        self, client: httpx.AsyncClient, store: KeyStore, scope: Scope
    ) -> None:
        headers = bearer(await created(store, scope))
        got = {
            "read": (await client.get("/api/v1/recommendations/1", headers=headers)).status_code,
            "write": (
                await client.post("/api/v1/ratings", json=RATING, headers=headers)
            ).status_code,
            "admin": (await client.post("/api/v1/movies", json=MOVIE, headers=headers)).status_code,
        }
        allowed = SCOPES[: SCOPES.index(scope) + 1]
        good = {"read": 200, "write": 202, "admin": 202}
        assert got == {it: good[it] if it in allowed else 403 for it in SCOPES}

    async def test_what_is_missing_is_said(
        self, client: httpx.AsyncClient, store: KeyStore, world: World
    ) -> None:
        token = await created(store, "read")
        answer = await client.post("/api/v1/ratings", json=RATING, headers=bearer(token))
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:freshet:scope"
        assert 'scope="write"' in answer.headers["www-authenticate"]
        assert "needs the scope write" in answer.json()["detail"]
        assert token not in answer.text
        assert world.log.events == []

    @pytest.mark.parametrize(
        "path", ["/healthz", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"]
    )
    async def test_operators_need_no_key(self, client: httpx.AsyncClient, path: str) -> None:
        assert (await client.get(path)).status_code == 200


class TestRefused:
    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer ü",
            "Basic {token}",
            "{token}",
            "Bearer {token}x",
            "Bearer freshet_00000000_" + "A" * 43,
            "Bearer {wrong}",
            "Bearer " + "x" * 10_000,
        ],
    )
    async def test_without_a_valid_key(
        self, client: httpx.AsyncClient, store: KeyStore, header: str | None
    ) -> None:
        token = await created(store, "admin")
        wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
        headers = (
            {} if header is None else {"Authorization": header.format(token=token, wrong=wrong)}
        )
        raw = {name.encode(): value.encode() for name, value in headers.items()}
        for path in ("/api/v1/recommendations/1", "/api/v1/nowhere"):
            answer = await client.get(path, headers=raw)
            assert (answer.status_code, answer.json()["type"]) == (
                *(401, "urn:freshet:unauthenticated"),
            )
            assert answer.headers["www-authenticate"].startswith("Bearer")
        good = await client.get("/api/v1/recommendations/1", headers=bearer(token))
        assert good.status_code == 200

    async def test_nothing_of_the_request_is_read_before(self, client: httpx.AsyncClient) -> None:
        async def body() -> AsyncIterator[bytes]:
            pytest.fail("the body was asked for")
            yield b""

        headers = {"Content-Type": "application/json"}
        answer = await client.post("/api/v1/ratings", content=body(), headers=headers)
        assert answer.status_code == 401

    async def test_one_that_is_expired(self, client: httpx.AsyncClient, store: KeyStore) -> None:
        token = await created(store, "read", lives=-1.0)
        answer = await client.get("/api/v1/recommendations/1", headers=bearer(token))
        assert answer.status_code == 401


class TestLife:
    async def test_one_that_is_revoked_ends_with_the_next_look(
        self, store: KeyStore, ring: KeyRing
    ) -> None:
        token = await created(store, "read")
        found = await ring.find(token)
        assert found is not None
        await store.revoke(found.key_id)
        ring.start()
        await AsyncRetrying(
            retry=retry_if_not_result(lambda key: key is None), stop=stop_after_delay(DEADLINE)
        )(ring.find, token)
        with pytest.raises(ConfigurationError, match=f"no key {found.key_id}; there are: none"):
            await store.revoke(found.key_id)

    async def test_rotated_ones_overlap(self, store: KeyStore, ring: KeyRing) -> None:
        old, token = new_key("shop", "write", lives=1_000.0, rate="5/s")
        await store.put(old)
        new, replacement = await store.rotate(old.key_id, overlap=60.0)
        await ring.refresh()
        assert await ring.find(token) is not None
        assert await ring.find(replacement) == new
        assert (new.name, new.scope, new.rate) == ("shop", "write", "5/s")
        assert new.expires == new.created + 1_000_000
        ending = await store.find(old.key_id)
        assert ending.expires == new.created + 60_000

    async def test_an_overlap_never_prolongs(self, store: KeyStore) -> None:
        old, _ = new_key("shop", "write", lives=10.0)
        await store.put(old)
        await store.rotate(old.key_id, overlap=60.0)
        assert (await store.find(old.key_id)).expires == old.expires

    async def test_without_an_overlap_the_old_one_ends_at_once(
        self, store: KeyStore, ring: KeyRing
    ) -> None:
        token = await created(store, "write")
        [old] = (await store.all()).values()
        await store.rotate(old.key_id, overlap=0.0)
        await ring.refresh()
        assert await ring.find(token) is None
        with pytest.raises(ConfigurationError, match="has expired"):
            await store.rotate(old.key_id, overlap=1.0)

    async def test_without_redis_the_keys_known_last_stay(
        self, store: KeyStore, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await created(store, "read")
        await ring.refresh()

        async def away(self: KeyStore) -> int:
            raise StoreUnavailable("told to fail")

        monkeypatch.setattr(KeyStore, "version", away)
        assert await ring.find(token) is not None
        assert await ring.find("freshet_00000000_" + "A" * 43) is None

    async def test_one_that_cannot_be_read_keeps_no_other_from_ending(
        self, store: KeyStore, ring: KeyRing, redis_url: str
    ) -> None:
        token = await created(store, "read")
        redis = Redis.from_url(redis_url)
        await redis.hset(names.API_KEYS, "0badf00d", '{"scope": "of a later version"}')
        await redis.aclose()
        await ring.refresh()
        assert await ring.find(token) is not None
        [key_id] = await store.all()
        await store.revoke(key_id)
        await ring.refresh()
        assert await ring.find(token) is None

    async def test_unknown_ones_do_not_flood_redis(
        self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = 0

        async def version(self: KeyStore) -> int:
            nonlocal asked
            asked += 1
            return 0

        monkeypatch.setattr(KeyStore, "version", version)
        began = time.monotonic()
        for _ in range(200):
            assert await ring.find(new_key("nobody", "admin")[1]) is None
        assert 1 <= asked <= 1 + (time.monotonic() - began) / 0.1


async def test_redis_has_no_secret(store: KeyStore, redis_url: str) -> None:
    token = await created(store, "admin")
    parsed = parse(token)
    assert parsed is not None
    key_id, secret = parsed
    async with Redis.from_url(redis_url) as redis:
        kept = await redis.hgetall(names.API_KEYS)
    assert list(kept) == [key_id.encode()]
    assert secret.encode() not in kept[key_id.encode()]
    decoded = msgspec.json.decode(kept[key_id.encode()])
    assert decoded["digest"] == hashlib.sha256(secret.encode()).hexdigest()
    assert len(secret) == 43  # 256 bits in base64
