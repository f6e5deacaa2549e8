import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, everything, ratings
from training.evaluate import K, frozen, live
from training.histories import Histories
from training.tower_inputs import Floats

MOVIES = range(1, 31)


class ById:
    """Best is the highest movie id."""

    def score(self, histories: Histories) -> Floats:
        return np.tile(np.arange(len(MOVIES), dtype=np.float32), (len(histories), 1))


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
    quality = live(data, ById(), everything(data))
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
    quality = frozen(data, ById(), after)
    ideal = 1 + 1 / np.log2(3)
    assert quality == pytest.approx((2, (1 / 2 + 0) / 2, (1 / ideal + 0) / 2, 1 / 2))


def test_evenly_spaced_lists_stand_for_all() -> None:
    events = [(user, 1 + (user + i) % 30, 4.0, i * HOUR) for user in range(50) for i in range(4)]
    data = ratings(events, MOVIES)
    assert live(data, ById(), everything(data), max_lists=40).lists == 38  # every fourth of 150
    after = np.flatnonzero(data.times > data.times.min())
    assert frozen(data, ById(), after, max_lists=20).lists == 17


def test_a_catalogue_smaller_than_a_list() -> None:
    data = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1)])
    with pytest.raises(DatasetError, match=f"a list of {K} movies needs more than 2"):
        live(data, ById(), everything(data))
