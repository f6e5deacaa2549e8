from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import ArtifactError, DatasetError
from tests.training.build import DAY, SMALL, clubs, tables
from training import epochs, pipeline
from training.artifact import LogPosition
from training.config import Config
from training.dataset import Ratings
from training.options import RunOptions
from training.pipeline import train
from training.ranking import Ranking
from training.rating_model import RatingModel
from training.recommender import OnProgress
from training.split import split_by_time
from training.tower_inputs import Ints
from training.towers import TwoTowers
from training.trainer import Trainer
from training.warm_start import Start, TowerWeights


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What would have been written."""
    seen: dict[str, object] = {}

    def keep(
        parent: Path,
        towers: TwoTowers,
        ranking: Ranking,
        predictor: RatingModel,
        ratings: Ratings,
        events: Ints,
        config: Config,
        metrics: Mapping[str, float],
        start: Start,
        position: LogPosition | None,
    ) -> Path:
        seen.update(towers=towers, ratings=ratings, events=events, config=config, metrics=metrics)
        seen.update(ranking=ranking, predictor=predictor, start=start, position=position)
        return parent / "a-version"

    monkeypatch.setattr(pipeline, "write_artifact", keep)
    return seen


def test_training_stops_when_it_gets_no_better(exported: dict[str, object], tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    outcome = train(
        *tables(clubs(users=120)),
        tmp_path,
        config=SMALL,
        options=RunOptions(max_epochs=60, patience=2),
        on_progress=lambda *progress: said.append(progress),
    )
    figures = [epoch.validation.ndcg for epoch in outcome.epochs]
    assert len(figures) == outcome.best_epoch + 2 < 60
    assert figures[outcome.best_epoch - 1] == max(figures)
    assert outcome.version == "a-version"
    stage, done, of = said[0]
    assert (stage, done) == ("training", 1)
    assert of % 60 == 0
    assert said[-1] == ("exporting", 1, 1)


def test_the_measured_model_knows_the_training_part_and_the_exported_one_everything(
    exported: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned_from: list[Ints] = []

    class Watched(Trainer):
        def __init__(
            self,
            ratings: Ratings,
            events: Ints,
            config: Config,
            options: RunOptions,
            begin: TowerWeights | None,
        ) -> None:
            learned_from.append(events)
            super().__init__(ratings, events, config, options, begin)

    monkeypatch.setattr(epochs, "Trainer", Watched)
    events = [*clubs(users=120), (1, 99, 5.0, 1_100 * DAY)]  # a movie that is new at the end
    train(*tables(events), tmp_path, config=SMALL, options=RunOptions(max_epochs=1))
    ratings, towers = exported["ratings"], exported["towers"]
    assert isinstance(ratings, Ratings)
    assert isinstance(towers, TwoTowers)
    measured, final = learned_from
    np.testing.assert_array_equal(measured, split_by_time(ratings).train)
    np.testing.assert_array_equal(final, np.arange(len(ratings)))
    np.testing.assert_array_equal(final, exported["events"])
    assert ratings.movies[-1].movie_id == 99
    assert towers.index[-1] == len(ratings.movies)  # it has an embedding


def test_what_is_measured_goes_into_the_artifact(
    exported: dict[str, object], tmp_path: Path
) -> None:
    options = RunOptions(max_epochs=1)
    outcome = train(*tables(clubs(users=120)), tmp_path, config=SMALL, options=options)
    metrics = exported["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["live_towers_ndcg"] == outcome.results["live"].towers.ndcg
    assert metrics["frozen_popularity_lists"] == outcome.results["frozen"].popularity.lists
    assert metrics["live_two_stage_ndcg"] == outcome.results["live"].two_stage.ndcg
    everyone_likes_all = metrics["rating_then_rmse"]
    assert everyone_likes_all == pytest.approx(0, abs=0.01)
    assert len(metrics) == 2 * 3 * 4 + 2 * 5


def test_a_model_of_nan_is_not_written(
    exported: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Diverging(Trainer):
        def epoch(self, on_progress: OnProgress = lambda *_: None) -> float:
            loss = super().epoch(on_progress)
            self.towers.log_temperature.data.fill_(np.nan)
            return loss

    monkeypatch.setattr(epochs, "Trainer", Diverging)
    with pytest.raises(ArtifactError, match=r"measured towers came to NaN in log_temperature: no"):
        train(*tables(clubs(users=120)), tmp_path, config=SMALL, options=RunOptions(max_epochs=1))
    assert not exported


def test_too_little_data(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be split by time"):
        train(*tables([(1, 1, 4.0, 0), (1, 2, 4.0, 1)]), tmp_path)
