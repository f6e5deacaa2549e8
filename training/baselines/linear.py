"""A linear model of ratings: ridge regression on features of the user, of the movie and of the two.

It can be read: how much each feature matters, and what each adds to a prediction.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.linear_model import Ridge

from stream.contracts.errors import DatasetError
from training.baselines.evidence import stars
from training.baselines.linear_features import (
    AFFINITY,
    MOVIE,
    TIME,
    USER,
    Prior,
    Users,
    group_shares,
    movie_years,
    time_features,
    users,
)
from training.bounds import Positive, Seed, Weight
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import OnProgress, Reason
from training.tower_inputs import Floats, Ints

# Ratings to fit on at most: fifty coefficients are as well known from these as from 25M, and of
# each the state of its user right before has to be found.
MOST_EXAMPLES: Final = 300_000

FOLDS: Final = 5  # a movie's mean and deviation for the ratings of one come from the other four

_BATCH: Final = 4096  # examples at once: some 20 MB of histories
_RATED: Final = slice(len(USER), len(USER) + 2)  # columns of a movie's mean and deviation


@dataclass
class Linear:
    """Predicts intercept + sum of coefficient * (feature - its mean) / its deviation.

    No rating is in the features that it is predicted from. In the fit, a user's are as of right
    before the rating, and the mean and deviation of its movie come from other folds. Only leaving
    the rating itself out of a mean would give it away: the rest is low where it is high.

    A score is the prediction at an average time of day and week.

    Attributes:
        regularization: of the coefficients.
        shrinkage: how many average ratings each user, movie and taste begins with.
        seed: of the folds, and of the examples where there are too many.
    """

    regularization: Positive = 10.0
    shrinkage: Weight = 5.0
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        if not len(train):
            raise DatasetError("there are no ratings to learn from: give some to train on")
        rated = Histories.of_users(train, np.unique(train.users)).rated()
        events, chance = rated.events, np.random.default_rng(self.seed)
        self._describe(train, events)
        folds = chance.integers(FOLDS, size=len(events))
        examples = np.sort(chance.permutation(len(events))[:MOST_EXAMPLES])
        inputs = self._examples(train, events, folds, examples, on_progress)
        self.centers, deviations = inputs.mean(axis=0), inputs.std(axis=0)
        self.deviations = np.where(deviations > 0, deviations, 1).astype(np.float32)
        ridge = Ridge(alpha=self.regularization, solver="cholesky")
        ridge.fit((inputs - self.centers) / self.deviations, train.half_stars[events[examples]] / 2)
        self.intercept = np.array([ridge.intercept_], np.float32)
        self.coefficients = ridge.coef_.astype(np.float32)

    def score(self, histories: Histories) -> Floats:
        known, end = self._users(histories), len(USER) + self.movies.shape[1]
        of_user, of_movie, of_affinity, of_time = np.split(
            self._weights, [len(USER), end, end + len(AFFINITY)]
        )
        sizes = [self._genres, self.shares.shape[1] - self._genres]
        scores: Floats = (known.tastes * np.repeat(of_affinity, sizes)) @ self.shares.T
        scores += (known.features @ of_user)[:, None] + self.movies @ of_movie
        scores += self.intercept - self.centers @ self._weights
        scores += self.centers[-len(TIME) :] @ of_time
        return scores

    def predict(self, histories: Histories, rows: Ints, times: Ints) -> Floats:
        inputs = np.hstack([self._pairs(histories, rows), time_features(times)])
        predicted: Floats = self.intercept + (inputs - self.centers) @ self._weights
        return predicted.clip(0.5, 5)

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        above = self._pairs(histories, rows) - self.centers[: -len(TIME)]
        amounts = np.column_stack(
            [np.repeat(self.intercept, len(rows)), above * self._weights[: -len(TIME)]]
        )
        names = ["average rating", *self.names.tolist()]
        return [
            sorted(
                (Reason("feature", name, amount) for name, amount in zip(names, one, strict=False)),
                key=lambda reason: -reason.amount,
            )
            for one in amounts.tolist()
        ]

    def importances(self) -> dict[str, float]:
        """Of each feature, by how many stars predictions differ for one deviation of it.

        The one that matters most comes first. Of features that say nearly the same, such as the
        count of a movie's ratings and its mean, each gets a part of what they matter together.
        """
        order = np.argsort(-np.abs(self.coefficients), kind="stable")
        return dict(zip(self.names[order].tolist(), self.coefficients[order].tolist(), strict=True))

    def _describe(self, train: Ratings, events: Ints) -> None:
        """Learn what is known of the movies from all of these events."""
        rows, given = train.rows[events], train.half_stars[events] / 2
        self.prior = np.array([given.mean(), given.std(), self.shrinkage])
        self.names = np.array([*USER, *MOVIE, *train.genres, *AFFINITY, *TIME])
        self.shares = group_shares(train.movies, train.genres)
        self.movies = np.column_stack(
            [
                self._prior.updated(rows, given, len(train.movies)),
                np.log1p(np.bincount(rows, minlength=len(train.movies))),
                movie_years(train.movies),
                self.shares[:, : len(train.genres)] > 0,
            ]
        ).astype(np.float32)

    def _examples(
        self, train: Ratings, events: Ints, folds: Ints, examples: Ints, on_progress: OnProgress
    ) -> Floats:
        """f32[examples, features] as they would be if the rating were not known."""
        rows, given = train.rows[events], train.half_stars[events] / 2
        others = np.stack(
            [
                self._prior.updated(rows[folds != fold], given[folds != fold], len(train.movies))
                for fold in range(FOLDS)
            ]
        )
        inputs = []
        for start in range(0, len(examples), _BATCH):
            some = examples[start : start + _BATCH]
            block = self._pairs(Histories.before(train, events[some]), rows[some])
            block[:, _RATED] = others[folds[some], rows[some]]
            inputs.append(np.hstack([block, time_features(train.times[events[some]])]))
            on_progress(start + len(some), len(examples))
        return np.concatenate(inputs)

    @property
    def _prior(self) -> Prior:
        return Prior(*self.prior.tolist())

    @property
    def _weights(self) -> Floats:
        """f32[features]: of features as they are, not in deviations."""
        weights: Floats = self.coefficients / self.deviations
        return weights

    @property
    def _genres(self) -> int:
        count: int = self.movies.shape[1] - len(MOVIE)
        return count

    def _users(self, histories: Histories) -> Users:
        # Shares are 0 where a movie is not of a group.
        return users(stars(histories), self.movies[:, 0], np.ceil(self.shares), self._prior)

    def _pairs(self, histories: Histories, rows: Ints) -> Floats:
        """f32[B, features but TIME] of each user and one movie."""
        different, which = histories.distinct()
        known = self._users(different)
        matches = known.tastes[which] * self.shares[rows]
        affinities = [some.sum(axis=1) for some in np.split(matches, [self._genres], axis=1)]
        return np.column_stack([known.features[which], self.movies[rows], *affinities])
