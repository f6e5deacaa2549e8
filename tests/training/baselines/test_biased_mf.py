import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, ratings
from training.baselines.biased_mf import BiasedMf
from training.dataset import Ratings
from training.histories import Histories
from training.metrics import rmse
from training.task import Task
from training.tower_inputs import Floats, Ints

PEOPLE = MOVIES = 40


def rank_one(seed: int = 0) -> tuple[Ratings, Ratings]:
    """Half the people give 5 to every even movie and 1 to the others, half the other way round.

    Of each person's 40 ratings 30 are to learn from, and the others to predict.
    """
    chance = np.random.default_rng(seed)
    known, hidden = [], []
    for user in range(1, PEOPLE + 1):
        for hour, movie in enumerate(chance.permutation(MOVIES) + 1):
            event = (user, int(movie), 5.0 if (user + movie) % 2 == 0 else 1.0, hour * HOUR)
            (known if hour < 30 else hidden).append(event)
    catalogue = range(1, MOVIES + 2)  # with a movie that nobody rated
    return ratings(known, catalogue), ratings(hidden, catalogue)


def predicted(model: BiasedMf, train: Ratings, asked: Ratings) -> Floats:
    return model.predict(Histories.of_users(train, asked.users), asked.rows, asked.times)


def test_a_matrix_of_rank_one_is_recovered() -> None:
    train, hidden = rank_one()
    model = BiasedMf(factors=1, regularization=0.01)
    model.fit(train)
    np.testing.assert_allclose(predicted(model, train, hidden), hidden.half_stars / 2, atol=0.1)


def test_biases_alone_cannot_tell_these_people_apart() -> None:
    train, hidden = rank_one()
    model = BiasedMf(factors=0)
    model.fit(train)
    assert rmse(predicted(model, train, hidden), hidden.half_stars / 2) > 1.9


def test_where_stars_are_shuffled_nothing_is_better_than_their_mean() -> None:
    train, hidden = rank_one()
    chance = np.random.default_rng(1)
    shuffled = Ratings(
        train.movies, train.users, train.rows, chance.permutation(train.half_stars), train.times
    )
    model = BiasedMf()
    model.fit(shuffled)
    assert rmse(predicted(model, shuffled, hidden), hidden.half_stars / 2) > 1.95


def by_hand() -> BiasedMf:
    """Of two movies, people rate the second half a star higher, and some of them more than that."""
    model = BiasedMf(factors=1, regularization=2.0, bias_regularization=1.0)
    model.mean = np.array([3.0], np.float32)
    model.movies = np.array([[0.0, 0.0], [0.5, 1.0]], np.float32)
    return model


TWO = ratings([(1, 1, 4.0, 0), (1, 2, 4.5, 1), (2, 1, 4.0, 0)], [1, 2])


def test_what_a_history_says_by_hand() -> None:
    """User 1 is above expectation by 1 and 1, user 2 by 1.

    With penalties times the root of n, the equations of user 1 are
    (2 + 1.414) b + 1 p = 2 and 1 b + (1 + 2.828) p = 1.
    """
    scores = by_hand().score(Histories.of_users(TWO, np.array([1, 2, 3])))
    root = np.sqrt(2)
    b, p = np.linalg.solve([[2 + root, 1], [1, 1 + 2 * root]], [2, 1])
    expected = [[3 + b, 3.5 + b + p], [3 + 1 / 2, 3.5 + 1 / 2], [3, 3.5]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_prediction_is_the_score_as_a_rating() -> None:
    model, histories = by_hand(), Histories.of_users(TWO, np.array([1, 2, 1, 3]))
    rows: Ints = np.array([0, 1, 1, 0])
    stars = model.predict(histories, rows, np.zeros(4, np.int64))
    np.testing.assert_allclose(stars, model.score(histories)[np.arange(4), rows], rtol=1e-6)
    model.mean += 5
    assert (model.predict(histories, rows, np.zeros(4, np.int64)) == 5).all()


def test_nobody_and_nothing() -> None:
    train, _ = rank_one()
    model = BiasedMf()
    with pytest.raises(DatasetError, match="no ratings"):
        model.fit(train.take(np.zeros(0, np.int64)))
    model.fit(train)
    assert model.score(Histories.raw(train.movies, [[]]))[0, -1] == pytest.approx(model.mean[0])


def test_the_same_seed_gives_the_same_numbers() -> None:
    train, _ = rank_one()
    one, other = BiasedMf(), BiasedMf()
    reports: list[tuple[int, int]] = []
    one.fit(train, lambda *report: reports.append(report))
    other.fit(train)
    np.testing.assert_array_equal(one.movies, other.movies)
    assert reports == [(done + 1, one.iterations) for done in range(one.iterations)]


def test_on_100k_it_is_far_better_than_means(hundred_k: Task) -> None:
    """Published figures of matrix factorisation on random splits are 0.91 to 0.94."""
    train, held, asked = hundred_k.train, hundred_k.held, hundred_k.asked
    actual = held.half_stars / 2
    everybody = rmse(np.full(len(actual), train.half_stars.mean() / 2), actual)
    totals = np.bincount(train.users, train.half_stars / 2)
    means = (totals / np.maximum(np.bincount(train.users), 1))[asked.users]
    each = rmse(means[held.lists], actual)
    model = BiasedMf()
    model.fit(train)
    found = rmse(model.predict(asked[held.lists], held.rows, held.times), actual)
    assert found < 0.92
    assert found < each - 0.1
    assert found < everybody - 0.18
