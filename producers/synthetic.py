"""Synthetic data sets in MovieLens' shape, of any size up to its 25M, with a known answer in them.

`producers.planted` says what is true of movies and people, `producers.histories` what people do.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from producers.histories import Histories, Ratings
from producers.planted import START, Parameters, Planted, plant
from producers.tables import RATINGS

RATINGS_FILE: Final = "ratings.parquet"
MOVIES_FILE: Final = "movies.parquet"

_CHUNK: Final = 1 << 20  # ratings made, and written, at a time: about 200 MB of memory


def _ignore(_: int) -> None:
    pass


def generate(planted: Planted, on_progress: Callable[[int], None] = _ignore) -> Iterator[pa.Table]:
    """The ratings in order of time, in tables of up to a million rows with the schema `RATINGS`.

    A person's history is made as one, so all are made and sorted before the first table comes:
    that takes 21 bytes of memory a rating.

    Args:
        planted: what the ratings are to show.
        on_progress: called with the number of ratings made since the last call.
    """
    made = _made(planted, on_progress)
    # Second and place in one number: sorting these is much quicker than finding an order. Nobody
    # rates twice in a second, so ties end up in the order of users, which the schema asks for.
    order = made.seconds.astype(np.int64) << 32
    order |= np.arange(len(order))
    order.sort()
    for start in range(0, len(order), _CHUNK):
        rows = order[start : start + _CHUNK] & 0xFFFF_FFFF
        columns = (
            made.users[rows].astype(np.int64) + 1,
            made.movies[rows] + np.uint32(1),
            made.half_stars[rows] * np.float32(0.5),
            (made.seconds[rows].astype(np.int64) + START) * 1000,
        )
        yield pa.table([pa.array(column) for column in columns], schema=RATINGS)


def generate_tables(parameters: Parameters) -> tuple[pa.Table, pa.Table]:
    """All ratings and all movies in memory, in the schemas of `producers.tables`.

    Raises ConfigurationError where so many ratings do not fit in so few users and movies.
    """
    planted = plant(parameters)
    return pa.concat_tables(generate(planted)), planted.movies_table()


def write(
    parameters: Parameters, directory: Path, on_progress: Callable[[int], None] = _ignore
) -> None:
    """Write `movies.parquet` and `ratings.parquet`, which appear when both are whole.

    Args:
        parameters: how much, and its shape.
        directory: is made if need be; files of these names in it are replaced.
        on_progress: called with the number of ratings made, then written, since the last call: in
            the end with twice the number of ratings.

    Raises:
        ConfigurationError: so many ratings do not fit in so few users and movies.
    """
    planted = plant(parameters)
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unfinished-", dir=directory) as name:
        unfinished = Path(name)
        pq.write_table(planted.movies_table(), unfinished / MOVIES_FILE, compression="zstd")
        with pq.ParquetWriter(unfinished / RATINGS_FILE, RATINGS, compression="zstd") as writer:
            for table in generate(planted, on_progress):
                writer.write_table(table)
                on_progress(len(table))
        for file in (MOVIES_FILE, RATINGS_FILE):
            (unfinished / file).replace(directory / file)


def _made(planted: Planted, on_progress: Callable[[int], None]) -> Ratings:
    """All ratings, in order of user."""
    total = planted.parameters.ratings
    made = Ratings(
        users=np.empty(total, np.uint32),
        movies=np.empty(total, np.uint32),
        half_stars=np.empty(total, np.uint8),
        seconds=np.empty(total, np.uint32),
    )
    histories = Histories(planted)
    ends = np.cumsum(planted.activity)
    first = done = 0
    while done < total:
        last = max(int(np.searchsorted(ends, done + _CHUNK, side="right")), first + 1)
        end = int(ends[last - 1])
        part = histories.of(first, last)
        made.users[done:end] = part.users
        made.movies[done:end] = part.movies
        made.half_stars[done:end] = part.half_stars
        made.seconds[done:end] = part.seconds
        on_progress(end - done)
        first, done = last, end
    return made
