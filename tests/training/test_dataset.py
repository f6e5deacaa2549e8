import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.tables import TAGS
from stream.contracts.errors import DatasetError
from stream.features import UserState, fold_into
from stream.features import Writes as Folded
from tests.stream.build import rating
from tests.training.build import DAY, START, ratings, tables
from training.dataset import Ratings
from training.histories import Histories
from training.tower_inputs import Ints, TowerInputs, from_states

MOVIES = 90
HISTORY = 50  # ratings that are read


def before(data: Ratings, events: Ints) -> TowerInputs:
    return Histories.before(data, events).tower_inputs(HISTORY)


def rows(movie_ids: np.ndarray) -> np.ndarray:
    """Movies 1..MOVIES are rows 0.."""
    return np.where((movie_ids >= 1) & (movie_ids <= MOVIES), movie_ids.astype(int) - 1, -1)


def folded_before(data: Ratings) -> list[UserState]:
    """The user's state right before each event, by the fold itself."""
    states, writes = [], Folded()
    for at in range(len(data)):
        user, movie = int(data.users[at]), data.movies[data.rows[at]].movie_id
        before = writes.users.get(user)
        states.append(before.copy() if before else UserState())
        event = rating(user, movie, data.half_stars[at] / 2, int(data.times[at]))
        fold_into(writes, {}, {}, [(at, event)])
    return states


def assert_equal(bulk: TowerInputs, states: TowerInputs) -> None:
    np.testing.assert_array_equal(bulk.history, states.history)
    np.testing.assert_array_equal(bulk.ratings, states.ratings)
    np.testing.assert_allclose(bulk.ages, states.ages, rtol=1e-6)
    np.testing.assert_allclose(bulk.features, states.features, rtol=1e-5, atol=1e-6)
    assert [column.dtype for column in bulk] == [column.dtype for column in states]


# Few movies, so that many are rated again, and more ratings than a history holds.
EVENTS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 7),
        st.integers(1, 10).map(lambda half_stars: half_stars / 2),
        st.integers(0, 400 * DAY),
    ),
    min_size=1,
    max_size=40,
)


@given(EVENTS)
def test_bulk_inputs_are_those_of_the_folded_state(
    events: list[tuple[int, int, float, int]],
) -> None:
    data = ratings(events, range(1, MOVIES + 1))
    every = np.arange(len(data))
    assert_equal(before(data, every), from_states(folded_before(data), rows, HISTORY))


def test_histories_longer_than_the_tower_reads_and_ratings_that_replace() -> None:
    chance = np.random.default_rng(0)
    events = [
        (user, int(chance.integers(1, MOVIES + 1)), float(chance.integers(1, 11)) / 2, i * DAY)
        for user in (1, 2)
        for i in range(3 * HISTORY)
    ]
    data = ratings(events, range(1, MOVIES + 1))
    some = np.arange(5, len(data), 7)  # in any choice, not only all in order
    states = folded_before(data)
    assert_equal(before(data, some), from_states([states[at] for at in some], rows, HISTORY))


def test_a_history_knows_nothing_of_its_own_event_or_of_later_ones() -> None:
    chance = np.random.default_rng(1)
    events = [(1 + i % 4, int(m), 4.0, i * DAY) for i, m in enumerate(chance.permutation(80) + 1)]
    data = ratings(events)
    changed = ratings([*events[:40], *((u, m, 0.5, t) for u, m, _, t in events[40:])])
    earlier = np.flatnonzero(data.times < START + 40 * DAY)
    first_after = np.flatnonzero(data.times >= START + 40 * DAY)[:1]
    for some in (earlier, first_after):
        for one, other in zip(before(data, some), before(changed, some), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_first_event_finds_nothing() -> None:
    inputs = before(ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 0)]), np.array([0]))
    assert not any(column.any() for column in inputs)


def test_no_events() -> None:
    inputs = before(ratings([(1, 1, 4.0, 0)]), np.zeros(0, np.int64))
    assert [len(column) for column in inputs] == [0, 0, 0, 0]


