"""What is known of a person, from live state, and what the served model makes of it."""

import time
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from api import metrics
from api.lists.freshness import UserView
from api.lists.profile import profile_of
from api.people.history import history_of
from api.schemas.users import Belief, Features, RatingStyle, Style, Taste, UserProfile
from api.serving.models import ServedModel
from api.serving.watcher import Movie, Serving
from stream.features import UserState
from stream.user_features import user_features
from training.repertoire import Repertoire

# Stars above or below what others give from which somebody is generous or critical: about a quarter
# of the people on MovieLens 100K are further above, and about a fifth further below.
_UNLIKE_OTHERS: Final = 0.25

LATEST: Final = 10  # ratings: as many as suggest what somebody is after right now


def portrait(user_id: int, view: UserView, serving: Serving) -> UserProfile:
    """Of the person with this state."""
    state = view.record.state
    rated = [(id_, serving.movie(id_)) for id_ in state.movie_ids().tolist()]
    model, repertoire = serving.model, serving.repertoire
    return UserProfile(
        user_id=user_id,
        freshness=view.freshness(),
        profile=profile_of(state, serving),
        features=_features(state),
        latest=history_of(user_id, view, serving, LATEST, None).items,
        style=_style(state, repertoire) if repertoire is not None else None,
        genres=_tastes(state, {id_: movie.genres if movie else () for id_, movie in rated}),
        decades=_tastes(state, {id_: _decade(movie) for id_, movie in rated}),
        model_version=model.event.version if model else None,
        beliefs=_beliefs(model, repertoire, state) if model and repertoire else [],
    )


def _features(state: UserState) -> Features | None:
    found = user_features(state, {}, round(time.time() * 1_000))
    if found is None:
        return None
    lowest, highest = found.rating_range
    return Features(
        rating_mean=found.rating_mean,
        rating_std=found.rating_std,
        lowest=lowest,
        highest=highest,
        ratings_per_month=found.ratings_per_month,
        days_since_last=found.days_since_last,
    )


def _style(state: UserState, movies: Repertoire) -> RatingStyle | None:
    rows = movies.items.rows(state.movie_ids())
    others = np.where(rows >= 0, movies.table.mean_ratings[rows], np.nan)
    above = (state.ratings() - others)[~np.isnan(others)]
    if not len(above):
        return None
    mean = float(above.mean())
    style: Style = "average"
    if abs(mean) >= _UNLIKE_OTHERS:
        style = "generous" if mean > 0 else "critical"
    return RatingStyle(style=style, above_others=mean, compared=len(above))


def _tastes(state: UserState, names: Mapping[int, Iterable[str]]) -> list[Taste]:
    stars: dict[str, list[float]] = {}
    for movie_id, rating in zip(state.movie_ids().tolist(), state.ratings().tolist(), strict=True):
        for name in names[movie_id]:
            stars.setdefault(name, []).append(rating)
    found = [
        Taste(
            name=name,
            ratings=len(given),
            share=len(given) / len(state),
            rating_mean=sum(given) / len(given),
        )
        for name, given in stars.items()
    ]
    return sorted(found, key=lambda taste: (-taste.ratings, taste.name))


def _decade(movie: Movie | None) -> tuple[str, ...]:
    return (f"{movie.year // 10}0s",) if movie is not None and movie.year else ()


def _beliefs(model: ServedModel, movies: Repertoire, state: UserState) -> list[Belief]:
    learnt = movies.items.rows(state.movie_ids())
    if not ((learnt >= 0) & (learnt < movies.learnt)).any():
        return []
    try:
        [vector] = model.artifact.user_vectors([state])
    except Exception as error:  # noqa: BLE001 - whatever it is, all else is known without it
        model.note_failure("model_unavailable", error)
        metrics.DEGRADED.labels("model_unavailable").inc()
        return []
    # A movie that is described anew may leave a genre without any.
    named = np.flatnonzero(movies.table.has_genre.any(axis=1))
    of_genre = movies.table.has_genre[named]
    means = of_genre @ (movies.items.vectors @ vector) / of_genre.sum(axis=1)
    affinities = (means - means.mean()) / (means.std() or 1)
    closest = np.argsort(-affinities, kind="stable").tolist()
    return [
        Belief(genre=movies.table.genre_names[named[at]], affinity=float(affinities[at]))
        for at in closest
    ]
