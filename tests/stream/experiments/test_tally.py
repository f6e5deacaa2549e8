"""Counting exactly once: kills, repetitions, two writers and an emptied store, on a real Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from stream.contracts.errors import StoreUnavailable, TopicRecreated
from stream.contracts.events import encode
from stream.contracts.topics import Topics
from stream.experiments.outcomes import Sums, fold
from stream.experiments.store import Progress, Read, RedisExperiments
from stream.experiments.tally import Tally
from stream.log import Record
from tests.api.experiments.definitions import experiment
from tests.fakes import MemoryLog
from tests.stream.build import START
from tests.stream.experiments.test_outcomes import TREATED, WINDOW, figure, forget, said, shown

TOPICS = Topics()
PARTITION = 3


class Flaky(RedisExperiments):
    """Dies once before or after a commit, as a worker does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.fault = ""

    async def commit(self, *args: Any) -> Progress:
        if self.fault == "before":
            self.fault = ""
            raise StoreUnavailable("before the commit")
        stored = await super().commit(*args)
        if self.fault == "after":
            self.fault = ""
            raise StoreUnavailable("after the commit")
        return stored


def records(events: list[Any]) -> list[Record]:
    return [
        Record(at, event.produced_time, b"%d" % event.user_id, encode(event))
        for at, event in enumerate(events)
    ]


EXPOSURES = [shown(f"{user}{name}", user) for name in "abc" for user in (1, 2, 3)]
FEEDBACK = [
    said(f"{user}{name}", 10, kind, user=user)
    for name, kind in (("a", "click"), ("b", "watch"), ("a", "click"))
    for user in (1, 3)
]


class World:
    def __init__(self, store: Flaky) -> None:
        self.store = store
        self.logs: Mapping[str, MemoryLog] = {name: MemoryLog() for name in TOPICS.shown}
        self.logs[TOPICS.exposures].append(PARTITION, *records(EXPOSURES))
        self.logs[TOPICS.feedback].append(PARTITION, *records(FEEDBACK))

    def worker(self) -> Tally:
        return Tally(self.store, TOPICS, self.logs, WINDOW)

    def batch(self, topic: str, begin: int, end: int) -> list[Record]:
        return self.logs[topic].records(PARTITION)[begin:end]

    async def finish(self) -> None:
        for topic in TOPICS.shown:
            records = self.logs[topic].records(PARTITION)
            await self.worker().process(topic, PARTITION, records)

    async def sums(self) -> Sums:
        return await self.store.sums("trial", 1)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Flaky]:
    store = Flaky(redis_url)
    await store.put_partitions(PARTITION + 1)
    yield store
    await store.close()


def expected() -> Sums:
    return fold({}, [*EXPOSURES, *FEEDBACK], WINDOW)


async def test_both_topics_are_counted_once(store: Flaky) -> None:
    world = World(store)
    worker = world.worker()
    for _ in range(2):
        for topic in TOPICS.shown:
            await worker.process(topic, PARTITION, world.batch(topic, 0, 4))
            await worker.process(topic, PARTITION, world.batch(topic, 2, 99))
    assert await world.sums() == expected()
    assert figure(expected(), "clicked") == 2
    counted = await worker.process(TOPICS.feedback, PARTITION, world.batch(TOPICS.feedback, 0, 2))
    assert (counted.applied.total(), counted.duplicates) == (0, 2)
    progress, people = await store.load(PARTITION, [1, 2, 9])
    assert progress.read[TOPICS.exposures] == Read("first", len(EXPOSURES))
    assert set(people) == {1, 2}


async def test_what_goes_on_from_the_last_commit_is_read_from_the_store_once(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, asked, load = World(store), 0, store.load
    worker = world.worker()
    await worker.process(TOPICS.exposures, PARTITION, world.batch(TOPICS.exposures, 0, 4))

    async def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await load(*arguments)

    monkeypatch.setattr(store, "load", counted)
    await worker.process(TOPICS.exposures, PARTITION, world.batch(TOPICS.exposures, 4, 6))
    assert asked == 1
    await world.worker().process(TOPICS.exposures, PARTITION, world.batch(TOPICS.exposures, 6, 8))
    await worker.process(TOPICS.exposures, PARTITION, world.batch(TOPICS.exposures, 6, 99))
    await worker.process(TOPICS.feedback, PARTITION, world.batch(TOPICS.feedback, 0, 99))
    assert await world.sums() == expected()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(TOPICS.shown),
            st.integers(0, 8),
            st.integers(1, 9),
            st.sampled_from(("", "", "before", "after", "emptied")),
        ),
        max_size=6,
    )
)
async def test_whatever_is_delivered_and_whoever_dies(
    redis_url: str, deliveries: list[tuple[str, int, int, str]]
) -> None:
    store = Flaky(redis_url)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushdb()
        await store.put_partitions(PARTITION + 1)
        world = World(store)
        for topic, begin, length, fault in deliveries:
            batch = world.batch(topic, begin, begin + length)
            if fault == "emptied":
                await client.flushdb()
                await store.put_partitions(PARTITION + 1)
            store.fault = fault
            if batch:
                try:
                    await world.worker().process(topic, PARTITION, batch)
                except StoreUnavailable:
                    await world.worker().process(topic, PARTITION, batch)
            store.fault = ""
        await world.finish()
        assert await world.sums() == expected()
    await store.close()


