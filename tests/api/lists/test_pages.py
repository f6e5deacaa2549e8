"""Pages of a list: none repeats a movie or leaves one out, whatever happens in between."""

from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.lists import cursor, pages, recommender
from stream.contracts.topics import partition_of
from tests.api.conftest import MOVIES, World
from tests.api.doubles import PARTITIONS

USER, OTHER = 42, 7
URL = f"/api/v1/recommendations/{USER}"

users = count(1_000)  # each example of a property its own


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in answer["items"]]


async def all_pages(world: World, user: int, **params: Any) -> list[dict[str, Any]]:
    answers = [await world.get(user, **params)]
    while answers[-1]["next_cursor"]:
        answers.append(await world.get(user, **params, cursor=answers[-1]["next_cursor"]))
    return answers


async def kept(world: World, user: int = USER) -> int:
    return await world.store.kept(partition_of(user, PARTITIONS), user)


@pytest.mark.parametrize("rated", [(), (200, 300)])
async def test_pages_go_on_to_the_end(world: World, rated: tuple[int, ...]) -> None:
    await world.rate(USER, 1)
    await world.client.delete(f"/api/v1/users/{USER}")
    if rated:
        await world.rate(USER, *rated)
    answers = await all_pages(world, USER, limit=90)
    assert [len(answer["items"]) for answer in answers] == [90, 90, 90, 90, 40 - len(rated)]
    assert {movie for answer in answers for movie in ids(answer)} == (
        set(range(1, MOVIES + 1)) - set(rated)
    )
    assert [answer["cached"] for answer in answers] == [False, False, True, True, True]
    assert {answer["empty_because"] for answer in answers} == {None}


async def test_a_list_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommender, "DEPTH", 25)
    await world.rate(USER, 200)
    answers = await all_pages(world, USER, limit=10)
    assert [len(answer["items"]) for answer in answers] == [10, 10, 5]
    assert len({movie for answer in answers for movie in ids(answer)}) == 25


async def test_a_list_that_just_fits_leads_on_to_nothing(world: World) -> None:
    await world.rate(USER, 200)
    few = [10, 20, 30]
    first = await world.get(USER, limit=3, only_ids=few)
    assert sorted(ids(first)) == few
    second = await world.get(USER, limit=3, only_ids=few, cursor=first["next_cursor"])
    assert (second["items"], second["next_cursor"]) == ([], None)
    assert second["empty_because"] == "there are no more movies"


async def test_who_reads_one_page_only_has_nothing_kept(world: World) -> None:
    await world.rate(USER, 200)
    first = await world.get(USER, use_cache=False)
    assert await kept(world) == 0
    await world.get(USER, cursor=first["next_cursor"])
    assert await kept(world) == 1


async def test_pages_may_differ_in_length(world: World) -> None:
    await world.rate(USER, 200)
    whole = await all_pages(world, USER, limit=100)
    answer, found = await world.get(USER, limit=100), []
    for limit in (1, 7, 30, 3):
        answer = await world.get(USER, limit=limit, cursor=answer["next_cursor"])
        found += ids(answer)
    assert found == [movie for answer in whole[1:] for movie in ids(answer)][:41]


async def test_a_kept_list_says_what_it_was_made_from(world: World) -> None:
    position = await world.rate(USER, 200)
    first = await world.get(USER)
    second = await world.get(USER, cursor=first["next_cursor"])
    later = await world.rate(USER, 300)
    await world.promote("v2")
    third = await world.get(USER, cursor=second["next_cursor"], after=later)
    assert (third["model_version"], third["index"]) == ("v1", "movies-v1")
    assert third["freshness"]["last_event_position"] == position
    assert third["freshness"]["included"] is False
    same = ("position", "last_event_position", "last_event_time", "last_produced_time")
    assert [third["freshness"][it] for it in same] == [second["freshness"][it] for it in same]
    again = await world.get(USER, cursor=second["next_cursor"], after=position)
    assert again["freshness"]["included"] is True


