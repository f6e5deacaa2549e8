"""The same few ratings, written as each MovieLens release writes them."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from producers.formats import ATOMIC_100K, CSV, DAT_1M, DAT_10M, U_100K, Format

FLAGS = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


class Title(NamedTuple):
    movie_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]


MOVIES = (
    Title(1, "Toy Story", 1995, ("Animation", "Comedy")),
    Title(2, "Cité des enfants perdus, La", 1995, ("Sci-Fi",)),
    Title(5, "An Untitled Reel", None, ()),
)

# user, movie, stars, seconds: written in this order, which is not the order in time
RATINGS = (
    (1, 1, 4.0, 978300760),
    (1, 2, 5.0, 978300275),
    (2, 1, 3.0, 978299000),
    (2, 5, 1.0, 978300275),
)
# user, movie, tag, seconds
TAGS = ((2, 5, "no idea, really", 978300300), (1, 1, 'so "fun"', 978300280))
IN_ORDER = [
    {"user_id": 2, "movie_id": 1, "rating": 3.0, "timestamp": 978299000000},
    {"user_id": 1, "movie_id": 2, "rating": 5.0, "timestamp": 978300275000},
    {"user_id": 2, "movie_id": 5, "rating": 1.0, "timestamp": 978300275000},
    {"user_id": 1, "movie_id": 1, "rating": 4.0, "timestamp": 978300760000},
]


def write(
    directory: Path,
    layout: Format,
    ratings: Iterable[tuple[object, ...]] = RATINGS,
    movies: Iterable[Title] = MOVIES,
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    header, line = {
        CSV: ("userId,movieId,rating,timestamp\n", _csv_line),
        DAT_1M: ("", _dat_line),
        DAT_10M: ("", _dat_line),
        U_100K: ("", _flags_line),
        ATOMIC_100K: (
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
            _atomic_line,
        ),
    }[layout]
    columns = {
        CSV: "movieId,title,genres\n",
        ATOMIC_100K: "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n",
    }.get(layout, "")
    (directory / layout.ratings).write_text(
        header + "".join(layout.separator.join(map(str, rating)) + "\n" for rating in ratings)
    )
    (directory / layout.movies).write_text(
        columns + "".join(line(movie) + "\n" for movie in movies),
        encoding="utf-8" if layout is CSV else layout.encoding,
    )
    return directory


def write_tags(directory: Path, layout: Format, tags: Iterable[tuple[object, ...]] = TAGS) -> Path:
    assert layout.tags is not None
    header = "userId,movieId,tag,timestamp\n" if layout.header else ""
    lines = "".join(_tag_line(layout, fields) + "\n" for fields in tags)
    (directory / layout.tags).write_text(header + lines, encoding="utf-8")
    return directory


def _with_year(movie: Title) -> str:
    return f"{movie.title} ({movie.year})" if movie.year else movie.title


def _csv_line(movie: Title) -> str:
    title = _with_year(movie)
    quoted = f'"{title}"' if "," in title else title
    return f"{movie.movie_id},{quoted},{'|'.join(movie.genres) or '(no genres listed)'}"


def _dat_line(movie: Title) -> str:
    genres = "|".join(movie.genres) or "(no genres listed)"
    return f"{movie.movie_id}::{_with_year(movie)}::{genres}"


def _flags_line(movie: Title) -> str:
    genres = movie.genres or ("unknown",)
    flags = "|".join("1" if flag in genres else "0" for flag in FLAGS)
    return f"{movie.movie_id}|{_with_year(movie)}|01-Jan-1995||http://example/|{flags}"


def _atomic_line(movie: Title) -> str:
    return f"{movie.movie_id}\t{movie.title}\t{movie.year or ''}\t{' '.join(movie.genres)}"


def _tag_line(layout: Format, fields: tuple[object, ...]) -> str:
    if layout is not CSV:
        return layout.separator.join(map(str, fields))
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()
