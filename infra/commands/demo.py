"""The demo: `freshet demo`."""

import signal
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def demo(
    dataset: Annotated[
        str, typer.Option(help="A MovieLens release, a file or a directory.")
    ] = "latest-small",
    once: Annotated[
        bool, typer.Option(help="Check what is shown and end, instead of serving until Ctrl-C.")
    ] = False,
) -> None:
    """Real ratings through the whole stack; then a new person, whose list follows their ratings."""
    from rich.console import Console

    from infra.demo import run
    from infra.local import stopped_by_sigterm
    from infra.settings import load_settings

    console = Console()
    try:
        with stopped_by_sigterm(), run(load_settings(), dataset, console) as stack:
            if not once:
                console.print(f"\nThe API keeps answering at {stack.api_url}/docs until Ctrl-C.")
                signal.pause()
    except KeyboardInterrupt:
        console.print("stopped")
