"""The company that movies keep: EASE in which ratings count the more, the closer they were given.

EASE takes any two movies of a person for alike, be there minutes or years between them. But people
rate what a page shows them together, and what they like this year. Here a pair of ratings counts
1/sqrt(1 + d), d being the places from one to the other in the order in which the person rated; with
EASE's closed form, what is left is what a movie says that its company does not say better.

Places and not seconds, so that it is the same for who rates a list in a minute and who rates after
every film. Harald Steck: Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, is the case
that every pair counts 1.

What many weights have in common is surer than each of them. So the 64 strongest directions of the
matrix of weights, the singular vectors of its largest singular values, stay as they are, and what
they leave counts less.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh, svds

from training.baselines.ease import inverted, item_weights
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import OnProgress
from training.strongest import among, strongest_links
from training.tower_inputs import Floats, Ints

# What is added to the diagonal, in ratings. 50 and 75 are within 1% of each other on MovieLens 100K
# and latest-small; pairs count less than in EASE, and so does what shrinks them.
_L2: Final = 50.0

_STRONGEST: Final = 64  # directions

# What the others count. 0.4 to 0.6 gain 2% in NDCG@10 on MovieLens 100K, validation; latest-small
# loses 1% with 0.6 and 2% with 0.4.
_WEAKER: Final = 0.6

_SEED: Final = 0  # of where the search for directions begins, so that it ends in the same ones

_MAX_MOVIES: Final = 20_000  # with links: of 1.6 GB each are the Gram matrix and its inverse

_BLOCK: Final = 1024  # ratings of a user at once against all of theirs, or rows of a matrix


def company(
    train: Ratings, links: int, l2: float = _L2, on_progress: OnProgress = lambda *_: None
) -> sparse.csr_array:
    """f32[movies, movies]: what a movie of the history, the row, says for another one, or against.

    With G_ij = sum over users who rated both of 1 / sqrt(1 + d) and P = (G + l2 I)^-1 the weights
    are -P_ij / P_jj, and 0 where i = j. With U S V' their 64 largest singular values and vectors,
    it is 0.6 of the weights and 0.4 of U S V', again 0 where i = j.

    Args:
        train: what to learn from. Of a movie rated again the latest rating counts.
        links: only so many in each row, those furthest from 0.
        l2: in ratings.
        on_progress: told how many users are done.
    """
    counts = np.bincount(train.rows, minlength=len(train.movies))
    known = np.argsort(-counts, kind="stable")[:_MAX_MOVIES]
    known = np.sort(known[counts[known] > 0])
    gram = _gram(train, known, on_progress)
    gram[np.diag_indices(len(known))] += np.float32(l2)
    weights = item_weights(inverted(gram))
    _weaken(weights)
    return among(strongest_links(weights, links), known, len(counts))


def directions(weights: sparse.csr_array, dimensions: int) -> Floats:
    """f32[movies, dimensions]: vectors whose dot products come nearest to weights.

    Between two movies that is the mean of both weights. The vectors are its eigenvectors with the
    largest eigenvalues, each times the root of its own; zeros where there are fewer above 0.
    """
    movies = weights.shape[0]
    found = np.zeros((movies, dimensions), np.float32)
    count = min(dimensions, movies - 1)
    values, vectors = eigsh((weights + weights.T) / 2, count, which="LA", rng=_SEED)
    found[:, :count] = vectors * np.sqrt(np.maximum(values, 0))
    return found


def _gram(train: Ratings, known: Ints, on_progress: OnProgress) -> Floats:
    """f32[m, m]: G of the m known movies, rows of the catalogue."""
    place = np.full(len(train.movies), -1)
    place[known] = np.arange(len(known))
    rated = Histories.of_users(train, np.unique(train.users)).rated()
    closeness = 1 / np.sqrt(1 + np.arange(rated.steps.max(initial=0) + 1, dtype=np.float32))
    movies = place[train.rows[rated.events]]
    starts = np.flatnonzero(np.diff(rated.lists, prepend=-1, append=-2))
    gram = np.zeros((len(known), len(known)), np.float32)
    for user, (start, end) in enumerate(pairwise(starts)):
        of = start + np.flatnonzero(movies[start:end] >= 0)
        for begin in range(0, len(of), _BLOCK):
            some = of[begin : begin + _BLOCK]
            distances = np.abs(some[:, None] - of)
            gram[np.ix_(movies[some], movies[of])] += closeness[distances]
        on_progress(user + 1, len(starts) - 1)
    return gram


def _weaken(weights: Floats) -> None:
    """Let all but the strongest directions of f32[m, m] count less, in place."""
    if len(weights) <= _STRONGEST:
        return
    left, strength, right = svds(weights, _STRONGEST, rng=_SEED)
    left = np.float32(1 - _WEAKER) * left * strength
    weights *= np.float32(_WEAKER)
    for begin in range(0, len(weights), _BLOCK):
        some = slice(begin, begin + _BLOCK)
        weights[some] += left[some] @ right
    np.fill_diagonal(weights, 0)
