"""A user vector for where the user tower fails: the vectors of what they rated, pooled.

Torch-free. Stream workers keep it in the user record, the API computes it where the record has none
of the version it serves.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.contracts import keys
from stream.contracts.errors import ArtifactError
from stream.features import UserState
from stream.records import ColdStartVector, UserRecord

MANIFEST: Final = "manifest.json"
VOCABULARY: Final = "vocabulary.npy"
VECTORS: Final = "item_vectors.npy"

# How much less a rating counts than the one after it: what served next-item prediction best when
# the state of an item-item model was weighted by recency.
RECENCY: Final = 0.8

# Ratings looked at, latest first. A weight of 0.8^50 is far below what f16 keeps of a sum, so more
# would change nothing.
HISTORY: Final = 50

# Users whose vectors are summed by one call: what they rated stays in the CPU's cache.
POOLED_AT_ONCE: Final = 16

# Movie ids that a table of rows may have, 32 MB of it: MovieLens' end at 300,000.
TABLE_IDS: Final = 1 << 22

# Stars at which a rating says nothing. Between two half-star steps, so that each says something.
INDIFFERENT: Final = 2.75

# Weight of a rating by its half stars. 0 stands for "no rating" in the padded histories.
_LIKING: Final = np.array(
    [0.0, *(half_stars / 2 - INDIFFERENT for half_stars in range(1, 11))], np.float32
)
_DECAY: Final = (RECENCY ** np.arange(HISTORY - 1, -1, -1)).astype(np.float32)


class ItemVectors:
    """The item vectors of one model version.

    Attributes:
        version: the model version.
        tag: its eight-byte tag, as packed records carry it.
        movie_ids: u32[n], the movie of each row.
        vectors: f32[n, d], L2-normalised rows.
    """

    def __init__(
        self, version: str, movie_ids: npt.NDArray[np.uint32], vectors: npt.NDArray[np.float32]
    ) -> None:
        self.version = version
        self.tag = keys.version_tag(version)
        self.movie_ids = movie_ids
        self.vectors = vectors
        self._order = np.argsort(movie_ids)
        self._sorted = movie_ids[self._order]
        # The row of each id up to the largest, and -1 for what is beyond: read in a tenth of the
        # time that a search takes.
        self._table: npt.NDArray[np.intp] | None = None
        highest = int(movie_ids.max(initial=0))
        if highest < TABLE_IDS:
            self._table = np.full(highest + 2, -1, np.intp)
            self._table[movie_ids] = np.arange(len(movie_ids))

    @classmethod
    def load(cls, directory: Path) -> "ItemVectors":
        """The item vectors of the artifact in this directory. Raises ArtifactError.

        They are mapped, so that a machine's processes share them and a switch of models has no
        second copy of them in the heap, which would keep the room.
        """
        try:
            version = json.loads((directory / MANIFEST).read_bytes())["version"]
            movie_ids = np.load(directory / VOCABULARY)
            vectors = np.asarray(np.load(directory / VECTORS, mmap_mode="r"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"no whole model artifact in {directory} ({error}): train and promote again"
            ) from error
        if movie_ids.dtype != np.uint32 or vectors.dtype != np.float32:
            raise ArtifactError(
                f"{directory}: {VOCABULARY} is {movie_ids.dtype}, {VECTORS} is {vectors.dtype}; "
                "wanted uint32 and float32: train again"
            )
        if not len(movie_ids) or vectors.ndim != 2 or len(vectors) != len(movie_ids):
            raise ArtifactError(
                f"{directory}: {VOCABULARY} has shape {movie_ids.shape}, {VECTORS} "
                f"{vectors.shape}; wanted one row a movie, one movie at least: train again"
            )
        return cls(version, movie_ids, vectors)

    def rows(self, movie_ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
        """The row of each movie, -1 where the model does not know it; shaped like `movie_ids`."""
        if self._table is not None:
            found: npt.NDArray[np.intp] = self._table[np.minimum(movie_ids, len(self._table) - 1)]
            return found
        at = np.minimum(np.searchsorted(self._sorted, movie_ids), len(self._sorted) - 1)
        return np.where(self._sorted[at] == movie_ids, self._order[at], -1)

    def pool(self, states: Sequence[UserState]) -> list[ColdStartVector | None]:
        """A vector for each user: their last ratings' item vectors, weighted and L2-normalised.

        A rating's weight is its distance from indifference in stars, times `RECENCY` to the power
        of how many ratings came after it. None where the model knows none of the movies.
        """
        if not states:
            return []
        movies = np.frombuffer(
            b"".join([state.movies[-4 * HISTORY :].rjust(4 * HISTORY, b"\0") for state in states]),
            dtype="<u4",
        )
        half_stars = np.frombuffer(
            b"".join([state.half_stars[-HISTORY:].rjust(HISTORY, b"\0") for state in states]),
            dtype=np.uint8,
        )
        rows = self.rows(movies).reshape(-1, HISTORY)
        weights = _LIKING[half_stars].reshape(-1, HISTORY) * _DECAY
        weights[rows < 0] = 0.0
        sums = np.empty((len(states), self.vectors.shape[1]), np.float32)
        for first in range(0, len(states), POOLED_AT_ONCE):
            some = slice(first, first + POOLED_AT_ONCE)
            rated = self.vectors.take(rows[some], axis=0, mode="wrap")
            np.matmul(weights[some, None], rated, out=sums[some, None])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        pooled = np.divide(sums, norms, out=sums, where=norms > 0).astype(np.float16)
        return [
            ColdStartVector(self.tag, vector) if norm > 0 else None
            for vector, norm in zip(pooled, norms[:, 0].tolist(), strict=True)
        ]


def records_of(states: Mapping[int, UserState], items: ItemVectors | None) -> dict[int, UserRecord]:
    """What is stored of these users: their state and, where a model serves, their vector."""
    if items is None:
        return {user: UserRecord(state) for user, state in states.items()}
    vectors = items.pool(list(states.values()))
    return {
        user: UserRecord(state, vector)
        for (user, state), vector in zip(states.items(), vectors, strict=True)
    }
