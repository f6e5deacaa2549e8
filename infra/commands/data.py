"""Commands: data sets and the replay."""

import typer

app = typer.Typer()
