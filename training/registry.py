"""Where models are known: MLflow remembers trainings, the `models` topic says what to serve."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producers.publisher import BulkPublisher
from stream.contracts.events import MODEL_KEY, ModelEvent, encode, new_event_id
from training.artifact import Artifact, read_manifest
from training.index import collection_name
from training.tracking import connected, experiment

if TYPE_CHECKING:  # it imports torch, which promoting does not need
    from training.pipeline import Outcome

MODEL: Final = "freshet-two-tower"  # its name in MLflow: experiment and registered model
CANDIDATE: Final = "candidate"  # alias of the model version trained last
SERVING: Final = "serving"  # alias of the one promoted last


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
        with connected(self.tracking_uri) as client:
            home = experiment(client, self.tracking_uri, MODEL)
            run = client.create_run(home, run_name=manifest.version).info
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
        with connected(self.tracking_uri) as client:
            found = client.search_model_versions(
                f"name = '{MODEL}' and tags.version = '{version}'", max_results=1
            )
            if found:
                client.set_registered_model_alias(MODEL, SERVING, found[0].version)
            return bool(found)


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
