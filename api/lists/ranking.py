"""The second stage of an answer: everything that proposes, then the ranker's order, diversified.

What it computes is `training.ranking`, as in the lab. Here it is asked for one person at a time,
whose nearest movies come from an index in place of a product with every vector.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from api.lists.wanted import DEPTH, Wanted
from api.schemas.recommendations import Source
from api.serving.live import LiveMovies
from training import kernels
from training.explore import explore
from training.mmr import NOWHERE, diversify
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
        nearest: i64[k] rows of the movies nearest to it, the nearest first; see `how_many_near`.
        tower: where the vector is from.
    """

    standing: Standing
    vector: Floats
    nearest: Ints
    tower: Source


def how_many_near(ranking: Ranking, limit: int) -> int:
    """How many of the nearest movies a list is made from: of longer lists always as many."""
    proposed = ranking.proposed.get(TOWERS, 0)
    return proposed if limit <= proposed else max(DEPTH, limit)


def rank(
    ranking: Ranking, movies: Repertoire, live: LiveMovies, person: Person, wanted: Wanted
) -> list[Ranked]:
    """The movies that are best for one person, without those they rated, best first.

    1. The index, links and heats propose movies, and some are tried.
    2. Their utilities are sums of features, in log-odds.
    3. They are put in order, diversified. Behind as many places as the index has proposed movies,
       all that is left and the rest of the nearest follow by utility. So a list has the same
       movies first however long it is.
    4. Some places are given to what is tried.

    Args:
        ranking: of the model.
        movies: what it can recommend.
        live: the movies as they are now, those of the repertoire first.
        person: who.
        wanted: what the list shall be like.
    """
    if wanted.diversity is not None:
        ranking = replace(ranking, trade_off=min(wanted.diversity, MOST_DIVERSE))
    vectors, later = movies.items.vectors, len(movies.later)
    links = {name: of.scores(person.standing, later) for name, of in ranking.links.items()}
    features = links | live.of_model(len(vectors))
    left_out = _left_out(movies, person.standing, wanted)
    # 1.
    proposed = ranking.proposals(features, left_out[None], live.hottest)
    near = person.nearest[~left_out[person.nearest]]
    near, beyond = np.split(near, [ranking.proposed.get(TOWERS, 0)])
    tried, bonus = _tried(ranking, movies, live, left_out, person.vector)
    names, source = _sources(ranking, proposed, person.tower, near, tried, len(vectors))
    rows = np.flatnonzero(source > 0)
    # 2.
    said = partial(_utilities, ranking, links, live.common(ranking), vectors, person.vector)
    found = said(rows)
    most = found.max(initial=-np.inf, where=np.isfinite(found))
    bonuses = np.zeros(len(rows), np.float32)
    bonuses[np.searchsorted(rows, tried)] = bonus
    worth = novel(live, rows, found, wanted.novelty)
    # 3.
    first = min(wanted.limit, ranking.proposed.get(TOWERS, 0))
    [order] = diversify(worth[None], rows[None], movies.likeness, first, ranking.trade_off)
    if wanted.limit > first:
        rest = beyond[source[beyond] == 0]
        source[rest] = 1
        rows, found = np.append(rows, rest), np.append(found, said(rest))
        worth = novel(live, rows, found, wanted.novelty)
        bonuses = np.append(bonuses, np.zeros(len(rest), np.float32))
        others = np.setdiff1d(np.arange(len(rows)), order)
        others = others[np.argsort(-worth[others], kind="stable")]
        order = np.append(order, others)[: wanted.limit]
    # 4.
    [order], [new] = explore(order[None], worth[None], rows[None], bonuses[None])
    order, new = order[order != NOWHERE], new[order != NOWHERE]
    chosen = rows[order]
    sources = np.where(new, len(names), source[chosen])
    scores = np.exp(found[order] - most)
    return [
        Ranked(row, score, names[at - 1])
        for row, score, at in zip(chosen.tolist(), scores.tolist(), sources.tolist(), strict=True)
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


def _left_out(movies: Repertoire, standing: Standing, wanted: Wanted) -> npt.NDArray[np.bool_]:
    """bool[movies]: what is in no list, because it is rated or not wanted."""
    left_out = np.zeros(len(movies.items.movie_ids), np.bool_)
    left_out[standing.rows[standing.rows >= 0]] = True
    matching = None if wanted.filter == ALL_MOVIES else movies.matching(wanted.filter)
    return left_out if matching is None else left_out | ~matching


def _tried(
    ranking: Ranking,
    movies: Repertoire,
    live: LiveMovies,
    left_out: npt.NDArray[np.bool_],
    vector: Floats,
) -> tuple[Ints, Floats]:
    """i64[t] rows of the movies that are tried for this person, and f32[t] the bonus of each."""
    unrated = movies.unrated
    towers, common = movies.unrated_vectors @ vector, live.common(ranking)[unrated]
    without = left_out[unrated]
    [tried], [bonus] = ranking.tried(
        towers[None], common[None], live.ratings[unrated], without[None]
    )
    there = ~without[tried]
    return unrated[tried[there]], bonus[there]


def _sources(
    ranking: Ranking,
    proposed: Mapping[str, Ints],
    tower: Source,
    near: Ints,
    tried: Ints,
    movies: int,
) -> tuple[list[Source], npt.NDArray[np.uint8]]:
    """What may propose movies, and u8[movies]: the place of the first that does, 0 for none."""
    names: list[Source] = [tower]
    rows = [near]
    for name, of in proposed.items():
        names.append("similar" if name in ranking.links else "trending")
        rows.append(of[0][of[0] != NOWHERE])
    names.append("new")
    rows.append(tried)
    source = np.zeros(movies, np.uint8)
    for at, of_source in reversed(list(enumerate(rows, start=1))):
        source[of_source] = at
    return names, source


def _utilities(
    ranking: Ranking,
    links: Mapping[str, Floats],
    common: Floats,
    vectors: Floats,
    vector: Floats,
    rows: Ints,
) -> Floats:
    """f32[k] of k movies."""
    of_rows = {name: values[:, rows] for name, values in links.items()}
    towers = np.empty(len(rows), np.float32)
    kernels.products(vectors, rows, vector, towers)
    of_rows[TOWERS] = towers[None]
    found: Floats = ranking.utilities(of_rows, common[rows])[0]
    return found


def novel(live: LiveMovies, rows: Ints, found: Floats, novelty: float) -> Floats:
    """f32[k]: utilities, less up to WELL_KNOWN for how many people have rated each movie.

    Args:
        live: the movies as they are now, those of the repertoire first.
        rows: i64[k] of the movies.
        found: f32[k] their utilities.
        novelty: 0..1.
    """
    if not novelty:
        return found
    most = max(int(live.ratings.max(initial=0)), 1)
    known: Floats = WELL_KNOWN * np.log1p(live.ratings[rows], dtype=np.float32) / np.log1p(most)
    return found - novelty * known
