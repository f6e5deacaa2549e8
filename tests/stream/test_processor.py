"""Whatever is delivered, how often and by whom: the state is one straight fold over the log."""

import asyncio
from collections.abc import Sequence
from itertools import cycle
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.coldstart import ItemVectors
from stream.contracts.errors import StoreUnavailable, TopicRecreated
from stream.log import Record
from stream.processor import Processor
from stream.redis_store import RedisStore
from stream.store import StateStore
from tests.fakes import MemoryDeadLetters, MemoryLog
from tests.stream.build import START, rating
from tests.stream.world import (
    ELSEWHERE,
    FAULTS,
    HERE,
    PARTITION,
    TOPIC,
    Entry,
    World,
    entry,
    live_state,
    logs,
    plain_log,
    processor,
    straight_fold,
)

# Fractions of the log: a span of it is delivered, whatever was before.
Span: TypeAlias = tuple[float, float]
spans = st.tuples(st.floats(0, 1), st.floats(0, 1))
workers = st.integers(0, 1)
turns = st.lists(st.integers(0, 3), min_size=1, max_size=6)

deliveries = st.tuples(st.just("deliver"), workers, spans, st.none() | st.sampled_from(FAULTS))
races = st.tuples(st.just("race"), spans, spans, turns)
restarts = st.tuples(st.just("restart"), workers)
flushes = st.just(("flush",))
recreations = st.tuples(st.just("recreate"), logs(most=12))
stale_deliveries = st.tuples(st.just("deliver old"), workers, spans)


def records(entries: Sequence[Entry], span: Span) -> list[Record]:
    first, last = sorted(round(at * len(entries)) for at in span)
    return [entry.record for entry in entries[first:last]]


class History:
    """Plays what may happen to a partition and its two workers."""

    def __init__(self, entries: list[Entry]) -> None:
        self.world = World(entries)
        self.old_entries: list[Entry] = []
        self.workers = [self.world.worker(), self.world.worker()]
        self.topics = 1
        self.behind: set[int] = set()  # workers that do not know that the topic is another

    async def play(self, action: tuple) -> None:  # type: ignore[type-arg]
        world = self.world
        match action:
            case ("deliver", int(worker), span, fault):
                world.store.fault = fault
                await self.attempt(worker, records(world.entries, span))
                world.store.fault = None
            case ("race", one, other, pauses):
                world.store.turns = cycle(pauses)
                await asyncio.gather(
                    self.workers[0].process(PARTITION, records(world.entries, one)),
                    self.workers[1].process(PARTITION, records(world.entries, other)),
                )
                world.store.turns = cycle((0,))
            case ("restart", int(worker)):
                await self.restart(worker)
            case ("flush",):
                world.store.flush()
            case ("recreate", entries):
                self.old_entries = world.entries
                for worker in (0, 1):
                    await self.restart(worker)
                self.behind = {0, 1}
                self.topics += 1
                world.recreate_topic(f"topic {self.topics}", entries)
            case ("deliver old", int(worker), span) if worker in self.behind:
                await self.attempt(worker, records(self.old_entries, span))

    async def attempt(self, worker: int, batch: list[Record]) -> None:
        """A worker that fails is started again."""
        try:
            await self.workers[worker].process(PARTITION, batch)
        except (StoreUnavailable, TopicRecreated):
            await self.restart(worker)

    async def restart(self, worker: int) -> None:
        self.workers[worker] = self.world.worker()
        try:
            await self.workers[worker].resume(PARTITION)
        except StoreUnavailable:  # the fault comes here, and is over
            await self.workers[worker].resume(PARTITION)
        self.behind.discard(worker)


def end_of(entries: list[Entry], actions: list[tuple]) -> World:  # type: ignore[type-arg]
    """The world after these actions and after some worker has got to the end of the log."""

    async def run() -> World:
        history = History(entries)
        for action in actions:
            await history.play(action)
        await history.workers[0].catch_up(PARTITION)
        return history.world

    return asyncio.run(run())


def assert_state_is_the_log(world: World) -> None:
    async def run() -> None:
        assert await live_state(world.store) == world.straight_fold()
        position = await world.store.position(PARTITION)
        assert position is not None
        assert position.next_offset == world.entries[-1].record.offset + 1

    asyncio.run(run())


@given(logs(), st.lists(deliveries | restarts, max_size=12))
@settings(max_examples=150)
def test_any_split_any_repetition_and_any_crash(
    entries: list[Entry],
    actions: list[tuple],  # type: ignore[type-arg]
) -> None:
    world = end_of(entries, actions)
    assert_state_is_the_log(world)
    assert world.dead_letters.origins() == world.invalid()


@given(logs(), st.lists(races | deliveries, max_size=6))
@settings(max_examples=100)
def test_two_workers_on_one_partition(
    entries: list[Entry],
    actions: list[tuple],  # type: ignore[type-arg]
) -> None:
    world = end_of(entries, actions)
    assert_state_is_the_log(world)
    assert world.dead_letters.origins() == world.invalid()


