"""The movies that somebody wants, those that people rate most of late first."""

from collections.abc import Iterator

import numpy as np

from api.catalogue.described import unrated
from api.serving.watcher import Movie, Serving
from training.movie_filter import MovieFilter
from training.tower_inputs import Floats, Ints


def hottest(
    serving: Serving, heat: Floats, wanted: MovieFilter, count: int
) -> Iterator[tuple[int, Movie]]:
    """The wanted movies that anybody has rated, and their rows in `serving.live`, hottest first.

    Of those that the model has not taken in only the catalogue knows, and nobody has counted what
    the training data has of them.

    Args:
        serving: what is known of movies.
        heat: f32[n] of `serving.live`; movies of equal heat come by id.
        wanted: which movies.
        count: there are as many at least, if there are so many.
    """
    ids, movies = serving.live.ids, serving.repertoire
    rows: Ints = np.flatnonzero(serving.live.rated)
    learnt = 0 if movies is None else len(movies.table)
    rows, others = rows[rows < learnt], rows[rows >= learnt]
    matching = None if movies is None else movies.matching(wanted)
    if matching is not None:
        rows = rows[matching[rows]]
    least = np.partition(heat[rows], -count)[-count] if len(rows) > count else -np.inf
    rows = np.concatenate([rows, others])
    rows = rows[heat[rows] >= least]
    for row in rows[np.lexsort((ids[rows], -heat[rows]))].tolist():
        movie = serving.movie(int(ids[row]))
        if movie is None and movies is not None and row < learnt:
            movie = movies.table[row]
        if movie is not None and (row < learnt or wanted.wants(unrated(movie))):
            yield row, movie
