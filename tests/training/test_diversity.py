"""Worked by hand."""

from dataclasses import replace
from math import isnan, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError
from tests.training.build import ratings
from training.dataset import Movie
from training.diversity import (
    Background,
    coverage,
    genre_entropy,
    gini,
    intra_list_diversity,
    novelty,
    of_all,
    of_lists,
    serendipity,
)
from training.metrics import judge, precision
from training.recommender import NOTHING

HALF = 1 / 2**0.5
# Of two genres: one, the other, both, none.
VECTORS = np.array([[1, 0], [0, 1], [HALF, HALF], [0, 0]])
LISTS = np.array([[0, 1, 2], [0, 2, NOTHING], [3, NOTHING, NOTHING], [NOTHING] * 3])


@pytest.mark.filterwarnings("error")
def test_intra_list_diversity() -> None:
    values = intra_list_diversity(LISTS, VECTORS, 3)
    # Cosines of the first list's pairs: 0, 0.71, 0.71. A movie or none is no pair.
    assert values[:2] == pytest.approx([1 - 2 * HALF / 3, 1 - HALF])
    assert isnan(values[2])
    assert isnan(values[3])


def test_intra_list_diversity_of_the_first_places() -> None:
    assert intra_list_diversity(LISTS, VECTORS, 2)[:2] == pytest.approx([1, 1 - HALF])


def test_movies_of_one_genre_are_alike_and_movies_of_none_are_not() -> None:
    same = np.tile(VECTORS[0], (3, 1))
    assert intra_list_diversity(np.array([[0, 1, 2]]), same, 3) == pytest.approx([0])
    assert intra_list_diversity(np.array([[0, 1, 2]]), 0 * same, 3) == pytest.approx([1])


@given(st.integers(0, 2**32 - 1))
def test_intra_list_diversity_is_the_mean_over_pairs(seed: int) -> None:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((9, 3)) * (chance.random((9, 1)) < 0.8)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    movies = chance.permutation(9)[: chance.integers(2, 10)]
    pairs = [1 - vectors[i] @ vectors[j] for i in movies for j in movies if i < j]
    assert intra_list_diversity(movies[None], vectors, 9) == pytest.approx([np.mean(pairs)])


@pytest.mark.filterwarnings("error")
def test_genre_entropy() -> None:
    values = genre_entropy(LISTS, VECTORS, 3)
    # Halves of both genres; three quarters of the one, since half of a movie is of the other.
    assert values[:2] == pytest.approx([1, -(0.75 * log2(0.75) + 0.25 * log2(0.25))])
    assert isnan(values[2])  # a movie without a genre
    assert isnan(values[3])
    assert genre_entropy(LISTS, VECTORS, 1)[0] == 0


@pytest.mark.filterwarnings("error")
def test_novelty() -> None:
    values = novelty(LISTS, np.array([0.0, 1.0, 4.0, 6.0]), 3)
    assert values[:3] == pytest.approx([5 / 3, 4 / 2, 6])
    assert isnan(values[3])
    assert novelty(LISTS, np.array([0.0, 1.0, 4.0, 6.0]), 1)[:3].tolist() == [0, 0, 6]


@pytest.mark.filterwarnings("error")
def test_serendipity() -> None:
    lists = np.array([[1, 2, 3, 4], [1, 2, NOTHING, NOTHING], [5, 6, 7, 8]])
    expected = np.array([[9, 1, 2, 3], [9, 8, 7, NOTHING], [5, 6, 7, 8]])
    judged = judge(lists, np.array([0, 0, 0, 0, 1]), np.array([1, 2, 4, 9, 2]))
    # Of the first list's hits 1, 2 and 4 only the last surprises; of its first two places 1 does
    # not, and 2 does, because it is not in the first two that are expected.
    assert serendipity(lists, judged, expected, 4)[:2].tolist() == [1 / 4, 1 / 4]
    assert serendipity(lists, judged, expected, 2)[:2].tolist() == [1 / 2, 1 / 2]
    assert isnan(serendipity(lists, judged, expected, 4)[2])


def test_what_is_expected_is_no_serendipity_and_what_is_not_is_precision() -> None:
    lists = np.array([[1, 2, 3, 4]])
    judged = judge(lists, np.array([0, 0, 0]), np.array([1, 4, 9]))
    assert serendipity(lists, judged, lists[:, ::-1], 4).tolist() == [0]
    assert serendipity(lists, judged, lists + 4, 4).tolist() == precision(judged, 4).tolist()


def test_coverage() -> None:
    assert coverage(LISTS, 8, 3) == 4 / 8
    assert coverage(LISTS, 8, 1) == 2 / 8
    assert coverage(LISTS[3:], 8, 3) == coverage(LISTS[:0], 8, 3) == 0


def test_gini() -> None:
    # Recommended 0, 2, 1 and 1 times: ascending 0, 1, 1, 2.
    lists = np.array([[1, 2], [1, 3]])
    assert gini(lists, 4, 2) == pytest.approx((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (3 * 4))
    assert gini(lists, 4, 1) == 1


def test_gini_of_equal_shares_is_zero() -> None:
    assert gini(np.array([[0, 1], [2, 3]]), 4, 2) == 0


@pytest.mark.filterwarnings("error")
def test_gini_of_nothing_and_of_a_single_movie() -> None:
    assert isnan(gini(LISTS[3:], 4, 3))
    assert isnan(gini(np.array([[0]]), 1, 1))


def test_the_background_is_what_the_ratings_tell() -> None:
    rated = [(1, 1, 4.0, 0), (1, 1, 2.0, 5), (2, 1, 4.0, 0), (3, 3, 4.0, 0), (4, 1, 1.0, 0)]
    genres = [("War", "Comedy"), ("Western",), ()]
    movies = [Movie(i, f"Movie {i}", some, None) for i, some in enumerate(genres, 1)]
    background = Background.of(replace(ratings(rated, [1, 2, 3]), movies=movies))
    # By name: Comedy, War, Western.
    assert background.vectors == pytest.approx(np.array([[HALF, HALF, 0], [0, 0, 1], [0, 0, 0]]))
    # User 1 has rated movie 1 twice; nobody has rated movie 2, which counts as one.
    assert background.information == pytest.approx([log2(4 / 3), log2(4 / 1), log2(4 / 1)])


def test_everything_at_every_k() -> None:
    background = Background(VECTORS, np.arange(4.0))
    judged = judge(LISTS, np.array([0, 1]), np.array([2, 0]))
    values = of_lists(LISTS, judged, LISTS[::-1], background, [1, 3])
    expected = intra_list_diversity(LISTS, VECTORS, 3)
    np.testing.assert_array_equal(values["intra_list_diversity@3"], expected)
    np.testing.assert_array_equal(values["novelty@1"], novelty(LISTS, np.arange(4.0), 1))
    expected = serendipity(LISTS, judged, LISTS[::-1], 3)
    np.testing.assert_array_equal(values["serendipity@3"], expected)
    assert len(values) == 6
    assert of_all(LISTS, 4, [1, 3]) == {
        "coverage@1": coverage(LISTS, 4, 1),
        "gini@1": gini(LISTS, 4, 1),
        "coverage@3": coverage(LISTS, 4, 3),
        "gini@3": gini(LISTS, 4, 3),
    }


def test_lists_shorter_than_k() -> None:
    judged = judge(LISTS, np.array([0]), np.array([2]))
    background = Background(VECTORS, np.arange(4.0))
    with pytest.raises(ConfigurationError, match="at 3: the lists have 2 places"):
        of_lists(LISTS, judged, LISTS[:, :2], background, [1, 3])
