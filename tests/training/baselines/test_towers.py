from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, clubs, ratings, tables
from training import pipeline
from training.baselines.popularity import Popularity
from training.baselines.towers import Towers
from training.dataset import Ratings
from training.histories import Histories
from training.options import RunOptions
from training.recommender import recommend
from training.scorer import TowerScorer
from training.towers import TwoTowers

EPOCHS = 2


@pytest.fixture(scope="module")
def data() -> Ratings:
    return ratings(clubs(users=100))


@pytest.fixture(scope="module")
def model(data: Ratings) -> Towers:
    model = Towers(max_epochs=EPOCHS)
    model.fit(data)
    return model


def test_they_are_the_ones_that_the_pipeline_exports(
    data: Ratings, model: Towers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[TwoTowers] = []

    def keep(parent: Path, towers: TwoTowers, *_: object) -> Path:
        exported.append(towers)
        return parent

    monkeypatch.setattr(pipeline, "write_artifact", keep)
    pipeline.train(*tables(clubs(users=100)), tmp_path, options=RunOptions(max_epochs=EPOCHS))
    histories = Histories.before(data, np.flatnonzero(data.first < np.arange(len(data))))
    scores = TowerScorer(exported[0]).score(histories)
    np.testing.assert_allclose(model.score(histories), scores, atol=1e-6)


def test_scores_are_dot_products_of_users_and_movies(data: Ratings, model: Towers) -> None:
    histories = Histories.before(data, np.flatnonzero(data.first < np.arange(len(data))))
    users = model.embed(histories)
    assert users.shape == (len(histories), model.vectors.shape[1])
    np.testing.assert_allclose(users @ model.vectors[1:].T, model.score(histories), atol=1e-6)


def test_someone_without_a_rating_gets_what_is_popular(data: Ratings, model: Towers) -> None:
    popularity = Popularity()
    popularity.fit(data)
    both = Histories.raw(data.movies, [[], [(5, 5.0, HOUR)]])
    lists = recommend(model, both, 10)
    popular = recommend(popularity, both, 10)
    np.testing.assert_array_equal(lists[0], popular[0])
    assert lists[1].tolist() != popular[1].tolist()


def test_the_steps_are_reported(data: Ratings) -> None:
    reports: list[tuple[int, int]] = []
    Towers(max_epochs=1).fit(data, lambda done, of: reports.append((done, of)))
    done, of = zip(*reports, strict=True)
    assert done == (*range(1, of[0] + 1), of[0])
    assert set(of) == {of[0]}


def test_too_little_to_know_when_to_stop() -> None:
    with pytest.raises(DatasetError, match="cannot be split by time"):
        Towers().fit(ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1)]))
