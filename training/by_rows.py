"""A sparse matrix by rows, as its parts.

Serving asks no more of one, and SciPy would take 25 MB of each process.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.tower_inputs import Floats


# eq=False: arrays do not compare as wholes.
@dataclass(frozen=True, slots=True, eq=False)
class ByRows:
    """n rows, the parts called as those of `scipy.sparse.csr_array`, which will do in its place.

    Attributes:
        data: f32[e] the elements, row by row.
        indices: i32[e] the column of each.
        indptr: i32[n + 1] where each row begins, and the last one ends.
    """

    data: Floats
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int32]


def with_data(matrix: ByRows, data: npt.NDArray[np.floating]) -> ByRows:
    """Other elements, f32[e], in the same places, of which there is no copy."""
    return ByRows(data.astype(np.float32, copy=False), matrix.indices, matrix.indptr)


def row_sums(matrix: ByRows) -> npt.NDArray[np.float64]:
    """f64[n]: of the elements of each row."""
    return sums(matrix.data, np.diff(matrix.indptr))


def sums(
    values: npt.NDArray[np.floating], lengths: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """f64[k]: of the values that follow one another, so many for each."""
    starts = np.cumsum(lengths) - lengths
    found = np.add.reduceat(np.append(values, np.float32(0)), starts, dtype=np.float64)
    of_each: npt.NDArray[np.float64] = np.where(lengths > 0, found, 0)  # of none it gives the next
    return of_each
