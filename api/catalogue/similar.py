"""Movies like a movie: near it by vector, and linked to it by the people who rated both."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from api.lists.retrieval import ask
from api.schemas.catalogue import By
from api.serving.models import ServedModel
from stream.contracts.errors import IndexUnavailable
from training.movie_filter import MovieFilter
from training.ranker import amounts
from training.ranking import Ranking
from training.repertoire import Repertoire
from training.standing import Standing
from training.tower_inputs import Floats, Ints

# Of Cormack, Clarke and Büttcher: how much less the first places of a list count for the sum than
# their reciprocals. 60 is what they found best, and is what others use.
FUSION: Final = 60

_LIKED: Final = 10  # half stars: a rating that counts, from wherever it does

# Places of each list that are fused. What is beyond them in both would not come to a first page.
_FUSED: Final = 200


class Alike(NamedTuple):
    """A movie of the repertoire that is like another one; see `SimilarMovie`."""

    row: int
    score: float
    by: list[By]
    cosine: float
    log_odds: float


class Neighbours(NamedTuple):
    """The most similar first, and whether the index was there to ask."""

    movies: list[Alike]
    whole: bool


async def similar(
    model: ServedModel,
    movies: Repertoire,
    row: int,
    by: By | None,
    wanted: MovieFilter,
    limit: int,
) -> Neighbours:
    """Movies like the one in this row, without it.

    Args:
        model: that is served.
        movies: what it can recommend.
        row: of the repertoire.
        by: how they are alike; None: both ways, fused.
        wanted: which of them.
        limit: how many.
    """
    vectors, whole = movies.items.vectors, True
    log_odds = by_links(model.artifact.ranking, movies, row)
    count = limit if by else max(limit, _FUSED)
    lists: dict[By, list[int]] = {}
    if by != "ratings":
        try:
            lists["vector"] = await _nearest(model, movies, row, wanted, count)
        except IndexUnavailable as error:
            model.note_failure("index_unavailable", error)
            whole = False
    if by != "vector":
        lists["ratings"] = _linked(log_odds, movies, wanted, count)
    cosines = {at: float(vectors[at] @ vectors[row]) for rows in lists.values() for at in rows}
    if by is None:
        scores = fused(lists)
    else:
        scores = cosines if by == "vector" else {at: float(log_odds[at]) for at in cosines}
    best = sorted(cosines, key=lambda at: (-scores[at], at))[:limit]
    found = [
        Alike(
            at,
            scores[at],
            [name for name, rows in lists.items() if at in rows],
            cosines[at],
            float(log_odds[at]),
        )
        for at in best
    ]
    return Neighbours(found, whole)


def by_links(ranking: Ranking, movies: Repertoire, row: int) -> Floats:
    """f32[n + m]: what the links from one movie add to the utility of each, 0 where none lead.

    It is what they add for somebody who has rated and liked that movie alone.
    """
    count = len(movies.items.movie_ids)
    added = np.zeros(count, np.float32)
    if row < movies.learnt:
        liked = Standing(1, np.zeros(1, np.int64), np.array([row]), np.array([_LIKED]))
        for name, links in ranking.links.items():
            if name in ranking.weights:
                [scores] = links.scores(liked, len(movies.later))
                linked = np.flatnonzero(scores)
                added[linked] += amounts(ranking.weights[name], scores[linked])
        added[row] = 0
    return added


def fused(lists: Mapping[By, Sequence[int]]) -> dict[int, float]:
    """By row: the sum of 1 / (60 + place) over the lists that have it, places from 1."""
    scores: dict[int, float] = {}
    for rows in lists.values():
        for place, row in enumerate(rows, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (FUSION + place)
    return scores


async def _nearest(
    model: ServedModel, movies: Repertoire, row: int, wanted: MovieFilter, count: int
) -> list[int]:
    """Raises IndexUnavailable."""
    vector, own = movies.items.vectors[row], int(movies.items.movie_ids[row])
    found = await ask(model, lambda: model.index.search(vector, count, [own], wanted))
    rows = movies.items.rows(np.array([movie_id for movie_id, _ in found], np.uint32))
    return [at for at in rows.tolist() if at >= 0]  # another process may know of more


def _linked(log_odds: Floats, movies: Repertoire, wanted: MovieFilter, count: int) -> list[int]:
    matching = movies.matching(wanted)
    likelier = log_odds > 0 if matching is None else (log_odds > 0) & matching
    rows: Ints = np.flatnonzero(likelier)
    best: list[int] = rows[np.lexsort((rows, -log_odds[rows]))][:count].tolist()
    return best
