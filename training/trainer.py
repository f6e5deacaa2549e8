"""Fits the towers to the question that an objective asks."""

import warnings
from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stream.contracts.errors import DatasetError
from training import distributed
from training.batches import Batch
from training.company import company, directions
from training.config import Config
from training.dataset import Ratings
from training.objectives import Objective, kind_of
from training.options import RunOptions
from training.precision import Arithmetic
from training.recommender import OnProgress
from training.schedule import schedule
from training.tower_inputs import Ints, movie_features
from training.towers import TwoTowers
from training.warm_start import TowerWeights

# Batches in an epoch at least: a small data set is cut finer, or it would end before it began.
MIN_STEPS: Final = 32
MIN_BATCH: Final = 16

_LINKS: Final = 300  # of a movie, from which the embeddings may begin; more hardly change them


class Trainer:
    """Trains on some of the ratings, an epoch at a time.

    Where `distributed.processes` are several, each has a trainer with the same arguments, takes its
    part of every batch, and has the same weights after every step.

    Args:
        ratings: where the events are.
        events: i64[] to learn from; popularity is counted in them alone.
        config: hyperparameters.
        options: how to run. The same seed gives the same towers on the same machine.
        begin: weights to go on from; None: the beginning that the hyperparameters say.

    Attributes:
        steps: of an epoch.

    Raises:
        ConfigurationError: there is no such objective, or no such device.
        DatasetError: there is nothing in the events that it could teach, or too little for so many
            processes.
    """

    def __init__(
        self,
        ratings: Ratings,
        events: Ints,
        config: Config,
        options: RunOptions | None = None,
        begin: TowerWeights | None = None,
    ) -> None:
        options = options or RunOptions()
        torch.manual_seed(options.seed)
        self._chance = np.random.default_rng(options.seed)
        self._config = config
        self._objective = kind_of(config)(ratings, events, config)
        size = self._objective.size
        self.steps = -(-size // int(np.clip(size // MIN_STEPS, MIN_BATCH, config.batch_size)))
        if size // self.steps < distributed.count():
            raise DatasetError(
                f"batches of {size // self.steps} examples cannot be shared by "
                f"{distributed.count()} processes: start fewer"
            )
        self._arithmetic = Arithmetic.of(options.device, options.precision)
        self._towers = _towers(ratings, events, config, begin).to(self._arithmetic.device)
        averaging = get_ema_multi_avg_fn(config.averaging)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self._towers, multi_avg_fn=averaging).eval()
        self._loss = _shared(_Loss(self._objective, self._towers), options.compile)
        self._optimizer = torch.optim.AdamW(
            self._towers.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._schedule = LambdaLR(self._optimizer, schedule(config, self.steps))
        self._scaler = self._arithmetic.scaler()

    @property
    def towers(self) -> TwoTowers:
        """The average of the weights so far."""
        return cast(TwoTowers, self._average.module)

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self._arithmetic.device

    @property
    def step(self) -> int:
        """Steps done."""
        return self._schedule.last_epoch

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def epoch(self, on_progress: OnProgress = lambda *_: None) -> float:
        """Go through all examples once. Returns the mean loss."""
        self._towers.train()
        total = torch.zeros((), dtype=torch.float64, device=self._arithmetic.device)
        shuffled = self._chance.permutation(self._objective.size)
        # As even as can be: a last batch of a few examples would move the weights as far as others.
        for done, examples in enumerate(np.array_split(shuffled, self.steps), 1):
            batch = self._objective.batch(examples, self._chance)
            total += self._step(batch)
            on_progress(done, self.steps)
        return distributed.total(total) / self._objective.size

    def _step(self, batch: Batch) -> Tensor:
        """Move the weights. Returns the summed loss of this process's part of the batch."""
        part = batch.part(distributed.rank(), distributed.count())
        with self._arithmetic.autocast():
            loss: Tensor = self._loss(part)
        self._optimizer.zero_grad()
        # Gradients are averaged over the processes, whose parts may differ by a user.
        weight = len(part) * distributed.count() / len(batch)
        self._scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._towers.parameters(), self._config.max_gradient)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        self._average.update_parameters(self._towers)
        return loss.detach().double() * len(part)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, for `restore`."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {
            "chance": self._chance.bit_generator.state
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where a trainer with the same arguments was."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self._chance.bit_generator.state = state["chance"]

    def _parts(self) -> dict[str, Any]:
        return {
            "towers": self._towers,
            "average": self._average,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
            "scaler": self._scaler,
        }


class _Loss(nn.Module):
    """An objective's loss as a module, which is what shares its gradients."""

    def __init__(self, objective: Objective, towers: TwoTowers) -> None:
        super().__init__()
        self._objective = objective
        self.towers = towers

    def forward(self, batch: Batch) -> Tensor:
        return self._objective.loss(self.towers, batch)


def _shared(loss: _Loss, compiled: bool) -> nn.Module:
    """The loss, whose gradients are the mean over all processes."""
    if compiled:
        for tower in (loss.towers.items, loss.towers.users):
            tower.compile(dynamic=True)  # batches have as many movies as they happen to have
    if distributed.count() == 1:
        return loss
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of another name for it
        # What is not learnt is the same everywhere already.
        return DistributedDataParallel(loss, broadcast_buffers=False)


def _towers(
    ratings: Ratings, events: Ints, config: Config, begin: TowerWeights | None
) -> TwoTowers:
    counts, liked = ratings.counts(events)
    features = movie_features(ratings.movies, ratings.genres, counts, liked)
    towers = TwoTowers(config.towers, features, counts > 0)
    if begin is not None:
        begin.begin(towers, ratings)
    elif config.initial == "company":
        links = company(ratings.take(events), _LINKS)
        towers.begin_with(directions(links, config.towers.dimensions))
    return towers
