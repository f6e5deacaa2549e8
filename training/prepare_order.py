"""The first pass of `training.prepare`: a file's good ratings, in the order of `Ratings`.

Blocks of the file are judged and kept in a scratch file. Then buckets of whole users, small enough
to be sorted in memory, are taken out of it one after the other. Where the file lists users one
after the other, as MovieLens does, a bucket is found by the scratch file's own statistics; else the
user column is read once for each bucket.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from producers.datasets import Catalogue, Source, readable
from producers.tables import RATINGS, to_arrow
from producers.validation import FileReport, good_ratings
from training.dataset import Movie, Ratings
from training.tower_inputs import Ints

BUCKET: Final = 1 << 20  # ratings: 32 MB as they are, some 300 MB while they are worked on
RATINGS_FILE: Final = "ratings.parquet"

_SCRATCH: Final = "scratch.parquet"


class Ordered(NamedTuple):
    """What is known of n ratings once they are written.

    Attributes:
        users: i64[users] their ids, ascending.
        times: i64[n] ms since the epoch.
        half_stars: u8[n].
        report: what was found in the file.
    """

    users: Ints
    times: Ints
    half_stars: npt.NDArray[np.uint8]
    report: FileReport


def write_in_order(
    source: Source,
    catalogue: Catalogue,
    movies: list[Movie],
    directory: Path,
    lenient: bool,
    on_progress: Callable[[str, int, int], None],
) -> Ordered:
    """Write the ratings, a row group for each bucket of users.

    Raises:
        DatasetError: the file cannot be read, or is too dirty.
    """
    scratch = directory / _SCRATCH
    report = _read(source, catalogue, scratch, lambda *done: on_progress("bytes read", *done))
    report.judge(lenient)
    total = report.lines - report.bad
    users, times, half_stars = [], [], []
    done = 0
    with pq.ParquetWriter(directory / RATINGS_FILE, RATINGS, compression="zstd") as writer:
        for low, high in _buckets(scratch):
            theirs = pl.col("user_id").is_between(low, high)
            rows = pl.scan_parquet(scratch).filter(theirs).collect()
            log = Ratings.of(rows, movies)
            standing = np.flatnonzero(log.replaced == log.ends)
            report.superseded += len(log) - len(standing)
            log = log.take(standing)
            writer.write_table(to_arrow(_rows(log), RATINGS), row_group_size=len(log))
            users.append(np.unique(log.users))
            times.append(log.times)
            half_stars.append(log.half_stars.astype(np.uint8))
            done += len(rows)
            on_progress("ratings ordered", done, total)
    scratch.unlink()
    return Ordered(np.concatenate(users), np.concatenate(times), np.concatenate(half_stars), report)


def logs(directory: Path, movies: list[Movie]) -> Iterator[Ratings]:
    """What was written, bucket by bucket."""
    movie_ids = _ids(movies)
    with pq.ParquetFile(directory / RATINGS_FILE) as file:
        for group in range(file.num_row_groups):
            users, ids, stars, times = (
                column.to_numpy() for column in file.read_row_group(group).columns
            )
            half_stars = (stars * 2).astype(np.int64)
            yield Ratings(movies, users, np.searchsorted(movie_ids, ids), half_stars, times)


def _read(
    source: Source, catalogue: Catalogue, scratch: Path, on_progress: Callable[[int, int], None]
) -> FileReport:
    report = FileReport(source.ratings)
    known = pl.Series(catalogue.movies["movie_id"])
    with readable(source), pq.ParquetWriter(scratch, RATINGS, compression="lz4") as writer:
        for rows in good_ratings(
            source.ratings, source.layout, known, catalogue.now, report, on_progress
        ):
            writer.write_table(to_arrow(rows, RATINGS))
    return report


def _buckets(scratch: Path) -> list[tuple[int, int]]:
    """(lowest, highest user id) of each bucket."""
    counts = pl.scan_parquet(scratch).group_by("user_id").len().sort("user_id")
    before = pl.col("len").cum_sum() - pl.col("len")
    buckets = (
        counts.group_by(before // BUCKET, maintain_order=True)
        .agg(low=pl.col("user_id").min(), high=pl.col("user_id").max())
        .select("low", "high")
    )
    return [(low, high) for low, high in buckets.collect().rows()]


def _rows(log: Ratings) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": log.users,
            "movie_id": _ids(log.movies)[log.rows],
            "rating": (log.half_stars / 2).astype(np.float32),
            "timestamp": log.times,
        }
    )


def _ids(movies: list[Movie]) -> npt.NDArray[np.uint32]:
    return np.array([movie.movie_id for movie in movies], np.uint32)
