"""A chance for what nobody has rated yet: who gets it, and what it may cost."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import explore as exploring
from training.explore import BONUS, EVERY, PRIOR, TRIED, bonuses, explore, most_promising
from training.mmr import NOWHERE, diversify
from training.tower_inputs import Floats, Ints


def lists(utilities: list[float], k: int) -> tuple[Ints, Floats, Ints]:
    """One list by utility alone, of movies 100, 101 and so on."""
    of = np.array([utilities], np.float32)
    rows = np.arange(100, 100 + len(utilities))[None]
    return diversify(of, rows, np.zeros((200, 1), np.float32), k, 0.0), of, rows


def bonus_of(candidates: int, **of: float) -> Floats:
    found = np.zeros((1, candidates), np.float32)
    for name, value in of.items():
        found[0, int(name.removeprefix("c"))] = value
    return found


def test_the_bonus_shrinks_with_the_ratings() -> None:
    found = bonuses([0, PRIOR, 3 * PRIOR, 99 * PRIOR])
    np.testing.assert_allclose(
        found, [BONUS, BONUS / math.sqrt(2), BONUS / 2, BONUS / 10], rtol=1e-6
    )
    assert found.dtype == np.float32


def test_the_most_promising_come_first_and_equal_ones_in_their_order() -> None:
    worth = np.array([[1.0, 3.0, 1.00001, 2.0, -np.inf]], np.float32)
    assert most_promising(worth).tolist() == [[1, 3, 0, 2, 4]]
    assert most_promising(np.zeros((2, 30), np.float32)).shape == (2, TRIED)
    assert most_promising(np.zeros((2, 0), np.float32)).shape == (2, 0)


def test_the_tenth_place_is_for_exploring() -> None:
    """Twelve movies from 12 down to 1, and two new ones of 0 and -0.5."""
    utilities = [*(float(12 - place) for place in range(12)), 0.0, -0.5]
    order, of, rows = lists(utilities, 14)
    found = explore(order, of, rows, bonus_of(14, c12=3.5, c13=3.5))
    assert found.order.tolist() == [[*range(9), 12, 9, 10, 11, 13]]  # 3.5 > 3
    assert found.tried.tolist() == [[False] * 9 + [True] + [False] * 4]
    found = explore(order, of, rows, bonus_of(14, c12=2.5, c13=3.4))
    assert found.order.tolist() == order.tolist()  # 2.5 and 2.9 are less than 3
    assert not found.tried.any()
    found = explore(order, of, rows, bonus_of(14, c12=2.5, c13=3.6))
    assert found.order.tolist() == [[*range(9), 13, 9, 10, 11, 12]]  # 3.1 > 3


def test_what_is_shown_by_its_own_utility_is_not_tried() -> None:
    order, of, rows = lists([float(-place) for place in range(12)], 12)
    for own in (4, 9):  # in the list above, and at the place itself
        found = explore(order, of, rows, bonus_of(12, **{f"c{own}": 50.0}))
        assert found.order.tolist() == order.tolist()
        assert not found.tried.any()
    found = explore(order, of, rows, bonus_of(12, c4=50.0, c11=2.5))
    assert found.order.tolist() == [[*range(9), 11, 9, 10]]


def test_a_list_that_ends_gets_nothing_behind_its_end() -> None:
    """What is rated has no utility; what is left is nine movies and the tried one, or fewer."""
    for left in (8, 9):
        utilities = [*(float(-place) for place in range(left)), *([-np.inf] * 3), -50.0]
        order, of, rows = lists(utilities, 13)
        found = explore(order, of, rows, bonus_of(len(utilities), **{f"c{left + 3}": 5.0}))
        assert found.order.tolist() == order.tolist()
        assert (found.order[0, left + 1 :] == NOWHERE).all()


WORLD = st.lists(
    st.tuples(st.integers(0, 40), st.floats(-3, 3, width=16), st.sampled_from([0, 0, 1, 8])),
    min_size=15,
    max_size=60,
)


@given(WORLD, st.integers(9, 60), st.floats(0, 0.9))
def test_what_it_costs_is_bounded(
    made: list[tuple[int, float, int]], k: int, trade_off: float
) -> None:
    """One place in ten, worth its bonus; the others keep their order, and nothing comes twice."""
    of_row = {row: utility for row, utility, _ in made}  # a movie may be there more than once
    rows = np.array([[row for row, _, _ in made]])
    utilities = np.array([[of_row[row] for row, _, _ in made]], np.float32)
    bonus = np.array([[n and BONUS / math.sqrt(1 + n) for *_, n in made]], np.float32)
    vectors = np.random.default_rng(4).normal(size=(41, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    before = diversify(utilities, rows, vectors, k, trade_off)
    found = explore(before, utilities, rows, bonus)

    [order], [tried] = found
    there = order != NOWHERE
    assert len(set(rows[0, order[there]].tolist())) == there.sum() == (before != NOWHERE).sum()
    for place in range(1, len(order) + 1):
        assert tried[:place].sum() <= place // EVERY
    others = rows[0, order[there & ~tried]].tolist()
    was = [row for row in rows[0, before[before != NOWHERE]].tolist() if row in others]
    assert others == was
    for place in np.flatnonzero(tried)[np.flatnonzero(tried) + 1 < there.sum()]:
        moved_down = utilities[0, order[place + 1]]
        assert utilities[0, order[place]] + bonus[0, order[place]] > moved_down
    for shorter in range(1, len(order)):
        part = diversify(utilities, rows, vectors, shorter, trade_off)
        again = explore(part, utilities, rows, bonus)
        assert rows[0, again.order[0]].tolist() == rows[0, order[:shorter]].tolist()


def test_nothing_is_tried_where_nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "_explore", None)  # it would fail
    order, of, rows = lists([1.0, 2.0], 2)
    assert explore(order, of, rows, bonus_of(2)).order.tolist() == order.tolist()
