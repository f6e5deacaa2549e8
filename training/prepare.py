"""A data set made ready for the lab: ratings in the order of `Ratings`, features, splits, figures.

Nothing here grows with the number of ratings but 9 bytes for each, its time and value (twice that
for a moment), from which the moments of the time split and the overall figures come. The ratings
themselves pass three times: as blocks of the file, as buckets of whole users that are sorted and
written, and as the same buckets from which the rest is made. So memory is bounded by a bucket
(`prepare_order.BUCKET` ratings and the rest of its last user's), by the users (some 300 bytes each)
and by the movies.

A directory has ``ratings``, ``movies``, ``tags``, ``user_features``, ``movie_features``,
``interactions`` and ``splits`` (all .parquet; the last two row by row with the first) and
``statistics.json``. It is a data set itself. As in every other data set here, of several ratings of
one movie by one user only the last is in it, and the features are of these.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow.parquet as pq

from producers.datasets import Source, load_catalogue, readable
from stream.features import FEATURE_VERSION
from training.dataset import catalogue_of
from training.prepare_order import Ordered, write_in_order
from training.prepare_tables import Tables, Whole, mean_and_std, write_tables
from training.quality import quality

PREPARE_VERSION: Final = 1  # raise it when what is written changes its meaning
STATISTICS_FILE: Final = "statistics.json"  # written last

_UNFINISHED: Final = ".unfinished"  # the output, until it is whole
_LOCK: Final = ".lock"
_CHUNK: Final = 1 << 24  # bytes hashed between two reports of progress

OnProgress: TypeAlias = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class Options:
    """What the output depends on beside the files.

    Attributes:
        lenient: use a file's good lines even where over 1% of its lines are bad.
        seed: of the random splits.
    """

    lenient: bool = False
    seed: int = 0


class Prepared(NamedTuple):
    """Where the output is, its figures, and whether it was there before."""

    directory: Path
    statistics: dict[str, Any]
    cached: bool


def prepare(
    source: Source,
    parent: Path,
    options: Options = Options(),
    on_progress: OnProgress = lambda *_: None,
) -> Prepared:
    """Prepare a data set, or find it prepared: `<parent>/<name>-<hash of all it depends on>`.

    Args:
        source: what `producers.datasets.find` found.
        parent: where prepared data sets are kept. One is made there at a time; others wait.
        options: what else the output depends on.
        on_progress: told how far it has got.

    Raises:
        DatasetError: the data set cannot be read, is too dirty, or is too small to be split.
    """
    with readable(source):
        digest = _digest(source, options, on_progress)
    directory = parent / f"{source.name}-{digest[:16]}"
    parent.mkdir(parents=True, exist_ok=True)
    with _alone(parent):
        if directory.exists():
            statistics = json.loads((directory / STATISTICS_FILE).read_text())
            return Prepared(directory, statistics, cached=True)
        unfinished = parent / _UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
        unfinished.mkdir()
        try:
            statistics = _write(source, unfinished, options, on_progress)
            unfinished.rename(directory)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Prepared(directory, statistics, cached=False)


def _write(
    source: Source, directory: Path, options: Options, on_progress: OnProgress
) -> dict[str, Any]:
    catalogue = load_catalogue(source, options.lenient)
    movies = catalogue_of(catalogue.movies)
    pq.write_table(catalogue.movies, directory / "movies.parquet", compression="zstd")
    pq.write_table(catalogue.tags, directory / "tags.parquet", compression="zstd")
    ordered = write_in_order(source, catalogue, movies, directory, options.lenient, on_progress)
    whole = Whole.of(ordered, options.seed)
    tables = write_tables(directory, movies, whole, len(ordered.times), on_progress)
    reports = (ordered.report, *catalogue.reports)
    statistics = {
        "dataset": source.name,
        "options": asdict(options),
        **_figures(ordered, len(movies)),
        "splits": tables.splits,
        "split_moments": {"validation_from": whole.moments[0], "test_from": whole.moments[1]},
        **_features(tables),
        "quality": quality(reports, tables.users, tables.busiest, tables.movies),
    }
    (directory / STATISTICS_FILE).write_text(json.dumps(statistics, indent=2) + "\n")
    return statistics


def _figures(ordered: Ordered, movies: int) -> dict[str, Any]:
    """Of all ratings, in stars."""
    ratings, users = len(ordered.times), len(ordered.users)
    mean, std = mean_and_std(ordered.half_stars)
    first, last = (int(at) for at in (ordered.times.min(), ordered.times.max()))
    return {
        "users": users,
        "movies": movies,
        "ratings": ratings,
        "sparsity": 1 - ratings / (users * movies),
        "mean": mean,
        "deviation": std,
        "first": datetime.fromtimestamp(first / 1000, UTC).isoformat(),
        "last": datetime.fromtimestamp(last / 1000, UTC).isoformat(),
    }


def _features(tables: Tables) -> dict[str, Any]:
    """What one must know to read the features."""
    missing = {
        "users": [tables.users[name].null_count() for name in tables.scales["users"]],
        "movies": [tables.movies[name].null_count() for name in tables.scales["movies"]],
    }
    return {
        "genres": sorted({*tables.movies["genres"].explode().drop_nulls()}),
        "scaling": {
            kind: {
                name: {**asdict(scale), "imputed": count}
                for (name, scale), count in zip(scales.items(), missing[kind], strict=True)
            }
            for kind, scales in tables.scales.items()
        },
    }


def _digest(source: Source, options: Options, on_progress: OnProgress) -> str:
    """SHA-256, in hexadecimal, of all that the output depends on."""
    files = [path for path in (source.ratings, source.movies, source.tags) if path is not None]
    done, total = 0, sum(path.stat().st_size for path in files)
    layout = source.layout and (source.layout.ratings, source.layout.encoding)
    versions = [PREPARE_VERSION, FEATURE_VERSION]
    digest = hashlib.sha256(json.dumps([versions, asdict(options), layout]).encode())
    for path in files:
        content = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                done += len(chunk)
                on_progress("bytes hashed", done, total)
        digest.update(content.digest())
    return digest.hexdigest()


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """One process at a time: the lock of one that was killed is free."""
    with (parent / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