@given(logs(), st.lists(deliveries | races | restarts | flushes, max_size=10))
@settings(max_examples=100)
def test_a_store_that_is_emptied_at_any_time(
    entries: list[Entry],
    actions: list[tuple],  # type: ignore[type-arg]
) -> None:
    world = end_of(entries, actions)
    assert_state_is_the_log(world)
    assert world.dead_letters.origins() == world.invalid()


@given(logs(), st.lists(deliveries | recreations | stale_deliveries | flushes, max_size=10))
@settings(max_examples=150)
def test_a_topic_that_is_recreated_at_any_time(
    entries: list[Entry],
    actions: list[tuple],  # type: ignore[type-arg]
) -> None:
    """And whose old records may still be in the hands of a worker."""
    world = end_of(entries, actions)
    assert_state_is_the_log(world)
    assert world.invalid().items() <= world.dead_letters.origins().items()


async def test_what_an_outcome_says() -> None:
    entries = plain_log()
    entries[2] = entry(2, rating(HERE[0], 1, 4.0), "rating_range")
    world = World(entries)
    worker = world.worker()
    await worker.process(PARTITION, [e.record for e in entries[:2]])
    outcome = await worker.process(PARTITION, [e.record for e in entries])
    assert outcome.applied == 3
    assert outcome.duplicates == 2
    assert outcome.dead == {"rating_range": 1}
    assert outcome.unknown_movies == 1  # movie 4 of 1, 2, 3
    assert outcome.produced_times == [e.event.produced_time for e in entries[3:] if e.event]
    assert worker.next_offset(PARTITION) == 6


async def test_no_records_are_nothing_to_do() -> None:
    world = World(plain_log())
    worker = world.worker()
    assert (await worker.process(PARTITION, [])).applied == 0
    assert worker.next_offset(PARTITION) is None
    assert await world.store.position(PARTITION) is None


async def test_a_gap_is_filled_from_the_log() -> None:
    world = World(plain_log())
    outcome = await world.worker().process(PARTITION, [world.entries[-1].record])
    assert outcome.applied == 6
    assert outcome.duplicates == 0
    assert await live_state(world.store) == world.straight_fold()


async def test_a_worker_resumes_where_the_state_is() -> None:
    world = World(plain_log())
    worker = world.worker()
    assert await worker.resume(PARTITION) == 0
    await world.worker().process(PARTITION, [e.record for e in world.entries[:4]])
    assert await worker.resume(PARTITION) == 4
    world.recreate_topic("second", plain_log(2))
    assert await worker.resume(PARTITION) == 0


async def test_the_state_of_a_topic_that_is_no_more_goes_without_a_new_event() -> None:
    world = World(plain_log())
    await world.worker().process(PARTITION, [e.record for e in world.entries])
    world.recreate_topic("second", [])
    assert await world.worker().resume(PARTITION) == 0
    position = await world.store.position(PARTITION)
    assert position is not None
    assert (position.topic_id, position.next_offset) == ("second", 0)
    assert await live_state(world.store) == world.straight_fold()


async def test_a_zombie_that_commits_late_changes_nothing() -> None:
    """It has folded and is about to commit when another worker takes over and goes on."""
    world = World(plain_log())
    batch = [e.record for e in world.entries[:3]]
    zombie, successor = world.worker(), world.worker()
    world.store.turns = cycle((0, 50))  # the load at once, the commit much later
    late = asyncio.create_task(zombie.process(PARTITION, batch))
    for _ in range(20):
        await asyncio.sleep(0)
    world.store.turns = cycle((0,))
    await successor.process(PARTITION, [e.record for e in world.entries])
    outcome = await late
    assert (outcome.applied, outcome.duplicates) == (0, 3)
    assert await live_state(world.store) == world.straight_fold()


async def test_an_answer_that_was_lost_is_no_second_application() -> None:
    world = World(plain_log())
    worker = world.worker()
    batch = [e.record for e in world.entries]
    world.store.fault = "after the commit"
    with pytest.raises(StoreUnavailable):
        await worker.process(PARTITION, batch)
    outcome = await worker.process(PARTITION, batch)
    assert (outcome.applied, outcome.duplicates) == (0, 6)
    assert await live_state(world.store) == world.straight_fold()


async def test_records_of_a_topic_that_is_no_more_are_refused_until_the_worker_resumes() -> None:
    world = World(plain_log())
    worker = world.worker()
    old = [e.record for e in world.entries]
    await worker.process(PARTITION, old[:3])
    world.recreate_topic("second", plain_log(9))
    for batch in (old[:2], old[:2], [e.record for e in world.entries[:2]]):
        with pytest.raises(TopicRecreated, match="deleted and created again"):
            await worker.process(PARTITION, batch)
    assert await worker.resume(PARTITION) == 0
    await worker.process(PARTITION, [e.record for e in world.entries])
    assert await live_state(world.store) == world.straight_fold()
    assert len(world.store.user_values) == len(world.store.movie_values) == 1  # the old one is gone


