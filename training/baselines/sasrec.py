"""SASRec: what comes next in a sequence of movies, by causal self-attention."""

from dataclasses import dataclass

import numpy as np
import torch

from training.baselines.popularity import Popularity
from training.baselines.sasrec_network import NOTHING, SasRecNetwork
from training.baselines.sasrec_training import SasRecTrainer
from training.bounds import Count, Dropout, HalfStars, Positive, Seed
from training.dataset import Ratings
from training.epochs import torch_threads
from training.histories import Histories
from training.recommender import OnEpoch, OnProgress
from training.tower_inputs import Floats, Ints


@dataclass
class SasRec:
    """Scores a movie by how likely it is to follow the latest movies of a history.

    A history is read as the sequence of its latest movies that the fit has seen; how they were
    rated and when does not count. Who has none gets the popular movies. Epochs are no
    hyperparameter: the fit ends when the last movie of some users, held out, gets no more likely.

    Kang and McAuley: Self-attentive sequential recommendation, ICDM 2018, with another loss, see
    `sasrec_training.SasRecTrainer`.

    Attributes:
        length: how many of the latest movies are read.
        dimensions: of the vectors.
        layers: of attention.
        heads: of each layer.
        dropout: while training.
        learning_rate: of Adam.
        negatives: random movies a step.
        liked_from: half stars from which a rating counts.
        max_epochs: at most.
        patience: epochs without a better one, after which to stop.
        seed: of everything random; the same seed gives the same model on the same machine.
    """

    length: Count = 50
    dimensions: Count = 64
    layers: Count = 2
    heads: Count = 2
    dropout: Dropout = 0.3
    learning_rate: Positive = 8e-3
    negatives: Count = 256
    liked_from: HalfStars = 1
    max_epochs: Count = 60
    patience: Count = 3
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        self.fit_epochs(train, lambda _: None, on_progress)

    def fit_epochs(
        self, train: Ratings, on_epoch: OnEpoch, on_progress: OnProgress = lambda *_: None
    ) -> None:
        popularity = Popularity(self.liked_from)
        popularity.fit(train)
        self.popularity = popularity.counts
        torch.manual_seed(self.seed)
        with torch_threads(1):  # the steps are small, and threads would change the sums
            trainer = SasRecTrainer(
                self._network(len(train.movies)),
                train,
                liked_from=self.liked_from,
                length=self.length,
                negatives=self.negatives,
                learning_rate=self.learning_rate,
                seed=self.seed,
            )
            best, likelihood = 0, -np.inf
            for epoch in range(1, self.max_epochs + 1):
                on_progress(epoch - 1, self.max_epochs)
                trainer.epoch()
                validation = trainer.validation()
                if validation > likelihood:
                    best, likelihood = epoch, validation
                    weights = trainer.network.state_dict()
                    self.weights = {name: w.numpy().copy() for name, w in weights.items()}
                on_epoch(epoch)
                if epoch - best >= self.patience:
                    break
        on_progress(self.max_epochs, self.max_epochs)

    @torch.inference_mode()
    def score(self, histories: Histories) -> Floats:
        with torch.device("meta"):  # takes no time: the weights are there already
            network = self._network(len(self.popularity))
        weights = {name: torch.from_numpy(array) for name, array in self.weights.items()}
        network.load_state_dict(weights, assign=True)
        network.eval()
        sequences, lengths = self._sequences(histories)
        known = np.flatnonzero(lengths)
        states = network(torch.from_numpy(sequences[known]))
        latest = states[torch.arange(len(known)), torch.from_numpy(lengths[known] - 1)]
        scores = np.tile(self.popularity, (len(histories), 1))
        scores[known] = (latest @ network.movies.weight[1:].T).numpy()
        return scores

    def _sequences(self, histories: Histories) -> tuple[Ints, Ints]:
        """(i64[B, longest] indices of movies, oldest first, padded at the end; i64[B] lengths)."""
        rated = histories.rated(self.liked_from)
        rows = histories.log.rows[rated.events]
        seen = self.popularity[rows] > 0
        lists, rows = rated.lists[seen], rows[seen]
        steps = np.searchsorted(lists, lists, side="right") - 1 - np.arange(len(lists))
        lists, rows, steps = (part[steps < self.length] for part in (lists, rows, steps))
        lengths = np.bincount(lists, minlength=len(histories))
        sequences = np.full((len(histories), lengths.max(initial=1)), NOTHING)
        sequences[lists, lengths[lists] - 1 - steps] = rows + 1
        return sequences, lengths

    def _network(self, movies: int) -> SasRecNetwork:
        shape = (self.length, self.dimensions, self.layers, self.heads, self.dropout)
        return SasRecNetwork(movies, *shape)
