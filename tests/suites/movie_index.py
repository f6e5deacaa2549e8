"""What every MovieIndex must do. Subclass it and provide the `build` fixture."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from stream.contracts.errors import ArtifactError
from training.index import MAX_FILTER_IDS, IndexedMovie, MovieIndex

Vectors: TypeAlias = npt.NDArray[np.float32]
Build: TypeAlias = Callable[[Sequence[IndexedMovie], Vectors], MovieIndex]

DIMENSION = 16
MOVIES = 3 * MAX_FILTER_IDS


def movie(movie_id: int) -> IndexedMovie:
    return IndexedMovie(
        movie_id=movie_id,
        title=f"Movie «{movie_id}»",
        genres=("Drama", "Sci-Fi") if movie_id % 2 else (),
        year=1950 + movie_id % 70 if movie_id % 3 else None,
        popularity=movie_id * 7919 % 10_007,
    )


def unit_vectors(n: int, dimension: int = DIMENSION) -> Vectors:
    vectors = np.random.default_rng(7).standard_normal((n, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def renamed(old: IndexedMovie) -> IndexedMovie:
    return msgspec.structs.replace(old, title="Another title", popularity=0)


def ids(movies: Sequence[IndexedMovie]) -> list[int]:
    return [one.movie_id for one in movies]


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

    def brute_force(self, limit: int, exclude: set[int]) -> list[tuple[int, float]]:
        scores = self.vectors @ self.query
        ranked = [
            (self.movies[row].movie_id, float(scores[row])) for row in np.argsort(-scores).tolist()
        ]
        return [hit for hit in ranked if hit[0] not in exclude][:limit]

    # 4,000 ids are over what goes into a filter, 5,990 leave ten movies.
    @pytest.mark.parametrize("excluded", [0, 1, 200, MAX_FILTER_IDS, 4_000, MOVIES - 10, MOVIES])
    def test_finds_the_nearest_that_are_not_excluded(
        self, index: MovieIndex, excluded: int
    ) -> None:
        exclude = {movie_id for movie_id, _ in self.brute_force(excluded, set())}
        found = index.search(self.query, 50, exclude | {1, 2})  # 1 and 2 are not in the index
        expected = self.brute_force(50, exclude)
        assert [movie_id for movie_id, _ in found] == [movie_id for movie_id, _ in expected]
        assert np.allclose([score for _, score in found], [score for _, score in expected])

    def test_counts_exactly(self, index: MovieIndex) -> None:
        assert index.count() == MOVIES

    def test_payloads_come_back_as_they_went_in(self, index: MovieIndex) -> None:
        some = self.movies[:6]
        ids = [movie.movie_id for movie in some]
        assert index.movies([*ids, 1]) == dict(zip(ids, some, strict=True))
        assert index.movies([]) == {}

    def test_popular_movies_come_first(self, index: MovieIndex) -> None:
        by_popularity = sorted((movie.popularity for movie in self.movies), reverse=True)
        popular = index.popular(40)
        assert [movie.popularity for movie in popular] == by_popularity[:40]
        assert set(popular) <= set(self.movies)

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
        assert index.popular(5) == []

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
        assert sorted(index.popular(50), key=str) == sorted([*later, *others], key=str)

    def test_later_movies_of_an_empty_index(self, build: Build) -> None:
        index = build([], np.empty((0, DIMENSION), dtype=np.float32))
        index.upsert([], np.empty((0, DIMENSION), dtype=np.float32))
        assert index.count() == 0
        index.upsert([movie(1)], unit_vectors(1))
        assert [movie_id for movie_id, _ in index.search(self.query, 5)] == [1]
        assert index.popular(5) == [movie(1)]

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
