"""Opening what a promotion names: a real artifact, with its embedded index or a server's."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from api.serving.loading import load_model, model_loader
from api.serving.models import ServedModel
from stream.coldstart import ItemVectors
from stream.contracts.errors import ArtifactError, IndexUnavailable
from stream.contracts.events import ModelEvent
from stream.features import UserState
from tests.api.doubles import MemoryIndex, PlantedArtifact
from tests.planted_model import CATALOGUE, Trait
from training.artifact import Artifact
from training.index import IndexedMovie, collection_name
from training.tower_inputs import Floats


def promotion(directory: Path, version: str) -> ModelEvent:
    return ModelEvent(
        event_id="promotion",
        version=version,
        artifact=str(directory),
        collection=collection_name(version),
        event_time=1_000_000_000_000,
        produced_time=1_000_000_000_000,
    )


def test_a_model_and_its_embedded_index(models: dict[Trait, Path]) -> None:
    model = model_loader(None, None)(promotion(models["genre"], "genre"))
    assert model.artifact.items.version == "genre"
    assert list(model.popular) == [movie.movie_id for movie in CATALOGUE]
    assert model.most_ratings == len(CATALOGUE)
    vector = model.artifact.items.vectors[0]
    assert model.index.search(vector, 1) == [
        (CATALOGUE[0].movie_id, pytest.approx(float(np.dot(vector, vector))))
    ]
    model.index.close()


def test_equally_popular_movies_are_in_the_order_of_their_ids(models: dict[Trait, Path]) -> None:
    ids = np.array([10, 17, 24, 31], np.uint32)
    movies = [
        IndexedMovie(movie_id=id_, title="", genres=(), year=None, popularity=popularity)
        for id_, popularity in zip(ids.tolist(), (5, 5, 8, 5), strict=True)
    ]
    vectors = np.zeros((4, 2), np.float32)
    artifact = cast(Artifact, PlantedArtifact(ItemVectors("genre", ids, vectors), movies))
    model = ServedModel(promotion(models["genre"], "genre"), artifact, MemoryIndex(movies, vectors))
    assert list(model.popular) == [24, 10, 17, 31]
    assert model.most_ratings == 8


def test_an_artifact_of_another_version_is_refused(models: dict[Trait, Path]) -> None:
    with pytest.raises(ArtifactError, match="holds model genre, promoted was v9"):
        model_loader(None, None)(promotion(models["genre"], "v9"))


def test_an_artifact_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        model_loader(None, None)(promotion(tmp_path / "gone", "v1"))


def test_a_damaged_index_is_refused(models: dict[Trait, Path], tmp_path: Path) -> None:
    directory = tmp_path / "genre"
    shutil.copytree(models["genre"], directory)
    shutil.rmtree(directory / "index" / "segments")
    with pytest.raises((ArtifactError, IndexUnavailable)):
        model_loader(None, None)(promotion(directory, "genre"))


def test_a_server_that_does_not_answer_is_named(models: dict[Trait, Path]) -> None:
    with pytest.raises(IndexUnavailable, match="movies-genre"):
        load_model(
            promotion(models["genre"], "genre"),
            qdrant_url="http://127.0.0.1:1",
            qdrant_api_key=None,
        )


def test_requests_get_a_turn_between_its_first_queries_and_wait_for_nothing_after_them(
    models: dict[Trait, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    vectors = Artifact.user_vectors

    def ask(self: Artifact, states: Sequence[UserState]) -> Floats:
        done.append("query")
        return vectors(self, states)

    monkeypatch.setattr(Artifact, "user_vectors", ask)
    monkeypatch.setattr("api.serving.loading.time.sleep", lambda _: done.append("pause"))
    model_loader(None, None)(promotion(models["genre"], "genre")).index.close()
    assert done[:3] == ["query", "pause", "query"]
    assert done[-2:] == ["pause", "query"]


def test_an_index_whose_first_queries_fail_is_closed_again(
    models: dict[Trait, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))

    def refuse(self: Artifact, states: object) -> None:
        raise ArtifactError("the tower is told to fail")

    monkeypatch.setattr(Artifact, "user_vectors", refuse)
    with pytest.raises(ArtifactError, match="told to fail"):
        model_loader(None, None)(promotion(models["genre"], "genre"))
    assert list(copies.iterdir()) == []
