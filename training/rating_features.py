"""What tells how many stars somebody gives a movie: features of the user, the movie and the two.

A movie's neighbours are those whose ratings are above expectation together with its own: item-based
prediction of residuals (Robert Bell, Yehuda Koren: Scalable collaborative filtering with jointly
derived neighborhood interpolation weights, ICDM 2007).

Torch-free and without a data set: the lab asks this about its log, serving about live state.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.features import DAY
from training.baselines.least_squares import Penalties, biased
from training.baselines.linear_features import (
    AFFINITY,
    MOVIE,
    USER,
    Prior,
    group_shares,
    users_above,
)
from training.blocks import runs
from training.by_rows import ByRows, sums
from training.rating_questions import Asked, Past
from training.tower_inputs import Content, Floats, Ints

# Columns of `Known.features`: these, then one for each genre.
FEATURES: Final = (
    *USER,
    *MOVIE,
    *AFFINITY,
    "matrix factorisation",
    "mood of the hour",
    "mood of the days",
    "movies alike",
    "movies rated with it",
)
(
    _USER_MEAN,
    _USER_DEVIATION,
    USER_COUNT,
    _GENEROSITY,
    _MOVIE_MEAN,
    _MOVIE_DEVIATION,
    MOVIE_COUNT,
) = range(7)
_FACTORS: Final = FEATURES.index("matrix factorisation")

_HALF: Final = 10.0  # ratings of which half of what they say is believed, where features interact
# ms from another rating at which it says 1/e about somebody's mood: an evening, and some days.
_MOODS: Final = (DAY / 24, 3 * DAY)
_PRIOR_MOOD: Final = 2.0  # ratings as expected that a mood begins with
_PRIOR_WEIGHT: Final = 0.35  # of neighbours that rated as expected: that of a correlation of 0.5
_POWER: Final = 1.5  # of a correlation, its weight: strong ones count more than in proportion
_ELEMENTS: Final = 1 << 22  # ratings of histories that are looked at together: 100 MB


class Known(NamedTuple):
    """What a model learnt of m movies, but for what they were rated. Row -1 is any other movie.

    Attributes:
        prior: f64[3], of `linear_features.Prior`.
        genres: str[g] that have columns.
        decades: i64[h] that have one, see `linear_features.eras_of`.
        content: f32[m + 1, 1 + g + g + h]: year, 1 for each genre, and the movie's shares as
            `linear_features.group_shares` gives them.
        groups: f32[m + 1, g + h] 1 where a share is not 0.
        places: i64[m + 1] in the next three, -1 of a movie without neighbours.
        spreads: f32[n + 1] deviation of ratings of a movie from what is expected of user and movie,
            0 of place -1.
        alike: f16[n, n] correlation of those of two movies, drawn to 0 where few rated both.
        lifts: f16[i, j] mean of those of movie j by people who rated movie i at all.
        mean: f32[1] of all stars, see `baselines.biased_mf`.
        biases: f32[m + 1] of the movies likewise, 0 of row -1.
        factors: f32[m + 1, 1 + d]: 1, and those of the movies, 0 of row -1.
        penalties: f32[2] of a person's, see `least_squares.Penalties`.
    """

    prior: npt.NDArray[np.float64]
    genres: npt.NDArray[np.str_]
    decades: Ints
    content: Floats
    groups: Floats
    places: Ints
    spreads: Floats
    alike: npt.NDArray[np.float16]
    lifts: npt.NDArray[np.float16]
    mean: Floats
    biases: Floats
    factors: Floats
    penalties: Floats

    def describe(self, movies: Sequence[Content]) -> Floats:
        """f32[k, c]: `content` of movies that it did not learn."""
        years = np.array([movie.year or self.content[-1, 0] for movie in movies], np.float32)
        shares = group_shares(movies, self.genres.tolist(), self.decades)
        return np.column_stack([years, shares[:, : len(self.genres)] > 0, shares]).astype(
            np.float32
        )

    def features(self, past: Past, asked: Asked) -> Floats:
        """f32[k, FEATURES and genres] of k questions about what people rated."""
        prior = Prior(*self.prior.tolist())
        year, genres, shares = np.split(asked.content, [1, 1 + len(self.genres)], axis=1)
        by = past.stars - past.means
        known = users_above(self._rated(past.stars, past.rows, past.ends), by, self.groups, prior)

        matches = known.tastes[asked.of] * shares
        tastes = [some.sum(axis=1) for some in np.split(matches, [len(self.genres)], axis=1)]
        above = by - np.repeat(known.features[:, _GENEROSITY], np.diff(past.ends))
        return np.column_stack(
            [
                known.features[asked.of],
                asked.movies.moments(prior),
                np.log1p(asked.movies.counts),
                year,
                *tastes,
                self._factored(past, asked),
                self._moods(past, above, asked),
                self._neighbours(past, above, asked),
                genres,
            ]
        ).astype(np.float32)

    def expand(self, features: Floats) -> Floats:
        """f32[k, terms]: the features, and what they are worth together.

        How much each is worth depends on how much is known.
        """
        user, movie = features[:, : len(USER)], features[:, len(USER) : len(USER) + len(MOVIE)]
        factors, *near = features[:, _FACTORS : len(FEATURES)].T
        mean, deviation = self.prior[:2].astype(np.float32)
        generous, good = user[:, _GENEROSITY], movie[:, 0] - mean
        expected = generous + good
        beyond = factors - mean - expected
        sure_of_user, sure_of_movie = (
            _sure(features[:, USER_COUNT]),
            _sure(features[:, MOVIE_COUNT]),
        )
        critical, disputed = (side[:, 1] - deviation for side in (user, movie))
        trusted = [
            one * sure
            for one in (generous, good, beyond, *near)
            for sure in (sure_of_user, sure_of_movie)
        ]
        both = [
            beyond * sure_of_user * sure_of_movie,
            expected**2,  # stars end at 5
            generous * critical,
            generous * disputed,
            good * critical,
            features[:, USER_COUNT] ** 2,
            features[:, MOVIE_COUNT] ** 2,
        ]
        return np.column_stack([features, *trusted, *both]).astype(np.float32)

    def _factored(self, past: Past, asked: Asked) -> Floats:
        """f32[k]: stars that matrix factorisation expects."""
        [learnt] = np.nonzero(past.rows >= 0)
        stars, rows = past.stars.take(learnt), past.rows.take(learnt)
        rated = self._rated(stars, rows, _ends(past.ends, learnt))
        penalties = Penalties(*self.penalties.tolist())
        people = biased(rated, self.mean, self.biases, self.factors, penalties)[asked.of]
        found: Floats = np.einsum("kd,kd->k", people, self.factors[asked.rows])
        found += self.mean + self.biases[asked.rows]
        return found.clip(0.5, 5)

    def _rated(self, stars: Floats, rows: Ints, ends: Ints) -> ByRows:
        """f32[B, m + 1]."""
        places = rows.astype(np.int32)
        places[places < 0] += len(self.content)
        return ByRows(stars, places, ends.astype(np.int32))

    def _moods(self, past: Past, above: Floats, asked: Asked) -> Floats:
        """f32[k, moods]: how far ratings around then were above expectation."""
        moments, at = np.unique(asked.times, return_inverse=True)
        moods, which = np.unique(asked.of * len(moments) + at, return_inverse=True)
        of, times = moods // len(moments), moments[moods % len(moments)]
        found = np.empty((len(moods), len(_MOODS)), np.float32)
        lengths = np.diff(past.ends)[of]
        for some in runs(lengths, _ELEMENTS):
            lists, events = _events(past.ends, of[some])
            apart = np.abs(times[some][lists] - past.times[events]).astype(np.float32)
            surprises = above[events]
            for column, mood in enumerate(_MOODS):
                weights = np.exp(apart * np.float32(-1 / mood))
                total = sums(weights, lengths[some]) + _PRIOR_MOOD
                found[some, column] = sums(weights * surprises, lengths[some]) / total
        return found[which]

    def _neighbours(self, past: Past, above: Floats, asked: Asked) -> Floats:
        """f32[k, 2]: how far ratings of a movie's neighbours were above expectation; and by how
        much having rated these at all speaks for it."""
        here = self.places.take(past.rows)
        [linked] = np.nonzero(here >= 0)
        ends, here = _ends(past.ends, linked), here.take(linked)
        surprises = above.take(linked) / self.spreads.take(here)
        found = np.zeros((len(asked.of), 2), np.float32)
        there = self.places[asked.rows]
        [asking] = np.nonzero(there >= 0)
        lengths = np.diff(ends)[asked.of[asking]]
        for some in runs(lengths, _ELEMENTS):
            now, ratings = asking[some], lengths[some]
            lists, events = _events(ends, asked.of[now])
            pairs = here[events], there[now][lists]
            alike = self.alike[pairs].astype(np.float32)
            weights = np.abs(alike) ** _POWER
            total = sums(weights, ratings) + _PRIOR_WEIGHT
            said = sums(np.sign(alike) * weights * surprises[events], ratings)
            lifts = sums(self.lifts[pairs].astype(np.float32), ratings)
            found[now, 0] = self.spreads[there[now]] * said / total
            found[now, 1] = lifts / np.maximum(ratings, 1)
        return found


def _sure(log_counts: Floats) -> Floats:
    """f32[k] in [0, 1): how much to believe so many ratings."""
    sure: Floats = 1 - _HALF / (np.expm1(log_counts) + np.float32(_HALF))
    return sure


def _ends(ends: Ints, kept: Ints) -> Ints:
    """The same of the ratings that are kept, whose places these are."""
    return np.searchsorted(kept, ends)


def _events(ends: Ints, of: Ints) -> tuple[Ints, Ints]:
    """i64[n] twice: the ratings of these people in turn: which of `of` it is for, and its place."""
    lengths = np.diff(ends)[of]
    lists = np.repeat(np.arange(len(of)), lengths)
    return lists, np.arange(len(lists)) + np.repeat(ends[of + 1] - np.cumsum(lengths), lengths)
