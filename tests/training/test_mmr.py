from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError
from training.mmr import NOWHERE, diversify, likeness, put_first
from training.recommender import top
from training.tower_inputs import Floats, Ints

# Three movies in one direction or almost, one across, and one of which nothing is known.
VECTORS = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1], [0, 0]], np.float32)
UTILITIES = np.array([[3.0, 2.9, 2.5, 2.0, 1.0]], np.float32)
ALL = np.arange(5)[None]


def order(trade_off: float, k: int = 5) -> list[int]:
    return diversify(UTILITIES, ALL, VECTORS, k, trade_off)[0].tolist()


def test_worked_by_hand() -> None:
    # t = 0.4: 0 first. Then 1: 1.74 - 0.4; 2: 1.5 - 0.32; 3: 1.2; 4: 0.6. So 1. Beside both, 2 has
    # 1.18, 3 has 1.2. So 3. Then 2, alike to 0 by 0.8, has 1.18, 4 has 0.6.
    assert order(0.4) == [0, 1, 3, 2, 4]
    # t = 0.5: 0 first. Then 1: 1.45 - 0.5; 2: 1.25 - 0.4; 3: 1.0; 4: 0.5. So 3. Then 1: 0.95, alike
    # to 0; 2: 0.85; 4: 0.5.
    assert order(0.5) == [0, 3, 1, 2, 4]
    # t = 0.8: 0 first. Then 1: 0.58 - 0.8; 2: 0.5 - 0.64; 3: 0.4; 4: 0.2. So 3, then 4, then 2.
    assert order(0.8) == [0, 3, 4, 2, 1]
    assert order(0.0) == [0, 1, 2, 3, 4]


def test_the_same_movie_must_be_as_much_likelier_as_the_trade_off_says() -> None:
    """exp(t / (1 - t)) times, for someone with high utilities as for someone with low ones."""
    for first in (-50.0, 0.0, 50.0):
        for t in (0.1, 0.5):
            for likelier, second in ((0.99, 2), (1.01, 1)):
                times = t / (1 - t) * likelier
                utilities = np.array([[first + 9, first + times, first]], np.float32)
                rows = np.array([[0, 1, 3]])
                assert diversify(utilities, rows, VECTORS, 2, t).tolist() == [[0, second]]


def test_a_movie_twice_among_the_candidates_is_chosen_once() -> None:
    rows, utilities = np.array([[3, 0, 3, 2]]), np.array([[2.0, 1, 2, 0]], np.float32)
    for trade_off in (0, 0.3):
        assert diversify(utilities, rows, VECTORS, 9, trade_off).tolist() == [[0, 1, 3, NOWHERE]]


def test_what_cannot_be_chosen_neither_is_nor_counts_as_chosen() -> None:
    utilities = np.array([[-np.inf, 2.9, 2.5, -np.inf, 2.4]], np.float32)
    assert diversify(utilities, ALL, VECTORS, 5, 0.3).tolist() == [[1, 4, 2, NOWHERE, NOWHERE]]
    utilities[:] = -np.inf
    assert (diversify(utilities, ALL, VECTORS, 5, 0.3) == NOWHERE).all()


def test_nobody_and_nothing() -> None:
    nobody = diversify(UTILITIES[:0], ALL[:0], VECTORS, 3, 0.3)
    nothing = diversify(UTILITIES[:, :0], ALL[:, :0], VECTORS, 3, 0.3)
    assert (nobody.shape, nothing.shape) == ((0, 3), (1, 0))


@pytest.mark.parametrize("trade_off", [-0.1, 1.0, np.nan])
def test_no_such_trade_off(trade_off: float) -> None:
    with pytest.raises(ConfigurationError, match=f"trade-off of {trade_off}: give one from 0"):
        order(trade_off)


def test_likeness_is_half_of_the_vectors_and_half_of_the_genres() -> None:
    genres = [("Drama",), ("Drama", "War"), ("War",), (), ("Drama",)]
    vectors = likeness(VECTORS, genres)
    alike = vectors @ vectors.T
    assert vectors.dtype == np.float32
    assert alike[0, 0] == pytest.approx(1)
    assert alike[0, 1] == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert alike[0, 2] == pytest.approx(0.8 / 2)
    assert alike[2, 3] == pytest.approx(0.6 / 2)  # one without a genre
    assert alike[0, 4] == pytest.approx(1 / 2)  # one without a vector


