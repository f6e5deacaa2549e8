"""Files of ratings and of tags as typed rows, a block at a time: memory is that of one block.

A row has, beside the columns of its table, `number` (its place in the file, from 1), `line` (its
text, where the file is text) and `fields` (whether it has as many as it should). A value is null
where the text is not of the type. What is good of it `producers.validation` judges.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from producers.formats import Format
from stream.contracts.errors import DatasetError

# How much of the file was read, and how much there is, in a unit of the reader's choice.
Progress: TypeAlias = Callable[[int, int], None]

_BLOCK: Final = 32 << 20  # bytes of text: about 1.2 million ratings, which take 300 MB as they pass
_BATCH: Final = 1 << 20  # rows of Parquet

# How a header may name the columns of a file, letters alone.
_USER: Final = {"user": {"user", "userid"}}
_MOVIE: Final = {"movie": {"movie", "movieid", "item", "itemid"}}
_TIME: Final = {"timestamp": {"timestamp", "time"}}
_RATINGS: Final = {**_USER, **_MOVIE, "rating": {"rating", "stars"}, **_TIME}
_TAGS: Final = {**_USER, **_MOVIE, "tag": {"tag"}, **_TIME}
_MOVIES: Final = {**_MOVIE, "title": {"title", "movietitle", "name"}, "genres": {"genres", "genre"}}
_OPTIONAL: Final = frozenset({"genres"})


def text_ratings(path: Path, layout: Format, on_progress: Progress) -> Iterator[pl.LazyFrame]:
    """From lines of user, item, rating, seconds since the epoch.

    Raises DatasetError where a header says that these are not the columns.
    """
    if layout.header:
        _check_header(path, layout.separator, _RATINGS)
    done, total, number = 0, path.stat().st_size, 1
    for block in _blocks(path):
        yield _parse(block, layout, number)
        number += block.count(b"\n")
        done += len(block)
        on_progress(done, total)


def text_tags(path: Path, layout: Format) -> pl.LazyFrame:
    """From lines of user, item, tag, seconds since the epoch, all at once: they are few.

    Raises DatasetError where a header says that these are not the columns.
    """
    if layout.header:
        _check_header(path, layout.separator, _TAGS)
    columns = ("user_id", "movie_id", "tag", "timestamp")
    with path.open(encoding=layout.encoding, errors="replace", newline="") as file:
        lines = [
            (number, layout.separator.join(fields), len(fields) == 4, *(*fields, *[None] * 4)[:4])
            for number, fields in layout.lines(file)
        ]
    schema = {"number": pl.Int64, "line": pl.String, "fields": pl.Boolean}
    text = pl.LazyFrame(lines, {**schema, **dict.fromkeys(columns, pl.String)}, orient="row")
    return text.with_columns(
        *_numbers(*(pl.col(name) for name in ("user_id", "movie_id", "timestamp"))),
        pl.col("tag").str.strip_chars(),
    )


def check_movies_header(path: Path, layout: Format) -> None:
    """Raises DatasetError where a header says that the columns are not movie, title, genres."""
    if layout.header:
        _check_header(path, layout.separator, _MOVIES)


def parquet_rows(path: Path, schema: pa.Schema, on_progress: Progress) -> Iterator[pl.LazyFrame]:
    """From a Parquet file with the columns of `schema`, in types like its own; it may have others.

    Raises DatasetError that names the columns that it lacks.
    """
    with pq.ParquetFile(path) as file:
        check_columns(path, file.schema_arrow.names, schema.names)
        types = pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
        done, total = 0, file.metadata.num_rows
        for batch in file.iter_batches(_BATCH, columns=schema.names):
            rows = pl.DataFrame(pl.from_arrow(batch)).lazy().cast(types, strict=False)
            yield rows.with_row_index("number", done + 1).with_columns(
                line=pl.lit(""), fields=pl.lit(True)
            )
            done += len(batch)
            on_progress(done, total)


def check_columns(path: Path, there: Sequence[str], needed: Sequence[str]) -> None:
    """Raises DatasetError that names the missing ones."""
    missing = [name for name in needed if name not in there]
    if missing:
        raise DatasetError(
            f"{path} lacks the column {', '.join(missing)}: it has {', '.join(there) or 'none'}"
        )


def _check_header(path: Path, separator: str, names: Mapping[str, set[str]]) -> None:
    with path.open("rb") as file:
        text = file.readline(1 << 16).decode(errors="replace").strip('\ufeff\r\n" ')
    pieces = text.split(separator)
    if pieces[0].strip('" ').lstrip("-").isdecimal():
        return  # there is none
    words = [re.sub("[^a-z]", "", piece.split(":")[0].lower()) for piece in pieces]
    places = {  # of those columns whose name means something to us
        column: next(at for at, word in enumerate(words) if word in called)
        for column, called in names.items()
        if called & {*words}
    }
    if places and len(pieces) < len(names):
        check_columns(path, [*places], [name for name in names if name not in _OPTIONAL])
    if any([*names].index(column) != at for column, at in places.items()):
        raise DatasetError(
            f"{path} has the columns {text!r}: needed are {', '.join(names)}, in this order"
        )


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end where a line does."""
    with path.open("rb") as file:
        rest = b""
        while block := file.read(_BLOCK):
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = block[end:]
            else:
                rest += block
        if rest:
            yield rest


def _parse(block: bytes, layout: Format, number: int) -> pl.LazyFrame:
    """The rows of a block whose first line has this number in the file."""
    try:
        block.decode()
    except UnicodeDecodeError:  # lose the bad bytes, keep the good lines
        block = block.decode(errors="replace").encode()
    pieces = pl.col("line").str.splitn(layout.separator, 5).struct

    def piece(index: int) -> pl.Expr:
        return pieces.field(f"field_{index}").str.strip_chars('\ufeff\r" ')

    source = io.BytesIO(block)
    lines = pl.scan_lines(source, name="line", row_index_name="number", row_index_offset=number)
    rows = lines.select(
        "number",
        "line",
        *_numbers(piece(0), piece(1), piece(3)),
        fields=pieces.field("field_3").is_not_null() & pieces.field("field_4").is_null(),
        rating=piece(2).cast(pl.Float32, strict=False),
    )
    blank = pl.col("line").str.strip_chars() == ""
    header = (pl.col("number") == 1) & pl.col("user_id").is_null() & layout.header
    return rows.filter(~blank & ~header)


def _numbers(user: pl.Expr, movie: pl.Expr, seconds: pl.Expr) -> tuple[pl.Expr, ...]:
    return (
        user.cast(pl.Int64, strict=False).alias("user_id"),
        movie.cast(pl.UInt32, strict=False).alias("movie_id"),
        (seconds.cast(pl.Float64, strict=False) * 1000)
        .cast(pl.Int64, strict=False)
        .alias("timestamp"),
    )
