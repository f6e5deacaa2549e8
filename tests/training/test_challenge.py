import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.coldstart import MANIFEST
from stream.contracts.errors import ArtifactError, DatasetError, NothingToAsk
from tests.planted_model import CATALOGUE, Trait
from tests.training.build import DAY, START, ratings
from training.artifact import read_manifest
from training.baselines.popularity import Popularity
from training.challenge import hold, questions_after
from training.dataset import Ratings
from training.diversity import coverage, gini
from training.gate import decide
from training.gate_policy import GatePolicy
from training.histories import Histories
from training.prequential import Questions, ask, at_their_time
from training.recommender import recommend
from training.served import Served
from training.tower_inputs import Floats

KNOWN = [movie.movie_id for movie in CATALOGUE]
K = 10


def of_one(log: Ratings) -> list[tuple[int, int, int]]:
    """(user, movie, ms after START) of what is asked."""
    return [
        (int(log.users[e]), log.movies[log.rows[e]].movie_id, int(log.times[e]) - START)
        for e in range(len(log))
    ]


def asked(
    learnt: list[tuple[int, int, float, int]],
    after: list[tuple[int, int, float, int]],
    limit: int = 100,
    seen: int | None = None,
) -> tuple[Questions, list[tuple[int, int, int]]]:
    movies = range(1, 10)
    log = ratings(learnt + after, movies)
    questions = questions_after(log, ratings(learnt, movies), limit, seen)
    return questions, of_one(questions.log.take(questions.events))


LEARNT = [(1, 1, 5.0, 0), (2, 2, 5.0, 20 * DAY), (3, 3, 2.0, 30 * DAY)]


def test_asked_is_what_came_after_the_snapshot_and_was_liked() -> None:
    after = [
        (1, 4, 4.0, 31 * DAY),
        (2, 5, 3.5, 32 * DAY),  # not liked
        (3, 3, 5.0, 33 * DAY),  # rated before
        (4, 3, 5.0, 31 * DAY),
    ]
    questions, found = asked(LEARNT, after)
    assert found == [(1, 4, 31 * DAY), (4, 3, 31 * DAY)]
    assert questions.ages.tolist() == [1, 0]
    assert len(questions.known) == 3


def test_what_somebody_may_have_learnt_is_in_histories_and_not_asked() -> None:
    after = [(1, 4, 4.0, 31 * DAY), (1, 5, 5.0, 32 * DAY), (2, 6, 4.0, 33 * DAY)]
    questions, found = asked(LEARNT, after, seen=START + 32 * DAY)
    assert found == [(2, 6, 33 * DAY)]
    assert len(questions.known) == 5
    with pytest.raises(NothingToAsk, match="of 0 ratings"):
        asked(LEARNT, after, seen=START + 33 * DAY)


def test_what_arrives_late_is_asked_at_its_time_and_not_what_was_learnt_after_it() -> None:
    """User 5's rating of day 10 came after the snapshot, which had others' up to day 30."""
    questions, found = asked(LEARNT, [(5, 6, 4.0, 10 * DAY), (1, 7, 4.0, 31 * DAY)])
    assert found == [(5, 6, 10 * DAY), (1, 7, 31 * DAY)]
    assert of_one(questions.known) == [(1, 1, 0)]
    assert questions.observed("fresh").tolist() == [0, 3]


def test_evenly_spaced_ones_stand_for_all() -> None:
    after = [(user, 5, 4.0, (40 + user) * DAY) for user in range(10, 17)]
    for limit, expected in ((7, range(10, 17)), (6, (10, 12, 14, 16)), (1, (10,))):
        _, found = asked(LEARNT, after, limit)
        assert [user for user, _, _ in found] == list(expected)


