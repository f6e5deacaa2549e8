"""Factors of users and movies from who liked what: iALS and BPR, fitted by the `implicit` package.

`implicit` is imported by a fit alone. What it learnt is kept as arrays, and histories are turned
into factors here, so whoever scores or loads a model does without it.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.baselines.evidence import evidence, interactions, reasons, shares
from training.baselines.least_squares import outer_sums, solve_each
from training.bounds import Count, Decay, HalfStars, Positive, Seed, Weight
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import WHEN_ASKED, OnProgress, Reason
from training.tower_inputs import Floats, Ints

# What a history says is averaged with so many likes of an average movie, before BPR's map reads it.
# Someone with three ratings is hardly known, and without these their list is worse than the popular
# movies; with 5 to 20 it is not, and long histories lose nothing (MovieLens 100K, validation).
_AVERAGE_LIKES: Final = 10.0

# Ridge of that map, relative to the mean of the diagonal: it only has to keep the solution stable.
_MAP_RIDGE: Final = 1e-3


@dataclass
class Ials:
    """Implicit alternating least squares: factors whose products are 1 for the liked, 0 elsewhere.

    Each pair of a user and a liked movie weighs `confidence`, any other pair 1. With the factors Y
    of all movies and the confidences C of a history, a user's factors are (Y'CY + l I)^-1 Y'Cp, p
    being 1 for the movies of the history. No more is learnt of users than that, so known ones and
    new ones are scored alike, and a score is a sum over the movies of the history.

    Yifan Hu, Yehuda Koren, Chris Volinsky: Collaborative filtering for implicit feedback datasets,
    ICDM 2008.

    Attributes:
        factors: a movie's, and a user's.
        regularization: l, the same for all, whatever their number of ratings.
        confidence: of a liked movie; the paper's 1 + alpha.
        iterations: over all users and all movies.
        liked_from: half stars from which a rating counts.
        recency: when scoring, confidence * recency**steps of a movie of the history.
        popularity: how much of the share of users who liked a movie is added to its score.
        seed: of the first factors.
    """

    factors: Count = 64
    regularization: Positive = 30.0
    confidence: Weight = 5.0
    iterations: Count = 15
    liked_from: HalfStars = 1
    recency: Decay = field(default=1.0, metadata=WHEN_ASKED)
    popularity: Weight = 1e-6
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        liked = interactions(train, self.liked_from)
        with threadpool_limits(1, "blas"):  # it has threads of its own, and warns of more
            als = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.confidence,
                iterations=self.iterations,
                use_cg=False,
                random_state=self.seed,
            )
            als.fit(
                sparse.csr_matrix(liked),
                show_progress=False,
                callback=lambda done, *_: on_progress(done + 1, self.iterations),
            )
        self.prior = self.popularity * shares(liked)
        self.movies = als.item_factors
        self.penalty = self.movies.T @ self.movies
        self.penalty += self.regularization * np.eye(self.factors, dtype=np.float32)

    def score(self, histories: Histories) -> Floats:
        confidences = self._confidences(histories)
        users = solve_each(_excess(confidences), confidences, self.movies, self.penalty)
        scores: Floats = users @ self.movies.T + self.prior
        return scores

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        confidences = self._confidences(histories)
        systems = self.penalty + outer_sums(_excess(confidences), self.movies)
        asked = np.linalg.solve(systems, self.movies[rows, :, None])[..., 0]
        found = []
        for one, row, direction in zip(confidences, rows, asked, strict=True):
            amounts = one.data * (self.movies[one.indices] @ direction)
            found.append(reasons("movie", one.indices, amounts, self.prior[row]))
        return found

    def _confidences(self, histories: Histories) -> sparse.csr_array:
        return self.confidence * evidence(histories, self.liked_from, self.recency)


@dataclass
class Bpr:
    """Bayesian personalised ranking: factors that put a liked movie before one that was not.

    `implicit` draws the movies that were not liked as often as they are liked by others, which
    teaches how much more than others a user likes a movie. The logarithm of how many like it is
    added to a score to make up for that, as if all movies had been drawn alike (sampling bias: Yi
    et al., RecSys 2019); on MovieLens 100K this takes NDCG@10 from 0.13 to 0.24 (validation).

    A history becomes factors by a linear map of the mean factors of its movies. The map is a ridge
    regression of the users' learnt factors, and orders held-out movies as well as those: NDCG@10
    0.24 as well, against 0.24 for gradient steps of the loss itself and 0.20 for least squares on 0
    and 1.

    Steffen Rendle et al.: BPR: Bayesian personalized ranking from implicit feedback, UAI 2009.

    Attributes:
        factors: a movie's, beside its bias, and a user's.
        learning_rate: of the gradient steps.
        regularization: of all parameters, at each step.
        iterations: as many steps each as there are liked movies.
        liked_from: half stars from which a rating counts.
        recency: when scoring, weight recency**steps of a movie of the history.
        seed: of the first factors and of what is drawn.
    """

    factors: Count = 64
    learning_rate: Positive = 0.03
    regularization: Positive = 0.04
    iterations: Count = 200
    liked_from: HalfStars = 1
    recency: Decay = field(default=1.0, metadata=WHEN_ASKED)
    seed: Seed = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        liked = interactions(train, self.liked_from)
        with threadpool_limits(1, "blas"):
            bpr = BayesianPersonalizedRanking(
                factors=self.factors,
                learning_rate=self.learning_rate,
                regularization=self.regularization,
                iterations=self.iterations,
                num_threads=1,  # more of them write to the same factors, each time differently
                random_state=self.seed,
            )
            bpr.fit(
                sparse.csr_matrix(liked),
                show_progress=False,
                callback=lambda done, *_: on_progress(done + 1, self.iterations),
            )
        likes = np.bincount(liked.indices, minlength=liked.shape[1])
        self.liked = (likes > 0).astype(np.float32)
        self.movies = bpr.item_factors[:, :-1].copy()
        # A movie that nobody likes is behind those that one user likes.
        self.prior = bpr.item_factors[:, -1] + np.log(np.maximum(likes, 0.5)).astype(np.float32)
        self.average = (likes @ self.movies / likes.sum()).astype(np.float32)
        known = np.diff(liked.indptr) > 0
        self.known_users = np.unique(train.users)[known]
        self.users = bpr.user_factors[known, :-1]
        self.map = _ridge(self._means(liked[known]), self.users)

    def score(self, histories: Histories) -> Floats:
        liked = evidence(histories, self.liked_from, self.recency)
        return self._scores(self._means(liked) @ self.map)

    def score_users(self, users: Ints) -> Floats:
        nobody = sparse.csr_array((1, len(self.prior)), dtype=np.float32)
        factors = np.repeat(self._means(nobody) @ self.map, len(users), axis=0)
        known = np.isin(users, self.known_users)
        factors[known] = self.users[np.searchsorted(self.known_users, users[known])]
        return self._scores(factors)

    def _scores(self, users: Floats) -> Floats:
        scores: Floats = users @ self.movies.T + self.prior
        return scores

    def _means(self, liked: sparse.csr_array) -> Floats:
        """f32[n, factors + 1]: weighted mean factors of each row's movies, and 1."""
        known = liked.copy()
        known.data = (liked.data > 0) * self.liked[liked.indices]
        counts, weights = known.sum(axis=1)[:, None], (liked @ self.liked)[:, None]
        means = (liked @ self.movies) / np.where(weights > 0, weights, 1)
        # Recency says which movies count, not how much is known.
        means = (counts * means + _AVERAGE_LIKES * self.average) / (counts + _AVERAGE_LIKES)
        return np.column_stack([means, np.ones(len(means), np.float32)]).astype(np.float32)


def _excess(confidences: sparse.csr_array) -> sparse.csr_array:
    """How much more than 1, which every pair weighs, each weighs."""
    excess = confidences.copy()
    excess.data -= 1
    return excess


def _ridge(inputs: Floats, outputs: Floats) -> Floats:
    gram = inputs.T @ inputs
    gram += _MAP_RIDGE * np.diag(gram).mean() * np.eye(len(gram), dtype=np.float32)
    mapped: Floats = np.linalg.solve(gram, inputs.T @ outputs)
    return mapped