def test_the_order_of_the_rows_does_not_matter() -> None:
    chance = np.random.default_rng(2)
    events = [(1 + i % 3, 1 + i % 11, 3.0, i // 5) for i in range(33)]
    one, other = ratings(events), ratings([events[i] for i in chance.permutation(33)])
    np.testing.assert_array_equal(one.rows, other.rows)
    assert one.digest == other.digest


def test_ties_in_time_are_not_in_the_order_of_movie_ids() -> None:
    data = ratings([(user, movie, 4.0, 0) for user in range(1, 51) for movie in range(1, 21)])
    rising = np.diff(data.rows)[np.diff(data.users) == 0] > 0
    assert 0.4 < rising.mean() < 0.6


def test_the_digest_tells_data_apart() -> None:
    events = [(1, 1, 4.0, 0), (1, 2, 4.0, 1)]
    digests = {
        ratings(events).digest,
        ratings([(1, 1, 4.5, 0), (1, 2, 4.0, 1)]).digest,
        ratings(events, [1, 2, 3]).digest,
    }
    assert len(digests) == 3


def test_counts() -> None:
    data = ratings([(1, 1, 4.0, 0), (2, 1, 3.5, 0), (3, 3, 5.0, 0)], [1, 2, 3])
    counts, liked = data.counts(np.arange(3))
    assert (counts.tolist(), liked.tolist()) == ([2, 0, 1], [1, 0, 1])


def test_a_rating_without_its_movie() -> None:
    with pytest.raises(DatasetError, match=r"2 ratings are of movies without an entry.*movie 7"):
        ratings([(1, 1, 4.0, 0), (1, 7, 4.0, 0), (1, 9, 4.0, 0)], [1, 2])


def test_no_ratings() -> None:
    with pytest.raises(DatasetError, match="no ratings to train on"):
        Ratings.from_tables(*tables([], [1]))


def test_movies_come_in_any_order_and_without_genres() -> None:
    events, _ = tables([(1, 5, 4.0, 0)])
    movies = pa.table(
        {
            "movie_id": [9, 5],
            "title": ["Nine", "Five"],
            "genres": [["Drama"], []],
            "year": [1999, None],
        }
    )
    data = Ratings.from_tables(events, movies)
    assert data.movies == [(5, "Five", (), None), (9, "Nine", ("Drama",), 1999)]
    assert data.genres == ("Drama",)


def test_tags_are_words_of_movies_that_there_are() -> None:
    tags = pa.table(
        [
            [1, 2, 2, 1, 1],
            [5, 9, 7, 5, 9],
            [" Dark Comedy", "SLOW", "of no movie", "  ", "Été"],
            [START + 3, START + 1, START + 2, START + 4, START + 5],
        ],
        schema=TAGS,
    )
    data = Ratings.from_tables(*tables([(1, 5, 4.0, 0), (1, 9, 4.0, 4)]), tags)
    assert data.tags.rows.tolist() == [0, 1, 1]
    assert data.tags.words.tolist() == ["dark comedy", "slow", "été"]
    assert data.tags.times.tolist() == [START + 3, START + 1, START + 5]
    assert data.take(np.arange(2)).tags.words.tolist() == ["dark comedy", "slow"]
    assert data.digest != ratings([(1, 5, 4.0, 0), (1, 9, 4.0, 4)]).digest


def test_one_long_tag_does_not_make_the_others_long() -> None:
    row, word, time = [1], ["x" * 10_000], [START]
    tags = pa.table([row * 1000, [5] * 1000, [*word, *["slow"] * 999], time * 1000], schema=TAGS)
    words = Ratings.from_tables(*tables([(1, 5, 4.0, 0)]), tags).tags.words
    assert len(words[0]) == 10_000
    assert words.nbytes < 100_000


def test_no_tags() -> None:
    data = Ratings.from_tables(*tables([(1, 5, 4.0, 0)]), TAGS.empty_table())
    assert [len(column) for column in data.tags] == [0, 0, 0]
