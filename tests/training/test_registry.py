from functools import partial
from pathlib import Path

import pytest

from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream.contracts.errors import BrokerUnavailable, Unavailable
from stream.contracts.events import MODEL_KEY, decode_model
from stream.contracts.topics import Topics
from tests.producers.kafka import records
from training.artifact import Artifact
from training.epochs import Epoch
from training.evaluate import Quality
from training.pipeline import Comparison, Outcome
from training.registry import CANDIDATE, MODEL, SERVING, Registry, promote


@pytest.fixture
def outcome(artifact_directory: Path) -> Outcome:
    epochs = tuple(
        Epoch(n, 5.0 / n, Quality(9, 0.1, ndcg, 0.1)) for n, ndcg in ((1, 0.2), (2, 0.1))
    )
    quality = Quality(9, 0.1, 0.1, 0.1)
    return Outcome(artifact_directory, epochs, {"live": Comparison(quality, quality)}, 12.5)


def test_a_run_is_recorded_and_its_model_registered(outcome: Outcome, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = Registry(uri)
    registry.record(outcome)

    client = MlflowClient(uri, uri)
    version = client.get_model_version_by_alias(MODEL, CANDIDATE)
    assert version.tags["version"] == outcome.version
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == "0.02"
    assert run.data.params["best_epoch"] == "1"
    assert run.data.tags["data_hash"] == Artifact.load(outcome.directory).manifest.data_hash
    assert run.data.metrics["live_towers_ndcg"] == 0.5
    assert run.data.metrics["seconds"] == 12.5
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(loss.step, loss.value) for loss in losses] == [(1, 5.0), (2, 2.5)]

    stored = Path(client.download_artifacts(run.info.run_id, "model", str(tmp_path)))
    assert (tmp_path / "mlruns").is_dir()
    assert Artifact.load(stored).items.version == outcome.version

    assert registry.mark_serving(outcome.version)
    assert client.get_model_version_by_alias(MODEL, SERVING).version == version.version
    assert not registry.mark_serving("another")

    registry.record(outcome)
    assert int(client.get_model_version_by_alias(MODEL, CANDIDATE).version) == 2
    assert client.get_model_version_by_alias(MODEL, SERVING).version == version.version


def test_mlflow_does_not_answer(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"MLflow at http://127\.0\.0\.1:1 failed"):
        registry.record(outcome)
    with pytest.raises(Unavailable):
        registry.mark_serving(outcome.version)


def test_a_promotion_names_everything_that_is_served(
    artifact: Artifact, broker: str, topics: Topics
) -> None:
    kafka = {"bootstrap.servers": broker}
    ensure_topics(kafka, topics, 1, 1)
    promoted = promote(artifact, kafka, topics.models)
    [[message]] = records(kafka, topics.models, 1)
    assert message.key() == MODEL_KEY
    event = decode_model(message.value())
    assert event == promoted
    assert event.version == artifact.manifest.version
    assert Artifact.load(Path(event.artifact)).items.version == event.version
    assert Path(event.artifact).is_absolute()
    assert event.collection == f"movies-{event.version}"


def test_a_promotion_that_the_broker_does_not_get(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = partial(BulkPublisher, patience=0.5)
    monkeypatch.setattr("training.registry.BulkPublisher", impatient)
    with pytest.raises(BrokerUnavailable):
        promote(artifact, {"bootstrap.servers": "127.0.0.1:1"}, "models")
