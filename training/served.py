"""What the API serves, as a recommender of the lab: the same artifact and policy, asked in bulk.

The policy is that of `api.lists.retrieval`, whose numbers come in as hyperparameters; the second
stage is `training.ranking` in both. `infra.served` asks both the same questions and compares their
answers.
"""

import copy
from collections.abc import Mapping
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
from training.repertoire import Repertoire
from training.standing import Standing
from training.tower_inputs import PADDING, Floats, Ints


@dataclass
class Served:
    """Trends for the new, then the ranker's order of the whole catalogue.

    Movies that the artifact did not learn have their vectors from its item tower, by their content.
    Who has rated nothing that it learnt gets trends.

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
        learnt = Repertoire.of(self.artifact)
        self.repertoire = learnt.taking_in(learnt.lacking(self.artifact, train.movies))
        ids = np.array([movie.movie_id for movie in train.movies], np.uint32)
        self.rows = self.repertoire.items.rows(ids).astype(np.int64)
        self.learnt = self.rows < self.repertoire.learnt
        counts = np.array([movie.popularity for movie in self.artifact.movies()])
        known = np.flatnonzero(self.learnt)
        most = known[np.argsort(-counts[self.rows[known]], kind="stable")]
        self.most_rated = most[: self.popular]
        self.live = Counted(len(ids))
        self.explored = np.isin(self.rows, self.repertoire.unrated)
        self.raters: set[tuple[int, int]] = set()  # (user, row of the artifact) of what is explored
        self.observe(train)

    def observe(self, events: Ratings) -> None:
        """Heat, as `stream.features` counts it, summed over all partitions; who rated what is new.

        Args:
            events: ratings of movies of the log that it was fitted on.
        """
        self.live.observe(events.users, events.rows, events.times)
        new = self.explored[events.rows]
        rows = self.rows[events.rows[new]]
        self.raters |= set(zip(events.users[new].tolist(), rows.tolist(), strict=True))

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
        twin.live, twin.raters = self.live.copy(), self.raters.copy()
        return twin

    def _score(self, histories: Histories, more: dict[int, float]) -> Floats:
        scores = np.full((len(histories), len(self.rows)), -np.inf, np.float32)
        standing = histories.standing()
        known = self.learnt[standing.rows]
        standing = standing._replace(rows=self.rows[standing.rows])
        there = np.bincount(standing.lists, known, minlength=len(histories)) > 0
        if not there.all():
            scores[~there] = self._trends()
        if there.any():
            some = np.flatnonzero(there)
            ranked = self._ranked(histories[some], _of(standing, some), more)
            scores[some] = ranked[:, self.rows]
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
        """f32[B, movies of the repertoire], of people who have rated some that were learnt."""
        ranking, movies = self.artifact.ranking, self.repertoire
        vectors, later = movies.items.vectors, len(movies.later)
        features = {TOWERS: self._embed(histories) @ vectors.T}
        features |= {name: links.scores(standing, later) for name, links in ranking.links.items()}
        features |= self._live()
        rated = np.zeros((len(histories), len(vectors)), np.bool_)
        rated[standing.lists, standing.rows] = True
        proposed = ranking.candidates(features, rated)
        tried, bonus = self._tried(features, rated)
        chosen = np.concatenate([proposed, tried], axis=1)
        bonus = np.concatenate([np.zeros(proposed.shape, np.float32), bonus], axis=1)
        by_row = np.argsort(chosen, axis=1, kind="stable")  # equal movies go by it, as in the API
        chosen, bonus = (np.take_along_axis(of, by_row, axis=1) for of in (chosen, bonus))
        of_chosen = {name: of_candidates(values, chosen) for name, values in features.items()}
        utilities = ranking.utilities(of_chosen)
        for row, amount in more.items():
            utilities[chosen == self.rows[row]] += amount
        scores = ranking.lists(utilities, chosen, rated, movies.likeness, self.longest, bonus)
        scores[rated] = -np.inf
        return scores

    def _tried(
        self, features: Mapping[str, Floats], rated: npt.NDArray[np.bool_]
    ) -> tuple[Ints, Floats]:
        """i64[B, T] rows of the movies that are tried for each, and f32[B, T] their bonuses."""
        unrated = self.repertoire.unrated
        ratings = np.bincount([row for _, row in self.raters], minlength=rated.shape[1])[unrated]
        ranking = self.artifact.ranking
        common = ranking.common(features)[:, unrated]
        tried, bonus = ranking.tried(
            features[TOWERS][:, unrated], common, ratings, rated[:, unrated]
        )
        return unrated[tried], bonus

    def _live(self) -> dict[str, npt.NDArray[np.float32]]:
        """By name, f32[1, movies of the repertoire]; what is not in the log nobody has rated."""
        movies = len(self.repertoire.items.movie_ids)
        everything = model_first(self.live.heats, self.rows, movies)
        return {name: of[None] for name, of in live_features(everything).items()}

    def _embed(self, histories: Histories) -> Floats:
        inputs = histories.tower_inputs(self.artifact.manifest.history)
        indices = np.concatenate([[PADDING], np.where(self.learnt, self.rows + 1, PADDING)])
        return self.artifact.embed_users(inputs._replace(history=indices[inputs.history]))


def _of(standing: Standing, some: Ints) -> Standing:
    """The ratings of some of the users, ascending."""
    kept = np.isin(standing.lists, some)
    lists, *columns = (column[kept] for column in standing[1:])
    return Standing(len(some), np.searchsorted(some, lists), *columns)
