"""Answers given again: never to another question, of another state, or by another model."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from api import metrics
from api.lists import cache
from api.lists.cache import AnswerCache
from stream.contracts.errors import StoreUnavailable
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.records import MovieHeats, UserRecord
from stream.store import Batch
from tests.api.conftest import MOVIES, World, catalogue_movie
from tests.api.doubles import PARTITIONS, PlantedArtifact

USER, OTHER = 42, 7

users = count(1_000)  # each example of a property its own


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "GATHERED", 0)


async def ask(world: World, user: int = USER, **params: Any) -> dict[str, Any]:
    """What is worth keeping is kept by the time that this returns."""
    answer = await world.get(user, **params)
    await world.services.recommender.close()
    return answer


def counted() -> dict[str, float]:
    return {it: metrics.CACHE.labels(it)._value.get() for it in ("hit", "miss", "bypass")}


def since(before: dict[str, float]) -> dict[str, float]:
    return {it: value - before[it] for it, value in counted().items() if value > before[it]}


def list_of(answer: dict[str, Any]) -> dict[str, Any]:
    """All that is not about when and how it was made."""
    return {
        name: {**value, "age_ms": None} if name == "freshness" else value
        for name, value in answer.items()
        if name not in ("cached", "next_cursor", "impression_id")
    }


async def test_the_same_answer_is_given_again(world: World) -> None:
    await world.rate(USER, 200)
    before = counted()
    first, second = await ask(world), await ask(world)
    assert (first["cached"], second["cached"]) == (False, True)
    assert list_of(second) == list_of(first)
    assert second["freshness"]["age_ms"] >= first["freshness"]["age_ms"]
    assert since(before) == {"miss": 1, "hit": 1}


async def test_freshness_is_that_of_now(world: World) -> None:
    """Somebody else's events move the partition on, and leave the user's list as it is."""
    await world.rate(USER, 200)
    await ask(world)
    neighbour = next(
        user
        for user in range(1, 99)
        if user != USER and partition_of(user, PARTITIONS) == partition_of(USER, PARTITIONS)
    )
    position = await world.rate(neighbour, 1)
    again = await ask(world, after=position)
    assert again["cached"]
    assert (again["freshness"]["position"], again["freshness"]["included"]) == (position, True)


async def test_pages_follow_a_cached_answer(world: World) -> None:
    await world.rate(USER, 200)
    await ask(world)
    first = await ask(world)
    assert first["cached"]
    second = await ask(world, cursor=first["next_cursor"])
    shown = [item["movie_id"] for answer in (first, second) for item in answer["items"]]
    assert len(set(shown)) == len(shown) == 20


@pytest.mark.parametrize(
    "other", [{"limit": 9}, {"genres_any": "Drama"}, {"diversity": 0.5}, {"novelty": 0.5}]
)
async def test_another_question_misses(world: World, other: dict[str, Any]) -> None:
    await world.rate(USER, 200)
    await ask(world)
    assert not (await ask(world, **other))["cached"]
    assert (await ask(world))["cached"]
    assert (await ask(world, **other))["cached"]


async def test_a_rating_makes_it_miss_at_once(world: World) -> None:
    await world.rate(USER, 200)
    before = await ask(world)
    await world.rate(USER, before["items"][0]["movie_id"])
    after = await ask(world)
    assert not after["cached"]
    assert not {item["movie_id"] for item in after["items"]} & {before["items"][0]["movie_id"]}
    await world.rate(OTHER, 1)
    assert (await ask(world))["cached"]


async def test_a_changed_movie_makes_it_miss_at_once(world: World) -> None:
    await world.rate(USER, 200)
    for genres in (("Drama",), ("Horror",)):
        await world.store.put_movies([structs.replace(catalogue_movie(MOVIES + 1), genres=genres)])
        await world.watcher.refresh()
        answer = await ask(world, genres_none="Horror", only_ids=[MOVIES + 1])
        assert not answer["cached"]
        assert len(answer["items"]) == (genres == ("Drama",))


async def test_a_promotion_makes_it_miss_at_once(world: World) -> None:
    await world.rate(USER, 200)
    await ask(world)
    await world.promote("v2")
    answer = await ask(world)
    assert (answer["cached"], answer["model_version"]) == (False, "v2")
    await world.promote("v1")  # its answer is still there, and still right
    answer = await ask(world)
    assert (answer["cached"], answer["model_version"]) == (True, "v1")


async def test_a_new_movie_makes_it_miss_at_once(world: World) -> None:
    await world.rate(USER, 20)
    await ask(world)
    assert (await ask(world))["cached"]
    await world.store.put_movies([catalogue_movie(9_000)])
    await world.watcher.refresh()
    assert not (await ask(world))["cached"]
    assert (await ask(world))["cached"]


async def test_a_promotion_while_the_state_is_read_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, 200)
    await ask(world)
    read = world.store.read_user_with

    async def late(*args: Any) -> Any:
        found = await read(*args)
        await world.promote("v2")
        return found

    monkeypatch.setattr(world.store, "read_user_with", late)
    answer = await ask(world)
    assert (answer["cached"], answer["model_version"]) == (False, "v2")


async def test_a_new_movie_while_the_state_is_read_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, 20)
    await ask(world)
    read = world.store.read_user_with

    async def late(*args: Any) -> Any:
        found = await read(*args)
        await world.store.put_movies([catalogue_movie(9_000)])
        await world.watcher.refresh()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "read_user_with", late)
        assert not (await ask(world))["cached"]
    assert not (await ask(world))["cached"]  # nor was it kept as one from before
    assert (await ask(world))["cached"]


async def test_movies_are_described_as_they_are_now(world: World) -> None:
    await world.rate(USER, 200)
    first = await ask(world)
    movie = first["items"][0]["movie_id"]
    await world.store.put_movies([catalogue_movie(movie, title="Retitled")])
    await world.watcher.refresh()
    again = await ask(world)
    assert (again["cached"], again["items"][0]["title"]) == (True, "Retitled")


class TestBypass:
    async def test_on_demand(self, world: World) -> None:
        await world.rate(USER, 200)
        await ask(world)
        before = counted()
        assert not (await ask(world, use_cache=False))["cached"]
        assert since(before) == {"bypass": 1}

    async def test_nothing_is_kept_then(self, world: World) -> None:
        await world.rate(USER, 200)
        await ask(world, use_cache=False)
        assert not (await ask(world))["cached"]

    async def test_without_ratings(self, world: World) -> None:
        await world.rate(OTHER, 200)
        before = counted()
        assert [(await ask(world))["cached"] for _ in range(2)] == [False, False]
        assert since(before) == {"bypass": 2}

    async def test_without_a_model(self, empty_world: World) -> None:
        world = empty_world
        await world.store.put_movies([catalogue_movie(1), catalogue_movie(2)])
        await world.watcher.refresh()
        await world.rate(USER, 1)
        await world.rate(OTHER, 2)
        await world.watcher.refresh()
        before = counted()
        assert [(await ask(world))["cached"] for _ in range(2)] == [False, False]
        assert since(before) == {"bypass": 2}

    async def test_where_none_is_to_be_kept(self, world: World) -> None:
        world.services.recommender._cache = AnswerCache(world.store, seconds=0)
        await world.rate(USER, 200)
        assert [(await ask(world))["cached"] for _ in range(2)] == [False, False]

    async def test_a_degraded_answer_is_not_given_again(self, world: World) -> None:
        await world.rate(USER, 200)
        world.index.failing = True
        assert (await ask(world))["degraded"] == ["index_unavailable"]
        world.index.failing = False
        answer = await ask(world)
        assert (answer["degraded"], answer["cached"]) == ([], False)


async def test_what_cannot_be_kept_is_counted_and_answered_anyway(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, 200)

    async def full(things: Any) -> list[bool]:
        raise StoreUnavailable("it is told to be full")

    monkeypatch.setattr(world.store, "keep", full)
    before = metrics.CACHE_FAILURES._value.get()
    assert len((await ask(world))["items"]) == 10
    assert metrics.CACHE_FAILURES._value.get() == before + 1


@pytest.mark.parametrize("value", [b"\x93\x01\x02\x03", b"\x93\x01", b""])
async def test_what_another_version_wrote_is_no_answer(world: World, value: bytes) -> None:
    await world.rate(USER, 200)
    await ask(world)
    for values in world.store.kept_values.values():
        for name, (expires, _) in values.items():
            values[name] = (expires, value)
    assert not (await ask(world))["cached"]
    assert (await ask(world))["cached"]


async def rebuild(world: World, user: int) -> None:
    """Another generation, whose fold puts the user's ratings into another order."""
    partition = partition_of(user, PARTITIONS)
    before = await world.store.position(partition)
    assert before is not None
    _, record = await world.store.read_user(partition, user)
    number = await world.store.new_generation(partition)
    if record is not None:
        state = replace(record.state, movies=record.state.movie_ids()[::-1].tobytes())
        await world.store.write(partition, number, Batch({user: UserRecord(state)}))
    after = Position(number, before.topic_id, before.next_offset)
    assert await world.store.commit(partition, before, after, Batch()) == after


