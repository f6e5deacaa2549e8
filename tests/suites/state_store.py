"""What every StateStore does, in memory or in Redis."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from stream.coldstart import ItemVectors
from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.keys import Position
from stream.features import UserState
from stream.records import UserRecord
from stream.store import Batch, Commit, StateStore, Wanted
from tests.stream.build import folded, rating

ITEMS = ItemVectors("v1", np.array([1, 2, 3], np.uint32), np.eye(3, 4, dtype=np.float32))


def batch_of(*ratings: tuple[int, int, float], items: ItemVectors = ITEMS) -> Batch:
    """What a fold of these (user, movie, stars) writes."""
    writes = folded(rating(user, movie, stars) for user, movie, stars in ratings)
    vectors = items.pool(list(writes.users.values()))
    users = zip(writes.users.items(), vectors, strict=True)
    return Batch(
        {user: UserRecord(state, vector) for (user, state), vector in users}, writes.movies
    )


def movie_event(movie_id: int, title: str) -> MovieEvent:
    return MovieEvent(
        event_id=f"movie-{movie_id}",
        movie_id=movie_id,
        title=title,
        genres=("Drama",),
        year=1994,
        event_time=1_000_000_000_000,
        produced_time=1_000_000_000_000,
        source="replay",
    )


async def users_of(store: StateStore, partition: int, generation: int) -> dict[int, UserState]:
    return {
        user: record.state
        async for chunk in store.users(partition, generation)
        for user, record in chunk.items()
    }


async def heats_of(
    store: StateStore, partition: int, generation: int, since: int | None = None
) -> dict[int, tuple[float, ...]]:
    found: dict[int, tuple[float, ...]] = {}
    async for movies, heats, _ in store.heats(partition, generation, since):
        found |= zip(movies.tolist(), map(tuple, heats.tolist()), strict=True)
    return found


class StateStoreSuite:
    """Subclasses give a fixture `store`: empty, and closed after the test."""

    async def first(self, store: StateStore, batch: Batch, partition: int = 3) -> Position:
        """Commit a partition's first batch."""
        new = Position(await store.new_generation(partition), "topic", 10)
        assert await store.commit(partition, None, new, batch) == new
        return new

    async def test_an_empty_store_has_nothing(self, store: StateStore) -> None:
        assert await store.position(0) is None
        assert await store.load(0, 1, [1], [1]) == (None, {}, {})
        assert await store.load(0, 1, [], []) == (None, {}, {})
        assert await store.read_user(0, 1) == (None, None)
        assert await users_of(store, 0, 1) == {}
        assert await store.movies(0, 1) == {}
        assert await heats_of(store, 0, 1) == await heats_of(store, 0, 1, since=5) == {}
        assert await store.catalogue(0) is None
        assert await store.model() is None
        assert await store.partitions() is None
        await store.ping()

    async def test_a_commit_is_read_back_whole(self, store: StateStore) -> None:
        batch = batch_of((1, 1, 4.0), (1, 2, 2.5), (2**53 - 1, 2**32 - 1, 5.0))
        position = await self.first(store, batch)
        states = {user: record.state for user, record in batch.users.items()}

        assert await store.position(3) == position
        assert await store.load(3, position.generation, [1, 2**53 - 1, 7], [1, 2**32 - 1, 7]) == (
            position,
            states,
            {movie: batch.movies[movie] for movie in (1, 2**32 - 1)},
        )
        assert await users_of(store, 3, position.generation) == states
        assert await store.movies(3, position.generation) == batch.movies

        read_at, record = await store.read_user(3, 1)
        assert read_at == position
        assert record is not None
        assert record.state == states[1]
        assert record.cold_start is not None
        assert record.cold_start.tag == ITEMS.tag
        expected = batch.users[1].cold_start
        assert expected is not None
        assert np.array_equal(record.cold_start.vector, expected.vector)

        stranger = await store.read_user(3, 2**53 - 1)
        assert stranger[1] is not None
        assert stranger[1].cold_start is None  # no model knows the movie
        assert await store.read_user(3, 7) == (position, None)

    async def test_of_very_many_asked_for_those_with_state_are_loaded(
        self, store: StateStore
    ) -> None:
        batch = batch_of(*((id_, id_, 4.0) for id_ in range(1, 9_001, 2)))
        position = await self.first(store, batch)
        asked = range(1, 9_001)
        _, users, movies = await store.load(3, position.generation, asked, reversed(asked))
        assert users == {user: record.state for user, record in batch.users.items()}
        assert movies == batch.movies

    async def test_of_commits_sent_together_each_takes_or_is_refused_on_its_own(
        self, store: StateStore
    ) -> None:
        before = {at: await self.first(store, batch_of((at, 1, 3.0)), at) for at in (1, 2, 3)}
        after = {at: replace(before[at], next_offset=20) for at in before}
        batches = {at: batch_of((at, 1, 4.0), (9, 2, 1.0)) for at in before}
        stale = replace(before[2], next_offset=5)
        assert await store.commit_together(
            [
                Commit(1, before[1], after[1], batches[1]),
                Commit(2, stale, after[2], batches[2]),
                Commit(3, before[3], after[3], batches[3]),
            ]
        ) == [after[1], before[2], after[3]]
        asked = [Wanted(at, before[at].generation, [at, 9], [1, 2, 3]) for at in (3, 2, 1)]
        loaded = await store.load_together(asked)
        assert [position for position, _, _ in loaded] == [after[3], before[2], after[1]]
        assert [set(users) for _, users, _ in loaded] == [{3, 9}, {2}, {1, 9}]
        assert [set(movies) for _, _, movies in loaded] == [{1, 2}, {1}, {1, 2}]
        assert loaded == [await store.load(*one) for one in asked]
        assert await store.load_together([]) == await store.commit_together([]) == []

    async def test_many_users_are_read_as_each_is(self, store: StateStore) -> None:
        """Also right after a switch to another generation, and of a partition without any."""
        await self.first(store, batch_of((1, 1, 4.0), (2, 2, 3.0)))
        for _ in range(2):
            live = await store.position(3)
            found = await store.read_users({3: [2, 7, 1, 5], 0: [9]})
            assert found[0] == (None, {})
            assert found[3][0] == live
            alone = {user: (await store.read_user(3, user))[1] for user in (1, 2, 5, 7)}
            assert found[3][1] == {
                user: one.state for user, one in alone.items() if one is not None
            }
            assert len(found[3][1]) == 2
            aside = await store.new_generation(3)
            await store.write(3, aside, batch_of((1, 9, 1.0), (5, 5, 5.0)))
            switched = Position(aside, "topic", 30)
            assert await store.commit(3, live, switched, Batch()) == switched

    async def test_a_commit_replaces_what_it_names_and_nothing_else(
        self, store: StateStore
    ) -> None:
        before = batch_of((1, 1, 4.0), (2, 2, 3.0))
        first = await self.first(store, before)
        after = batch_of((1, 1, 1.0), (1, 3, 5.0))
        second = Position(first.generation, "topic", 12)
        assert await store.commit(3, first, second, after) == second

        users = await users_of(store, 3, first.generation)
        assert users == {1: after.users[1].state, 2: before.users[2].state}
        assert await store.movies(3, first.generation) == {**before.movies, **after.movies}

    async def test_users_without_events_are_erased(self, store: StateStore) -> None:
        first = await self.first(store, batch_of((1, 1, 4.0), (2, 2, 2.5)))
        gone = Batch({1: UserRecord(UserState()), 9: UserRecord(UserState())})
        second = replace(first, next_offset=12)
        assert await store.commit(3, first, second, gone) == second
        assert await store.read_user(3, 1) == (second, None)
        assert (await users_of(store, 3, first.generation)).keys() == {2}

        aside = await store.new_generation(3)
        await store.write(3, aside, batch_of((1, 1, 4.0), (2, 2, 2.5)))
        await store.write(3, aside, gone)
        assert (await users_of(store, 3, aside)).keys() == {2}

    async def test_a_commit_of_nothing_moves_the_position(self, store: StateStore) -> None:
        first = await self.first(store, Batch())
        second = Position(first.generation, "topic", 11)
        assert await store.commit(3, first, second, Batch()) == second
        assert await store.position(3) == second

    @pytest.mark.parametrize(
        "claimed",
        [None, Position(1, "topic", 9), Position(2, "topic", 10), Position(1, "other", 10)],
    )
    async def test_a_commit_from_another_position_changes_nothing(
        self, store: StateStore, claimed: Position | None
    ) -> None:
        first = await self.first(store, batch_of((1, 1, 4.0)))
        late = Position(1, "topic", 20)
        assert await store.commit(3, claimed, late, batch_of((1, 1, 0.5), (9, 9, 0.5))) == first
        assert await store.position(3) == first
        assert set(await users_of(store, 3, 1)) == {1}
        assert (await store.movies(3, 1))[1].mean == 4.0

    async def test_a_commit_onto_nothing_that_expects_something_is_refused(
        self, store: StateStore
    ) -> None:
        expected = Position(1, "topic", 9)
        late = Position(1, "topic", 20)
        assert await store.commit(3, expected, late, batch_of((1, 1, 0.5))) is None
        assert await store.position(3) is None
        assert await users_of(store, 3, 1) == {}

    async def test_a_commit_sent_again_is_a_success_and_no_repetition(
        self, store: StateStore
    ) -> None:
        first = await self.first(store, batch_of((1, 1, 4.0)))
        second = Position(first.generation, "topic", 12)
        for _ in range(2):
            assert await store.commit(3, first, second, batch_of((1, 1, 2.0))) == second
        assert (await store.movies(3, first.generation))[1] == batch_of((1, 1, 2.0)).movies[1]

    async def test_of_two_commits_from_one_position_one_takes(self, store: StateStore) -> None:
        first = await self.first(store, Batch())
        rivals = [Position(first.generation, "topic", offset) for offset in range(11, 21)]
        stored = await asyncio.gather(
            *(store.commit(3, first, new, batch_of((new.next_offset, 1, 4.0))) for new in rivals)
        )
        (winner,) = set(stored)
        assert winner in rivals
        assert winner is not None
        assert set(await users_of(store, 3, first.generation)) == {winner.next_offset}

    async def test_partitions_do_not_mix(self, store: StateStore) -> None:
        one = await self.first(store, batch_of((1, 1, 4.0)), partition=1)
        await self.first(store, batch_of((2, 2, 3.0)), partition=11)
        assert set(await users_of(store, 1, one.generation)) == {1}
        assert set(await store.movies(1, one.generation)) == {1}
        assert await store.position(2) is None

    async def test_a_large_commit_is_whole(self, store: StateStore) -> None:
        """Larger than one command's arguments may be."""
        batch = batch_of(*((user, user, 3.0) for user in range(1, 6001)))
        position = await self.first(store, batch)
        states = {user: record.state for user, record in batch.users.items()}
        assert await users_of(store, 3, position.generation) == states
        assert (await store.snapshot(3, position.generation, ())).movies == batch.movies
        changed = await heats_of(store, 3, position.generation, since=position.next_offset - 1)
        assert changed == {movie: state.heats for movie, state in batch.movies.items()}

    async def test_generation_numbers_rise(self, store: StateStore) -> None:
        numbers = [await store.new_generation(3) for _ in range(3)]
        assert numbers == [1, 2, 3]
        assert await store.new_generation(4) == 1

    async def test_a_generation_is_written_aside_then_switched_to(self, store: StateStore) -> None:
        old = await self.first(store, batch_of((1, 1, 4.0), (2, 2, 4.0)))
        number = await store.new_generation(3)
        aside = batch_of((5, 5, 5.0))
        await store.write(3, number, aside)
        assert (await store.read_user(3, 1))[1] is not None
        assert await store.read_user(3, 5) == (old, None)

        new = Position(number, "topic", 30)
        assert await store.commit(3, old, new, Batch()) == new
        assert await store.read_user(3, 1) == (new, None)
        read_at, record = await store.read_user(3, 5)
        assert read_at == new
        assert record is not None
        assert record.state == aside.users[5].state
        assert (await heats_of(store, 3, number)).keys() == {5}
        later = Position(number, "topic", 31)
        assert await store.commit(3, new, later, batch_of((6, 6, 5.0))) == later
        assert (await heats_of(store, 3, number, since=new.next_offset)).keys() == {6}

        await store.drop_before(3, number)
        assert await users_of(store, 3, old.generation) == {}
        assert await store.movies(3, old.generation) == {}
        assert set(await users_of(store, 3, number)) == {5, 6}

    async def test_every_generation_that_holds_a_user_is_named(self, store: StateStore) -> None:
        assert await store.holding(3, 1) == []
        first = await self.first(store, batch_of((1, 1, 4.0), (2, 1, 3.0)))
        number = await store.new_generation(3)
        await store.write(3, number, batch_of((1, 1, 4.0)))
        assert await store.holding(3, 1) == [first.generation, number]
        assert await store.holding(3, 2) == [first.generation]
        assert await store.holding(3, 7) == await store.holding(0, 1) == []
        await store.drop_before(3, number)
        assert await store.holding(3, 1) == [number]

    async def test_a_large_generation_is_written_whole(self, store: StateStore) -> None:
        number = await store.new_generation(3)
        batch = batch_of(*((user, user, 3.0) for user in range(1, 2502)))
        await store.write(3, number, batch)
        states = {user: record.state for user, record in batch.users.items()}
        assert await users_of(store, 3, number) == states
        assert await store.movies(3, number) == batch.movies

    async def test_a_switch_to_a_generation_nobody_has_is_refused(self, store: StateStore) -> None:
        """So it is where the store was emptied under a rebuild: part of what it wrote is gone."""
        assert await store.commit(3, None, Position(5, "topic", 10), Batch()) is None
        old = await self.first(store, Batch())
        assert await store.commit(3, old, Position(5, "topic", 10), Batch()) == old

    async def test_a_snapshot_is_of_one_instant(self, store: StateStore) -> None:
        batch = batch_of((1, 1, 4.0), (2, 1, 3.0), (2, 2, 5.0))
        position = await self.first(store, batch)
        snapshot = await store.snapshot(3, position.generation, [2, 7])
        assert snapshot.position == position
        assert {user: record.state for user, record in snapshot.users.items()} == {
            2: batch.users[2].state
        }
        assert snapshot.movies == batch.movies
        assert (await store.snapshot(3, position.generation, ())).users == {}

    async def test_the_heats_of_all_movies(self, store: StateStore) -> None:
        """Also of more than one command's worth."""
        ratings = [(user, user % 2_400 + 1, 3.0) for user in range(1, 3_000)]
        batch = batch_of(*ratings)
        position = await self.first(store, batch)
        assert await heats_of(store, 3, position.generation) == {
            movie: state.heats for movie, state in batch.movies.items()
        }
        assert await heats_of(store, 3, position.generation + 1) == {}
        assert await heats_of(store, 2, position.generation) == {}

    async def test_the_heats_of_what_later_commits_wrote(self, store: StateStore) -> None:
        many = [(user, user + 10, 3.0) for user in range(1, 2_500)]
        first = await self.first(store, batch_of((1, 1, 4.0), (2, 2, 4.0), (3, 3, 4.0)))
        second = replace(first, next_offset=12)
        third = replace(first, next_offset=3_000)
        assert await store.commit(3, first, second, batch_of((4, 2, 4.0), (5, 2, 4.0))) == second
        after = batch_of((6, 3, 1.0), *many)
        assert await store.commit(3, second, third, after) == third

        generation = first.generation
        expected = {movie: state.heats for movie, state in after.movies.items()}
        assert await heats_of(store, 3, generation, since=second.next_offset) == expected
        two = batch_of((4, 2, 4.0), (5, 2, 4.0)).movies[2].heats
        assert await heats_of(store, 3, generation, since=first.next_offset) == expected | {2: two}
        assert await heats_of(store, 3, generation, since=third.next_offset) == {}
        assert (await heats_of(store, 3, generation)).keys() == expected.keys() | {1, 2}

    async def test_a_refused_commit_heats_nothing(self, store: StateStore) -> None:
        first = await self.first(store, batch_of((1, 1, 4.0)))
        behind, late = replace(first, next_offset=5), replace(first, next_offset=20)
        assert await store.commit(3, behind, late, batch_of((9, 9, 4.0))) == first
        assert await heats_of(store, 3, first.generation, since=first.next_offset) == {}

    async def test_the_catalogue_tells_what_changed(self, store: StateStore) -> None:
        await store.put_movies([movie_event(1, "Alpha"), movie_event(2, "Beta")])
        first = await store.catalogue(0)
        assert first is not None
        version, movies, whole = first
        assert whole
        assert {movie: event.title for movie, event in movies.items()} == {1: "Alpha", 2: "Beta"}

        await store.put_movies([movie_event(2, "Beta")])
        await store.put_movies([])
        assert await store.catalogue(version) is None

        await store.put_movies([movie_event(2, "Beta, restored")])
        second = await store.catalogue(version)
        assert second is not None
        assert second.version > version
        assert not second.whole
        assert {id_: it.title for id_, it in second.movies.items()} == {2: "Beta, restored"}
        assert await store.catalogue(second.version) is None

        await store.put_movies([movie_event(1, "Alpha"), movie_event(3, "Gamma")])
        third = await store.catalogue(second.version)
        both = await store.catalogue(version)
        assert third is not None
        assert both is not None
        assert (third.movies.keys(), third.whole) == ({3}, False)
        assert (both.movies.keys(), both.whole) == ({2, 3}, False)
        for unknown in (0, -1, version - 10, third.version + 10):
            everything = await store.catalogue(unknown)
            assert everything is not None
            assert (everything.movies.keys(), everything.whole) == ({1, 2, 3}, True)

    async def test_many_changes_of_the_catalogue_are_told(self, store: StateStore) -> None:
        """More than one command's worth."""
        await store.put_movies([movie_event(1, "Alpha")])
        first = await store.catalogue(0)
        assert first is not None
        await store.put_movies(movie_event(id_, "Many") for id_ in range(2, 2_502))
        second = await store.catalogue(first.version)
        assert second is not None
        assert not second.whole
        assert second.movies.keys() == set(range(2, 2_502))

    async def test_a_reader_and_writers_of_the_catalogue_agree(self, store: StateStore) -> None:
        """A change between the version and the movies is told by the next look."""
        version, seen = 0, dict[int, MovieEvent]()
        for first in range(1, 60, 6):
            writers = [
                store.put_movies([movie_event(id_, "New"), movie_event(id_ - 5, "Again")])
                for id_ in range(first + 5, first + 11)
            ]
            told = [(await asyncio.gather(*writers[:3], store.catalogue(version), *writers[3:]))[3]]
            version = told[0].version if told[0] else version
            for changed in (*told, await store.catalogue(version)):
                if changed is not None:
                    version, movies, whole = changed
                    seen = movies if whole else seen | movies
        everything = await store.catalogue(0)
        assert everything is not None
        assert seen == everything.movies

    async def test_the_model_to_serve_is_the_last_one_put(self, store: StateStore) -> None:
        for version in ("v1", "v2"):
            await store.put_model(
                ModelEvent(
                    event_id=version,
                    version=version,
                    artifact=f"artifacts/{version}",
                    collection=f"movies-{version}",
                    event_time=1_000_000_000_000,
                    produced_time=1_000_000_000_000,
                )
            )
        model = await store.model()
        assert model is not None
        assert model.version == "v2"

    async def test_the_number_of_partitions(self, store: StateStore) -> None:
        await store.put_partitions(8)
        assert await store.partitions() == 8
