"""Which links are kept."""

import numpy as np
import pytest
from scipy import sparse

from training import strongest
from training.strongest import strongest_links, strongest_of


def test_the_strongest_links_of_some_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.float32([[0, 3, -4, 1], [2, 0, 0, 0], [-1, 5, 0, 6]])
    expected = [[0, 3, -4, 0], [2, 0, 0, 0], [0, 5, 0, 6]]
    for rows in (3, 2):
        monkeypatch.setattr(strongest, "_BLOCK", rows)
        kept = strongest_links(weights, 2)
        np.testing.assert_array_equal(kept.toarray(), expected)
        assert kept.nnz == 5  # what is 0 is no link


def test_the_strongest_of_sparse_links_are_those_of_the_same_dense_ones() -> None:
    """Rows with more links than are kept, with fewer, and with none."""
    chance = np.random.default_rng(3)
    dense = chance.normal(size=(30, 30)).astype(np.float32)
    dense *= chance.random((30, 30)) < np.linspace(0, 1, 30)[:, None]
    found = strongest_of(sparse.csr_array(dense), 9)
    np.testing.assert_array_equal(found.toarray(), strongest_links(dense, 9).toarray())
    assert np.diff(found.indptr).max() == 9
