"""Real ratings for the models that published figures exist of."""

import pytest

from producers.datasets import find, load
from training.dataset import Ratings
from training.split import Random
from training.task import Task, task


@pytest.fixture(scope="session")
def hundred_k(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """MovieLens 100K, a quarter of each user's ratings held out at random."""
    dataset = load(find("100k", cache=tmp_path_factory.mktemp("data"), say=lambda _: None))
    ratings = Ratings.from_tables(dataset.ratings, dataset.movies)
    return task(ratings, Random(test=0.25).parts(ratings)[0])
