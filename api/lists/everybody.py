"""Lists that are the same for everybody, but for what one has seen: trending, and popular."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np

from api.catalogue.described import unrated
from api.lists.ranking import HOTTEST, trends
from api.lists.wanted import Wanted
from api.schemas.recommendations import DegradedReason, Source, Strategy
from api.serving.watcher import Movie, Serving
from training.index import IndexedMovie
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.repertoire import Repertoire


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
    hot = _trending(serving, seen, wanted)
    candidates = list(islice(hot, wanted.limit))
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


def _trending(serving: Serving, without: Collection[int], wanted: Wanted) -> Iterator[Candidate]:
    """What people rate of late, best first, of the wanted movies."""
    hottest, movies = serving.trending, serving.repertoire
    unfiltered = wanted.filter == ALL_MOVIES
    if not unfiltered:
        hottest = _hottest(serving, movies, wanted.filter, wanted.limit + len(without))
    for movie_id, score in hottest:
        movie = None if movie_id in without else serving.movie(movie_id)
        if movie is None:
            continue
        # Without a model nobody has counted what the training data has of each.
        if unfiltered or movies is not None or wanted.filter.wants(unrated(movie)):
            yield Candidate(movie, score, "trending")


def _hottest(
    serving: Serving, movies: Repertoire | None, wanted: MovieFilter, count: int
) -> tuple[tuple[int, float], ...]:
    """(movie id, score), best first: so many of the wanted ones, or all where no model knows."""
    live, model = serving.live, serving.model
    if movies is None or model is None:
        return tuple(trends(live, HOTTEST, len(live.ids)))
    rated = np.zeros_like(live.rated)
    matching = movies.matching(wanted)
    rated[: len(movies.table)] = True if matching is None else matching
    return tuple(trends(live, model.artifact.ranking.newcomers, count, rated))


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
