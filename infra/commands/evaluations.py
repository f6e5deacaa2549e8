"""What the commands that measure models share: options, progress, tables on the screen, files."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from training.offline import OnProgress
    from training.runs import Result
    from training.tables import Cell

Models = Annotated[str, typer.Option(help="Such as ease,popularity. [default: all]")]
Cuts = Annotated[str, typer.Option("--k", help="Where lists are cut.")]
TunedFor = Annotated[
    str, typer.Option("--tune-for", help="The metric that hyperparameters are chosen by.")
]
Reference = Annotated[str, typer.Option(help="The model to compare with.")]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", dir_okay=False, writable=True, help="Write everything to this file too."
    ),
]
MarkdownFile = Annotated[
    Path | None,
    typer.Option(
        "--markdown", dir_okay=False, writable=True, help="Write the tables to this file too."
    ),
]
Track = Annotated[bool, typer.Option(help="Record each model's run in MLflow.")]

CUTS = "5,10,20,50,300"
FIRST_SCREEN = 10  # where lists are cut for what is shown


def words(text: str) -> list[str]:
    """From ``ease, popularity``."""
    return [word.strip() for word in text.split(",") if word.strip()]


def cuts(text: str) -> tuple[int, ...]:
    """From ``5,10,20``, ascending. Raises ConfigurationError."""
    from stream.contracts.errors import ConfigurationError

    for word in words(text):
        if not (word.isascii() and word.isdigit()):
            raise ConfigurationError(f"--k {word}: give whole numbers such as {CUTS}")
    return tuple(sorted({int(word) for word in words(text)}))


def half_stars(stars: float) -> int:
    """From 4 or 3.5. Raises ConfigurationError for what nobody can give."""
    from stream.contracts.errors import ConfigurationError

    if not (2 * stars).is_integer():
        raise ConfigurationError(f"--relevant-from {stars}: give 0.5, 1, 1.5 .. 5 stars")
    return int(2 * stars)


def shown_at(ks: Sequence[int]) -> int:
    """Where lists are cut for what is shown: at the first screen if they are, else at the last."""
    return FIRST_SCREEN if FIRST_SCREEN in ks else ks[-1]


def chosen(models: str, reference: str, default: Iterable[str]) -> list[str]:
    """The models to measure, the reference first. Raises ConfigurationError that lists all."""
    from training.baselines.catalogue import entry

    names = list(dict.fromkeys([reference, *(words(models) or default)]))
    for name in names:
        entry(name)
    return names


@contextmanager
def progress() -> Iterator["OnProgress"]:
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


def print_table(
    console: "Console",
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence["Cell | str"]],
) -> None:
    """Cells with their margins below them; headers broken so that many fit."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if title:  # not the table's own, which would be as narrow as the table
        console.print(title, style="bold", highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in columns:
        header = name.replace("@", "\n@").replace(" beside ", "\nbeside\n")
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    console.print(table)


def write(
    document: Mapping[str, Any],
    markdown: str,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """To the files that are wanted, in directories that are made where there are none."""
    texts = (json_file, json.dumps(document, indent=2) + "\n"), (markdown_file, markdown)
    for file, text in texts:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def record(results: "Sequence[Result]", tracking_uri: str, console: "Console") -> None:
    """In MLflow."""
    from training.tracking import track

    for result in results:
        track(result, tracking_uri)
    console.print(f"tracked in {tracking_uri}", highlight=False)


def _text(cell: "Cell | str") -> str:
    if isinstance(cell, str):
        return cell
    return "\n".join(filter(None, (cell.value, cell.margin)))
