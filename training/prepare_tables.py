"""The second pass of `training.prepare`: what is made of the ratings, bucket by bucket."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from stream.contracts.errors import DatasetError
from stream.features import DAY
from training.dataset import Movie, Ratings
from training.features import MovieSums, moments_of, of_movies, of_users
from training.prepare_order import Ordered, logs
from training.quality import busiest_hours
from training.scaling import MOVIE_COLUMNS, USER_COLUMNS, Scale, scaled, scales
from training.split import (
    FOLD_IN,
    TEST,
    TRAIN,
    VALIDATION,
    ByTime,
    KFold,
    LastOut,
    Parts,
    Random,
    StrongGeneralisation,
    moments,
)
from training.tower_inputs import Ints

HOUR: Final = DAY // 24  # ms
THURSDAY: Final = 3  # the epoch's day of the week, Monday being 0

# One column each, u8, in the order of the ratings.
SPLITS: Final = pa.schema(
    [
        pa.field(name, pa.uint8(), nullable=False)
        for name in ("random", "time", "leave_last_out", "strong_generalisation", "fold")
    ]
)
INTERACTIONS: Final = pa.schema(
    [
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("movie_id", pa.uint32(), nullable=False),
        pa.field("rating_normalised", pa.float32(), nullable=False),
        pa.field("day_of_week", pa.uint8(), nullable=False),  # 0: Monday; UTC
        pa.field("hour_of_day", pa.uint8(), nullable=False),  # 0 .. 23; UTC
    ]
)
_PARTS: Final = {TRAIN: "train", VALIDATION: "validation", TEST: "test", FOLD_IN: "fold_in"}


@dataclass(frozen=True)
class Whole:
    """What must be known of all ratings before those of some users can be worked on.

    Attributes:
        now: ms: the last rating's time, up to which recency and trend are counted.
        train_now: the same of the time split's training part.
        moments: where the time split cuts, ms.
        held_out: users for validation and for test of the split by users.
        mean: of the training part's ratings, in stars.
        std: their deviation; 1 where there is none.
        seed: of the random splits.
    """

    now: int
    train_now: int
    moments: tuple[int, int]
    held_out: tuple[Ints, Ints]
    mean: float
    std: float
    seed: int

    @classmethod
    def of(cls, ordered: Ordered, seed: int) -> "Whole":
        """Raises DatasetError where a part of the time split would be empty."""
        cut = moments(ordered.times)
        train = ordered.times < cut[0]
        mean, std = mean_and_std(ordered.half_stars[train])
        return cls(
            now=int(ordered.times.max()),
            train_now=int(ordered.times.max(where=train, initial=0)),
            moments=cut,
            held_out=StrongGeneralisation(seed=seed).held_out(ordered.users),
            mean=mean,
            std=std or 1.0,
            seed=seed,
        )


def mean_and_std(half_stars: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Of ratings, in stars. Level by level, since numpy would make f64 of each to sum them."""
    held = np.array([np.count_nonzero(half_stars == level) for level in range(11)])
    count, total, squares = (held @ np.arange(11) ** power for power in range(3))
    mean, std = moments_of(count, total, squares)
    return float(mean), float(std)


class Tables(NamedTuple):
    """What was made, beside the files.

    Attributes:
        users: `training.features.of_users`.
        movies: `training.features.of_movies`.
        busiest: i64[users] `training.quality.busiest_hours`.
        splits: how many ratings are in each part of each split.
        scales: by ``users`` and ``movies``, of each feature.
    """

    users: pl.DataFrame
    movies: pl.DataFrame
    busiest: Ints
    splits: dict[str, dict[str, int]]
    scales: dict[str, dict[str, Scale]]


