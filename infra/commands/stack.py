"""Commands: up: the local stack."""

import signal
from enum import StrEnum
from functools import partial
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
    from infra.services import api_gaps
    from infra.settings import load_settings

    console = Console()
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    try:
        with (
            stopped_by_sigterm(),
            LocalStack(load_settings(), broker.value, workers, say=say) as stack,
        ):
            console.print(stack.table())
            for what, why in api_gaps(stack.api_url).items():
                console.print(f"[yellow]{what}:[/] {why}")
            console.print(f"The API answers at {stack.api_url}. Ctrl-C stops everything.")
            signal.pause()
    except KeyboardInterrupt:
        console.print("stopped")
