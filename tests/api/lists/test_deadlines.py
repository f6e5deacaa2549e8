"""One deadline a request: what would be late is done without, and the answer says so."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.heavy import AT_ONCE
from api.lists import recommender
from api.lists.deadline import Deadline
from tests.api.conftest import World
from tests.api.doubles import MemoryIndex

USER = 42
SOON = 30  # ms: what hangs is given up then
ENOUGH = 300  # ms in which even a busy machine has come to what hangs
LONG = 10_000  # ms: longer than anything takes here


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in answer["items"]]


@pytest.fixture
def hanging(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An index on a server that does not answer before the test is over, and the world closes."""
    over, search = threading.Event(), MemoryIndex.search

    def late(self: MemoryIndex, *args: Any) -> Any:
        over.wait()
        return search(self, *args)

    monkeypatch.setattr(MemoryIndex, "in_process", False)
    monkeypatch.setattr(MemoryIndex, "search", late)
    yield
    over.set()


def never(monkeypatch: pytest.MonkeyPatch, world: World, name: str) -> None:
    """This method of the store does not answer."""

    async def hang(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(world.store, name, hang)


async def test_a_late_store_gives_popular_movies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, 200)
    never(monkeypatch, world, "read_user_with")
    answer = await world.get(USER, timeout_ms=SOON, limit=3)
    assert (answer["strategy"], answer["degraded"]) == ("popular", ["state_late"])
    assert ids(answer) == [1, 2, 3]
    assert answer["freshness"]["position"] is None
    assert not answer["cached"]


async def test_without_a_time_of_its_own_a_request_has_that_of_the_api(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    never(monkeypatch, world, "read_user_with")
    monkeypatch.setattr(world.services.recommender, "_time", SOON / 1_000)
    assert (await world.get(USER))["degraded"] == ["state_late"]


@pytest.mark.usefixtures("hanging")
async def test_a_late_index_leaves_what_is_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ranked after the deadline: what is trending needs no time."""
    await world.rate(USER, 200)
    answer = await world.get(USER, timeout_ms=ENOUGH)
    assert answer["degraded"] == ["index_late", "ranker_late"]
    assert answer["strategy"] == "trending"
    assert len(answer["items"]) == 10
    assert 200 not in ids(answer)


async def test_without_time_to_rank_it_is_the_nearest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search takes all the time there is."""
    await world.rate(USER, 200)
    passed, search = False, MemoryIndex.search

    def slow(self: MemoryIndex, *args: Any) -> Any:
        nonlocal passed
        passed = True
        return search(self, *args)

    monkeypatch.setattr(Deadline, "passed", property(lambda _: passed))
    monkeypatch.setattr(MemoryIndex, "search", slow)
    answer = await world.get(USER, limit=4)
    assert (answer["strategy"], answer["degraded"]) == ("two_tower", ["ranker_late"])
    assert sorted(ids(answer)) == [198, 199, 201, 202]
    passed = False
    monkeypatch.undo()
    assert (await world.get(USER, limit=4))["degraded"] == []


async def test_explanations_that_take_too_long_are_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep one of the places meanwhile, and those that wait for one are left out too."""
    over = threading.Event()
    monkeypatch.setattr(recommender, "explanations", lambda *_: over.wait(LONG / 1_000))
    await world.rate(USER, 200)
    plain = await world.get(USER)
    for _ in range(AT_ONCE + 1):
        answer = await world.get(USER, explain=True, timeout_ms=ENOUGH)
        assert answer["degraded"] == ["explanation_late"]
        assert ids(answer) == ids(plain)
        assert not any(item["explanation"] for item in answer["items"])
    monkeypatch.undo()
    over.set()
    answer = await world.get(USER, explain=True, timeout_ms=LONG)
    assert answer["degraded"] == []
    assert all(item["explanation"] for item in answer["items"])


async def test_enough_time_is_no_reason_for_anything(world: World) -> None:
    await world.rate(USER, 200)
    answer = await world.get(USER, timeout_ms=LONG)
    assert (answer["strategy"], answer["degraded"]) == ("two_tower", [])


async def test_waiting_leaves_time_for_the_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event does not come: what is known by then is ranked before the deadline."""
    monkeypatch.setattr(recommender, "RESERVE", (LONG - SOON) / 1_000)
    await world.rate(USER, 200)
    world.log.lag = True
    position = await world.rate(USER, 300)
    answer = await world.get(USER, after=position, wait_ms=LONG, timeout_ms=LONG)
    assert answer["freshness"]["included"] is False
    assert (answer["strategy"], answer["degraded"]) == ("two_tower", [])


async def test_without_a_deadline_of_its_own_a_request_may_wait_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.services.recommender, "_time", SOON / 1_000)
    monkeypatch.setattr(recommender, "RESERVE", SOON / 1_000)
    world.log.lag = True
    position = await world.rate(USER, 200)
    waiting = asyncio.create_task(world.get(USER, after=position, wait_ms=LONG))
    done, _ = await asyncio.wait([waiting], timeout=3 * SOON / 1_000)
    assert not done
    await world.log.apply()
    assert (await waiting)["freshness"]["included"] is True


async def test_a_rest_that_is_kept_too_late_is_ranked_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, 200)
    first = await world.get(USER, use_cache=False)
    never(monkeypatch, world, "keep")
    monkeypatch.setattr(Deadline, "left_or_none", lambda _: ENOUGH / 1_000)
    second = await world.get(USER, cursor=first["next_cursor"])
    monkeypatch.undo()
    third = await world.get(USER, cursor=second["next_cursor"])
    assert not third["cached"]
    assert len({*ids(first), *ids(second), *ids(third)}) == 30


@pytest.mark.usefixtures("hanging")
async def test_late_answers_are_not_given_again(world: World) -> None:
    await world.rate(USER, 200)
    for _ in range(2):
        assert not (await world.get(USER, timeout_ms=SOON))["cached"]
        await world.services.recommender.close()
