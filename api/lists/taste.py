"""A list for a taste that somebody describes: liked and disliked movies, and weights.

Liked movies are read as a history of ratings, all given at the same time. What a tower and links
make of a history depends on its order, and what is named has none; so it is asked as often as there
are movies, each of them being the last one once, and the features are averaged. Disliked movies
are read alike, and what they would add is taken away: people go on to rate what is like a movie
that they disliked as well, which is what the model learnt, and not what is asked for here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from api.lists.ranking import WELL_KNOWN
from api.serving.live import LiveMovies
from stream.features import UserState
from training.artifact import Artifact
from training.mmr import NOWHERE
from training.movie_table import Mask, MovieTable
from training.ranker import utilities as added_by
from training.ranking import TOWERS, Ranking
from training.repertoire import Repertoire
from training.standing import standing_of
from training.tower_inputs import Floats, Ints

# Log-odds of a genre, era or tag of weight 1: as much as ratings have taught of a movie that people
# pick (`training.explore.BONUS`). A movie of which it holds is 150 times as likely.
STATED: Final = np.float32(5.0)

LIKED: Final = 10  # half stars

# Seconds since the epoch: some time, the same for all; ages are relative to the latest rating.
_WHEN: Final = 1_000_000_000

# Movies that a list is diversified from, beside those of its own length.
_SPARE: Final = 300


class Weights(NamedTuple):
    """What somebody says, see `TasteProfile`.

    Attributes:
        genres: weights by name.
        eras: (first year, last year, weight).
        tags: (ids of the movies that have it, weight).
        popularity: appetite for what is well known.
    """

    genres: Mapping[str, float] = {}
    eras: Sequence[tuple[int, int, float]] = ()
    tags: Sequence[tuple[Ints, float]] = ()
    popularity: float = 0.0


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

    5 w for each genre and each tag that it has, 5 w for each era that its year is in, and
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
    for tagged, weight in weights.tags:
        added += STATED * np.float32(weight) * np.isin(movies.movie_ids, tagged)
    if weights.popularity:
        most = np.log1p(max(int(ratings.max(initial=0)), 1))
        known = np.log1p(ratings, dtype=np.float32) / np.float32(most)
        added += WELL_KNOWN * np.float32(weights.popularity) * known
    return added


def histories(movies: Collection[int]) -> list[UserState]:
    """The history of liking these movies, once for each of them, which is its latest rating."""
    named = sorted(movies)
    return [_history(named[turn:] + named[:turn]) for turn in range(1, len(named) + 1)]


def utilities_of(
    artifact: Artifact,
    movies: Repertoire,
    live: LiveMovies,
    liked: Collection[int],
    disliked: Collection[int],
) -> Floats:
    """f32[n + m]: the log-odds of all movies for somebody who likes and dislikes these.

    Those of the ranker for who likes the ones, or of somebody new where they like none, less what
    towers and links add for who likes the others, above their mean over all movies.

    Args:
        artifact: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        liked: ids of movies that the model learnt.
        disliked: the same.
    """
    ranking = artifact.ranking
    features = live.of_model(len(movies.items.movie_ids))
    if liked:
        features |= _personal(artifact, movies, histories(liked))
        utilities: Floats = ranking.utilities(features)[0]
    else:
        utilities = ranking.of_newcomers(features)[0]
    if disliked:
        personal = _personal(artifact, movies, histories(disliked))
        weights = {name: of for name, of in ranking.weights.items() if name in personal}
        [added] = added_by(weights, personal)
        utilities = utilities - (added - added.mean())
    return utilities


def _personal(
    artifact: Artifact, movies: Repertoire, people: Sequence[UserState]
) -> dict[str, Floats]:
    """By name, f32[1, n + m]: what towers and links say, the mean over these people."""
    standing = standing_of(people, movies.items.rows)
    features = {
        name: of.scores(standing, len(movies.later)).mean(axis=0, keepdims=True)
        for name, of in artifact.ranking.links.items()
    }
    vector = artifact.user_vectors(people).mean(axis=0)
    return features | {TOWERS: (movies.items.vectors @ vector)[None]}


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


def _history(movies: Sequence[int]) -> UserState:
    return UserState(
        movies=np.array(movies, "<u4").tobytes(),
        times=np.full(len(movies), _WHEN, "<u4").tobytes(),
        half_stars=bytes([LIKED]) * len(movies),
        events=len(movies),
    )
