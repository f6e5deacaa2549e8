"""What a model can recommend: the movies it learnt, and those that came to the catalogue later.

A later movie has a vector as soon as it is known, from the item tower by its content. It has no
links, and no part in a user's history until a model learns it. Torch-free, because serving and the
lab ask the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stream.coldstart import ItemVectors
from training.artifact import Artifact
from training.index import IndexedMovie
from training.mmr import genre_names, likeness
from training.tower_inputs import Floats, Ints

# Movies without a rating that are looked at for every person, the newest ones. A
# catalogue may have tens of thousands that nobody ever rated.
POOL: Final = 2_000


class Described(Protocol):
    """A movie of the catalogue."""

    @property
    def movie_id(self) -> int: ...

    @property
    def title(self) -> str: ...

    @property
    def genres(self) -> tuple[str, ...]: ...

    @property
    def year(self) -> int | None: ...


class Later(NamedTuple):
    """m movies that a model did not learn, as an index holds them, and their f32[m, d] vectors."""

    movies: Sequence[IndexedMovie]
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Repertoire:
    """n movies that a model learnt, then m later ones by id.

    It is the same whenever these came, so that all processes give equal movies the same order.

    Attributes:
        items: the vectors of all of them.
        likeness: f32[n + m, d + g] by what lists are diversified, see `training.mmr`.
        learnt: n.
        unrated: rows of movies of which the training data had no rating, by movie id: of the later
            ones, then of those with the highest ids, `POOL` at most.
        unrated_vectors: f32[len(unrated), d] theirs, in a row: every request reads all of them.
        later: the m movies, row by row.
        genres: the g names of the model's genres.
    """

    items: ItemVectors
    likeness: Floats
    learnt: int
    unrated: Ints
    unrated_vectors: Floats
    later: tuple[IndexedMovie, ...]
    genres: tuple[str, ...]

    @classmethod
    def of(cls, artifact: Artifact) -> "Repertoire":
        """What the model learnt. Raises ArtifactError."""
        items, movies = artifact.items, artifact.movies()
        genres = [movie.genres for movie in movies]
        names = genre_names(genres)
        unrated = np.flatnonzero([not movie.popularity for movie in movies])
        unrated = _newest(unrated, items.movie_ids, len(movies))
        return cls(
            items=items,
            likeness=likeness(items.vectors, genres, names),
            learnt=len(movies),
            unrated=unrated,
            unrated_vectors=items.vectors[unrated],
            later=(),
            genres=names,
        )

    def lacking(self, artifact: Artifact, catalogue: Iterable[Described]) -> Later:
        """What the catalogue has that this has not, or has otherwise, but for what was learnt.

        Args:
            artifact: the model.
            catalogue: distinct movies.

        Raises ArtifactError where the item tower cannot be run.
        """
        known = set(self.items.movie_ids[: self.learnt].tolist())
        later = {movie.movie_id: movie for movie in self.later}
        lacking = []
        for movie in catalogue:
            if movie.movie_id in known:
                continue
            indexed = IndexedMovie(
                movie_id=movie.movie_id,
                title=movie.title,
                genres=movie.genres,
                year=movie.year,
                popularity=0,
            )
            if later.get(movie.movie_id) != indexed:
                lacking.append(indexed)
        lacking.sort(key=lambda movie: movie.movie_id)
        if not lacking:
            return Later((), np.zeros((0, self.items.vectors.shape[1]), np.float32))
        return Later(lacking, artifact.item_vectors_for(lacking))

    def taking_in(self, movies: Later) -> "Repertoire":
        """The same with these movies, each in place of what was known of it before."""
        if not movies.movies:
            return self
        known = range(self.learnt, len(self.items.movie_ids))
        before = {movie.movie_id: row for movie, row in zip(self.later, known, strict=True)}
        newest = {movie.movie_id: movie for movie in (*self.later, *movies.movies)}
        later = tuple(newest[movie_id] for movie_id in sorted(newest))
        row = {movie.movie_id: self.learnt + at for at, movie in enumerate(later)}
        genres = [movie.genres for movie in movies.movies]
        alike = likeness(movies.vectors, genres, self.genres)
        moved = [*range(self.learnt), *(row[movie_id] for movie_id in before)]
        here = [row[movie.movie_id] for movie in movies.movies]

        def together(old: Floats, new: Floats) -> Floats:
            """f32[n + m, ...]: those of before where they are now, and the new ones."""
            rows = np.empty((self.learnt + len(later), old.shape[1]), np.float32)
            rows[moved] = old
            rows[here] = new
            return rows

        ids = np.array([movie.movie_id for movie in later], np.uint32)
        ids = np.concatenate([self.items.movie_ids[: self.learnt], ids])
        vectors = together(self.items.vectors, movies.vectors)
        learnt = self.unrated[self.unrated < self.learnt]
        unrated = np.concatenate([learnt, np.arange(self.learnt, len(ids))])
        unrated = _newest(unrated, ids, self.learnt)
        return replace(
            self,
            items=ItemVectors(self.items.version, ids, vectors),
            likeness=together(self.likeness, alike),
            unrated=unrated,
            unrated_vectors=vectors[unrated],
            later=later,
        )


def _newest(rows: Ints, movie_ids: npt.NDArray[np.uint32], learnt: int) -> Ints:
    """Those of the rows that are in the pool, by movie id."""
    newest = rows[np.lexsort((movie_ids[rows], rows >= learnt))][-POOL:]
    by_id: Ints = newest[np.argsort(movie_ids[newest])]
    return by_id
