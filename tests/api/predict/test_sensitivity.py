"""What moves a prediction, held to what really happens when it is changed."""

from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.predict import sensitivity as sensitivities
from api.predict.sensitivity import GENRES, MEANINGS
from stream.features import UserState, fold
from stream.left_out import keeping
from tests.api.conftest import World
from tests.api.predict.test_answers import OTHER, STRANGER, USER, ask, drawn, rating
from tests.planted_ratings import MEAN, RATINGS
from tests.stream.build import rating as event
from training.rating_features import FEATURES

MOVIE = 9  # the one that is asked about


async def asked(world: World, user: int = USER, **more: Any) -> dict[str, Any]:
    return await ask(world, "sensitivity", user_id=user, movie_id=MOVIE, **more)


async def test_each_rating_is_worth_what_the_prediction_loses_without_it(world: World) -> None:
    """By hand: a mean drawn to 3.5, and what a person gives above it, drawn to 0."""
    await world.rate(USER, 1, stars=5.0)
    await world.rate(USER, 2, stars=3.0)
    await world.watcher.refresh()
    found = await asked(world)
    above = {1: 5 - drawn(5, 1), 2: 3 - drawn(3, 1)}
    together = sum(above.values()) / (2 + RATINGS)
    assert found["prediction"]["stars"] == pytest.approx(MEAN + together, abs=1e-4)
    worth = {one["movie_id"]: one for one in found["ratings"]}
    for movie, other in ((1, 2), (2, 1)):
        alone = above[other] / (1 + RATINGS)
        assert worth[movie]["contribution"] == pytest.approx(together - alone, abs=2e-4)
    assert worth[1]["if_higher"] is None  # it is 5 already
    assert worth[1]["if_lower"] == pytest.approx(MEAN + together - 1 / (2 + RATINGS), abs=2e-4)
    assert worth[2]["if_higher"] == pytest.approx(MEAN + together + 1 / (2 + RATINGS), abs=2e-4)
    assert [one["movie_id"] for one in found["ratings"]] == [1, 2]  # what moves most comes first
    assert worth[1]["title"] == "Movie 1"


async def test_it_is_the_prediction_that_is_taken_apart(world: World) -> None:
    await world.rate(USER, 1, 2, MOVIE, stars=5.0)
    await world.rate(OTHER, MOVIE, stars=2.0)
    await world.watcher.refresh()
    found, alone = await asked(world, at=10**12), await rating(world, USER, MOVIE, at=10**12)
    assert found["prediction"] == alone["prediction"]
    assert found["freshness"]["position"] == alone["freshness"]["position"]
    assert {one["movie_id"] for one in found["ratings"]} == {1, 2}  # not the movie's own
    assert found["ratings_left"] == 0


async def test_a_feature_is_worth_what_the_prediction_loses_where_it_is_typical(
    world: World,
) -> None:
    """Of the planted predictor, movie means are 3.5 typically, and all else is 0."""
    await world.rate(OTHER, MOVIE, stars=5.0)
    await world.rate(USER, 1, stars=5.0)
    await world.watcher.refresh()
    found = {one["feature"]: one for one in (await asked(world))["features"]}
    assert found.keys() == {*FEATURES, GENRES} == MEANINGS.keys()
    mean = found["movie mean"]
    assert mean["value"] == pytest.approx(drawn(5, 1), abs=1e-4)
    assert mean["contribution"] == pytest.approx(drawn(5, 1) - MEAN, abs=2e-4)
    generosity = found["user generosity"]
    assert generosity["contribution"] == pytest.approx(generosity["value"], abs=2e-4)
    assert [point["value"] for point in mean["grid"]] == [MEAN]
    assert mean["grid"][0]["stars"] == pytest.approx(MEAN + generosity["value"], abs=2e-4)
    assert found["movie popularity"]["value"] == 1
    others = found.keys() - {"movie mean", "user generosity"}
    assert all(found[name]["contribution"] == 0 for name in others)


async def test_somebody_new_has_no_ratings_to_leave_out(world: World) -> None:
    found = await asked(world, STRANGER)
    assert (found["ratings"], found["ratings_left"]) == ([], 0)
    assert len(found["features"]) == len(MEANINGS)


async def test_only_so_many_of_the_latest_ratings_are_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(USER, *range(20, 30))
    monkeypatch.setattr(sensitivities, "LATEST", 4)
    found = await asked(world)
    assert {one["movie_id"] for one in found["ratings"]} == {26, 27, 28, 29}
    assert found["ratings_left"] == 6
    monkeypatch.setattr(sensitivities, "MOST_RATINGS", 60)  # two, each changed three times
    found = await asked(world)
    assert {one["movie_id"] for one in found["ratings"]} == {28, 29}


rated = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 10)),
    min_size=1,
    max_size=12,
    unique_by=lambda r: r[0],
)


@given(rated, st.data())
@settings(max_examples=50, deadline=None)
def test_leaving_out_is_what_the_fold_gives_without_the_event(
    ratings: list[tuple[int, int]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(ratings) - 1))
    events = [
        (offset, event(1, movie, half_stars / 2))
        for offset, (movie, half_stars) in enumerate(ratings)
    ]

    def state(some: list[Any]) -> UserState:
        return fold({}, {}, some).users.get(1, UserState())

    left = keeping(state(events), np.arange(len(events)) != place)
    without = state(events[:place] + events[place + 1 :])
    for name in ("movies", "times", "half_stars"):
        assert getattr(left, name) == getattr(without, name)


@pytest.mark.parametrize("part", ["of_features", "of_ratings"])
async def test_where_it_fails_there_is_the_prediction(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    await world.rate(USER, 1, stars=5.0)
    await world.watcher.refresh()
    monkeypatch.setattr(sensitivities, part, Mock(side_effect=RuntimeError("told to fail")))
    found, alone = await asked(world, at=10**12), await rating(world, USER, MOVIE, at=10**12)
    assert found["prediction"] == alone["prediction"]
    assert (found["degraded"], alone["degraded"]) == (["sensitivity_unavailable"], [])
    assert (found["features"], found["ratings"], found["ratings_left"]) == ([], [], 1)
