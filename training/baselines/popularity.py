"""What everybody likes: the same list for everyone, and what every other model has to beat."""

from dataclasses import dataclass

import numpy as np

from stream.features import DAY, HEAT_HALF_LIFE
from training.bounds import HalfStars, Positive
from training.dataset import LIKED, Ratings
from training.histories import Histories
from training.recommender import OnProgress, Reason
from training.tower_inputs import Floats, Ints


class _Counted:
    """Scores that are one number for each movie."""

    counts: Floats

    def score(self, histories: Histories) -> Floats:
        return np.tile(self.counts, (len(histories), 1))

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:  # noqa: ARG002
        return [[Reason("feature", "popularity", count)] for count in self.counts[rows].tolist()]


@dataclass
class Popularity(_Counted):
    """Scores a movie by how many people have liked it so far.

    Attributes:
        liked_from: half stars from which a rating counts. On MovieLens 100K and latest-small,
            counting the liked ones predicts the next liked movie better than counting all.
    """

    liked_from: HalfStars = LIKED

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        self.counts = np.zeros(len(train.movies), np.float32)
        self.observe(train)

    def observe(self, events: Ratings) -> None:
        liked = events.half_stars >= self.liked_from
        self.counts += np.bincount(events.rows[liked], minlength=len(self.counts))


@dataclass
class RecentPopularity(_Counted):
    """Scores a movie by how many people liked it in the days before the latest rating known.

    Attributes:
        days: how far back.
        liked_from: half stars from which a rating counts.
    """

    days: Positive = HEAT_HALF_LIFE
    liked_from: HalfStars = LIKED

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        self.counts = np.zeros(len(train.movies), np.float32)
        self.rows = np.zeros(0, np.int64)  # of the ratings that count, with
        self.times = np.zeros(0, np.int64)
        self.latest = np.zeros(1, np.int64)  # ms
        self.observe(train)

    def observe(self, events: Ratings) -> None:
        if not len(events):
            return
        liked = events.half_stars >= self.liked_from
        rows = np.concatenate([self.rows, events.rows[liked]])
        times = np.concatenate([self.times, events.times[liked]])
        self.latest = np.maximum(self.latest, events.times.max())
        recent = times > self.latest - self.days * DAY
        self.rows, self.times = rows[recent], times[recent]
        counts = np.bincount(self.rows, minlength=len(self.counts))
        self.counts = counts.astype(np.float32)


@dataclass
class DecayedPopularity(_Counted):
    """Scores a movie by how many people liked it, each counting half as much after some days.

    What the stream keeps as a movie's heat, of the liked ratings only.

    Attributes:
        half_life: in days.
        liked_from: half stars from which a rating counts.
    """

    half_life: Positive = HEAT_HALF_LIFE
    liked_from: HalfStars = LIKED

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        self.counts = np.zeros(len(train.movies), np.float32)
        self.latest = np.zeros(1, np.int64)  # ms: when the counts are what they are
        self.observe(train)

    def observe(self, events: Ratings) -> None:
        if not len(events):
            return
        latest = np.maximum(self.latest, events.times.max())
        liked = events.half_stars >= self.liked_from
        added = np.bincount(
            events.rows[liked],
            self._weights(latest - events.times[liked]),
            minlength=len(self.counts),
        )
        self.counts = (self.counts * self._weights(latest - self.latest) + added).astype(np.float32)
        self.latest = latest

    def _weights(self, age: Ints) -> Floats:
        return np.exp2(-age / DAY / self.half_life)
