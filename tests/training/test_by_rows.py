import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from training.by_rows import ByRows, row_sums, with_data


@given(st.integers(0, 2**32), st.lists(st.integers(0, 5), max_size=8))
def test_rows_are_added_up_as_by_scipy(seed: int, lengths: list[int]) -> None:
    """Also empty ones, at the end too."""
    chance = np.random.default_rng(seed)
    ends = np.append(0, np.cumsum(lengths)).astype(np.int32)
    columns = chance.integers(0, 9, ends[-1]).astype(np.int32)
    quarters = chance.integers(-9, 9, len(columns)).astype(np.float32) / 4
    matrix = sparse.csr_array((quarters, columns, ends), shape=(len(lengths), 9))
    found = row_sums(ByRows(quarters, columns, ends))
    np.testing.assert_array_equal(found, matrix.sum(axis=1))
    np.testing.assert_array_equal(row_sums(with_data(matrix, quarters * 2)), 2 * found)
