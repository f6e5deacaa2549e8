"""The `freshet` command. Commands import what they need when they run: `--help` is quick."""

import sys

import typer
from rich.console import Console

from infra.commands import (
    archive,
    data,
    demo,
    drift,
    evaluate,
    experiment,
    keys,
    models,
    refresh,
    serve,
    stack,
    state,
    stream,
    train,
    tune,
    user,
)
from stream.contracts.errors import FreshetError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for group in (
    stack,
    demo,
    data,
    stream,
    archive,
    state,
    user,
    train,
    models,
    drift,
    refresh,
    evaluate,
    tune,
    serve,
    keys,
    experiment,
):
    app.add_typer(group.app)


def main() -> None:
    """Run the command line: our own errors become one line and exit status 1."""
    try:
        app()
    except FreshetError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(1)
