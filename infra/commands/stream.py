"""Commands: workers, dead letters, rebuild and verify."""

import typer

app = typer.Typer()
