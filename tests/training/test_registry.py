import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from infra.services import free_port
from infra.supervisor import Service, Supervisor
from stream.contracts.errors import Unavailable
from tests.conftest import START_TIMEOUT
from tests.training.build import SMALL
from training.artifact import Artifact, exported_inputs, read_manifest
from training.dataset import Ratings
from training.epochs import Epoch
from training.evaluate import Quality
from training.experiment import Experiment
from training.histories import Histories
from training.options import RunOptions
from training.pipeline import Comparison, Outcome
from training.registry import CHALLENGER, CHAMPION, MODEL, PLOTS, Registry
from training.tower_inputs import USER_FEATURES
from training.two_stage import TwoStage


@pytest.fixture
def outcome(artifact_directory: Path) -> Outcome:
    epochs = tuple(
        Epoch(n, 5.0 / n, 0.25 * n, Quality(9, 0.3, ndcg, 0.4)) for n, ndcg in ((1, 0.2), (2, 0.1))
    )
    comparison = Comparison(*(Quality(9, 0.1 * n, 0.2 * n, 0.3 * n) for n in (1, 2, 3)))
    results = {"live": comparison, "frozen": comparison}
    experiment = Experiment(
        towers=SMALL, two_stage=TwoStage(recency=0.5), run=RunOptions(patience=7)
    )
    return Outcome(artifact_directory, epochs, results, experiment, 12.5)


@pytest.fixture(params=["sqlite", "server"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database of one's own, and of a server that keeps the files too."""
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    if request.param == "sqlite":
        yield database
        return
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", database),
        *("--artifacts-destination", str(tmp_path / "files")),
    )
    light = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    ready = partial(_healthy, address)
    with Supervisor(tmp_path / "logs", say=print) as supervisor:
        service = Service("mlflow", command, address, ready, light)
        supervisor.start(service, timeout=START_TIMEOUT)
        yield address


def _healthy(address: str) -> None:
    try:
        httpx.get(f"{address}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        raise Unavailable(str(error)) from error


def test_a_run_is_recorded_and_its_model_registered(
    outcome: Outcome, uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    registry = Registry(uri)
    registry.record(outcome, "planted")

    client = MlflowClient(uri, uri)
    version = client.get_model_version_by_alias(MODEL, CHALLENGER)
    assert version.tags["version"] == outcome.version
    run = client.get_run(str(version.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == "0.02"
    assert run.data.params["dimensions"] == "16"
    assert run.data.params["best_epoch"] == "1"
    assert run.data.params["recency"] == "0.5"
    assert (run.data.params["patience"], run.data.params["precision"]) == ("7", "auto")
    digest = read_manifest(outcome.directory).data_hash
    assert run.data.tags["data_hash"] == digest
    assert run.inputs
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("planted", digest[:36])
    assert json.loads(used.dataset.source) == {"dataset": "planted", "sha256": digest}
    assert run.data.metrics["live_towers_ndcg"] == 0.5
    assert run.data.metrics["seconds"] == 12.5
    for metric, values in {
        "loss": [5.0, 2.5],
        "learning_rate": [0.25, 0.5],
        "validation_ndcg": [0.2, 0.1],
        "validation_recall": [0.3, 0.3],
        "validation_hit_rate": [0.4, 0.4],
    }.items():
        history = client.get_metric_history(run.info.run_id, metric)
        assert [(point.step, point.value) for point in history] == list(enumerate(values, 1))

    pictures = Path(client.download_artifacts(run.info.run_id, PLOTS, str(tmp_path)))
    assert sorted(path.name for path in pictures.iterdir()) == ["epochs.png", "results.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures.iterdir())

    assert registry.note(outcome.version, {"index/recall": 0.75})
    assert client.get_run(str(version.run_id)).data.metrics["index/recall"] == 0.75
    assert not registry.note("another", {"index/recall": 0.75})

    assert registry.marked() == {CHALLENGER: outcome.version}
    assert registry.mark_champion(outcome.version)
    assert registry.marked() == {CHAMPION: outcome.version}
    assert not registry.mark_champion("another")
    assert registry.marked() == {CHAMPION: outcome.version}

    refused = ["refused", "kept"]
    for name in refused:
        client.create_model_version(MODEL, version.source, version.run_id, {"version": name})
    now = time.time()
    assert registry.drop({"kept"}, now - 3_600) == ()
    assert registry.drop({"kept"}, now + 1) == ("refused",)
    left = [it.tags["version"] for it in client.search_model_versions(f"name = '{MODEL}'")]
    assert sorted(left) == sorted([outcome.version, "kept"])
    assert client.get_run(str(version.run_id)).info.status == "FINISHED"


def test_the_model_that_is_registered_runs_and_has_a_signature(
    outcome: Outcome, artifact: Artifact, club_ratings: Ratings, tmp_path: Path
) -> None:
    from mlflow import MlflowClient, pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = Registry(uri)
    registry.record(outcome, "planted")
    client = MlflowClient(uri, uri)
    version = client.get_model_version_by_alias(MODEL, CHALLENGER)
    assert (tmp_path / "mlruns").is_dir()
    stored = client.get_model_version_download_uri(MODEL, version.version).removeprefix("file://")
    assert read_manifest(Path(stored)).version == outcome.version

    signature = Model.load(stored).signature
    sizes = {tensor.name: (tensor.type.name, tensor.shape) for tensor in signature.inputs}
    assert sizes == {
        "rated": ("float32", (-1, -1, 16)),
        "known": ("bool", (-1, -1)),
        "ratings": ("float32", (-1, -1)),
        "ages": ("float32", (-1, -1)),
        "features": ("float32", (-1, USER_FEATURES)),
    }
    [output] = signature.outputs
    assert (output.name, output.type.name, output.shape) == ("vectors", "float32", (-1, 16))

    model = pyfunc.load_model(stored)
    inputs = Histories.of_users(club_ratings, np.array([1, 2, 3])).tower_inputs(5)
    given = exported_inputs(inputs, artifact.items.vectors)
    [vectors] = model.predict(given).values()
    np.testing.assert_array_equal(vectors, artifact.embed_users(inputs))
    with pytest.raises(MlflowException, match="features"):
        model.predict({**given, "features": inputs.features[:, :2]})

    registry.record(outcome, "planted")
    assert int(client.get_model_version_by_alias(MODEL, CHALLENGER).version) == 2


def test_mlflow_does_not_answer(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"MLflow at http://127\.0\.0\.1:1 failed"):
        registry.record(outcome, "planted")
    with pytest.raises(Unavailable):
        registry.mark_champion(outcome.version)
