"""A model for tests of what happens around models. Light to import: other processes do."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from stream.contracts.errors import DatasetError
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import OnProgress
from training.tower_inputs import Floats


@dataclass
class Tunable:
    """Learns how much memory it was told to use, and in which process."""

    level: int = 0
    megabytes: int = 0
    trouble: str = ""

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        if self.trouble == "empty":
            raise DatasetError("nothing to learn from")
        if self.trouble == "bug":
            raise ZeroDivisionError("a bug")
        if self.trouble == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        held = np.ones(self.megabytes * 2**17)
        self.sum = np.array([held.sum()])
        self.process = np.array([os.getpid()])
        self.weights = np.ones(1000)

    def score(self, histories: Histories) -> Floats:
        return np.zeros((len(histories), len(histories.log.movies)), np.float32)
