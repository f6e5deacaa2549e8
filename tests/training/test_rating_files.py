from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import ArtifactError
from tests.training.baselines.test_rating_prediction import noisy
from tests.training.build import ratings
from training.dataset import Ratings
from training.rating_arrays import to_arrays
from training.rating_files import RATING, read_rating, write_rating
from training.rating_model import RatingModel
from training.rating_served import learn
from training.split import split_by_time

MOVIES = 80


@pytest.fixture(scope="module")
def log() -> Ratings:
    return ratings(noisy(), range(1, MOVIES + 1))


@pytest.fixture(scope="module")
def model(log: Ratings) -> RatingModel:
    return learn(log, split_by_time(log)).model


@pytest.fixture
def directory(model: RatingModel, tmp_path: Path) -> Path:
    write_rating(tmp_path, model)
    return tmp_path


def test_it_comes_back_as_it_was(model: RatingModel, directory: Path) -> None:
    read = to_arrays(read_rating(directory, MOVIES))
    written = to_arrays(model)
    assert read.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(read[name], array)


def test_processes_share_what_is_mapped(directory: Path) -> None:
    alike = read_rating(directory, MOVIES).known.alike
    assert isinstance(alike.base, np.memmap)


def test_it_is_of_other_movies(directory: Path) -> None:
    with pytest.raises(ArtifactError, match="80 movies, not of 81"):
        read_rating(directory, MOVIES + 1)


@pytest.mark.parametrize("name", ["weights", "alike", "sizes.then.0", "population"])
def test_one_array_is_missing(directory: Path, name: str) -> None:
    (directory / RATING / f"{name}.npy").unlink()
    with pytest.raises(ArtifactError, match="no whole predictor of ratings"):
        read_rating(directory, MOVIES)


@pytest.mark.parametrize("name", ["weights", "alike", "population", "groups", "factors", "content"])
def test_one_array_has_another_shape(directory: Path, name: str) -> None:
    path = directory / RATING / f"{name}.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(ArtifactError, match="do not fit"):
        read_rating(directory, MOVIES)


def test_an_array_is_cut_off(directory: Path) -> None:
    path = directory / RATING / "weights.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match="no whole predictor of ratings"):
        read_rating(directory, MOVIES)
