"""A fitted recommender as a directory: its hyperparameters as JSON, what it learnt as arrays.

What a fit sets on a recommender is a NumPy array, a `scipy.sparse.csr_array`, a dict of arrays, or
another recommender; nothing else, and nothing that would need code to be loaded. A recommender that
keeps what it learnt in another form gives and takes it in this one: `Packs`.
"""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable
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


@runtime_checkable
class Packs(Protocol):
    """A recommender that keeps what it learnt in a form of its own."""

    def packed(self) -> dict[str, Any]:
        """What it learnt by name, in values that can be saved."""
        ...

    def unpack(self, values: Mapping[str, Any]) -> None:
        """Take back what `packed` gave."""
        ...


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
    learnt = model.packed() if isinstance(model, Packs) else vars(model)
    for name, value in learnt.items():
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
    learnt: dict[str, Any] = {}
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    with np.load(directory / ARRAYS, allow_pickle=False) as arrays:
        for name, array in arrays.items():
            attribute, _, rest = name.partition("/")
            if not rest:
                learnt[attribute] = array
                continue
            kind, _, key = rest.partition("/")
            groups.setdefault((attribute, kind), {})[key] = array
    for (attribute, kind), group in groups.items():
        if kind == "csr":
            data, indices, indptr, shape = (group[part] for part in _CSR)
            shape = tuple(shape.tolist())
            learnt[attribute] = sparse.csr_array((data, indices, indptr), shape=shape)
        else:
            learnt[attribute] = group
    for part in description["parts"]:
        learnt[part] = _read(directory / part, catalogue)
    if isinstance(model, Packs):
        model.unpack(learnt)
    else:
        vars(model).update(learnt)
    return model
