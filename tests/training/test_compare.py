"""Differences that are there are found, and others as often as the level says."""

from math import isnan, nan

import numpy as np
import pytest
from scipy import stats

from training.compare import CONFIDENCE, GROUPS, Interval, difference, mean
from training.metrics import Values
from training.tower_inputs import Ints


def lists(seed: int, users: int = 300, of_each: int = 5) -> tuple[Values, Ints]:
    """Values of lists that are much like those of the same user."""
    chance = np.random.default_rng(seed)
    owners = np.repeat(np.arange(users), chance.integers(1, 2 * of_each, users))
    taste = chance.normal(0.5, 0.2, users)
    return taste[owners] + chance.normal(0, 0.05, len(owners)), owners


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_a_mean_and_its_interval() -> None:
    values = np.random.default_rng(0).normal(3, 1, 1_000)
    found = mean(values, np.arange(1_000))
    assert found.interval.value == pytest.approx(values.mean())
    half = stats.t.ppf((1 + CONFIDENCE) / 2, 999) * values.std(ddof=1) / 1_000**0.5
    assert found.interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert (found.lists, found.users) == (1_000, 1_000)


def test_every_list_counts_alike_whoever_it_is_of() -> None:
    found = mean(np.array([1.0, 0, 0, 0]), np.array([5, 3, 3, 3]))
    assert found.interval.value == 1 / 4
    assert (found.lists, found.users) == (4, 2)


def test_lists_of_one_user_widen_the_interval() -> None:
    values, owners = lists(0)
    clustered = mean(values, owners).interval
    alone = mean(values, np.arange(len(values))).interval
    assert clustered.value == pytest.approx(alone.value)
    assert width(clustered) > 1.5 * width(alone)


def test_a_planted_difference_is_found() -> None:
    baseline, owners = lists(1)
    model = 1.04 * baseline + np.random.default_rng(2).normal(0, 0.05, len(baseline))
    found = difference(model, baseline, owners)
    assert found.p_value < 1e-6
    assert 0.01 < found.absolute.low < found.absolute.value < found.absolute.high < 0.03
    assert 0.02 < found.relative.low < found.relative.value < found.relative.high < 0.06
    assert found.absolute.value == pytest.approx(model.mean() - baseline.mean())
    assert found.relative.value == pytest.approx(model.mean() / baseline.mean() - 1)
    # On the same lists, what varies between users cancels.
    assert width(found.absolute) < width(mean(model, owners).interval) / 2


def test_intervals_miss_as_often_as_they_may() -> None:
    """200 pairs of equal models: 10 are found to differ, 95% of the time 5 to 16."""
    wrong = {"interval": 0, "p_value": 0}
    for seed in range(200):
        baseline, owners = lists(seed, users=80, of_each=3)
        chance = np.random.default_rng(1_000 + seed)
        # What one model does worse it does so for all lists of a user.
        model = baseline + chance.normal(0, 0.1, 80)[owners]
        found = difference(model, baseline, owners, seed)
        wrong["interval"] += not found.absolute.low <= 0 <= found.absolute.high
        wrong["p_value"] += found.p_value < 1 - CONFIDENCE
    assert 4 <= wrong["interval"] <= 18
    assert 4 <= wrong["p_value"] <= 18


def test_equal_models_differ_by_exactly_nothing() -> None:
    values, owners = lists(3)
    found = difference(values, values.copy(), owners)
    assert found.absolute == found.relative == (0, 0, 0)
    assert found.p_value == 1


def test_a_difference_that_is_the_same_everywhere_is_certain() -> None:
    baseline, owners = lists(3)
    found = difference(baseline + 0.1, baseline, owners)
    assert found.absolute == pytest.approx((0.1, 0.1, 0.1))
    assert found.p_value == 0
    assert found.relative.low < 0.1 / baseline.mean() < found.relative.high


def test_with_one_list_a_user_it_is_the_paired_t_test() -> None:
    chance = np.random.default_rng(4)
    baseline = chance.random(50)
    model = baseline + chance.normal(0.02, 0.1, 50)
    found = difference(model, baseline, np.arange(50))
    assert found.p_value == pytest.approx(stats.ttest_rel(model, baseline).pvalue)


