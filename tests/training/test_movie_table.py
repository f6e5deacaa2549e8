"""Movies as columns: what went in comes out, and filters match what they want one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ArtifactError
from tests.suites.movie_index import FILTERS, movie
from training.index import IndexedMovie
from training.movie_filter import MovieFilter
from training.movie_table import MovieTable

SOME = [movie(movie_id) for movie_id in range(1, 400)]
TABLE = MovieTable.of(SOME)

MOVIES: st.SearchStrategy[list[IndexedMovie]] = st.lists(
    st.builds(
        IndexedMovie,
        movie_id=st.integers(1, 2**32 - 1),
        title=st.text(max_size=12),
        genres=st.lists(st.sampled_from(["Drama", "Crime", "Zombie", "Ärger"]), max_size=3).map(
            tuple
        ),
        year=st.none() | st.integers(0, 9_999),
        popularity=st.integers(0, 10**8),
        mean_rating=st.none() | st.floats(0.5, 5),
    ),
    max_size=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    TABLE.write(tmp_path / "movies.npz")
    return tmp_path / "movies.npz"


@given(movies=MOVIES, more=MOVIES)
def test_what_went_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, movies: list[IndexedMovie], more: list[IndexedMovie]
) -> None:
    """In the same order, and so do the genres of each; on disk, in parts and together."""
    path = tmp_path_factory.mktemp("table") / "movies.npz"
    table = MovieTable.of(movies)
    table.write(path)
    for found in (table, MovieTable.read(path, table.movie_ids)):
        assert [*found] == movies
    assert [*table.and_these(more)] == [*movies, *more]
    assert [*table.and_these(more).first(len(movies)).and_these(more)] == [*movies, *more]


def test_it_is_a_sequence() -> None:
    assert (len(TABLE), TABLE[-1], TABLE[2:5]) == (399, SOME[-1], SOME[2:5])
    with pytest.raises(IndexError):
        TABLE[399]


@given(wanted=FILTERS)
def test_filters_match_what_they_want(wanted: MovieFilter) -> None:
    assert TABLE.matching(wanted).tolist() == [wanted.wants(one) for one in SOME]


def test_the_most_rated_movies() -> None:
    found = [(SOME[row].popularity, -SOME[row].movie_id) for row in TABLE.most_rated(300).tolist()]
    assert found == sorted(((one.popularity, -one.movie_id) for one in SOME), reverse=True)[:300]
    assert len(TABLE.most_rated(1_000)) == 399


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"years": None}, "years"),
        ({"years": np.zeros(399, np.int32)}, "years is int32"),
        ({"popularity": np.zeros(398, np.int32)}, "popularity is int32\\(398,\\), for 399 movies"),
        ({"title_ends": np.zeros(399, np.uint32)}, "title_ends do not go up to"),
        ({"genres": TABLE.genres + np.uint16(9)}, "genres beyond the 4"),
    ],
)
def test_columns_that_do_not_fit(path: Path, change: dict[str, Any], what: str) -> None:
    with np.load(path) as file:
        columns = {name: file[name] for name in file.files} | change
    np.savez(path, **{name: of for name, of in columns.items() if of is not None})
    with pytest.raises(ArtifactError, match=f"movies.npz cannot be read .*{what}.*: train again"):
        MovieTable.read(path, TABLE.movie_ids)


def test_movies_of_another_model(path: Path) -> None:
    with pytest.raises(ArtifactError, match="for 400 movies"):
        MovieTable.read(path, np.arange(400, dtype=np.uint32))
