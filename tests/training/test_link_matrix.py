"""Links as they are served: those of a sparse matrix, to half precision."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stream.contracts.errors import ArtifactError
from training.link_matrix import LinkMatrix, write_links
from training.ranking import Links
from training.standing import Standing

MOVIES = 40


def some_links(seed: int, density: float = 0.2) -> sparse.csr_array:
    chance = np.random.default_rng(seed)
    there = chance.random((MOVIES, MOVIES)) < density
    # Sixteenths are exact in half precision, and so are their sums in single.
    return sparse.csr_array(there * chance.integers(-32, 33, there.shape) / np.float32(16))


def saved(directory: Path, links: sparse.csr_array) -> LinkMatrix:
    write_links(directory, "some", links)
    return LinkMatrix.read(directory, "some", links.shape[0])


def people(seed: int, users: int) -> Standing:
    chance = np.random.default_rng(seed)
    lists = np.sort(chance.integers(0, users, 5 * users))
    return Standing(
        users,
        lists,
        chance.integers(-1, MOVIES + 3, len(lists)),
        chance.integers(1, 11, len(lists)),
    )


@given(seed=st.integers(0, 2**32), users=st.integers(1, 6), scaled=st.booleans())
def test_they_say_what_the_sparse_matrix_says(
    tmp_path_factory: pytest.TempPathFactory, seed: int, users: int, scaled: bool
) -> None:
    links = some_links(seed)
    served, lab = (
        Links(matrix, recency=0.5, liked_from=6, scaled=scaled)
        for matrix in (saved(tmp_path_factory.mktemp("links"), links), links)
    )
    standing, rows = people(seed, users), np.array([3, 0, MOVIES + 1, 17])
    np.testing.assert_array_equal(served.scores(standing, 3), lab.scores(standing, 3))
    np.testing.assert_array_equal(served.scores_at(standing, rows), lab.scores_at(standing, rows))


def test_half_precision_is_near_enough(tmp_path: Path) -> None:
    values = np.random.default_rng(0).lognormal(-4, 2, (MOVIES, MOVIES)).astype(np.float32)
    found = saved(tmp_path, sparse.csr_array(values))
    assert found.data.itemsize + found.indices.itemsize == 4  # half of f32 and i32
    every = np.zeros_like(values)
    found.add_up(np.arange(MOVIES), np.ones(MOVIES, np.float32), np.arange(MOVIES + 1), every)
    np.testing.assert_allclose(every, values, rtol=6e-4, atol=1e-7)


def test_more_movies_than_two_bytes_tell_apart(tmp_path: Path) -> None:
    movies = (1 << 16) + 1
    links = sparse.csr_array(([1.0, 2.0], ([0, 1], [movies - 1, 0])), shape=(movies, movies))
    found = saved(tmp_path, links)
    assert found.indices.tolist() == [movies - 1, 0]
    first = np.zeros((1, movies), np.float32)
    found.add_up(np.zeros(1, np.int64), np.ones(1, np.float32), np.array([0, 1]), first)
    assert first[0, -1] == 1


def test_what_half_precision_does_not_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="links of some are beyond 65,504"):
        write_links(tmp_path, "some", sparse.csr_array(np.full((2, 2), 7e4, np.float32)))
