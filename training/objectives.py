"""What the towers are asked while they learn: what a batch is, and its loss.

An objective knows nothing of optimizers, devices or processes; that is `training.trainer`'s. What a
batch is made of is drawn by NumPy from one generator, so that every process of a distributed run
draws the same batch and takes its part of the users. Candidates are those of the whole batch, and
the mean of the parts' losses, weighted by their users, is the loss of the whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from stream.contracts.errors import ConfigurationError, DatasetError
from training.batches import Batch, Found, batch_loss, batch_of
from training.config import Config
from training.dataset import Ratings
from training.drawing import drawn
from training.evaluate import Quality, filled_in, live
from training.histories import Histories
from training.losses import log_presence
from training.recommender import Scores
from training.split import split_by_time
from training.tower_inputs import Ints
from training.towers import TwoTowers

# Share of a history that `Rest` leaves to be found: Mult-VAE's dropout.
HIDDEN: Final = 0.5

# Share of each user's ratings by which `Rest` judges the towers.
JUDGED: Final = 0.1


class Held(Protocol):
    """Events by what they are for, such as `split.TimeSplit`: i64[], each ascending."""

    @property
    def train(self) -> Ints: ...

    @property
    def validation(self) -> Ints: ...


class RandomSplit(NamedTuple):
    """A share of each user's events at random, and the rest."""

    train: Ints
    validation: Ints


class Objective(ABC):
    """A question that the towers are trained to answer, by examples 0..size - 1.

    Args:
        ratings: where the events are.
        events: i64[] to learn from.
        config: hyperparameters.

    Raises:
        DatasetError: there is nothing in the events that it could teach.
    """

    @abstractmethod
    def __init__(self, ratings: Ratings, events: Ints, config: Config) -> None: ...

    @property
    @abstractmethod
    def size(self) -> int:
        """Examples in an epoch."""

    @abstractmethod
    def batch(self, examples: Ints, chance: np.random.Generator) -> Batch:
        """What these examples ask, and candidates drawn by `chance`."""

    def loss(self, towers: TwoTowers, batch: Batch) -> Tensor:
        """f32[], the mean over the batch's users."""
        return batch_loss(towers, batch)

    @staticmethod
    @abstractmethod
    def split(ratings: Ratings) -> Held:
        """A part by which the question can be judged, and the rest to learn from.

        Raises:
            DatasetError: there are too few ratings.
        """

    @staticmethod
    @abstractmethod
    def quality(ratings: Ratings, model: Scores, split: Held, max_lists: int) -> Quality:
        """How well a model that knows the training part answers for the validation part."""


class Next(Objective):
    """Which movie did somebody like next, as of right before they rated it?

    Candidates are the targets of all, and random movies.
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
        histories = Histories.before(self._ratings, events)
        wanted = self._ratings.rows[events] + 1
        drawn = chance.integers(1, len(self._shares) + 1, self._config.negatives)
        candidates = np.unique(np.concatenate([wanted, drawn]))
        presence = log_presence(self._shares, candidates - 1, len(events), self._config.negatives)
        worth = np.ones(len(events), np.float32)
        found = Found(np.arange(len(events)), wanted, worth)
        return batch_of(self._config, histories, found, candidates, presence, chance)

    @staticmethod
    def split(ratings: Ratings) -> Held:
        return split_by_time(ratings)

    @staticmethod
    def quality(ratings: Ratings, model: Scores, split: Held, max_lists: int) -> Quality:
        return live(ratings, model, split.validation, max_lists)


class Rest(Objective):
    """Given half of somebody's ratings at random, which are the others?

    The question of Mult-VAE (Liang, Krishnan, Hoffman, Jebara: Variational autoencoders for
    collaborative filtering, WWW 2018). All movies are candidates. Whoever rated more does not
    count more.
    """

    def __init__(self, ratings: Ratings, events: Ints, config: Config) -> None:
        self._config = config
        self._log = ratings.take(events)
        everyone = np.unique(self._log.users)
        rated = Histories.of_users(self._log, everyone).rated()
        count = np.bincount(rated.lists, minlength=len(everyone))
        liked = self._log.half_stars[rated.events] >= config.liked_from
        enough = (count > 1) & (np.bincount(rated.lists, liked, len(everyone)) > 0)
        if not enough.any():
            raise DatasetError(
                f"nobody in {len(events)} ratings has rated two movies and liked one of them: "
                "there is nothing to learn"
            )
        self._users = everyone[enough]
        self._count = count[enough]
        self._begin = (np.cumsum(count) - count)[enough]
        self._events = rated.events

    @property
    def size(self) -> int:
        return len(self._users)

    def batch(self, examples: Ints, chance: np.random.Generator) -> Batch:
        count = self._count[examples]
        lists = np.repeat(np.arange(len(examples)), count)
        place = np.arange(len(lists)) - np.repeat(np.cumsum(count) - count, count)
        events = self._events[np.repeat(self._begin[examples], count) + place]
        order = np.lexsort((chance.random(len(lists)), lists))
        events, seen = events[order], place < np.maximum(count * (1 - HIDDEN), 1)[lists]
        known = self._log.take(np.sort(events[seen]))
        found = ~seen & (self._log.half_stars[events] >= self._config.liked_from)
        owners, wanted = lists[found], self._log.rows[events[found]] + 1
        worth = (1 / np.bincount(owners, minlength=1)[owners]).astype(np.float32)
        movies = len(self._log.movies)
        return batch_of(
            self._config,
            Histories.of_users(known, self._users[examples]),
            Found(owners, wanted, worth),
            np.arange(1, movies + 1),
            np.zeros(movies, np.float32),
            chance,
        )

    @staticmethod
    def split(ratings: Ratings) -> Held:
        held = drawn(ratings, JUDGED, seed=0)
        return RandomSplit(np.flatnonzero(~held), np.flatnonzero(held))

    @staticmethod
    def quality(ratings: Ratings, model: Scores, split: Held, max_lists: int) -> Quality:
        return filled_in(ratings, model, split.train, split.validation, max_lists)


OBJECTIVES: Final[Mapping[str, type[Objective]]] = {"next": Next, "rest": Rest}


def kind_of(config: Config) -> type[Objective]:
    """The objective that the hyperparameters name.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if config.objective not in OBJECTIVES:
        raise ConfigurationError(
            f"no objective {config.objective!r}: there are {', '.join(OBJECTIVES)}"
        )
    return OBJECTIVES[config.objective]


def targets(ratings: Ratings, events: Ints, config: Config) -> Ints:
    """i64[n]: the events that are to be predicted: liked, by someone who had rated before."""
    liked = ratings.half_stars[events] >= config.liked_from
    return events[liked & (ratings.first[events] < events)]
