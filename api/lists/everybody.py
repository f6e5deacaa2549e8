"""Lists that are the same for everybody, but for what one has seen: trending, and popular."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np

from api.catalogue.hottest import hottest
from api.lists.ranking import HOTTEST, MOST_DIVERSE, novel
from api.lists.wanted import Wanted
from api.schemas.recommendations import DegradedReason, Source, Strategy
from api.serving.watcher import TRENDING, Movie, Serving
from training.index import IndexedMovie
from training.mmr import diversify
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.ranker import utilities


class Candidate(NamedTuple):
    movie: Movie
    score: float
    source: Source


@dataclass(slots=True)
class Retrieved:
    """Candidates, best first; how they were found, and what was missing for a better way."""

    strategy: Strategy
    candidates: list[Candidate]
    degraded: list[DegradedReason] = field(default_factory=list)


def trending(
    serving: Serving, seen: Collection[int], wanted: Wanted, *degraded: DegradedReason
) -> Retrieved:
    """What is trending, filled up with popular movies where that is too little."""
    if wanted.diversity is None and not wanted.novelty:
        candidates = list(islice(_trending(serving, seen, wanted, wanted.limit), wanted.limit))
    else:
        pool = max(TRENDING, wanted.limit)
        hot = list(islice(_trending(serving, seen, wanted, pool), pool))
        candidates = _varied(serving, hot, wanted)[: wanted.limit]
    taken = {candidate.movie.movie_id for candidate in candidates}
    if len(candidates) < wanted.limit:
        cold = _popular(serving, taken.union(seen), wanted)
        candidates += islice(cold, wanted.limit - len(candidates))
    return Retrieved("trending", candidates, list(degraded))


def popular(
    serving: Serving, wanted: Wanted, *degraded: DegradedReason, without: Collection[int] = ()
) -> Retrieved:
    """The most rated movies of the training data: needs neither Redis nor the index."""
    candidates = list(islice(_popular(serving, without, wanted), wanted.limit))
    return Retrieved("popular", candidates, list(degraded))


def _trending(
    serving: Serving, without: Collection[int], wanted: Wanted, count: int
) -> Iterator[Candidate]:
    """What people rate of late, best first, of the wanted movies: `count` if there are so many."""
    found: Iterator[tuple[Movie | None, float]]
    if wanted.filter == ALL_MOVIES:
        found = ((serving.movie(movie_id), score) for movie_id, score in serving.trending)
    else:
        found = _hottest(serving, wanted.filter, count + len(without))
    for movie, score in found:
        if movie is not None and movie.movie_id not in without:
            yield Candidate(movie, score, "trending")


def _hottest(
    serving: Serving, wanted: MovieFilter, count: int
) -> Iterator[tuple[Movie | None, float]]:
    """The wanted movies with their scores, best first, as `trends` has them of all."""
    live, model = serving.live, serving.model
    if not live.rated.any():
        return
    newcomers = HOTTEST if model is None else model.artifact.ranking.newcomers
    [found] = utilities(newcomers, {name: of[None] for name, of in live.features.items()})
    best = None
    for row, movie in hottest(serving, found, wanted, count):
        best = found[row] if best is None else best
        yield movie, float(np.exp(found[row] - best))


def _varied(serving: Serving, hot: Sequence[Candidate], wanted: Wanted) -> list[Candidate]:
    """The same, in the order that diversity and novelty give them, as `rank` does for a person.

    What the model does not know stays behind it: of such movies there is no likeness.
    """
    movies = serving.repertoire
    if movies is None or not hot:
        return list(hot)
    rows = movies.items.rows(np.array([it.movie.movie_id for it in hot], np.uint32))
    known = np.flatnonzero(rows >= 0)
    rows = rows[known].astype(np.int64)
    found = np.log(np.array([hot[at].score for at in known.tolist()], np.float32))
    worth = novel(serving.live, rows, found, wanted.novelty)
    trade_off = min(wanted.diversity or 0.0, MOST_DIVERSE)
    [order] = diversify(worth[None], rows[None], movies.likeness, len(rows), trade_off)
    unknown = np.flatnonzero(~np.isin(np.arange(len(hot)), known))
    return [hot[at] for at in [*known[order].tolist(), *unknown.tolist()]]


def _popular(serving: Serving, without: Collection[int], wanted: Wanted) -> Iterator[Candidate]:
    """What most people have rated in the training data, of the wanted movies."""
    if serving.model is None:
        return
    most = serving.model.most_ratings
    for movie in _most_rated(serving, wanted, wanted.limit + len(without)):
        if movie.movie_id not in without:
            known = serving.catalogue.get(movie.movie_id, movie)
            yield Candidate(known, movie.popularity / most, "popular")


def _most_rated(serving: Serving, wanted: Wanted, count: int) -> Iterator[IndexedMovie]:
    """The wanted movies, the one with the most ratings first, equal ones by id; so many, or all."""
    movies = serving.repertoire
    matching = None if movies is None else movies.matching(wanted.filter)
    if movies is None or matching is None:
        if serving.model is not None:
            yield from filter(wanted.filter.wants, serving.model.popular.values())
        return
    table = movies.table
    rows = np.flatnonzero(matching)
    if len(rows) > count:
        ratings = table.popularity[rows]
        rows = rows[ratings >= np.partition(ratings, -count)[-count]]
    for row in rows[np.lexsort((table.movie_ids[rows], -table.popularity[rows]))].tolist():
        yield table[row]
