"""The movie index in this process: Qdrant Edge, a directory per model version.

Edge holds the GIL in every call. It wants one opener per directory: whoever opens an index gets a
private copy. `training.index_edge_build` makes what is copied.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from qdrant_edge import (
    CountRequest,
    EdgeShard,
    FieldCondition,
    Filter,
    HasIdCondition,
    MatchAny,
    QuantizationSearchParams,
    Query,
    QueryRequest,
    RangeFloat,
    ScrollRequest,
    SearchParams,
)

from stream.coldstart import ItemVectors
from stream.contracts.errors import ArtifactError, IndexUnavailable
from stream.contracts.events import MAX_MOVIE_ID
from training.aside import aside
from training.index import (
    EXACT_FROM,
    HNSW_EF,
    AnyOf,
    Between,
    Condition,
    HasId,
    IndexedMovie,
    check_dimension,
    check_points,
    conditions,
)
from training.index_edge_build import edge_errors
from training.index_later import LaterMovies
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.movie_table import MovieTable
from training.proposals import highest_first

# What a walk found is put in order by all of the vectors, or else of the 64 best 2 to 15 % would be
# others. By the model's own, which are in memory: Edge would have its copy there too, 31 MB.
_UNSCORED: Final = QuantizationSearchParams(rescore=False)

_SHARED_MEMORY: Final = "/dev/shm"  # of Linux


class EdgeIndex:
    """A `MovieIndex` over a private copy of a directory that `build_edge_index` wrote.

    Edge finds movies, and the model's vectors say how near they are. Movies that come later are in
    this process alone: every process puts the same there.
    """

    in_process = True

    def __init__(self, directory: Path, items: ItemVectors, table: MovieTable) -> None:
        """Copy the index and open the copy.

        Args:
            directory: of the index.
            items: the vectors that it was built of.
            table: the movies, row by row.

        Raises:
            IndexUnavailable: there is no index in `directory`, or it cannot be read.
            ArtifactError: it holds vectors of another dimension.
        """
        if not directory.is_dir():
            raise IndexUnavailable(f"no index in {directory}: train and promote a model again")
        self._items = items
        self._table = table
        self._dimension = items.vectors.shape[1]
        self._later = LaterMovies(np.zeros((0, self._dimension), np.float32))
        # The open files outlive their directory until the index is closed. So nothing is left
        # behind, not even by a process that is killed. They are held open here too: else Edge's
        # closing would delete them, and it holds the GIL as long as the disk takes for that.
        with (
            tempfile.TemporaryDirectory(prefix="freshet-index-") as copy,
            edge_errors(f"cannot open the index in {directory}"),
        ):
            aside(shutil.copytree, directory, copy, dirs_exist_ok=True)
            self._shard = EdgeShard.load(copy)
            self._check_dimension(directory)
            paths = list(Path(copy).rglob("*"))
            self._files = [os.open(path, os.O_RDONLY) for path in paths if path.is_file()]
            self._copy = Path(copy)
            self._directories = [it.relative_to(copy) for it in paths if it.is_dir()]

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
        hits, there = self._walk(vector, at_once, without, wanted)
        if len(hits) < limit and there == at_once:
            if len(without) > EXACT_FROM:
                return self._exact(vector, limit, without, wanted)
            hits, _ = self._walk(vector, limit + len(without), without, wanted)
        return hits[:limit]

    def _walk(
        self,
        vector: npt.NDArray[np.float32],
        count: int,
        without: Collection[int],
        wanted: MovieFilter,
    ) -> tuple[list[tuple[int, float]], int]:
        """Of `count` movies those that are not excluded, and how many there were."""
        request = QueryRequest(
            limit=count,
            query=Query.Nearest(vector.tolist()),
            filter=_filter(wanted),
            # It keeps `count` at least.
            params=SearchParams(hnsw_ef=HNSW_EF, quantization=_UNSCORED),
        )
        with edge_errors("the search failed"):
            found = self._shard.query(request)
        ids = [movie for one in found if (movie := int(one.id)) not in without]
        rows = self._items.rows(np.array(ids, np.uint32))
        if rows.min(initial=0) < 0:
            raise IndexUnavailable("the index has movies that its model has not: build it again")
        return self._ranked(rows, self._items.vectors.take(rows, axis=0) @ vector), len(found)

    def _exact(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        without: Collection[int],
        wanted: MovieFilter,
    ) -> list[tuple[int, float]]:
        """The nearest of all that there are."""
        scores = self._items.vectors @ vector
        if wanted != ALL_MOVIES:
            scores[~self._table.matching(wanted)] = -np.inf
        ids = [movie_id for movie_id in without if 0 < movie_id <= MAX_MOVIE_ID]
        rows = self._items.rows(np.array(ids, np.uint32))
        scores[rows[rows >= 0]] = -np.inf
        best = highest_first(scores, limit)
        best = best[scores[best] > -np.inf]
        return self._ranked(best, scores[best])

    def _ranked(
        self, rows: npt.NDArray[np.intp], scores: npt.NDArray[np.float32]
    ) -> list[tuple[int, float]]:
        order = np.argsort(-scores, kind="stable")
        ids = self._items.movie_ids[rows[order]]
        return [*zip(ids.tolist(), scores[order].tolist(), strict=True)]

    def movies(self, movie_ids: Collection[int]) -> dict[int, IndexedMovie]:
        later = self._later.movies
        with edge_errors("reading movies failed"):
            records = self._shard.retrieve(
                [id_ for id_ in movie_ids if id_ not in later], True, False
            )
        found = {int(one.id): msgspec.convert(one.payload, IndexedMovie) for one in records}
        return found | {id_: later[id_] for id_ in movie_ids if id_ in later}

    def count(self) -> int:
        later = self._later
        with edge_errors("counting movies failed"):
            built = self._shard.count(CountRequest(exact=True))
        return built + len(later.movies) - len(later.replaced)

    def upsert(self, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]) -> None:
        check_points([movie.movie_id for movie in movies], vectors, self._dimension)
        with edge_errors("looking for movies failed"):
            built = self._shard.retrieve([movie.movie_id for movie in movies], False, False)
        self._later = self._later.with_these(movies, vectors, [int(one.id) for one in built])

    def close(self) -> None:
        for file in self._files:
            os.fsync(file)  # so that Edge, which does it too, waits for no disk with the GIL
        with ExitStack() as stack:
            # Edge writes anew what it says of the segments, and waits for the disk. Where there is
            # no directory it looks up a backtrace that nobody reads: the first takes 60 ms with the
            # GIL, and keeps 36 MB. So it finds one, in memory if possible.
            with suppress(OSError):
                instead = stack.enter_context(tempfile.TemporaryDirectory(dir=_in_memory()))
                for directory in self._directories:
                    (Path(instead) / directory).mkdir(parents=True, exist_ok=True)
                self._copy.symlink_to(instead)
                stack.callback(self._copy.unlink)
            self._shard.close()
        while self._files:
            os.close(self._files.pop())


def _filter(wanted: MovieFilter) -> Filter | None:
    must, must_not = conditions(wanted, ())
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


def _in_memory() -> str | None:
    """A directory that is on no disk; None where this machine has none to write to."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
