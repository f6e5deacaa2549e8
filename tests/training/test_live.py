import numpy as np
import pytest

from stream.features import DAY, HEAT_HALF_LIFE, HEATS
from tests.stream.build import folded, rating
from training.live import FLOOR, Counted, live_features


def test_heat_by_hand() -> None:
    """Two ratings of movie 0 on one day weigh 2 then; half as much a half-life later."""
    counted = Counted(3)
    day = int(10_000 * DAY)
    later = day + int(HEAT_HALF_LIFE * DAY)
    users, times = np.array([1, 2, 3, 4, 5]), np.array([day, day, later, later, later])
    counted.observe(users, np.array([0, 0, 1, 1, 1]), times)
    found = live_features(counted.heats)["heat_30"]
    expected = np.log2([1 / 3 + FLOOR, 1 + FLOOR, FLOOR])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_heats_are_those_of_the_stream() -> None:
    """Of people with up to 40 ratings, some of them repeated, told in batches of any size."""
    chance = np.random.default_rng(3)
    users, movies = chance.integers(1, 15, 300), chance.integers(1, 21, 300)
    times = np.sort(chance.integers(0, 900, 300)) * DAY
    states = folded(
        rating(user, movie, 3.0, time)
        for user, movie, time in zip(users.tolist(), movies.tolist(), times.tolist(), strict=True)
    ).movies
    counted = Counted(21)
    for some in np.split(np.arange(300), [1, 7, 7, 120]):
        counted.observe(users[some], movies[some], times[some])
    for movie, heats in enumerate(counted.heats.T):
        expected = states[movie].heats if movie in states else (-np.inf,) * len(HEATS)
        np.testing.assert_allclose(heats, expected, atol=1e-9)


def test_a_copy_observes_on_its_own() -> None:
    counted = Counted(2)
    rated = np.zeros(10, np.int64)
    counted.observe(rated, rated, rated)
    twin = counted.copy()
    before = counted.heats.copy()
    one = np.array([0])
    twin.observe(one, one + 1, one)
    np.testing.assert_array_equal(counted.heats, before)
    counted.observe(one, one + 1, one)  # the eleventh rating, not the twelfth
    np.testing.assert_array_equal(counted.heats, twin.heats)


def test_replaying_years_later_changes_nothing() -> None:
    chance = np.random.default_rng(4)
    users, rows = chance.integers(0, 40, 500), chance.integers(0, 20, 500)
    times = chance.integers(0, 90 * DAY, 500)
    then, now = Counted(20), Counted(20)
    then.observe(users, rows, times)
    now.observe(users, rows, times + 10_000 * DAY)
    for name, values in live_features(then.heats).items():
        assert live_features(now.heats)[name] == pytest.approx(values, abs=1e-4)


def test_where_nobody_has_rated_all_are_alike() -> None:
    features = live_features(Counted(4).heats)
    assert len(features) == len(HEATS)
    for values in features.values():
        np.testing.assert_array_equal(values, values[0])
