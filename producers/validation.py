"""What is kept of a data set, what is dropped, and why."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from producers.formats import MAX_TITLE, BadMovie, Format, Movie
from producers.rows import (
    Progress,
    check_columns,
    check_movies_header,
    parquet_rows,
    text_ratings,
    text_tags,
)
from producers.tables import MOVIES, RATINGS, TAGS
from stream.contracts.errors import DatasetError
from stream.contracts.events import (
    EARLIEST_EVENT_TIME,
    MAX_AHEAD,
    MAX_ID,
    MAX_MOVIE_ID,
    MAX_TAG,
)

MAX_BAD_SHARE: Final = 0.01  # of a file's lines; more is another format rather than dirt
EXAMPLES: Final = 5  # bad lines shown of each file
SHOWN: Final = 80  # characters shown of a bad line

_NO_RATINGS: Final = pl.DataFrame(pl.from_arrow(RATINGS.empty_table()))
_NO_TAGS: Final = pl.DataFrame(pl.from_arrow(TAGS.empty_table()))


class BadLine(NamedTuple):
    number: int
    reason: str
    text: str


@dataclass(slots=True)
class FileReport:
    """What was found in one file.

    Attributes:
        lines: data lines, good and bad.
        dropped: bad lines by reason.
        examples: the first of them.
        superseded: ratings that a later one of the same user and movie replaced. That is a change
            of mind, not a bad line.
    """

    path: Path
    lines: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[BadLine] = field(default_factory=list)
    superseded: int = 0

    @property
    def bad(self) -> int:
        return self.dropped.total()

    def judge(self, lenient: bool) -> None:
        """Raises DatasetError where too little is good to believe the rest."""
        if not self.lines:
            raise DatasetError(f"{self.path} has no data")
        if self.bad == self.lines or (not lenient and self.bad > MAX_BAD_SHARE * self.lines):
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.dropped.items())
            shown = "".join(f"\n  line {n}: {why}: {text!r}" for n, why, text in self.examples)
            advice = "" if self.bad == self.lines else "; --lenient uses the rest all the same"
            raise DatasetError(
                f"{self.path}: {self.bad:,} of {self.lines:,} lines are bad ({reasons}), over "
                f"{MAX_BAD_SHARE:.0%}: is it the right format?{advice}{shown}"
            )


def read_movies(path: Path, layout: Format | None) -> tuple[pl.DataFrame, FileReport]:
    """The movies, by id; of several lines with one id the first counts.

    Raises DatasetError that names a column that the file lacks.
    """
    if layout is None:
        return _parquet_movies(path)
    check_movies_header(path, layout)
    report = FileReport(path)
    movies: dict[int, Movie] = {}
    with path.open(encoding=layout.encoding, errors="replace", newline="") as file:
        for number, fields in layout.lines(file):
            report.lines += 1
            try:
                movie = layout.movie(fields)
                if movie.movie_id in movies:
                    raise BadMovie("duplicate")
                movies[movie.movie_id] = movie
            except BadMovie as error:
                report.dropped[str(error)] += 1
                if len(report.examples) < EXAMPLES:
                    report.examples.append(
                        BadLine(number, str(error), layout.separator.join(fields)[:SHOWN])
                    )
    columns = pl.Schema(
        {
            "movie_id": pl.UInt32(),
            "title": pl.String(),
            "year": pl.Int32(),
            "genres": pl.List(pl.String()),
        }
    )
    frame = pl.DataFrame(list(movies.values()), schema=columns, orient="row").sort("movie_id")
    return frame, report


def _parquet_movies(path: Path) -> tuple[pl.DataFrame, FileReport]:
    check_columns(path, [*pl.read_parquet_schema(path)], MOVIES.names)
    frame = pl.read_parquet(path, columns=MOVIES.names)
    report = FileReport(path, lines=len(frame))
    good = {
        "movie_id": pl.col("movie_id").is_between(1, MAX_MOVIE_ID),
        "title": pl.col("title").str.len_chars().is_between(1, MAX_TITLE),
        "duplicate": pl.col("movie_id").is_first_distinct(),
    }
    for reason, condition in good.items():
        kept = frame.filter(condition)
        report.dropped.update({reason: len(frame) - len(kept)} if len(kept) < len(frame) else {})
        frame = kept
    genres = pl.col("genres").fill_null(pl.lit([], pl.List(pl.String)))
    return frame.with_columns(genres).sort("movie_id"), report


def read_ratings(
    path: Path, layout: Format | None, movies: pl.Series, now: int
) -> tuple[pl.DataFrame, FileReport]:
    """The ratings of a file, as `producers.tables.RATINGS` has them. See `good_ratings`."""
    report = FileReport(path)
    ratings = pl.concat([_NO_RATINGS, *good_ratings(path, layout, movies, now, report)])
    latest = _latest(ratings)
    report.superseded = len(ratings) - len(latest)
    return latest.sort("timestamp", "user_id", "movie_id"), report


def good_ratings(
    path: Path,
    layout: Format | None,
    movies: pl.Series,
    now: int,
    report: FileReport,
    on_progress: Progress = lambda *_: None,
) -> Iterator[pl.DataFrame]:
    """The good ratings of a file, block by block, in the file's order.

    Args:
        path: lines of user, item, rating, seconds since the epoch; or Parquet with the columns of
            `producers.tables.RATINGS`.
        layout: how the lines are written; None: Parquet.
        movies: the ids there are.
        now: ms since the epoch.
        report: told what was found, as it is found.
        on_progress: of the file.

    Raises:
        DatasetError: a column is missing.
    """
    stars = pl.col("rating")
    content = {
        "rating": stars.is_not_nan(),
        "rating_range": stars.is_between(0.5, 5.0),
        "rating_step": stars * 2 == (stars * 2).round(),
    }
    blocks = (
        text_ratings(path, layout, on_progress)
        if layout
        else parquet_rows(path, RATINGS, on_progress)
    )
    for rows in blocks:
        yield _judge(rows, RATINGS.names, content, movies, now, report)


def read_tags(
    path: Path, layout: Format | None, movies: pl.Series, now: int
) -> tuple[pl.DataFrame, FileReport]:
    """The tags of a file, as `producers.tables.TAGS` has them; arguments as `good_ratings`."""
    report = FileReport(path)
    content = {"tag": pl.col("tag").str.len_chars().is_between(1, MAX_TAG)}
    blocks = [text_tags(path, layout)] if layout else parquet_rows(path, TAGS, lambda *_: None)
    tags = [_judge(rows, TAGS.names, content, movies, now, report) for rows in blocks]
    return pl.concat([_NO_TAGS, *tags]).sort("timestamp", "user_id", "movie_id", "tag"), report


def _judge(
    rows: pl.LazyFrame,
    columns: list[str],
    content: Mapping[str, pl.Expr],
    movies: pl.Series,
    now: int,
    report: FileReport,
) -> pl.DataFrame:
    """The good rows; `report` is told what is wrong with the others.

    Args:
        rows: of `producers.rows`.
        columns: those that are kept.
        content: what must hold of the columns that are not judged here.
        movies: the ids there are.
        now: ms since the epoch.
        report: of the file.
    """
    good = {  # by reason, in the order in which a line is judged
        "fields": pl.col("fields"),
        "user_id": pl.col("user_id").is_between(1, MAX_ID),
        "movie_id": pl.col("movie_id").is_between(1, MAX_MOVIE_ID),
        **content,
        "timestamp": pl.col("timestamp").is_not_null(),
        "time_range": pl.col("timestamp").is_between(EARLIEST_EVENT_TIME, now + MAX_AHEAD),
        "orphan": pl.col("movie_id").is_in(movies.implode()),
    }
    reasons = list(good)
    judged = rows.with_columns(
        verdict=pl.coalesce(
            pl.when(~condition.fill_null(False)).then(pl.lit(index, pl.UInt8))
            for index, condition in enumerate(good.values())
        )
    )
    bad = judged.filter(pl.col("verdict").is_not_null())
    kept, counts, examples = pl.collect_all(
        [
            judged.filter(pl.col("verdict").is_null()).select(columns),
            bad.group_by("verdict").len().sort("verdict"),
            bad.select("number", "verdict", pl.col("line").str.slice(0, SHOWN)).head(EXAMPLES),
        ],
        engine="streaming",
    )
    dropped = {reasons[verdict]: count for verdict, count in counts.rows()}
    report.dropped.update(dropped)
    report.lines += len(kept) + sum(dropped.values())
    shown = [BadLine(n, reasons[verdict], text) for n, verdict, text in examples.rows()]
    report.examples += shown[: EXAMPLES - len(report.examples)]
    return kept


def _latest(ratings: pl.DataFrame) -> pl.DataFrame:
    """Of several ratings of one movie by one user the last in time, then in the file."""
    by_movie = ratings.sort("user_id", "movie_id", "timestamp", maintain_order=True)
    here, after = pl.struct("user_id", "movie_id"), pl.struct("user_id", "movie_id").shift(-1)
    return by_movie.filter((here != after).fill_null(True))
