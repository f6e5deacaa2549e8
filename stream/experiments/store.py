"""The seam between what is counted of experiments and where it is kept, and Redis behind it.

A partition's people and sums are committed together with how far either topic was read: compared
and set, as the state is, so that every event counts once whatever is delivered twice. What is sent
again because its answer was lost finds the new position, and changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from stream.contracts import keys
from stream.contracts.events import encode
from stream.contracts.experiments import ExperimentEvent, decode_experiment
from stream.experiments.outcomes import Key, Person, Sums
from stream.redis_connection import RedisConnection

# KEYS  1 position   2 people   3 sums
# ARGV  1 the position computed from, '' for none   2 the position after it
#       3 how many people follow, each as id and record; one whose record is '' is erased
#       then the sums, each as field and what is added to it
# Returns the position that is stored afterwards.
_COMMIT: Final = """
local stored = redis.call('GET', KEYS[1])
if (stored or '') ~= ARGV[1] then return stored end
for key, kind in pairs({ [KEYS[2]] = 'hash', [KEYS[3]] = 'hash' }) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found)
  end
end
local last = 3 + 2 * tonumber(ARGV[3])
for at = 4, last, 2 do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[at])
  else
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  end
end
for at = last + 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[at], ARGV[at + 1]) end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
"""

_people = msgspec.msgpack.Decoder(Person)
_NOTHING: Final = Person()


class Read(NamedTuple):
    """How far a topic was read: the first offset not counted yet, of which topic."""

    topic_id: str
    next_offset: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition was read, by topic name."""

    read: Mapping[str, Read] = field(default_factory=dict)

    def after(self, topic: str, read: Read) -> "Progress":
        return Progress({**self.read, topic: read})

    def reaches(self, topic: str, read: Read | None) -> bool:
        """Whether a topic was read at least that far."""
        if read is None:
            return True
        now = self.read.get(topic)
        if now is None or now.topic_id != read.topic_id:
            return False
        return now.next_offset >= read.next_offset


class OutcomeStore(Protocol):
    """Everything raises StoreUnavailable where the store does not answer in time."""

    async def load(
        self, partition: int, users: Iterable[int]
    ) -> tuple[Progress, dict[int, Person]]:
        """How far a partition was read, and these of its people, of one instant."""
        ...

    async def commit(
        self,
        partition: int,
        expected: Progress,
        new: Progress,
        people: Mapping[int, Person],
        sums: Sums,
    ) -> Progress:
        """Write all and make `new` the progress, if it is `expected`; else nothing.

        Returns what is stored then.
        """
        ...


class ExperimentStore(Protocol):
    """What the API reads. Everything raises StoreUnavailable likewise."""

    async def definitions(self) -> list[ExperimentEvent]:
        """All experiments there are."""
        ...

    async def sums(self, experiment: str, round_: int) -> Sums:
        """Those of the variants of one round, over all partitions."""
        ...

    async def close(self) -> None: ...


class RedisExperiments(RedisConnection):
    """Both on one Redis."""

    def __init__(self, url: str, timeout: float | None = None) -> None:
        """Does not connect yet. `timeout`: seconds for one call, retries included."""
        super().__init__(url, *(() if timeout is None else (timeout,)))
        self._commit = self._redis.register_script(_COMMIT)

    async def load(
        self, partition: int, users: Iterable[int]
    ) -> tuple[Progress, dict[int, Person]]:
        wanted = list(users)
        async with self._bounded():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.get(keys.outcome_position(partition))
            for user in wanted:
                pipeline.hget(keys.outcomes(partition), user)
            stored, *values = await pipeline.execute()
        found = zip(wanted, values, strict=True)
        people = {user: _people.decode(value) for user, value in found if value is not None}
        return _decoded(stored), people

    async def commit(
        self,
        partition: int,
        expected: Progress,
        new: Progress,
        people: Mapping[int, Person],
        sums: Sums,
    ) -> Progress:
        arguments: list[Any] = [_encoded(expected), _encoded(new), len(people)]
        for user, person in people.items():
            arguments += (user, b"" if person == _NOTHING else msgspec.msgpack.encode(person))
        for (key, a, b), more in sums.items():
            arguments += (f"{key.experiment}|{key.round}|{key.variant}|{a}|{b}", more)
        async with self._bounded():
            stored = await self._commit(
                keys=(
                    keys.outcome_position(partition),
                    keys.outcomes(partition),
                    keys.outcome_sums(partition),
                ),
                args=arguments,
            )
        return _decoded(stored)

    async def put_partitions(self, partitions: int) -> None:
        """Tell readers how many partitions `exposures` and `feedback` have."""
        async with self._bounded():
            await self._redis.set(keys.OUTCOME_PARTITIONS, partitions)

    async def put(self, events: Collection[ExperimentEvent]) -> None:
        """Add definitions or replace them; repeating it changes nothing."""
        if events:
            encoded = {event.name: encode(event) for event in events}
            async with self._bounded():
                await self._redis.hset(keys.EXPERIMENTS, mapping=encoded)

    async def has_definitions(self) -> bool:
        async with self._bounded():
            return bool(await self._redis.exists(keys.EXPERIMENTS))

    async def definitions(self) -> list[ExperimentEvent]:
        async with self._bounded():
            values = await self._redis.hvals(keys.EXPERIMENTS)
        return sorted(map(decode_experiment, values), key=lambda event: event.name)

    async def sums(self, experiment: str, round_: int) -> Sums:
        begins, sums = f"{experiment}|{round_}|".encode(), Sums()
        async with self._bounded():
            for partition in range(await self._partitions()):
                stored = await self._redis.hgetall(keys.outcome_sums(partition))
                for name, value in stored.items():
                    if name.startswith(begins):
                        _, _, variant, a, b = name.decode().split("|")
                        sums[Key(experiment, round_, variant), int(a), int(b)] += int(value)
        return sums

    async def holding(self, user_id: int) -> list[int]:
        """The partitions with a record of a person."""
        async with self._bounded():
            return [
                partition
                for partition in range(await self._partitions())
                if await self._redis.hexists(keys.outcomes(partition), user_id)
            ]

    async def _partitions(self) -> int:
        return int(await self._redis.get(keys.OUTCOME_PARTITIONS) or 0)


def _encoded(progress: Progress) -> bytes:
    return msgspec.msgpack.encode(progress.read, order="sorted") if progress.read else b""


def _decoded(value: bytes | None) -> Progress:
    return Progress(msgspec.msgpack.decode(value, type=dict[str, Read]) if value else {})
