"""Sums of many lists are those of each."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from training.baselines.least_squares import outer_sums


@given(st.integers(0, 2**32), st.lists(st.integers(0, 7), max_size=12))
def test_outer_products_are_added_up_for_each_row(seed: int, lengths: list[int]) -> None:
    """Also of empty ones."""
    chance = np.random.default_rng(seed)
    ends = np.append(0, np.cumsum(lengths)).astype(np.int32)
    columns = chance.integers(0, 9, ends[-1]).astype(np.int32)
    weights = chance.normal(size=len(columns)).astype(np.float32)
    vectors = chance.normal(size=(9, 3)).astype(np.float32)
    matrix = sparse.csr_array((weights, columns, ends), shape=(len(lengths), 9))
    found = outer_sums(matrix, vectors)
    each = np.einsum("mi,mj->mij", vectors, vectors)
    expected = (matrix @ each.reshape(9, 9)).reshape(-1, 3, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
