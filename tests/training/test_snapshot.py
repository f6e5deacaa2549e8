"""What training is given of the log, and what it is examined on."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.tables import MOVIES, RATINGS
from stream.contracts.errors import DatasetError
from stream.contracts.events import MovieEvent
from training import snapshot
from training.artifact import LogPosition
from training.snapshot import archived, take_snapshot

START = 1_700_000_000_000  # ms
TIMES = pa.timestamp("ms", "UTC")


class Row(NamedTuple):
    offset: int
    user: int
    movie: int
    stars: float
    happened: int  # ms after START
    recorded: int


class MemoryArchive:
    """Rows by partition, each covered from `begin` on."""

    def __init__(
        self, rows: Sequence[Sequence[Row]], ends: Sequence[int], begins: Sequence[int] = ()
    ) -> None:
        self._rows = rows
        self._spans = list(zip(begins or [0] * len(ends), ends, strict=True))

    def span(self, topic_id: str, partition: int) -> tuple[int, int]:
        return self._spans[partition] if topic_id == "topic" else (0, 0)

    def batches(
        self, topic_id: str, partition: int, start: int, end: int
    ) -> Iterator[pa.RecordBatch]:
        assert topic_id == "topic"
        assert start <= end <= self.span(topic_id, partition)[1]
        for row in self._rows[partition]:  # a batch each: what is made of several must fit together
            if start <= row.offset < end:
                yield pa.record_batch(
                    {
                        "event_id": pa.array(["an id"]),
                        "user_id": pa.array([row.user]),
                        "movie_id": pa.array([row.movie], pa.uint32()),
                        "rating": pa.array([row.stars], pa.float32()),
                        "event_time": pa.array([START + row.happened], TIMES),
                        "record_time": pa.array([START + row.recorded], TIMES),
                        "offset": pa.array([row.offset]),
                    }
                )


def movie(movie_id: int) -> MovieEvent:
    return MovieEvent(
        event_id="m",
        movie_id=movie_id,
        title=f"Movie {movie_id}",
        genres=("Drama",),
        year=2000 if movie_id % 2 else None,
        event_time=START,
        produced_time=START,
        source="api",
    )


CATALOGUE = {movie_id: movie(movie_id) for movie_id in (30, 10, 20)}


def test_it_is_cut_in_time() -> None:
    """Of eight ratings half are asked: those recorded at 50 ms and later, wherever they are."""
    first = [Row(0, 1, 10, 4.5, 1, 10), Row(2, 1, 20, 3.0, 2, 20), Row(3, 3, 10, 2.5, 3, 60)]
    second = [
        Row(7, 2, 10, 4.0, 4, 30),
        Row(8, 2, 30, 3.5, 5, 40),
        Row(9, 2, 20, 0.5, 6, 50),
        Row(11, 4, 20, 5.0, 7, 70),
        Row(12, 4, 10, 5.0, 0, 80),
    ]
    archive = MemoryArchive([first, second, []], ends=(5, 14, 2), begins=(0, 7, 0))
    end = archived(archive, "topic", 3)
    assert end == LogPosition("topic", (5, 14, 2))
    taken = take_snapshot(archive, CATALOGUE, end)
    assert taken.position == LogPosition("topic", (3, 9, 2))
    assert taken.end == end
    assert taken.known.schema == taken.asked.schema == RATINGS
    assert taken.known.to_pydict() == {
        "user_id": [1, 1, 2, 2],
        "movie_id": [10, 20, 10, 30],
        "rating": [4.5, 3.0, 4.0, 3.5],
        "timestamp": [START + 1, START + 2, START + 4, START + 5],
    }
    assert taken.asked["timestamp"].to_pylist() == [START + ms for ms in (3, 6, 7, 0)]
    assert taken.movies.schema == MOVIES
    assert taken.movies.to_pydict() == {
        "movie_id": [10, 20, 30],
        "title": ["Movie 10", "Movie 20", "Movie 30"],
        "year": [None, None, None],
        "genres": [["Drama"]] * 3,
    }


def test_movies_without_a_name_are_left_out() -> None:
    rows = [Row(at, at + 1, 10 if at % 2 else 99, 4.0, at, at) for at in range(8)]
    taken = take_snapshot(MemoryArchive([rows], [8]), CATALOGUE, LogPosition("topic", (8,)))
    assert (len(taken.known), len(taken.asked), taken.nameless) == (2, 2, 4)
    assert taken.position.offsets == (4,)


def test_nothing_to_learn_from() -> None:
    empty = MemoryArchive([[]], [0])
    with pytest.raises(DatasetError, match=r"has 0 ratings .* none to learn from"):
        take_snapshot(empty, CATALOGUE, archived(empty, "topic", 1))
    unknown = MemoryArchive([[Row(0, 1, 99, 4.0, 0, 0)]], [1])
    with pytest.raises(DatasetError, match=r"has 1 ratings .* the catalogue has to know"):
        take_snapshot(unknown, CATALOGUE, archived(unknown, "topic", 1))


def test_at_most_so_many_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "ASKED", 3)
    rows = [Row(at, 1, 10, 4.0, at, at) for at in range(20)]
    taken = take_snapshot(MemoryArchive([rows], [20]), CATALOGUE, LogPosition("topic", (20,)))
    assert taken.asked["timestamp"].to_pylist() == [START + ms for ms in (17, 18, 19)]


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[list[Row]], list[int], list[int]]:
    """Rows with holes between them and clocks that go back, ends, and where one knew them to."""
    rows, ends, since = [], [], []
    for partition in range(draw(st.integers(1, 3))):
        offsets = sorted(draw(st.sets(st.integers(0, 30), max_size=12)))
        recorded = st.integers(0, 40)
        rows.append([Row(o, partition + 1, 10, 4.0, o, draw(recorded)) for o in offsets])
        ends.append(draw(st.integers(offsets[-1] + 1 if offsets else 0, 32)))
        since.append(draw(st.integers(0, ends[-1])))
    return rows, ends, since


@given(logs())
def test_a_cut_loses_nothing_and_asks_nothing_that_was_known(
    log: tuple[list[list[Row]], list[int], list[int]],
) -> None:
    rows, ends, known = log
    end, since = LogPosition("topic", tuple(ends)), LogPosition("topic", tuple(known))
    before = [row for of, cut in zip(rows, known, strict=True) for row in of if row.offset < cut]
    new = sum(map(len, rows)) - len(before)
    try:
        taken = take_snapshot(MemoryArchive(rows, ends), CATALOGUE, end, since)
    except DatasetError:
        assert not before
        return
    assert end.covers(taken.position)
    assert taken.position.covers(since)
    assert len(taken.known) + len(taken.asked) == sum(map(len, rows))
    told = [
        (row.user, START + row.happened)
        for of, cut in zip(rows, taken.position.offsets, strict=True)
        for row in of
        if row.offset < cut
    ]
    users, times = (taken.known[name].to_pylist() for name in ("user_id", "timestamp"))
    assert list(zip(users, times, strict=True)) == told
    assert new // 2 <= len(taken.asked) <= new


def test_another_topic_knew_nothing() -> None:
    rows = [Row(at, 1, 10, 4.0, at, at) for at in range(4)]
    of_old = LogPosition("another", (4,))
    end = LogPosition("topic", (4,))
    taken = take_snapshot(MemoryArchive([rows], [4]), CATALOGUE, end, of_old)
    assert taken.position.offsets == (2,)
