import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from training import ranker
from training.ranker import Impressions

N, C = 4000, 20


def picked(utility: np.ndarray, features: dict[str, np.ndarray]) -> Impressions:
    """What people with such utilities pick, first in each list."""
    gumbel = np.random.default_rng(1).gumbel(size=utility.shape)
    order = np.argsort(-(utility + gumbel), axis=1)
    swapped = {name: np.take_along_axis(x, order, axis=1) for name, x in features.items()}
    return Impressions(swapped, np.ones(utility.shape, np.float32), np.ones(len(utility), np.int64))


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    return {name: chance.normal(size=(N, C)).astype(np.float32) for name in ("a", "b", "noise")}


def test_weights_of_a_planted_choice_are_found(features: dict[str, np.ndarray]) -> None:
    """One feature counts in proportion, the other less the further out it is."""
    b = 100 * features["b"]  # of any size
    planted = {"a": 0.8 * features["a"], "b": 2 * np.sign(b) * np.log1p(np.abs(b) / 100)}
    shown = picked(planted["a"] + planted["b"], features | {"b": b})
    weights = ranker.fit(shown)
    x = np.float32([[-2, -1, 0.5, 1, 2]])
    found = {
        name: ranker.amounts(of, x if name != "b" else 100 * x) for name, of in weights.items()
    }
    np.testing.assert_allclose(found["a"], 0.8 * x, atol=0.15)
    np.testing.assert_allclose(found["b"], 2 * np.sign(x) * np.log1p(np.abs(x)), atol=0.2)
    np.testing.assert_allclose(found["noise"], 0 * x, atol=0.15)


def test_amounts_by_hand() -> None:
    weights = np.array([2.0, 0.5, 10.0], np.float32)
    added = ranker.amounts(weights, np.array([[3.0, -3.0]], np.float32))
    expected = 2 * 3 + 0.5 * np.log(31)
    np.testing.assert_allclose(added, [[expected, -expected]], rtol=1e-6)


def test_utilities_add_up_what_has_a_weight() -> None:
    weights = {"one": np.float32([2, 0, 1]), "all": np.float32([-1, 0, 1])}
    features = {"one": np.float32([[1, 2], [3, 4]]), "all": np.float32([[10, 20]])}
    found = ranker.utilities(weights, features | {"other": np.float32([[99, 99]])})
    np.testing.assert_allclose(found, [[-8, -16], [-4, -12]])


def test_a_feature_without_a_difference_is_worth_nothing(features: dict[str, np.ndarray]) -> None:
    shown = picked(features["a"], {"a": features["a"], "none": np.zeros((N, C), np.float32)})
    weights = ranker.fit(shown)
    np.testing.assert_array_equal(ranker.amounts(weights["none"], np.float32([[0, 0]])), [[0, 0]])
    assert ranker.amounts(weights["a"], np.float32([[1]]))[0, 0] == pytest.approx(1, abs=0.1)


def test_who_stands_for_many_counts_for_many() -> None:
    """A sample of alternatives gives the weights of all of them; unweighted, it does not.

    The ten likeliest of 200 are always shown, and ten of the others.
    """
    chance = np.random.default_rng(3)
    x = chance.normal(size=(N, 200)).astype(np.float32)
    everything = picked(1.5 * x, {"x": x})
    ordered = everything.features["x"]
    others = -np.sort(-ordered[:, 1:], axis=1)
    drawn = chance.permuted(others[:, 10:], axis=1)[:, :10]
    sample = np.concatenate([ordered[:, :1], others[:, :10], drawn], axis=1)
    weighted = np.repeat(np.float32([[1] * 11 + [189 / 10] * 10]), N, axis=0)

    def worth(impressions: Impressions) -> float:
        found = ranker.fit(impressions)["x"]
        two = np.full((1, 1), 2, np.float32)
        return float(ranker.amounts(found, two)[0, 0]) / 2

    shown = everything._replace(features={"x": sample}, stand_for=weighted)
    assert worth(shown) == pytest.approx(1.5, abs=0.1)
    assert worth(shown._replace(stand_for=np.ones_like(weighted))) != pytest.approx(1.5, abs=0.2)


def test_several_picks_from_one_list_are_as_many_lists(features: dict[str, np.ndarray]) -> None:
    """Two of three: the same as twice the list, with one of them first in turn."""
    one = {name: x[:500, :3] for name, x in features.items()}
    other = {name: x[:, [1, 0, 2]] for name, x in one.items()}
    both = {name: np.concatenate([x, other[name]]) for name, x in one.items()}
    stand_for = np.tile(np.float32([1, 1, 5]), (1000, 1))
    together = Impressions(one, stand_for[:500], np.full(500, 2))
    in_turn = Impressions(both, stand_for, np.ones(1000, np.int64))
    expected = ranker.fit(in_turn)
    for name, weights in ranker.fit(together).items():
        np.testing.assert_allclose(weights, expected[name], atol=1e-3)


def test_what_stands_for_none_is_no_candidate(features: dict[str, np.ndarray]) -> None:
    shown = picked(features["a"], features)
    wild = {
        name: np.hstack([x, np.full((N, 1), 1e3, np.float32)]) for name, x in shown.features.items()
    }
    none = np.hstack([shown.stand_for, np.zeros((N, 1), np.float32)])
    expected = ranker.fit(shown)
    found = ranker.fit(shown._replace(features=wild, stand_for=none))
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, atol=1e-4)


def test_nothing_to_learn_from() -> None:
    nothing = np.zeros((0, 3), np.float32)
    empty = Impressions({"x": nothing}, nothing, np.zeros(0, np.int64))
    with pytest.raises(DatasetError, match="nobody picked anything"):
        ranker.fit(empty)
