import copy
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError, DatasetError
from tests.training.build import DAY, HOUR, START, ratings
from training.baselines.chance import Random
from training.baselines.popularity import Popularity
from training.dataset import Ratings, Tags
from training.histories import Histories
from training.prequential import STATES, Questions, State, ask
from training.recommender import Observes, OnProgress, Recommender, top
from training.tower_inputs import Floats

MOVIES = range(1, 8)
MIDNIGHT = -START % DAY + 2 * DAY  # ms after START
NOON = MIDNIGHT + DAY // 2
SINCE = START + NOON

# (user, movie, stars, ms after START): few of everything, so that there are ties, repeated ratings,
# people who come late, and events at the very moment of training and of midnight.
EVENTS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(MOVIES),
        st.sampled_from([1.0, 4.0, 5.0]),
        st.integers(-8, 12).map(lambda quarters: NOON + quarters * DAY // 4),
    ),
    max_size=25,
).map(lambda events: [(1, 1, 3.0, 0), *events, (4, 7, 5.0, 6 * DAY)])


@dataclass
class Crowd(Popularity):
    """Popularity to which the user's history matters too."""

    def score(self, histories: Histories) -> Floats:
        scores: Floats = super().score(histories) + Random().score(histories)
        return scores


def fitted(model: Recommender, log: Ratings) -> Recommender:
    model.fit(log.take(np.flatnonzero(log.times < SINCE)))
    return model


