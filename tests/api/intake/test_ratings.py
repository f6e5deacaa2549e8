"""POST /ratings: what is acknowledged is in the log, once, and what is wrong is named."""

import asyncio
import time
from typing import Any
from unittest.mock import AsyncMock

import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.schemas.ratings import MAX_BATCH, Rating
from stream.contracts.errors import InvalidEvent
from stream.contracts.events import EARLIEST_EVENT_TIME, MAX_AHEAD, decode_user_event
from stream.contracts.topics import partition_of
from tests.api.conftest import World
from tests.api.doubles import PARTITIONS

URL = "/api/v1/ratings"
ONE = {"user_id": 42, "movie_id": 3, "rating": 4.5}


async def post(world: World, body: Any, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await world.client.post(URL, json=body, headers=headers)


async def test_one_rating_becomes_an_event(world: World) -> None:
    before = int(time.time() * 1000)
    answer = await post(world, ONE)
    after = int(time.time() * 1000)
    assert answer.status_code == 202
    (event,) = world.log.events
    assert (event.user_id, event.movie_id, event.rating, event.source) == (42, 3, 4.5, "api")
    assert before <= event.produced_time <= after
    assert event.event_time == event.produced_time
    position = f"{partition_of(42, PARTITIONS)}:0"
    assert answer.json() == {
        "accepted": 1,
        "positions": {"42": position},
        "events": [
            {"event_id": event.event_id, "user_id": 42, "movie_id": 3, "position": position}
        ],
    }


async def test_a_batch_names_the_last_position_of_each_user(world: World) -> None:
    batch = [ONE, {**ONE, "user_id": 7}, {**ONE, "movie_id": 4}]
    answer = (await post(world, batch)).json()
    assert answer["accepted"] == 3
    by_event = [event["position"] for event in answer["events"]]
    assert answer["positions"] == {"42": by_event[2], "7": by_event[1]}
    assert [event.movie_id for event in world.log.events] == [3, 3, 4]
    assert len({event.event_id for event in world.log.events}) == 3


async def test_a_time_of_its_own_is_kept(world: World) -> None:
    await post(world, {**ONE, "event_time": EARLIEST_EVENT_TIME})
    assert world.log.events[0].event_time == EARLIEST_EVENT_TIME


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rating": 0.0}, "rating"),
        ({"rating": 5.5}, "rating"),
        ({"rating": 3.3}, "rating"),
        ({"rating": "4.5"}, "rating"),
        ({"rating": None}, "rating"),
        ({"user_id": 0}, "user_id"),
        ({"user_id": 2**53}, "user_id"),
        ({"user_id": "42"}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"movie_id": 2**32}, "movie_id"),
        ({"movie_id": 1.5}, "movie_id"),
        ({"event_time": EARLIEST_EVENT_TIME - 1}, "event_time"),
        ({"event_time": int((time.time() + 7200) * 1000) + MAX_AHEAD}, "event_time"),
        ({"event_time": "2020-01-01"}, "event_time"),
        ({"stars": 4}, "stars"),
    ],
)
async def test_what_is_wrong_is_named(world: World, change: dict[str, Any], field: str) -> None:
    answer = await post(world, {**ONE, **change})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"body.{field}"]
    answer = await post(world, [ONE, {**ONE, **change}])
    assert [error["field"] for error in answer.json()["errors"]] == [f"body[1].{field}"]
    assert world.log.events == []


@pytest.mark.parametrize("field", ["user_id", "movie_id", "rating"])
async def test_a_missing_field_is_named(world: World, field: str) -> None:
    answer = await post(world, {name: value for name, value in ONE.items() if name != field})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": f"body.{field}", "message": "Field required"}]


