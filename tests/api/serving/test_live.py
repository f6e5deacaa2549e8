"""Heats in memory: whatever happens to the store, they are what it holds after the next look."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from api.lists.ranking import HOTTEST, trends
from api.serving.live import LiveHeats, LiveMovies
from stream.contracts.errors import StoreUnavailable
from stream.contracts.keys import Position
from stream.features import HEATS, MovieState, merge
from stream.records import MovieHeats
from stream.store import Batch
from tests.api.conftest import items
from tests.fakes import MemoryStore
from tests.stream.build import folded, rating

PARTITIONS = 3


class CountingStore(MemoryStore):
    """Counts the movies read, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.failing = False

    async def heats(
        self, partition: int, generation: int, since: int | None = None
    ) -> AsyncIterator[MovieHeats]:
        async for chunk in super().heats(partition, generation, since):
            if self.failing:
                raise StoreUnavailable("the store is told to fail")
            self.read += len(chunk.movies)
            yield chunk


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


async def rate(store: MemoryStore, partition: int, *movies: int) -> None:
    """One more rating of each."""
    before = await store.position(partition)
    generation = before.generation if before else await store.new_generation(partition)
    _, _, states = await store.load(partition, generation, (), movies)
    offset = before.next_offset if before else 0
    after = Position(generation, "topic", offset + len(movies))
    written = {
        movie: merge([states.get(movie, MovieState()), one.movies[movie]])
        for place, movie in enumerate(movies)
        for one in [folded([rating(1_000 + offset + place, movie, 3.0)])]
    }
    assert await store.commit(partition, before, after, Batch({}, written)) == after


async def stored(store: MemoryStore) -> dict[int, MovieState]:
    """What all partitions' shares add up to."""
    parts: dict[int, list[MovieState]] = {}
    for partition, position in store.live.items():
        for movie, state in (await store.movies(partition, position.generation)).items():
            parts.setdefault(movie, []).append(state)
    return {movie: merge(states) for movie, states in parts.items()}


async def holds(heats: LiveHeats, store: MemoryStore) -> bool:
    live = heats.movies(None)
    assert len(np.unique(live.ids)) == len(live.ids)
    found = dict(
        zip(live.ids[live.rated].tolist(), heats._heats.T[np.flatnonzero(live.rated)], strict=True)
    )
    expected = await stored(store)
    assert found.keys() == expected.keys()
    for movie, of_movie in expected.items():
        np.testing.assert_allclose(found[movie], of_movie.heats, atol=1e-9)
    sums = dict(zip(live.ids[live.rated].tolist(), live.sums.T[live.rated].tolist(), strict=True))
    assert sums == {
        movie: [state.count, state.total, state.squares] for movie, state in expected.items()
    }
    return True


async def test_a_look_reads_what_changed_and_nothing_else(store: CountingStore) -> None:
    heats = LiveHeats()
    assert not await heats.refresh(store, PARTITIONS)
    await rate(store, 0, *range(1, 3_000))
    await rate(store, 1, 5, 6)
    assert await heats.refresh(store, PARTITIONS)
    assert store.read == 2_999 + 2
    assert await holds(heats, store)
    assert not await heats.refresh(store, PARTITIONS)
    assert store.read == 2_999 + 2

    await rate(store, 0, 7, 5)
    await rate(store, 0, 5, 5_000)
    assert await heats.refresh(store, PARTITIONS)
    assert store.read == 2_999 + 2 + 3
    assert await holds(heats, store)
    assert not await heats.refresh(store, PARTITIONS)
    assert store.read == 2_999 + 2 + 3


async def test_another_generation_is_read_whole_and_replaces_the_old(store: CountingStore) -> None:
    heats = LiveHeats()
    await rate(store, 0, 1, 2)
    await rate(store, 1, 2)
    await heats.refresh(store, PARTITIONS)
    before = await store.position(0)
    number = await store.new_generation(0)
    await store.write(0, number, Batch({}, folded([rating(1, 2, 3.0), rating(1, 9, 3.0)]).movies))
    assert await store.commit(0, before, Position(number, "topic", 2), Batch())
    await store.drop_before(0, number)
    await heats.refresh(store, PARTITIONS)
    assert set(await stored(store)) == {2, 9}
    assert await holds(heats, store)
    store.flush()
    await heats.refresh(store, PARTITIONS)
    assert await holds(heats, store)
    assert not heats.movies(None).rated.any()


async def test_a_look_that_fails_is_made_up_for(store: CountingStore) -> None:
    heats = LiveHeats()
    await rate(store, 0, 1, 2)
    await heats.refresh(store, PARTITIONS)
    await rate(store, 0, 2, 3)
    await rate(store, 2, 2, 4)
    store.failing = True
    with pytest.raises(StoreUnavailable):
        await heats.refresh(store, PARTITIONS)
    store.failing = False
    await heats.refresh(store, PARTITIONS)
    assert await holds(heats, store)


