"""Which movies a filter wants, condition by condition."""

import pytest

from training.index import IndexedMovie
from training.movie_filter import ALL_MOVIES, MovieFilter

HEAT = IndexedMovie(
    movie_id=6,
    title="Heat (1995)",
    genres=("Action", "Crime"),
    year=1995,
    popularity=102,
    mean_rating=3.6,
)
BARE = IndexedMovie(movie_id=7, title="?", genres=(), year=None, popularity=0)


@pytest.mark.parametrize(
    ("wanted", "heat", "bare"),
    [
        (ALL_MOVIES, True, True),
        (MovieFilter(genres_any=frozenset(["Crime", "War"])), True, False),
        (MovieFilter(genres_any=frozenset(["War"])), False, False),
        (MovieFilter(genres_all=frozenset(["Crime", "Action"])), True, False),
        (MovieFilter(genres_all=frozenset(["Crime", "War"])), False, False),
        (MovieFilter(genres_none=frozenset(["Crime", "War"])), False, True),
        (MovieFilter(genres_none=frozenset(["War"])), True, True),
        (MovieFilter(year_from=1995), True, False),
        (MovieFilter(year_from=1996), False, False),
        (MovieFilter(year_to=1995), True, False),
        (MovieFilter(year_to=1994), False, False),
        (MovieFilter(year_from=0, year_to=9_999), True, False),
        (MovieFilter(min_rating=3.6), True, False),
        (MovieFilter(min_rating=3.7), False, False),
        (MovieFilter(min_ratings=102), True, False),
        (MovieFilter(min_ratings=103), False, False),
        (MovieFilter(only=frozenset([6, 8])), True, False),
        (MovieFilter(only=frozenset()), False, False),
        (MovieFilter(exclude=frozenset([6])), False, True),
        (MovieFilter(genres_any=frozenset(["Crime"]), year_to=1990), False, False),
    ],
)
def test_every_condition_must_hold(wanted: MovieFilter, heat: bool, bare: bool) -> None:
    assert (wanted.wants(HEAT), wanted.wants(BARE)) == (heat, bare)
