"""What is left of a person is found in every place, and nothing is found where there is nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from api.intake.idempotency import Answer, IdempotentRequests
from api.lists.freshness import LogPosition
from infra.forgotten import Finding, Places, findings
from stream.archive import Archive, Span
from stream.contracts.events import UserEvent
from stream.dead_letters import Buried
from stream.kept import Kept, UserVersion
from stream.log import Record
from stream.records import UserRecord
from stream.store import Batch
from tests.fakes import MemoryDeadLetters, MemoryLog, MemoryStore
from tests.stream.build import DAY, START, folded, forget, rating, record
from tests.stream.world import HERE, PARTITION, PARTITIONS, TOPIC, Entry, archived, processor
from tests.suites.state_store import movie_event

GONE, OTHER = HERE[:2]
TOPIC_ID = "first"
WISH = LogPosition(PARTITION, 3)


@dataclass
class World:
    """The log of two people, one of whom wanted to be forgotten, read by whom a test says."""

    places: Places
    store: MemoryStore
    log: MemoryLog
    archive: Archive
    letters: list[Buried] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)

    async def apply(self, count: int) -> None:
        worker = processor(self.store, self.log, MemoryDeadLetters())
        await worker.process(PARTITION, self.log.records(PARTITION)[:count])

    def archive_up_to(self, count: int) -> None:
        begin = self.archive.span(TOPIC_ID, PARTITION).end
        archived(self.archive, TOPIC_ID, PARTITION, STORY[begin:count])

    async def left(self) -> dict[str, str]:
        """What is said of the places where something is left."""
        return {it.place: it.says for it in await findings(self.places, GONE, WISH) if it.left}

    async def says(self, place: str) -> str:
        (said,) = [it for it in await findings(self.places, GONE, WISH) if it.place == place]
        return said.says


def entry(offset: int, event: UserEvent) -> Entry:
    return Entry(record(offset, event), event)


STORY = [
    entry(0, rating(GONE, 1, 5.0, START)),
    entry(1, rating(OTHER, 1, 3.0, START + DAY)),
    entry(2, rating(GONE, 2, 1.0, START + 2 * DAY)),
    entry(3, forget(GONE, START + 3 * DAY)),
    entry(4, rating(OTHER, 2, 2.0, START + 4 * DAY)),
]


@pytest.fixture
async def world(redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    store, log, archive = MemoryStore(), MemoryLog(), Archive.open(str(tmp_path))
    log.append(PARTITION, *(it.record for it in STORY))
    await store.put_movies(movie_event(movie, f"Movie {movie}") for movie in (1, 2))
    idempotent = IdempotentRequests(redis_url)
    letters: list[Buried] = []
    counted: list[int] = []

    async def outcomes(_: int) -> list[int]:
        return counted

    places = Places(
        store=store,
        idempotent=idempotent,
        log=log,
        partitions=PARTITIONS,
        archive=archive,
        dead_letters=lambda: letters,
        outcomes=outcomes,
        patience=0.0,
    )
    yield World(places, store, log, archive, letters, counted)
    await idempotent.close()


@pytest.fixture
async def forgotten(world: World) -> World:
    """Everyone has read past the wish."""
    await world.apply(5)
    world.archive_up_to(5)
    return world


async def test_nothing_is_left_where_everyone_has_read_the_wish(forgotten: World) -> None:
    assert await findings(forgotten.places, GONE, WISH) == [
        Finding("live state, partition 0", "nothing", left=False),
        Finding("live state, partition 1", "nothing", left=False),
        Finding("kept lists", "nothing", left=False),
        Finding("archive", "nothing, at 1:5", left=False),
        Finding("next training", "nothing of 2", left=False),
        Finding("stored answers", "nothing", left=False),
        Finding("dead letters", "nothing", left=False),
        Finding("experiments", "nothing", left=False),
        Finding(
            "log",
            "2 records before the wish at 1:3, until the topic's retention drops them",
            left=False,
        ),
    ]


async def test_what_experiments_count_is_looked_for(forgotten: World) -> None:
    forgotten.counted.append(3)
    assert await forgotten.left() == {"experiments": "a record in partition 3: does a worker run?"}


async def test_somebody_else_is_still_there(forgotten: World) -> None:
    """Who is looked for decides: else nobody could be found anywhere."""
    found = {it.place: it for it in await findings(forgotten.places, OTHER, WISH)}
    assert {place for place, it in found.items() if it.left} == {
        "live state, partition 1",
        "archive",
        "next training",
    }
    assert found["archive"].says == "2 ratings, at 1:5"
    assert found["next training"].says == "2 ratings of 2"


async def test_before_anyone_has_read_it_everything_is_left(world: World) -> None:
    await world.apply(3)
    world.archive_up_to(3)
    assert await world.left() == {
        "live state, partition 1": "a record, but it is only at 1:3: does a worker run?",
        "archive": "2 ratings, but it is only at 1:3: does `freshet archive` run?",
        "next training": "2 ratings of 3",
    }


async def test_a_reader_that_has_not_come_to_the_wish_proves_nothing(world: World) -> None:
    """What it has not read yet may bring them back until then."""
    world.archive_up_to(2)
    archived(world.archive, TOPIC_ID, 0, [entry(0, rating(OTHER, 1, 3.0))])
    assert (await world.left()).keys() == {"live state, partition 1", "archive", "next training"}
    world.archive.erase(TOPIC_ID, PARTITION, {GONE}, 2)
    left = await world.left()
    assert left.keys() == {"live state, partition 1", "archive"}
    assert left["archive"] == "nothing, but it is only at 1:2: does `freshet archive` run?"


async def test_an_archive_of_nothing_has_nothing(world: World) -> None:
    await world.apply(5)
    assert await world.left() == {}
    assert await world.says("archive") == "nothing, with nothing of the topic archived"
    assert (await world.says("next training")).startswith("nothing to train on")


async def test_the_archive_is_given_time(forgotten: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archiver that gets there during the wait."""
    looks = iter([3, 3, 5])
    span = forgotten.archive.span

    def moving(topic_id: str, partition: int) -> object:
        found = span(topic_id, partition)
        return found._replace(end=next(looks, 5)) if partition == PARTITION else found

    monkeypatch.setattr(forgotten.archive, "span", moving)
    monkeypatch.setattr("infra.forgotten.PAUSE", 0.0)
    forgotten.places = replace(forgotten.places, patience=60.0)
    assert await forgotten.left() == {}
    assert next(looks, None) is None


