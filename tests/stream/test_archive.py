"""The archive: what it holds, whoever reads it, and whenever its writer is killed."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.archive import DATA_SET, NOTHING, Archive, Span
from stream.archive_files import SCHEMA
from stream.archive_storage import LocalStorage, Storage, storage_at
from stream.contracts.errors import ArchiveUnavailable, Busy, ConfigurationError, DatasetError
from tests.kills import killed_at
from tests.stream.archive_build import TODAY, ObjectStore, ms, rows
from tests.stream.s3_server import below, s3

TARGET = 10  # rows of a full file

Pairs = list[tuple[int, int]]


@pytest.fixture(params=["local", "object store", "S3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path)
    elif request.param == "object store":
        yield f"fsspec+objects:///{uuid4().hex}"
    else:
        with s3() as place:
            yield place


def opened(url: str, today: date = TODAY) -> Archive:
    """As another process sees it: nothing is remembered."""
    return Archive(storage_at(url, DATA_SET), TARGET, lambda: today)


def content(archive: Archive, partition: int = 0, topic: str = "topic") -> Pairs:
    """(offset, user) of all rows of a partition."""
    begin, end = archive.span(topic, partition)
    return [
        (row["offset"], row["user_id"])
        for batch in archive.batches(topic, partition, begin, end)
        for row in batch.to_pylist()
    ]


def paths(url: str) -> list[str]:
    storage = storage_at(url, DATA_SET)
    return sorted(storage.relative(info) for info in storage.files())


# What is there.


def test_nothing_is_there_at_first(url: str) -> None:
    archive = opened(url)
    assert archive.span("topic", 0) == NOTHING
    assert archive.contains(1) == 0
    assert archive.table("topic", [0, 0]).schema == SCHEMA
    assert archive.erase("topic", 0, {1}, 100) == 0
    assert archive.retain(1) == 0


def test_rows_come_back_as_they_were(url: str) -> None:
    table = rows([(3, 1), (5, 2**53 - 1)])
    opened(url).append("topic", 2, 3, 9, table)
    archive = opened(url)
    assert archive.span("topic", 2) == Span(3, 9)
    assert archive.spans("topic", 4) == [NOTHING, NOTHING, Span(3, 9), NOTHING]
    assert archive.table("topic", [0, 0, 9]).equals(table)


def test_small_writes_become_full_files(url: str) -> None:
    archive = opened(url)
    for offset in range(25):
        archive.append("topic", 0, offset, offset + 1, rows([(offset, 1)]))
    assert paths(url) == [
        f"date=2020-05-17/partition=0/405fd467-{first:020}.parquet" for first in (0, 10, 20)
    ]
    assert content(archive) == [(offset, 1) for offset in range(25)]


def test_a_read_is_of_what_was_asked_for(url: str) -> None:
    archive = opened(url)
    for first in (0, 10, 20):
        archive.append("topic", 0, first, first + 10, rows([(first + i, i) for i in range(9)]))
    for start, end in ((0, 30), (0, 1), (7, 7), (8, 12), (9, 10), (29, 30), (30, 30)):
        offsets = [
            offset
            for batch in archive.batches("topic", 0, start, end)
            for offset in batch["offset"].to_pylist()
        ]
        assert offsets == [o for o in range(start, end) if o % 10 != 9]


def test_invalid_records_are_covered_and_have_no_row(url: str) -> None:
    archive = opened(url)
    archive.append("topic", 0, 0, 5, SCHEMA.empty_table())
    archive.append("topic", 0, 5, 8, rows([(6, 1)]))
    assert archive.span("topic", 0) == Span(0, 8)
    assert content(archive) == [(6, 1)]


def test_a_snapshot_is_of_one_topic_up_to_a_position(url: str) -> None:
    archive = opened(url)
    archive.append("topic", 0, 0, 3, rows([(0, 1), (1, 2), (2, 3)]))
    archive.append("topic", 1, 0, 2, rows([(0, 4), (1, 5)]))
    archive.append("another", 0, 0, 1, rows([(0, 6)]))
    assert archive.table("topic", [2, 1])["user_id"].to_pylist() == [1, 2, 4]
    with pytest.raises(DatasetError, match="partition 1 is archived up to offset 2, not 3"):
        archive.table("topic", [2, 3])


def test_a_date_is_that_of_the_newest_record_and_never_goes_back(url: str) -> None:
    archive = opened(url)
    days = [date(2020, 5, 3), date(2020, 5, 9), date(2001, 1, 1), date(2099, 1, 1), TODAY]
    for offset, day in enumerate(days):
        archive.append("topic", 0, offset, offset + 1, rows([(offset, 1)], day))
    found = [path.split("/")[0] for path in paths(url)]
    assert found == ["date=2020-05-03", "date=2020-05-09", "date=2020-05-17"]
    archive.append("topic", 0, 5, 6, SCHEMA.empty_table())
    opened(url, date(2020, 5, 2)).append("topic", 0, 6, 7, rows([(6, 1)]))  # the clock jumped back
    assert [path.split("/")[0] for path in paths(url)] == found


def test_a_record_of_no_date_is_archived(url: str) -> None:
    """A producer that stamps its records in microseconds."""
    field = SCHEMA.field("record_time")
    time = pa.array([ms(TODAY) * 1_000]).cast(field.type)
    table = rows([(0, 1)]).set_column(SCHEMA.names.index(field.name), field, time)
    archive = opened(url)
    archive.append("topic", 0, 0, 1, table)
    assert archive.table("topic", [1]).equals(table)
    assert paths(url)[0].startswith(f"date={TODAY}/")


def test_a_log_of_many_days_is_few_files(url: str) -> None:
    archive = opened(url)
    days = [date(1996, 1, 1) + timedelta(days=day) for day in range(1_000)]
    table = pa.concat_tables(rows([(offset, 1)], day) for offset, day in enumerate(days))
    archive.append("topic", 0, 0, 1_000, table)
    assert len(paths(url)) == 1


# Who is forgotten.


def test_who_is_forgotten_is_in_no_file_any_more(url: str) -> None:
    archive = opened(url)
    for first in (0, 10, 20):
        table = rows([(first + i, i % 3) for i in range(10)])
        archive.append("topic", 0, first, first + 10, table)
    archive.append("topic", 1, 0, 2, rows([(0, 1), (1, 1)]))  # of another partition: no wish of its
    archive.append("before", 0, 0, 2, rows([(0, 1), (1, 2)]))  # a topic that this one came after
    assert archive.contains(1) == 3 + 3 + 3 + 2 + 1
    assert archive.erase("topic", 0, {1, 77}, 24) == 3 + 3 + 1 + 1
    assert archive.contains(1) == 2 + 2
    assert archive.span("topic", 0) == Span(0, 30)
    kept = [(o, o % 10 % 3) for o in range(30) if o % 10 % 3 != 1 or o >= 24]
    assert content(opened(url)) == kept
    assert archive.erase("topic", 0, {1, 77}, 24) == 0
    archive.append("topic", 0, 30, 31, rows([(30, 1)]))  # they are back
    assert archive.contains(1) == 2 + 2 + 1


def test_only_files_that_have_somebody_are_read_for_them(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = opened(url)
    for first, users in ((0, (5, 2**53 - 1)), (10, (6, 5)), (20, (7, 8))):
        table = rows([(first + i, users[i % 2]) for i in range(10)])
        archive.append("topic", 0, first, first + 10, table)
    read, reading = list[str](), Storage.read

    def noted(storage: Storage, path: str) -> pa.NativeFile:
        read.append(path)
        return reading(storage, path)

    for kind in (Storage, LocalStorage):
        monkeypatch.setattr(kind, "read", noted)
    archive = opened(url)
    assert archive.contains(9) == archive.erase("topic", 0, {1, 9}, 30) == 0
    assert read == []
    assert archive.contains(5) == 5 + 5
    assert {int(path[-12:-8]) for path in read} == {0, 10}
    read.clear()
    assert archive.erase("topic", 0, {2**53 - 1, 9}, 30) == 5
    assert {int(path[-12:-8]) for path in read} == {0}
    assert archive.contains(2**53 - 1) == 0
    assert archive.contains(0) == 0
    archive.append("topic", 0, 30, 31, rows([(30, 0)]))
    assert archive.contains(0) == 1


def test_files_of_a_release_that_did_not_say_whose_they_are_are_read(tmp_path: Path) -> None:
    archive = opened(str(tmp_path))
    archive.append("topic", 0, 0, 2, rows([(0, 1), (1, 2)]))
    [path] = (tmp_path / DATA_SET).rglob("*.parquet")
    table = pq.read_table(path, partitioning=None)
    told = {key: value for key, value in pq.read_metadata(path).metadata.items() if key != b"users"}
    with pq.ParquetWriter(path, SCHEMA) as writer:
        writer.write_table(table.cast(SCHEMA))
        writer.add_key_value_metadata(told)
    archive = opened(str(tmp_path))
    assert archive.contains(2) == 1
    assert archive.erase("topic", 0, {2}, 2) == 1
    assert content(archive) == [(0, 1)]


@pytest.mark.parametrize("users", ["!", "AAAA", "eJw="])
def test_a_file_whose_list_of_people_is_damaged(tmp_path: Path, users: str) -> None:
    archive = opened(str(tmp_path))
    archive.append("topic", 0, 0, 1, rows([(0, 1)]))
    [path] = (tmp_path / DATA_SET).rglob("*.parquet")
    table = pq.read_table(path, partitioning=None)
    told = pq.read_metadata(path).metadata | {b"users": users.encode()}
    with pq.ParquetWriter(path, SCHEMA) as writer:
        writer.write_table(table.cast(SCHEMA))
        writer.add_key_value_metadata(told)
    with pytest.raises(DatasetError, match="is no whole file of the archive"):
        opened(str(tmp_path)).contains(1)


# What is kept.


def test_old_days_go_and_leave_no_gap(url: str) -> None:
    for days, first in ((9, 0), (5, 10), (0, 20)):
        day = TODAY - timedelta(days)
        opened(url).append("topic", 0, first, first + 10, rows([(first, 1)], day))
    archive = opened(url)
    assert archive.retain(9) == 0
    assert archive.retain(8) == 1
    assert archive.span("topic", 0) == Span(10, 30)
    assert content(archive) == [(10, 1), (20, 1)]
    assert not [path for path in paths(url) if "2020-05-08" in path]


def test_how_far_it_had_got_outlives_the_last_row(url: str) -> None:
    archive = opened(url)
    archive.append("topic", 0, 0, 10, rows([(3, 1)]))
    later = opened(url, TODAY + timedelta(100))
    assert later.retain(30) == 1
    assert later.span("topic", 0) == Span(10, 10)
    assert later.contains(1) == 0
    assert later.retain(30) == 0
    later.append("topic", 0, 10, 12, rows([(11, 2)], TODAY + timedelta(99)))
    assert later.retain(30) == 1  # of the place that was kept
    assert content(opened(url)) == [(11, 2)]


# What is refused.


def test_what_does_not_follow_is_refused(url: str) -> None:
    archive = opened(url)
    archive.append("topic", 0, 0, 5, rows([(0, 1)]))
    for begin in (0, 4, 6):
        with pytest.raises(Busy, match="archived up to offset 5"):
            archive.append("topic", 0, begin, 10, rows([(8, 1)]))
    assert content(opened(url)) == [(0, 1)]


@pytest.mark.parametrize(
    "table", [rows([(4, 1)]), rows([(10, 1)]), rows([(7, 1)]).drop_columns("source")]
)
def test_rows_that_cannot_be_of_these_offsets_are_refused(url: str, table: pa.Table) -> None:
    with pytest.raises(ValueError, match=r"offsets \[5, 10\)|schema"):
        opened(url).append("topic", 0, 5, 10, table)


def test_a_missing_file_and_one_too_many_are_told(tmp_path: Path) -> None:
    archive = opened(str(tmp_path))
    for first in (0, 10, 20):
        table = rows([(first + i, 1) for i in range(10)])
        archive.append("topic", 0, first, first + 10, table)
    _, middle, last = (tmp_path / DATA_SET / path for path in paths(str(tmp_path)))
    kept = middle.read_bytes()
    middle.unlink()
    with pytest.raises(DatasetError, match=r"\[0, 10\).*from 20 on.*leave a gap"):
        archive.span("topic", 0)
    middle.write_bytes(kept)
    assert archive.span("topic", 0) == Span(0, 30)
    last.with_name(last.name.replace("20.", "15.")).write_bytes(last.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"15\.parquet is no whole file of the archive"):
        archive.span("topic", 0)
    last.with_name(last.name.replace("20.", "15.")).write_bytes(kept)
    with pytest.raises(DatasetError, match="overlap"):
        archive.span("topic", 0)


def test_an_archive_is_of_one_topic(url: str) -> None:
    """Also before anything is in it."""
    for _ in range(2):
        opened(url).claim("a.ratings")
    with pytest.raises(ConfigurationError, match=r"is of topic a\.ratings, not of b\.ratings"):
        opened(url).claim("b.ratings")
    opened(url).append("topic", 0, 0, 5, rows([(0, 1)]))
    assert paths(url) == [path for path in paths(url) if path.endswith(".parquet")]


def test_a_url_of_no_kind_names_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match=r"gopher://x .*s3://"):
        Archive.open("gopher://x")


def test_a_url_of_what_is_no_object_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: ObjectStore, host: str) -> None:
        """As that of SFTP: it has nothing to do with options that it does not know."""

    monkeypatch.setattr(ObjectStore, "__init__", connect)
    monkeypatch.setattr(ObjectStore, "cachable", False)
    with pytest.raises(ConfigurationError, match="use_listings_cache"):
        storage_at("fsspec+objects:///elsewhere", DATA_SET)


def test_a_file_that_is_replaced_while_it_is_read_is_read_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """s3fs says itself that it is another object."""

    class Replaced(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EBUSY, "no longer exists")

    def every_other_time(self: ObjectStore, path: str, mode: str = "rb", **options: Any) -> Any:
        first = mode == "rb" and next(times) % 2 == 0
        return Replaced(bytes(1_000)) if first else opening(self, path, mode, **options)

    opening, times = ObjectStore._open, itertools.count()
    monkeypatch.setattr(ObjectStore, "_open", every_other_time)
    url, table = f"fsspec+objects:///{uuid4().hex}", rows([(0, 1)])
    opened(url).append("topic", 0, 0, 1, table)
    assert opened(url).table("topic", [1]).equals(table)


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    archive = opened(str(tmp_path))
    archive.append("topic", 0, 0, 5, rows([(0, 1)]))
    (tmp_path / "unfinished").symlink_to("/dev/full")
    with pytest.raises(ArchiveUnavailable, match=r"No space left.*make room"):
        archive.append("topic", 0, 5, 9, rows([(5, 2)]))
    assert content(opened(str(tmp_path))) == [(0, 1)]
    (tmp_path / "unfinished").unlink()
    archive.append("topic", 0, 5, 9, rows([(5, 2)]))
    assert content(opened(str(tmp_path))) == [(0, 1), (5, 2)]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArchiveUnavailable, match="is it reachable"):
        opened(str(tmp_path / "file" / "archive")).append("topic", 0, 0, 1, rows([(0, 1)]))


def test_a_file_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut could leave a later file where an earlier one is empty."""
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda it: (steps.append(os.readlink(f"/proc/self/fd/{it}")), sync(it))
    )
    monkeypatch.setattr(
        Path, "replace", lambda it, other: (steps.append(f"to {other}"), rename(it, other))
    )
    opened(str(tmp_path)).append("topic", 0, 0, 1, rows([(0, 1)]))
    file = tmp_path / DATA_SET / paths(str(tmp_path))[0]
    assert steps == [
        str(tmp_path / "unfinished"),
        f"to {file}",
        *(str(parent) for parent in list(file.parents)[:4]),
    ]