def test_put_first_is_the_order_of_a_list() -> None:
    scores = np.array([[-5, 7, -np.inf, 6.5, 7], [0, 1, 2, 3, 4]], np.float32)
    before = scores.copy()
    put_first(scores, np.array([[3, 0, 1], [2, NOWHERE, NOWHERE]]))
    assert top(scores, 5).tolist() == [[3, 0, 1, 4, -1], [2, 4, 3, 1, 0]]
    np.testing.assert_array_equal(scores[1, [0, 1, 3, 4]], before[1, [0, 1, 3, 4]])


def by_definition(
    utilities: list[float], rows: list[int], cosines: Floats, k: int, t: float
) -> list[int]:
    found: list[int] = []
    while len(found) < min(k, len(rows)):
        worth = {
            place: (1 - t) * utilities[place]
            - t * max((cosines[row, rows[other]] for other in found), default=0)
            for place, row in enumerate(rows)
            if row not in [rows[other] for other in found] and utilities[place] > -np.inf
        }
        found.append(max(worth, key=worth.__getitem__) if worth else NOWHERE)
        if not worth:
            return found + [NOWHERE] * (min(k, len(rows)) - len(found))
    return found


MOVIES = 30


@st.composite
def questions(draw: st.DrawFn) -> tuple[Floats, Ints, Floats]:
    """Utilities, rows with some of them twice, vectors of which one is 0."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    lists, candidates = draw(st.integers(1, 40)), draw(st.integers(1, 25))
    rows = chance.integers(MOVIES, size=(lists, candidates))
    of_movies = chance.normal(size=(lists, MOVIES))
    of_movies[chance.random(of_movies.shape) < 0.1] = -np.inf
    vectors = chance.normal(size=(MOVIES, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[3] = 0
    utilities = np.take_along_axis(of_movies, rows, axis=1)
    return utilities.astype(np.float32), rows, vectors.astype(np.float32)


TRADE_OFFS = st.sampled_from([0.0, 0.05, 0.3, 0.9])


@given(questions(), st.integers(1, 30), TRADE_OFFS)
def test_as_by_definition(asked: tuple[Floats, Ints, Floats], k: int, trade_off: float) -> None:
    utilities, rows, vectors = asked
    found = diversify(utilities, rows, vectors, k, trade_off)
    for one, chosen in enumerate(found):
        expected = by_definition(
            utilities[one].tolist(), rows[one].tolist(), vectors @ vectors.T, k, trade_off
        )
        assert chosen.tolist() == expected


@given(questions(), TRADE_OFFS)
def test_distinct_movies_whatever_the_order_of_the_candidates(
    asked: tuple[Floats, Ints, Floats], trade_off: float
) -> None:
    utilities, rows, vectors = asked
    found = diversify(utilities, rows, vectors, 25, trade_off)
    order = np.random.default_rng(0).permutation(rows.shape[1])
    other = diversify(utilities[:, order], rows[:, order], vectors, 25, trade_off)
    for one in range(len(rows)):
        movies = rows[one, found[one][found[one] != NOWHERE]].tolist()
        assert len(set(movies)) == len(movies)
        assert set(movies) == set(rows[one, utilities[one] > -np.inf].tolist())
        assert movies == rows[one, order][other[one][other[one] != NOWHERE]].tolist()


@given(questions(), TRADE_OFFS)
def test_a_shorter_list_is_the_beginning_of_a_longer_one(
    asked: tuple[Floats, Ints, Floats], trade_off: float
) -> None:
    longer, shorter = (diversify(*asked, k, trade_off) for k in (20, 7))
    np.testing.assert_array_equal(longer[:, : shorter.shape[1]], shorter)


@given(questions())
def test_without_a_trade_off_it_is_the_plain_order(asked: tuple[Floats, Ints, Floats]) -> None:
    utilities, rows, vectors = asked
    for one, chosen in enumerate(diversify(utilities, rows, vectors, 25, 0)):
        of_chosen = utilities[one, chosen[chosen != NOWHERE]].tolist()
        assert all(above >= below for above, below in pairwise(of_chosen))
