"""Command: data prepare: a data set made ready for the lab. `infra.commands.data` puts it there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from training.prepare import Prepared

app = typer.Typer()


@app.command()
def prepare(
    dataset: Annotated[
        str, typer.Option(help="A release, a file or a directory, as for check.")
    ] = "latest-small",
    data_dir: Annotated[
        Path | None, typer.Option(help="Looked into first. [default: FRESHET_DATA_DIR]")
    ] = None,
    movies: Annotated[
        Path | None, typer.Option(help="The movie,title,genres file of a ratings file.")
    ] = None,
    lenient: Annotated[
        bool, typer.Option(help="Use the good lines even if over 1% are bad.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random splits.")] = 0,
) -> None:
    """Write a data set's ratings, features, splits and figures as Parquet, for the lab.

    The same files and options are prepared once; a second run finds what the first wrote.
    """
    from infra.commands.data import find_source
    from infra.commands.train import training_progress
    from infra.settings import load_settings
    from training.prepare import Options
    from training.prepare import prepare as run

    source = find_source(dataset, data_dir, movies)
    with training_progress() as on_progress:
        prepared = run(
            source, load_settings().home / "prepared", Options(lenient, seed), on_progress
        )
    _report(prepared)


def _report(prepared: "Prepared") -> None:
    from rich.console import Console

    figures, quality = prepared.statistics, prepared.statistics["quality"]
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"{figures['ratings']:,} ratings of {figures['movies']:,} movies by {figures['users']:,} "
        f"users, {figures['first'][:10]} to {figures['last'][:10]}"
    )
    console.print(
        f"sparsity {figures['sparsity']:.2%}, mean {figures['mean']:.2f}, "
        f"deviation {figures['deviation']:.2f}"
    )
    for file in quality["files"]:
        why = ", ".join(f"{reason} {count:,}" for reason, count in file["dropped"].items())
        superseded = f"; {file['superseded']:,} superseded" if file["superseded"] else ""
        console.print(f"{file['file']}: {file['lines']:,} lines, dropped: {why or 0}{superseded}")
    console.print(
        f"{quality['missing']['movies_without_year']:,} movies without a year, "
        f"{quality['missing']['movies_without_genres']:,} without genres, "
        f"{quality['missing']['movies_without_ratings']:,} without ratings; "
        f"{quality['velocity']['users']['count']:,} users rated suspiciously fast"
    )
    found = "already prepared (cache hit)" if prepared.cached else "prepared"
    console.print(f"{found}: {prepared.directory}")
