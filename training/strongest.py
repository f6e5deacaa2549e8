"""The links that are kept of a model of items, as sparse matrices."""

from typing import Final

import numpy as np
from scipy import sparse

from training.tower_inputs import Floats, Ints

_BLOCK: Final = 1024  # rows of weights at once: 250 MB to put in order at 20,000 movies


def strongest_links(weights: Floats, keep: int) -> sparse.csr_array:
    """f32[n, m], sparse: of f32[n, m] the `keep` elements of each row that are furthest from 0."""
    keep = min(keep, weights.shape[1])
    columns = np.empty((len(weights), keep), np.int64)
    for begin in range(0, len(weights), _BLOCK):
        some = slice(begin, begin + _BLOCK)
        order = np.argpartition(-np.abs(weights[some]), keep - 1, axis=1)
        columns[some] = np.sort(order[:, :keep], axis=1)
    values = np.take_along_axis(weights, columns, axis=1)
    ends = np.arange(len(weights) + 1) * keep
    kept = sparse.csr_array((values.ravel(), columns.ravel(), ends), shape=weights.shape)
    kept.eliminate_zeros()
    return kept


def strongest_of(links: sparse.csr_array, keep: int) -> sparse.csr_array:
    """The same of links that are sparse already."""
    rows = np.repeat(np.arange(links.shape[0]), np.diff(links.indptr))
    order = np.lexsort((-np.abs(links.data), rows))
    kept = np.sort(order[np.arange(len(rows)) - links.indptr[rows] < keep])
    ends = np.searchsorted(rows[kept], np.arange(links.shape[0] + 1))
    return sparse.csr_array((links.data[kept], links.indices[kept], ends), shape=links.shape)


def among(links: sparse.csr_array, rows: Ints, movies: int) -> sparse.csr_array:
    """The links between some of the movies as those of all: f32[movies, movies].

    Args:
        links: f32[m, m] of m movies.
        rows: i64[m] which of all the movies they are, ascending.
        movies: how many there are.
    """
    ends = np.zeros(movies + 1, np.int64)
    ends[rows + 1] = np.diff(links.indptr)
    parts = (links.data, rows[links.indices], np.cumsum(ends))
    return sparse.csr_array(parts, shape=(movies, movies))
