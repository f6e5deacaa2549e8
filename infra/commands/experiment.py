"""Commands: experiments with what is recommended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands.simulate import simulate

if TYPE_CHECKING:
    from rich.console import Console

    from api.schemas.experiments import Experiment, Report
    from infra.settings import Settings
    from stream.contracts.experiments import ExperimentEvent, ModelChoice

app = typer.Typer()
experiment = typer.Typer(no_args_is_help=True, help="Experiments: put, list, show, stop, simulate.")
app.add_typer(experiment, name="experiment")

NameArgument = Annotated[str, typer.Argument(help="As its definition says.")]


@experiment.command()
def put(
    definition: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="TOML: see docs/experiments.md.")
    ],
) -> None:
    """Begin an experiment, or change it: whoever need not change variant does not."""
    from functools import partial

    from rich.console import Console

    from infra.settings import load_settings
    from stream.experiments.definition import define, parse

    settings = load_settings()
    draft = parse(definition.read_text())
    known = _known(settings)
    event = define(draft, known, _now(), partial(_model, settings))
    _publish(settings, event)
    Console().print(
        f"experiment [b]{event.name}[/], round {event.round}, has "
        f"{event.end - event.begin:.0%} of group {event.group}",
        highlight=False,
    )


@experiment.command("list")
def list_experiments() -> None:
    """All experiments, those that run and those that do not."""
    from rich.console import Console
    from rich.table import Table

    from api.experiments.described import described
    from infra.settings import load_settings

    table = Table("name", "is", "kind", "group", "share", "variants", "round", "since (UTC)")
    for event in sorted(_known(load_settings()).values(), key=lambda it: (it.start, it.name)):
        it = described(event, _now())
        table.add_row(
            it.name,
            it.status,
            it.kind,
            it.group,
            f"{it.share:.0%}",
            ", ".join(f"{variant.name} {variant.weight:g}" for variant in it.variants),
            str(it.round),
            _utc(it.start),
        )
    Console().print(table)


@experiment.command()
def show(name: NameArgument) -> None:
    """What has come of an experiment. Look as often as you like."""
    import asyncio

    from rich.console import Console

    from infra.settings import load_settings

    settings = load_settings()
    event = _one(_known(settings), name)
    _print_report(Console(), asyncio.run(_report(settings, event)))


@experiment.command()
def stop(name: NameArgument) -> None:
    """End an experiment: everybody gets what they would without it. What was counted stays."""
    from rich.console import Console

    from infra.settings import load_settings
    from stream.experiments.definition import stopped

    settings = load_settings()
    event = _one(_known(settings), name)
    _publish(settings, stopped(event, _now()))
    Console().print(f"experiment [b]{name}[/] is stopped", highlight=False)


experiment.command()(simulate)


async def _report(settings: "Settings", event: "ExperimentEvent") -> "Report":
    from api.experiments.report import report
    from stream.experiments.store import RedisExperiments

    store = RedisExperiments(settings.redis())
    try:
        return report(event, await store.sums(event.name, event.round), _now())
    finally:
        await store.close()


def _print_report(console: "Console", found: "Report") -> None:
    from rich.table import Table

    it: Experiment = found.experiment
    console.print(f"[b]{it.name}[/], {it.status} since {_utc(it.start)}, round {it.round}")
    counts = Table("variant", "people", "lists", *next(iter(found.variants)).rates)
    for variant in found.variants:
        rates = (_figure(rate) for rate in variant.rates.values())
        counts.add_row(variant.variant, f"{variant.users:,}", f"{variant.impressions:,}", *rates)
    console.print(counts)
    table = Table("variant", "rate", "uplift", "difference", "at any time (95%)", "p at any time")
    for row in found.comparisons:
        low_high = row.anytime_interval
        table.add_row(
            row.variant,
            row.metric,
            "" if row.uplift is None else f"{row.uplift:+.1%}",
            _figure(row.difference),
            "" if low_high is None else f"{low_high[0]:+.4f} to {low_high[1]:+.4f}",
            _figure(row.anytime_p) + (" [b]*[/]" if row.significant else ""),
        )
    console.print(table)
    if not found.trustworthy:
        console.print(
            "[bold red]Not to be trusted:[/] there are not as many people of each variant as the "
            f"weights ask for (p = {found.sample_ratio.p:.2g}). Something keeps some from being "
            "counted, or others from being shown: find it before anything is made of this"
        )


def _known(settings: "Settings") -> "dict[str, ExperimentEvent]":
    from producers.admin import ensure_topics
    from stream.contracts.topics import Topics
    from stream.experiments.known import known_experiments

    kafka, topics = settings.librdkafka(), Topics(settings.kafka_topic_prefix)
    ensure_topics(kafka, topics, settings.kafka_partitions, settings.kafka_replication)
    return known_experiments(kafka, topics.experiments)


def _publish(settings: "Settings", event: "ExperimentEvent") -> None:
    from stream.contracts.topics import Topics
    from stream.experiments.known import publish

    topic = Topics(settings.kafka_topic_prefix).experiments
    publish(event, settings.librdkafka(), topic)


def _one(known: "dict[str, ExperimentEvent]", name: str) -> "ExperimentEvent":
    from stream.contracts.errors import ConfigurationError

    if name not in known:
        there = f"there are {', '.join(sorted(known))}" if known else "there is none"
        raise ConfigurationError(f"no experiment {name!r}: {there}")
    return known[name]


def _model(settings: "Settings", version: str) -> "ModelChoice":
    """A trained model that the API can serve. Raises FreshetError where it cannot."""
    from stream.contracts.experiments import ModelChoice
    from training.artifact import Artifact
    from training.index import collection_name
    from training.promotion import QdrantServer, directory_of, ensure_collection

    artifact = Artifact.load(directory_of(settings.artifacts, version))
    if settings.qdrant_url:
        key = settings.qdrant_api_key
        server = QdrantServer(settings.qdrant_url, key.get_secret_value() if key else None)
        ensure_collection(server.connect(), artifact)
    return ModelChoice(
        version=version,
        artifact=str(artifact.directory.absolute()),
        collection=collection_name(version),
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _utc(millis: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(millis / 1000, UTC):%F %T}"


def _now() -> int:
    import time

    return int(time.time() * 1000)
