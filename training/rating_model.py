"""How many stars somebody would give a movie, and between which bounds: the model that answers.

A linear stack (David Wolpert: Stacked generalization, 1992) of what is known of the user and of the
movie, of biased matrix factorisation and of ratings of the movie's neighbours; around it conformal
intervals (`training.conformal`), by group of movies: Vladimir Vovk, David Lindsay, Ilia
Nouretdinov, Alex Gammerman: Mondrian confidence machine, 2003. Torch-free, and the same in the lab
and in serving.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from training import conformal
from training.baselines.linear_features import MOVIE, USER
from training.rating_features import MOVIE_COUNT, USER_COUNT, Known
from training.rating_questions import Asked, Past
from training.tower_inputs import Floats, Ints

LOWEST: Final = 0.5  # stars
HIGHEST: Final = 5.0

# Ratings of a movie from which each group begins. Of a movie that nobody has rated content is all
# there is, and errors are larger than what is learnt from the others expects.
GROUPS: Final = (0, 1, 5)

# Sizes of errors that a group has at least, or those of all count: the share of what is inside a
# quantile of 200 is 0.9 +- 0.02.
FEWEST: Final = 200


class Predicted(NamedTuple):
    """Stars for k questions, 0.5..5: f32[k] each, low <= stars <= high."""

    stars: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class RatingModel:
    """Predicts intercept + sum of weight * term, and an interval for it.

    How wrong a prediction is expected to be is a second linear model, of how much is known of user
    and movie, how critical and how disputed they are, and of the stars. An interval is this scale
    times a conformal quantile of errors divided by theirs, cut at 0.5 and 5 stars. There is one for
    each way in which ratings were held out; the largest one counts, so that it holds for all.

    Where a feature is beyond those of the ratings that the weights are from, as the number of a
    movie's ratings is once it has been rated more, it counts as the nearest of them.

    Attributes:
        known: what features are made of.
        weights: f32[1 + terms] of `Known.expand`.
        doubts: f32[1 + d] of errors likewise.
        least: f32[1] stars that every prediction is expected to be wrong by.
        sizes: f32[n] ascending, errors divided by their scales, by ``<way>/<group>``.
        bounds: f32[2, features] least and most of features of ratings held out.
        population: f32[q, features] quantiles of them, see `QUANTILES`.
    """

    known: Known
    weights: Floats
    doubts: Floats
    least: Floats
    sizes: Mapping[str, Floats]
    bounds: Floats
    population: Floats

    def predict(self, past: Past, asked: Asked, coverage: float = 0.9) -> Predicted:
        """Of k questions about what people rated.

        The interval holds this share of all ratings like those that it was calibrated on; it may be
        another one among a certain user's, and where people rate otherwise than they did.

        Raises ConfigurationError where the coverage is not between 0 and 1.
        """
        return self.of_features(self.known.features(past, asked), coverage)

    def of_features(self, features: Floats, coverage: float = 0.9) -> Predicted:
        """The same from f32[k, features]. Raises ConfigurationError likewise."""
        stars = self.stars(features)
        margins = self.scales(features, stars) * self._within(features, coverage)
        low, high = ((stars + side * margins).clip(LOWEST, HIGHEST) for side in (-1, 1))
        return Predicted(stars, low.astype(np.float32), high.astype(np.float32))

    def stars(self, features: Floats) -> Floats:
        """f32[k], 0.5..5."""
        return linear(self.weights, self.known.expand(self.bounded(features))).clip(LOWEST, HIGHEST)

    def bounded(self, features: Floats) -> Floats:
        """f32[k, features] within the bounds."""
        return features.clip(*self.bounds)

    def scales(self, features: Floats, stars: Floats) -> Floats:
        """f32[k]: by how many stars predictions are expected to be wrong."""
        expected = linear(self.doubts, doubtful(self.bounded(features), stars))
        scales: Floats = np.maximum(expected, self.least)
        return scales

    def _within(self, features: Floats, coverage: float) -> Floats:
        """f32[k]: the quantile of each one's group."""
        within = np.zeros(len(GROUPS), np.float32)
        for name, sizes in self.sizes.items():
            group = int(name.rpartition("/")[2])
            within[group] = max(within[group], conformal.within(sizes, coverage))
        return within[groups(features)]


# Of the population's features: the middle one is what is typical.
QUANTILES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def linear(weights: Floats, inputs: Floats) -> Floats:
    """f32[k]: intercept + inputs @ weights."""
    found: Floats = weights[0] + inputs @ weights[1:]
    return found


def doubtful(features: Floats, stars: Floats) -> Floats:
    """f32[k, d]: what errors depend on; on numbers of ratings as deviations of means do, so that
    what comes of ever more of them comes to an end."""
    counts = [USER_COUNT, MOVIE_COUNT]
    known = np.delete(features[:, : len(USER) + len(MOVIE)], counts, axis=1)
    few = np.exp(-features[:, counts])  # 1 / (1 + ratings)
    return np.column_stack([known, few, np.sqrt(few), stars, stars**2]).astype(np.float32)


def groups(features: Floats) -> Ints:
    """i64[k]: which of `GROUPS` each is in."""
    ratings = np.expm1(features[:, MOVIE_COUNT]).round()
    return np.searchsorted(GROUPS, ratings, side="right") - 1
