"""Why these movies: each rating, feature and genre is left out, and the movies are scored anew.

Explanations by counterfactual evidence from a person's own actions follow Ghazimatin, Balalau, Saha
Roy and Weikum: PRINCE: provider-side interpretability with counterfactual explanations in
recommender systems (WSDM 2020), here with the score in place of the rank. A score is a utility, in
log-odds (`training.ranker`), of the towers and the ranker that made the list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from api.lists.scoring import features_of
from api.serving.live import LiveMovies
from stream.features import UserState
from stream.left_out import keeping
from training.artifact import Artifact
from training.ranker import Weights, amounts
from training.ranking import TOWERS
from training.repertoire import Repertoire
from training.tower_inputs import Floats, Ints

# Latest ratings that are left out one by one. Recency leaves next to nothing to older ones, and
# each costs a run of the user tower.
LATEST: Final = 100

# Movies, evenly spaced by id, whose mean is what a feature is for a movie that is nothing special.
_TYPICAL: Final = 1_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What k movies' utilities would lack.

    Attributes:
        rated: i64[r] which of the ratings that stand were left out one by one.
        ratings: f32[r, k] the utility less that without the rating.
        features: by name, f32[k], the utility less that of a typical value.
        genres: by name, f32[k], the utility less that without all ratings of the genre.
        of_genre: by name, how many ratings those are.
    """

    rated: Ints
    ratings: Floats
    features: Mapping[str, Floats]
    genres: Mapping[str, Floats]
    of_genre: Mapping[str, int]


def evidence(
    artifact: Artifact,
    movies: Repertoire,
    live: LiveMovies,
    state: UserState,
    rows: Ints,
    genres: Mapping[str, npt.NDArray[np.bool_]],
) -> Evidence:
    """What is behind the utilities of k movies for one person.

    What would leave no rating that the model learnt is not left out: nothing could be said then.

    Args:
        artifact: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        state: of the person, who rated a movie that the model learnt.
        rows: i64[k] of the movies.
        genres: bool[n] by name, which of the n ratings that stand are of the genre; none where
            genres are not to be looked at.
    """
    total = len(state)
    learnt = movies.items.rows(state.movie_ids())
    is_learnt = (learnt >= 0) & (learnt < movies.learnt)
    rated = np.arange(max(total - LATEST, 0), total)
    one_less = [np.arange(total) != at for at in rated]
    without = [*one_less, *(~of_genre for of_genre in genres.values())]
    possible = np.array([bool((kept & is_learnt).any()) for kept in without], np.bool_)
    states = [keeping(state, kept) for kept, can in zip(without, possible, strict=True) if can]
    features = features_of(artifact, movies, live, [state, *states], rows)
    found = np.broadcast_to(artifact.ranking.utilities(features), (1 + len(states), len(rows)))
    lacking = np.zeros((len(without), len(rows)), np.float32)
    lacking[possible] = found[0] - found[1:]
    return Evidence(
        rated=rated,
        ratings=lacking[: len(rated)],
        features=_of_features(artifact, movies, live, state, features),
        genres=dict(zip(genres, lacking[len(rated) :], strict=True)),
        of_genre={name: int(of_genre.sum()) for name, of_genre in genres.items()},
    )


def _of_features(
    artifact: Artifact,
    movies: Repertoire,
    live: LiveMovies,
    state: UserState,
    features: Mapping[str, Floats],
) -> dict[str, Floats]:
    """By name, f32[k]: what each feature adds beside what it adds where it is typical."""
    typical = features_of(artifact, movies, live, [state], _spaced(movies.learnt))
    return {
        name: _beside(weights, features[name][0], typical[name][0])
        for name, weights in artifact.ranking.weights.items()
    }


def of_everybody(newcomers: Weights, live: LiveMovies, rows: Ints) -> dict[str, Floats]:
    """By name, f32[k]: what each feature adds to what k movies are for somebody unknown.

    Args:
        newcomers: the weights by which such lists are ordered.
        live: the movies as they are now.
        rows: i64[k] of the movies, of all that are live.
    """
    sample = _spaced(len(live.ids))
    return {
        name: _beside(weights, live.features[name][rows], live.features[name][sample])
        for name, weights in newcomers.items()
    }


def _spaced(movies: int) -> Ints:
    return np.linspace(0, movies - 1, min(_TYPICAL, movies)).astype(np.int64)


def _beside(weights: Floats, values: Floats, typical: Floats) -> Floats:
    """f32[k]: what k values add, less what typical ones do.

    A value below the typical ones is no reason, though its weight be negative: what the feature
    means does not hold of that movie.
    """
    added: Floats = amounts(weights, values) - amounts(weights, typical).mean()
    return np.where(values > typical.mean(), added, np.minimum(added, 0))


def strongest(contributions: Sequence[float] | Floats, most: int) -> list[int]:
    """Which at most contribute something, the most first, of equal ones the first."""
    values = np.asarray(contributions, np.float32)
    order = np.argsort(-values, kind="stable")[:most]
    return [at for at in order.tolist() if values[at] > 0]


# What the features say of a movie, as the end of "because ...".
MEANINGS: Final = {
    TOWERS: "it is close to your taste as a whole",
    "ease": "it goes with what you rated lately",
    "liked": "it goes with what you liked",
    "lasting": "it goes with what you rated over time",
    "company": "people rate it together with movies that you rated",
    "nearby": "people rate it right after movies that you rated",
    "heat_30": "many people have rated it in the last weeks",
    "heat_365": "many people have rated it in the last year",
    "new_30": "people who are new here have rated it in the last weeks",
    "new_365": "people who are new here have rated it in the last year",
}
OTHER: Final = "it goes with what you rated"  # of links that have no words of their own
