"""Movies over HTTP: one of them, what is like it, what is trending, by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from api.catalogue.similar import by_links, fused
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie

USER = 42


async def ask(world: World, path: str, status: int = 200, **params: Any) -> dict[str, Any]:
    answer = await world.client.get(f"/api/v1{path}", params=params)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def rated(world: World, *movies: int, user: int = USER, stars: float = 5.0) -> None:
    """Ratings that the API has seen."""
    await world.rate(user, *movies, stars=stars)
    await world.watcher.refresh()


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in answer["items"]]


class TestOneMovie:
    async def test_what_people_think_of_it_now(self, world: World) -> None:
        await rated(world, 7, 8, stars=5.0)
        await rated(world, 7, user=43, stars=2.0)
        found = await ask(world, "/movies/7")
        assert (found["title"], found["year"], found["genres"]) == ("Movie 7", 1937, ["Musical"])
        # Two ratings, 10 and 4 half stars: mean 7, variance 9.
        assert found["live"].pop("positions")
        assert found["live"] == {
            "ratings": 2,
            "mean": 3.5,
            "std": 1.5,
            "heat": {"month": 1.0, "year": 1.0},
        }
        assert (found["model"], found["model_version"]) == ("learnt", "v1")
        other = (await ask(world, "/movies/8"))["live"]
        assert other["heat"]["month"] == pytest.approx(0.5, abs=0.01)

    async def test_nobody_has_rated_it(self, world: World) -> None:
        live = (await ask(world, "/movies/9"))["live"]
        assert live == {
            "ratings": 0,
            "mean": None,
            "std": None,
            "heat": {"month": 0.0, "year": 0.0},
            "positions": [],
        }

    async def test_up_to_which_events_it_is_counted(self, world: World) -> None:
        first = await world.rate(USER, 7)
        last = await world.rate(USER, 8)
        assert (await ask(world, "/trending"))["positions"] == []  # the API has not looked yet
        await world.watcher.refresh()
        assert first != last
        assert (await ask(world, "/trending"))["positions"] == [last]
        assert (await ask(world, "/movies/9"))["live"]["positions"] == [last]

    async def test_a_later_movie_is_known_by_its_content(self, world: World) -> None:
        await world.store.put_movies([catalogue_movie(MOVIES + 1)])
        await world.watcher.refresh()
        assert (await ask(world, f"/movies/{MOVIES + 1}"))["model"] == "later"

    async def test_without_a_model(self, empty_world: World) -> None:
        problem = await ask(empty_world, "/movies/7", status=503)
        assert "not loaded" in problem["detail"]
        await empty_world.store.put_movies([catalogue_movie(7)])
        await empty_world.watcher.refresh()
        found = await ask(empty_world, "/movies/7")
        assert (found["model"], found["model_version"]) == (None, None)
        problem = await ask(empty_world, "/movies/7/similar", status=503)
        assert "no model" in problem["detail"]

    @pytest.mark.parametrize("path", ["/movies/999999", "/movies/999999/similar"])
    async def test_a_movie_that_nobody_knows(self, world: World, path: str) -> None:
        problem = await ask(world, path, status=404)
        assert problem["type"] == "urn:freshet:unknown-movie"
        assert "999999" in problem["detail"]

    @pytest.mark.parametrize("id_", ["0", "-1", "4294967296", str(2**64), "x", "1e3"])
    async def test_an_id_that_no_movie_can_have(self, world: World, id_: str) -> None:
        await ask(world, f"/movies/{id_}", status=422)
        await ask(world, f"/movies/{id_}/similar", status=422)


class TestSimilar:
    """Neighbours by vector have the nearest ids; the only link leads to the next id."""

    async def test_by_vector(self, world: World) -> None:
        found = await ask(world, "/movies/100/similar", by="vector", limit=4)
        assert set(ids(found)) == {98, 99, 101, 102}
        assert all(item["by"] == ["vector"] for item in found["items"])
        scores = [item["score"] for item in found["items"]]
        assert scores == sorted(scores, reverse=True)
        angle = np.pi / (MOVIES - 1)
        assert scores[0] == pytest.approx(np.cos(angle), abs=1e-6)

    async def test_by_ratings(self, world: World) -> None:
        found = await ask(world, "/movies/100/similar", by="ratings")
        assert ids(found) == [101]
        [item] = found["items"]
        assert item["score"] == item["log_odds"] == pytest.approx(1e-3)  # its weight

    async def test_both(self, world: World) -> None:
        found = await ask(world, "/movies/100/similar", limit=3)
        first = found["items"][0]
        assert (first["movie_id"], first["by"]) == (101, ["vector", "ratings"])
        # First by ratings, first or second by vector: 99 is as near.
        assert first["score"] in (
            pytest.approx(1 / 61 + 1 / 61),
            pytest.approx(1 / 61 + 1 / 62),
        )
        assert found["items"][1]["by"] == ["vector"]

    @pytest.mark.parametrize("by", [None, "vector", "ratings"])
    async def test_filters(self, world: World, by: str | None) -> None:
        params = {"by": by} if by else {}
        found = await ask(
            world, "/movies/100/similar", genres_any=GENRES[101 % 9], limit=5, **params
        )
        assert found["items"]
        assert all(GENRES[101 % 9] in item["genres"] for item in found["items"])
        assert len(found["items"]) == (1 if by == "ratings" else 5)
        none = await ask(
            world, "/movies/100/similar", genres_any="War", genres_none="War", **params
        )
        assert none["items"] == []
        assert "genres_none" in none["empty_because"]

    async def test_without_the_index(self, world: World) -> None:
        world.index.failing = True
        found = await ask(world, "/movies/100/similar")
        assert (ids(found), found["degraded"]) == ([101], ["index_unavailable"])
        found = await ask(world, "/movies/100/similar", by="ratings")
        assert found["degraded"] == []

    async def test_a_later_movie_has_no_links(self, world: World) -> None:
        await world.store.put_movies([catalogue_movie(MOVIES + 1)])
        await world.watcher.refresh()
        found = await ask(world, f"/movies/{MOVIES + 1}/similar", by="ratings")
        assert found["items"] == []
        assert "not learnt" in found["empty_because"]
        found = await ask(world, f"/movies/{MOVIES + 1}/similar")
        assert len(found["items"]) == 10

    async def test_another_way(self, world: World) -> None:
        problem = await ask(world, "/movies/100/similar", status=422, by="magic")
        assert "ratings" in problem["detail"]

    def test_places_are_fused(self) -> None:
        scores = fused({"vector": [5, 6], "ratings": [6]})
        assert scores == {5: pytest.approx(1 / 61), 6: pytest.approx(1 / 62 + 1 / 61)}

    def test_links_add_what_the_ranker_makes_of_them(self, world: World) -> None:
        serving = world.watcher.current
        assert serving.model is not None
        assert serving.repertoire is not None
        added = by_links(serving.model.artifact.ranking, serving.repertoire, 99)
        assert added[100] == pytest.approx(1e-3)
        assert not np.delete(added, 100).any()


class TestTrending:
    async def test_the_hottest_first_and_of_equal_ones_by_id(self, world: World) -> None:
        await rated(world, 5, 3, 9)
        await rated(world, 9, user=43)
        found = await ask(world, "/trending")
        assert ids(found) == [9, 3, 5]
        assert (found["window"], found["half_life_days"]) == ("month", 30.0)
        assert [item["share"] for item in found["items"]] == pytest.approx([1, 0.5, 0.5], abs=0.01)
        assert [item["ratings"] for item in found["items"]] == [2, 1, 1]
        assert ids(await ask(world, "/trending", limit=1)) == [9]

    async def test_a_window_is_how_fast_ratings_fade(self, world: World) -> None:
        """Two ratings of 30 days ago are as hot as one of now within a month, hotter in a year."""
        now = 1_700_000_000_000
        for user, movie, age in ((1, 20, 30), (2, 20, 30), (3, 10, 0), (4, 30, 30)):
            body = {
                "user_id": user,
                "movie_id": movie,
                "rating": 4.0,
                "event_time": now - age * 86_400_000,
            }
            await world.client.post("/api/v1/ratings", json=body)
        await world.watcher.refresh()
        month = await ask(world, "/trending", window="month")
        shares = {item["movie_id"]: item["share"] for item in month["items"]}
        assert shares == {10: pytest.approx(1), 20: pytest.approx(1), 30: pytest.approx(0.5)}
        year = await ask(world, "/trending", window="year")
        assert ids(year)[0] == 20
        assert year["items"][1]["share"] == pytest.approx(2 ** (30 / 365) / 2, abs=1e-4)

    async def test_only_what_is_wanted(self, world: World) -> None:
        await rated(world, *range(1, 40))
        genre = GENRES[4]
        found = await ask(world, "/trending", genres_any=genre, year_to=1945, limit=2)
        assert ids(found) == [4, 13]
        assert ids(await ask(world, "/trending", only_ids=[5, 6, 70])) == [5, 6]

    async def test_without_a_model(self, empty_world: World) -> None:
        await empty_world.store.put_movies(catalogue_movie(id_) for id_ in range(1, 40))
        await empty_world.watcher.refresh()
        assert "nobody" in (await ask(empty_world, "/trending"))["empty_because"]
        await rated(empty_world, *range(1, 40))
        assert ids(await ask(empty_world, "/trending", limit=2)) == [1, 2]
        found = await ask(empty_world, "/trending", genres_any=GENRES[4], limit=2)
        assert ids(found) == [4, 13]

    async def test_what_only_the_catalogue_knows(self, world: World) -> None:
        """The index does not take the movie in, so that the model lacks it."""
        world.index.failing = True
        later = catalogue_movie(MOVIES + 5)
        await world.store.put_movies([later])
        await world.watcher.refresh()
        for user in (42, 43, 44):
            await world.rate(user, later.movie_id)
        await rated(world, 3, *range(20, 40))
        found = await ask(world, "/trending", limit=2)
        assert (ids(found), found["items"][0]["ratings"]) == ([later.movie_id, 3], 3)
        assert (await ask(world, f"/movies/{later.movie_id}"))["model"] is None
        genre = later.genres[0]
        assert ids(await ask(world, "/trending", genres_any=genre, limit=1)) == [later.movie_id]
        without = await ask(world, "/trending", genres_none=genre, limit=1)
        assert ids(without) == [3]
        assert ids(await ask(world, "/trending", min_ratings=1, limit=1)) == [3]

    async def test_another_window(self, world: World) -> None:
        problem = await ask(world, "/trending", status=422, window="decade")
        assert "'month' or 'year'" in problem["detail"]


class TestTags:
    async def test_as_they_are_typed(self, world: World) -> None:
        await world.store.put_movies(
            structs.replace(catalogue_movie(id_), tags=("slow burn", f"tag {id_}"))
            for id_ in (7, 8)
        )
        await world.watcher.refresh()
        slow = {"name": "slow burn", "movies": 2}
        assert await ask(world, "/tags", q="burn") == {"query": "burn", "items": [slow]}
        assert (await ask(world, "/tags", limit=1))["items"] == [slow]
        assert (await ask(world, "/tags", q="slowburn"))["items"] == [slow]
        assert (await ask(world, "/movies/8"))["tags"] == ["slow burn", "tag 8"]

    async def test_a_movie_of_the_model_alone_has_none(self, world: World) -> None:
        world.watcher.current = replace(world.watcher.current, catalogue={})
        assert (await ask(world, "/movies/8"))["tags"] == []

    @pytest.mark.parametrize("q", ["\0", "!", "🎬", "\u202e", "  "])
    async def test_whatever_is_typed_is_answered(self, world: World, q: str) -> None:
        assert await ask(world, "/tags", q=q) == {"query": q, "items": []}

    async def test_too_long(self, world: World) -> None:
        await ask(world, "/tags", status=422, q="x" * 101)


class TestSearch:
    async def test_a_new_movie_is_found_after_a_look(self, world: World) -> None:
        title = "Köln, Die (2026)"
        await world.store.put_movies([catalogue_movie(MOVIES + 7, title)])
        assert (await ask(world, "/movies/search", q="die koln"))["items"] == []
        await world.watcher.refresh()
        [item] = (await ask(world, "/movies/search", q="die koln"))["items"]
        assert (item["movie_id"], item["title"], item["match"]) == (MOVIES + 7, title, "exact")

    async def test_the_most_rated_first_as_of_now(self, world: World) -> None:
        assert ids(await ask(world, "/movies/search", q="movie 2", limit=3)) == [2, 20, 21]
        await rated(world, 222)
        found = await ask(world, "/movies/search", q="movie 2", limit=3)
        assert ids(found) == [2, 222, 20]
        assert [item["ratings"] for item in found["items"]] == [0, 1, 0]

    @pytest.mark.parametrize("q", ["", "x" * 101])
    async def test_a_name_too_short_or_too_long(self, world: World, q: str) -> None:
        await ask(world, "/movies/search", status=422, q=q)

    @pytest.mark.parametrize(
        "q",
        ["\0", "\x1b[31m", "\u202e", "🎬", "%", "'; drop", "\ufffd", "  ", "the", "(", "1" * 99],
    )
    async def test_whatever_is_typed_is_answered(self, world: World, q: str) -> None:
        found = await ask(world, "/movies/search", q=q)
        assert found["query"] == q
