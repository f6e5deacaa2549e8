"""What the API serves, as a recommender of the lab: the same artifact and policy, asked in bulk.

The policy is that of `api.retrieval`, whose numbers come in as hyperparameters. `infra.served` asks
both the same questions and compares their answers.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.features import DAY, HEAT_HALF_LIFE, SECOND, UserState
from training.artifact import Artifact
from training.dataset import Ratings
from training.histories import Histories, Rated
from training.recommender import OnProgress
from training.tower_inputs import PADDING, Floats


@dataclass
class Served:
    """Trends for the new, pooled vectors after the first ratings, then the user tower.

    Movies that the artifact does not know are recommended only where they are trending. Who has
    rated nothing that it knows gets trends too.

    Attributes:
        directory: the artifact's. Its towers are trained already.
        tower_ratings: ratings from which the user tower answers.
        trending: how many of the hottest movies lead the list of trends.
        popular: how many of the most rated movies of the artifact follow them.
    """

    directory: Path
    tower_ratings: int
    trending: int
    popular: int

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        """Open the artifact, and take in the trends of these ratings. Raises ArtifactError."""
        self.artifact = Artifact.load(self.directory)
        ids = np.array([movie.movie_id for movie in train.movies], np.uint32)
        self.rows = self.artifact.items.rows(ids)  # of the artifact, -1 where it lacks the movie
        counts = np.array([movie.popularity for movie in self.artifact.movies()])
        known = np.flatnonzero(self.rows >= 0)
        most = known[np.argsort(-counts[self.rows[known]], kind="stable")]
        self.most_rated = most[: self.popular]
        self.heats = np.full(len(ids), -np.inf)
        self.observe(train)

    def observe(self, events: Ratings) -> None:
        """Heat, as `stream.features` counts it, summed over all partitions."""
        order = np.argsort(events.times, kind="stable")
        arrivals = events.times[order] / DAY / HEAT_HALF_LIFE
        np.logaddexp2.at(self.heats, events.rows[order], arrivals)

    def score(self, histories: Histories) -> Floats:
        """f32[B, movies]: dot products, or for trends the place in their list, negated.

        -inf for what the API would not recommend at all.
        """
        vectors, there = self._vectors(histories)
        scores = np.full((len(histories), len(self.rows)), -np.inf, np.float32)
        if not there.all():
            scores[~there] = self._trends()
        known = self.rows >= 0
        dots = vectors[there] @ self.artifact.items.vectors[self.rows[known]].T
        scores[np.ix_(there, known)] = dots
        return scores

    def __deepcopy__(self, memo: dict[int, Any]) -> "Served":
        """Observes on its own; the artifact, which nothing changes, is shared."""
        twin = copy.copy(self)
        twin.heats = self.heats.copy()
        return twin

    def _trends(self) -> Floats:
        """f32[movies]: the hottest, equally hot ones by id, and the most rated behind them."""
        hottest = np.argsort(-self.heats, kind="stable")[: self.trending]
        hottest = hottest[self.heats[hottest] > -np.inf]
        rest = self.most_rated[~np.isin(self.most_rated, hottest)]
        scores = np.full(len(self.heats), -np.inf, np.float32)
        scores[np.concatenate([hottest, rest])] = -np.arange(len(hottest) + len(rest))
        return scores

    def _vectors(self, histories: Histories) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """f32[B, d], and bool[B]: for whom there is one."""
        rated = histories.rated()
        rows = self.rows[histories.log.rows[rated.events]]
        size = len(histories)
        counts = np.bincount(rated.lists, minlength=size)
        by_tower = (counts >= self.tower_ratings) & (
            np.bincount(rated.lists, rows >= 0, minlength=size) > 0
        )
        vectors = np.zeros((size, self.artifact.items.vectors.shape[1]), np.float32)
        there = by_tower.copy()
        if by_tower.any():
            inputs = histories[np.flatnonzero(by_tower)].tower_inputs(
                self.artifact.manifest.history
            )
            indices = np.concatenate([[PADDING], self.rows + 1])
            inputs = inputs._replace(history=indices[inputs.history])
            vectors[by_tower] = self.artifact.embed_users(inputs)
        few = np.flatnonzero((counts > 0) & (counts < self.tower_ratings))
        pooled = self.artifact.items.pool(
            [_state(histories.log, rated, one) for one in few.tolist()]
        )
        for one, vector in zip(few, pooled, strict=True):
            if vector is not None:
                vectors[one], there[one] = vector.vector, True
        return vectors, there


def _state(log: Ratings, rated: Rated, history: int) -> UserState:
    """The state of one of the histories, as far as pooling reads it."""
    begin, end = np.searchsorted(rated.lists, [history, history + 1])
    events = rated.events[begin:end]
    ids = np.array([log.movies[row].movie_id for row in log.rows[events]], "<u4")
    return UserState(
        movies=bytearray(ids.tobytes()),
        times=bytearray((log.times[events] // SECOND).astype("<u4").tobytes()),
        half_stars=bytearray(log.half_stars[events].astype(np.uint8).tobytes()),
    )
