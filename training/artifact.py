"""A trained model on disk: towers, vocabulary, item vectors, index and ranking in one directory.

Torch-free: this is what serving opens. `training.export` writes it.

    manifest.json       what it is and the SHA-256 of every other file
    vocabulary.npy      u32[n] movie ids; row i of everything else is movie i of it
    item_vectors.npy    f32[n, d], L2-normalised
    catalogue.npz       what is known of each movie (`training.movie_table`)
    user_tower.onnx     vectors of what somebody rated, and how -> vector of theirs
    item_tower.onnx     features of a movie that has no embedding -> vector
    index/              the embedded index of the same vectors (`training.index_edge`)
    ranking.json, links/    what orders the movies (`training.ranking_files`)
    rating/             what predicts ratings (`training.rating_files`)
    weights.npz         what the next training may begin from (`training.warm_start`)
"""

import hashlib
import math
from collections.abc import Sequence
from operator import ge
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy.typing as npt
import onnxruntime as ort

from stream.coldstart import MANIFEST, ItemVectors
from stream.contracts.errors import ArtifactError
from stream.features import FEATURE_VERSION, UserState
from training.aside import aside
from training.movie_table import MovieTable
from training.ranking import Ranking
from training.ranking_files import read_ranking
from training.rating_files import read_rating
from training.rating_model import RatingModel
from training.tower_inputs import (
    PADDING,
    Content,
    Floats,
    TowerInputs,
    from_states,
    movie_features,
)

LAYOUT: Final = 5  # raise it when the files or the towers' inputs change
USER_TOWER: Final = "user_tower.onnx"
ITEM_TOWER: Final = "item_tower.onnx"
CATALOGUE: Final = "catalogue.npz"
INDEX: Final = "index"

# Bytes read at a time. hashlib.file_digest takes a sixteenth of it, and asks for the GIL each time:
# that slows requests beside it more than the reading does.
_BLOCK: Final = 4 * 2**20


