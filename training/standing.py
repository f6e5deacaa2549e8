"""The ratings that stand, as the second stage reads them: from the lab's log and live state alike.

Torch-free, because serving fills it too.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.features import UserState
from training import kernels
from training.tower_inputs import Floats, Ints

if TYPE_CHECKING:
    from scipy import sparse

# What a rating counts of the latest one, below which it is left out: together a hundredth of the
# evidence. With a hundredth of this, twice as many links are added up, and hit@10 of what comes
# next is within 0.0005 of the same on MovieLens 100K and latest-small, no more than chance.
_NEGLIGIBLE: Final = 0.01


class Standing(NamedTuple):
    """The e ratings that stand of B users: of each movie the latest, oldest first.

    Attributes:
        users: B, those without a rating included.
        lists: i64[e] which of the B users each is of, ascending.
        rows: i64[e] the movie, -1 where it is not known.
        half_stars: i64[e] 1..10.
    """

    users: int
    lists: Ints
    rows: Ints
    half_stars: Ints

    def of(self, some: slice) -> "Standing":
        """Those of some of the users, from `start` to `stop`."""
        begin, end = np.searchsorted(self.lists, (some.start, some.stop))
        lists, rows, half_stars = (column[begin:end] for column in self[1:])
        return Standing(some.stop - some.start, lists - some.start, rows, half_stars)

    def evidence(self, movies: int, liked_from: int, recency: float) -> "sparse.csr_array":
        """f32[B, movies]: recency**steps for each movie of half stars enough, unless negligible.

        Args:
            movies: of the model; one that came later is a step, and no evidence.
            liked_from: half stars from which a rating counts.
            recency: in (0, 1]. A step is a rating that counts and came later.
        """
        from scipy import sparse  # 25 MB, which serving does not need

        rows, weights, ends = self.weights(movies, liked_from, recency)
        # i32 as links are: to multiply with them otherwise, all of theirs would be copied.
        parts = (weights, rows.astype(np.int32), ends.astype(np.int32))
        return sparse.csr_array(parts, shape=(self.users, movies))

    def weights(self, movies: int, liked_from: int, recency: float) -> tuple[Ints, Floats, Ints]:
        """The same as i64[w] rows of movies, user by user, and f32[w] their weights.

        Where those of each user begin is i64[B + 1], with the end of the last one's.
        """
        kept, weights = np.empty_like(self.rows), np.empty(len(self.rows), np.float32)
        ends = np.empty(self.users + 1, np.int64)
        begin = kernels.fade(
            *self[1:], movies, liked_from, recency, _NEGLIGIBLE, kept, weights, ends
        )
        return kept[begin:], weights[begin:], ends


def standing_of(
    states: Sequence[UserState],
    rows: Callable[[npt.NDArray[np.uint32]], npt.NDArray[np.intp]],
) -> Standing:
    """What stands in live state.

    Args:
        states: one user each.
        rows: the row of each movie id, -1 where it is not known.
    """
    movies = np.frombuffer(b"".join([state.movies for state in states]), "<u4")
    half_stars = np.frombuffer(b"".join([state.half_stars for state in states]), "u1")
    return Standing(
        users=len(states),
        lists=np.repeat(np.arange(len(states)), [len(state) for state in states]),
        rows=rows(movies).astype(np.int64),
        half_stars=half_stars.astype(np.int64),
    )
