import numpy as np
import pytest
from scipy import sparse

from tests.training.build import ratings
from training.histories import Histories
from training.mmr import NOWHERE
from training.ranking import Links, Ranking
from training.standing import Standing

LINKS = Links(sparse.csr_array((5, 5), dtype=np.float32), recency=1.0, liked_from=1)


def test_what_links_say_does_not_grow_with_the_history_if_scaled() -> None:
    """Three ratings count of one user, one of another, and none of a third."""
    log = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1), (1, 3, 4.0, 2), (2, 3, 5.0, 0), (3, 3, 1.0, 0)])
    matrix = sparse.csr_array(np.float32([[0, 1, 2], [3, 0, 4], [5, 6, 0]]))
    standing = Histories.of_users(log, np.array([1, 2, 3])).standing()
    plain = Links(matrix, recency=0.5, liked_from=8).scores(standing)
    np.testing.assert_allclose(plain[0], [3 / 2 + 5, 1 / 4 + 6, 2 / 4 + 4 / 2])
    np.testing.assert_allclose(plain[1:], [[5, 6, 0], [0, 0, 0]])
    scaled = Links(matrix, recency=0.5, liked_from=8, scaled=True).scores(standing)
    np.testing.assert_allclose(scaled, plain / np.sqrt([[3], [1], [1]]), rtol=1e-6)


def test_links_propose_only_what_they_lead_to() -> None:
    """Beside them somebody else's, who has a movie that leads nowhere, and one who has left out all
    but what links speak against."""
    asked = Ranking({"ease": LINKS}, {}, {}, proposed={"ease": 2, "heat_30": 1})
    features = {
        "ease": np.float32([[0, 3, 0, 0.5, 2], [0, 0, 0, 0, 0], [5, 0, -1, 0, 0]]),
        "heat_30": np.float32([[1, 2, 9, 4, 5]]),
    }
    left_out = np.zeros((3, 5), np.bool_)
    left_out[2, [0, 1, 3, 4]] = True
    found = asked.proposals(features, left_out)
    assert found["ease"].tolist() == [[1, 4], [NOWHERE] * 2, [NOWHERE] * 2]
    assert found["heat_30"].tolist() == [[2], [2], [2]]
    assert asked.candidates(features, left_out).tolist() == [[1, 4, 2], [2, 2, 2], [2, 2, 2]]
    everything = np.ones((3, 5), np.bool_)
    assert asked.candidates(features, everything).tolist() == [[0] * 3] * 3


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("recency", [1.0, 0.85])
def test_links_say_the_same_of_one_as_of_many(recency: float, scaled: bool) -> None:
    """To the last bit, whether a history is short, long, or none that counts."""
    chance = np.random.default_rng(8)
    links = Links(
        sparse.random_array((300, 300), density=0.1, format="csr", dtype=np.float32, rng=chance),
        recency,
        liked_from=4,
        scaled=scaled,
    )
    lengths = [1, 200, 3, 50]
    alone = []
    for number, length in enumerate(lengths):
        rows = chance.permutation(310)[:length]  # some came later
        half_stars = chance.integers(1, 11, length) if number else np.ones(1, np.int64)
        alone.append(Standing(1, np.zeros(length, np.int64), rows, half_stars))
    columns = [
        np.concatenate([getattr(one, name) for one in alone]) for name in ("rows", "half_stars")
    ]
    together = Standing(len(lengths), np.repeat(np.arange(len(lengths)), lengths), *columns)
    found = links.scores(together, later=10)
    for own, one in zip(found, alone, strict=True):
        np.testing.assert_array_equal(links.scores(one, later=10), own[None])
    assert np.count_nonzero(found, axis=1).tolist()[0] == 0