# Killed at any time.


def everything(url: str) -> Pairs:
    """(offset, user) of all there is, as anybody reads it who knows nothing of the archive."""
    storage = storage_at(url, DATA_SET)
    if not storage.files():
        return []
    found = ds.dataset(
        storage._root, filesystem=storage._filesystem, format="parquet", partitioning="hive"
    )
    table = found.to_table(["offset", "user_id"])
    return sorted(zip(table["offset"].to_pylist(), table["user_id"].to_pylist(), strict=True))


BEFORE = [(offset, offset % 3) for offset in range(14)]

# All that changes anything.
STEPS = (
    Storage.write,
    Storage._upload,
    Storage.delete,
    LocalStorage.write,
    LocalStorage.delete,
)

# What is done, and what is there afterwards.
Change = Callable[[Archive], object]
CHANGES: dict[str, tuple[Change, Pairs]] = {
    "begin a file": (
        lambda it: it.append("topic", 0, 14, 16, rows([(15, 9)], TODAY + timedelta(1))),
        [*BEFORE, (15, 9)],
    ),
    "extend a file": (
        lambda it: it.append("topic", 0, 14, 16, rows([(14, 1), (15, 9)])),
        [*BEFORE, (14, 1), (15, 9)],
    ),
    "erase": (
        lambda it: it.erase("topic", 0, {0, 2}, 14),
        [(offset, user) for offset, user in BEFORE if user == 1],
    ),
    "drop all": (lambda it: it.retain(-1), []),
}


