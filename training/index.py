"""The seam to the movie index: which movies are nearest to a vector, without those already seen.

`training.index_edge` keeps it in this process (Qdrant Edge), `training.index_server` on a Qdrant
server; `tests/suites/movie_index.py` holds both to the same behaviour. An index belongs to one
model version. What is built into it never changes; movies that came later are put beside that.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ArtifactError
from training.movie_filter import ALL_MOVIES, MovieFilter

# The alias that names the collection in use on a Qdrant server.
ALIAS: Final = "movies"

# Excluded ids sent to a server as a filter, where each costs half a microsecond or more; beyond
# this many, that many more are fetched and dropped here.
MAX_FILTER_IDS: Final = 2_000

# Candidates that HNSW keeps while it walks the graph, or as many as are asked for and dropped where
# these are more: twice what the towers propose. Of the 64 that trained towers propose of 9,742
# movies that finds 97 %, of 62,000 x 128 in clusters all but a few in ten thousand; twice as many
# find 99 % and take twice as long. Only untrained towers ask from where no movie is, and are given
# 69 % (81 %).
HNSW_EF: Final = 128

# Exclusions from which the search is exact. The walk gets lost where most movies near the vector
# are excluded: with 1,540 excluded it found 94 % of the true 10 nearest, with 4,000 some 45 %. To
# look at every vector takes 2 to 3 ms there, no longer than a walk wide enough to be right.
EXACT_FROM: Final = 500


# gc=False: it refers to nothing that could refer back, and there are very many of them.
class IndexedMovie(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A movie's payload. `popularity` is how many ratings it has in the training data.

    `mean_rating` is their mean in stars, None without any.
    """

    movie_id: int
    title: str
    genres: tuple[str, ...]
    year: int | None
    popularity: int
    mean_rating: float | None = None


# Payload fields that filters may use, and Qdrant's name of their type.
PAYLOAD_INDEXES: Final = {
    "genres": "keyword",
    "year": "integer",
    "popularity": "integer",
    "mean_rating": "float",
}


class MovieIndex(Protocol):
    """One version's movies by vector. Score = dot product.

    Everything raises IndexUnavailable when the index does not answer.

    Attributes:
        in_process: a call takes under a few milliseconds and holds the GIL, so that a thread
            would not help; otherwise it waits for a server and belongs in a thread.
    """

    @property
    def in_process(self) -> bool: ...

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        exclude: Collection[int] = (),
        wanted: MovieFilter = ALL_MOVIES,
    ) -> list[tuple[int, float]]:
        """The nearest movies as (movie id, score), best first.

        Exact in small indexes and with many exclusions; else, above about ten thousand movies,
        HNSW, which misses a few in a hundred.

        Args:
            vector: f32[d].
            limit: how many; fewer come back only where the index has no more that are wanted.
            exclude: movie ids to leave out, any number.
            wanted: which movies are looked among.

        Raises:
            ArtifactError: the vector has another dimension than the index.
        """
        ...

    def movies(self, movie_ids: Collection[int]) -> dict[int, IndexedMovie]:
        """The payloads of these movies; those that are not in the index are left out."""
        ...

    def count(self) -> int:
        """How many movies there are, exactly."""
        ...

    def upsert(self, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]) -> None:
        """Have these movies too, each in place of what was known of it; found from now on.

        The same again changes nothing, whoever does it and how often.

        Args:
            movies: n distinct movies.
            vectors: f32[n, d], row i that of movies[i].

        Raises:
            ArtifactError: movies and vectors do not match, or have another dimension.
        """
        ...

    def close(self) -> None: ...


def collection_name(version: str) -> str:
    """The Qdrant collection of a model version."""
    return f"movies-{version}"


def check_dimension(vector: npt.NDArray[np.float32], dimension: int) -> None:
    """Raises ArtifactError unless the vector is f32[dimension]."""
    if vector.shape != (dimension,):
        raise ArtifactError(
            f"the index holds vectors of dimension {dimension}, the query has shape "
            f"{vector.shape}: tower and index must come from the same model version"
        )


def check_points(
    movie_ids: Collection[int], vectors: npt.NDArray[np.float32], dimension: int | None = None
) -> None:
    """Raises ArtifactError unless there is one row of f32[n, d] for each of n distinct movies.

    `dimension` is d, where it is given already.
    """
    if vectors.ndim != 2 or len(vectors) != len(movie_ids):
        raise ArtifactError(f"{len(movie_ids)} movies, but vectors of shape {vectors.shape}")
    if dimension not in (None, vectors.shape[1]):
        raise ArtifactError(
            f"the index holds vectors of dimension {dimension}, these have {vectors.shape[1]}: "
            "tower and index must come from the same model version"
        )
    if len(set(movie_ids)) != len(movie_ids):
        raise ArtifactError("a movie is in the index data more than once")


def split_exclusions(exclude: Collection[int]) -> tuple[list[int], frozenset[int]]:
    """(ids to send as a filter, ids to over-fetch for and drop from the answer)."""
    ids = list(exclude)
    return ids[:MAX_FILTER_IDS], frozenset(ids[MAX_FILTER_IDS:])


class AnyOf(NamedTuple):
    """A payload field has one of these values."""

    field: str
    values: frozenset[str]


class Between(NamedTuple):
    """A payload field is a number from `low` to `high`, both included; None: without a bound."""

    field: str
    low: float | None
    high: float | None


class HasId(NamedTuple):
    """The movie is one of these."""

    movie_ids: frozenset[int]


Condition: TypeAlias = AnyOf | Between | HasId


def conditions(
    wanted: MovieFilter, without: Collection[int]
) -> tuple[list[Condition], list[Condition]]:
    """What must hold of a movie, and what must not, as Qdrant is asked for it.

    Args:
        wanted: which movies; its `exclude` is not looked at, because there may be very many.
        without: ids of movies that are excluded.
    """
    must: list[Condition] = [AnyOf("genres", frozenset([one])) for one in wanted.genres_all]
    if wanted.genres_any:
        must.append(AnyOf("genres", wanted.genres_any))
    for name, low, high in (
        ("year", wanted.year_from, wanted.year_to),
        ("mean_rating", wanted.min_rating, None),
        ("popularity", wanted.min_ratings or None, None),
    ):
        if low is not None or high is not None:
            must.append(Between(name, low, high))
    if wanted.only is not None:
        must.append(HasId(wanted.only))
    must_not: list[Condition] = []
    if wanted.genres_none:
        must_not.append(AnyOf("genres", wanted.genres_none))
    if without:
        must_not.append(HasId(frozenset(without)))
    return must, must_not
