"""Two towers as they are mostly published: an id and features on either side, stars as a cosine.

The served towers (`training.towers`) read a history instead of a user id. These are here to compare
with: what somebody rated a moment ago is nothing to an embedding that was learnt last night.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stream.contracts.errors import ConfigurationError, DatasetError
from training.bounds import Count, HalfStars, Positive, Weight
from training.classic_losses import LOSSES, Loss, bpr, combined, mse, predicted_stars
from training.dataset import LIKED, Ratings
from training.tower_inputs import USER_FEATURES, Floats, Ints, movie_features

EMBEDDING_STD: Final = 0.1  # of ids at first: as long as what the features add
VALIDATION: Final = 0.1  # share of the examples that says when to stop
MAX_BATCH: Final = 1024  # ratings a step
MIN_STEPS: Final = 32  # in an epoch: a small data set is cut finer
HIDDEN: Final = 2  # width of a tower's hidden layer, in dimensions of its vector


class Tower(nn.Module):
    """An id's embedding beside features, through one hidden layer, to a vector of length 1.

    Args:
        ids: how many there are.
        features: columns.
        dimensions: of embeddings and vectors.
    """

    def __init__(self, ids: int, features: int, dimensions: int) -> None:
        super().__init__()
        hidden = HIDDEN * dimensions
        self.embedding = nn.Embedding(ids, dimensions)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        self.layers = nn.Sequential(
            nn.Linear(dimensions + features, hidden), nn.ReLU(), nn.Linear(hidden, dimensions)
        )

    def forward(self, embedded: Tensor, features: Tensor) -> Tensor:
        """f32[n, dimensions], L2-normalised, of f32[n, dimensions] ids and f32[n, features]."""
        inputs = torch.cat([embedded, features], dim=-1)
        return functional.normalize(self.layers(inputs), dim=-1)


@dataclass(kw_only=True)
class ClassicConfig:
    """Hyperparameters.

    Attributes:
        loss: ``mse`` of stars, ``bpr`` of liked movies before unrated ones, or ``combined``.
        dimensions: of embeddings and vectors.
        negatives: movies that the user has not rated, for each that they liked.
        liked_from: half stars from which a rating counts as liked.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
    """

    loss: Loss = "combined"
    dimensions: Count = 32
    negatives: Count = 4
    liked_from: HalfStars = LIKED
    learning_rate: Positive = 3e-3
    weight_decay: Weight = 0.3


class ClassicTrainer:
    """Trains both towers on all but some of the ratings, an epoch at a time.

    A user's features are those of all that they rated. Features as of right before each rating, so
    that it is not among what it is predicted from, are 0.01 stars worse: a list is asked of
    somebody as they are in the end.

    Args:
        train: what the towers may know.
        config: hyperparameters.
        seed: of everything random; the same seed gives the same towers on the same machine.

    Raises:
        ConfigurationError: there is no such loss.
        DatasetError: there are not two ratings that the loss can learn from.
    """

    def __init__(self, train: Ratings, config: ClassicConfig, seed: int = 0) -> None:
        if config.loss not in LOSSES:
            raise ConfigurationError(f"no loss {config.loss!r}: there are {', '.join(LOSSES)}")
        torch.manual_seed(seed)
        self._chance = np.random.default_rng(seed)
        self._train, self._config = train, config
        self.known_users, self._user_of = np.unique(train.users, return_inverse=True)
        self._unrated = Unrated(self._user_of, train.rows, len(train.movies))
        # Which ratings are put before movies that their user has not rated.
        self._paired = self._unrated.counts[self._user_of] > 0
        self._paired &= (train.half_stars >= config.liked_from) & (config.loss != "mse")
        examples = np.arange(len(train))
        if config.loss == "bpr":
            examples = np.flatnonzero(self._paired)
        held = int(np.ceil(len(examples) * VALIDATION))
        if len(examples) <= held:
            raise DatasetError(
                f"{len(examples)} of {len(train)} ratings are something that the loss "
                f"{config.loss!r} can learn from: give it two at least"
            )
        shuffled = self._chance.permutation(examples)
        self._held, self._examples = shuffled[:held], shuffled[held:]
        self._held_others = self._others(self._held)
        last = np.searchsorted(train.users, self.known_users, side="right") - 1
        self._user_features = torch.from_numpy(train.features(train.first[last], last + 1))
        self._movie_features = torch.from_numpy(movie_features(train.movies, train.genres))
        columns = self._movie_features.shape[1]
        self.users = Tower(len(self.known_users), USER_FEATURES, config.dimensions)
        self.movies = Tower(len(train.movies), columns, config.dimensions)
        self._optimizer = torch.optim.AdamW(
            [*self.users.parameters(), *self.movies.parameters()],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )

    def epoch(self) -> float:
        """Go through all examples once. Returns the mean loss of the steps."""
        losses = [self._step(batch) for batch in self._batches()]
        return sum(losses) / len(losses)

    @torch.inference_mode()
    def validation(self) -> float:
        """The loss on the ratings held out, always beside the same others."""
        return self._loss(self._held, self._held_others).item()

    @torch.inference_mode()
    def user_vectors(self) -> Floats:
        """f32[U, d] of the known users."""
        vectors: Floats = self.users(self.users.embedding.weight, self._user_features).numpy()
        return vectors

    @torch.inference_mode()
    def movie_vectors(self) -> Floats:
        """f32[n, d] of all movies; the id of one without ratings is the mean of the others'."""
        embedded = self.movies.embedding.weight.clone()
        rated = np.bincount(self._train.rows, minlength=len(embedded)) > 0
        embedded[~rated] = embedded[rated].mean(0)
        vectors: Floats = self.movies(embedded, self._movie_features).numpy()
        return vectors

    def _batches(self) -> Iterator[Ints]:
        size = np.clip(len(self._examples) // MIN_STEPS, 1, MAX_BATCH)
        shuffled = self._chance.permutation(self._examples)
        yield from np.split(shuffled, range(size, len(shuffled), size))

    def _step(self, events: Ints) -> float:
        loss = self._loss(events, self._others(events))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss.item()

    def _others(self, events: Ints) -> Ints:
        """i64[p, negatives]: unrated movies for each of the events that make a pair."""
        users, each = self._user_of[events[self._paired[events]]], self._config.negatives
        drawn = self._unrated.draw(np.repeat(users, each), self._chance)
        return drawn.reshape(len(users), each)

    def _loss(self, events: Ints, others: Ints) -> Tensor:
        log, pairs = self._train, torch.from_numpy(self._paired[events])
        ids = torch.from_numpy(self._user_of[events])
        users = self.users(self.users.embedding(ids), self._user_features[ids])
        rows = torch.from_numpy(np.concatenate([log.rows[events], others.ravel()]))
        movies = self.movies(self.movies.embedding(rows), self._movie_features[rows])
        predicted = predicted_stars((users * movies[: len(events)]).sum(-1))
        stars = torch.from_numpy(log.half_stars[events]).float() / 2
        against = movies[len(events) :].view(*others.shape, self._config.dimensions)
        unrated = predicted_stars(torch.einsum("pd,pkd->pk", users[pairs], against))
        match self._config.loss:
            case "mse":
                return mse(predicted, stars)
            case "bpr":
                return bpr(predicted[pairs], unrated)
            case "combined":
                return combined(predicted, stars, predicted[pairs], unrated)


class Unrated:
    """Draws movies that somebody has not rated, all of them alike.

    Of the movies less those rated, r1 < r2 < .., the u-th is u + k, where k is how many of the
    r_i - i (i from 0) are u or less.

    Args:
        users: i64[n] from 0, of each rating.
        rows: i64[n] its movie.
        movies: how many there are.
    """

    def __init__(self, users: Ints, rows: Ints, movies: int) -> None:
        rated = np.unique(users * movies + rows)
        owners = rated // movies
        self._starts = np.searchsorted(owners, np.arange(users.max(initial=-1) + 1))
        steps = np.arange(len(rated)) - self._starts[owners]
        self._keys = rated - steps
        self._movies = movies
        self.counts = movies - np.bincount(owners)  # i64[users] how many there are to draw from

    def draw(self, users: Ints, chance: np.random.Generator) -> Ints:
        """i64[n] rows, one for each of these users, who must have some left."""
        places = chance.integers(self.counts[users])
        at = np.searchsorted(self._keys, users * self._movies + places, side="right")
        return places + at - self._starts[users]
