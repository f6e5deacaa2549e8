"""Serving asks what the lab asks: of one state, both get the same features and predictions."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from api.predict.questions import Pairs, places_of, question, sums_at, without_own
from api.serving.live import LiveMovies
from api.serving.models import ServedModel
from api.serving.watcher import Serving
from stream.coldstart import ItemVectors
from stream.contracts.events import MovieEvent
from stream.features import MovieState, UserState, fold
from tests.api.conftest import catalogue_movie
from tests.stream.build import rating
from tests.training.baselines.test_rating_prediction import noisy
from tests.training.build import ratings
from training.dataset import Ratings
from training.histories import Histories
from training.rating_learning import as_served, in_the_lab, known_of
from training.rating_model import RatingModel
from training.rating_served import learn
from training.rating_sums import SumsOverTime
from training.split import split_by_time
from training.tower_inputs import Ints

MOVIES = 80
LATER = 300  # a movie that the model did not learn
NOW = 1_100_000_000_000  # ms


@pytest.fixture(scope="module")
def log() -> Ratings:
    """One event at a time."""
    events = [(user, movie, stars, time + user * 1_000) for user, movie, stars, time in noisy()]
    return ratings(events[:2_000], range(1, MOVIES + 1))


@pytest.fixture(scope="module")
def predictor(log: Ratings) -> RatingModel:
    return learn(log, split_by_time(log)).model


def folded(log: Ratings, events: Ints) -> tuple[dict[int, UserState], dict[int, MovieState]]:
    """The live state after these, in the order of time."""
    movies = np.array([movie.movie_id for movie in log.movies])[log.rows]
    order = events[np.argsort(log.times[events], kind="stable")]
    columns = (log.users, movies, log.half_stars / 2, log.times)
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    writes = fold({}, {}, [(at, rating(*row)) for at, row in enumerate(rows)])
    return writes.users, writes.movies


def served(
    predictor: RatingModel, movies: dict[int, MovieState], catalogue: tuple[MovieEvent, ...] = ()
) -> tuple[Serving, ServedModel]:
    """What answers, with live movies as they are: those of the model by row, then all others."""
    ids = np.arange(1, MOVIES + 1, dtype=np.uint32)
    items = ItemVectors("v", ids, np.zeros((MOVIES, 2), np.float32))
    model = SimpleNamespace(
        repertoire=SimpleNamespace(items=items, learnt=MOVIES),
        artifact=SimpleNamespace(predictor=predictor),
    )
    others = np.array([id_ for id_ in movies if id_ > MOVIES], np.uint32)
    everything = np.concatenate([ids, others])
    states = [movies.get(id_, MovieState()) for id_ in everything.tolist()]
    sums = np.array([[it.count, it.total, it.squares] for it in states], np.int64).T
    live = LiveMovies(ids=everything, rated=sums[0] > 0, sums=sums)
    described = {movie.movie_id: movie for movie in catalogue}
    return Serving(live=live, catalogue=described), cast(ServedModel, model)


def test_the_lab_and_serving_predict_alike(log: Ratings, predictor: RatingModel) -> None:
    """Of people and movies as the whole log leaves them; nobody is asked about what they rated."""
    users, movies = folded(log, np.arange(len(log)))
    chance = np.random.default_rng(0)
    pairs = [
        (user, movie)
        for user in (*users, 10**6)
        for movie in chance.integers(1, MOVIES + 1, 9).tolist()
        if movie not in users.get(user, UserState()).movie_ids()
    ]
    whom, what = np.array(pairs).T
    _, sums = known_of(log)
    times = np.full(len(whom), NOW)
    of_lab = in_the_lab(predictor.known, sums, Histories.of_users(log, whom), what - 1, times)

    serving, model = served(predictor, movies)
    people = list(dict.fromkeys(whom.tolist()))
    of = np.array([people.index(user) for user in whom.tolist()])
    states = [users.get(user, UserState()) for user in people]
    rated = without_own(states, Pairs(of, what.astype(np.uint32)))
    assert not rated.own.any()
    live = question(serving, model, rated, what.astype(np.uint32), NOW)
    for theirs, ours in zip(predictor.predict(*of_lab), predictor.predict(*live), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_examples_are_what_serving_would_have_asked(log: Ratings, predictor: RatingModel) -> None:
    """Right before each of some ratings, with the state that the stream had folded by then."""
    over_time, known = SumsOverTime.of(log), predictor.known
    some = np.flatnonzero(log.times > np.quantile(log.times, 0.3))[::150]
    expected = known.features(*as_served(known, over_time, log, some))
    for event, features in zip(some.tolist(), expected, strict=True):
        users, movies = folded(log, np.flatnonzero(log.times < log.times[event]))
        serving, model = served(predictor, movies)
        state = users.get(int(log.users[event]), UserState())
        movie = np.array([log.movies[log.rows[event]].movie_id], np.uint32)
        pairs = Pairs(np.zeros(1, np.int64), movie)
        past, asked = question(
            serving, model, without_own([state], pairs), movie, int(log.times[event])
        )
        np.testing.assert_allclose(known.features(past, asked)[0], features, rtol=1e-5, atol=1e-5)


def test_their_own_rating_is_in_nothing_that_is_asked(log: Ratings, predictor: RatingModel) -> None:
    """As if it had never been given; a second pair of the same person still has it."""
    everything = np.arange(len(log))
    user, movie = int(log.users[5]), log.movies[log.rows[5]].movie_id
    other = next(id_ for id_ in range(1, MOVIES + 1) if id_ not in log.rows[log.users == user] + 1)
    asked_about = np.array([movie, other], np.uint32)
    users, movies = folded(log, everything)
    serving, model = served(predictor, movies)
    rated = without_own([users[user]], Pairs(np.zeros(2, np.int64), asked_about))
    assert rated.own.tolist() == [log.half_stars[5], 0]
    found = predictor.known.features(*question(serving, model, rated, asked_about, NOW))

    users, movies = folded(log, np.delete(everything, 5))
    serving, model = served(predictor, movies)
    alone = np.array([movie], np.uint32)
    without = without_own([users[user]], Pairs(np.zeros(1, np.int64), alone))
    expected = predictor.known.features(*question(serving, model, without, alone, NOW))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
    assert found[1, 2] == pytest.approx(np.log1p(len(users[user]) + 1))


def test_an_id_may_be_found_across_two_others() -> None:
    """Its bytes are there, from the second one on: no movie of theirs."""
    state = fold({}, {}, [(0, rating(1, 0x01020304, 4.0)), (1, rating(1, 0x05060708, 4.0))]).users[
        1
    ]
    across = int.from_bytes(state.movies[1:5], "little")
    rated = without_own([state], Pairs(np.zeros(1, np.int64), np.array([across], np.uint32)))
    assert rated.own.tolist() == [0]
    assert len(rated.states) == 1


def test_movies_that_came_later(predictor: RatingModel) -> None:
    """Known by their genres, their year, and what they were rated."""
    later = catalogue_movie(LATER)
    state = MovieState(count=2, total=18, squares=164)
    serving, model = served(predictor, {LATER: state, LATER + 1: MovieState(1, 4, 16)}, (later,))
    ids = np.array([LATER, LATER + 1, LATER + 2], np.uint32)
    nobody = without_own([UserState()], Pairs(np.zeros(3, np.int64), ids))
    past, asked = question(serving, model, nobody, ids, NOW)
    assert asked.rows.tolist() == [-1, -1, -1]
    assert asked.movies.counts.tolist() == [2, 1, 0]
    assert asked.movies.totals.tolist() == [18, 4, 0]
    assert asked.content[:, 0].tolist() == [
        later.year,
        *[pytest.approx(predictor.known.content[-1, 0])] * 2,
    ]
    assert np.isfinite(predictor.predict(past, asked)).all()


def test_nobody_has_rated_anything() -> None:
    places = places_of(LiveMovies(), None, np.array([1, 2], np.uint32))
    assert places.tolist() == [-1, -1]
    assert [of.tolist() for of in sums_at(LiveMovies(), places)] == [[0, 0]] * 3
