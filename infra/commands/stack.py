"""Commands: up: the local stack."""

import typer

app = typer.Typer()
