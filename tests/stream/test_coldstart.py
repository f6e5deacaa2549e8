"""A vector pooled from what somebody rated."""

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.coldstart import (
    HISTORY,
    INDIFFERENT,
    MANIFEST,
    POOLED_AT_ONCE,
    RECENCY,
    TABLE_IDS,
    VECTORS,
    VOCABULARY,
    ItemVectors,
)
from stream.contracts.errors import ArtifactError
from stream.contracts.keys import version_tag
from stream.features import UserState
from tests.stream.build import folded, rating

# Movies 10, 20, 30 along the axes, listed out of order.
ITEMS = ItemVectors(
    "v1",
    np.array([20, 10, 30], np.uint32),
    np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32),
)


def state_of(*ratings: tuple[int, float]) -> UserState:
    return folded(rating(1, movie, stars) for movie, stars in ratings).users.get(1, UserState())


def pooled(*ratings: tuple[int, float]) -> npt.NDArray[np.float16]:
    (vector,) = ITEMS.pool([state_of(*ratings)])
    assert vector is not None
    return vector.vector


def test_one_liked_movie_is_its_own_vector() -> None:
    (vector,) = ITEMS.pool([state_of((20, 5.0))])
    assert vector is not None
    assert vector.tag == ITEMS.tag == version_tag("v1")
    assert vector.vector.dtype == np.float16
    assert vector.vector.tolist() == [0, 1, 0]


def test_one_disliked_movie_is_the_opposite_of_its_vector() -> None:
    assert pooled((20, 1.0)).tolist() == [0, -1, 0]


def test_ratings_count_by_their_distance_from_indifference_and_by_recency() -> None:
    """Movie 10 with 5 stars (2.25 above 2.75), then movie 20 with 1.5 (1.25 below)."""
    old, new = 2.25 * 0.8, -1.25
    norm = math.hypot(old, new)
    assert (RECENCY, INDIFFERENT) == (0.8, 2.75)
    assert pooled((10, 5.0), (20, 1.5)) == pytest.approx([old / norm, new / norm, 0], abs=1e-3)


def test_a_movie_that_the_model_does_not_know_only_ages_the_others() -> None:
    expected = np.array([2.25 * 0.8**2, 2.25, 0]) / math.hypot(2.25 * 0.8**2, 2.25)
    assert pooled((10, 5.0), (99, 5.0), (20, 5.0)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("ratings", [[], [(99, 5.0)]])
def test_nothing_known_is_no_vector(ratings: list[tuple[int, float]]) -> None:
    assert ITEMS.pool([state_of(*ratings)]) == [None]


def test_a_sum_of_nothing_is_no_vector() -> None:
    blank = ItemVectors("v1", np.array([1], np.uint32), np.zeros((1, 3), np.float32))
    assert blank.pool([state_of((1, 5.0))]) == [None]


def test_only_the_latest_ratings_count() -> None:
    before = [(1_000 + movie, 5.0) for movie in range(10)]
    latest = [(10, 5.0)] + [(2_000 + movie, 5.0) for movie in range(HISTORY - 1)]
    assert pooled(*before, *latest).tolist() == [1, 0, 0]
    assert ITEMS.pool([state_of(*latest, (3_000, 5.0))]) == [None]


states = st.lists(
    st.tuples(st.sampled_from([10, 20, 30, 99, 2**32 - 1]), st.integers(1, 10)), max_size=60
)


@given(st.lists(states, max_size=6))
def test_a_batch_gives_what_each_gives_alone(batch: list[list[tuple[int, int]]]) -> None:
    users = [state_of(*((movie, half / 2) for movie, half in ratings)) for ratings in batch]
    together = ITEMS.pool(users)
    assert len(together) == len(users)
    for state, vector in zip(users, together, strict=True):
        (alone,) = ITEMS.pool([state])
        assert (alone is None) == (vector is None)
        if alone is not None and vector is not None:
            assert np.array_equal(alone.vector, vector.vector)
            assert np.linalg.norm(vector.vector.astype(np.float32)) == pytest.approx(1, abs=2e-3)


def test_a_vector_does_not_depend_on_who_else_is_pooled() -> None:
    """To the bit, wherever somebody is in a batch, and at the width of served vectors."""
    chance = np.random.default_rng(3)
    vectors = chance.standard_normal((400, 128)).astype(np.float32)
    items = ItemVectors("v1", np.arange(1, 401, dtype=np.uint32), vectors)
    users = [
        state_of(*zip(chance.integers(1, 420, size).tolist(), [4.0] * size, strict=True))
        for size in chance.integers(1, 60, 2 * POOLED_AT_ONCE + 3).tolist()
    ]
    for state, vector in zip(users, items.pool(users), strict=True):
        (alone,) = items.pool([state])
        assert vector is not None
        assert alone is not None
        assert np.array_equal(vector.vector, alone.vector)


@pytest.mark.parametrize("largest", [30, TABLE_IDS - 1, TABLE_IDS, 2**32 - 1])
def test_the_rows_of_movies(largest: int) -> None:
    items = ItemVectors("v1", np.array([20, 10, largest], np.uint32), np.eye(3, dtype=np.float32))
    asked = np.array([[10, 20], [largest, 11], [0, largest - 1]], np.uint32)
    assert items.rows(asked).tolist() == [[1, 0], [2, -1], [-1, -1]]
    assert ITEMS.rows(np.array([2**32 - 1], np.uint32)).tolist() == [-1]


def write(directory: Path, movie_ids: npt.NDArray, vectors: npt.NDArray) -> None:  # type: ignore[type-arg]
    (directory / MANIFEST).write_text(json.dumps({"version": "v3"}))
    np.save(directory / VOCABULARY, movie_ids)
    np.save(directory / VECTORS, vectors)


def test_item_vectors_are_loaded_from_an_artifact(tmp_path: Path) -> None:
    write(tmp_path, ITEMS.movie_ids, ITEMS.vectors)
    loaded = ItemVectors.load(tmp_path)
    assert loaded.version == "v3"
    assert loaded.tag == version_tag("v3")
    assert np.array_equal(loaded.movie_ids, ITEMS.movie_ids)
    assert np.array_equal(loaded.vectors, ITEMS.vectors)


@pytest.mark.parametrize("missing", [MANIFEST, VOCABULARY, VECTORS])
def test_an_artifact_that_is_not_whole_is_refused(tmp_path: Path, missing: str) -> None:
    write(tmp_path, ITEMS.movie_ids, ITEMS.vectors)
    (tmp_path / missing).unlink()
    with pytest.raises(ArtifactError, match="no whole model artifact"):
        ItemVectors.load(tmp_path)


@pytest.mark.parametrize(
    ("movie_ids", "vectors"),
    [
        (np.array([1], np.int64), np.zeros((1, 2), np.float32)),
        (np.array([1], np.uint32), np.zeros((1, 2), np.float64)),
        (np.array([1], np.uint32), np.zeros((2, 2), np.float32)),
        (np.array([1], np.uint32), np.zeros(1, np.float32)),
        (np.array([], np.uint32), np.zeros((0, 2), np.float32)),
    ],
)
def test_an_artifact_of_other_shapes_or_types_is_refused(
    tmp_path: Path,
    movie_ids: npt.NDArray,  # type: ignore[type-arg]
    vectors: npt.NDArray,  # type: ignore[type-arg]
) -> None:
    write(tmp_path, movie_ids, vectors)
    with pytest.raises(ArtifactError, match="wanted"):
        ItemVectors.load(tmp_path)


def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ITEMS.movie_ids, ITEMS.vectors)
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(ArtifactError):
        ItemVectors.load(tmp_path)
