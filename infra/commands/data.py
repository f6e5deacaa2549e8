"""Commands: data sets, the replay, and the schemas of the events."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands import generate, prepare

if TYPE_CHECKING:
    from producers.datasets import Dataset, Source
    from producers.download import Progress
    from producers.replay import Status

app = typer.Typer()
data = typer.Typer(no_args_is_help=True, help="Data sets: fetch, check, make.")
events = typer.Typer(no_args_is_help=True, help="The events on the wire.")
data.add_typer(generate.app)
data.add_typer(prepare.app)
app.add_typer(data, name="data")
app.add_typer(events, name="events")

SCHEMAS = Path("docs/events")
JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

DatasetArgument = Annotated[
    str,
    typer.Argument(
        help="100k, 1m, 10m, 20m, 25m, 32m, latest-small, latest, or the path of a "
        "user,item,rating,timestamp file or of a directory with ratings and movies."
    ),
]
DatasetOption = Annotated[str, typer.Option(help="A release, a file or a directory, as for check.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Looked into first. [default: FRESHET_DATA_DIR]")
]
Movies = Annotated[Path | None, typer.Option(help="The movie,title,genres file of a ratings file.")]
Lenient = Annotated[bool, typer.Option(help="Use the good lines even if over 1% are bad.")]


@data.command()
def fetch(dataset: DatasetArgument = "latest-small", data_dir: DataDir = None) -> None:
    """Say where a data set is, after downloading it if it is nowhere yet."""
    source = find_source(dataset, data_dir, None)
    typer.echo(f"{source.name}: {source.origin}")


@data.command()
def check(
    dataset: DatasetArgument = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
) -> None:
    """Read a data set and report what is in it, and what was dropped and why."""
    from rich.console import Console
    from rich.table import Table

    loaded = load_dataset(dataset, data_dir, movies, lenient)
    console = Console()
    console.print(f"{loaded.source.name}: {loaded.source.origin}", highlight=False, markup=False)
    times = loaded.ratings["timestamp"].to_numpy()
    first, last = (datetime.fromtimestamp(time / 1000, UTC) for time in times[[0, -1]].tolist())
    console.print(
        f"{loaded.ratings.num_rows:,} ratings of {loaded.movies.num_rows:,} movies by "
        f"{len(loaded.ratings['user_id'].unique()):,} users, {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        highlight=False,
    )
    table = Table("file", "lines", "dropped", "why", "superseded")
    for report in loaded.reports:
        why = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.items())
        table.add_row(
            report.path.name, f"{report.lines:,}", f"{report.bad:,}", why, f"{report.superseded:,}"
        )
    console.print(table)
    for report in loaded.reports:
        for number, reason, text in report.examples:
            console.print(
                f"{report.path.name}:{number}: {reason}: {text}", highlight=False, markup=False
            )


@app.command()
def replay(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    speed: Annotated[str | None, typer.Option(help="Time compression such as 60x, or max.")] = None,
    rate: Annotated[str | None, typer.Option(help="Events a second, such as 500/s.")] = None,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=DATES, help="From this time on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=DATES, help="Before this time (UTC).")
    ] = None,
    users: Annotated[str, typer.Option(help="Only these user ids, such as 1-100,205.")] = "",
    loop: Annotated[
        bool, typer.Option(help="Begin again at the end, for ever, with the same times.")
    ] = False,
) -> None:
    """Publish a data set's movies, then its ratings in the order in which they happened.

    Interrupted in any way, the same command goes on where it stopped. Exit status 1 means that not
    everything was acknowledged.
    """
    from infra.settings import load_settings
    from producers.admin import ensure_topics
    from producers.pace import Pace
    from producers.replay import publish_movies, select
    from producers.replay import replay as run
    from stream.contracts.topics import Topics

    settings = load_settings()
    config, topics = settings.librdkafka(), Topics(settings.kafka_topic_prefix)
    pace, chosen = Pace.parse(speed, rate), parse_users(users)
    loaded = load_dataset(dataset, data_dir, movies, lenient)
    ensure_topics(config, topics, settings.kafka_partitions, settings.kafka_replication)
    publish_movies(loaded.movies, loaded.tags, config, topics)
    ratings = select(loaded.ratings, millis(start), millis(until), chosen)
    laps = None if loop else 1
    with _replay_progress() as on_progress:
        published = run(ratings, config, topics, pace=pace, laps=laps, on_progress=on_progress)
    typer.echo(f"published {published:,} ratings; the log has all {ratings.num_rows:,} of them")


@events.command()
def schema(
    out: Annotated[Path, typer.Option(help="The directory to write to.")] = SCHEMAS,
) -> None:
    """Write the JSON Schema of each event, for producers in other languages."""
    out.mkdir(parents=True, exist_ok=True)
    for tag, text in schema_files().items():
        (out / f"{tag}.schema.json").write_text(text)
        typer.echo(out / f"{tag}.schema.json")


def schema_files() -> dict[str, str]:
    """The text of each event's schema file, by the event's tag."""
    import json

    from stream.contracts import events, experiments

    return {
        tag: json.dumps({"$schema": JSON_SCHEMA, **schema}, indent=2) + "\n"
        for tag, schema in events.json_schemas(events.EVENTS + experiments.EVENTS).items()
    }


def parse_users(text: str) -> list[range]:
    """From ``1-100,205``. Raises ConfigurationError."""
    from stream.contracts.errors import ConfigurationError

    chosen = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise ConfigurationError(f"--users {part!r} is not an id or a range such as 1-100")
        chosen.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return chosen


def millis(time: datetime | None) -> int | None:
    """A time given without zone, which is UTC, in ms since the epoch."""
    return None if time is None else int(time.replace(tzinfo=UTC).timestamp() * 1000)


def find_source(dataset: str, data_dir: Path | None, movies: Path | None) -> "Source":
    """Find a data set as every command does. Raises DatasetError."""
    from infra.settings import load_settings
    from producers.datasets import find

    settings = load_settings()
    with _download_progress() as on_progress:
        return find(
            dataset,
            cache=settings.home / "datasets",
            data_dir=data_dir or settings.data_dir,
            movies_file=movies,
            say=lambda text: typer.echo(text, err=True),
            on_progress=on_progress,
        )


def load_dataset(
    dataset: str, data_dir: Path | None, movies: Path | None, lenient: bool
) -> "Dataset":
    """`find_source`, and read it. Raises DatasetError."""
    from producers.datasets import load

    return load(find_source(dataset, data_dir, movies), lenient)


@contextmanager
def _download_progress() -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("downloading")

    def show(here: int, total: int | None) -> None:
        bar.start()  # not before there is something to download
        bar.update(task, completed=here, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _replay_progress() -> "Iterator[Callable[[Status], None]]":
    """A bar with the rate, what the broker has yet to acknowledge, and why it does not."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} {task.fields[waiting]:,} waiting"),
        TextColumn("[red]{task.fields[trouble]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, rate="", waiting=0, trouble="")

        def show(status: "Status") -> None:
            if bar.tasks[task].total is None and not bar.tasks[task].completed:
                bar.reset(task, completed=status.done)  # what was there before has no rate
            bar.update(
                task,
                completed=status.done,
                total=status.total,
                rate=f"{bar.tasks[task].speed or 0:,.0f}/s,",
                waiting=status.waiting,
                trouble=status.trouble,
            )

        yield show
