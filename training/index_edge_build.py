"""Builds the movie index that `training.index_edge` opens: a directory per model version.

Edge holds the GIL in every call, and optimising 60,000 vectors takes it 8 seconds: building happens
in another process.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeVectorParams,
    FloatIndexParams,
    IntegerIndexParams,
    KeywordIndexParams,
    Memory,
    Point,
    ScalarQuantizationConfig,
    ScalarType,
    UpdateOperation,
)

from stream.contracts.errors import ArtifactError, IndexUnavailable
from training.index import PAYLOAD_INDEXES, IndexedMovie, check_points

# Points per upsert: large enough that the call does not matter, small enough to keep memory flat.
UPSERT_POINTS: Final = 2_000

# Threads that search an index. There is one segment with movies: to look at the same time into the
# empty one that Edge keeps for what is added takes a third more.
_THREADS: Final = 1

# KB of vectors from which a segment is made one that is mapped into memory: any. Edge keeps smaller
# ones, by default up to 20 MB, as they grow: to open such an index of 9,700 movies takes twice as
# long, and twice the memory.
_OPTIMISED_FROM: Final = 1

# Movies from which a walk compares vectors by a byte a number: two thirds of the time. Smaller
# indexes are not walked. A byte spans the middle of the numbers, all but one in a thousand.
QUANTIZED_FROM: Final = 20_000
_QUANTILE: Final = 0.999

# Payload indexes stay on disk, mapped into memory: an index of 62,000 movies then opens in 20 ms
# instead of 150 to 300, in which nothing else of the process would run. Integers are only asked for
# by range: what finds a single one would be 3 MB a field, of an empty segment too.
_SCHEMAS: Final[dict[str, FloatIndexParams | IntegerIndexParams | KeywordIndexParams]] = {
    "float": FloatIndexParams(memory=Memory.Cold),
    "integer": IntegerIndexParams(lookup=False, range=True, memory=Memory.Cold),
    "keyword": KeywordIndexParams(memory=Memory.Cold),
}


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
    with edge_errors(f"building the index in {directory} failed"):
        shard = EdgeShard.create(
            str(directory),
            EdgeConfig(
                vectors=EdgeVectorParams(
                    size=vectors.shape[1], distance=Distance.Dot, memory=Memory.Cold
                ),
                optimizers=EdgeOptimizersConfig(indexing_threshold=_OPTIMISED_FROM),
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


@contextmanager
def edge_errors(what: str) -> Iterator[None]:
    """Edge raises bare `Exception`: name what failed, and make it ours."""
    try:
        yield
    except (ArtifactError, IndexUnavailable):
        raise
    except Exception as error:
        raise IndexUnavailable(f"{what}: {error}") from error