async def test_the_archive_of_a_topic_made_anew_is_given_time(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that is archived of it is the wish, by which those before are erased."""
    archived(world.archive, "before", PARTITION, STORY[:3])
    await world.apply(5)
    writer, looks = Archive.open(str(tmp_path)), iter(range(2 * PARTITIONS))

    def moving(topic_id: str, partition: int) -> Span:
        if next(looks, None) is None and not any(writer.span(TOPIC_ID, PARTITION)):
            writer.erase(TOPIC_ID, PARTITION, {GONE}, 0)
            archived(writer, TOPIC_ID, PARTITION, STORY)
        return writer.span(topic_id, partition)

    monkeypatch.setattr(world.archive, "span", moving)
    monkeypatch.setattr("infra.forgotten.PAUSE", 0.0)
    world.places = replace(world.places, patience=60.0)
    assert await world.left() == {}


async def test_ratings_of_a_topic_that_is_no_more_are_found(forgotten: World) -> None:
    archived(forgotten.archive, "before", PARTITION, STORY[:2])
    assert await forgotten.left() == {"archive": "1 rating, at 1:5"}


async def test_what_a_rebuild_left_is_found(forgotten: World) -> None:
    """One that was killed: nobody reads it, but it is there."""
    number = await forgotten.store.new_generation(PARTITION)
    state = folded([rating(GONE, 1, 5.0)]).users[GONE]
    await forgotten.store.write(PARTITION, number, Batch({GONE: UserRecord(state)}))
    left = await forgotten.left()
    assert left.keys() == {"live state, partition 1"}
    assert "`freshet rebuild` drops it" in left["live state, partition 1"]


async def test_what_is_where_it_does_not_belong_is_found(forgotten: World) -> None:
    number = await forgotten.store.new_generation(0)
    state = folded([rating(GONE, 1, 5.0)]).users[GONE]
    await forgotten.store.write(0, number, Batch({GONE: UserRecord(state)}))
    assert (await forgotten.left()).keys() == {"live state, partition 0"}


async def test_kept_lists_are_found_in_any_partition(forgotten: World) -> None:
    """Who asks for a list after they were forgotten is somebody new, and has one again."""
    position = await forgotten.store.position(PARTITION)
    assert position is not None
    of = UserVersion.of(position, None)
    for name in (b"a", b"b"):
        await forgotten.store.keep([Kept(PARTITION, GONE, of, name, b"list", 60.0)])
    assert await forgotten.left() == {"kept lists": "2 lists"}
    elsewhere = replace(position, next_offset=1)
    number = await forgotten.store.new_generation(0)
    assert number == elsewhere.generation
    await forgotten.store.commit(0, await forgotten.store.position(0), elsewhere, Batch())
    await forgotten.store.keep([Kept(0, GONE, of, b"a", b"list", 60.0)])
    assert await forgotten.left() == {"kept lists": "3 lists"}


async def test_stored_answers_are_found(forgotten: World) -> None:
    async def answer() -> Answer:
        return Answer(202, b'{"events":[{"user_id":%d,"movie_id":1}]}' % GONE)

    await forgotten.places.idempotent.once("key", "ratings", b"", [GONE], answer)
    assert await forgotten.left() == {"stored answers": "2 keys"}  # and the note of it
    await forgotten.places.idempotent.erase(GONE)
    assert await forgotten.left() == {}


@pytest.mark.parametrize(
    ("key", "value", "theirs"),
    [
        (b"%d" % GONE, b"{", True),
        (None, b'{"user_id": %d, "rating": 9}' % GONE, True),
        (b"0", b'{"rating": 9, "user_id":%d}' % GONE, True),
        (b"%d" % OTHER, b'{"user_id":%d0}' % GONE, False),
        (None, None, False),
    ],
)
async def test_dead_letters_are_found(
    forgotten: World, key: bytes | None, value: bytes | None, theirs: bool
) -> None:
    raw = Record(9, START, key, value)
    at = (TOPIC, 1, raw.offset, raw.timestamp)
    forgotten.letters.append(
        Buried("ratings/1/9@1", *at, key, value, "empty", "nothing", sent_back=False)
    )
    left = await forgotten.left()
    assert left.keys() == ({"dead letters"} if theirs else set())
    if theirs:
        assert left["dead letters"].startswith("1 letter, the last of them ratings/1/9@1")


async def test_the_log_may_have_dropped_its_records(forgotten: World) -> None:
    forgotten.log.drop_before(PARTITION, 2)
    assert (await forgotten.says("log")).startswith("1 record before the wish")
    forgotten.log.drop_before(PARTITION, 5)
    assert await forgotten.says("log") == "nothing"
