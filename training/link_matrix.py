"""Links between movies in half the room of a sparse matrix of SciPy, and mapped from a file.

At 62,000 movies three matrices of 150 links a movie are 220 MB there, most of what a process that
serves would have. What a link says is known to a few percent; half precision keeps it to 0.05%.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ArtifactError
from training import kernels
from training.tower_inputs import Floats, Ints

if TYPE_CHECKING:
    from scipy import sparse

_PARTS: Final = ("data", "indices", "indptr")


# eq=False: arrays do not compare as wholes.
@dataclass(frozen=True, slots=True, eq=False)
class LinkMatrix:
    """[n, n] by rows, the parts called as those of `sparse.csr_array`.

    Attributes:
        data: f16[e] the links, row by row.
        indices: u16[e] the movie that each leads to; u32 where there are more than 65,536 movies.
        indptr: i32[n + 1] where each row begins, and the last one ends.
    """

    data: npt.NDArray[np.float16]
    indices: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    indptr: npt.NDArray[np.int32]

    @classmethod
    def read(cls, directory: Path, name: str, movies: int) -> "LinkMatrix":
        """Map what `write_links` wrote of so many movies, so that a machine's processes share it.

        Raises OSError, and ValueError where it is of other movies or types.
        """
        paths = {part: directory / f"{name}.{part}.npy" for part in _PARTS}
        parts = {part: np.asarray(np.load(path, mmap_mode="r")) for part, path in paths.items()}
        for part, dtype in zip(_PARTS, _dtypes(movies), strict=True):
            if parts[part].dtype != dtype or parts[part].ndim != 1:
                raise ValueError(f"{part} of {name} is {parts[part].dtype}{parts[part].shape}")
        data, indices, indptr = parts.values()
        if indptr.shape != (movies + 1,) or len(indices) != len(data) or indptr[-1] != len(data):
            raise ValueError(f"the links of {name} are not of {movies} movies")
        return cls(data, indices, indptr)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, len(self.indptr) - 1

    def add_up(self, rows: Ints, weights: Floats, ends: Ints, scores: Floats) -> None:
        """Add its weighted rows to the scores of B users, those of each in their order.

        Args:
            rows: i64[w] of the matrix, user by user.
            weights: f32[w] of each.
            ends: i64[B + 1] where each user's begin, and the last one's end.
            scores: f32[B, n or more], in place.
        """
        halves = self.data.view(np.uint16)
        kernels.add_up(self.indptr, self.indices, halves, rows, weights, ends, scores)


def write_links(directory: Path, name: str, links: "sparse.csr_array | LinkMatrix") -> None:
    """Write f32[n, n] as `LinkMatrix.read` reads it.

    Raises:
        ArtifactError: a link is beyond what half precision holds.
    """
    for part, dtype in zip(_PARTS, _dtypes(links.shape[0]), strict=True):
        with np.errstate(over="ignore"):  # told below
            values = np.asarray(getattr(links, part)).astype(dtype)
        if part == "data" and not np.isfinite(values).all():
            raise ArtifactError(
                f"links of {name} are beyond {np.finfo(np.float16).max:,.0f}, or not numbers: "
                "train again"
            )
        np.save(directory / f"{name}.{part}.npy", values)


def _dtypes(movies: int) -> tuple[type[np.generic], ...]:
    """Of the parts."""
    return np.float16, np.uint16 if movies <= 1 << 16 else np.uint32, np.int32
