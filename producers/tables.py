"""The tables every source of ratings is read into."""

from typing import Final

import polars as pl
import pyarrow as pa

# Ordered by (timestamp, user_id, movie_id); a user has one rating of a movie.
RATINGS: Final = pa.schema(
    [
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("movie_id", pa.uint32(), nullable=False),
        pa.field("rating", pa.float32(), nullable=False),  # stars: 0.5, 1.0, .. 5.0
        pa.field("timestamp", pa.int64(), nullable=False),  # ms since the epoch
    ]
)

# Ordered by movie_id. `title` is without the year.
MOVIES: Final = pa.schema(
    [
        pa.field("movie_id", pa.uint32(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("year", pa.int32()),
        pa.field("genres", pa.list_(pa.string()), nullable=False),
    ]
)

# Ordered by (timestamp, user_id, movie_id, tag). Tags are as people wrote them.
TAGS: Final = pa.schema(
    [
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("movie_id", pa.uint32(), nullable=False),
        pa.field("tag", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),  # ms since the epoch
    ]
)


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame's columns of `schema`, in its types."""
    return frame.select(schema.names).to_arrow().cast(schema)
