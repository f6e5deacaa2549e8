"""Lists at random: what a model that knows nothing reaches."""

import zlib
from dataclasses import dataclass

import numpy as np

from training.bounds import Seed
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import OnProgress
from training.tower_inputs import Floats


@dataclass
class Random:
    """Scores every movie at random, the same way for the same history.

    Attributes:
        seed: another one gives other scores.
    """

    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        pass

    def score(self, histories: Histories) -> Floats:
        log = histories.log
        scores = np.empty((len(histories), len(log.movies)), np.float32)
        for row, start, end in zip(scores, histories.starts, histories.ends, strict=True):
            history = zlib.crc32(log.rows[start:end].tobytes())
            np.random.default_rng([self.seed, history]).random(out=row, dtype=np.float32)
        return scores
