"""Rows of a matrix, so many at a time that they fit in memory."""

from collections.abc import Iterator


def blocks(rows: int, width: int, elements: int) -> Iterator[slice]:
    """All rows of a matrix, so many at a time that a dense block has no more than `elements`."""
    size = max(1, elements // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
