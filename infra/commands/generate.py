"""Command: data generate: a synthetic data set. `infra.commands.data` puts it in its place."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="The directory to write to.")],
    users: Annotated[int, typer.Option(help="How many people.")] = 162_000,
    movies: Annotated[int, typer.Option(help="How many movies.")] = 62_000,
    ratings: Annotated[int, typer.Option(help="How many ratings in all.")] = 25_000_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same data.")] = 0,
) -> None:
    """Make a data set in MovieLens' shape: as large as MovieLens 25M unless told otherwise.

    Every other command reads it when given the directory as its data set.
    """
    from rich.console import Console
    from rich.progress import Progress

    from producers.planted import Parameters
    from producers.synthetic import write

    parameters = Parameters(users=users, movies=movies, ratings=ratings, seed=seed)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("making and writing", total=2 * ratings)
        write(parameters, out, lambda more: bar.advance(task, more))
    typer.echo(f"{ratings:,} ratings of {movies:,} movies by {users:,} users: {out}")
