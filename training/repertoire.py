"""What a model can recommend: the movies it learnt, and those that came to the catalogue later.

A later movie has a vector as soon as it is known, from the item tower by its content. It has no
links, and no part in a user's history until a model learns it. Torch-free, because serving and the
lab ask the same.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from stream.coldstart import ItemVectors
from stream.contracts.events import MAX_MOVIE_ID
from training.artifact import Artifact
from training.index import IndexedMovie
from training.mmr import Likeness
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.movie_table import Mask, MovieTable
from training.tower_inputs import Floats, Ints

# Movies without a rating that are looked at for every person, the newest ones. A
# catalogue may have tens of thousands that nobody ever rated.
POOL: Final = 1_000

# Filters of which it is remembered what matches: many people ask with the same ones, and each takes
# a byte a movie.
_REMEMBERED: Final = 32


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
        likeness: f32[n + m, d + g] by what lists are diversified, made of rows asked for.
        learnt: n.
        unrated: rows of movies of which the training data had no rating, by movie id: of the later
            ones, then of those with the highest ids, `POOL` at most.
        unrated_vectors: f32[len(unrated), d] theirs, in a row: every request reads all of them.
        later: the m movies, row by row.
        digest: of what is known of these m, the same in every process.
        table: what is known of all of them, row by row.
        genres: the g names of the model's genres.
    """

    items: ItemVectors
    likeness: Likeness
    learnt: int
    unrated: Ints
    unrated_vectors: Floats
    later: tuple[IndexedMovie, ...]
    table: MovieTable
    genres: tuple[str, ...]
    digest: bytes = b""
    _matching: dict[MovieFilter, Mask] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def of(cls, artifact: Artifact) -> "Repertoire":
        """What the model learnt. Raises ArtifactError."""
        items, table = artifact.items, artifact.movies()
        unrated = _newest(np.flatnonzero(table.popularity == 0), items.movie_ids, len(table))
        return cls(
            items=items,
            likeness=Likeness(items.vectors, table.has_genre, len(table.genre_names)),
            learnt=len(table),
            unrated=unrated,
            unrated_vectors=items.vectors[unrated],
            later=(),
            table=table,
            genres=table.genre_names,
        )

    def matching(self, wanted: MovieFilter) -> Mask | None:
        """bool[n + m]: which movies are wanted, as an index finds them; None: all of them."""
        if wanted == ALL_MOVIES:
            return None
        described = replace(wanted, only=None, exclude=frozenset())
        found = self._matching.get(described)
        if found is None:
            found = self.table.matching(described)
            found.flags.writeable = False  # whoever is given it next wants it as it is
            while len(self._matching) >= _REMEMBERED:
                self._matching.pop(next(iter(self._matching)))
            self._matching[described] = found
        if wanted.only is not None:
            of_these = np.zeros_like(found)
            of_these[self._rows(wanted.only)] = True
            found = found & of_these
        if wanted.exclude:
            found = found.copy()
            found[self._rows(wanted.exclude)] = False
        return found

    def _rows(self, movie_ids: Collection[int]) -> Ints:
        """i64[]: of those of the movies that are here."""
        known = [one for one in movie_ids if 0 < one <= MAX_MOVIE_ID]
        rows = self.items.rows(np.array(known, np.uint32)).astype(np.int64)
        return rows[rows >= 0]

    def lacking(self, artifact: Artifact, catalogue: Iterable[Described]) -> Later:
        """What the catalogue has that this has not, or has otherwise, but for what was learnt.

        Args:
            artifact: the model.
            catalogue: distinct movies.

        Raises ArtifactError where the item tower cannot be run.
        """
        movies = list(catalogue)
        ids = np.fromiter((movie.movie_id for movie in movies), np.uint32, len(movies))
        rows = self.items.rows(ids)
        later = {movie.movie_id: movie for movie in self.later}
        lacking = []
        for at in np.flatnonzero((rows < 0) | (rows >= self.learnt)).tolist():
            movie = movies[at]
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
        vectors = np.empty((self.learnt + len(later), movies.vectors.shape[1]), np.float32)
        vectors[: self.learnt] = self.items.vectors[: self.learnt]
        vectors[[row[movie_id] for movie_id in before]] = self.items.vectors[self.learnt :]
        vectors[[row[movie.movie_id] for movie in movies.movies]] = movies.vectors
        table = self.table.first(self.learnt).and_these(later)
        ids = np.array([movie.movie_id for movie in later], np.uint32)
        ids = np.concatenate([self.items.movie_ids[: self.learnt], ids])
        learnt = self.unrated[self.unrated < self.learnt]
        unrated = np.concatenate([learnt, np.arange(self.learnt, len(ids))])
        unrated = _newest(unrated, ids, self.learnt)
        return replace(
            self,
            items=ItemVectors(self.items.version, ids, vectors),
            likeness=Likeness(vectors, table.has_genre, len(self.genres)),
            unrated=unrated,
            unrated_vectors=vectors[unrated],
            later=later,
            table=table,
            digest=blake2b(msgspec.msgpack.encode(later), digest_size=8).digest(),
        )


def _newest(rows: Ints, movie_ids: npt.NDArray[np.uint32], learnt: int) -> Ints:
    """Those of the rows that are in the pool, by movie id."""
    newest = rows[np.lexsort((movie_ids[rows], rows >= learnt))][-POOL:]
    by_id: Ints = newest[np.argsort(movie_ids[newest])]
    return by_id
