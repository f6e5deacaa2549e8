"""A log whose beginning is in the archive: read, rebuilt from, and verified with."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.archive import Archive, Span
from stream.archived_log import ArchivedLog
from stream.contracts.errors import DatasetError, EventsMissing
from stream.contracts.events import UserEvent, decode_user_event
from stream.features import MovieState, fold
from stream.log import PartitionLog, Record
from stream.rebuild import rebuild
from stream.records import UserRecord, pack_movie, pack_user, unpack_movie
from stream.verify import Verified, verify
from tests.fakes import MemoryLog
from tests.stream.build import DAY, START, folded, forget, rating, record
from tests.stream.world import (
    HERE,
    PARTITION,
    PARTITIONS,
    TOPIC,
    Entry,
    World,
    archived,
    live_state,
    logs,
)
from tests.suites.partition_log import RECORDS, Append, PartitionLogSuite, read

TOPIC_ID = "first"


def entries_of(records: Sequence[Record]) -> list[Entry]:
    return [Entry(it, decode_user_event(it.value, it.key, it.timestamp)) for it in records]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(str(tmp_path))


class TestAllInTheTopic(PartitionLogSuite):
    @pytest.fixture
    def topic(self) -> MemoryLog:
        return MemoryLog(chunk=700)

    @pytest.fixture
    def log(self, topic: MemoryLog, archive: Archive) -> ArchivedLog:
        return ArchivedLog(topic, archive)

    @pytest.fixture
    def append(self, topic: MemoryLog) -> Append:
        async def append(partition: int, records: Sequence[Record]) -> None:
            topic.append(partition, *records)

        return append


class TestTheBeginningInTheArchive(TestAllInTheTopic):
    @pytest.fixture
    def append(self, topic: MemoryLog, archive: Archive) -> Append:
        """All but the last of it is archived, and most of that dropped."""

        async def append(partition: int, records: Sequence[Record]) -> None:
            topic.append(partition, *records)
            if len(records) > 3:
                archived(archive, TOPIC_ID, partition, entries_of(records[:-1]))
                topic.drop_before(partition, records[-len(records) // 3].offset)

        return append

    async def test_a_topic_that_is_empty_by_now(self, topic: MemoryLog, archive: Archive) -> None:
        topic.append(0, *RECORDS)
        archived(archive, TOPIC_ID, 0, entries_of(RECORDS))
        topic.drop_before(0, len(RECORDS))
        log = ArchivedLog(topic, archive)
        assert await log.begin(0) == await log.end(0) == len(RECORDS)
        assert await read(log, 0, 0, len(RECORDS)) == RECORDS


@pytest.mark.parametrize(
    ("kept", "covers"),
    [(slice(0), "nothing"), (slice(100), "0 to 99"), (slice(1, None), "1 to 2499")],
)
async def test_a_gap_is_an_error_and_named(archive: Archive, kept: slice, covers: str) -> None:
    topic = MemoryLog()
    topic.append(0, *RECORDS)
    topic.drop_before(0, 1_000)
    if RECORDS[kept]:
        archived(archive, TOPIC_ID, 0, entries_of(RECORDS[kept]))
    log = ArchivedLog(topic, archive)
    with pytest.raises(EventsMissing, match=f"0 to 999 of partition 0, .* covers {covers} of it"):
        await read(log, 0, 0, len(RECORDS))
    assert await read(log, 0, 1_000, 1_010) == RECORDS[1_000:1_010]


async def test_what_was_archived_of_a_topic_that_is_no_more_fills_no_gap(archive: Archive) -> None:
    topic = MemoryLog()
    topic.append(0, *RECORDS)
    topic.drop_before(0, 1_000)
    archived(archive, "before", 0, entries_of(RECORDS))
    with pytest.raises(EventsMissing, match="covers nothing"):
        await read(ArchivedLog(topic, archive), 0, 0, 2_000)


async def test_what_the_archive_drops_during_a_read_is_an_error(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a read that begins later than it was asked to."""
    topic = MemoryLog()
    topic.append(0, *RECORDS)
    topic.drop_before(0, 1_000)
    archived(archive, TOPIC_ID, 0, entries_of(RECORDS))
    span = archive.span

    def dropping(topic_id: str, partition: int) -> Span:
        found = span(topic_id, partition)
        archive.retain(1)
        return found

    monkeypatch.setattr(archive, "span", dropping)
    with pytest.raises(DatasetError, match="dropped meanwhile"):
        await read(ArchivedLog(topic, archive), 0, 0, len(RECORDS))


