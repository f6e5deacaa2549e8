"""The exam of a challenger: it and the champion are asked about the newest events, side by side.

Test, then learn (`training.prequential`), with fresh state: both are asked for a movie that
somebody liked right before they rated it, then both are told. They are `training.served.Served`:
what is examined is what would be served, less the index, which `training.index_check` looks at.

Asked are events that came after all that the challenger has learnt, in the order of the log; they
are asked in the order of time. A rating that arrives late is something that it did not know, too.

Every list is timed, one person at a time, as a request is. The models take turns, and take turns at
beginning, so that whatever else the machine does falls on both.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from stream.contracts.errors import NothingToAsk
from training.artifact import Manifest
from training.baselines.popularity import Popularity
from training.dataset import LIKED, Ratings
from training.diversity import coverage, gini
from training.evaluate import K
from training.marks import Challenge, Marks
from training.prequential import Questions, at_their_time
from training.rating_served import RATING
from training.recommender import NOTHING, OnProgress, Recommender, ranks, top, without_rated
from training.served import Served
from training.tower_inputs import Ints
from training.tuning import OPENMP_THREADS

Clock: TypeAlias = Callable[[], float]  # seconds

# To ask for at most. So many tell leads of 1% from none (of two models that differ by their seeds,
# 2,800 lists tell 1.6%), and take a minute or two, as each is made alone.
LISTS: Final = 10_000


def questions_after(
    log: Ratings, learnt: Ratings, limit: int = LISTS, seen: int | None = None
) -> Questions:
    """What to ask: the first ratings of 4 stars and more that the challenger has not learnt.

    Args:
        log: all ratings, those that were learnt among them.
        learnt: what the challenger was trained on, of the same catalogue.
        limit: where there are more, evenly spaced ones stand for all.
        seen: ms; what happened up to then is not asked either.

    Raises:
        NothingToAsk: there are none.
    """
    new = events_after(log, learnt)
    if seen is not None:
        new = new[log.times[new] > seen]
    if len(new):
        questions = Questions.of(log, int(log.times[new].min()))
        asked = questions.events[np.isin(questions.events, new)]
        if len(asked):
            return replace(questions, events=asked[:: -(-len(asked) // limit)])
    raise NothingToAsk(
        f"nothing to ask a challenger: of {len(new)} ratings after what it has learnt none is a "
        f"first one of {LIKED / 2:g} stars or more; wait for more, or let it learn fewer"
    )


def events_after(log: Ratings, learnt: Ratings) -> Ints:
    """i64[], ascending: the events of a log that are not among those that were learnt.

    Args:
        log: all ratings, those that were learnt among them.
        learnt: of the same catalogue.
    """
    names = {"user": log.users, "row": log.rows, "time": log.times}
    known = {"user": learnt.users, "row": learnt.rows, "time": learnt.times}
    news = (
        pl.DataFrame(names)
        .with_row_index("event")
        .join(pl.DataFrame(known), on=list(known), how="anti")
    )
    return np.sort(news["event"].to_numpy().astype(np.int64))


def hold(
    champion: Served | None,
    challenger: Served,
    questions: Questions,
    on_progress: OnProgress = lambda *_: None,
    clock: Clock = time.perf_counter,
) -> Challenge:
    """Ask both, side by side.

    Args:
        champion: what is served; where nothing is, popularity takes its place.
        challenger: what may be served.
        questions: n of them.
        on_progress: told how many are answered.
        clock: seconds.

    Raises:
        ArtifactError: one of them is damaged, or does not fit this code.
    """
    rival = Popularity() if champion is None else champion
    sitters = [_Sitter(model, questions, clock) for model in (rival, challenger)]
    with threadpool_limits(OPENMP_THREADS, "openmp"):
        for number in range(len(questions)):
            for sitter in sitters if number % 2 else reversed(sitters):
                sitter.answer(number)
            on_progress(number + 1, len(questions))
    return Challenge(
        questions.users,
        questions.ages,
        sitters[0].marks(None if champion is None else champion.artifact.manifest),
        sitters[1].marks(challenger.artifact.manifest),
    )


class _Sitter:
    """A model that is asked, and what it has answered so far."""

    def __init__(self, model: Recommender, questions: Questions, clock: Clock) -> None:
        model.fit(questions.known)
        self._questions = questions
        self._histories = questions.histories("fresh")
        self._clock = clock
        self._asked = _one_at_a_time(model, questions)
        self._ranks = np.empty(len(questions))
        self._seconds = np.empty(len(questions))
        self._lists = np.full((len(questions), K), NOTHING)
        model.score(self._histories[:1])  # what is kept of the log is made once, not in the first

    def answer(self, number: int) -> None:
        """The next question."""
        model, history = next(self._asked), self._histories[number : number + 1]
        began = self._clock()
        scores = model.score(history)
        self._seconds[number] = self._clock() - began
        if np.isnan(scores).any():
            self._ranks[number] = np.nan
            return
        scores = without_rated(scores, history)
        self._ranks[number] = ranks(scores, self._questions.rows[[number]])[0]
        self._lists[number] = top(scores, K)[0]

    def marks(self, manifest: Manifest | None) -> Marks:
        """Once everything is answered; None: it is popularity."""
        movies = len(self._questions.log.movies)
        return Marks(
            None if manifest is None else manifest.version,
            self._ranks,
            coverage(self._lists, movies, K),
            gini(self._lists, movies, K),
            self._seconds,
            {} if manifest is None else manifest.figures_of(RATING),
        )


def _one_at_a_time(model: Recommender, questions: Questions) -> Iterator[Recommender]:
    """The model as it is at each question."""
    for then, some in at_their_time(model, questions, "fresh"):
        for _ in range(len(questions))[some]:
            yield then
