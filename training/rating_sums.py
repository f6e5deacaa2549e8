"""What movies were rated in all at any moment of a log, as live state would have had it then."""

from typing import NamedTuple

import numpy as np

from training.dataset import Ratings
from training.rating_questions import Sums
from training.tower_inputs import Ints


class SumsOverTime(NamedTuple):
    """Sums after each of c changes, ordered by movie and time.

    Attributes:
        keys: i64[c] row of the movie * number of moments + the moment, ascending.
        moments: i64[] at which anything changed, ms since the epoch, ascending.
        first: i64[movies] the first change of each movie.
        sums: i64[3, c + 1] of all changes before each, whichever movie they were of.
    """

    keys: Ints
    moments: Ints
    first: Ints
    sums: Ints

    @classmethod
    def of(cls, log: Ratings) -> "SumsOverTime":
        """Of all movies of a log. A rating given again takes back the one before."""
        again = np.flatnonzero(log.replaced < log.ends)
        rows = np.concatenate([log.rows, log.rows[again]])
        times = np.concatenate([log.times, log.times[log.replaced[again]]])
        given = np.concatenate([log.half_stars, log.half_stars[again]])
        signs = np.concatenate([np.ones(len(log), np.int64), np.full(len(again), -1)])
        moments, at = np.unique(times, return_inverse=True)
        keys = rows * len(moments) + at
        order = np.argsort(keys, kind="stable")
        changes = np.stack([signs, signs * given, signs * given**2])[:, order]
        sums = np.hstack([np.zeros((3, 1), np.int64), np.cumsum(changes, axis=1)])
        keys = keys[order]
        first = np.searchsorted(keys, np.arange(len(log.movies)) * len(moments))
        return cls(keys, moments, first, sums)

    def before(self, rows: Ints, times: Ints) -> Sums:
        """Of these movies, each right before a moment.

        Args:
            rows: i64[n].
            times: i64[n] ms since the epoch.
        """
        at = np.searchsorted(self.moments, times)
        places = np.searchsorted(self.keys, rows * len(self.moments) + at)
        return Sums(*(self.sums[:, places] - self.sums[:, self.first[rows]]))
