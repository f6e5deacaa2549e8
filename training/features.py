"""Features of all users and movies of a log at once, as the fold of `stream.features` has them.

What a person thinks of a movie is their latest rating of it, so a rating given again replaces the
first in every mean and count. Only the trend of a movie counts every rating event, as there. Both
ways are held to the same numbers by `tests/training/test_features.py`.

The features of users need all events of a user at once, and no other user's. Those of movies are
made of sums, which add up over parts of a log: memory is that of the part at hand.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import scipy.sparse

from stream.features import DAY, DAYS_A_MONTH, HEAT_HALF_LIFE, SECOND
from training.dataset import Movie, Ratings
from training.tower_inputs import Ints

Floats64: TypeAlias = npt.NDArray[np.float64]

TOP_GENRES: Final = 3  # of a user, as in `stream.user_features.user_features`


def of_users(log: Ratings, now: int) -> pl.DataFrame:
    """One row for each user of the log, by id. Nothing is missing: each rated something.

    Columns, all but the first as in `stream.user_features.UserFeatures`: ``user_id``,
    ``rating_mean``, ``rating_std``, ``rating_count``, ``rating_low``, ``rating_high`` (stars),
    ``top_genres`` (up to 3), ``ratings_per_month``, ``days_since_last``.

    Args:
        log: all events of some users.
        now: ms since the epoch, for `days_since_last` alone.
    """
    standing = np.flatnonzero(log.replaced == log.ends)
    users = log.users[standing]
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    half_stars, seconds = log.half_stars[standing], log.times[standing] // SECOND
    count = np.diff(starts, append=len(standing))
    total, squares = (np.add.reduceat(half_stars**power, starts) for power in (1, 2))
    span = np.maximum.reduceat(seconds, starts) - np.minimum.reduceat(seconds, starts)
    months = np.maximum(span * SECOND / DAY / DAYS_A_MONTH, 1.0)
    last = log.times[np.searchsorted(log.users, users[starts], side="right") - 1]
    mean, std = moments_of(count, total, squares)
    return pl.DataFrame(
        {
            "user_id": users[starts],
            "rating_mean": mean,
            "rating_std": std,
            "rating_count": count,
            "rating_low": np.minimum.reduceat(half_stars, starts) / 2,
            "rating_high": np.maximum.reduceat(half_stars, starts) / 2,
            "top_genres": _top_genres(log, log.rows[standing], np.append(starts, len(standing))),
            "ratings_per_month": count / months,
            "days_since_last": np.maximum((now - last) / DAY, 0.0),
        }
    )


@dataclass(frozen=True)
class MovieSums:
    """What the features of the movies are made of; sums of logs without a common user add up.

    Attributes:
        count: i64[movies] ratings that stand.
        total: i64[movies] their sum, in half stars.
        squares: i64[movies] the sum of their squares.
        weight: f64[movies] all rating events, each 2^-(its age / the half-life of heat).
        recent: f64[movies] the sum of their half stars so weighted.
    """

    count: Ints
    total: Ints
    squares: Ints
    weight: Floats64
    recent: Floats64

    @classmethod
    def nothing(cls, movies: int) -> "MovieSums":
        """Of no events."""
        counts, weights = np.zeros(movies, np.int64), np.zeros(movies)
        return cls(counts, counts, counts, weights, weights)

    @classmethod
    def of(cls, log: Ratings, now: int) -> "MovieSums":
        """Ages are before `now` (ms), which must be the same for all that is added up.

        The weights keep their precision for more than 80 years.
        """
        size = len(log.movies)
        standing = log.replaced == log.ends
        levels = np.arange(1, 11)
        places = log.rows[standing] * len(levels) + log.half_stars[standing] - 1
        held = np.bincount(places, minlength=size * len(levels)).reshape(size, -1)
        weights = np.exp2((log.times - now) / (DAY * HEAT_HALF_LIFE))
        return cls(
            held.sum(axis=1),
            held @ levels,
            held @ levels**2,
            _sums(log.rows, weights, size),
            _sums(log.rows, weights * log.half_stars, size),
        )

    def __add__(self, other: "MovieSums") -> "MovieSums":
        return MovieSums(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.weight + other.weight,
            self.recent + other.recent,
        )


def of_movies(sums: MovieSums, movies: list[Movie], genres: tuple[str, ...]) -> pl.DataFrame:
    """One row for each movie of the catalogue, by id.

    Columns: ``movie_id``, ``log_popularity`` (log(1 + count)), ``rating_mean``, ``rating_std``,
    ``rating_count``, ``genres``, ``genre_vector`` (0 or 1 for each of `genres`), ``release_year``,
    ``rating_trend`` (`stream.features.MovieState.trend`: recent mean less overall mean, in stars).
    Missing are the year that the title does not have, and mean, deviation and trend of a movie
    that nobody rated: the fold calls them 0.
    """
    rated = sums.count > 0
    mean, std = moments_of(sums.count, sums.total, sums.squares)
    trend = sums.recent / np.where(rated, sums.weight, 1) / 2 - mean
    vectors = (genre_counts(movies, genres) > 0).astype(np.uint8)
    frame = pl.DataFrame(
        {
            "movie_id": np.array([movie.movie_id for movie in movies], np.uint32),
            "log_popularity": np.log1p(sums.count),
            "rating_mean": mean,
            "rating_std": std,
            "rating_count": sums.count,
            "genres": _lists([list(movie.genres) for movie in movies], pa.string()),
            "genre_vector": _lists([*vectors], pa.uint8()),
            "release_year": pl.Series([movie.year for movie in movies], dtype=pl.Int32),
            "rating_trend": trend,
        }
    )
    known = pl.when(pl.Series(rated))
    return frame.with_columns(
        known.then(pl.col(name)).alias(name)
        for name in ("rating_mean", "rating_std", "rating_trend")
    )


def genre_counts(movies: list[Movie], genres: tuple[str, ...]) -> npt.NDArray[np.int32]:
    """i32[movies, genres]: how often each movie has each genre, which is once or not at all in a
    proper catalogue."""
    column = {genre: at for at, genre in enumerate(genres)}
    rows = np.repeat(np.arange(len(movies)), [len(movie.genres) for movie in movies])
    columns = [column[genre] for movie in movies for genre in movie.genres]
    counts = np.zeros((len(movies), len(genres)), np.int32)
    np.add.at(counts, (rows, np.array(columns, np.int64)), 1)
    return counts


def moments_of(count: Ints, total: Ints, squares: Ints) -> tuple[Floats64, Floats64]:
    """Mean and population standard deviation, in stars, of sums in half stars; 0 for a count of 0.

    All of one shape: a number of each movie or user, such as i64[movies] in and f64[movies] out.
    Whole numbers until the end, so that equal ratings have a deviation of exactly 0.
    """
    n = np.maximum(count, 1)
    return total / n / 2, np.sqrt(np.maximum(squares * n - total * total, 0)) / n / 2


def _sums(rows: Ints, values: Floats64, size: int) -> Floats64:
    """f64[size]: the sum of the values in each row."""
    return np.bincount(rows, values, minlength=size).astype(np.float64)


def _lists(values: list[Any], of: pa.DataType) -> pl.Series:
    """A column of lists, by way of Arrow: polars takes seconds for those of 60,000 movies."""
    return pl.Series(pa.array(values, pa.list_(of)))


def _top_genres(log: Ratings, rows: Ints, bounds: Ints) -> pl.Series:
    """The genres with most ratings, ties by name, of the users whose ratings `bounds` delimits."""
    per_movie = genre_counts(log.movies, log.genres)
    shape = (len(bounds) - 1, len(log.movies))
    rated = scipy.sparse.csr_array((np.ones(len(rows), np.int32), rows, bounds), shape=shape)
    counts = rated @ per_movie
    order = np.argsort(-counts, axis=1, kind="stable")[:, :TOP_GENRES]
    names = pl.Series(log.genres, dtype=pl.String)
    top = [
        pl.when(pl.Series(np.take_along_axis(counts, order[:, [place]], axis=1)[:, 0] > 0)).then(
            names.gather(order[:, place])
        )
        for place in range(order.shape[1])
    ]
    if not top:
        return pl.Series([[]] * shape[0], dtype=pl.List(pl.String))
    return pl.select(pl.concat_list(top).list.drop_nulls()).to_series()
