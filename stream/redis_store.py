"""Live state in Redis or Valkey.

redis-py sends a command again when the connection breaks before the answer. Every write here may be
sent twice: a commit compares before it sets, the others write the same values again.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

from stream.commit import SCRIPT, script_arguments, script_keys
from stream.contracts import events, keys, tracing
from stream.contracts.events import ModelEvent
from stream.contracts.keys import Position
from stream.features import MovieState
from stream.records import (
    MovieHeats,
    UserRecord,
    pack_movie,
    pack_user,
    unpack_heats,
    unpack_movie,
    unpack_state,
    unpack_user,
)
from stream.redis_catalogue import RedisCatalogue
from stream.redis_connection import TIMEOUT
from stream.redis_kept import RedisKept
from stream.store import Batch, Commit, Loaded, Snapshot, Wanted

# Entries written or scanned by one command: about 2 MB of users, a few ms of Redis' time.
CHUNK: Final = 1000

# HMGET wants one id at least; no user and no movie has this one.
_NOBODY: Final = 0

# KEYS: live, users, movies. ARGV: ids of users, ids of movies, each in one string as in a commit.
# The Lua stack holds 8,000 arguments.
_LOAD: Final = """
local function read(key, packed)
  local ids, values = {}, {}
  for id in string.gmatch(packed, '%d+') do
    ids[#ids + 1] = id
  end
  for first = 1, #ids, 4000 do
    local some = redis.call('HMGET', key, unpack(ids, first, math.min(first + 3999, #ids)))
    for at = 1, #some do
      values[first + at - 1] = some[at]
    end
  end
  return values
end
return {redis.call('GET', KEYS[1]), read(KEYS[2], ARGV[1]), read(KEYS[3], ARGV[2])}
"""

T = TypeVar("T")


class RedisStore(RedisCatalogue, RedisKept):
    """`StateStore` on one Redis."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        super().__init__(url, timeout)
        self._commit = self._redis.register_script(SCRIPT)
        self._load = self._redis.register_script(_LOAD)

    async def position(self, partition: int) -> Position | None:
        async with self._bounded():
            return _position(await self._redis.get(keys.live(partition)))

    async def load(
        self, partition: int, generation: int, users: Iterable[int], movies: Iterable[int]
    ) -> Loaded:
        return (await self.load_together([Wanted(partition, generation, users, movies)]))[0]

    async def load_together(self, wanted: Sequence[Wanted]) -> list[Loaded]:
        asked = [(it.partition, it.generation, list(it.users), list(it.movies)) for it in wanted]
        answers = await self._run(
            self._load,
            [
                (
                    (
                        keys.live(partition),
                        keys.users(partition, generation),
                        keys.movies(partition, generation),
                    ),
                    (" ".join(map(str, users)), " ".join(map(str, movies))),
                )
                for partition, generation, users, movies in asked
            ],
        )
        return [
            (
                _position(live),
                _found(users, user_values, unpack_state),
                _found(movies, movie_values, unpack_movie),
            )
            for (_, _, users, movies), (live, user_values, movie_values) in zip(
                asked, answers, strict=True
            )
        ]

    async def commit(
        self, partition: int, expected: Position | None, new: Position, batch: Batch
    ) -> Position | None:
        return (await self.commit_together([Commit(partition, expected, new, batch)]))[0]

    async def commit_together(self, commits: Sequence[Commit]) -> list[Position | None]:
        with tracing.span("commit", "client"):
            stored = await self._run(
                self._commit,
                [
                    (
                        script_keys(it.partition, it.new.generation, it.batch),
                        script_arguments(it.expected, it.new, it.batch),
                    )
                    for it in commits
                ],
            )
        return [_position(it) for it in stored]

    async def _run(
        self, script: AsyncScript, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]
    ) -> list[Any]:
        """The answers of a script to some calls, sent at once.

        A call that fails leaves the others as they are, and fails all: they may be sent again.
        """
        async with self._bounded():
            while True:
                pipeline = self._redis.pipeline(transaction=False)
                for names, arguments in calls:
                    pipeline.evalsha(script.sha, len(names), *names, *arguments)
                try:
                    return list(await pipeline.execute())
                except NoScriptError:  # the server is new, or was emptied
                    await self._redis.script_load(script.script)

    async def write(self, partition: int, generation: int, batch: Batch) -> None:
        for users in _chunks(batch.users):
            packed = {user: pack_user(record) for user, record in users.items()}
            kept = {user: value for user, value in packed.items() if value}
            async with self._bounded():
                if kept:
                    await self._redis.hset(keys.users(partition, generation), mapping=kept)
                if erased := packed.keys() - kept.keys():
                    await self._redis.hdel(keys.users(partition, generation), *erased)
        for movies in _chunks(batch.movies):
            async with self._bounded():
                await self._redis.hset(
                    keys.movies(partition, generation),
                    mapping={movie: pack_movie(state) for movie, state in movies.items()},
                )

    async def new_generation(self, partition: int) -> int:
        async with self._bounded():
            return int(await self._redis.incr(keys.generations(partition)))

    async def drop_before(self, partition: int, generation: int) -> None:
        older = [
            key(partition, number)
            for number in range(1, generation)
            for key in (keys.users, keys.movies, keys.changed)
        ]
        if older:
            async with self._bounded():
                await self._redis.unlink(*older)

    async def holding(self, partition: int, user_id: int) -> list[int]:
        async with self._bounded():
            last = int(await self._redis.get(keys.generations(partition)) or 0)
            pipeline = self._redis.pipeline(transaction=False)
            for generation in range(1, last + 1):
                pipeline.hexists(keys.users(partition, generation), user_id)
            held = await pipeline.execute()
        return [generation for generation, holds in enumerate(held, start=1) if holds]

    async def users(self, partition: int, generation: int) -> AsyncIterator[dict[int, UserRecord]]:
        async for values in self._scan(keys.users(partition, generation)):
            yield {int(user): unpack_user(value) for user, value in values.items()}

    async def snapshot(self, partition: int, generation: int, users: Iterable[int]) -> Snapshot:
        users = list(users) or [_NOBODY]
        async with self._bounded():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.get(keys.live(partition))
            pipeline.hgetall(keys.movies(partition, generation))
            pipeline.hmget(keys.users(partition, generation), users)
            live, movies, records = await pipeline.execute()
        return Snapshot(
            _position(live),
            _found(users, records, unpack_user),
            _movies(movies),
        )

    async def movies(self, partition: int, generation: int) -> dict[int, MovieState]:
        async with self._bounded():
            return _movies(await self._redis.hgetall(keys.movies(partition, generation)))

    async def heats(
        self, partition: int, generation: int, since: int | None = None
    ) -> AsyncIterator[MovieHeats]:
        if since is None:
            async for movies in self._scan(keys.movies(partition, generation)):
                yield unpack_heats(list(map(int, movies)), list(movies.values()))
            return
        async with self._bounded():
            changed = await self._redis.zrange(
                keys.changed(partition, generation), f"({since}", "+inf", byscore=True
            )
        for first in range(0, len(changed), CHUNK):
            ids = changed[first : first + CHUNK]
            async with self._bounded():
                values = await self._redis.hmget(keys.movies(partition, generation), ids)
            found = {int(id_): value for id_, value in zip(ids, values, strict=True) if value}
            yield unpack_heats(list(found), list(found.values()))

    async def put_model(self, event: ModelEvent) -> None:
        async with self._bounded():
            await self._redis.set(keys.SERVING_MODEL, events.encode(event))

    async def model(self) -> ModelEvent | None:
        async with self._bounded():
            value = await self._redis.get(keys.SERVING_MODEL)
        return None if value is None else events.decode_model(value)

    async def put_partitions(self, partitions: int) -> None:
        async with self._bounded():
            await self._redis.set(keys.PARTITIONS, partitions)

    async def partitions(self) -> int | None:
        async with self._bounded():
            return int(await self._redis.get(keys.PARTITIONS) or 0) or None

    async def _scan(self, key: bytes) -> AsyncIterator[dict[bytes, bytes]]:
        """A hash in chunks."""
        cursor = None
        while cursor != 0:
            async with self._bounded():
                cursor, values = await self._redis.hscan(key, cursor or 0, count=CHUNK)
            yield values


def _position(value: bytes | None) -> Position | None:
    return None if value is None else Position.decode(value)


def _found(
    ids: Iterable[int], values: Iterable[bytes | None], unpack: Callable[[bytes], T]
) -> dict[int, T]:
    return {id_: unpack(value) for id_, value in zip(ids, values, strict=True) if value is not None}


def _movies(values: Mapping[bytes, bytes]) -> dict[int, MovieState]:
    return {int(movie): unpack_movie(value) for movie, value in values.items()}


def _chunks(mapping: Mapping[int, T]) -> Iterator[dict[int, T]]:
    items = iter(mapping.items())
    while chunk := dict(islice(items, CHUNK)):
        yield chunk
