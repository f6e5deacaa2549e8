"""Commands: the API."""

import typer

app = typer.Typer()
