"""Movies beside an index that is built: few, exact, in memory, and replaced as a whole.

Edge cannot take them: an index that is opened from a private copy has no directory any more, and a
copy that kept one would be left behind by every process that is killed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from training.index import IndexedMovie
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.movie_table import MovieTable


@dataclass(frozen=True, slots=True)
class LaterMovies:
    """n movies, in the order in which they came.

    Attributes:
        vectors: f32[n, d].
        movies: by id.
        table: the same, row by row.
        replaced: ids of those that the built index has too, where they no longer count.
    """

    vectors: npt.NDArray[np.float32]
    movies: Mapping[int, IndexedMovie] = field(default_factory=lambda: MappingProxyType({}))
    table: MovieTable = field(default_factory=lambda: MovieTable.of([]))
    replaced: frozenset[int] = frozenset()

    def with_these(
        self,
        movies: Sequence[IndexedMovie],
        vectors: npt.NDArray[np.float32],
        built: Collection[int],
    ) -> "LaterMovies":
        """The same with these, each in place of what was known of it.

        Args:
            movies: m distinct movies.
            vectors: f32[m, d] of them.
            built: ids of those that the built index has.
        """
        together = dict(self.movies) | {movie.movie_id: movie for movie in movies}
        row = {movie_id: at for at, movie_id in enumerate(together)}
        moved = np.empty((len(together), vectors.shape[1]), np.float32)
        moved[: len(self.vectors)] = self.vectors
        moved[[row[movie.movie_id] for movie in movies]] = vectors
        table = MovieTable.of([*together.values()])
        return LaterMovies(moved, together, table, self.replaced | frozenset(built))

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        exclude: Collection[int],
        wanted: MovieFilter = ALL_MOVIES,
    ) -> list[tuple[int, float]]:
        """The nearest as (movie id, score), best first; see `MovieIndex.search`."""
        scores = self.vectors @ vector
        order = (-scores).argsort(kind="stable")
        if wanted != ALL_MOVIES:
            order = order[self.table.matching(wanted)[order]]
        found = zip(self.table.movie_ids[order].tolist(), scores[order].tolist(), strict=True)
        return list(islice((hit for hit in found if hit[0] not in exclude), limit))
