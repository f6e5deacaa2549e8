"""The same user tower in torch and in ONNX Runtime."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from tests.suites.user_tower import Embed, UserTowerSuite, some_inputs
from tests.training.build import SMALL
from training.artifact import USER_TOWER, Artifact, exported_inputs
from training.dataset import Ratings
from training.export import export_towers
from training.histories import Histories
from training.scorer import TowerScorer, embed_users, padded_vectors
from training.tower_inputs import (
    PADDING,
    USER_FEATURES,
    Floats,
    Ints,
    TowerInputs,
    movie_features,
)
from training.trainer import Trainer


@pytest.fixture
def in_torch(trainer: Trainer) -> Embed:
    vectors = torch.from_numpy(padded_vectors(trainer.towers))

    @torch.inference_mode()
    def embed(inputs: TowerInputs) -> Floats:
        users: Floats = embed_users(trainer.towers, vectors, inputs).numpy()
        return users

    return embed


class TestTorch(UserTowerSuite):
    @pytest.fixture
    def embed(self, in_torch: Embed) -> Embed:
        return in_torch


class TestOnnxRuntime(UserTowerSuite):
    @pytest.fixture
    def embed(self, artifact: Artifact) -> Embed:
        return artifact.embed_users


@pytest.fixture(scope="module")
def combined(club_ratings: Ratings, club_events: Ints) -> Trainer:
    """Not trained, which takes nothing from the check."""
    towers = replace(SMALL.towers, user="combined", width=8)
    return Trainer(club_ratings, club_events, replace(SMALL, towers=towers))


@pytest.fixture(scope="module")
def session(combined: Trainer, tmp_path_factory: pytest.TempPathFactory) -> InferenceSession:
    directory = tmp_path_factory.mktemp("combined")
    export_towers(directory, combined.towers)
    return InferenceSession(directory / USER_TOWER)


class TestCombined(UserTowerSuite):
    """Pooled and sequential together, through ONNX Runtime."""

    @pytest.fixture
    def trainer(self, combined: Trainer) -> Trainer:
        return combined

    @pytest.fixture
    def embed(self, session: InferenceSession, combined: Trainer) -> Embed:
        vectors = padded_vectors(combined.towers)
        return lambda inputs: session.run(None, exported_inputs(inputs, vectors[1:]))[0]

    def test_as_in_torch(self, embed: Embed, in_torch: Embed) -> None:
        inputs = some_inputs(200)
        np.testing.assert_allclose(embed(inputs), in_torch(inputs), atol=1e-5)


def test_the_exported_tower_is_given_vectors_where_there_are_any() -> None:
    inputs = TowerInputs(
        history=np.array([[2, PADDING]]),
        ratings=np.array([[4, 3.5]], np.float32),  # the second one of a movie that is not known
        ages=np.zeros((1, 2), np.float32),
        features=np.zeros((1, USER_FEATURES), np.float32),
    )
    given = exported_inputs(inputs, np.array([[5, 6], [7, 8]], np.float32))
    assert given["rated"].tolist() == [[[7, 8], [0, 0]]]
    assert given["known"].tolist() == [[True, False]]
    assert given.keys() == {"rated", "known", "ratings", "ages", "features"}


def test_both_give_the_same_vectors(artifact: Artifact, in_torch: Embed) -> None:
    inputs = some_inputs(200)
    np.testing.assert_allclose(artifact.embed_users(inputs), in_torch(inputs), atol=1e-5)


def test_what_is_served_scores_as_what_was_measured(
    artifact: Artifact, trainer: Trainer, club_ratings: Ratings, club_events: Ints
) -> None:
    histories = Histories.before(club_ratings, club_events)
    served = artifact.embed_users(histories.tower_inputs(artifact.manifest.history))
    measured = TowerScorer(trainer.towers).score(histories)
    np.testing.assert_allclose(served @ artifact.items.vectors.T, measured, atol=1e-5)


def test_item_vectors_are_the_item_towers(
    artifact: Artifact, trainer: Trainer, club_ratings: Ratings
) -> None:
    movies = club_ratings.movies
    index = torch.full((len(movies),), PADDING)
    features = torch.from_numpy(movie_features(movies, club_ratings.genres))
    with torch.no_grad():
        in_torch = trainer.towers.items(index, features).numpy()
    np.testing.assert_allclose(artifact.item_vectors_for(movies), in_torch, atol=1e-5)
