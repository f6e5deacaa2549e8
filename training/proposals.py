"""What each feature proposes: its highest movies, and of equal ones the first rows.

That leaves nothing to chance, so that the lab, which asks for many people at once, and the API,
which has some of this at hand from request to request, find the same. Torch-free.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from training import kernels
from training.mmr import NOWHERE
from training.tower_inputs import Floats, Ints

# Movies of a feature that is the same for all that are put in order for everyone: what somebody has
# rated of them, or does not want, hardly ever leaves less than is proposed.
_AT_HAND: Final = 1_000


def best(scores: Floats, left_out: npt.NDArray[np.bool_], count: int, above: float) -> Ints:
    """i64[B, count]: the rows with the highest scores, ascending, then NOWHERE for lack of more.

    Args:
        scores: f32[B, movies].
        left_out: bool[B, movies] which of them are not proposed.
        count: how many are.
        above: what a score must be more than.
    """
    found = np.full((len(left_out), count), NOWHERE, np.int64)
    scores, excluded = np.ascontiguousarray(scores), np.ascontiguousarray(left_out)
    kernels.highest(scores, excluded.view(np.uint8), above, np.empty(count, np.float32), found)
    found.view(np.uint64).sort(axis=1)  # in which NOWHERE is the largest
    return found


def highest_first(scores: Floats, count: int = _AT_HAND) -> Ints:
    """i64[min(count, movies)]: the rows with the highest of these scores, highest first.

    Args:
        scores: f32[movies].
        count: how many.
    """
    rows = _highest(scores, count)
    ordered: Ints = rows[np.argsort(-scores[rows], kind="stable")]
    return ordered


def best_for_all(
    scores: Floats, left_out: npt.NDArray[np.bool_], count: int, first: Ints | None = None
) -> Ints:
    """i64[B, count]: as `best`, of scores that are the same for all and any of which will do.

    Args:
        scores: f32[movies].
        left_out: bool[B, movies].
        count: how many.
        first: what `highest_first` makes of the scores, where it is at hand.
    """
    first = highest_first(scores) if first is None else first
    found = np.full((len(left_out), count), NOWHERE, np.int64)
    for of, without in zip(found, left_out, strict=True):
        rows = first[~without[first]]
        if len(rows) < count and len(first) < len(scores):
            rows = np.flatnonzero(~without)
            rows = rows[_highest(scores[rows], count)]
        of[: len(rows)] = rows[:count]
    return found


def _highest(scores: Floats, count: int) -> Ints:
    """i64[min(count, n)]: which of n scores are the highest, ascending; of equal ones the first."""
    excess = len(scores) - count
    if excess <= 0:
        return np.arange(len(scores))
    least = np.partition(scores, excess)[excess]
    among: Ints = np.flatnonzero(scores >= least)
    if len(among) > count:  # not all that are as low as the lowest have a place
        lowest = np.flatnonzero(scores[among] == least)
        among = np.delete(among, lowest[count - len(among) :])
    return among