@pytest.mark.parametrize(
    ("after", "said"), [([], "of 0 ratings"), ([(1, 4, 3.5, 31 * DAY)], "of 1 ratings")]
)
def test_nothing_new_that_is_liked(after: list[tuple[int, int, float, int]], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        asked(LEARNT, after)


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(1, 6),
        st.sampled_from([1.0, 4.0, 5.0]),
        st.integers(0, 30).map(lambda day: day * DAY),
    ),
    unique_by=lambda event: (event[0], event[1], event[3]),
    max_size=30,
)


@settings(max_examples=100)
@given(EVENTS, st.data())
def test_nothing_learnt_is_asked_and_nothing_new_left_out(
    events: list[tuple[int, int, float, int]], data: st.DataObject
) -> None:
    """Whatever the times of what was learnt and of what came after it."""
    learnt = [(5, 7, 4.0, 3 * DAY), *(e for e in events if data.draw(st.booleans()))]
    after = [event for event in events if event not in learnt]
    wanted = set()
    log = ratings(learnt + after, range(1, 10))
    for user, movie, time in of_one(log):
        seen = [other for other in of_one(log) if other[:2] == (user, movie) and other[2] < time]
        if not seen and any(e[:2] == (user, movie) and e[3] == time and e[2] >= 4 for e in after):
            wanted.add((user, movie, time))
    if not wanted:
        with pytest.raises(DatasetError):
            asked(learnt, after)
        return
    questions, found = asked(learnt, after)
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert (questions.log.times[questions.events] >= questions.since).all()


def fans(people: int = 12) -> list[tuple[int, int, float, int]]:
    """Each rates ten movies of a genre, one a day, in the order of the catalogue."""
    genres = sorted({movie.genre for movie in CATALOGUE})
    events = []
    for user in range(people):
        own = [movie for movie in CATALOGUE if movie.genre == genres[user % len(genres)]]
        first = 3 * user % 30
        events += [
            (user + 1, movie.movie_id, 4.5, (user % 3 + 5 * place) * DAY)
            for place, movie in enumerate(own[first : first + 10])
        ]
    return events


LOG = ratings(fans(), KNOWN)
LEARNT_OF_FANS = LOG.take(np.flatnonzero(LOG.times < START + 25 * DAY))
QUESTIONS = questions_after(LOG, LEARNT_OF_FANS)


@pytest.fixture
def served(models: dict[Trait, Path]) -> Callable[[Trait], Served]:
    return lambda trait: Served(models[trait], trending=5, popular=20, longest=30)


def slowly(model: Served | Popularity) -> tuple[list[int], float, float]:
    """Ranks, coverage and Gini of a model asked alone, by the protocol as it is."""
    model.fit(QUESTIONS.known)
    lists = [
        recommend(then, QUESTIONS.histories("fresh")[some], K)
        for then, some in at_their_time(model, QUESTIONS, "fresh")
    ]
    together = np.concatenate(lists)
    return (
        ask(model, QUESTIONS, "fresh").tolist(),
        coverage(together, len(KNOWN), K),
        gini(together, len(KNOWN), K),
    )


def test_both_are_asked_as_if_alone(served: Callable[[Trait], Served]) -> None:
    told: list[tuple[int, int]] = []
    found = hold(served("decade"), served("genre"), QUESTIONS, lambda *it: told.append(it))
    assert len(QUESTIONS) == 60
    assert found.users.tolist() == QUESTIONS.users.tolist()
    assert found.ages.tolist() == QUESTIONS.ages.tolist()
    for marks, trait in ((found.rival, "decade"), (found.challenger, "genre")):
        assert marks.version == trait
        assert (marks.ranks.tolist(), marks.coverage, marks.gini) == slowly(served(trait))
    assert told == [(n, 60) for n in range(1, 61)]


