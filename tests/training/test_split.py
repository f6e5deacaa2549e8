import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError, DatasetError
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
    Parts,
    Random,
    StrongGeneralisation,
    named,
    split_by_time,
)

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
    with pytest.raises(DatasetError, match="10 ratings at 2 different times"):  # none to train on
        split_by_time(ratings([(1, i + 1, 3.0, i // 9) for i in range(10)]))


LOGS = st.lists(
    st.tuples(
        st.integers(1, 6), st.integers(1, 9), st.sampled_from((1.0, 4.5)), st.integers(0, 50)
    ),
    min_size=1,
    max_size=80,
    unique_by=lambda event: (event[0], event[1], event[3]),
)
BY_USER = (Random(0.3, seed=1), LastOut(), StrongGeneralisation(0.4, 0.7, seed=2), KFold(3, seed=3))


def large(users: int = 300, each: int = 40) -> Ratings:
    chance = np.random.default_rng(0)
    return ratings(
        [
            (user, int(movie), 4.0, time)
            for user in range(1, users + 1)
            for time, movie in enumerate(chance.choice(500, each, replace=False) + 1)
        ]
    )


LARGE = large()


def counts(parts: Parts, log: Ratings, part: int) -> list[int]:
    """How many events of each user are in the part."""
    _, users = np.unique(log.users, return_inverse=True)
    return np.bincount(users[parts == part], minlength=users.max() + 1).tolist()


@given(LOGS)
def test_no_row_is_lost_and_none_is_twice_in_what_a_task_knows_and_asks(
    events: list[tuple[int, int, float, int]],
) -> None:
    log = ratings(events)
    for split in BY_USER:
        for parts in split.parts(log):
            assert len(parts) == len(log)
            assert set(np.unique(parts).tolist()) <= {TRAIN, VALIDATION, TEST, FOLD_IN}
            held = (parts == VALIDATION) | (parts == TEST)
            # Who is folded in is held out too, and is in no training part.
            folded = set(log.users[parts == FOLD_IN].tolist())
            assert not folded & set(log.users[parts == TRAIN].tolist())
            assert folded | set(log.users[~held & (parts == TRAIN)].tolist()) == set(
                log.users[~held].tolist()
            )


@given(LOGS, st.randoms(use_true_random=False))
def test_a_split_does_not_depend_on_the_order_of_the_rows(
    events: list[tuple[int, int, float, int]], chance: random.Random
) -> None:
    shuffled = chance.sample(events, len(events))
    for split in BY_USER:
        for one, other in zip(
            split.parts(ratings(events)), split.parts(ratings(shuffled)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@given(LOGS)
def test_a_users_part_does_not_depend_on_the_other_users(
    events: list[tuple[int, int, float, int]],
) -> None:
    log = ratings(events)
    for split in (Random(0.3, seed=1), LastOut()):
        whole = split.parts(log)[0]
        for user in np.unique(log.users):
            theirs = np.flatnonzero(log.users == user)
            np.testing.assert_array_equal(split.parts(log.take(theirs))[0], whole[theirs])


def test_a_random_split_holds_out_the_share_of_every_user() -> None:
    parts = Random(0.25).parts(LARGE)[0]
    assert set(counts(parts, LARGE, TEST)) == {10}
    assert set(counts(parts, LARGE, VALIDATION)) == {8}  # a quarter of the other 30, rounded
    assert set(counts(parts, LARGE, TRAIN)) == {22}


@given(LOGS)
def test_a_random_share_is_rounded_and_leaves_one_rating_at_least(
    events: list[tuple[int, int, float, int]],
) -> None:
    log = ratings(events)
    _, had = np.unique(log.users, return_counts=True)
    for share in (0.2, 0.6):
        tested = counts(Random(share).parts(log)[0], log, TEST)
        expected = [min(int(share * n + 0.5), n - 1) for n in had.tolist()]
        assert tested == expected


def test_a_random_split_is_as_likely_to_hold_out_the_first_rating_as_the_last() -> None:
    tested = (Random(0.5).parts(LARGE)[0] == TEST).reshape(300, 40).mean(axis=0)
    # 300 draws each: the standard deviation of a share is 0.029.
    assert abs(tested - 0.5).max() < 0.12
    another = Random(0.5, seed=1).parts(LARGE)[0] == TEST
    assert 0.45 < (another == (Random(0.5).parts(LARGE)[0] == TEST)).mean() < 0.55


def test_the_last_event_is_left_out_and_the_one_before_is_for_validation() -> None:
    log = ratings(
        [
            (1, 1, 4.0, 9),
            (1, 2, 4.0, 5),
            (1, 3, 4.0, 7),
            (2, 1, 4.0, 1),
            (2, 2, 4.0, 2),
            (3, 3, 4.0, 3),
        ]
    )
    assert LastOut().parts(log)[0].tolist() == [TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN]


def test_a_time_split_has_the_parts_of_split_by_time() -> None:
    cut = split_by_time(LARGE, 0.2, 0.1)
    parts = ByTime(0.2, 0.1).parts(LARGE)[0]
    for part, events in ((TRAIN, cut.train), (VALIDATION, cut.validation), (TEST, cut.test)):
        np.testing.assert_array_equal(np.flatnonzero(parts == part), events)


def test_strong_generalisation_trains_on_none_of_the_users_it_tests_on() -> None:
    parts = StrongGeneralisation(0.1, 0.8).parts(LARGE)[0]
    users = {part: set(LARGE.users[parts == part].tolist()) for part in range(4)}
    assert len(users[TEST]) == 30  # a tenth of 300
    assert len(users[VALIDATION]) == 27  # a tenth of the rest
    assert users[TRAIN] == set(range(1, 301)) - users[TEST] - users[VALIDATION]
    assert users[FOLD_IN] == users[TEST] | users[VALIDATION]
    assert set(counts(parts, LARGE, TEST)) == {0, 8}  # a fifth of 40
    assert set(counts(parts, LARGE, FOLD_IN)) == {0, 32}


@given(LOGS)
def test_folds_partition_the_ratings(events: list[tuple[int, int, float, int]]) -> None:
    log, split = ratings(events), KFold(4)
    parts = np.array(split.parts(log))
    assert ((parts == TEST).sum(axis=0) == 1).all()
    assert ((parts == VALIDATION).sum(axis=0) == 1).all()
    numbers = split.numbers(log)
    for user in np.unique(log.users):
        sizes = np.bincount(numbers[log.users == user], minlength=4)
        assert sizes.max() - sizes.min() <= 1


def test_folds_are_equally_large_although_most_users_have_fewer_ratings_than_folds() -> None:
    log = ratings([(user, 1, 4.0, user) for user in range(1, 5001)])
    # 1,000 each, with a standard deviation of 28.
    assert abs(np.bincount(KFold(5).numbers(log)) - 1000).max() < 120


def test_an_unknown_split_or_option_lists_those_there_are() -> None:
    assert named("strong", test=0.2, seed=None) == StrongGeneralisation(test=0.2)
    with pytest.raises(ConfigurationError, match="'rand': there are random, time, last, strong, f"):
        named("rand")
    with pytest.raises(ConfigurationError, match="'time' has no option folds: validation, test"):
        named("time", folds=3)
    with pytest.raises(ConfigurationError, match="'last' has no option seed: it has none"):
        named("last", seed=1)


@pytest.mark.parametrize("share", [0, 1, -0.1, 20])
def test_a_share_is_between_nothing_and_everything(share: float) -> None:
    with pytest.raises(ConfigurationError, match=f"test = {share} of a Random split"):
        Random(share)
    with pytest.raises(ConfigurationError, match="2 folds: give 3 to 255"):
        KFold(2)


@pytest.mark.parametrize("test", [0.9, 0.95])
def test_shares_that_leave_nothing_to_train_on(test: float) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"validation = 0.1 and test = {test} .* leave nothing"
    ):
        named("time", test=test)
