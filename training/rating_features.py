"""What tells how many stars somebody gives a movie: features of the user, the movie and the two.

A movie's neighbours are those whose ratings are above expectation together with its own: item-based
prediction of residuals (Robert Bell, Yehuda Koren: Scalable collaborative filtering with jointly
derived neighborhood interpolation weights, ICDM 2007).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.features import DAY
from training.baselines.evidence import stars
from training.baselines.linear_features import MOVIE, Prior, group_shares, movie_years, users
from training.dataset import Ratings
from training.histories import Histories
from training.tower_inputs import Floats, Ints

# Average ratings that a user, a movie and a taste begin with, and a pair of movies.
_PRIOR_RATINGS: Final = 5.0
_PRIOR_PAIRS: Final = 25.0

_FEWEST: Final = 5  # ratings of a movie that has neighbours: of fewer, all that is shared is chance
# Movies that have neighbours, those rated most: two matrices of so many squared, 16 bits each.
_MOST_NEIGHBOURS: Final = 4_000

_HALF: Final = 10.0  # ratings of which half of what they say is believed, where features interact
# ms from another rating at which it says 1/e about somebody's mood: an evening, and some days.
_MOODS: Final = (DAY / 24, 3 * DAY)
_PRIOR_MOOD: Final = 2.0  # ratings as expected that a mood begins with
_PRIOR_WEIGHT: Final = 0.35  # of neighbours that rated as expected: that of a correlation of 0.5
_POWER: Final = 1.5  # of a correlation, its weight: strong ones count more than in proportion
_ELEMENTS: Final = 1 << 22  # ratings of histories that are looked at together: 100 MB

# Columns of `linear_features.USER` and, but for the last one, of `MOVIE`.
_MEAN, _DEVIATION, _COUNT, _GENEROSITY = range(4)


class Known(NamedTuple):
    """What is known of m movies.

    Attributes:
        prior: f64[3], of `linear_features.Prior`.
        movies: f32[m, 4 + genres] of `linear_features.MOVIE`, then 1 for each genre.
        shares: f32[m, genres + eras], see `group_shares`.
        groups: f32[m, genres + eras] 1 where a share is not 0.
        places: i64[m] in the next three, -1 of a movie without neighbours.
        spreads: f32[n] deviation of ratings of a movie from what is expected of user and movie.
        alike: f16[n, n] correlation of those of two movies, drawn to 0 where few rated both.
        lifts: f16[i, j] mean of those of movie j by people who rated movie i at all.
    """

    prior: npt.NDArray[np.float64]
    movies: Floats
    shares: Floats
    groups: Floats
    places: Ints
    spreads: Floats
    alike: npt.NDArray[np.float16]
    lifts: npt.NDArray[np.float16]

    @classmethod
    def of(cls, train: Ratings) -> "Known":
        """What these ratings say."""
        rated = stars(Histories.of_users(train, np.unique(train.users)))
        size = len(train.movies)
        prior = Prior(float(rated.data.mean()), float(rated.data.std()), _PRIOR_RATINGS)
        counts = np.bincount(rated.indices, minlength=size)
        shares = group_shares(train.movies, train.genres)
        movies = np.column_stack(
            [
                prior.updated(rated.indices, rated.data, size),
                np.log1p(counts),
                movie_years(train.movies),
                shares[:, : len(train.genres)] > 0,
            ]
        ).astype(np.float32)
        most = np.argsort(-counts, kind="stable")[:_MOST_NEIGHBOURS]
        kept = np.sort(most[counts[most] >= _FEWEST])
        places = np.full(size, -1)
        places[kept] = np.arange(len(kept))

        above = rated.copy()
        above.data = rated.data - movies[rated.indices, _MEAN]
        lengths = np.diff(rated.indptr)
        generosity = above.sum(axis=1) / (lengths + _PRIOR_RATINGS)
        above.data -= np.repeat(generosity, lengths)
        variance = float(np.mean(above.data**2)) * _PRIOR_PAIRS
        above = above[:, kept].tocsr()
        ones = above.copy()
        ones.data = np.ones_like(above.data)
        squares = above.power(2).sum(axis=0)
        spreads = np.sqrt((squares + variance) / (counts[kept] + _PRIOR_PAIRS)).astype(np.float32)
        both = (ones.T @ ones).toarray() + np.float32(_PRIOR_PAIRS)
        alike = (above.T @ above).toarray() / both / np.outer(spreads, spreads)
        lifts = (ones.T @ above).toarray() / both
        for matrix in (alike, lifts):
            np.fill_diagonal(matrix, 0)
        return cls(
            np.array(prior),
            movies,
            shares,
            np.ceil(shares),
            places,
            spreads,
            alike.astype(np.float16),
            lifts.astype(np.float16),
        )

    def features(self, histories: Histories, rows: Ints, times: Ints, factors: Floats) -> Floats:
        """f32[B, features] of B users and one movie each.

        Args:
            histories: of B users.
            rows: i64[B] the movies.
            times: i64[B] when, ms since the epoch.
            factors: f32[B] stars that matrix factorisation expects.
        """
        different, which = histories.distinct()
        prior = Prior(*self.prior.tolist())
        known = users(stars(different), self.movies[:, _MEAN], self.groups, prior)
        user, movie = known.features[which], self.movies[rows]
        matches = known.tastes[which] * self.shares[rows]
        tastes = [some.sum(axis=1) for some in np.split(matches, [movie.shape[1] - len(MOVIE)], 1)]
        near = np.empty((len(rows), len(_MOODS) + 2), np.float32)
        for some in _batches(different.lengths[which]):
            generosity = user[some, _GENEROSITY]
            near[some] = self._near(histories[some], rows[some], times[some], generosity)

        generous, good = user[:, _GENEROSITY], movie[:, _MEAN] - prior.mean
        expected = generous + good
        beyond = factors - prior.mean - expected
        sure_of_user, sure_of_movie = (_sure(side[:, _COUNT]) for side in (user, movie))
        critical, disputed = (side[:, _DEVIATION] - prior.deviation for side in (user, movie))
        plain = [*user.T, *movie.T, *tastes, factors, *near.T]
        # How much each of these is worth depends on how much is known.
        trusted = [
            one * sure
            for one in (generous, good, beyond, *near.T)
            for sure in (sure_of_user, sure_of_movie)
        ]
        both = [
            beyond * sure_of_user * sure_of_movie,
            expected**2,  # stars end at 5
            generous * critical,
            generous * disputed,
            good * critical,
            user[:, _COUNT] ** 2,
            movie[:, _COUNT] ** 2,
        ]
        return np.column_stack([*plain, *trusted, *both]).astype(np.float32)

    def _near(self, histories: Histories, rows: Ints, times: Ints, generosity: Floats) -> Floats:
        """f32[B, moods + 2]: how far ratings around then, and those of neighbours, were above
        expectation; and by how much having rated its neighbours at all speaks for a movie."""
        log, rated = histories.log, histories.rated()
        of, seen = rated.lists, log.rows[rated.events]
        above = log.half_stars[rated.events] / 2 - self.movies[seen, _MEAN] - generosity[of]
        apart = np.abs(times[of] - log.times[rated.events])
        found = []
        for mood in _MOODS:
            weights = np.exp(-apart / mood)
            total = np.bincount(of, weights, len(rows)) + _PRIOR_MOOD
            found.append(np.bincount(of, weights * above, len(rows)) / total)

        here, there = self.places[seen], self.places[rows]
        linked = (here >= 0) & (there[of] >= 0)
        here, of = here[linked], of[linked]
        alike = self.alike[here, there[of]].astype(np.float32)
        surprises = above[linked] / self.spreads[here]
        weights = np.abs(alike) ** _POWER
        total = np.bincount(of, weights, len(rows)) + _PRIOR_WEIGHT
        surprise = np.bincount(of, np.sign(alike) * weights * surprises, len(rows))
        spreads = np.append(self.spreads, 0)[there]  # 0 of a movie without neighbours, at -1
        lifts = np.bincount(of, self.lifts[here, there[of]].astype(np.float32), len(rows))
        lengths = np.maximum(np.bincount(of, minlength=len(rows)), 1)
        found += [spreads * surprise / total, lifts / lengths]
        return np.column_stack(found).astype(np.float32)


def _sure(log_counts: Floats) -> Floats:
    """f32[B] in [0, 1): how much to believe so many ratings."""
    sure: Floats = 1 - _HALF / (np.expm1(log_counts) + np.float32(_HALF))
    return sure


def _batches(lengths: Ints) -> Iterator[slice]:
    """All of so many histories, in runs of at most `_ELEMENTS` ratings or one history."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        limit = (ends[start - 1] if start else 0) + _ELEMENTS
        end = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, end)
        start = end