async def test_what_was_rated_since_is_left_out_and_the_page_is_full(world: World) -> None:
    await world.rate(USER, 200)
    second = await world.get(USER, cursor=(await world.get(USER))["next_cursor"])
    expected = ids(await world.get(USER, limit=20, cursor=second["next_cursor"]))
    await world.rate(USER, *expected[1:4])
    third = await world.get(USER, cursor=second["next_cursor"])
    assert ids(third) == [expected[0], *expected[4:13]]
    fourth = await world.get(USER, limit=7, cursor=third["next_cursor"])
    assert ids(fourth) == expected[13:]


STEPS = ["rate", "rate what is next", "others rate", "promote v2", "promote v1"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.lists(st.sampled_from(STEPS), max_size=3), min_size=5, max_size=5),
    limit=st.integers(1, 40),
)
async def test_no_page_repeats_or_leaves_out(
    world: World, steps: list[list[str]], limit: int
) -> None:
    """From the second page on it is one list, whoever does what, less what the person rates."""
    user = next(users)
    await world.rate(user, 200)
    answer = await world.get(user, limit=limit)
    shown, rest = ids(answer), None
    rated: set[int] = set()
    for between in steps:
        for step in between:
            if step.startswith("promote"):
                await world.promote(step.split()[1])
            elif step == "others rate":
                await world.rate(OTHER, len(shown) + 1)
                await world.watcher.refresh()
            else:
                movie = rest[0] if rest and step == "rate what is next" else 300
                await world.rate(user, movie)
                rated.add(movie)
        if rest is None:  # the list as it is when it is kept, read to its end at once
            answers = [await world.get(user, limit=100, cursor=answer["next_cursor"])]
            while answers[-1]["next_cursor"]:
                further = answers[-1]["next_cursor"]
                answers.append(await world.get(user, limit=100, cursor=further))
            rest = [movie for one in answers for movie in ids(one)]
            assert not {*rest} & {*shown}
        answer = await world.get(user, limit=limit, cursor=answer["next_cursor"])
        expected = [movie for movie in rest if movie not in rated]
        assert ids(answer) == expected[:limit]
        shown += ids(answer)
        rest = expected[limit:]
    assert len({*shown}) == len(shown)


