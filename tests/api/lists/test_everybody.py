"""Trending and popular movies of those that are wanted, without those that are seen."""

import pytest

from api.lists.everybody import Retrieved, popular, trending
from api.lists.wanted import Wanted
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie
from training.movie_filter import ALL_MOVIES, MovieFilter

COMEDY = MovieFilter(genres_any=frozenset({GENRES[1]}))  # movies 1, 19, 28, ...: not every tenth
HOT = [199, 1, 100, 28, 37, 2, 3]  # the first by seven people, the last by one


def ids(found: Retrieved) -> list[int]:
    return [candidate.movie.movie_id for candidate in found.candidates]


def from_(found: Retrieved) -> list[str]:
    return [candidate.source for candidate in found.candidates]


@pytest.fixture
async def hot(world: World) -> World:
    """Movies that people rate, each by one more than the next."""
    for place, movie in enumerate(HOT):
        for user in range(1, 1 + len(HOT) - place):
            await world.rate(user, movie)
    await world.watcher.refresh()
    return world


async def test_what_is_hot_is_in_order(hot: World) -> None:
    found = trending(hot.watcher.current, (), Wanted(7))
    assert (ids(found), set(from_(found))) == (HOT, {"trending"})
    assert found.candidates[0].score == 1


async def test_of_the_wanted_ones_the_hottest_come_first(hot: World) -> None:
    found = trending(hot.watcher.current, (), Wanted(6, COMEDY))
    assert ids(found)[:3] == [199, 1, 28]  # 100 has no genre
    assert ids(found) == [199, 1, 28, 37, 19, 46]
    assert from_(found) == ["trending"] * 4 + ["popular"] * 2
    assert found.candidates[0].score == 1


async def test_what_is_seen_makes_room_for_the_next_hot_one(hot: World) -> None:
    found = trending(hot.watcher.current, {199, 28}, Wanted(2, COMEDY))
    assert (ids(found), from_(found)) == ([1, 37], ["trending"] * 2)
    assert ids(popular(hot.watcher.current, Wanted(2, COMEDY), without={1, 28})) == [19, 37]


@pytest.mark.parametrize("wanted", [ALL_MOVIES, COMEDY])
async def test_everything_is_in_a_list_that_is_long_enough(hot: World, wanted: MovieFilter) -> None:
    serving = hot.watcher.current
    matching = serving.repertoire.matching(wanted) if serving.repertoire else None
    possible = MOVIES if matching is None else int(matching.sum())
    for found in (
        trending(serving, {1}, Wanted(500, wanted)),
        popular(serving, Wanted(500, wanted), without={1}),
    ):
        assert len({*ids(found)}) == len(ids(found)) == possible - 1


async def test_without_a_model_the_catalogue_says_what_is_wanted(empty_world: World) -> None:
    world = empty_world
    await world.store.put_movies(catalogue_movie(movie) for movie in HOT)
    await world.watcher.refresh()
    for user in (7, 8):
        await world.rate(user, 28)
    await world.rate(7, 1, 2, 199)
    await world.watcher.refresh()
    found = trending(world.watcher.current, {199}, Wanted(10, COMEDY))
    assert ids(found) == [28, 1]
    counted = MovieFilter(min_ratings=1)  # of which there are none without training data
    assert ids(trending(world.watcher.current, (), Wanted(10, counted))) == []
    assert ids(popular(world.watcher.current, Wanted(10))) == []


async def test_movies_that_came_later_are_wanted_too(hot: World) -> None:
    await hot.store.put_movies([catalogue_movie(9_000 + 1)])  # of the same genre as movie 1
    await hot.watcher.refresh()
    later = MovieFilter(only=frozenset({9_001, 1}))
    found = trending(hot.watcher.current, (), Wanted(5, later))
    assert (ids(found), from_(found)) == ([1, 9_001], ["trending", "popular"])


async def test_what_only_the_catalogue_knows_is_wanted_too(hot: World) -> None:
    """The index does not take the movie in, so that the model lacks it."""
    hot.index.failing = True
    later = catalogue_movie(9_000 + 1)  # of the same genre as movie 1
    await hot.store.put_movies([later])
    await hot.watcher.refresh()
    for user in range(20, 30):
        await hot.rate(user, later.movie_id)
    await hot.watcher.refresh()
    found = trending(hot.watcher.current, (), Wanted(2, COMEDY))
    assert (ids(found), from_(found)) == ([later.movie_id, 199], ["trending"] * 2)
    assert found.candidates[0].score == 1
    others = MovieFilter(genres_none=frozenset(later.genres))
    assert ids(trending(hot.watcher.current, (), Wanted(1, others))) == [100]
    counted = MovieFilter(min_ratings=1)
    assert later.movie_id not in ids(trending(hot.watcher.current, (), Wanted(9, counted)))


async def test_diversity_and_novelty_order_it_too(hot: World) -> None:
    serving = hot.watcher.current
    assert ids(trending(serving, (), Wanted(7, diversity=0.0))) == HOT
    diverse = ids(trending(serving, (), Wanted(7, diversity=1.0)))
    assert diverse[0] == 199
    assert sorted(diverse) == sorted(HOT)
    genres = [catalogue_movie(movie).genres for movie in diverse]
    assert len({genres[0], genres[1], genres[2]}) == 3  # 1, the second hottest, is of the first's
    novel = trending(serving, (), Wanted(2, novelty=1.0))
    assert (ids(novel), from_(novel)) == ([3, 2], ["trending"] * 2)
    filled = trending(serving, {199}, Wanted(9, COMEDY, diversity=1.0))
    assert from_(filled) == ["trending"] * 3 + ["popular"] * 6
