"""The file formats that ratings, movies and tags come in: where the fields are, and nothing more.

Sources: the README of each MovieLens release (https://grouplens.org/datasets/movielens/). The
bundled copy of 100K is in the format of RecBole's atomic files.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from stream.contracts.events import MAX_MOVIE_ID

MAX_TITLE: Final = 500  # characters, as in stream.contracts.events.MovieEvent

# The order of the 19 flags at the end of a line of u.item.
_FLAGS: Final = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_NO_GENRE: Final = {"", "unknown", "(no genres listed)"}

_YEAR_AT_END: Final = re.compile(r"^(.*\S)\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$")


class Movie(NamedTuple):
    movie_id: int
    title: str
    year: int | None
    genres: list[str]


class BadMovie(ValueError):  # noqa: N818 - it describes the line
    """A line is not a movie; the message is the reason in one word."""


@dataclass(frozen=True, slots=True)
class Format:
    """How one release is written.

    Attributes:
        ratings: name of the file with lines of user, item, rating, seconds since the epoch.
        movies: name of the file with a movie a line.
        tags: name of the file with lines of user, item, tag, seconds since the epoch, which not
            every release of the layout has; None: none has.
        separator: between the fields of a line of `ratings`.
        encoding: of `movies` and `tags`; ratings are ASCII everywhere.
        header: a first line that does not begin with a number may name the columns.
        split: `movies` or `tags` into (line number, fields), blank lines left out.
        movie: makes a movie of the fields.
    """

    ratings: str
    movies: str
    tags: str | None
    separator: str
    encoding: str
    header: bool
    split: Callable[[TextIO], Iterator[tuple[int, list[str]]]]
    movie: Callable[[Sequence[str]], Movie]

    def lines(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """(line number, fields) of the lines of `movies` or `tags` that hold data."""
        for number, fields in self.split(file):
            if number > 1 or not self.header or fields[0].strip().isdecimal():
                yield number, fields

    def is_in(self, directory: Path) -> bool:
        return (directory / self.ratings).is_file() and (directory / self.movies).is_file()


def _movie(movie_id: str, title: str, year: str, genres: Sequence[str]) -> Movie:
    """A movie; without a `year` of its own it may have one at the end of the title."""
    try:
        number = int(movie_id)
    except ValueError:
        raise BadMovie("movie_id") from None
    if not 1 <= number <= MAX_MOVIE_ID:
        raise BadMovie("movie_id")
    title = title.strip()
    if not year.isdecimal() and (match := _YEAR_AT_END.match(title)):
        title, year = match.groups()
    if not 1 <= len(title) <= MAX_TITLE:
        raise BadMovie("title")
    known = [genre.strip() for genre in genres if genre.strip() not in _NO_GENRE]
    return Movie(number, title, int(year) if year.isdecimal() else None, known)


def _plain(fields: Sequence[str]) -> Movie:
    if len(fields) not in (2, 3):
        raise BadMovie("fields")
    return _movie(fields[0], fields[1], "", fields[2].split("|") if len(fields) == 3 else [])


def _flags(fields: Sequence[str]) -> Movie:
    if len(fields) != 5 + len(_FLAGS):
        raise BadMovie("fields")
    genres = [genre for genre, flag in zip(_FLAGS, fields[5:], strict=True) if flag == "1"]
    return _movie(fields[0], fields[1], "", genres)


def _atomic(fields: Sequence[str]) -> Movie:
    if len(fields) != 4:
        raise BadMovie("fields")
    return _movie(fields[0], fields[1], fields[2], fields[3].split(" "))


def _quoted(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file)
    return ((reader.line_num, fields) for fields in reader if fields)


def _separated(by: str) -> Callable[[TextIO], Iterator[tuple[int, list[str]]]]:
    def split(file: TextIO) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.rstrip("\r\n").split(by)

    return split


CSV: Final = Format(
    "ratings.csv", "movies.csv", "tags.csv", ",", "utf-8-sig", True, _quoted, _plain
)
DAT_1M: Final = Format(
    "ratings.dat", "movies.dat", "tags.dat", "::", "latin-1", False, _separated("::"), _plain
)
DAT_10M: Final = Format(
    "ratings.dat", "movies.dat", "tags.dat", "::", "utf-8", False, _separated("::"), _plain
)
U_100K: Final = Format("u.data", "u.item", None, "\t", "latin-1", False, _separated("|"), _flags)
ATOMIC_100K: Final = Format(
    "ml-100k.inter", "ml-100k.item", None, "\t", "utf-8", True, _separated("\t"), _atomic
)
