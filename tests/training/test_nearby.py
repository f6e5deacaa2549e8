import numpy as np

from tests.training.build import everything, ratings
from training.histories import Histories
from training.nearby import RECENCY, nearness
from training.ranking import Links


def test_nearness_by_hand() -> None:
    """One user rates 1, 2, 3; another one 3 and 1: events are 1, 2 and 1 apart."""
    log = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1), (1, 3, 4.0, 2), (2, 3, 1.0, 0), (2, 1, 5.0, 1)])
    near = nearness(log).toarray()
    once, twice = np.sqrt(7 * 6), 7.0
    expected = [[0, 1 / once, 1.8 / twice], [1 / once, 0, 1 / once], [1.8 / twice, 1 / once, 0]]
    np.testing.assert_allclose(near, expected, rtol=1e-6)
    histories = Histories.before(log, everything(log)[2:3])
    said = Links(nearness(log), RECENCY, liked_from=1).scores(histories.standing())
    np.testing.assert_allclose(said[0, 2], 0.75 * 1.8 / twice + 1 / once, rtol=1e-6)
