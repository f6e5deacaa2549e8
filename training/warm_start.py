"""What a training hands on to the next one: the weights of its towers, which the next begins from.

Weights are kept by what they are of: embeddings by movie id, the columns of the content by genre.
So a catalogue that grew, or lost a movie, is no other shape.

Towers that are judged must not have known what they are judged by. A training has two pairs, one
that knows the time before the validation part and one that knows everything; each begins from the
one that knew as little. Where the validation part begins no earlier than the last time, nothing
that is asked was seen.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from stream.contracts.errors import ArtifactError
from training.artifact import read_manifest, sha256
from training.config import Config
from training.dataset import Ratings
from training.flat import flat
from training.tower_inputs import MOVIE_COLUMNS, PADDING, Floats, Ints
from training.towers import TwoTowers

WEIGHTS: Final = "weights.npz"  # the file in an artifact

_EMBEDDING: Final = "items.embedding.weight"
_CONTENT: Final = "items.content.0.weight"  # f32[hidden, genres and MOVIE_COLUMNS]

# Names of arrays in the file; those of parameters follow one of the first two.
_MEASURED: Final = "measured/"
_FINAL: Final = "final/"
_MOVIES: Final = "movie_ids"
_GENRES: Final = "genres"
_JUDGED_FROM: Final = "judged_from"


class TowerWeights(NamedTuple):
    """The parameters of a pair of towers.

    Attributes:
        movie_ids: i64[m], ascending: the movies that have an embedding of their own.
        genres: those that content has a column for, in order.
        parameters: f32 by name, as torch names them; of the embeddings f32[m, d], without PADDING.
    """

    movie_ids: Ints
    genres: tuple[str, ...]
    parameters: Mapping[str, Floats]

    @classmethod
    def of(cls, towers: TwoTowers, ratings: Ratings) -> "TowerWeights":
        """A copy of what towers have learnt from these ratings."""
        parameters = {
            name: parameter.detach().cpu().numpy().copy()
            for name, parameter in towers.named_parameters()
        }
        rated = np.flatnonzero(towers.index.cpu().numpy())
        parameters[_EMBEDDING] = parameters[_EMBEDDING][rated]
        return cls(_ids(ratings)[rated - 1], ratings.genres, parameters)

    @torch.no_grad()
    def begin(self, towers: TwoTowers, ratings: Ratings) -> None:
        """Let towers of the same shape go on from here.

        A movie without an embedding here begins with zeros: as content alone tells it, which is how
        it was known so far. A genre that is new keeps the weights that it was given by chance.

        Args:
            towers: not trained yet.
            ratings: what they will learn from.
        """
        for name, parameter in towers.named_parameters():
            values = self.parameters[name]
            if name == _EMBEDDING:
                _, to, known = np.intersect1d(_ids(ratings), self.movie_ids, return_indices=True)
                parameter.zero_()
                parameter[to + PADDING + 1] = torch.from_numpy(values[known]).to(parameter)
            elif name == _CONTENT:
                to, known = _columns(ratings.genres, self.genres)
                parameter[:, to] = torch.from_numpy(values[:, known]).to(parameter)
            else:
                parameter.copy_(torch.from_numpy(values))


class Start(NamedTuple):
    """What a training begins from.

    Attributes:
        measured: of towers that know what was before `judged_from`.
        final: of those that know everything.
        judged_from: ms since the epoch.
    """

    measured: TowerWeights
    final: TowerWeights
    judged_from: int


def write_start(directory: Path, start: Start) -> None:
    """Write `WEIGHTS`."""
    arrays = {
        prefix + name: values
        for prefix, weights in ((_MEASURED, start.measured), (_FINAL, start.final))
        for name, values in (
            (_MOVIES, weights.movie_ids),
            (_GENRES, np.array(weights.genres, np.str_)),
            *weights.parameters.items(),
        )
    }
    with (directory / WEIGHTS).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{_JUDGED_FROM: np.int64(start.judged_from)})


def read_start(directory: Path, config: Config, judged_from: int) -> Start:
    """What a training may begin from.

    Args:
        directory: an artifact.
        config: of the training.
        judged_from: ms since the epoch, where its validation part begins.

    Raises:
        ArtifactError: the artifact is missing, damaged or of another version of the code, its
            towers are of another shape or were asked another question, or those that are to be
            judged would have seen what they are judged by.
    """
    manifest = read_manifest(directory)
    shape = flat(config.towers) | {"objective": config.objective}
    others = [
        f"{name} was {manifest.config.get(name)} and is {value} now"
        for name, value in shape.items()
        if manifest.config.get(name) != value
    ]
    if others:
        raise ArtifactError(f"model {manifest.version} has another shape: {', '.join(others)}")
    path = directory / WEIGHTS
    if not path.is_file():
        raise ArtifactError(f"model {manifest.version} has no {WEIGHTS} to begin from")
    if sha256(path) != manifest.files.get(WEIGHTS):
        raise ArtifactError(f"{path} is damaged (SHA-256 differs)")
    with np.load(path) as arrays:
        values = dict(arrays)
    start = Start(_read(values, _MEASURED), _read(values, _FINAL), int(values[_JUDGED_FROM]))
    if start.judged_from > judged_from:
        raise ArtifactError(
            f"model {manifest.version} has seen some of the ratings that its successor is to be "
            f"judged by: those from {judged_from} to {start.judged_from} ms since the epoch"
        )
    return start


def _read(values: Mapping[str, Any], prefix: str) -> TowerWeights:
    own = {
        name.removeprefix(prefix): array
        for name, array in values.items()
        if name.startswith(prefix)
    }
    return TowerWeights(own.pop(_MOVIES), tuple(own.pop(_GENRES).tolist()), own)


def _ids(ratings: Ratings) -> Ints:
    return np.array([movie.movie_id for movie in ratings.movies], np.int64)


def _columns(new: tuple[str, ...], old: tuple[str, ...]) -> tuple[Ints, Ints]:
    """i64[c] twice: the columns of content that both have, where they are in each."""
    shared = [genre for genre in new if genre in old]
    places = (
        [*map(genres.index, shared), *range(len(genres), len(genres) + MOVIE_COLUMNS)]
        for genres in (new, old)
    )
    to, known = (np.array(of, np.int64) for of in places)
    return to, known