@pytest.mark.parametrize("body", [[], [ONE] * (MAX_BATCH + 1), "no", 3, None])
async def test_a_body_of_another_form_is_refused(world: World, body: Any) -> None:
    answer = await post(world, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body"


@given(
    rating=st.one_of(st.floats(-1, 6), st.sampled_from([0.5, 1, 2.5, 5.0])),
    user_id=st.one_of(st.integers(-1, 3), st.sampled_from([2**53 - 1, 2**53])),
    movie_id=st.one_of(st.integers(-1, 3), st.sampled_from([2**32 - 1, 2**32])),
    event_time=st.integers(EARLIEST_EVENT_TIME - 5, EARLIEST_EVENT_TIME + 5),
)
def test_the_api_accepts_exactly_what_the_topic_accepts(
    rating: float, user_id: int, movie_id: int, event_time: int
) -> None:
    """Written out by hand, because a struct does not check what it is constructed with."""
    value = (
        '{"type":"rating","schema_version":1,"event_id":"x","source":"api","produced_time":'
        f'{EARLIEST_EVENT_TIME + 10},"user_id":{user_id},"movie_id":{movie_id},'
        f'"rating":{rating!r},"event_time":{event_time}}}'
    ).encode()
    try:
        decode_user_event(value, b"%d" % user_id, EARLIEST_EVENT_TIME + 10)
        on_the_topic = True
    except InvalidEvent:
        on_the_topic = False
    try:
        Rating(user_id=user_id, movie_id=movie_id, rating=rating, event_time=event_time)
        by_the_api = True
    except ValidationError:
        by_the_api = False
    assert by_the_api == on_the_topic


async def test_unknown_movies_are_named_and_nothing_is_published(world: World) -> None:
    answer = await post(world, [ONE, {**ONE, "movie_id": 9_001}, {**ONE, "movie_id": 9_002}])
    assert answer.status_code == 404
    problem = answer.json()
    assert problem["type"] == "urn:freshet:unknown-movie"
    assert [error["field"] for error in problem["errors"]] == [
        "body[1].movie_id",
        "body[2].movie_id",
    ]
    assert "9001" in problem["detail"]
    assert world.log.events == []
    answer = await post(world, {**ONE, "movie_id": 9_001})
    assert answer.json()["errors"][0]["field"] == "body.movie_id"


async def test_before_the_catalogue_is_loaded_nothing_is_unknown(empty_world: World) -> None:
    answer = await post(empty_world, ONE)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_without_an_acknowledgement_there_is_none(world: World) -> None:
    world.log.failing = True
    answer = await post(world, ONE)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["type"] == "urn:freshet:unavailable"


async def test_ratings_are_accepted_while_redis_is_away(world: World) -> None:
    world.store.failing = world.log.lag = True
    assert (await post(world, ONE)).status_code == 202


class TestIdempotency:
    async def test_the_same_request_is_done_once(self, world: World) -> None:
        first = await post(world, ONE, key="a")
        second = await post(world, ONE, key="a")
        assert second.status_code == first.status_code == 202
        assert second.content == first.content
        assert len(world.log.events) == 1

    async def test_without_a_key_it_is_done_again(self, world: World) -> None:
        await post(world, ONE)
        await post(world, ONE)
        assert len(world.log.events) == 2

    async def test_another_key_is_another_request(self, world: World) -> None:
        await post(world, ONE, key="a")
        await post(world, ONE, key="b")
        assert len({event.event_id for event in world.log.events}) == 2

    async def test_another_body_under_the_same_key_is_refused(self, world: World) -> None:
        await post(world, ONE, key="a")
        answer = await post(world, {**ONE, "rating": 1.0}, key="a")
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:freshet:idempotency-key-reused"
        assert len(world.log.events) == 1

    async def test_two_at_once_are_done_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sending, hold = asyncio.Event(), asyncio.Event()
        send = world.log.send

        async def slow(messages: Any) -> Any:
            sending.set()
            await hold.wait()
            return await send(messages)

        monkeypatch.setattr(world.log, "send", slow)
        first = asyncio.create_task(post(world, ONE, key="a"))
        async with asyncio.timeout(10):
            await sending.wait()
            second = await post(world, ONE, key="a")
            hold.set()
            assert (await first).status_code == 202
        assert second.status_code == 409
        assert second.json()["type"] == "urn:freshet:request-in-progress"
        assert second.headers["retry-after"]
        assert len(world.log.events) == 1

    async def test_a_failed_request_may_be_tried_again(self, world: World) -> None:
        world.log.failing = True
        assert (await post(world, ONE, key="a")).status_code == 503
        world.log.failing = False
        assert (await post(world, ONE, key="a")).status_code == 202
        assert (await post(world, {**ONE, "movie_id": 9_001}, key="b")).status_code == 404
        assert len(world.log.events) == 1

    async def test_after_a_crash_the_events_have_the_same_ids(
        self, world: World, redis_url: str
    ) -> None:
        batch = [ONE, {**ONE, "movie_id": 4}]
        await post(world, batch, key="a")
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            await client.flushdb()  # as if the answer had never been stored
        await post(world, batch, key="a")
        ids = [event.event_id for event in world.log.events]
        assert ids[:2] == ids[2:]
        assert len(set(ids)) == 2

    async def test_an_answer_is_kept_for_a_day_and_a_reservation_for_less(
        self, world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with redis.asyncio.Redis.from_url(redis_url) as client:

            async def lifetime() -> int:
                (name,) = await client.keys("idempotency:*")
                return int(await client.ttl(name))

            reserved: list[int] = []
            send = world.log.send

            async def noting(messages: Any) -> Any:
                reserved.append(await lifetime())
                return await send(messages)

            monkeypatch.setattr(world.log, "send", noting)
            await post(world, ONE, key="a")
            assert 0 < reserved[0] <= 60
            assert 86_000 < await lifetime() <= 86_400

    async def test_a_reservation_sent_twice_by_the_client_is_ours(self, world: World) -> None:
        """redis-py sends a command again when a connection breaks before its answer."""
        client = world.services.idempotent._redis
        once = client.set

        async def twice(*args: Any, **options: Any) -> Any:
            await once(*args, **options)
            return await once(*args, **options)

        client.set = twice
        assert (await post(world, ONE, key="a")).status_code == 202

    async def test_without_redis_a_key_cannot_be_honoured(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused = AsyncMock(side_effect=redis.asyncio.ConnectionError("refused"))
        monkeypatch.setattr(world.services.idempotent._redis, "set", refused)
        answer = await post(world, ONE, key="a")
        assert answer.status_code == 503
        assert "nothing was done" in answer.json()["detail"]
        assert world.log.events == []

    async def test_an_answer_that_cannot_be_kept_is_still_given(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        gone = AsyncMock(side_effect=redis.asyncio.ConnectionError("gone"))
        monkeypatch.setattr(world.services.idempotent, "_replace", gone)
        assert (await post(world, ONE, key="a")).status_code == 202
        assert "was not updated" in caplog.text

    @pytest.mark.parametrize("key", ["", "k" * 256])
    async def test_a_key_has_a_length(self, world: World, key: str) -> None:
        answer = await post(world, ONE, key=key)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "header.Idempotency-Key"
