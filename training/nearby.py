"""What is rated close to what: company within a sitting, where EASE's is that of a lifetime.

People rate what a page shows them together: series, new films, the same shelf. So the last few
movies say more of the next one by what others rated within a few events of them than by what others
rated at all.
"""

from typing import Final

import numpy as np
from scipy import sparse

from training.dataset import Ratings

_REACH: Final = 10  # events from one to the other; 3 serve almost as well
_NEARER: Final = 0.8  # what each event between takes off

# Ratings added to a movie's count: what two of them were rated close to is hardly known.
_HARDLY_ANY: Final = 5.0

RECENCY: Final = 0.75  # of the evidence: nearness is a matter of the last few movies


def nearness(train: Ratings) -> sparse.csr_array:
    """f32[movies, movies], symmetric: how often two movies are rated close to each other.

    s_ij = sum over pairs of events of one user, d <= 10 apart, 0.8^(d-1), divided by
    sqrt((n_i + 5) (n_j + 5)), n being how often each is rated.
    """
    movies = len(train.movies)
    near = sparse.csr_array((movies, movies), dtype=np.float32)
    for distance in range(1, _REACH + 1):
        at = np.arange(max(len(train) - distance, 0))
        at = at[train.users[at] == train.users[at + distance]]
        weights = np.full(len(at), _NEARER ** (distance - 1), np.float32)
        pairs = (train.rows[at], train.rows[at + distance])
        near = near + sparse.csr_array((weights, pairs), shape=(movies, movies))
    near = sparse.csr_array(near + near.T)
    scales = np.sqrt(np.bincount(train.rows, minlength=movies) + np.float32(_HARDLY_ANY))
    near.data /= np.repeat(scales, np.diff(near.indptr)) * scales[near.indices]
    return near.astype(np.float32)
