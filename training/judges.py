"""What a search for hyperparameters maximises, on validation parts alone.

A judge holds what a model is fitted on and what it is asked then; nothing of a test part is in it.
It can be sent to another process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from training.dataset import LIKED, Ratings
from training.exam import Exam
from training.prequential import Judge as Replay
from training.prequential import Questions
from training.recommender import Recommender
from training.split import TEST, VALIDATION, Random, split_by_time
from training.task import task

K: Final = 10  # where lists are cut


class Judge(Protocol):
    @property
    def train(self) -> Ratings:
        """What a model may be fitted on."""
        ...

    def __call__(self, model: Recommender) -> float:
        """How good a model is that was; higher is better."""
        ...


@dataclass(frozen=True)
class Offline:
    """NDCG@10 on the validation part of the random split, all ratings relevant."""

    exam: Exam

    @classmethod
    def of(cls, ratings: Ratings) -> "Offline":
        """Raises DatasetError where the split leaves nothing to ask."""
        [parts] = Random().parts(ratings)
        left = parts != TEST
        asked = task(ratings.take(np.flatnonzero(left)), parts[left], VALIDATION)
        return cls(Exam(asked, (K,), relevant_from=1))

    @property
    def train(self) -> Ratings:
        return self.exam.task.train

    def __call__(self, model: Recommender) -> float:
        return self.exam.value(model, f"ndcg@{K}")


@dataclass(frozen=True)
class Prequential:
    """hit@10 on the validation part of the split by time: liked movies, asked with fresh states."""

    train: Ratings
    replay: Replay

    @classmethod
    def of(cls, ratings: Ratings) -> "Prequential":
        """Raises DatasetError where the split leaves nothing to ask."""
        split = split_by_time(ratings)
        known = ratings.take(np.flatnonzero(ratings.times < split.test_from))
        asked = Questions.of(known, split.validation_from, LIKED)
        return cls(asked.known, Replay(asked, f"hit_rate@{K}"))

    def __call__(self, model: Recommender) -> float:
        return self.replay(model)


# How each is called, and made of the ratings of a data set.
JUDGES: Final[Mapping[str, Callable[[Ratings], Judge]]] = {
    "offline": Offline.of,
    "prequential": Prequential.of,
}
