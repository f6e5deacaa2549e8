"""Drawing from each user's events at random.

By a hash of user, movie and seed: the same log is drawn from the same way every time, whatever the
order of its files, and what is drawn of one user does not depend on the others.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from training.dataset import Ratings, mix
from training.tower_inputs import Ints

# Of a 64-bit number for the place of a user; the rest draws: 16 million users at most.
_USER_BITS: Final = 24


def drawn(ratings: Ratings, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """bool[n]: a share of each user's events at random, rounded, but never all of them."""
    counts = ratings.ends - ratings.first
    some: Ints = np.minimum(np.floor(share * counts + 0.5), counts - 1).astype(np.int64)
    chosen: npt.NDArray[np.bool_] = places(ratings, seed) < some
    return chosen


def places(ratings: Ratings, seed: int) -> Ints:
    """i64[n]: the place of each event in a random order of its user's events, from 0.

    Ratings of one movie by one user are neighbours in it, in the order of time.
    """
    movies = np.array([movie.movie_id for movie in ratings.movies], np.int64)
    numbers = np.cumsum(ratings.first == np.arange(len(ratings))) - 1  # of the users
    keys = mix(ratings.users, movies[ratings.rows], seed) >> np.uint64(_USER_BITS)
    keys |= numbers.astype(np.uint64) << np.uint64(64 - _USER_BITS)
    order = np.argsort(keys, kind="stable")  # one sort of one column: seconds at 25M events
    place = np.empty(len(ratings), np.int64)
    place[order] = np.arange(len(ratings))
    return place - ratings.first
