"""Writes trained towers as an artifact that serving can open without torch."""

import hashlib
import logging
import shutil
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stream.coldstart import MANIFEST, VECTORS, VOCABULARY
from stream.features import FEATURE_VERSION
from training.artifact import (
    CATALOGUE,
    INDEX,
    ITEM_TOWER,
    LAYOUT,
    USER_TOWER,
    LogPosition,
    Manifest,
    sha256,
)
from training.config import Config
from training.dataset import Ratings
from training.durable import sync
from training.flat import flat
from training.index import IndexedMovie
from training.index_edge_build import build_edge_index
from training.movie_table import MovieTable
from training.ranking import Ranking
from training.ranking_files import write_ranking
from training.rating_files import write_rating
from training.rating_model import RatingModel
from training.scorer import padded_vectors
from training.tower_inputs import USER_FEATURES, Ints
from training.towers import ItemTower, TwoTowers
from training.user_towers import Read, UserTower
from training.warm_start import Start, write_start

OPSET: Final = 20

_TINY: Final = 1e-12  # a vector without a direction stays 0


def write_artifact(
    parent: Path,
    towers: TwoTowers,
    ranking: Ranking,
    predictor: RatingModel,
    ratings: Ratings,
    events: Ints,
    config: Config,
    metrics: Mapping[str, float],
    start: Start | None = None,
    position: LogPosition | None = None,
) -> Path:
    """Write a whole model artifact, its index included, or nothing.

    Args:
        parent: the directory that holds artifacts; is created.
        towers: what was trained.
        ranking: what goes with them.
        predictor: of ratings, likewise.
        ratings: what all were trained on.
        events: i64[], which of them.
        config: hyperparameters.
        metrics: for the manifest.
        start: what the next training may begin from.
        position: what of the log the ratings are.

    Returns:
        The new directory in `parent`, whose name is the model version.

    Raises:
        IndexUnavailable: the index could not be built.
    """
    now = datetime.now(UTC)
    vectors = padded_vectors(towers)
    version = f"{now:%Y%m%dT%H%M%S}-{hashlib.sha256(vectors.tobytes()).hexdigest()[:6]}"
    partial = parent / f".{version}.partial"
    partial.mkdir(parents=True)
    try:
        movies = MovieTable.of(_indexed_movies(ratings, events))
        np.save(partial / VOCABULARY, movies.movie_ids)
        np.save(partial / VECTORS, vectors[1:])
        movies.write(partial / CATALOGUE)
        build_edge_index(partial / INDEX, movies, vectors[1:])
        export_towers(partial, towers)
        write_ranking(partial, ranking)
        write_rating(partial, predictor)
        if start is not None:
            write_start(partial, start)
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        manifest = Manifest(
            layout=LAYOUT,
            version=version,
            feature_version=FEATURE_VERSION,
            created_at=now.isoformat(timespec="seconds"),
            dimensions=config.towers.dimensions,
            history=config.towers.history,
            genres=ratings.genres,
            data_hash=ratings.digest,
            until=int(ratings.times[events].max()),
            position=position,
            config=flat(config),
            metrics=dict(metrics),
            files={path.relative_to(partial).as_posix(): sha256(path) for path in files},
        )
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (partial / MANIFEST).write_bytes(encoded)
        for path in (*files, partial / MANIFEST, partial):
            sync(path)
        partial.rename(parent / version)
        sync(parent)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return parent / version


def _indexed_movies(ratings: Ratings, events: Ints) -> list[IndexedMovie]:
    """The catalogue as the index holds it, ratings counted in these events."""
    counts, _ = ratings.counts(events)
    return [
        IndexedMovie(
            movie_id=movie.movie_id,
            title=movie.title,
            genres=movie.genres,
            year=movie.year,
            popularity=count,
            mean_rating=mean if count else None,
        )
        for movie, count, mean in zip(
            ratings.movies, counts.tolist(), ratings.means(events).tolist(), strict=True
        )
    ]


class _ServedUserTower(nn.Module):
    """The user tower, given the vectors of a history in place of where they are.

    ONNX Runtime takes about a microsecond a node, however small: hence no table of vectors, and a
    norm that is not spread before it divides.
    """

    def __init__(self, tower: UserTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(
        self, rated: Tensor, known: Tensor, ratings: Tensor, ages: Tensor, features: Tensor
    ) -> Tensor:
        """f32[B, d], L2-normalised.

        Args:
            rated: f32[B, L, d] the vectors of the movies.
            known: bool[B, L], of which there is one.
            ratings, ages, features: as in `TowerInputs`.
        """
        users = self.tower.embed(rated, Read(known, ratings, ages), features)
        length: Tensor = torch.linalg.vector_norm(users, dim=-1, keepdim=True)
        return users / length.clamp_min(_TINY)


class _ServedItemTower(nn.Module):
    """The item tower of movies without an embedding, the only ones that serving embeds."""

    def __init__(self, tower: ItemTower) -> None:
        super().__init__()
        self.content = tower.content

    def forward(self, features: Tensor) -> Tensor:
        """f32[n, d], L2-normalised, of features f32[n, F]."""
        return functional.normalize(self.content(features), dim=-1)


def export_towers(directory: Path, towers: TwoTowers) -> None:
    """Write both towers, neither with a vector for each movie: those are in a file of their own.

    Args:
        directory: where to.
        towers: what was trained.
    """
    dimensions = towers.items.embedding.embedding_dim
    any_size = torch.export.Dim.DYNAMIC
    wide = {0: any_size, 1: any_size}
    shape = 2, 3  # of an example: 1 would be taken for a size that is always 1
    users = {  # each a tensor of its own: the exporter takes inputs that share one for the same
        "rated": (torch.zeros(*shape, dimensions), wide),
        "known": (torch.ones(shape, dtype=torch.bool), wide),
        "ratings": (torch.zeros(shape), wide),
        "ages": (torch.zeros(shape), wide),
        "features": (torch.zeros(2, USER_FEATURES), {0: any_size}),
    }
    items = {"features": (torch.zeros(2, towers.features.shape[1]), {0: any_size})}
    _to_onnx(_ServedUserTower(towers.users), users, directory / USER_TOWER)
    _to_onnx(_ServedItemTower(towers.items), items, directory / ITEM_TOWER)


def _to_onnx(
    model: nn.Module, inputs: Mapping[str, tuple[Tensor, Mapping[int, Any]]], path: Path
) -> None:
    """Write a model, given an example of each input and which of its dimensions are of any size."""
    # The exporter warns of torchvision, which is not used, and of the names it gives to axes.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                model.eval(),
                kwargs={name: example for name, (example, _) in inputs.items()},
                f=path,
                input_names=list(inputs),
                output_names=["vectors"],
                dynamic_shapes={name: dict(sizes) for name, (_, sizes) in inputs.items()},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