def test_exchanging_the_models_changes_the_sign() -> None:
    baseline, owners = lists(5)
    model = baseline + np.random.default_rng(6).normal(0.01, 0.05, len(baseline))
    there, back = difference(model, baseline, owners), difference(baseline, model, owners)
    assert there.absolute.value == pytest.approx(-back.absolute.value)
    assert there.absolute.low == pytest.approx(-back.absolute.high, abs=0.001)
    assert there.p_value == pytest.approx(back.p_value)


def test_the_order_of_lists_and_the_names_of_users_do_not_matter() -> None:
    values, owners = lists(7)
    order = np.random.default_rng(8).permutation(len(values))
    found, shuffled = mean(values, owners), mean(values[order], 10 * owners[order] + 3)
    assert found.interval == pytest.approx(shuffled.interval)


def test_a_seed_gives_the_same_interval_again() -> None:
    values, owners = lists(9)
    assert mean(values, owners, seed=1) == mean(values, owners, seed=1)
    assert mean(values, owners, seed=1) != mean(values, owners, seed=2)


def test_groups_of_users_give_the_interval_of_users() -> None:
    users = 10 * GROUPS
    owners = np.repeat(np.arange(users), 2)
    values = np.random.default_rng(10).exponential(1, users)[owners]
    found = [mean(values, owners, seed) for seed in range(8)]
    assert found[0].users == users
    widths = np.array([width(some.interval) for some in found])
    expected = 2 * stats.norm.ppf((1 + CONFIDENCE) / 2) / users**0.5
    assert widths.mean() == pytest.approx(expected, rel=0.05)
    assert widths.std() < 0.05 * expected  # of 50 groups it is over 0.08


def test_lists_without_a_value_are_left_out() -> None:
    model = np.array([nan, 0.5, 0.4, 0.9])
    baseline = np.array([0.1, 0.2, nan, 0.3])
    users = np.array([1, 1, 2, 3])
    found = difference(model, baseline, users)
    assert found.absolute.value == pytest.approx((0.3 + 0.6) / 2)
    assert found.relative.value == pytest.approx(0.9 / 0.5)
    assert (found.lists, found.users) == (2, 2)
    alone = mean(model, users)
    assert alone.interval.value == pytest.approx((0.5 + 0.4 + 0.9) / 3)
    assert (alone.lists, alone.users) == (3, 3)


@pytest.mark.filterwarnings("error")
def test_no_lists() -> None:
    none = np.zeros(0)
    found = difference(none, none, np.zeros(0, np.int64))
    assert np.isnan([*found.absolute, *found.relative, found.p_value]).all()
    assert (found.lists, found.users) == (0, 0)
    assert isnan(mean(np.array([nan]), np.array([1])).interval.value)


@pytest.mark.filterwarnings("error")
def test_one_user_has_a_mean_and_no_interval() -> None:
    found = difference(np.array([0.5, 0.7]), np.array([0.4, 0.4]), np.array([1, 1]))
    assert found.absolute.value == pytest.approx(0.2)
    assert np.isnan([*found.absolute[1:], *found.relative[1:], found.p_value]).all()


@pytest.mark.filterwarnings("error")
def test_a_model_that_is_always_wrong() -> None:
    wrong, right = np.zeros(40), np.linspace(0, 1, 40)
    assert mean(wrong, np.arange(40)).interval == (0, 0, 0)
    found = difference(right, wrong, np.arange(40))
    assert found.absolute.low > 0
    assert np.isnan(found.relative).all()


@pytest.mark.filterwarnings("error")
def test_a_baseline_that_is_hardly_ever_right_has_no_relative_interval() -> None:
    baseline, model = np.zeros(40), np.linspace(0, 1, 40)
    baseline[:3] = 1
    found = difference(model, baseline, np.arange(40))
    assert found.relative.value == pytest.approx(model.sum() / 3 - 1)
    assert np.isnan(found.relative[1:]).all()
    baseline[:30] = 1
    assert found.absolute.low < found.absolute.value < found.absolute.high
    assert np.isfinite(difference(model, baseline, np.arange(40)).relative).all()
