"""What is rated most of late, of the movies that somebody wants."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from api.catalogue.counts import WINDOWS, mean_of, shares
from api.schemas.catalogue import TrendingMovie, TrendingMovies, Window
from api.serving.watcher import Movie, Serving
from training.index import IndexedMovie
from training.movie_filter import ALL_MOVIES, MovieFilter
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
                    movie_id=movie.movie_id,
                    title=movie.title,
                    genres=list(movie.genres),
                    year=movie.year,
                    share=float(share[row]),
                    ratings=int(live.ratings[row]),
                    mean=mean_of(live, row),
                )
            )
    return TrendingMovies(window=window, half_life_days=WINDOWS[window].half_life, items=items)


def _hottest(
    serving: Serving, share: Floats, wanted: MovieFilter, limit: int
) -> Iterator[tuple[int, Movie]]:
    """The wanted movies and their rows in `serving.live`, the hottest first: `limit` at least."""
    ids, movies = serving.live.ids, serving.repertoire
    rows: Ints = np.flatnonzero(serving.live.rated)
    if movies is not None:
        rows = rows[rows < len(movies.table)]
        matching = movies.matching(wanted)
        if matching is not None:
            rows = rows[matching[rows]]
        if len(rows) > limit:
            least = np.partition(share[rows], -limit)[-limit]
            rows = rows[share[rows] >= least]
    for row in rows[np.lexsort((ids[rows], -share[rows]))].tolist():
        movie = serving.movie(int(ids[row])) or (movies.table[row] if movies else None)
        if movie is not None and (movies is not None or _is_wanted(movie, wanted)):
            yield row, movie


def _is_wanted(movie: Movie, wanted: MovieFilter) -> bool:
    """Without a model, which has counted what the training data has of each."""
    return wanted == ALL_MOVIES or wanted.wants(
        IndexedMovie(
            movie_id=movie.movie_id,
            title=movie.title,
            genres=movie.genres,
            year=movie.year,
            popularity=0,
        )
    )
