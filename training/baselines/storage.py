"""A fitted recommender as a directory: its hyperparameters as JSON, what it learnt as arrays.

What a fit sets on a recommender is a NumPy array, a `scipy.sparse.csr_array`, a dict of arrays, or
another recommender; nothing else, and nothing that would need code to be loaded.
"""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from scipy import sparse

from stream.contracts.errors import ArtifactError, ConfigurationError
from training.baselines.catalogue import create, hyperparameters, name_of
from training.dataset import Movie
from training.recommender import Recommender

MODEL: Final = "model.json"
ARRAYS: Final = "arrays.npz"
_CSR: Final = ("data", "indices", "indptr", "shape")

# What reading a damaged or outdated model can raise.
_DAMAGED: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    BadZipFile,
    ConfigurationError,
)


def save(model: Recommender, directory: Path, movies: list[Movie]) -> None:
    """Write a fitted model to a directory, whole or not at all.

    Args:
        model: fitted.
        directory: replaced if it is there.
        movies: the catalogue that it was fitted on.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _write(model, draft, catalogue_digest(movies))
        if directory.exists():  # a directory cannot be replaced in one step: the old one goes last
            old = draft.with_name(f"{draft.name}-old")
            directory.rename(old)
            draft.rename(directory)
            shutil.rmtree(old)
        else:
            draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load(directory: Path, movies: list[Movie]) -> Recommender:
    """The model that `save` wrote.

    Raises:
        ArtifactError: it is not whole, or was fitted on another catalogue.
    """
    try:
        return _read(directory, catalogue_digest(movies))
    except _DAMAGED as error:
        raise ArtifactError(f"no whole model in {directory} ({error}): fit it again") from error


def catalogue_digest(movies: list[Movie]) -> str:
    """SHA-256 of the movie ids in order: what a row means."""
    ids = np.array([movie.movie_id for movie in movies], np.int64)
    return hashlib.sha256(ids.tobytes()).hexdigest()


def _write(model: Any, directory: Path, catalogue: str) -> None:
    directory.mkdir(exist_ok=True)
    given = {field.name for field in dataclasses.fields(model)}
    arrays: dict[str, Any] = {}
    parts = []
    for name, value in vars(model).items():
        if name in given:
            continue
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif isinstance(value, sparse.csr_array):
            arrays |= {f"{name}/csr/{part}": getattr(value, part) for part in _CSR}
        elif isinstance(value, dict):
            arrays |= {f"{name}/dict/{key}": np.asarray(array) for key, array in value.items()}
        elif dataclasses.is_dataclass(value):
            parts.append(name)
            _write(value, directory / name, catalogue)
        else:
            raise TypeError(f"{type(model).__name__}.{name} is {type(value).__name__}: not saved")
    np.savez(directory / ARRAYS, allow_pickle=False, **arrays)
    description = {
        "model": name_of(model),
        "hyperparameters": hyperparameters(model),
        "parts": parts,
        "catalogue": catalogue,
    }
    (directory / MODEL).write_text(json.dumps(description, indent=2) + "\n")


def _read(directory: Path, catalogue: str) -> Recommender:
    description = json.loads((directory / MODEL).read_text())
    if description["catalogue"] != catalogue:
        raise ArtifactError(f"{directory} was fitted on another catalogue: fit it again")
    model = create(description["model"], **description["hyperparameters"])
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    with np.load(directory / ARRAYS, allow_pickle=False) as arrays:
        for name, array in arrays.items():
            attribute, _, rest = name.partition("/")
            if not rest:
                setattr(model, attribute, array)
                continue
            kind, _, key = rest.partition("/")
            groups.setdefault((attribute, kind), {})[key] = array
    for (attribute, kind), group in groups.items():
        if kind == "csr":
            data, indices, indptr, shape = (group[part] for part in _CSR)
            value = sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
        else:
            value = group
        setattr(model, attribute, value)
    for part in description["parts"]:
        setattr(model, part, _read(directory / part, catalogue))
    return model
