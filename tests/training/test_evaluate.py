import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, everything, ratings
from training.baselines import Popularity
from training.evaluate import K, frozen, live, recommend
from training.tower_inputs import Floats, Ints

MOVIES = range(1, 31)


def by_id(events: Ints) -> Floats:
    """Best is the highest movie id."""
    return np.tile(np.arange(len(MOVIES), dtype=np.float32), (len(events), 1))


def test_best_first_without_what_the_user_has_rated() -> None:
    data = ratings([(1, 30, 1.0, 0), (1, 28, 4.0, HOUR), (1, 1, 4.0, 2 * HOUR)], MOVIES)
    top = recommend(data, by_id, np.array([2, 0]))
    assert (top[0] + 1).tolist() == [29, 27, 26, 25, 24, 23, 22, 21, 20, 19]
    assert (top[1] + 1).tolist() == [30, 29, 28, 27, 26, 25, 24, 23, 22, 21]


def test_many_lists_are_what_each_alone_is() -> None:
    chance = np.random.default_rng(0)
    data = ratings(
        [
            (u, int(m), 4.0, i * HOUR)
            for u in range(60)
            for i, m in enumerate(chance.choice(30, 9) + 1)
        ],
        MOVIES,
    )
    taste = chance.random((len(data), len(MOVIES)), np.float32)
    together = recommend(data, lambda events: taste[events], everything(data))
    alone = [recommend(data, lambda events: taste[events], np.array([e])) for e in (0, 100, 539)]
    np.testing.assert_array_equal(together[[0, 100, 539]], np.concatenate(alone))


def test_live_asks_for_each_liked_movie_from_the_state_right_before_it() -> None:
    data = ratings(
        [
            (1, 30, 4.0, 0),  # no state yet
            (1, 22, 4.0, 1 * HOUR),  # 29..20 are recommended: rank 8
            (1, 29, 3.5, 2 * HOUR),  # not liked
            (1, 20, 5.0, 3 * HOUR),  # 28..23, 21..18: rank 8
            (1, 2, 5.0, 4 * HOUR),  # missed
            (2, 30, 4.0, 0),  # no state yet
        ],
        MOVIES,
    )
    quality = live(data, by_id, everything(data))
    assert quality.lists == 3
    assert quality.recall == quality.hit_rate == pytest.approx(2 / 3)
    assert quality.ndcg == pytest.approx((2 / np.log2(9)) / 3)


def test_frozen_asks_for_all_liked_movies_from_the_state_before_the_first() -> None:
    data = ratings(
        [
            (1, 30, 4.0, 0),
            (1, 29, 4.0, 10 * HOUR),  # rank 1
            (1, 1, 4.0, 11 * HOUR),  # missed
            (1, 28, 2.0, 12 * HOUR),  # not liked, but still in the list
            (2, 20, 4.0, 0),
            (2, 5, 4.0, 10 * HOUR),  # missed
            (3, 30, 4.0, 10 * HOUR),  # had rated nothing by then
            (4, 30, 4.0, 0),
            (4, 29, 1.0, 10 * HOUR),  # liked nothing afterwards
        ],
        MOVIES,
    )
    after = np.flatnonzero(data.times >= data.times.min() + 10 * HOUR)
    quality = frozen(data, by_id, after)
    ideal = 1 + 1 / np.log2(3)
    assert quality == pytest.approx((2, (1 / 2 + 0) / 2, (1 / ideal + 0) / 2, 1 / 2))


def test_evenly_spaced_lists_stand_for_all() -> None:
    events = [(user, 1 + (user + i) % 30, 4.0, i * HOUR) for user in range(50) for i in range(4)]
    data = ratings(events, MOVIES)
    assert live(data, by_id, everything(data), max_lists=40).lists == 38  # every fourth of 150
    after = np.flatnonzero(data.times > data.times.min())
    assert frozen(data, by_id, after, max_lists=20).lists == 17


def test_popularity_counts_who_liked_it_in_the_events_given() -> None:
    data = ratings([(1, 1, 4.0, 0), (2, 1, 3.5, 0), (3, 2, 5.0, 0), (4, 3, 5.0, 99)], [1, 2, 3])
    scores = Popularity(data, np.flatnonzero(data.times < data.times.max()))(np.array([0, 1]))
    assert scores.tolist() == [[1, 1, 0]] * 2


def test_a_catalogue_smaller_than_a_list() -> None:
    data = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1)])
    with pytest.raises(DatasetError, match=f"a list of {K} movies needs more than 2"):
        live(data, Popularity(data, everything(data)), everything(data))