@pytest.mark.parametrize(("change", "after"), CHANGES.values(), ids=CHANGES)
def test_a_kill_at_any_line_loses_and_doubles_nothing(
    url: str, change: Change, after: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # it takes ms, and a kill needs none
    line, done = 0, False
    while not done:
        at = below(url, line)
        archive = opened(at)
        archive.append("topic", 0, 0, 12, rows(BEFORE[:12]))
        archive.append("topic", 0, 12, 14, rows(BEFORE[12:]))
        later = opened(at, TODAY + timedelta(1))
        with killed_at(line, *STEPS):
            change(later)
            done = True
        found = everything(at)
        assert found == sorted({*found} & {*BEFORE, *after})
        assert {*found} >= {*BEFORE} & {*after}
        there = opened(at, TODAY + timedelta(1))
        assert content(there) == found
        if there.span("topic", 0).end == 14:
            assert {*found} <= {*BEFORE}
            change(there)
        assert everything(at) == content(opened(at)) == after
        line += 1
    assert line > 3


class Step(NamedTuple):
    """One change: rows of `users` at offsets that skip `hole`, or a wish of them all, or time."""

    kind: Literal["append", "erase", "retain"]
    partition: int
    users: list[int]
    hole: int
    days: int
    line: int


steps = st.builds(
    Step,
    st.sampled_from(["append", "append", "append", "erase", "retain"]),
    st.integers(0, 1),
    st.lists(st.integers(1, 4), max_size=8),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 40),
)


