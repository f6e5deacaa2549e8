"""Fits the towers to the question that an objective asks."""

from collections.abc import Iterator
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.config import Config
from training.dataset import Ratings
from training.histories import Histories
from training.objectives import objective
from training.tower_inputs import PADDING, Floats, Ints, TowerInputs, movie_features
from training.towers import TwoTowers

# Batches in an epoch at least: a small data set is cut finer, or it would end before it began.
MIN_STEPS: Final = 32
MIN_BATCH: Final = 16

# Steps over which the learning rate rises: Adam's estimates are of nothing yet in the first few.
WARM_UP: Final = 20


class Trainer:
    """Trains on some of the ratings, an epoch at a time.

    Args:
        ratings: where the events are.
        events: i64[] to learn from; popularity is counted in them alone.
        config: hyperparameters.
        seed: of everything random; the same seed gives the same towers on the same machine.

    Raises:
        ConfigurationError: there is no such objective.
        DatasetError: there is nothing in the events that it could teach.
    """

    def __init__(self, ratings: Ratings, events: Ints, config: Config, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self._chance = np.random.default_rng(seed)
        self._objective = objective(ratings, events, config)
        size = self._objective.size
        self._batch = int(np.clip(size // MIN_STEPS, MIN_BATCH, config.batch_size))
        self._towers = _towers(ratings, events, config)
        averaging = get_ema_multi_avg_fn(config.averaging)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self._towers, multi_avg_fn=averaging)
        self._optimizer = torch.optim.AdamW(
            self._towers.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.LinearLR(
            self._optimizer, start_factor=1 / WARM_UP, total_iters=WARM_UP
        )

    @property
    def towers(self) -> TwoTowers:
        """The average of the weights so far."""
        return cast(TwoTowers, self._average.module)

    def epoch(self) -> float:
        """Go through all examples once. Returns the mean loss."""
        losses = [self._step(examples) * len(examples) for examples in self._batches()]
        return sum(losses) / self._objective.size

    def _batches(self) -> Iterator[Ints]:
        shuffled = self._chance.permutation(self._objective.size)
        yield from np.split(shuffled, range(self._batch, len(shuffled), self._batch))

    def _step(self, examples: Ints) -> float:
        loss = self._objective.loss(self._towers, self._objective.batch(examples, self._chance))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        self._average.update_parameters(self._towers)
        return loss.item()


class TowerScorer:
    """Scores all movies by the towers' cosines."""

    def __init__(self, towers: TwoTowers) -> None:
        self._towers, self._length = towers, towers.users.length
        self._vectors = torch.from_numpy(padded_vectors(towers))

    @torch.inference_mode()
    def score(self, histories: Histories) -> Floats:
        """f32[B, movies], see `recommender.Scores`."""
        users = embed_users(self._towers, self._vectors, histories.tower_inputs(self._length))
        scores: Floats = (users @ self._vectors[1:].T).numpy()
        return scores


def embed_users(towers: TwoTowers, vectors: Tensor, inputs: TowerInputs) -> Tensor:
    """f32[B, d] of users whose history points into `vectors`."""
    users: Tensor = towers.users(vectors, *map(torch.from_numpy, inputs))
    return users


@torch.inference_mode()
def padded_vectors(towers: TwoTowers) -> Floats:
    """f32[n + 1, d] of all movies by index; zeros at PADDING."""
    vectors: Floats = towers.movie_vectors(torch.arange(len(towers.index))).numpy()
    vectors[PADDING] = 0
    return vectors


def _towers(ratings: Ratings, events: Ints, config: Config) -> TwoTowers:
    counts, liked = ratings.counts(events)
    features = movie_features(ratings.movies, ratings.genres, counts, liked)
    return TwoTowers(config.towers, features, counts > 0)
