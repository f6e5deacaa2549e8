"""Commands: training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from infra.commands.data import DATES, DataDir, DatasetOption, Lenient, Movies
from training.options import Device, Precision

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from infra.settings import Settings
    from producers.datasets import Dataset
    from training.checkpoint import Checkpoint
    from training.experiment import Experiment
    from training.pipeline import Outcome

app = typer.Typer()

# Of the help: options that an experiment has too.
RUN: Final = "Instead of what the experiment says"


@app.command()
def train(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    until: Annotated[
        datetime | None, typer.Option(formats=DATES, help="Only ratings before this time (UTC).")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="An experiment, such as experiments/default.toml.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most.", rich_help_panel=RUN)] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs that may be no better.", rich_help_panel=RUN),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of everything random.", rich_help_panel=RUN)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="For each of two models.", rich_help_panel=RUN)
    ] = None,
    device: Annotated[
        Device | None, typer.Option(help="Where to train.", rich_help_panel=RUN)
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Of matrix products.", rich_help_panel=RUN)
    ] = None,
    compile: Annotated[
        bool | None, typer.Option(help="With torch.compile.", rich_help_panel=RUN)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last epoch of the same experiment.")
    ] = False,
    promote: Annotated[bool, typer.Option("--promote", help="Serve the model at once.")] = False,
    track: Annotated[bool, typer.Option(help="Record the run in MLflow.")] = True,
) -> None:
    """Train towers, links and ranker, compare them with popularity, and build their index.

    Under torchrun, its processes share the training: torchrun --nproc-per-node 2 -m infra train
    """
    from infra.commands.data import find_source, millis
    from infra.settings import load_settings
    from producers.datasets import load
    from producers.replay import select
    from training import distributed
    from training.checkpoint import Checkpoint
    from training.experiment import Experiment
    from training.pipeline import assist

    settings = load_settings()
    if promote:
        settings.librdkafka()  # before the work, not after it
    experiment = Experiment.load(config) if config else Experiment()
    given = {
        "max_epochs": epochs,
        "patience": patience,
        "seed": seed,
        "threads": threads,
        "device": device,
        "precision": precision,
        "compile": compile,
    }
    experiment = experiment.running({k: v for k, v in given.items() if v is not None})
    with distributed.processes():
        source = distributed.of_leader(lambda: find_source(dataset, data_dir, movies))
        loaded = load(source, lenient)
        loaded = replace(loaded, ratings=select(loaded.ratings, None, millis(until)))
        name = f"{config.stem if config else 'default'}-{source.name}.checkpoint"
        checkpoint = Checkpoint(settings.checkpoints / name, resume)
        if distributed.leads():
            _lead(settings, loaded, experiment, checkpoint, track, promote)
        else:
            assist(loaded.ratings, loaded.movies, experiment, checkpoint)


def _lead(
    settings: "Settings",
    data: "Dataset",
    experiment: "Experiment",
    checkpoint: "Checkpoint",
    track: bool,
    promote: bool,
) -> None:
    """Train, and say what came of it."""
    from rich.console import Console

    from infra.commands.models import promote_model
    from training.pipeline import train as run
    from training.registry import Registry

    console = Console()
    with training_progress() as on_progress:
        outcome = run(
            data.ratings,
            data.movies,
            settings.artifacts,
            config=experiment.towers,
            two_stage=experiment.two_stage,
            options=experiment.run,
            checkpoint=checkpoint,
            on_progress=on_progress,
        )
    print_outcome(outcome, console)
    if track:
        Registry(settings.tracking_uri).record(outcome, data.source.name)
        console.print(f"tracked in {settings.tracking_uri}", highlight=False)
    console.print(f"model [b]{outcome.version}[/] is in {outcome.directory}", highlight=False)
    if promote:
        promote_model(settings, outcome.version, console)
    else:
        console.print(f"Serve it with `freshet promote {outcome.version}`.", highlight=False)


def print_outcome(outcome: "Outcome", console: "Console") -> None:
    """The model's quality beside popularity's."""
    from rich.table import Table

    from training.evaluate import K

    titles = {"live": "the next one", "frozen": "all later ones"}
    columns = ("liked movies", "model", f"recall@{K}", f"NDCG@{K}", "hit rate", "lists")
    table = Table(*columns, title="On the last 10% of the ratings, trained on the first 80%")
    for protocol, comparison in outcome.results.items():
        for model, quality in comparison._asdict().items():
            figures = (f"{x:.4f}" for x in (quality.recall, quality.ndcg, quality.hit_rate))
            table.add_row(titles[protocol], model, *figures, f"{quality.lists:,}")
    console.print(table)
    console.print(
        f"trained {outcome.best_epoch} epochs, {outcome.seconds:.0f} s in all", highlight=False
    )


@contextmanager
def training_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=of)
            bar.update(tasks[stage], completed=done)

        yield show
