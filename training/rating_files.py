"""The predictor of ratings on disk, beside the towers that it belongs to.

    rating/<name>.npy   each array of `training.rating_arrays`, ``/`` in its name being ``.``

They are mapped into memory, so that the processes of one machine share them: of four thousand
movies that have neighbours, 64 MB.
"""

from pathlib import Path
from typing import Final

import numpy as np

from stream.contracts.errors import ArtifactError
from training.rating_arrays import from_arrays, to_arrays
from training.rating_model import RatingModel

RATING: Final = "rating"


def write_rating(directory: Path, model: RatingModel) -> None:
    """Write it into the directory of an artifact."""
    (directory / RATING).mkdir()
    for name, array in to_arrays(model).items():
        path = directory / RATING / f"{name.replace('/', '.')}.npy"
        np.save(path, np.asarray(array), allow_pickle=False)


def read_rating(directory: Path, movies: int) -> RatingModel:
    """Open what `write_rating` wrote for so many movies.

    Raises:
        ArtifactError: it is not whole, or of other movies.
    """
    try:
        arrays = {
            path.stem.replace(".", "/"): np.asarray(np.load(path, mmap_mode="r"))
            for path in sorted((directory / RATING).glob("*.npy"))
        }
        model = from_arrays(arrays)
        if len(model.known.places) != movies + 1:
            raise ValueError(f"it is of {len(model.known.places) - 1} movies, not of {movies}")
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"no whole predictor of ratings in {directory / RATING} ({error!r}): train and promote "
            "again"
        ) from error
    return model
