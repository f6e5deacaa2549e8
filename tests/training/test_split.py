import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import DatasetError
from tests.training.build import START, ratings
from training.split import split_by_time

EVENTS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.just(4.0), st.integers(0, 10**6)),
    min_size=20,
    max_size=60,
    unique_by=lambda event: event[3],
)


@given(EVENTS)
def test_no_event_is_lost_and_none_is_in_two_parts(
    events: list[tuple[int, int, float, int]],
) -> None:
    split = split_by_time(ratings(events))
    parts = np.concatenate([split.train, split.validation, split.test])
    assert sorted(parts.tolist()) == list(range(len(events)))


@given(EVENTS)
def test_nothing_in_a_part_happened_after_the_next_part_began(
    events: list[tuple[int, int, float, int]],
) -> None:
    data = ratings(events)
    split = split_by_time(data)
    times = data.times
    assert times[split.train].max() < split.validation_from <= times[split.validation].min()
    assert times[split.validation].max() < split.test_from <= times[split.test].min()


def test_the_shares_are_of_the_ratings() -> None:
    split = split_by_time(ratings([(1 + i % 3, i + 1, 3.0, i) for i in range(100)]), 0.2, 0.1)
    assert [len(part) for part in split[:3]] == [70, 20, 10]
    assert (split.validation_from, split.test_from) == (START + 70, START + 90)


def test_events_of_one_moment_stay_together() -> None:
    split = split_by_time(ratings([(i + 1, 1, 3.0, i // 10) for i in range(100)]), 0.15, 0.15)
    assert [len(part) for part in split[:3]] == [70, 10, 20]


def test_too_few_moments() -> None:
    with pytest.raises(DatasetError, match="2 ratings at 1 different times cannot be split"):
        split_by_time(ratings([(1, 1, 3.0, 0), (1, 2, 3.0, 0)]))
