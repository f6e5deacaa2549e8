from collections.abc import Sequence
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.stability import BINS, CERTAINTY, MIN_USERS, Sample, binned, edges, shift


def sample(*of_users: Sequence[float]) -> Sample:
    return Sample(np.array(of_users, np.float64))


def people(first: int, second: int, each: float = 1) -> Sample:
    """People who are all in the one bin or all in the other."""
    return sample(*[(each, 0)] * first, *[(0, each)] * second)


def test_a_sample_of_events() -> None:
    users, bins = np.array([7, 3, 7, 7]), np.array([0, 2, 2, 0])
    assert Sample.of(users, bins, 3).counts.tolist() == [[0, 0, 1], [2, 0, 1]]
    weighted = Sample.of(users, bins, 3, np.array([0.5, 1, 0.25, 2]))
    assert weighted.counts.tolist() == [[0, 0, 1], [2.5, 0, 0.25]]


def test_the_index_by_hand() -> None:
    """10 and 10 people, then 15 and 5, each bin with half a count more."""
    before, now = (10.5 / 21, 10.5 / 21), (15.5 / 21, 5.5 / 21)
    expected = sum((q - p) * log(q / p) for p, q in zip(before, now, strict=True))
    assert shift(people(10, 10), people(15, 5)).amount == pytest.approx(expected)
    assert shift(people(15, 5), people(10, 10)).amount == pytest.approx(expected)
    assert shift(people(10, 10), people(10, 10)).amount == 0


def test_the_noise_by_hand() -> None:
    """An event each, half of them in either bin: a chi-square with one degree of freedom, times
    the variance 1/4 / (n - 1) of each share by its 1/2, over two bins and two samples."""
    found = shift(people(10, 10), people(50, 50))
    scale = 2 * (0.25 / 19 + 0.25 / 99) / 0.5
    assert found.noise == pytest.approx(scale * stats.chi2.ppf(CERTAINTY, 1))


def test_ten_equal_events_of_a_person_say_no_more_than_one() -> None:
    once, often = (shift(people(12, 12), people(16, 8, each)) for each in (1, 10))
    assert often.noise == pytest.approx(once.noise, rel=0.02)  # but for the half counts
    alike = sample(*[(1, 1)] * 30)
    assert shift(alike, alike).noise == 0


def test_few_people_say_nothing() -> None:
    enough = people(MIN_USERS, 0)
    for few in (people(MIN_USERS - 1, 0), Sample(np.zeros((0, 2)))):
        assert np.isnan(shift(few, enough)).all()
        assert np.isnan(shift(enough, few)).all()


def drawn(chance: np.random.Generator, shares: Sequence[float]) -> Sample:
    """60 people with tastes of their own and from 1 to some hundred events."""
    tastes = chance.dirichlet(np.array(shares) * 20, 60)
    return Sample(chance.multinomial(chance.geometric(0.03, 60), tastes).astype(np.float64))


def test_chance_is_seldom_taken_for_a_shift_and_a_shift_is_seen() -> None:
    """Of 400 pairs without one, 0.4 are expected; without the people's tastes it would be 100."""
    chance, shares = np.random.default_rng(0), (0.1, 0.2, 0.3, 0.4)
    found = [shift(drawn(chance, shares), drawn(chance, shares)) for _ in range(400)]
    assert sum(one.amount > one.noise for one in found) <= 4
    found = [shift(drawn(chance, shares), drawn(chance, shares[::-1])) for _ in range(50)]
    assert all(one.amount > one.noise for one in found)


def test_tenths_of_the_reference() -> None:
    bounds = edges(np.arange(1.0, 101))
    assert len(bounds) == BINS - 1
    bins, count = binned(np.arange(1.0, 101), bounds)
    assert np.bincount(bins, minlength=count).tolist() == [10] * BINS + [0]
    # The lowest bin ends with its edge, what many share is in one bin, and NaN in its own.
    assert edges(np.array([1.0, 1, 1, 1, 1, 1, 1, 2, np.nan])).tolist() == [1.0, pytest.approx(1.3)]
    assert [
        bins.tolist() for bins, _ in [binned(np.array([0, 1, 1.1, 2, np.nan]), np.ones(1))]
    ] == [[0, 0, 1, 1, 2]]


numbers = st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), max_size=50)


@given(numbers, numbers)
def test_every_number_has_a_bin(reference: list[float], values: list[float]) -> None:
    bounds = edges(np.array(reference, np.float64))
    bins, count = binned(np.array(values, np.float64), bounds)
    assert ((bins >= 0) & (bins < count)).all()
    known = ~np.isnan(np.array(values, np.float64))
    assert (bins[~known] == count - 1).all()
    order = np.argsort(np.array(values)[known])
    assert (np.diff(bins[known][order]) >= 0).all()
    assert (bins[known] < count - 1).all()
