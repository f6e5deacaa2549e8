from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from qdrant_client import QdrantClient
from typer.testing import CliRunner

from infra.cli import app
from stream.contracts.errors import ArtifactError, ConfigurationError
from stream.contracts.events import decode_model
from stream.contracts.topics import Topics
from tests.producers.kafka import records
from tests.training.build import clubs, tables
from training.artifact import Artifact
from training.index import ALIAS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def log(broker: str, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("FRESHET_KAFKA_TOPIC_PREFIX", topics.prefix)
    return {"bootstrap.servers": broker}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, table in zip(("ratings", "movies"), tables(clubs(users=100)), strict=True):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def qdrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], QdrantClient]:
    """Connects to what stands for a Qdrant server: the client's local mode."""

    def connect(*_: object) -> QdrantClient:
        return QdrantClient(path=str(tmp_path / "qdrant"))

    monkeypatch.setattr("training.index_server.connect", connect)
    return connect


def test_train_and_promote(
    data: Path,
    home: Path,
    log: dict[str, str],
    topics: Topics,
    qdrant: Callable[[], QdrantClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("--dataset", str(data), "--until", "2004-01-01", "--epochs", "1", "--promote")
    output = invoke("train", *words)
    assert "popularity" in output
    assert "NDCG@10" in output
    [directory] = (home / "artifacts").iterdir()
    movies = Artifact.load(directory).movies()
    assert f"model {directory.name} is promoted" in output

    output = invoke("promote", directory.name)
    assert "does not know" not in output  # MLflow tracked it
    [messages] = records(log, topics.models, 1)
    versions = [decode_model(message.value()).version for message in messages]
    assert versions == [directory.name] * 2

    monkeypatch.setenv("FRESHET_QDRANT_URL", "http://localhost:6333")
    for _ in range(2):  # the second time it is there already, and in use
        invoke("promote", directory.name)
    with closing(qdrant()) as client:
        assert client.count(ALIAS).count == len(movies)
        [alias] = client.get_aliases().aliases
        assert alias.collection_name == f"movies-{directory.name}"


def test_promoting_what_is_not_there(log: dict[str, str]) -> None:
    with pytest.raises(ArtifactError, match="no whole model artifact"):
        invoke("promote", "20200101T000000-abcdef")


def test_promotion_without_a_broker_is_refused_before_the_training(data: Path, home: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Kafka is configured"):
        invoke("train", "--dataset", str(data), "--promote")
    assert not (home / "artifacts").exists()
