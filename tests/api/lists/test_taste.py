"""A list for a taste: its formula worked by hand, then over HTTP."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from api.lists.taste import STATED, Weights, histories, stated
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie
from training.index import IndexedMovie
from training.movie_table import MovieTable

NOTHING = Weights()
TABLE = MovieTable.of(
    [
        IndexedMovie(movie_id=id_, title=f"Movie {id_}", genres=genres, year=year, popularity=0)
        for id_, genres, year in (
            (1, ("Drama", "War"), 1985),
            (2, ("Drama",), 1990),
            (3, (), None),
        )
    ]
)
RATINGS = np.array([0, 9, 99])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (NOTHING, [0, 0, 0]),
        (NOTHING._replace(genres={"Drama": 1.0, "War": -0.5, "Opera": 1.0}), [2.5, 5, 0]),
        (NOTHING._replace(eras=[(1980, 1985, 1.0), (1985, 1990, 0.5)]), [7.5, 2.5, 0]),
        (NOTHING._replace(popularity=1.0), [0, 2.5, 5]),  # log 10 is half of log 100
        (NOTHING._replace(popularity=-0.4), [0, -1, -2]),
        (NOTHING._replace(tags=[(np.array([3, 1, 9]), 1.0), (np.array([1]), -0.2)]), [4, 0, 5]),
        (Weights({"War": 1.0}, [(1990, 1990, -1.0)], [(np.array([2]), 0.5)], 1.0), [5, 0, 5]),
    ],
)
def test_what_weights_add(weights: Weights, expected: list[float]) -> None:
    np.testing.assert_allclose(stated(weights, TABLE, RATINGS), expected, atol=1e-5)


def test_a_weight_of_one_is_a_hundred_and_fifty_times_as_likely() -> None:
    assert np.exp(STATED) == pytest.approx(150, rel=0.02)


def test_each_movie_is_the_last_one_once() -> None:
    people = histories([3, 1, 2])
    assert [state.movie_ids().tolist() for state in people] == [[2, 3, 1], [3, 1, 2], [1, 2, 3]]
    assert [state.ratings().tolist() for state in people] == [[5.0] * 3] * 3
    assert {len(set(state.seconds().tolist())) for state in people} == {1}
    assert histories([]) == []


@settings(max_examples=50)
@given(st.lists(st.integers(1, 1_000), unique=True, max_size=9), st.randoms())
def test_in_which_order_they_are_named_does_not_matter(liked: list[int], random: Any) -> None:
    mixed = list(liked)
    random.shuffle(mixed)
    assert histories(mixed) == histories(liked)


async def ask(world: World, status: int = 200, **profile: Any) -> dict[str, Any]:
    answer = await world.client.post("/api/v1/recommendations/taste-profile", json=profile)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in found["items"]]


def ignored(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["field"], one["value"]) for one in found["ignored"]]


async def tag(world: World, tags: dict[int, str]) -> None:
    """A tag each for some movies."""
    await world.store.put_movies(
        structs.replace(catalogue_movie(id_), tags=(own,)) for id_, own in tags.items()
    )
    await world.watcher.refresh()


async def heat(world: World, movies: Sequence[int]) -> None:
    await world.rate(9_000, *movies)
    await world.watcher.refresh()


class TestOverHttp:
    """Movies lie on a half circle; the tower's best are nearest to the movie rated last."""

    async def test_what_is_like_what_they_like(self, world: World) -> None:
        found = await ask(world, liked=[100], limit=2)
        assert (found["strategy"], found["degraded"]) == ("two_tower", [])
        assert found["model_version"] == "v1"
        assert set(ids(found)) == {99, 101}
        assert [item["stated"] for item in found["items"]] == [0, 0]

    async def test_all_liked_movies_count_alike(self, world: World) -> None:
        found = await ask(world, liked=[140, 100], limit=4)
        assert ids(found) == ids(await ask(world, liked=[100, 140], limit=4))
        assert all(118 <= movie_id <= 122 for movie_id in ids(found))

    async def test_what_they_name_is_not_in_the_list(self, world: World) -> None:
        found = await ask(world, liked=[100, 101], disliked=[99, 102], limit=4)
        assert not {99, 100, 101, 102} & set(ids(found))
        assert len(found["items"]) == 4

    async def test_what_is_like_what_they_dislike_is_pushed_away(self, world: World) -> None:
        found = await ask(world, disliked=[100], limit=MOVIES // 4)
        assert found["strategy"] == "two_tower"
        nearest = set(range(60, 141))
        assert not nearest & set(ids(found))
        liked = ids(await ask(world, liked=[200], limit=10))
        between = ids(await ask(world, liked=[200], disliked=[180], limit=10))
        assert np.mean(between) > np.mean(liked) + 20  # further from 180

    async def test_weights_outweigh(self, world: World) -> None:
        plain = await ask(world, liked=[100], limit=3)
        genre = GENRES[4]
        found = await ask(world, liked=[100], genres={genre: 1.0}, limit=3)
        assert ids(found) != ids(plain)
        assert any(genre in item["genres"] and item["stated"] == 5 for item in found["items"])

    async def test_genres_alone(self, world: World) -> None:
        await heat(world, range(1, 60))
        found = await ask(world, genres={GENRES[4]: 1.0, GENRES[5]: 0.5, GENRES[6]: -1}, limit=12)
        assert (found["strategy"], found["degraded"]) == ("trending", [])
        first = [GENRES[4] in item["genres"] for item in found["items"][:6]]
        assert all(first)
        assert not any(GENRES[6] in item["genres"] for item in found["items"])

    async def test_tags_alone(self, world: World) -> None:
        await tag(world, {7: "Slow Burn", 50: "slow burn", 51: "loud"})
        await heat(world, range(1, 60))
        found = await ask(world, tags={"slow-burn": 1.0, "loud": -1.0}, limit=59)
        assert (found["strategy"], found["ignored"]) == ("trending", [])
        assert set(ids(found)[:2]) == {7, 50}
        assert [item["stated"] for item in found["items"]] == [5, 5] + [0] * 57
        assert 51 not in ids(found)

    async def test_tags_beside_what_they_like(self, world: World) -> None:
        await tag(world, {110: "slow burn"})
        assert 110 not in ids(await ask(world, liked=[100], limit=5))
        found = await ask(world, liked=[100], tags={"slow burn": 1.0}, limit=5)
        assert found["strategy"] == "two_tower"
        assert {item["movie_id"]: item["stated"] for item in found["items"]}[110] == 5

    async def test_what_may_be_meant_by_a_tag_that_no_movie_has(self, world: World) -> None:
        await tag(world, {7: "dystopia", 8: "dystopian"})
        found = await ask(world, tags={"distopia": 1.0, "zither": 1.0})
        assert {one["value"]: one["reason"] for one in found["ignored"]} == {
            "distopia": "no movie has this tag: there are dystopia, dystopian",
            "zither": "no movie has this tag",
        }

    async def test_eras_alone(self, world: World) -> None:
        await heat(world, range(1, 60))
        era = {"year_from": 1950, "year_to": 1955, "weight": 1.0}
        found = await ask(world, eras=[era], limit=6)
        assert {item["year"] for item in found["items"]} == set(range(1950, 1956))

    async def test_an_appetite_for_what_is_well_known(self, world: World) -> None:
        for user in range(10, 16):
            await world.rate(user, *range(1, 6))
        await heat(world, range(1, 60))
        known = await ask(world, popularity=1.0, limit=5)
        assert set(ids(known)) == {1, 2, 3, 4, 5}
        unknown = await ask(world, popularity=-1.0, limit=50)
        assert not set(ids(unknown)) & {1, 2, 3, 4, 5}

    async def test_nothing_is_said(self, world: World) -> None:
        await heat(world, [7, 8, 9])
        found = await ask(world, limit=3)
        assert ids(found) == [7, 8, 9]

    async def test_what_cannot_be_gone_by_is_said(self, world: World) -> None:
        await world.store.put_movies([catalogue_movie(MOVIES + 1)])
        await world.watcher.refresh()
        found = await ask(
            world,
            tags={"dystopia": 1.0},
            genres={"Opera": 1.0, GENRES[0]: 0.5},
            eras=[{"year_from": 1999, "year_to": 1990, "weight": 1.0}],
            liked=[100, MOVIES + 1, 999_999, 50],
            disliked=[50],
        )
        assert set(ignored(found)) == {
            ("tags", "dystopia"),
            ("genres", "Opera"),
            ("eras", "1999-1990"),
            ("liked", str(MOVIES + 1)),
            ("liked", "999999"),
            ("liked", "50"),
        }
        reasons = {one["value"]: one["reason"] for one in found["ignored"]}
        assert GENRES[0] in reasons["Opera"]
        assert "not learnt" in reasons[str(MOVIES + 1)]
        assert {99, 101} <= set(ids(found))  # movie 100 is gone by all the same

    async def test_filters_and_diversity(self, world: World) -> None:
        found = await ask(world, liked=[100], limit=20, filters={"genres_any": [GENRES[3]]})
        assert len(found["items"]) == 20
        assert all(item["genres"] == [GENRES[3]] for item in found["items"])
        none = await ask(world, liked=[100], filters={"only_ids": []})
        assert none["items"] == []
        assert none["empty_because"]
        alike = await ask(world, liked=[100], limit=10, diversity=0.0)
        diverse = await ask(world, liked=[100], limit=10, diversity=1.0)
        spread = [np.ptp(ids(one)) for one in (alike, diverse)]
        assert spread[0] < spread[1]

    async def test_without_a_model(self, empty_world: World) -> None:
        await empty_world.store.put_movies(catalogue_movie(id_) for id_ in range(1, 60))
        await empty_world.watcher.refresh()
        await heat(empty_world, range(1, 60))
        found = await ask(empty_world, genres={GENRES[4]: 1.0}, liked=[4], limit=3)
        assert (found["strategy"], found["degraded"]) == ("trending", ["model_unavailable"])
        assert ids(found) == [13, 22, 31]
        await tag(empty_world, {22: "slow burn"})
        found = await ask(empty_world, genres={GENRES[4]: 1.0}, tags={"slow burn": 0.5}, limit=1)
        assert ids(found) == [22]

    async def test_a_tower_that_fails(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("the tower is told to fail")

        assert world.watcher.current.model is not None
        monkeypatch.setattr(world.watcher.current.model.artifact, "user_vectors", broken)
        await heat(world, [7, 8])
        found = await ask(world, liked=[100], limit=2)
        assert (found["strategy"], found["degraded"]) == ("trending", ["model_unavailable"])
        assert ids(found) == [7, 8]
        # Of what nobody has ever rated the score is a number too.
        await world.store.put_movies([catalogue_movie(MOVIES + 1)])
        await world.watcher.refresh()
        found = await ask(world, liked=[100], filters={"only_ids": [MOVIES + 1]})
        assert [(it["movie_id"], it["score"]) for it in found["items"]] == [(MOVIES + 1, 1)]

    @pytest.mark.parametrize(
        "profile",
        [
            {"genres": {"Drama": 1.5}},
            {"genres": {"": 1}},
            {"genres": ["Drama"]},
            {"eras": [{"year_from": 1990, "weight": 1}]},
            {"liked": [0]},
            {"liked": ["1"]},
            {"liked": list(range(1, 52))},
            {"popularity": 2},
            {"limit": 101},
            {"mood": "happy"},
        ],
    )
    async def test_no_taste(self, world: World, profile: dict[str, Any]) -> None:
        await ask(world, status=422, **profile)
