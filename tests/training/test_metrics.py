"""Worked by hand."""

from math import log2

import numpy as np
import pytest

from training.metrics import hit_rate, ndcg, recall

# Three lists of four. First: 2 of 3 relevant, at ranks 1 and 3. Second: the only one, at rank 4.
# Third: none of the 6.
HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
RELEVANT = np.array([3, 1, 6])


def test_recall() -> None:
    assert recall(HITS, RELEVANT) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_recall_is_not_divided_by_the_length_of_the_list() -> None:
    assert recall(np.ones((1, 4), bool), np.array([8])) == 0.5


def test_ndcg() -> None:
    first = (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))
    second = (1 / log2(5)) / (1 / log2(2))
    assert ndcg(HITS, RELEVANT) == pytest.approx((first + second + 0) / 3)


def test_ndcg_of_a_perfect_list_is_one_however_many_are_relevant() -> None:
    assert ndcg(np.array([[1, 1, 0, 0]], bool), np.array([2])) == pytest.approx(1)
    assert ndcg(np.ones((1, 4), bool), np.array([9])) == pytest.approx(1)


def test_hit_rate() -> None:
    assert hit_rate(HITS) == pytest.approx(2 / 3)


def test_no_lists() -> None:
    hits, relevant = np.zeros((0, 4), bool), np.zeros(0, np.int64)
    assert recall(hits, relevant) == ndcg(hits, relevant) == hit_rate(hits) == 0


def test_next_event_recall_is_the_hit_rate() -> None:
    hits = np.eye(5, 4, dtype=bool)
    assert recall(hits, np.ones(5, np.int64)) == hit_rate(hits) == pytest.approx(0.8)
