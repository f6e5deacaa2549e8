"""GET /users/{id}/profile: tastes and style worked by hand, and what the model believes."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from msgspec import structs

from api import metrics
from api.lists.freshness import UserView
from api.people.portrait import LATEST, portrait
from api.serving.watcher import Serving
from stream.features import UserState
from stream.records import UserRecord
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie
from training.movie_table import MovieTable

USER = 42


async def told(world: World, user_id: int = USER) -> dict[str, Any]:
    answer = await world.client.get(f"/api/v1/users/{user_id}/profile")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_tastes_are_of_the_ratings_that_stand(world: World) -> None:
    await world.rate(USER, 1, stars=5)
    await world.rate(USER, 2, 1, stars=2)  # 1 again: this counts
    await world.rate(USER, 10, stars=4)  # of no genre
    body = await told(world)
    assert body["genres"] == [
        {"name": name, "ratings": 1, "share": pytest.approx(1 / 3), "rating_mean": 2.0}
        for name in sorted((GENRES[1], GENRES[2]))
    ]
    decades = {one["name"]: one["ratings"] for one in body["decades"]}
    assert decades == {"1930s": 2, "1940s": 1}
    assert body["features"]["rating_mean"] == pytest.approx(8 / 3)
    assert (body["features"]["lowest"], body["features"]["highest"]) == (2, 4)
    assert body["profile"]["stage"] == "learning"
    assert body["model_version"] == "v1"


async def test_the_latest_ratings_are_as_the_history_has_them(world: World) -> None:
    await world.rate(USER, *range(1, LATEST + 3), stars=3.5)
    body = await told(world)
    history = await world.client.get(f"/api/v1/users/{USER}/history", params={"limit": LATEST})
    assert len(body["latest"]) == LATEST
    assert body["latest"] == history.json()["items"]


async def test_the_model_believes_in_what_lies_near(world: World) -> None:
    """The planted vector is that of the movie rated last."""
    await world.rate(USER, 1)
    beliefs = (await told(world))["beliefs"]
    assert {one["genre"] for one in beliefs} == set(GENRES)
    affinities = np.array([one["affinity"] for one in beliefs])
    assert (np.diff(affinities) <= 0).all()
    assert affinities.mean() == pytest.approx(0, abs=1e-5)
    assert affinities.std() == pytest.approx(1, abs=1e-5)
    model = world.watcher.current.model
    assert model is not None
    items, learnt = model.repertoire.items, model.repertoire.table
    cosines = items.vectors @ items.vectors[items.rows(np.array([1], np.uint32))][0]
    means = {
        genre: np.mean([cosines[row] for row, movie in enumerate(learnt) if genre in movie.genres])
        for genre in GENRES
    }
    assert beliefs[0]["genre"] == max(means, key=lambda genre: means[genre])


async def test_a_genre_that_no_movie_has_any_more_is_no_belief(world: World) -> None:
    await world.rate(USER, 1)
    for genres in (("Telenovela",), ("Drama",)):
        movie = structs.replace(catalogue_movie(MOVIES + 1), genres=genres)
        await world.store.put_movies([movie])
        await world.watcher.refresh()
        beliefs = (await told(world))["beliefs"]
        named = {one["genre"] for one in beliefs}
        assert ("Telenovela" in named) == (genres == ("Telenovela",))
        assert all(np.isfinite(one["affinity"]) for one in beliefs)


async def test_somebody_unknown_is_told_what_to_do(world: World) -> None:
    body = await told(world)
    assert (body["features"], body["style"]) == (None, None)
    assert body["latest"] == body["genres"] == body["decades"] == body["beliefs"] == []
    assert (body["profile"]["stage"], body["profile"]["strength"]) == ("new", 0)
    assert {one["kind"] for one in body["profile"]["advice"]} == {"ratings", "genres", "spread"}


async def test_a_tower_that_fails_leaves_what_is_known_without_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, 1)
    before = await told(world)
    model = world.watcher.current.model
    assert model is not None
    monkeypatch.setattr(model.artifact, "user_vectors", Mock(side_effect=RuntimeError("told to")))
    counted = metrics.DEGRADED.labels("model_unavailable")._value.get()
    after = await told(world)
    assert before["beliefs"]
    assert after["beliefs"] == []
    assert (after["genres"], after["style"]) == (before["genres"], before["style"])
    assert metrics.DEGRADED.labels("model_unavailable")._value.get() == counted + 1


def test_without_a_model_there_are_still_tastes() -> None:
    serving = Serving(catalogue={1: catalogue_movie(1)})
    found = portrait(USER, view(1), serving)
    assert (found.model_version, found.beliefs, found.style) == (None, [], None)
    assert [(taste.name, taste.ratings) for taste in found.genres] == [(GENRES[1], 1)]


@pytest.mark.parametrize(
    ("above", "style"), [(0.25, "generous"), (0.2, "average"), (-0.2, "average"), (-1, "critical")]
)
def test_the_style_is_beside_what_others_give(world: World, above: float, style: str) -> None:
    """Of three movies others have rated two; the third does not count."""
    current = world.watcher.current
    assert current.repertoire is not None
    means = np.full(len(current.repertoire.table), np.nan)
    means[:2] = np.array([3, 3.5]) - above
    found = portrait(USER, view(1, 2, 3), with_means(current, means))
    assert found.style is not None
    assert (found.style.style, found.style.compared) == (style, 2)
    assert found.style.above_others == pytest.approx(above)


def view(*movies: int) -> UserView:
    """Of someone who gave the first 3 stars, and each of the others half a star more."""
    count = len(movies)
    state = UserState(
        np.array(movies, "<u4").tobytes(), bytes(4 * count), bytes(range(6, 6 + count)), count
    )
    return UserView(0, None, UserRecord(state), None)


def with_means(serving: Serving, means: np.ndarray) -> Serving:

    movies = serving.repertoire
    assert movies is not None
    table: MovieTable = replace(movies.table, mean_ratings=means)
    return replace(serving, repertoire=replace(movies, table=table))
