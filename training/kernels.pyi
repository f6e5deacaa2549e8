import numpy as np
import numpy.typing as npt

from training.tower_inputs import Floats

Rows = npt.NDArray[np.int64]

def fade(
    lists: Rows,
    rows: Rows,
    half_stars: Rows,
    movies: int,
    liked_from: int,
    recency: float,
    least: float,
    kept: Rows,
    weights: Floats,
    ends: Rows,
) -> int: ...
def add_up(
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.uint16] | npt.NDArray[np.uint32],
    halves: npt.NDArray[np.uint16],
    rows: Rows,
    weights: Floats,
    ends: Rows,
    scores: Floats,
) -> None: ...
def highest(
    scores: Floats, left_out: npt.NDArray[np.uint8], above: float, heap: Floats, found: Rows
) -> None: ...
def add_up_groups(
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.int32],
    values: Floats,
    groups: Floats,
    sums: Floats,
    members: Floats,
) -> None: ...
def products(vectors: Floats, rows: Rows, vector: Floats, found: Floats) -> None: ...
def diversify(
    relevance: Floats, rows: Rows, vectors: Floats, trade_off: float, closest: Floats, chosen: Rows
) -> None: ...
def add_up_vectors(
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.int32],
    weights: Floats,
    vectors: Floats,
    sums: Floats,
) -> None: ...
def add_up_outer(
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.int32],
    weights: Floats,
    vectors: Floats,
    sums: Floats,
) -> None: ...