async def test_two_workers_at_once(store: Flaky) -> None:
    world = World(store)
    await asyncio.gather(
        *(
            world.worker().process(topic, PARTITION, world.batch(topic, 0, 99))
            for topic in (*TOPICS.shown, *TOPICS.shown)
        )
    )
    assert await world.sums() == expected()


async def test_a_worker_begins_where_the_store_is_and_notices_that_it_lost_it(
    store: Flaky, redis_url: str
) -> None:
    world = World(store)
    worker = world.worker()
    topic = TOPICS.exposures
    assert await worker.resume(topic, PARTITION) == 0
    await worker.process(topic, PARTITION, world.batch(topic, 0, 4))
    assert await world.worker().resume(topic, PARTITION) == 4
    assert not await worker.is_behind(topic, PARTITION)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushdb()
    assert await worker.is_behind(topic, PARTITION)


async def test_what_is_counted_while_it_is_looked_at_is_not_lost(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(store)
    worker, topic, load = world.worker(), TOPICS.exposures, store.load
    await worker.resume(topic, PARTITION)

    async def and_meanwhile(*args: Any) -> Any:
        """What was stored before a batch was counted."""
        before = await load(*args)
        monkeypatch.setattr(store, "load", load)
        await worker.process(topic, PARTITION, world.batch(topic, 0, 4))
        return before

    monkeypatch.setattr(store, "load", and_meanwhile)
    assert not await worker.is_behind(topic, PARTITION)


async def test_what_a_log_dropped_before_anybody_counted_it_is_not_lost(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(store)
    worker, topic = world.worker(), TOPICS.exposures

    async def begin(_: int) -> int:
        return 5

    monkeypatch.setattr(world.logs[topic], "begin", begin)
    assert await worker.resume(topic, PARTITION) == 5
    assert not await worker.is_behind(topic, PARTITION)


async def test_a_topic_made_anew_is_read_from_its_beginning(store: Flaky) -> None:
    world = World(store)
    await world.finish()
    world.logs[TOPICS.exposures].recreate("second")
    world.logs[TOPICS.exposures].append(PARTITION, *records([shown("new", user=7)]))
    worker = world.worker()
    assert await worker.resume(TOPICS.exposures, PARTITION) == 0
    await worker.process(TOPICS.exposures, PARTITION, world.batch(TOPICS.exposures, 0, 9))
    assert (await world.sums())[TREATED, 0, 0] == 4


MONTHS = range(0, 40 * WINDOW, WINDOW // 3)  # ms
SHOWN_FOR_MONTHS = [shown(str(at), at=at) for at in MONTHS]
SAID_FOR_MONTHS = [said(str(at), 10, at=at + WINDOW - 1) for at in MONTHS]


async def fill(world: World, exposures: list[Any], feedback: list[Any]) -> None:
    for topic, events in zip(TOPICS.shown, (exposures, feedback), strict=True):
        world.logs[topic].recreate("first")
        world.logs[topic].append(PARTITION, *records(events))


@pytest.mark.parametrize("first", TOPICS.shown)
@pytest.mark.parametrize("size", [500, 7])
async def test_months_are_counted_again_as_they_were_lived(
    store: Flaky, first: str, size: int
) -> None:
    """After the store lost them: one topic is read to its end before the other is delivered."""
    world = World(store)
    await fill(world, SHOWN_FOR_MONTHS, SAID_FOR_MONTHS)
    worker, applied = world.worker(), Counter[str]()
    for topic in sorted(TOPICS.shown, key=lambda topic: topic != first):
        assert (await worker.resume(topic, PARTITION) > 100) is (topic != first)
        for begin in range(0, len(MONTHS), size):
            batch = world.batch(topic, begin, begin + size)
            applied += (await worker.process(topic, PARTITION, batch)).applied
    assert applied == dict.fromkeys(TOPICS.shown, len(MONTHS))
    sums = await world.sums()
    assert figure(sums, "impressions") == figure(sums, "clicked") == len(MONTHS)


# ms: the last moment of the year 9999.
FAR_AHEAD = 253_402_300_799_999


@pytest.mark.parametrize("wrong", TOPICS.shown)
@pytest.mark.parametrize("first", TOPICS.shown)
@pytest.mark.parametrize(("size", "place"), [(500, 60), (7, 60), (7, 62), (1, 60)])
async def test_a_record_of_a_clock_that_is_wrong_does_not_spoil_the_others(
    store: Flaky, wrong: str, first: str, size: int, place: int
) -> None:
    """It says that it comes from the year 9999, and counts as what it is; within, or at the end or
    the beginning of what is delivered at once."""
    world = World(store)
    await fill(world, SHOWN_FOR_MONTHS, SAID_FOR_MONTHS)
    log = world.logs[wrong].records(PARTITION)
    world.logs[wrong].recreate("first")
    log[place] = log[place]._replace(timestamp=FAR_AHEAD)
    world.logs[wrong].append(PARTITION, *log)
    worker = world.worker()
    for topic in sorted(TOPICS.shown, key=lambda topic: topic != first):
        for begin in range(0, len(MONTHS), size):
            await worker.process(topic, PARTITION, world.batch(topic, begin, begin + size))
    sums = await world.sums()
    assert figure(sums, "impressions") == figure(sums, "clicked") == len(MONTHS)


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_what_a_call_counted_before_it_failed_is_told_by_the_next(
    store: Flaky, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """With a commit that took although its answer was lost, and without one that did not."""
    world, commit, commits = World(store), store.commit, 0
    await fill(world, SHOWN_FOR_MONTHS, SAID_FOR_MONTHS)
    world.logs[TOPICS.exposures].append(PARTITION, Record(len(MONTHS), START, b"1", b"{"))

    async def and_fail(*arguments: Any) -> Progress:
        nonlocal commits
        commits += 1
        store.fault = fault if commits == 100 else ""
        return await commit(*arguments)

    monkeypatch.setattr(store, "commit", and_fail)
    worker, batch = world.worker(), world.batch(TOPICS.exposures, 0, 500)
    with pytest.raises(StoreUnavailable):
        await worker.process(TOPICS.exposures, PARTITION, batch)
    counted = await worker.process(TOPICS.exposures, PARTITION, batch)
    feedback = world.batch(TOPICS.feedback, 0, 500)
    counted.add(await worker.process(TOPICS.feedback, PARTITION, feedback))
    assert counted.applied == dict.fromkeys(TOPICS.shown, len(MONTHS))
    assert counted.invalid == {(TOPICS.exposures, "malformed_json"): 1}


async def test_an_answer_that_was_lost_is_told_once(store: Flaky) -> None:
    """The one commit of a call; another worker has gone on since in the second case."""
    world, topic = World(store), TOPICS.exposures
    for others_went_on, told in ((False, len(EXPOSURES)), (True, 0)):
        world.logs[topic].recreate(f"log {told}")
        world.logs[topic].append(PARTITION, *records(EXPOSURES))
        worker, batch = world.worker(), world.batch(topic, 0, 99)
        store.fault = "after"
        with pytest.raises(StoreUnavailable):
            await worker.process(topic, PARTITION, batch)
        if others_went_on:
            feedback = world.batch(TOPICS.feedback, 0, 99)
            await world.worker().process(TOPICS.feedback, PARTITION, feedback)
        for applied in (told, 0):
            counted = await worker.process(topic, PARTITION, batch)
            assert (counted.applied[topic], counted.duplicates) == (applied, len(EXPOSURES))


async def test_feedback_that_came_late_is_counted_again_too(store: Flaky) -> None:
    """As long as no topic is more than half a window ahead, it may be half a window late."""
    world, times = World(store), range(0, 8 * WINDOW, 70)
    late = [
        structs.replace(said(str(at), 10, at=at + WINDOW - 1), produced_time=START + at + 1_498)
        for at in times
    ]
    await fill(world, [shown(str(at), at=at) for at in times], late)
    worker = world.worker()
    for topic in TOPICS.shown:
        for begin in range(0, len(times), 7):
            await worker.process(topic, PARTITION, world.batch(topic, begin, begin + 7))
    assert figure(await world.sums(), "clicked") == len(times)


async def test_a_long_count_can_be_told_from_a_stall(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call waits for months of the other topic, and one of that topic waits for it."""
    world = World(store)
    await fill(world, SHOWN_FOR_MONTHS, SAID_FOR_MONTHS[-1:])
    world.logs[TOPICS.exposures].chunk = 10
    worker, commit = world.worker(), store.commit
    marks: dict[str, set[int | None]] = {topic: set() for topic in TOPICS.shown}

    def mark() -> None:
        for topic, seen in marks.items():
            seen.add(worker.mark(topic, PARTITION))

    async def noted(*arguments: Any) -> Progress:
        mark()
        return await commit(*arguments)

    monkeypatch.setattr(store, "commit", noted)
    await asyncio.gather(
        *(
            worker.process(topic, PARTITION, world.batch(topic, 0, 1))
            for topic in (TOPICS.feedback, TOPICS.exposures)
        )
    )
    assert min(len(seen) for seen in marks.values()) > len(MONTHS) // 10
    mark()
    assert all(None in seen for seen in marks.values())


async def test_a_topic_that_has_nothing_new_is_asked_about_once_in_half_a_window(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(store)
    await fill(world, SHOWN_FOR_MONTHS, [])
    worker, asked, end = world.worker(), 0, world.logs[TOPICS.feedback].end

    async def counted(partition: int) -> int:
        nonlocal asked
        asked += 1
        return await end(partition)

    monkeypatch.setattr(world.logs[TOPICS.feedback], "end", counted)
    for at in range(4):
        await worker.process(TOPICS.exposures, PARTITION, world.batch(TOPICS.exposures, at, at + 1))
    assert asked == 2


async def test_what_a_log_dropped_after_it_was_counted_in_part_is_left_out(store: Flaky) -> None:
    world, topic = World(store), TOPICS.exposures
    await world.worker().process(topic, PARTITION, world.batch(topic, 0, 2))
    left = world.batch(topic, 6, 99)
    world.logs[topic].drop_before(PARTITION, 4)
    counted = await world.worker().process(topic, PARTITION, left)
    assert counted.applied[topic] == len(EXPOSURES) - 4


@pytest.mark.parametrize("recreated", TOPICS.shown)
async def test_who_knows_a_topic_that_is_no_more_counts_nothing(
    store: Flaky, recreated: str
) -> None:
    """Whichever of both it is, and before or after another worker has begun anew."""
    for others_began in (False, True):
        world = World(store)
        worker, topic = world.worker(), TOPICS.exposures
        for name in TOPICS.shown:
            await worker.resume(name, PARTITION)
        later = records([shown("later", at=10 * WINDOW)])
        world.logs[recreated].recreate("second")
        world.logs[recreated].append(PARTITION, *records([shown("new"), said("new", 10)][:1]))
        if others_began:
            other = world.worker()
            await other.resume(recreated, PARTITION)
            batch = world.batch(recreated, 0, 1)
            await other.process(recreated, PARTITION, batch)
        elif recreated == topic:
            continue  # nothing tells what was delivered from what was before
        before = await world.sums()
        with pytest.raises(TopicRecreated, match=f"topic {recreated} was deleted"):
            await worker.process(topic, PARTITION, later)
        assert await world.sums() == before


async def test_invalid_records_are_left_out_and_said(
    store: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(store)
    good, wrong = records([shown("x", user=8)])[0], Record(1, START, b"8", b"{")
    misfit = Record(2, START, b"9", good.value)
    world.logs[TOPICS.exposures].recreate("first")
    counted = await world.worker().process(TOPICS.exposures, PARTITION, [good, wrong, misfit])
    assert counted.applied[TOPICS.exposures] == 1
    assert counted.invalid == {
        (TOPICS.exposures, reason): 1 for reason in ("malformed_json", "key_mismatch")
    }
    assert "exposures[3], offset 1: left out: malformed_json" in caplog.text


async def test_who_is_forgotten_has_no_record(store: Flaky) -> None:
    world = World(store)
    await world.finish()
    assert await store.holding(1) == [PARTITION]
    for topic, events in ((TOPICS.exposures, EXPOSURES), (TOPICS.feedback, FEEDBACK)):
        wish = Record(len(events), START, b"1", encode(forget(1)))
        world.logs[topic].append(PARTITION, wish)
    await world.finish()
    assert await store.holding(1) == []
    assert await store.load(PARTITION, [1]) == ((await store.load(PARTITION, ()))[0], {})
    assert await world.sums() == expected()


async def test_definitions_are_there_as_they_were_put(store: Flaky) -> None:
    assert not await store.has_definitions()
    await store.put([experiment("b"), experiment("a"), experiment("b", round=2)])
    await store.put([])
    assert await store.definitions() == [experiment("a"), experiment("b", round=2)]
    assert await store.has_definitions()
