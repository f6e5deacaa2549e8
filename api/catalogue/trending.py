"""What is rated most of late, of the movies that somebody wants."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from api.catalogue.counts import WINDOWS, counted_to, mean_of, shares
from api.catalogue.described import named, unrated
from api.lists.emptiness import contradiction
from api.schemas.catalogue import TrendingMovie, TrendingMovies, Window
from api.serving.watcher import Movie, Serving
from training.movie_filter import MovieFilter
from training.tower_inputs import Floats, Ints


def trending(serving: Serving, window: Window, wanted: MovieFilter, limit: int) -> TrendingMovies:
    """At most `limit` of the wanted movies, the hottest first, of equal ones by id."""
    live = serving.live
    items = []
    if live.rated.any():
        share = shares(live, window)
        for row, movie in islice(_hottest(serving, share, wanted, limit), limit):
            items.append(
                TrendingMovie(
                    **named(movie),
                    share=float(share[row]),
                    ratings=int(live.ratings[row]),
                    mean=mean_of(live, row),
                )
            )
    return TrendingMovies(
        window=window,
        half_life_days=WINDOWS[window].half_life,
        positions=counted_to(live),
        items=items,
        empty_because=None if items else _why_none(serving, wanted),
    )


def _hottest(
    serving: Serving, share: Floats, wanted: MovieFilter, limit: int
) -> Iterator[tuple[int, Movie]]:
    """The wanted movies and their rows in `serving.live`, the hottest first: `limit` at least.

    Of those that the model has not taken in only the catalogue knows, and nobody has counted what
    the training data has of them.
    """
    ids, movies = serving.live.ids, serving.repertoire
    rows: Ints = np.flatnonzero(serving.live.rated)
    count = 0 if movies is None else len(movies.table)
    rows, others = rows[rows < count], rows[rows >= count]
    matching = None if movies is None else movies.matching(wanted)
    if matching is not None:
        rows = rows[matching[rows]]
    least = np.partition(share[rows], -limit)[-limit] if len(rows) > limit else 0
    rows = np.concatenate([rows, others])
    rows = rows[share[rows] >= least]
    for row in rows[np.lexsort((ids[rows], -share[rows]))].tolist():
        movie = serving.movie(int(ids[row]))
        if movie is None and movies is not None and row < count:
            movie = movies.table[row]
        if movie is not None and (row < count or wanted.wants(unrated(movie))):
            yield row, movie


def _why_none(serving: Serving, wanted: MovieFilter) -> str:
    if not serving.live.rated.any():
        return "nobody has rated anything yet"
    return contradiction(wanted) or "no movie that anybody has rated meets every filter"
