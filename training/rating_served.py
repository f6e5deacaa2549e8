"""Learns the predictor of ratings that goes into an artifact, and measures it as it is served.

Everything is by time. Features are learnt before the validation part, weights and intervals from
that part, and measured on the test part: each rating is asked about right before it happened, with
state and movies as of then. What is served has features of all ratings, and weights and intervals
of both parts.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

from stream.contracts.errors import DatasetError
from stream.features import DAY
from training.dataset import Ratings
from training.rating_features import Known
from training.rating_learning import Examples, as_served, batches, known_of, weighed
from training.rating_model import RatingModel
from training.rating_sums import SumsOverTime
from training.split import TimeSplit
from training.tower_inputs import Ints

# Ratings of a part to learn from at most, evenly spaced: eighty weights and a quantile are as well
# known from these as from millions.
MOST_EXAMPLES: Final = 20_000

RATING: Final = "rating_"  # what names of its figures begin with

COVERAGE: Final = 0.9  # of the intervals that are measured

# How a rating is asked for: at the moment when it was given, amid others of the same evening, or
# as somebody asks who has not rated for long.
THEN: Final = "then"
LATER: Final = "later"
WAYS: Final = (THEN, LATER)
_LONG: Final = 365 * DAY


class Learnt(NamedTuple):
    """What is served, and how good a model is that was made likewise without the test part.

    Attributes:
        model: to serve.
        metrics: on the test part, see `measured`.
    """

    model: RatingModel
    metrics: Mapping[str, float]


def learn(
    ratings: Ratings, split: TimeSplit, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Learnt:
    """Learn from all ratings, and measure on the test part.

    Args:
        ratings: all there are.
        split: of them.
        on_progress: told how many of how many steps are done.

    Raises:
        DatasetError: nobody rated a movie in a part that they had not rated before.
    """
    over_time = SumsOverTime.of(ratings)
    known, _ = known_of(ratings.take(split.train))
    validation, test = (
        _examples(known, over_time, ratings, events) for events in (split.validation, split.test)
    )
    metrics = measured(weighed(known, validation), test)
    on_progress(1, 2)
    final, _ = known_of(ratings)
    both = Examples(*(np.concatenate(pair) for pair in zip(validation, test, strict=True)))
    on_progress(2, 2)
    return Learnt(weighed(final, both), metrics)


def measured(model: RatingModel, examples: Examples) -> dict[str, float]:
    """By way of asking: ``rating_<way>_rmse`` and ``_mae`` in stars, ``_coverage``, the share of
    ratings inside an interval of `COVERAGE`, its ``_width`` in stars, and how many ``_asked``."""
    stars, low, high = model.of_features(examples.features, COVERAGE)
    errors = (stars - examples.stars).astype(np.float64)
    inside = (low <= examples.stars) & (examples.stars <= high)
    found: dict[str, float] = {}
    for way in np.unique(examples.ways).tolist():
        some = examples.ways == way
        found |= {
            f"{RATING}{way}_rmse": float(np.sqrt(np.mean(errors[some] ** 2))),
            f"{RATING}{way}_mae": float(np.mean(np.abs(errors[some]))),
            f"{RATING}{way}_coverage": float(np.mean(inside[some])),
            f"{RATING}{way}_width": float(np.mean((high - low)[some])),
            f"{RATING}{way}_asked": float(np.count_nonzero(some)),
        }
    return found


def _examples(known: Known, over_time: SumsOverTime, log: Ratings, events: Ints) -> Examples:
    """Every second one as somebody asks who has not rated for long; no rating that was given
    again, for nobody is asked about what they have rated. Raises DatasetError where all were."""
    again = log.replaced[log.replaced < log.ends]
    events = events[~np.isin(events, again)]
    if not len(events):
        raise DatasetError(
            "every rating of a tenth of the time is of a movie that its user had rated before: "
            "there is nothing to learn to predict from"
        )
    events = events[:: -(-len(events) // MOST_EXAMPLES)]
    late, features = np.arange(len(events)) % 2 > 0, []
    for some in batches(len(events)):
        past, asked = as_served(known, over_time, log, events[some])
        features.append(
            known.features(past, asked._replace(times=asked.times + late[some] * _LONG))
        )
    stars = (log.half_stars[events] / 2).astype(np.float32)
    return Examples(np.concatenate(features), stars, np.where(late, LATER, THEN))
