"""Neighbourhoods by cosine: what is liked with what, and who likes what you do.

Both count common likes and shrink what few of them say: the similarity of x and y is
x'y / (|x| |y| + shrinkage), as in Ferrari Dacrema, Boglio, Cremonesi, Jannach: A troubling analysis
of reproducibility and progress in recommender systems research, TOIS 2021.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from training.baselines.evidence import evidence, interactions, reasons, shares, strongest
from training.blocks import blocks
from training.bounds import Count, Decay, HalfStars, Weight
from training.dataset import LIKED, Ratings
from training.histories import Histories
from training.recommender import WHEN_ASKED, OnProgress, Reason
from training.tower_inputs import Floats, Ints

_BLOCK = 1 << 23  # similarities at a time: about 200 MB while they are sought through

_NOTHING = np.float32(1e-30)  # in place of the length 0 of nothing, whose products are 0 too


@dataclass
class ItemKnn:
    """Scores a movie by its similarity to those of a history; similar is what the same users like.

    Fit and scores take memory for `neighbours` similarities a movie (12 bytes each) and for a block
    of 8 million of them, whatever the number of movies.

    Attributes:
        neighbours: how many similar movies each movie of a history speaks for.
        shrinkage: in likes.
        liked_from: half stars from which a rating counts.
        recency: when scoring, weight recency**steps of a movie of the history.
        popularity: how much of the share of users who liked a movie is added to its score:
            enough to order those of which the history says nothing.
    """

    neighbours: Count = 200
    shrinkage: Weight = 10.0
    liked_from: HalfStars = LIKED
    recency: Decay = field(default=0.65, metadata=WHEN_ASKED)
    popularity: Weight = 1e-6

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        liked = interactions(train, self.liked_from)
        movies = liked.shape[1]
        self.prior = self.popularity * shares(liked)
        users_of = liked.T.tocsr()
        norms = _norms(users_of)
        kept = []
        for block in blocks(movies, movies, _BLOCK):
            common = (users_of[block] @ liked).toarray()
            similar = _similarities(common, norms[block], norms, self.shrinkage)
            similar[np.arange(len(similar)), np.arange(block.start, block.stop)] = 0
            kept.append(strongest(similar, self.neighbours))
            on_progress(block.stop, movies)
        self.similar = sparse.vstack(kept, format="csr")

    def score(self, histories: Histories) -> Floats:
        scores = np.tile(self.prior, (len(histories), 1))
        scores += (self._evidence(histories) @ self.similar).toarray()
        return scores

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        added = (self._evidence(histories) * self.similar[:, rows].T).tocsr()
        return [
            reasons("movie", one.indices, one.data, popularity)
            for one, popularity in zip(added, self.prior[rows].tolist(), strict=True)
        ]

    def _evidence(self, histories: Histories) -> sparse.csr_array:
        return evidence(histories, self.liked_from, self.recency)


@dataclass
class UserKnn:
    """Scores a movie by the similarity of the users who liked it to the one who is asked about.

    Someone who is in the training data is a neighbour of theirs too, which adds to the scores of
    the movies that they have rated, and of no others. Scores take memory for a block of 8 million
    similarities, whatever the number of users.

    Attributes:
        neighbours: how many users are listened to.
        shrinkage: in likes.
        liked_from: half stars from which a rating counts.
        recency: weight recency**steps of a movie of the history that is asked about.
        popularity: how much of the share of users who liked a movie is added to its score:
            enough to order those of which the history says nothing.
    """

    neighbours: Count = field(default=25, metadata=WHEN_ASKED)
    shrinkage: Weight = field(default=10.0, metadata=WHEN_ASKED)
    liked_from: HalfStars = LIKED
    recency: Decay = field(default=0.8, metadata=WHEN_ASKED)
    popularity: Weight = 1e-6

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        self.liked = interactions(train, self.liked_from)
        self.users = np.unique(train.users)
        self.norms = _norms(self.liked)
        self.prior = self.popularity * shares(self.liked)

    def score(self, histories: Histories) -> Floats:
        scores = np.tile(self.prior, (len(histories), 1))
        scores += (self._alike(histories) @ self.liked).toarray()
        return scores

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        added = (self._alike(histories) * self.liked[:, rows].T).tocsr()
        return [
            reasons("user", self.users[one.indices], one.data, popularity)
            for one, popularity in zip(added, self.prior[rows].tolist(), strict=True)
        ]

    def _alike(self, histories: Histories) -> sparse.csr_array:
        """f32[B, users]: the similarities of the neighbours."""
        asked = evidence(histories, self.liked_from, self.recency)
        likers = self.liked.T.tocsr()
        kept = [sparse.csr_array((0, len(self.users)), dtype=np.float32)]
        for block in blocks(len(histories), len(self.users), _BLOCK):
            common = (asked[block] @ likers).toarray()
            alike = _similarities(common, _norms(asked[block]), self.norms, self.shrinkage)
            kept.append(strongest(alike, self.neighbours))
        return sparse.vstack(kept, format="csr")


def _norms(matrix: sparse.csr_array) -> Floats:
    """f32[rows]: the length of each row."""
    return np.sqrt(np.asarray((matrix * matrix).sum(axis=1), np.float32))


def _similarities(common: Floats, norms: Floats, others: Floats, shrinkage: float) -> Floats:
    """f32[a, b] of the products f32[a, b], written over them; 0 for what has nothing in it."""
    common /= np.maximum(norms[:, None] * others + np.float32(shrinkage), _NOTHING)
    return common
