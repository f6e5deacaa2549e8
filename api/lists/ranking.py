"""The second stage of an answer: everything that proposes, then the ranker's order, diversified.

What it computes is `training.ranking`, as in the lab. Here it is asked for one person at a time,
whose nearest movies come from an index in place of a product with every vector.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from api.lists.wanted import Wanted
from api.schemas.recommendations import Source
from api.serving.live import LiveMovies
from training.mmr import NOWHERE
from training.movie_filter import ALL_MOVIES
from training.ranker import Weights, utilities
from training.ranking import TOWERS, Ranking
from training.repertoire import Repertoire
from training.standing import Standing
from training.tower_inputs import Floats, Ints

# Weights for people without a rating before there is a model: by heat, so that exp(utility) is the
# share of the hottest movie's.
HOTTEST: Final[Weights] = {"heat_30": np.array([np.log(2), 0, 0], np.float32)}

# The trade-off where all the diversity is wanted: what is the same as a movie of the list must be
# e^19 times as likely as what has nothing in common with it. At 1 utility would not count at all.
MOST_DIVERSE: Final = 0.95

# Log-odds that the movie with the most ratings has less where all the novelty is wanted: about what
# ratings have taught of a movie that people pick (`training.explore.BONUS`). In between it goes by
# the logarithm of the number of ratings.
WELL_KNOWN: Final = np.float32(5.0)


class Ranked(NamedTuple):
    """A movie of the repertoire, with how likely it is picked beside the likeliest one."""

    row: int
    score: float
    source: Source


class Person(NamedTuple):
    """Who is asked about.

    Attributes:
        standing: the ratings of that one person, by rows of the repertoire.
        vector: f32[d], theirs.
        nearest: rows of the movies nearest to it, without those rated.
        tower: where the vector is from.
    """

    standing: Standing
    vector: Floats
    nearest: Sequence[int]
    tower: Source


def rank(
    ranking: Ranking, movies: Repertoire, live: LiveMovies, person: Person, wanted: Wanted
) -> list[Ranked]:
    """The movies that are best for one person, without those they rated, best first.

    Up to what is proposed, a list has the same first movies however long it is; beyond that it has
    the rest of the nearest ones, by utility.

    Args:
        ranking: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        person: who.
        wanted: what the list shall be like.
    """
    standing, vectors = person.standing, movies.items.vectors
    later = len(movies.later)
    features = {name: of.scores(standing, later) for name, of in ranking.links.items()}
    features |= live.of_model(len(vectors))
    left_out = np.zeros((1, len(vectors)), np.bool_)
    left_out[0, standing.rows[standing.rows >= 0]] = True
    matching = None if wanted.filter == ALL_MOVIES else movies.matching(wanted.filter)
    if matching is not None:
        left_out |= ~matching
    bonuses = _tried(ranking, movies, live, left_out, person.vector)
    sources = _sources(ranking, ranking.proposals(features, left_out), person, bonuses)
    rows = np.array(sorted(row for row in sources if not left_out[0, row]), np.int64)
    if not len(rows):
        return []
    if wanted.diversity is not None:
        ranking = replace(ranking, trade_off=min(wanted.diversity, MOST_DIVERSE))
    of_rows = {name: values[:, rows] for name, values in features.items()}
    of_rows[TOWERS] = (vectors[rows] @ person.vector)[None]
    found = ranking.utilities(of_rows)
    bonus = np.array([[bonuses.get(row, 0) for row in rows.tolist()]], np.float32)
    worth = found if not wanted.novelty else found - wanted.novelty * _known(live, rows)
    [order], [tried] = ranking.order(worth, rows[None], movies.likeness, wanted.limit, bonus)
    scores = np.exp(found[0] - found[0].max())
    return [
        Ranked(int(rows[at]), float(scores[at]), "new" if new else sources[int(rows[at])])
        for at, new in zip(order.tolist(), tried.tolist(), strict=True)
        if at != NOWHERE
    ]


def trends(live: LiveMovies, newcomers: Weights, limit: int) -> list[tuple[int, float]]:
    """(movie id, score) for someone without a rating, best first, equal ones by id.

    A score is how likely the movie is picked beside the likeliest one.

    Args:
        live: the movies as they are now.
        newcomers: weights of their features.
        limit: how many; fewer where nobody has rated so many.
    """
    rated = np.flatnonzero(live.rated)
    if not len(rated):
        return []
    features = {name: values[None, rated] for name, values in live.features.items()}
    [found] = utilities(newcomers, features)
    ids = live.ids[rated]
    lowest = np.partition(found, max(len(found) - limit, 0))[max(len(found) - limit, 0)]
    first = np.flatnonzero(found >= lowest)
    first = first[np.lexsort((ids[first], -found[first]))][:limit]
    scores = np.exp(found[first] - found[first[0]])
    return list(zip(ids[first].tolist(), scores.tolist(), strict=True))


def _known(live: LiveMovies, rows: Ints) -> Floats:
    """f32[k], 0..WELL_KNOWN: what is taken from utilities for how many people have rated each."""
    most = max(int(live.ratings.max(initial=0)), 1)
    known: Floats = WELL_KNOWN * np.log1p(live.ratings[rows], dtype=np.float32) / np.log1p(most)
    return known


def _tried(
    ranking: Ranking,
    movies: Repertoire,
    live: LiveMovies,
    rated: npt.NDArray[np.bool_],
    vector: Floats,
) -> dict[int, float]:
    """The bonus of each movie that is tried for this person, by row."""
    unrated = movies.unrated
    of_unrated = {
        name: values[None, unrated]
        for name, values in live.features.items()
        if name in ranking.weights
    }
    of_unrated[TOWERS] = (movies.unrated_vectors @ vector)[None]
    [tried], [bonus] = ranking.tried(of_unrated, live.ratings[unrated], rated[:, unrated])
    return dict(zip(unrated[tried].tolist(), bonus.tolist(), strict=True))


def _sources(
    ranking: Ranking, proposals: Mapping[str, Ints], person: Person, tried: Iterable[int]
) -> dict[int, Source]:
    """Each candidate once, with what proposed it first."""
    sources = dict.fromkeys(person.nearest, person.tower)
    for name, rows in proposals.items():
        source: Source = "similar" if name in ranking.links else "trending"
        for row in rows[0].tolist():
            sources.setdefault(row, source)
    for row in tried:
        sources.setdefault(row, "new")
    return sources
