"""The replay: ratings in the order in which they happened, at any speed, into the log.

Each rating's event id is ``<run>:<sequence>``: the run is a digest of exactly the ratings that are
replayed, the sequence number the row, counted on through the laps of a loop. A partition gets its
rows in order, so the last of them that the log holds says where to go on (`producers.resume`).

Guaranteed: however often a replay is killed and started again with the same ratings, each
partition of the topic has each of its rows once and in order. What it takes: the topic keeps its
records and its number of partitions in between, only one replay of these ratings runs at a time,
and what a killed one still had on the network arrives within a second of the log standing still.
Another selection of ratings is another run, which repeats what the two have in common; state does
not change when a person's last rating of a movie is repeated.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from producers.admin import partition_count
from producers.pace import Pace
from producers.publisher import PATIENCE, BulkPublisher
from producers.resume import last_sequences
from producers.tables import RATINGS, to_arrow
from producers.tagging import common_tags
from stream.contracts.events import MovieEvent, RatingEvent, encode
from stream.contracts.topics import Topics, partition_of

SLICE: Final = 5_000  # events between two looks at the clock and the delivery reports, at most
NAP: Final = 0.05  # s: the longest wait between two looks
BLINK: Final = 0.005  # s: the shortest; events that are due meanwhile go together


@dataclass(frozen=True, slots=True)
class Status:
    """How far a replay has got.

    Attributes:
        done: events that the log has, those of earlier starts included.
        total: events there will be; None for a loop without end.
        waiting: events handed over that the broker has not acknowledged yet.
        trouble: why it acknowledges nothing, as far as known; empty when all is well.
    """

    done: int
    total: int | None
    waiting: int
    trouble: str


def replay(
    ratings: pa.Table,
    config: Mapping[str, str],
    topics: Topics,
    *,
    pace: Pace = Pace(),  # noqa: B008 - frozen
    laps: int | None = 1,
    on_progress: Callable[[Status], None] = lambda _: None,
    patience: float = PATIENCE,
) -> int:
    """Publish ratings and wait until the broker has them all.

    Goes on where an earlier, interrupted replay of the same ratings stopped. A lap of a loop keeps
    the event times: moved to the future, they would be refused.

    Args:
        ratings: `producers.tables.RATINGS`, in order.
        config: `Settings.librdkafka()`.
        topics: their names; `ratings` must exist.
        pace: how fast.
        laps: how often; None for ever.
        on_progress: told several times a second.
        patience: seconds without any answer of the broker after which to give up.

    Returns:
        How many events this call published.

    Raises:
        BrokerUnavailable: not all were acknowledged. Start it again to go on.
        ConfigurationError: the broker refuses us, or the topic does not exist.
    """
    rows = ratings.num_rows
    if not rows:
        return 0
    run, row = run_id(ratings), np.arange(rows)
    partitions = partition_count(config, topics.ratings)
    columns = [column.to_numpy() for column in ratings.select(RATINGS.names).columns]
    columns.append(_partitions(columns[0], partitions))
    ends = last_sequences(config, topics.ratings, partitions, run, patience)
    last = np.array(ends)[columns[-1]]
    before = int(np.maximum((last - row) // rows + 1, 0).sum())
    with BulkPublisher(config, patience) as publisher:

        def look(timeout: float) -> None:
            publisher.poll(timeout)
            total = None if laps is None else laps * rows
            done = before + publisher.acknowledged
            on_progress(Status(done, total, publisher.waiting, publisher.trouble))

        look(0)
        for lap in count() if laps is None else range(laps):
            sequence = lap * rows + row
            rest = np.flatnonzero(sequence > last)
            for due in _when_due(pace.due(columns[3][rest]), look):
                chosen = rest[due]
                values = (column[chosen].tolist() for column in (sequence, *columns))
                _publish(publisher, topics.ratings, run, zip(*values, strict=True))
        while publisher.waiting:
            look(NAP)
        return publisher.acknowledged


def publish_movies(
    movies: pa.Table, tags: pa.Table, config: Mapping[str, str], topics: Topics
) -> None:
    """Publish the catalogue and wait until the broker has it; raises as `replay` does.

    Args:
        movies: `producers.tables.MOVIES`.
        tags: `producers.tables.TAGS`.
        config: `Settings.librdkafka()`.
        topics: their names; `movies` must exist.
    """
    tagged = common_tags(tags)
    with BulkPublisher(config) as publisher:
        for movie in movies.to_pylist():
            now = time.time_ns() // 1_000_000
            event = MovieEvent(
                event_id=f"catalogue:{movie['movie_id']}:{now}",
                movie_id=movie["movie_id"],
                title=movie["title"],
                genres=tuple(movie["genres"]),
                year=movie["year"],
                tags=tagged.get(movie["movie_id"], ()),
                event_time=now,
                produced_time=now,
                source="replay",
            )
            publisher.publish(topics.movies, b"%d" % event.movie_id, encode(event))


def select(
    ratings: pa.Table,
    start: int | None = None,
    end: int | None = None,
    users: Sequence[range] = (),
) -> pa.Table:
    """The ratings with start <= time < end, in ms since the epoch, of users in any of `users`.

    What is left out does not limit.
    """
    frame = pl.DataFrame(ratings).lazy()
    if start is not None:
        frame = frame.filter(pl.col("timestamp") >= start)
    if end is not None:
        frame = frame.filter(pl.col("timestamp") < end)
    if users:
        user = pl.col("user_id")
        frame = frame.filter(
            pl.any_horizontal((user >= part.start) & (user < part.stop) for part in users)
        )
    return to_arrow(frame.collect(), RATINGS)


def run_id(ratings: pa.Table) -> str:
    """The name of the replay of exactly these ratings: 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    for name in RATINGS.names:
        digest.update(np.ascontiguousarray(ratings[name].to_numpy()).data)
    return digest.hexdigest()


def _partitions(users: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.int32]:
    """i32[n]: the partition of each user."""
    distinct, where = np.unique(users, return_inverse=True)
    homes = [partition_of(user, partitions) for user in distinct.tolist()]
    return np.array(homes, dtype=np.int32)[where]


def _when_due(due: npt.NDArray[np.float64], look: Callable[[float], None]) -> Iterator[slice]:
    """Slices of consecutive events, each when its time has come; looks around in between."""
    start = time.monotonic()
    done = 0
    while done < len(due):
        now = time.monotonic() - start
        ready = min(int(np.searchsorted(due, now, side="right")), done + SLICE)
        if ready > done:
            yield slice(done, ready)
            done = ready
            look(0)
        else:
            look(min(max(due[done] - now, BLINK), NAP))


def _publish(
    publisher: BulkPublisher,
    topic: str,
    run: str,
    rows: Iterable[tuple[int, int, int, float, int, int]],
) -> None:
    for sequence, user, movie, stars, event_time, partition in rows:
        event = RatingEvent(
            event_id=f"{run}:{sequence}",
            user_id=user,
            movie_id=movie,
            rating=stars,
            event_time=event_time,
            produced_time=time.time_ns() // 1_000_000,
            source="replay",
        )
        publisher.publish(topic, b"%d" % user, encode(event), partition)
