"""The archiver on a real broker and Redis: whatever happens, each valid rating is archived once."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from shutil import rmtree

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from producers.admin import ensure_topics, topic_id
from stream import archiver as archiver_module
from stream import archiving
from stream.archive import Archive, Span
from stream.archive_storage import LocalStorage, Storage
from stream.archiver import Archiver
from stream.archiving import Archiving, Limits
from stream.contracts.errors import (
    ArchiveUnavailable,
    Busy,
    ConfigurationError,
    DatasetError,
    Unavailable,
)
from stream.contracts.events import UserEvent, encode
from stream.contracts.topics import Topics, partition_of
from stream.lease import Lease
from stream.tail import Tail
from tests.kills import killed_at
from tests.stream.archive_build import rows
from tests.stream.build import START, forget, rating
from tests.stream.s3_server import s3

PARTITIONS = 2
DEADLINE = 60.0  # seconds
NEVER = Limits(rows=10**9, seconds=10**9)  # only at the end of the log, and when told to stop
AT_ONCE = Limits(rows=10**9, seconds=0.01)

A, B, C = [user for user in range(1, 30) if partition_of(user, PARTITIONS) == 0][:3]
STRANGER = next(user for user in range(1, 30) if partition_of(user, PARTITIONS) == 1)


class World:
    """A topic, what was produced to it, and the archive of it."""

    def __init__(self, broker: str, topics: Topics, redis_url: str, home: Path) -> None:
        self.config = {"bootstrap.servers": broker}
        self.topics = topics
        self.topic = topics.ratings
        self.redis_url = redis_url
        self.home = home
        self.url = str(home)
        self.create()

    def create(self) -> None:
        ensure_topics(self.config, self.topics, PARTITIONS, 1)
        self.topic_id = topic_id(self.config, self.topic)

    def recreate(self) -> None:
        admin = AdminClient(self.config)
        admin.delete_topics([self.topic])[self.topic].result(10)
        self.create()

    def produce(self, *events: UserEvent | bytes, partition: int | None = None) -> None:
        """Events in the partition of their user unless one is given, and whatever else."""
        producer = Producer(self.config)
        for event in events:
            if isinstance(event, bytes):
                producer.produce(self.topic, event, b"1", partition or 0)
            else:
                home = partition_of(event.user_id, PARTITIONS)
                producer.produce(
                    self.topic,
                    encode(event),
                    b"%d" % event.user_id,
                    home if partition is None else partition,
                    timestamp=event.produced_time,
                )
        assert producer.flush(10) == 0

    def archiver(self, limits: Limits = NEVER) -> Archiver:
        lease = partial(Lease, self.redis_url, "archive")
        return Archiver(self.config, self.topic, self.archive, lease, limits)

    @property
    def archive(self) -> Archive:
        return Archive.open(self.url)

    def archived(self, partition: int = 0, topic_id: str | None = None) -> list[tuple[int, int]]:
        """(user, movie) of all rows, in order."""
        archive, topic_id = self.archive, topic_id or self.topic_id
        return [
            (row["user_id"], row["movie_id"])
            for batch in archive.batches(topic_id, partition, *archive.span(topic_id, partition))
            for row in batch.to_pylist()
        ]


@pytest.fixture
def world(broker: str, topics: Topics, redis_url: str, tmp_path: Path) -> World:
    return World(broker, topics, redis_url, tmp_path)


@pytest.fixture(params=["local", "S3"])
def anywhere(request: pytest.FixtureRequest, world: World) -> Iterator[World]:
    """With the archive on a disk, and on an object store."""
    if request.param == "local":
        yield world
    else:
        with s3() as world.url:
            yield world


def eventually(ask: Callable[[], object]) -> None:
    waiting = Retrying(
        retry=retry_if_not_result(bool), wait=wait_fixed(0.02), stop=stop_after_delay(DEADLINE)
    )
    waiting(ask)


def test_an_archive_of_another_topic_is_refused(world: World) -> None:
    """User 42 of one is not user 42 of the other, and a wish would erase both."""
    world.archive.claim("another.ratings")
    with pytest.raises(ConfigurationError, match=r"is of topic another\.ratings"):
        world.archiver().catch_up()


@contextmanager
def running(archiver: Archiver) -> Iterator[Archiver]:
    """Until the end, at which it is told to stop and does."""
    stop = threading.Event()
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    try:
        yield archiver
    finally:
        stop.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()


async def problem(archiver: Archiver) -> str:
    try:
        await archiver.check_ready()
    except Unavailable as error:
        return str(error)
    return ""


def metric(archiver: Archiver, name: str, **labels: str) -> float | None:
    return archiver.metrics.registry.get_sample_value(f"freshet_archive_{name}", labels)


# What is archived.


def test_valid_ratings_are_archived_as_they_are(world: World) -> None:
    first = rating(A, 1, 3.5, START)
    world.produce(first, b"{", rating(STRANGER, 2, 4.0))
    world.produce(rating(STRANGER, 3, 4.0), partition=0)  # misrouted
    archiver = world.archiver()
    archiver.catch_up()
    assert world.archive.table(world.topic_id, [3, 1]).to_pylist()[0] == {
        "user_id": A,
        "movie_id": 1,
        "rating": 3.5,
        "event_time": _time(START),
        "produced_time": _time(START + 60_000),
        "record_time": _time(START + 60_000),
        "event_id": first.event_id,
        "source": "replay",
        "offset": 0,
    }
    assert world.archived(0) == [(A, 1)]
    assert world.archived(1) == [(STRANGER, 2)]
    assert world.archive.span(world.topic_id, 0) == Span(0, 3)
    assert metric(archiver, "rows_total") == 2
    assert metric(archiver, "invalid_records_total", reason="malformed_json") == 1
    assert metric(archiver, "invalid_records_total", reason="misrouted") == 1
    assert metric(archiver, "next_offset", partition="0") == 3


def test_it_goes_on_where_the_archive_ends(world: World) -> None:
    for movie in range(1, 4):
        world.produce(rating(A, movie, 4.0))
        archiver = world.archiver()
        archiver.catch_up()
        assert metric(archiver, "rows_total") == 1
    assert world.archived() == [(A, 1), (A, 2), (A, 3)]


def test_where_much_waits_it_is_written_before_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "BATCH", 5)
    world.produce(*(rating(A, movie, 4.0) for movie in range(1, 50)))
    archiver = world.archiver(Limits(rows=10, seconds=10**9))
    archiver.catch_up()
    assert (metric(archiver, "write_seconds_count") or 0) >= 4
    assert world.archived() == [(A, movie) for movie in range(1, 50)]


async def test_what_waited_long_enough_is_written(world: World) -> None:
    with running(world.archiver(AT_ONCE)) as archiver:
        eventually(lambda: metric(archiver, "next_offset", partition="0") is not None)
        world.produce(rating(A, 1, 4.0))
        eventually(lambda: world.archived() == [(A, 1)])
        eventually(lambda: archiver._problem is None)
        assert await problem(archiver) == ""


def test_what_was_read_is_written_when_it_is_told_to_stop(world: World) -> None:
    """A process that is ended in order leaves nothing for the next to do."""
    with running(world.archiver(NEVER)) as archiver:
        eventually(lambda: archiver._problem is None)
        world.produce(rating(A, 1, 4.0), b"{")
        eventually(lambda: metric(archiver, "invalid_records_total", reason="malformed_json"))
        assert world.archived() == []
    assert world.archived() == [(A, 1)]


def test_no_topic_is_told(world: World) -> None:
    archiver = Archiver(
        world.config, "nothing", world.archive, partial(Lease, world.redis_url, "x"), NEVER
    )
    with pytest.raises(ConfigurationError, match="no topic nothing"):
        archiver.catch_up()


# Who is forgotten.


def test_who_is_forgotten_is_archived_no_more(world: World) -> None:
    world.produce(rating(A, 1, 4.0), rating(B, 2, 4.0), rating(A, 3, 4.0))
    world.archiver().catch_up()
    world.produce(rating(A, 4, 4.0), rating(C, 5, 4.0), forget(A), rating(A, 6, 4.0), forget(C))
    archiver = world.archiver()
    archiver.catch_up()
    assert world.archived() == [(B, 2), (A, 6)]  # who comes back is somebody new
    assert world.archive.contains(A) == 1
    assert metric(archiver, "erased_rows_total") == 2
    assert world.archive.span(world.topic_id, 0) == Span(0, 8)


def test_a_wish_to_be_forgotten_is_not_kept_waiting(world: World) -> None:
    with running(world.archiver(NEVER)):
        world.produce(rating(A, 1, 4.0), rating(B, 2, 4.0), forget(A))
        eventually(lambda: world.archived() == [(B, 2)])


# Whatever is killed, when.


STEPS = (
    Archiving._write,
    Archiving._archive_one,
    Storage.write,
    Storage._upload,
    LocalStorage.write,
)


# So many lines write one partition.
@pytest.mark.parametrize(("anywhere", "lines"), [("local", 45), ("S3", 29)], indirect=["anywhere"])
def test_a_kill_at_any_line_loses_and_doubles_nothing(
    anywhere: World, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One archiver after the other dies, each a line later than the one before."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # it takes ms, and a kill needs none
    expected: list[tuple[int, int]] = []
    for line in range(lines):
        movie = line + 1
        anywhere.produce(rating(A, movie, 4.0), rating(B, movie, 4.0), rating(STRANGER, movie, 4.0))
        expected += [(A, movie), (B, movie)]
        if line % 7 == 6:
            anywhere.produce(forget(B))
            expected = [(user, movie) for user, movie in expected if user != B]
        with killed_at(line, *STEPS) as kill:
            anywhere.archiver().catch_up()
        assert kill.happened
        found = anywhere.archived()
        assert len(set(found)) == len(found)
    anywhere.archiver().catch_up()
    assert anywhere.archived() == expected
    assert anywhere.archived(1) == [(STRANGER, movie) for movie in range(1, lines + 1)]


def _be_archiver(config: dict[str, str], topic: str, redis_url: str, url: str) -> None:
    """What the process does that is killed."""
    lease = partial(Lease, redis_url, "archive", 0.5)
    archiver = Archiver(config, topic, Archive.open(url), lease, AT_ONCE)
    archiver.run(threading.Event())


def test_a_process_that_is_killed_again_and_again(anywhere: World) -> None:
    context = get_context("spawn")
    produced = 0
    for _ in range(2):
        arguments = (anywhere.config, anywhere.topic, anywhere.redis_url, anywhere.url)
        process = context.Process(target=_be_archiver, args=arguments)
        process.start()
        before = anywhere.archive.span(anywhere.topic_id, 0).end
        while anywhere.archive.span(anywhere.topic_id, 0).end < before + 100:
            assert process.is_alive()
            movies = range(produced + 1, produced + 11)
            anywhere.produce(*(rating(A, movie, 4.0) for movie in movies))
            produced += 10
        process.kill()
        process.join()
    eventually(lambda: _caught_up(anywhere))
    assert anywhere.archived() == [(A, movie) for movie in range(1, produced + 1)]


def _caught_up(world: World) -> bool:
    try:
        world.archiver().catch_up()
    except Busy:  # as long as the lease of the one that was killed lasts
        return False
    return True


# Two of them.


def test_a_second_one_waits_until_the_first_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(rating(A, 1, 4.0))
    monkeypatch.setattr(archiver_module, "STAND_BY", 0.05)
    with running(world.archiver(AT_ONCE)) as first:
        eventually(lambda: first._problem is None)
        with pytest.raises(Busy, match="another process holds the lease `archive`"):
            world.archiver().catch_up()
        second = world.archiver(AT_ONCE)
        stop = threading.Event()
        standing_by = threading.Thread(target=second.run, args=(stop,))
        standing_by.start()
        eventually(lambda: "another process holds" in (second._problem or ""))
    world.produce(rating(A, 2, 4.0))
    eventually(lambda: world.archived() == [(A, 1), (A, 2)])
    stop.set()
    standing_by.join(DEADLINE)
    assert metric(second, "rows_total") == 1


def test_one_that_lost_its_lease_writes_nothing(world: World) -> None:
    """As one does that stood still while another took over."""
    world.produce(rating(A, 1, 4.0))
    with Lease(world.redis_url, "archive") as lease:
        lease._until = 0.0
        archiver = Archiver(world.config, world.topic, world.archive, lambda: _Held(lease), NEVER)
        with pytest.raises(Busy, match="was lost"):
            archiver.catch_up()
    assert world.archived() == []


class _Held:
    """A lease that is entered already."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease

    def __enter__(self) -> Lease:
        return self.lease

    def __exit__(self, *_: object) -> None:
        pass


