"""Command: drift of the model that is served."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from infra.settings import Settings
    from training.drift import Drift
    from training.follow_up import Shown

app = typer.Typer()


@app.command()
def drift(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Write them there too, for node exporter's textfile collector: *.prom."),
    ] = None,
) -> None:
    """Compare what happens with what the served model learnt; exit with 1 where that has drifted.

    Distributions of ratings and features, quality on the newest events and in the lists that people
    were shown, staleness of model and index, each with its limit. All ratings are the archive's.
    """
    from rich.console import Console

    from infra.settings import load_settings
    from stream.contracts.errors import ConfigurationError

    found = measure_drift(load_settings())
    if found is None:
        raise ConfigurationError(
            "nothing is served that could drift: train a model with `freshet train --promote`"
        )
    if metrics is not None:
        from training.drift_metrics import DriftMetrics

        of_prometheus = DriftMetrics()
        of_prometheus.show(found)
        of_prometheus.write(metrics)
    if as_json:
        import json

        typer.echo(json.dumps(found.document(), indent=2))
    else:
        Console().print(_table(found))
    if found.above:
        raise typer.Exit(1)


def measure_drift(settings: "Settings") -> "Drift | None":
    """Of what is served now; None where nothing is.

    Raises:
        DatasetError: nothing is archived yet of movies that the catalogue knows.
        FreshetError: broker, archive or model cannot be read.
    """
    import time

    from api.schemas.common import MAX_LIMIT
    from api.serving.models import POPULAR
    from api.serving.watcher import TRENDING
    from producers.admin import partition_count, topic_id
    from stream.archive import Archive
    from stream.contracts.topics import Topics
    from training.artifact import read_manifest
    from training.decisions import decision_about
    from training.drift_measure import measure, quality_at_promotion
    from training.promotion import last_promotion
    from training.served import Served
    from training.snapshot import archived, read_catalogue

    kafka, topics = settings.librdkafka(), Topics(settings.kafka_topic_prefix)
    event = last_promotion(kafka, topics.models)
    if event is None:
        return None
    model = Served(Path(event.artifact), TRENDING, POPULAR, MAX_LIMIT)
    decision = decision_about(event.version, kafka, topics.refreshes)
    archive = Archive.open(settings.archive)
    now = int(time.time() * 1000)
    return measure(
        model,
        quality_at_promotion(read_manifest(model.directory), decision),
        archive,
        archived(archive, topic_id(kafka, topics.ratings), partition_count(kafka, topics.ratings)),
        read_catalogue(kafka, topics.movies),
        now,
        _shown(settings, now),
    )


def _shown(settings: "Settings", now: int) -> "Shown | None":
    """None where there is no such topic, as in a cluster older than it until a worker starts."""
    import asyncio

    from producers.admin import partition_count
    from stream.contracts.errors import NoTopic
    from stream.contracts.topics import Topics
    from stream.experiments.shown import lately_shown
    from stream.features import DAY
    from stream.log_reader import KafkaLog
    from training.follow_up import DAYS, EXPOSURES, Shown

    kafka, topic = settings.librdkafka(), Topics(settings.kafka_topic_prefix).exposures
    try:
        partitions = partition_count(kafka, topic)
    except NoTopic:
        return None
    pages = asyncio.run(
        lately_shown(KafkaLog(kafka, topic), partitions, now - DAYS * DAY, EXPOSURES)
    )
    return Shown(pages, settings.experiment_window_seconds * 1000)


def drifted(settings: "Settings") -> tuple[str, ...]:
    """Sentences: why the model that is served should be renewed. Raises FreshetError.

    None where nothing can be told: a model that cannot be read is to be replaced, not to stand in
    the way of that.
    """
    from stream.contracts.errors import ArtifactError, DatasetError
    from training.drift import sentences

    try:
        found = measure_drift(settings)
    except (ArtifactError, DatasetError):  # or nothing is archived yet
        return ()
    return sentences(found.above) if found else ()


def _table(found: "Drift") -> "Table":
    import math

    from rich.table import Table

    table = Table("check", "value", "limit", "", "what was found", title=f"Model {found.version}")
    for check in found.checks:
        known = not math.isnan(check.value)
        verdict = "[red]drift[/]" if check.above else "" if known else "too little to tell"
        value = f"{check.value:.3g}" if known else "-"
        table.add_row(check.name, value, f"{check.limit:.3g}", verdict, check.says)
    return table
