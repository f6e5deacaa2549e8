"""Splitting by time, for all users at once: a model may know only what was known at that moment."""

from typing import Final, NamedTuple

import numpy as np

from stream.contracts.errors import DatasetError
from training.dataset import Ratings
from training.tower_inputs import Ints

VALIDATION_SHARE: Final = 0.1  # of all ratings
TEST_SHARE: Final = 0.1  # of all ratings


class Split(NamedTuple):
    """Events by the time at which they happened; every event is in one of the three.

    Attributes:
        train: i64[] events before `validation_from`.
        validation: i64[] events from then on, before `test_from`.
        test: i64[] the rest.
        validation_from: ms since the epoch.
        test_from: ms since the epoch.
    """

    train: Ints
    validation: Ints
    test: Ints
    validation_from: int
    test_from: int


def split_by_time(
    ratings: Ratings, validation: float = VALIDATION_SHARE, test: float = TEST_SHARE
) -> Split:
    """Cut at two moments, so that about these shares of the ratings lie between and after them.

    Events of one millisecond stay together.

    Raises:
        DatasetError: so few or so simultaneous ratings that a part would be empty.
    """
    times = np.sort(ratings.times)
    n = len(times)
    validation_from = int(times[int(n * (1 - validation - test))])
    test_from = int(times[int(n * (1 - test))])
    split = Split(
        np.flatnonzero(ratings.times < validation_from),
        np.flatnonzero((ratings.times >= validation_from) & (ratings.times < test_from)),
        np.flatnonzero(ratings.times >= test_from),
        validation_from,
        test_from,
    )
    if not (len(split.train) and len(split.validation) and len(split.test)):
        raise DatasetError(
            f"{n} ratings at {len(np.unique(times))} different times cannot be split by time into "
            "training, validation and test: more data is needed"
        )
    return split