# Faults.


async def test_a_full_disk_is_told_and_survived(world: World) -> None:
    (world.home / "unfinished").symlink_to("/dev/full")
    with running(world.archiver(AT_ONCE)) as archiver:
        world.produce(rating(A, 1, 4.0))
        eventually(lambda: "No space left" in (archiver._problem or ""))
        assert "make room" in await problem(archiver)
        assert (metric(archiver, "failures_total") or 0) >= 1
        (world.home / "unfinished").unlink()
        eventually(lambda: archiver._problem is None)
        assert world.archived() == [(A, 1)]


def test_a_topic_that_is_made_anew_is_archived_from_its_beginning(world: World) -> None:
    world.produce(rating(A, 1, 4.0), rating(A, 2, 4.0), rating(B, 3, 4.0))
    world.archiver().catch_up()
    before = world.topic_id
    world.recreate()
    world.produce(rating(B, 4, 4.0), forget(A))
    world.archiver().catch_up()
    assert world.archived() == [(B, 4)]
    # Who is forgotten is so in what was before as well.
    assert world.archived(0, before) == [(B, 3)]


def test_a_topic_that_is_made_anew_while_it_is_read_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by deleting it: librdkafka 2.16 dies of what Tansu 0.6 then answers."""
    monkeypatch.setattr(archiving, "LOOK", 0.05)
    monkeypatch.setattr(archiving.admin, "topic_id", lambda *_: identity)
    identity = "one"
    world.produce(rating(A, 1, 4.0), rating(A, 2, 4.0))
    with running(world.archiver(AT_ONCE)):
        eventually(lambda: world.archived(0, "one") == [(A, 1), (A, 2)])
        identity = "another"
        eventually(lambda: world.archived(0, "another") == [(A, 1), (A, 2)])


def test_a_topic_that_is_made_anew_may_be_shorter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = iter(["one"])
    monkeypatch.setattr(archiving.admin, "topic_id", lambda *_: next(identities, "another"))
    world.archive.append("one", 0, 0, 100, rows([(0, B)]))
    world.produce(rating(A, 1, 4.0))
    with running(world.archiver(AT_ONCE)):
        eventually(lambda: world.archived(0, "another") == [(A, 1)])


def test_an_archive_that_is_deleted_is_made_anew_from_the_topic(world: World) -> None:
    world.produce(rating(A, 1, 4.0), rating(A, 2, 4.0))
    with running(world.archiver(AT_ONCE)):
        eventually(lambda: world.archived() == [(A, 1), (A, 2)])
        rmtree(world.home / "ratings")
        world.produce(rating(A, 3, 4.0))
        eventually(lambda: world.archived() == [(A, 1), (A, 2), (A, 3)])


def test_records_that_the_topic_dropped_are_told_and_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.produce(*(rating(A, movie, 4.0) for movie in range(1, 6)))
    world.archiver().catch_up()
    world.produce(*(rating(A, movie, 4.0) for movie in range(6, 11)))
    _begins(monkeypatch, 8)
    archiver = world.archiver()
    (world.home / "unfinished").symlink_to("/dev/full")
    with pytest.raises(ArchiveUnavailable, match="make room"):
        archiver.catch_up()
    (world.home / "unfinished").unlink()
    archiver.catch_up()
    assert world.archived() == [(A, movie) for movie in (1, 2, 3, 4, 5, 9, 10)]
    assert world.archive.span(world.topic_id, 0) == Span(0, 10)
    assert metric(archiver, "lost_records_total") == 3
    assert "[0] has dropped the offsets [5, 8)" in caplog.text


def test_an_archive_begins_where_the_topic_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(*(rating(A, movie, 4.0) for movie in range(1, 6)))
    _begins(monkeypatch, 3)
    archiver = world.archiver()
    archiver.catch_up()
    assert world.archive.span(world.topic_id, 0) == Span(3, 5)
    assert metric(archiver, "lost_records_total") == 0


def test_a_log_that_is_shorter_than_its_archive_is_refused(world: World) -> None:
    world.archive.append(world.topic_id, 0, 0, 100, rows([(0, A)]))
    world.produce(rating(A, 1, 4.0))
    with pytest.raises(DatasetError, match="ends before offset 100"):
        world.archiver().catch_up()


def _begins(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """The topic has dropped the records of partition 0 that are before `first`."""
    held = Tail._held

    def begins(tail: Tail, partition: int) -> tuple[int, int]:
        begin, end = held(tail, partition)
        return (first if partition == 0 else begin), end

    monkeypatch.setattr(Tail, "_held", begins)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
