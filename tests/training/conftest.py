from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.build import SMALL, a_predictor, a_ranking, clubs, tables
from training.artifact import Artifact
from training.dataset import Ratings
from training.export import write_artifact
from training.tower_inputs import Ints
from training.trainer import Trainer


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """So small a step is slower in threads, by far where the machine has something else to do."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def club_ratings() -> Ratings:
    """With a movie that nobody has rated."""
    return Ratings.from_tables(*tables(clubs(users=150), range(1, 74)))


@pytest.fixture(scope="session")
def club_events(club_ratings: Ratings) -> Ints:
    return np.arange(len(club_ratings))


@pytest.fixture(scope="session")
def trainer(club_ratings: Ratings, club_events: Ints) -> Trainer:
    trainer = Trainer(club_ratings, club_events, SMALL)
    for _ in range(5):
        trainer.epoch()
    return trainer


@pytest.fixture(scope="session")
def artifact_directory(
    trainer: Trainer,
    club_ratings: Ratings,
    club_events: Ints,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Written once; tests that damage it damage a copy."""
    parent = tmp_path_factory.mktemp("artifacts") / "new"
    metrics = {"live_towers_ndcg": 0.5}
    return write_artifact(
        parent,
        trainer.towers,
        a_ranking(club_ratings),
        a_predictor(club_ratings),
        club_ratings,
        club_events,
        SMALL,
        metrics,
    )


@pytest.fixture(scope="session")
def artifact(artifact_directory: Path) -> Artifact:
    return Artifact.load(artifact_directory)
