"""Commands: how good the models are."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands.data import DataDir, DatasetOption, Lenient, Movies

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from training.offline import OnProgress
    from training.summary import Summary

app = typer.Typer()
evaluate = typer.Typer(no_args_is_help=True, help="How good the models are.")
app.add_typer(evaluate, name="eval")

FIGURES = ("ndcg", "recall", "precision", "hit_rate", "map", "coverage")  # shown unless told
FIRST_SCREEN = 10  # where lists are cut for what is shown


@evaluate.command()
def offline(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    split: Annotated[
        str,
        typer.Option(
            help="What is held out: random (of each user's ratings), time (the latest), last (of "
            "each user), strong (users whom the model has not met), folds."
        ),
    ] = "random",
    test: Annotated[
        float | None,
        typer.Option(help="The share held out; of the users for strong. [default: 0.2; 0.1]"),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="How many. [default: 5]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is random. [default: 0]")] = None,
    models: Annotated[str, typer.Option(help="Such as ease,popularity. [default: all]")] = "",
    k: Annotated[str, typer.Option(help="Where lists are cut.")] = "5,10,20,50",
    relevant_from: Annotated[
        float, typer.Option(min=0.5, max=5, help="Stars from which a rating is to be found.")
    ] = 0.5,
    tune_for: Annotated[
        str, typer.Option(help="The metric that hyperparameters are chosen by.")
    ] = "ndcg@10",
    reference: Annotated[str, typer.Option(help="The model to compare with.")] = "popularity",
    figures: Annotated[
        str, typer.Option(help="Those to show; the first one is compared, such as rmse,ndcg@10.")
    ] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file too.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write the table to this file too.")
    ] = None,
    track: Annotated[bool, typer.Option(help="Record each model's run in MLflow.")] = True,
) -> None:
    """Measure models on ratings that they have not seen, as the literature does.

    Hyperparameters are chosen on a validation part of what a model may know. Interrupted in any
    way, the same command goes on after the last model that was finished.
    """
    from rich.console import Console

    from infra.commands.data import load_dataset
    from infra.settings import load_settings
    from training.baselines.catalogue import MODELS, entry
    from training.dataset import Ratings
    from training.offline import Protocol
    from training.offline import evaluate as run
    from training.runs import Runs
    from training.split import named
    from training.summary import Summary
    from training.tracking import track as record

    settings, console = load_settings(), Console()
    protocol = Protocol(
        named(split, test=test, folds=folds, seed=seed),
        tuple(sorted({_number(word) for word in _words(k)})),
        round(2 * relevant_from),
        tune_for,
    )
    cut = FIRST_SCREEN if FIRST_SCREEN in protocol.ks else protocol.ks[-1]
    shown = protocol.known(_words(figures) or [f"{name}@{cut}" for name in FIGURES])
    chosen = list(dict.fromkeys([reference, *(_words(models) or MODELS)]))
    for name in chosen:
        entry(name)  # before the work, not after it
    loaded = load_dataset(dataset, data_dir, movies, lenient)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
    with _progress() as on_progress:
        results = run(
            ratings, loaded.source.name, chosen, protocol, Runs(settings.evaluations), on_progress
        )
    summary = Summary(results, reference, shown)
    _print(summary, console)
    if json_file is not None:
        json_file.write_text(json.dumps(summary.document(), indent=2) + "\n")
    if markdown_file is not None:
        markdown_file.write_text(summary.markdown())
    if track:
        for result in results:
            record(result, settings.tracking_uri)
        console.print(f"tracked in {settings.tracking_uri}", highlight=False)


def _print(summary: "Summary", console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from training.summary import COSTS

    table = Table(title=summary.title, box=SIMPLE_HEAD, padding=0)
    for name in summary.columns:
        header = name.replace("@", "\n@").replace(" beside ", "\nbeside\n")
        table.add_column(header, overflow="fold")
    for row in summary.rows:
        table.add_row(*("\n".join(filter(None, (cell.value, cell.margin))) for cell in row))
    console.print(table)
    costs = Table(*COSTS, box=SIMPLE_HEAD)
    for cost in summary.costs:
        costs.add_row(*cost)
    console.print(costs)


@contextmanager
def _progress() -> Iterator["OnProgress"]:
    """A bar for each model, which says what is being done with it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(model: str, stage: str, done: int, of: int) -> None:
            if model not in tasks:
                tasks[model] = bar.add_task(model)
            bar.update(tasks[model], description=f"{model}: {stage}", completed=done, total=of)

        yield show


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(word: str) -> int:
    from stream.contracts.errors import ConfigurationError

    if not (word.isascii() and word.isdigit()):
        raise ConfigurationError(f"--k {word}: give whole numbers such as 5,10,20,50")
    return int(word)
