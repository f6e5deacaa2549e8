"""How long the towers are trained: until the part after the training's says that more is no better.

Two models are trained side by side: one on the time before the validation part, which says when to
stop, and one on everything, which is what is wanted.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import torch
from torch import Tensor

from training import distributed
from training.checkpoint import Checkpoint, Origin
from training.config import Config
from training.dataset import Ratings
from training.evaluate import Quality
from training.objectives import Held, kind_of
from training.options import RunOptions
from training.recommender import OnProgress
from training.scorer import TowerScorer
from training.towers import TwoTowers
from training.trainer import Trainer
from training.warm_start import Start

# Told after an epoch: its number, from 1, and towers.
OnEpoch: TypeAlias = Callable[[int, TwoTowers], None]

# Lists that an epoch is judged by: enough to tell epochs apart, and a fraction of an epoch's time.
VALIDATION_LISTS: Final = 5_000


class Epoch(NamedTuple):
    """How one epoch went: mean loss, last learning rate, and quality on the validation part.

    Epoch 0 is before the first, where what both models begin from is worth something: without a
    loss, NaN.
    """

    number: int
    loss: float
    learning_rate: float
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
    split: Held,
    config: Config,
    options: RunOptions,
    on_progress: OnProgress = lambda *_: None,
    checkpoint: Checkpoint | None = None,
    on_epoch: OnEpoch | None = None,
    start: Start | None = None,
) -> Trained:
    """Train until the measured towers get no better on the validation part.

    Args:
        ratings: all that the final towers may know.
        split: of them.
        config: hyperparameters.
        options: how to run.
        on_progress: told how many steps are done, of at most so many.
        checkpoint: where to keep how far it has got.
        on_epoch: told the number of each epoch, and the final towers as they would be were it the
            last. What it raises ends the training.
        start: what both begin from, which is judged too: where it is as good already, training on
            would learn the old ratings by heart. None: from nothing.

    Raises:
        ConfigurationError: there is no such objective, or no such device.
        DatasetError: there is nothing to learn from.
        ArtifactError: there is nothing to resume from.
    """
    with torch_threads(options.threads):
        begins = (start.measured, start.final) if start else (None, None)
        measured, final = (
            Trainer(ratings, events, config, options, begin)
            for events, begin in zip((split.train, np.arange(len(ratings))), begins, strict=True)
        )
        run = _Run(measured, final, options.side_by_side and distributed.count() == 1)
        origin = Origin.of(ratings, config, options)
        if checkpoint is not None and checkpoint.resume:
            run.restore(checkpoint.load(origin, measured.device))
        total = options.max_epochs * measured.steps

        def on_step(done: int, of: int) -> None:
            on_progress(run.done * of + done, total)

        def quality() -> Quality:
            scorer = TowerScorer(measured.towers)
            return kind_of(config).quality(ratings, scorer, split, VALIDATION_LISTS)

        if start is not None and not run.epochs:
            run.judge(0, math.nan, distributed.of_leader(quality))
        while run.done < options.max_epochs and run.since_best < options.patience:
            run.judge(run.done + 1, run.train(on_step), distributed.of_leader(quality))
            if checkpoint is not None and distributed.leads():
                checkpoint.save(origin, run.done, measured.step, run.state())
            if on_epoch is not None:
                on_epoch(run.done, run.final_so_far())
        on_progress(total, total)
        return run.best()


@dataclass
class _Run:
    """Both models, what became of each epoch, and the weights after the best one."""

    measured: Trainer
    final: Trainer
    side_by_side: bool
    epochs: list[Epoch] = field(default_factory=list)
    weights: list[dict[str, Tensor]] = field(default_factory=list)

    @property
    def since_best(self) -> int:
        """Epochs after the best one."""
        return self.done - best_epoch(self.epochs) if self.epochs else 0

    @property
    def done(self) -> int:
        """Epochs trained."""
        return self.epochs[-1].number if self.epochs else 0

    def train(self, on_progress: OnProgress) -> float:
        """Train both for an epoch. Returns the loss of the measured one."""
        # Torch lets go of the GIL. Processes share their steps in the same order everywhere, so
        # one model is trained after the other there.
        with ThreadPoolExecutor(2 if self.side_by_side else 1) as pool:
            loss = pool.submit(self.measured.epoch, on_progress)
            pool.submit(self.final.epoch).result()
            return loss.result()

    def judge(self, number: int, loss: float, quality: Quality) -> None:
        """Note how an epoch went; where it is the best one, what came of it is kept."""
        self.epochs.append(Epoch(number, loss, self.measured.learning_rate, quality))
        if not self.since_best:
            self.weights = [_copy(towers.state_dict()) for towers in self._towers()]

    def final_so_far(self) -> TwoTowers:
        """A copy of the final towers after the best epoch."""
        towers = copy.deepcopy(self.final.towers)
        towers.load_state_dict(self.weights[1])
        return towers.cpu()

    def best(self) -> Trained:
        """What came of the best epoch."""
        for towers, weights in zip(self._towers(), self.weights, strict=True):
            towers.load_state_dict(weights)
        measured, final = (towers.cpu() for towers in self._towers())
        return Trained(tuple(self.epochs), measured, final)

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return {
            "epochs": msgspec.to_builtins(self.epochs),
            "weights": self.weights,
            "measured": self.measured.state(),
            "final": self.final.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.epochs = msgspec.convert(state["epochs"], list[Epoch])
        self.weights = state["weights"]
        self.measured.restore(state["measured"])
        self.final.restore(state["final"])

    def _towers(self) -> tuple[TwoTowers, TwoTowers]:
        return self.measured.towers, self.final.towers


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """The number of the first that did best on the validation part."""
    return max(epochs, key=lambda epoch: epoch.validation.ndcg).number


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in weights.items()}


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
