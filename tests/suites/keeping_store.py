"""What every KeepingStore does, in memory or in Redis."""

from dataclasses import replace

from stream.contracts.keys import Position
from stream.features import UserState
from stream.kept import MAX_KEPT, Kept, UserVersion
from stream.records import UserRecord
from stream.store import Batch, StateStore
from tests.suites.state_store import batch_of

PARTITION = 3
USER = 7
HOUR = 3_600.0


def of(last_offset: int, position: Position) -> UserVersion:
    return UserVersion(position.generation, position.topic_id, last_offset)


def thing(
    version: UserVersion,
    name: bytes = b"a",
    value: bytes = b"list",
    user: int = USER,
    seconds: float = HOUR,
) -> Kept:
    return Kept(PARTITION, user, version, name, value, seconds)


class KeepingStoreSuite:
    """Subclasses give a fixture `store`: empty, and closed after the test."""

    async def begin(self, store: StateStore, *users: int) -> Position:
        """Commit one rating of each."""
        batch = batch_of(*((user, 1, 4.0) for user in users or (USER,)))
        position = Position(await store.new_generation(PARTITION), "topic", 10)
        assert await store.commit(PARTITION, None, position, batch) == position
        return position

    async def version(self, store: StateStore, user: int = USER) -> UserVersion:
        position, record = await store.read_user(PARTITION, user)
        assert position is not None
        return UserVersion.of(position, record)

    async def read(self, store: StateStore, name: bytes = b"a", user: int = USER) -> bytes | None:
        position, record, kept = await store.read_user_with(PARTITION, user, name)
        alone = await store.read_user(PARTITION, user)
        assert (position, record and record.state) == (alone[0], alone[1] and alone[1].state)
        return kept

    async def test_what_is_kept_is_read_with_the_record(self, store: StateStore) -> None:
        await self.begin(store)
        assert await self.read(store) is None
        assert await store.keep([thing(await self.version(store), value=bytes(range(256)))]) == [
            True
        ]
        assert await self.read(store) == bytes(range(256))
        assert await self.read(store, b"b") is None
        assert await self.read(store, user=8) is None
        assert await store.kept(PARTITION, USER) == 1

    async def test_somebody_without_state_may_be_kept_things_too(self, store: StateStore) -> None:
        position = await self.begin(store)
        nobody = 2**53 - 1
        assert await self.version(store, nobody) == of(-1, position)
        assert await store.keep([thing(of(-1, position), user=nobody)]) == [True]
        assert await self.read(store, user=nobody) == b"list"

    async def test_the_same_name_is_replaced(self, store: StateStore) -> None:
        await self.begin(store)
        version = await self.version(store)
        await store.keep([thing(version), thing(version, value=b"later")])
        assert await self.read(store) == b"later"
        assert await store.kept(PARTITION, USER) == 1

    async def test_nothing_is_kept_where_nothing_is_live(self, store: StateStore) -> None:
        assert await store.keep([thing(UserVersion(1, "topic", -1))]) == [False]
        assert await store.read_user_with(PARTITION, USER, b"a") == (None, None, None)
        assert await store.kept(PARTITION, USER) == 0

    async def test_nothing_is_kept_of_a_state_that_is_another_one_by_now(
        self, store: StateStore
    ) -> None:
        position = await self.begin(store)
        version = await self.version(store)
        others = [
            version._replace(last_offset=version.last_offset + 1),
            version._replace(last_offset=-1),
            version._replace(generation=version.generation + 1),
            version._replace(topic_id="topi"),
            version._replace(topic_id="topic2"),
        ]
        assert await store.keep([thing(other) for other in others]) == [False] * 5
        later = replace(position, next_offset=11)
        batch = batch_of((8, 1, 3.0), (8, 2, 3.0))  # somebody else: this state is the same one
        await store.commit(PARTITION, position, later, batch)
        assert await store.keep([thing(version), thing(version, user=8)]) == [True, False]

    async def test_another_generation_is_another_state(self, store: StateStore) -> None:
        """Also while the one before is still there."""
        position = await self.begin(store)
        version = await self.version(store)
        batch = batch_of((USER, 1, 4.0))
        number = await store.new_generation(PARTITION)
        await store.write(PARTITION, number, batch)
        switched = replace(position, generation=number)
        assert await store.commit(PARTITION, position, switched, Batch()) == switched
        assert await store.keep([thing(version)]) == [False]
        assert await store.keep([thing(await self.version(store))]) == [True]

    async def test_what_is_kept_expires(self, store: StateStore) -> None:
        await self.begin(store)
        version = await self.version(store)
        await store.keep([thing(version), thing(version, b"b", seconds=0.0)])
        assert (await self.read(store), await self.read(store, b"b")) == (b"list", None)

    async def test_of_too_many_the_least_names_go(self, store: StateStore) -> None:
        await self.begin(store)
        version = await self.version(store)
        names = [b"%03d" % number for number in range(MAX_KEPT + 2)]
        for name in names:
            await store.keep([thing(version, name)])
        await store.keep([thing(version, names[-1])])  # it is there, so nothing has to go
        assert await store.kept(PARTITION, USER) == MAX_KEPT
        kept = [name for name in names if await self.read(store, name)]
        assert kept == names[2:]

    async def test_dropping_erases_all_of_one_user(self, store: StateStore) -> None:
        await self.begin(store, USER, 8)
        version = await self.version(store)
        await store.keep([thing(version), thing(version, b"b")])
        await store.keep([thing(await self.version(store, 8), user=8)])
        for _ in range(2):  # again it is harmless
            await store.drop_kept(PARTITION, USER)
            assert await store.kept(PARTITION, USER) == 0
        assert await self.read(store) is None
        assert await self.read(store, user=8) == b"list"

    async def test_the_commit_that_erases_a_user_erases_what_was_kept(
        self, store: StateStore
    ) -> None:
        position = await self.begin(store, USER, 8)
        version, other = await self.version(store), await self.version(store, 8)
        await store.keep([thing(version), thing(other, user=8)])
        after = replace(position, next_offset=11)
        await store.commit(PARTITION, position, after, Batch({USER: UserRecord(UserState())}))
        assert await store.kept(PARTITION, USER) == 0
        assert await store.keep([thing(version)]) == [False]
        assert await self.read(store, user=8) == b"list"

    async def test_who_comes_back_has_nothing_of_before(self, store: StateStore) -> None:
        """A list that was made before the erasure, and is to be kept only now."""
        position = await self.begin(store)
        before = await self.version(store)
        for state in (UserState(), batch_of((USER, 1, 4.0)).users[USER].state):
            after = replace(position, next_offset=position.next_offset + 1)
            state.last_offset = position.next_offset
            batch = Batch({USER: UserRecord(state)})
            assert await store.commit(PARTITION, position, after, batch) == after
            assert await store.keep([thing(before)]) == [False]
            position = after
        assert await store.kept(PARTITION, USER) == 0
