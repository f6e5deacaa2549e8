"""Statistics worked by hand, held against scipy, and right however often one looks."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from api.experiments.statistics import (
    ALPHA,
    ENOUGH,
    Ratio,
    always_valid,
    behind,
    compare,
    estimate,
    mismatch,
    preference,
)


def ratio(y: npt.NDArray[Any], x: npt.NDArray[Any]) -> Ratio:
    return Ratio(*map(np.asarray, (float(len(y)), y.sum(), x.sum(), y @ y, x @ y, x @ x)))


def test_a_rate_and_its_variance_by_hand() -> None:
    """Three people with 1 of 2, 3 of 3 and 0 of 1: the rate is 4/6, the residuals -1/3, 1, -2/3;
    their squares add up to 14/9, so the variance is 3/2 * 14/9 / 36 = 7/108."""
    found = estimate(ratio(np.array([1.0, 3, 0]), np.array([2.0, 3, 1])))
    assert found.rate == pytest.approx(2 / 3)
    assert found.variance == pytest.approx(7 / 108)


def test_two_people_have_a_variance_and_one_has_none() -> None:
    """1 of 1 and 0 of 1: the residuals are 1/2 and -1/2, so the variance is 2 * 1/2 / 4."""
    found = estimate(ratio(np.array([1.0, 0]), np.ones(2)))
    assert (found.rate, found.variance) == (0.5, 0.25)
    alone = estimate(ratio(np.ones(1), np.ones(1)))
    assert np.isnan([alone.rate, alone.variance]).all()


def test_of_one_impression_each_it_is_welchs_test() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(2, 1, 4_000), random.normal(2.05, 2, 3_000)
    found = compare(ratio(one, np.ones(4_000)), ratio(other, np.ones(3_000)), effect=0.1)
    told = stats.ttest_ind(other, one, equal_var=False)
    low, high = told.confidence_interval(1 - ALPHA)
    assert found.p == pytest.approx(told.pvalue, rel=0.01)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.difference == pytest.approx(other.mean() - one.mean())


def test_a_ratios_variance_is_that_of_drawing_people_again() -> None:
    """People with more impressions click less: whoever forgets that they belong together is off."""
    random = np.random.default_rng(2)
    x = random.poisson(5, 800) + 1.0
    y = random.binomial(x.astype(int), 0.5 / np.sqrt(x)).astype(float)
    draws = random.integers(0, 800, (4_000, 800))
    again = (y[draws].sum(axis=1) / x[draws].sum(axis=1)).std()
    assert np.sqrt(estimate(ratio(y, x)).variance) == pytest.approx(again, rel=0.05)


def test_an_uplifts_interval_is_that_of_drawing_people_again() -> None:
    random = np.random.default_rng(3)
    ones = np.ones(1_000)
    one, other = random.binomial(1, 0.2, 1_000) * 1.0, random.binomial(1, 0.3, 1_000) * 1.0
    found = compare(ratio(one, ones), ratio(other, ones), effect=0.1)
    draws = random.integers(0, 1_000, (2, 4_000, 1_000))
    again = other[draws[1]].mean(axis=1) / one[draws[0]].mean(axis=1) - 1
    low, high = np.quantile(again, [0.025, 0.975])
    assert found.uplift == pytest.approx(other.mean() / one.mean() - 1)
    assert (found.uplift_low, found.uplift_high) == pytest.approx((low, high), abs=0.06)


def test_the_mixture_is_what_integration_gives() -> None:
    """The likelihood ratio of d against 0, with the true value drawn from N(0, s^2)."""
    d, v, s = 0.3, 0.01, 0.2
    over = stats.norm(0, np.sqrt(v + s * s)).pdf(d) / stats.norm(0, np.sqrt(v)).pdf(d)
    p, half = always_valid(np.asarray(d), np.asarray(v), np.asarray(s))
    assert p == pytest.approx(1 / over)
    # At the edge of the confidence sequence the p-value is alpha.
    at_edge, _ = always_valid(half, np.asarray(v), np.asarray(s))
    assert at_edge == pytest.approx(ALPHA)


@given(
    d=st.floats(-3, 3), v=st.floats(1e-4, 1.0), s=st.floats(1e-2, 1.0), alpha=st.floats(0.001, 0.2)
)
def test_p_and_confidence_sequence_agree(d: float, v: float, s: float, alpha: float) -> None:
    p, half = always_valid(np.asarray(d), np.asarray(v), np.asarray(s), alpha)
    assert 0 <= p <= 1
    if abs(abs(d) - half) > 1e-9:
        assert (abs(d) > half) == (p < alpha)
    assert half > stats.norm.ppf(1 - alpha / 2) * np.sqrt(v)  # who may always look knows less


def test_looking_all_the_time_is_harmless_for_the_one_and_not_for_the_other() -> None:
    """A/A: 1,000 runs of 2,000 people, looked at after everyone."""
    random = np.random.default_rng(4)
    clicks = random.binomial(1, 0.3, (1_000, 2_000)).astype(float)
    treated = random.random(clicks.shape) < 0.5

    def sums(of: npt.NDArray[np.bool_]) -> Ratio:
        people = np.cumsum(of, axis=1, dtype=np.float64)
        y = np.cumsum(of * clicks, axis=1, dtype=np.float64)
        return Ratio(people, y, people, y, y, people)

    found = compare(sums(~treated), sums(treated), effect=0.1)
    ever = np.nanmin(found.always_p, axis=1) <= ALPHA
    peeking = np.nanmin(found.p, axis=1) <= ALPHA
    assert ever.mean() <= ALPHA
    assert peeking.mean() > 0.2
    assert (found.p[:, -1] <= ALPHA).mean() == pytest.approx(ALPHA, abs=0.02)


def test_a_difference_is_found() -> None:
    random = np.random.default_rng(5)
    ones = np.ones(4_000)
    one, other = (random.binomial(1, rate, 4_000) * 1.0 for rate in (0.3, 0.36))
    found = compare(ratio(one, ones), ratio(other, ones), effect=0.2)
    assert found.always_p < 0.01
    assert found.always_low < 0.06 < found.always_high


def test_the_uplift_that_is_looked_for_is_a_share_of_the_rate() -> None:
    """25% and 35% of as many people, 30% of all: an uplift of 0.2 is a difference of 0.06."""
    one, other = (
        ratio(np.repeat([1.0, 0.0], [clicks, 1_000 - clicks]), np.ones(1_000))
        for clicks in (250, 350)
    )
    found = compare(one, other, effect=0.2)
    variance = estimate(one).variance + estimate(other).variance
    p, half = always_valid(np.asarray(0.1), variance, np.asarray(0.06))
    assert found.always_p == pytest.approx(p)
    assert found.always_high - found.difference == pytest.approx(half)


@pytest.mark.parametrize("people", [0, 1, ENOUGH - 1])
def test_of_too_few_nothing_is_said(people: int) -> None:
    few = ratio(np.arange(people) % 2.0, np.ones(people))
    many = ratio(np.arange(500) % 2.0, np.ones(500))
    found = compare(many, few, effect=0.1)
    assert np.isnan(found.always_p)
    assert np.isnan(found.p)
    assert np.isnan(found.uplift_low)


def test_of_just_enough_something_is_said() -> None:
    enough = ratio(np.arange(ENOUGH) % 2.0, np.ones(ENOUGH))
    for found in (compare(enough, enough, effect=0.1), preference(enough, effect=0.1)):
        assert not np.isnan([found.p, found.always_p]).any()


def test_few_who_rate_of_many_are_few() -> None:
    """Of 1,000 people 3 of each variant rate, alike within it: their variance says nothing."""
    rated, ones = np.repeat([1.0, 0.0], [3, 997]), np.repeat([4.0, 3.0, 0.0], [2, 1, 997])
    found = compare(ratio(4.5 * rated, rated), ratio(ones, rated), effect=0.1)
    assert found.difference == pytest.approx(11 / 3 - 4.5)
    assert np.isnan(found.always_p)
    assert np.isnan(preference(ratio(rated, rated), effect=0.1).p)


def test_how_many_people_are_behind_a_rate() -> None:
    """7 with 2 each, and 5 with none; one with 3 and one with 1: 16 / 10."""
    assert behind(ratio(np.zeros(12), np.repeat([2.0, 0.0], [7, 5]))) == pytest.approx(7)
    assert behind(ratio(np.zeros(2), np.array([3.0, 1.0]))) == pytest.approx(1.6)
    assert behind(ratio(np.zeros(2), np.zeros(2))) == 0


def test_a_mismatch_is_pearsons() -> None:
    counts, weights = np.array([480.0, 560, 460]), np.array([1.0, 1, 1])
    assert mismatch(counts, weights) == pytest.approx(stats.chisquare(counts).pvalue)
    assert mismatch(np.array([750.0, 250]), np.array([3.0, 1])) == pytest.approx(1)
    assert mismatch(np.array([600.0, 400]), np.array([1.0, 1])) < 0.001
    assert mismatch(np.zeros(2), np.ones(2)) == 1


def test_a_preference_by_hand() -> None:
    """Of 100 people 60 prefer one and 40 the other, once each: 0.2, with a variance of 0.96/99."""
    y = np.array([1.0] * 60 + [-1.0] * 40)
    found = preference(ratio(y, np.ones(100)), effect=0.1)
    assert found.difference == pytest.approx(0.2)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * np.sqrt(0.96 / 99))
    assert np.isnan(found.uplift)


def test_linear_combinations_of_figures() -> None:
    rows = np.array([[1.0, 2, 3], [1, 0, 5]])  # two people: 1, figure one, figure two
    found = Ratio.of(rows.T @ rows, np.array([1.0, -1]), np.array([0.0, 2]))
    y, x = rows[:, 1] - rows[:, 2], 2 * rows[:, 2]
    assert list(map(float, found)) == [2, y.sum(), x.sum(), y @ y, x @ y, x @ x]
    mean = Ratio.of(rows.T @ rows, np.array([1.0, 0]), np.zeros(2))
    assert [float(mean.y), float(mean.x), float(mean.xx)] == [2, 2, 2]
