import numpy as np
import pytest

from stream.features import DAY, HALF_LIVES, HEAT_HALF_LIFE
from training.live import COLDEST, heat_up, live_features, no_heats


def test_heat_by_hand() -> None:
    """Two ratings of movie 0 on one day weigh 2 then; half as much a half-life later."""
    heats = no_heats(3)
    day = int(10_000 * DAY)
    later = day + int(HEAT_HALF_LIFE * DAY)
    heat_up(heats, np.array([0, 0, 1, 1, 1]), np.array([day, day, later, later, later]))
    found = live_features(heats)[f"heat_{HEAT_HALF_LIFE:g}"]
    np.testing.assert_allclose(found, [np.log2(1 / 3), 0, -COLDEST], rtol=1e-5)


def test_the_order_and_the_batches_of_ratings_make_no_difference() -> None:
    chance = np.random.default_rng(3)
    rows, times = chance.integers(0, 20, 500), chance.integers(0, 900 * DAY, 500)
    once, twice = no_heats(20), no_heats(20)
    heat_up(once, rows, times)
    heat_up(twice, rows[300:], times[300:])
    heat_up(twice, rows[:300], times[:300])
    np.testing.assert_allclose(once, twice)


def test_replaying_years_later_changes_nothing() -> None:
    chance = np.random.default_rng(4)
    rows, times = chance.integers(0, 20, 500), chance.integers(0, 90 * DAY, 500)
    then, now = no_heats(20), no_heats(20)
    heat_up(then, rows, times)
    heat_up(now, rows, times + 10_000 * DAY)
    for name, values in live_features(then).items():
        assert live_features(now)[name] == pytest.approx(values, abs=1e-4)


def test_where_nobody_has_rated_all_are_alike() -> None:
    features = live_features(no_heats(4))
    assert len(features) == len(HALF_LIVES)
    for values in features.values():
        np.testing.assert_array_equal(values, 0)