class LogPosition(msgspec.Struct, frozen=True):
    """How far a reader of `ratings` has got.

    Attributes:
        topic_id: the identity of the topic.
        offsets: the next offset of each partition, in order.
    """

    topic_id: str
    offsets: tuple[int, ...]

    def covers(self, other: "LogPosition") -> bool:
        """Whether all that is before the other is before this one."""
        same = self.topic_id == other.topic_id and len(self.offsets) == len(other.offsets)
        return same and all(map(ge, self.offsets, other.offsets))


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact is.

    Attributes:
        layout: of the directory and the towers' inputs.
        version: the model version, sortable by time of training.
        feature_version: the `stream.features.FEATURE_VERSION` it was trained with.
        created_at: ISO 8601, UTC.
        dimensions: of the vectors.
        history: latest ratings that the user tower reads.
        genres: the genres that the item tower has a column for, in order.
        data_hash: SHA-256 of the ratings and movies it was trained on.
        until: ms since the epoch, the event time of the latest rating among them.
        position: what of the log they are; None where they came from files.
        config: hyperparameters.
        metrics: measured on held-out data with a model trained on the data before that; None
            where one came to NaN.
        files: SHA-256 by path, of every other file in the directory.
    """

    layout: int
    version: str
    feature_version: int
    created_at: str
    dimensions: int
    history: int
    genres: tuple[str, ...]
    data_hash: str
    until: int
    position: LogPosition | None = None
    config: dict[str, float | int | str]
    metrics: dict[str, float | None]
    files: dict[str, str]

    def figures_of(self, prefix: str) -> dict[str, float]:
        """Those metrics whose names begin so, NaN where one came to that."""
        return {
            name: math.nan if value is None else value
            for name, value in self.metrics.items()
            if name.startswith(prefix)
        }


class Artifact:
    """A model ready to answer.

    Attributes:
        directory: where it is.
        manifest: what it is.
        items: its item vectors.
        ranking: what orders movies for people.
        predictor: of ratings.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        items: ItemVectors,
        ranking: Ranking,
        predictor: RatingModel,
    ) -> None:
        self.directory = directory
        self.manifest = manifest
        self.items = items
        self.ranking = ranking
        self.predictor = predictor
        self._movies: MovieTable | None = None
        self._user_tower = _session(directory / USER_TOWER)
        self._item_tower = _session(directory / ITEM_TOWER)

    @classmethod
    def load(cls, directory: Path) -> "Artifact":
        """Open a model after checking that it is whole and fits this code.

        Raises:
            ArtifactError: a file is missing or damaged, or another version of the code wrote it.
        """
        manifest = read_manifest(directory)
        aside(_check, directory, manifest)
        items = ItemVectors.load(directory)
        if items.vectors.shape[1] != manifest.dimensions:
            raise ArtifactError(
                f"{directory}: item vectors have {items.vectors.shape[1]} dimensions, its manifest "
                f"says {manifest.dimensions}: train again"
            )
        movies = len(items.movie_ids)
        ranking, predictor = read_ranking(directory, movies), read_rating(directory, movies)
        return cls(directory, manifest, items, ranking, predictor)

    @property
    def index_directory(self) -> Path:
        """Where the embedded index of these vectors is."""
        return self.directory / INDEX

    def movies(self) -> MovieTable:
        """The movies of `items`, row by row, read when first asked for. Raises ArtifactError."""
        if self._movies is None:
            self._movies = MovieTable.read(self.directory / CATALOGUE, self.items.movie_ids)
        return self._movies

    def user_vectors(self, states: Sequence[UserState]) -> Floats:
        """f32[len(states), d], L2-normalised: what each user would choose next."""
        return self.embed_users(from_states(states, self.items.rows, self.manifest.history))

    def embed_users(self, inputs: TowerInputs) -> Floats:
        """f32[B, d], L2-normalised."""
        given = exported_inputs(inputs, self.items.vectors)
        vectors: Floats = self._user_tower.run(None, given)[0]
        return vectors

    def item_vectors_for(self, movies: Sequence[Content]) -> Floats:
        """f32[len(movies), d], L2-normalised, of movies that the model was not trained on.

        Raises ArtifactError where the item tower cannot be run.
        """
        features = movie_features(movies, self.manifest.genres)
        try:
            vectors: Floats = self._item_tower.run(None, {"features": features})[0]
        except Exception as error:  # ONNX Runtime's errors share no base but this
            raise ArtifactError(f"the item tower failed: {error}") from error
        return vectors


def exported_inputs(inputs: TowerInputs, vectors: Floats) -> dict[str, npt.NDArray[Any]]:
    """What the exported user tower takes, by name.

    It is given the vectors of a history: it would hold those of all movies a second time.

    Args:
        inputs: of B users with histories of L ratings.
        vectors: f32[n, d] of the movies.

    Returns:
        rated f32[B, L, d], zeros where there is none; known bool[B, L], where there is one; and
        the ratings, ages and features of `inputs`.
    """
    known = inputs.history != PADDING
    rated = vectors.take(inputs.history - 1, axis=0, mode="clip")  # faster than [...]
    if not known.all():
        rated[~known] = 0
    others = inputs._asdict()
    del others["history"]
    return {"rated": rated, "known": known, **others}


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an artifact that this code can serve. Raises ArtifactError."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactError(
            f"no whole model artifact in {directory} ({error}): train again"
        ) from error
    for what, found, expected in (
        ("layout", manifest.layout, LAYOUT),
        ("feature version", manifest.feature_version, FEATURE_VERSION),
    ):
        if found != expected:
            raise ArtifactError(
                f"model {manifest.version} in {directory} has {what} {found}, this code reads "
                f"{expected}: train again with this code"
            )
    return manifest


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    digest, block = hashlib.sha256(), bytearray(_BLOCK)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(memoryview(block)[:size])
    return digest.hexdigest()


def _check(directory: Path, manifest: Manifest) -> None:
    """Raises ArtifactError where a file is missing or damaged."""
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing: train again, or copy the whole artifact")
        if sha256(path) != expected:
            raise ArtifactError(f"{path} is damaged (SHA-256 differs): train or copy it again")


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One user is too little work to share: handing it to other threads takes longer than doing it.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base but this
        raise ArtifactError(f"{path} is not a tower that can be run: {error}") from error
