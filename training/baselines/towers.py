"""This project's own two towers, beside the baselines that they have to beat."""

from dataclasses import dataclass, field

import numpy as np
import torch

from training import epochs
from training.baselines.popularity import Popularity
from training.bounds import Count, Seed
from training.config import REST, Config
from training.dataset import Ratings
from training.histories import Histories
from training.objectives import kind_of
from training.options import RunOptions
from training.recommender import OnEpoch, OnProgress
from training.scorer import padded_vectors
from training.tower_inputs import Floats
from training.towers import TwoTowers
from training.user_towers import user_tower


@dataclass
class Towers:
    """The towers of `training.towers`, fitted as those that are served.

    The number of epochs is that after which towers fitted on a part of the ratings did best on a
    part held out, as their objective splits them: for `next`, the first 80% of the time and the 10%
    after it. Someone without a rating gets the popular movies, as serving shows them.

    Attributes:
        config: hyperparameters, all of which the lab knows by their own names.
        max_epochs: at most.
        patience: epochs without a better one, after which to stop.
        seed: of everything random.
    """

    config: Config = field(default_factory=Config)
    max_epochs: Count = 12
    patience: Count = 2
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        """Learn vectors of the movies, and the user tower that goes with them."""
        self._fit(train, on_progress, None)

    def fit_epochs(
        self, train: Ratings, on_epoch: OnEpoch, on_progress: OnProgress = lambda *_: None
    ) -> None:
        """See `recommender.FitsInEpochs`."""

        def keep(number: int, towers: TwoTowers) -> None:
            self._keep(towers)
            on_epoch(number)

        self._fit(train, on_progress, keep)

    def _fit(
        self, train: Ratings, on_progress: OnProgress, on_epoch: epochs.OnEpoch | None
    ) -> None:
        popularity = Popularity()
        popularity.fit(train)
        options = RunOptions(max_epochs=self.max_epochs, patience=self.patience, seed=self.seed)
        split = kind_of(self.config).split(train)
        self.popularity = popularity.counts
        trained = epochs.train_until_best(
            train, split, self.config, options, on_progress, on_epoch=on_epoch
        )
        self._keep(trained.final)

    def _keep(self, towers: TwoTowers) -> None:
        self.vectors = padded_vectors(towers)  # f32[movies + 1, d], zeros at PADDING
        self.user_tower = {name: w.numpy() for name, w in towers.users.state_dict().items()}

    def score(self, histories: Histories) -> Floats:
        scores = np.tile(self.popularity, (len(histories), 1))
        known = np.flatnonzero(histories.lengths)
        scores[known] = self.embed(histories[known]) @ self.vectors[1:].T
        return scores

    @torch.inference_mode()
    def embed(self, histories: Histories) -> Floats:
        """f32[B, d], L2-normalised: the users, whose dot products with `vectors` are scores."""
        users = user_tower(self.config.towers).eval()
        users.load_state_dict({name: torch.from_numpy(w) for name, w in self.user_tower.items()})
        vectors = torch.from_numpy(self.vectors)
        inputs = histories.tower_inputs(users.length)
        embedded: Floats = users(vectors, *map(torch.from_numpy, inputs)).numpy()
        return embedded


@dataclass
class RestTowers(Towers):
    """The same towers, asked while they learn for the rest of a history, whenever that was."""

    config: Config = REST
    max_epochs: Count = 24
