"""What moves a prediction: each feature and each rating is changed alone, and all is asked anew."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from api import metrics
from api.lists.freshness import LogPosition
from api.predict.answers import answer_of, pair_of, read
from api.predict.predictor import predict
from api.predict.questions import Rated, question
from api.predict.written import rounded
from api.schemas.predictions import (
    FeatureSensitivity,
    GridPoint,
    RatingQuestion,
    RatingSensitivity,
    SensitivityPredicted,
)
from api.serving.models import ServedModel
from api.serving.watcher import Serving
from api.stages import stage
from stream.features import UserState
from stream.left_out import keeping
from stream.store import StateStore
from training.rating_features import FEATURES
from training.rating_model import QUANTILES, RatingModel
from training.tower_inputs import Floats

LATEST: Final = 100  # ratings that are looked at one by one

# Ratings that all changed histories may have together: some 200 ms. Of somebody who has rated
# ten thousand movies, fewer of the latest ones are looked at.
MOST_RATINGS: Final = 1_000_000

_STAR: Final = 2  # half stars
_TYPICAL: Final = QUANTILES.index(0.5)
_COUNTS: Final = ("user count", "movie popularity")  # the model reads their logarithm

GENRES: Final = "movie genres"
MEANINGS: Final = {
    "user mean": "the person's mean rating, in stars, drawn towards that of all people",
    "user deviation": "the deviation of their ratings, in stars, likewise",
    "user count": "how many movies they have rated",
    "user generosity": "by how many stars they rate movies higher than others do",
    "movie mean": "the movie's mean rating, in stars, drawn towards that of all movies",
    "movie deviation": "the deviation of its ratings, in stars, likewise",
    "movie popularity": "how many people have rated it",
    "movie year": "when it was released",
    "genre affinity": "by how many stars they rate its genres higher than others do",
    "era affinity": "by how many stars they rate its decade higher than others do",
    "matrix factorisation": "the stars that people with a taste like theirs give it",
    "mood of the hour": "by how many stars their ratings of the same hour are above expectation",
    "mood of the days": "by how many stars their ratings of the same days are above expectation",
    "movies alike": "by how many stars their ratings of movies alike are above expectation",
    "movies rated with it": "what having rated other movies at all says of it, in stars",
    GENRES: "its genres, all together",
}


class Changed(NamedTuple):
    """Stars if one of the latest ratings were another one, f32[r] each.

    Attributes:
        places: i64[r] which of the person's ratings.
        without: if they had not given it.
        higher: if it were a star more, NaN where there is no such rating.
        lower: if it were a star less, likewise.
    """

    places: npt.NDArray[np.int64]
    without: Floats
    higher: Floats
    lower: Floats


class About(NamedTuple):
    """One question, of which anything may be changed.

    Attributes:
        serving: what it is answered with.
        model: likewise.
        rated: as it was asked: of one person and one movie.
        movie_id: the movie.
        at: when it would be rated, ms since the epoch.
    """

    serving: Serving
    model: ServedModel
    rated: Rated
    movie_id: int
    at: int

    @property
    def state(self) -> UserState:
        """Of the person, without a rating of the movie."""
        return self.rated.states[int(self.rated.of[0])]

    def features(self, states: Sequence[UserState]) -> Floats:
        """f32[k, features] if the person's state were each of these."""
        of, own = np.arange(len(states)), np.repeat(self.rated.own, len(states))
        movies = np.full(len(states), self.movie_id, np.uint32)
        past, asked = question(self.serving, self.model, Rated(states, of, own), movies, self.at)
        return self.model.artifact.predictor.known.features(past, asked)


async def predict_sensitivity(
    store: StateStore, serving: Serving, asked: RatingQuestion, after: Sequence[LogPosition] = ()
) -> SensitivityPredicted:
    """For one pair; `after`: what `wait` gave.

    Raises ProblemError where there is nothing to predict from (503).
    """
    known = await read(store, serving, asked, after)

    def measured() -> SensitivityPredicted:
        answers = predict(serving, [known.state], pair_of(asked), asked.coverage, known.at)
        answered = answer_of(asked, known, answers)
        features: list[FeatureSensitivity] = []
        ratings: list[RatingSensitivity] = []
        model = serving.model
        if model is not None and answers.model_version is not None:
            about = About(serving, model, answers.rated, asked.movie_id, known.at)
            try:
                of_person = about.features([about.state])
                moved = of_features(model.artifact.predictor, of_person)
                features, ratings = moved, _told(about, of_ratings(about))
            except Exception as error:  # noqa: BLE001 - whatever it is, there is the prediction
                model.note_failure("sensitivity_unavailable", error)
                metrics.DEGRADED.labels("sensitivity_unavailable").inc()
                answered["degraded"].append("sensitivity_unavailable")
        return SensitivityPredicted(
            **answered,
            features=features,
            ratings=ratings,
            ratings_left=len(answers.rated.states[-1]) - len(ratings),
        )

    with stage("predict"):
        return await asyncio.to_thread(measured)


