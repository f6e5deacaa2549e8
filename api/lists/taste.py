"""A list for a taste that somebody describes: liked and disliked movies, and weights.

What they name is a history that nobody has: disliked movies, then liked ones, all rated at the same
time. What a tower and links make of a history depends on its order, and what is named has none; so
it is asked as often as there are liked movies, each of them being the last one once, and the
features are averaged.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from api.lists.ranking import WELL_KNOWN
from api.serving.live import LiveMovies
from stream.features import UserState
from training.artifact import Artifact
from training.mmr import NOWHERE
from training.movie_table import Mask, MovieTable
from training.ranking import TOWERS, Ranking
from training.repertoire import Repertoire
from training.standing import standing_of
from training.tower_inputs import Floats, Ints

# Log-odds of a genre or era of weight 1: e^3, a movie of which it holds is 20 times as likely. What
# is best for somebody is some five log-odds above what is quite all right.
STATED: Final = np.float32(3.0)

LIKED: Final = 10  # half stars
DISLIKED: Final = 2

# Seconds since the epoch: some time, the same for all; ages are relative to the latest rating.
_WHEN: Final = 1_000_000_000

# Movies that a list is diversified from, beside those of its own length.
_SPARE: Final = 300


class Weights(NamedTuple):
    """What somebody says, see `TasteProfile`; eras are (first year, last year, weight)."""

    genres: dict[str, float]
    eras: Sequence[tuple[int, int, float]]
    popularity: float


class Chosen(NamedTuple):
    """k movies, best first.

    Attributes:
        rows: i64[k] of the repertoire.
        scores: f32[k] how likely each is picked beside the likeliest one.
        stated: f32[k] the log-odds that weights have added.
    """

    rows: Ints
    scores: Floats
    stated: Floats


def stated(weights: Weights, movies: MovieTable, ratings: Ints) -> Floats:
    """f32[n]: what weights add to the log-odds of each movie.

    3 w for each genre that it has, 3 w for each era that its year is in, and
    5 p log(1 + ratings) / log(1 + most ratings) for an appetite p for what is well known.

    Args:
        weights: what somebody says.
        movies: n movies.
        ratings: i64[n] how many people have rated each.
    """
    added = np.zeros(len(movies), np.float32)
    for name, weight in weights.genres.items():
        if name in movies.genre_names:
            added += STATED * np.float32(weight) * movies.has_genre[movies.genre_names.index(name)]
    for first, last, weight in weights.eras:
        added += STATED * np.float32(weight) * ((movies.years >= first) & (movies.years <= last))
    if weights.popularity:
        most = np.log1p(max(int(ratings.max(initial=0)), 1))
        known = np.log1p(ratings, dtype=np.float32) / np.float32(most)
        added += WELL_KNOWN * np.float32(weights.popularity) * known
    return added


def histories(liked: Sequence[int], disliked: Sequence[int]) -> list[UserState]:
    """The history of movies that are named, once for each liked one, which is its last rating.

    Without liked movies it is one of the disliked ones, and without any there is none.
    """
    liked, disliked = sorted(liked), sorted(disliked)
    if not liked and not disliked:
        return []
    turns = [liked[turn:] + liked[:turn] for turn in range(1, len(liked) + 1)] or [[]]
    return [_history(disliked, turn) for turn in turns]


def utilities_of(
    artifact: Artifact, movies: Repertoire, live: LiveMovies, people: Sequence[UserState]
) -> Floats:
    """f32[n + m]: the log-odds of all movies for somebody whose history is any of these.

    Args:
        artifact: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        people: of each the model learnt a movie; of nobody, somebody new is meant.
    """
    vectors, ranking = movies.items.vectors, artifact.ranking
    features = live.of_model(len(vectors))
    if not people:
        newcomer: Floats = ranking.of_newcomers(features)[0]
        return newcomer
    standing = standing_of(people, movies.items.rows)
    features |= {
        name: of.scores(standing, len(movies.later)).mean(axis=0, keepdims=True)
        for name, of in ranking.links.items()
    }
    features[TOWERS] = (vectors @ artifact.user_vectors(people).mean(axis=0))[None]
    utilities: Floats = ranking.utilities(features)[0]
    return utilities


def choose(
    ranking: Ranking,
    movies: Repertoire,
    utilities: Floats,
    added: Floats,
    left_out: Mask,
    limit: int,
) -> Chosen:
    """The best movies by the sum of both, diversified.

    Args:
        ranking: whose trade-off it is.
        movies: what it can recommend.
        utilities: f32[n + m] log-odds.
        added: f32[n + m] what weights add.
        left_out: bool[n + m] what is in no list.
        limit: how many movies.
    """
    worth = np.where(left_out, -np.inf, utilities + added)
    first = np.argsort(-worth, kind="stable")[: limit + _SPARE]
    rows = np.sort(first[worth[first] > -np.inf])
    if not len(rows):
        return Chosen(rows, np.zeros(0, np.float32), np.zeros(0, np.float32))
    [order], _ = ranking.order(worth[None, rows], rows[None], movies.likeness, limit)
    chosen = rows[order[order != NOWHERE]]
    return Chosen(chosen, np.exp(worth[chosen] - worth[rows].max()), added[chosen])


def _history(disliked: Sequence[int], liked: Sequence[int]) -> UserState:
    named = [*disliked, *liked]
    stars = [DISLIKED] * len(disliked) + [LIKED] * len(liked)
    return UserState(
        movies=_packed(named, "<u4"),
        times=_packed([_WHEN] * len(named), "<u4"),
        half_stars=_packed(stars, "u1"),
        events=len(named),
    )


def _packed(values: Sequence[int], dtype: str) -> bytes:
    packed: bytes = np.array(values, dtype).tobytes()
    return packed