@given(st.lists(steps, min_size=1, max_size=12))
@settings(max_examples=25)
def test_whatever_is_done_and_killed_it_is_what_was_written(steps: list[Step]) -> None:
    url, today = f"fsspec+objects:///{uuid4().hex}", TODAY
    wanted: list[dict[int, tuple[int, date]]] = [{}, {}]  # user and day by offset
    ends = [0, 0]
    for step in steps:
        p = step.partition
        today += timedelta(step.days)
        offsets = range(ends[p] + step.hole, ends[p] + step.hole + len(step.users))
        added = list(zip(offsets, step.users, strict=True))
        end = offsets.stop + step.hole
        for line in (step.line, None):  # killed, and then done again by another process
            archive = opened(url, today)
            with killed_at(10**9 if line is None else line, *STEPS):
                if step.kind == "append" and archive.span("topic", p).end < end:
                    archive.append("topic", p, ends[p], end, rows(added, today))
                elif step.kind == "erase":
                    archive.erase("topic", p, step.users, ends[p])
                elif step.kind == "retain":
                    archive.retain(2)
        if step.kind == "append" and end > ends[p]:
            ends[p] = end
            wanted[p] |= {offset: (user, today) for offset, user in added}
        elif step.kind == "erase":
            wanted[p] = {o: it for o, it in wanted[p].items() if it[0] not in step.users}
        elif step.kind == "retain":
            oldest = today - timedelta(2)
            wanted = [
                {offset: it for offset, it in part.items() if it[1] >= oldest} for part in wanted
            ]
        for partition in (0, 1):
            assert content(opened(url), partition) == [
                (offset, user) for offset, (user, _) in wanted[partition].items()
            ]
            assert opened(url).span("topic", partition).end == ends[partition]
    assert everything(url) == sorted((o, it[0]) for part in wanted for o, it in part.items())