class TestKeepingFails:
    """The next cursor carries what was shown, and the list goes on without repeating itself."""

    async def test_before_anything_was_applied(self, empty_world: World) -> None:
        world = empty_world
        await world.promote("v1")
        answers = await all_pages(world, USER, limit=90)
        assert [len(answer["items"]) for answer in answers] == [90, 90, 90, 90, 40]
        assert len({movie for answer in answers for movie in ids(answer)}) == MOVIES
        assert {answer["cached"] for answer in answers} == {False}

    async def test_such_a_list_has_an_end_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "DEPTH", 25)
        world.store.failing = True
        answers = await all_pages(world, USER, limit=10)
        assert [len(answer["items"]) for answer in answers] == [10, 10, 10]

    async def test_without_redis_popular_movies_go_on(self, world: World) -> None:
        world.store.failing = True
        answers = [await world.get(USER, limit=90)]
        for _ in range(4):
            further = answers[-1]["next_cursor"]
            answers.append(await world.get(USER, limit=90, cursor=further))
        assert {answer["strategy"] for answer in answers} == {"popular"}
        assert [movie for answer in answers for movie in ids(answer)] == list(range(1, MOVIES + 1))
        assert answers[-1]["next_cursor"] is None

    async def test_where_the_state_changed_meanwhile_the_list_is_ranked_anew(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.rate(USER, 200)
        first = await world.get(USER, use_cache=False)
        keep = world.store.keep

        async def late(things: Any) -> list[bool]:
            await world.rate(USER, 300)
            return await keep(things)

        monkeypatch.setattr(world.store, "keep", late)
        second = await world.get(USER, cursor=first["next_cursor"])
        assert await kept(world) == 0
        monkeypatch.undo()
        third = await world.get(USER, cursor=second["next_cursor"])
        assert set(ids(third)) <= set(range(290, 312))  # near what was rated meanwhile
        assert not {*ids(first), *ids(second)} & {*ids(third)}

    async def test_a_degraded_list_is_not_kept(self, world: World) -> None:
        await world.rate(USER, 200)
        first = await world.get(USER)
        world.index.failing = True
        second = await world.get(USER, limit=5, cursor=first["next_cursor"])
        assert second["degraded"] == ["index_unavailable"]
        world.index.failing = False
        third = await world.get(USER, cursor=second["next_cursor"])
        assert (third["degraded"], third["cached"]) == ([], False)
        assert not {*ids(first), *ids(second)} & {*ids(third)}

    async def test_a_kept_list_cannot_be_read_without_redis(self, world: World) -> None:
        await world.rate(USER, 200)
        second = await world.get(USER, cursor=(await world.get(USER))["next_cursor"])
        world.store.failing = True
        answer = await world.client.get(URL, params={"cursor": second["next_cursor"]})
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        world.store.failing = False
        assert (await world.get(USER, cursor=second["next_cursor"]))["cached"]


class TestRefused:
    async def second(self, world: World, **params: Any) -> str:
        """The cursor of a kept list."""
        await world.rate(USER, 200)
        first = await world.get(USER, **params)
        second = await world.get(USER, **params, cursor=first["next_cursor"])
        further: str = second["next_cursor"]
        return further

    async def status(self, world: World, user: int = USER, **params: Any) -> tuple[int, str]:
        answer = await world.client.get(f"/api/v1/recommendations/{user}", params=params)
        return answer.status_code, answer.json()["type"]

    async def test_what_is_no_cursor(self, world: World) -> None:
        assert await self.status(world, cursor="bm90aGluZw") == (422, "urn:freshet:invalid-request")

    async def test_with_other_filters(self, world: World) -> None:
        further = await self.second(world, min_ratings=1)
        assert (await world.get(USER, min_ratings=1, cursor=further))["items"]
        for params in ({}, {"min_ratings": 2}, {"min_ratings": 1, "novelty": 0.1}):
            assert (await self.status(world, **params, cursor=further))[0] == 422

    async def test_of_somebody_else(self, world: World) -> None:
        further = await self.second(world)
        assert (await self.status(world, OTHER, cursor=further))[0] == 422

    async def test_expired(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cursor, "KEPT", 0)
        first = await world.get(USER)
        expired = (410, "urn:freshet:cursor-expired")
        assert await self.status(world, cursor=first["next_cursor"]) == expired

    async def test_forgotten_with_the_person(self, world: World) -> None:
        further = await self.second(world)
        answer = await world.client.delete(f"/api/v1/users/{USER}")
        assert answer.json()["lists"] >= 1
        assert await kept(world) == 0
        assert await self.status(world, cursor=further) == (410, "urn:freshet:cursor-expired")

    async def test_forgotten_while_no_worker_runs(self, world: World) -> None:
        """What is kept between the wish and the worker is erased by the worker."""
        further = await self.second(world)
        world.log.lag = True
        await world.client.delete(f"/api/v1/users/{USER}", params={"wait_ms": 0})
        assert await self.status(world, cursor=further) == (410, "urn:freshet:cursor-expired")
        first = await world.get(USER)
        further = (await world.get(USER, cursor=first["next_cursor"]))["next_cursor"]
        await world.services.recommender.close()
        assert await kept(world) == 2
        await world.log.apply()
        assert await kept(world) == 0
        assert await self.status(world, cursor=further) == (410, "urn:freshet:cursor-expired")


async def test_a_kept_page_cannot_be_explained_by_another_model(world: World) -> None:
    await world.rate(USER, 200)
    first = await world.get(USER, explain=True)
    second = await world.get(USER, explain=True, cursor=first["next_cursor"])
    assert (first["degraded"], second["degraded"]) == ([], [])
    await world.promote("v2")
    third = await world.get(USER, explain=True, cursor=second["next_cursor"])
    assert third["degraded"] == ["explanation_unavailable"]
    assert {item["explanation"] for item in third["items"]} == {None}
    assert (await world.get(USER, cursor=second["next_cursor"]))["degraded"] == []
