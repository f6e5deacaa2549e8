"""How many stars: of pairs of a person and a movie, from live state, or from live means alone."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from api.errors import unavailable
from api.predict.questions import (
    Ids,
    Pairs,
    Rated,
    means_at,
    places_of,
    question,
    sums_at,
    without,
    without_own,
)
from api.schemas.predictions import MovieBasis
from api.serving.live import LiveMovies
from api.serving.models import ServedModel
from api.serving.watcher import Serving
from stream.features import UserState
from training.baselines.linear_features import Prior
from training.rating_model import HIGHEST, LOWEST, Predicted
from training.rating_questions import Sums
from training.tower_inputs import Floats, Ints

PRIOR_RATINGS: Final = 5.0  # average ratings that a movie and a person begin with, without a model


class Answers(NamedTuple):
    """Of k pairs.

    Attributes:
        stars: and bounds of each.
        rated: as they were asked about.
        others: i64[k] how many other people have rated the movie.
        movies: what is known of each movie.
        model_version: None where no model is served.
    """

    stars: Predicted
    rated: Rated
    others: Ints
    movies: Sequence[MovieBasis]
    model_version: str | None


def predict(
    serving: Serving, states: Sequence[UserState], pairs: Pairs, coverage: float, at: int
) -> Answers:
    """Expected stars and intervals; where the model fails, as if none were served.

    Args:
        serving: what to answer with.
        states: of the people, empty ones of those who are new.
        pairs: of people and movies.
        coverage: of the intervals, 0.5..0.99.
        at: when the movies would be rated, ms since the epoch.

    Raises:
        ProblemError: there is nothing to predict from (503).
    """
    rated, model = without_own(states, pairs), serving.model
    if model is not None:
        try:
            return _by_model(serving, model, rated, pairs.movies, coverage, at)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is an answer without it
            model.note_failure("model_unavailable", error)
    return _by_live_means(serving, rated, pairs.movies, coverage)


def _by_model(
    serving: Serving, model: ServedModel, rated: Rated, movies: Ids, coverage: float, at: int
) -> Answers:
    past, asked = question(serving, model, rated, movies, at)
    stars = model.artifact.predictor.predict(past, asked, coverage)
    bases = _bases(serving, movies, asked.rows >= 0)
    return Answers(stars, rated, asked.movies.counts, bases, model.event.version)


def _by_live_means(serving: Serving, rated: Rated, movies: Ids, coverage: float) -> Answers:
    """What a movie is rated on average, and how much higher the person rates than others do.

    An interval holds the share that it would if a movie's ratings were normal: nobody measured it.
    """
    live = serving.live
    prior = _everything(live)
    means, owners = _seen(live, prior, rated.states)
    above = np.concatenate([state.ratings() for state in rated.states]) - means
    people = len(rated.states)
    counts = np.bincount(owners, minlength=people) + PRIOR_RATINGS
    generosity = np.bincount(owners, above, people) / counts
    sums = without(sums_at(live, places_of(live, None, movies)), rated.own)
    mean, deviation = sums.moments(prior).T
    stars = _cut(mean + generosity[rated.of])
    margin = NormalDist().inv_cdf((1 + coverage) / 2) * deviation
    predicted = Predicted(stars, _cut(stars - margin), _cut(stars + margin))
    learnt = np.zeros(len(movies), np.bool_)
    return Answers(predicted, rated, sums.counts, _bases(serving, movies, learnt), None)


def _everything(live: LiveMovies) -> Prior:
    """Of all ratings. Raises ProblemError where there are none."""
    all_of = Sums(*(of.sum(keepdims=True) for of in live.sums))
    if not all_of.counts[0]:
        raise unavailable("there is nothing to predict from: no model is served, nobody has rated")
    [[mean, deviation]] = all_of.moments(Prior(0.0, 0.0, 0.0)).tolist()
    return Prior(mean, deviation, PRIOR_RATINGS)


def _seen(live: LiveMovies, prior: Prior, states: Sequence[UserState]) -> tuple[Floats, Ints]:
    """Means of the movies that people rated, and i64[e] whose rating each is."""
    seen = np.frombuffer(b"".join([state.movies for state in states]), "<u4")
    means = means_at(live, places_of(live, None, seen), prior)
    return means, np.repeat(np.arange(len(states)), [len(state) for state in states])


def _bases(serving: Serving, movies: Ids, learnt: npt.NDArray[np.bool_]) -> list[MovieBasis]:
    return [
        "learnt" if is_learnt else "content" if movie in serving.catalogue else "unknown"
        for movie, is_learnt in zip(movies.tolist(), learnt.tolist(), strict=True)
    ]


def _cut(stars: npt.NDArray[np.floating]) -> Floats:
    return stars.clip(LOWEST, HIGHEST).astype(np.float32)
