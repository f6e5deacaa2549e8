"""Trains SASRec's network: every movie of every sequence is predicted from those before it."""

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stream.contracts.errors import DatasetError
from training.baselines.sasrec_network import NOTHING, SasRecNetwork
from training.dataset import Ratings
from training.histories import Histories
from training.losses import log_presence, sampled_softmax
from training.tower_inputs import Ints

VALIDATION: Final = 5_000  # users whose last movie is held out, at most
MAX_BATCH: Final = 1_600  # targets a step: the size matters little, more of them save time
MIN_STEPS: Final = 32  # in an epoch: a small data set is cut finer
WARM_UP: Final = 50  # steps over which the learning rate rises
AVERAGING: Final = 0.98  # how much of the average of the weights a step keeps

_BATCH: Final = 256  # sequences at once, where nothing is learnt


class Following(NamedTuple):
    """The e times that a user's movie followed another, users one after another, oldest first.

    Attributes:
        before: i64[e] the index of the movie before.
        after: i64[e] of the one that came next.
        users: i64[e] whose they are, ascending.
        places: i64[e] how many there are before it of the same user.
    """

    before: Ints
    after: Ints
    users: Ints
    places: Ints

    @classmethod
    def of(cls, train: Ratings, liked_from: int) -> "Following":
        rated = Histories.of_users(train, np.unique(train.users)).rated(liked_from)
        movies = train.rows[rated.events] + 1
        same = np.flatnonzero(rated.lists[1:] == rated.lists[:-1])
        users = rated.lists[same]
        places = np.arange(len(users)) - np.searchsorted(users, users)
        return cls(movies[same], movies[same + 1], users, places)

    def take(self, some: npt.NDArray[np.bool_]) -> "Following":
        return Following(*(column[some] for column in self))


class SasRecTrainer:
    """Trains an epoch at a time, on all but the last movie of some users.

    The loss is cross-entropy against the other targets of a batch and random movies, each weighted
    for how often it is drawn, see `losses.sampled_softmax`. The published loss, one random movie
    against each target, lets the network be sure of too much (Petrov and Macdonald: gSASRec,
    RecSys 2023), and cross-entropy over many makes it the better sequence model (Klenitskiy and
    Vasilev: Turning dross into gold loss, RecSys 2023).

    Args:
        network: to be trained.
        train: what it may know.
        liked_from: half stars from which a rating counts.
        length: of the longest sequence.
        negatives: random movies a step.
        learning_rate: of Adam.
        seed: of everything random but the network's dropout, which is torch's.

    Raises:
        DatasetError: nobody has rated three movies.
    """

    def __init__(
        self,
        network: SasRecNetwork,
        train: Ratings,
        *,
        liked_from: int,
        length: int,
        negatives: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        everything = Following.of(train, liked_from)
        last = np.append(np.diff(everything.users) > 0, True)[: len(everything.users)]
        ends = np.flatnonzero(last & (everything.places > 0))
        if not len(ends):
            raise DatasetError(
                f"none of the users of {len(train)} ratings has given three movies "
                f"{liked_from / 2:g} stars or more: there are no sequences to learn from"
            )
        self._chance = np.random.default_rng(seed)
        self._length = length
        self._negatives = negatives
        held = self._chance.permutation(ends)[:VALIDATION]
        starts = held - np.minimum(everything.places[held], length - 1)
        self._asked = _sequences(everything.before, starts, held + 1 - starts)[0]
        self._asked_ends = held - starts
        self._answers = everything.after[held]
        self._known = everything.take(~np.isin(np.arange(len(last)), held))
        targets = len(self._known.after)
        self._batch = min(max(targets // MIN_STEPS, 1), MAX_BATCH)
        self._shares = np.bincount(self._known.after - 1, minlength=len(train.movies)) / targets
        self._network = network
        averaging = get_ema_multi_avg_fn(AVERAGING)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(network, multi_avg_fn=averaging)
        self._average.eval()
        self._optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
        self._schedule = torch.optim.lr_scheduler.LinearLR(
            self._optimizer, start_factor=1 / WARM_UP, total_iters=WARM_UP
        )

    @property
    def network(self) -> SasRecNetwork:
        """The average of the weights so far."""
        return cast(SasRecNetwork, self._average.module)

    def epoch(self) -> float:
        """Go through all targets once. Returns the mean loss of the steps."""
        losses = [self._step(starts, lengths) for starts, lengths in self._batches()]
        return sum(losses) / len(losses)

    @torch.inference_mode()
    def validation(self) -> float:
        """The mean log-likelihood of the movies held out. Steadier than a mean rank."""
        total = 0.0
        for start in range(0, len(self._answers), _BATCH):
            some = slice(start, start + _BATCH)
            states = self.network(torch.from_numpy(self._asked[some]))
            ends = torch.from_numpy(self._asked_ends[some])
            scores = states[torch.arange(len(ends)), ends] @ self.network.movies.weight[1:].T
            answers = torch.from_numpy(self._answers[some] - 1)
            total -= torch.nn.functional.cross_entropy(scores, answers, reduction="sum").item()
        return total / len(self._answers)

    def _batches(self) -> Iterator[tuple[Ints, Ints]]:
        """Starts and lengths of sequences that hold all targets, in a batch of about one length."""
        starts, lengths = cut(self._known, self._length, self._chance)
        order = self._chance.permutation(len(starts))
        order = order[np.argsort(lengths[order], kind="stable")]
        numbers = np.cumsum(lengths[order]) // self._batch
        batches = np.split(order, np.flatnonzero(np.diff(numbers)) + 1)
        for batch in self._chance.permutation(len(batches)):
            yield starts[batches[batch]], lengths[batches[batch]]

    def _step(self, starts: Ints, lengths: Ints) -> float:
        sequences, there = _sequences(self._known.before, starts, lengths)
        targets = _sequences(self._known.after, starts, lengths)[0][there]
        movies = len(self._shares)
        drawn = self._chance.integers(1, movies + 1, self._negatives)
        candidates = np.unique(np.concatenate([targets, drawn]))
        presence = log_presence(self._shares, candidates - 1, len(targets), self._negatives)
        states = self._network(torch.from_numpy(sequences))
        loss = sampled_softmax(
            states[torch.from_numpy(there)],
            self._network.movies(torch.from_numpy(candidates)),
            torch.from_numpy(np.searchsorted(candidates, targets)),
            torch.from_numpy(presence),
            torch.ones(()),
        )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        self._average.update_parameters(self._network)
        return loss.item()


def cut(known: Following, length: int, chance: np.random.Generator) -> tuple[Ints, Ints]:
    """(starts, lengths) of all of it in parts that fit, those of long users at random places.

    Both i64[parts]; a part has `length` events at most.
    """
    lasting = np.bincount(known.users)
    cuts = chance.integers(length, size=len(lasting))
    cuts[lasting <= length] = 0
    begins = (known.places == 0) | ((known.places + cuts[known.users]) % length == 0)
    starts = np.flatnonzero(begins)
    return starts, np.diff(starts, append=len(known.users))


def _sequences(column: Ints, starts: Ints, lengths: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """i64[B, longest] of these slices of the column, padded at the end; bool, what is of them."""
    steps = np.arange(lengths.max())
    there = steps < lengths[:, None]
    at = np.where(there, starts[:, None] + steps, 0)
    return np.where(there, column[at], NOTHING), there
