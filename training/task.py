"""What a split asks of a model: what it may be fitted on, who is asked about, what to find."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.contracts.errors import DatasetError
from training.dataset import Ratings
from training.histories import Histories
from training.split import FOLD_IN, TEST, TRAIN, Parts
from training.tower_inputs import Ints


class HeldOut(NamedTuple):
    """The e ratings to find, of movies that their user has not rated as far as the model knows.

    Attributes:
        lists: i64[e] which of the B histories each belongs to, ascending; each has one at least.
        rows: i64[e] the movie, none twice in a list.
        half_stars: i64[e] its rating, the latest one held out, 1..10.
        times: i64[e] when that was, ms since the epoch.
    """

    lists: Ints
    rows: Ints
    half_stars: Ints
    times: Ints


@dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
        train: what a model is fitted on.
        asked: B histories that it is asked about, none of them empty.
        held: what is to be found.
    """

    train: Ratings
    asked: Histories
    held: HeldOut

    @property
    def fitted_users(self) -> bool:
        """Whether the fit saw the histories as they are: a model that knows users may be asked by
        user. Else it is told about people whom it has not met."""
        return self.asked.log is self.train


def task(ratings: Ratings, parts: Parts, held: int = TEST) -> Task:
    """Ask for what one part of a log holds.

    The test part is asked of a model that was fitted on all that is not held out with it, the
    validation part of one fitted on the training part alone. A held-out rating of a movie that the
    user's history has already is nothing to recommend, and is not asked. Nor is a user

    - without a rating left to find, or
    - without a history: a list for nobody in particular is a matter of the prequential protocol.

    Args:
        ratings: the log.
        parts: as a split of it gives them.
        held: TEST or VALIDATION.

    Raises:
        DatasetError: nothing to fit on, or nobody is left to be asked.
    """
    events = np.flatnonzero(parts == held)
    users = np.unique(ratings.users[events])
    told = (parts == FOLD_IN) & np.isin(ratings.users, users)
    known = ~told & (parts != TEST) if held == TEST else parts == TRAIN
    train = ratings.take(np.flatnonzero(known))
    log = ratings.take(np.flatnonzero(told)) if told.any() else train
    asked = Histories.of_users(log, users)

    size = len(ratings.movies)
    pairs = np.searchsorted(users, ratings.users[events]) * size + ratings.rows[events]
    pairs, last = np.unique(pairs[::-1], return_index=True)
    events = events[::-1][last]
    has = np.isin(log.users, users)
    rated = np.searchsorted(users, log.users[has]) * size + log.rows[has]
    new = (asked.lengths[pairs // size] > 0) & ~np.isin(pairs, rated)
    events, pairs = events[new], pairs[new]
    some, lists = np.unique(pairs // size, return_inverse=True)
    if not (len(train) and len(events)):
        raise DatasetError(
            f"{len(ratings)} ratings of {len(np.unique(ratings.users))} users, split like this, "
            f"leave {len(train)} to train on and {len(events)} to ask of a user with a history: "
            "more data is needed, or a split that holds out another share"
        )
    columns = (column[events] for column in (ratings.half_stars, ratings.times))
    return Task(train, asked[some], HeldOut(lists, pairs % size, *columns))
