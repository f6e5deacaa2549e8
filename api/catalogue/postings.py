"""Which rows have each of many keys, in little memory: an inverted index."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from training.tower_inputs import Ints

_ROW_BITS: Final = 32  # of a key and a row in one number


class Postings(NamedTuple):
    """Which rows have each of k keys: those of key i are ``rows[starts[i]:starts[i + 1]]``."""

    rows: npt.NDArray[np.int32]
    starts: Ints

    def of(self, first: int, end: int) -> npt.NDArray[np.int32]:
        """Those of the keys from `first` up to `end`."""
        return self.rows[self.starts[first] : self.starts[end]]


def in_order(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The texts in order, and where each was."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    return [texts[at] for at in order], np.array(order, np.int32)


def by_text(texts: Iterable[Iterable[str]]) -> tuple[list[str], Postings]:
    """The distinct texts in order, and which rows have them.

    Args:
        texts: those of each row.
    """
    number: dict[str, int] = {}
    each = [[number.setdefault(text, len(number)) for text in of_row] for of_row in texts]
    distinct, order = in_order(list(number))
    place = np.empty(len(distinct), np.int64)
    place[order] = np.arange(len(distinct))
    rows = np.repeat(np.arange(len(each)), np.array([len(some) for some in each], np.int64))
    keys = place[np.array([one for some in each for one in some], np.int64)]
    return distinct, postings(pairs(keys, rows))[1]


def pairs(keys: Ints, rows: Ints) -> Ints:
    """i64[p]: the distinct pairs of a key and a row, both in one number."""
    found = np.sort(keys << _ROW_BITS | rows)
    return found[np.diff(found, prepend=-1) > 0]


def postings(distinct: Ints) -> tuple[Ints, Postings]:
    """The keys in order, and which rows have them; of distinct `pairs`, put in order."""
    distinct.sort()
    halves = distinct.astype("<i8", copy=False).view("<i4")
    rows, keys = halves[::2], halves[1::2]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts].astype(np.int64), Postings(rows.copy(), np.append(starts, len(distinct)))
