import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

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
from training import distributed
from training.artifact import Artifact
from training.index import ALIAS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def log(
    broker: str, topics: Topics, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    monkeypatch.setenv("FRESHET_REDIS_URL", redis_url)  # where promotions take turns
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
    assert output == f"model {directory.name} is promoted\n"  # MLflow tracked it
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


def test_promotion_without_a_broker_is_refused_before_the_training(data: Path, home: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Kafka is configured"):
        invoke("train", "--dataset", str(data), "--promote")
    assert not (home / "artifacts").exists()


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained is not written: that takes longer than the training."""
    monkeypatch.setattr("training.pipeline.write_artifact", lambda parent, *_: parent / "a-version")


def checkpoints(home: Path) -> dict[str, dict[str, Any]]:
    """The first line of each, by name."""
    return {
        path.name: json.loads(path.read_bytes().split(b"\n", 1)[0])
        for path in (home / "checkpoints").iterdir()
    }


def test_an_experiment_is_trained_and_single_options_go_before_it(
    data: Path, home: Path, tmp_path: Path, unexported: None
) -> None:
    experiment = tmp_path / "other.toml"
    experiment.write_text("[towers]\nhidden = 8\n[run]\nseed = 7\nmax_epochs = 3\npatience = 3\n")
    words = ("train", "--config", str(experiment), "--dataset", str(data), "--no-track")
    assert "trained 1 epochs" in invoke(*words, "--epochs", "1")
    [(name, header)] = checkpoints(home).items()
    assert name == f"other-{data.name}.checkpoint"
    assert (header["epoch"], header["origin"]["seed"]) == (1, 7)
    assert header["origin"]["config"]["hidden"] == 8

    invoke(*words, "--resume")
    assert checkpoints(home)[name]["epoch"] == 3
    with pytest.raises(ArtifactError, match="the seed is 7, not 8"):
        invoke(*words, "--resume", "--seed", "8")


def test_a_wrong_experiment_is_refused_before_the_data_is_read(tmp_path: Path) -> None:
    experiment = tmp_path / "other.toml"
    experiment.write_text("[run]\nepochs = 3\n")
    with pytest.raises(ConfigurationError, match=r"other\.toml: \[run\] has no key epochs"):
        invoke("train", "--config", str(experiment), "--dataset", "not-there")


def test_who_does_not_lead_says_and_writes_nothing(
    data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "leads", lambda: False)
    assert invoke("train", "--dataset", str(data), "--epochs", "1") == ""
    assert not home.exists()
