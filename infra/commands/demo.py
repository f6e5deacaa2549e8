"""Commands: the demo."""

import typer

app = typer.Typer()
