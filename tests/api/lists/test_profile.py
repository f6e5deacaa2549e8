"""How much there is to go on: stages, the strength by hand, and advice that keeps its word."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lists.profile import profile_of, strength_of
from api.serving.watcher import Serving
from stream.features import UserState
from tests.api.conftest import GENRES, MOVIES, catalogue_movie, load, model_event
from tests.api.doubles import PARTITIONS

SERVING = Serving(
    load(model_event("v1")),
    {id_: catalogue_movie(id_) for id_ in range(1, MOVIES + 1)},
    partitions=PARTITIONS,
)
SERVING = replace(SERVING, repertoire=SERVING.model.repertoire)  # type: ignore[union-attr]


def strength(*stars: float, first: int = 1) -> float:
    return strength_of(range(first, first + len(stars)), stars, SERVING)


def state(stars: list[float], movies: list[int]) -> UserState:
    return UserState(
        np.array(movies, "<u4").tobytes(),
        bytes(4 * len(movies)),
        bytes(round(2 * one) for one in stars),
        events=len(movies),
    )


def test_the_strength_by_hand() -> None:
    # 5 of 20 ratings, 5 of 9 genres, no spread
    assert strength(4, 4, 4, 4, 4) == pytest.approx(0.125 + 0.3 * 5 / 9, abs=1e-3)
    # the same with a deviation of half a star: 0.2 of the spread's 0.2 is half
    assert strength(4, 4, 3, 3) == pytest.approx(0.5 * 4 / 20 + 0.3 * 4 / 9 + 0.2 * 0.5, abs=1e-3)
    # 20 ratings, all nine genres, more than a star of deviation
    assert strength(*[1.0, 5.0] * 10) == 1.0
    # movies nobody knows have no genres
    assert strength(4, 4, 4, 4, 4, first=9_000) == 0.125
    assert strength() == 0


@pytest.mark.parametrize(
    ("ratings", "stage"),
    [
        (0, "new"),
        (1, "learning"),
        (9, "learning"),
        (10, "personal"),
        (49, "personal"),
        (50, "deep"),
    ],
)
def test_the_stage_goes_by_the_number_of_ratings(ratings: int, stage: str) -> None:
    found = profile_of(state([4.0] * ratings, list(range(1, ratings + 1))), SERVING)
    assert (found.stage, found.ratings) == (stage, ratings)


@given(
    st.dictionaries(st.integers(1, MOVIES + 9), st.integers(1, 10), max_size=40).map(
        lambda given: ([stars / 2 for stars in given.values()], list(given))
    )
)
def test_advice_says_what_is_missing_to_the_whole(rated: tuple[list[float], list[int]]) -> None:
    found = profile_of(state(*rated), SERVING)
    assert 0 <= found.strength <= 1
    gains = [advice.gain for advice in found.advice]
    assert gains == sorted(gains, reverse=True)
    assert found.strength + sum(gains) == pytest.approx(1, abs=2e-3)


def test_genres_that_are_advised_are_new_ones() -> None:
    movies = [at for at in range(1, 40) if at % len(GENRES) == 0][:3]
    [advice] = [
        one for one in profile_of(state([4.0] * 3, movies), SERVING).advice if one.kind == "genres"
    ]
    assert GENRES[0] not in advice.message
    assert any(genre in advice.message for genre in GENRES)
