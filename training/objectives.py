"""What the towers are asked while they learn: what a batch is, and its loss.

An objective knows nothing of optimizers, devices or processes; that is `training.trainer`'s. What a
batch is made of is drawn by NumPy from one generator, so that every process of a distributed run
draws the same batch and takes its part of the users. Candidates are those of the whole batch, and
the mean of the parts' losses, weighted by their users, is the loss of the whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stream.contracts.errors import ConfigurationError, DatasetError
from training.config import Config
from training.dataset import Ratings
from training.histories import Histories
from training.losses import log_presence, sampled_softmax
from training.tower_inputs import PADDING, Floats, Ints, TowerInputs
from training.towers import TwoTowers


@dataclass(frozen=True)
class Batch:
    """B users, what they are to find, and the candidates among which.

    Only the movies that take part get a vector: they are `used`, and everything else points into
    it.

    Attributes:
        inputs: of B users; the history points into `used`.
        targets: i64[B] which candidate each is to find.
        used: i64[m] indices of movies, ascending; the first is PADDING.
        hidden: bool[m] which of them to embed by content alone.
        candidates: i64[C] places in `used`.
        log_presence: f32[C], see `losses.sampled_softmax`.
    """

    inputs: TowerInputs
    targets: Ints
    used: Ints
    hidden: npt.NDArray[np.bool_]
    candidates: Ints
    log_presence: Floats

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, rank: int, of: int) -> "Batch":
        """Every `of`-th user from `rank` on, against the candidates of all."""
        mine = slice(rank, None, of)
        return replace(self, inputs=self.inputs.of(mine), targets=self.targets[mine])


class Objective(Protocol):
    """A question that the towers are trained to answer, by examples 0..size - 1."""

    @property
    def size(self) -> int:
        """Examples in an epoch."""
        ...

    def batch(self, examples: Ints, chance: np.random.Generator) -> Batch:
        """What these examples ask, and candidates drawn by `chance`."""
        ...

    def loss(self, towers: TwoTowers, batch: Batch) -> Tensor:
        """f32[], the mean over the batch's users."""
        ...


class Next:
    """Which movie did somebody like next, as of right before they rated it?

    Args:
        ratings: where the events are.
        events: i64[] to learn from.
        config: hyperparameters.

    Raises:
        DatasetError: none of the events is something liked by someone who had rated before.
    """

    def __init__(self, ratings: Ratings, events: Ints, config: Config) -> None:
        self._ratings = ratings
        self._config = config
        self._targets = targets(ratings, events, config)
        if not len(self._targets):
            raise DatasetError(
                f"none of {len(events)} ratings is a liked movie of someone who had rated before: "
                "there is nothing to learn"
            )
        rows = ratings.rows[self._targets]
        self._shares = np.bincount(rows, minlength=len(ratings.movies)) / len(rows)

    @property
    def size(self) -> int:
        return len(self._targets)

    def batch(self, examples: Ints, chance: np.random.Generator) -> Batch:
        events = self._targets[examples]
        inputs = Histories.before(self._ratings, events).tower_inputs(self._config.towers.history)
        movies = len(self._ratings.movies)
        wanted = self._ratings.rows[events] + 1
        drawn = chance.integers(1, movies + 1, self._config.negatives)
        candidates = np.unique(np.concatenate([wanted, drawn]))
        used, place = _compact(movies + 1, inputs.history, candidates)
        return Batch(
            inputs=inputs._replace(history=place[inputs.history]),
            targets=np.searchsorted(candidates, wanted),
            used=used,
            hidden=chance.random(len(used)) < self._config.content_only,
            candidates=place[candidates],
            log_presence=log_presence(
                self._shares, candidates - 1, len(events), self._config.negatives
            ),
        )

    def loss(self, towers: TwoTowers, batch: Batch) -> Tensor:
        device = towers.index.device
        vectors = towers.movie_vectors(_on(batch.used, device), _on(batch.hidden, device))
        return sampled_softmax(
            towers.users(vectors, *(_on(column, device) for column in batch.inputs)),
            vectors[_on(batch.candidates, device)],
            _on(batch.targets, device),
            _on(batch.log_presence, device),
            towers.log_temperature.exp(),
        )


OBJECTIVES: Final[Mapping[str, Callable[[Ratings, Ints, Config], Objective]]] = {"next": Next}


def objective(ratings: Ratings, events: Ints, config: Config) -> Objective:
    """The one that the hyperparameters name.

    Args:
        ratings: where the events are.
        events: i64[] to learn from.
        config: hyperparameters.

    Raises:
        ConfigurationError: there is no such objective.
        DatasetError: there is nothing in the events that it could teach.
    """
    if config.objective not in OBJECTIVES:
        raise ConfigurationError(
            f"no objective {config.objective!r}: there are {', '.join(OBJECTIVES)}"
        )
    return OBJECTIVES[config.objective](ratings, events, config)


def targets(ratings: Ratings, events: Ints, config: Config) -> Ints:
    """Those of the events that are to be predicted: liked, by someone who had rated before."""
    liked = ratings.half_stars[events] >= config.liked_from
    return events[liked & (ratings.first[events] < events)]


def _on(column: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(column).to(device, non_blocking=True)


def _compact(size: int, *indices: Ints) -> tuple[Ints, Ints]:
    """(the distinct indices and PADDING, ascending; where each index < size is among them)."""
    used = np.zeros(size, np.bool_)
    used[PADDING] = True
    for some in indices:
        used[some] = True
    return np.flatnonzero(used), np.cumsum(used) - 1