def one_at_a_time(model: Recommender, log: Ratings, state: State, liked: int) -> list[int]:
    """What the module says, done the slow way: a history, a list, the place in it."""
    found = []
    told: list[int] = []
    for event in sorted(range(len(log)), key=lambda e: (log.times[e], e)):
        time = int(log.times[event])
        if time < SINCE:
            continue
        horizon = {"fresh": np.inf, "daily": max(SINCE, time // DAY * DAY), "frozen": SINCE}[state]
        before = [e for e in range(event) if log.users[e] == log.users[event]]
        if log.half_stars[event] >= liked and log.rows[event] not in log.rows[before]:
            known = [e for e in before if log.times[e] < horizon]
            rated = [
                (log.movies[log.rows[e]].movie_id, log.half_stars[e] / 2, int(log.times[e]))
                for e in known
            ]
            now = copy.deepcopy(model)
            news = [e for e in told if log.times[e] < horizon]
            if news and isinstance(now, Observes):
                now.observe(log.take(np.array(sorted(news))))
            scores = now.score(Histories.raw(log.movies, [rated]))
            scores[0, log.rows[known]] = -np.inf
            places = top(scores, len(log.movies))[0].tolist()
            found.append(places.index(log.rows[event]) + 1)
        told.append(event)
    return found


@settings(max_examples=60)
@given(EVENTS, st.sampled_from(STATES), st.sampled_from([1, 8]))
@pytest.mark.parametrize(
    "model", [Random(), Popularity(), Crowd()], ids=lambda it: type(it).__name__
)
def test_in_bulk_as_one_at_a_time(
    model: Recommender, events: list[tuple[int, int, float, int]], state: State, liked: int
) -> None:
    log = ratings(events, MOVIES)
    model = fitted(model, log)
    places = ask(model, Questions.of(log, SINCE, liked), state)
    assert places.tolist() == one_at_a_time(model, log, state, liked)


@settings(max_examples=60)
@given(EVENTS, st.sampled_from(STATES), st.data())
def test_what_comes_later_changes_nothing(
    events: list[tuple[int, int, float, int]], state: State, data: st.DataObject
) -> None:
    log = ratings(events, MOVIES)
    model = fitted(Crowd(), log)
    questions = Questions.of(log, SINCE)
    until = data.draw(st.integers(0, len(questions) - 1))
    last = questions.events[until]
    order = np.lexsort((np.arange(len(log)), log.times))
    past = np.sort(order[: np.flatnonzero(order == last)[0] + 1])
    places = ask(model, questions, state)[: until + 1]
    assert ask(model, Questions.of(log.take(past), SINCE), state).tolist() == places.tolist()


def test_a_question_does_not_change_the_model() -> None:
    log = ratings([(1, 1, 5.0, 0), (2, 2, 5.0, 5 * DAY), (1, 3, 5.0, 6 * DAY)], MOVIES)
    model = cast(Popularity, fitted(Popularity(), log))
    ask(model, Questions.of(log, SINCE), "fresh")
    assert model.counts.tolist() == [1, 0, 0, 0, 0, 0, 0]


@dataclass
class Told:
    """Remembers what it is told, here and in its copies."""

    log: list[Ratings]

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        pass

    def observe(self, events: Ratings) -> None:
        self.log.append(events)

    def score(self, histories: Histories) -> Floats:
        return np.zeros((len(histories), len(MOVIES)), np.float32)

    def __deepcopy__(self, memo: dict[int, object]) -> "Told":
        return self


def test_tags_are_not_looked_through_before_every_question() -> None:
    """They may be a million, and the questions too."""
    log = ratings([(1, 1, 4.0, 5 * DAY), (2, 2, 4.0, 6 * DAY), (3, 3, 4.0, 7 * DAY)], MOVIES)
    words = np.array(["early"], np.dtypes.StringDType())
    tagged = replace(log, tags=Tags(np.zeros(1, np.int64), words, np.zeros(1, np.int64)))
    model = Told([])
    ask(model, Questions.of(tagged, SINCE), "fresh")
    assert [(events.rows.tolist(), len(events.tags.rows)) for events in model.log] == [
        ([0], 0),
        ([1], 0),
    ]


@dataclass
class ById:
    """Recommends the highest movie id."""

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        pass

    def score(self, histories: Histories) -> Floats:
        return np.tile(np.arange(len(MOVIES), dtype=np.float32), (len(histories), 1))


def test_each_state_leaves_out_what_it_knows_to_be_rated() -> None:
    night = MIDNIGHT + DAY
    log = ratings(
        [
            (1, 7, 4.0, 0),  # known to all
            (1, 6, 2.0, NOON),  # at the training moment: after it
            (1, 5, 4.0, night - 1),
            (1, 4, 4.0, night),
            (1, 3, 4.0, night + HOUR),
            (1, 4, 5.0, night + 2 * HOUR),  # again: not asked for
        ],
        MOVIES,
    )
    questions = Questions.of(log, SINCE)
    assert questions.ages.tolist() == [2, 3, 4]
    asked = {state: ask(ById(), questions, state).tolist() for state in STATES}
    assert asked == {"fresh": [1, 1, 1], "daily": [2, 1, 2], "frozen": [2, 3, 4]}


def test_at_the_same_time_the_log_decides() -> None:
    log = ratings([(1, m, 4.0, 5 * DAY) for m in (3, 5, 6)] + [(2, 1, 4.0, 5 * DAY)], MOVIES)
    questions = Questions.of(log, SINCE)
    assert questions.events.tolist() == [0, 1, 2, 3]
    assert questions.histories("fresh").lengths.tolist() == [0, 1, 2, 0]
    assert questions.observed("fresh").tolist() == [0, 1, 2, 3]


def test_days_are_counted_from_the_training_moment() -> None:
    times = [NOON, NOON + DAY - 1, NOON + DAY, NOON + 7 * DAY]
    log = ratings([(user, 1, 4.0, time) for user, time in enumerate(times)], MOVIES)
    assert Questions.of(log, SINCE).days.tolist() == [0, 0, 1, 7]


def test_someone_new_is_asked_about() -> None:
    log = ratings([(1, 1, 4.0, 0), (2, 7, 4.0, 5 * DAY)], MOVIES)
    questions = Questions.of(log, SINCE)
    assert questions.ages.tolist() == [0]
    assert ask(ById(), questions, "fresh").tolist() == [1]


def test_daily_is_never_older_than_the_training() -> None:
    log = ratings([(1, 7, 4.0, MIDNIGHT + HOUR), (1, 6, 4.0, NOON + HOUR)], MOVIES)
    assert ask(ById(), Questions.of(log, SINCE), "daily").tolist() == [1]


def test_progress_reaches_the_end() -> None:
    log = ratings([(u, m, 4.0, 5 * DAY + u) for u in range(1, 5) for m in (3, 5)], MOVIES)
    for model in (ById(), fitted(Popularity(), ratings([(1, 1, 4.0, 0)], MOVIES))):
        for state in STATES:
            told: list[tuple[int, int]] = []
            ask(model, Questions.of(log, SINCE), state, lambda *it, told=told: told.append(it))
            assert told == sorted(told)
            assert told[-1] == (8, 8)


def test_nothing_to_ask_for() -> None:
    log = ratings([(1, 1, 4.0, 0), (1, 2, 3.5, 5 * DAY), (1, 1, 5.0, 6 * DAY)], MOVIES)
    with pytest.raises(DatasetError, match="of 2 ratings after the training moment none"):
        Questions.of(log, SINCE)


def test_an_unknown_state_lists_those_there_are() -> None:
    log = ratings([(1, 2, 5.0, 5 * DAY)], MOVIES)
    with pytest.raises(ConfigurationError, match="no state 'weekly': there are fresh, daily, froz"):
        ask(ById(), Questions.of(log, SINCE), cast(State, "weekly"))
