import numpy as np
import pytest
from scipy import sparse

from tests.training.build import ratings
from training import ranking
from training.histories import Histories
from training.ranking import Links, strongest_links, strongest_of


def test_what_links_say_does_not_grow_with_the_history_if_scaled() -> None:
    """Three ratings count of one user, one of another, and none of a third."""
    log = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1), (1, 3, 4.0, 2), (2, 3, 5.0, 0), (3, 3, 1.0, 0)])
    matrix = sparse.csr_array(np.float32([[0, 1, 2], [3, 0, 4], [5, 6, 0]]))
    standing = Histories.of_users(log, np.array([1, 2, 3])).standing()
    plain = Links(matrix, recency=0.5, liked_from=8).scores(standing)
    np.testing.assert_allclose(plain[0], [3 / 2 + 5, 1 / 4 + 6, 2 / 4 + 4 / 2])
    np.testing.assert_allclose(plain[1:], [[5, 6, 0], [0, 0, 0]])
    scaled = Links(matrix, recency=0.5, liked_from=8, scaled=True).scores(standing)
    np.testing.assert_allclose(scaled, plain / np.sqrt([[3], [1], [1]]), rtol=1e-6)


def test_the_strongest_links_of_some_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.float32([[0, 3, -4, 1], [2, 0, 0, 0], [-1, 5, 0, 6]])
    expected = [[0, 3, -4, 0], [2, 0, 0, 0], [0, 5, 0, 6]]
    for rows in (3, 2):
        monkeypatch.setattr(ranking, "_BLOCK", rows)
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
