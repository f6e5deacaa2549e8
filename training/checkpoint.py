"""A training run on disk, from which another process goes on to the same losses.

The file's first line is JSON: what the run is of and how far it has got. The rest is what torch
wrote, of which the line has the SHA-256.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import torch

from stream.contracts.errors import ArtifactError
from stream.features import FEATURE_VERSION
from training.config import Config
from training.dataset import Ratings
from training.durable import write_file
from training.flat import Value, flat
from training.options import RunOptions

LAYOUT: Final = 1  # raise it when what is written changes its meaning

# Tensors, numbers, texts, and lists and dicts of them: what torch reads without running code.
State: TypeAlias = Mapping[str, Any]

_REMEDY: Final = "train without --resume"


class Origin(msgspec.Struct, frozen=True):
    """What a run is of: another origin is another run.

    Attributes:
        feature_version: of the code, `stream.features.FEATURE_VERSION`.
        vocabulary: SHA-256 of the movie ids.
        data: SHA-256 of the ratings and movies.
        config: hyperparameters.
        seed: of everything random.
        precision: of `RunOptions`.
    """

    feature_version: int
    vocabulary: str
    data: str
    config: dict[str, Value]
    seed: int
    precision: str

    @classmethod
    def of(cls, ratings: Ratings, config: Config, options: RunOptions) -> "Origin":
        """Of a run with this code."""
        ids = np.array([movie.movie_id for movie in ratings.movies], "<i8")
        vocabulary = hashlib.sha256(ids.tobytes()).hexdigest()
        return cls(
            FEATURE_VERSION,
            vocabulary,
            ratings.digest,
            flat(config),
            options.seed,
            options.precision,
        )

    def differences(self, other: "Origin") -> list[str]:
        """In words, what `other` has that this has not."""
        said = [
            f"{name} is {theirs}, not {ours}"
            for name, ours, theirs in (
                ("the code's feature version", self.feature_version, other.feature_version),
                ("the seed", self.seed, other.seed),
                ("the precision", self.precision, other.precision),
            )
            if ours != theirs
        ]
        if self.vocabulary != other.vocabulary:
            said.append("the movies are others")
        elif self.data != other.data:
            said.append("the ratings are others")
        for name in sorted(self.config.keys() | other.config.keys()):
            ours, theirs = self.config.get(name), other.config.get(name)
            if ours != theirs:
                said.append(f"{name} is {theirs}, not {ours}")
        return said


class Header(msgspec.Struct, frozen=True):
    """The first line of the file.

    Attributes:
        layout: `LAYOUT` when it was written.
        origin: what the run is of.
        epoch: epochs done.
        step: steps done by the model that is measured.
        sha256: of all after this line, in hexadecimal.
    """

    layout: int
    origin: Origin
    epoch: int
    step: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """One file, replaced after every epoch.

    Attributes:
        path: the file.
        resume: go on from what it has, instead of from the beginning.
    """

    path: Path
    resume: bool = False

    def save(self, origin: Origin, epoch: int, step: int, state: State) -> None:
        """Replace the file at once."""
        content = io.BytesIO()
        torch.save(dict(state), content)
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        header = Header(LAYOUT, origin, epoch, step, digest)

        def write(file: Any) -> None:
            file.write(msgspec.json.encode(header) + b"\n")
            file.write(content.getbuffer())

        write_file(self.path, write)

    def load(self, origin: Origin, device: torch.device) -> State:
        """What was saved, on this device.

        Raises:
            ArtifactError: there is no checkpoint, or it is damaged, of another layout or of another
                run.
        """
        try:
            with self.path.open("rb") as file:
                header, content = file.readline(), file.read()
        except OSError as error:
            raise ArtifactError(f"no checkpoint to resume from ({error}): {_REMEDY}") from error
        try:
            layout = msgspec.json.decode(header)["layout"]
            if layout != LAYOUT:
                raise ArtifactError(
                    f"checkpoint {self.path} has layout {layout}, this code reads {LAYOUT}: "
                    f"{_REMEDY}"
                )
            found = msgspec.json.decode(header, type=Header)
        except (msgspec.DecodeError, TypeError, KeyError) as error:
            raise ArtifactError(
                f"{self.path} does not begin as a checkpoint ({error}): {_REMEDY}"
            ) from error
        if hashlib.sha256(content).hexdigest() != found.sha256:
            raise ArtifactError(f"checkpoint {self.path} is damaged (SHA-256 differs): {_REMEDY}")
        differences = origin.differences(found.origin)
        if differences:
            raise ArtifactError(
                f"checkpoint {self.path} is of another run: {'; '.join(differences)}. Use the data "
                f"and the experiment that it is of, or {_REMEDY}"
            )
        state: State = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        return state
