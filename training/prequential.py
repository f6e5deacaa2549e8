"""Test, then learn: before each event that counts a model is asked for it, then it is told.

What it knows when it is asked depends on the state that is measured:

- ``frozen``: users as they were at the training moment. No later rating is known, not even to leave
  out what the user has rated since, and everybody who came later is new.
- ``daily``: users as of the last midnight (UTC), or of the training moment where that was later.
- ``fresh``: users as of right before the event.

All three are slices of one log. Events go in the order of time; those of the same millisecond in
the order of the log, which is by user, and each user's as they are there. So of two events at the
same time the second is asked with a fresh state that has the first.

A model that `Observes` is told what everybody did, liked or not, at the same moments: never; at
each midnight, all that happened before it; before each question, all events before that one.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from stream.contracts.errors import ConfigurationError, NothingToAsk
from stream.features import DAY
from training.dataset import LIKED, NO_TAGS, Ratings
from training.histories import Histories
from training.metrics import parse, ranking_of_one
from training.recommender import (
    Observes,
    OnProgress,
    Recommender,
    batches,
    ranks,
    without_rated,
)
from training.tower_inputs import Ints
from training.tuning import OPENMP_THREADS

State: TypeAlias = Literal["fresh", "daily", "frozen"]
STATES: Final[tuple[State, ...]] = get_args(State)

_LISTS: Final = 256  # at once: 10 MB of scores at 10,000 movies


@dataclass(frozen=True)
class Questions:
    """What a model is asked that was trained on all that happened before a moment.

    Attributes:
        log: everything, what the model was trained on included.
        since: the training moment, ms since the epoch.
        events: i64[n] those of the log that are asked for, in order, all from `since` on.
    """

    log: Ratings
    since: int
    events: Ints

    @classmethod
    def of(cls, log: Ratings, since: int, relevant_from: int = LIKED) -> "Questions":
        """Ask for all ratings from `since` on of so many half stars and up.

        A movie that its user had rated before is nothing to recommend, and is not asked for.

        Raises:
            NothingToAsk: there are none.
        """
        events = _in_order(log, since)
        again = np.zeros(len(log) + 1, bool)
        again[log.replaced[log.replaced < log.ends]] = True
        asked = events[(log.half_stars[events] >= relevant_from) & ~again[events]]
        if not len(asked):
            raise NothingToAsk(
                f"nothing to ask for: of {len(events)} ratings after the training moment none is "
                f"a first one of {relevant_from / 2:g} stars or more; more data is needed, or a "
                "lower limit"
            )
        return cls(log, since, asked)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def known(self) -> Ratings:
        """What a model that is asked may be fitted on."""
        return self.log.take(np.flatnonzero(self.log.times < self.since))

    @property
    def users(self) -> Ints:
        """i64[n] who is asked about."""
        return self.log.users[self.events]

    @property
    def rows(self) -> Ints:
        """i64[n] the movie that came."""
        return self.log.rows[self.events]

    @property
    def ages(self) -> Ints:
        """i64[n] how many ratings the user had given before."""
        return self.events - self.log.first[self.events]

    @property
    def days(self) -> Ints:
        """i64[n] whole days since the training moment; the first 24 hours are day 0."""
        return (self.log.times[self.events] - self.since) // DAY

    @cached_property
    def told(self) -> Ints:
        """i64[] all events from `since` on, in order: what is there to observe."""
        return _in_order(self.log, self.since)

    def histories(self, state: State) -> Histories:
        """The n users as they are known in this state. Raises ConfigurationError."""
        check_states([state])
        fresh = Histories.before(self.log, self.events)
        if state == "fresh":
            return fresh
        ends = _ends_at(self.log, self.events, np.full(len(self), self.since))
        if state == "daily":
            ends = np.maximum(ends, _ends_at(self.log, self.events, self._midnights))
        return Histories(self.log, fresh.starts, ends)

    def observed(self, state: State) -> Ints:
        """i64[n], ascending: how many of `told` a model knows that observes, at each question."""
        if state == "frozen":
            return np.zeros(len(self), np.int64)
        if state == "daily":
            return np.searchsorted(self.log.times[self.told], self._midnights)
        place = np.empty(len(self.log), np.int64)
        place[self.told] = np.arange(len(self.told))
        return place[self.events]

    @property
    def _midnights(self) -> Ints:
        return self.log.times[self.events] // DAY * DAY


def check_states(states: Sequence[str]) -> None:
    """Raises ConfigurationError that lists the states there are."""
    for state in states:
        if state not in STATES:
            raise ConfigurationError(f"no state {state!r}: there are {', '.join(STATES)}")


def ask(
    model: Recommender,
    questions: Questions,
    state: State,
    on_progress: OnProgress = lambda *_: None,
) -> Ints:
    """i64[n]: the rank of what came in the list that the model gives of what is not rated yet.

    Args:
        model: fitted on what happened before `questions.since`; it stays as it is.
        questions: n of them.
        state: of the users, and of the model if it observes.
        on_progress: told how many questions are answered.

    Raises:
        ConfigurationError: there is no such state.
    """
    histories, rows = questions.histories(state), questions.rows
    places = np.empty(len(rows), np.int64)
    for known, some in at_their_time(model, questions, state):

        def answered(done: int, _: int, before: int = some.start) -> None:
            on_progress(before + done, len(rows))

        places[some] = _ranks(known, histories[some], rows[some], answered)
    return places


def at_their_time(
    model: Recommender, questions: Questions, state: State
) -> Iterator[tuple[Recommender, slice]]:
    """The model as it is when it is asked, and which of the questions it is asked then, in order.

    Args:
        model: fitted on what happened before `questions.since`; it stays as it is.
        questions: n of them.
        state: of the model if it observes; else it is always the same.
    """
    if not isinstance(model, Observes):
        yield model, slice(0, len(questions))
        return
    model = copy.deepcopy(model)
    log = replace(questions.log, tags=NO_TAGS)  # looking them through would take most of the time
    observed, known = questions.observed(state), 0
    begin = 0
    for end in [*(np.flatnonzero(np.diff(observed)) + 1).tolist(), len(questions)]:
        if observed[begin] > known:
            news = questions.told[known : observed[begin]]
            model.observe(log.take(np.sort(news)))
            known = observed[begin]
        yield model, slice(begin, end)
        begin = end


@dataclass(frozen=True)
class Judge:
    """Says how good a model is that was fitted on what came before its questions.

    Attributes:
        asked: with fresh states.
        metric: the mean of it, such as ``ndcg@10``.
    """

    asked: Questions
    metric: str

    def __call__(self, model: Recommender) -> float:
        with threadpool_limits(OPENMP_THREADS, "openmp"):
            places = ask(model, self.asked, "fresh")
        return float(ranking_of_one(places, [parse(self.metric)[1]])[self.metric].mean())


def _ranks(
    model: Recommender,
    histories: Histories,
    rows: Ints,
    on_progress: OnProgress,
) -> Ints:
    """i64[B]: the rank of each movie in its history's list; equal histories are scored once."""
    places = np.empty(len(rows), np.int64)
    different, which = histories.distinct()
    order = np.argsort(which, kind="stable")
    done = 0
    for number, some in enumerate(batches(different, _LISTS)):
        scores = without_rated(model.score(some), some)
        begin = number * _LISTS
        end = int(np.searchsorted(which, begin + len(some), sorter=order))
        for chunk in np.split(order[done:end], range(_LISTS, end - done, _LISTS)):
            places[chunk] = ranks(scores[which[chunk] - begin], rows[chunk])
        done = end
        on_progress(done, len(rows))
    return places


def _in_order(log: Ratings, since: int) -> Ints:
    """i64[]: all events from `since` on in the order of time, then of the log."""
    events = np.flatnonzero(log.times >= since)
    return events[np.argsort(log.times[events], kind="stable")]


def _ends_at(log: Ratings, events: Ints, times: Ints) -> Ints:
    """i64[n]: of the users of these events, the event after their last one before each time."""
    earliest = int(log.times.min())
    span = int(log.times.max()) - earliest + 2
    # One ascending number for user and time: 2^63 holds 25 years in ms of ten million users.
    numbers = np.cumsum(log.first == np.arange(len(log)))
    keys = numbers * span + log.times - earliest
    wanted = numbers[events] * span + np.clip(times - earliest, 0, span - 1)
    return np.searchsorted(keys, wanted)
