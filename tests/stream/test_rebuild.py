"""State made anew from the log, and the proof that live state is what the log gives."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from stream.coldstart import ItemVectors
from stream.contracts import keys
from stream.contracts.errors import StoreUnavailable
from stream.contracts.events import ModelEvent, encode
from stream.contracts.keys import Position
from stream.features import MovieState
from stream.log import Record
from stream.rebuild import ROUNDS, Rebuilt, rebuild, rebuild_catalogue
from stream.records import ColdStartVector, UserRecord, pack_movie, pack_user
from stream.redis_store import RedisStore
from stream.store import Batch, StateStore
from stream.verify import Difference, Verified, verify
from tests.fakes import MemoryDeadLetters, MemoryLog, MemoryStore
from tests.stream.build import DAY, START, rating
from tests.stream.world import (
    HERE,
    PARTITION,
    PARTITIONS,
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
from tests.suites.state_store import movie_event

ITEMS = ItemVectors("v1", np.array([1, 2, 3, 4], np.uint32), np.eye(4, dtype=np.float32))


def records(entries: Sequence[Entry]) -> list[Record]:
    return [entry.record for entry in entries]


async def rebuilt(world: World, items: ItemVectors | None = None) -> Rebuilt:
    return await rebuild(
        world.store,
        world.log,
        world.dead_letters,
        topic=TOPIC,
        partition=PARTITION,
        partitions=PARTITIONS,
        items=items,
        progress=lambda count: None,
    )


async def verified(store: StateStore, log: MemoryLog, items: ItemVectors | None = None) -> Verified:
    return await verify(
        store,
        log,
        topic=TOPIC,
        partition=PARTITION,
        partitions=PARTITIONS,
        items=items,
        progress=lambda count: None,
    )


@given(logs())
@settings(max_examples=60)
def test_a_rebuild_gives_what_the_workers_gave(entries: list[Entry]) -> None:
    async def run() -> None:
        world = World(entries, items=ITEMS)
        await world.worker().process(PARTITION, records(entries))
        before = [await world.store.read_user(PARTITION, user) for user in HERE]
        buried = len(world.dead_letters.buried)

        await rebuilt(world, ITEMS)

        assert await live_state(world.store) == world.straight_fold()
        for user, (_, record) in zip(HERE, before, strict=True):
            _, anew = await world.store.read_user(PARTITION, user)
            assert (anew is None) == (record is None)
            if anew and record:
                assert pack_user(anew) == pack_user(record)
        assert len(world.dead_letters.buried) == buried  # what had been buried is not again
        assert len(world.store.user_values) == 1  # the old generation is gone

    asyncio.run(run())


@given(logs())
@settings(max_examples=30)
def test_a_rebuild_does_what_no_worker_has_done(entries: list[Entry]) -> None:
    async def run() -> None:
        world = World(entries)
        await world.worker().process(PARTITION, records(entries[: len(entries) // 2]))
        done = await rebuilt(world)
        assert await live_state(world.store) == world.straight_fold()
        assert world.dead_letters.origins() == world.invalid()
        assert done.events == sum(entry.event is not None for entry in entries)
        assert done.users == len(world.straight_fold().users)
        assert (await verified(world.store, world.log)).differences == []

    asyncio.run(run())


class MovingStore(MemoryStore):
    """The workers apply `step` records just before each attempt to switch generations."""

    def __init__(self, world: World, step: int, attempts: int) -> None:
        super().__init__()
        self.world = world
        self.step = step
        self.attempts = attempts
        self.switches = 0

    async def commit(
        self, partition: int, expected: Position | None, new: Position, batch: Batch
    ) -> Position | None:
        if batch == Batch() and self.switches < self.attempts:
            self.switches += 1
            live = self.live[partition]
            entries = self.world.entries[live.next_offset :][: self.step]
            worker = processor(self, self.world.log, self.world.dead_letters)
            await worker.process(partition, records(entries))
        return await super().commit(partition, expected, new, batch)


@pytest.mark.parametrize("attempts", [1, 3, ROUNDS + 5])
async def test_a_rebuild_catches_up_with_workers_that_go_on(attempts: int) -> None:
    entries = plain_log(200)
    world = World(entries[:100])
    world.store = store = MovingStore(world, step=2, attempts=attempts)  # type: ignore[assignment]
    await world.worker().process(PARTITION, records(entries[:100]))
    world.entries = entries
    world.log.append(PARTITION, *records(entries[100:]))
    world.log._records[PARTITION] = records(entries)

    await rebuilt(world)

    assert store.switches == attempts
    assert await live_state(store) == straight_fold(entries)
    assert store.live[PARTITION].next_offset == 200


async def test_the_position_does_not_go_back_while_a_rebuild_can_help_it() -> None:
    """Else what a reader was told is taken back for a moment."""
    entries = plain_log(30)
    world = World(entries)
    world.store = store = MovingStore(world, step=5, attempts=2)  # type: ignore[assignment]
    world.log._records[PARTITION] = records(entries[:10])
    await world.worker().process(PARTITION, records(entries[:10]))
    offsets = []

    class Watched(dict[int, Position]):
        def __setitem__(self, partition: int, position: Position) -> None:
            offsets.append(position.next_offset)
            super().__setitem__(partition, position)

    store.live = Watched(store.live)
    world.log._records[PARTITION] = records(entries)
    await rebuilt(world)
    assert offsets == sorted(offsets)
    assert offsets[-1] == 30


async def test_a_rebuild_under_which_the_store_is_emptied_does_not_switch() -> None:
    """Part of what it has written is gone."""
    world = World(plain_log())
    await world.worker().process(PARTITION, records(world.entries))

    class EmptiedStore(MemoryStore):
        async def write(self, partition: int, generation: int, batch: Batch) -> None:
            await super().write(partition, generation, batch)
            if generation == 2:
                self.flush()
                await processor(self, world.log, world.dead_letters).process(
                    PARTITION, records(world.entries)
                )

    store = EmptiedStore()
    store.live, store.numbers = world.store.live, world.store.numbers
    world.store = store  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match="emptied or replaced"):
        await rebuilt(world)
    assert await live_state(store) == world.straight_fold()
    assert store.live[PARTITION].generation == 1


async def test_of_two_rebuilds_at_once_one_gives_way_or_both_are_right() -> None:
    world = World(plain_log(40))
    await world.worker().process(PARTITION, records(world.entries))
    done = await asyncio.gather(rebuilt(world), rebuilt(world), return_exceptions=True)
    assert any(isinstance(one, Rebuilt) for one in done)
    assert all(isinstance(one, Rebuilt | StoreUnavailable) for one in done)
    assert await live_state(world.store) == world.straight_fold()


async def test_a_rebuild_moves_on_to_a_recreated_topic() -> None:
    world = World(plain_log())
    await world.worker().process(PARTITION, records(world.entries))
    world.recreate_topic("second", plain_log(3))
    await rebuilt(world)
    assert await live_state(world.store) == world.straight_fold()
    assert world.store.live[PARTITION].topic_id == "second"


async def test_the_catalogue_and_the_model_come_back() -> None:
    movies, models, store = MemoryLog(), MemoryLog(), MemoryStore()
    events = [movie_event(7, "Alpha"), movie_event(8, "Beta"), movie_event(7, "Alpha, restored")]
    for offset, event in enumerate(events):
        movies.append(0, Record(offset, START, b"%d" % event.movie_id, encode(event)))
    movies.append(0, Record(3, START, b"9", b"{"))
    for offset, version in enumerate(("v1", "v2")):
        model = ModelEvent(
            event_id=version,
            version=version,
            artifact=version,
            collection=version,
            event_time=START,
            produced_time=START,
        )
        models.append(0, Record(offset, START, b"serving", encode(model)))

    assert await rebuild_catalogue(store, movies, models) == 1

    catalogue = await store.catalogue(0)
    assert catalogue is not None
    assert {movie: event.title for movie, event in catalogue[1].items()} == {
        7: "Alpha, restored",
        8: "Beta",
    }
    served = await store.model()
    assert served is not None
    assert served.version == "v2"


async def processed(n: int = 12, items: ItemVectors | None = ITEMS) -> World:
    world = World(plain_log(n), items=items)
    await world.worker().process(PARTITION, records(world.entries))
    return world


async def test_what_was_processed_verifies() -> None:
    world = await processed()
    found = await verified(world.store, world.log, ITEMS)
    assert found.differences == []
    assert found.position == world.store.live[PARTITION]
    assert (found.end, found.users, found.movies) == (12, 3, 4)


async def test_an_empty_store_differs_from_a_log_that_has_records() -> None:
    world = World(plain_log())
    found = await verified(world.store, world.log)
    assert (found.position, found.end) == (None, 6)
    assert found.differences == [Difference("state", "6 records", "nothing")]


async def test_nothing_is_what_an_empty_log_gives() -> None:
    world = World([])
    found = await verified(world.store, world.log)
    assert (found.position, found.end, found.differences) == (None, 0, [])


def tamper(world: World, change: str) -> None:
    """Damage the live state in one place."""
    users = world.store.user_values[PARTITION, 1]
    movies = world.store.movie_values[PARTITION, 1]
    state = straight_fold(world.entries).users[HERE[0]]
    vector = np.array([0.6, 0.8, 0.0, 0.0], np.float16)
    match change:
        case "a user is missing":
            del users[HERE[0]]
        case "a user too many":
            users[1_000_000] = users[HERE[0]]
        case "a rating changed":
            state.half_stars = b"\x01" + state.half_stars[1:]
            users[HERE[0]] = pack_user(UserRecord(state))
        case "an event doubled":
            state.events += 1
            users[HERE[0]] = pack_user(UserRecord(state))
        case "a vector is of another history":
            stored = UserRecord(state, ColdStartVector(ITEMS.tag, vector))
            users[HERE[0]] = pack_user(stored)
        case "a movie is missing":
            del movies[1]
        case "a movie counts one more":
            movies[1] = pack_movie(MovieState(9, 9, 9, (9.0,) * 4, 9.0))
        case "the log is shorter":
            world.log._records[PARTITION] = records(world.entries[:5])
        case "another topic":
            world.log._topic_id = "second"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("a user is missing", f"user {HERE[0]}"),
        ("a user too many", "user 1000000"),
        ("a rating changed", f"user {HERE[0]}: half_stars"),
        ("an event doubled", f"user {HERE[0]}: events"),
        ("a vector is of another history", f"user {HERE[0]}: cold-start vector"),
        ("a movie is missing", "movie 1"),
        ("a movie counts one more", "movie 1"),
        ("the log is shorter", "next offset"),
        ("another topic", "topic id"),
    ],
)
async def test_a_difference_is_found_and_named(change: str, named: str) -> None:
    world = await processed()
    tamper(world, change)
    found = await verified(world.store, world.log, ITEMS)
    assert named in [difference.what for difference in found.differences]
    first = found.differences[0]
    assert first.log != first.live


async def test_vectors_of_another_model_are_not_compared() -> None:
    world = await processed()
    tamper(world, "a vector is of another history")
    other = ItemVectors("v2", ITEMS.movie_ids, ITEMS.vectors)
    assert (await verified(world.store, world.log, other)).differences == []
    assert (await verified(world.store, world.log, None)).differences == []


async def test_a_vector_of_movies_that_the_model_does_not_know_is_a_difference() -> None:
    world = await processed()
    strange = ItemVectors("v1", np.array([99], np.uint32), np.ones((1, 4), np.float32))
    found = await verified(world.store, world.log, strange)
    assert {(it.log, it.live) for it in found.differences} == {("nothing", "there")}


class BusyLog(MemoryLog):
    """Workers go on while it is read."""

    def __init__(self, world: World, rest: list[Entry]) -> None:
        super().__init__()
        self.world, self.rest = world, rest

    async def topic_id(self) -> str:
        return "first"

    async def end(self, partition: int) -> int:
        end = await super().end(partition)
        self.append(PARTITION, *records(self.rest))
        await processor(self.world.store, self, self.world.dead_letters).process(
            PARTITION, records(self.rest)
        )
        self.rest = []
        return end


async def test_state_that_moves_on_meanwhile_verifies() -> None:
    """With users and movies that are new, and users whose record changed."""
    entries = plain_log(12)
    entries += [
        entry(12, rating(HERE[0], 1, 1.0, START + 13 * DAY), None),
        entry(13, rating(HERE[1], 77, 1.0, START + 13 * DAY), None),
    ]
    world = World(entries[:12])
    await world.worker().process(PARTITION, records(entries[:12]))
    busy = BusyLog(world, entries[12:])
    busy.append(PARTITION, *records(entries[:12]))
    found = await verified(world.store, busy)
    assert found.differences == []
    assert found.position is not None
    assert found.position.next_offset == 14


async def test_state_that_is_replaced_again_and_again_is_not_verified() -> None:
    world = await processed()

    class Restless(MemoryStore):
        async def snapshot(self, partition, generation, users):  # type: ignore[no-untyped-def]
            found = await super().snapshot(partition, generation, users)
            return replace(found, position=Position(generation + 1, "first", 12))

    restless = Restless()
    restless.live, restless.user_values = world.store.live, world.store.user_values
    with pytest.raises(StoreUnavailable, match="replaced 3 times"):
        await verified(restless, world.log)


class TestOnRedis:
    async def test_rebuild_and_verify_beside_a_worker(self, redis_url: str) -> None:
        entries = plain_log(600)
        log, dead_letters = MemoryLog(chunk=50), MemoryDeadLetters()
        store = RedisStore(redis_url)
        worker = processor(store, log, dead_letters, ITEMS)

        async def work(first: int, last: int) -> None:
            for at in range(first, last, 5):
                log.append(PARTITION, *records(entries[at : at + 5]))
                await worker.process(PARTITION, records(entries[at : at + 5]))

        async def maintain() -> None:
            for _ in range(5):
                await rebuild(
                    store,
                    log,
                    dead_letters,
                    topic=TOPIC,
                    partition=PARTITION,
                    partitions=PARTITIONS,
                    items=ITEMS,
                    progress=lambda count: None,
                )
                assert (await verified(store, log, ITEMS)).differences == []

        await work(0, 5)  # both would begin a generation of nothing, and the rebuild would give way
        await asyncio.gather(work(5, 600), maintain())
        assert await live_state(store) == straight_fold(entries)

        position = await store.position(PARTITION)
        assert position is not None
        movies = keys.movies(PARTITION, position.generation)
        packed = bytearray(await store._redis.hget(movies, 1))
        packed[30] ^= 1  # in one of its heats
        await store._redis.hset(movies, 1, bytes(packed))
        found = await verified(store, log, ITEMS)
        assert [difference.what for difference in found.differences] == ["movie 1"]
        await store.close()