async def test_what_the_topic_drops_during_a_read_is_an_error(archive: Archive) -> None:
    class Shrinking(MemoryLog):
        async def begin(self, partition: int) -> int:
            begin = await super().begin(partition)
            self.drop_before(partition, begin + 500)
            return begin

    topic = Shrinking()
    topic.append(0, *RECORDS)
    archived(archive, TOPIC_ID, 0, entries_of(RECORDS))
    with pytest.raises(EventsMissing, match="no longer has 0"):
        await read(ArchivedLog(topic, archive), 0, 0, len(RECORDS))


async def rebuilt(world: World, log: PartitionLog) -> None:
    await rebuild(
        world.store,
        log,
        world.dead_letters,
        topic=TOPIC,
        partition=PARTITION,
        partitions=PARTITIONS,
        items=None,
        progress=lambda count: None,
    )


async def verified(world: World, log: PartitionLog) -> Verified:
    return await verify(
        world.store,
        log,
        topic=TOPIC,
        partition=PARTITION,
        partitions=PARTITIONS,
        items=None,
        progress=lambda count: None,
    )


def planted(directory: str, entries: list[Entry], flushes: Sequence[int]) -> tuple[World, Archive]:
    """A log of which the archive got so many records each time."""
    archive = Archive.open(directory)
    with patch("os.fsync"):  # hundreds of files that need not survive a power cut
        for begin, end in pairwise((0, *flushes)):
            if begin < end:
                archived(archive, TOPIC_ID, PARTITION, entries[begin:end])
    return World(entries), archive


@given(st.data())
@settings(max_examples=50)
def test_whatever_the_topic_has_dropped(data: st.DataObject) -> None:
    """The live state verifies wherever it has got to, and a rebuild gives every user again."""
    entries = data.draw(logs())
    flushes = sorted(data.draw(st.lists(st.integers(1, len(entries)), min_size=1, max_size=3)))
    dropped = data.draw(st.integers(0, flushes[-1] - 1))
    applied = data.draw(st.integers(0, len(entries)))

    async def run(directory: str) -> None:
        world, archive = planted(directory, entries, flushes)
        await world.worker().process(PARTITION, [it.record for it in entries[:applied]])
        begin = entries[dropped].record.offset
        world.log.drop_before(PARTITION, begin)
        log = ArchivedLog(world.log, archive)

        if applied:
            found = await verified(world, log)
            too_late = world.store.live[PARTITION].next_offset < begin
            assert [it.what for it in found.differences] == ["next offset"] * too_late
        await rebuilt(world, log)
        assert (await live_state(world.store)).users == world.straight_fold().users
        again = await verified(world, log)
        assert (again.differences, again.remembered) == ([], 0)

    with TemporaryDirectory() as directory:
        asyncio.run(run(directory))


ALICE, BOB, CAROL = HERE


def story() -> list[Entry]:
    """Alice and Bob rate movies 1 and 2, Carol movie 3; Alice is forgotten; Bob rates once more."""
    events: list[UserEvent] = [
        rating(ALICE, 1, 5.0, START),
        rating(BOB, 1, 3.0, START + DAY),
        rating(ALICE, 2, 1.0, START + 2 * DAY),
        rating(BOB, 2, 2.0, START + 3 * DAY),
        rating(CAROL, 3, 4.0, START + 4 * DAY),
        forget(ALICE, START + 5 * DAY),
        rating(BOB, 3, 4.5, START + 6 * DAY),
    ]
    return [Entry(record(offset, event), event) for offset, event in enumerate(events)]


@pytest.fixture
async def told(tmp_path: Path) -> tuple[World, ArchivedLog]:
    """The story is applied and archived, and the topic has dropped all but Bob's last rating."""
    entries = story()
    world, archive = planted(str(tmp_path), entries, [5, 7])
    await world.worker().process(PARTITION, [it.record for it in entries])
    world.log.drop_before(PARTITION, 6)
    return world, ArchivedLog(world.log, archive)


async def test_what_forgotten_people_rated_is_no_damage(told: tuple[World, ArchivedLog]) -> None:
    found = await verified(*told)
    assert (found.differences, found.remembered, found.users) == ([], 2, 2)


