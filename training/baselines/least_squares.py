"""Many small least squares problems at once: one vector each, from the same vectors."""

from typing import Final, NamedTuple

import numpy as np

from training import kernels
from training.blocks import blocks
from training.by_rows import ByRows, with_data
from training.tower_inputs import Floats

_ELEMENTS: Final = 1 << 24  # of all systems that are solved together: 64 MB


def solve_each(weights: ByRows, targets: ByRows, vectors: Floats, penalty: Floats) -> Floats:
    """f32[n, d]: x_i that minimises x'(penalty)x + sum_j (w_ij (v_j'x)^2 - 2 t_ij v_j'x).

    Where t = w r this is the regression of r on v with weights w.

    Args:
        weights: f32[n, m], w.
        targets: f32[n, m], t.
        vectors: f32[m, d], v.
        penalty: f32[d, d], positive definite together with any of the weights.
    """
    sides = np.zeros((len(targets.indptr) - 1, vectors.shape[1]), np.float32)
    kernels.add_up_vectors(targets.indptr, targets.indices, targets.data, vectors, sides)
    solved: Floats = np.empty_like(sides)
    for some in blocks(len(sides), vectors.shape[1] ** 2, _ELEMENTS):
        rows = ByRows(weights.data, weights.indices, weights.indptr[some.start : some.stop + 1])
        systems = penalty + outer_sums(rows, vectors)
        solved[some] = np.linalg.solve(systems, sides[some, :, None])[..., 0]
    return solved


class Penalties(NamedTuple):
    """Of a bias and of factors, each multiplied by the root of the number of ratings it is for."""

    factors: float
    bias: float


def biased(
    rated: ByRows, mean: Floats, biases: Floats, vectors: Floats, penalties: Penalties
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


def outer_sums(weights: ByRows, vectors: Floats) -> Floats:
    """f32[n, d, d]: sum_j w_ij v_j v_j' for each row i of the weights."""
    rows, d = len(weights.indptr) - 1, vectors.shape[1]
    sums: Floats = np.zeros((rows, d, d), np.float32)
    kernels.add_up_outer(weights.indptr, weights.indices, weights.data, vectors, sums)
    return sums
