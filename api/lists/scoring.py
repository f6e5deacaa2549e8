"""What the second stage thinks of given movies, for several people at once.

Lists for more than one person and explanations ask this; `api.lists.ranking` finds the movies.
"""

from collections.abc import Sequence

from api.serving.live import LiveMovies
from stream.features import UserState
from training.artifact import Artifact
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
