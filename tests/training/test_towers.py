from typing import Any

import numpy as np
import pytest
import torch

from stream.contracts.errors import ConfigurationError
from training.scorer import embed_users, padded_vectors
from training.tower_inputs import PADDING, USER_FEATURES, TowerInputs
from training.towers import TwoTowers
from training.user_towers import USER_TOWERS, TowerConfig

MOVIES, FEATURES, HISTORY = 30, 9, 4


@pytest.fixture(params=USER_TOWERS)
def towers(request: pytest.FixtureRequest) -> TwoTowers:
    torch.manual_seed(0)
    features = np.random.default_rng(0).random((MOVIES, FEATURES), np.float32)
    features[7] = features[6]
    rated = np.arange(MOVIES) < 25
    return TwoTowers(TowerConfig(user=request.param, dimensions=16), features, rated).eval()


def inputs(*histories: list[tuple[int, float, float]]) -> TowerInputs:
    """From (index, stars, days before the latest), latest first, one list a user."""
    made = TowerInputs(
        np.zeros((len(histories), HISTORY), np.int64),
        np.zeros((len(histories), HISTORY), np.float32),
        np.zeros((len(histories), HISTORY), np.float32),
        np.zeros((len(histories), USER_FEATURES), np.float32),
    )
    for user, history in enumerate(histories):
        for place, values in enumerate(history):
            for column, value in zip(made[:3], values, strict=True):
                column[user, place] = value
    return made


@torch.no_grad()
def embed(towers: TwoTowers, *histories: list[tuple[int, float, float]]) -> np.ndarray:
    vectors = torch.from_numpy(padded_vectors(towers))
    return embed_users(towers, vectors, inputs(*histories)).numpy()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"user": "both"}, "no user tower 'both': there are pooled, sequential, combined"),
        ({"user": "combined", "width": 65}, "2 heads cannot share states of width 65"),
    ],
)
def test_towers_that_cannot_be(shape: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TwoTowers(TowerConfig(**shape), np.zeros((1, FEATURES), np.float32), np.ones(1, bool))


def test_vectors_have_length_one(towers: TwoTowers) -> None:
    vectors = padded_vectors(towers)
    np.testing.assert_allclose(np.linalg.norm(vectors[1:], axis=1), 1, atol=1e-6)
    assert not vectors[PADDING].any()
    users = embed(towers, [(1, 4.0, 0.0)], [])
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-6)


def test_movies_of_the_same_content_differ_by_their_embedding(towers: TwoTowers) -> None:
    vectors = padded_vectors(towers)
    assert not np.allclose(vectors[7], vectors[8], atol=0.01)  # rows 6 and 7


def test_an_unrated_movie_is_embedded_by_its_content_alone(towers: TwoTowers) -> None:
    with torch.no_grad():
        new = towers.items(torch.tensor([PADDING]), towers.features[[28]]).numpy()[0]
    np.testing.assert_allclose(padded_vectors(towers)[28], new, atol=1e-6)


def test_what_is_hidden_is_embedded_by_its_content_alone(towers: TwoTowers) -> None:
    with torch.no_grad():
        shown, hidden = towers.movie_vectors(
            torch.tensor([7, 8]), torch.tensor([False, True])
        ).numpy()
        alone = towers.items(torch.tensor([PADDING]), towers.features[[8]]).numpy()[0]
    np.testing.assert_allclose(hidden, alone, atol=1e-6)
    assert not np.allclose(shown, hidden, atol=0.01)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([(1, 4.0, 0.0), (3, 4.0, 9.0)], id="another movie"),
        pytest.param([(1, 4.0, 0.0), (2, 1.0, 9.0)], id="another rating"),
        pytest.param([(1, 4.0, 0.0), (2, 4.0, 900.0)], id="longer ago"),
        pytest.param([(2, 4.0, 0.0), (1, 4.0, 9.0)], id="another order"),
    ],
)
def test_a_user_is_their_history(
    towers: TwoTowers, changed: list[tuple[int, float, float]]
) -> None:
    one, other = embed(towers, [(1, 4.0, 0.0), (2, 4.0, 9.0)], changed)
    assert not np.allclose(one, other, atol=1e-4)


def test_what_padding_points_at_does_not_matter(towers: TwoTowers) -> None:
    vectors = torch.from_numpy(padded_vectors(towers))
    some = inputs([(1, 4.0, 0.0), (2, 3.0, 1.0)])
    with torch.no_grad():
        before = embed_users(towers, vectors, some)
        vectors[PADDING] = 100
        after = embed_users(towers, vectors, some)
    torch.testing.assert_close(before, after)


def test_a_movie_that_the_model_does_not_know_says_nothing_of_itself(towers: TwoTowers) -> None:
    known = embed(towers, [(1, 4.0, 0.0)])
    with_unknown = embed(towers, [(1, 4.0, 0.0), (PADDING, 4.0, 9.0)])
    np.testing.assert_allclose(known, with_unknown, atol=1e-6)


def test_how_wide_the_inputs_are_does_not_matter(towers: TwoTowers) -> None:
    vectors = torch.from_numpy(padded_vectors(towers))
    some = inputs([(1, 4.0, 0.0), (2, 3.0, 1.0)])
    narrow = TowerInputs(*(column[:, :2] for column in some[:3]), some.features)
    with torch.no_grad():
        torch.testing.assert_close(
            embed_users(towers, vectors, narrow), embed_users(towers, vectors, some)
        )
