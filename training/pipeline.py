"""From ratings to a model artifact: split, train, measure, export."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import torch

from training.baselines.popularity import Popularity
from training.dataset import Ratings
from training.evaluate import Quality, frozen, live
from training.export import write_artifact
from training.split import split_by_time
from training.tower_inputs import Ints
from training.towers import TwoTowers
from training.trainer import Config, TowerScorer, Trainer

Stage: TypeAlias = Literal["training", "evaluating", "exporting"]

# Told the stage, and how many of how many steps of it are done.
OnProgress: TypeAlias = Callable[[Stage, int, int], None]

# Lists that an epoch is judged by: enough to tell epochs apart, and a fraction of an epoch's time.
VALIDATION_LISTS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run, as opposed to what: `trainer.Config`.

    Attributes:
        max_epochs: at most.
        patience: epochs without a better one on the validation part, after which to stop.
        seed: of everything random.
        threads: for each of the two models. Threads that share a step wait for each other by
            spinning, which makes training several times slower wherever something else runs too.
    """

    max_epochs: int = 12
    patience: int = 2
    seed: int = 0
    threads: int = 1


class Epoch(NamedTuple):
    """How one epoch went: mean training loss, and quality on the validation part."""

    number: int
    loss: float
    validation: Quality


class Comparison(NamedTuple):
    """The towers beside popularity, both on the test part and trained on the train part."""

    popularity: Quality
    towers: Quality


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training run came to.

    Attributes:
        directory: the artifact.
        epochs: of the measured training, the last ones no better than the best.
        results: by protocol: ``live`` and ``frozen``, see `training.evaluate`.
        seconds: that all of it took.
    """

    directory: Path
    epochs: tuple[Epoch, ...]
    results: Mapping[str, Comparison]
    seconds: float

    @property
    def best_epoch(self) -> int:
        """How many epochs the model in the artifact was trained."""
        return max(self.epochs, key=lambda epoch: epoch.validation.ndcg).number

    @property
    def version(self) -> str:
        return self.directory.name


def train(
    ratings_table: pa.Table,
    movies_table: pa.Table,
    artifacts: Path,
    *,
    config: Config | None = None,
    options: RunOptions | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Outcome:
    """Train a model, measure it, and write it to a new directory in `artifacts`.

    Two models are trained side by side: one on the time before the validation part, whose figures
    are on the time after it, and one on everything, which goes into the artifact. Both are taken
    from the epoch after which the first did best on the validation part.

    Args:
        ratings_table: `producers.tables.RATINGS`.
        movies_table: `producers.tables.MOVIES`.
        artifacts: `Settings.artifacts`.
        config: hyperparameters.
        options: how to run.
        on_progress: told how far it has got.

    Raises:
        DatasetError: too little data, or ratings of movies that are not in the table.
        IndexUnavailable: the index could not be built.
    """
    began = time.monotonic()
    config = config or Config()
    options = options or RunOptions()
    ratings = Ratings.from_tables(ratings_table, movies_table)
    split = split_by_time(ratings)

    everything = np.arange(len(ratings))
    with _threads(options.threads):
        measured = Trainer(ratings, split.train, config, options.seed)
        final = Trainer(ratings, everything, config, options.seed)
        epochs, towers, final_towers = _train_until_best(
            ratings, split.validation, measured, final, options, on_progress
        )

    on_progress("evaluating", 0, 1)
    popularity = Popularity()
    popularity.fit(ratings.take(split.train))
    scorer = TowerScorer(towers)
    results = {
        protocol.__name__: Comparison(
            protocol(ratings, popularity, split.test), protocol(ratings, scorer, split.test)
        )
        for protocol in (live, frozen)
    }
    on_progress("evaluating", 1, 1)

    on_progress("exporting", 0, 1)
    directory = write_artifact(
        artifacts, final_towers, ratings, everything, config, flat_metrics(results)
    )
    on_progress("exporting", 1, 1)
    return Outcome(directory, epochs, results, time.monotonic() - began)


def flat_metrics(results: Mapping[str, Comparison]) -> dict[str, float]:
    """The results under names such as ``live_towers_ndcg``."""
    return {
        f"{protocol}_{model}_{metric}": float(value)
        for protocol, comparison in results.items()
        for model, quality in comparison._asdict().items()
        for metric, value in quality._asdict().items()
    }


def _train_until_best(
    ratings: Ratings,
    validation: Ints,
    measured: Trainer,
    final: Trainer,
    options: RunOptions,
    on_progress: OnProgress,
) -> tuple[tuple[Epoch, ...], TwoTowers, TwoTowers]:
    """Train both side by side until the first gets no better on the validation part.

    Returns:
        All epochs, and both trainers' towers after the best one.
    """
    epochs: list[Epoch] = []
    best, towers = 0, (measured.towers, final.towers)
    with ThreadPoolExecutor(2) as pool:  # torch lets go of the GIL
        for number in range(1, options.max_epochs + 1):
            on_progress("training", number - 1, options.max_epochs)
            loss, _ = pool.map(Trainer.epoch, (measured, final))
            scorer = TowerScorer(measured.towers)
            quality = live(ratings, scorer, validation, VALIDATION_LISTS)
            epochs.append(Epoch(number, loss, quality))
            if not best or quality.ndcg > epochs[best - 1].validation.ndcg:
                best = number
                towers = copy.deepcopy(measured.towers), copy.deepcopy(final.towers)
            elif number - best >= options.patience:
                break
    on_progress("training", options.max_epochs, options.max_epochs)
    return tuple(epochs), *towers


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