async def test_the_users_of_a_batch_get_cold_start_vectors() -> None:
    items = ItemVectors("v7", np.array([1, 2, 3, 4], np.uint32), np.eye(4, dtype=np.float32))
    world = World(plain_log(), items=items)
    await world.worker().process(PARTITION, [e.record for e in world.entries])
    for user, state in world.straight_fold().users.items():
        _, stored = await world.store.read_user(PARTITION, user)
        (expected,) = items.pool([state])
        assert stored is not None
        assert stored.cold_start is not None
        assert expected is not None
        assert stored.cold_start.tag == items.tag
        assert np.array_equal(stored.cold_start.vector, expected.vector)


def two_logs(n: int = 6) -> tuple[World, dict[int, list[Entry]]]:
    """A world whose log has entries in both partitions."""
    world = World(plain_log(n))
    other = [entry(at, rating(ELSEWHERE, at % 4 + 1, 4.0, START + at), None) for at in range(n)]
    world.log.append(1 - PARTITION, *(it.record for it in other))
    return world, {PARTITION: world.entries, 1 - PARTITION: other}


def deliveries_of(
    entries: dict[int, list[Entry]], first: int, last: int
) -> dict[int, list[Record]]:
    return {at: [it.record for it in some[first:last]] for at, some in entries.items()}


async def assert_both_are_the_log(world: World, entries: dict[int, list[Entry]]) -> None:
    for partition, some in entries.items():
        assert await live_state(world.store, partition) == straight_fold(some)


async def test_partitions_that_go_on_share_a_question_and_a_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, entries = two_logs()
    worker = world.worker()
    await worker.process_together(deliveries_of(entries, 0, 2))
    asked = []
    for name in ("load_together", "commit_together"):
        inner = getattr(world.store, name)

        async def noted(them: list[tuple[int, ...]], inner: Any = inner) -> Any:
            asked.append([partition for partition, *_ in them])
            return await inner(them)

        monkeypatch.setattr(world.store, name, noted)
    outcome = await worker.process_together(deliveries_of(entries, 2, 6))
    assert (outcome.applied, len(outcome.produced_times)) == (8, 8)
    assert asked == [[PARTITION, 1 - PARTITION]] * 2
    await assert_both_are_the_log(world, entries)


async def test_a_partition_that_another_worker_has_advanced_holds_up_no_other() -> None:
    world, entries = two_logs()
    worker, other = world.worker(), world.worker()
    await worker.process_together(deliveries_of(entries, 0, 2))
    await other.process(PARTITION, [it.record for it in entries[PARTITION][2:4]])
    outcome = await worker.process_together(deliveries_of(entries, 2, 6))
    assert (outcome.applied, outcome.duplicates) == (4 + 2, 2)
    await assert_both_are_the_log(world, entries)


@pytest.mark.parametrize("fault", FAULTS)
async def test_partitions_that_failed_together_are_done_again(fault: str) -> None:
    world, entries = two_logs()
    bad = entry(3, rating(HERE[0], 1, 4.0), "malformed_json")
    entries[PARTITION][3] = bad
    worker = world.worker()
    await worker.process_together(deliveries_of(entries, 0, 2))
    world.store.fault = fault
    while True:
        try:
            await worker.process_together(deliveries_of(entries, 2, 6))
        except StoreUnavailable:
            continue
        break
    await assert_both_are_the_log(world, entries)
    assert world.dead_letters.origins().keys() == {(TOPIC, PARTITION, 3)}


class TestOnRedis:
    """The same against the real commit: a race, a crash, an emptied store."""

    async def test_a_race_a_crash_and_an_emptied_store(self, redis_url: str) -> None:
        entries = plain_log(400)
        for at in range(0, 400, 40):
            entries[at] = entry(at, rating(HERE[0], 1, 4.0), "malformed_json")
        log, dead_letters = MemoryLog(chunk=50), MemoryDeadLetters()
        log.append(PARTITION, *(e.record for e in entries))
        stores = [RedisStore(redis_url), RedisStore(redis_url)]

        def worker(store: StateStore) -> Processor:
            return processor(store, log, dead_letters)

        async def deliver(worker: Processor, first: int, last: int, size: int) -> None:
            for at in range(first, last, size):
                await worker.process(PARTITION, [e.record for e in entries[at : at + size]])

        first, second = map(worker, stores)
        await asyncio.gather(deliver(first, 0, 200, 7), deliver(second, 0, 200, 11))
        await stores[0]._redis.flushdb()
        await asyncio.gather(deliver(first, 150, 300, 13), deliver(second, 100, 300, 5))
        await deliver(worker(stores[0]), 250, 400, 9)

        assert await live_state(stores[0]) == straight_fold(entries)
        assert dead_letters.origins().keys() == {(TOPIC, PARTITION, at) for at in range(0, 400, 40)}
        for store in stores:
            await store.close()
