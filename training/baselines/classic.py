"""Two towers as they are mostly published, with an id for each user: see `training.classic`."""

from dataclasses import dataclass

import numpy as np
import torch

from training.bounds import Count, Seed
from training.classic import ClassicConfig, ClassicTrainer, Tower
from training.classic_losses import predicted_stars
from training.dataset import Ratings
from training.epochs import torch_threads
from training.histories import Histories
from training.recommender import OnProgress
from training.tower_inputs import USER_FEATURES, Floats, Ints


@dataclass(kw_only=True)
class ClassicTowers(ClassicConfig):
    """Scores a movie by the stars that the classic towers predict: a cosine, as 0.5 to 5 stars.

    A user is an id and features, so two people are told apart only if both were in the fit:
    `score_users` and `predict_users` know them. Everybody else, and everybody who is asked about by
    a history, is the mean of the known ids with the features of that history: how many ratings,
    how high, how different, how often, but not of which movies. Epochs are no hyperparameter: the
    fit ends when the loss on ratings held out gets no better.

    Its hyperparameters are those of `ClassicConfig`.

    Attributes:
        max_epochs: at most.
        patience: epochs without a better one, after which to stop.
        seed: of everything random; the same seed gives the same model on the same machine.
    """

    max_epochs: Count = 40
    patience: Count = 3
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        with torch_threads(1):  # the steps are small, and threads would change the sums
            trainer = ClassicTrainer(train, self, self.seed)
            best, least = 0, np.inf
            for epoch in range(1, self.max_epochs + 1):
                on_progress(epoch - 1, self.max_epochs)
                trainer.epoch()
                loss = trainer.validation()
                if loss < least:
                    best, least = epoch, loss
                    self._keep(trainer)
                elif epoch - best >= self.patience:
                    break
        on_progress(self.max_epochs, self.max_epochs)

    def score(self, histories: Histories) -> Floats:
        return _stars(self._newcomers(histories) @ self.movies.T)

    def score_users(self, users: Ints) -> Floats:
        return _stars(self._vectors(users) @ self.movies.T)

    def predict(self, histories: Histories, rows: Ints, times: Ints) -> Floats:  # noqa: ARG002
        vectors = self._newcomers(histories)
        return _stars(np.einsum("bd,bd->b", vectors, self.movies[rows]))

    def predict_users(self, users: Ints, rows: Ints) -> Floats:
        return _stars(np.einsum("bd,bd->b", self._vectors(users), self.movies[rows]))

    def _keep(self, trainer: ClassicTrainer) -> None:
        self.known_users = trainer.known_users
        self.users = trainer.user_vectors()
        self.movies = trainer.movie_vectors()
        weights = trainer.users.state_dict()
        # Of the ids, a newcomer has only their mean.
        weights["embedding.weight"] = weights["embedding.weight"].mean(0, keepdim=True)
        self.newcomer = {name: weight.numpy().copy() for name, weight in weights.items()}

    def _vectors(self, users: Ints) -> Floats:
        """f32[B, d] of these users as the fit saw them, or new."""
        vectors = np.repeat(self._embedded(np.zeros((1, USER_FEATURES), np.float32)), len(users), 0)
        known = np.isin(users, self.known_users)
        vectors[known] = self.users[np.searchsorted(self.known_users, users[known])]
        return vectors

    def _newcomers(self, histories: Histories) -> Floats:
        """f32[B, d] of people with these histories."""
        return self._embedded(histories.log.features(histories.starts, histories.ends))

    @torch.inference_mode()
    def _embedded(self, features: Floats) -> Floats:
        """f32[B, d] of people with these features, none of them with an id."""
        tower = Tower(1, USER_FEATURES, self.dimensions)
        tower.load_state_dict({name: torch.from_numpy(w) for name, w in self.newcomer.items()})
        embedded = tower.embedding.weight.expand(len(features), -1)
        vectors: Floats = tower(embedded, torch.from_numpy(features)).numpy()
        return vectors


def _stars(cosines: Floats) -> Floats:
    """f32[..] within 0.5..5, from which rounding may lead."""
    return predicted_stars(cosines).clip(0.5, 5)
