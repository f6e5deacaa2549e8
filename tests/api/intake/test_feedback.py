"""POST /feedback: what is acknowledged is in the log, once, and what was rated is a rating too."""

import time
from typing import Any

import pytest

from api.schemas.feedback import MAX_BATCH
from stream.contracts.events import EARLIEST_EVENT_TIME, MAX_AHEAD
from stream.contracts.topics import partition_of
from tests.api.conftest import World
from tests.api.doubles import PARTITIONS

CLICK = {"user_id": 42, "impression_id": "i1", "movie_id": 3, "kind": "click"}
STARS = {**CLICK, "kind": "rating", "value": 4.5}


async def post(world: World, body: Any, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await world.client.post("/api/v1/feedback", json=body, headers=headers)


async def test_a_click_is_feedback_alone(world: World) -> None:
    answer = await post(world, CLICK)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "positions": {}}
    [event] = world.log.feedback
    assert (event.user_id, event.impression_id, event.movie_id) == (42, "i1", 3)
    assert (event.kind, event.value) == ("click", None)
    assert event.event_time == event.produced_time
    assert world.log.events == []


async def test_a_rating_is_a_rating_too_and_changes_the_state(world: World) -> None:
    answer = await post(world, [CLICK, STARS, {**CLICK, "kind": "watch", "value": 0.8}])
    position = f"{partition_of(42, PARTITIONS)}:0"
    assert answer.json() == {"accepted": 3, "positions": {"42": position}}
    [rated] = world.log.events
    assert (rated.movie_id, rated.rating, rated.source) == (3, 4.5, "api")
    assert [event.kind for event in world.log.feedback] == ["click", "rating", "watch"]
    listed = await world.get(42, after=position)
    assert listed["freshness"]["included"]
    assert 3 not in [item["movie_id"] for item in listed["items"]]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "love"},
        {"impression_id": ""},
        {"impression_id": "i" * 65},
        {"user_id": 0},
        {"movie_id": 2**32},
        {"value": 1.0},
        {"kind": "rating"},
        {"kind": "rating", "value": 0.0},
        {"kind": "rating", "value": 3.3},
        {"kind": "rating", "value": 5.5},
        {"kind": "watch", "value": 1.5},
        {"kind": "skip", "value": 0.5},
        {"stars": 3},
        {"event_time": 5},
        {"event_time": int((time.time() + 7200) * 1000) + MAX_AHEAD},
    ],
)
async def test_what_is_wrong_is_refused_whole(world: World, change: dict[str, Any]) -> None:
    for body in ({**CLICK, **change}, [CLICK, {**CLICK, **change}]):
        assert (await post(world, body)).status_code == 422
    assert world.log.feedback == []


@pytest.mark.parametrize("when", [EARLIEST_EVENT_TIME, float(EARLIEST_EVENT_TIME)])
async def test_a_time_of_its_own_is_kept(world: World, when: float) -> None:
    """However a client writes whole numbers."""
    await post(world, {**CLICK, "event_time": when})
    assert world.log.feedback[0].event_time == EARLIEST_EVENT_TIME


@pytest.mark.parametrize("body", [[], [CLICK] * (MAX_BATCH + 1), "no", None])
async def test_a_body_of_another_form_is_refused(world: World, body: Any) -> None:
    assert (await post(world, body)).status_code == 422


async def test_a_full_batch_is_taken(world: World) -> None:
    assert (await post(world, [CLICK] * MAX_BATCH)).json()["accepted"] == MAX_BATCH


async def test_unknown_movies_are_named_and_nothing_is_published(world: World) -> None:
    answer = await post(world, [STARS, {**CLICK, "movie_id": 9_001}])
    assert answer.status_code == 404
    assert [error["field"] for error in answer.json()["errors"]] == ["body[1].movie_id"]
    assert world.log.feedback == []
    assert world.log.events == []


async def test_the_same_request_is_done_once(world: World) -> None:
    first, second = [await post(world, [STARS, CLICK], key="a") for _ in range(2)]
    assert second.content == first.content
    assert len(world.log.feedback) == 2
    assert len(world.log.events) == 1
    assert (await post(world, CLICK, key="a")).status_code == 422


async def test_what_failed_half_way_is_done_again_under_the_same_ids(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, calls = world.log.send, []

    async def half(messages: Any) -> Any:
        calls.append(messages)
        world.log.failing = len(calls) == 2  # the ratings are in the log, the feedback is not
        return await send(messages)

    monkeypatch.setattr(world.log, "send", half)
    assert (await post(world, [STARS, CLICK], key="a")).status_code == 503
    assert (await post(world, [STARS, CLICK], key="a")).status_code == 202
    assert len({event.event_id for event in world.log.events}) == 1
    assert len({event.event_id for event in world.log.feedback}) == 2


async def test_forgetting_tells_those_who_count_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = world.log.send
    topics: list[tuple[str, bytes]] = []

    async def noting(messages: Any) -> Any:
        topics.extend((message.topic, message.key) for message in messages)
        return await send(messages)

    monkeypatch.setattr(world.log, "send", noting)
    assert (await world.client.delete("/api/v1/users/42")).status_code == 200
    assert topics == [("ratings", b"42"), ("exposures", b"42"), ("feedback", b"42")]
