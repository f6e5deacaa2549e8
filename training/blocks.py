"""Rows of a matrix, so many at a time that they fit in memory."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def blocks(rows: int, width: int, elements: int) -> Iterator[slice]:
    """All rows of a matrix, so many at a time that a dense block has no more than `elements`."""
    size = max(1, elements // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def runs(lengths: npt.NDArray[np.integer], most: int) -> Iterator[slice]:
    """All of n lists, in runs that have at most `most` elements or are one list.

    Args:
        lengths: i[n] elements of each list.
        most: elements of a run.
    """
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        limit = (ends[start - 1] if start else 0) + most
        end = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, end)
        start = end
