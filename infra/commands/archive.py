"""Command: the archiver."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def archive(
    once: Annotated[
        bool, typer.Option("--once", help="Archive what the log has now, and end.")
    ] = False,
) -> None:
    """Write the log of ratings to the archive until stopped; a second one stands by."""
    from contextlib import ExitStack

    from infra.logs import set_up
    from infra.settings import load_settings
    from stream.archiver import run, run_once

    settings = load_settings()
    set_up(settings.log_format)
    with ExitStack() as stack:
        if settings.otel_enabled:
            from infra.tracing import traced

            stack.enter_context(traced("freshet-archiver"))
        (run_once if once else run)(settings)
