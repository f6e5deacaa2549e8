import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, START, ratings
from training.dataset import Movie, Ratings
from training.histories import Histories
from training.recommender import NOTHING, NOWHERE, ranks, recommend, top, without_rated
from training.tower_inputs import Floats, Ints

MOVIES = range(1, 31)


class Taste:
    """Scores known in advance, a row for each event of the log that a history ends at."""

    def __init__(self, scores: Floats) -> None:
        self._scores = scores

    def score(self, histories: Histories) -> Floats:
        return self._scores[histories.ends]


def by_id(lists: int) -> Floats:
    """Best is the highest movie id."""
    return np.tile(np.arange(len(MOVIES), dtype=np.float32), (lists, 1))


def test_best_first_without_what_the_user_has_rated() -> None:
    data = ratings([(1, 30, 1.0, 0), (1, 28, 4.0, HOUR), (1, 1, 4.0, 2 * HOUR)], MOVIES)
    lists = recommend(Taste(by_id(3)), Histories.before(data, np.array([2, 0])), 10)
    assert (lists[0] + 1).tolist() == [29, 27, 26, 25, 24, 23, 22, 21, 20, 19]
    assert (lists[1] + 1).tolist() == [30, 29, 28, 27, 26, 25, 24, 23, 22, 21]


def test_many_lists_are_what_each_alone_is() -> None:
    chance = np.random.default_rng(0)
    picks = [(u, chance.choice(30, 9) + 1) for u in range(60)]
    data = ratings([(u, int(m), 4.0, i * HOUR) for u, p in picks for i, m in enumerate(p)], MOVIES)
    model = Taste(chance.random((len(data), len(MOVIES)), np.float32))
    together = recommend(model, Histories.before(data, np.arange(len(data))), 10)
    for event in (0, 100, 539):
        alone = recommend(model, Histories.before(data, np.array([event])), 10)
        np.testing.assert_array_equal(together[[event]], alone)


@given(
    st.lists(st.lists(st.sampled_from([-np.inf, 0, 0.5, 1]), min_size=7, max_size=7), max_size=5),
    st.integers(0, 9),
)
def test_a_movie_is_in_the_list_where_its_rank_says(rows: list[list[float]], k: int) -> None:
    scores = np.array(rows, np.float32).reshape(-1, 7)
    lists = top(scores, k)
    places = np.stack([ranks(scores, np.full(len(scores), m)) for m in range(7)], axis=1)
    for row, chosen, place in zip(scores, lists, places, strict=True):
        listed = np.count_nonzero(row > -np.inf)
        assert sorted(place) == [*range(1, listed + 1), *[NOWHERE] * (7 - listed)]
        expected = [m for m in np.argsort(place)[:k] if row[m] > -np.inf]
        assert chosen.tolist() == expected + [NOTHING] * (k - len(expected))


def test_a_movie_without_a_score_is_in_no_list() -> None:
    scores = np.array([[np.nan, 1, 2], [-np.inf, 1, 2], [3, np.nan, 2]], np.float32)
    assert ranks(scores, np.array([0, 0, 2])).tolist() == [NOWHERE, NOWHERE, 3]


def test_equal_scores_do_not_favour_the_beginning_of_the_catalogue() -> None:
    places = ranks(np.zeros((1000, 1000), np.float32), np.arange(1000))
    assert abs(np.corrcoef(places, np.arange(1000))[0, 1]) < 0.1


def test_what_was_rated_again_is_left_out_too() -> None:
    data = ratings([(1, 3, 4.0, 0), (1, 5, 4.0, 1), (1, 3, 2.0, 2)], MOVIES)
    scores = without_rated(by_id(1), Histories.of_users(data, np.array([1])))
    assert np.flatnonzero(scores[0] == -np.inf).tolist() == [2, 4]


