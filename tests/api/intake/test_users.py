"""DELETE /users: nothing of a person is left that the API could answer with."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest
import redis.asyncio

from api.intake import idempotency
from stream.contracts import keys
from stream.contracts.topics import partition_of
from tests.api.conftest import World
from tests.api.doubles import PARTITIONS

USER, OTHER = 42, 7
PARTITION = partition_of(USER, PARTITIONS)

# Of one page load; the movies exist.
ONBOARDING = {"ratings": [{"movie_id": movie, "rating": 4.0} for movie in range(1, 6)]}


async def forget(world: World, user: int = USER, **params: Any) -> Any:
    return await world.client.delete(f"/api/v1/users/{user}", params=params)


async def post(
    world: World, *users: int, key: str, route: str = "ratings", body: Any = None
) -> Any:
    ratings = [{"user_id": user, "movie_id": 3, "rating": 4.5} for user in users]
    headers = {"Idempotency-Key": key}
    return await world.client.post(f"/api/v1/{route}", json=body or ratings, headers=headers)


async def test_nothing_is_left_in_the_state(world: World) -> None:
    await world.rate(USER, 1, 2, 3)
    await world.rate(OTHER, 1)
    answer = await forget(world)
    assert answer.status_code == 200
    assert answer.json() == {
        "user_id": USER,
        "position": f"{PARTITION}:3",
        "applied": True,
        "ratings": 3,
        "answers": 0,
        "lists": 0,
    }
    (wish,) = world.log.wishes
    assert wish.user_id == USER
    assert (await world.store.read_user(PARTITION, USER))[1] is None
    assert (await world.get(USER))["strategy"] == "trending"
    assert (await world.get(OTHER))["strategy"] != "trending"


async def test_again_and_of_somebody_unknown_it_is_harmless(world: World) -> None:
    await world.rate(USER, 1)
    await forget(world)
    for user in (USER, 1_000_000):
        answer = await forget(world, user)
        assert answer.status_code == 200
        assert (answer.json()["ratings"], answer.json()["answers"]) == (0, 0)


async def test_who_rates_again_is_new(world: World) -> None:
    await world.rate(USER, 1, 2, 3)
    await forget(world)
    position = await world.rate(USER, 5)
    seen = await world.get(USER, after=position)
    assert seen["freshness"]["included"]
    assert seen["strategy"] != "trending"
    _, record = await world.store.read_user(PARTITION, USER)
    assert record is not None
    assert (record.state.events, record.state.movie_ids().tolist()) == (1, [5])


async def test_while_no_worker_runs_the_wish_is_kept(world: World) -> None:
    await world.rate(USER, 1)
    world.log.lag = True
    answer = await forget(world, wait_ms=0)
    assert answer.status_code == 202
    assert answer.json()["applied"] is False
    await world.log.apply()
    assert (await world.store.read_user(PARTITION, USER))[1] is None


async def test_it_waits_for_the_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.rate(USER, 1)
    world.log.lag = True
    asked, position = asyncio.Event(), world.store.position

    async def watched(partition: int) -> Any:
        asked.set()
        return await position(partition)

    monkeypatch.setattr(world.store, "position", watched)
    waiting = asyncio.create_task(forget(world, wait_ms=10_000))
    async with asyncio.timeout(10):
        await asked.wait()
    assert not waiting.done()
    await world.log.apply()
    assert (await waiting).json()["applied"] is True


async def test_before_any_worker_has_run(empty_world: World) -> None:
    empty_world.store.partition_count = None
    empty_world.log.lag = True
    answer = await forget(empty_world, wait_ms=0)
    assert (answer.status_code, answer.json()["ratings"]) == (202, 0)


@pytest.mark.parametrize("user", ["0", "-1", str(2**53), "me"])
async def test_nobody_has_this_id(world: World, user: str) -> None:
    answer = await world.client.delete(f"/api/v1/users/{user}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["path.user_id"]
    assert world.log.wishes == []


async def test_without_an_acknowledgement_there_is_none(world: World) -> None:
    world.log.failing = True
    assert (await forget(world)).status_code == 503


async def test_while_redis_is_away_nothing_is_promised(world: World) -> None:
    world.store.failing = True
    answer = await forget(world)
    assert answer.status_code == 503
    assert world.log.wishes == []


class TestAnswers:
    """What is kept for repeated requests."""

    @pytest.fixture
    async def client(self, redis_url: str) -> Any:
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            yield client

    async def everything(self, client: Any) -> bytes:
        """All that the answers' Redis holds, and under which names."""
        names = await client.keys("*")
        strings = [name for name in names if await client.type(name) == b"string"]
        return b" ".join([*names, *(await client.mget(strings) if strings else [])])

    async def test_none_is_left(self, world: World, client: Any) -> None:
        answer = await post(world, USER, key="a")
        assert b'"user_id":42' in await self.everything(client)
        assert await world.services.idempotent.mentions(USER) > 0

        assert (await forget(world)).json()["answers"] == 1
        assert await world.services.idempotent.mentions(USER) == 0
        left = await self.everything(client)
        event = answer.json()["events"][0]
        for trace in ('"user_id":42', "answers:42", event["event_id"], '"42"'):
            assert trace.encode() not in left

    async def test_a_late_retry_does_not_bring_them_back(self, world: World) -> None:
        await post(world, USER, key="a")
        await forget(world)
        for users in ((USER,), (OTHER,)):
            answer = await post(world, *users, key="a")
            assert answer.status_code == 410
            assert answer.json()["type"] == "urn:freshet:forgotten"
        assert len(world.log.events) == 1
        assert (await post(world, USER, key="b")).status_code == 202

    async def test_that_a_key_was_used_is_known_for_a_day_more(
        self, world: World, client: Any
    ) -> None:
        await post(world, USER, key="a")
        await forget(world)
        (name,) = await client.keys("idempotency:*")
        assert 86_000 < await client.ttl(name) <= 86_400

    async def test_a_late_retry_of_what_failed_or_died_does_not_either(
        self, world: World, client: Any
    ) -> None:
        world.log.failing = True
        assert (await post(world, USER, key="a")).status_code == 503
        world.log.failing = False
        await post(world, USER, key="b")
        done = len(world.log.events)
        await client.delete(*await client.keys("idempotency:*"))  # as if the process had died
        assert (await forget(world)).json()["answers"] == 0
        for key in ("a", "b"):
            assert (await post(world, USER, key=key)).status_code == 410
        assert len(world.log.events) == done

    async def test_the_answers_of_others_stay(self, world: World) -> None:
        first = await post(world, OTHER, key="a")
        await post(world, USER, OTHER, key="b")
        assert (await forget(world)).json()["answers"] == 1
        assert (await post(world, OTHER, key="a")).content == first.content
        assert (await post(world, USER, OTHER, key="b")).status_code == 410
        assert await world.services.idempotent.mentions(OTHER) > 0
        assert (await forget(world, OTHER)).json()["answers"] == 1  # the other was erased before
        assert await world.services.idempotent.mentions(OTHER) == 0

    async def test_they_are_told_from_those_of_many_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Read a few at a time; 420 is not 42."""
        monkeypatch.setattr(idempotency, "LOOKED_AT", 1)
        for key in range(40):
            await post(world, 10 * USER, key=f"{key}")
        assert await world.services.idempotent.mentions(10 * USER) > 40
        assert await world.services.idempotent.mentions(USER) == 0

    async def test_that_of_a_first_visit_too(self, world: World) -> None:
        answer = await post(world, key="a", route="onboarding/rate", body=ONBOARDING)
        assert answer.status_code == 201
        user = answer.json()["user_id"]
        assert await world.services.idempotent.mentions(user) > 0
        assert (await forget(world, user)).json()["answers"] == 1
        assert await world.services.idempotent.mentions(user) == 0
        again = await post(world, key="a", route="onboarding/rate", body=ONBOARDING)
        assert again.status_code == 410

    async def test_a_request_that_is_under_way_keeps_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sending, hold = asyncio.Event(), asyncio.Event()
        send = world.log.send

        async def slow(messages: Any) -> Any:
            delivered = await send(messages)
            if not sending.is_set():
                sending.set()
                await hold.wait()
            return delivered

        monkeypatch.setattr(world.log, "send", slow)
        first = asyncio.create_task(post(world, USER, key="a"))
        async with asyncio.timeout(10):
            await sending.wait()
            await forget(world)
            hold.set()
            assert (await first).status_code == 202
        assert await world.services.idempotent.mentions(USER) == 0
        assert (await post(world, USER, key="a")).status_code == 410

    async def test_if_redis_fails_in_between_it_can_be_done_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await post(world, USER, key="a")
        with monkeypatch.context() as broken:
            gone = AsyncMock(side_effect=redis.asyncio.ConnectionError("gone"))
            broken.setattr(world.services.idempotent._redis, "zrange", gone)
            assert (await forget(world)).status_code == 503
        assert (await forget(world)).json()["answers"] == 1

    async def test_whom_a_request_is_about_is_noted_or_it_is_not_done(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            gone = AsyncMock(side_effect=redis.asyncio.ConnectionError("gone"))
            broken.setattr(world.services.idempotent, "_note_users", gone)
            answer = await post(world, USER, key="a")
        assert answer.status_code == 503
        assert "nothing was done" in answer.json()["detail"]
        assert world.log.events == []
        assert (await post(world, USER, key="a")).status_code == 202

    async def test_notes_outlive_the_answers_and_not_by_much(
        self, world: World, client: Any
    ) -> None:
        about = keys.answers_about(USER)
        await post(world, USER, key="a")
        assert 86_400 < await client.ttl(about) <= 86_460
        (name,) = await client.zrange(about, 0, -1)
        await client.zadd(about, {name: 1})  # as if it had expired long ago
        await post(world, USER, key="b")
        (left,) = await client.zrange(about, 0, -1)
        assert left != name
