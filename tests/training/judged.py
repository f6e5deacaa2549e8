"""Judges for tests of searches, and a model that learns in epochs. Light: other processes do."""

import os
import signal
import time
from dataclasses import dataclass, field
from math import log10
from pathlib import Path

import numpy as np

from stream.contracts.errors import DatasetError
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import OnEpoch, OnProgress, Recommender
from training.tower_inputs import Floats


@dataclass(frozen=True)
class Near:
    """Wants a half-life of so many days: the best there is has a value of 0."""

    train: Ratings
    days: float = 30.0

    def __call__(self, model: Recommender) -> float:
        return -abs(log10(model.half_life / self.days))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Together(Near):
    """Waits until so many processes have been here."""

    directory: Path = Path()
    processes: int = 2

    def __call__(self, model: Recommender) -> float:
        (self.directory / str(os.getpid())).touch()
        while len(list(self.directory.iterdir())) < self.processes:
            time.sleep(0.01)
        return super().__call__(model)


@dataclass(frozen=True)
class Fatal(Near):
    """Kills the first processes that ask it for a second value."""

    directory: Path = Path()
    victims: int = 1

    def __call__(self, model: Recommender) -> float:
        own = self.directory / str(os.getpid())
        if own.exists() and len(list(self.directory.iterdir())) <= self.victims:
            os.kill(os.getpid(), signal.SIGKILL)
        own.touch()
        return super().__call__(model)


@dataclass(frozen=True)
class Wrong(Near):
    """Fails as a fit without data does."""

    def __call__(self, model: Recommender) -> float:
        raise DatasetError("nothing to learn from")


@dataclass
class Listed:
    """Gives the values that it was told to, one after another."""

    train: Ratings
    values: list[float] = field(default_factory=list)

    def __call__(self, model: Recommender) -> float:
        return self.values.pop(0)


@dataclass
class Climber:
    """Gets better by `talent` an epoch, for ten epochs."""

    talent: float = 0.5
    max_epochs: int = 10

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        self.fit_epochs(train, lambda _: None, on_progress)

    def fit_epochs(
        self,
        train: Ratings,
        on_epoch: OnEpoch,
        on_progress: OnProgress = lambda *_: None,
    ) -> None:
        for epoch in range(1, self.max_epochs + 1):
            self.height = epoch * self.talent
            on_epoch(epoch)
        on_progress(1, 1)

    def score(self, histories: Histories) -> Floats:
        return np.zeros((len(histories), len(histories.log.movies)), np.float32)


@dataclass(frozen=True)
class Height:
    """How high a `Climber` is."""

    train: Ratings

    def __call__(self, model: Recommender) -> float:
        return float(model.height)  # type: ignore[attr-defined]
