"""Hybrid: what similar people like and what is like it, by how much is known of whom and what."""

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from training.baselines.content import Content
from training.baselines.ease import Ease
from training.baselines.popularity import DecayedPopularity
from training.bounds import Count, Decay, HalfStars, Positive, Share
from training.dataset import LIKED, Ratings
from training.histories import Histories
from training.recommender import WHEN_ASKED, OnProgress, Reason, asked_with
from training.tower_inputs import Floats, Ints


class Weights(NamedTuple):
    """f32[B] each: how much the three parts count for each of B histories; they sum to 1."""

    popularity: Floats
    content: Floats
    collaborative: Floats


@dataclass
class Hybrid:
    """Scores a movie by the weighted sum of what EASE, content and popularity say of it.

    Each has a scale of its own, so it is first standardised within the list: less its mean over all
    movies, divided by the deviation. What EASE finds far out of the ordinary then counts for more
    than what shares its genres with hundreds. By log rank or scaled to 0..1 that would be lost:
    live NDCG@10 0.062 and 0.023 where this has 0.108 (MovieLens 100K, validation part).

    How much each counts depends on how much is known. With n ratings in a history:

    - n = 0: popularity alone;
    - n < few: content n / few, popularity the rest;
    - n >= few: EASE collaborative * n / (n + halfway), content the rest.

    A movie that nobody has rated has content's standardised score in place of EASE's.

    Attributes:
        collaborative: EASE's share for someone with many ratings.
        few: ratings from which on EASE has a say.
        halfway: ratings with which EASE has half of its share.
        liked_from: half stars from which a rating counts, for all parts.
        recency: EASE's.
    """

    collaborative: Share = field(default=0.6, metadata=WHEN_ASKED)
    few: Count = field(default=3, metadata=WHEN_ASKED)
    halfway: Positive = field(default=2.0, metadata=WHEN_ASKED)
    liked_from: HalfStars = LIKED
    recency: Decay = field(default=0.9, metadata=WHEN_ASKED)

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        self.rated = np.bincount(train.rows, minlength=len(train.movies)) > 0
        self.popularity = DecayedPopularity(liked_from=self.liked_from)
        self.content = Content(liked_from=self.liked_from)
        self.ease = Ease(liked_from=self.liked_from)
        self.popularity.fit(train)
        self.content.fit(train)
        self.ease.fit(train, on_progress)

    def observe(self, events: Ratings) -> None:
        self.popularity.observe(events)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Hybrid":
        """Observes on its own; the parts that nothing changes are shared."""
        twin = copy.copy(self)
        twin.popularity = copy.deepcopy(self.popularity, memo)
        return twin

    def score(self, histories: Histories) -> Floats:
        weights = self.weights(histories)
        content = _standardised(self.content.score(histories))
        scores = _standardised(self._ease.score(histories))
        scores[:, ~self.rated] = content[:, ~self.rated]
        scores *= weights.collaborative[:, None]
        scores += weights.content[:, None] * content
        scores += weights.popularity[:, None] * _standardised(self.popularity.score(histories))
        return scores

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        """The parts' reasons on the scale of the score, and what their means take off it."""
        weights = self.weights(histories)
        rated = self.rated[rows]
        found: list[dict[tuple[str, int | str], float]] = [defaultdict(float) for _ in rows]
        for part, share in (
            (self.popularity, weights.popularity),
            (self.content, weights.content + ~rated * weights.collaborative),
            (self._ease, rated * weights.collaborative),
        ):
            means, deviations = _moments(part.score(histories))
            scales = share[:, None] / deviations
            explained = part.explain(histories, rows)
            constants = np.hstack([scales, -means * scales]).tolist()
            for reasons, said, (scale, constant) in zip(found, explained, constants, strict=True):
                reasons["feature", "average"] += constant
                for kind, name, amount in said:
                    reasons[kind, name] += amount * scale
        return [
            sorted((Reason(*of, amount) for of, amount in reasons.items() if amount), key=_amount)
            for reasons in found
        ]

    def weights(self, histories: Histories) -> Weights:
        n = histories.lengths.astype(np.float32)
        enough = n >= self.few
        collaborative = enough * np.float32(self.collaborative) * n / (n + self.halfway)
        content = np.where(enough, 1 - collaborative, n / self.few)
        return Weights(1 - collaborative - content, content, collaborative)

    @property
    def _ease(self) -> Ease:
        return asked_with(self.ease, recency=self.recency)


def _standardised(scores: Floats) -> Floats:
    means, deviations = _moments(scores)
    return (scores - means) / deviations


def _moments(scores: Floats) -> tuple[Floats, Floats]:
    """f32[B, 1] twice: mean and deviation of each list; deviation 1 where all are alike."""
    deviations = scores.std(axis=1, keepdims=True)
    return scores.mean(axis=1, keepdims=True), np.where(deviations > 0, deviations, 1)


def _amount(reason: Reason) -> float:
    return -reason.amount
