"""How far what happens now is from what the served model learnt, and how old it has become.

Three kinds of checks, each one number that should stay below its limit:

- shifts: the distributions of ratings and of the features that the towers read, in the newest
  events beside those that the model learnt last (`training.stability`);
- quality: how much of what it was worth at its promotion the model has lost on the newest events,
  and in the lists that people were really shown (`training.follow_up`);
- staleness: how much has happened that the model has not learnt and the index does not know, and
  for how long.

The newest are compared with as many events from the end of what was learnt, not with all of it: a
model learns from decades, in which nothing that is new weighs much, so a shift would neither be
seen nor be gone after a refresh.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.features import DAY
from training.compare import Interval
from training.dataset import Ratings
from training.stability import Numbers, Sample, binned, edges, shift
from training.summary import finite
from training.tower_inputs import Ints

# Events on either side: enough people to tell a shift from chance, and of one season.
WINDOW: Final = 20_000

# A stability index from which the field speaks of a major shift; 0.1 is a minor one (Siddiqi:
# Credit risk scorecards, 2006). Where chance alone would give more, that is the limit.
MAJOR_SHIFT: Final = 0.25

# Share of the quality at promotion, lost for certain: the end of the interval counts, not its
# middle. Lists of other people differ by a tenth without any drift: a fifth is more than that.
LOST_QUALITY: Final = 0.2

# Events not learnt, as a share of those learnt: a tenth is what models are validated on, so from
# there on it is another data set than the one that the hyperparameters were chosen for.
UNLEARNT: Final = 0.1

# Days that an event waits to be learnt: two refreshes of the slowest period that is measured.
WAITING_DAYS: Final = 14.0

# Share of the events not learnt whose movies came after the index was built. They are known by
# their content at most, without links and counts: about as much hit rate is at stake.
UNINDEXED: Final = 0.05

# Bins of ratings that a movie had: none, one or two, up to 6, 14 and so on. Tenths would have ends
# at the counts of single movies, and one rating more or less moves a movie over an end.
_OCTAVES: Final = 32

_USER_FEATURES: Final = ("count", "mean", "deviation", "range", "velocity")  # as the tower's


class Check(NamedTuple):
    """One number that should not be above its limit.

    Attributes:
        name: such as ``shift_rating``.
        value: NaN where there is too little to tell.
        limit: from which it is drift.
        says: what was found, for people.
    """

    name: str
    value: float
    limit: float
    says: str

    @property
    def above(self) -> bool:
        return self.value > self.limit


@dataclass(frozen=True)
class Drift:
    """All checks of one model at one time.

    Attributes:
        version: of the model.
        measured_at: ms since the epoch.
        checks: in a fixed order.
    """

    version: str
    measured_at: int
    checks: tuple[Check, ...]

    @property
    def above(self) -> tuple[Check, ...]:
        """Those above their limits: where there is any, a refresh is due."""
        return tuple(check for check in self.checks if check.above)

    def document(self) -> dict[str, Any]:
        """As JSON values; null where a number is not finite."""
        checks = [check._asdict() | {"above": check.above} for check in self.checks]
        return {
            "version": self.version,
            "measured_at": self.measured_at,
            "checks": finite(checks),
        }


class Age(NamedTuple):
    """How old a model is.

    Attributes:
        learnt: events that it learnt.
        unlearnt: events that came after them.
        waiting: ms since the first of those came, 0 where there is none.
        unindexed: of those, events of movies that came after the index was built.
        unindexed_waiting: ms since the first of those came, 0 where there is none.
    """

    learnt: int
    unlearnt: int
    waiting: int
    unindexed: int
    unindexed_waiting: int


def shifts(log: Ratings, newest: npt.NDArray[np.bool_]) -> list[Check]:
    """Of ratings, and of users and movies as they were before each event.

    Args:
        log: what the model learnt, and what came after it.
        newest: bool[n] which of its events came after it.
    """
    before, now = _latest(log, ~newest), _latest(log, newest)
    learnt = log.counts(np.flatnonzero(~newest))[0]
    people = [len(np.unique(log.users[events])) for events in (before, now)]
    says = f"{len(before):,} events of {people[0]:,} people, then {len(now):,} of {people[1]:,}"
    checks = []
    for name, samples in _samples(log, before, now, learnt):
        found = shift(*samples)
        limit = MAJOR_SHIFT if np.isnan(found.noise) else max(MAJOR_SHIFT, found.noise)
        checks.append(Check(f"shift_{name}", found.amount, limit, says))
    return checks


def lost_quality(metric: str, promoted: float, newest: Interval, lists: int) -> Check:
    """How much of its quality a model has lost for certain.

    The lists are other people's than those of its promotion, whose luck is in the interval. NaN
    where there is nothing to compare with, or no interval.

    Args:
        metric: its name.
        promoted: what it was at promotion; NaN: not known.
        newest: what it is on the newest events.
        lists: that it is the mean of.
    """
    lost = (promoted - newest.high) / promoted if promoted > 0 else np.nan
    says = (
        f"{metric} was {promoted:.4f} at promotion, is {newest.value:.4f} "
        f"[{newest.low:.4f}, {newest.high:.4f}] on {lists:,} lists"
    )
    return Check("lost_quality", float(lost), LOST_QUALITY, says)


def staleness(age: Age) -> list[Check]:
    """Of the model and of its index, each in events and in time."""
    share = age.unlearnt / age.learnt if age.learnt else np.nan
    unindexed = age.unindexed / age.unlearnt if age.unlearnt else 0.0
    return [
        Check(
            "model_events", share, UNLEARNT, f"{age.unlearnt:,} events after {age.learnt:,} learnt"
        ),
        Check("model_days", age.waiting / DAY, WAITING_DAYS, "since the first event not learnt"),
        Check(
            "index_events",
            unindexed,
            UNINDEXED,
            f"{age.unindexed:,} of {age.unlearnt:,} events are of movies that came after it",
        ),
        Check(
            "index_days",
            age.unindexed_waiting / DAY,
            WAITING_DAYS,
            "since the first event of a movie that came after it",
        ),
    ]


def _latest(log: Ratings, some: npt.NDArray[np.bool_]) -> Ints:
    """i64[at most WINDOW], ascending: the latest of these events."""
    events = np.flatnonzero(some)
    return np.sort(events[np.argsort(log.times[events], kind="stable")[-WINDOW:]])


def _samples(
    log: Ratings, before: Ints, now: Ints, learnt: Ints
) -> Iterator[tuple[str, list[Sample]]]:
    """By name, two samples: what was learnt and what is new."""
    sides = before, now
    yield "rating", [Sample.of(log.users[of], log.half_stars[of] - 1, 10) for of in sides]
    numbers = [_numbers(log, of) for of in sides]
    for name, reference in numbers[0].items():
        bounds = edges(reference)
        yield (
            name,
            [
                Sample.of(log.users[of], *binned(values[name], bounds))
                for of, values in zip(sides, numbers, strict=True)
            ],
        )
    # An event that was learnt does not count itself, or no movie of one would be unknown.
    counts = [learnt[log.rows[of]] - (of is before) for of in sides]
    yield (
        "movie_popularity",
        [
            Sample.of(log.users[of], np.log2(1 + count).astype(np.int64), _OCTAVES)
            for of, count in zip(sides, counts, strict=True)
        ],
    )
    yield "movie_genre", [_genres(log, of) for of in sides]


def _numbers(log: Ratings, events: Ints) -> dict[str, Numbers]:
    """By name, f64[events]: the features of user and movie right before each event."""
    of_user = log.features(log.first[events], events).astype(np.float64)
    of_user[log.first[events] == events, 1:] = np.nan  # a newcomer has a count, and it is 0
    years = np.array([np.nan if movie.year is None else movie.year for movie in log.movies])
    features = {f"user_{name}": of_user[:, n] for n, name in enumerate(_USER_FEATURES)}
    return features | {"movie_year": years[log.rows[events]]}


def _genres(log: Ratings, events: Ints) -> Sample:
    """Each event is shared by the genres of its movie; those of none have a bin of their own."""
    column = {genre: number for number, genre in enumerate(log.genres)}
    none = len(column)
    of_movie = [[column[genre] for genre in movie.genres] or [none] for movie in log.movies]
    lengths = np.array([len(genres) for genres in of_movie])
    rows = log.rows[events]
    bins = np.array([genre for row in rows.tolist() for genre in of_movie[row]], np.int64)
    users = np.repeat(log.users[events], lengths[rows])
    return Sample.of(users, bins, none + 1, np.repeat(1 / lengths[rows], lengths[rows]))


def sentences(checks: Sequence[Check]) -> tuple[str, ...]:
    """Each in words, as reasons for a refresh."""
    return tuple(f"{c.name} is {c.value:.3g}, over {c.limit:.3g}: {c.says}" for c in checks)
