"""What is kept for a user in Redis, and the user's record read together with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError

from stream.contracts import keys
from stream.contracts.keys import Position
from stream.features import UserState
from stream.kept import MAX_KEPT, Kept
from stream.records import (
    LAST_OFFSET,
    UserRecord,
    pack_last_offset,
    unpack_state,
    unpack_user,
)
from stream.redis_connection import TIMEOUT, RedisConnection

# KEYS: live, users, kept. ARGV: user id, name or '' for none.
_READ: Final = """
local kept = ARGV[2] ~= '' and redis.call('HGET', KEYS[3], ARGV[2])
if kept then
  local now = redis.call('TIME')
  kept = struct.unpack('<d', kept) > now[1] + now[2] / 1e6 and string.sub(kept, 9)
end
return {redis.call('GET', KEYS[1]), redis.call('HGET', KEYS[2], ARGV[1]), kept}
"""

# KEYS: live, users. ARGV: user ids, in one string: that is packed faster than each alone.
_READ_MANY: Final = """
local ids = {}
for id in string.gmatch(ARGV[1], '%d+') do
  ids[#ids + 1] = id
end
return {redis.call('GET', KEYS[1]), unpack(redis.call('HMGET', KEYS[2], unpack(ids)))}
"""

# KEYS: live, users, kept.
# ARGV: user id, "generation|topic|" as `live` begins, last offset as in the record or '' without
# one, name, value, seconds.
# The record is not taken apart: what has another layout has no user who could be answered.
_KEEP: Final = f"""
local live = redis.call('GET', KEYS[1]) or ''
local record = redis.call('HGET', KEYS[2], ARGV[1]) or ''
if string.sub(live, 1, #ARGV[2]) ~= ARGV[2]
  or string.sub(record, {LAST_OFFSET.start + 1}, {LAST_OFFSET.stop}) ~= ARGV[3]
then
  return 0
end
if redis.call('HEXISTS', KEYS[3], ARGV[4]) == 0 then
  local names = redis.call('HKEYS', KEYS[3])
  if #names >= {MAX_KEPT} then
    table.sort(names)
    redis.call('HDEL', KEYS[3], names[1])
  end
end
local now = redis.call('TIME')
local expires = struct.pack('<d', now[1] + now[2] / 1e6 + ARGV[6])
redis.call('HSET', KEYS[3], ARGV[4], expires .. ARGV[5])
local ms = math.ceil(ARGV[6] * 1000)
if redis.call('PTTL', KEYS[3]) < ms then
  redis.call('PEXPIRE', KEYS[3], ms)
end
return 1
"""


class RedisKept(RedisConnection):
    """`KeepingStore` on one Redis."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        super().__init__(url, timeout)
        self._read = self._redis.register_script(_READ)
        self._keep = self._redis.register_script(_KEEP)
        self._generations: dict[int, int] = {}  # the live ones as last seen

    async def read_user(
        self, partition: int, user_id: int
    ) -> tuple[Position | None, UserRecord | None]:
        position, record, _ = await self.read_user_with(partition, user_id, b"")
        return position, record

    async def read_user_with(
        self, partition: int, user_id: int, name: bytes
    ) -> tuple[Position | None, UserRecord | None, bytes | None]:
        async with self._bounded():
            while True:
                generation = self._generations.get(partition, 0)
                live, value, kept = await self._read(
                    keys=(
                        keys.live(partition),
                        keys.users(partition, generation),
                        keys.kept(partition, user_id),
                    ),
                    args=(user_id, name),
                )
                if live is None:
                    return None, None, kept
                position = Position.decode(live)
                if position.generation == generation:
                    return position, None if value is None else unpack_user(value), kept
                self._generations[partition] = position.generation

    async def read_users(
        self, users: Mapping[int, Sequence[int]]
    ) -> dict[int, tuple[Position | None, dict[int, UserState]]]:
        found: dict[int, tuple[Position | None, dict[int, UserState]]] = {}
        async with self._bounded():
            while asked := {
                partition: self._generations.get(partition, 0)
                for partition in users
                if partition not in found
            }:
                pipeline = self._redis.pipeline(transaction=False)
                for partition, generation in asked.items():
                    of = keys.live(partition), keys.users(partition, generation)
                    # `Script` would ask first whether Redis has it: another round trip.
                    ids = " ".join(map(str, users[partition]))
                    pipeline.eval(_READ_MANY, len(of), *of, ids)
                answers: list[Any] = await pipeline.execute()
                for partition, (live, *values) in zip(asked, answers, strict=True):
                    if live is None:
                        found[partition] = None, {}
                        continue
                    position = Position.decode(live)
                    if position.generation == asked[partition]:
                        found[partition] = position, _states(users[partition], values)
                    self._generations[partition] = position.generation
        return found

    async def keep(self, things: Sequence[Kept]) -> list[bool]:
        async with self._bounded():
            try:
                kept = await self._keep_all(things)
            except NoScriptError:
                await self._redis.script_load(_KEEP)
                kept = await self._keep_all(things)
        return [taken == 1 for taken in kept]

    async def drop_kept(self, partition: int, user_id: int) -> None:
        async with self._bounded():
            await self._redis.unlink(keys.kept(partition, user_id))

    async def kept(self, partition: int, user_id: int) -> int:
        async with self._bounded():
            return int(await self._redis.hlen(keys.kept(partition, user_id)))

    async def _keep_all(self, things: Sequence[Kept]) -> list[Any]:
        """All in one round trip; `Script` would ask each time whether Redis has the script."""
        pipeline = self._redis.pipeline(transaction=False)
        for partition, user_id, of, name, value, seconds in things:
            last = pack_last_offset(of.last_offset) if of.last_offset >= 0 else b""
            pipeline.evalsha(
                self._keep.sha,
                3,
                keys.live(partition),
                keys.users(partition, of.generation),
                keys.kept(partition, user_id),
                user_id,
                f"{of.generation}|{of.topic_id}|",
                last,
                name,
                value,
                seconds,
            )
        kept: list[Any] = await pipeline.execute()
        return kept


def _states(users: Iterable[int], values: Iterable[bytes | None]) -> dict[int, UserState]:
    pairs = zip(users, values, strict=True)
    return {user: unpack_state(value) for user, value in pairs if value is not None}
