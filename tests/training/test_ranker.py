import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from training import ranker
from training.ranker import Impressions

N, C = 4000, 20


def picked(
    utility: np.ndarray, features: dict[str, np.ndarray], ratings: np.ndarray
) -> Impressions:
    """What people with such utilities pick, first in each list."""
    gumbel = np.random.default_rng(1).gumbel(size=utility.shape)
    order = np.argsort(-(utility + gumbel), axis=1)
    swapped = {name: np.take_along_axis(x, order, axis=1) for name, x in features.items()}
    shown = np.ones(utility.shape, np.float32)
    return Impressions(swapped, ratings, shown, np.ones(len(ratings), np.int64))


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    return {name: chance.normal(size=(N, C)).astype(np.float32) for name in ("a", "b", "noise")}


@pytest.fixture(scope="module")
def ratings() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 100, N)


def test_weights_of_a_planted_choice_are_found(
    features: dict[str, np.ndarray], ratings: np.ndarray
) -> None:
    """And those of a feature that more ratings make worth more."""
    known = np.log1p(ratings)[:, None]
    utility = 0.8 * features["a"] + (0.2 + 0.3 * known) * features["b"]
    weights = ranker.fit(picked(utility, features, ratings))
    one = np.ones((1, 1), np.float32)
    for rated in (5, 60):
        worth = {
            name: float(ranker.amounts(found, one, np.array([rated]))[0, 0])
            for name, found in weights.items()
        }
        assert worth["a"] == pytest.approx(0.8, abs=0.12)
        assert worth["b"] == pytest.approx(0.2 + 0.3 * np.log1p(rated), abs=0.15)
        assert worth["noise"] == pytest.approx(0, abs=0.12)


def test_amounts_by_hand() -> None:
    weights = np.array([2.0, 0.5, 10.0], np.float32)
    added = ranker.amounts(weights, np.array([[3.0, -3.0]], np.float32), np.array([6]))
    expected = 2 * 3 + 0.5 * 3 * np.log(7) + 10 * np.log(4)
    np.testing.assert_allclose(added, [[expected, -expected]], rtol=1e-6)


def test_who_stands_for_many_counts_for_many(
    features: dict[str, np.ndarray], ratings: np.ndarray
) -> None:
    """A sample of alternatives gives the weights of all of them; unweighted, it does not.

    The ten likeliest of 200 are always shown, and ten of the others.
    """
    chance = np.random.default_rng(3)
    x = chance.normal(size=(N, 200)).astype(np.float32)
    everything = picked(1.5 * x, {"x": x}, ratings)
    ordered = everything.features["x"]
    others = -np.sort(-ordered[:, 1:], axis=1)
    drawn = chance.permuted(others[:, 10:], axis=1)[:, :10]
    sample = np.concatenate([ordered[:, :1], others[:, :10], drawn], axis=1)
    weighted = np.repeat(np.float32([[1] * 11 + [189 / 10] * 10]), N, axis=0)

    def worth(impressions: Impressions) -> float:
        found = ranker.fit(impressions)["x"]
        two = np.full((1, 1), 2, np.float32)
        return float(ranker.amounts(found, two, np.array([30]))[0, 0]) / 2

    shown = everything._replace(features={"x": sample}, stand_for=weighted)
    assert worth(shown) == pytest.approx(1.5, abs=0.1)
    assert worth(shown._replace(stand_for=np.ones_like(weighted))) != pytest.approx(1.5, abs=0.2)


def test_several_picks_from_one_list_are_as_many_lists(
    features: dict[str, np.ndarray], ratings: np.ndarray
) -> None:
    """Two of three: the same as twice the list, with one of them first in turn."""
    one = {name: x[:500, :3] for name, x in features.items()}
    other = {name: x[:, [1, 0, 2]] for name, x in one.items()}
    both = {name: np.concatenate([x, other[name]]) for name, x in one.items()}
    stand_for = np.tile(np.float32([1, 1, 5]), (1000, 1))
    few = ratings[:500]
    together = Impressions(one, few, stand_for[:500], np.full(500, 2))
    in_turn = Impressions(both, np.tile(few, 2), stand_for, np.ones(1000, np.int64))
    expected = ranker.fit(in_turn)
    for name, weights in ranker.fit(together).items():
        np.testing.assert_allclose(weights, expected[name], atol=1e-3)


def test_what_stands_for_none_is_no_candidate(
    features: dict[str, np.ndarray], ratings: np.ndarray
) -> None:
    shown = picked(features["a"], features, ratings)
    wild = {
        name: np.hstack([x, np.full((N, 1), 1e3, np.float32)]) for name, x in shown.features.items()
    }
    none = np.hstack([shown.stand_for, np.zeros((N, 1), np.float32)])
    expected = ranker.fit(shown)
    found = ranker.fit(shown._replace(features=wild, stand_for=none))
    amounts = [
        ranker.amounts(weights["a"], np.float32([[-1, 0.5, 2]]), np.array([20]))
        for weights in (found, expected)
    ]
    np.testing.assert_allclose(amounts[0], amounts[1], atol=0.01)


def test_nothing_to_learn_from() -> None:
    nobody = np.zeros(0, np.int64)
    empty = Impressions({"x": np.zeros((0, 3), np.float32)}, nobody, np.ones((0, 3)), nobody)
    with pytest.raises(DatasetError, match="nobody picked anything"):
        ranker.fit(empty)
