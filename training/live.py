"""Live features of the movies: how much each is rated, of late and over the years, and by whom.

The stream keeps a movie's heats by partition (`stream.features.MovieState`), the lab for a whole
log here. Torch-free, because serving reads it too.
"""

import copy
from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from stream.features import DAY, HEATS, NEWCOMER
from training.tower_inputs import Floats, Ints

Heats = npt.NDArray[np.float64]  # [len(HEATS), movies], -inf where nobody has rated

Values = TypeVar("Values", npt.NDArray[np.float64], npt.NDArray[np.int64])

# What is added to a movie's share of the hottest one's decayed count: below a hundredth of it there
# is nothing to tell apart.
FLOOR: Final = 0.01

_PLACES: Final = 6  # that count: sums in another order differ further behind


class Counted:
    """The heats of m movies by all ratings so far, as the stream has them over all partitions.

    Attributes:
        heats: of the movies.
    """

    def __init__(self, movies: int) -> None:
        self.heats: Heats = np.full((len(HEATS), movies), -np.inf)
        self._given: dict[int, int] = {}

    def observe(self, users: Ints, rows: Ints, times: Ints) -> None:
        """Count ratings, each user's in their order.

        Args:
            users: i64[n] who gave each.
            rows: i64[n] its movie.
            times: i64[n] ms since the epoch.
        """
        new = self._given_before(users) <= NEWCOMER
        for heat, of in zip(HEATS, self.heats, strict=True):
            counts = new if heat.newcomers else slice(None)
            np.logaddexp2.at(of, rows[counts], times[counts] / DAY / heat.half_life)

    @property
    def given(self) -> Ints:
        """i64[2, users]: users, and how many ratings each has given."""
        return np.array([list(self._given.keys()), list(self._given.values())], np.int64)

    @classmethod
    def of(cls, heats: Heats, given: Ints) -> "Counted":
        """One that was as far as this."""
        counted = cls(heats.shape[1])
        counted.heats, counted._given = heats, dict(given.T.tolist())
        return counted

    def copy(self) -> "Counted":
        """One that observes on its own."""
        twin = copy.copy(self)
        twin.heats, twin._given = self.heats.copy(), self._given.copy()
        return twin

    def _given_before(self, users: Ints) -> Ints:
        """i64[n]: how many ratings each one's user had given before; they are counted from now."""
        order = np.argsort(users, kind="stable")
        who, begins, counts = np.unique(users[order], return_index=True, return_counts=True)
        before = np.array([self._given.get(user, 0) for user in who.tolist()], np.int64)
        given = np.empty(len(users), np.int64)
        given[order] = np.arange(len(users)) + np.repeat(before - begins, counts)
        self._given |= zip(who.tolist(), (before + counts).tolist(), strict=True)
        return given


def model_first(values: Values, rows: Ints, movies: int, nobody: float = -np.inf) -> Values:
    """[h, movies + others]: those of a model's movies by row, then of all others.

    Args:
        values: [h, n] of n movies.
        rows: i64[n] of the model, -1 where it lacks the movie.
        movies: how many the model has.
        nobody: the value of those that nobody has rated.
    """
    others = rows < 0
    found = np.full((len(values), movies + np.count_nonzero(others)), nobody, values.dtype)
    places = np.where(others, movies - 1 + np.cumsum(others), rows)
    for of_all, own in zip(found, values, strict=True):  # many times as fast as all at once
        of_all[places] = own
    return found


def live_features(heats: Heats) -> Mapping[str, Floats]:
    """By name, f32[movies]: log2(share + 0.01), of the hottest movie's decayed count.

    A share needs no clock, so a log that is replayed years later gives the same.
    """
    features = {}
    for heat, of in zip(HEATS, heats, strict=True):
        hottest = of.max(initial=-np.inf)
        below = of - hottest if hottest > -np.inf else np.zeros_like(of)
        share = np.exp2(below.round(_PLACES))
        features[heat.name] = np.log2(share + FLOOR).astype(np.float32)
    return features