def test_of_each_movie_the_latest_rating_stands() -> None:
    data = ratings([(1, 3, 4.0, 0), (1, 5, 1.0, 1), (1, 3, 2.0, 2), (2, 7, 5.0, 0)], MOVIES)
    rated = Histories.of_users(data, np.array([1, 2, 9])).rated()
    assert rated.lists.tolist() == [0, 0, 1]
    assert (data.rows[rated.events] + 1).tolist() == [5, 3, 7]
    assert data.half_stars[rated.events].tolist() == [2, 4, 10]
    assert rated.steps.tolist() == [1, 0, 0]


def test_before_the_second_rating_the_first_one_stands() -> None:
    data = ratings([(1, 3, 4.0, 0), (1, 5, 1.0, 1), (1, 3, 2.0, 2)], MOVIES)
    rated = Histories.before(data, np.array([2])).rated()
    assert (data.rows[rated.events] + 1).tolist() == [3, 5]


def test_only_liked_and_only_the_latest() -> None:
    data = ratings([(1, m, 1.0 + m % 2 * 3, m) for m in range(1, 10)], MOVIES)
    rated = Histories.of_users(data, np.array([1])).rated(liked_from=8, latest=2)
    assert (data.rows[rated.events] + 1).tolist() == [7, 9]
    assert rated.steps.tolist() == [1, 0]


def test_users_and_those_who_are_new() -> None:
    data = ratings([(5, 1, 4.0, 0), (8, 2, 4.0, 0)], MOVIES)
    histories = Histories.of_users(data, np.array([8, 6, 5]))
    assert histories.users.tolist() == [8, -1, 5]
    assert histories.lengths.tolist() == [1, 0, 1]
    assert Histories.before(data, np.array([0, 1])).users.tolist() == [-1, -1]


def test_everybody_new_is_the_same_history() -> None:
    data = ratings([(5, 1, 4.0, 0), (5, 2, 4.0, 1), (8, 2, 4.0, 0)], MOVIES)
    some = Histories.before(data, np.array([1, 0, 2, 1]))
    different, which = some.distinct()
    assert different.lengths.tolist() == [0, 1]
    assert which.tolist() == [1, 0, 0, 1]


def catalogue() -> list[Movie]:
    return ratings([(1, 1, 4.0, 0)], MOVIES).movies


def test_a_raw_history_is_as_one_of_the_data_set() -> None:
    known = ratings([(1, 9, 4.5, 0), (1, 2, 1.0, HOUR)], MOVIES)
    raw = Histories.raw(catalogue(), [[], [(9, 4.5, START), (2, 1.0, START + HOUR)]])
    assert raw.lengths.tolist() == [0, 2]
    inputs = Histories.of_users(known, np.array([7, 1])).tower_inputs(50)
    for one, other in zip(inputs, raw.tower_inputs(50), strict=True):
        np.testing.assert_array_equal(one, other)


def test_people_who_have_rated_nothing_at_all() -> None:
    inputs = Histories.raw(catalogue(), [[], []]).tower_inputs(50)
    assert [column.shape[0] for column in inputs] == [2, 2, 2, 2]
    assert not any(column.any() for column in inputs)


@pytest.mark.parametrize(
    ("rating", "wrong"),
    [((99, 4.0, 0), "movie 99 is not in the catalogue"), ((9, 4.2, 0), "4.2 stars for movie 9")],
)
def test_a_raw_history_that_cannot_be(rating: tuple[int, float, int], wrong: str) -> None:
    with pytest.raises(DatasetError, match=wrong):
        Histories.raw(catalogue(), [[rating]])


def test_taking_events_takes_the_tags_of_that_time() -> None:
    data = ratings([(1, 1, 4.0, 0), (2, 2, 4.0, 5), (3, 3, 4.0, 9)], MOVIES)
    tagged = Ratings(
        data.movies,
        data.users,
        data.rows,
        data.half_stars,
        data.times,
        data.tags._replace(
            rows=np.array([4, 6]),
            words=np.array(["early", "late"], np.dtypes.StringDType()),
            times=START + np.array([5, 6], np.int64),
        ),
    )
    some: Ints = np.array([0, 1])
    taken = tagged.take(some)
    assert taken.users.tolist() == [1, 2]
    assert taken.tags.words.tolist() == ["early"]
    assert taken.movies is data.movies
