"""EASE: linear weights between movies in closed form.

Harald Steck: Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import linalg, sparse

from training.baselines.evidence import evidence, interactions, reasons, shares
from training.blocks import blocks
from training.bounds import Count, Decay, HalfStars, Positive, Weight
from training.dataset import LIKED, Ratings
from training.histories import Histories
from training.recommender import WHEN_ASKED, OnProgress, Reason
from training.tower_inputs import Floats, Ints

_BLOCK = 1 << 24  # elements of the Gram matrix at a time: up to 200 MB while they are sparse


@dataclass
class Ease:
    """Scores a movie by the weights that lead to it from the movies of a history.

    With X the users' liked movies and P = (X'X + l2 I)^-1, the weight from i to j is -P_ij / P_jj
    and 0 where i = j: the least squares fit of X by X that may not use a movie to explain itself.

    The fit takes m^3 multiplications for m movies and 4 m^2 bytes beside some 400 MB: 1.6 GB for
    20,000 movies, 15 GB for 62,000. With fewer users than movies it takes users * m^2 and up to
    twice the memory.

    Attributes:
        l2: what is added to the diagonal, in ratings.
        liked_from: half stars from which a rating counts.
        recency: when scoring, weight recency**steps of a movie of the history.
        popularity: how much of the share of users who liked a movie is added to its score:
            enough to order those of which the history says nothing.
        max_movies: only so many of the most liked ones have weights; the rest score by popularity.
    """

    l2: Positive = 300.0
    liked_from: HalfStars = LIKED
    recency: Decay = field(default=0.9, metadata=WHEN_ASKED)
    popularity: Weight = 1e-6
    max_movies: Count = 20_000

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        liked = interactions(train, self.liked_from)
        share = shares(liked)
        self.prior = self.popularity * share
        most_liked = np.argsort(-share, kind="stable")[: self.max_movies]
        # Rows of the movies that have weights, ascending.
        self.rows = np.sort(most_liked[share[most_liked] > 0])
        self.weights = item_weights(_inverse(liked[:, self.rows], self.l2, on_progress))

    def score(self, histories: Histories) -> Floats:
        scores = np.tile(self.prior, (len(histories), 1))
        scores[:, self.rows] += self._evidence(histories) @ self.weights
        return scores

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        has_weights = self.rows[places] == rows
        weights = np.where(has_weights, self.weights[:, places], 0)
        added = (self._evidence(histories) * weights.T).tocsr()
        return [
            reasons("movie", self.rows[one.indices], one.data, popularity)
            for one, popularity in zip(added, self.prior[rows].tolist(), strict=True)
        ]

    def _evidence(self, histories: Histories) -> sparse.csr_array:
        return evidence(histories, self.liked_from, self.recency)[:, self.rows]


def item_weights(inverse: Floats) -> Floats:
    """f32[m, m]: -P_ij / P_jj and 0 where i = j of an inverse P f32[m, m], in its memory."""
    inverse /= -np.diag(inverse)
    np.fill_diagonal(inverse, 0)
    return inverse


def inverted(gram: Floats) -> Floats:
    """f32[m, m]: the inverse of a symmetric positive definite matrix f32[m, m], in its memory."""
    factor, _ = linalg.lapack.spotrf(gram.T, lower=True, overwrite_a=True)
    inverse, _ = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    for place in range(len(gram)):  # it gives one triangle
        inverse[place, place + 1 :] = inverse[place + 1 :, place]
    return np.ascontiguousarray(inverse.T)


def _inverse(liked: sparse.csr_array, l2: float, on_progress: OnProgress) -> Floats:
    """f32[m, m]: (X'X + l2 I)^-1 of X f32[users, m]."""
    users, movies = liked.shape
    if users < movies:  # (I - X'(XX' + l2 I)^-1 X) / l2, the same by Woodbury's identity
        gram = _gram(liked.T.tocsr(), l2, on_progress)
        factor = linalg.cholesky(gram, lower=True, overwrite_a=True)
        dense = liked.toarray(order="F")
        half = linalg.solve_triangular(factor, dense, lower=True, overwrite_b=True)
        inverse = half.T @ half
        inverse /= -l2
        inverse[np.diag_indices(movies)] += 1 / l2
        return np.asarray(inverse)
    return inverted(_gram(liked, l2, on_progress))


def _gram(matrix: sparse.csr_array, l2: float, on_progress: OnProgress) -> Floats:
    """f32[columns, columns]: X'X + l2 I."""
    columns = matrix.shape[1]
    transposed = matrix.T.tocsr()
    gram = np.empty((columns, columns), np.float32)
    for block in blocks(columns, columns, _BLOCK):
        gram[block] = (transposed[block] @ matrix).toarray()
        on_progress(block.stop, columns)
    gram[np.diag_indices(columns)] += np.float32(l2)
    return gram
