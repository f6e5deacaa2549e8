"""Commands: training and promotion."""

import typer

app = typer.Typer()
