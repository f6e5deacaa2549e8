"""Many small least squares problems at once: one vector each, from the same vectors."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from training import kernels
from training.blocks import blocks
from training.tower_inputs import Floats

_ELEMENTS: Final = 1 << 24  # of all systems that are solved together: 64 MB


def solve_each(
    weights: sparse.csr_array, targets: sparse.csr_array, vectors: Floats, penalty: Floats
) -> Floats:
    """f32[n, d]: x_i that minimises x'(penalty)x + sum_j (w_ij (v_j'x)^2 - 2 t_ij v_j'x).

    Where t = w r this is the regression of r on v with weights w.

    Args:
        weights: f32[n, m], w.
        targets: f32[n, m], t.
        vectors: f32[m, d], v.
        penalty: f32[d, d], positive definite together with any of the weights.
    """
    sides: Floats = targets @ vectors
    solved: Floats = np.empty_like(sides)
    for some in blocks(len(sides), vectors.shape[1] ** 2, _ELEMENTS):
        systems = penalty + outer_sums(weights[some], vectors)
        solved[some] = np.linalg.solve(systems, sides[some, :, None])[..., 0]
    return solved


class Penalties(NamedTuple):
    """Of a bias and of factors, each multiplied by the root of the number of ratings it is for."""

    factors: float
    bias: float


def biased(
    rated: sparse.csr_array, mean: Floats, biases: Floats, vectors: Floats, penalties: Penalties
) -> Floats:
    """f32[n, 1 + d]: bias and factors of each row of ratings, given those of the columns.

    The ridge regression of what a rating is above the mean and the column's bias.

    Args:
        rated: f32[n, m] stars.
        mean: f32[1] of all stars.
        biases: f32[m] of the columns.
        vectors: f32[m, 1 + d] of the columns: 1, and their factors.
        penalties: of what is found.
    """
    # Divided by the root of the number of ratings, which multiplies the penalty by it.
    counts = np.diff(rated.indptr)
    weights = np.repeat((1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32), counts)
    targets = (rated.data - mean - biases.take(rated.indices)) * weights
    penalty = np.full(vectors.shape[1], penalties.factors, np.float32)
    penalty[0] = penalties.bias
    return solve_each(
        with_data(rated, weights), with_data(rated, targets), vectors, np.diag(penalty)
    )


def outer_sums(weights: sparse.csr_array, vectors: Floats) -> Floats:
    """f32[n, d, d]: sum_j w_ij v_j v_j' for each row i of the weights."""
    rows, d = weights.shape[0], vectors.shape[1]
    sums: Floats = np.empty((rows, d, d), np.float32)
    longest = np.diff(weights.indptr).max(initial=1)
    near, weighted = np.empty((2, longest, d), np.float32)
    kernels.add_up_outer(
        weights.indptr, weights.indices, weights.data, vectors, near, weighted, sums
    )
    return sums


def with_data(rated: sparse.csr_array, data: npt.NDArray[np.floating]) -> sparse.csr_array:
    """Other values in the same places, of which there is no copy."""
    return sparse.csr_array((data, rated.indices, rated.indptr), shape=rated.shape)
