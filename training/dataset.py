"""The ratings as training reads them: columns in log order, and the state before any event in bulk.

The fold of `stream.features` keeps a user's latest rating of each movie. Here the same state is
derived for millions of events at once, and `tests/training/test_dataset.py` compares the two.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from stream.contracts.errors import DatasetError
from stream.features import DAY, DAYS_A_MONTH, SECOND
from training.tower_inputs import (
    HISTORY,
    PADDING,
    Floats,
    Ints,
    TowerInputs,
    ages,
    scaled_user_features,
)

# Half stars from which a rating says that the movie was liked: 4 stars, the usual reading of
# MovieLens, and close to its users' mean.
LIKED: Final = 8


class Movie(NamedTuple):
    movie_id: int
    title: str
    genres: tuple[str, ...]
    year: int | None


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
    """

    movies: list[Movie]
    users: Ints
    rows: Ints
    half_stars: Ints
    times: Ints

    @classmethod
    def from_tables(cls, ratings: pa.Table, movies: pa.Table) -> "Ratings":
        """From tables as `producers.datasets` makes them.

        Raises:
            DatasetError: there are no ratings, or some are of movies that `movies` lacks.
        """
        catalogue = [Movie(*row) for row in _movie_rows(movies)]
        ids = np.array([movie.movie_id for movie in catalogue], np.int64)
        frame = pl.DataFrame(pl.from_arrow(ratings))
        if frame.is_empty():
            raise DatasetError("there are no ratings to train on")
        movie_ids = frame["movie_id"].cast(pl.Int64).to_numpy()
        rows = np.searchsorted(ids, movie_ids)
        known = rows < len(ids)
        known[known] = ids[rows[known]] == movie_ids[known]
        if not known.all():
            raise DatasetError(
                f"{np.count_nonzero(~known)} ratings are of movies without an entry, the first of "
                f"movie {movie_ids[~known][0]}: load the data set through producers.datasets"
            )
        users = frame["user_id"].cast(pl.Int64).to_numpy()
        times = frame["timestamp"].cast(pl.Int64).to_numpy()
        order = np.lexsort((_shuffle(users, movie_ids), times, users))
        half_stars = (frame["rating"].to_numpy() * 2).round().astype(np.int64)
        return cls(catalogue, users[order], rows[order], half_stars[order], times[order])

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def first(self) -> Ints:
        """i64[n]: the first event of each event's user."""
        return np.searchsorted(self.users, self.users, side="left")

    @cached_property
    def replaced(self) -> Ints:
        """i64[n]: the event by which the user rated the movie again, else the user's end."""
        replaced = self._ends.copy()
        order = np.lexsort((self.rows, self.users))  # stable: in order of events
        again = (np.diff(self.users[order]) == 0) & (np.diff(self.rows[order]) == 0)
        replaced[order[:-1][again]] = order[1:][again]
        return replaced

    @cached_property
    def features(self) -> Floats:
        """f32[n, USER_FEATURES]: the user's features right before each event, 0 before any."""
        count, total, squares = (np.zeros(len(self), np.int64) for _ in range(3))
        low, high = np.zeros(len(self)), np.zeros(len(self))
        rated_again = np.flatnonzero(self.replaced < self._ends)
        for level in range(1, 11):
            change = np.zeros(len(self) + 1, np.int64)
            change[1:] = self.half_stars == level
            gone = rated_again[self.half_stars[rated_again] == level]
            change[self.replaced[gone] + 1] -= 1
            held = np.cumsum(change)[:-1]
            held -= held[self.first]
            count += held
            total += level * held
            squares += level * level * held
            low[(low == 0) & (held > 0)] = level / 2
            high[held > 0] = level / 2
        there = count > 0
        n = np.maximum(count, 1)
        seconds = self.times // SECOND
        # Replacements only move forward, so the oldest rating still standing is found by bisection.
        oldest = np.searchsorted(np.maximum.accumulate(self.replaced), np.arange(len(self)))
        days = (seconds[np.arange(len(self)) - 1] - seconds[oldest]) * SECOND / DAY
        months = np.maximum(np.where(there, days, 0) / DAYS_A_MONTH, 1.0)
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
        return digest.hexdigest()

    def inputs_before(self, events: Ints) -> TowerInputs:
        """The user tower's inputs as each of these events found its user, that event excluded."""
        at = events[:, None] - 1 - np.arange(HISTORY + self._most_replaced)
        there = at >= self.first[events][:, None]
        at = np.maximum(at, 0)
        there &= self.replaced[at] >= events[:, None]
        if self._most_replaced:
            kept = np.argsort(~there, axis=1, kind="stable")[:, :HISTORY]
            at = np.take_along_axis(at, kept, axis=1)
            there = np.take_along_axis(there, kept, axis=1)
        return TowerInputs(
            history=np.where(there, self.rows[at] + 1, PADDING),
            ratings=np.where(there, self.half_stars[at] / 2, 0).astype(np.float32),
            ages=ages(self.times[at] // SECOND, there),
            features=self.features[events],
        )

    def counts(self, events: Ints) -> tuple[Ints, Ints]:
        """i64[movies] twice: how many of these events each movie has, and how many liked it."""
        liked = events[self.half_stars[events] >= LIKED]
        size = len(self.movies)
        return (
            np.bincount(self.rows[events], minlength=size),
            np.bincount(self.rows[liked], minlength=size),
        )

    @cached_property
    def _ends(self) -> Ints:
        return np.searchsorted(self.users, self.users, side="right")

    @cached_property
    def _most_replaced(self) -> int:
        """The most ratings that one user gave again: how far a history may reach beyond HISTORY."""
        again = self.first[self.replaced < self._ends]
        return int(np.bincount(again).max()) if len(again) else 0


def _movie_rows(movies: pa.Table) -> list[tuple[int, str, tuple[str, ...], int | None]]:
    columns = (movies[name].to_pylist() for name in ("movie_id", "title", "genres", "year"))
    rows = zip(*columns, strict=True)
    return sorted((movie, title, tuple(genres or ()), year) for movie, title, genres, year in rows)


def _shuffle(users: Ints, movies: Ints) -> npt.NDArray[np.uint64]:
    """u64[n]: numbers that order ties the same way every time, whatever the order of the rows.

    The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    generators, 2014).
    """
    mixed = users.astype(np.uint64) << np.uint64(32) ^ movies.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