def write_tables(
    directory: Path,
    movies: list[Movie],
    whole: Whole,
    total: int,
    on_progress: Callable[[str, int, int], None],
) -> Tables:
    """Write splits, interactions and features of the ratings in this directory.

    Raises:
        DatasetError: a part of a split is empty.
    """
    users, train_users, busiest = [], [], []
    genres = tuple(sorted({genre for movie in movies for genre in movie.genres}))
    sums = train_sums = MovieSums.nothing(len(movies))
    counts = dict.fromkeys(SPLITS.names, np.zeros(256, np.int64))
    done = 0
    with (
        pq.ParquetWriter(directory / "splits.parquet", SPLITS, compression="zstd") as splits,
        pq.ParquetWriter(directory / "interactions.parquet", INTERACTIONS) as interactions,
    ):
        for log in logs(directory, movies):
            parts = split_columns(log, whole)
            splits.write_table(pa.table(parts, schema=SPLITS))
            counts = {name: counts[name] + _counted(parts[name]) for name in parts}
            events = np.flatnonzero(parts["time"] == TRAIN)
            train = log.take(events)
            interactions.write_table(interactions_of(log, train, whole))
            users.append(of_users(log, whole.now))
            train_users.append(of_users(train, whole.train_now))
            busiest.append(busiest_hours(log))
            sums += MovieSums.of(log, whole.now)
            train_sums += MovieSums.of(train, whole.train_now)
            done += len(log)
            on_progress("ratings described", done, total)
    by_split = {name: _named(name, held) for name, held in counts.items()}
    all_users, all_movies = pl.concat(users), of_movies(sums, movies, genres)
    rated = of_movies(train_sums, movies, genres).filter(pl.col("rating_count") > 0)
    by = {
        "users": scales(pl.concat(train_users), USER_COLUMNS),
        "movies": scales(rated, MOVIE_COLUMNS),
    }
    scaled(all_users, by["users"]).write_parquet(directory / "user_features.parquet")
    scaled(all_movies, by["movies"]).write_parquet(directory / "movie_features.parquet")
    return Tables(all_users, all_movies, np.concatenate(busiest), by_split, by)


def split_columns(log: Ratings, whole: Whole) -> dict[str, Parts]:
    """The part that each event of some users is in, for each of `SPLITS`."""
    seed = whole.seed
    return {
        "random": Random(seed=seed).parts(log)[0],
        "time": ByTime().parts_at(log, whole.moments),
        "leave_last_out": LastOut().parts(log)[0],
        "strong_generalisation": StrongGeneralisation(seed=seed).parts_of(log, whole.held_out),
        "fold": KFold(seed=seed).numbers(log),
    }


def interactions_of(log: Ratings, train: Ratings, whole: Whole) -> pa.Table:
    """`INTERACTIONS` of the log.

    A rating is normalised with its user's mean and deviation in the time split's training part
    alone. Who has no rating there is taken to be like everyone there; who has no deviation there is
    taken to have everyone's.
    """
    users = np.unique(log.users)
    place = np.searchsorted(users, train.users)
    count, total, squares = (
        np.bincount(place, train.half_stars**power, len(users)).astype(np.int64)
        for power in range(3)
    )
    mean, std = moments_of(count, total, squares)
    mean = np.where(count > 0, mean, whole.mean)
    std = np.where(std > 0, std, whole.std)
    user = np.searchsorted(users, log.users)
    movie_ids = np.array([movie.movie_id for movie in log.movies], np.uint32)
    columns = (
        log.users,
        movie_ids[log.rows],
        ((log.half_stars / 2 - mean[user]) / std[user]).astype(np.float32),
        ((log.times // DAY + THURSDAY) % 7).astype(np.uint8),
        (log.times // HOUR % 24).astype(np.uint8),
    )
    return pa.table([pa.array(column) for column in columns], schema=INTERACTIONS)


def _counted(parts: Parts) -> Ints:
    return np.bincount(parts, minlength=256)


def _named(split: str, counts: Ints) -> dict[str, int]:
    """How many are in each part, by its name. Raises DatasetError where one is empty."""
    if split == "fold":
        names = {fold: str(fold) for fold in range(KFold().folds)}
    else:
        names = {part: name for part, name in _PARTS.items() if part != FOLD_IN or counts[part]}
    empty = [name for part, name in names.items() if not counts[part]]
    if empty:
        raise DatasetError(
            f"{counts.sum()} ratings are too few for the split {split}: nothing would be in "
            f"{', '.join(empty)}; more data is needed"
        )
    return {name: int(counts[part]) for part, name in names.items()}
