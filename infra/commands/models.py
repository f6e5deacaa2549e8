"""Commands: which models there are, and which one is served."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from infra.settings import Settings
    from training.promotion import Promoted, Promoter

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="Models: list, show, promote, roll back, prune.")
app.add_typer(models, name="models")

VersionArgument = Annotated[str, typer.Argument(help="As `freshet train` named it.")]

# The figure of the list: what comes next, by both stages. `show` has all of them.
FIGURE = "live_two_stage_ndcg"


@models.command("list")
def list_models() -> None:
    """The models there are, latest first, and which one is served."""
    from rich.console import Console
    from rich.table import Table

    from infra.settings import load_settings
    from stream.contracts.errors import ArtifactError
    from training.artifact import read_manifest
    from training.promotion import versions

    settings, console = load_settings(), Console()
    standing, unknown = _standing(settings)
    table = Table("version", "trained (UTC)", "NDCG@10", "MiB", "is")
    for version in versions(settings.artifacts):
        directory, words = settings.artifacts / version, standing.pop(version, [])
        trained = figure = ""
        try:
            manifest = read_manifest(directory)
        except ArtifactError as error:
            words.append(f"[red]not to be served:[/] {error}")
        else:
            trained = manifest.created_at.replace("T", " ").removesuffix("+00:00")
            value = manifest.metrics.get(FIGURE)
            figure = "" if value is None else f"{value:.4f}"
        table.add_row(version, trained, figure, f"{_mebibytes(directory):.1f}", "; ".join(words))
    for version, words in standing.items():
        table.add_row(version, "", "", "", "; ".join([*words, "[red]not in the artifacts[/]"]))
    console.print(table)
    for line in unknown:
        console.print(f"[yellow]{line}[/]", highlight=False)


@models.command()
def show(version: VersionArgument) -> None:
    """What a model is, how good it was, and whether it could be served now."""
    from rich.console import Console
    from rich.table import Table

    from infra.settings import load_settings
    from stream.contracts.errors import ArtifactError
    from training.artifact import Artifact, read_manifest
    from training.promotion import directory_of

    settings, console = load_settings(), Console()
    directory = directory_of(settings.artifacts, version)
    manifest = read_manifest(directory)
    standing, unknown = _standing(settings)
    try:
        movies = len(Artifact.load(directory).items.movie_ids)
        whole = f"yes, of {movies:,} movies"
    except ArtifactError as error:
        whole = f"[red]no:[/] {error}"
    table = Table("what", "value", title=f"Model {version}")
    table.add_row("is", "; ".join(standing.get(version, ["not served"])))
    table.add_row("whole", whole)
    table.add_row("in", str(directory.absolute()))
    table.add_row("trained (UTC)", manifest.created_at)
    table.add_row("on data", manifest.data_hash)
    table.add_row("up to", str(manifest.position.offsets) if manifest.position else "of files")
    for name, value in {**manifest.config, **manifest.metrics}.items():
        known = "NaN" if value is None else str(value)
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else known)
    console.print(table)
    for line in unknown:
        console.print(f"[yellow]{line}[/]", highlight=False)


@models.command()
@app.command()
def promote(version: VersionArgument) -> None:
    """Serve a trained model from now on."""
    from rich.console import Console

    from infra.settings import load_settings

    promote_model(load_settings(), version, Console())


@models.command()
def rollback() -> None:
    """Serve what was served before the last promotion; again: what was served before that."""
    from rich.console import Console

    from infra.settings import load_settings

    _say(promoter(load_settings()).rollback(), "served again", Console())


@models.command()
def prune(
    days: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Older ones go, none of the last hour. [default: FRESHET_MODEL_RETENTION_DAYS]",
        ),
    ] = None,
) -> None:
    """Drop old models; never what is served, can be gone back to, is tried, or is the champion."""
    from datetime import timedelta

    from rich.console import Console

    from infra.settings import load_settings
    from training.retention import prune as drop

    settings, console = load_settings(), Console()
    kept = settings.model_retention_days if days is None else days
    dropped = drop(promoter(settings), timedelta(days=kept))
    for version in dropped.versions:
        console.print(f"model [b]{version}[/] is dropped", highlight=False)
    for name in dropped.unfinished:
        console.print(f"{name} is dropped: it was never finished", highlight=False)
    if dropped.registered:
        others = f"{len(dropped.registered):,} versions are taken off the list in MLflow"
        console.print(others, highlight=False)
    if not any(dropped):
        console.print(f"nothing to drop that is older than {kept:g} days", highlight=False)


def promoter(settings: "Settings") -> "Promoter":
    """Has models served where the settings say.

    Raises ConfigurationError without a broker or Redis.
    """
    from stream.contracts.topics import Topics
    from training.promotion import Promoter, QdrantServer
    from training.registry import Registry

    key = settings.qdrant_api_key
    return Promoter(
        artifacts=settings.artifacts,
        kafka=settings.librdkafka(),
        topics=Topics(settings.kafka_topic_prefix),
        registry=Registry(settings.tracking_uri),
        redis=settings.redis(),
        qdrant=(
            QdrantServer(settings.qdrant_url, key.get_secret_value() if key else None)
            if settings.qdrant_url
            else None
        ),
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
    )


def promote_model(settings: "Settings", version: str, console: "Console") -> None:
    """Serve a version from now on, and say so. Raises as `Promoter.promote`."""
    _say(promoter(settings).promote(version), "promoted", console)


def _say(promoted: "Promoted", what: str, console: "Console") -> None:
    console.print(f"model [b]{promoted.event.version}[/] is {what}", highlight=False)
    for line in promoted.left:
        console.print(f"[yellow]{line}[/]", highlight=False)


def _standing(settings: "Settings") -> tuple[dict[str, list[str]], list[str]]:
    """What is said of each version by those who know, and lines about those who do not answer."""
    from stream.contracts.errors import FreshetError
    from stream.contracts.topics import Topics
    from training.promotion import last_promotion
    from training.registry import Registry

    words: dict[str, list[str]] = {}
    unknown = []
    try:
        topic = Topics(settings.kafka_topic_prefix).models
        served = last_promotion(settings.librdkafka(), topic)
    except FreshetError as error:
        unknown.append(f"What is served is not known: {error}")
    else:
        if served is not None:
            words[served.version] = ["served"]
            for steps, version in enumerate(served.previous, 1):
                words[version] = [f"served before ({steps} back)"]
    try:
        marked = Registry(settings.tracking_uri).marked()
    except FreshetError as error:
        unknown.append(f"Champion and challenger are not known: {error}")
    else:
        for alias, version in sorted(marked.items()):
            words.setdefault(version, []).append(alias)
    return words, unknown


def _mebibytes(directory: "Path") -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 2**20
