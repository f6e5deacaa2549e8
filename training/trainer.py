"""Fits the towers to one question: of all movies, which did somebody like next?"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stream.contracts.errors import DatasetError
from training.dataset import Ratings
from training.histories import Histories
from training.losses import log_presence, sampled_softmax
from training.tower_inputs import PADDING, Floats, Ints, TowerInputs, movie_features
from training.towers import TowerConfig, TwoTowers

# Batches in an epoch at least: a small data set is cut finer, or it would end before it began.
MIN_STEPS: Final = 32
MIN_BATCH: Final = 16

# Steps over which the learning rate rises: Adam's estimates are of nothing yet in the first few.
WARM_UP: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Hyperparameters, chosen on the validation parts of MovieLens 100K and latest-small.

    Attributes:
        towers: their shape.
        liked_from: half stars from which a rating is something to predict. Those that are not
            stay in the history, where they tell what somebody does not like.
        batch_size: targets a step.
        negatives: random movies a step, beside the other targets.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        content_only: share of the movies that a step embeds by their content alone, so that content
            makes a vector of use where there is nothing else.
        averaging: how much of the average of the weights a step keeps. The average is the model.
    """

    towers: TowerConfig = field(default_factory=TowerConfig)
    liked_from: int = 7
    batch_size: int = 1024
    negatives: int = 512
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    content_only: float = 0.1
    averaging: float = 0.98


class Trainer:
    """Trains on some of the ratings, an epoch at a time.

    Args:
        ratings: where the events are.
        events: i64[] to learn from; popularity is counted in them alone.
        config: hyperparameters.
        seed: of everything random; the same seed gives the same towers on the same machine.

    Raises:
        DatasetError: none of the events is something liked by someone who had rated before.
    """

    def __init__(self, ratings: Ratings, events: Ints, config: Config, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self._chance = np.random.default_rng(seed)
        self._ratings = ratings
        self._config = config
        self._targets = targets(ratings, events, config)
        if not len(self._targets):
            raise DatasetError(
                f"none of {len(events)} ratings is a liked movie of someone who had rated before: "
                "there is nothing to learn"
            )
        self._batch = int(np.clip(len(self._targets) // MIN_STEPS, MIN_BATCH, config.batch_size))
        n = len(ratings.movies)
        rows = ratings.rows[self._targets]
        self._shares = np.bincount(rows, minlength=n) / len(rows)
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
        """Go through all targets once. Returns the mean loss."""
        losses = [self._step(batch) * len(batch) for batch in self._batches()]
        return sum(losses) / len(self._targets)

    def _batches(self) -> Iterator[Ints]:
        shuffled = self._chance.permutation(self._targets)
        yield from np.split(shuffled, range(self._batch, len(shuffled), self._batch))

    def _step(self, events: Ints) -> float:
        inputs = Histories.before(self._ratings, events).tower_inputs()
        targets = self._ratings.rows[events] + 1
        candidates = self._candidates(targets)
        presence = log_presence(self._shares, candidates - 1, len(events), self._config.negatives)
        # Only the movies that take part get a vector.
        used, place = _compact(len(self._ratings.movies) + 1, inputs.history, candidates)
        hidden = self._chance.random(len(used)) < self._config.content_only
        vectors = self._towers.movie_vectors(torch.from_numpy(used), torch.from_numpy(hidden))
        users = embed_users(self._towers, vectors, inputs._replace(history=place[inputs.history]))
        loss = sampled_softmax(
            users,
            vectors[torch.from_numpy(place[candidates])],
            torch.from_numpy(np.searchsorted(candidates, targets)),
            torch.from_numpy(presence),
            self._towers.log_temperature.exp(),
        )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        self._average.update_parameters(self._towers)
        return loss.item()

    def _candidates(self, targets: Ints) -> Ints:
        """i64[C] indices, ascending: the targets and random movies."""
        n = len(self._ratings.movies)
        drawn = self._chance.integers(1, n + 1, self._config.negatives)
        return np.unique(np.concatenate([targets, drawn]))


class TowerScorer:
    """Scores all movies by the towers' cosines."""

    def __init__(self, towers: TwoTowers) -> None:
        self._towers = towers
        self._vectors = torch.from_numpy(padded_vectors(towers))

    @torch.inference_mode()
    def score(self, histories: Histories) -> Floats:
        """f32[B, movies], see `recommender.Scores`."""
        users = embed_users(self._towers, self._vectors, histories.tower_inputs())
        scores: Floats = (users @ self._vectors[1:].T).numpy()
        return scores


def targets(ratings: Ratings, events: Ints, config: Config) -> Ints:
    """Those of the events that are to be predicted: liked, by someone who had rated before."""
    liked = ratings.half_stars[events] >= config.liked_from
    return events[liked & (ratings.first[events] < events)]


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


def _compact(size: int, *indices: Ints) -> tuple[Ints, Ints]:
    """(the distinct indices and PADDING, ascending; where each index < size is among them)."""
    used = np.zeros(size, np.bool_)
    used[PADDING] = True
    for some in indices:
        used[some] = True
    return np.flatnonzero(used), np.cumsum(used) - 1
