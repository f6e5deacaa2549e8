import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import DatasetError
from tests.training.build import START, ratings
from training.dataset import Ratings
from training.split import (
    FOLD_IN,
    TEST,
    TRAIN,
    VALIDATION,
    ByTime,
    KFold,
    LastOut,
    Random,
    StrongGeneralisation,
)
from training.task import Task, task

LOGS = st.lists(
    st.tuples(
        st.integers(1, 8), st.integers(1, 9), st.sampled_from((1.0, 4.5)), st.integers(0, 10**6)
    ),
    min_size=40,
    max_size=90,
    unique_by=lambda event: event[3],
)
SPLITS = (Random(0.3), LastOut(), StrongGeneralisation(0.3, 0.6), KFold(3), ByTime(0.2, 0.2))


def events(of: Ratings) -> list[tuple[int, int, int, int]]:
    """User, row, half stars and time of each."""
    columns = (of.users, of.rows, of.half_stars, of.times)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def asked_for(asked: Task) -> list[tuple[int, int, int, int]]:
    users = asked.asked.users[asked.held.lists]
    columns = (users, asked.held.rows, asked.held.half_stars, asked.held.times)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@given(LOGS)
def test_every_event_is_known_or_held_out_and_none_is_both(
    some: list[tuple[int, int, float, int]],
) -> None:
    log = ratings(some)
    for split in SPLITS:
        for parts in split.parts(log):
            for held, elsewhere in ((TEST, ()), (VALIDATION, (TEST,))):
                try:
                    made = task(log, parts, held)
                except DatasetError:
                    continue
                known = events(made.train)
                if not made.fitted_users:
                    known += events(made.asked.log)
                left = np.flatnonzero((parts == held) | np.isin(parts, elsewhere))
                hidden = events(log.take(left))
                if held == TEST:
                    assert sorted(known + hidden) == sorted(events(log))
                assert set(known).isdisjoint(hidden)
                assert set(asked_for(made)) <= set(events(log.take(np.flatnonzero(parts == held))))


@given(LOGS)
def test_what_is_asked_is_new_to_each_history_and_there_once(
    some: list[tuple[int, int, float, int]],
) -> None:
    log = ratings(some)
    for split in SPLITS:
        try:
            made = task(log, split.parts(log)[0])
        except DatasetError:
            continue
        assert (made.asked.lengths > 0).all()
        assert (np.diff(made.held.lists) >= 0).all()
        assert set(made.held.lists.tolist()) == set(range(len(made.asked)))
        history = {(user, row) for user, row, _, _ in events(made.asked.log)}
        pairs = [(user, row) for user, row, _, _ in asked_for(made)]
        assert len(pairs) == len(set(pairs))
        assert history.isdisjoint(pairs)


@given(LOGS)
def test_nothing_known_happened_after_what_is_asked_where_time_counts(
    some: list[tuple[int, int, float, int]],
) -> None:
    log = ratings(some)
    for held in (VALIDATION, TEST):
        try:
            by_time = task(log, ByTime(0.2, 0.2).parts(log)[0], held)
            last = task(log, LastOut().parts(log)[0], held)
        except DatasetError:
            continue
        assert by_time.train.times.max() < by_time.held.times.min()
        for user, _, _, time in asked_for(last):
            assert last.train.times[last.train.users == user].max() < time


# User 1 has a history, rates movie 2 again and movie 3 twice; user 2 is new; user 3 has nothing to
# find.
LOG = ratings(
    [
        (1, 1, 4.0, 1), (1, 2, 4.0, 2), (1, 2, 5.0, 3), (1, 3, 2.0, 4), (1, 3, 3.5, 5),
        (2, 1, 4.0, 6),
        (3, 1, 4.0, 7),
    ]
)  # fmt: skip
PARTS = np.array([TRAIN, TRAIN, TEST, TEST, TEST, TEST, TRAIN], np.uint8)


def test_who_has_no_history_and_who_has_nothing_to_find_is_not_asked() -> None:
    made = task(LOG, PARTS)
    assert made.asked.users.tolist() == [1]
    assert made.held.lists.tolist() == [0]
    assert made.held.rows.tolist() == [2]  # movie 3; movie 2 was rated before
    assert made.held.half_stars.tolist() == [7]  # the later of two
    assert made.held.times.tolist() == [START + 5]
    assert made.fitted_users


def test_a_test_part_is_asked_of_what_knows_the_validation_part() -> None:
    parts = np.array([FOLD_IN, VALIDATION, FOLD_IN, VALIDATION, TRAIN, FOLD_IN, TEST], np.uint8)
    log = ratings(
        [(user, movie, 4.0, 0) for user, n in ((1, 4), (2, 1), (3, 2)) for movie in range(1, n + 1)]
    )
    known = task(log, parts, TEST)
    assert (len(known.train), known.asked.users.tolist(), known.fitted_users) == (5, [3], False)
    chosen_by = task(log, parts, VALIDATION)
    assert (len(chosen_by.train), chosen_by.asked.users.tolist()) == (1, [1])
    assert len(chosen_by.held.rows) == 2


@pytest.mark.parametrize("part", [TRAIN, TEST])
def test_an_empty_part_says_what_to_do(part: int) -> None:
    message = "7 ratings of 3 users, split like this, leave . to train on and 0 to ask .* more data"
    with pytest.raises(DatasetError, match=message):
        task(LOG, np.full(7, part, np.uint8))
