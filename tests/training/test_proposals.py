"""What features propose, against its definition: the highest, and of equal ones the first rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.mmr import NOWHERE
from training.proposals import best, best_for_all, highest_first
from training.tower_inputs import Floats

# Few different values, so that many are equal.
SCORES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-2, 0, 0.5, 1, 3]))


def by_definition(scores: Floats, left_out: list[bool], count: int, above: float) -> list[int]:
    """The highest first."""
    rows = [row for row, score in enumerate(scores) if score > above and not left_out[row]]
    return sorted(rows, key=lambda row: (-scores[row], row))[:count]


@given(scores=SCORES, count=st.integers(1, 12), above=st.sampled_from([-np.inf, 0]), data=st.data())
def test_the_best_of_each(scores: Floats, count: int, above: float, data: st.DataObject) -> None:
    left_out = data.draw(hnp.arrays(np.bool_, (2, len(scores))))
    twice = np.stack([scores, scores[::-1]])
    for own, without, found in zip(
        twice, left_out, best(twice, left_out, count, above).tolist(), strict=True
    ):
        expected = by_definition(own, without.tolist(), count, above)
        assert len(found) == count
        assert found[: len(expected)] == sorted(expected)
        assert set(found[len(expected) :]) <= {NOWHERE}


@given(scores=SCORES, count=st.integers(1, 12), at_hand=st.integers(1, 45), data=st.data())
def test_what_is_at_hand_changes_nothing(
    scores: Floats, count: int, at_hand: int, data: st.DataObject
) -> None:
    """Whether somebody has rated none of it, some of it, or all of it."""
    left_out = data.draw(hnp.arrays(np.bool_, (2, len(scores))))
    everything = np.broadcast_to(scores, left_out.shape)
    expected = np.sort(best(everything, left_out, count, -np.inf), axis=1)
    for first in (None, highest_first(scores, at_hand)):
        found = best_for_all(scores, left_out, count, first)
        np.testing.assert_array_equal(np.sort(found, axis=1), expected)


@given(scores=SCORES, count=st.integers(1, 45))
def test_the_highest_come_first(scores: Floats, count: int) -> None:
    expected = by_definition(scores, [False] * len(scores), count, -np.inf)
    assert highest_first(scores, count).tolist() == expected


def test_nothing_is_proposed_where_everything_is_left_out() -> None:
    scores, left_out = np.arange(9, dtype=np.float32), np.ones((1, 9), np.bool_)
    assert best_for_all(scores, left_out, 2).tolist() == [[NOWHERE, NOWHERE]]
    assert best(scores[None], left_out, 2, 0).tolist() == [[NOWHERE, NOWHERE]]
