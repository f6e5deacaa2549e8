"""What histories say, as sparse matrices: the common ground of the baselines that add things up."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stream.contracts.errors import DatasetError
from training.dataset import Ratings
from training.histories import Histories, Rated
from training.recommender import Reason
from training.tower_inputs import Floats, Ints


def evidence(histories: Histories, liked_from: int = 1, recency: float = 1.0) -> sparse.csr_array:
    """f32[B, movies]: recency**steps for each movie in a history, steps as in `Histories.rated`.

    Args:
        histories: B of them.
        liked_from: half stars from which a rating counts.
        recency: in (0, 1]; 1 makes no difference between old and new.
    """
    rated = histories.rated(liked_from)
    return _matrix(histories, rated, recency ** rated.steps.astype(np.float32))


def stars(histories: Histories) -> sparse.csr_array:
    """f32[B, movies]: the ratings that stand, 0.5..5."""
    rated = histories.rated()
    return _matrix(histories, rated, histories.log.half_stars[rated.events] / 2)


def interactions(train: Ratings, liked_from: int = 1) -> sparse.csr_array:
    """f32[users, movies]: 1 where a user, by ascending id, liked a movie.

    Raises:
        DatasetError: nobody liked anything.
    """
    matrix = evidence(Histories.of_users(train, np.unique(train.users)), liked_from)
    if not matrix.nnz:
        raise DatasetError(
            f"none of {len(train)} ratings is of {liked_from / 2:g} stars or more: there is "
            "nothing to learn from"
        )
    return matrix


def shares(liked: sparse.csr_array) -> Floats:
    """f32[movies]: the share of users who liked each movie."""
    users, movies = liked.shape
    counts = np.bincount(liked.indices, minlength=movies)
    return np.asarray(counts / users, np.float32)


def strongest(matrix: Floats, keep: int) -> sparse.csr_array:
    """f32[n, m], sparse: of f32[n, m] the `keep` largest elements of each row, where above 0."""
    keep = min(keep, matrix.shape[1])
    columns = np.argpartition(-matrix, keep - 1, axis=1)[:, :keep]
    columns.sort(axis=1)
    values = np.take_along_axis(matrix, columns, axis=1)
    ends = np.arange(len(matrix) + 1) * keep
    kept = sparse.csr_array((values.ravel(), columns.ravel(), ends), shape=matrix.shape)
    kept.data[kept.data < 0] = 0
    kept.eliminate_zeros()
    return kept


def reasons(kind: str, names: Ints, amounts: Floats, popularity: float) -> list[Reason]:
    """What adds up to one score, largest amount first; what adds nothing is left out.

    Args:
        kind: as a `Reason` has it.
        names: i64[n] rows of movies, or ids of users.
        amounts: f32[n] of each.
        popularity: the amount of that.
    """
    found = [
        Reason(kind, name, amount)
        for name, amount in zip(names.tolist(), amounts.tolist(), strict=True)
        if amount
    ]
    if popularity:
        found.append(Reason("feature", "popularity", popularity))
    return sorted(found, key=lambda reason: -reason.amount)


def _matrix(
    histories: Histories, rated: Rated, values: npt.NDArray[np.floating]
) -> sparse.csr_array:
    """f32[B, movies]: a value for each of the rated movies."""
    ends = np.searchsorted(rated.lists, np.arange(len(histories) + 1))
    shape = (len(histories), len(histories.log.movies))
    rows = histories.log.rows[rated.events]
    matrix = sparse.csr_array((values.astype(np.float32), rows, ends), shape=shape)
    matrix.sort_indices()
    return matrix
