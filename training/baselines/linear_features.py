"""Features of a user, of a movie and of the two, from which a linear model predicts ratings."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.features import DAY
from training import kernels
from training.by_rows import ByRows, row_sums, with_data
from training.tower_inputs import Content, Floats, Ints, movie_features

ERA: Final = 10  # years
WEEK: Final = 7 * DAY  # ms

USER: Final = ("user mean", "user deviation", "user count", "user generosity")
MOVIE: Final = ("movie mean", "movie deviation", "movie popularity", "movie year")
AFFINITY: Final = ("genre affinity", "era affinity")
TIME: Final = (
    "hour of day, sine",
    "hour of day, cosine",
    "day of week, sine",
    "day of week, cosine",
)


class Prior(NamedTuple):
    """What is thought of a user or a movie before the first rating.

    n ratings count against `ratings` average ones. So there is a number where there are no ratings,
    and the mean of two does not pass for one of two hundred.

    Attributes:
        mean: of all stars.
        deviation: of all stars.
        ratings: how many ratings it counts for.
    """

    mean: float
    deviation: float
    ratings: float

    def means(
        self, count: npt.NDArray[np.float64], total: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """f64[n]: means of the prior with so many ratings of such a sum each."""
        return (total + self.ratings * self.mean) / (count + self.ratings)

    def updated(self, owners: Ints, stars: npt.NDArray[np.floating], n: int) -> Floats:
        """f32[n, 2]: mean and deviation of the prior with the ratings of each of n.

        Args:
            owners: i64[e] below n, whose each rating is.
            stars: [e].
        """
        of_stars = (np.bincount(owners, stars**power, n) for power in range(3))
        count, total, squares = (of.astype(np.float64) for of in of_stars)
        return self.updated_by(count, total, squares)

    def updated_by(
        self,
        count: npt.NDArray[np.float64],
        total: npt.NDArray[np.float64],
        squares: npt.NDArray[np.float64],
    ) -> Floats:
        """f32[n, 2]: the same from how many ratings each has, their sum and that of their squares.

        Args:
            count: [n].
            total: [n] stars.
            squares: [n].
        """
        means = self.means(count, total)
        squared = squares - 2 * means * total + count * means**2
        variances = (squared + self.ratings * self.deviation**2) / (count + self.ratings)
        return np.column_stack([means, np.sqrt(np.maximum(variances, 0))]).astype(np.float32)


class Users(NamedTuple):
    """What B histories say.

    Generosity is by how many stars somebody rates movies higher than others do: unlike their mean
    it does not depend on how good the movies were. A taste is by how many stars more than that they
    rate the movies of a group higher.

    Attributes:
        features: f32[B, USER].
        tastes: f32[B, groups].
    """

    features: Floats
    tastes: Floats


def users(rated: ByRows, movie_means: Floats, groups: Floats, prior: Prior) -> Users:
    """What histories say of their users.

    Args:
        rated: f32[B, movies], as `evidence.stars` gives it.
        movie_means: f32[movies] stars.
        groups: f32[movies, groups] 1 where a movie is of a group.
        prior: of users.
    """
    return users_above(rated, rated.data - movie_means[rated.indices], groups, prior)


def users_above(rated: ByRows, by: Floats, groups: Floats, prior: Prior) -> Users:
    """`users` where f32[e] by how many stars each rating is above the mean of its movie is known.

    A column may be in a row more than once.
    """
    counts = np.diff(rated.indptr)
    sums = (row_sums(of) for of in (rated, with_data(rated, rated.data**2)))
    about = prior.updated_by(counts.astype(np.float64), *sums)
    generosity = row_sums(with_data(rated, by)) / (counts + prior.ratings)
    above, members = np.zeros((2, len(counts), groups.shape[1]), np.float32)
    kernels.add_up_groups(rated.indptr, rated.indices, by, groups, above, members)
    tastes = (above - generosity[:, None] * members) / (members + prior.ratings)
    features = np.column_stack([about, np.log1p(counts), generosity])
    return Users(features.astype(np.float32), tastes.astype(np.float32))


def movie_years(movies: Sequence[Content]) -> Floats:
    """f32[movies], that of a movie without one being the mean of the others."""
    years = np.array([movie.year or np.nan for movie in movies], np.float32)
    known = ~np.isnan(years)
    return np.where(known, years, years[known].mean() if known.any() else 0).astype(np.float32)


def eras_of(movies: Sequence[Content]) -> Ints:
    """i64[eras]: the decades of the movies' years, as years / 10, ascending."""
    return np.unique(np.array([it.year // ERA for it in movies if it.year is not None], np.int64))


def group_shares(
    movies: Sequence[Content], genres: Sequence[str], decades: Ints | None = None
) -> Floats:
    """f32[movies, genres + eras]: shares of a movie's genres, then 1 in the decade of its year.

    Each of the two adds up to 1 for a movie, or to 0 where nothing is known.

    Args:
        movies: to describe.
        genres: those that have a column; others do not count.
        decades: those that have one, see `eras_of`; unless told those of the movies.
    """
    of = movie_features(movies, genres)[:, : len(genres)] > 0
    own = np.array([-1 if movie.year is None else movie.year // ERA for movie in movies], np.int64)
    eras = own[:, None] == (eras_of(movies) if decades is None else decades)
    return np.hstack([of / np.maximum(of.sum(axis=1, keepdims=True), 1), eras]).astype(np.float32)


def time_features(times: Ints) -> Floats:
    """f32[B, TIME] of times in ms since the epoch, UTC."""
    turns = 2 * np.pi * np.stack([times % DAY / DAY, times % WEEK / WEEK])
    waves = [wave(turn) for turn in turns for wave in (np.sin, np.cos)]
    features: Floats = np.stack(waves, axis=1).astype(np.float32)
    return features
