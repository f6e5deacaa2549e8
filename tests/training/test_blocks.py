from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.blocks import runs


@given(st.lists(st.integers(0, 20)), st.integers(1, 30))
def test_runs_are_as_long_as_they_may_be(lengths: list[int], most: int) -> None:
    found = [(some.start, some.stop) for some in runs(np.array(lengths, np.int64), most)]
    assert [place for run in found for place in range(*run)] == list(range(len(lengths)))
    for start, end in found:
        assert end == start + 1 or sum(lengths[start:end]) <= most
    for (start, end), _ in pairwise(found):
        assert sum(lengths[start : end + 1]) > most