def test_predictors_are_judged_by_what_their_manifests_say(
    models: dict[Trait, Path], served: Callable[[Trait], Served], tmp_path: Path
) -> None:
    directory = shutil.copytree(models["genre"], tmp_path / "genre")
    manifest = msgspec.structs.replace(
        read_manifest(directory), metrics={"rating_then_rmse": 0.8, "live_towers_ndcg": 0.5}
    )
    (directory / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    challenger = Served(directory, trending=5, popular=20, longest=30)
    found = hold(served("decade"), challenger, replace(QUESTIONS, events=QUESTIONS.events[:2]))
    assert found.rival.predictor == {}
    assert found.challenger.predictor == {"rating_then_rmse": 0.8}


def test_fans_of_a_genre_are_served_by_the_model_that_sees_it(
    served: Callable[[Trait], Served],
) -> None:
    policy = GatePolicy(min_lists=60, min_users=12, max_slowdown=100, max_coverage_loss=1)
    policy = replace(policy, max_gini_rise=1)
    assert decide(hold(served("decade"), served("genre"), QUESTIONS), policy).promoted
    assert not decide(hold(served("genre"), served("decade"), QUESTIONS), policy).promoted
    assert not decide(hold(served("genre"), served("genre"), QUESTIONS), policy).promoted


def test_popularity_is_asked_where_there_is_no_champion(
    served: Callable[[Trait], Served],
) -> None:
    found = hold(None, served("genre"), QUESTIONS)
    assert found.rival.version is None
    assert (found.rival.ranks.tolist(), found.rival.coverage, found.rival.gini) == slowly(
        Popularity()
    )


def test_a_list_is_timed_alone_and_they_take_turns_at_beginning(
    served: Callable[[Trait], Served],
) -> None:
    """By a clock on which a list of the champion takes 2 s, of the challenger 3 s."""
    ticks, begun = count(), []

    class Timed(Served):
        seconds = 2

        def score(self, histories: Histories) -> Floats:
            begun.append((self.seconds, len(histories)))
            for _ in range(self.seconds - 1):
                next(ticks)
            return super().score(histories)

    def timed(trait: Trait, seconds: int) -> Timed:
        model = served(trait)
        timed = Timed(model.directory, model.trending, model.popular, model.longest)
        timed.seconds = seconds
        return timed

    found = hold(timed("decade", 2), timed("genre", 3), QUESTIONS, clock=lambda: float(next(ticks)))
    assert found.rival.seconds.tolist() == [2.0] * 60
    assert found.challenger.seconds.tolist() == [3.0] * 60
    asked = begun[2:]  # after one each that is not timed
    assert [size for _, size in asked] == [1] * 120
    turns = [seconds for seconds, _ in asked]
    assert turns == [3, 2, 2, 3] * 30


@pytest.mark.parametrize("broken", [slice(None), slice(3, 40)])
def test_a_model_of_nan_shows_it(served: Callable[[Trait], Served], broken: slice) -> None:
    """All vectors, or of some movies: wherever they could be in a list."""

    class Broken(Served):
        def fit(self, train: Ratings, on_progress: object = None) -> None:
            super().fit(train)
            self.artifact.items.vectors = self.artifact.items.vectors.copy()
            self.artifact.items.vectors[broken] = np.nan

    whole = served("genre")
    model = Broken(whole.directory, whole.trending, whole.popular, whole.longest)
    found = hold(whole, model, QUESTIONS)
    assert np.isnan(found.challenger.ranks).any()
    assert not np.isnan(found.rival.ranks).any()
    decided = decide(found, GatePolicy(min_lists=1, min_users=2))
    assert "genre gave NaN" in decided.reasons[0]


def test_what_is_examined_stays_as_it_is(served: Callable[[Trait], Served]) -> None:
    one, other = served("decade"), served("genre")
    first = hold(one, other, QUESTIONS)
    heats = copy.deepcopy(one).live.heats
    again = hold(one, other, QUESTIONS)
    assert again.rival.ranks.tolist() == first.rival.ranks.tolist()
    np.testing.assert_array_equal(one.live.heats, heats)


def test_a_challenger_that_is_damaged(served: Callable[[Trait], Served], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="train again"):
        hold(served("genre"), Served(tmp_path, 5, 20, 30), QUESTIONS)
