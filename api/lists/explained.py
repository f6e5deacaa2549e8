"""Explanations in words and figures, from the evidence that was measured."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from api.lists.explain import MEANINGS, OTHER, Evidence, evidence, strongest
from api.schemas.explanations import (
    Explanation,
    FeatureEvidence,
    GenreEvidence,
    RatingEvidence,
)
from api.schemas.recommendations import Source
from api.serving.watcher import Serving
from stream.features import HEATS, UserState

RATINGS: Final = 5  # of an explanation at most: more is a list and not a reason
GENRES: Final = 3
TOLD: Final = 2  # ratings that the sentence names

# Ratings from which genres are looked at: with fewer, one or two ratings are the genre.
RICH: Final = 50

_OF_EVERYBODY: Final = frozenset(heat.name for heat in HEATS)

_WITHOUT_HISTORY: Final[Mapping[Source, str]] = {
    "trending": "Many people have rated it in the last weeks.",
    "popular": "It is one of the movies that most people have rated.",
}
_NEW: Final = "It is new here, and looks closest to your taste of what hardly anybody has rated."


def explanations(
    serving: Serving, state: UserState, listed: Sequence[tuple[int, Source]]
) -> list[Explanation]:
    """One for each movie of a list.

    Args:
        serving: what the list was made with.
        state: of the person.
        listed: (movie id, source) in the order of the list.
    """
    found = [Explanation(sentence="", ratings=[], features=[], genres=[]) for _ in listed]
    for one, (_, source) in zip(found, listed, strict=True):
        one.sentence = _WITHOUT_HISTORY.get(source, "")
    model, movies = serving.model, serving.repertoire
    if model is None or movies is None:
        return found
    learnt = movies.items.rows(state.movie_ids())
    if not ((learnt >= 0) & (learnt < movies.learnt)).any():
        return found
    rows = movies.items.rows(np.array([id_ for id_, _ in listed], np.uint32)).astype(np.int64)
    ours = np.flatnonzero(rows >= 0)
    of_genre = _genres(serving, state) if len(state) >= RICH else {}
    of_all = evidence(model.artifact, movies, serving.live, state, rows[ours], of_genre)
    for column, at in enumerate(ours.tolist()):
        _tell(found[at], serving, state, of_all, column, listed[at][1])
    return found


def _tell(
    told: Explanation,
    serving: Serving,
    state: UserState,
    of_all: Evidence,
    column: int,
    source: Source,
) -> None:
    ids, stars = state.movie_ids(), state.ratings()
    ratings = of_all.ratings[:, column]
    for at in strongest(ratings, RATINGS):
        rated = int(of_all.rated[at])
        movie = serving.movie(int(ids[rated]))
        told.ratings.append(
            RatingEvidence(
                movie_id=int(ids[rated]),
                title=movie.title if movie else None,
                rating=float(stars[rated]),
                contribution=float(ratings[at]),
            )
        )
    features = {name: float(values[column]) for name, values in of_all.features.items()}
    names = list(features)
    told.features = [
        FeatureEvidence(
            feature=names[at],
            meaning=MEANINGS.get(names[at], OTHER),
            contribution=features[names[at]],
        )
        for at in strongest(list(features.values()), len(names))
    ]
    genres = {name: float(values[column]) for name, values in of_all.genres.items()}
    names = list(genres)
    told.genres = [
        GenreEvidence(
            genre=names[at], ratings=of_all.of_genre[names[at]], contribution=genres[names[at]]
        )
        for at in strongest(list(genres.values()), GENRES)
    ]
    told.sentence = _sentence(told, source)


def _sentence(told: Explanation, source: Source) -> str:
    if source in _WITHOUT_HISTORY:
        return _WITHOUT_HISTORY[source]
    if source == "new":
        return _NEW
    reasons = []
    if named := [rating for rating in told.ratings[:TOLD] if rating.title]:
        films = " and ".join(f"{one.title} {one.rating:g} stars" for one in named)
        reasons.append(f"you rated {films}")
    if told.genres:
        most = told.genres[0]
        reasons.append(f"you have rated {most.ratings} movies of {most.genre}")
    if by_all := [one for one in told.features if one.feature in _OF_EVERYBODY][:1]:
        reasons.append(by_all[0].meaning)
    if not reasons:
        reasons = [one.meaning for one in told.features[:1]] or ["nothing else is closer to you"]
    return f"Because {_listed(reasons)}."


def _listed(reasons: Sequence[str]) -> str:
    *first, last = reasons
    if not first:
        return last
    return f"{', '.join(first)}{',' if len(first) > 1 else ''} and {last}"


def _genres(serving: Serving, state: UserState) -> dict[str, npt.NDArray[np.bool_]]:
    """bool[n] by genre: which of the ratings that stand are of it."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for at, movie_id in enumerate(state.movie_ids().tolist()):
        movie = serving.movie(movie_id)
        genres: Iterable[str] = movie.genres if movie else ()
        for genre in genres:
            found.setdefault(genre, np.zeros(len(state), np.bool_))[at] = True
    return found
