"""How hot and how liked every movie is, in memory and as new as the last look at the store."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.coldstart import ItemVectors
from stream.contracts.keys import Position
from stream.features import HEATS
from stream.records import MovieHeats
from stream.store import StateStore
from training.live import Heats, live_features, model_first
from training.proposals import highest_first
from training.ranker import Weights
from training.ranking import Ranking
from training.tower_inputs import Floats, Ints

_ROOM: Final = 1_024  # movies at first; doubled where there are more
_SUMS: Final = 3  # of `MovieHeats.sums`

# Of a partition's sums: at 62,000 movies and 8 partitions 6 MB less than i64. They are widened
# where one is beyond it, as the squares are of 43 million people who gave a movie five stars.
_SHARE: Final = np.uint32


@dataclass(frozen=True, slots=True)
class LiveMovies:
    """Live features of n movies, as of one look: those of a model row by row, then all others.

    Attributes:
        ids: u32[n] the movies.
        rated: bool[n] which of them anybody has rated.
        sums: i64[3, n] how many people have, the sum of their half stars, and of the squares.
        features: by name, f32[n], see `training.live`.
        hottest: by the same names, rows of the model, those of the highest values first.
        offsets: of each partition the first one that is not counted yet.
    """

    ids: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    rated: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    sums: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    features: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))
    hottest: Mapping[str, Ints] = field(default_factory=lambda: MappingProxyType({}))
    offsets: tuple[int, ...] = ()
    _common: list[tuple[Weights, Floats]] = field(default_factory=list, init=False, compare=False)

    @property
    def ratings(self) -> npt.NDArray[np.int64]:
        """i64[n] how many people have rated each."""
        count: npt.NDArray[np.int64] = self.sums[0]
        return count

    def of_model(self, movies: int) -> dict[str, Floats]:
        """By name, f32[1, movies]: those of the model's movies, by row."""
        return {name: values[None, :movies] for name, values in self.features.items()}

    def common(self, ranking: Ranking) -> Floats:
        """f32[n]: what the live features add to the utilities of everyone.

        Of the ranking that was asked about last it is at hand: it takes some milliseconds to make.
        """
        for weights, values in self._common:
            if weights is ranking.weights:
                return values
        features = {name: values[None] for name, values in self.features.items()}
        everyone: Floats = np.broadcast_to(ranking.common(features), (1, len(self.ids)))[0]
        self._common[:] = [(ranking.weights, everyone)]
        return everyone


class LiveHeats:
    """Heats by partition, and of all partitions together. A look reads what has changed."""

    def __init__(self) -> None:
        self._start(0)

    async def refresh(self, store: StateStore, partitions: int) -> bool:
        """Take in what changed since the last look; whether anything did.

        1. Where the number of partitions is another one, start over.
        2. Of each partition whose position moved read the movies that were written since then; all
           where its generation is another one, in place of those before.
        3. Go on from that position at the next look. What was read of later commits is read again
           then, and a generation that was dropped meanwhile is no more by then.
        4. Add up the partitions' heats of the movies that were read.

        Raises StoreUnavailable; what was read by then is read again at the next look.
        """
        # 1.
        if partitions != len(self._positions):
            self._start(partitions)
        for partition, known in enumerate(self._positions):
            position = await store.position(partition)
            if position == known:
                continue
            # 2.
            if position is None:
                self._forget(partition)
                continue
            since = known.next_offset if known is not None and _same(known, position) else None
            if since is None:
                self._forget(partition)
            async for chunk in store.heats(partition, position.generation, since):
                self._take(partition, chunk)
            # 3.
            self._positions[partition] = position
        # 4.
        stale = np.flatnonzero(self._stale)
        if not len(stale):
            return False
        await asyncio.to_thread(self._add_up, stale)
        return True

    def movies(self, items: ItemVectors | None) -> LiveMovies:
        """The movies as they are now, those of `items` first."""
        count = len(self._known)
        ids, heats, sums = self._ids[:count], self._heats[:, :count], self._sums[:, :count]
        if items is not None:
            rows = items.rows(ids).astype(np.int64)
            heats = model_first(heats, rows, len(items.movie_ids))
            sums = model_first(sums, rows, len(items.movie_ids), nobody=0)
            ids = np.concatenate([items.movie_ids, ids[rows < 0]])
        rated = heats.max(axis=0) > -np.inf
        features = live_features(heats)
        of_model = slice(0 if items is None else len(items.movie_ids))
        hottest = {name: highest_first(of[of_model]) for name, of in features.items()}
        offsets = tuple(position.next_offset if position else 0 for position in self._positions)
        return LiveMovies(ids.copy(), rated, sums.copy(), features, hottest, offsets)

    def _start(self, partitions: int) -> None:
        self._positions: list[Position | None] = [None] * partitions
        # Movies that anybody ever rated, in order, and the slot of each; 17 times less than a dict.
        self._known = np.zeros(0, np.uint32)
        self._slots = np.zeros(0, np.int32)
        self._ids = np.zeros(_ROOM, np.uint32)
        self._parts = np.full((partitions, len(HEATS), _ROOM), -np.inf)
        self._heats: Heats = np.full((len(HEATS), _ROOM), -np.inf)
        self._shares = np.zeros((partitions, _SUMS, _ROOM), _SHARE)
        self._sums = np.zeros((_SUMS, _ROOM), np.int64)
        self._stale = np.zeros(_ROOM, np.bool_)

    def _forget(self, partition: int) -> None:
        self._positions[partition] = None
        self._stale |= (self._parts[partition] > -np.inf).any(axis=0)
        self._parts[partition], self._shares[partition] = -np.inf, 0

    def _take(self, partition: int, read: MovieHeats) -> None:
        slots = self._slots_of(read.movies)
        if read.sums.max(initial=0) > np.iinfo(self._shares.dtype).max:
            self._shares = self._shares.astype(np.int64)
        self._parts[partition][:, slots] = read.heats.T
        self._shares[partition][:, slots] = read.sums
        self._stale[slots] = True

    def _slots_of(self, movies: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """i32[m]: where each is kept; those that were not known get the next slots."""
        at = np.searchsorted(self._known, movies)
        new = np.unique(movies[np.searchsorted(self._known, movies, "right") == at])
        if len(new):
            slots = np.arange(len(self._known), len(self._known) + len(new), dtype=np.int32)
            before = np.searchsorted(self._known, new)
            self._slots = np.insert(self._slots, before, slots)
            self._known = np.insert(self._known, before, new)
            while len(self._known) > len(self._ids):
                self._grow()
            self._ids[slots] = new
            at = np.searchsorted(self._known, movies)
        return self._slots[at]

    def _grow(self) -> None:
        self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
        self._parts = np.concatenate([self._parts, np.full_like(self._parts, -np.inf)], axis=2)
        self._heats = np.concatenate([self._heats, np.full_like(self._heats, -np.inf)], axis=1)
        self._shares = np.concatenate([self._shares, np.zeros_like(self._shares)], axis=2)
        self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)], axis=1)
        self._stale = np.concatenate([self._stale, np.zeros_like(self._stale)])

    def _add_up(self, slots: npt.NDArray[np.intp]) -> None:
        self._heats[:, slots] = np.logaddexp2.reduce(self._parts[:, :, slots], axis=0)
        self._sums[:, slots] = self._shares[:, :, slots].sum(axis=0)
        self._stale[slots] = False


def _same(one: Position, other: Position) -> bool:
    """Whether both are of one copy of the partition's state."""
    return (one.generation, one.topic_id) == (other.generation, other.topic_id)