@pytest.fixture
def still(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """What moves on by itself stands still: only time bounds how long an answer is before that.

    The user vector of model v2 is that of the movie rated first.
    """
    last = PlantedArtifact.user_vectors

    async def heats(*_: Any) -> AsyncIterator[MovieHeats]:
        nothing: list[MovieHeats] = []
        for movies in nothing:
            yield movies

    def user_vectors(self: PlantedArtifact, states: Sequence[UserState]) -> Any:
        if self.items.version == "v1":
            return last(self, states)
        return self.items.vectors[self.items.rows(states[0].movie_ids()[:1])]

    monkeypatch.setattr(world.store, "heats", heats)
    monkeypatch.setattr(PlantedArtifact, "user_vectors", user_vectors)
    return world


STEPS = ["rate", "rate again", "rate two", "others rate", "forget", "rebuild", "v1", "v2"]
QUESTIONS: list[dict[str, Any]] = [{}, {"limit": 3}, {"exclude_ids": 199}]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(STEPS) | st.none(), st.sampled_from(QUESTIONS)), max_size=15
    )
)
async def test_it_is_always_the_answer_that_would_be_made_now(
    still: World, steps: list[tuple[str | None, dict[str, Any]]]
) -> None:
    world, user, movies = still, next(users), count(100)
    await world.rate(user, 200)
    for step, question in steps:
        if step in ("v1", "v2"):
            await world.promote(step)
        elif step == "rebuild":
            await rebuild(world, user)
        elif step == "forget":
            await world.client.delete(f"/api/v1/users/{user}")
        elif step == "others rate":
            await world.rate(OTHER, 150)
        elif step is not None:
            again = [200] if step == "rate again" else []
            few = [next(movies) for _ in range(2 if step == "rate two" else 1)]
            await world.rate(user, *(again or few))
        answer = await ask(world, user, **question)
        expected = await ask(world, user, **question, use_cache=False)
        assert list_of(answer) == list_of(expected)
