"""What the second stage thinks of given movies, for several people at once.

Lists for more than one person and explanations ask this; `api.lists.ranking` finds the movies.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from api.serving.live import LiveMovies
from stream.features import UserState
from training.artifact import Artifact
from training.mmr import NOWHERE
from training.movie_table import Mask
from training.ranking import TOWERS
from training.repertoire import Repertoire
from training.standing import standing_of
from training.tower_inputs import Floats, Ints


def features_of(
    artifact: Artifact,
    movies: Repertoire,
    live: LiveMovies,
    states: Sequence[UserState],
    rows: Ints,
) -> dict[str, Floats]:
    """By name, f32[B, k] or, the same for all, f32[1, k]: the features of k movies for B people.

    `artifact.ranking.utilities` makes log-odds of them.

    Args:
        artifact: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        states: of the people; each has rated something that the model learnt.
        rows: i64[k] of the repertoire.
    """
    standing = standing_of(states, movies.items.rows)
    features = {name: of.scores_at(standing, rows) for name, of in artifact.ranking.links.items()}
    features |= {name: values[None, rows] for name, values in live.features.items()}
    features[TOWERS] = artifact.user_vectors(states) @ movies.items.vectors[rows].T
    return features


class Opinions(NamedTuple):
    """What B people think of k movies.

    Attributes:
        rows: i64[k] of the repertoire, ascending.
        utilities: f32[B, k], in log-odds; f32[0, k] of nobody.
        newcomer: f32[k], of somebody who has rated nothing.
    """

    rows: Ints
    utilities: Floats
    newcomer: Floats


def opinions(
    artifact: Artifact,
    movies: Repertoire,
    live: LiveMovies,
    states: Sequence[UserState],
    left_out: Mask,
    count: int,
) -> Opinions:
    """What all of these people, and somebody new, think of the movies proposed for any of them.

    Vectors are multiplied with those of all movies: for several people that takes no longer than as
    many searches of an index, and leaves no other movie out than it shall.

    Args:
        artifact: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        states: of the people; each has rated something that the model learnt.
        left_out: bool[n + m], what is not proposed.
        count: how many movies at least are proposed for each, if there are as many.
    """
    ranking, vectors = artifact.ranking, movies.items.vectors
    features = live.of_model(len(vectors))
    newcomer = ranking.of_newcomers(features)[0]
    hottest = np.where(left_out, -np.inf, newcomer)
    proposed = [np.argpartition(-hottest, min(count, len(hottest) - 1))[:count]]
    if states:
        standing = standing_of(states, movies.items.rows)
        features |= {
            name: of.scores(standing, len(movies.later)) for name, of in ranking.links.items()
        }
        features[TOWERS] = artifact.user_vectors(states) @ vectors.T
        near = max(count, ranking.proposed.get(TOWERS, 0))
        proposing = replace(ranking, proposed={**ranking.proposed, TOWERS: near})
        without = np.broadcast_to(left_out, (len(states), len(left_out)))
        proposed += [rows.ravel() for rows in proposing.proposals(features, without).values()]
    rows = np.unique(np.concatenate(proposed))
    rows = rows[rows != NOWHERE]
    rows = rows[~left_out[rows]]
    of_rows = {name: values[:, rows] for name, values in features.items()}
    known = ranking.utilities(of_rows) if states else np.zeros((0, len(rows)), np.float32)
    return Opinions(rows, known, newcomer[rows])
