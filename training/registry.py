"""Where models are known: MLflow remembers every training, the `models` topic says what to serve.

MLflow is imported where it is used: importing it takes two seconds.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from producers.publisher import BulkPublisher
from stream.contracts.errors import Unavailable
from stream.contracts.events import MODEL_KEY, ModelEvent, encode, new_event_id
from training.artifact import Artifact, read_manifest
from training.index import collection_name

if TYPE_CHECKING:  # it imports torch, which promoting does not need
    from training.pipeline import Outcome

MODEL: Final = "freshet-two-tower"  # its name in MLflow: experiment and registered model
CANDIDATE: Final = "candidate"  # alias of the model version trained last
SERVING: Final = "serving"  # alias of the one promoted last

_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Registry:
    """Training runs and model versions in MLflow.

    Everything raises Unavailable when MLflow does not answer.

    Args:
        tracking_uri: of MLflow; an SQLite database is created where there is none.
    """

    tracking_uri: str

    def record(self, outcome: "Outcome") -> None:
        """Record a run with its figures and files, and register its model as the candidate."""
        from mlflow.entities import Metric, Param, RunTag

        manifest = read_manifest(outcome.directory)
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in manifest.metrics.items()]
        for epoch in outcome.epochs:
            figures = {"loss": epoch.loss, "validation_ndcg": epoch.validation.ndcg}
            metrics += [Metric(name, value, now, epoch.number) for name, value in figures.items()]
        metrics.append(Metric("seconds", outcome.seconds, now, 0))
        params = {**manifest.config, "best_epoch": outcome.best_epoch}
        tags = {
            "version": manifest.version,
            "data_hash": manifest.data_hash,
            "feature_version": str(manifest.feature_version),
        }
        with self._client() as client:
            run = client.create_run(self._experiment(client), run_name=manifest.version).info
            client.log_batch(
                run.run_id,
                metrics,
                [Param(name, str(value)) for name, value in params.items()],
                [RunTag(name, value) for name, value in tags.items()],
            )
            client.log_artifacts(run.run_id, str(outcome.directory), "model")
            client.set_terminated(run.run_id)
            if not client.search_registered_models(f"name = '{MODEL}'"):
                client.create_registered_model(MODEL)
            version = client.create_model_version(
                MODEL, f"{run.artifact_uri}/model", run.run_id, tags
            )
            client.set_registered_model_alias(MODEL, CANDIDATE, version.version)

    def mark_serving(self, version: str) -> bool:
        """Give the alias to a model version; False where MLflow does not know it."""
        with self._client() as client:
            found = client.search_model_versions(
                f"name = '{MODEL}' and tags.version = '{version}'", max_results=1
            )
            if found:
                client.set_registered_model_alias(MODEL, SERVING, found[0].version)
            return bool(found)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes
        try:
            yield MlflowClient(self.tracking_uri, self.tracking_uri)
        except MlflowException as error:
            raise Unavailable(f"MLflow at {self.tracking_uri} failed: {error}") from error

    def _experiment(self, client: Any) -> str:
        """The experiment's id. Beside a local database its files are kept beside it too."""
        known = client.get_experiment_by_name(MODEL)
        if known is not None:
            return str(known.experiment_id)
        files = None
        if self.tracking_uri.startswith(_SQLITE):
            database = Path(self.tracking_uri.removeprefix(_SQLITE)).absolute()
            files = (database.parent / "mlruns").as_uri()
        return str(client.create_experiment(MODEL, files))


def promote(artifact: Artifact, kafka: Mapping[str, str], topic: str) -> ModelEvent:
    """Tell everyone to serve this model; returns once the broker has it.

    Args:
        artifact: at a path that the API and the workers see too.
        kafka: `Settings.librdkafka()`.
        topic: `Topics.models`.

    Raises:
        BrokerUnavailable: the promotion was not acknowledged.
    """
    now = int(time.time() * 1000)
    event = ModelEvent(
        event_id=new_event_id(),
        version=artifact.manifest.version,
        artifact=str(artifact.directory.absolute()),
        collection=collection_name(artifact.manifest.version),
        event_time=now,
        produced_time=now,
    )
    with BulkPublisher(kafka) as publisher:
        publisher.publish(topic, MODEL_KEY, encode(event))
    return event
