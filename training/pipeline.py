"""From ratings to a model artifact: split, train, measure, export."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from stream.contracts.errors import ArtifactError
from training.artifact import LogPosition
from training.baselines.popularity import Popularity
from training.checkpoint import Checkpoint
from training.config import Config
from training.dataset import Ratings
from training.epochs import Epoch, Trained, best_epoch, train_until_best
from training.evaluate import Quality, frozen, live
from training.experiment import Experiment
from training.export import write_artifact
from training.options import RunOptions
from training.rating_served import learn
from training.scorer import TowerScorer
from training.split import split_by_time
from training.two_stage import TwoStage
from training.warm_start import Start, TowerWeights, read_start

Stage: TypeAlias = Literal["training", "ranking", "predicting", "evaluating", "exporting"]

# Told the stage, and how many of how many steps of it are done.
OnProgress: TypeAlias = Callable[[Stage, int, int], None]


class Comparison(NamedTuple):
    """Popularity, the towers alone and both stages, on the test part, trained on the train part.

    The weights of the second stage are learnt on the validation part.
    """

    popularity: Quality
    towers: Quality
    two_stage: Quality


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training run came to.

    Attributes:
        directory: the artifact.
        epochs: of the measured training, the last ones no better than the best.
        results: by protocol: ``live`` and ``frozen``, see `training.evaluate`.
        experiment: what was trained, and how.
        seconds: that all of it took.
        cold: why it did not begin from the champion; None where it did, or there was none.
    """

    directory: Path
    epochs: tuple[Epoch, ...]
    results: Mapping[str, Comparison]
    experiment: Experiment
    seconds: float
    cold: str | None = None

    @property
    def best_epoch(self) -> int:
        """How many epochs the model in the artifact was trained."""
        return best_epoch(self.epochs)

    @property
    def version(self) -> str:
        return self.directory.name


def train(
    ratings_table: pa.Table,
    movies_table: pa.Table,
    artifacts: Path,
    *,
    config: Config | None = None,
    two_stage: TwoStage | None = None,
    options: RunOptions | None = None,
    checkpoint: Checkpoint | None = None,
    on_progress: OnProgress = lambda *_: None,
    champion: Path | None = None,
    position: LogPosition | None = None,
) -> Outcome:
    """Train a model, measure it, and write it to a new directory in `artifacts`.

    Two models are trained side by side: one on the time before the validation part, whose figures
    are on the time after it, and one on everything, which goes into the artifact. Both are taken
    from the epoch after which the first did best on the validation part. What each feature of the
    second stage is worth is learnt on the validation part beside the first.

    Args:
        ratings_table: `producers.tables.RATINGS`.
        movies_table: `producers.tables.MOVIES`.
        artifacts: `Settings.artifacts`.
        config: hyperparameters of the towers.
        two_stage: those of what is made of them, not fitted.
        options: how to run.
        checkpoint: where to keep how far the training has got.
        on_progress: told how far it has got.
        champion: an artifact whose weights to begin from. One that does not fit is left alone, and
            the outcome says why.
        position: what of the log the ratings are; None where they come from files.

    Raises:
        ConfigurationError: there is no such objective, or no such device.
        DatasetError: too little data, or ratings of movies that are not in the table.
        ArtifactError: there is nothing to resume from, or the weights came to NaN.
        IndexUnavailable: the index could not be built.
    """
    began = time.monotonic()
    config = config or Config()
    options = options or RunOptions()
    ratings = Ratings.from_tables(ratings_table, movies_table)
    split = split_by_time(ratings)
    start, cold = _start(champion, config, split.validation_from)

    trained = train_until_best(
        ratings,
        split,
        config,
        options,
        lambda done, of: on_progress("training", done, of),
        checkpoint,
        start=start,
    )

    _check_finite(trained)
    on_progress("ranking", 0, 1)
    known, measured = ratings.take(split.train), TowerScorer(trained.measured)
    both = replace(two_stage or TwoStage(), seed=options.seed)
    both.learn(known, measured)
    until_test = np.flatnonzero(ratings.times < split.test_from)
    both.weigh(ratings.take(until_test), split.validation_from)
    on_progress("ranking", 1, 1)

    predictor = learn(ratings, split, lambda done, of: on_progress("predicting", done, of))

    on_progress("evaluating", 0, 1)
    popularity = Popularity()
    popularity.fit(known)
    results = {
        protocol.__name__: Comparison(
            *(protocol(ratings, model, split.test) for model in (popularity, measured, both))
        )
        for protocol in (live, frozen)
    }
    on_progress("evaluating", 1, 1)

    on_progress("exporting", 0, 1)
    both.learn(ratings, TowerScorer(trained.final))
    everything = np.arange(len(ratings))
    figures = {**flat_metrics(results), **predictor.metrics}
    handed_on = Start(
        TowerWeights.of(trained.measured, ratings),
        TowerWeights.of(trained.final, ratings),
        split.validation_from,
    )
    directory = write_artifact(
        artifacts,
        trained.final,
        both.ranking,
        predictor.model,
        ratings,
        everything,
        config,
        figures,
        handed_on,
        position,
    )
    on_progress("exporting", 1, 1)
    experiment = Experiment(towers=config, two_stage=both, run=options)
    seconds = time.monotonic() - began
    return Outcome(directory, trained.epochs, results, experiment, seconds, cold)


def _start(
    champion: Path | None, config: Config, judged_from: int
) -> tuple[Start | None, str | None]:
    """What to begin from, or why not from the champion."""
    if champion is None:
        return None, None
    try:
        return read_start(champion, config, judged_from), None
    except ArtifactError as error:
        return None, str(error)


def _check_finite(trained: Trained) -> None:
    """Raises ArtifactError where a weight is NaN or infinite."""
    for which, towers in (("measured", trained.measured), ("final", trained.final)):
        wrong = [name for name, w in towers.named_parameters() if not w.isfinite().all()]
        if wrong:
            raise ArtifactError(
                f"the {which} towers came to NaN in {', '.join(wrong)}: no model is written; train "
                "with a lower learning_rate, or from nothing"
            )


def assist(
    ratings_table: pa.Table, movies_table: pa.Table, experiment: Experiment, checkpoint: Checkpoint
) -> None:
    """What `train` is in the processes that do not lead: their share of each step.

    Raises:
        FreshetError: as `train`.
    """
    ratings = Ratings.from_tables(ratings_table, movies_table)
    split = split_by_time(ratings)
    train_until_best(ratings, split, experiment.towers, experiment.run, checkpoint=checkpoint)


def flat_metrics(results: Mapping[str, Comparison]) -> dict[str, float]:
    """The results under names such as ``live_towers_ndcg``."""
    return {
        f"{protocol}_{model}_{metric}": float(value)
        for protocol, comparison in results.items()
        for model, quality in comparison._asdict().items()
        for metric, value in quality._asdict().items()
    }
