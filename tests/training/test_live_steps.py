"""What a refresh does to indexes and asks of services; all of it together is in tests/e2e."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from qdrant_client import QdrantClient

from infra.services import free_port
from producers.tables import MOVIES, RATINGS
from stream.archive import Archive
from stream.contracts.errors import ArtifactError, IndexUnavailable, Unavailable
from stream.contracts.topics import Topics
from tests.planted_model import CATALOGUE
from training.artifact import Artifact, LogPosition
from training.experiment import Experiment
from training.index import collection_name
from training.live_steps import LiveSteps, Shown
from training.promotion import Promoter, QdrantServer
from training.registry import Registry
from training.snapshot import Snapshot

if TYPE_CHECKING:
    from tests.planted_model import Trait

END = LogPosition("topic", (10,))
VERSION = "genre"  # the planted model's


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., QdrantClient]:
    """Connects to what stands for a Qdrant server: the client's local mode."""

    def connect(*_: object) -> QdrantClient:
        return QdrantClient(path=str(tmp_path / "qdrant"))

    monkeypatch.setattr("training.index_server.connect", connect)
    return connect


@pytest.fixture
def snapshot() -> Snapshot:
    """Of one person who rated the first movies."""
    ids = [movie.movie_id for movie in CATALOGUE[:5]]
    columns = (
        [getattr(movie, name) for movie in CATALOGUE] for name in ("movie_id", "title", "year")
    )
    movies = pa.table([*columns, [[movie.genre] for movie in CATALOGUE]], schema=MOVIES)
    known = pa.table([[1] * 5, ids, [4.0] * 5, list(range(5))], schema=RATINGS)
    return Snapshot(known, RATINGS.empty_table(), movies, END, END, nameless=0)


@dataclass(frozen=True)
class Noting(Registry):
    """MLflow that knows every model and takes no time."""

    noted: list[tuple[str, dict[str, float]]] = field(default_factory=list)

    def note(self, version: str, figures: Mapping[str, float]) -> bool:
        self.noted.append((version, dict(figures)))
        return True


def steps(home: Path, qdrant: str | None = None, tracking: str | None = None) -> LiveSteps:
    promoter = Promoter(
        artifacts=home / "artifacts",
        kafka={"bootstrap.servers": "nowhere:1"},
        topics=Topics(),
        registry=Noting(tracking or "nowhere"),
        redis="redis://127.0.0.1:1",
        qdrant=QdrantServer(qdrant) if qdrant else None,
    )
    return LiveSteps(
        promoter=promoter,
        archive=Archive.open(str(home / "archive")),
        experiment=Experiment(),
        shown=Shown(10, 10, 10),
        keep=timedelta(days=1),
    )


def test_an_index_in_the_artifact_is_checked(
    models: "dict[Trait, Path]", snapshot: Snapshot, tmp_path: Path
) -> None:
    live = steps(tmp_path)
    live.build_index(models["genre"], snapshot)
    registry = live.promoter.registry
    assert isinstance(registry, Noting)
    [(version, figures)] = registry.noted
    assert (version, figures["index/movies"]) == (VERSION, len(CATALOGUE))
    assert figures.keys() == {"index/movies", "index/recall", "index/canary_recall"}
    mixed = shutil.copytree(models["genre"], tmp_path / VERSION)
    shutil.rmtree(mixed / "index")
    shutil.copytree(models["decade"] / "index", mixed / "index")
    with pytest.raises(ArtifactError):
        live.build_index(mixed, snapshot)
    assert len(registry.noted) == 1
    live.drop_index(VERSION)  # there is nothing outside the artifact


def test_a_collection_is_built_checked_and_dropped(
    models: "dict[Trait, Path]",
    snapshot: Snapshot,
    tmp_path: Path,
    connect: Callable[..., QdrantClient],
) -> None:
    live = steps(tmp_path, "http://qdrant")
    live.build_index(models["genre"], snapshot)
    client = connect()
    name = collection_name(VERSION)
    assert client.count(name).count == len(Artifact.load(models["genre"]).movies())
    client.close()
    live.drop_index(VERSION)
    live.drop_index(VERSION)  # it is gone already, as after a kill
    client = connect()
    assert not client.collection_exists(name)
    client.close()


def test_mlflow_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match="MLflow"):
        steps(tmp_path, tracking=f"http://127.0.0.1:{free_port()}").ready()


def test_qdrant_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "marked", lambda _: {})  # MLflow answers
    with pytest.raises(IndexUnavailable, match="collection"):
        steps(tmp_path, f"http://127.0.0.1:{free_port()}").ready()


def test_an_exam_with_nothing_to_ask_is_empty(snapshot: Snapshot, tmp_path: Path) -> None:
    """The one person has rated nothing since, or nothing that they like."""
    live = steps(tmp_path)
    disliked = pa.table([[1], [CATALOGUE[6].movie_id], [2.0], [10]], schema=RATINGS)
    liked = pa.table([[1], [CATALOGUE[6].movie_id], [4.0], [10]], schema=RATINGS)
    for asked, people in ((RATINGS.empty_table(), []), (disliked, []), (liked, [1])):
        assert live.asked(replace(snapshot, asked=asked)).tolist() == people
