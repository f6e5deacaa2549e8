"""Training runs and model versions in MLflow.

It remembers; what is served is said by the `models` topic alone (`training.promotion`).
"""

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from training.artifact import read_manifest
from training.flat import Value
from training.signature import write_mlmodel
from training.tracking import connected, experiment, log_dataset

if TYPE_CHECKING:  # it imports torch, which promoting does not need
    from training.pipeline import Outcome

MODEL: Final = "freshet-two-tower"  # its name in MLflow: experiment and registered model
CHAMPION: Final = "champion"  # alias of the model version promoted last
CHALLENGER: Final = "challenger"  # alias of the one trained last, until it is the champion
FILES: Final = "model"  # a run's artifacts: all of `training.artifact`, and how MLflow may run it
PLOTS: Final = "plots"  # a run's pictures


@dataclass(frozen=True, slots=True)
class Registry:
    """Training runs and model versions in MLflow.

    Everything raises Unavailable when MLflow does not answer.

    Args:
        tracking_uri: of MLflow; an SQLite database is created where there is none.
    """

    tracking_uri: str

    def record(self, outcome: "Outcome", dataset: str) -> None:
        """Record a run with its figures, pictures and files, and register its model.

        The model is the challenger then, and has a signature: that of its user tower.

        Args:
            outcome: of the training.
            dataset: the name of what it was trained on, such as ``ml-100k``.
        """
        from mlflow.entities import Param, RunTag

        from training.training_plots import draw_epochs, draw_results

        manifest = read_manifest(outcome.directory)
        params: dict[str, Value] = {"best_epoch": outcome.best_epoch}
        for table in outcome.experiment.tables.values():
            params |= table
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
                _metrics(outcome, manifest.metrics),
                [Param(name, str(value)) for name, value in params.items()],
                [RunTag(name, value) for name, value in tags.items()],
            )
            log_dataset(client, run.run_id, dataset, manifest.data_hash)
            with TemporaryDirectory() as scratch:
                pictures = Path(scratch) / PLOTS
                draw_epochs(outcome.epochs, outcome.best_epoch, pictures / "epochs.png")
                draw_results(outcome.results, pictures / "results.png")
                client.log_artifacts(run.run_id, str(pictures), PLOTS)
                client.log_artifacts(run.run_id, str(outcome.directory), FILES)
                described = write_mlmodel(outcome.directory, Path(scratch))
                client.log_artifact(run.run_id, str(described), FILES)
            client.set_terminated(run.run_id)
            if not client.search_registered_models(f"name = '{MODEL}'"):
                client.create_registered_model(MODEL)
            version = client.create_model_version(
                MODEL, f"{run.artifact_uri}/{FILES}", run.run_id, tags
            )
            client.set_registered_model_alias(MODEL, CHALLENGER, version.version)

    def note(self, version: str, figures: Mapping[str, float]) -> bool:
        """Add figures to a model's run, finite ones; False where MLflow does not know it."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with connected(self.tracking_uri) as client:
            found = _versions(client, f"tags.version = '{version}'")
            if not found:
                return False
            metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
            client.log_batch(found[0].run_id, metrics)
            return True

    def drop(self, kept: Collection[str], before: float) -> tuple[str, ...]:
        """Take models off the list of versions, latest first; which ones. Their runs stay.

        Args:
            kept: versions that stay on it, beside those that have an alias.
            before: s since the epoch: what was registered later stays.
        """
        with connected(self.tracking_uri) as client:
            named = set(_aliases(client).values())
            gone = [
                found
                for found in _versions(client)
                if found.tags.get("version") not in kept
                and str(found.version) not in named
                and found.creation_timestamp < before * 1000
            ]
            for found in gone:
                client.delete_model_version(MODEL, found.version)
            return tuple(str(found.tags.get("version")) for found in gone)

    def mark_champion(self, version: str) -> bool:
        """Make a model version the champion; False where MLflow does not know it."""
        with connected(self.tracking_uri) as client:
            found = _versions(client, f"tags.version = '{version}'")
            if not found:
                return False
            number = str(found[0].version)
            client.set_registered_model_alias(MODEL, CHAMPION, number)
            if _aliases(client).get(CHALLENGER) == number:
                client.delete_registered_model_alias(MODEL, CHALLENGER)
            return True

    def marked(self) -> dict[str, str]:
        """The version of each alias, such as `CHAMPION`."""
        with connected(self.tracking_uri) as client:
            return {
                alias: client.get_model_version(MODEL, number).tags["version"]
                for alias, number in _aliases(client).items()
            }


def _versions(client: Any, which: str = "") -> list[Any]:
    """All of them, or those that a filter of MLflow's lets through, latest first."""
    wanted = " and ".join(filter(None, (f"name = '{MODEL}'", which)))
    found: list[Any] = []
    token = None
    while True:
        page = client.search_model_versions(
            wanted, order_by=["version_number DESC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def _aliases(client: Any) -> dict[str, str]:
    """MLflow's number of the version that each alias names."""
    found = client.search_registered_models(f"name = '{MODEL}'")
    return {alias: str(number) for of in found for alias, number in of.aliases.items()}


def _metrics(outcome: "Outcome", figures: Mapping[str, float | None]) -> list[Any]:
    """Of the whole run, and of each epoch at its number."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
    metrics.append(Metric("seconds", outcome.seconds, now, 0))
    for epoch in outcome.epochs:
        of_epoch = {
            "loss": epoch.loss,
            "learning_rate": epoch.learning_rate,
            "validation_ndcg": epoch.validation.ndcg,
            "validation_recall": epoch.validation.recall,
            "validation_hit_rate": epoch.validation.hit_rate,
        }
        metrics += [
            Metric(name, value, now, epoch.number)
            for name, value in of_epoch.items()
            if not math.isnan(value)  # before the first epoch there is no loss
        ]
    return metrics
