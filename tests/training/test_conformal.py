import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError
from training.conformal import within


@pytest.mark.parametrize(
    ("n", "coverage", "place"),
    [
        (9, 0.9, 9),  # ceil(10 * 0.9)
        (9, 0.5, 5),
        (9, 0.01, 1),
        (19, 0.9, 18),
        (20, 0.9, 19),  # ceil(18.9)
        (99, 0.07, 7),  # 100 * 0.07 is a little more than 7 in floats
    ],
)
def test_a_quantile_by_hand(n: int, coverage: float, place: int) -> None:
    assert within(np.arange(1, n + 1, dtype=np.float32), coverage) == place


@pytest.mark.parametrize("n", [0, 1, 8])
def test_too_few_to_say(n: int) -> None:
    assert within(np.arange(n, dtype=np.float32), 0.9) == np.inf


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_any_one_of_equals_is_within_the_others_as_often_as_stated(n: int, coverage: float) -> None:
    """And no more often than whole places allow."""
    values = np.random.default_rng(n).permutation(n + 1).astype(np.float32)
    others = (np.sort(np.delete(values, one)) for one in range(n + 1))
    share = np.mean(
        [value <= within(some, coverage) for value, some in zip(values, others, strict=True)]
    )
    assert coverage - 1e-6 <= share <= coverage + 1 / (n + 1)


@pytest.mark.parametrize("coverage", [-0.1, 0.0, 1.0, 90.0])
def test_no_share(coverage: float) -> None:
    with pytest.raises(ConfigurationError, match=r"coverage = .* is not between 0 and 1"):
        within(np.ones(3, np.float32), coverage)
