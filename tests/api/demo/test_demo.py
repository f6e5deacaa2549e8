"""Demo people over HTTP, from the live state."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from api.demo import casting
from api.demo.casting import held_out_of
from stream.contracts.keys import Position
from stream.features import UserState
from stream.records import UserRecord
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie
from tests.api.doubles import LEARNT_UNTIL, TOPIC_ID
from training.artifact import LogPosition

ACTION = GENRES.index("Action")


def of_genre(place: int, count: int) -> list[int]:
    movies = [id_ for id_ in range(1, MOVIES + 1) if id_ % len(GENRES) == place and id_ % 10]
    return movies[:count]


async def rate(world: World, user: int, movies: list[int], stars: float, at: int) -> None:
    body = [
        {"user_id": user, "movie_id": movie, "rating": stars, "event_time": at} for movie in movies
    ]
    answer = await world.client.post("/api/v1/ratings", json=body)
    assert answer.status_code == 202, answer.text


async def populate(world: World) -> None:
    """Two lovers of action, of whom one rates after the training, and two who are none."""
    for user, count, at in ((1, 30, LEARNT_UNTIL), (2, 25, LEARNT_UNTIL + 1)):
        await rate(world, user, of_genre(ACTION, count), 5.0, at)
    await rate(world, 3, list(range(1, 60)), 4.0, LEARNT_UNTIL + 1)
    await rate(world, 4, of_genre(0, 30), 3.0, LEARNT_UNTIL + 1)
    await rate(world, 4, of_genre(1, 30), 1.0, LEARNT_UNTIL + 1)


async def ask(world: World, path: str = "/users", status: int = 200, **params: Any) -> Any:
    answer = await world.client.get(f"/api/v1/demo{path}", params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_people_of_the_live_state(world: World) -> None:
    await populate(world)
    found = await ask(world)
    people = {person["name"]: person for person in found["people"]}
    assert found["looked_at"] == 4
    assert {name: person["user_id"] for name, person in people.items()} == {
        "action-lover": 2,  # user 1 likes more of it, and the model has learnt all of that
        "film-buff": 3,
        "critic": 4,
    }
    assert found["missing"] == ["romance-fan"]  # there is no such genre here
    lover = people["action-lover"]
    assert (lover["held_out"], lover["ratings"], lover["mean_rating"]) == (True, 25, 5.0)
    latest_first = of_genre(ACTION, 25)[:-6:-1]
    assert [movie["movie_id"] for movie in lover["top_movies"]] == latest_first
    assert all(movie["genres"] == ["Action"] for movie in lover["top_movies"])
    assert "Action" in lover["rule"]


async def test_what_they_are_recommended_now(world: World) -> None:
    await populate(world)
    found = await ask(world, "/recommendations/film-buff", limit=5)
    assert found["person"]["user_id"] == 3
    shown = found["recommendations"]
    assert (shown["user_id"], shown["strategy"], len(shown["items"])) == (3, "two_tower", 5)
    await rate(world, 3, [200], 5.0, LEARNT_UNTIL + 2)
    after = await ask(world, "/recommendations/film-buff", limit=5)
    assert after["person"]["ratings"] == 60
    assert after["person"]["top_movies"][0]["movie_id"] == 200
    assert after["recommendations"]["items"] != shown["items"]


async def test_they_are_looked_for_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await populate(world)
    looks = count_looks(world, monkeypatch)
    answers = await asyncio.gather(*(ask(world) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert looks == sorted(set(looks)) != []  # every partition once


async def test_so_many_people_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await populate(world)
    monkeypatch.setattr(casting, "MOST_PEOPLE", 2)
    assert (await ask(world))["looked_at"] == 2


async def test_somebody_who_is_forgotten_is_not_shown(world: World) -> None:
    await populate(world)
    await ask(world)
    await world.client.delete("/api/v1/users/2")
    found = await ask(world, "/recommendations/action-lover")
    assert (found["person"]["user_id"], found["person"]["held_out"]) == (1, False)


async def test_another_model_has_learnt_from_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate(world)
    before = await ask(world)
    looks = count_looks(world, monkeypatch)
    await world.promote("v2")
    assert await ask(world) == before  # as found before, while it is looked again
    await world.services.demo.again()
    assert looks == sorted(set(looks)) != []


@pytest.mark.parametrize("name", ["nobody", "Critic", "%00", "x" * 50])
async def test_a_name_that_nobody_has(world: World, name: str) -> None:
    problem = await ask(world, f"/recommendations/{name}", status=404)
    assert "action-lover, romance-fan, film-buff, critic" in problem["detail"]


async def test_nobody_is_there(world: World) -> None:
    found = await ask(world)
    assert (found["people"], len(found["missing"]), found["looked_at"]) == ([], 4, 0)
    problem = await ask(world, "/recommendations/critic", status=404)
    assert "of 0 people" in problem["detail"]


async def test_without_a_model(empty_world: World) -> None:
    await empty_world.store.put_movies(catalogue_movie(id_) for id_ in range(1, MOVIES + 1))
    await empty_world.watcher.refresh()
    await populate(empty_world)
    [lover, *_] = (await ask(empty_world))["people"]
    assert (lover["user_id"], lover["held_out"]) == (1, None)


async def test_redis_does_not_answer(world: World) -> None:
    await populate(world)
    world.store.failing = True
    problem = await ask(world, status=503)
    assert problem["type"] == "urn:freshet:unavailable"
    world.store.failing = False
    assert (await ask(world))["people"]


async def test_looking_takes_too_long_to_wait_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate(world)
    go_on = asyncio.Event()
    users = world.store.users

    async def slow(partition: int, generation: int) -> AsyncIterator[dict[int, UserRecord]]:
        await go_on.wait()
        async for records in users(partition, generation):
            yield records

    monkeypatch.setattr(world.store, "users", slow)
    monkeypatch.setattr(casting, "PATIENCE", 0.01)
    problem = await ask(world, status=503)
    assert "ask again" in problem["detail"]
    monkeypatch.setattr(casting, "PATIENCE", 60.0)
    go_on.set()
    await world.services.demo.again()
    assert (await ask(world))["people"]


def test_whether_somebody_is_held_out(world: World) -> None:
    serving = world.watcher.current
    assert serving.model is not None
    manifest = serving.model.artifact.manifest
    position = Position(1, TOPIC_ID, 100)
    early, late = (
        UserState(events=1, last_offset=50, last_event_time=LEARNT_UNTIL + after)
        for after in (0, 1)
    )
    assert [held_out_of(serving, 1, position, of) for of in (early, late)] == [False, True]
    # What was learnt of this very log is told by its offsets, whatever the times.
    for offset, held_out in ((50, True), (51, False)):
        learnt = LogPosition(TOPIC_ID, (0, offset))
        serving.model.artifact.manifest = structs.replace(manifest, position=learnt)
        assert held_out_of(serving, 1, position, late) is held_out
    assert held_out_of(serving, 1, Position(1, "another", 100), late) is True


def count_looks(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The partitions whose users are read from now on."""
    looks: list[int] = []
    users = world.store.users

    def counted(partition: int, generation: int) -> AsyncIterator[dict[int, UserRecord]]:
        looks.append(partition)
        return users(partition, generation)

    monkeypatch.setattr(world.store, "users", counted)
    return looks
