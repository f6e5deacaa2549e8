"""Commands: up: the local stack."""

import signal
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer()


class Broker(StrEnum):
    tansu = "tansu"
    apache = "apache"


@app.command()
def up(
    workers: Annotated[int, typer.Option(min=1, help="How many stream workers.")] = 1,
    broker: Annotated[
        Broker, typer.Option(help="The embedded broker; apache needs Java 17 and Maven.")
    ] = Broker.tansu,
) -> None:
    """Start whatever is not configured to be external, and keep it running until Ctrl-C."""
    from infra.local import LocalStack, stopped_by_sigterm
    from infra.settings import load_settings

    console = Console()
    try:
        with (
            stopped_by_sigterm(),
            LocalStack(load_settings(), broker.value, workers, say=console.print) as stack,
        ):
            console.print(stack.table())
            console.print(f"The API answers at {stack.api_url}. Ctrl-C stops everything.")
            signal.pause()
    except KeyboardInterrupt:
        console.print("stopped")
