"""What a client may ask of a list: what is understood, refused, and impossible to meet."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.lists.emptiness import contradiction
from api.schemas.filters import BodyFilters, MovieFilters
from stream.contracts.events import LAST_YEAR
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie
from training.index import IndexedMovie
from training.movie_filter import ALL_MOVIES, MovieFilter

USER = 42

genres = st.lists(st.sampled_from(GENRES), max_size=3)
movie_ids = st.lists(st.integers(1, MOVIES), max_size=30)
filters = st.fixed_dictionaries(
    {},
    optional={
        "genres_any": genres,
        "genres_all": genres,
        "genres_none": genres,
        "year_from": st.integers(1925, 2025),
        "year_to": st.integers(1925, 2025),
        "min_ratings": st.integers(0, MOVIES + 2),
        "exclude_ids": movie_ids,
        "only_ids": movie_ids.filter(bool),
    },
)

ALL_GIVEN: dict[str, Any] = {
    "genres_any": ["Drama", "Comedy"],
    "genres_all": ["War"],
    "genres_none": ["Horror"],
    "year_from": 1980,
    "year_to": 1999,
    "min_rating": 3.5,
    "min_ratings": 50,
    "exclude_ids": [1, 2],
    "only_ids": [3],
}


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in answer["items"]]


def planted(movie_id: int) -> IndexedMovie:
    movie = catalogue_movie(movie_id)
    return IndexedMovie(
        movie_id=movie_id,
        title=movie.title,
        genres=movie.genres,
        year=movie.year,
        popularity=MOVIES + 1 - movie_id,
    )


def test_filters_say_what_the_client_said() -> None:
    assert BodyFilters.model_validate(ALL_GIVEN).to_filter() == MovieFilter(
        genres_any=frozenset({"Drama", "Comedy"}),
        genres_all=frozenset({"War"}),
        genres_none=frozenset({"Horror"}),
        year_from=1980,
        year_to=1999,
        min_rating=3.5,
        min_ratings=50,
        only=frozenset({3}),
        exclude=frozenset({1, 2}),
    )
    assert set(ALL_GIVEN) == set(MovieFilters.model_fields)


@pytest.mark.parametrize("name", ALL_GIVEN)
def test_each_is_a_filter_by_itself(name: str) -> None:
    assert MovieFilters.model_validate({name: ALL_GIVEN[name]}).to_filter() != ALL_MOVIES
    assert MovieFilters().to_filter() is ALL_MOVIES


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=filters, limit=st.integers(1, 100), rated=st.sampled_from([1, 2]))
async def test_a_page_has_what_is_wanted_and_is_full(
    world: World, asked: dict[str, Any], limit: int, rated: int
) -> None:
    """For somebody with ratings and for somebody without: every way to a list has the filters."""
    await world.rate(1, 200)
    wanted = MovieFilters.model_validate(asked).to_filter()
    possible = {
        id_
        for id_ in range(1, MOVIES + 1)
        if wanted.wants(planted(id_)) and not (rated == 1 and id_ == 200)
    }
    answer = await world.get(rated, limit=limit, **asked)
    assert answer["degraded"] == []
    assert len(set(ids(answer))) == len(ids(answer)) == min(limit, len(possible))
    assert set(ids(answer)) <= possible
    assert (answer["empty_because"] is None) == bool(possible)
    if contradiction(wanted):
        assert not possible


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"year_from": 1999, "year_to": 1980}, "`year_from` 1999 is after `year_to` 1980"),
        (
            {"genres_all": ["Drama", "War"], "genres_none": "War"},
            "War cannot be both in `genres_all` and in `genres_none`",
        ),
        (
            {"genres_any": "War", "genres_none": ["War", "Drama"]},
            "every genre of `genres_any` is in `genres_none`",
        ),
        (
            {"only_ids": [1, 2], "exclude_ids": [2, 1]},
            "every movie of `only_ids` is in `exclude_ids`",
        ),
        ({"genres_any": ["Dramma", "dr\u0000ma"]}, "no movie has the genre Dramma, dr\u0000ma; "),
        ({"genres_all": ["Drama", "\U0001f3ac"]}, "no movie has the genre \U0001f3ac; "),
        ({"genres_all": ["Drama", "War"]}, "no movie that is not rated yet meets every filter"),
        ({"only_ids": 200}, "no movie that is not rated yet meets every filter"),
        ({"year_from": LAST_YEAR}, "no movie that is not rated yet meets every filter"),
    ],
)
@pytest.mark.parametrize("user", [USER, 7])
async def test_what_nothing_meets_is_said(
    world: World, user: int, asked: dict[str, Any], why: str
) -> None:
    await world.rate(USER, 200)
    await world.rate(7, 200, 1)
    answer = await world.get(user, **asked)
    assert (answer["items"], answer["next_cursor"]) == ([], None)
    assert answer["empty_because"].startswith(why)
    assert answer["degraded"] == []


async def test_the_genres_that_there_are_are_named(world: World) -> None:
    answer = await world.get(USER, genres_any="Dramma")
    assert answer["empty_because"].endswith(f"there are {', '.join(sorted(GENRES))}")


async def test_one_genre_that_nobody_knows_is_no_harm(world: World) -> None:
    assert (await world.get(USER, genres_any=["Dramma", "Drama"]))["empty_because"] is None
    assert (await world.get(USER, genres_none="Dramma"))["empty_because"] is None


def test_no_movie_at_all_is_wanted_in_a_body_only() -> None:
    wanted = BodyFilters(only_ids=[]).to_filter()
    assert contradiction(wanted) == "`only_ids` has no movie"


async def test_who_has_rated_everything_is_told_so(world: World) -> None:
    await world.rate(USER, *range(1, MOVIES + 1))
    answer = await world.get(USER)
    assert answer["empty_because"] == "everything that can be recommended is rated already"


async def test_without_redis_filters_hold_too(world: World) -> None:
    world.store.failing = True
    answer = await world.get(USER, genres_any="War", limit=5)
    assert [item["genres"] for item in answer["items"]] == [["War"]] * 5
    answer = await world.get(USER, year_from=LAST_YEAR)
    assert answer["empty_because"] == "nothing was found without what `degraded` names"
    answer = await world.get(USER, year_from=2, year_to=1)
    assert answer["empty_because"] == "`year_from` 2 is after `year_to` 1"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("year_from=soon", "query.year_from"),
        ("year_from=-1", "query.year_from"),
        (f"year_to={LAST_YEAR + 1}", "query.year_to"),
        ("min_rating=0.4", "query.min_rating"),
        ("min_rating=5.1", "query.min_rating"),
        ("min_rating=nan", "query.min_rating"),
        ("min_rating=inf", "query.min_rating"),
        ("min_ratings=-1", "query.min_ratings"),
        (f"min_ratings={2**31}", "query.min_ratings"),
        (f"min_ratings={'9' * 5_000}", "query.min_ratings"),
        ("genres_any=", "query.genres_any[0]"),
        (f"genres_any={'x' * 65}", "query.genres_any[0]"),
        ("&".join(["genres_all=War"] * 21), "query.genres_all"),
        ("exclude_ids=0", "query.exclude_ids[0]"),
        ("exclude_ids=1&exclude_ids=me", "query.exclude_ids[1]"),
        (f"only_ids={2**32}", "query.only_ids[0]"),
        ("&".join(["only_ids=1"] * 501), "query.only_ids"),
        ("diversity=1.01", "query.diversity"),
        ("diversity=nan", "query.diversity"),
        ("novelty=-0.1", "query.novelty"),
        ("explain=perhaps", "query.explain"),
        ("use_cache=2", "query.use_cache"),
        ("cursor=", "query.cursor"),
        (f"cursor={'A' * 4_097}", "query.cursor"),
        ("cursor=%00%ff", "query.cursor"),
        ("timeout_ms=0", "query.timeout_ms"),
        ("timeout_ms=10001", "query.timeout_ms"),
        ("genre=Drama", "query.genre"),
        ("Limit=3", "query.Limit"),
        ("%F0%9F%8E%AC=1", "query.\U0001f3ac"),
    ],
)
async def test_bad_parameters_are_named(world: World, query: str, field: str) -> None:
    answer = await world.client.get(f"/api/v1/recommendations/{USER}?{query}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_ids_may_repeat(world: World) -> None:
    answer = await world.get(USER, only_ids=[5, 5, 6], exclude_ids=[6, 6])
    assert ids(answer) == [5]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("trending", None),
        ("movies/3/similar", None),
        ("recommendations/gift/1?for=42", None),
        ("recommendations/group", {"user_ids": [1, 42]}),
        ("recommendations/taste-profile", {"liked": [3]}),
    ],
)
async def test_lists_of_every_kind_say_which_genre_there_is_not(
    world: World, path: str, body: dict[str, Any] | None
) -> None:
    await world.rate(1, 3)
    await world.watcher.refresh()
    filters, url = {"genres_any": ["Dramma"]}, httpx.URL(f"/api/v1/{path}")
    if body is None:
        answer = await world.client.get(url.copy_merge_params(filters))
    else:
        answer = await world.client.post(url, json={**body, "filters": filters})
    assert answer.json()["items"] == []
    assert answer.json()["empty_because"].startswith("no movie has the genre Dramma; there are ")


async def test_a_taste_leaves_out_what_it_names(world: World) -> None:
    taste = {"liked": [3], "filters": {"only_ids": [3]}}
    answer = await world.client.post("/api/v1/recommendations/taste-profile", json=taste)
    assert answer.json()["empty_because"] == "no movie that is not named meets every filter"
