"""How many stars somebody would give a movie, and between which bounds: a recommender of the lab.

What is learnt is `training.rating_model.RatingModel`, which artifacts have as well. There it learns
from ratings that came later (`training.rating_served`), here from any, for any way to hold out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from stream.contracts.errors import DatasetError
from training.bounds import Count, Positive, Seed
from training.dataset import Ratings
from training.histories import Histories
from training.rating_arrays import from_arrays, to_arrays
from training.rating_learning import (
    FACTORS,
    FOLDS,
    REGULARIZATION,
    Examples,
    batches,
    in_the_lab,
    known_of,
    weighed,
)
from training.rating_model import linear
from training.rating_questions import Asked, Past, Sums
from training.recommender import OnProgress
from training.tower_inputs import Floats, Ints

# Ratings to stack and to calibrate on at most: eighty coefficients and a quantile are as well known
# from these as from 25M, and where one fold has so many, it is the only one.
MOST_EXAMPLES: Final = 300_000

WHOLE: Final = "whole"  # asked with all the rest of the history
BEFORE: Final = "before"  # asked with what was before


@dataclass
class RatingPrediction:
    """Learns from ratings that nothing behind their features has seen: in turn each fifth of them.

    Of half of them the user's history is all that is left, as when ratings are split at random; of
    the other half only what they had rated before, down to nothing, as when the model is asked
    about someone at work. So it knows how far to believe a long history and a short one, and its
    intervals hold for both.

    A score is the prediction for the moment of the history's latest rating, not cut at 5 stars.

    Attributes:
        factors: of the matrix factorisation.
        regularization: of the weights.
        seed: of the folds.
    """

    factors: Count = FACTORS
    regularization: Positive = REGULARIZATION
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        events = Histories.of_users(train, np.unique(train.users)).rated().events
        if len(events) < 2 * FOLDS:
            raise DatasetError(
                f"{len(events)} ratings are too few to learn from: give {2 * FOLDS} or more"
            )
        chance = np.random.default_rng(self.seed)
        folds = chance.permutation(np.arange(len(events)) % FOLDS)
        parts: list[Examples] = []
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
        known, self.sums = known_of(train, self.factors)
        examples = Examples(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        self.model = weighed(known, examples, self.regularization)
        on_progress(FOLDS + 1, FOLDS + 1)

    def score(self, histories: Histories) -> Floats:
        known, movies = self.model.known, len(histories.log.movies)
        scores = np.empty((len(histories), movies), np.float32)
        latest = np.append(histories.log.times, 0)[histories.ends - 1]  # any, where there is none
        for one in range(len(histories)):
            asked = histories[np.full(movies, one)]
            features = known.features(
                *self._asked(asked, np.arange(movies), np.full(movies, latest[one]))
            )
            terms = known.expand(self.model.bounded(features))
            scores[one] = linear(self.model.weights, terms)
        return scores

    def predict(self, histories: Histories, rows: Ints, times: Ints) -> Floats:
        return self.model.predict(*self._asked(histories, rows, times)).stars

    def predict_interval(
        self, histories: Histories, rows: Ints, times: Ints, coverage: float = 0.9
    ) -> tuple[Floats, Floats]:
        """f32[B] twice: bounds in stars, 0.5..5, between which this share of the ratings will be.

        Args:
            histories: of B users.
            rows: i64[B] the movie that each is asked about.
            times: i64[B] when, ms since the epoch.
            coverage: between 0 and 1.

        Raises:
            ConfigurationError: the coverage is not between 0 and 1.
        """
        _, low, high = self.model.predict(*self._asked(histories, rows, times), coverage)
        return low, high

    def packed(self) -> dict[str, Any]:
        return {"arrays": to_arrays(self.model), "sums": np.stack(self.sums)}

    def unpack(self, values: Mapping[str, Any]) -> None:
        self.model, self.sums = from_arrays(values["arrays"]), Sums(*values["sums"])

    def _asked(self, histories: Histories, rows: Ints, times: Ints) -> tuple[Past, Asked]:
        return in_the_lab(self.model.known, self.sums, histories, rows, times)

    def _held_out(
        self, train: Ratings, known: Ints, held: Ints, chance: np.random.Generator
    ) -> Examples:
        """Examples of some ratings, of people and movies as others show them."""
        rest, rows, times = train.take(known), train.rows[held], train.times[held]
        learnt, sums = known_of(rest, self.factors)
        asked = Histories.of_users(rest, train.users[held])
        whole = chance.random(len(held)) < 0.5
        before = np.searchsorted(known, held)
        asked = Histories(rest, asked.starts, np.where(whole, asked.ends, before))
        features = [
            learnt.features(*in_the_lab(learnt, sums, asked[some], rows[some], times[some]))
            for some in batches(len(held))
        ]
        stars = (train.half_stars[held] / 2).astype(np.float32)
        return Examples(np.concatenate(features), stars, np.where(whole, WHOLE, BEFORE))
