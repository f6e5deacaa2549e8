from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from stream.contracts.errors import DatasetError
from tests.training.build import DAY, HOUR, START, ratings
from training.baselines import linear, storage
from training.baselines.linear import Linear
from training.baselines.linear_features import (
    Prior,
    group_shares,
    movie_years,
    time_features,
    users,
)
from training.dataset import Movie, Ratings
from training.histories import Histories
from training.metrics import rmse
from training.task import Task

MIDNIGHT = DAY - START % DAY  # ms after START


def hours(seed: int = 0, people: int = 200) -> Ratings:
    """Whoever rates at 6 gives 2 stars, at 18 gives 4, at 0 and 12 gives 3: 3 less the sine."""
    chance = np.random.default_rng(seed)
    events = []
    for user in range(1, people + 1):
        quarters = np.sort(chance.choice(400, 20, replace=False))
        for quarter, movie in zip(quarters, chance.permutation(60)[:20] + 1, strict=True):
            stars = 3 - round(np.sin(np.pi / 2 * (quarter % 4)))
            events.append((user, int(movie), float(stars), MIDNIGHT + int(quarter) * 6 * HOUR))
    return ratings(events, range(1, 61))


def westerns(seed: int = 0) -> Ratings:
    """People who give a star more to Westerns. Each movie is rated twice: its mean says little."""
    chance = np.random.default_rng(seed)
    people, movies = chance.permutation(2000) % 100 + 1, np.arange(2000) % 1000 + 1
    events = [
        (int(user), int(movie), 4.0 if movie % 3 == 2 else 3.0, hour * HOUR)
        for hour, (user, movie) in enumerate(zip(people, movies, strict=True))
    ]
    return ratings(events)


def test_a_planted_rule_is_recovered() -> None:
    """The sine of a quarter of a day is 1, 0, -1 or 0: its deviation is the root of a half."""
    model = Linear()
    model.fit(hours())
    importances = model.importances()
    assert next(iter(importances)) == "hour of day, sine"
    assert importances.pop("hour of day, sine") == pytest.approx(-np.sqrt(1 / 2), abs=0.01)
    assert max(map(abs, importances.values())) < 0.03


def test_who_is_asked_when_is_predicted_by_that_rule() -> None:
    log, later = hours(), hours(seed=1)
    model = Linear()
    model.fit(log)
    stars = model.predict(Histories.of_users(log, later.users), later.rows, later.times)
    np.testing.assert_allclose(stars, later.half_stars / 2, atol=0.25)


def test_a_genre_that_people_like_is_named() -> None:
    model = Linear()
    model.fit(westerns())
    assert next(iter(model.importances())) == "Western"


def test_no_rating_gives_itself_away() -> None:
    """Where stars are noise nothing matters. Were a rating part of its movie's mean, or left out of
    it alone, that mean would."""
    log = westerns()
    noise = np.random.default_rng(0).integers(1, 11, len(log))
    model = Linear()
    model.fit(Ratings(log.movies, log.users, log.rows, noise, log.times))
    assert max(map(abs, model.importances().values())) < 0.2  # of a deviation of 1.4


def test_what_a_prior_becomes() -> None:
    """Two ratings of 5 and 3 beside two of 3 on average, of deviation 1: mean 3.5."""
    prior = Prior(mean=3.0, deviation=1.0, ratings=2.0)
    updated = prior.updated(np.array([1, 1]), np.array([5.0, 3.0]), 2)
    variance = (1.5**2 + 0.5**2 + 2 * 1) / 4
    np.testing.assert_allclose(updated, [[3, 1], [3.5, np.sqrt(variance)]], rtol=1e-6)


