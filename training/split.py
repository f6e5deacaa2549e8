"""What a model may know and what it is asked: every event of a log gets a part.

The random splits draw by a hash of user, movie and seed. So the same log is split the same way
every time, whatever the order of its files, and a user's part of it does not depend on the others.
Only the moments of `ByTime` and the users of `StrongGeneralisation` are chosen from the whole log;
with them a log of some of its users is split as the whole is.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ConfigurationError, DatasetError
from training.dataset import Ratings, mix
from training.drawing import drawn, places
from training.tower_inputs import Ints

# u8[n]: the part that each event of a log is in, or for `KFold.folds` its fold.
Parts: TypeAlias = npt.NDArray[np.uint8]

TRAIN: Final = 0  # what a model may be fitted on
VALIDATION: Final = 1  # what its hyperparameters are chosen by; afterwards fitted on too
TEST: Final = 2  # what its figures are measured on
FOLD_IN: Final = (
    3  # what it is told of a user who has events in one of the two, and is not in TRAIN
)

VALIDATION_SHARE: Final = 0.1  # of all ratings
TEST_SHARE: Final = 0.1  # of all ratings


class Split(Protocol):
    """A dataclass whose fields, all of them JSON values, say which split it is."""

    def parts(self, ratings: Ratings) -> list[Parts]:
        """How to part the log, for each measurement: one, or as many as there are folds."""
        ...


@dataclass(frozen=True)
class Random:
    """Of every user, a share of the ratings at random.

    It is rounded to whole ratings for each user, and each keeps one at least: who has a single
    rating is trained on and not asked.

    Attributes:
        test: the share that is tested on; of the rest, the same share is for validation.
        seed: another seed is another split.
    """

    test: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        _check_share(self, "test")

    def parts(self, ratings: Ratings) -> list[Parts]:
        return [_twice(ratings, self._once)]

    def _once(self, ratings: Ratings) -> Parts:
        return np.where(drawn(ratings, self.test, self.seed), TEST, TRAIN).astype(np.uint8)


@dataclass(frozen=True)
class ByTime:
    """Cut for all users at the same two moments, see `split_by_time`."""

    validation: float = VALIDATION_SHARE
    test: float = TEST_SHARE

    def __post_init__(self) -> None:
        _check_share(self, "validation")
        _check_share(self, "test")
        if self.validation + self.test >= 1:
            raise ConfigurationError(
                f"validation = {self.validation} and test = {self.test} of a ByTime split leave "
                "nothing to train on: give shares that add up to less than 1"
            )

    def parts(self, ratings: Ratings) -> list[Parts]:
        return [self.parts_at(ratings, moments(ratings.times, self.validation, self.test))]

    def parts_at(self, ratings: Ratings, moments: tuple[int, int]) -> Parts:
        """The parts of a log with the moments of a larger one."""
        return np.searchsorted(moments, ratings.times, side="right").astype(np.uint8)


@dataclass(frozen=True)
class LastOut:
    """Each user's last event is tested on, the one before it is for validation.

    Who has a single one is trained on and not asked. Others may have rated the same movie later and
    be trained on: for a split without that, see `ByTime`.
    """

    def parts(self, ratings: Ratings) -> list[Parts]:
        return [_twice(ratings, self._once)]

    def _once(self, ratings: Ratings) -> Parts:
        events = np.arange(len(ratings))
        last = (events == ratings.ends - 1) & (events > ratings.first)
        return np.where(last, TEST, TRAIN).astype(np.uint8)


@dataclass(frozen=True)
class StrongGeneralisation:
    """Some users are not trained on at all: the model is told most of what they rated.

    The protocol of Liang et al., Variational autoencoders for collaborative filtering, 2018.

    Attributes:
        test: the share of the users; of the rest, the same share is for validation.
        fold_in: the share of such a user's ratings that the model is told, rounded for each user.
        seed: another seed is another split.
    """

    test: float = 0.1
    fold_in: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        _check_share(self, "test")
        _check_share(self, "fold_in")

    def parts(self, ratings: Ratings) -> list[Parts]:
        return [self.parts_of(ratings, self.held_out(np.unique(ratings.users)))]

    def held_out(self, users: Ints) -> tuple[Ints, Ints]:
        """The users for validation and those for test.

        Args:
            users: i64[] all users there are, ascending.
        """
        mixed = users[np.argsort(mix(users, np.zeros_like(users), self.seed), kind="stable")]
        test = round(self.test * len(users))
        validation = round(self.test * (len(users) - test))
        return mixed[test : test + validation], mixed[:test]

    def parts_of(self, ratings: Ratings, held_out: tuple[Ints, Ints]) -> Parts:
        """The parts of a log with the held out users of a larger one."""
        asked = drawn(ratings, 1 - self.fold_in, self.seed)
        parts = np.zeros(len(ratings), np.uint8)
        for users, part in zip(held_out, (VALIDATION, TEST), strict=True):
            theirs = np.isin(ratings.users, users)
            parts[theirs] = np.where(asked[theirs], part, FOLD_IN)
        return parts


@dataclass(frozen=True)
class KFold:
    """Every rating is tested on once: each user's are dealt at random into so many folds.

    One measurement a fold; the fold after it is for validation.
    """

    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 3 <= self.folds <= 255:
            raise ConfigurationError(f"{self.folds} folds: give 3 to 255, two are always held out")

    def parts(self, ratings: Ratings) -> list[Parts]:
        numbers = self.numbers(ratings)
        return [self.held_out(numbers, fold) for fold in range(self.folds)]

    def numbers(self, ratings: Ratings) -> Parts:
        """u8[n]: the fold of each event, 0 .. folds - 1. A user's are as many in each, or one off.

        Users begin at different folds, so that the folds are equally large.
        """
        begin = mix(ratings.users, np.zeros_like(ratings.users), self.seed) % np.uint64(self.folds)
        dealt = places(ratings, self.seed) + begin.astype(np.int64)
        return (dealt % self.folds).astype(np.uint8)

    def held_out(self, numbers: Parts, fold: int) -> Parts:
        """The measurement that tests on this fold."""
        parts = np.zeros_like(numbers)
        parts[numbers == fold] = TEST
        parts[numbers == (fold + 1) % self.folds] = VALIDATION
        return parts


SPLITS: Final[Mapping[str, Callable[..., Split]]] = {
    "random": Random,
    "time": ByTime,
    "last": LastOut,
    "strong": StrongGeneralisation,
    "folds": KFold,
}


def named(kind: str, **options: float | None) -> Split:
    """The split of that name; an option that is None is left as it is.

    Raises:
        ConfigurationError: there is no such split, or it has no such option.
    """
    if kind not in SPLITS:
        raise ConfigurationError(f"no split {kind!r}: there are {', '.join(SPLITS)}")
    given = {name: value for name, value in options.items() if value is not None}
    has = inspect.signature(SPLITS[kind]).parameters
    for name in given:
        if name not in has:
            raise ConfigurationError(
                f"the split {kind!r} has no option {name}: {', '.join(has) or 'it has none'}"
            )
    return SPLITS[kind](**given)


class TimeSplit(NamedTuple):
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
) -> TimeSplit:
    """Cut at two moments, so that about these shares of the ratings lie between and after them.

    Events of one millisecond stay together.

    Raises:
        DatasetError: so few or so simultaneous ratings that a part would be empty.
    """
    validation_from, test_from = moments(ratings.times, validation, test)
    return TimeSplit(
        np.flatnonzero(ratings.times < validation_from),
        np.flatnonzero((ratings.times >= validation_from) & (ratings.times < test_from)),
        np.flatnonzero(ratings.times >= test_from),
        validation_from,
        test_from,
    )


def moments(
    times: Ints, validation: float = VALIDATION_SHARE, test: float = TEST_SHARE
) -> tuple[int, int]:
    """The `validation_from` and `test_from` of `split_by_time`, in ms since the epoch.

    Raises:
        DatasetError: so few or so simultaneous times that a part would be empty.
    """
    n = len(times)
    at = [int(n * (1 - validation - test)), int(n * (1 - test))]
    validation_from, test_from = np.partition(times, at)[at].tolist() if n else (0, 0)
    if not n or not times.min() < validation_from < test_from:
        raise DatasetError(
            f"{n} ratings at {len(np.unique(times))} different times cannot be split by time into "
            "training, validation and test: more data is needed"
        )
    return validation_from, test_from


def _twice(ratings: Ratings, once: Callable[[Ratings], Parts]) -> Parts:
    """Held out for test, and in the same way from what is left for validation."""
    parts = once(ratings)
    left = np.flatnonzero(parts == TRAIN)
    parts[left] = np.where(once(ratings.take(left)) == TEST, VALIDATION, TRAIN)
    return parts


def _check_share(split: object, field: str) -> None:
    share = getattr(split, field)
    if not 0 < share < 1:
        raise ConfigurationError(
            f"{field} = {share} of a {type(split).__name__} split is not a share: give 0.1, 0.2 .."
        )