# Whoever reads it, without knowing what it is.


@pytest.fixture
def data_set(tmp_path: Path) -> str:
    """Three files, of two days and two partitions, beside what a kill left."""
    archive = opened(str(tmp_path))
    archive.append("topic", 0, 0, 2, rows([(0, 1), (1, 2)], date(2020, 5, 9)))
    archive.append("topic", 0, 2, 3, rows([(2, 2**53 - 1)]))
    archive.append("topic", 1, 0, 1, rows([(0, 3)]))
    (tmp_path / "unfinished").write_bytes(b"half a file")
    assert archive.where == str(tmp_path / DATA_SET)
    return archive.where


READ = [  # date, partition, offset, user, movie, stars, time
    (date(2020, 5, 9), 0, 0, 1, 7, 4.5, ms(date(2020, 5, 9))),
    (date(2020, 5, 9), 0, 1, 2, 7, 4.5, ms(date(2020, 5, 9))),
    (TODAY, 0, 2, 2**53 - 1, 7, 4.5, ms(TODAY)),
    (TODAY, 1, 0, 3, 7, 4.5, ms(TODAY)),
]
COLUMNS = ["date", "partition", "offset", "user_id", "movie_id", "rating", "event_time"]


def test_pyarrow_reads_it(data_set: str) -> None:
    table = ds.dataset(data_set, partitioning="hive").to_table(COLUMNS)
    read = [
        (date.fromisoformat(str(day)), *others, int(time.timestamp() * 1000))
        for *columns, time in zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
        for day, *others in [columns]
    ]
    assert sorted(read) == READ
    early = ds.dataset(data_set, partitioning="hive").to_table(
        filter=ds.field("date") < "2020-05-17"
    )
    assert early["offset"].to_pylist() == [0, 1]


