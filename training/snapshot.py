"""The live log as training reads it: what the archive holds up to a position, and what came after.

A model learns from what is before the position, and is examined on what is after it. People who
were forgotten are in neither: the archive has erased them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.tables import MOVIES, RATINGS
from stream.contracts.errors import DatasetError
from stream.contracts.events import MovieEvent, decode_movie
from stream.topic_events import topic_events
from training.artifact import LogPosition, Manifest
from training.tower_inputs import Ints

# Events to examine models on at most: as many lists as tell hit rates of 0.2 that differ by 0.01.
ASKED: Final = 20_000

# What is read of the archive's columns.
_READ: Final = pa.schema(
    [
        pa.field("user_id", pa.int64()),
        pa.field("movie_id", pa.uint32()),
        pa.field("rating", pa.float32()),
        pa.field("event_time", pa.timestamp("ms", "UTC")),
        pa.field("record_time", pa.timestamp("ms", "UTC")),
        pa.field("offset", pa.int64()),
    ]
)

# Share of the new events that are asked, up to so many: the others are what is learnt anew.
ASKED_SHARE: Final = 0.5


class Archived(Protocol):
    """What is asked of `stream.archive.Archive`, see there."""

    def span(self, topic_id: str, partition: int) -> tuple[int, int]: ...

    def batches(
        self, topic_id: str, partition: int, start: int, end: int
    ) -> Iterable[pa.RecordBatch]: ...


@dataclass(frozen=True)
class Snapshot:
    """The log, cut in two.

    Attributes:
        known: `producers.tables.RATINGS`, the ratings before the position.
        asked: the same of those from it on.
        movies: `producers.tables.MOVIES`, the catalogue.
        position: where it is cut.
        end: where it ends.
        nameless: ratings of movies that the catalogue does not know, which are left out.
        seen: ms; of the ratings to ask those up to then are not: a model may have learnt them. None
            where there are no such.
    """

    known: pa.Table
    asked: pa.Table
    movies: pa.Table
    position: LogPosition
    end: LogPosition
    nameless: int
    seen: int | None = None

    def sparing(self, manifest: Manifest) -> "Snapshot":
        """The same, of which nothing is asked that a model may have seen.

        Its position says what it has seen. That of a model of files, or of another topic, says
        nothing: it may have seen whatever happened up to its latest rating.
        """
        known = manifest.position
        if known is not None and self.position.covers(known):
            return self
        first = pc.min(self.asked["timestamp"]).as_py()
        return (
            self if first is None or manifest.until < first else replace(self, seen=manifest.until)
        )


def archived(archive: Archived, topic_id: str, partitions: int) -> LogPosition:
    """How far the archive has got with a topic of so many partitions."""
    ends = (archive.span(topic_id, partition)[1] for partition in range(partitions))
    return LogPosition(topic_id, tuple(ends))


def read_catalogue(kafka: Mapping[str, str], topic: str) -> dict[int, MovieEvent]:
    """What the log says of each movie last, by movie id.

    Args:
        kafka: `Settings.librdkafka()`.
        topic: `Topics.movies`.

    Raises:
        BrokerUnavailable: no answer in time.
    """
    return {movie.movie_id: movie for movie in topic_events(kafka, topic, decode_movie)}


def take_snapshot(
    archive: Archived,
    movies: Mapping[int, MovieEvent],
    end: LogPosition,
    since: LogPosition | None = None,
) -> Snapshot:
    """Read the archive up to a position, and cut it at a moment before.

    All partitions are cut at the same time of their records. The newest events are asked: half of
    those after `since`, `ASKED` at most, and those of the same millisecond.

    Args:
        archive: the archive.
        movies: the catalogue, by movie id.
        end: how far to read.
        since: what models know already, or were examined on: the cut is not before it. None, or one
            of another topic, is nothing.

    Raises:
        DatasetError: there are no ratings of movies that the catalogue knows.
        FreshetError: the archive cannot be read.
    """
    logs = read_logs(archive, end)
    begin = since.offsets if since is not None and end.covers(since) else (0,) * len(logs)
    offsets = [log["offset"].to_numpy() for log in logs]
    firsts = [int(np.searchsorted(of, first)) for of, first in zip(offsets, begin, strict=True)]
    cuts = _cuts([_millis(log["record_time"]).to_numpy() for log in logs], firsts)
    catalogue = catalogue_table(movies.values())
    known, asked = (
        named(pa.concat_tables(parts), catalogue["movie_id"])
        for parts in zip(
            *((log[:cut], log[cut:]) for log, cut in zip(logs, cuts, strict=True)), strict=True
        )
    )
    rows = sum(map(len, logs))
    if not len(known):
        raise DatasetError(
            f"the archive has {rows} ratings up to {end.offsets}, and none to learn from: it takes "
            "in what `freshet archive` reads, and the catalogue has to know the movies"
        )
    position = (
        int(of[cut]) if cut < len(of) else until
        for of, cut, until in zip(offsets, cuts, end.offsets, strict=True)
    )
    return Snapshot(
        known=known,
        asked=asked,
        movies=catalogue,
        position=LogPosition(end.topic_id, tuple(position)),
        end=end,
        nameless=rows - len(known) - len(asked),
    )


def read_logs(archive: Archived, end: LogPosition) -> list[pa.Table]:
    """The rows of each partition before a position, in order.

    Columns: ``user_id`` i64, ``movie_id`` u32, ``rating`` f32 (stars), ``event_time`` and
    ``record_time`` timestamp[ms, UTC], ``offset`` i64.
    """
    return [_log(archive, end.topic_id, partition, of) for partition, of in enumerate(end.offsets)]


def _log(archive: Archived, topic_id: str, partition: int, end: int) -> pa.Table:
    batches = archive.batches(topic_id, partition, 0, end)
    columns = [pa.Table.from_batches([batch.select(_READ.names)]).cast(_READ) for batch in batches]
    return pa.concat_tables([_READ.empty_table(), *columns])


def _cuts(times: Sequence[Ints], firsts: Sequence[int]) -> list[int]:
    """The row of each partition from which on its events are asked.

    Args:
        times: of the records of each partition, in order of offsets.
        firsts: the first row of each that may be asked.
    """
    new = np.concatenate([of[first:] for of, first in zip(times, firsts, strict=True)])
    count = min(ASKED, int(len(new) * ASKED_SHARE))
    if not count:
        return [len(of) for of in times]
    moment = np.partition(new, len(new) - count)[len(new) - count]
    cuts = []
    for of, first in zip(times, firsts, strict=True):
        late = np.flatnonzero(of[first:] >= moment)
        cuts.append(first + int(late[0]) if len(late) else len(of))
    return cuts


def named(rows: pa.Table, movie_ids: pa.ChunkedArray) -> pa.Table:
    """Those of movies that have a name, as data sets have them."""
    rows = rows.filter(pc.is_in(rows["movie_id"], movie_ids))
    columns = [rows[name] for name in RATINGS.names[:-1]]
    return pa.table([*columns, _millis(rows["event_time"])], schema=RATINGS)


def _millis(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return times.cast(pa.int64())


def catalogue_table(movies: Iterable[MovieEvent]) -> pa.Table:
    """Movies as data sets have them."""
    by_id = sorted(movies, key=lambda movie: movie.movie_id)
    columns = (
        [getattr(movie, name) for movie in by_id]
        for name in ("movie_id", "title", "year", "genres")
    )
    return pa.table(list(columns), schema=MOVIES)
