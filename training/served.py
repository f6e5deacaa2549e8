"""What the API serves, as a recommender of the lab: the same artifact and policy, asked in bulk.

The policy is that of `api.retrieval`, whose numbers come in as hyperparameters; the second stage is
`training.ranking` in both. `infra.served` asks both the same questions and compares their answers.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.artifact import Artifact
from training.dataset import Ratings
from training.histories import Histories
from training.live import Counted, live_features, model_first
from training.ranking import TOWERS, of_candidates
from training.recommender import OnProgress
from training.standing import Standing
from training.tower_inputs import PADDING, Floats, Ints


@dataclass
class Served:
    """Trends for the new, then the ranker's order of what the artifact knows.

    Movies that it does not know are recommended only where they are trending. Who has rated nothing
    that it knows gets trends too.

    Attributes:
        directory: the artifact's. Its models are trained already.
        trending: how many trending movies lead the list of trends.
        popular: how many of the most rated movies of the artifact follow them.
        longest: how long a list is that is diversified.
    """

    directory: Path
    trending: int
    popular: int
    longest: int

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        """Open the artifact, and take in the heats of these ratings. Raises ArtifactError."""
        self.artifact = Artifact.load(self.directory)
        ids = np.array([movie.movie_id for movie in train.movies], np.uint32)
        self.rows = self.artifact.items.rows(ids)  # of the artifact, -1 where it lacks the movie
        counts = np.array([movie.popularity for movie in self.artifact.movies()])
        known = np.flatnonzero(self.rows >= 0)
        most = known[np.argsort(-counts[self.rows[known]], kind="stable")]
        self.most_rated = most[: self.popular]
        self.live = Counted(len(ids))
        self.observe(train)

    def observe(self, events: Ratings) -> None:
        """Heat, as `stream.features` counts it, summed over all partitions."""
        self.live.observe(events.users, events.rows, events.times)

    def score(self, histories: Histories) -> Floats:
        """f32[B, movies], -inf for what the API would not recommend at all."""
        return self._score(histories, {})

    def place(self, history: Histories, row: int, more: float) -> int:
        """Where a movie would be in one person's list, from 1, were its utility so much higher."""
        [scores] = self._score(history, {row: more})
        return int(np.count_nonzero(scores > scores[row])) + 1

    def __deepcopy__(self, memo: dict[int, Any]) -> "Served":
        """Observes on its own; the artifact, which nothing changes, is shared."""
        twin = copy.copy(self)
        twin.live = self.live.copy()
        return twin

    def _score(self, histories: Histories, more: dict[int, float]) -> Floats:
        scores = np.full((len(histories), len(self.rows)), -np.inf, np.float32)
        standing = histories.standing()
        standing = standing._replace(rows=self.rows[standing.rows].astype(np.int64))
        there = np.bincount(standing.lists, standing.rows >= 0, minlength=len(histories)) > 0
        if not there.all():
            scores[~there] = self._trends()
        if there.any():
            some = np.flatnonzero(there)
            ranked = self._ranked(histories[some], _of(standing, some), more)
            known = np.flatnonzero(self.rows >= 0)
            scores[np.ix_(some, known)] = ranked[:, self.rows[known]]
        return scores

    def _trends(self) -> Floats:
        """f32[movies]: places in the list of trends, negated; the most rated are behind them."""
        features = {name: values[None] for name, values in live_features(self.live.heats).items()}
        [found] = self.artifact.ranking.of_newcomers(features)
        rated = self.live.heats.max(axis=0) > -np.inf
        first = np.argsort(-np.where(rated, found, -np.inf), kind="stable")
        first = first[: min(self.trending, int(rated.sum()))]
        rest = self.most_rated[~np.isin(self.most_rated, first)]
        scores = np.full(len(rated), -np.inf, np.float32)
        scores[np.concatenate([first, rest])] = -np.arange(len(first) + len(rest))
        return scores

    def _ranked(self, histories: Histories, standing: Standing, more: dict[int, float]) -> Floats:
        """f32[B, movies of the artifact], of people who have rated some of them."""
        ranking, vectors = self.artifact.ranking, self.artifact.items.vectors
        features = {TOWERS: self._embed(histories) @ vectors.T}
        features |= {name: links.scores(standing) for name, links in ranking.links.items()}
        features |= self._live()
        rated = np.zeros((len(histories), len(vectors)), np.bool_)
        known = standing.rows >= 0
        rated[standing.lists[known], standing.rows[known]] = True
        chosen = ranking.candidates(features, rated)
        of_chosen = {name: of_candidates(values, chosen) for name, values in features.items()}
        utilities = ranking.utilities(of_chosen)
        for row, amount in more.items():
            utilities[chosen == self.rows[row]] += amount
        scores = ranking.lists(utilities, chosen, rated, self.artifact.likeness, self.longest)
        scores[rated] = -np.inf
        return scores

    def _live(self) -> dict[str, npt.NDArray[np.float32]]:
        """By name, f32[1, movies of the artifact]; what is not in the log nobody has rated."""
        movies = len(self.artifact.items.movie_ids)
        everything = model_first(self.live.heats, self.rows, movies)
        return {name: of[None, :movies] for name, of in live_features(everything).items()}

    def _embed(self, histories: Histories) -> Floats:
        inputs = histories.tower_inputs(self.artifact.manifest.history)
        indices = np.concatenate([[PADDING], self.rows + 1])
        return self.artifact.embed_users(inputs._replace(history=indices[inputs.history]))


def _of(standing: Standing, some: Ints) -> Standing:
    """The ratings of some of the users, ascending."""
    kept = np.isin(standing.lists, some)
    lists, *columns = (column[kept] for column in standing[1:])
    return Standing(len(some), np.searchsorted(some, lists), *columns)
