"""Models for tests of what happens around models. Light to import: other processes do."""

import os
import signal
import time
from dataclasses import dataclass, field

import numpy as np

from stream.contracts.errors import DatasetError
from training.baselines.catalogue import Entry
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import WHEN_ASKED, OnProgress
from training.tower_inputs import Floats, Ints


@dataclass
class Tunable:
    """Learns how much memory it was told to use, and in which process."""

    level: int = 0
    megabytes: int = 0
    trouble: str = ""
    bias: int = field(default=0, metadata=WHEN_ASKED)

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        if self.trouble == "empty":
            raise DatasetError("nothing to learn from")
        if self.trouble == "bug":
            raise ZeroDivisionError("a bug")
        if self.trouble == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "endless":
            while True:
                time.sleep(0.02)
        held = np.ones(self.megabytes * 2**17)
        self.sum = np.array([held.sum()])
        self.process = np.array([os.getpid()])
        self.fitted = time.monotonic_ns()
        self.weights = np.ones(1000)

    def score(self, histories: Histories) -> Floats:
        return np.zeros((len(histories), len(histories.log.movies)), np.float32)


@dataclass
class ByRow:
    """Likes the last rows of the catalogue best, or the first ones."""

    descending: bool = False

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        rows = np.arange(len(train.movies), dtype=np.float32)
        self.scores = rows if self.descending else -rows

    def score(self, histories: Histories) -> Floats:
        return np.tile(self.scores, (len(histories), 1))


@dataclass
class Diverse(ByRow):
    """With diversity it likes the opposite."""

    objective: str = "next"
    diversity: float = field(default=0.3, metadata=WHEN_ASKED)

    def score(self, histories: Histories) -> Floats:
        scores = super().score(histories)
        return -scores if self.diversity else scores


@dataclass
class Stars(ByRow):
    """Expects the same of every movie."""

    stars: float = 3.0

    def predict(self, histories: Histories, rows: Ints, times: Ints) -> Floats:
        return np.full(len(rows), self.stars, np.float32)


@dataclass
class Acquainted(ByRow):
    """Knows that the users it met like the opposite of what everybody else does."""

    def score_users(self, users: Ints) -> Floats:
        return np.tile(-self.scores, (len(users), 1))


MODELS = {
    "by-row": Entry(f"{__name__}:ByRow", space={"descending": (False, True)}),
    "stars": Entry(f"{__name__}:Stars", space={"stars": (1.0, 3.0, 4.0)}, tuned_for="rmse"),
    "settled": Entry(f"{__name__}:Tunable"),
    "endless": Entry(f"{__name__}:Tunable", {"trouble": "endless"}),
}