async def test_a_generation_that_is_dropped_while_it_is_read_is_read_again(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    heats = LiveHeats()
    await rate(store, 0, 1, 2)
    read = CountingStore.heats

    async def replaced(
        self: CountingStore, partition: int, generation: int, since: int | None = None
    ) -> AsyncIterator[MovieHeats]:
        monkeypatch.setattr(CountingStore, "heats", read)
        number = await store.new_generation(0)
        await store.write(0, number, Batch({}, folded([rating(1, 8, 3.0)]).movies))
        await store.commit(0, await store.position(0), Position(number, "topic", 2), Batch())
        await store.drop_before(0, number)
        async for chunk in read(self, partition, generation, since):
            yield chunk

    monkeypatch.setattr(CountingStore, "heats", replaced)
    await heats.refresh(store, PARTITIONS)
    await heats.refresh(store, PARTITIONS)
    assert await holds(heats, store)


async def test_a_sum_beyond_32_bits_is_held_as_it_is(store: CountingStore) -> None:
    """Fifty million people who gave it five stars, in one partition."""
    heats, people = LiveHeats(), 50_000_000
    await rate(store, 0, 1, 2)
    await rate(store, 1, 2)
    await heats.refresh(store, PARTITIONS)
    loved = MovieState(
        heats=(1.0,) * len(HEATS), count=people, total=10 * people, squares=100 * people
    )
    before = await store.position(1)
    assert before is not None
    after = Position(before.generation, "topic", before.next_offset + 1)
    assert await store.commit(1, before, after, Batch({}, {7: loved})) == after
    await heats.refresh(store, PARTITIONS)
    assert await holds(heats, store)


async def test_another_number_of_partitions_starts_over(store: CountingStore) -> None:
    heats = LiveHeats()
    await rate(store, 0, 1)
    await rate(store, 2, 3)
    await heats.refresh(store, 1)
    await heats.refresh(store, PARTITIONS)
    assert await holds(heats, store)


async def test_movies_read_twice_and_between_those_known_keep_their_places(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan of a store may give a movie twice, and gives them in no order."""
    heats, read = LiveHeats(), CountingStore.heats

    async def shuffled(
        self: CountingStore, partition: int, generation: int, since: int | None = None
    ) -> AsyncIterator[MovieHeats]:
        chunks = [chunk async for chunk in read(self, partition, generation, since)]
        movies = np.concatenate([chunk.movies for chunk in chunks])
        values = np.concatenate([chunk.heats for chunk in chunks])
        sums = np.concatenate([chunk.sums for chunk in chunks], axis=1)
        at = np.random.default_rng(5).permutation(2 * len(movies)) // 2
        yield MovieHeats(movies[at], values[at], sums[:, at])

    monkeypatch.setattr(CountingStore, "heats", shuffled)
    for movies in ([500, 3, 90], range(1, 2_000, 7), range(5_000, 1, -11)):
        await rate(store, 1, *movies)
        await heats.refresh(store, PARTITIONS)
        assert await holds(heats, store)


async def test_the_models_movies_come_first(store: CountingStore) -> None:
    """Movie 9,000 is nobody's, movie 300 is the hottest, and the features are of all."""
    heats = LiveHeats()
    await rate(store, 0, 9_000, 7)
    await rate(store, 1, 300)
    await rate(store, 1, 300)
    await heats.refresh(store, PARTITIONS)
    model = items("v1")
    live = heats.movies(model)
    movies = len(model.movie_ids)
    assert live.ids[:movies].tolist() == model.movie_ids.tolist()
    assert live.ids[movies:].tolist() == [9_000]
    assert live.ids[live.rated].tolist() == [7, 300, 9_000]
    assert live.features.keys() == {heat.name for heat in HEATS}
    heat = live.of_model(movies)["heat_30"]
    assert heat.shape == (1, movies)
    assert heat.argmax() == 299
    assert heat[0, 6] == pytest.approx(np.log2(0.5 + 0.01))
    assert heat[0, 0] == pytest.approx(np.log2(0.01))


async def test_trends_are_of_what_anybody_has_rated(store: CountingStore) -> None:
    """Equally hot ones by id, beside each other's scores as shares of the hottest."""
    assert trends(LiveMovies(), HOTTEST, 5) == []
    heats = LiveHeats()
    await rate(store, 0, 9_000, 7, 12)
    await rate(store, 1, 300)
    await rate(store, 1, 300)
    await heats.refresh(store, PARTITIONS)
    found = trends(heats.movies(items("v1")), HOTTEST, 3)
    assert [movie for movie, _ in found] == [300, 7, 12]
    assert [score for _, score in found] == pytest.approx([1, 0.505, 0.505], abs=1e-3)
    assert len(trends(heats.movies(None), HOTTEST, 100)) == 4
