"""What compiled loops add up, held to SciPy's sums to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from training import kernels


@pytest.mark.parametrize("places", [np.int32, np.int64])
@given(st.integers(0, 2**32), st.lists(st.integers(0, 30), max_size=6))
def test_groups_are_added_up_as_by_a_product(places: type, seed: int, lengths: list[int]) -> None:
    """Also of empty rows, and where a column is there twice."""
    chance = np.random.default_rng(seed)
    ends = np.append(0, np.cumsum(lengths)).astype(places)
    columns = chance.integers(0, 9, ends[-1]).astype(places)
    values = chance.normal(size=len(columns)).astype(np.float32)
    groups = chance.random((9, 4)).astype(np.float32)
    sums, members = np.zeros((2, len(lengths), 4), np.float32)
    kernels.add_up_groups(ends, columns, values, groups, sums, members)
    for found, of in ((sums, values), (members, np.ones_like(values))):
        matrix = sparse.csr_array((of, columns, ends), shape=(len(lengths), 9))
        np.testing.assert_array_equal(found, matrix @ groups)
    vectors = np.zeros_like(sums)
    kernels.add_up_vectors(ends, columns, values, groups, vectors)
    np.testing.assert_array_equal(vectors, sums)
