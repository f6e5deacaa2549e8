import numpy as np
import pytest

from stream.features import UserState
from tests.stream.build import DAY, folded, rating
from training.dataset import Movie
from training.tower_inputs import PADDING, from_states, movie_features

HISTORY = 4


def rows(movie_ids: np.ndarray) -> np.ndarray:
    """Movies 10, 20 and 30 are rows 0, 1 and 2."""
    return np.where(movie_ids % 10 == 0, movie_ids.astype(int) // 10 - 1, -1).clip(-1, 2)


def test_latest_rating_first() -> None:
    state = folded(
        [rating(1, 10, 2.0), rating(1, 30, 4.5, 1_000_000_000_000 + 3 * DAY // 2)]
    ).users[1]
    inputs = from_states([state], rows, HISTORY)
    assert inputs.history[0].tolist() == [3, 1]
    assert inputs.ratings[0].tolist() == [4.5, 2.0]
    assert inputs.ages[0].tolist() == [0.0, 1.5]
    assert inputs.features[0] == pytest.approx(
        [np.log1p(2) / 5, 3.25 - 3.5, 1.25 - 1, 2.5 / 5, np.log1p(2) / 5]
    )


def test_a_movie_the_model_does_not_know_keeps_its_place() -> None:
    state = folded([rating(1, 10, 2.0), rating(1, 11, 3.0), rating(1, 20, 4.0)]).users[1]
    assert from_states([state], rows, HISTORY).history[0].tolist() == [2, PADDING, 1]


def test_only_the_latest_ratings() -> None:
    state = folded([rating(1, 10 * movie, 3.0) for movie in range(1, HISTORY + 10)]).users[1]
    inputs = from_states([state], lambda movies: movies.astype(int) // 10, HISTORY)
    assert inputs.history[0].tolist() == [movie + 1 for movie in range(HISTORY + 9, 9, -1)]


def test_histories_are_as_wide_as_the_longest() -> None:
    one = folded([rating(1, 10, 2.0)]).users[1]
    two = folded([rating(1, 10, 2.0), rating(1, 20, 3.0, 1_000_000_000_000 + DAY)]).users[1]
    inputs = from_states([one, two, UserState()], rows, HISTORY)
    assert inputs.history.tolist() == [[1, PADDING], [2, 1], [PADDING, PADDING]]
    assert inputs.ratings.tolist() == [[2.0, 0.0], [3.0, 2.0], [0.0, 0.0]]
    assert from_states([one], rows, HISTORY).history.shape == (1, 1)


def test_an_event_that_came_late_is_not_younger_than_the_latest() -> None:
    now = 1_000_000_000_000
    state = folded([rating(1, 10, 2.0, now + DAY), rating(1, 20, 2.0, now)]).users[1]
    assert from_states([state], rows, HISTORY).ages[0, :2].tolist() == [0.0, 0.0]


def test_nobody_and_someone_without_ratings() -> None:
    assert [column.shape[0] for column in from_states([], rows, HISTORY)] == [0, 0, 0, 0]
    assert not any(column.any() for column in from_states([UserState()], rows, HISTORY))


def test_movie_features() -> None:
    movies = [Movie(1, "A", ("Drama", "Unheard of"), 2010), Movie(2, "B", (), None)]
    features = movie_features(movies, ["Comedy", "Drama"], ratings=[99, 0], liked=[9, 0])
    assert features[0] == pytest.approx([0, 1, 1, 1, 1, np.log(100) / 10, np.log(10) / 10])
    assert not features[1].any()
