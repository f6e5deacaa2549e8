"""The movie index in this process: Qdrant Edge, a directory per model version.

Edge holds the GIL in every call, and optimising 60,000 vectors takes it 8 seconds: building happens
in another process. It wants one opener per directory: whoever opens an index gets a private copy.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    FloatIndexParams,
    HasIdCondition,
    IntegerIndexParams,
    KeywordIndexParams,
    MatchAny,
    Memory,
    Point,
    QuantizationSearchParams,
    Query,
    QueryRequest,
    RangeFloat,
    ScalarQuantizationConfig,
    ScalarType,
    ScrollRequest,
    SearchParams,
    UpdateOperation,
)

from stream.contracts.errors import ArtifactError, IndexUnavailable
from training.index import (
    EXACT_FROM,
    HNSW_EF,
    PAYLOAD_INDEXES,
    AnyOf,
    Between,
    Condition,
    HasId,
    IndexedMovie,
    check_dimension,
    check_points,
    conditions,
    split_exclusions,
)
from training.index_later import LaterMovies
from training.movie_filter import ALL_MOVIES, MovieFilter

# Points per upsert: large enough that the call does not matter, small enough to keep memory flat.
UPSERT_POINTS: Final = 2_000

# Threads that search an index. There is one segment with movies: to look at the same time into the
# empty one that Edge keeps for what is added takes a third more.
_THREADS: Final = 1

# Movies from which a walk compares vectors by a byte a number: two thirds of the time. Smaller
# indexes are not walked. A byte spans the middle of the numbers, all but one in a thousand.
QUANTIZED_FROM: Final = 20_000
_QUANTILE: Final = 0.999

# What a walk found is put in order by all of the vectors. Edge does not unless it is told to: then
# scores are off by up to 0.02, and of the 64 best of them 2 to 15 % are others.
_RESCORED: Final = QuantizationSearchParams(rescore=True)

# Payload indexes stay on disk, mapped into memory: an index of 62,000 movies then opens in 20 ms
# instead of 150 to 300, in which nothing else of the process would run. Integers are only asked for
# by range: what finds a single one would be 3 MB a field, of an empty segment too.
_SCHEMAS: Final[dict[str, FloatIndexParams | IntegerIndexParams | KeywordIndexParams]] = {
    "float": FloatIndexParams(memory=Memory.Cold),
    "integer": IntegerIndexParams(lookup=False, range=True, memory=Memory.Cold),
    "keyword": KeywordIndexParams(memory=Memory.Cold),
}


class EdgeIndex:
    """A `MovieIndex` over a private copy of a directory that `build_edge_index` wrote.

    Movies that come later are in this process alone: every process puts the same there.
    """

    in_process = True

    def __init__(self, directory: Path, dimension: int) -> None:
        """Copy the index and open the copy.

        Raises:
            IndexUnavailable: there is no index in `directory`, or it cannot be read.
            ArtifactError: it holds vectors of another dimension.
        """
        if not directory.is_dir():
            raise IndexUnavailable(f"no index in {directory}: train and promote a model again")
        self._dimension = dimension
        self._later = LaterMovies(np.zeros((0, dimension), np.float32))
        # The open files outlive their directory until the index is closed. So nothing is left
        # behind, not even by a process that is killed. They are held open here too: else Edge's
        # closing would delete them, and it holds the GIL as long as the disk takes for that.
        with (
            tempfile.TemporaryDirectory(prefix="freshet-index-") as copy,
            _edge_errors(f"cannot open the index in {directory}"),
        ):
            shutil.copytree(directory, copy, dirs_exist_ok=True)
            self._shard = EdgeShard.load(copy)
            self._check_dimension(directory)
            self._files = [
                os.open(path, os.O_RDONLY) for path in Path(copy).rglob("*") if path.is_file()
            ]

    def _check_dimension(self, directory: Path) -> None:
        points, _ = self._shard.scroll(ScrollRequest(limit=1, with_vector=True))
        for stored in (np.asarray(point.vector) for point in points):
            if stored.shape != (self._dimension,):
                raise ArtifactError(
                    f"the index in {directory} holds vectors of shape {stored.shape}, its model "
                    f"has dimension {self._dimension}: train and promote a model again"
                )

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        exclude: Collection[int] = (),
        wanted: MovieFilter = ALL_MOVIES,
    ) -> list[tuple[int, float]]:
        check_dimension(vector, self._dimension)
        later = self._later
        without = {*exclude, *wanted.exclude, *later.replaced}
        hits = self._built(vector, limit, without, wanted)
        if later.movies:
            others = later.search(vector, limit, set(exclude), wanted)
            hits = sorted(hits + others, key=lambda hit: -hit[1])
        return hits[:limit]

    def _built(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        without: Collection[int],
        wanted: MovieFilter,
    ) -> list[tuple[int, float]]:
        """The nearest of what was built into the index.

        A walk keeps `HNSW_EF` movies in any case, and mostly there are enough among them; of long
        lists up to twice as many are asked for at once. If these do not do, a walk that may go
        through what is excluded is shorter than one that must not.
        """
        at_once = max(HNSW_EF, limit + min(len(without), limit))
        hits, there = self._nearest(vector, at_once, (), without, wanted)
        if len(hits) < limit and there == at_once:
            exact = len(without) > EXACT_FROM
            filtered, dropped = split_exclusions(without) if exact else ((), without)
            more = limit + len(dropped)
            hits, _ = self._nearest(vector, more, filtered, dropped, wanted, exact=exact)
        return hits[:limit]

    def _nearest(
        self,
        vector: npt.NDArray[np.float32],
        count: int,
        filtered: Collection[int],
        dropped: Collection[int],
        wanted: MovieFilter,
        *,
        exact: bool = False,
    ) -> tuple[list[tuple[int, float]], int]:
        """Of `count` movies those that are not dropped, and how many there were."""
        request = QueryRequest(
            limit=count,
            query=Query.Nearest(vector.tolist()),
            filter=_filter(wanted, filtered),
            params=SearchParams(  # Edge keeps `count` at least
                hnsw_ef=HNSW_EF, exact=exact, quantization=_RESCORED
            ),
        )
        with _edge_errors("the search failed"):
            found = self._shard.query(request)
        hits = [(movie, one.score) for one in found if (movie := int(one.id)) not in dropped]
        return hits, len(found)

    def movies(self, movie_ids: Collection[int]) -> dict[int, IndexedMovie]:
        later = self._later.movies
        with _edge_errors("reading movies failed"):
            records = self._shard.retrieve(
                [id_ for id_ in movie_ids if id_ not in later], True, False
            )
        found = {int(one.id): msgspec.convert(one.payload, IndexedMovie) for one in records}
        return found | {id_: later[id_] for id_ in movie_ids if id_ in later}

    def count(self) -> int:
        later = self._later
        with _edge_errors("counting movies failed"):
            built = self._shard.count(CountRequest(exact=True))
        return built + len(later.movies) - len(later.replaced)

    def upsert(self, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]) -> None:
        check_points([movie.movie_id for movie in movies], vectors, self._dimension)
        with _edge_errors("looking for movies failed"):
            built = self._shard.retrieve([movie.movie_id for movie in movies], False, False)
        self._later = self._later.with_these(movies, vectors, [int(one.id) for one in built])

    def close(self) -> None:
        for file in self._files:
            os.fsync(file)  # so that Edge, which does it too, waits for no disk with the GIL
        self._shard.close()
        while self._files:
            os.close(self._files.pop())


def build_edge_index(
    directory: Path, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]
) -> None:
    """Build and optimise an index in a process of its own; returns when it is whole on disk.

    The process is spawned, so the calling program's main module must be importable.

    Args:
        directory: is created; must be missing or empty.
        movies: n distinct movies.
        vectors: f32[n, d], row i that of movies[i].

    Raises:
        ArtifactError: the directory is in use, or movies and vectors do not match.
        IndexUnavailable: Edge failed to build.
    """
    check_points([movie.movie_id for movie in movies], vectors)
    if directory.exists() and any(directory.iterdir()):
        raise ArtifactError(f"{directory} already has files: build into an empty directory")
    directory.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_build, directory, list(movies), vectors).result()


def _build(
    directory: Path, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]
) -> None:
    quantization = ScalarQuantizationConfig(ScalarType.Int8, _QUANTILE, memory=Memory.Pinned)
    with _edge_errors(f"building the index in {directory} failed"):
        shard = EdgeShard.create(
            str(directory),
            EdgeConfig(
                vectors=EdgeVectorParams(size=vectors.shape[1], distance=Distance.Dot),
                max_search_threads=_THREADS,
                quantization_config=quantization if len(movies) >= QUANTIZED_FROM else None,
                wal_enabled=False,  # built in one go: the flush below is the one commit
            ),
        )
        for name, kind in PAYLOAD_INDEXES.items():
            shard.update(UpdateOperation.create_field_index(name, _SCHEMAS[kind]))
        for start in range(0, len(movies), UPSERT_POINTS):
            chunk = slice(start, start + UPSERT_POINTS)
            points = [
                Point(movie.movie_id, row.tolist(), msgspec.to_builtins(movie))
                for movie, row in zip(movies[chunk], vectors[chunk], strict=True)
            ]
            shard.update(UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        shard.close()


def _filter(wanted: MovieFilter, without: Collection[int]) -> Filter | None:
    must, must_not = conditions(wanted, without)
    if not must and not must_not:
        return None
    return Filter(must=[*map(_condition, must)], must_not=[*map(_condition, must_not)])


def _condition(condition: Condition) -> FieldCondition | HasIdCondition:
    match condition:
        case AnyOf(field, values):
            return FieldCondition(field, match=MatchAny(sorted(values)))
        case Between(field, low, high):
            return FieldCondition(field, range=RangeFloat(gte=low, lte=high))
        case HasId(movie_ids):
            return HasIdCondition(set(movie_ids))


@contextmanager
def _edge_errors(what: str) -> Iterator[None]:
    """Edge raises bare `Exception`: name what failed, and make it ours."""
    try:
        yield
    except (ArtifactError, IndexUnavailable):
        raise
    except Exception as error:
        raise IndexUnavailable(f"{what}: {error}") from error
