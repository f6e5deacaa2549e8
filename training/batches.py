"""A step's work: users, what they are to find, and the movies among which, drawn by NumPy."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.config import Config
from training.histories import Histories
from training.losses import multinomial
from training.tower_inputs import PADDING, Floats, Ints, TowerInputs
from training.towers import TwoTowers

_NOWHERE: Final = -1


class Found(NamedTuple):
    """What some users are to find.

    Attributes:
        owners: i64[t] who, ascending.
        movies: i64[t] which, as an index.
        weights: f32[t] what it is worth.
    """

    owners: Ints
    movies: Ints
    weights: Floats


@dataclass(frozen=True)
class Batch:
    """B users, what they are to find, and the candidates among which.

    Only the movies that take part get a vector: they are `used`, and everything else points into
    it.

    Attributes:
        inputs: of B users; the history points into `used`.
        owners: i64[t] who is to find each target, ascending.
        targets: i64[t] which candidate it is.
        weights: f32[t] what finding it is worth.
        used: i64[m] indices of movies, ascending; the first is PADDING.
        hidden: bool[m] which of them to embed by content alone.
        candidates: i64[C] places in `used`.
        log_presence: f32[C], see `losses.multinomial`.
        rated: bool[B, C] who has rated which candidate, and is not to find it again.
    """

    inputs: TowerInputs
    owners: Ints
    targets: Ints
    weights: Floats
    used: Ints
    hidden: npt.NDArray[np.bool_]
    candidates: Ints
    log_presence: Floats
    rated: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rated)

    def part(self, rank: int, of: int) -> "Batch":
        """Every `of`-th user from `rank` on, against the candidates of all."""
        users, targets = slice(rank, None, of), self.owners % of == rank
        return replace(
            self,
            inputs=self.inputs.of(users),
            owners=self.owners[targets] // of,
            targets=self.targets[targets],
            weights=self.weights[targets],
            rated=self.rated[users],
        )


def batch_of(
    config: Config,
    histories: Histories,
    found: Found,
    candidates: Ints,
    presence: Floats,
    chance: np.random.Generator,
) -> Batch:
    """The batch that asks users with these histories.

    Args:
        config: hyperparameters.
        histories: of B users.
        found: what they are to find, all of it candidates.
        candidates: i64[C] indices of movies, ascending.
        presence: f32[C], `losses.log_presence` of each.
        chance: draws the movies that are embedded by content alone.
    """
    inputs = histories.tower_inputs(config.towers.history)
    movies = len(histories.log.movies)
    used, place = _compact(movies + 1, inputs.history, candidates)
    column = np.full(movies + 1, _NOWHERE)
    column[candidates] = np.arange(len(candidates))
    rated = np.zeros((len(histories), len(candidates)), np.bool_)
    of_history = column[inputs.history]
    lists, at = np.nonzero(of_history != _NOWHERE)
    rated[lists, of_history[lists, at]] = True
    rated[found.owners, column[found.movies]] = False
    return Batch(
        inputs=inputs._replace(history=place[inputs.history]),
        owners=found.owners,
        targets=column[found.movies],
        weights=found.weights,
        used=used,
        hidden=chance.random(len(used)) < config.content_only,
        candidates=place[candidates],
        log_presence=presence,
        rated=rated,
    )


def batch_loss(towers: TwoTowers, batch: Batch) -> Tensor:
    """f32[], the weighted losses of the targets, as a mean over the users."""
    device = towers.index.device
    vectors = towers.movie_vectors(_on(batch.used, device), _on(batch.hidden, device))
    users = towers.users(vectors, *(_on(column, device) for column in batch.inputs))
    scores = users / towers.log_temperature.exp() @ vectors[_on(batch.candidates, device)].T
    losses = multinomial(
        scores.masked_fill(_on(batch.rated, device), -torch.inf),
        _on(batch.owners, device),
        _on(batch.targets, device),
        _on(batch.log_presence, device),
    )
    return (losses * _on(batch.weights, device)).sum() / len(batch)


def _on(column: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(column).to(device, non_blocking=True)


def _compact(size: int, *indices: Ints) -> tuple[Ints, Ints]:
    """(the distinct indices and PADDING, ascending; where each index < size is among them)."""
    used = np.zeros(size, np.bool_)
    used[PADDING] = True
    for some in indices:
        used[some] = True
    return np.flatnonzero(used), np.cumsum(used) - 1