def of_features(predictor: RatingModel, features: Floats) -> list[FeatureSensitivity]:
    """What moves most first.

    Args:
        predictor: that is asked.
        features: f32[1, features] of the question.
    """
    typical = predictor.population[_TYPICAL]
    columns = {name: slice(at, at + 1) for at, name in enumerate(FEATURES)}
    columns[GENRES] = slice(len(FEATURES), features.shape[1])
    rows = [features[0]]
    for these in columns.values():
        rows.append(_replaced(features[0], these, typical))
    for at in range(len(FEATURES)):
        rows += [_replaced(features[0], slice(at, at + 1), one) for one in predictor.population]
    asked, *rest = predictor.stars(np.stack(rows)).tolist()
    grids = np.reshape(rest[len(columns) :], (len(FEATURES), len(predictor.population)))
    found = []
    for place, (name, these) in enumerate(columns.items()):
        single = name != GENRES
        found.append(
            FeatureSensitivity(
                feature=name,
                meaning=MEANINGS[name],
                value=_shown(name, features[0, these.start]) if single else None,
                typical=_shown(name, typical[these.start]) if single else None,
                contribution=rounded(asked - rest[place]),
                grid=_grid(name, predictor.population[:, place], grids[place]) if single else [],
            )
        )
    return sorted(found, key=lambda one: -abs(one.contribution))


def of_ratings(about: About) -> Changed:
    """The latest ratings, each without it, and a star higher and lower."""
    state = about.state
    total = len(state)
    latest = min(LATEST, total, MOST_RATINGS // (3 * total) if total else 0)
    places = np.arange(total - latest, total)
    states = [keeping(state, np.arange(total) != place) for place in places]
    others: list[UserState | None] = [
        _rerated(state, int(place), by) for by in (_STAR, -_STAR) for place in places
    ]
    possible = [other for other in others if other is not None]
    if not latest:
        return Changed(places, *np.zeros((3, 0), np.float32))
    stars = about.model.artifact.predictor.stars(about.features([*states, *possible]))
    changed = np.full(len(others), np.nan, np.float32)
    changed[[other is not None for other in others]] = stars[latest:]
    return Changed(places, stars[:latest], changed[:latest], changed[latest:])


def _told(about: About, changed: Changed) -> list[RatingSensitivity]:
    state = about.state
    ids, given = state.movie_ids(), state.ratings()
    [stars] = about.model.artifact.predictor.stars(about.features([state])).tolist()
    found = []
    for place, without, higher, lower in zip(*(of.tolist() for of in changed), strict=True):
        movie = about.serving.movie(int(ids[place]))
        found.append(
            RatingSensitivity(
                movie_id=int(ids[place]),
                title=movie.title if movie else None,
                rating=float(given[place]),
                contribution=rounded(stars - without),
                if_higher=None if np.isnan(higher) else rounded(higher),
                if_lower=None if np.isnan(lower) else rounded(lower),
            )
        )
    return sorted(found, key=lambda one: -abs(one.contribution))


def _rerated(state: UserState, place: int, by: int) -> UserState | None:
    """The state with one rating so many half stars higher; None beyond the scale."""
    half_stars = state.half_stars[place] + by
    if not 1 <= half_stars <= 10:
        return None
    changed = state.copy()
    before, after = state.half_stars[:place], state.half_stars[place + 1 :]
    changed.half_stars = before + half_stars.to_bytes() + after
    return changed


def _replaced(row: Floats, columns: slice, others: Floats) -> Floats:
    changed = row.copy()
    changed[columns] = others[columns]
    return changed


def _grid(name: str, values: Floats, stars: npt.NDArray[np.float64]) -> list[GridPoint]:
    """Different values, ascending."""
    points = {_shown(name, value): rounded(of) for value, of in zip(values, stars, strict=True)}
    return [GridPoint(value=value, stars=of) for value, of in points.items()]


def _shown(name: str, value: float) -> float:
    """As people count."""
    return float(np.expm1(value).round()) if name in _COUNTS else rounded(value)
