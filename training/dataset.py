"""The ratings as training reads them: columns in log order, and the state before any event in bulk.

The fold of `stream.features` keeps a user's latest rating of each movie. Here the same state is
derived for millions of events at once, and `tests/training/test_dataset.py` compares the two.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from stream.contracts.errors import DatasetError
from stream.features import DAY, DAYS_A_MONTH, SECOND
from training.tower_inputs import Floats, Ints, scaled_user_features

# Half stars from which a rating says that the movie was liked: 4 stars, the usual reading of
# MovieLens, and close to its users' mean.
LIKED: Final = 8

# Text of any length. A column as wide as the longest tag takes 50 times the memory of most tags.
Words: TypeAlias = np.ndarray[tuple[int, ...], np.dtypes.StringDType]


class Movie(NamedTuple):
    movie_id: int
    title: str
    genres: tuple[str, ...]
    year: int | None


class Tags(NamedTuple):
    """t tags that people gave to movies.

    Attributes:
        rows: i64[t] the movie of each.
        words: StringDType[t] the tag, in lower case.
        times: i64[t] ms since the epoch.
    """

    rows: Ints
    words: Words
    times: Ints

    def until(self, time: int) -> "Tags":
        """Those given by that time (ms), itself included."""
        known = self.times <= time
        return Tags(self.rows[known], self.words[known], self.times[known])


NO_TAGS: Final = Tags(
    np.zeros(0, np.int64), np.zeros(0, np.dtypes.StringDType()), np.zeros(0, np.int64)
)


@dataclass(frozen=True)
class Ratings:
    """n rating events, grouped by user, each user's in the order of time.

    Events of one user at the same millisecond are in an arbitrary but fixed order. Data sets list
    them by movie id, and a model would learn that the next movie is the one with the next id.

    Attributes:
        movies: the catalogue by ascending movie id; a movie's place in it is its row.
        users: i64[n] user ids.
        rows: i64[n] the movie of each event.
        half_stars: i64[n] its rating, 1..10.
        times: i64[n] ms since the epoch.
        tags: what people wrote about the movies, where the data set says so.
    """

    movies: list[Movie]
    users: Ints
    rows: Ints
    half_stars: Ints
    times: Ints
    tags: Tags = NO_TAGS

    @classmethod
    def from_tables(
        cls, ratings: pa.Table, movies: pa.Table, tags: pa.Table | None = None
    ) -> "Ratings":
        """From tables as `producers.datasets` makes them; tags of unknown movies are left out.

        Raises:
            DatasetError: there are no ratings, or some are of movies that `movies` lacks.
        """
        if not len(ratings):
            raise DatasetError("there are no ratings to train on")
        catalogue = catalogue_of(movies)
        words = NO_TAGS if tags is None else _tags(_ids(catalogue), tags)
        return cls.of(pl.DataFrame(pl.from_arrow(ratings)), catalogue, words)

    @classmethod
    def of(cls, frame: pl.DataFrame, catalogue: list[Movie], tags: Tags = NO_TAGS) -> "Ratings":
        """From rows of `producers.tables.RATINGS` in any order, of which there may be none.

        A user's ratings of one movie at the same millisecond stay in the order of the rows.

        Raises:
            DatasetError: some are of movies that are not in the catalogue.
        """
        ids = _ids(catalogue)
        movie_ids = frame["movie_id"].cast(pl.Int64).to_numpy()
        rows, known = _rows_of(ids, movie_ids)
        if not known.all():
            raise DatasetError(
                f"{np.count_nonzero(~known)} ratings are of movies without an entry, the first of "
                f"movie {movie_ids[~known][0]}: load the data set through producers.datasets"
            )
        users = frame["user_id"].cast(pl.Int64).to_numpy()
        times = frame["timestamp"].cast(pl.Int64).to_numpy()
        order = np.lexsort((mix(users, movie_ids), times, users))
        half_stars = (frame["rating"].to_numpy() * 2).round().astype(np.int64)
        return cls(catalogue, users[order], rows[order], half_stars[order], times[order], tags)

    def __len__(self) -> int:
        return len(self.users)

    def take(self, events: Ints) -> "Ratings":
        """Only these events, as if nothing else had happened; of the tags, those given by then.

        Args:
            events: i64[m], ascending.
        """
        columns = (self.users, self.rows, self.half_stars, self.times)
        users, rows, half_stars, times = (column[events] for column in columns)
        tags = self.tags.until(int(times.max())) if len(events) else NO_TAGS
        return Ratings(self.movies, users, rows, half_stars, times, tags)

    @cached_property
    def first(self) -> Ints:
        """i64[n]: the first event of each event's user."""
        starts, ends = self._bounds
        return np.repeat(starts, ends - starts)

    @cached_property
    def ends(self) -> Ints:
        """i64[n]: the event after the last one of each event's user."""
        starts, ends = self._bounds
        return np.repeat(ends, ends - starts)

    @cached_property
    def replaced(self) -> Ints:
        """i64[n]: the event by which the user rated the movie again, else the user's end."""
        replaced = self.ends.copy()
        pairs = np.sort((self.first * len(self.movies)) + self.rows)
        if not (pairs[1:] == pairs[:-1]).any():
            return replaced  # nobody rated anything again, as in most data sets
        order = np.lexsort((self.rows, self.users))  # stable: in order of events
        again = (np.diff(self.users[order]) == 0) & (np.diff(self.rows[order]) == 0)
        replaced[order[:-1][again]] = order[1:][again]
        return replaced

    def features(self, starts: Ints, ends: Ints) -> Floats:
        """f32[B, USER_FEATURES]: what `events[start:end]` of one user each make of that user.

        Zeros where there is no event. A start is a user's first event.
        """
        held = self._held[ends] - self._held[starts]
        levels = np.arange(1, 11)
        count, total, squares = (held @ levels**power for power in range(3))
        there = count > 0
        n = np.maximum(count, 1)
        low = (held > 0).argmax(axis=1) / 2 + 0.5
        high = 5 - (held[:, ::-1] > 0).argmax(axis=1) / 2
        # Replacements only move forward, so the oldest rating still standing is found by bisection.
        oldest = np.searchsorted(self._latest_replacement, ends)[there]
        days = np.zeros(len(ends))
        newest, oldest = self.times[ends[there] - 1] // SECOND, self.times[oldest] // SECOND
        days[there] = (newest - oldest) * SECOND / DAY
        months = np.maximum(days / DAYS_A_MONTH, 1.0)
        std = np.sqrt(np.maximum(squares * n - total * total, 0)) / n / 2
        features = scaled_user_features(n, total / n / 2, std, low, high, count / months)
        features[~there] = 0
        return features

    @cached_property
    def genres(self) -> tuple[str, ...]:
        """All genres of the catalogue, by name."""
        return tuple(sorted({genre for movie in self.movies for genre in movie.genres}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything here, in hexadecimal."""
        digest = hashlib.sha256(repr(self.movies).encode())
        for column in (self.users, self.rows, self.half_stars, self.times):
            digest.update(column.tobytes())
        if len(self.tags.rows):
            digest.update(repr([column.tolist() for column in self.tags]).encode())
        return digest.hexdigest()

    def counts(self, events: Ints) -> tuple[Ints, Ints]:
        """i64[movies] twice: how many of these events each movie has, and how many liked it."""
        liked = events[self.half_stars[events] >= LIKED]
        size = len(self.movies)
        return (
            np.bincount(self.rows[events], minlength=size),
            np.bincount(self.rows[liked], minlength=size),
        )

    def means(self, events: Ints) -> npt.NDArray[np.float64]:
        """f64[movies]: the mean rating of each in these events, in stars; NaN without any."""
        counts, _ = self.counts(events)
        half_stars = np.bincount(self.rows[events], self.half_stars[events], len(self.movies))
        with np.errstate(invalid="ignore"):  # 0 / 0
            means: npt.NDArray[np.float64] = half_stars / (2 * counts)
        return means

    @cached_property
    def _bounds(self) -> tuple[Ints, Ints]:
        """i64[users] twice: the first event of each user, and the one after their last."""
        starts = np.flatnonzero(np.diff(self.users, prepend=self.users[:1] - 1))
        return starts, np.append(starts, len(self))[1:]

    @cached_property
    def _held(self) -> npt.NDArray[np.int32]:
        """i32[n + 1, 10]: ratings of each number of half stars that stand after so many events."""
        change = np.zeros((len(self) + 1, 10), np.int32)
        change[np.arange(1, len(self) + 1), self.half_stars - 1] = 1
        gone = np.flatnonzero(self.replaced < self.ends)
        np.subtract.at(change, (self.replaced[gone] + 1, self.half_stars[gone] - 1), 1)
        return np.cumsum(change, axis=0, dtype=np.int32)

    @cached_property
    def _latest_replacement(self) -> Ints:
        return np.maximum.accumulate(self.replaced)

    @cached_property
    def most_replaced(self) -> int:
        """The most ratings that one user gave again: how far the latest of them reach."""
        again = self.first[self.replaced < self.ends]
        return int(np.bincount(again).max()) if len(again) else 0


def catalogue_of(movies: pa.Table) -> list[Movie]:
    """The movies of `producers.tables.MOVIES` by ascending movie id."""
    columns = (movies[name].to_pylist() for name in ("movie_id", "title", "genres", "year"))
    rows = sorted(zip(*columns, strict=True), key=itemgetter(0))
    return [Movie(movie, title, tuple(genres or ()), year) for movie, title, genres, year in rows]


def _ids(catalogue: list[Movie]) -> Ints:
    return np.array([movie.movie_id for movie in catalogue], np.int64)


def _rows_of(ids: Ints, movie_ids: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The place of each movie in the ascending `ids`, and whether it is there at all."""
    rows = np.searchsorted(ids, movie_ids)
    known = rows < len(ids)
    known[known] = ids[rows[known]] == movie_ids[known]
    return rows, known


def _tags(ids: Ints, tags: pa.Table) -> Tags:
    words = pl.col("tag").str.strip_chars().str.to_lowercase()
    frame = pl.DataFrame(pl.from_arrow(tags)).with_columns(words).filter(pl.col("tag") != "")
    rows, known = _rows_of(ids, frame["movie_id"].cast(pl.Int64).to_numpy())
    frame = frame.filter(pl.Series(known))
    times = frame["timestamp"].cast(pl.Int64).to_numpy()
    given = frame["tag"].to_numpy().astype(np.dtypes.StringDType())
    return Tags(rows[known], cast(Words, given), times)


def mix(users: Ints, movies: Ints, seed: int = 0) -> npt.NDArray[np.uint64]:
    """u64[n]: numbers as good as random, and the same every time, whatever the order of the rows.

    The generator of Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014
    (SplitMix64), whose state is the user, the movie and so many steps as the seed says.
    """
    mixed = users.astype(np.uint64) << np.uint64(32) ^ movies.astype(np.uint64)
    mixed += np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
