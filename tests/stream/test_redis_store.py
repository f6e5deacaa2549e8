"""Live state in a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from stream.coldstart import ItemVectors
from stream.commit import SCRIPT, script_arguments, script_keys
from stream.contracts import keys
from stream.contracts.errors import StoreUnavailable
from stream.contracts.events import EARLIEST_EVENT_TIME, MovieEvent, encode
from stream.contracts.keys import Position
from stream.kept import Kept, UserVersion
from stream.redis_store import RedisStore
from stream.store import Batch
from tests.suites.keeping_store import KeepingStoreSuite
from tests.suites.state_store import StateStoreSuite, batch_of, heats_of, movie_event


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url)
    yield store
    await store.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


class TestRedisStore(StateStoreSuite, KeepingStoreSuite):
    pass


async def first(store: RedisStore) -> Position:
    position = Position(await store.new_generation(0), "topic", 1)
    assert await store.commit(0, None, position, batch_of((1, 1, 4.0))) == position
    return position


async def everything(redis: Redis) -> dict[bytes, bytes | None]:
    return {key: await redis.dump(key) async for key in redis.scan_iter()}


async def test_movies_share_what_they_have_in_common(store: RedisStore) -> None:
    crime, same, other = (
        MovieEvent(
            event_id=f"{movie_id}",
            movie_id=movie_id,
            title="Title",
            genres=genres,
            year=1994,
            tags=("slow", *genres),
            event_time=EARLIEST_EVENT_TIME,
            produced_time=EARLIEST_EVENT_TIME + 1,
            source="api",
        )
        for movie_id, genres in enumerate((("Crime", "War"), ("Crime", "War"), ("War",)), 1)
    )
    await store.put_movies([crime, same, other])
    changed = await store.catalogue(0)
    assert changed is not None
    assert changed[1] == {1: crime, 2: same, 3: other}
    one, two, _ = changed[1].values()
    for name in ("genres", "year", "event_time", "produced_time"):
        assert getattr(one, name) is getattr(two, name)
    assert [own is other for own, other in zip(one.tags, two.tags, strict=True)] == [True] * 3


@pytest.mark.parametrize("key", [keys.users, keys.movies, keys.changed])
async def test_a_commit_that_redis_would_refuse_half_way_writes_nothing(
    store: RedisStore, redis: Redis, key: Callable[[int, int], bytes]
) -> None:
    position = await first(store)
    await redis.set(key(0, 2), b"in the way")
    number = await store.new_generation(0)
    before = await everything(redis)
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await store.commit(0, position, Position(number, "topic", 2), batch_of((2, 2, 4.0)))
    assert await everything(redis) == before


@pytest.mark.parametrize(
    ("argument", "damage", "complaint"),
    [
        (3, lambda _: "soon", "next offset is not a number"),
        (4, lambda users: users[:-1], "users are not whole"),
        (5, lambda movies: movies[:-1], "movies are not whole"),
        (5, lambda movies: movies[:5], "too short"),
    ],
)
async def test_a_malformed_commit_writes_nothing(
    store: RedisStore,
    redis: Redis,
    argument: int,
    damage: Callable[[bytes], bytes | str],
    complaint: str,
) -> None:
    position = await first(store)
    before = await everything(redis)
    new = replace(position, next_offset=2)
    arguments: list[Any] = list(script_arguments(position, new, batch_of((2, 2, 4.0))))
    arguments[argument] = damage(arguments[argument])
    with pytest.raises(ResponseError, match=complaint):
        await redis.eval(SCRIPT, 5, *script_keys(0, 1, Batch()), *arguments)
    assert await everything(redis) == before


async def test_the_scripts_are_loaded_again_when_redis_has_forgotten_them(
    store: RedisStore, redis: Redis
) -> None:
    position = await first(store)
    await redis.script_flush()
    assert (await store.read_user(0, 1))[0] == position
    await redis.script_flush()
    new = replace(position, next_offset=2)
    assert await store.commit(0, position, new, Batch()) == new
    await redis.script_flush()
    kept = Kept(0, 7, UserVersion.of(new, None), b"a", b"list", 60.0)
    assert await store.keep([kept, kept._replace(user_id=8)]) == [True, True]
    assert (await store.read_user_with(0, 7, b"a"))[2] == b"list"


async def test_what_is_kept_is_gone_from_redis_by_itself(store: RedisStore, redis: Redis) -> None:
    """The longest time that anything is kept for; what is kept for less goes with it at last."""
    of = UserVersion.of(await first(store), None)
    for name, seconds in ((b"a", 10.0), (b"b", 100.0), (b"c", 1.0)):
        await store.keep([Kept(0, 7, of, name, b"list", seconds)])
    assert 10_000 < await redis.pttl(keys.kept(0, 7)) <= 100_000


async def test_a_reader_follows_a_switch_of_generations(store: RedisStore, redis_url: str) -> None:
    """Of a position and a record read together, both are of one generation: never a gap."""
    reader = RedisStore(redis_url)
    position = await first(store)
    stop = asyncio.Event()

    async def read() -> int:
        reads = 0
        while not stop.is_set():
            _, record = await reader.read_user(0, 1)
            assert record is not None
            reads += 1
        return reads

    reading = asyncio.create_task(read())
    for _ in range(20):
        number = await store.new_generation(0)
        await store.write(0, number, batch_of((1, 1, 4.0)))
        new = replace(position, generation=number)
        assert await store.commit(0, position, new, Batch()) == new
        await store.drop_before(0, number)
        position = new
    stop.set()
    assert await reading > 0
    await reader.close()


async def test_nothing_is_left_of_older_generations(store: RedisStore, redis: Redis) -> None:
    position = await first(store)
    number = await store.new_generation(0)
    new = replace(position, generation=number)
    assert await store.commit(0, position, new, batch_of((1, 1, 4.0))) == new
    await store.drop_before(0, number)
    of_generation = [key(0, number) for key in (keys.users, keys.movies, keys.changed)]
    assert set(await everything(redis)) == {keys.live(0), keys.generations(0), *of_generation}


async def test_a_snapshot_is_of_one_instant(store: RedisStore, redis: Redis) -> None:
    """It is one transaction: no commit comes in between."""
    position = await first(store)
    await redis.config_resetstat()
    await store.snapshot(0, position.generation, [1])
    assert (await redis.info("commandstats"))["cmdstat_exec"]["calls"] == 1


async def test_movies_that_go_while_heats_are_read_are_left_out(
    store: RedisStore, redis: Redis
) -> None:
    """As those of a generation that is dropped in that moment."""
    position = Position(await store.new_generation(0), "topic", 1)
    await store.commit(0, None, position, batch_of((1, 1, 4.0), (1, 2, 4.0)))
    await redis.hdel(keys.movies(0, position.generation), "1")
    assert (await heats_of(store, 0, position.generation, since=0)).keys() == {2}


async def test_a_redis_that_is_not_there_is_named_without_its_password() -> None:
    store = RedisStore("redis://:hush@127.0.0.1:1/0", timeout=2.0)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as raised:
        await store.ping()
    assert "hush" not in str(raised.value)
    await store.close()


async def test_a_redis_that_hangs_is_given_up_on() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = RedisStore(f"redis://127.0.0.1:{port}", timeout=0.2)
    with pytest.raises(StoreUnavailable, match="no answer within"):
        await store.position(0)
    await store.close()
    server.close()


async def test_a_user_of_154_ratings_takes_less_than_2_kb(store: RedisStore, redis: Redis) -> None:
    ids = np.arange(1, 1001, dtype=np.uint32)
    vectors = np.random.default_rng(1).normal(size=(1000, 128)).astype(np.float32)
    batch = batch_of(
        *((user, movie, 4.0) for user in range(1, 301) for movie in range(user, user + 154)),
        items=ItemVectors("v1", ids, vectors),
    )
    number = await store.new_generation(0)
    await store.write(0, number, batch)
    used = await redis.memory_usage(keys.users(0, number), samples=0) or 0
    assert 1500 < used / 300 <= 2000


async def test_what_an_earlier_release_writes_to_the_catalogue_is_told_too(
    store: RedisStore, redis: Redis
) -> None:
    """It counts versions, and does not say which movies changed."""

    async def put_as_before(movie_id: int) -> None:
        await redis.hset(keys.CATALOGUE, str(movie_id), encode(movie_event(movie_id, "Old")))
        await redis.incr(keys.CATALOGUE_VERSION)

    async def told_since(version: int) -> tuple[int, set[int], bool]:
        changed = await store.catalogue(version)
        assert changed is not None
        return changed.version, set(changed.movies), changed.whole

    await put_as_before(1)
    await put_as_before(2)
    version, *told = await told_since(0)
    assert (version, told) == (2, [{1, 2}, True])
    await store.put_movies([movie_event(3, "New")])
    version, *told = await told_since(version)
    assert told == [{1, 2, 3}, True]
    await store.put_movies([movie_event(4, "New")])
    before, *told = await told_since(version)
    assert told == [{4}, False]
    await put_as_before(5)
    version, *told = await told_since(before)
    assert told == [{1, 2, 3, 4, 5}, True]
    await store.put_movies([movie_event(6, "New")])
    for known in (before, version):
        assert (await told_since(known))[1:] == ({1, 2, 3, 4, 5, 6}, True)


async def test_an_emptied_catalogue_is_told_anew(store: RedisStore, redis: Redis) -> None:
    """As often as it was written before, or more often."""
    await store.put_movies([movie_event(1, "Gone")])
    first = await store.catalogue(0)
    await redis.flushdb()
    for movie_id in (2, 3, 4):
        await store.put_movies([movie_event(movie_id, "New")])
    assert first is not None
    second = await store.catalogue(first.version)
    assert second is not None
    assert (second.movies.keys(), second.whole) == ({2, 3, 4}, True)
    await redis.flushdb()
    assert await store.catalogue(second.version) == (0, {}, True)
