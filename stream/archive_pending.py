"""What was read of a partition and waits to be archived, as rows, without who is forgotten."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

import numpy as np
import pyarrow as pa

from stream.archive_files import SCHEMA
from stream.contracts.events import RatingEvent, Source
from stream.decoding import decode
from stream.log import Record

# Of what is written at once: they say enough of where it came from.
MOST_TRACED: Final = 128

_SOURCES: Final = pa.array(get_args(Source), pa.string())
_SOURCE_INDEX: Final = {source: index for index, source in enumerate(get_args(Source))}


class Pending:
    """The offsets [begin, end) of a partition.

    Attributes:
        begin: the first offset that is not archived.
        end: the offset after what was read.
        rows: how many ratings wait, those of people who are forgotten included.
        since: when the first of it was read, monotonic; infinite where there is nothing.
        forgotten: for each user who wants to be forgotten the offset of their last wish.
        traced: records that were sent within a trace, at most `MOST_TRACED`.
    """

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.end = begin
        self.rows = 0
        self.since = math.inf
        self.forgotten: dict[int, int] = {}
        self.traced: list[Record] = []
        self._tables: list[pa.Table] = []

    def add(
        self, topic: str, partition: int, partitions: int, records: Sequence[Record]
    ) -> Counter[str]:
        """Take in records that follow; how many were left out as invalid, by reason."""
        events, letters = decode(topic, partition, partitions, records)
        times = {record.offset: record.timestamp for record in records}
        ratings = []
        for offset, event in events:
            if isinstance(event, RatingEvent):
                ratings.append((offset, times[offset], event))
            else:
                self.forgotten[event.user_id] = offset
        if ratings:
            self._tables.append(_table(ratings))
            self.rows += len(ratings)
        if len(self.traced) < MOST_TRACED:
            self.traced = [*self.traced, *(it for it in records if it.headers)][:MOST_TRACED]
        self.reach(records[-1].offset + 1)
        return Counter(letter.reason for letter in letters)

    def reach(self, end: int) -> None:
        """Up to here there is nothing more."""
        if end > self.end:
            self.end = end
            self.since = min(self.since, time.monotonic())

    def table(self) -> pa.Table:
        """The rows of `SCHEMA`, without those of people that they wished forgotten afterwards."""
        table = pa.concat_tables([SCHEMA.empty_table(), *self._tables])
        if not self.forgotten:
            return table
        users, wishes = np.array(sorted(self.forgotten.items()), np.int64).T
        authors = table["user_id"].to_numpy()
        place = np.minimum(users.searchsorted(authors), len(users) - 1)
        gone = (users[place] == authors) & (table["offset"].to_numpy() < wishes[place])
        return table.filter(pa.array(~gone))


def _table(ratings: Sequence[tuple[int, int, RatingEvent]]) -> pa.Table:
    """Rows of `SCHEMA` from (offset, time of the record in ms, event)."""
    offsets, times, events = zip(*ratings, strict=True)
    columns = [
        [event.user_id for event in events],
        [event.movie_id for event in events],
        [event.rating for event in events],
        [event.event_time for event in events],
        [event.produced_time for event in events],
        times,
        [event.event_id for event in events],
        pa.DictionaryArray.from_arrays(
            pa.array([_SOURCE_INDEX[event.source] for event in events], pa.int32()), _SOURCES
        ),
        offsets,
    ]
    return pa.table(columns, schema=SCHEMA)
