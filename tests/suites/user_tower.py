"""What every way to run a user tower must do. Subclass it and provide the `embed` fixture."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from training.tower_inputs import USER_FEATURES, Floats, TowerInputs

Embed: TypeAlias = Callable[[TowerInputs], Floats]

MOVIES = 72  # that the tower must know
HISTORY = 50  # ratings that it must read


def some_inputs(users: int, seed: int = 0) -> TowerInputs:
    """People with histories of every length, the first with none."""
    chance = np.random.default_rng(seed)
    lengths = np.minimum(np.arange(users), HISTORY)
    there = np.arange(HISTORY) < lengths[:, None]
    ages = np.sort(chance.exponential(100, there.shape), axis=1)
    return TowerInputs(
        history=np.where(there, chance.integers(1, MOVIES + 1, there.shape), 0),
        ratings=np.where(there, chance.integers(1, 11, there.shape) / 2, 0).astype(np.float32),
        ages=np.where(there, ages - ages[:, :1], 0).astype(np.float32),
        features=chance.normal(size=(users, USER_FEATURES)).astype(np.float32),
    )


def part(inputs: TowerInputs, users: slice) -> TowerInputs:
    return TowerInputs(*(column[users] for column in inputs))


class UserTowerSuite:
    @pytest.fixture
    def embed(self) -> Embed:
        raise NotImplementedError

    def test_vectors_have_length_one(self, embed: Embed) -> None:
        vectors = embed(some_inputs(60))
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    @pytest.mark.parametrize("users", [0, 1, 2, 7])
    def test_any_number_of_users(self, embed: Embed, users: int) -> None:
        assert len(embed(some_inputs(users))) == users

    def test_a_user_does_not_depend_on_who_else_is_asked_for(self, embed: Embed) -> None:
        inputs = some_inputs(60)
        together = embed(inputs)
        for user in (0, 1, 30, 59):
            alone = embed(part(inputs, slice(user, user + 1)))
            np.testing.assert_allclose(alone[0], together[user], atol=1e-5)

    def test_the_latest_rating_matters_more_than_the_oldest(self, embed: Embed) -> None:
        inputs = part(some_inputs(60), slice(59, 60))
        moved = []
        for place in (0, HISTORY - 1):
            history = inputs.history.copy()
            history[0, place] = history[0, place] % MOVIES + 1
            changed = embed(inputs._replace(history=history))
            moved.append(float(np.linalg.norm(changed - embed(inputs))))
        assert moved[0] > 2 * moved[1]
