"""What is kept of a data set, what is dropped, and why."""

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from producers.formats import BadMovie, Format, Movie
from producers.tables import RATINGS, TAGS
from stream.contracts.errors import DatasetError
from stream.contracts.events import EARLIEST_EVENT_TIME, MAX_AHEAD, MAX_ID, MAX_MOVIE_ID

MAX_BAD_SHARE: Final = 0.01  # of a file's lines; more is another format rather than dirt
EXAMPLES: Final = 5  # bad lines shown of each file
SHOWN: Final = 80  # characters shown of a bad line
MAX_TAG: Final = 100  # characters; more is a review rather than a tag. MovieLens' longest has 85


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


def read_movies(path: Path, layout: Format) -> tuple[pl.DataFrame, FileReport]:
    """The movies, by id; of several lines with one id the first counts."""
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


def read_ratings(
    path: Path, layout: Format, movies: pl.Series, now: int
) -> tuple[pl.DataFrame, FileReport]:
    """The ratings of a text file, as `producers.tables.RATINGS` has them.

    Each line goes through one vectorised expression, whatever its separator. That runs in chunks:
    besides the result it takes some 300 MB.

    Args:
        path: lines of user, item, rating, seconds since the epoch.
        layout: how they are written.
        movies: the ids there are.
        now: ms since the epoch.
    """
    try:
        return _judge_ratings(path, _parse(path, layout), movies, now)
    except pl.exceptions.ComputeError:  # not UTF-8: lose the bad bytes, keep the good lines
        text = path.read_bytes().decode(errors="replace").encode()
        return _judge_ratings(path, _parse(io.BytesIO(text), layout), movies, now)


def check_ratings(path: Path, movies: pl.Series, now: int) -> tuple[pl.DataFrame, FileReport]:
    """`read_ratings` for a Parquet file with the columns of `producers.tables.RATINGS`."""
    return _judge_ratings(path, _parquet(path), movies, now)


def read_tags(
    path: Path, layout: Format, movies: pl.Series, now: int
) -> tuple[pl.DataFrame, FileReport]:
    """The tags of a text file, as `producers.tables.TAGS` has them; arguments as `read_ratings`."""
    columns = ("user_id", "movie_id", "tag", "timestamp")
    with path.open(encoding=layout.encoding, errors="replace", newline="") as file:
        lines = [
            (number, layout.separator.join(fields), len(fields) == 4, *(*fields, *[None] * 4)[:4])
            for number, fields in layout.lines(file)
        ]
    schema = {"number": pl.Int64, "line": pl.String, "fields": pl.Boolean}
    text = pl.LazyFrame(lines, {**schema, **dict.fromkeys(columns, pl.String)}, orient="row")
    rows = text.with_columns(
        *_numbers(*(pl.col(name) for name in ("user_id", "movie_id", "timestamp"))),
        pl.col("tag").str.strip_chars(),
    )
    return _judge_tags(path, rows, movies, now)


def check_tags(path: Path, movies: pl.Series, now: int) -> tuple[pl.DataFrame, FileReport]:
    """`read_tags` for a Parquet file with the columns of `producers.tables.TAGS`."""
    return _judge_tags(path, _parquet(path), movies, now)


def _parquet(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path).with_row_index("number").with_columns(line=pl.lit(""), fields=True)


def _parse(source: Path | io.BytesIO, layout: Format) -> pl.LazyFrame:
    """Typed columns; null where the text is not of the type."""
    pieces = pl.col("line").str.splitn(layout.separator, 5).struct

    def piece(index: int) -> pl.Expr:
        return pieces.field(f"field_{index}").str.strip_chars('\ufeff\r" ')

    lines = pl.scan_lines(source, name="line", row_index_name="number", row_index_offset=1).select(
        "number",
        "line",
        *_numbers(piece(0), piece(1), piece(3)),
        fields=pieces.field("field_3").is_not_null() & pieces.field("field_4").is_null(),
        rating=piece(2).cast(pl.Float32, strict=False),
    )
    blank = pl.col("line").str.strip_chars() == ""
    header = (pl.col("number") == 1) & pl.col("user_id").is_null() & layout.header
    return lines.filter(~blank & ~header)


def _numbers(user: pl.Expr, movie: pl.Expr, seconds: pl.Expr) -> tuple[pl.Expr, ...]:
    return (
        user.cast(pl.Int64, strict=False).alias("user_id"),
        movie.cast(pl.UInt32, strict=False).alias("movie_id"),
        (seconds.cast(pl.Float64, strict=False) * 1000)
        .cast(pl.Int64, strict=False)
        .alias("timestamp"),
    )


def _judge_ratings(
    path: Path, rows: pl.LazyFrame, movies: pl.Series, now: int
) -> tuple[pl.DataFrame, FileReport]:
    stars = pl.col("rating")
    content = {
        "rating": stars.is_not_nan(),
        "rating_range": stars.is_between(0.5, 5.0),
        "rating_step": stars * 2 == (stars * 2).round(),
    }
    ratings, report = _judge(path, rows, RATINGS.names, content, movies, now)
    latest = _latest(ratings)
    report.superseded = len(ratings) - len(latest)
    return latest.sort("timestamp", "user_id", "movie_id"), report


def _judge_tags(
    path: Path, rows: pl.LazyFrame, movies: pl.Series, now: int
) -> tuple[pl.DataFrame, FileReport]:
    content = {"tag": pl.col("tag").str.len_chars().is_between(1, MAX_TAG)}
    tags, report = _judge(path, rows, TAGS.names, content, movies, now)
    return tags.sort("timestamp", "user_id", "movie_id", "tag"), report


def _judge(
    path: Path,
    rows: pl.LazyFrame,
    columns: list[str],
    content: Mapping[str, pl.Expr],
    movies: pl.Series,
    now: int,
) -> tuple[pl.DataFrame, FileReport]:
    """The good rows, and what is wrong with the others.

    Args:
        path: where they come from.
        rows: with `number`, `line`, `fields` beside the columns.
        columns: those that are kept.
        content: what must hold of the columns that are not judged here.
        movies: the ids there are.
        now: ms since the epoch.
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
    report = FileReport(path)
    report.dropped.update({reasons[verdict]: count for verdict, count in counts.rows()})
    report.examples = [BadLine(n, reasons[verdict], text) for n, verdict, text in examples.rows()]
    report.lines = len(kept) + report.bad
    return kept, report


def _latest(ratings: pl.DataFrame) -> pl.DataFrame:
    """Of several ratings of one movie by one user the last in time, then in the file."""
    by_movie = ratings.sort("user_id", "movie_id", "timestamp", maintain_order=True)
    here, after = pl.struct("user_id", "movie_id"), pl.struct("user_id", "movie_id").shift(-1)
    return by_movie.filter((here != after).fill_null(True))
