"""What the towers read: one layout, filled from live state here and in bulk by `training.dataset`.

Torch-free, because serving fills it too. `tests/training/test_tower_inputs.py` holds both ways of
filling it to the same numbers.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from stream.features import DAY, SECOND, UserState
from stream.user_features import user_features

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]

# Index of "nothing there": before the first rating, or a movie the model does not know. A movie in
# row i of the vocabulary has index i + 1.
PADDING: Final = 0

USER_FEATURES: Final = 5
DAY_SECONDS: Final = DAY / SECOND

# Columns of `movie_features` after those of the genres.
MOVIE_COLUMNS: Final = 5

_MIDDLE_YEAR: Final = 1990
_YEARS: Final = 20.0  # brings a century of films to about -4..2
_LOG_COUNT: Final = 10.0  # log1p of the most rated movie of 25M ratings is 11


class TowerInputs(NamedTuple):
    """B users as the user tower reads them; histories latest rating first, padded at the end.

    They are as wide as the longest of them, one rating at least. How many ratings a tower reads at
    most is its own business.

    Attributes:
        history: i64[B, L] vocabulary row + 1 of the movies, or PADDING.
        ratings: f32[B, L] stars, 0 where there is no rating.
        ages: f32[B, L] days before the user's latest rating.
        features: f32[B, USER_FEATURES].
    """

    history: Ints
    ratings: Floats
    ages: Floats
    features: Floats

    def of(self, users: slice | Ints) -> "TowerInputs":
        """Those of some of the users."""
        history, ratings, ages, features = self
        return TowerInputs(history[users], ratings[users], ages[users], features[users])


class Content(Protocol):
    """What the item tower knows of a movie that nobody has rated."""

    @property
    def genres(self) -> Sequence[str]: ...

    @property
    def year(self) -> int | None: ...


def from_states(
    states: Sequence[UserState],
    rows: Callable[[npt.NDArray[np.uint32]], npt.NDArray[np.intp]],
    length: int,
) -> TowerInputs:
    """The inputs of these users as of their last event.

    Args:
        states: one user each.
        rows: the vocabulary row of each movie id, -1 where the model does not know it.
        length: latest ratings of each that are read.
    """
    width = min(max((len(state.half_stars) for state in states), default=0), length) or 1
    movies = _latest([state.movies for state in states], "<u4", width)
    times = _latest([state.times for state in states], "<u4", width).astype(np.int64)
    half_stars = _latest([state.half_stars for state in states], "u1", width)
    there = half_stars > 0
    return TowerInputs(
        history=(rows(movies) + 1) * there,
        ratings=half_stars.astype(np.float32) * np.float32(0.5),
        ages=ages(times, there),
        features=np.concatenate([_features_of(state) for state in states])
        if states
        else np.zeros((0, USER_FEATURES), np.float32),
    )


def ages(times: Ints, there: npt.NDArray[np.bool_]) -> Floats:
    """f32[B, L]: days from each rating to the latest one, the first of its row.

    Args:
        times: i64[B, L] seconds, latest first.
        there: bool[B, L], which of them are ratings.
    """
    days = (times[:, :1] - times) / DAY_SECONDS
    return (np.maximum(days, 0) * there).astype(np.float32)


def scaled_user_features(
    count: npt.ArrayLike,
    mean: npt.ArrayLike,
    std: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    per_month: npt.ArrayLike,
) -> Floats:
    """f32[B, USER_FEATURES] of users with a rating at least: each about -1..1.

    The arguments are those of `stream.user_features.UserFeatures`, in stars, one element a user.
    """
    counts = np.log1p(count)
    features = np.empty((len(counts), USER_FEATURES), np.float32)
    features[:, 0] = counts / 5
    features[:, 1] = np.asarray(mean) - 3.5
    features[:, 2] = np.asarray(std) - 1
    features[:, 3] = (np.asarray(high) - low) / 5
    features[:, 4] = np.log1p(per_month) / 5
    return features


def movie_features(
    movies: Sequence[Content],
    genres: Sequence[str],
    ratings: npt.ArrayLike = 0,
    liked: npt.ArrayLike = 0,
) -> Floats:
    """f32[n, len(genres) + MOVIE_COLUMNS]: genres, year and popularity, for the item tower.

    Args:
        movies: n movies.
        genres: the genres that have a column; others are left out.
        ratings: [n] how many ratings each has in the training data.
        liked: [n] how many of them say that it was liked.
    """
    column = {genre: index for index, genre in enumerate(genres)}
    features = np.zeros((len(movies), len(genres) + MOVIE_COLUMNS), np.float32)
    for row, movie in zip(features, movies, strict=True):
        for genre in movie.genres:
            if genre in column:
                row[column[genre]] = 1
        if movie.year is not None:
            row[-5] = 1
            row[-4] = (movie.year - _MIDDLE_YEAR) / _YEARS
    features[:, -3] = np.asarray(ratings) > 0
    features[:, -2] = np.log1p(ratings) / _LOG_COUNT
    features[:, -1] = np.log1p(liked) / _LOG_COUNT
    return features


def _features_of(state: UserState) -> Floats:
    features = user_features(state, {}, now=0)
    if features is None:
        return np.zeros((1, USER_FEATURES), np.float32)
    low, high = features.rating_range
    return scaled_user_features(
        [features.rating_count],
        [features.rating_mean],
        [features.rating_std],
        [low],
        [high],
        [features.ratings_per_month],
    )


def _latest(columns: Sequence[bytes], dtype: str, width: int) -> npt.NDArray[np.uint32]:
    """[B, width]: the last elements of each column, latest first, 0 where there are none."""
    size = width * np.dtype(dtype).itemsize
    padded = b"".join([column[-size:].rjust(size, b"\0") for column in columns])
    return np.frombuffer(padded, dtype).reshape(-1, width)[:, ::-1]
