"""What every MovieIndex must do. Subclass it and provide the `build` fixture."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.contracts.errors import ArtifactError
from training.index import MAX_FILTER_IDS, IndexedMovie, MovieIndex
from training.movie_filter import ALL_MOVIES, MovieFilter

Vectors: TypeAlias = npt.NDArray[np.float32]
Hit: TypeAlias = tuple[int, float]
Build: TypeAlias = Callable[[Sequence[IndexedMovie], Vectors], MovieIndex]

DIMENSION = 16
MOVIES = 3 * MAX_FILTER_IDS
GENRES = ("Drama", "Sci-Fi", "Film-Noir", "Children")


def movie(movie_id: int) -> IndexedMovie:
    popularity = max(movie_id * 7919 % 10_007 - 500, 0)
    return IndexedMovie(
        movie_id=movie_id,
        title=f"Movie «{movie_id}»",
        genres=tuple(genre for at, genre in enumerate(GENRES) if movie_id >> at & 1),
        year=1950 + movie_id % 70 if movie_id % 4 else None,
        popularity=popularity,
        # Tenths, to be asked for as they are.
        mean_rating=(5 + movie_id * 31 % 46) / 10 if popularity else None,
    )


def unit_vectors(n: int, dimension: int = DIMENSION) -> Vectors:
    vectors = np.random.default_rng(7).standard_normal((n, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def renamed(old: IndexedMovie) -> IndexedMovie:
    return msgspec.structs.replace(old, title="Another title", popularity=0, mean_rating=None)


_genres = st.sets(st.sampled_from([*GENRES, "Unheard-of"]), max_size=2).map(frozenset)
_years = st.none() | st.integers(1940, 2030)
_ids = st.sets(st.integers(1, 3 * MOVIES + 10), max_size=400).map(frozenset)

FILTERS: st.SearchStrategy[MovieFilter] = st.builds(
    MovieFilter,
    genres_any=_genres,
    genres_all=_genres,
    genres_none=_genres,
    year_from=_years,
    year_to=_years,
    min_rating=st.none() | st.integers(5, 50).map(lambda tenths: tenths / 10),
    min_ratings=st.just(0) | st.integers(0, 12_000),
    only=st.none() | _ids,
    exclude=_ids,
)


def ids(movies: Sequence[IndexedMovie]) -> list[int]:
    return [one.movie_id for one in movies]


def assert_same(found: Sequence[Hit], expected: Sequence[Hit]) -> None:
    """Movies that are as near as each other may change places."""
    assert len(found) == len(expected)
    assert dict(found) == pytest.approx(dict(expected), abs=1e-6)
    assert [score for _, score in found] == pytest.approx([it for _, it in expected], abs=1e-6)


class MovieIndexSuite:
    movies = tuple(movie(3 * i + 5) for i in range(MOVIES))
    vectors = unit_vectors(MOVIES)
    query = unit_vectors(1)[0] * np.float32(0.3)

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Build:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def index(cls, build: Build) -> MovieIndex:
        return build(cls.movies, cls.vectors)

    def brute_force(
        self, limit: int, exclude: set[int], wanted: MovieFilter = ALL_MOVIES
    ) -> list[tuple[int, float]]:
        scores = self.vectors @ self.query
        ranked = ((self.movies[row], float(scores[row])) for row in np.argsort(-scores).tolist())
        found = (
            (movie.movie_id, score)
            for movie, score in ranked
            if movie.movie_id not in exclude and wanted.wants(movie)
        )
        return list(islice(found, limit))

    # 4,000 ids are over what goes into a filter, 5,990 leave ten movies.
    @pytest.mark.parametrize("excluded", [0, 1, 200, MAX_FILTER_IDS, 4_000, MOVIES - 10, MOVIES])
    def test_finds_the_nearest_that_are_not_excluded(
        self, index: MovieIndex, excluded: int
    ) -> None:
        exclude = {movie_id for movie_id, _ in self.brute_force(excluded, set())}
        found = index.search(self.query, 50, exclude | {1, 2})  # 1 and 2 are not in the index
        expected = self.brute_force(50, exclude)
        assert_same(found, expected)

    @given(wanted=FILTERS, excluded=st.sampled_from([0, 30, 600]))
    # Each subclass is another executor, of examples that do not depend on it.
    @settings(max_examples=25, suppress_health_check=[HealthCheck.differing_executors])
    def test_finds_the_nearest_that_are_wanted(
        self, index: MovieIndex, wanted: MovieFilter, excluded: int
    ) -> None:
        exclude = {movie_id for movie_id, _ in self.brute_force(excluded, set())}
        found = index.search(self.query, 20, exclude, wanted)
        expected = self.brute_force(20, exclude, wanted)
        assert_same(found, expected)

    @pytest.mark.parametrize(
        "wanted",
        [
            MovieFilter(genres_any=frozenset(GENRES[:2])),
            MovieFilter(genres_all=frozenset(GENRES), genres_none=frozenset(["Unheard-of"])),
            MovieFilter(genres_none=frozenset(GENRES[1:])),
            MovieFilter(year_from=1983, year_to=1983),
            MovieFilter(min_rating=3.6),  # which f32 does not hold: some movies' mean is just that
            MovieFilter(min_ratings=9_000),
            MovieFilter(only=frozenset(range(500, 900))),
            MovieFilter(exclude=frozenset(range(1, 2 * MAX_FILTER_IDS))),
            MovieFilter(only=frozenset()),
            MovieFilter(year_from=2_100),
        ],
    )
    def test_a_page_is_full_while_there_are_wanted_ones(
        self, index: MovieIndex, wanted: MovieFilter
    ) -> None:
        there = [one for one in self.movies if wanted.wants(one)]
        found = index.search(self.query, 40, wanted=wanted)
        assert_same(found, self.brute_force(40, set(), wanted))
        assert len(found) == min(40, len(there))

    def test_counts_exactly(self, index: MovieIndex) -> None:
        assert index.count() == MOVIES

    def test_payloads_come_back_as_they_went_in(self, index: MovieIndex) -> None:
        some = self.movies[:6]
        ids = [movie.movie_id for movie in some]
        assert index.movies([*ids, 1]) == dict(zip(ids, some, strict=True))
        assert index.movies([]) == {}

    @pytest.mark.parametrize("dimension", [DIMENSION - 1, DIMENSION + 1])
    def test_a_query_of_another_dimension_is_refused(
        self, index: MovieIndex, dimension: int
    ) -> None:
        with pytest.raises(ArtifactError, match=f"dimension {DIMENSION}.*{dimension}"):
            index.search(unit_vectors(1, dimension)[0], 5)

    def test_an_empty_index_finds_nothing(self, build: Build) -> None:
        index = build([], np.empty((0, DIMENSION), dtype=np.float32))
        assert index.count() == 0
        assert index.search(self.query, 5) == []
        assert index.search(self.query, 5, {1}) == []

    def test_later_movies_are_found_among_the_others(self, build: Build) -> None:
        """One is new, two are in the index already, and one of these comes twice."""
        index = build(self.movies[:40], self.vectors[:40])
        near, far = self.query / np.linalg.norm(self.query), -self.query
        nearest, others = self.movies[:40][int(np.argmax(self.vectors[:40] @ self.query))], []
        index.upsert([renamed(self.movies[3])], unit_vectors(1))
        for _ in range(2):  # whoever does it again changes nothing
            later = [movie(1), renamed(nearest), renamed(self.movies[3])]
            others = [one for one in self.movies[:40] if one.movie_id not in ids(later)]
            index.upsert(later, np.stack([near, far, near * np.float32(0.5)]))
        assert index.count() == 41
        found = index.search(self.query, 50)
        assert [movie_id for movie_id, _ in found[:1]] == [1]
        scores = dict(found)
        assert scores.keys() == {*ids(later), *ids(others)}
        assert scores[1] == pytest.approx(near @ self.query)
        assert scores[nearest.movie_id] == pytest.approx(far @ self.query)
        assert [score for _, score in found] == sorted(scores.values(), reverse=True)
        assert index.search(self.query, 3) == found[:3]
        assert index.search(self.query, 3, {1}) == found[1:4]
        assert index.movies([1, nearest.movie_id, others[0].movie_id]) == {
            1: later[0],
            nearest.movie_id: later[1],
            others[0].movie_id: others[0],
        }

    def test_later_movies_are_filtered_by_what_is_known_of_them_now(self, build: Build) -> None:
        index = build(self.movies[:40], self.vectors[:40])
        changed = msgspec.structs.replace(self.movies[3], genres=("Musical",), year=1900)
        index.upsert([changed, movie(1)], unit_vectors(2))
        now = {one.movie_id: one for one in (*self.movies[:40], changed, movie(1))}
        for wanted in (
            MovieFilter(genres_any=frozenset(["Musical"])),
            MovieFilter(genres_none=frozenset(["Musical"])),
            MovieFilter(genres_any=frozenset(["Drama"]), exclude=frozenset([1])),
            MovieFilter(year_to=1900),
            MovieFilter(only=frozenset([1, 2, changed.movie_id])),
        ):
            found = {movie_id for movie_id, _ in index.search(self.query, 50, {8}, wanted)}
            assert found == {id_ for id_, one in now.items() if wanted.wants(one)} - {8}

    def test_later_movies_of_an_empty_index(self, build: Build) -> None:
        index = build([], np.empty((0, DIMENSION), dtype=np.float32))
        index.upsert([], np.empty((0, DIMENSION), dtype=np.float32))
        assert index.count() == 0
        index.upsert([movie(1)], unit_vectors(1))
        assert [movie_id for movie_id, _ in index.search(self.query, 5)] == [1]

    def test_later_movies_must_fit(self, build: Build) -> None:
        index = build(self.movies[:2], self.vectors[:2])
        with pytest.raises(ArtifactError, match=f"dimension {DIMENSION}"):
            index.upsert([movie(1)], unit_vectors(1, DIMENSION + 1))
        with pytest.raises(ArtifactError, match="1 movies"):
            index.upsert([movie(1)], unit_vectors(2))
        assert index.count() == 2

    def test_movies_and_vectors_must_match(self, build: Build) -> None:
        with pytest.raises(ArtifactError, match="2 movies"):
            build(self.movies[:2], self.vectors[:3])
        with pytest.raises(ArtifactError, match="more than once"):
            build([self.movies[0], self.movies[0]], self.vectors[:2])