def test_polars_reads_it(data_set: str) -> None:
    frame = pl.scan_parquet(data_set, hive_partitioning=True)
    read = frame.select(*COLUMNS[:-1], pl.col("event_time").dt.epoch("ms")).collect()
    assert sorted(read.rows()) == READ
    assert frame.filter(pl.col("date") < TODAY).collect()["source"].to_list() == ["api", "api"]


def test_duckdb_reads_it(data_set: str) -> None:
    columns = ", ".join(f'"{name}"' for name in COLUMNS[:-1])  # `offset` is a word of SQL
    read = duckdb.sql(
        f"select {columns}, epoch_ms(event_time) "
        f"from read_parquet('{data_set}/**/*.parquet', hive_partitioning = true)"
    ).fetchall()
    assert sorted(read) == READ


def test_spark_can_read_it(data_set: str) -> None:
    """What Spark asks of a data set: every file one that it looks at, every type one that it has,
    and no column that the directories have too."""
    files = [path for path in Path(data_set).rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all(path.suffix == ".parquet" and path.name[0] not in "._" for path in files)
    schema = pq.ParquetFile(files[0]).schema
    assert not {"date", "partition"} & set(schema.names)
    types = {column.name: (column.physical_type, str(column.logical_type)) for column in schema}
    time = "Timestamp(isAdjustedToUTC=true, timeUnit=milliseconds, "
    assert types.pop("rating") == ("FLOAT", "None")
    assert types.pop("user_id")[0] == types.pop("offset")[0] == "INT64"
    assert types.pop("movie_id")[0] == "INT32"
    assert {types.pop(name)[1] for name in ("event_id", "source")} == {"String"}
    assert all(type_[0] == "INT64" and type_[1].startswith(time) for type_ in types.values())
    assert set(types) == {"event_time", "produced_time", "record_time"}


def test_spark_reads_it(data_set: str) -> None:
    """Where PySpark is installed: nothing else here needs it, and it is large."""
    builder = pytest.importorskip("pyspark.sql").SparkSession.builder
    for key, value in (("host", "127.0.0.1"), ("bindAddress", "127.0.0.1")):
        builder = builder.config(f"spark.driver.{key}", value)
    with builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate() as spark:
        frame = spark.read.parquet(data_set)
        types = ["bigint", "bigint", "float", *["timestamp"] * 3, "string", "string", "bigint"]
        names = [*SCHEMA.names, "date", "partition"]
        assert frame.dtypes == list(zip(names, [*types, "date", "int"], strict=True))
        read = frame.selectExpr(*COLUMNS[:-1], "unix_millis(event_time)").collect()
        assert sorted(tuple(row) for row in read) == READ
        one = frame.where("partition = 1")
        assert [row["offset"] for row in one.collect()] == [0]
        assert "PartitionFilters: [isnotnull(partition" in one._jdf.queryExecution().toString()
