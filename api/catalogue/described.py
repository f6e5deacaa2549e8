"""What is said of a movie: by the catalogue, or by the model where that does not know it."""

from typing import Any

from api.serving.watcher import Movie, Serving
from training.index import IndexedMovie
from training.repertoire import Repertoire


def movie_at(serving: Serving, movies: Repertoire, row: int) -> Movie:
    """The movie in this row of what `serving` can recommend."""
    known = serving.catalogue.get(int(movies.items.movie_ids[row]))
    return movies.table[row] if known is None else known


def named(movie: Movie) -> dict[str, Any]:
    """What every answer says of a movie."""
    return {
        "movie_id": movie.movie_id,
        "title": movie.title,
        "genres": list(movie.genres),
        "year": movie.year,
    }


def unrated(movie: Movie) -> IndexedMovie:
    """The movie as an index has it that knows of no rating."""
    return IndexedMovie(
        movie_id=movie.movie_id,
        title=movie.title,
        genres=movie.genres,
        year=movie.year,
        popularity=0,
    )
