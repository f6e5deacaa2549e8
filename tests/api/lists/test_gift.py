"""A list to give to somebody: worked by hand, then over HTTP."""

from typing import Any

import numpy as np
import pytest

from api.lists.gift import CHOICE, KNOWN_BY_ALL, given, worth
from tests.api.conftest import GENRES, World

# Log-odds of four movies. The first is everybody's darling; the last two the receiver likes alike,
# and the giver the last one more.
RECEIVER = np.array([5.0, 3.0, 4.0, 4.0], np.float32)
GIVER = np.array([5.0, 0.0, 1.0, 3.0], np.float32)
NEWCOMER = np.array([6.0, 0.0, 2.0, 2.0], np.float32)


def test_worth() -> None:
    #  (5 - 3) + (5 - 3) / 4,  3 + 0,  (4 - 1) + (1 - 1) / 4,  (4 - 1) + (3 - 1) / 4
    assert worth(RECEIVER, GIVER, NEWCOMER).tolist() == [2.5, 3.0, 3.0, 3.5]


def test_the_best_to_give() -> None:
    best = given(RECEIVER, GIVER, NEWCOMER, 3)
    assert best.places.tolist() == [3, 1, 2]
    np.testing.assert_allclose(best.scores, [1, np.exp(-0.5), np.exp(-0.5)])


def test_only_of_what_the_receiver_likes_most() -> None:
    """However much the giver likes the rest."""
    receiver = np.arange(2 * CHOICE, dtype=np.float32)
    giver = -1_000 * receiver
    best = given(receiver, giver, np.zeros(2 * CHOICE, np.float32), 1)
    assert best.places.tolist() == [CHOICE]


async def ask(world: World, giver: int, status: int = 200, **params: Any) -> dict[str, Any]:
    answer = await world.client.get(f"/api/v1/recommendations/gift/{giver}", params=params)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in found["items"]]


class TestOverHttp:
    async def test_what_the_receiver_likes_and_has_not_seen(self, world: World) -> None:
        await world.rate(1, 300)
        await world.rate(2, 101, 100)
        found = await ask(world, 1, **{"for": 2, "limit": 5})
        assert (found["giver"]["user_id"], found["receiver"]["user_id"]) == (1, 2)
        assert found["unknown"] == []
        assert all(85 <= movie_id <= 115 for movie_id in ids(found))
        assert not {100, 101} & set(ids(found))
        scores = [item["score"] for item in found["items"]]
        assert scores[0] == 1
        assert scores == sorted(scores, reverse=True)

    async def test_it_is_shown_to_the_giver(self, world: World) -> None:
        await world.rate(2, 101, 100)
        found = await ask(world, 1, **{"for": 2, "limit": 5})
        [event] = world.log.exposures
        assert (event.user_id, event.strategy) == (1, "gift")
        assert event.impression_id == found["impression_id"]
        assert list(event.movies) == ids(found)
        assert event.model_version == "v1"

    async def test_the_giver_colours_it(self, world: World) -> None:
        await world.rate(3, 100)
        await world.rate(1, 10)
        await world.rate(2, 250)
        below = ids(await ask(world, 1, **{"for": 3, "limit": 4}))
        above = ids(await ask(world, 2, **{"for": 3, "limit": 4}))
        assert np.mean(below) < 100 < np.mean(above)

    async def test_all_that_may_be_given_is_looked_at(self, world: World) -> None:
        """Also what is further from the receiver than a list of their own would go."""
        await world.rate(1, 200)
        await world.rate(2, 350)
        found = sorted(ids(await ask(world, 1, **{"for": 2, "limit": 20})))
        assert found == list(range(found[0], found[0] + 20))
        assert 305 <= found[0] <= 320

    async def test_the_giver_may_have_seen_it(self, world: World) -> None:
        await world.rate(1, 102, 101, 99)
        await world.rate(2, 100)
        found = await ask(world, 1, **{"for": 2, "limit": 4})
        assert {99, 101} <= set(ids(found))

    async def test_nothing_that_everybody_knows(self, world: World) -> None:
        obvious = range(91, 91 + KNOWN_BY_ALL)
        for user in range(10, 13):
            await world.rate(user, *obvious)
        await world.rate(2, 100)
        await world.watcher.refresh()
        found = await ask(world, 1, **{"for": 2, "limit": 10})
        assert len(found["items"]) == 10
        assert not set(obvious) & set(ids(found))

    async def test_a_rating_of_the_receiver_counts_at_once(self, world: World) -> None:
        await world.rate(2, 100)
        first = ids(await ask(world, 1, **{"for": 2}))[0]
        position = await world.rate(2, first)
        found = await ask(world, 1, **{"for": 2})
        assert first not in ids(found)
        assert found["receiver"]["freshness"]["last_event_position"] == position

    async def test_an_unknown_receiver_gets_what_the_giver_would_say(self, world: World) -> None:
        await world.rate(1, 100)
        found = await ask(world, 1, **{"for": 2, "limit": 3})
        assert (found["unknown"], found["receiver"]["known"]) == ([2], False)
        assert set(ids(found)) <= set(range(95, 106))

    async def test_nothing_is_known_of_either(self, world: World) -> None:
        for user in range(10, 13):
            await world.rate(user, *range(1, 41))
        await world.watcher.refresh()
        found = await ask(world, 1, **{"for": 2, "limit": 5})
        assert found["unknown"] == [1, 2]
        assert ids(found) == [21, 22, 23, 24, 25]  # what is hot, but for the twenty hottest

    async def test_for_oneself(self, world: World) -> None:
        await world.rate(1, 100)
        found = await ask(world, 1, **{"for": 1, "limit": 2})
        assert found["giver"] == found["receiver"]
        assert set(ids(found)) == {99, 101}

    async def test_filters(self, world: World) -> None:
        await world.rate(2, 100)
        found = await ask(world, 1, **{"for": 2, "limit": 20, "genres_any": GENRES[3]})
        assert len(found["items"]) == 20
        assert all(item["genres"] == [GENRES[3]] for item in found["items"])
        none = await ask(world, 1, **{"for": 2, "only_ids": [100]})
        assert none["items"] == []
        assert none["empty_because"]

    @pytest.mark.parametrize("params", [{}, {"for": 0}, {"for": "x"}, {"for": 2, "receiver": 2}])
    async def test_for_whom(self, world: World, params: dict[str, Any]) -> None:
        problem = await ask(world, 1, status=422, **params)
        assert "for" in problem["detail"] or "receiver" in problem["detail"]
