"""Learns to predict ratings: features from a log, weights and intervals from ratings beyond it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from training.baselines.biased_mf import BiasedMf
from training.baselines.evidence import stars
from training.baselines.linear_features import Prior, eras_of, group_shares, movie_years
from training.dataset import Ratings
from training.histories import Histories
from training.rating_features import Known
from training.rating_model import (
    FEWEST,
    GROUPS,
    HIGHEST,
    LOWEST,
    QUANTILES,
    RatingModel,
    doubtful,
    groups,
    linear,
)
from training.rating_questions import Asked, Past, Sums
from training.rating_sums import SumsOverTime
from training.tower_inputs import Floats, Ints

REGULARIZATION: Final = 30.0  # of weights
FACTORS: Final = 16
FOLDS: Final = 5  # an error is that of weights fitted on the other four

# Average ratings that a user, a movie and a taste begin with, and a pair of movies.
_PRIOR_RATINGS: Final = 5.0
_PRIOR_PAIRS: Final = 25.0
_FEWEST: Final = 5  # ratings of a movie that has neighbours: of fewer, all that is shared is chance
# Movies that have neighbours, those rated most: two matrices of so many squared, 16 bits each.
_MOST_NEIGHBOURS: Final = 4_000

_BATCH: Final = 4096  # questions at once: some 30 MB of features
_LEAST: Final = 0.2  # of the mean error: what every prediction is expected to be wrong by
_SHARPEST: Final = 0.01  # stars below which nothing is told apart, where everyone rates alike


class Examples(NamedTuple):
    """Ratings that were held out.

    Attributes:
        features: f32[n, features].
        stars: f32[n].
        ways: str[n], how each was held out.
    """

    features: Floats
    stars: Floats
    ways: npt.NDArray[np.str_]


def known_of(train: Ratings, factors: int = FACTORS) -> tuple[Known, Sums]:
    """What these ratings say of their movies, and what these were rated."""
    rated = stars(Histories.of_users(train, np.unique(train.users)))
    size = len(train.movies)
    prior = Prior(float(rated.data.mean()), float(rated.data.std()), _PRIOR_RATINGS)
    half_stars = (2 * rated.data).round().astype(np.int64)
    sums = Sums(
        *(
            np.bincount(rated.indices, half_stars**power, size).astype(np.int64)
            for power in range(3)
        )
    )
    mf = BiasedMf(factors=factors)
    mf.fit(train)
    decades = eras_of(train.movies)
    shares = group_shares(train.movies, train.genres, decades)
    years = movie_years(train.movies)
    content = np.column_stack([years, shares[:, : len(train.genres)] > 0, shares])
    unknown = np.zeros((1, content.shape[1]))
    unknown[0, 0] = years.mean()
    groups = np.vstack([np.ceil(shares), np.zeros((1, shares.shape[1]))])
    places, spreads, alike, lifts = _neighbours(rated, sums, prior)
    known = Known(
        prior=np.array(prior),
        genres=np.array(train.genres, np.str_),
        decades=decades,
        content=np.vstack([content, unknown]).astype(np.float32),
        groups=groups.astype(np.float32),
        places=places,
        spreads=spreads,
        alike=alike,
        lifts=lifts,
        mean=mf.mean,
        biases=np.append(mf.movies[:, 0], np.float32(0)),
        factors=_with_ones(mf.movies),
        penalties=np.array([mf.regularization, mf.bias_regularization], np.float32),
    )
    return known, sums


def _with_ones(factors: Floats) -> Floats:
    """f32[m + 1, 1 + d] from f32[m, 1 + d]: 1 in place of biases, and a row without factors."""
    vectors = np.vstack([factors, np.zeros((1, factors.shape[1]), np.float32)])
    vectors[:, 0] = 1
    return vectors


def _neighbours(
    rated: sparse.csr_array, sums: Sums, prior: Prior
) -> tuple[Ints, Floats, npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """`places`, `spreads`, `alike` and `lifts` of `Known`."""
    counts, means = sums.counts, sums.moments(prior)[:, 0]
    most = np.argsort(-counts, kind="stable")[:_MOST_NEIGHBOURS]
    kept = np.sort(most[counts[most] >= _FEWEST])
    places = np.full(len(counts) + 1, -1)
    places[kept] = np.arange(len(kept))

    above = rated.copy()
    above.data = rated.data - means[rated.indices]
    lengths = np.diff(rated.indptr)
    generosity = above.sum(axis=1) / (lengths + _PRIOR_RATINGS)
    above.data -= np.repeat(generosity, lengths)
    variance = max(float(np.mean(above.data**2)), _SHARPEST**2) * _PRIOR_PAIRS
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
    halves = alike.astype(np.float16), lifts.astype(np.float16)
    return places, np.append(spreads, np.float32(0)), *halves


def in_the_lab(
    known: Known, sums: Sums, histories: Histories, rows: Ints, times: Ints
) -> tuple[Past, Asked]:
    """One question about each of B histories, movies having been rated as in the fit.

    Args:
        known: what the fit learnt.
        sums: of its movies.
        histories: of B users.
        rows: i64[B] the movies.
        times: i64[B] when, ms since the epoch.
    """
    different, which = histories.distinct()
    rated, log = different.rated(), histories.log
    seen = log.rows[rated.events]
    past = Past(
        np.searchsorted(rated.lists, np.arange(len(different) + 1)),
        seen,
        (log.half_stars[rated.events] / 2).astype(np.float32),
        log.times[rated.events],
        sums.means(Prior(*known.prior.tolist()))[seen],
    )
    movies = Sums(*(of[rows] for of in sums))
    return past, Asked(which, rows, times, movies, known.content[rows])


def as_served(
    known: Known, over_time: SumsOverTime, log: Ratings, events: Ints
) -> tuple[Past, Asked]:
    """The question that each event answers, asked right before it: all is as of then.

    Args:
        known: what was learnt before the first of them.
        over_time: sums of `log`.
        log: where the events are.
        events: i64[k].
    """
    rated = Histories.before(log, events).rated()
    rows, times, seen = log.rows[events], log.times[events], log.rows[rated.events]
    past = Past(
        np.searchsorted(rated.lists, np.arange(len(events) + 1)),
        seen,
        (log.half_stars[rated.events] / 2).astype(np.float32),
        log.times[rated.events],
        over_time.before(seen, times[rated.lists]).means(Prior(*known.prior.tolist())),
    )
    movies = over_time.before(rows, times)
    return past, Asked(np.arange(len(events)), rows, times, movies, known.content[rows])


def weighed(
    known: Known, examples: Examples, regularization: float = REGULARIZATION
) -> RatingModel:
    """The model with weights and intervals that these examples give.

    Args:
        known: what features are made of.
        examples: of ratings that it did not know.
        regularization: of weights.
    """
    features, actual, ways = examples
    terms = known.expand(features)
    weights = ridge(terms, actual, regularization)
    folds = np.arange(len(actual)) % FOLDS
    predicted = np.empty(len(actual), np.float32)
    for fold in range(FOLDS):
        some = folds == fold
        of_others = ridge(terms[~some], actual[~some], regularization)
        predicted[some] = linear(of_others, terms[some]).clip(LOWEST, HIGHEST)
    errors = np.abs(actual - predicted)
    doubts = ridge(doubtful(features, predicted), errors, regularization)
    least = np.maximum(errors.mean(keepdims=True) * _LEAST, np.float32(_SHARPEST))
    bounds = np.stack([features.min(axis=0), features.max(axis=0)])
    population = np.quantile(features, QUANTILES, axis=0).astype(np.float32)
    model = RatingModel(known, weights, doubts, least, {}, bounds, population)
    relative, group = errors / model.scales(features, predicted), groups(features)
    sizes = {}
    for way in np.unique(ways):
        theirs = ways == way
        for number in range(len(GROUPS)):
            some = theirs & (group == number)
            if np.count_nonzero(some) < FEWEST:
                some = theirs
            sizes[f"{way}/{number}"] = np.sort(relative[some])
    return replace(model, sizes=sizes)


def ridge(inputs: Floats, targets: Floats, penalty: float) -> Floats:
    """f32[1 + d]: intercept and weights, the penalty being for weights of deviations."""
    centers, deviations = (
        inputs.mean(axis=0, dtype=np.float64),
        inputs.std(axis=0, dtype=np.float64),
    )
    scaled = (inputs - centers) / np.where(deviations > 0, deviations, 1)
    system = scaled.T @ scaled + penalty * np.eye(inputs.shape[1])
    weights = np.linalg.solve(system, scaled.T @ (targets - targets.mean()))
    weights /= np.where(deviations > 0, deviations, 1)
    return np.append(targets.mean() - centers @ weights, weights).astype(np.float32)


def batches(n: int) -> Iterator[slice]:
    """All of n questions, so many at a time that their features fit in memory."""
    for start in range(0, n, _BATCH):
        yield slice(start, start + _BATCH)
