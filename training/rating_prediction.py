"""How many stars somebody would give a movie, and between which bounds.

A linear stack (David Wolpert: Stacked generalization, 1992) of what is known of the user and of the
movie, of biased matrix factorisation and of ratings of the movie's neighbours; around it conformal
intervals (`training.conformal`). Predicting takes NumPy and sparse matrices alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import DatasetError
from training import conformal
from training.baselines.biased_mf import BiasedMf
from training.baselines.linear_features import MOVIE, USER
from training.dataset import Ratings
from training.histories import Histories
from training.rating_features import Known
from training.recommender import OnProgress
from training.tower_inputs import Floats, Ints

FOLDS: Final = 5  # a rating is predicted from the other four, as if it were not known

# Ratings to stack and to calibrate on at most: eighty coefficients and a quantile are as well known
# from these as from 25M, and where one fold has so many, it is the only one.
MOST_EXAMPLES: Final = 300_000

_BATCH: Final = 4096  # examples at once: some 30 MB of features
_LEAST: Final = 0.2  # of the mean error: what every prediction is expected to be wrong by
_LOWEST, _HIGHEST = 0.5, 5.0  # stars


class _Examples(NamedTuple):
    """Features and stars of ratings that were held out."""

    inputs: Floats
    stars: Floats
    whole: npt.NDArray[np.bool_]  # asked with all the rest of the history, not what was before


@dataclass
class RatingPrediction:
    """Predicts intercept + sum of weight * feature, and an interval for it.

    The weights are a ridge regression of ratings that nothing behind their features has seen: in
    turn each fifth of the ratings is held out. Of half of them the user's history is all that is
    left, as when ratings are split at random; of the other half only what they had rated before,
    down to nothing, as when the model is asked about someone at work. So it knows how far to
    believe a long history and a short one.

    How wrong it is expected to be is a second regression, of its absolute errors on how much is
    known of user and movie, how critical and how disputed they are, and on the stars. The errors
    are those of weights fitted without the rating. An interval is this scale times a conformal
    quantile, the larger one of the two halves, so that it holds for both; it is cut at 0.5 and 5
    stars.

    A score is the prediction for the moment of the history's latest rating, not cut at 5 stars.

    Attributes:
        factors: of the matrix factorisation.
        regularization: of the weights.
        seed: of the folds.
    """

    factors: int = 16
    regularization: float = 30.0
    seed: int = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        events = Histories.of_users(train, np.unique(train.users)).rated().events
        if len(events) < 2 * FOLDS:
            raise DatasetError(
                f"{len(events)} ratings are too few to learn from: give {2 * FOLDS} or more"
            )
        chance = np.random.default_rng(self.seed)
        folds = chance.permutation(np.arange(len(events)) % FOLDS)
        parts: list[_Examples] = []
        wanted = MOST_EXAMPLES
        for fold in range(FOLDS):
            held = chance.permutation(np.flatnonzero(folds == fold))[:wanted]
            parts.append(
                self._held_out(train, events[folds != fold], events[np.sort(held)], chance)
            )
            wanted -= len(held)
            on_progress(fold + 1, FOLDS + 1)
            if not wanted:
                break
        self._learn(train)
        examples = _Examples(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        self.weights = _ridge(examples.inputs, examples.stars, self.regularization)
        self._calibrate(examples)
        on_progress(FOLDS + 1, FOLDS + 1)

    def score(self, histories: Histories) -> Floats:
        movies = len(histories.log.movies)
        scores = np.empty((len(histories), movies), np.float32)
        latest = np.append(histories.log.times, 0)[histories.ends - 1]  # any, where there is none
        for one in range(len(histories)):
            asked = histories[np.full(movies, one)]
            inputs = self._inputs(asked, np.arange(movies), np.full(movies, latest[one]))
            scores[one] = _linear(self.weights, inputs)
        return scores

    def predict(self, histories: Histories, rows: Ints, times: Ints) -> Floats:
        return self._stars(self._inputs(histories, rows, times))

    def predict_interval(
        self, histories: Histories, rows: Ints, times: Ints, coverage: float = 0.9
    ) -> tuple[Floats, Floats]:
        """f32[B] twice: bounds in stars, 0.5..5, between which this share of the ratings will be.

        Of all ratings like those of the fit, that is: the share may be another one among a certain
        user's, and where people rate otherwise than they did.

        Args:
            histories: of B users.
            rows: i64[B] the movie that each is asked about.
            times: i64[B] when, ms since the epoch.
            coverage: between 0 and 1.

        Raises:
            ConfigurationError: the coverage is not between 0 and 1.
        """
        inputs = self._inputs(histories, rows, times)
        stars = self._stars(inputs)
        within = max(conformal.within(sizes, coverage) for sizes in self.sizes.values())
        margins = self._scales(inputs, stars) * np.float32(within)
        return (stars - margins).clip(_LOWEST, _HIGHEST), (stars + margins).clip(_LOWEST, _HIGHEST)

    def _learn(self, train: Ratings) -> None:
        """All that features come from."""
        self.known = Known.of(train)._asdict()
        self.mf = BiasedMf(factors=self.factors)
        self.mf.fit(train)

    def _held_out(
        self, train: Ratings, known: Ints, held: Ints, chance: np.random.Generator
    ) -> _Examples:
        """Examples of some ratings, of people and movies as others show them."""
        rest, rows, times = train.take(known), train.rows[held], train.times[held]
        fold = RatingPrediction(self.factors)
        fold._learn(rest)
        asked = Histories.of_users(rest, train.users[held])
        whole = chance.random(len(held)) < 0.5
        before = np.searchsorted(known, held)
        asked = Histories(rest, asked.starts, np.where(whole, asked.ends, before))
        inputs = [
            fold._inputs(asked[some], rows[some], times[some]) for some in _batches(len(held))
        ]
        return _Examples(np.concatenate(inputs), _in_stars(train, held), whole)

    def _calibrate(self, examples: _Examples) -> None:
        """Learn how wrong predictions are."""
        inputs, stars, whole = examples
        folds = np.arange(len(stars)) % FOLDS
        predicted = np.empty(len(stars), np.float32)
        for fold in range(FOLDS):
            some = folds == fold
            weights = _ridge(inputs[~some], stars[~some], self.regularization)
            predicted[some] = _linear(weights, inputs[some]).clip(_LOWEST, _HIGHEST)
        errors = np.abs(stars - predicted)
        self.least = errors.mean(keepdims=True) * _LEAST
        self.doubts = _ridge(_doubtful(inputs, predicted), errors, self.regularization)
        sizes = errors / self._scales(inputs, predicted)
        self.sizes = {"whole": np.sort(sizes[whole]), "before": np.sort(sizes[~whole])}

    def _inputs(self, histories: Histories, rows: Ints, times: Ints) -> Floats:
        factors = self.mf.predict(histories, rows, times)
        return Known(**self.known).features(histories, rows, times, factors)

    def _stars(self, inputs: Floats) -> Floats:
        return _linear(self.weights, inputs).clip(_LOWEST, _HIGHEST)

    def _scales(self, inputs: Floats, stars: Floats) -> Floats:
        """f32[B]: by how many stars predictions are expected to be wrong."""
        scales: Floats = np.maximum(_linear(self.doubts, _doubtful(inputs, stars)), self.least)
        return scales


def _in_stars(train: Ratings, events: Ints) -> Floats:
    return (train.half_stars[events] / 2).astype(np.float32)


def _doubtful(inputs: Floats, stars: Floats) -> Floats:
    """f32[B, d]: what errors depend on."""
    known = inputs[:, : len(USER) + len(MOVIE)]
    return np.column_stack([known, 1 / (1 + np.expm1(known[:, 2])), stars, stars**2])


def _batches(n: int) -> Iterator[slice]:
    for start in range(0, n, _BATCH):
        yield slice(start, start + _BATCH)


def _ridge(inputs: Floats, targets: Floats, penalty: float) -> Floats:
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


def _linear(weights: Floats, inputs: Floats) -> Floats:
    found: Floats = weights[0] + inputs @ weights[1:]
    return found
