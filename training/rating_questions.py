"""What a predictor of ratings is asked: arrays, filled from a log or from live state."""

from typing import NamedTuple

import numpy as np

from training.baselines.linear_features import Prior
from training.tower_inputs import Floats, Ints


class Sums(NamedTuple):
    """What n movies were rated in all, as `stream.features.MovieState` has it.

    Attributes:
        counts: i64[n] ratings that stand.
        totals: i64[n] their sum, in half stars.
        squares: i64[n] the sum of their squares.
    """

    counts: Ints
    totals: Ints
    squares: Ints

    def means(self, prior: Prior) -> Floats:
        """f32[n] stars, beginning from the prior."""
        means = prior.means(self.counts.astype(np.float64), self.totals / 2)
        return means.astype(np.float32)

    def moments(self, prior: Prior) -> Floats:
        """f32[n, 2]: mean and deviation in stars, beginning from the prior."""
        return prior.updated_by(self.counts.astype(np.float64), self.totals / 2, self.squares / 4)


class Past(NamedTuple):
    """The e ratings that stand of B people: of each movie the latest, oldest first.

    Attributes:
        ends: i64[B + 1] where those of each person begin and those of the last one end.
        rows: i64[e] the movie, -1 where the model did not learn it.
        stars: f32[e].
        times: i64[e] ms since the epoch.
        means: f32[e] of the movie of each, see `Sums.means`.
    """

    ends: Ints
    rows: Ints
    stars: Floats
    times: Ints
    means: Floats


class Asked(NamedTuple):
    """k questions: how many stars would this person give that movie?

    Attributes:
        of: i64[k] which person of a `Past`.
        rows: i64[k] the movie, -1 where the model did not learn it.
        times: i64[k] when they would, ms since the epoch.
        movies: of the movie of each, without a rating of it by the person.
        content: f32[k, c] what the movie is, as `Known.content` has it.
    """

    of: Ints
    rows: Ints
    times: Ints
    movies: Sums
    content: Floats

    def some(self, which: slice | Ints) -> "Asked":
        """Those of the questions."""
        movies = Sums(*(of[which] for of in self.movies))
        return Asked(
            self.of[which], self.rows[which], self.times[which], movies, self.content[which]
        )