def test_what_a_history_says_of_its_user() -> None:
    """Above the movies' means by 1 and 0: generous by 1 / (2 + 2), and the rest is taste."""
    rated = sparse.csr_array(np.array([[5.0, 2.0], [0, 0]], np.float32))
    groups = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    prior = Prior(mean=3.0, deviation=1.0, ratings=2.0)
    found = users(rated, np.array([4.0, 2.0], np.float32), groups, prior)
    np.testing.assert_allclose(found.features[:, 2], [np.log(3), 0], rtol=1e-6)
    np.testing.assert_allclose(found.features[:, 3], [0.25, 0])
    np.testing.assert_allclose(found.tastes[0], [0.75 / 3, -0.25 / 3, 0.5 / 4], rtol=1e-6)
    assert (found.tastes[1] == 0).all()


def test_what_is_known_of_movies() -> None:
    movies = [
        Movie(1, "One", ("Drama", "Comedy"), 1994),
        Movie(2, "Two", (), None),
        Movie(3, "Three", ("Drama",), 2004),
    ]
    assert movie_years(movies).tolist() == [1994, 1999, 2004]
    assert group_shares(movies, ("Comedy", "Drama")).tolist() == [
        [0.5, 0.5, 1, 0],
        [0, 0, 0, 0],
        [0, 1, 0, 1],
    ]
    assert movie_years(movies[1:2]).tolist() == [0]


def test_hours_and_days_go_round() -> None:
    times = np.array([0, DAY // 4, DAY // 2, 7 * DAY // 4, 7 * DAY])
    expected = [[0, 1, 0, 1], [1, 0], [0, -1], [-1, 0, 1, 0], [0, 1, 0, 1]]
    for found, some in zip(time_features(times), expected, strict=True):
        np.testing.assert_allclose(found[: len(some)], some, atol=1e-6)


def test_the_time_moves_a_prediction_and_no_list() -> None:
    """Where nobody rates at 18, the sine is 1/3 on average, and that is what a list is made for."""
    log = hours()
    log = log.take(np.flatnonzero(log.half_stars <= 6))
    model = Linear()
    model.fit(log)
    users, rows = np.array([1, 2, 1, 2]), np.array([3, 4, 3, 4])
    asked = Histories.of_users(log, users)
    at = START + MIDNIGHT + np.array([6, 6, 12, 12]) * HOUR
    early, late = np.split(model.predict(asked, rows, at), 2)
    np.testing.assert_allclose(late - early, 1, atol=0.1)
    between = model.score(asked)[[0, 1], rows[:2]]
    np.testing.assert_allclose(between, early + 2 / 3, atol=0.05)


def test_some_ratings_tell_what_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    log = hours()
    monkeypatch.setattr(linear, "MOST_EXAMPLES", 1000)
    reports: list[tuple[int, int]] = []
    model = Linear()
    model.fit(log, lambda *report: reports.append(report))
    assert reports == [(1000, 1000)]
    assert model.importances()["hour of day, sine"] == pytest.approx(-np.sqrt(1 / 2), abs=0.05)


def test_saved_and_loaded_it_predicts_and_explains_alike(tmp_path: Path) -> None:
    log = hours(people=30)
    model = Linear()
    model.fit(log)
    storage.save(model, tmp_path / "model", log.movies)
    loaded = storage.load(tmp_path / "model", log.movies)
    assert isinstance(loaded, Linear)
    assert loaded.importances() == model.importances()
    asked = (Histories.of_users(log, log.users), log.rows, log.times)
    np.testing.assert_array_equal(loaded.predict(*asked), model.predict(*asked))


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DatasetError, match="no ratings"):
        Linear().fit(hours(people=1).take(np.zeros(0, np.int64)))


def test_on_100k_it_is_better_than_means_and_says_why(hundred_k: Task) -> None:
    train, held, asked = hundred_k.train, hundred_k.held, hundred_k.asked
    actual = held.half_stars / 2
    everybody = rmse(np.full(len(actual), train.half_stars.mean() / 2), actual)
    model = Linear()
    model.fit(train)
    found = rmse(model.predict(asked[held.lists], held.rows, held.times), actual)
    assert found < 0.94
    assert found < everybody - 0.16
    first, second, third, *_ = model.importances()
    assert (first, second, third) == ("movie mean", "user generosity", "genre affinity")
