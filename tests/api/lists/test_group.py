"""A list for a group: worked by hand, then over HTTP."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from api.lists.group import ordered, scaled, together
from api.schemas.several import GroupStrategy
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie

# Log-odds of three people for five movies, of whom the middle ones are worth 0, 0 and 3.
UTILITIES = np.array([[0, 2, 4, -1, -3], [2, 1, -1, 0, -90], [-1, 5, 9, 3, 1]], np.float32)
SCALED = np.array([[0, 1 / 2, 1, 0, 0], [1, 1 / 2, 0, 0, 0], [0, 1 / 3, 1, 0, 0]], np.float32)


def test_everyone_is_put_on_one_scale() -> None:
    np.testing.assert_allclose(scaled(UTILITIES), SCALED, atol=1e-6)


def test_who_likes_all_the_same_minds_nothing() -> None:
    assert scaled(np.full((1, 3), -7, np.float32)).tolist() == [[1, 1, 1]]
    assert scaled(np.array([[2, 2, 2, -5]], np.float32)).tolist() == [[1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("strategy", "scores", "order"),
    [
        ("average", [1 / 3, 4 / 9, 2 / 3, 0, 0], [2, 1, 0, 3, 4]),
        # Of those that make somebody miserable the third averages most.
        ("least_misery", [0, 1 / 3, 0, 0, 0], [1, 2, 0, 3, 4]),
        ("most_pleasure", [1, 1 / 2, 1, 0, 0], [2, 0, 1, 3, 4]),
    ],
)
def test_strategies(strategy: GroupStrategy, scores: list[float], order: list[int]) -> None:
    np.testing.assert_allclose(together(SCALED, strategy), scores, atol=1e-6)
    best = ordered(UTILITIES, strategy, 5)
    assert best.places.tolist() == order
    np.testing.assert_allclose(best.scores, np.array(scores)[order], atol=1e-6)
    np.testing.assert_allclose(best.members, SCALED[:, order], atol=1e-6)
    assert ordered(UTILITIES, strategy, 2).places.tolist() == order[:2]


@settings(max_examples=50)
@given(
    arrays.arrays(np.float32, (3, 5), elements=st.floats(-50, 50, width=32)),
    st.floats(0.5, 4),
    st.floats(-10, 10),
)
def test_how_strongly_somebody_feels_gives_them_no_say(
    utilities: np.ndarray[Any, np.dtype[np.float32]], scale: float, shift: float
) -> None:
    utilities = utilities.round(1)
    louder = utilities.copy()
    louder[1] = louder[1] * np.float32(scale) + np.float32(shift)
    np.testing.assert_allclose(scaled(louder), scaled(utilities), atol=1e-4)


async def ask(world: World, *users: int, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await world.client.post(
        "/api/v1/recommendations/group", json={"user_ids": list(users), **body}
    )
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in found["items"]]


class TestOverHttp:
    """Movies lie on a half circle; somebody's best are nearest to the movie they rated last."""

    async def test_the_average_is_between_them(self, world: World) -> None:
        await world.rate(1, 100)
        await world.rate(2, 120)
        found = await ask(world, 1, 2, limit=5)
        assert all(105 <= movie_id <= 115 for movie_id in ids(found)), ids(found)
        first = found["items"][0]
        assert [one["user_id"] for one in first["members"]] == [1, 2]
        own = [one["score"] for one in first["members"]]
        assert first["score"] == pytest.approx(np.mean(own), abs=1e-5)

    async def test_it_is_shown_to_everyone(self, world: World) -> None:
        found = await ask(world, 2, 1, limit=5)
        shown = world.log.exposures
        assert [(event.user_id, event.strategy) for event in shown] == [(2, "group"), (1, "group")]
        assert {event.impression_id for event in shown} == {found["impression_id"]}
        assert [list(event.movies) for event in shown] == [ids(found)] * 2

    async def test_most_pleasure_delights_somebody(self, world: World) -> None:
        await world.rate(1, 50)
        await world.rate(2, 350)
        found = await ask(world, 1, 2, strategy="most_pleasure", limit=4)
        assert set(ids(found)) == {49, 51, 349, 351}
        for item in found["items"]:
            assert max(one["score"] for one in item["members"]) == item["score"]

    async def test_least_misery_spares_everybody(self, world: World) -> None:
        for user, movie in ((1, 10), (2, 12), (3, 60)):
            await world.rate(user, movie)
        average = await ask(world, 1, 2, 3, limit=1)
        spared = await ask(world, 1, 2, 3, strategy="least_misery", limit=1)
        assert ids(average)[0] < ids(spared)[0]
        own = [one["score"] for one in spared["items"][0]["members"]]
        assert spared["items"][0]["score"] == min(own)

    async def test_nobodys_rated_movies(self, world: World) -> None:
        await world.rate(1, 99, 101, 100)
        await world.rate(2, 102, 98)
        found = await ask(world, 1, 2, limit=50)
        assert len(found["items"]) == 50
        assert not {98, 99, 100, 101, 102} & set(ids(found))

    async def test_a_rating_counts_at_once(self, world: World) -> None:
        await world.rate(1, 100)
        await world.rate(2, 100)
        before = await ask(world, 1, 2, limit=3)
        position = await world.rate(2, 300)
        after = await ask(world, 1, 2, limit=3)
        assert ids(before) != ids(after)
        member = after["members"][1]
        assert member["freshness"]["last_event_position"] == position
        assert (member["known"], member["ratings"]) == (True, 2)

    async def test_who_is_unknown_is_named_and_has_no_say(self, world: World) -> None:
        await world.rate(1, 100)
        alone = await ask(world, 1, 77, limit=5)
        assert alone["unknown"] == [77]
        assert [one["known"] for one in alone["members"]] == [True, False]
        assert {99, 101} <= set(ids(alone))
        assert [one["user_id"] for one in alone["items"][0]["members"]] == [1]

    async def test_who_has_rated_only_what_came_later_is_unknown(self, world: World) -> None:
        await world.store.put_movies([catalogue_movie(MOVIES + 1)])
        await world.watcher.refresh()
        await world.rate(1, 100)
        await world.rate(2, MOVIES + 1)
        found = await ask(world, 1, 2)
        assert found["unknown"] == [2]
        assert found["members"][1]["ratings"] == 1
        assert MOVIES + 1 not in ids(found)

    async def test_nobody_is_known(self, world: World) -> None:
        await world.rate(1, 200, 201)
        await world.rate(2, 201)
        await world.watcher.refresh()
        found = await ask(world, 76, 77, limit=2)
        assert found["unknown"] == [76, 77]
        assert ids(found) == [201, 200]  # the hottest
        assert found["items"][0]["members"] == []

    async def test_filters(self, world: World) -> None:
        await world.rate(1, 100)
        await world.rate(2, 140)
        found = await ask(
            world, 1, 2, limit=20, filters={"genres_any": [GENRES[2]], "exclude_ids": [119]}
        )
        assert len(found["items"]) == 20
        assert all(item["genres"] == [GENRES[2]] for item in found["items"])
        assert 119 not in ids(found)
        none = await ask(world, 1, 2, filters={"year_from": 1990, "year_to": 1980})
        assert none["items"] == []
        assert "year_from" in none["empty_because"]

    async def test_without_a_model(self, empty_world: World) -> None:
        await empty_world.store.put_movies(catalogue_movie(id_) for id_ in range(1, 50))
        await empty_world.watcher.refresh()
        await empty_world.rate(1, 10, 11)
        await empty_world.rate(2, 12)
        await empty_world.rate(3, 13, 14)
        await empty_world.watcher.refresh()
        found = await ask(empty_world, 1, 2)
        assert found["degraded"] == ["model_unavailable"]
        assert ids(found) == [13, 14]

    async def test_a_tower_that_fails(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("the tower is told to fail")

        assert world.watcher.current.model is not None
        monkeypatch.setattr(world.watcher.current.model.artifact, "user_vectors", broken)
        await world.rate(1, 10)
        await world.rate(3, 14)
        await world.watcher.refresh()
        found = await ask(world, 1, 2)
        assert found["degraded"] == ["model_unavailable"]
        assert ids(found)[0] == 14

    async def test_redis_does_not_answer(self, world: World) -> None:
        world.store.failing = True
        problem = await ask(world, 1, 2, status=503)
        assert problem["type"] == "urn:freshet:unavailable"

    @pytest.mark.parametrize("users", [[], [1], [1, 1], list(range(1, 12)), [0, 1], [1, 2**53]])
    async def test_no_group(self, world: World, users: list[int]) -> None:
        await ask(world, *users, status=422)

    async def test_another_strategy(self, world: World) -> None:
        problem = await ask(world, 1, 2, status=422, strategy="dictatorship")
        assert "least_misery" in problem["detail"]
