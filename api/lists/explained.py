"""Explanations in words and figures, from the evidence that was measured."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from api.lists.explain import MEANINGS, OTHER, Evidence, evidence, of_everybody, strongest
from api.lists.ranking import HOTTEST
from api.schemas.explanations import (
    Explanation,
    FeatureEvidence,
    GenreEvidence,
    RatingEvidence,
)
from api.schemas.recommendations import Source, Strategy
from api.serving.watcher import Serving
from stream.features import HEATS, UserState

RATINGS: Final = 5  # of an explanation at most: more is a list and not a reason
GENRES: Final = 3
TOLD: Final = 2  # ratings that the sentence names

# Ratings from which genres are looked at: with fewer, one or two ratings are the genre.
RICH: Final = 50

_OF_EVERYBODY: Final = frozenset(heat.name for heat in HEATS)

# Where nothing was measured: what there is to say of anything that such a source has.
_BY_SOURCE: Final[Mapping[Source, str]] = {
    "trending": "It is among what is rated most of late, of the movies that were asked for.",
    "popular": "It is among what most people have rated, of the movies that were asked for.",
}
_NEW: Final = "It is new here, and looks closest to your taste of what hardly anybody has rated."


def explanations(
    serving: Serving,
    state: UserState,
    strategy: Strategy,
    listed: Sequence[tuple[int, Source]],
) -> list[Explanation]:
    """One for each movie of a list.

    Args:
        serving: what the list was made with.
        state: of the person.
        strategy: that made it: nothing of the person moved what is the same for everybody.
        listed: (movie id, source) in the order of the list.
    """
    found = [
        Explanation(sentence=_BY_SOURCE.get(source, ""), ratings=[], features=[], genres=[])
        for _, source in listed
    ]
    if strategy in ("trending", "popular"):
        _tell_of_everybody(found, serving, listed)
        return found
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


def _tell_of_everybody(
    found: Sequence[Explanation], serving: Serving, listed: Sequence[tuple[int, Source]]
) -> None:
    """Of what is trending: how much people rate it. Popular movies are all there for one reason."""
    live, model = serving.live, serving.model
    newcomers = HOTTEST if model is None else model.artifact.ranking.newcomers
    at_of = {movie_id: at for at, (movie_id, source) in enumerate(listed) if source == "trending"}
    rows = np.flatnonzero(np.isin(live.ids, list(at_of)))
    if not len(rows):
        return
    of_all = of_everybody(newcomers, live, rows)
    for column, movie_id in enumerate(live.ids[rows].tolist()):
        told = found[at_of[movie_id]]
        told.features = _features({name: of[column] for name, of in of_all.items()})
        if told.features:
            told.sentence = f"Because {told.features[0].meaning}."


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
    told.features = _features({name: of[column] for name, of in of_all.features.items()})
    genres = {name: float(values[column]) for name, values in of_all.genres.items()}
    names = list(genres)
    told.genres = [
        GenreEvidence(
            genre=names[at], ratings=of_all.of_genre[names[at]], contribution=genres[names[at]]
        )
        for at in strongest(list(genres.values()), GENRES)
    ]
    told.sentence = _sentence(told, source)


def _features(contributions: Mapping[str, np.float32]) -> list[FeatureEvidence]:
    """Those that moved a movie up, the strongest first."""
    names, values = list(contributions), list(map(float, contributions.values()))
    return [
        FeatureEvidence(
            feature=names[at], meaning=MEANINGS.get(names[at], OTHER), contribution=values[at]
        )
        for at in strongest(values, len(names))
    ]


def _sentence(told: Explanation, source: Source) -> str:
    if source == "new":
        return _NEW
    reasons = []
    if named := [rating for rating in told.ratings[:TOLD] if rating.title]:
        films = " and ".join(f"{one.title} {_counted(one.rating, 'star')}" for one in named)
        reasons.append(f"you rated {films}")
    if told.genres:
        most = told.genres[0]
        reasons.append(f"you have rated {_counted(most.ratings, 'movie')} of {most.genre}")
    if by_all := [one for one in told.features if one.feature in _OF_EVERYBODY][:1]:
        reasons.append(by_all[0].meaning)
    if not reasons:
        reasons = [one.meaning for one in told.features[:1]] or ["nothing else is closer to you"]
    return f"Because {_listed(reasons)}."


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


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
