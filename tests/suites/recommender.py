"""What every recommender of the lab must do. Subclass it and provide the `make` fixture.

What a recommender can do beyond scoring (explain, observe, predict, know users) is tested where it
says that it can.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from stream.contracts.errors import ArtifactError, DatasetError
from tests.training.build import HOUR, START, everything, ratings
from training.baselines import storage
from training.baselines.catalogue import hyperparameters
from training.dataset import Ratings, Tags
from training.histories import Histories
from training.recommender import (
    NOTHING,
    Explains,
    KnowsUsers,
    Observes,
    PredictsOfUsers,
    PredictsRatings,
    Reason,
    Recommender,
    asked_with,
    recommend,
    when_asked,
)
from training.tower_inputs import Floats, Ints

Make: TypeAlias = Callable[[], Recommender]

CLUBS, CLUB = 4, 8  # clubs, and movies of each
MOVIES = CLUBS * CLUB
LATE, NEVER = MOVIES + 1, MOVIES + 2  # movies rated after the training alone, and by nobody
USERS = 60
NEWCOMER = USERS + 1  # whose first rating is after the training
TRAINED = 7 * HOUR  # the training ends there
TOLERANCE = 1e-4  # for sums of f32 in another order


def world() -> Ratings:
    """Sixty people who like what is of their club, an hour apart, and not what is of others.

    Everyone rates three movies more after the training; a few had changed their minds before.
    """
    chance = np.random.default_rng(0)
    events = []
    for user in range(1, USERS + 1):
        own = chance.permutation(CLUB) + 1 + user % CLUBS * CLUB
        other = 1 + (user + 1) % CLUBS * CLUB + int(chance.integers(CLUB))
        movies = [*own[:5], other, *own[5:], LATE]
        stars = [*(4.0 + chance.integers(3, size=5) / 2), 1.5, 5.0, 4.0, 4.5, 4.0]
        events += [
            (user, int(movie), float(some), hour * HOUR + user)
            for hour, (movie, some) in enumerate(zip(movies, stars, strict=True))
        ]
        if user % 9 == 0:
            events.append((user, int(own[0]), 2.0, 6 * HOUR))
    events += [(NEWCOMER, movie, 5.0, 8 * HOUR + movie) for movie in (1, 2, LATE)]
    log = ratings(events, range(1, NEVER + 1))
    rows = np.arange(MOVIES)
    words = np.array([f"club {row // CLUB}" for row in rows], np.dtypes.StringDType())
    return replace(log, tags=Tags(rows, words, np.full(MOVIES, START, np.int64)))


def later_differs(log: Ratings, early: Ints) -> Ratings:
    """The same log, but for all that happens after these events."""
    later = np.setdiff1d(everything(log), early)
    rows, half_stars = log.rows.copy(), log.half_stars.copy()
    rows[later] = (rows[later] + CLUB) % MOVIES
    half_stars[later] = 11 - half_stars[later]
    return replace(log, rows=rows, half_stars=half_stars)


def assert_scored(scores: Floats, histories: Histories) -> None:
    """Every movie has one; those rated already, which are in no list, may have -inf."""
    lists, events = histories.events()
    rated = np.zeros(scores.shape, np.bool_)
    rated[lists, histories.log.rows[events]] = True
    assert (np.isfinite(scores) | (rated & (scores == -np.inf))).all()


class RecommenderSuite:
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Make:
        """Makes the recommender, not yet fitted, always alike."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls, make: Make) -> Ratings:
        """Of each recommender its own: one that spoils it spoils no other's."""
        return world()

    @pytest.fixture(scope="class")
    @classmethod
    def early(cls, log: Ratings) -> Ints:
        return np.flatnonzero(log.times < START + TRAINED)

    @pytest.fixture(scope="class")
    @classmethod
    def train(cls, log: Ratings, early: Ints) -> Ratings:
        return log.take(early)

    @pytest.fixture(scope="class")
    @classmethod
    def later(cls, log: Ratings, early: Ints) -> Ratings:
        return log.take(np.setdiff1d(everything(log), early))

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, make: Make, train: Ratings) -> Recommender:
        """Tests that change it work on a copy of their own."""
        model = make()
        model.fit(train)
        return model

    @pytest.fixture(scope="class")
    @classmethod
    def histories(cls, log: Ratings) -> Histories:
        """Of every length, none and those with a movie that the fit has not seen included."""
        return Histories.before(log, everything(log)[::3])

    @pytest.fixture(scope="class")
    @classmethod
    def scores(cls, fitted: Recommender, histories: Histories) -> Floats:
        return fitted.score(histories)

    def test_a_score_for_every_movie(self, scores: Floats, histories: Histories) -> None:
        assert scores.shape == (len(histories), NEVER)
        assert scores.dtype == np.float32
        assert_scored(scores, histories)

    def test_what_a_fit_does_not_look_at_may_be_changed_after_it(
        self, make: Make, fitted: Recommender, train: Ratings, histories: Histories, scores: Floats
    ) -> None:
        changed = {
            name: type(value)(value / 2)
            for name, value in hyperparameters(fitted).items()
            if name in when_asked(fitted) and isinstance(value, int | float)
        }
        if not changed:
            pytest.skip("a fit looks at all of its hyperparameters")
        other = asked_with(make(), **changed)
        other.fit(train)
        answers = asked_with(fitted, **changed).score(histories)
        np.testing.assert_array_equal(answers, other.score(histories))
        assert not np.allclose(answers, scores)
        np.testing.assert_array_equal(fitted.score(histories), scores)

    def test_nobody_asked_for(self, fitted: Recommender, histories: Histories) -> None:
        assert fitted.score(histories[:0]).shape == (0, NEVER)

    def test_a_fit_reports_how_far_it_is(self, make: Make, train: Ratings) -> None:
        reports: list[tuple[int, int]] = []
        make().fit(train, lambda done, of: reports.append((done, of)))
        assert all(0 <= done <= of for done, of in reports)
        assert reports == sorted(reports)

    def test_a_fit_depends_on_the_training_alone(
        self, make: Make, log: Ratings, early: Ints, scores: Floats, histories: Histories
    ) -> None:
        """Not on what was learnt before, not on what happens later, not on chance."""
        model = make()
        model.fit(log.take(everything(log)[: len(log) // 2]))
        model.fit(later_differs(log, early).take(early))
        np.testing.assert_allclose(model.score(histories), scores, TOLERANCE, TOLERANCE)

    def test_someone_new_has_a_list(self, fitted: Recommender, train: Ratings) -> None:
        nobody = Histories.raw(train.movies, [[]])
        assert NOTHING not in recommend(fitted, nobody, 10)
        assert len(np.unique(fitted.score(nobody))) > 1

    def test_a_raw_history_is_as_the_same_one_of_the_log(
        self, fitted: Recommender, train: Ratings
    ) -> None:
        users = np.array([3, 9, 18])
        known = Histories.of_users(train, users)
        raw = [
            [
                (train.movies[train.rows[at]].movie_id, train.half_stars[at] / 2, train.times[at])
                for at in range(start, end)
            ]
            for start, end in zip(known.starts, known.ends, strict=True)
        ]
        answers = fitted.score(Histories.raw(train.movies, raw))
        np.testing.assert_allclose(answers, fitted.score(known), TOLERANCE, TOLERANCE)

    def test_a_movie_that_the_fit_has_not_seen_is_no_evidence_and_no_error(
        self, fitted: Recommender, train: Ratings
    ) -> None:
        unseen = [(LATE, 5.0, START), (NEVER, 5.0, START)]
        raw = [unseen, [(1, 5.0, START), *unseen], [*unseen, (1, 1.0, START)]]
        histories = Histories.raw(train.movies, raw)
        answers = fitted.score(histories)
        assert_scored(answers, histories)
        assert (answers.max(axis=1) > answers.min(axis=1)).all()

    def test_a_list_does_not_depend_on_who_else_is_asked_for(
        self, fitted: Recommender, histories: Histories, scores: Floats
    ) -> None:
        backwards = np.arange(len(histories))[::-1]
        np.testing.assert_allclose(
            fitted.score(histories[backwards])[backwards], scores, TOLERANCE, TOLERANCE
        )
        for one in range(0, len(histories), 17):
            alone = fitted.score(histories[one : one + 1])
            np.testing.assert_allclose(alone[0], scores[one], TOLERANCE, TOLERANCE)

    def test_what_it_is_given_stays_as_it_was(self, make: Make) -> None:
        log, model = world(), make()
        histories = Histories.before(log, everything(log))
        model.fit(log)
        model.score(histories)
        assert log.digest == world().digest
        np.testing.assert_array_equal(histories.starts, log.first)
        np.testing.assert_array_equal(histories.ends, everything(log))

    def test_the_caller_may_write_to_the_scores(
        self, fitted: Recommender, histories: Histories, scores: Floats
    ) -> None:
        fitted.score(histories)[:] = np.nan
        np.testing.assert_array_equal(fitted.score(histories), scores)

    def test_saved_and_loaded_it_says_the_same(
        self, fitted: Recommender, train: Ratings, histories: Histories, tmp_path: Path
    ) -> None:
        storage.save(fitted, tmp_path / "model", train.movies)
        loaded = storage.load(tmp_path / "model", train.movies)
        assert loaded == fitted  # the hyperparameters
        np.testing.assert_allclose(loaded.score(histories), fitted.score(histories), rtol=1e-6)
        with pytest.raises(ArtifactError, match="another catalogue"):
            storage.load(tmp_path / "model", train.movies[1:])

    def test_without_any_ratings_it_says_so_or_still_answers(
        self, make: Make, train: Ratings, histories: Histories
    ) -> None:
        model = make()
        try:
            model.fit(train.take(np.zeros(0, np.int64)))
        except DatasetError:
            return
        assert_scored(model.score(histories), histories)

    def test_reasons_add_up_to_the_score(
        self, fitted: Recommender, histories: Histories, scores: Floats
    ) -> None:
        if not isinstance(fitted, Explains):
            pytest.skip("explains nothing")
        rows = np.arange(len(histories)) % NEVER
        explained = fitted.explain(histories, rows)
        sums = [sum(reason.amount for reason in reasons) for reasons in explained]
        np.testing.assert_allclose(sums, scores[np.arange(len(rows)), rows], TOLERANCE, TOLERANCE)
        for one, reasons in enumerate(explained):
            amounts = [reason.amount for reason in reasons]
            assert amounts == sorted(amounts, reverse=True)
            held = slice(histories.starts[one], histories.ends[one])
            self.assert_named(reasons, set(histories.log.rows[held].tolist()))

    def assert_named(self, reasons: list[Reason], rated: set[int]) -> None:
        for reason in reasons:
            if reason.kind == "movie":
                assert reason.name in rated
            elif reason.kind == "user":
                assert reason.name in range(1, USERS + 1)
            else:
                assert reason.kind == "feature"
                assert isinstance(reason.name, str)

    def test_what_happens_is_taken_in_at_once_or_by_and_by(
        self, make: Make, train: Ratings, later: Ratings, scores: Floats, histories: Histories
    ) -> None:
        model, other = make(), make()
        if not (isinstance(model, Observes) and isinstance(other, Observes)):
            pytest.skip("observes nothing")
        model.fit(train)
        model.observe(later.take(np.zeros(0, np.int64)))
        np.testing.assert_array_equal(model.score(histories), scores)
        model.observe(later)
        other.fit(train)
        first = later.times < START + 8 * HOUR
        other.observe(later.take(np.flatnonzero(first)))
        other.observe(later.take(np.flatnonzero(~first)))
        observed = model.score(histories)
        assert not np.allclose(observed, scores)
        np.testing.assert_allclose(other.score(histories), observed, TOLERANCE, TOLERANCE)

    def test_users_it_knows_and_others(self, fitted: Recommender) -> None:
        if not isinstance(fitted, KnowsUsers):
            pytest.skip("knows no users")
        answers = fitted.score_users(np.array([5, NEWCOMER, 6, NEWCOMER + 100]))
        assert (answers.shape, answers.dtype) == ((4, NEVER), np.float32)
        assert np.isfinite(answers).all()
        np.testing.assert_array_equal(answers[1], answers[3])
        assert not np.allclose(answers[0], answers[2])

    def test_predicted_ratings_are_ratings(
        self, fitted: Recommender, histories: Histories, log: Ratings
    ) -> None:
        if not isinstance(fitted, PredictsRatings):
            pytest.skip("predicts no ratings")
        rows = np.arange(len(histories)) % NEVER
        times = np.full(len(histories), START + TRAINED)
        stars = fitted.predict(histories, rows, times)
        assert (stars.shape, stars.dtype) == ((len(histories),), np.float32)
        assert ((stars >= 0.5) & (stars <= 5)).all()
        for one in (0, 1, 50):
            some = slice(one, one + 1)
            alone = fitted.predict(histories[some], rows[some], times[some])
            np.testing.assert_allclose(alone, stars[some], TOLERANCE)

    def test_predicted_ratings_of_users_it_knows_and_others(self, fitted: Recommender) -> None:
        if not isinstance(fitted, PredictsOfUsers):
            pytest.skip("predicts no ratings of users")
        users = np.array([5, NEWCOMER, 6, NEWCOMER + 100])
        stars = fitted.predict_users(users, np.full(4, 3))
        assert (stars.shape, stars.dtype) == ((4,), np.float32)
        assert ((stars >= 0.5) & (stars <= 5)).all()
        assert stars[1] == stars[3]
        assert len(set(stars)) == 3
