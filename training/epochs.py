"""How long the towers are trained: until the part after the training's says that more is no better.

Two models are trained side by side: one on the time before the validation part, which says when to
stop, and one on everything, which is what is wanted.
"""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch

from training.config import Config
from training.dataset import Ratings
from training.evaluate import Quality, live
from training.recommender import OnProgress
from training.split import TimeSplit
from training.towers import TwoTowers
from training.trainer import TowerScorer, Trainer

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


class Trained(NamedTuple):
    """What training came to.

    Attributes:
        epochs: all of them, the last ones no better than the best.
        measured: the towers that know the training part alone, after the best epoch.
        final: those that know everything, after the same.
    """

    epochs: tuple[Epoch, ...]
    measured: TwoTowers
    final: TwoTowers


def train_until_best(
    ratings: Ratings,
    split: TimeSplit,
    config: Config,
    options: RunOptions,
    on_progress: OnProgress = lambda *_: None,
) -> Trained:
    """Train until the measured towers get no better on the validation part.

    Args:
        ratings: all that the final towers may know.
        split: of them.
        config: hyperparameters.
        options: how to run.
        on_progress: told how many epochs are done, of at most so many.

    Raises:
        DatasetError: there is nothing to learn from.
    """
    epochs: list[Epoch] = []
    with torch_threads(options.threads), ThreadPoolExecutor(2) as pool:  # torch lets go of the GIL
        measured = Trainer(ratings, split.train, config, options.seed)
        final = Trainer(ratings, np.arange(len(ratings)), config, options.seed)
        best, towers = 0, (measured.towers, final.towers)
        for number in range(1, options.max_epochs + 1):
            on_progress(number - 1, options.max_epochs)
            loss, _ = pool.map(Trainer.epoch, (measured, final))
            scorer = TowerScorer(measured.towers)
            quality = live(ratings, scorer, split.validation, VALIDATION_LISTS)
            epochs.append(Epoch(number, loss, quality))
            if not best or quality.ndcg > epochs[best - 1].validation.ndcg:
                best = number
                towers = copy.deepcopy(measured.towers), copy.deepcopy(final.towers)
            elif number - best >= options.patience:
                break
    on_progress(options.max_epochs, options.max_epochs)
    return Trained(tuple(epochs), *towers)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