async def test_a_rebuild_leaves_out_what_forgotten_people_rated(
    told: tuple[World, ArchivedLog],
) -> None:
    world, log = told
    before = (await live_state(world.store)).movies
    await rebuilt(world, log)
    after = (await live_state(world.store)).movies
    assert [(before[it].count, after[it].count) for it in (1, 2, 3)] == [(2, 1), (2, 1), (2, 2)]
    assert after[1].mean == 3.0
    assert after[3] == before[3]
    assert (await verified(world, log)).remembered == 0


def changed(movie: MovieState, change: str) -> MovieState:
    match change:
        case "one less":
            return replace(movie, count=0, total=0, squares=0)
        case "stars that nobody can give":
            return replace(movie, total=movie.total + 1)
        case "squares that nobody can give":
            return replace(movie, squares=movie.squares + 30)
        case "squares that are too few for these stars":
            return replace(movie, squares=movie.squares - 50)
        case "heat lost":
            trend, year, *newcomers = movie.heats
            return replace(movie, heats=(trend, year - 2, *newcomers))
        case "recent ratings that nobody can give":
            return replace(movie, recent_mean=10.5)
        case "a rating of none":
            return replace(movie, count=movie.count + 1)
        case "more than were erased":
            return MovieState(5, 30, 200, movie.heats, movie.recent_mean)
    raise AssertionError(change)


@pytest.mark.parametrize(
    "change",
    [
        "one less",
        "stars that nobody can give",
        "squares that nobody can give",
        "squares that are too few for these stars",
        "heat lost",
        "recent ratings that nobody can give",
        "a rating of none",
        "more than were erased",
    ],
)
async def test_what_no_rating_can_have_made_is_damage(
    told: tuple[World, ArchivedLog], change: str
) -> None:
    world, log = told
    movies = world.store.movie_values[PARTITION, 1]
    movies[1] = pack_movie(changed(unpack_movie(movies[1]), change))
    found = await verified(world, log)
    assert [difference.what for difference in found.differences] == ["movie 1"]
    assert found.remembered == 1


async def test_where_nobody_was_forgotten_one_rating_too_many_is_damage(tmp_path: Path) -> None:
    entries = story()[:5]
    world, archive = planted(str(tmp_path), entries, [5])
    await world.worker().process(PARTITION, [it.record for it in entries])
    world.log.drop_before(PARTITION, 4)
    movies = world.store.movie_values[PARTITION, 1]
    again = fold({}, {3: unpack_movie(movies[3])}, [(5, rating(ALICE, 3, 4.0, START + 4 * DAY))])
    movies[3] = pack_movie(again.movies[3])
    found = await verified(world, ArchivedLog(world.log, archive))
    assert [difference.what for difference in found.differences] == ["movie 3"]


async def test_users_are_compared_exactly(told: tuple[World, ArchivedLog]) -> None:
    world, log = told
    users = world.store.user_values[PARTITION, 1]
    users[ALICE] = pack_user(UserRecord(folded([rating(ALICE, 1, 5.0)]).users[ALICE]))
    del users[CAROL]
    found = await verified(world, log)
    assert {(it.what, it.log, it.live) for it in found.differences} == {
        (f"user {ALICE}", "nothing", "there"),
        (f"user {CAROL}", "there", "nothing"),
    }


async def test_an_archive_that_is_ahead_has_already_forgotten(tmp_path: Path) -> None:
    """The live state still has Alice, and her wish comes next. Bob is still compared."""
    entries = story()
    world, archive = planted(str(tmp_path), entries, [7])
    await world.worker().process(PARTITION, [it.record for it in entries[:5]])
    world.log.drop_before(PARTITION, 4)
    log = ArchivedLog(world.log, archive)
    found = await verified(world, log)
    assert (found.differences, found.remembered) == ([], 2)
    users = world.store.user_values[PARTITION, 1]
    users[BOB] = users[CAROL]
    found = await verified(world, log)
    assert {it.what.partition(":")[0] for it in found.differences} == {f"user {BOB}"}


async def test_a_worker_says_that_it_cannot_go_on_where_the_beginning_is_gone(
    told: tuple[World, ArchivedLog],
) -> None:
    """Rather than begin in the middle. After a rebuild it goes on."""
    world, log = told
    world.store.flush()
    with pytest.raises(EventsMissing):
        await world.worker().process(PARTITION, world.log.records(PARTITION))
    await rebuilt(world, log)
    outcome = await world.worker().process(PARTITION, world.log.records(PARTITION))
    assert outcome.duplicates == 1
    assert set((await live_state(world.store)).users) == {BOB, CAROL}
